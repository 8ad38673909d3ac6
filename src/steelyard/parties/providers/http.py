"""An identity provider asked over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import httpx
import msgspec

from steelyard.parties.model.identity import Finding, ProviderAnswer, Step


class _Wire(msgspec.Struct, frozen=True):
    """What an answer must look like to be read."""

    request: str
    finding: Finding
    reason: str = ""
    reference: str = ""


# These fail while the connection is made: the request verifiably never left us.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HttpIdentityProvider:
    """Asks a provider that speaks JSON over HTTP (see `providers/README.md`).

    Only a readable answer is a finding. A time-out, a broken connection, an error status or an
    answer that cannot be read is unknown; a connection that was never made is not received, except
    for `query`, where it says nothing about the request asked about.

    Parameters
    ----------
    url : base address of the provider
    name : kept with every attempt; attempts are polled by the provider they were made with
    timeout_seconds : for the whole of one call, after which it is unknown
    """

    def __init__(self, url: str, *, name: str = "simulated", timeout_seconds: float = 3.0) -> None:
        self._name = name
        self._client = httpx.Client(base_url=url, timeout=timeout_seconds, trust_env=False)

    @property
    def name(self) -> str:
        """Name of the provider."""
        return self._name

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def check_number(self, request: str, *, id_number: str) -> ProviderAnswer:
        """Ask whether the authority issued an identity number."""
        return self._ask(Step.NUMBER, request, {"id_number": id_number})

    def send_code(self, request: str, *, phone: str) -> ProviderAnswer:
        """Ask for a one-time code to be sent to a phone."""
        return self._ask(Step.PHONE_CODE, request, {"phone": phone})

    def confirm_code(self, request: str, *, sent: str, code: str) -> ProviderAnswer:
        """Ask whether a code is the one sent under the request `sent`."""
        return self._ask(Step.PHONE, request, {"sent": sent, "code": code})

    def match_name(self, request: str, *, id_number: str, name: str) -> ProviderAnswer:
        """Ask whether a number belongs to a name."""
        return self._ask(Step.NAME, request, {"id_number": id_number, "name": name})

    def compare_face(self, request: str, *, id_number: str, portrait: bytes) -> ProviderAnswer:
        """Ask whether a portrait is that of a number's owner."""
        shown = base64.b64encode(portrait).decode()
        return self._ask(Step.FACE, request, {"id_number": id_number, "portrait": shown})

    def query(self, request: str) -> ProviderAnswer:
        """Ask what became of a request."""
        try:
            response = self._client.get(f"/v1/requests/{request}")
        except httpx.TransportError as error:
            return _unknown(request, error)
        return _read(request, response)

    def _ask(self, step: Step, request: str, told: Mapping[str, str]) -> ProviderAnswer:
        try:
            response = self._client.post(f"/v1/{step}", json={"request": request, **told})
        except _NEVER_SENT:
            return ProviderAnswer(request, Finding.NOT_RECEIVED, "not_sent")
        except httpx.TransportError as error:
            return _unknown(request, error)
        return _read(request, response)


def _unknown(request: str, error: httpx.TransportError) -> ProviderAnswer:
    timed_out = isinstance(error, httpx.TimeoutException)
    return ProviderAnswer(request, Finding.UNKNOWN, "timed_out" if timed_out else "broken_off")


def _read(request: str, response: httpx.Response) -> ProviderAnswer:
    """Return what the response says; the request it names is kept, for the caller to compare."""
    if response.status_code != httpx.codes.OK:
        return ProviderAnswer(request, Finding.UNKNOWN, f"status_{response.status_code}")
    try:
        told = msgspec.json.decode(response.content, type=_Wire)
    except msgspec.MsgspecError:
        return ProviderAnswer(request, Finding.UNKNOWN, "answer_unreadable")
    return ProviderAnswer(told.request, told.finding, told.reason, told.reference)
