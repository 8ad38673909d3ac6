"""The one function: terms and events in, the standing of the contract on a day out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from typing import Final, NamedTuple

from steelyard.cashflows.model import events as happened
from steelyard.cashflows.model.allocation import Advance, Allocation, Part
from steelyard.cashflows.model.course import Course, Line, none_of_any, with_advance
from steelyard.cashflows.model.dates import Span, spans
from steelyard.cashflows.model.events import Any as AnyEvent
from steelyard.cashflows.model.events import PayoffUntil
from steelyard.cashflows.model.plan import is_equal
from steelyard.cashflows.model.refusals import EventIsInvalid
from steelyard.cashflows.model.standing import Prepaid, Row, RowKind, Standing, Totals
from steelyard.cashflows.model.terms import (
    LATEST_YEAR,
    MAX_INSTALMENTS,
    MAX_PRINCIPAL_MINOR,
    Method,
    Prepay,
    Terms,
    ends_in,
    is_number,
)


def run(terms: Terms, events: Iterable[AnyEvent], as_of: date) -> Standing:
    """Return how a contract stands at the end of a day, after all that happened up to it.

    Preview, booking, day close and replay all call it: a back-dated event is appended and all is
    run again. Of one day, a payout comes first, then what changes the plan, then money; each of
    these in the order of recording.

    Parameters
    ----------
    terms : of the contract, as it was signed
    events : in any order; those with a value date after `as_of` are left out, an event and its
        reversal too
    as_of : the day; not before the contract begins

    Returns
    -------
    Standing
        Principal of rows and early repayments is what was paid out and is not given back; what
        payments were set against, what is held as credit and what was paid back adds up to them.

    Refusals
    --------
    event_is_invalid : an event cannot happen to this contract on its date

    Examples
    --------
    >>> from decimal import Decimal
    >>> terms = Terms(principal_minor=120_000, start_on=date(2026, 1, 10), instalments=12,
    ...               rate=Decimal("0.12"))
    >>> standing = run(terms, [happened.Repaid(seq=1, on=date(2026, 2, 10), amount_minor=10_662)],
    ...                date(2026, 2, 10))
    >>> standing.principal_minor, standing.due_minor, standing.totals.interest_paid_minor
    (110538, 0, 1200)
    """
    assert as_of >= terms.start_on, "a contract stands nowhere before it begins"
    course, tally = _course(terms, events, as_of)
    return _standing(course, tally, as_of)


class PayoffQuote(NamedTuple):
    """What repays a contract wholly on a day, minor units.

    Attributes
    ----------
    total_minor : what is to be paid; a credit balance is taken off
    """

    total_minor: int
    principal_minor: int
    interest_minor: int
    fee_minor: int
    penalty_minor: int
    credit_minor: int


def quote_payoff(
    terms: Terms, events: Iterable[AnyEvent], on: date, until: PayoffUntil = PayoffUntil.DAY
) -> PayoffQuote:
    """Return what repays a contract wholly on a day: `PaidOff` of that amount closes it.

    Examples
    --------
    >>> from decimal import Decimal
    >>> terms = Terms(principal_minor=120_000, start_on=date(2026, 1, 10), instalments=12,
    ...               rate=Decimal("0.12"))
    >>> quote_payoff(terms, [], date(2026, 1, 25))[:3]
    (120581, 120000, 581)
    """
    course, _ = _course(terms, events, on)
    return _quote(course, on, 0, until)


def _quote(course: Course, on: date, seq: int, until: PayoffUntil) -> PayoffQuote:
    """Let no more be earned than is owed on a day, and return what that is."""
    _stop(course, on, until)
    course.give_back_unearned(on, seq)
    for line in course.lines:
        course.settle_penalty(line, on)
    every = (*course.lines, *course.lines_ahead())
    owed = {part: sum(line.left(part) for line in every) for part in Part}
    return PayoffQuote(
        max(0, sum(owed.values()) - course.credit),
        owed[Part.PRINCIPAL],
        owed[Part.INTEREST],
        owed[Part.FEE],
        owed[Part.PENALTY],
        course.credit,
    )


class _Tally:
    """Counters that the course itself does not keep."""

    def __init__(self, terms: Terms) -> None:
        self.disbursed = terms.principal_minor
        self.received = 0
        self.refunded = 0
        self.waived = none_of_any()
        self.written_off = none_of_any()
        self.last_on = terms.start_on


def _course(terms: Terms, events: Iterable[AnyEvent], as_of: date) -> tuple[Course, _Tally]:
    course, tally = Course.begin(terms), _Tally(terms)
    for event in in_order(events, as_of):
        if event.on < terms.start_on:
            raise _invalid(event, "before the contract begins")
        _check(event)
        course.advance_to(event.on)
        _APPLY[type(event)](course, tally, event)
        course.anchor(event.on)
        tally.last_on = event.on
    course.advance_to(as_of)
    return course, tally


def _check(event: AnyEvent) -> None:
    """Refuse what is out of bounds for any contract."""
    least = 0 if isinstance(event, happened.PaidOff) else 1
    if not least <= getattr(event, "amount_minor", least) <= MAX_PRINCIPAL_MINOR:
        raise _invalid(event, f"an amount lies in {least}..10^15")
    for name in ("until", "to_due", "first_due_on"):
        on = getattr(event, name, None)
        if isinstance(on, date) and on.year > LATEST_YEAR:
            raise _invalid(event, f"it reaches beyond {LATEST_YEAR}")


def in_order(events: Iterable[AnyEvent], as_of: date) -> list[AnyEvent]:
    """Return what counts on a day, in the order in which it counts.

    Examples
    --------
    >>> paid = happened.Repaid(seq=1, on=date(2026, 2, 1), amount_minor=5)
    >>> in_order([paid, happened.Reversed(seq=2, on=date(2026, 2, 1), of=1)], date(2026, 3, 1))
    []
    """
    found = list(events)
    by_seq = {one.seq: one for one in found}
    dropped: set[int] = set()
    for event in sorted(found, key=lambda one: -one.seq):
        if by_seq[event.seq] is not event:
            raise _invalid(event, "another event has its number")
        if isinstance(event, happened.Reversed):
            if event.of not in by_seq or event.of >= event.seq:
                raise _invalid(event, f"there is no event {event.of} before it")
            if event.seq not in dropped:
                dropped.add(event.of)
            dropped.add(event.seq)
    kept = [one for one in found if one.on <= as_of and one.seq not in dropped]
    return sorted(kept, key=lambda one: (one.on, _rank(one), one.seq))


_MONEY: Final = (
    happened.Repaid,
    happened.PrepaidPart,
    happened.PaidOff,
    happened.Refunded,
    happened.Waived,
    happened.WrittenOff,
)


def _rank(event: AnyEvent) -> int:
    if isinstance(event, happened.Disbursed):
        return 0
    return 2 if isinstance(event, _MONEY) else 1


def _invalid(event: AnyEvent, why: str) -> EventIsInvalid:
    return EventIsInvalid(
        seq=event.seq, kind=type(event).__name__, on=event.on.isoformat(), why=why
    )


def _disburse(course: Course, tally: _Tally, event: happened.Disbursed) -> None:
    if not course.spans or course.written_off_on is not None or course.stop_on is not None:
        raise _invalid(event, "no instalment lies ahead")
    course.take_in(event.on)
    course.ahead += event.amount_minor
    course.original += event.amount_minor
    tally.disbursed += event.amount_minor
    if course.lines and course.lines[-1].span.to_on == event.on:
        course.lines[-1].balance += event.amount_minor
    course.forget_plan(solve=True)


def _repay(course: Course, tally: _Tally, event: happened.Repaid) -> None:
    tally.received += event.amount_minor
    rule = course.terms.allocations.get(event.kind, course.terms.allocation)
    _settle(course, event, rule, None)


def _prepay(course: Course, tally: _Tally, event: happened.PrepaidPart) -> None:
    tally.received += event.amount_minor
    rule = replace(course.terms.allocation, advance=Advance.REPLAN)
    _settle(course, event, rule, event.plan)


def _settle(
    course: Course,
    event: happened.Repaid | happened.PrepaidPart | happened.PaidOff,
    rule: Allocation,
    prepay: Prepay | None,
) -> None:
    """Set a payment against what is due, and the rest as the rule says."""
    left = course.pay(event.amount_minor, rule, event.on, event.seq)
    if left and rule.advance is Advance.REPLAN and course.written_off_on is None:
        left = _take_off(course, event, left, prepay or course.terms.prepay)
    course.credit += left


def _take_off(
    course: Course,
    event: happened.Repaid | happened.PrepaidPart | happened.PaidOff,
    amount: int,
    prepay: Prepay,
) -> int:
    """Take principal off the plan, and make the plan anew."""
    if not course.spans:
        return amount
    left = course.take_off(amount, event.on, event.seq)
    if prepay is Prepay.REDUCE_INSTALMENT:
        course.forget_plan(solve=True)
        return left
    course.forget_plan(solve=False)
    planned = course.planned()
    used = [n for n, part in enumerate(planned) if part.principal_minor]
    kept = (used[-1] if used else 0) + 1
    if kept < len(course.spans):
        course.spans = course.spans[:kept]
        course.forget_plan(solve=False)
    return left


def _stop(course: Course, on: date, until: PayoffUntil) -> None:
    """Let no interest run after a day, or after the open period."""
    course.take_in(on)
    if not course.spans:
        return
    ends = on if until is PayoffUntil.DAY else course.spans[0].to_on
    course.stop_on = ends
    course.has_no_more_fees = True
    course.forget_plan(solve=False)


def _pay_off(course: Course, tally: _Tally, event: happened.PaidOff) -> None:
    tally.received += event.amount_minor
    if event.amount_minor < _quote(course.fork(), event.on, event.seq, event.until).total_minor:
        rule = course.terms.allocations.get("repayment", course.terms.allocation)
        _settle(course, event, rule, None)
        return
    _quote(course, event.on, event.seq, event.until)
    course.settled_on = event.on
    rule = with_advance(course.terms.allocation)
    amount, course.credit = event.amount_minor + course.credit, 0
    course.credit = course.pay(amount, rule, event.on, event.seq)


def _move(course: Course, tally: _Tally, event: happened.DueDatesMoved) -> None:
    del tally
    at = next((n for n, one in enumerate(course.spans) if one.to_on == event.from_due), None)
    if at is None:
        raise _invalid(event, f"no instalment ahead ends on {event.from_due}")
    start = course.spans[at].from_on
    if event.to_due <= max(start, event.on):
        raise _invalid(event, f"{event.to_due} lies before its period")
    course.take_in(event.on)
    moved = spans(course.terms, start, event.to_due, range(len(course.spans) - at))
    course.spans[at:] = [moved[0]._replace(is_regular=False), *moved[1:]]
    course.forget_plan(solve=False)


def _re_age(course: Course, tally: _Tally, event: happened.ReAged) -> None:
    del tally
    terms, on = course.terms, event.on
    if event.first_due_on <= on or not 1 <= event.instalments <= MAX_INSTALMENTS:
        raise _invalid(event, "the first new instalment must fall due later")
    if not 1 <= event.every <= 366:
        raise _invalid(event, "instalments are 1..366 distances apart")
    if ends_in(event.first_due_on, event.instalments, event.every, event.unit) > LATEST_YEAR:
        raise _invalid(event, f"it reaches beyond {LATEST_YEAR}")
    if course.written_off_on is not None:
        raise _invalid(event, "it is written off")
    course.take_in(on)
    _give_up_advance(course)
    emptied = [line for line in course.lines if _empty(course, line, on)]
    for line in emptied:
        later = course.lines[line.nr :]
        line.balance = course.ahead + sum(one.asks[Part.PRINCIPAL] for one in later)
    start = course.spans[0].from_on if course.spans else on
    if not course.spans:
        course.open_at = on
    made = spans(
        terms,
        start,
        event.first_due_on,
        range(event.instalments),
        distance=(event.every, event.unit),
    )
    course.spans = [Span(*made[0][:3], is_regular=False), *made[1:]]
    if course.method is not Method.EQUAL_PRINCIPAL:
        course.method = Method.EQUAL_INSTALMENT
    course.carry[Part.INTEREST] += course.deferred_minor
    course.deferred, course.deferred_minor = course.deferred * 0, 0
    course.amortises_at = course.defers_to = course.free_to = course.done = 0
    course.original, course.stop_on = course.ahead, None
    course.forget_plan(solve=True)


def _give_up_advance(course: Course) -> None:
    """Turn what was paid of rows that are dropped into early principal, the rest into credit."""
    last = len(course.lines)
    for one in course.applied:
        if one.taken.nr <= last:
            continue
        amount = one.taken.amount_minor
        if one.taken.part is Part.PRINCIPAL:
            course.ahead -= amount
            course.prepaid.append(Prepaid(one.seq, one.on, amount))
        else:
            course.credit += amount
            course.paid[one.taken.part] -= amount
    course.applied = [one for one in course.applied if one.taken.nr <= last]
    course.advance.clear()


def _empty(course: Course, line: Line, on: date) -> bool:
    """Move what a row still asks for to the rows ahead, and return whether there was principal."""
    course.settle_penalty(line, on)
    line.penalty_from, line.penalty_base = None, 0
    principal = line.left(Part.PRINCIPAL)
    for part in Part:
        left = line.left(part)
        if part is Part.PRINCIPAL:
            course.ahead += left
        else:
            course.carry[part] += left
        line.asks[part] -= left
    return principal > 0


def _extend(course: Course, tally: _Tally, event: happened.Extended) -> None:
    del tally
    if not course.spans:
        raise _invalid(event, "no instalment lies ahead")
    if not 1 <= event.instalments <= MAX_INSTALMENTS - len(course.spans):
        raise _invalid(event, f"at most {MAX_INSTALMENTS} instalments lie ahead")
    terms, last = course.terms, course.spans[-1]
    if ends_in(last.to_on, event.instalments, terms.every, terms.unit) > LATEST_YEAR:
        raise _invalid(event, f"it reaches beyond {LATEST_YEAR}")
    course.take_in(event.on)
    seed = course.terms.first_due_on or course.terms.start_on
    added = spans(course.terms, last.to_on, last.to_on, range(1, event.instalments + 1))
    if last.to_on.day != seed.day and last.is_regular:
        n = len(course.lines) + len(course.spans) + 1
        whole = spans(course.terms, last.to_on, seed, range(1, n + event.instalments + 1))
        later = [one for one in whole if one.to_on > last.to_on][: event.instalments]
        added = (later[0]._replace(from_on=last.to_on), *later[1:])
    course.spans.extend(added)
    if course.method in (Method.INTEREST_ONLY, Method.BULLET):
        course.amortises_at = course.done + len(course.spans) - 1
        if course.method is Method.BULLET:
            course.defers_to = course.amortises_at
    course.forget_plan(solve=True)


def _change_rate(course: Course, tally: _Tally, event: happened.RateChanged) -> None:
    del tally
    if not (is_number(event.rate) and 0 <= event.rate <= 100):
        raise _invalid(event, "a rate lies within 0..100")
    course.take_in(event.on)
    course.rate = event.rate
    course.forget_plan(solve=True)


def _pause(course: Course, tally: _Tally, event: happened.InterestPaused) -> None:
    del tally
    if event.until <= event.on:
        raise _invalid(event, "the pause must end after it begins")
    course.take_in(event.on)
    course.pauses.append((event.on, event.until))
    course.forget_plan(solve=False)


def _waive(course: Course, tally: _Tally, event: happened.Waived) -> None:
    asked = {
        Part.PENALTY: event.penalty_minor,
        Part.FEE: event.fee_minor,
        Part.INTEREST: event.interest_minor,
    }
    for line in course.lines:
        course.settle_penalty(line, event.on)
    for part, amount in asked.items():
        left = amount
        for line in course.lines:
            given = min(left, line.left(part)) if line.span.due_on <= event.on else 0
            line.waived[part] += given
            left -= given
        if left or amount < 0:
            raise _invalid(event, f"{part.value}: {amount - left} is due, {amount} was waived")
        tally.waived[part] += amount
    for line in course.lines:
        course.restart_penalty(line, event.on)
        course.note_paid(line, event.on)


def _charge(course: Course, tally: _Tally, event: happened.FeeCharged) -> None:
    del tally
    if course.spans:
        course.carry[Part.FEE] += event.amount_minor
    else:
        course.lines[-1].asks[Part.FEE] += event.amount_minor
        course.lines[-1].paid_on = None


def _refund(course: Course, tally: _Tally, event: happened.Refunded) -> None:
    if event.amount_minor > course.credit:
        raise _invalid(event, f"the credit balance is {course.credit}")
    course.credit -= event.amount_minor
    tally.refunded += event.amount_minor


def _write_off(course: Course, tally: _Tally, event: happened.WrittenOff) -> None:
    """Make all that is owed due, stop what accrues, and count what was given up."""
    on = event.on
    if course.written_off_on is not None:
        raise _invalid(event, "it is written off already")
    for line in course.lines:
        course.settle_penalty(line, on)
        line.penalty_from, line.penalty_base = None, 0
    if course.spans:
        course.lines.append(_accelerated(course, on))
        course.spans, course.ahead, course.line = [], 0, None
        course.advance.clear()
        course.carry = none_of_any()
        course.forget_plan(solve=False)
    course.written_off_on = on
    for part in Part:
        tally.written_off[part] = sum(line.left(part) for line in course.lines)


def _accelerated(course: Course, on: date) -> Line:
    """Return one row that asks for all that lay ahead."""
    assert course.line is not None, "a period is open"
    earned = course.line.earned_minor(on)
    paid = none_of_any()
    for one in course.advance.values():
        for part in Part:
            paid[part] += one[part]
    interest = earned + course.deferred_minor
    more = max(0, paid[Part.INTEREST] - interest - course.carry[Part.INTEREST])
    asks = {
        Part.PENALTY: course.carry[Part.PENALTY],
        Part.FEE: max(course.carry[Part.FEE], paid[Part.FEE]),
        Part.INTEREST: interest + course.carry[Part.INTEREST] + more,
        Part.PRINCIPAL: course.ahead,
    }
    span = Span(course.spans[0].from_on, on, on, is_regular=False)
    nr = len(course.lines) + 1
    line = Line(nr, RowKind.INSTALMENT, span, asks, earned + more, 0, has_fallen=True)
    line.paid = paid
    return line


_APPLY: Final[dict[type, Callable[..., None]]] = {
    happened.Disbursed: _disburse,
    happened.Repaid: _repay,
    happened.PrepaidPart: _prepay,
    happened.PaidOff: _pay_off,
    happened.DueDatesMoved: _move,
    happened.ReAged: _re_age,
    happened.Extended: _extend,
    happened.RateChanged: _change_rate,
    happened.InterestPaused: _pause,
    happened.Waived: _waive,
    happened.FeeCharged: _charge,
    happened.Refunded: _refund,
    happened.WrittenOff: _write_off,
}


def _standing(course: Course, tally: _Tally, as_of: date) -> Standing:
    accrual = course.line
    if course.runs_on_outstanding and course.spans:
        course.take_in(as_of)
    rows = course.rows(as_of)
    late = [row for row in rows if row.due_on < as_of and _plan_left(row) > 0]
    oldest = late[0].due_on if late else None
    written_off = course.written_off_on is not None
    totals = _totals(course, tally, rows, as_of)
    asked = sum(row.accrues_minor for row in rows), sum(row.fee_minor for row in rows)
    is_earned = asked == (totals.interest_earned_minor, totals.fee_earned_minor)
    is_closed = is_earned and not any(row.open_minor for row in rows)
    return Standing(
        terms=course.terms,
        as_of=as_of,
        rows=rows,
        prepaid=tuple(course.prepaid),
        applied=tuple(course.applied),
        totals=totals,
        instalment_minor=(course.given or 0) if is_equal(course.method, course.terms) else 0,
        principal_minor=0 if written_off else course.principal,
        due_minor=sum(row.open_minor for row in rows if row.due_on <= as_of),
        overdue_minor=sum(row.open_minor for row in rows if row.due_on < as_of),
        oldest_due_on=oldest,
        days_past_due=(as_of - oldest).days if oldest else 0,
        accrual=accrual,
        written_off_on=course.written_off_on,
        closed_on=tally.last_on if is_closed else None,
    )


def _plan_left(row: Row) -> int:
    """Return what a row still asks for without penalty."""
    penalty = row.penalty_minor - row.paid_penalty_minor - row.waived_penalty_minor
    return row.open_minor - penalty


def _totals(course: Course, tally: _Tally, rows: tuple[Row, ...], as_of: date) -> Totals:
    behind = rows if course.settled_on is not None else rows[: len(course.lines)]
    earned = sum(row.accrues_minor for row in behind)
    if course.line is not None and behind is not rows:
        earned += course.line.earned_minor(as_of)
    carry = none_of_any() if behind is rows else course.carry
    fees = sum(row.fee_minor for row in behind) + carry[Part.FEE]
    penalties = sum(row.penalty_minor for row in behind) + carry[Part.PENALTY]
    return Totals(
        disbursed_minor=tally.disbursed,
        received_minor=tally.received,
        refunded_minor=tally.refunded,
        down_payment_minor=course.down_payment,
        principal_paid_minor=course.paid[Part.PRINCIPAL],
        interest_earned_minor=earned,
        interest_paid_minor=course.paid[Part.INTEREST],
        interest_waived_minor=tally.waived[Part.INTEREST],
        fee_earned_minor=fees,
        fee_paid_minor=course.paid[Part.FEE],
        fee_waived_minor=tally.waived[Part.FEE],
        penalty_earned_minor=penalties,
        penalty_paid_minor=course.paid[Part.PENALTY],
        penalty_waived_minor=tally.waived[Part.PENALTY],
        principal_written_off_minor=tally.written_off[Part.PRINCIPAL],
        interest_written_off_minor=tally.written_off[Part.INTEREST],
        fee_written_off_minor=tally.written_off[Part.FEE],
        penalty_written_off_minor=tally.written_off[Part.PENALTY],
        recovered_minor=course.recovered,
        credit_minor=course.credit,
    )
