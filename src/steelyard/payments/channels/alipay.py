"""The adaptor of Alipay: a form signed with RSA2, and answers signed as they stand.

Source: the public reference of the Alipay open platform (`alipay.trade.*`, asynchronous notices,
bill download).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from steelyard.payments.channels import signing
from steelyard.payments.channels.calls import (
    Answered,
    Caller,
    Disbelief,
    no_answer,
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

FORM: Final = "alipay_bill"
REPLY: Final = b"success"
_BEIJING: Final = timezone(timedelta(hours=8))
_SAID: Final = {
    "TRADE_SUCCESS": Said.SUCCEEDED,
    "TRADE_FINISHED": Said.SUCCEEDED,
    "WAIT_BUYER_PAY": Said.ACTION,
    # Never paid, or refunded whole: in both cases no money stays there.
    "TRADE_CLOSED": Said.CLOSED,
}
_DECLINES: Final = {
    "ACQ.BUYER_BALANCE_NOT_ENOUGH": Decline.INSUFFICIENT_FUNDS,
    "ACQ.BUYER_BANKCARD_BALANCE_NOT_ENOUGH": Decline.INSUFFICIENT_FUNDS,
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": Decline.INSUFFICIENT_FUNDS,
    "ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR": Decline.LIMIT_EXCEEDED,
    "ACQ.BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR": Decline.LIMIT_EXCEEDED,
    "ACQ.TOTAL_FEE_EXCEED": Decline.LIMIT_EXCEEDED,
    "ACQ.PAYMENT_REQUEST_HAS_RISK": Decline.SUSPECTED_FRAUD,
    "ACQ.PAYMENT_AUTH_CODE_INVALID": Decline.INVALID_CARD,
    "ACQ.ACCESS_FORBIDDEN": Decline.NOT_PERMITTED,
    "ACQ.BUYER_SELLER_EQUAL": Decline.NOT_PERMITTED,
    "ACQ.PAYMENT_FAIL": Decline.DO_NOT_HONOR,
    "ACQ.BUYER_ENABLE_STATUS_FORBID": Decline.ACCOUNT_CLOSED,
    "ACQ.USER_NOT_EXIST": Decline.ACCOUNT_CLOSED,
    "ACQ.INVALID_PARAMETER": Decline.INVALID_REQUEST,
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": Decline.INVALID_REQUEST,
    "ACQ.TRADE_STATUS_ERROR": Decline.INVALID_REQUEST,
    "ACQ.AGREEMENT_NOT_EXIST": Decline.MANDATE_INVALID,
    "ACQ.TRADE_HAS_FINISHED": Decline.INVALID_REQUEST,
}
# They say that the request was not taken, not that nothing was charged under its number.
_PROVES_NOTHING: Final = frozenset(
    {"ACQ.SYSTEM_ERROR", "ACQ.CONTEXT_INCONSISTENT", "ACQ.REASON_TRADE_STATUS_INVALID"}
)


class AlipayChannel:
    """A merchant's own connection to Alipay.

    Parameters
    ----------
    settings : `url`, `app_id`, `app_private_key` (PEM), and `alipay_public_keys`: PEM blocks, all
        of them believed, so that the key can be rotated without a gap
    timeout : seconds
    """

    def __init__(self, code: str, settings: Mapping[str, str], timeout: float) -> None:
        self._code = code
        self._app_id = settings["app_id"]
        self._key = signing.private_key(settings["app_private_key"])
        pems = signing.blocks(settings["alipay_public_keys"])
        self._platform = [signing.public_key(pem) for pem in pems]
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
        """Ask for a payment: by the payer's code or agreement at once, else by a code to scan."""
        if request.currency != "CNY":
            return Finding(
                said=Said.DECLINED, code="currency_not_taken", decline=Decline.NOT_PERMITTED
            )
        told: dict[str, Any] = {
            "out_trade_no": request.number,
            "total_amount": _yuan(request.amount_minor),
            "subject": request.subject[:256],
        }
        if request.expires_at is not None:
            told["time_expire"] = f"{request.expires_at.astimezone(_BEIJING):%Y-%m-%d %H:%M:%S}"
        if "body" in request.details:
            told["body"] = request.details["body"]
        method = "alipay.trade.precreate"
        if "auth_code" in request.details:
            method = "alipay.trade.pay"
            told |= {"scene": "bar_code", "auth_code": request.details["auth_code"]}
        elif request.instrument is not None:
            method = "alipay.trade.pay"
            told["product_code"] = "GENERAL_WITHHOLDING"
            told["agreement_params"] = {"agreement_no": request.instrument}
        answered = self._send(method, told, request.notify_url)
        read = self._read(method, answered, is_first_word=True)
        if isinstance(read, Finding):
            return read
        if read.get("code") not in ("10000", "10003"):
            return self._refused(read, request)
        if read.get("out_trade_no") != request.number:
            return unknown("another_number")
        if "qr_code" in read:
            return Finding(said=Said.ACTION, action={"kind": "qr", "url": str(read["qr_code"])})
        said = Said.SUCCEEDED if read["code"] == "10000" else Said.PENDING
        return _trade(read, said)

    def query(self, query: Query) -> Finding:
        """Ask what became of a payment or refund."""
        if query.of_refund:
            return self._query_refund(query)
        method = "alipay.trade.query"
        answered = self._send(method, {"out_trade_no": query.number})
        read = self._read(method, answered, is_first_word=False)
        if isinstance(read, Finding):
            return read
        if read.get("code") != "10000":
            found = read.get("sub_code") == "ACQ.TRADE_NOT_EXIST"
            return Finding(said=Said.NOT_FOUND) if found else unknown(_code(read))
        if read.get("out_trade_no") != query.number:
            return unknown("another_number")
        said = _SAID.get(str(read.get("trade_status")))
        return unknown("answer_unreadable") if said is None else _trade(read, said)

    def _query_refund(self, query: Query) -> Finding:
        method = "alipay.trade.fastpay.refund.query"
        told = {"out_request_no": query.number}
        if query.reference is not None:
            told["trade_no"] = query.reference
        read = self._read(method, self._send(method, told), is_first_word=False)
        if isinstance(read, Finding):
            return read
        if read.get("code") != "10000":
            found = read.get("sub_code") == "ACQ.TRADE_NOT_EXIST"
            return Finding(said=Said.NOT_FOUND) if found else unknown(_code(read))
        if "out_request_no" not in read:
            return Finding(said=Said.NOT_FOUND)
        if read["out_request_no"] != query.number:
            return unknown("another_number")
        return _refund(read, read.get("refund_amount"), str(read.get("refund_status", "")))

    def refund(self, request: RefundRequest) -> Finding:
        """Ask for a refund; where nothing moved by this request, it is asked what did."""
        method = "alipay.trade.refund"
        told = {
            "out_trade_no": request.payment_number,
            "out_request_no": request.number,
            "refund_amount": _yuan(request.amount_minor),
        }
        if request.reason:
            told["refund_reason"] = request.reason[:256]
        read = self._read(method, self._send(method, told), is_first_word=True)
        if isinstance(read, Finding):
            return read
        if read.get("code") != "10000":
            return self._refused(read, None)
        if read.get("out_trade_no") != request.payment_number:
            return unknown("another_number")
        if read.get("fund_change") == "Y":
            return _refund(read, read.get("send_back_fee"), "REFUND_SUCCESS")
        return self._query_refund(
            Query(
                number=request.number,
                reference=str(read.get("trade_no") or "") or None,
                sent_at=request.sent_at,
                of_refund=True,
            )
        )

    def cancel(self, query: Query) -> Finding:
        """Ask that a trade be closed, or taken back on its day (撤销)."""
        method = "alipay.trade.cancel"
        answered = self._send(method, {"out_trade_no": query.number})
        read = self._read(method, answered, is_first_word=False)
        if isinstance(read, Finding):
            return read
        if read.get("sub_code") == "ACQ.TRADE_STATUS_ERROR":
            return self.query(query)
        if read.get("code") != "10000" or read.get("retry_flag") != "N":
            return unknown("close_refused")
        if read.get("out_trade_no") != query.number:
            return unknown("another_number")
        # Without an action there was nothing to act on: a request on its way may still be taken.
        return Finding(said=Said.CLOSED if read.get("action") else Said.NOT_FOUND)

    def parse_notice(self, raw: RawNotice, now: datetime) -> Notice:
        """Check and read a notice.

        Refusals
        --------
        notice_is_not_believed
        """
        self._disbelief.check_size(raw)
        try:
            told = dict(parse_qsl(raw.body.decode(), strict_parsing=True))
        except ValueError as error:
            raise self._disbelief("form") from error
        signature = told.pop("sign", "")
        signed = {name: value for name, value in told.items() if name != "sign_type"}
        text = _joined(signed).encode()
        if told.get("sign_type") != "RSA2" or not self._fits(text, signature):
            raise self._disbelief("signature")
        if told.get("app_id") != self._app_id:
            raise self._disbelief("another_merchant")
        try:
            self._disbelief.check_age(_instant(told["notify_time"]).timestamp(), now)
            notice_id, number = told["notify_id"], told["out_trade_no"]
            is_refund = "refund_fee" in told and "out_biz_no" in told
            if is_refund:
                number = told["out_biz_no"]
                finding = _refund_told(told)
            else:
                said = _SAID.get(told["trade_status"])
                finding = unknown("form") if said is None else _trade(told, said)
        except (KeyError, ValueError) as error:
            raise self._disbelief("form") from error
        return Notice(
            id=notice_id,
            number=number,
            of_refund=is_refund,
            finding=finding,
            reply=REPLY,
            reply_type="text/plain",
        )

    def statement(self, on: date) -> StatementFile | None:
        """Fetch the business details of a day, a zip of CSVs."""
        method = "alipay.data.dataservice.bill.downloadurl.query"
        told = {"bill_type": "trade", "bill_date": on.isoformat()}
        read = self._read(method, self._send(method, told), is_first_word=False)
        if isinstance(read, Finding) or "bill_download_url" not in read:
            return None
        fetched = self._caller.send("GET", str(read["bill_download_url"]))
        if fetched.missing or fetched.status != 200 or not fetched.body.startswith(b"PK"):
            return None
        return StatementFile(
            name=f"{self._code}-{on.isoformat()}.zip", content=fetched.body, form=FORM
        )

    def _send(self, method: str, told: dict[str, Any], notify_url: str | None = None) -> Answered:
        form = {
            "app_id": self._app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": f"{datetime.now(_BEIJING):%Y-%m-%d %H:%M:%S}",
            "version": "1.0",
            "biz_content": json.dumps(told, ensure_ascii=False, separators=(",", ":")),
        }
        if notify_url is not None:
            form["notify_url"] = notify_url
        form["sign"] = signing.sign(self._key, _joined(form))
        headers = {"content-type": "application/x-www-form-urlencoded;charset=utf-8"}
        return self._caller.send("POST", "/gateway.do", urlencode(form).encode(), headers)

    def _read(
        self, method: str, answered: Answered, *, is_first_word: bool
    ) -> dict[str, Any] | Finding:
        """Return the inner answer, whose signature is over its text as it stands."""
        missing = no_answer(answered, is_first_word=is_first_word)
        if missing is not None:
            return missing
        try:
            text = answered.body.decode()
            node = f'"{method.replace(".", "_")}_response":'
            begin = text.index(node) + len(node)
            inner, end = json.JSONDecoder().raw_decode(text, begin)
            signature = json.loads(text)["sign"]
        except (ValueError, KeyError, TypeError):
            return unknown("answer_unreadable")
        if not self._fits(text[begin:end].encode(), str(signature)):
            return unknown("bad_signature")
        if not isinstance(inner, dict):
            return unknown("answer_unreadable")
        # 20000: a service is out of order; 40001, 40002: it was not even looked at.
        if inner.get("code") in ("20000", "40001", "40002"):
            return unknown(_code(inner))
        return inner

    def _fits(self, text: bytes, signature: str) -> bool:
        return any(signing.fits(key, text, signature) for key in self._platform)

    def _refused(self, read: dict[str, Any], request: PayRequest | None) -> Finding:
        """Return what a signed no says; of what was paid before, how it stands."""
        code = str(read.get("sub_code") or "")
        if code == "ACQ.TRADE_HAS_SUCCESS" and request is not None:
            return self.query(Query(number=request.number, reference=None, sent_at=request.sent_at))
        if code == "ACQ.TRADE_HAS_CLOSE":
            return Finding(said=Said.CLOSED, code=code)
        if code == "ACQ.TRADE_NOT_EXIST":
            return Finding(said=Said.NOT_FOUND, code=code)
        if code in _PROVES_NOTHING or not code:
            return unknown(code or "answer_unreadable")
        decline = _DECLINES.get(code, Decline.OTHER)
        return Finding(said=Said.DECLINED, code=code, decline=decline)


