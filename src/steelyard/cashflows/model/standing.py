"""How a contract stands on a day: what `run` returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from steelyard.cashflows.model.allocation import Taken
from steelyard.cashflows.model.terms import Terms


class RowKind(StrEnum):
    """What a row of a schedule is."""

    DOWN_PAYMENT = "down_payment"
    """Down payment and fees of the first day."""
    INSTALMENT = "instalment"


class Row(NamedTuple):
    """An instalment, minor units.

    Attributes
    ----------
    nr : from 1, in the order of due dates
    from_on, to_on : interest runs from the first to, and without, the second
    due_on : `to_on`, unless a calendar moved it
    principal_minor, interest_minor, fee_minor, penalty_minor : what it asks for, to the day
    paid_* : what was paid of each; waived_* : what was forgiven
    balance_minor : principal of the plan left after it, tranches of its last day included
    accrues_minor : interest earned within its period; differs from `interest_minor` where interest
        is put off to a later row (bullet, grace, re-aged); their sums over all rows agree
    paid_on : the day on which nothing was left to pay; None while something is
    penalty_from, penalty_base_minor, penalty_before_minor : penalty interest runs from that day on
        that amount and comes on top of what was charged before; None while none runs. On a later
        day the row has ``before + half_up(base * rate * days / days_in_year)``
    """

    nr: int
    kind: RowKind
    from_on: date
    to_on: date
    due_on: date
    principal_minor: int
    interest_minor: int
    fee_minor: int
    penalty_minor: int
    balance_minor: int
    accrues_minor: int
    paid_principal_minor: int = 0
    paid_interest_minor: int = 0
    paid_fee_minor: int = 0
    paid_penalty_minor: int = 0
    waived_interest_minor: int = 0
    waived_fee_minor: int = 0
    waived_penalty_minor: int = 0
    paid_on: date | None = None
    penalty_from: date | None = None
    penalty_base_minor: int = 0
    penalty_before_minor: int = 0

    @property
    def total_minor(self) -> int:
        """Return principal, interest and fee: what the plan asks for, without penalty."""
        return self.principal_minor + self.interest_minor + self.fee_minor

    @property
    def open_minor(self) -> int:
        """Return what is left to pay of it, penalty included."""
        return (
            self.total_minor
            + self.penalty_minor
            - self.paid_principal_minor
            - self.paid_interest_minor
            - self.paid_fee_minor
            - self.paid_penalty_minor
            - self.waived_interest_minor
            - self.waived_fee_minor
            - self.waived_penalty_minor
        )


class Accrual(NamedTuple):
    """The line on which interest of the open period is earned, day by day.

    On a day between `from_on` and `to_on` the open period has earned ``before_minor`` and, of the
    rest up to ``total_minor``, the share of the days gone, rounded half up. Nothing but integers,
    so that a database computes the same.

    Attributes
    ----------
    nr : of the row
    from_on : first day of the line: of the period, or of what last changed it
    before_minor : earned in the period before the line began
    total_minor : earned in the period when it ends
    """

    nr: int
    from_on: date
    to_on: date
    before_minor: int
    total_minor: int

    def earned_minor(self, on: date) -> int:
        """Return what the period has earned on a day, minor units.

        Examples
        --------
        >>> line = Accrual(1, date(2026, 1, 1), date(2026, 2, 1), 0, 100)
        >>> line.earned_minor(date(2026, 1, 16)), line.earned_minor(date(2026, 2, 1))
        (48, 100)
        """
        if on >= self.to_on:
            return self.total_minor
        if on <= self.from_on:
            return self.before_minor
        days, gone = (self.to_on - self.from_on).days, (on - self.from_on).days
        rest = self.total_minor - self.before_minor
        return self.before_minor + (2 * rest * gone + days) // (2 * days)


class Applied(NamedTuple):
    """A part of an event's money that was set against a part of an instalment."""

    seq: int
    on: date
    taken: Taken


class Prepaid(NamedTuple):
    """Principal taken off the plan early, minor units."""

    seq: int
    on: date
    principal_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counters that a contract's books are made of, minor units; each counts from the start.

    What an event posts is the difference between the totals after it and before it.

    Attributes
    ----------
    disbursed_minor : paid out
    received_minor : paid in, of all kinds
    refunded_minor : credit balance paid back
    principal_paid_minor : without the down payment, with what was repaid early
    interest_earned_minor : accrued to the day; paid in advance, less of it than was paid
    *_waived_minor : forgiven
    *_written_off_minor : owed when it was written off
    recovered_minor : of what was written off, paid after it; not part of `*_paid_minor`
    credit_minor : paid in and not set against anything
    """

    disbursed_minor: int = 0
    received_minor: int = 0
    refunded_minor: int = 0
    down_payment_minor: int = 0
    principal_paid_minor: int = 0
    interest_earned_minor: int = 0
    interest_paid_minor: int = 0
    interest_waived_minor: int = 0
    fee_earned_minor: int = 0
    fee_paid_minor: int = 0
    fee_waived_minor: int = 0
    penalty_earned_minor: int = 0
    penalty_paid_minor: int = 0
    penalty_waived_minor: int = 0
    principal_written_off_minor: int = 0
    interest_written_off_minor: int = 0
    fee_written_off_minor: int = 0
    penalty_written_off_minor: int = 0
    recovered_minor: int = 0
    credit_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a contract stands at the end of a day.

    Attributes
    ----------
    rows : the whole schedule, past rows as they became, later ones as planned
    prepaid : principal that came off the plan early
    applied : what every payment was set against, in order
    instalment_minor : the equal instalment of the plan; 0 where the method has none
    principal_minor : owed, due or not; 0 after it was written off
    oldest_due_on : due date of the oldest instalment that is late
    days_past_due : from that date to the day; 0 where nothing is late
    accrual : how interest is earned from here on; None where none is
    written_off_on : when the lender gave it up
    closed_on : day of the last event, once nothing is owed and all that was asked for is earned
    """

    terms: Terms
    as_of: date
    rows: tuple[Row, ...]
    prepaid: tuple[Prepaid, ...]
    applied: tuple[Applied, ...]
    totals: Totals
    instalment_minor: int
    principal_minor: int
    due_minor: int
    overdue_minor: int
    oldest_due_on: date | None
    days_past_due: int
    accrual: Accrual | None
    written_off_on: date | None
    closed_on: date | None
