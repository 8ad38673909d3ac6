"""The monthly file for the bureau: one row a loan, with control totals, and what it once said."""

from __future__ import annotations

import hashlib
import re
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

MONTHS: Final = 24
NOT_OPENED: Final = "/"
_PERIOD = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
STATUSES: Final = frozenset("N1234567CG#*")
"""What a month of the history can be corrected to."""


class PeriodIsMalformed(Refusal):
    """A reporting period is a month that is over."""

    kind = RefusalKind.INVALID
    en = "{period} is no month that is over (YYYY-MM)."
    zh = "{period} 不是已结束的月份（YYYY-MM）。"


class ReportingFileExists(Refusal):
    """A month is reported once; what was wrong is corrected in the next file."""

    kind = RefusalKind.CONFLICT
    en = "The reporting file of {period} was made at {made_at}."
    zh = "{period} 的报送文件已于 {made_at} 生成。"


class ReportingFileIsUnknown(Refusal):
    """No file was made for the period."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no reporting file of {period}."
    zh = "没有 {period} 的报送文件。"


class CorrectionIsMalformed(Refusal):
    """A correction names a month of the history and a status that a month can have."""

    kind = RefusalKind.INVALID
    en = "{month} cannot be corrected to {status}."
    zh = "{month} 无法更正为 {status}。"


class RowKind(StrEnum):
    """What a row is to the bureau."""

    NORMAL = "normal"
    CORRECTION = "correction"
    """Its history replaces what was reported before."""
    DELETE = "delete"
    """The account never was the customer's: it is to be forgotten."""


class AccountState(StrEnum):
    """Where an account stands at the end of a month."""

    OPEN = "open"
    OVERDUE = "overdue"
    WRITTEN_OFF = "written_off"
    CLOSED = "closed"
    SOLD = "sold"


@dataclass(frozen=True, slots=True)
class Due:
    """An instalment: when it was due and when nothing was left of it; None while something is."""

    due_on: date
    paid_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A loan as the bureau is told of it; amounts in minor units.

    Attributes
    ----------
    dues : its instalments
    ended_on : when it was paid, sold or given up; None while it is open
    reported : state that the last file told; None where none did
    """

    nr: int
    customer: UUID
    opened_on: date
    currency: str
    state: AccountState
    amount_minor: int
    balance_minor: int
    overdue_minor: int
    dpd: int
    category: int
    dues: tuple[Due, ...]
    ended_on: date | None = None
    is_disputed: bool = False
    reported: AccountState | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """What was found wrong about an account.

    Attributes
    ----------
    month : YYYY-MM whose status it sets; None: the account is deleted
    is_new : not told to the bureau by an earlier file
    """

    nr: int
    month: str | None
    status: str | None
    is_new: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One row of a file.

    Attributes
    ----------
    history : a character a month, the newest last: `/` not opened, `*` nothing was due, `N` paid,
        `1` to `7` up to 30, 60, ... and over 180 days late, `C` closed, `G` ended otherwise, `#`
        not known. These are the marks of the 24-month record of the People's Bank's first credit
        report
    """

    kind: RowKind
    nr: int
    customer: UUID
    opened_on: date
    currency: str
    state: AccountState
    amount_minor: int
    balance_minor: int
    overdue_minor: int
    dpd: int
    category: int
    history: str
    is_disputed: bool

    @property
    def account(self) -> str:
        """The number by which the bureau knows the loan."""
        return f"L{self.nr}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFile:
    """The file of a month.

    Attributes
    ----------
    rows : by number of the loan
    """

    institution: str
    period: str
    as_of: date
    rows: tuple[ReportRow, ...]

    @property
    def balance_minor(self) -> int:
        """The control total of balances."""
        return sum(row.balance_minor for row in self.rows)

    @property
    def overdue_minor(self) -> int:
        """The control total of what is late."""
        return sum(row.overdue_minor for row in self.rows)

    @property
    def corrections(self) -> int:
        """How many rows replace or delete what was reported."""
        return sum(row.kind is not RowKind.NORMAL for row in self.rows)

    @property
    def sha256(self) -> str:
        """The hex digest of the bytes."""
        return hashlib.sha256(write_file(self)).hexdigest()


_COLUMNS: Final = (
    "record",
    "account",
    "kind",
    "customer",
    "opened_on",
    "currency",
    "state",
    "amount_minor",
    "balance_minor",
    "overdue_minor",
    "dpd",
    "category",
    "history",
    "is_disputed",
)


def month_end(period: str) -> date:
    """Return the last day of a month `YYYY-MM`.

    Refusals
    --------
    period_is_malformed

    Examples
    --------
    >>> month_end("2024-02")
    datetime.date(2024, 2, 29)
    """
    if not _PERIOD.fullmatch(period):
        raise PeriodIsMalformed(period=period)
    year, month = int(period[:4]), int(period[5:])
    return date(year, month, monthrange(year, month)[1])


def months_to(period: str, count: int = MONTHS) -> tuple[str, ...]:
    """Return the months that end with a period, oldest first.

    Examples
    --------
    >>> months_to("2026-02", 3)
    ('2025-12', '2026-01', '2026-02')
    """
    last = int(period[:4]) * 12 + int(period[5:]) - 1
    return tuple(f"{n // 12:04d}-{n % 12 + 1:02d}" for n in range(last - count + 1, last + 1))