def _joined(told: Mapping[str, str]) -> str:
    """Return what is signed: by name, joined, the empty ones left out."""
    return "&".join(f"{name}={told[name]}" for name in sorted(told) if told[name])


def _code(read: Mapping[str, Any]) -> str:
    return str(read.get("sub_code") or read.get("code") or "answer_unreadable")


def _yuan(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def _fen(yuan: object) -> int:
    """Return an amount in minor units.

    Examples
    --------
    >>> _fen("88.8"), _fen("88")
    (8880, 8800)
    """
    whole, _, cents = str(yuan).partition(".")
    if not whole.isdecimal() or len(cents) > 2 or not f"{cents:0<2}".isdecimal():
        raise ValueError("not an amount")
    return int(whole) * 100 + int(f"{cents:0<2}")


def _instant(text: str) -> datetime:
    there = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=_BEIJING)
    return there.astimezone(UTC)


def _trade(read: Mapping[str, Any], said: Said) -> Finding:
    try:
        total, at = read.get("total_amount"), read.get("gmt_payment") or read.get("send_pay_date")
        return Finding(
            said=said,
            amount_minor=None if total is None else _fen(total),
            currency=None if total is None else "CNY",
            reference=read.get("trade_no"),
            at=_instant(at) if at else None,
        )
    except (ValueError, TypeError):
        return unknown("answer_unreadable")


def _refund(read: Mapping[str, Any], amount: object, status: str) -> Finding:
    """Return a refund as it was answered or asked for; without a status it is under way."""
    said = {"REFUND_SUCCESS": Said.SUCCEEDED, "REFUND_FAIL": Said.DECLINED}.get(
        status, Said.PENDING
    )
    try:
        minor = None if amount is None else _fen(amount)
    except ValueError:
        return unknown("answer_unreadable")
    is_no = said is Said.DECLINED
    return Finding(
        said=said,
        amount_minor=minor,
        currency=None if minor is None else "CNY",
        reference=read.get("trade_no"),
        code=status if is_no else None,
        decline=Decline.ACCOUNT_CLOSED if is_no else None,
    )


def _refund_told(told: Mapping[str, str]) -> Finding:
    """Return a refund as the notice of its trade tells it: the sum of all refunds, so no amount."""
    return Finding(
        said=Said.SUCCEEDED, reference=told.get("trade_no"), at=_instant(told["gmt_refund"])
    )
