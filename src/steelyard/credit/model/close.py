"""What a day does to loans to which nothing else happens, in columns: equal to `cashflows.run`.

Interest is earned along the line that the last event laid, a period that ends gives way to the next
row of the plan, penalty runs on what is late, and what is late grows older. Whatever else a day can
do (a credit balance meets an instalment, interest that runs on what is really owed) is left to
`run`; `by_run` names those loans.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

EPOCH: Final = date(2000, 1, 1)
NO_DAY: Final = -1_000_000
"""Stands for no date; before every other."""
NONE: Final = -1
"""Stands for no number."""
ACTIVE: Final = 1


def day_number(on: date) -> int:
    """Return a date as days since the first of 2000.

    Examples
    --------
    >>> day_number(date(2000, 2, 1)), date_of(31)
    (31, datetime.date(2000, 2, 1))
    """
    return (on - EPOCH).days


def date_of(number: int) -> date:
    """Return the date of a number of days."""
    return EPOCH + timedelta(days=number)


@dataclass(frozen=True, slots=True, eq=False)
class LoanColumns:
    """Standings of loans, by number: int64 (loans,) each, named as the columns of the table.

    Dates are days since the first of 2000, `NO_DAY` for none; a line that is not there has `NONE`
    as its row and runs nowhere. `eir_bp` is `NONE` where it is not known yet.
    """

    nr: Integers
    pool: Integers
    state: Integers
    as_of: Integers
    events: Integers
    own_parts: Integers
    all_parts: Integers
    line_nr: Integers
    line_from: Integers
    line_to: Integers
    line_before_minor: Integers
    line_total_minor: Integers
    interest_settled_minor: Integers
    interest_earned_minor: Integers
    penalty_earned_minor: Integers
    fee_earned_minor: Integers
    interest_receivable_minor: Integers
    penalty_receivable_minor: Integers
    fee_receivable_minor: Integers
    interest_suspended_minor: Integers
    penalty_suspended_minor: Integers
    next_due_on: Integers
    oldest_due_on: Integers
    overdue_minor: Integers
    dpd: Integers
    bucket: Integers
    category: Integers
    stage: Integers
    provision_minor: Integers
    credit_minor: Integers
    paused_until: Integers
    eir_bp: Integers


@dataclass(frozen=True, slots=True, eq=False)
class RowColumns:
    """Instalments of the same loans of which something is left to pay, or may be: int64 (rows,).

    By loan and number. `*_left_minor` is what is neither paid nor waived, of penalty as it was at
    the last close; `penalty_paid_minor` is what was paid and waived of it.
    """

    nr: Integers
    no: Integers
    to_on: Integers
    due_on: Integers
    principal_left_minor: Integers
    interest_left_minor: Integers
    fee_left_minor: Integers
    penalty_minor: Integers
    penalty_paid_minor: Integers
    penalty_from: Integers
    penalty_before_minor: Integers
    penalty_base_minor: Integers

    @property
    def plan_left_minor(self) -> Integers:
        """What is left without penalty, int64 (rows,)."""
        return self.principal_left_minor + self.interest_left_minor + self.fee_left_minor


@dataclass(frozen=True, slots=True, eq=False)
class PenaltyRules:
    """The rule of penalty of each loan, int64 or bool (loans,); no rule has `num` of 0 and `den` 1.

    Attributes
    ----------
    num, den : the rate per one and day is their quotient
    grace_days, on_interest : as in the terms
    """

    num: Integers
    den: Integers
    grace_days: Integers
    on_interest: Flags

    @classmethod
    def none(cls, loans: int) -> PenaltyRules:
        """Return the rules of loans that have none."""
        num, grace = np.zeros(loans, np.int64), np.zeros(loans, np.int64)
        return cls(num, np.ones(loans, np.int64), grace, np.zeros(loans, np.bool_))


class NextLines(NamedTuple):
    """The lines that follow when a period ends, int64 (loans,): `NONE` where nothing does.

    Attributes
    ----------
    row_to : last day of the row whose line it was
    settled_minor, fee_minor : accrued and charged by the row that ends and all before it
    advance_minor : interest of the next row that was paid already
    """

    row_to: Integers
    line_nr: Integers
    line_from: Integers
    line_to: Integers
    line_total_minor: Integers
    settled_minor: Integers
    fee_minor: Integers
    advance_minor: Integers


def place_of(loans: LoanColumns, nrs: Integers) -> Integers:
    """Return at which place of the columns loans stand; all of them do."""
    return np.searchsorted(loans.nr, nrs)


def share_of(numerator: Integers, denominator: Integers, amount: Integers) -> Integers:
    """Return a part of amounts, rounded half up: exact, and within int64 at every step.

    Parameters
    ----------
    numerator, denominator : of the part; their product stays under 2^61
    amount : int64, not negative

    Examples
    --------
    >>> third = np.array([1]), np.array([3])
    >>> share_of(*third, np.array([10])).tolist(), share_of(*third, np.array([5])).tolist()
    ([3], [2])
    """
    whole, rest = np.divmod(amount, denominator)
    found: Integers = whole * numerator + (2 * rest * numerator + denominator) // (2 * denominator)
    return found


def own_of(loans: LoanColumns, amount_minor: Integers) -> Integers:
    """Return our share of counters, as `Shares.own_minor` gives it."""
    return share_of(loans.own_parts, loans.all_parts, amount_minor)


def ends_period(loans: LoanColumns, on: int) -> Flags:
    """Return which loans' open period ends by a day, bool (loans,)."""
    ends: Flags = (loans.state == ACTIVE) & (loans.line_nr != NONE) & (loans.line_to <= on)
    return ends


