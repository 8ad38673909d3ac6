"""The dialect `uni`: plain JSON, signed with HMAC-SHA256 both ways. See README.md."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import msgspec

from steelyard.simulation.channel.clock import instant
from steelyard.simulation.channel.desk import Asked, Row, Told
from steelyard.simulation.channel.seals import MERCHANT, Seals, hmac_of, sha256
from steelyard.simulation.channel.store import Payment, Refund
from steelyard.simulation.channel.wire import Malformed, Reply, Request

_BASE: Final = "/uni/v1/"
_SKEW_SECONDS: Final = 300
_STATES: Final = {
    "waiting": "action",
    "processing": "pending",
    "paid": "succeeded",
    "reversed": "closed",
}
_STATUS: Final = {"not_found": 404, "payment_not_found": 404, "number_used": 409, "no_file": 404}
_FIELDS: Final = "number,payment_number,reference,kind,amount,currency,fee,status,booked_at"
_SIGNS: Final = {"payment": 1, "refund": -1, "return": 1}


class _PayBody(msgspec.Struct):
    number: str
    amount: int
    currency: str
    method: str
    subject: str = ""
    merchant: str = ""
    instrument: str | None = None
    notify_url: str | None = None
    expires_at: datetime | None = None
    details: dict[str, str] = msgspec.field(default_factory=dict)


class _RefundBody(msgspec.Struct):
    number: str
    payment_number: str
    amount: int
    currency: str
    reason: str = ""
    notify_url: str | None = None


class Uni:
    """Speaks `uni`."""

    name: str = "uni"
    retries: tuple[float, ...] = (15.0, 30.0, 180.0, 600.0, 1_800.0, 3_600.0, 21_600.0)

    def __init__(self, seals: Seals) -> None:
        self._seals = seals
        self._nonces: dict[str, float] = {}

    def is_believed(self, request: Request) -> bool:
        """Whether key, time, nonce and signature are right; a nonce counts once."""
        headers = request.headers
        secret = self._seals.uni.get(headers.get("uni-key", ""))
        at, nonce = headers.get("uni-timestamp", ""), headers.get("uni-nonce", "")
        if secret is None or not at.isdigit() or not nonce:
            return False
        now = time.time()
        if abs(now - int(at)) > _SKEW_SECONDS or nonce in self._nonces:
            return False
        path = f"{request.path}?{request.query}" if request.query else request.path
        right = hmac_of(secret, "REQUEST", request.method, path, at, nonce, sha256(request.body))
        if not secrets.compare_digest(right, headers.get("uni-signature", "")):
            return False
        if len(self._nonces) > 100_000:
            old = now - 2 * _SKEW_SECONDS
            self._nonces = {one: seen for one, seen in self._nonces.items() if seen > old}
        self._nonces[nonce] = now
        return True

    def read(self, request: Request) -> Asked:
        """Return what is asked for."""
        if not request.path.startswith(_BASE):
            raise Malformed
        noun, *rest = request.path[len(_BASE) :].split("/")
        try:
            if request.method == "POST" and not rest:
                return _read_pay(request.body) if noun == "payments" else _read_refund(request.body)
            if noun == "payments" and request.method == "POST" and rest[1:] == ["close"]:
                return Asked(verb="close", number=rest[0])
            if noun == "payments" and len(rest) == 1:
                return Asked(verb="query", number=rest[0])
            if noun == "refunds" and len(rest) == 1:
                return Asked(verb="refund_query", number=rest[0])
            if noun == "statements" and len(rest) == 1:
                return Asked(verb="statement", on=date.fromisoformat(rest[0]))
        except (msgspec.MsgspecError, ValueError) as error:
            raise Malformed from error
        raise Malformed

    def answer(self, request: Request, asked: Asked, told: Told) -> Reply:
        """Return the signed answer."""
        if told.wrong:
            body: dict[str, Any] = {"number": asked.number, "state": "not_found"}
            if not told.wrong.endswith("not_found"):
                body = {"number": asked.number, "state": "refused", "code": told.wrong}
            if told.wrong == "paid" and told.payment is not None:
                body = _payment_out(told.payment)
            return self._sign(request, _STATUS.get(told.wrong, 200), msgspec.json.encode(body))
        if told.refund is not None:
            return self._sign(request, 200, msgspec.json.encode(_refund_out(told.refund)))
        assert told.payment is not None
        return self._sign(request, 200, msgspec.json.encode(_payment_out(told.payment)))

    def file(self, request: Request, content: bytes) -> Reply:
        """Return a statement as an answer."""
        signed = self._sign(request, 200, content)
        return Reply(200, content, signed.headers, "text/csv; charset=utf-8")

    def signed(self, request: Request, body: bytes) -> Reply:
        """Return an answer of the bank behind it, signed."""
        return self._sign(request, 200, body)

    def refuse(self, request: Request, wrong: str) -> Reply:
        """Return a signed no."""
        body = msgspec.json.encode({"number": "", "state": "refused", "code": wrong})
        return self._sign(request, 401 if wrong == "not_signed" else 400, body)

    def notice(self, about: Payment | Refund, notice_id: str, *, forged: bool) -> Reply:
        """Return a notice, signed now."""
        is_refund = isinstance(about, Refund)
        out = _refund_out(about) if isinstance(about, Refund) else _payment_out(about)
        told = {
            "id": notice_id,
            "merchant": MERCHANT,
            "kind": "refund" if is_refund else "payment",
            **out,
        }
        body = msgspec.json.encode(told)
        name = self._seals.uni_key
        at, nonce = str(int(time.time())), secrets.token_hex(12)
        parts = ("NOTICE", at, nonce, sha256(body))
        signature = hmac_of("forged" if forged else self._seals.uni[name], *parts)
        return Reply(200, body, _headers(name, at, nonce, signature))

    def was_taken(self, notice_id: str, status: int, body: bytes) -> bool:
        """Whether the merchant said that he received just this notice."""
        return status == 200 and body == msgspec.json.encode({"received": notice_id})

    def statement(self, on: date, rows: list[Row]) -> bytes:
        """Return a day as CSV between a header and a trailer with control totals and hash."""
        lines = [_FIELDS]
        amounts: Counter[str] = Counter()
        fees: Counter[str] = Counter()
        for row in rows:
            amount = _SIGNS[row.kind] * row.amount
            amounts[row.currency] += amount
            fees[row.currency] += row.fee
            reference = row.refund_reference or row.reference
            at = instant(row.at).isoformat(timespec="seconds")
            lines.append(
                f"{row.number},{row.payment_number},{reference},{row.kind},{amount},{row.currency},"
                f"{row.fee},{row.status},{at}"
            )
        body = "".join(f"{line}\n" for line in lines)
        totals = (_totals(amounts), _totals(fees))
        return (
            f"H,uni.statement.1,{MERCHANT},{on.isoformat()},Asia/Shanghai\n{body}"
            f"T,{len(rows)},{totals[0]},{totals[1]},{sha256(body.encode())}\n"
        ).encode()

    def _sign(self, request: Request, status: int, body: bytes) -> Reply:
        """Sign for just this request: its nonce is part of what is signed."""
        asked_with = request.headers.get("uni-key", "")
        name = asked_with if asked_with in self._seals.uni else self._seals.uni_key
        at, nonce = str(int(time.time())), request.headers.get("uni-nonce", "")
        parts = ("ANSWER", str(status), at, nonce, sha256(body))
        signature = hmac_of(self._seals.uni[name], *parts)
        return Reply(status, body, _headers(name, at, nonce, signature))


def _headers(name: str, at: str, nonce: str, signature: str) -> tuple[tuple[str, str], ...]:
    return (
        ("uni-key", name),
        ("uni-timestamp", at),
        ("uni-nonce", nonce),
        ("uni-signature", signature),
    )


def _totals(sums: Mapping[str, int]) -> str:
    return ";".join(f"{currency}:{sums[currency]}" for currency in sorted(sums))


def _read_pay(body: bytes) -> Asked:
    read = msgspec.json.decode(body, type=_PayBody)
    if not read.number.isalnum() or len(read.number) > 32 or read.amount <= 0:
        raise Malformed
    ends = 0.0 if read.expires_at is None else read.expires_at.timestamp()
    return Asked(
        verb="pay",
        number=read.number,
        amount=read.amount,
        currency=read.currency,
        method=read.method,
        subject=read.subject,
        instrument=read.instrument or "",
        notify_url=read.notify_url or "",
        expires_at=ends,
        code=read.details.get("code", ""),
        details=read.details,
    )


def _read_refund(body: bytes) -> Asked:
    read = msgspec.json.decode(body, type=_RefundBody)
    return Asked(
        verb="refund",
        number=read.number,
        payment_number=read.payment_number,
        amount=read.amount,
        currency=read.currency,
        notify_url=read.notify_url or "",
    )


def _payment_out(payment: Payment) -> dict[str, Any]:
    state = _STATES.get(payment.state, payment.state)
    out: dict[str, Any] = {
        "number": payment.number,
        "state": state,
        "amount": payment.amount,
        "currency": payment.currency,
        "reference": payment.reference,
    }
    if state == "succeeded":
        out["fee"] = payment.fee
    if payment.code:
        out["code"] = payment.code
    if payment.done_at:
        out["at"] = instant(payment.done_at).isoformat()
    if state == "action":
        out["action"] = {"kind": payment.way, **_action(payment)}
    return out


def _action(payment: Payment) -> dict[str, str]:
    if payment.way == "qr":
        return {"url": f"uni://pay/{payment.reference}"}
    if payment.way == "redirect":
        return {"url": f"https://pay.example/uni/{payment.reference}"}
    return {"sent_to": "138****0000"} if payment.way == "code" else {}


def _refund_out(refund: Refund) -> dict[str, Any]:
    out: dict[str, Any] = {
        "number": refund.number,
        "payment_number": refund.payment_number,
        "state": "pending" if refund.state == "processing" else refund.state,
        "amount": refund.amount,
        "currency": refund.currency,
        "reference": refund.reference,
    }
    if refund.code:
        out["code"] = refund.code
    if refund.done_at:
        out["at"] = instant(refund.done_at).isoformat()
    return out
