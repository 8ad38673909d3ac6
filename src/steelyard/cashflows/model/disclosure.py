"""What a credit costs, as it is shown before a contract is made.

Announcement [2021] No. 3 of the People's Bank of China: whoever lends shows the annualised rate,
all costs of the borrower over the principal that was really in use. It is compound (the internal
rate of return of the borrower's flows) or simple; where it is simple, that is said beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import expm1, log1p
from typing import Final, NamedTuple

from steelyard.cashflows.model.apr import apr
from steelyard.cashflows.model.daycount import months_between
from steelyard.cashflows.model.eu_apr import TimeBase, eu_apr
from steelyard.cashflows.model.irr import Flow, FlowsAreInvalid, Point, sole_rate
from steelyard.cashflows.model.plan import plan
from steelyard.cashflows.model.standing import Row, RowKind
from steelyard.cashflows.model.terms import Terms, Unit
from steelyard.kernel import Rounding
from steelyard.kernel.rounding import round_to

_DIGITS: Final = 6
_DAYS_IN_YEAR: Final = 365
_MONTHS_IN_YEAR: Final = 12


class RateMethod(StrEnum):
    """How the costs of a credit become one rate."""

    COMPOUND = "compound"
    """Internal rate of return, compounded over a year."""
    SIMPLE = "simple"
    """Internal rate of return of a period, times the periods of a year."""
    REG_Z = "reg_z"
    """US Regulation Z, Appendix J."""
    EU = "eu"
    """Directive 2008/48/EC, Annex I."""


_LABELS: Final = {
    RateMethod.COMPOUND: (
        "Annualised rate of all costs (compound, internal rate of return)",
        "年化综合利率（复利，内部收益率法）",
    ),
    RateMethod.SIMPLE: ("Annualised rate of all costs (simple)", "年化综合利率（单利）"),
    RateMethod.REG_Z: (
        "Annual percentage rate (US Regulation Z, actuarial)",
        "年百分率（美国 Z 条例，精算法）",
    ),
    RateMethod.EU: (
        "Annual percentage rate of charge (Directive 2008/48/EC)",
        "年费用率（欧盟 2008/48/EC 指令）",
    ),
}
CHINA: Final = (RateMethod.COMPOUND, RateMethod.SIMPLE)


class Annualised(NamedTuple):
    """The rate of all costs, per one and year.

    Attributes
    ----------
    compound : the internal rate of return
    simple : that of one period, times the periods of a year
    per_period : that of one period
    """

    compound: Decimal
    simple: Decimal
    per_period: Decimal


class Timing(StrEnum):
    """How the distance of a flow from the first becomes years."""

    MONTHS = "months"
    """Whole months are 1/12, days beyond them their part of the month that they lie in."""
    DAYS = "days"
    """Days over 365."""


@dataclass(frozen=True, slots=True)
class LabelledRate:
    """A rate of all costs and how it is called.

    Attributes
    ----------
    per_one : a year, to six digits
    en, zh : the words beside it; a simple rate says that it is simple
    """

    method: RateMethod
    per_one: Decimal
    en: str
    zh: str

    @property
    def percent(self) -> str:
        """Return it in percent with two digits, as it is shown."""
        return f"{round_to(self.per_one * 100, 2, Rounding.HALF_UP)}%"


class PeriodCost(NamedTuple):
    """A line of the table of payments, minor units."""

    nr: int
    due_on: date
    principal_minor: int
    interest_minor: int
    fee_minor: int
    total_minor: int
    balance_minor: int


class CostLine(NamedTuple):
    """A figure of a disclosure with its words, minor units."""

    code: str
    en: str
    zh: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostDisclosure:
    """Every cost of a credit.

    Attributes
    ----------
    principal_minor : of the credit, a down payment not included
    received_minor : what the borrower has in hand after the first day
    payments_minor : all that is paid back after the first day
    interest_minor, fee_minor : over the whole term, fees of the first day included
    cost_minor : the two together: ``payments_minor - received_minor``
    down_payment_minor : paid by the customer himself; no part of the credit
    compound, simple : annualised rates of all costs, per one
    rates : those asked for, with their words
    periods : what is paid when
    """

    currency: str
    principal_minor: int
    received_minor: int
    payments_minor: int
    interest_minor: int
    fee_minor: int
    cost_minor: int
    down_payment_minor: int
    compound: Decimal
    simple: Decimal
    rates: tuple[LabelledRate, ...]
    periods: tuple[PeriodCost, ...]

    @property
    def lines(self) -> tuple[CostLine, ...]:
        """Return the amounts with their words in both languages."""
        return (
            CostLine("principal", "Amount of credit", "贷款本金", self.principal_minor),
            CostLine("received", "Received on the first day", "首日实际到手", self.received_minor),
            CostLine("interest", "Interest", "利息合计", self.interest_minor),
            CostLine("fees", "Fees", "费用合计", self.fee_minor),
            CostLine("cost", "Total cost of credit", "息费合计", self.cost_minor),
            CostLine("payments", "Total of payments", "还款总额", self.payments_minor),
        )


def disclose(
    terms: Terms, rows: Sequence[Row] | None = None, methods: Sequence[RateMethod] = CHINA
) -> CostDisclosure:
    """Return every cost of a contract, and what it is a year.

    Parameters
    ----------
    rows : of its plan; None: `plan` makes them
    methods : the rates shown beside the two that are always computed

    Refusals
    --------
    flows_are_invalid : nothing is received
    rate_does_not_exist, rate_is_not_unique

    Examples
    --------
    >>> flat = Terms(principal_minor=1_200_000, start_on=date(2024, 1, 31), instalments=12,
    ...              rate=Decimal("0.12"))
    >>> cost = disclose(flat)
    >>> cost.cost_minor, [f"{one.zh} {one.percent}" for one in cost.rates]
    (79423, ['年化综合利率（复利，内部收益率法） 12.68%', '年化综合利率（单利） 12.00%'])
    """
    made = plan(terms).rows if rows is None else tuple(rows)
    opening = [row for row in made if row.kind is RowKind.DOWN_PAYMENT]
    later = [row for row in made if row.kind is not RowKind.DOWN_PAYMENT]
    down = sum(row.principal_minor for row in opening)
    received = terms.principal_minor - sum(row.total_minor for row in opening)
    if received <= 0:
        raise FlowsAreInvalid(why="nothing is received")
    out = [Flow(terms.start_on, received)]
    back = [Flow(row.due_on, row.total_minor) for row in later]
    annual = annualised(out, back, *_clock(terms))
    payments = sum(flow.amount_minor for flow in back)
    return CostDisclosure(
        currency=terms.currency,
        principal_minor=terms.principal_minor - down,
        received_minor=received,
        payments_minor=payments,
        interest_minor=sum(row.interest_minor for row in made),
        fee_minor=sum(row.fee_minor for row in made),
        cost_minor=payments - received,
        down_payment_minor=down,
        compound=annual.compound,
        simple=annual.simple,
        rates=tuple(_labelled(one, terms, annual, (out, back)) for one in methods),
        periods=tuple(_period(row) for row in made),
    )


def annualised(
    received: Sequence[Flow],
    paid: Sequence[Flow],
    timing: Timing = Timing.DAYS,
    periods_per_year: Fraction = Fraction(_MONTHS_IN_YEAR),
) -> Annualised:
    """Return the rate of all costs of any list of dated flows.

    Parameters
    ----------
    received : by the borrower; the first is where time begins
    paid : by the borrower, of principal, interest and every fee
    periods_per_year : what the simple rate counts; a quarter is 4

    Returns
    -------
    Annualised
        To six digits. The compound rate is at least the simple one where a period is shorter
        than a year.

    Refusals
    --------
    flows_are_invalid, rate_does_not_exist, rate_is_not_unique

    Examples
    --------
    >>> lent = [Flow(date(2026, 1, 1), 100_000)]
    >>> str(annualised(lent, [Flow(date(2027, 1, 1), 112_000)]).compound)
    '0.120000'
    """
    if not received or not paid:
        raise FlowsAreInvalid(why="nothing is received or nothing is paid")
    start = min(flow.on for flow in received)
    if any(flow.on < start for flow in paid):
        raise FlowsAreInvalid(why="a payment before anything is received")
    points = [
        *(Point(flow.amount_minor, years(start, flow.on, timing)) for flow in received),
        *(Point(-flow.amount_minor, years(start, flow.on, timing)) for flow in paid),
    ]
    return _of_points(points, periods_per_year)


def fee_to_rate(fee: Decimal, months: int, upfront: Decimal = Decimal(0)) -> Annualised:
    """Return what a monthly fee on the whole amount is a year, the amount repaid in equal parts.

    Parameters
    ----------
    fee : a month, per one of the original amount
    upfront : once at the start, per one of the original amount

    Refusals
    --------
    flows_are_invalid, rate_does_not_exist

    Examples
    --------
    >>> found = fee_to_rate(Decimal("0.006"), 12)
    >>> f"{found.simple:.4f} {found.compound:.4f}"
    '0.1303 0.1384'
    """
    if months < 1 or fee < 0 or not 0 <= upfront < 1:
        raise FlowsAreInvalid(why="months >= 1, fee >= 0, 0 <= upfront < 1")
    each = 1 / months + float(fee)
    points = [
        Point(1 - float(upfront), 0.0),
        *(Point(-each, month / _MONTHS_IN_YEAR) for month in range(1, months + 1)),
    ]
    return _of_points(points, Fraction(_MONTHS_IN_YEAR))


def years(from_on: date, to_on: date, timing: Timing) -> float:
    """Return a distance in years.

    Examples
    --------
    >>> years(date(2024, 1, 31), date(2024, 4, 30), Timing.MONTHS)
    0.25
    """
    if timing is Timing.DAYS:
        return (to_on - from_on).days / _DAYS_IN_YEAR
    months, rest, of = months_between(from_on, to_on)
    return (months + rest / of) / _MONTHS_IN_YEAR


def _of_points(points: Sequence[Point], periods_per_year: Fraction) -> Annualised:
    compound = sole_rate(points)
    each = expm1(log1p(compound) / float(periods_per_year))
    return Annualised(_six(compound), _six(each * float(periods_per_year)), _ten(each))


def _six(rate: float) -> Decimal:
    return round_to(Decimal(rate), _DIGITS, Rounding.HALF_UP)


def _ten(rate: float) -> Decimal:
    return round_to(Decimal(rate), 10, Rounding.HALF_UP)


def _clock(terms: Terms) -> tuple[Timing, Fraction]:
    """Return how the dates of a contract are counted, and the periods that make its year."""
    match terms.unit:
        case Unit.MONTH:
            return Timing.MONTHS, Fraction(_MONTHS_IN_YEAR, terms.every)
        case Unit.WEEK:
            return Timing.DAYS, Fraction(_DAYS_IN_YEAR, 7 * terms.every)
        case Unit.DAY:
            return Timing.DAYS, Fraction(_DAYS_IN_YEAR, terms.every)


def _labelled(
    method: RateMethod,
    terms: Terms,
    annual: Annualised,
    flows: tuple[Sequence[Flow], Sequence[Flow]],
) -> LabelledRate:
    received, paid = flows
    match method:
        case RateMethod.COMPOUND:
            rate = annual.compound
        case RateMethod.SIMPLE:
            rate = annual.simple
        case RateMethod.REG_Z:
            rate = _per_one(apr(received, paid).percent)
        case RateMethod.EU:
            rate = _per_one(eu_apr(received, paid, TimeBase(terms.unit.value)))
    return LabelledRate(method, rate, *_LABELS[method])


def _per_one(percent: Decimal) -> Decimal:
    return round_to(percent / 100, _DIGITS, Rounding.HALF_UP)


def _period(row: Row) -> PeriodCost:
    return PeriodCost(
        row.nr,
        row.due_on,
        row.principal_minor,
        row.interest_minor,
        row.fee_minor,
        row.total_minor,
        row.balance_minor,
    )
