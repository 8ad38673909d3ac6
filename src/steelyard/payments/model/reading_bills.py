"""Bills of Chinese wallets for merchants: WeChat Pay (v2 and v3), Alipay business detail.

Amounts are what the merchant gets before fees: of an order with a coupon that the merchant pays,
less than the order (`more["order_amount"]`). Control totals at the end of a bill are checked on the
numbers as they are written, with every decimal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from steelyard.payments.model.statement_refusals import (
    StatementFieldIsMalformed,
    StatementIsCutOff,
    StatementLacks,
    StatementTotalsDiffer,
)
from steelyard.payments.model.statement_text import (
    Record,
    business_date,
    exponent_of,
    last_day,
    minor_of,
    moment,
    rows_of,
    span,
)
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

_WECHAT_HEAD: Final = ("交易时间", "公众账号ID", "商户号")
_WECHAT_END: Final = "总交易单数"
_SETTLED: Final = ("应结订单金额", "总金额")
_REFUNDED: Final = ("退款金额",)
_FEE: Final = ("手续费",)
# The totals of both versions, and the columns that they are totals of.
_WECHAT_TOTALS: Final[Mapping[str, tuple[str, ...]]] = {
    "应结订单总金额": _SETTLED,
    "总交易额": _SETTLED,
    "退款总金额": _REFUNDED,
    "总退款金额": _REFUNDED,
    "充值券退款总金额": ("充值券退款金额", "企业红包退款金额", "代金券或立减优惠退款金额"),
    "总企业红包退款金额": ("企业红包退款金额", "充值券退款金额"),
    "总代金券或立减优惠退款金额": ("代金券或立减优惠退款金额", "充值券退款金额"),
    "手续费总金额": _FEE,
    "订单总金额": ("订单金额",),
    "申请退款总金额": ("申请退款金额",),
}
_ALIPAY_HEAD: Final = "支付宝交易号"
_ALIPAY_END: Final = "#支付宝业务明细列表结束"
_ALIPAY_TOTAL: Final = re.compile(
    r"#(交易|退款)合计：(\d+)笔，商家实收(?:退款)?共(-?[\d.]+)元(?:，商家优惠(?:退款)?共(-?[\d.]+)元)?"
)
_ALIPAY_SPAN: Final = re.compile(
    r"起始日期：\[(\d+)年(\d+)月(\d+)日 ([\d:]+)\].*终止日期：\[(\d+)年(\d+)月(\d+)日 ([\d:]+)\]"
)
_ALIPAY_ACCOUNT: Final = re.compile(r"#账号：\[(.+?)\]")
_DAY_IN_NAME: Final = re.compile(r"(20\d{2})[-_]?(\d{2})[-_]?(\d{2})")


def knows_wechat(text: str) -> bool:
    """Tell whether the first line is the heading of a trade bill of WeChat Pay."""
    return text.startswith(_WECHAT_HEAD[0]) and text.split(",", 3)[:3] == list(_WECHAT_HEAD)


def knows_alipay(text: str) -> bool:
    """Tell whether it is Alipay's business detail or its summary."""
    return text.startswith(("#支付宝业务明细查询", "#支付宝业务汇总查询"))


def is_alipay_summary(text: str) -> bool:
    """Tell the summary, which has no lines of its own, from the detail."""
    return text.startswith("#支付宝业务汇总查询")


def read_wechat(text: str, name: str) -> Statement:
    """Return a trade bill of WeChat Pay: 27 columns (v3) or 24 (v2), or fewer by its kind.

    A refund is a line of its own; `our_number` is then the refund's and `more["payment_number"]`
    the payment's. Fees are rounded to the fen half up, as they are taken; the number as written
    stands in `more["fee"]` where it is finer. A bill without lines has its day from the file name.

    Refusals
    --------
    statement_is_cut_off, statement_field_is_malformed, statement_totals_differ, statement_lacks
    """
    lines = text.rstrip("\n").split("\n")
    names = lines[0].split(",")
    end = next((n for n, line in enumerate(lines) if line.startswith(_WECHAT_END)), None)
    records = []
    for number, line in enumerate(lines[1:end], start=2):
        if not line.strip():
            continue
        cells = _cells(line)
        if len(cells) != len(names):
            if end is None and number == len(lines):
                raise StatementIsCutOff(line=number, missing=_WECHAT_END)
            raise StatementFieldIsMalformed(
                line=number, field=f"{len(names)} columns", found=line[:40]
            )
        records.append(Record(number, dict(zip(names, cells, strict=True))))
    if end is None:
        raise StatementIsCutOff(line=len(lines), missing=_WECHAT_END)
    _check_wechat(lines, end, records)
    made = tuple(_wechat_line(record) for record in records)
    days = span(line.booked_on for line in made) or _named_day(name, end + 1)
    currencies = {line.currency for line in made} or {"CNY"}
    if len(currencies) > 1:
        found = " ".join(sorted(currencies))
        raise StatementFieldIsMalformed(line=2, field="货币种类", found=found)
    return Statement(
        form="wechat_bill",
        account=records[0].text("商户号") if records else "",
        currency=currencies.pop(),
        from_on=days[0],
        to_on=days[1],
        lines=made,
    )


