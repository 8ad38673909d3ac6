"""The dialect of WeChat Pay, version 3: RSA-SHA256 both ways, notices sealed with AES-256-GCM."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import secrets
import time
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import parse_qs

from steelyard.simulation.channel.clock import local
from steelyard.simulation.channel.desk import Asked, Row, Told
from steelyard.simulation.channel.seals import (
    MCHID,
    WECHAT_APPID,
    Seals,
    rsa_fits,
    rsa_sign,
    seal,
)
from steelyard.simulation.channel.store import Payment, Refund
from steelyard.simulation.channel.wire import Malformed, Reply, Request

_SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
_PART: Final = re.compile(r'(\w+)="([^"]*)"')
_SKEW_SECONDS: Final = 300
_PAYMENT: Final = re.compile(
    r"/v3/pay/transactions/(?:out-trade-no/(\w{6,32})|id/(\w{1,32}))(/close|/reverse)?"
)
_ORDERED: Final = re.compile(r"/v3/pay/transactions/(jsapi|native|app|h5|codepay)")
_REFUNDS: Final = "/v3/refund/domestic/refunds"
_STATES: Final = {
    "waiting": "NOTPAY",
    "processing": "USERPAYING",
    "paid": "SUCCESS",
    "declined": "PAYERROR",
    "closed": "CLOSED",
    "reversed": "REVOKED",
}
_REFUND_STATES: Final = {
    "processing": "PROCESSING",
    "succeeded": "SUCCESS",
    "failed": "CLOSED",
    "abnormal": "ABNORMAL",
    "returned": "ABNORMAL",
}
_WRONG: Final = {
    "not_signed": (401, "SIGN_ERROR", "签名错误"),
    "malformed": (400, "PARAM_ERROR", "参数错误"),
    "not_found": (404, "ORDER_NOT_EXIST", "订单不存在"),
    "payment_not_found": (404, "RESOURCE_NOT_EXISTS", "查询的资源不存在"),
    "number_used": (403, "OUT_TRADE_NO_USED", "商户订单号重复"),
    "paid": (400, "ORDERPAID", "该订单已支付"),
    "close_refused": (202, "USERPAYING", "用户支付中"),
    "payment_not_paid": (403, "INVALID_REQUEST", "订单未支付"),
    "currency_differs": (400, "PARAM_ERROR", "币种不一致"),
    "exceeds": (400, "INVALID_REQUEST", "退款金额大于可退金额"),
    "channel_closed": (503, "BANK_ERROR", "银行系统维护"),
    "no_file": (400, "NO_STATEMENT_EXIST", "账单文件不存在"),
    "insufficient_funds": (403, "NOT_ENOUGH", "余额不足"),
    "limit_exceeded": (403, "RULE_LIMIT", "业务规则限制"),
    "channel_busy": (429, "FREQUENCY_LIMITED", "频率超限"),
}
_OTHER: Final = (403, "TRADE_ERROR", "交易错误")
_COLUMNS: Final = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,"
    "货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,"
    "商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
_TOTALS: Final = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)


class WeChat:
    """Speaks WeChat Pay v3."""

    name: str = "wechat"
    retries: tuple[float, ...] = (
        15.0,
        15.0,
        30.0,
        180.0,
        600.0,
        1_200.0,
        1_800.0,
        1_800.0,
        1_800.0,
        3_600.0,
    )

    def __init__(self, seals: Seals) -> None:
        self._seals = seals
        self._files: dict[str, bytes] = {}

    def is_believed(self, request: Request) -> bool:
        """Whether merchant, serial, time and signature are right."""
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        parts = dict(_PART.findall(rest))
        at = parts.get("timestamp", "")
        known = (MCHID, self._seals.merchant_serial)
        if scheme != _SCHEME or (parts.get("mchid"), parts.get("serial_no")) != known:
            return False
        if not at.isdigit() or abs(time.time() - int(at)) > _SKEW_SECONDS:
            return False
        path = f"{request.path}?{request.query}" if request.query else request.path
        try:
            body = request.body.decode()
        except UnicodeDecodeError:
            return False
        text = f"{request.method}\n{path}\n{at}\n{parts.get('nonce_str', '')}\n{body}\n"
        return rsa_fits(self._seals.wechat_merchant, text, parts.get("signature", ""))

    def read(self, request: Request) -> Asked:
        """Return what is asked for."""
        path, is_post = request.path, request.method == "POST"
        try:
            if path == "/v3/bill/tradebill":
                day = parse_qs(request.query)["bill_date"][0]
                details = {"tar": parse_qs(request.query).get("tar_type", [""])[0]}
                return Asked(verb="statement", on=date.fromisoformat(day), details=details)
            if path == _REFUNDS and is_post:
                return _read_refund(json.loads(request.body))
            if path.startswith(f"{_REFUNDS}/"):
                return Asked(verb="refund_query", number=path[len(_REFUNDS) + 1 :])
            if is_post and (ordered := _ORDERED.fullmatch(path)):
                return _read_pay(json.loads(request.body), ordered[1])
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed from error
        named = _PAYMENT.fullmatch(path)
        if named is None:
            raise Malformed
        number, reference, verb = named[1] or "", named[2] or "", (named[3] or "/query")[1:]
        if (verb == "query") == is_post:
            raise Malformed
        return Asked(verb=verb, number=number, reference=reference, details={"verb": verb})

    def answer(self, request: Request, asked: Asked, told: Told) -> Reply:
        """Return the signed answer."""
        if told.wrong:
            if asked.verb == "refund_query":
                return self.refuse(request, "payment_not_found")
            return self.refuse(request, told.wrong)
        if told.refund is not None:
            assert told.payment is not None
            return self._sign(200, _dump(_refund_out(told.refund, told.payment)))
        payment = told.payment
        assert payment is not None
        if asked.verb == "close":
            return self._sign(204, b"")
        if asked.verb == "reverse":
            return self._sign(
                200, _dump({"mchid": MCHID, "out_trade_no": payment.number, "recall": "N"})
            )
        if asked.verb == "query":
            return self._sign(200, _dump(_payment_out(payment)))
        return self._ordered(request, asked, payment)

    def _ordered(self, request: Request, asked: Asked, payment: Payment) -> Reply:
        if payment.state == "declined":
            return self.refuse(request, payment.code)
        if asked.details["type"] == "codepay":
            if payment.state in ("waiting", "processing"):
                return self._sign(202, _dump({"code": "USERPAYING", "message": "需要用户输入密码"}))
            return self._sign(200, _dump(_payment_out(payment)))
        if payment.state == "closed":
            return self._sign(400, _dump({"code": "ORDER_CLOSED", "message": "订单已关闭"}))
        if payment.state == "paid":
            return self.refuse(request, "paid")
        shown = {
            "native": {"code_url": f"weixin://wxpay/bizpayurl?pr={payment.reference}"},
            "h5": {"h5_url": f"https://wx.example/checkmweb?prepay_id=wx{payment.reference}"},
        }.get(asked.details["type"], {"prepay_id": f"wx{payment.reference}"})
        return self._sign(200, _dump(shown))

    def certificates(self) -> Reply:
        """Return the certificates of the platform, sealed for the merchant."""
        shown = [
            {
                "serial_no": one.serial,
                "effective_time": "2026-01-01T00:00:00+08:00",
                "expire_time": "2031-01-01T00:00:00+08:00",
                "encrypt_certificate": seal(self._seals.apiv3_key, one.certificate, "certificate"),
            }
            for one in self._seals.wechat
        ]
        return self._sign(200, _dump({"data": shown}))

    def file(self, request: Request, content: bytes, tar: str, base: str) -> Reply:
        """Return where a statement can be fetched, and its hash (of the file unpacked)."""
        token = secrets.token_hex(16)
        self._files[token] = gzip.compress(content) if tar == "GZIP" else content
        while len(self._files) > 100:
            self._files.pop(next(iter(self._files)))
        told = {
            "hash_type": "SHA1",
            "hash_value": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
            "download_url": f"{base}/v3/billdownload/file?token={token}",
        }
        return self._sign(200, _dump(told))

    def download(self, token: str) -> bytes | None:
        """Return a file that was offered before."""
        return self._files.get(token)

    def refuse(self, request: Request, wrong: str) -> Reply:
        """Return a signed no."""
        status, code, message = _WRONG.get(wrong, _OTHER)
        detail = {"issue": wrong} if (status, code, message) == _OTHER else None
        shown = {"code": code, "message": message, **({"detail": detail} if detail else {})}
        return self._sign(status, _dump(shown))

    def notice(self, about: Payment | Refund, notice_id: str, *, forged: bool) -> Reply:
        """Return a notice, sealed and signed now."""
        if isinstance(about, Refund):
            state = _REFUND_STATES[about.state]
            event, kind, inner = f"REFUND.{state}", "refund", _refund_told(about)
        else:
            event, kind = "TRANSACTION.SUCCESS", "transaction"
            inner = _payment_out(about)
        sealed = seal(self._seals.apiv3_key, json.dumps(inner, ensure_ascii=False), kind)
        told = {
            "id": notice_id,
            "create_time": local(time.time()).isoformat(timespec="seconds"),
            "resource_type": "encrypt-resource",
            "event_type": event,
            "summary": "支付成功" if kind == "transaction" else "退款结果",
            "resource": {**sealed, "original_type": kind},
        }
        return self._sign(200, _dump(told), forged=forged)

    def was_taken(self, notice_id: str, status: int, body: bytes) -> bool:
        """Whether the merchant answered 204, or 200 with the word for success."""
        if status == 204:
            return True
        try:
            return status == 200 and json.loads(body)["code"] == "SUCCESS"
        except (ValueError, KeyError, TypeError):
            return False

    def statement(self, on: date, rows: list[Row]) -> bytes:
        """Return the trade bill ALL of a day: 27 columns, each value after a backtick."""
        text = io.StringIO()
        text.write(f"\ufeff{_COLUMNS}\r\n")
        writer = csv.writer(text)
        paid = back = asked = fees = 0
        for row in rows:
            if row.kind == "return":
                continue
            is_refund = row.kind == "refund"
            paid += 0 if is_refund else row.amount
            back += row.amount if is_refund else 0
            asked += row.amount if is_refund else 0
            fees += row.fee
            writer.writerow([f"`{value}" for value in _bill_row(row)])
        totals = (len([r for r in rows if r.kind != "return"]), _yuan(paid), _yuan(back), "0.00")
        text.write(f"{_TOTALS}\r\n")
        more = (f"{fees / 100:.5f}", _yuan(paid), _yuan(asked))
        text.write(",".join(f"`{value}" for value in (*totals, *more)) + "\r\n")
        return text.getvalue().encode()

    def _sign(self, status: int, body: bytes, *, forged: bool = False) -> Reply:
        platform = self._seals.wechat[-1]
        at, nonce = str(int(time.time())), secrets.token_hex(16).upper()
        signed = "forged" if forged else body.decode()
        headers = (
            ("Wechatpay-Timestamp", at),
            ("Wechatpay-Nonce", nonce),
            ("Wechatpay-Serial", platform.serial),
            ("Wechatpay-Signature", rsa_sign(platform.key, f"{at}\n{nonce}\n{signed}\n")),
            ("Wechatpay-Signature-Type", _SCHEME),
        )
        return Reply(status, body, headers)


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _yuan(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"


def _read_pay(body: dict[str, Any], kind: str) -> Asked:
    amount, number = body["amount"]["total"], body["out_trade_no"]
    if (body["mchid"], body["appid"]) != (MCHID, WECHAT_APPID) or not isinstance(amount, int):
        raise Malformed
    if amount <= 0 or not re.fullmatch(r"[\w|*-]{6,32}", number):
        raise Malformed
    payer = body.get("payer") or {}
    ends = body.get("time_expire")
    token = payer.get("auth_code") if kind == "codepay" else payer.get("openid")
    return Asked(
        verb="pay",
        number=number,
        amount=amount,
        currency=body["amount"].get("currency", "CNY"),
        way="direct" if kind == "codepay" else {"native": "qr", "h5": "redirect"}.get(kind, "wait"),
        method=kind.upper(),
        subject=body["description"],
        instrument=token or body.get("attach") or "",
        notify_url=body.get("notify_url", ""),
        expires_at=datetime.fromisoformat(ends).timestamp() if ends else 0.0,
        details={"type": kind},
    )


def _read_refund(body: dict[str, Any]) -> Asked:
    return Asked(
        verb="refund",
        number=body["out_refund_no"],
        payment_number=body.get("out_trade_no", ""),
        reference=body.get("transaction_id", ""),
        amount=body["amount"]["refund"],
        currency=body["amount"]["currency"],
        notify_url=body.get("notify_url", ""),
    )


def _payment_out(payment: Payment) -> dict[str, Any]:
    state = "REFUND" if payment.refunded and payment.state == "paid" else _STATES[payment.state]
    out: dict[str, Any] = {
        "appid": WECHAT_APPID,
        "mchid": MCHID,
        "out_trade_no": payment.number,
        "trade_state": state,
        "trade_state_desc": state,
        "trade_type": payment.method,
        "amount": {
            "total": payment.amount,
            "currency": payment.currency,
            "payer_total": payment.amount,
            "payer_currency": payment.currency,
        },
    }
    if payment.state == "declined":
        out["trade_state_desc"] = _WRONG.get(payment.code, _OTHER)[1] + f" {payment.code}"
    if payment.state == "paid":
        out |= {
            "transaction_id": payment.reference,
            "success_time": local(payment.done_at).isoformat(timespec="seconds"),
            "bank_type": "OTHERS",
            "attach": payment.instrument,
            "payer": {"openid": "oUser"},
        }
    return out


def _refund_told(refund: Refund) -> dict[str, Any]:
    """Return a refund as its notice tells it, which is not quite as a query does."""
    return {
        "mchid": MCHID,
        "out_trade_no": refund.payment_number,
        "out_refund_no": refund.number,
        "refund_id": refund.reference,
        "refund_status": _REFUND_STATES[refund.state],
        "success_time": local(refund.done_at).isoformat(timespec="seconds"),
        "user_received_account": "支付用户零钱",
        "amount": {"refund": refund.amount, "payer_refund": refund.amount},
    }


def _refund_out(refund: Refund, payment: Payment) -> dict[str, Any]:
    out: dict[str, Any] = {
        "refund_id": refund.reference,
        "out_refund_no": refund.number,
        "transaction_id": payment.reference,
        "out_trade_no": payment.number,
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": local(refund.created_at).isoformat(timespec="seconds"),
        "status": _REFUND_STATES[refund.state],
        "amount": {
            "total": payment.amount,
            "refund": refund.amount,
            "payer_total": payment.amount,
            "payer_refund": refund.amount,
            "settlement_refund": refund.amount,
            "settlement_total": payment.amount,
            "discount_refund": 0,
            "currency": refund.currency,
        },
    }
    if refund.done_at:
        out["success_time"] = local(refund.done_at).isoformat(timespec="seconds")
    return out


def _bill_row(row: Row) -> tuple[str, ...]:
    is_refund = row.kind == "refund"
    ok = row.status == "succeeded"
    return (
        f"{local(row.at):%Y-%m-%d %H:%M:%S}",
        WECHAT_APPID,
        MCHID,
        "0",
        "",
        row.reference,
        row.payment_number,
        "oUser",
        row.method,
        "REFUND" if is_refund else "SUCCESS" if ok else "REVOKED",
        "OTHERS",
        row.currency,
        "0.00" if is_refund else _yuan(row.amount),
        "0.00",
        row.refund_reference or "0",
        row.number if is_refund else "0",
        _yuan(row.amount) if is_refund else "0.00",
        "0.00",
        "ORIGINAL" if is_refund else "",
        ("SUCCESS" if ok else "FAIL") if is_refund else "",
        row.subject.replace(",", "，"),
        "",
        f"{row.fee / 100:.5f}",
        "0.60%",
        "0.00" if is_refund else _yuan(row.amount),
        _yuan(row.amount) if is_refund else "0.00",
        "",
    )
