"""What Chinese wallets and banks let a person export: Alipay, WeChat, JD, ICBC, CMB, BOC.

These lists say of themselves that their sums may differ from the lines, so their preambles are no
control totals. A line that is neither income nor outlay (不计收支: between a person's own
pockets, or closed unpaid) moves nothing: its amount is 0, and stands in `more["neutral_amount"]`.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from steelyard.payments.model.statement_refusals import (
    StatementArchiveIsBroken,
    StatementFieldIsMalformed,
    StatementIsCutOff,
    StatementLacks,
)
from steelyard.payments.model.statement_text import (
    CHINA,
    Record,
    Rows,
    business_date,
    day,
    last_day,
    minor_of,
    moment,
    rows_of,
    running,
    span,
)
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

_SPAN: Final = re.compile(r"起始时间：\[([\d\- :]+)\]\s*终止时间：\[([\d\- :]+)\]")
_DAYS: Final = re.compile(r"日期区间：(\d{4}-\d{2}-\d{2}) 至 (\d{4}-\d{2}-\d{2})")
_ACCOUNT: Final = re.compile(
    r"(?:支付宝账户|京东账号名|卡号)\s*[:：]\s*([^\s,，]+)|微信昵称：\[(.+?)\]"
)
_FEE: Final = re.compile(r"服务费[¥￥](\d+(?:\.\d{1,2})?)")
_CURRENCIES: Final = {"人民币": "CNY", "": "CNY", "CNY": "CNY", "美元": "USD", "港币": "HKD"}
_INCOME, _OUTLAY = "收入", "支出"


@dataclass(frozen=True, slots=True)
class _Export:
    """One form: the columns by which it is known, and how a row becomes a line."""

    form: str
    columns: frozenset[str]
    line: Callable[[Record], StatementLine]
    balance: str = ""
    account: str = ""


def knows_export(rows: Rows) -> bool:
    """Tell whether one of the rows is the heading of a known export."""
    return _headed(rows) is not None


def read_export(rows: Rows) -> Statement:
    """Return a personal export.

    Returns
    -------
    Statement
        With balances where every line states the balance after it and these follow from each other;
        a masked or filtered list has none.

    Refusals
    --------
    statement_field_is_malformed, statement_is_cut_off, statement_lacks
    """
    found = _headed(rows)
    assert found is not None
    place, export = found
    names = [cell.strip() for cell in rows[place][1]]
    while names and not names[-1]:
        names.pop()
    records = _records(rows[place + 1 :], names)
    lines = [export.line(record) for record in records]
    preamble = "\n".join(",".join(filter(None, cells)) for _, cells in rows[:place])
    account = _ACCOUNT.search(preamble)
    days = span([*_stated_days(preamble), *(line.booked_on for line in lines)])
    if days is None:
        raise StatementLacks(line=rows[place][0], missing=names[0])
    ends = _ends(export, records, lines)
    accounts = {record.text(export.account) for record in records} if export.account else set()
    return Statement(
        form=export.form,
        account=(account[1] or account[2]) if account else "/".join(sorted(accounts)),
        currency=lines[0].currency if lines else "CNY",
        from_on=days[0],
        to_on=days[1],
        lines=tuple(lines),
        opening_minor=ends[0] if ends else None,
        closing_minor=ends[1] if ends else None,
    )


def csv_rows(text: str) -> Rows:
    """Return the rows of an export as comma-separated text."""
    return rows_of(text)


def workbook_sheets(content: bytes) -> list[Rows]:
    """Return the rows of each sheet of a workbook, as text.

    Refusals
    --------
    statement_archive_is_broken
    """
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        # What openpyxl cannot show (styles, extensions) is nothing that is read here.
        warnings.simplefilter("ignore")
        try:
            book = load_workbook(io.BytesIO(content), data_only=True)
        except Exception as wrong:  # openpyxl lets out whatever its parsers raise
            raise StatementArchiveIsBroken(line=1, found=str(wrong)[:60]) from None
    return [
        [
            (number, [_cell(value) for value in row])
            for number, row in enumerate(sheet.iter_rows(values_only=True), start=1)
        ]
        for sheet in book.worksheets
    ]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    # The shortest digits that name the number are the ones that were typed in.
    return repr(value) if isinstance(value, float) else str(value)


def _headed(rows: Rows) -> tuple[int, _Export] | None:
    for place, (_, cells) in enumerate(rows[:64]):
        names = {cell.strip() for cell in cells}
        for export in _EXPORTS:
            if export.columns <= names:
                return place, export
    return None


def _records(rows: Rows, names: Sequence[str]) -> list[Record]:
    records = []
    for number, cells in rows:
        values = [cell.strip() for cell in cells]
        if not any(values):
            continue
        if values[0].endswith("合计"):
            break
        if len(values) < len(names) and number == rows[-1][0]:
            raise StatementIsCutOff(line=number, missing=names[len(values)])
        if len(values) < len(names) or any(values[len(names) :]):
            raise StatementFieldIsMalformed(
                line=number, field=f"{len(names)} columns", found=",".join(values)[:40]
            )
        records.append(Record(number, dict(zip(names, values, strict=False))))
    return records


def _stated_days(preamble: str) -> list[date]:
    stated = _SPAN.search(preamble)
    if stated is not None:
        return [business_date(moment(stated[1], 1)), last_day(moment(stated[2], 1))]
    days = _DAYS.search(preamble)
    return [day(days[1], 1), day(days[2], 1)] if days is not None else []


def _ends(
    export: _Export, records: Sequence[Record], lines: Sequence[StatementLine]
) -> tuple[int, int] | None:
    texts = [record.text(export.balance) for record in records] if export.balance else []
    if not texts or not all(re.fullmatch(r"-?[\d,]+\.\d{2}", text) for text in texts):
        return None
    balances = [minor_of(r.number(export.balance), "CNY", r.line) for r in records]
    return running([line.amount_minor for line in lines], balances)


def _wallet_line(record: Record, *, amount: Decimal, is_repaid: bool = False) -> StatementLine:
    """Return a line of a wallet, which says income, outlay or neither.

    Parameters
    ----------
    is_repaid : whether it is a payment that was given back whole, in lines of their own
    """
    at = moment(record.text("交易时间"), record.line)
    side = record.text("收/支")
    status = record.text("交易状态", "当前状态")
    kind_text = " ".join((record.text("交易类型", "交易分类"), status))
    is_refund = "退款成功" in status or (side == _INCOME and "退款" in kind_text)
    moves = {_INCOME: amount, _OUTLAY: -amount}
    moved = moves.get(side, amount if is_refund else -amount if is_repaid else Decimal(0))
    fee = _FEE.search(record.text("备注"))
    more = {
        "side": side.strip("/"),
        "neutral_amount": f"{amount:f}" if not moved and amount else "",
        "type": record.text("交易类型", "交易分类"),
        "paid_with": record.text("支付方式", "收/付款方式").strip("/"),
        "note": record.text("备注").strip("/"),
        "account_of_other": record.text("对方账号").strip("/"),
    }
    return StatementLine(
        number=record.line,
        kind=LineKind.REFUND
        if is_refund
        else LineKind.PAYMENT
        if side in moves or is_repaid
        else LineKind.OTHER,
        amount_minor=minor_of(moved, "CNY", record.line),
        currency="CNY",
        booked_on=at.astimezone(CHINA).date(),
        booked_at=at,
        reference=record.text("交易订单号", "交易单号"),
        our_number=record.text("商家订单号", "商户单号").strip("/"),
        fee_minor=minor_of(Decimal(fee[1]), "CNY", record.line) if fee else None,
        status=status,
        counterparty=record.text("交易对方", "商户名称"),
        text=record.text("商品说明", "商品", "交易说明").strip("/"),
        more={name: value for name, value in more.items() if value},
    )


def _alipay(record: Record) -> StatementLine:
    return _wallet_line(record, amount=record.number("金额"))


def _wechat(record: Record) -> StatementLine:
    return _wallet_line(record, amount=record.number("金额(元)"))


def _jd(record: Record) -> StatementLine:
    """`131.77(已退款89.84)` was paid in full; what came back has its own line."""
    paid, _, given_back = record.text("金额").partition("(")
    cells = {**record.cells, "金额": paid}
    amount = Record(record.line, cells).number("金额")
    return _wallet_line(record, amount=amount, is_repaid="全额退款" in given_back)


def _bank_line(record: Record, amount: Decimal, **texts: str) -> StatementLine:
    currency = _CURRENCIES.get(record.text("货币", "币别", "记账币种"))
    if currency is None:
        found = record.text("货币", "币别", "记账币种")
        raise StatementFieldIsMalformed(line=record.line, field="currency", found=found[:40])
    minor = minor_of(amount, currency, record.line)
    clock = record.text("记账时间")
    on = day(record.text("记账日期", "交易日期"), record.line)
    return StatementLine(
        number=record.line,
        kind=LineKind.REFUND
        if "退款" in texts["text"]
        else LineKind.PAYMENT
        if minor >= 0
        else LineKind.PAYOUT,
        amount_minor=minor,
        currency=currency,
        booked_on=on,
        booked_at=moment(f"{on.isoformat()} {clock}", record.line) if clock else None,
        counterparty=texts["counterparty"],
        text=texts["text"],
        more={k: v for k, v in texts.items() if v and k not in ("text", "counterparty")},
    )


def _icbc(record: Record) -> StatementLine:
    income, outlay = (record.number(f"记账金额({side})") for side in (_INCOME, _OUTLAY))
    return _bank_line(
        record,
        income - outlay,
        text=record.text("摘要"),
        counterparty=record.text("对方户名"),
        place=record.text("交易场所"),
    )


def _cmb(record: Record) -> StatementLine:
    return _bank_line(
        record,
        record.number("交易金额"),
        text=record.text("交易摘要"),
        counterparty=record.text("对手信息"),
        note=record.text("客户摘要"),
    )


def _boc(record: Record) -> StatementLine:
    return _bank_line(
        record,
        record.number("金额"),
        text=record.text("交易名称"),
        counterparty=record.text("对方账户名").strip("-"),
        account_of_other=record.text("对方卡号/账号").strip("-"),
        note=record.text("附言").strip("-"),
        way=record.text("渠道"),
    )


_EXPORTS: Final = (
    _Export(
        "alipay_export",
        frozenset({"交易时间", "交易对方", "商品说明", "收/支", "金额", "交易状态", "交易订单号"}),
        _alipay,
    ),
    _Export(
        "wechat_export",
        frozenset({"交易时间", "交易类型", "交易对方", "收/支", "金额(元)", "当前状态"}),
        _wechat,
    ),
    _Export(
        "jd_export",
        frozenset({"交易时间", "商户名称", "交易说明", "金额", "交易状态", "收/支"}),
        _jd,
    ),
    _Export(
        "icbc_export",
        frozenset({"交易日期", "摘要", "记账金额(收入)", "记账金额(支出)", "余额"}),
        _icbc,
        balance="余额",
    ),
    _Export(
        "cmb_export",
        frozenset({"记账日期", "货币", "交易金额", "联机余额", "交易摘要"}),
        _cmb,
        balance="联机余额",
    ),
    _Export(
        "boc_export",
        frozenset({"记账日期", "币别", "金额", "余额", "交易名称"}),
        _boc,
        balance="余额",
        account="借记卡号",
    ),
)
