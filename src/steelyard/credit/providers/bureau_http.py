"""A credit bureau asked over HTTP."""

from __future__ import annotations

from datetime import date

import httpx
import msgspec

from steelyard.credit.model.bureau import BureauAnswer, Delivery, DeliveryState, Found, Report, Why


class _File(msgspec.Struct, frozen=True):
    """A report as the bureau writes it; fields that it may add are not read."""

    made_on: date
    currency: str
    accounts: int
    open_accounts: int
    balance_minor: int
    limit_minor: int
    overdue_minor: int
    monthly_due_minor: int
    worst_dpd_24m: int
    inquiries_6m: int
    oldest_months: int
    score: int | None


class _Wire(msgspec.Struct, frozen=True):
    """What an answer must look like to be read."""

    request: str
    found: Found
    reason: str = ""
    reference: str = ""
    name: str = ""
    id_number: str = ""
    file: _File | None = None


class _Receipt(msgspec.Struct, frozen=True):
    state: DeliveryState
    sha256: str = ""
    rows: int = 0
    reason: str = ""


# These fail while the connection is made: the request verifiably never left us.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_WITH_FILE = frozenset({Found.HIT, Found.THIN_FILE})


class HttpCreditBureau:
    """Asks a bureau that speaks JSON over HTTP (see `providers/README.md`).

    Only a readable answer is a finding; everything else is unknown, but for a connection that was
    never made.

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
        """Name of the bureau."""
        return self._name

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def inquire(self, request: str, *, name: str, id_number: str, why: Why) -> BureauAnswer:
        """Ask for the file of a person."""
        told = {"request": request, "name": name, "id_number": id_number, "why": why.value}
        try:
            response = self._client.post("/v1/inquiries", json=told)
        except _NEVER_SENT:
            return BureauAnswer(request, Found.NOT_RECEIVED, "not_sent")
        except httpx.TransportError as error:
            return _unknown(request, error)
        return _read(request, response)

    def query(self, request: str) -> BureauAnswer:
        """Ask what became of a request."""
        try:
            response = self._client.get(f"/v1/inquiries/{request}")
        except httpx.TransportError as error:
            return _unknown(request, error)
        return _read(request, response)

    def deliver(self, period: str, content: bytes) -> Delivery:
        """Hand in a reporting file."""
        try:
            response = self._client.put(
                f"/v1/files/{period}", content=content, headers={"content-type": "text/csv"}
            )
        except httpx.TransportError:
            return Delivery(DeliveryState.UNKNOWN, reason="broken_off")
        if response.status_code != httpx.codes.OK:
            return Delivery(DeliveryState.UNKNOWN, reason=f"status_{response.status_code}")
        try:
            told = msgspec.json.decode(response.content, type=_Receipt)
        except msgspec.MsgspecError:
            return Delivery(DeliveryState.UNKNOWN, reason="answer_unreadable")
        return Delivery(told.state, told.sha256, told.rows, told.reason)


def _unknown(request: str, error: httpx.TransportError) -> BureauAnswer:
    timed_out = isinstance(error, httpx.TimeoutException)
    return BureauAnswer(request, Found.UNKNOWN, "timed_out" if timed_out else "broken_off")


def _read(request: str, response: httpx.Response) -> BureauAnswer:
    """Return what the response says; whom and which request it names is for the caller to see."""
    if response.status_code != httpx.codes.OK:
        return BureauAnswer(request, Found.UNKNOWN, f"status_{response.status_code}")
    try:
        told = msgspec.json.decode(response.content, type=_Wire)
    except msgspec.MsgspecError:
        return BureauAnswer(request, Found.UNKNOWN, "answer_unreadable")
    if (told.found in _WITH_FILE) != (told.file is not None):
        return BureauAnswer(told.request, Found.UNKNOWN, "file_missing")
    report = None if told.file is None else Report(**msgspec.structs.asdict(told.file))
    return BureauAnswer(
        told.request, told.found, told.reason, told.reference, told.name, told.id_number, report
    )
