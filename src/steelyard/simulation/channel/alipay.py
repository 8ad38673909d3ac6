"""The dialect of Alipay: a form signed with RSA2 at `gateway.do`, answers signed as they stand."""

from __future__ import annotations

import csv
import io
import json
import secrets
import struct
import zlib
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from steelyard.simulation.channel.clock import BEIJING, bounds, local
from steelyard.simulation.channel.desk import Asked, Row, Told
from steelyard.simulation.channel.seals import ALIPAY_APP_ID, Seals, rsa_fits, rsa_sign
from steelyard.simulation.channel.store import Payment, Refund
from steelyard.simulation.channel.wire import Malformed, Reply, Request

_VERBS: Final = {
    "alipay.trade.pay": "pay",
    "alipay.trade.precreate": "pay",
    "alipay.trade.query": "query",
    "alipay.trade.refund": "refund",
    "alipay.trade.fastpay.refund.query": "refund_query",
    "alipay.trade.close": "close",
    "alipay.trade.cancel": "reverse",
    "alipay.data.dataservice.bill.downloadurl.query": "statement",
}
_STATES: Final = {
    "waiting": "WAIT_BUYER_PAY",
    "processing": "WAIT_BUYER_PAY",
    "paid": "TRADE_SUCCESS",
    "declined": "TRADE_CLOSED",
    "closed": "TRADE_CLOSED",
    "reversed": "TRADE_CLOSED",
}
_WRONG: Final = {
    "not_signed": ("40002", "isv.invalid-signature", "无效签名"),
    "malformed": ("40004", "ACQ.INVALID_PARAMETER", "参数无效"),
    "not_found": ("40004", "ACQ.TRADE_NOT_EXIST", "交易不存在"),
    "payment_not_found": ("40004", "ACQ.TRADE_NOT_EXIST", "交易不存在"),
    "number_used": ("40004", "ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改"),
    "paid": ("40004", "ACQ.TRADE_STATUS_ERROR", "交易状态不合法"),
    "close_refused": ("40004", "ACQ.REASON_TRADE_STATUS_INVALID", "交易状态异常"),
    "payment_not_paid": ("40004", "ACQ.TRADE_STATUS_ERROR", "交易状态不合法"),
    "currency_differs": ("40004", "ACQ.INVALID_PARAMETER", "参数无效"),
    "exceeds": ("40004", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限"),
    "channel_closed": ("20000", "aop.ACQ.SYSTEM_ERROR", "系统繁忙"),
    "no_file": ("40004", "isp.bill_not_exist", "账单不存在"),
    "insufficient_funds": ("40004", "ACQ.BUYER_BALANCE_NOT_ENOUGH", "买家余额不足"),
    "limit_exceeded": ("40004", "ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR", "买家付款日限额超限"),
    "stolen_card": ("40004", "ACQ.PAYMENT_REQUEST_HAS_RISK", "支付有风险"),
    "suspected_fraud": ("40004", "ACQ.PAYMENT_REQUEST_HAS_RISK", "支付有风险"),
    "not_permitted": ("40004", "ACQ.ACCESS_FORBIDDEN", "没有权限使用该产品"),
    "payer_cancelled": ("40004", "ACQ.PAYMENT_FAIL", "支付失败"),
}
_OTHER: Final = ("40004", "ACQ.PAYMENT_FAIL", "支付失败")
_COLUMNS: Final = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"
    "订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,"
    "券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
_SUMMARY: Final = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,"
    "商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）"
)


