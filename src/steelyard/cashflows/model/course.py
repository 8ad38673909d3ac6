"""The course of a contract: its rows behind, its periods ahead, and how one becomes the other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from steelyard.cashflows.model.allocation import (
    STANDARD,
    Advance,
    Allocation,
    Owed,
    Part,
    Taken,
    When,
    allocate,
)
from steelyard.cashflows.model.dates import Span, schedule_dates
from steelyard.cashflows.model.daycount import Ratio
from steelyard.cashflows.model.factors import factor
from steelyard.cashflows.model.plan import graces, instalment_of, opening_row, row_fee
from steelyard.cashflows.model.spread import Part as Planned
from steelyard.cashflows.model.spread import Stretch, rounded, spread
from steelyard.cashflows.model.standing import Accrual, Applied, Prepaid, Row, RowKind
from steelyard.cashflows.model.terms import Accrues, InterestOn, Method, Terms

Parts = dict[Part, int]


_NOTHING: Final[Parts] = dict.fromkeys(Part, 0)


def none_of_any() -> Parts:
    """Return nothing of each part."""
    return _NOTHING.copy()


@dataclass(slots=True)
class Line:
    """A row whose period is over."""

    nr: int
    kind: RowKind
    span: Span
    asks: Parts
    accrues: int
    balance: int
    paid: Parts = field(default_factory=none_of_any)
    waived: Parts = field(default_factory=none_of_any)
    penalty_from: date | None = None
    penalty_base: int = 0
    has_fallen: bool = False
    paid_on: date | None = None

    def left(self, part: Part) -> int:
        """Return what it still asks for of a part; of penalty, as of the last settlement."""
        return self.asks[part] - self.paid[part] - self.waived[part]

    @property
    def left_of_plan(self) -> int:
        """Return what it still asks for without penalty."""
        return self.left(Part.FEE) + self.left(Part.INTEREST) + self.left(Part.PRINCIPAL)


@dataclass(slots=True)
class Course:
    """A contract on its way from day to day; `run` drives it.

    Attributes
    ----------
    ahead : principal that no row behind asks for
    original : what flat interest is charged on
    given : the equal instalment, or the equal part of the principal; None: to be solved anew
    done : instalments behind since the plan was last laid out
    open_at, open_exact : to when interest of the open period was taken in, and how much
    advance : what was paid of rows ahead, by number
    carry : earlier interest, fees and penalty that the next row asks for
    stop_on : no interest from this day on
    settled_on : when all was paid off early; what it still asked for was earned that day
    """

    terms: Terms
    spans: list[Span]
    ahead: int
    original: int
    rate: Decimal
    method: Method
    amortises_at: int
    defers_to: int
    free_to: int
    open_at: date
    lines: list[Line] = field(default_factory=list)
    given: int | None = None
    done: int = 0
    open_exact: Fraction = Fraction(0)
    deferred: Fraction = Fraction(0)
    deferred_minor: int = 0
    advance: dict[int, Parts] = field(default_factory=dict)
    carry: Parts = field(default_factory=none_of_any)
    pauses: list[tuple[date, date]] = field(default_factory=list)
    stop_on: date | None = None
    has_no_more_fees: bool = False
    settled_on: date | None = None
    credit: int = 0
    written_off_on: date | None = None
    applied: list[Applied] = field(default_factory=list)
    prepaid: list[Prepaid] = field(default_factory=list)
    paid: Parts = field(default_factory=none_of_any)
    down_payment: int = 0
    recovered: int = 0
    line: Accrual | None = None
    _planned: list[Planned] | None = None
    _term_days: int = 0

    @classmethod
    def begin(cls, terms: Terms) -> Course:
        """Return the course of a contract on the day on which it is paid out."""
        spans = list(schedule_dates(terms))
        amortises, defers = graces(terms, len(spans))
        first = opening_row(terms)
        down = first.principal_minor if first else 0
        course = cls(
            terms=terms,
            spans=spans,
            ahead=terms.principal_minor - down,
            original=terms.principal_minor - down,
            rate=terms.rate,
            method=terms.method,
            amortises_at=amortises,
            defers_to=defers,
            free_to=terms.interest_free,
            open_at=terms.start_on,
            _term_days=(spans[-1].to_on - terms.start_on).days,
        )
        if first:
            asks = none_of_any() | {Part.PRINCIPAL: down, Part.FEE: first.fee_minor}
            span = Span(first.from_on, first.to_on, first.due_on)
            course.lines.append(Line(1, first.kind, span, asks, 0, first.balance_minor))
        course.anchor(terms.start_on)
        return course

    def fork(self) -> Course:
        """Return a course that goes its own way from here."""
        return replace(
            self,
            spans=list(self.spans),
            lines=[
                replace(line, asks=dict(line.asks), paid=dict(line.paid), waived=dict(line.waived))
                for line in self.lines
            ],
            advance={nr: dict(paid) for nr, paid in self.advance.items()},
            carry=dict(self.carry),
            pauses=list(self.pauses),
            applied=list(self.applied),
            prepaid=list(self.prepaid),
            paid=dict(self.paid),
        )

    # -- balances ----------------------------------------------------------------------------

    @property
    def principal(self) -> int:
        """Return principal that is owed, due or not."""
        return (
            self.ahead
            - sum(paid[Part.PRINCIPAL] for paid in self.advance.values())
            + sum(line.left(Part.PRINCIPAL) for line in self.lines)
        )

    @property
    def bearing(self) -> int:
        """Return the amount on which interest runs today."""
        if self.terms.interest_on is InterestOn.ORIGINAL:
            return self.original
        return self.principal if self.runs_on_outstanding else self.ahead

    @property
    def runs_on_outstanding(self) -> bool:
        """Whether interest runs on what is really owed."""
        return (
            self.terms.accrues is Accrues.OUTSTANDING
            and self.terms.interest_on is InterestOn.BALANCE
        )

    # -- interest ----------------------------------------------------------------------------

    def _factor(self, n: int) -> Ratio:
        """Return interest per one over the n-th period ahead, pauses and the stop left out."""
        span = self.spans[n]
        if self.done + n < self.free_to:
            return 0, 1
        num, den = factor(self.terms, self.rate, span, self._term_days)
        days = span.days
        bears = self._bearing_days(span.from_on, span.to_on)
        return (num, den) if bears == days else (num * bears, den * days)

    def _bearing_days(self, from_on: date, to_on: date) -> int:
        """Return the days of a span on which interest runs."""
        if self.stop_on is not None:
            to_on = min(to_on, self.stop_on)
        days = max(0, (to_on - from_on).days)
        if not self.pauses or not days:
            return days
        return sum(
            not any(start <= day < end for start, end in self.pauses)
            for day in map(date.fromordinal, range(from_on.toordinal(), to_on.toordinal()))
        )

    def _interest(self, base: int, from_on: date, to_on: date) -> Fraction:
        """Return exact interest on an amount over a part of the open period."""
        span = self.spans[0]
        bears = self._bearing_days(from_on, to_on)
        if not bears or self.done < self.free_to:
            return Fraction(0)
        num, den = factor(self.terms, self.rate, span, self._term_days)
        return Fraction(base * num * bears, den * span.days)

    def take_in(self, on: date) -> None:
        """Take in the interest of the open period up to a day, before something changes it."""
        self._planned = None
        if self.spans and on > self.open_at:
            self.open_exact += self._interest(self.bearing, self.open_at, on)
            self.open_at = on

    def _first_interest(self, base: int) -> Fraction | None:
        """Return the exact interest of the open period, None where nothing changed within it."""
        span = self.spans[0]
        if self.open_at == span.from_on and not self.open_exact:
            return None
        return self.open_exact + self._interest(base, self.open_at, span.to_on)

    # -- the plan ahead ----------------------------------------------------------------------

    def planned(self) -> list[Planned]:
        """Return what the periods ahead will ask for, once what is late has been paid."""
        if self._planned is None:
            stretch = self._stretch()
            if self.given is None:
                self.given = instalment_of(self.terms, stretch)
            self._planned = spread(self.terms, stretch, self.given)
        return self._planned

    def _stretch(self) -> Stretch:
        advance: list[int] | None = None
        if self.advance:
            first = self._next_nr
            advance = [
                self.advance.get(first + n, none_of_any())[Part.PRINCIPAL]
                for n in range(len(self.spans))
            ]
        flat = self.terms.interest_on is InterestOn.ORIGINAL
        ahead = self.ahead
        if advance and self.runs_on_outstanding:
            ahead -= sum(advance)
        last = len(self.spans) - 1
        return Stretch(
            principal_minor=self.ahead,
            original_minor=self.original,
            factors=[self._factor(n) for n in range(len(self.spans))],
            method=self.method,
            first_interest=self._first_interest(self.original if flat else ahead),
            amortises_from=min(max(0, self.amortises_at - self.done), last),
            defers_until=min(max(0, self.defers_to - self.done), last),
            deferred=self.deferred,
            deferred_minor=self.deferred_minor,
            advance=advance,
            bears_on_advance=not self.runs_on_outstanding,
        )

    @property
    def _next_nr(self) -> int:
        return len(self.lines) + 1

    def forget_plan(self, *, solve: bool) -> None:
        """Let the plan ahead be made anew, with the same instalment or with another."""
        self._planned = None
        if solve:
            self.given = None

    def anchor(self, on: date) -> None:
        """Lay the line on which interest is earned anew where the open period changed."""
        if not self.spans:
            self.line = None
            return
        span, total = self.spans[0], self._open_total()
        nr, end = self._next_nr, span.to_on
        if self.stop_on is not None and self.stop_on < end:
            end = max(self.stop_on, span.from_on)
        if self.settled_on is not None:
            end = max(self.settled_on, span.from_on)
        old = self.line
        if old is not None and old.nr == nr:
            if old.total_minor == total and old.to_on == end:
                return
            self.line = Accrual(nr, on, end, min(old.earned_minor(on), total), total)
        else:
            self.line = Accrual(nr, span.from_on, end, 0, total)

    def _open_total(self) -> int:
        """Return what the open period earns to its end, if nothing is paid any more."""
        if not self._strays():
            return self._line_of(0, self.planned()[0]).accrues
        exact = self.deferred + self.open_exact
        exact += self._interest(self.bearing, self.open_at, self.spans[0].to_on)
        return self._rounded(exact) - self.deferred_minor

    @property
    def _ahead_net(self) -> int:
        return self.ahead - sum(paid[Part.PRINCIPAL] for paid in self.advance.values())

    def _rounded(self, exact: Fraction) -> int:
        terms = self.terms
        return rounded(
            exact.numerator, exact.denominator, terms.rounding, terms.part_multiple_minor
        )

    # -- from day to day ---------------------------------------------------------------------

    def advance_to(self, on: date) -> None:
        """Let the days pass: periods end, instalments fall due, credit is set against them."""
        while True:
            due = next((line for line in self.lines if not line.has_fallen), None)
            ends = self.spans[0].to_on if self.spans else None
            if (
                due is not None
                and due.span.due_on <= on
                and (ends is None or due.span.due_on < ends)
            ):
                self._fall_due(due)
            elif ends is not None and ends <= on:
                self._close_period()
            elif due is not None and due.span.due_on <= on:
                self._fall_due(due)
            else:
                return

    def _fall_due(self, line: Line) -> None:
        line.has_fallen = True
        if self.credit and self.written_off_on is None:
            held, self.credit = self.credit, 0
            self.credit += self.pay(held, STANDARD, line.span.due_on, 0)

    def _close_period(self) -> None:
        """Turn the open period into a row behind."""
        span = self.spans[0]
        if self._strays():
            self.take_in(span.to_on)
        part, *rest = self.planned()
        self._close_deferral(part)
        line = self._line_of(0, part)
        self.lines.append(line)
        self.advance.pop(line.nr, None)
        self.carry = none_of_any()
        self.spans.pop(0)
        self.ahead -= part.principal_minor
        self.done += 1
        self.open_at, self.open_exact = span.to_on, Fraction(0)
        self._planned = None if self._strays() else rest
        self.anchor(span.to_on)

    def _strays(self) -> bool:
        """Whether interest runs on something else than the plan ahead: an instalment is late."""
        return self.runs_on_outstanding and self.principal != self._ahead_net

    def _close_deferral(self, part: Planned) -> None:
        """Keep the exact interest of a period that puts it off."""
        if self.done < self.defers_to and len(self.spans) > 1:
            exact = self._first_interest(self.bearing)
            if exact is None:
                num, den = self._factor(0)
                exact = Fraction(self.bearing * num, den)
            self.deferred += exact
            self.deferred_minor += part.accrues_minor
        else:
            self.deferred, self.deferred_minor = Fraction(0), 0

    def _line_of(self, n: int, part: Planned) -> Line:
        """Return the row of the n-th period ahead, with what was paid of it in advance."""
        nr = self._next_nr + n
        paid = dict(self.advance.get(nr, none_of_any()))
        fee = 0
        if self.terms.fees and not (self.has_no_more_fees and n):
            before = self.ahead - sum(one.principal_minor for one in self.planned()[:n])
            fee = row_fee(self.terms, part, before, is_last=n == len(self.spans) - 1)
        carry = self.carry if n == 0 else none_of_any()
        interest = part.interest_minor + carry[Part.INTEREST]
        more = max(0, paid[Part.INTEREST] - interest)
        asks = {
            Part.PENALTY: carry[Part.PENALTY],
            Part.FEE: max(fee + carry[Part.FEE], paid[Part.FEE]),
            Part.INTEREST: interest + more,
            Part.PRINCIPAL: part.principal_minor,
        }
        balance = self.ahead - sum(one.principal_minor for one in self.planned()[: n + 1])
        line = Line(nr, RowKind.INSTALMENT, self.spans[n], asks, part.accrues_minor + more, balance)
        line.paid = paid
        return line

    def lines_ahead(self) -> list[Line]:
        """Return the rows of the periods ahead, as planned."""
        return (
            [self._line_of(n, part) for n, part in enumerate(self.planned())] if self.spans else []
        )

    # -- penalty -----------------------------------------------------------------------------

    def penalty_of(self, line: Line, on: date) -> int:
        """Return the penalty that a row asks for on a day."""
        start, base = self._penalty_line(line, on)
        if start is None:
            return line.asks[Part.PENALTY]
        rule = self.terms.penalty
        assert rule is not None, "penalty runs by a rule"
        num, den = rule.rate.as_integer_ratio()
        num, den = base * num * (on - start).days, den * rule.days_in_year
        return line.asks[Part.PENALTY] + (2 * num + den) // (2 * den)

    def _penalty_line(self, line: Line, on: date) -> tuple[date | None, int]:
        """Return from when and on what penalty runs on a day; no date where none does."""
        rule = self.terms.penalty
        if rule is None or self.written_off_on is not None:
            return None, 0
        if line.penalty_from is not None:
            return line.penalty_from, line.penalty_base
        base = self._penal(line)
        if base and (on - line.span.due_on).days > rule.grace_days:
            return line.span.due_on, base
        return None, 0

    def _penal(self, line: Line) -> int:
        rule = self.terms.penalty
        assert rule is not None, "penalty runs by a rule"
        late = line.left(Part.PRINCIPAL)
        return late + line.left(Part.INTEREST) if rule.on_interest else late

    def settle_penalty(self, line: Line, on: date) -> None:
        """Charge the penalty up to a day; it runs on from there once `restart_penalty` says so."""
        start, _ = self._penalty_line(line, on)
        if start is not None:
            line.asks[Part.PENALTY] = self.penalty_of(line, on)
            line.penalty_from, line.penalty_base = on, self._penal(line)

    def restart_penalty(self, line: Line, on: date) -> None:
        """Let penalty run on what is left of a row after a part of it was paid or forgiven."""
        if line.penalty_from is not None:
            base = self._penal(line)
            line.penalty_from, line.penalty_base = (on, base) if base else (None, 0)

    # -- money in ----------------------------------------------------------------------------

    def pay(self, amount: int, rule: Allocation, on: date, seq: int) -> int:
        """Set money against what is owed, and return what is left over."""
        for line in self.lines:
            self.settle_penalty(line, on)
        ahead: list[Line] = []
        if rule.advance in (Advance.NEXT, Advance.LAST) and self.spans:
            self.take_in(on)
            ahead = self.lines_ahead()
        takes_ahead = rule.advance in (Advance.NEXT, Advance.LAST)
        owed = [
            self._owed(line, on)
            for line in (*self.lines, *ahead)
            if takes_ahead or line.span.due_on <= on
        ]
        taken, left = allocate(amount, owed, rule)
        if self.runs_on_outstanding and any(one.part is Part.PRINCIPAL for one in taken):
            self.take_in(on)
        for one in taken:
            self._take(one, on, seq)
        for line in self.lines:
            self.restart_penalty(line, on)
            self.note_paid(line, on)
        return left

    def _owed(self, line: Line, on: date) -> Owed:
        due = line.span.due_on
        when = When.PAST_DUE if due < on else When.DUE if due == on else When.IN_ADVANCE
        return Owed(line.nr, when, *(line.left(part) for part in Part))

    def _take(self, one: Taken, on: date, seq: int) -> None:
        """Book a part of a payment on its row."""
        if one.nr <= len(self.lines):
            line = self.lines[one.nr - 1]
            line.paid[one.part] += one.amount_minor
            is_down = line.kind is RowKind.DOWN_PAYMENT and one.part is Part.PRINCIPAL
        else:
            self.advance.setdefault(one.nr, none_of_any())[one.part] += one.amount_minor
            self._planned = None
            is_down = False
        self.applied.append(Applied(seq, on, one))
        if self.written_off_on is not None:
            self.recovered += one.amount_minor
        elif is_down:
            self.down_payment += one.amount_minor
        else:
            self.paid[one.part] += one.amount_minor

    def give_back_unearned(self, on: date, seq: int) -> None:
        """Turn what was paid in advance, and is not asked for any more, into credit."""
        first = self._next_nr
        for nr, paid in self.advance.items():
            part = self.planned()[nr - first]
            before, self.advance = self.advance, {}
            asks = self._line_of(nr - first, part).asks
            self.advance = before
            for one in (Part.FEE, Part.INTEREST):
                more = paid[one] - asks[one]
                if more > 0:
                    paid[one] -= more
                    self.paid[one] -= more
                    self.credit += more
                    self.applied.append(Applied(seq, on, Taken(nr, When.IN_ADVANCE, one, -more)))

    def note_paid(self, line: Line, on: date) -> None:
        """Remember the day on which nothing of a row was left."""
        is_paid = line.left_of_plan == 0 and line.left(Part.PENALTY) == 0
        if not is_paid:
            line.paid_on = None
        elif line.paid_on is None:
            line.paid_on = on

    def take_off(self, amount: int, on: date, seq: int) -> int:
        """Take principal off the plan early, and return what there was none for."""
        self.take_in(on)
        principal = min(amount, self._ahead_net)
        if principal > 0:
            self.ahead -= principal
            self.original -= min(principal, self.original)
            self.prepaid.append(Prepaid(seq, on, principal))
            self.paid[Part.PRINCIPAL] += principal
        return amount - principal

    def rows(self, on: date) -> tuple[Row, ...]:
        """Return the whole schedule as of a day."""
        return tuple(self._row(line, on) for line in (*self.lines, *self.lines_ahead()))

    def _row(self, line: Line, on: date) -> Row:
        start, base = (None, 0)
        penalty = line.asks[Part.PENALTY]
        if line.nr <= len(self.lines):
            start, base = self._penalty_line(line, on)
            penalty = self.penalty_of(line, on)
        return Row(
            nr=line.nr,
            kind=line.kind,
            from_on=line.span.from_on,
            to_on=line.span.to_on,
            due_on=line.span.due_on,
            principal_minor=line.asks[Part.PRINCIPAL],
            interest_minor=line.asks[Part.INTEREST],
            fee_minor=line.asks[Part.FEE],
            penalty_minor=penalty,
            balance_minor=line.balance,
            accrues_minor=line.accrues,
            paid_principal_minor=line.paid[Part.PRINCIPAL],
            paid_interest_minor=line.paid[Part.INTEREST],
            paid_fee_minor=line.paid[Part.FEE],
            paid_penalty_minor=line.paid[Part.PENALTY],
            waived_interest_minor=line.waived[Part.INTEREST],
            waived_fee_minor=line.waived[Part.FEE],
            waived_penalty_minor=line.waived[Part.PENALTY],
            paid_on=line.paid_on,
            penalty_from=start,
            penalty_base_minor=base,
            penalty_before_minor=line.asks[Part.PENALTY],
        )


def with_advance(rule: Allocation) -> Allocation:
    """Return a rule that takes the next rows, whatever it does with money in advance."""
    return replace(rule, advance=Advance.NEXT)