def has_due(loans: LoanColumns, rows: RowColumns, on: int) -> Flags:
    """Return which loans have an instalment that is due and not paid, bool (loans,)."""
    due = (rows.due_on <= on) & (rows.plan_left_minor > 0)
    return _any_of(loans, place_of(loans, rows.nr[due]))


def by_run(
    loans: LoanColumns, rows: RowColumns, following: NextLines, runs_on_owed: Flags, on: int
) -> Flags:
    """Return which loans the columns leave to `run`, bool (loans,); none that were run already.

    Parameters
    ----------
    runs_on_owed : bool (loans,), interest runs on what is really owed
    """
    falls = np.maximum(rows.due_on, rows.to_on)
    place = place_of(loans, rows.nr)
    meets = (falls > loans.as_of[place]) & (falls <= on) & (loans.credit_minor[place] > 0)
    ends = ends_period(loans, on)
    asked: Flags = loans.as_of < on - 1  # more than one day behind
    asked |= _any_of(loans, place[meets])
    asked |= runs_on_owed & (ends | has_due(loans, rows, on))
    asked |= ends & (following.row_to != loans.line_to)  # what an event cut short
    asked |= ends & (following.advance_minor > 0)
    asked |= ends & (following.line_nr != NONE) & (following.line_to <= on)
    asked &= (loans.state == ACTIVE) & (loans.as_of < on)
    return asked


def _any_of(loans: LoanColumns, places: Integers) -> Flags:
    found = np.zeros(len(loans.nr), np.bool_)
    found[places] = True
    return found


def accrued(loans: LoanColumns, following: NextLines, on: int) -> LoanColumns:
    """Return the loans with what is earned to the end of a day, and the lines that go on from it.

    Parameters
    ----------
    following : asked for where `ends_period`
    """
    ends = ends_period(loans, on)
    goes_on = ends & (following.line_nr != NONE)

    def line(name: str, ended: int) -> Integers:
        old: Integers = getattr(loans, name)
        new: Integers = getattr(following, name)
        return np.where(goes_on, new, np.where(ends, ended, old))

    begun = replace(
        loans,
        line_nr=line("line_nr", NONE),
        line_from=line("line_from", NO_DAY),
        line_to=line("line_to", NO_DAY),
        line_before_minor=np.where(ends, 0, loans.line_before_minor),
        line_total_minor=line("line_total_minor", 0),
        interest_settled_minor=np.where(
            ends, following.settled_minor, loans.interest_settled_minor
        ),
        fee_earned_minor=np.where(ends, following.fee_minor, loans.fee_earned_minor),
    )
    runs = (begun.line_nr != NONE) & (loans.state == ACTIVE)
    earned = begun.interest_settled_minor + np.where(runs, line_earned(begun, on), 0)
    return replace(
        begun, interest_earned_minor=np.where(runs | ends, earned, loans.interest_earned_minor)
    )


def line_earned(loans: LoanColumns, on: int) -> Integers:
    """Return what open periods have earned on a day, as `Accrual.earned_minor` gives it."""
    days = np.maximum(loans.line_to - loans.line_from, 1)
    gone = np.clip(on - loans.line_from, 0, days)
    gone = np.where(on >= loans.line_to, days, gone)
    rest = loans.line_total_minor - loans.line_before_minor
    # A line may fall where an event took back what was earned: floor division rounds half up
    # for both signs, as in the scalar form.
    return loans.line_before_minor + share_of(gone, days, rest)


