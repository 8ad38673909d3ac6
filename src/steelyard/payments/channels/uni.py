"""The adaptor of channels that speak `uni`: plain JSON, signed with HMAC-SHA256 both ways.

The dialect stands in `simulation/channel/README.md`. An answer is signed together with the nonce of
the request, so that an old answer fits no new question.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import msgspec

from steelyard.payments.channels.calls import (
    SKEW_SECONDS,
    Answered,
    Caller,
    Disbelief,
    no_answer,
    small_names,
    unknown,
)
from steelyard.payments.model.channel import (
    Decline,
    Finding,
    Notice,
    PayRequest,
    Query,
    RawNotice,
    RefundRequest,
    Said,
    StatementFile,
)

FORM: Final = "uni"
_SAID: Final = {
    "succeeded": Said.SUCCEEDED,
    "authorized": Said.AUTHORIZED,
    "declined": Said.DECLINED,
    "failed": Said.DECLINED,
    "abnormal": Said.DECLINED,
    "returned": Said.DECLINED,
    "pending": Said.PENDING,
    "action": Said.ACTION,
    "not_found": Said.NOT_FOUND,
    "closed": Said.CLOSED,
}
_DECLINES: Final = {one.value: one for one in Decline} | {
    "exceeds": Decline.INVALID_REQUEST,
    "malformed": Decline.INVALID_REQUEST,
    "currency_differs": Decline.INVALID_REQUEST,
    "payment_not_paid": Decline.INVALID_REQUEST,
}
# They say that the request was not taken, not that nothing was charged under its number.
_PROVES_NOTHING: Final = frozenset({"number_used", "not_signed", "close_refused", "paid"})


class _Wire(msgspec.Struct, frozen=True):
    """What an answer or a notice must look like to be read."""

    number: str
    state: str
    amount: int | None = None
    currency: str | None = None
    reference: str | None = None
    code: str | None = None
    fee: int | None = None
    at: datetime | None = None
    action: dict[str, str] | None = None
    id: str = ""
    merchant: str = ""
    kind: str = "payment"


class UniChannel:
    """A channel that speaks `uni`.

    Parameters
    ----------
    settings : `url`, `merchant` (our number there), and `keys`: `id:secret` pairs with blanks
        between them, the one that we sign with last; all of them are believed, so that a key can be
        rotated without a gap
    timeout : seconds
    """

    def __init__(self, code: str, settings: Mapping[str, str], timeout: float) -> None:
        self._code = code
        self._merchant = settings["merchant"]
        pairs = [one.partition(":") for one in settings["keys"].split()]
        self._keys = {name: secret.encode() for name, _, secret in pairs}
        self._signing = pairs[-1][0]
        self._caller = Caller(settings["url"], timeout)
        self._disbelief = Disbelief(code)

    @property
    def code(self) -> str:
        """Its name with us."""
        return self._code

    def close(self) -> None:
        """Close the connections."""
        self._caller.close()

    def pay(self, request: PayRequest) -> Finding:
        """Ask for a payment."""
        told: dict[str, Any] = {
            "number": request.number,
            "amount": request.amount_minor,
            "currency": request.currency,
            "method": request.method.value,
            "subject": request.subject,
            "merchant": request.merchant,
            "instrument": request.instrument,
            "notify_url": request.notify_url,
            "expires_at": request.expires_at,
            "details": dict(request.details),
        }
        return self._ask("POST", "payments", request.number, told, is_first_word=True)

    def query(self, query: Query) -> Finding:
        """Ask what became of a payment or refund."""
        noun = "refunds" if query.of_refund else "payments"
        return self._ask("GET", f"{noun}/{query.number}", query.number)

    def refund(self, request: RefundRequest) -> Finding:
        """Ask for a refund."""
        told = {
            "number": request.number,
            "payment_number": request.payment_number,
            "amount": request.amount_minor,
            "currency": request.currency,
            "reason": request.reason,
        }
        return self._ask("POST", "refunds", request.number, told, is_first_word=True)

    def cancel(self, query: Query) -> Finding:
        """Ask that a payment be closed, or taken back on its day."""
        return self._ask("POST", f"payments/{query.number}/close", query.number)

    def parse_notice(self, raw: RawNotice, now: datetime) -> Notice:
        """Check and read a notice.

        Refusals
        --------
        notice_is_not_believed
        """
        self._disbelief.check_size(raw)
        headers = small_names(raw.headers)
        if not self._fits(headers, "NOTICE", headers.get("uni-nonce", ""), raw.body):
            raise self._disbelief("signature")
        self._disbelief.check_age(int(headers["uni-timestamp"]), now)
        try:
            told = msgspec.json.decode(raw.body, type=_Wire)
        except msgspec.MsgspecError as error:
            raise self._disbelief("form") from error
        if told.merchant != self._merchant or not told.id:
            raise self._disbelief("another_merchant")
        return Notice(
            id=told.id,
            number=told.number,
            of_refund=told.kind == "refund",
            finding=_finding(told),
            reply=msgspec.json.encode({"received": told.id}),
            reply_type="application/json",
        )

    def statement(self, on: date) -> StatementFile | None:
        """Fetch the statement of a clearing day; what is not signed is no statement."""
        nonce, answered = self._send("GET", f"statements/{on.isoformat()}", b"")
        if answered.status != 200 or not self._is_signed(answered, nonce):
            return None
        return StatementFile(
            name=f"{self._code}-{on.isoformat()}.csv", content=answered.body, form=FORM
        )

    def _ask(
        self,
        method: str,
        path: str,
        number: str,
        told: dict[str, Any] | None = None,
        *,
        is_first_word: bool = False,
    ) -> Finding:
        body = b"" if told is None else msgspec.json.encode(told)
        nonce, answered = self._send(method, path, body)
        missing = no_answer(answered, is_first_word=is_first_word)
        if missing is not None:
            return missing
        if not self._is_signed(answered, nonce):
            return unknown("bad_signature")
        try:
            read = msgspec.json.decode(answered.body, type=_Wire)
        except msgspec.MsgspecError:
            return unknown("answer_unreadable")
        if read.state == "refused" and read.code == "not_signed":
            return unknown("request_refused")
        return _finding(read) if read.number == number else unknown("another_number")

    def _send(self, method: str, path: str, body: bytes) -> tuple[str, Answered]:
        at, nonce, whole = str(int(time.time())), secrets.token_hex(12), f"/uni/v1/{path}"
        key = self._keys[self._signing]
        headers = {
            "content-type": "application/json",
            "uni-key": self._signing,
            "uni-timestamp": at,
            "uni-nonce": nonce,
            "uni-signature": _sign(key, "REQUEST", method, whole, at, nonce, body=body),
        }
        return nonce, self._caller.send(method, whole, body, headers)

    def _is_signed(self, answered: Answered, nonce: str) -> bool:
        headers, status = answered.headers, str(answered.status)
        if not self._fits(headers, "ANSWER", nonce, answered.body, status):
            return False
        return abs(time.time() - int(headers["uni-timestamp"])) <= SKEW_SECONDS

    def _fits(
        self, headers: Mapping[str, str], what: str, nonce: str, body: bytes, *more: str
    ) -> bool:
        """Whether one of our keys signed it, for this nonce."""
        key = self._keys.get(headers.get("uni-key", ""))
        at, signature = headers.get("uni-timestamp", ""), headers.get("uni-signature", "")
        if key is None or not at.isdecimal() or not nonce or not signature.isascii():
            return False
        return hmac.compare_digest(_sign(key, what, *more, at, nonce, body=body), signature)


def _sign(key: bytes, *parts: str, body: bytes) -> str:
    lines = (*parts, hashlib.sha256(body).hexdigest())
    return hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()


def _finding(told: _Wire) -> Finding:
    if told.state == "refused":
        why = told.code or ""
        if why in _PROVES_NOTHING:
            return unknown(why)
        return Finding(said=Said.DECLINED, code=why, decline=_DECLINES.get(why, Decline.OTHER))
    said = _SAID.get(told.state)
    if said is None:
        return unknown("answer_unreadable")
    is_no = said is Said.DECLINED
    code = told.code
    decline = _DECLINES.get(code or "", Decline.OTHER) if is_no else None
    if told.state in ("abnormal", "returned"):
        code, decline = told.state, Decline.ACCOUNT_CLOSED
    return Finding(
        said=said,
        amount_minor=told.amount,
        currency=told.currency or None,
        reference=told.reference,
        code=code,
        decline=decline,
        action=told.action,
        fee_minor=told.fee,
        at=told.at,
    )