def read_alipay(text: str) -> Statement:
    """Return the business detail of Alipay.

    The booking is the time at which a trade was finished, on the clock of China; when it was
    created stands in `more["created_at"]`, and a trade around midnight has two days.

    Refusals
    --------
    statement_is_cut_off, statement_field_is_malformed, statement_totals_differ, statement_lacks
    """
    rows = [(number, [c.strip() for c in cells]) for number, cells in rows_of(text)]
    head = next((n for n, (_, c) in enumerate(rows) if c and c[0] == _ALIPAY_HEAD), None)
    if head is None:
        raise StatementLacks(line=1, missing=_ALIPAY_HEAD)
    names = rows[head][1]
    records = []
    for number, cells in rows[head + 1 :]:
        if not cells or cells[0].startswith("#"):
            break
        if len(cells) != len(names):
            if number == rows[-1][0]:
                raise StatementIsCutOff(line=number, missing=_ALIPAY_END)
            raise StatementFieldIsMalformed(
                line=number, field=f"{len(names)} columns", found=",".join(cells)[:40]
            )
        records.append(Record(number, dict(zip(names, cells, strict=True))))
    _check_alipay(text, records)
    lines = tuple(_alipay_line(record) for record in records)
    account = _ALIPAY_ACCOUNT.search(text)
    if account is None:
        raise StatementLacks(line=2, missing="#账号")
    stated = _ALIPAY_SPAN.search(text)
    if stated is None:
        raise StatementLacks(line=3, missing="#起始日期")
    year, month, on, at = stated.groups()[:4]
    ends = "{}-{:0>2}-{:0>2} {}".format(*stated.groups()[4:])
    return Statement(
        form="alipay_bill",
        account=account[1],
        currency="CNY",
        from_on=business_date(moment(f"{year}-{month:0>2}-{on:0>2} {at}", 3)),
        to_on=last_day(moment(ends, 3)),
        lines=lines,
    )


def check_alipay_summary(text: str, detail: Statement) -> None:
    """Compare the summary that comes with a business detail, by shops, with the detail's lines.

    Refusals
    --------
    statement_totals_differ, statement_lacks
    """
    rows = [(n, [c.strip() for c in cells]) for n, cells in rows_of(text)]
    head = next((c for _, c in rows if "商家实收（元）" in c), None)
    total = next(((n, c) for n, c in rows if c and c[0] == "合计"), None)
    if head is None or total is None or len(total[1]) != len(head):
        raise StatementLacks(line=rows[-1][0] if rows else 1, missing="合计")
    record = Record(total[0], dict(zip(head, total[1], strict=True)))
    kinds = [line.kind for line in detail.lines]
    _compare(record, "交易订单总笔数", Decimal(kinds.count(LineKind.PAYMENT)))
    _compare(record, "退款订单总笔数", Decimal(kinds.count(LineKind.REFUND)))
    amounts = sum(line.amount_minor for line in detail.lines)
    fees = sum(line.fee_minor or 0 for line in detail.lines)
    _compare(record, "商家实收（元）", Decimal(amounts).scaleb(-2))
    _compare(record, "服务费（元）", Decimal(-fees).scaleb(-2))


def _compare(record: Record, name: str, counted: Decimal) -> None:
    if not record.text(name):
        return
    if record.number(name) != counted:
        raise StatementTotalsDiffer(
            line=record.line, total=name, stated=record.text(name), counted=f"{counted:f}"
        )


def _check_wechat(lines: Sequence[str], end: int, records: Sequence[Record]) -> None:
    names = lines[end].split(",")
    if end + 1 >= len(lines):
        raise StatementIsCutOff(line=end + 1, missing=",".join(names))
    values = _cells(lines[end + 1])
    if len(values) != len(names):
        raise StatementIsCutOff(line=end + 2, missing=names[min(len(values), len(names) - 1)])
    stated = Record(end + 2, dict(zip(names, values, strict=True)))
    _compare(stated, _WECHAT_END, Decimal(len(records)))
    for name in names[1:]:
        columns = _WECHAT_TOTALS.get(name)
        if columns is None:
            raise StatementFieldIsMalformed(line=end + 1, field=_WECHAT_END, found=name[:40])
        _compare(stated, name, sum((r.number(*columns) for r in records), Decimal(0)))