def status_of(account: Account, period: str) -> str:
    """Return the mark of an account for one month, from what was due and when it was paid.

    Examples
    --------
    >>> from uuid import UUID
    >>> late = Account(nr=7, customer=UUID(int=1), opened_on=date(2026, 1, 10), currency="CNY",
    ...     state=AccountState.OPEN, amount_minor=100, balance_minor=50, overdue_minor=0, dpd=0,
    ...     category=0, dues=(Due(date(2026, 2, 10), date(2026, 4, 2)),
    ...     Due(date(2026, 3, 10), date(2026, 4, 2)), Due(date(2026, 6, 10), None)))
    >>> [status_of(late, f"2026-{month:02d}") for month in range(1, 6)]
    ['*', '1', '2', 'N', '*']
    """
    end = month_end(period)
    first = end.replace(day=1)
    if end < account.opened_on:
        return NOT_OPENED
    if account.ended_on is not None and account.ended_on <= end:
        return "C" if account.state is AccountState.CLOSED else "G"
    late = [d.due_on for d in account.dues
            if d.due_on < end and (d.paid_on is None or d.paid_on > end)]  # fmt: skip
    if late:
        return str(min(7, ((end - min(late)).days + 29) // 30))
    touched = any(
        first <= one <= end
        for d in account.dues
        for one in (d.due_on, d.paid_on)
        if one is not None
    )
    return "N" if touched else "*"


def history_of(account: Account, period: str, corrections: Iterable[Correction] = ()) -> str:
    """Return the marks of 24 months, the newest last; a correction overrules what was computed."""
    said = {c.month: c.status for c in corrections if c.month is not None and c.status is not None}
    return "".join(said.get(month) or status_of(account, month) for month in months_to(period))


def row_of(
    account: Account,
    period: str,
    corrections: Sequence[Correction],
    before: str | None = None,
    *,
    gap: int = 1,
) -> ReportRow | None:
    """Return the row of an account; None where the bureau has heard the last of it.

    Parameters
    ----------
    before : history that the last file told; where the months common to both say otherwise now (a
        payment was back-dated, a month corrected), the row is a correction
    gap : months from that file to this
    """
    deleted = [c for c in corrections if c.month is None]
    if deleted and not any(c.is_new for c in deleted):
        return None
    if deleted and account.reported is None:
        return None
    is_over = account.state in (AccountState.CLOSED, AccountState.SOLD)
    fresh = any(c.is_new for c in corrections)
    if is_over and account.reported is account.state and not fresh:
        return None
    history = history_of(account, period, corrections)
    changed = before is not None and before[gap:] != history[:-gap]
    kind = RowKind.CORRECTION if changed or (fresh and before is not None) else RowKind.NORMAL
    row = ReportRow(
        kind=RowKind.DELETE if deleted else kind,
        nr=account.nr,
        customer=account.customer,
        opened_on=account.opened_on,
        currency=account.currency,
        state=account.state,
        amount_minor=account.amount_minor,
        balance_minor=account.balance_minor,
        overdue_minor=account.overdue_minor,
        dpd=account.dpd,
        category=account.category,
        history=history,
        is_disputed=account.is_disputed,
    )
    return replace(row, balance_minor=0, overdue_minor=0, dpd=0) if deleted else row


def write_file(file: ReportFile) -> bytes:
    """Return the bytes of a file: header, names, a row a loan, and a trailer of control totals.

    The header is `H,<form>,<institution>,<period>,<as of>`; the trailer is
    `T,<rows>,<sum of balances>,<sum of what is late>,<SHA-256 of the lines between>`. The customer
    stands in it by the number under which the bureau was told of him once, never by his name.
    """
    cells = (
        (
            "D",
            row.account,
            row.kind,
            str(row.customer),
            row.opened_on.isoformat(),
            row.currency,
            row.state,
            str(row.amount_minor),
            str(row.balance_minor),
            str(row.overdue_minor),
            str(row.dpd),
            str(row.category),
            row.history,
            "1" if row.is_disputed else "0",
        )
        for row in file.rows
    )
    lines = [",".join(_COLUMNS), *(",".join(row) for row in cells)]
    body = "".join(f"{line}\n" for line in lines)
    digest = hashlib.sha256(body.encode()).hexdigest()
    header = f"H,steelyard-1,{file.institution},{file.period},{file.as_of.isoformat()}\n"
    trailer = f"T,{len(file.rows)},{file.balance_minor},{file.overdue_minor},{digest}\n"
    return (header + body + trailer).encode()


def check_correction(nr: int, month: str, status: str, *, last: str) -> Correction:
    """Return the correction of a month of the history that a file up to `last` could tell.

    Refusals
    --------
    correction_is_malformed
    """
    if month not in months_to(last) or status not in STATUSES:
        raise CorrectionIsMalformed(month=month, status=status)
    return Correction(nr, month, status)


def by_loan(corrections: Iterable[Correction]) -> Mapping[int, list[Correction]]:
    """Return corrections by the number of their loan, in their order: a later one overrules."""
    found: dict[int, list[Correction]] = {}
    for one in corrections:
        found.setdefault(one.nr, []).append(one)
    return found
