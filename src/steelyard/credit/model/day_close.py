"""The close of a business date: what is asked, what it did, how it can be refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from steelyard.kernel import Refusal, RefusalKind


class DayIsNotOver(Refusal):
    """The business clock still stands on the day."""

    kind = RefusalKind.CONFLICT
    en = "{asked} is not over: the clock of {book} stands on {today}."
    zh = "{asked} 尚未结束：账簿 {book} 的时钟为 {today}。"


class ClockWasSetBack(Refusal):
    """The business clock stands before the book's business date."""

    kind = RefusalKind.CONFLICT
    en = "The clock stands on {today}, before the business date {present} of {book}."
    zh = "时钟为 {today}，早于账簿 {book} 的业务日期 {present}，时钟被回拨。"


class DaysAreClosedInOrder(Refusal):
    """An earlier day of the book is not closed."""

    kind = RefusalKind.CONFLICT
    en = "{asked} cannot be closed before {present}, the business date of {book}."
    zh = "{book} 的业务日期为 {present}，不能先结 {asked}。"


class DayWasNeverClosed(Refusal):
    """A day lies before the first one that was closed."""

    kind = RefusalKind.NOT_FOUND
    en = "{book} has no close of {asked}."
    zh = "账簿 {book} 没有 {asked} 的日终记录。"


class LoansAreHeld(Refusal):
    """Loans are being written for longer than the close waits; the day stays open."""

    kind = RefusalKind.UNAVAILABLE
    en = "{asked} stays open: loans {loans} are being written; close the day again."
    zh = "{asked} 未能结束：贷款 {loans} 正在写入，请稍后重新日终。"


@dataclass(frozen=True, slots=True)
class Sums:
    """Amounts of a day in one currency, our share, minor units; provision: what it grew by."""

    interest_minor: int = 0
    penalty_minor: int = 0
    fee_minor: int = 0
    provision_minor: int = 0

    def plus(self, other: Sums) -> Sums:
        """Return both together."""
        return Sums(
            self.interest_minor + other.interest_minor,
            self.penalty_minor + other.penalty_minor,
            self.fee_minor + other.fee_minor,
            self.provision_minor + other.provision_minor,
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """What a chunk, or all of them, did.

    Attributes
    ----------
    loans : that were open
    fell_due : instalments that fell due and are not paid
    changed : loans that came into another bucket, category or stage
    sums : by currency
    """

    loans: int = 0
    fell_due: int = 0
    changed: int = 0
    sums: dict[str, Sums] = field(default_factory=dict)

    def plus(self, other: Counts) -> Counts:
        """Return both together."""
        both = dict(self.sums)
        for currency, one in other.sums.items():
            both[currency] = both.get(currency, Sums()).plus(one)
        return Counts(
            self.loans + other.loans,
            self.fell_due + other.fell_due,
            self.changed + other.changed,
            both,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """The close of a day.

    Attributes
    ----------
    closed_at : None while it stays open
    chunks, done : transactions that it takes, and that are done
    checked_at, differences : of the check of the books that follows it
    parameters : version of the risk parameters
    """

    book: str
    on: date
    began_at: datetime
    closed_at: datetime | None
    checked_at: datetime | None
    differences: int | None
    parameters: int
    chunks: int
    done: int
    counts: Counts

    @property
    def is_closed(self) -> bool:
        """Whether the day is over."""
        return self.closed_at is not None
