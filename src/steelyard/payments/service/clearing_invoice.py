"""The fee invoice of a merchant and month, as lines and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import sqlalchemy as sa

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.orders import Mode
from steelyard.payments.store import clearing as table

__all__ = ["FeeInvoice", "InvoiceLine", "MonthIsMalformed", "invoice", "to_csv"]


class MonthIsMalformed(Refusal):
    """A month is written 2026-03."""

    kind = RefusalKind.INVALID
    en = "{month} is not a month; write it as 2026-03."
    zh = "{month} 不是有效月份；请写成 2026-03。"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """Fees of a day, by channel, method and plan; a correction names who approved it as its plan.

    Attributes
    ----------
    payments : how many were charged; amount_minor : what they were of
    fee_minor : charged, below zero given back
    """

    on: date
    channel: str
    currency: str
    method: str
    plan: str
    payments: int
    amount_minor: int
    fee_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeInvoice:
    """What a merchant was charged in a month.

    Attributes
    ----------
    fee_minor : by currency, the sum of the lines
    """

    merchant: UUID
    mode: Mode
    month: str
    lines: tuple[InvoiceLine, ...]
    fee_minor: dict[str, int]


def invoice(connection: sa.Connection, merchant: UUID, mode: Mode, month: str) -> FeeInvoice:
    """Return what a merchant was charged for the clearing days of a month.

    Corrections stand in the month in which they were made: an invoice that went out never changes.

    Refusals
    --------
    month_is_malformed
    """
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        raise MonthIsMalformed(month=month[:20]) from None
    after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    lines = tuple(
        InvoiceLine(
            on=row.on_day,
            channel=row.channel,
            currency=row.currency,
            method=row.method,
            plan=row.plan,
            payments=row.payments,
            amount_minor=row.amount_minor,
            fee_minor=row.fee_minor,
        )
        for row in table.invoice_lines(connection, merchant, mode, first, after)
    )
    fees: dict[str, int] = {}
    for line in lines:
        fees[line.currency] = fees.get(line.currency, 0) + line.fee_minor
    return FeeInvoice(merchant=merchant, mode=mode, month=month, lines=lines, fee_minor=fees)


def to_csv(made: FeeInvoice) -> str:
    """Return an invoice as CSV, amounts in minor units, the sums at the end."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\r\n").writerow
    names = ("day", "channel", "method", "plan", "currency", "payments", "amount", "fee")
    write(names)
    for line in made.lines:
        told = (line.on, line.channel, line.method, line.plan, line.currency)
        write((*told, line.payments, line.amount_minor, line.fee_minor))
    for currency, fee in sorted(made.fee_minor.items()):
        write(("total", "", "", "", currency, "", "", fee))
    return out.getvalue()