def charged(
    loans: LoanColumns, rows: RowColumns, rules: PenaltyRules, on: int
) -> tuple[LoanColumns, RowColumns]:
    """Return loans and rows with the penalty of a day.

    A row behind bears it from its due date, once the days of grace are over.
    """
    place = place_of(loans, rows.nr)
    grace, on_interest = rules.grace_days[place], rules.on_interest[place]
    base = rows.principal_left_minor + np.where(on_interest, rows.interest_left_minor, 0)
    has_rule = (rules.num[place] > 0) | (rules.den[place] > 1)
    begins = has_rule & (rows.penalty_from == NO_DAY) & (rows.to_on <= on) & (base > 0)
    begins &= (on - rows.due_on > grace) & (loans.state[place] == ACTIVE)
    start = np.where(begins, rows.due_on, rows.penalty_from)
    base = np.where(begins, base, rows.penalty_base_minor)
    runs = (start != NO_DAY) & (loans.state[place] == ACTIVE)
    penalty = rows.penalty_minor.copy()
    at = np.flatnonzero(runs)
    penalty[at] = rows.penalty_before_minor[at] + _penalty(
        base[at], rules.num[place[at]], rules.den[place[at]], on - start[at]
    )
    grown = np.zeros(len(loans.nr), np.int64)
    np.add.at(grown, place, penalty - rows.penalty_minor)
    made = replace(rows, penalty_minor=penalty, penalty_from=start, penalty_base_minor=base)
    return replace(loans, penalty_earned_minor=loans.penalty_earned_minor + grown), made


_SAFE: Final = 1 << 61


def _penalty(base: Integers, num: Integers, den: Integers, days: Integers) -> Integers:
    """Return penalty interest, half up; rates of many digits take the way over Python's ints."""
    if not len(base):
        return base
    if int(num.max()) * int(days.max()) * int(den.max()) < _SAFE:
        return share_of(num * days, den, base)
    exact = zip(base.tolist(), num.tolist(), den.tolist(), days.tolist(), strict=True)
    return np.array([(2 * b * n * t + d) // (2 * d) for b, n, d, t in exact], np.int64)


def aged(loans: LoanColumns, rows: RowColumns, on: int) -> LoanColumns:
    """Return the loans with what is overdue on a day, since when, and what falls due next."""
    place = place_of(loans, rows.nr)
    plan_left = rows.plan_left_minor
    open_minor = plan_left + rows.penalty_minor - rows.penalty_paid_minor
    past = rows.due_on < on
    overdue = np.zeros(len(loans.nr), np.int64)
    np.add.at(overdue, place[past], open_minor[past])
    none = np.iinfo(np.int64).max
    oldest = np.full(len(loans.nr), none)
    late = past & (plan_left > 0)
    np.minimum.at(oldest, place[late], rows.due_on[late])
    ahead = np.full(len(loans.nr), none)
    coming = (rows.due_on > on) & (open_minor > 0)
    np.minimum.at(ahead, place[coming], rows.due_on[coming])
    active = loans.state == ACTIVE

    def kept(found: Integers, before: Integers) -> Integers:
        return np.where(active, found, before)

    return replace(
        loans,
        as_of=kept(np.full(len(loans.nr), on), loans.as_of),
        overdue_minor=kept(overdue, loans.overdue_minor),
        oldest_due_on=kept(np.where(oldest == none, NO_DAY, oldest), loans.oldest_due_on),
        next_due_on=kept(np.where(ahead == none, NO_DAY, ahead), loans.next_due_on),
        dpd=kept(np.where(oldest == none, 0, on - oldest), loans.dpd),
    )


class Earned(NamedTuple):
    """What loans earned between two states, our share: int64 (loans,) each."""

    interest_minor: Integers
    penalty_minor: Integers
    fee_minor: Integers


def earned_between(before: LoanColumns, after: LoanColumns) -> Earned:
    """Return what our share of the counters grew by."""
    return Earned(
        *(
            own_of(before, getattr(after, name)) - own_of(before, getattr(before, name))
            for name in ("interest_earned_minor", "penalty_earned_minor", "fee_earned_minor")
        )
    )


def booked(before: LoanColumns, after: LoanColumns, earned: Earned) -> LoanColumns:
    """Return the loans with receivables and suspense as what was earned and the stage make them.

    Of a loan in stage 3 what is earned waits in suspense, at most as much as is receivable.
    """
    interest = before.interest_receivable_minor + earned.interest_minor
    penalty = before.penalty_receivable_minor + earned.penalty_minor
    impaired = after.stage == 3

    def suspended(was: Integers, grown: Integers, receivable: Integers) -> Integers:
        found = np.maximum(0, np.minimum(was + grown, receivable))
        return np.where(impaired, found, 0)

    return replace(
        after,
        interest_receivable_minor=interest,
        penalty_receivable_minor=penalty,
        fee_receivable_minor=before.fee_receivable_minor + earned.fee_minor,
        interest_suspended_minor=suspended(
            before.interest_suspended_minor, earned.interest_minor, interest
        ),
        penalty_suspended_minor=suspended(
            before.penalty_suspended_minor, earned.penalty_minor, penalty
        ),
    )