class Alipay:
    """Speaks Alipay."""

    name: str = "alipay"
    retries: tuple[float, ...] = (120.0, 600.0, 600.0, 3_600.0, 7_200.0, 21_600.0, 54_000.0)

    def __init__(self, seals: Seals) -> None:
        self._seals = seals
        self._files: dict[str, bytes] = {}

    def is_believed(self, request: Request) -> bool:
        """Whether app and signature are right; an empty parameter is not signed."""
        told = _parameters(request)
        signature = told.pop("sign", "")
        if told.get("app_id") != ALIPAY_APP_ID or told.get("sign_type") != "RSA2":
            return False
        return rsa_fits(self._seals.alipay_app, _joined(told), signature)

    def read(self, request: Request) -> Asked:
        """Return what is asked for."""
        told = _parameters(request)
        method = told.get("method", "")
        if method not in _VERBS:
            raise Malformed
        try:
            content = json.loads(told.get("biz_content", "{}"))
            return _read(method, content, told.get("notify_url", ""))
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed from error

    def answer(self, request: Request, asked: Asked, told: Told) -> Reply:
        """Return the signed answer."""
        method, payment, refund = asked.details["method"], told.payment, told.refund
        if told.wrong == "not_found" and asked.verb == "reverse":
            return self._sign(method, {**_OK, "out_trade_no": asked.number, "retry_flag": "N"})
        if told.wrong == "close_refused" and asked.verb == "reverse":
            return self._sign(method, {**_OK, "out_trade_no": asked.number, "retry_flag": "Y"})
        if told.wrong == "not_found" and asked.verb == "refund_query":
            return self._sign(method, dict(_OK))
        if told.wrong:
            return self._sign(method, _no(told.wrong))
        if refund is not None and payment is not None:
            is_query = asked.verb == "refund_query"
            out = _refund_queried(refund, payment) if is_query else _refund_out(refund, payment)
            return self._sign(method, out)
        assert payment is not None
        names = {"trade_no": payment.reference, "out_trade_no": payment.number}
        if asked.verb == "close":
            return self._sign(method, {**_OK, **names})
        if asked.verb == "reverse":
            action = {"reversed": "refund", "closed": "close"}.get(payment.state)
            said = {"retry_flag": "N", **({"action": action} if action else {})}
            return self._sign(method, {**_OK, **names, **said})
        if asked.verb == "query":
            return self._sign(method, _OK | _trade(payment))
        return self._sign(method, _ordered(method, payment))

    def file(self, request: Request, content: bytes, base: str) -> Reply:
        """Return where a statement can be fetched."""
        token = secrets.token_hex(16)
        self._files[token] = content
        while len(self._files) > 100:
            self._files.pop(next(iter(self._files)))
        method = _parameters(request)["method"]
        url = f"{base}/alipay/bill/download?token={token}"
        return self._sign(method, {**_OK, "bill_download_url": url})

    def download(self, token: str) -> bytes | None:
        """Return a file that was offered before."""
        return self._files.get(token)

    def refuse(self, request: Request, wrong: str) -> Reply:
        """Return a signed no."""
        return self._sign(_parameters(request).get("method", "error"), _no(wrong))

    def notice(self, about: Payment | Refund, notice_id: str, *, forged: bool) -> Reply:
        """Return a notice as a form, signed now."""
        told = {
            "notify_time": f"{datetime.now(BEIJING):%Y-%m-%d %H:%M:%S}",
            "notify_type": "trade_status_sync",
            "notify_id": notice_id,
            "app_id": ALIPAY_APP_ID,
            "auth_app_id": ALIPAY_APP_ID,
            "charset": "utf-8",
            "version": "1.0",
            "sign_type": "RSA2",
            **_told(about),
        }
        signed = {name: value for name, value in told.items() if name != "sign_type"}
        text = "forged" if forged else _joined(signed)
        told["sign"] = rsa_sign(self._seals.alipay[-1], text)
        media = "application/x-www-form-urlencoded; charset=utf-8"
        return Reply(200, urlencode(told).encode(), media=media)

    def was_taken(self, notice_id: str, status: int, body: bytes) -> bool:
        """Whether the merchant answered with the seven letters and nothing else."""
        return status == 200 and body == b"success"

    def statement(self, on: date, rows: list[Row]) -> bytes:
        """Return the business details of a day: a zip of two CSVs in GBK."""
        rows = [row for row in rows if row.kind != "return"]
        stem = f"{ALIPAY_APP_ID}_{on:%Y%m%d}"
        return _zip(
            {
                f"{stem}_业务明细.csv": _details(on, rows),
                f"{stem}_业务明细(汇总).csv": _summary(on, rows),
            }
        )

    def _sign(self, method: str, inner: Mapping[str, Any]) -> Reply:
        text = json.dumps(inner, ensure_ascii=False)
        signature = rsa_sign(self._seals.alipay[-1], text)
        name = f"{method.replace('.', '_')}_response"
        body = f'{{"{name}":{text},"sign":"{signature}"}}'
        return Reply(200, body.encode(), media="text/html; charset=utf-8")


_OK: Final = {"code": "10000", "msg": "Success"}


def _no(wrong: str) -> dict[str, str]:
    code, sub_code, message = _WRONG.get(wrong, _OTHER)
    return {"code": code, "msg": "Business Failed", "sub_code": sub_code, "sub_msg": message}


def _parameters(request: Request) -> dict[str, str]:
    told = dict(parse_qsl(request.query))
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        told |= parse_qsl(request.body.decode("utf-8", "replace"))
    return told


def _joined(told: Mapping[str, str]) -> str:
    """Return what is signed: by name, joined, the empty ones left out."""
    return "&".join(f"{name}={told[name]}" for name in sorted(told) if told[name])


