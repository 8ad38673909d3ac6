"""A message gateway asked over HTTP."""

from __future__ import annotations

import httpx
import msgspec

from steelyard.credit.model.message import Channel, GatewayAnswer, Told


class _Wire(msgspec.Struct, frozen=True):
    """What an answer must look like to be read."""

    request: str
    told: Told
    reason: str = ""
    reference: str = ""


# These fail while the connection is made: the request verifiably never left us.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HttpMessageGateway:
    """Sends by a gateway that speaks JSON over HTTP (see `providers/README.md`).

    Parameters
    ----------
    url : base address
    timeout_seconds : for the whole of one call, after which it is unknown
    """

    def __init__(self, url: str, *, name: str = "simulated", timeout_seconds: float = 5.0) -> None:
        self._name = name
        self._client = httpx.Client(base_url=url, timeout=timeout_seconds, trust_env=False)

    @property
    def name(self) -> str:
        """Name of the gateway."""
        return self._name

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, request: str, *, channel: Channel, to: str, text: str) -> GatewayAnswer:
        """Send a text."""
        told = {"request": request, "channel": channel.value, "to": to, "text": text}
        try:
            response = self._client.post("/v1/messages", json=told)
        except _NEVER_SENT:
            return GatewayAnswer(request, Told.NOT_RECEIVED, "not_sent")
        except httpx.TransportError as error:
            return _unknown(request, error)
        return _read(request, response)

    def query(self, request: str) -> GatewayAnswer:
        """Ask what became of a request."""
        try:
            response = self._client.get(f"/v1/messages/{request}")
        except httpx.TransportError as error:
            return _unknown(request, error)
        return _read(request, response)


def _unknown(request: str, error: httpx.TransportError) -> GatewayAnswer:
    timed_out = isinstance(error, httpx.TimeoutException)
    return GatewayAnswer(request, Told.UNKNOWN, "timed_out" if timed_out else "broken_off")


def _read(request: str, response: httpx.Response) -> GatewayAnswer:
    if response.status_code != httpx.codes.OK:
        return GatewayAnswer(request, Told.UNKNOWN, f"status_{response.status_code}")
    try:
        told = msgspec.json.decode(response.content, type=_Wire)
    except msgspec.MsgspecError:
        return GatewayAnswer(request, Told.UNKNOWN, "answer_unreadable")
    return GatewayAnswer(told.request, told.told, told.reason, told.reference)
