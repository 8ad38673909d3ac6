"""A custodian asked over HTTP, with signed requests and answers."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import date, datetime
from secrets import token_hex
from typing import Final

import httpx
import msgspec

from steelyard.base import RealClock
from steelyard.payments.model.channel import StatementFile
from steelyard.payments.model.custody import CustodianAnswer, PayoutOrder, PayoutSaid

__all__ = ["HttpCustodian"]

# These fail while the connection is made: the request verifiably never left us.
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_SAID: Final = {
    "paid": PayoutSaid.PAID,
    "pending": PayoutSaid.PENDING,
    "failed": PayoutSaid.FAILED,
    "returned": PayoutSaid.RETURNED,
    "not_found": PayoutSaid.NOT_FOUND,
}


class _Wire(msgspec.Struct, frozen=True):
    """What an answer must look like to be read."""

    number: str
    state: str
    amount_minor: int | None = None
    currency: str | None = None
    reference: str | None = None
    executed_on: date | None = None
    returned_on: date | None = None
    why: str | None = None


class HttpCustodian:
    """The custodian bank over HTTP: JSON and CSV, HMAC-SHA256 over request and answer.

    Parameters
    ----------
    url : base address; secret : shared with it
    timeout_seconds : of one call, after which nothing is known
    client : instead of one of its own
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str,
        name: str = "custodian",
        timeout_seconds: float = 10.0,
        client: httpx.Client | None = None,
        wall: Callable[[], datetime] | None = None,
    ) -> None:
        self._name = name
        self._secret = secret.encode()
        self._client = client or httpx.Client(
            base_url=url, timeout=timeout_seconds, trust_env=False
        )
        self._wall = wall or RealClock().now

    @property
    def name(self) -> str:
        """Its name with us."""
        return self._name

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def pay_out(self, order: PayoutOrder) -> CustodianAnswer:
        """Ask that money be paid."""
        told = {
            "number": order.number,
            "account": order.account,
            "amount_minor": order.amount_minor,
            "currency": order.currency,
            "payee": order.payee.number,
            "holder": order.payee.holder,
            "text": order.text,
        }
        return self._asked("POST", "/v1/payouts", order.number, json.dumps(told).encode())

    def query(self, number: str) -> CustodianAnswer:
        """Ask what became of a payout."""
        return self._asked("GET", f"/v1/payouts/{number}", number)

    def statement(self, account: str, on: date) -> StatementFile | None:
        """Fetch the statement of a day; None where there is none or nothing that can be believed.

        A custodian that does not answer today is asked again tomorrow: nothing follows from it.
        """
        path = f"/v1/accounts/{account}/statements/{on}"
        try:
            response, nonce = self._call("GET", path, b"")
        except httpx.TransportError:
            return None
        if response.status_code != httpx.codes.OK or not self._fits(response, nonce):
            return None
        return StatementFile(name=f"custody-{account}-{on}.csv", content=response.content)

    def _asked(self, method: str, path: str, number: str, body: bytes = b"") -> CustodianAnswer:
        try:
            response, nonce = self._call(method, path, body)
        except _NEVER_SENT:
            return CustodianAnswer(said=PayoutSaid.NOT_SENT, why="no_connection")
        except httpx.TransportError as error:
            timed_out = isinstance(error, httpx.TimeoutException)
            return _unknown("timed_out" if timed_out else "broken_off")
        if response.status_code != httpx.codes.OK:
            return _unknown(f"status_{response.status_code}")
        if not self._fits(response, nonce):
            return _unknown("signature_does_not_fit")
        try:
            told = msgspec.json.decode(response.content, type=_Wire)
        except msgspec.MsgspecError:
            return _unknown("answer_unreadable")
        if told.number != number or told.state not in _SAID:
            return _unknown("answer_about_something_else")
        return CustodianAnswer(
            said=_SAID[told.state],
            reference=told.reference,
            amount_minor=told.amount_minor,
            currency=told.currency,
            executed_on=told.executed_on,
            returned_on=told.returned_on,
            why=told.why,
        )

    def _call(self, method: str, path: str, body: bytes) -> tuple[httpx.Response, str]:
        at, nonce = self._wall().isoformat(), token_hex(16)
        headers = {
            "X-Custodian-Time": at,
            "X-Custodian-Nonce": nonce,
            "X-Custodian-Signature": self._sign(method, path, at, nonce, body),
            "Content-Type": "application/json",
        }
        return self._client.request(method, path, content=body, headers=headers), nonce

    def _fits(self, response: httpx.Response, nonce: str) -> bool:
        wanted = self._sign(nonce, response.content)
        return hmac.compare_digest(wanted, response.headers.get("x-custodian-signature", ""))

    def _sign(self, *parts: str | bytes) -> str:
        lines = (part.encode() if isinstance(part, str) else part for part in parts)
        return hmac.new(self._secret, b"\n".join(lines), hashlib.sha256).hexdigest()


def _unknown(why: str) -> CustodianAnswer:
    return CustodianAnswer(said=PayoutSaid.UNKNOWN, why=why)