def _yuan(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"


def _fen(yuan: object) -> int:
    text = str(yuan)
    whole, _, cents = text.partition(".")
    if not whole.isdigit() or len(cents) > 2 or (cents and not cents.isdigit()):
        raise ValueError(text)
    return int(whole) * 100 + int(f"{cents:0<2}")


def _read(method: str, content: dict[str, Any], notify_url: str) -> Asked:
    verb, details = _VERBS[method], {"method": method}
    number, reference = content.get("out_trade_no", ""), content.get("trade_no", "")
    if verb == "statement":
        if content["bill_type"] not in ("trade", "signcustomer"):
            raise Malformed
        return Asked(verb=verb, on=date.fromisoformat(content["bill_date"]), details=details)
    if verb == "refund":
        return Asked(
            verb=verb,
            number=content.get("out_request_no") or number,
            payment_number=number,
            reference=reference,
            amount=_fen(content["refund_amount"]),
            notify_url=notify_url,
            details=details,
        )
    if verb == "refund_query":
        return Asked(verb=verb, number=content["out_request_no"], details=details)
    if verb != "pay":
        return Asked(verb=verb, number=number, reference=reference, details=details)
    amount = _fen(content["total_amount"])
    if not number or amount <= 0:
        raise Malformed
    is_direct = method == "alipay.trade.pay"
    if is_direct and not content["auth_code"]:
        raise Malformed
    ends = content.get("time_expire")
    return Asked(
        verb=verb,
        number=number,
        amount=amount,
        way="direct" if is_direct else "qr",
        method="SCAN" if is_direct else "PRECREATE",
        subject=content["subject"],
        instrument=content.get("auth_code", "") or content.get("body", ""),
        notify_url=notify_url,
        expires_at=_instant(ends) if ends else 0.0,
        details=details,
    )


def _instant(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING).timestamp()


def _time(at: float) -> str:
    return f"{local(at):%Y-%m-%d %H:%M:%S}"


def _trade(payment: Payment) -> dict[str, str]:
    state = _STATES[payment.state]
    if payment.state == "paid" and payment.refunded == payment.amount:
        state = "TRADE_CLOSED"
    out = {
        "trade_no": payment.reference,
        "out_trade_no": payment.number,
        "trade_status": state,
        "total_amount": _yuan(payment.amount),
        "buyer_logon_id": "138****0000",
    }
    if payment.state in ("paid", "reversed"):
        out["receipt_amount"] = _yuan(payment.amount)
        out["send_pay_date"] = _time(payment.done_at)
    return out


def _ordered(method: str, payment: Payment) -> dict[str, str]:
    if payment.state == "declined":
        return _no(payment.code)
    if method == "alipay.trade.precreate":
        if payment.state == "paid":
            return {**_no(""), "sub_code": "ACQ.TRADE_HAS_SUCCESS", "sub_msg": "交易已被支付"}
        if payment.state != "waiting":
            return {**_no(""), "sub_code": "ACQ.TRADE_HAS_CLOSE", "sub_msg": "交易已经关闭"}
        url = f"https://qr.example/{payment.reference}"
        return {**_OK, "out_trade_no": payment.number, "qr_code": url}
    if payment.state in ("waiting", "processing"):
        return {"code": "10003", "msg": "order success pay inprocess", **_trade(payment)}
    if payment.state != "paid":
        return {**_no(""), "sub_code": "ACQ.TRADE_HAS_CLOSE", "sub_msg": "交易已经关闭"}
    out = _OK | _trade(payment)
    del out["trade_status"], out["send_pay_date"]
    return {**out, "gmt_payment": _time(payment.done_at)}


def _refund_out(refund: Refund, payment: Payment) -> dict[str, str]:
    """Return a refund as it was asked for; `refund_fee` is the sum of all refunds of the trade."""
    return {
        **_OK,
        "trade_no": payment.reference,
        "out_trade_no": payment.number,
        "fund_change": "Y" if refund.state == "succeeded" else "N",
        "refund_fee": _yuan(payment.refunded),
        "send_back_fee": _yuan(refund.amount),
    }


def _refund_queried(refund: Refund, payment: Payment) -> dict[str, str]:
    """Return a refund as a query shows it; a status stands there of a success only."""
    out = {
        **_OK,
        "trade_no": payment.reference,
        "out_trade_no": payment.number,
        "out_request_no": refund.number,
        "total_amount": _yuan(payment.amount),
        "refund_amount": _yuan(refund.amount),
    }
    if refund.state == "succeeded":
        out["refund_status"] = "REFUND_SUCCESS"
        out["gmt_refund_pay"] = _time(refund.done_at)
    elif refund.state in ("failed", "returned"):
        out["refund_status"] = "REFUND_FAIL"
    return out


def _told(about: Payment | Refund) -> dict[str, str]:
    if isinstance(about, Refund):
        return {
            "trade_no": about.reference,
            "out_trade_no": about.payment_number,
            "out_biz_no": about.number,
            "trade_status": "TRADE_SUCCESS" if about.state == "succeeded" else "TRADE_CLOSED",
            "refund_fee": _yuan(about.amount),
            "gmt_refund": _time(about.done_at),
        }
    out = {
        "trade_no": about.reference,
        "out_trade_no": about.number,
        "trade_status": _STATES[about.state],
        "total_amount": _yuan(about.amount),
        "gmt_create": _time(about.created_at),
    }
    if about.state == "paid":
        out |= {"receipt_amount": _yuan(about.amount), "gmt_payment": _time(about.done_at)}
    return out


def _details(on: date, rows: list[Row]) -> bytes:
    begin, end = bounds(on)
    text = io.StringIO()
    span = f"#起始日期：[{_day(begin)}]   终止日期：[{_day(end)}]"
    rule = "#-----------------------------------------业务明细列表"
    for line in (
        "#支付宝业务明细查询",
        f"#账号：[{ALIPAY_APP_ID}0156]",
        span,
        f"{rule}----------------------------------------",
        _COLUMNS,
    ):
        text.write(f"{line}\r\n")
    writer = csv.writer(text)
    for row in rows:
        writer.writerow(_detail(row))
    paid = [row.amount for row in rows if row.kind == "payment"]
    back = [row.amount for row in rows if row.kind == "refund"]
    for line in (
        f"{rule}结束------------------------------------",
        f"#交易合计：{len(paid)}笔，商家实收共{_yuan(sum(paid))}元，商家优惠共0.00元",
        f"#退款合计：{len(back)}笔，商家实收退款共{_yuan(-sum(back))}元，商家优惠退款共0.00元",
        f"#导出时间：[{_day(end)}]",
    ):
        text.write(f"{line}\r\n")
    return text.getvalue().encode("gbk", "replace")


def _day(at: float) -> str:
    return f"{local(at):%Y年%m月%d日 %H:%M:%S}"


def _detail(row: Row) -> tuple[str, ...]:
    is_refund = row.kind == "refund"
    amount = _yuan(-row.amount if is_refund else row.amount)
    kind = "退款" if is_refund else "交易" if row.status == "succeeded" else "交易关闭"
    return (
        f"{row.reference}\t",
        f"{row.payment_number}\t",
        kind,
        row.subject.replace(",", "，"),
        _time(row.created_at),
        _time(row.at),
        *("\t",) * 4,
        "*三(138****0000)\t",
        amount,
        amount,
        *("0.00",) * 5,
        "",
        "0.00\t",
        "0.00\t",
        f"{row.number if is_refund else ''}\t",
        _yuan(-row.fee),
        "0.00",
        "",
    )


def _summary(on: date, rows: list[Row]) -> bytes:
    begin, end = bounds(on)
    paid = sum(row.amount for row in rows if row.kind == "payment")
    back = sum(row.amount for row in rows if row.kind == "refund")
    fees = -sum(row.fee for row in rows)
    counts = [sum(row.kind == kind for row in rows) for kind in ("payment", "refund")]
    net = _yuan(paid - back)
    cells = ("合计\t", "\t", *map(str, counts), net, net, *("0.00",) * 3, _yuan(fees), "0.00")
    lines = (
        "#支付宝业务汇总查询",
        f"#账号：[{ALIPAY_APP_ID}0156]",
        f"#起始日期：[{_day(begin)}]   终止日期：[{_day(end)}]",
        "#-----------------------------------------业务汇总列表----------------------------------",
        _SUMMARY,
        ",".join((*cells, _yuan(paid - back + fees))),
        "#-----------------------------------------业务汇总列表结束------------------------------",
    )
    return "".join(f"{line}\r\n" for line in lines).encode("gbk", "replace")


def _zip(files: Mapping[str, bytes]) -> bytes:
    """Return a zip whose names are GBK without the flag for UTF-8, which `zipfile` never writes."""
    body, index = b"", b""
    stamp = (0, 0x21)
    for title, content in files.items():
        name, crc = title.encode("gbk"), zlib.crc32(content)
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(content) + packer.flush()
        common = struct.pack(
            "<HHHHHIIIHH", 20, 0, 8, *stamp, crc, len(packed), len(content), len(name), 0
        )
        index += b"PK\x01\x02" + struct.pack("<H", 20) + common
        index += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\x03\x04" + common + name + packed
    count = len(files)
    tail = struct.pack("<HHHHIIH", 0, 0, count, count, len(index), len(body), 0)
    return body + index + b"PK\x05\x06" + tail
