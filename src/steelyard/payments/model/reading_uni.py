"""The statement of a `uni` channel: a header, rows, a trailer with control totals and a hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from steelyard.payments.model.statement_refusals import (
    StatementFieldIsMalformed,
    StatementIsCutOff,
    StatementSealIsBroken,
    StatementTotalsDiffer,
)
from steelyard.payments.model.statement_text import (
    Record,
    business_date,
    day,
    exponent_of,
    moment,
    rows_of,
)
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

_HEAD: Final = "H,uni.statement.1,"
_FIELDS: Final = (
    "number",
    "payment_number",
    "reference",
    "kind",
    "amount",
    "currency",
    "fee",
    "status",
    "booked_at",
)
_KINDS: Final = {
    "payment": LineKind.PAYMENT,
    "refund": LineKind.REFUND,
    "return": LineKind.RETURN,
}
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


def knows_uni(text: str) -> bool:
    """Tell by the header line."""
    return text.startswith(_HEAD)


def read_uni(text: str) -> tuple[Statement, ...]:
    """Return the statement of a day, one for each currency in it; CNY where there are no rows.

    Refusals
    --------
    statement_is_cut_off : no trailer
    statement_seal_is_broken : the hash is not that of the rows
    statement_totals_differ, statement_field_is_malformed
    """
    head, _, rest = text.partition("\n")
    body, trailer, line = _trailer(rest)
    cells = head.split(",")
    if len(cells) != 5:
        raise StatementFieldIsMalformed(line=1, field="H", found=head[:40])
    account, on = cells[2], day(cells[3], 1)
    try:
        zone = ZoneInfo(cells[4])
    except (ZoneInfoNotFoundError, ValueError):
        raise StatementFieldIsMalformed(line=1, field="timezone", found=cells[4][:40]) from None
    if hashlib.sha256(body.encode()).hexdigest() != trailer[4]:
        raise StatementSealIsBroken(line=line, seal="SHA-256")
    lines = _lines(body, zone)
    _check(trailer, line, lines)
    currencies = sorted({found.currency for found in lines}) or ["CNY"]
    return tuple(_statement(account, on, currency, lines) for currency in currencies)


def _trailer(rest: str) -> tuple[str, list[str], int]:
    """Return the rows as they were hashed, the trailer, and the line of it."""
    whole = rest.rstrip("\n")
    start = whole.rfind("\n") + 1
    line = whole.count("\n") + 2
    trailer = whole[start:].split(",")
    if trailer[0] != "T" or len(trailer) != 5:
        raise StatementIsCutOff(line=line, missing="T")
    return whole[:start], trailer, line


def _lines(body: str, zone: ZoneInfo) -> list[StatementLine]:
    rows = rows_of(body)
    if not rows or tuple(rows[0][1]) != _FIELDS:
        raise StatementFieldIsMalformed(line=2, field=",".join(_FIELDS)[:40], found=body[:40])
    lines = []
    for number, cells in rows[1:]:
        if len(cells) != len(_FIELDS):
            raise StatementFieldIsMalformed(
                line=number + 1, field=f"{len(_FIELDS)} columns", found=",".join(cells)[:40]
            )
        lines.append(_line(Record(number + 1, dict(zip(_FIELDS, cells, strict=True))), zone))
    return lines


def _line(record: Record, zone: ZoneInfo) -> StatementLine:
    at = moment(record.text("booked_at"), record.line, zone=zone)
    kind = _KINDS.get(record.text("kind"), LineKind.OTHER)
    currency = record.text("currency")
    exponent_of(currency, record.line)
    is_payment = kind is LineKind.PAYMENT
    return StatementLine(
        number=record.line,
        kind=kind,
        amount_minor=_whole(record, "amount"),
        currency=currency,
        booked_on=business_date(at, zone),
        booked_at=at,
        reference=record.text("reference"),
        our_number=record.text("number"),
        fee_minor=_whole(record, "fee"),
        status=record.text("status"),
        more={} if is_payment else {"payment_number": record.text("payment_number")},
    )


def _whole(record: Record, name: str) -> int:
    text = record.text(name)
    if not _WHOLE.fullmatch(text):
        raise StatementFieldIsMalformed(line=record.line, field=name, found=text[:40])
    return int(text)


def _check(trailer: Sequence[str], line: int, lines: Sequence[StatementLine]) -> None:
    counted = (
        ("count", trailer[1], str(len(lines))),
        ("amount", trailer[2], _totals({x.currency: 0 for x in lines}, lines, is_fee=False)),
        ("fee", trailer[3], _totals({x.currency: 0 for x in lines}, lines, is_fee=True)),
    )
    for name, stated, made in counted:
        if stated != made:
            raise StatementTotalsDiffer(line=line, total=name, stated=stated, counted=made)


def _totals(sums: dict[str, int], lines: Sequence[StatementLine], *, is_fee: bool) -> str:
    for line in lines:
        sums[line.currency] += (line.fee_minor or 0) if is_fee else line.amount_minor
    return ";".join(f"{currency}:{sums[currency]}" for currency in sorted(sums))


def _statement(account: str, on: date, currency: str, lines: Sequence[StatementLine]) -> Statement:
    return Statement(
        form="uni",
        account=account,
        currency=currency,
        from_on=on,
        to_on=on,
        lines=tuple(line for line in lines if line.currency == currency),
    )
