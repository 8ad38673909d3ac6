"""The custodian's own statement as CSV: a heading, and a line for each movement."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime
from typing import Final

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

FORM: Final = "custody_csv"
_HEADING: Final = ("H", "account", "currency", "date", "opening", "closing", "lines")
_LINE: Final = 8
_KINDS: Final = {
    "deposit": LineKind.PAYMENT,
    "payout": LineKind.PAYOUT,
    "return": LineKind.RETURN,
    "fee": LineKind.FEE,
}


class CustodyStatementIsUnreadable(Refusal):
    """The file is no statement of the custodian."""

    kind = RefusalKind.INVALID
    en = "Line {line} of the custodian's statement cannot be read: {reason}."
    zh = "存管对账单第 {line} 行无法读取：{reason}。"


def read_statement(content: bytes) -> Statement:
    r"""Read a statement: what it says, whether or not it adds up.

    Refusals
    --------
    custody_statement_is_unreadable

    Examples
    --------
    >>> line = "L,1,deposit,500,D1,,channel:uni,2026-03-02T01:00:00Z"
    >>> read_statement(f"H,R-1,CNY,2026-03-02,0,500,1\n{line}\n".encode()).closing_minor
    500
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CustodyStatementIsUnreadable(line=1, reason=type(error).__name__) from None
    if not rows or len(rows[0]) != len(_HEADING) or rows[0][0] != "H":
        raise CustodyStatementIsUnreadable(line=1, reason="no heading")
    try:
        _, account, currency, on, opening, closing, count = rows[0]
        lines = int(count)
        heading = date.fromisoformat(on), int(opening), int(closing)
    except ValueError:
        raise CustodyStatementIsUnreadable(line=1, reason="heading") from None
    if len(rows) - 1 != lines:
        raise CustodyStatementIsUnreadable(line=len(rows), reason=f"{lines} lines were announced")
    read = tuple(_line(at, row, currency, heading[0]) for at, row in enumerate(rows[1:], start=2))
    return Statement(
        form=FORM,
        account=account,
        currency=currency,
        from_on=heading[0],
        to_on=heading[0],
        lines=read,
        opening_minor=heading[1],
        closing_minor=heading[2],
    )


def _line(at: int, row: list[str], currency: str, on: date) -> StatementLine:
    if len(row) != _LINE or row[0] != "L":
        raise CustodyStatementIsUnreadable(line=at, reason="columns")
    _, no, kind, amount, reference, our_number, counterparty, booked_at = row
    try:
        return StatementLine(
            number=int(no),
            kind=_KINDS.get(kind, LineKind.OTHER),
            amount_minor=int(amount),
            currency=currency,
            booked_on=on,
            reference=reference,
            our_number=our_number,
            booked_at=datetime.fromisoformat(booked_at),
            counterparty=counterparty,
        )
    except ValueError:
        raise CustodyStatementIsUnreadable(line=at, reason="number or instant") from None