def _cells(line: str) -> list[str]:
    """Return the values of a line; some writers quote a value, and its mark with it."""
    if '"`' in line:
        return [cell.removeprefix("`").strip() for cell in rows_of(line)[0][1]]
    return [cell.strip() for cell in line.removeprefix("`").split(",`")]


def _wechat_line(record: Record) -> StatementLine:
    at = moment(record.text("交易时间"), record.line)
    currency = record.text("货币种类") or "CNY"
    places = exponent_of(currency, record.line)
    status = record.text("交易状态")
    refund = (_number(record.text("商户退款单号")), record.text("微信退款单号"))
    is_refund = status == "REFUND" or bool(refund[0])
    amount = record.number(*(_REFUNDED if is_refund else _SETTLED), places=places)
    exact = record.number(*_FEE)
    fee = exact.scaleb(places).quantize(Decimal(1), ROUND_HALF_UP)
    payment = (record.text("商户订单号"), record.text("微信订单号"))
    ours, theirs = refund if is_refund else payment
    more = {
        "payment_number": payment[0] if is_refund else "",
        "payment_reference": payment[1] if is_refund else "",
        "order_amount": record.text("订单金额", "总金额"),
        "coupon": record.text("代金券金额", "企业红包金额"),
        "fee": "" if fee.scaleb(-places) == exact else f"{exact:f}",
        "rate": record.text("费率"),
        "trade_type": record.text("交易类型"),
        "sub_merchant": _number(record.text("特约商户号", "子商户号")),
        "attach": record.text("商户数据包"),
    }
    return StatementLine(
        number=record.line,
        kind=LineKind.REFUND if is_refund else LineKind.PAYMENT,
        amount_minor=(-1 if is_refund else 1) * minor_of(amount, currency, record.line),
        currency=currency,
        booked_on=business_date(at),
        booked_at=at,
        reference=theirs,
        our_number=ours,
        fee_minor=int(fee),
        is_reversal=is_refund and status == "REVOKED",
        status=(record.text("退款状态") or status) if is_refund else status,
        counterparty=record.text("用户标识"),
        text=record.text("商品名称"),
        more={name: value for name, value in more.items() if value},
    )


def _number(text: str) -> str:
    """Return a number of the merchant's; `0` stands where there is none."""
    return "" if text == "0" else text


def _check_alipay(text: str, records: Sequence[Record]) -> None:
    totals = list(_ALIPAY_TOTAL.finditer(text))
    if {match[1] for match in totals} != {"交易", "退款"}:
        raise StatementIsCutOff(line=text.rstrip("\n").count("\n") + 1, missing="#退款合计")
    for match in totals:
        line = text[: match.start()].count("\n") + 1
        own = [r for r in records if ("退" in r.text("业务类型")) == (match[1] == "退款")]
        sums = [
            sum((r.number(name, places=2) for r in own), Decimal(0))
            for name in ("商家实收（元）", "商家优惠（元）")
        ]
        for name, stated, counted in (
            ("笔数", match[2], Decimal(len(own))),
            ("商家实收", match[3], sums[0]),
            ("商家优惠", match[4], sums[1]),
        ):
            if stated is not None and Decimal(stated) != counted:
                raise StatementTotalsDiffer(
                    line=line, total=f"{match[1]}{name}", stated=stated, counted=f"{counted:f}"
                )


def _alipay_line(record: Record) -> StatementLine:
    at = moment(record.text("完成时间"), record.line)
    is_refund = "退" in record.text("业务类型")
    amount = record.number("商家实收（元）", places=2)
    fee = -record.number("服务费（元）", places=2)
    payment = record.text("商户订单号")
    share = record.number("分润（元）")
    more = {
        "payment_number": payment if is_refund else "",
        "order_amount": record.text("订单金额（元）"),
        "created_at": moment(record.text("创建时间"), record.line).isoformat(),
        "share": f"{share:f}" if share else "",
        "shop": record.text("门店编号"),
        "note": record.text("备注"),
    }
    return StatementLine(
        number=record.line,
        kind=LineKind.REFUND if is_refund else LineKind.PAYMENT,
        amount_minor=minor_of(amount, "CNY", record.line),
        currency="CNY",
        booked_on=business_date(at),
        booked_at=at,
        reference=record.text("支付宝交易号"),
        our_number=record.text("退款批次号/请求号") if is_refund else payment,
        fee_minor=minor_of(fee, "CNY", record.line),
        status=record.text("业务类型"),
        counterparty=record.text("对方账户"),
        text=record.text("商品名称"),
        more={name: value for name, value in more.items() if value},
    )


def _named_day(name: str, line: int) -> tuple[date, date]:
    """Return the day that the name of a bill without lines gives."""
    match = _DAY_IN_NAME.search(name)
    if match is None:
        raise StatementLacks(line=line, missing="交易时间")
    try:
        on = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        raise StatementLacks(line=line, missing="交易时间") from None
    return on, on
