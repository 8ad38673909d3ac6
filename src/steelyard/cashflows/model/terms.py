"""The terms of a contract: everything that its schedule depends on, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from steelyard.cashflows.model.allocation import STANDARD, Allocation
from steelyard.cashflows.model.daycount import DayCount, RatePer
from steelyard.cashflows.model.refusals import TermsAreInvalid
from steelyard.kernel import BusinessDayRule, Currency, Rounding

MAX_INSTALMENTS: Final = 1_200
"""A hundred years of months."""
LATEST_YEAR: Final = 2300
"""By then every contract has ended."""
MAX_DECIMALS: Final = 60
"""A rate with more digits after its point would be exact, and without end to reckon with."""
MAX_PRINCIPAL_MINOR: Final = 10**15
"""Amounts up to this keep every intermediate product of the columnar engine exact."""


class Unit(StrEnum):
    """What the distance between two due dates is counted in."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Method(StrEnum):
    """How principal is spread over the instalments."""

    EQUAL_INSTALMENT = "equal_instalment"
    """等额本息: every instalment the same, interest on the balance."""
    EQUAL_PRINCIPAL = "equal_principal"
    """等额本金: the same principal in each; with interest on the original amount, 等本等息."""
    INTEREST_ONLY = "interest_only"
    """先息后本: interest as it falls due, principal with the last."""
    BULLET = "bullet"
    """一次性还本付息: principal and all interest with the last."""
    FIXED_PRINCIPAL = "fixed_principal"
    """A fixed share of the principal in each, the rest with the last (balloon)."""


class InterestOn(StrEnum):
    """The amount that interest is charged on."""

    BALANCE = "balance"
    """What is not repaid."""
    ORIGINAL = "original"
    """What was lent, to the end (flat); the total is spread evenly."""


class Accrues(StrEnum):
    """Whose balance interest runs on once an instalment is late."""

    PLANNED = "planned"
    """The balance of the plan: lateness costs penalty interest, the plan stays."""
    OUTSTANDING = "outstanding"
    """What is really owed: later instalments carry more interest and less principal."""


class MonthEnd(StrEnum):
    """Where a due day goes that a month does not have."""

    CLIP = "clip"
    """To the last day of the month; the day is remembered (31 Jan, 28 Feb, 31 Mar)."""
    ROLL = "roll"
    """To the first day of the next month."""
    LAST = "last"
    """A start on the last day of a month keeps to last days (28 Feb, 31 Mar, 30 Apr)."""


class Residue(StrEnum):
    """Which instalment takes what rounding leaves over."""

    LAST = "last"
    FIRST = "first"


class FeeWhen(StrEnum):
    """When a fee falls due."""

    UPFRONT = "upfront"
    EACH = "each"
    """With each instalment."""
    LAST = "last"


class FeeOf(StrEnum):
    """What a fee's rate is taken of."""

    ORIGINAL = "original"
    BALANCE = "balance"
    """Principal not yet repaid when the period begins."""
    INSTALMENT = "instalment"
    """Principal and interest of the instalment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """A charge that is known when the contract is made.

    Attributes
    ----------
    code : its name in the product
    amount_minor : a fixed amount, added to
    rate : a part, per one, of what `of` names
    """

    code: str
    when: FeeWhen
    amount_minor: int = 0
    rate: Decimal = Decimal(0)
    of: FeeOf = FeeOf.ORIGINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """Penalty interest (罚息) on what is late.

    Attributes
    ----------
    rate : per one and year, simple
    grace_days : paid within so many days after the due date, nothing is charged; paid later, all
    days_in_year : 360 or 365
    on_interest : whether late interest bears it too (复利), not only late principal
    """

    rate: Decimal
    grace_days: int = 0
    days_in_year: int = 365
    on_interest: bool = False


class Prepay(StrEnum):
    """What a part repaid early changes."""

    REDUCE_INSTALMENT = "reduce_instalment"
    """The number of instalments stays, each is smaller."""
    REDUCE_TERM = "reduce_term"
    """The instalment stays, there are fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of a contract of credit.

    Attributes
    ----------
    principal_minor : lent on `start_on`; later tranches are events
    instalments, every, unit : 12, 1, month: twelve instalments, a month apart
    first_due_on : of the first instalment; None: one distance after the start
    month_end, calendar, holiday : how due dates are moved; the calendar is a code of the kernel
    interest_to_due : whether a due date moved by the calendar moves the interest period too
    rate, rate_per : per one and `rate_per`
    refine_instalment : one more try for a last instalment nearer to the others
    instalment_multiple_minor : principal and interest together are rounded to a multiple of it
    part_multiple_minor : principal and interest are each rounded to a multiple of it
    principal_share : of `fixed_principal`, per one of the original amount
    down_payment : part of the price, per one, that is due on the first day
    grace_principal : first instalments without principal
    grace_interest : first instalments whose interest falls due with the one after them
    interest_free : first instalments that bear no interest
    allocations : by the kind of a payment; kinds not named follow `allocation`

    Refusals
    --------
    terms_are_invalid

    Examples
    --------
    >>> Terms(principal_minor=1_200_000, start_on=date(2024, 1, 31), instalments=12,
    ...       rate=Decimal("0.12")).method.value
    'equal_instalment'
    """

    currency: str = "CNY"
    principal_minor: int
    start_on: date
    instalments: int
    every: int = 1
    unit: Unit = Unit.MONTH
    first_due_on: date | None = None
    month_end: MonthEnd = MonthEnd.CLIP
    calendar: str | None = None
    holiday: BusinessDayRule = BusinessDayRule.UNADJUSTED
    interest_to_due: bool = False
    rate: Decimal
    rate_per: RatePer = RatePer.YEAR
    method: Method = Method.EQUAL_INSTALMENT
    interest_on: InterestOn = InterestOn.BALANCE
    accrues: Accrues = Accrues.PLANNED
    day_count: DayCount = DayCount.PERIODS
    rounding: Rounding = Rounding.HALF_UP
    refine_instalment: bool = False
    instalment_multiple_minor: int = 1
    part_multiple_minor: int = 1
    residue: Residue = Residue.LAST
    principal_share: Decimal | None = None
    down_payment: Decimal | None = None
    grace_principal: int = 0
    grace_interest: int = 0
    interest_free: int = 0
    fees: tuple[Fee, ...] = ()
    penalty: Penalty | None = None
    allocation: Allocation = STANDARD
    allocations: Mapping[str, Allocation] = field(default_factory=lambda: MappingProxyType({}))
    prepay: Prepay = Prepay.REDUCE_INSTALMENT

    def __post_init__(self) -> None:
        Currency.of(self.currency)
        for field_name, why in _wrong(self):
            raise TermsAreInvalid(field=field_name, why=why)


_A_YEAR: Final = {Unit.DAY: 365, Unit.WEEK: 52, Unit.MONTH: 12}


def ends_in(first: date, instalments: int, every: int, unit: Unit) -> int:
    """Return the year in which the last of some instalments falls due, or the one before it."""
    return first.year + instalments * every // _A_YEAR[unit]


def is_number(value: Decimal) -> bool:
    """Return whether a part or a rate can be reckoned with.

    Examples
    --------
    >>> is_number(Decimal("0.12")), is_number(Decimal("NaN")), is_number(Decimal("1e-999999"))
    (True, False, False)
    """
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and -MAX_DECIMALS <= exponent <= MAX_DECIMALS


def _wrong(terms: Terms) -> list[tuple[str, str]]:
    """Return what cannot be, field by field."""
    rules = (
        ("principal_minor", 0 < terms.principal_minor <= MAX_PRINCIPAL_MINOR, "1..10^15"),
        ("instalments", 1 <= terms.instalments <= MAX_INSTALMENTS, f"1..{MAX_INSTALMENTS}"),
        ("every", 1 <= terms.every <= 366, "1..366"),
        ("start_on",
         ends_in(terms.first_due_on or terms.start_on, terms.instalments, terms.every, terms.unit)
         <= LATEST_YEAR, f"<= {LATEST_YEAR}"),
        ("first_due_on", terms.first_due_on is None or terms.first_due_on > terms.start_on,
         "> start_on"),
        ("rate", is_number(terms.rate) and 0 <= terms.rate <= 100, "0..100"),
        ("instalment_multiple_minor", terms.instalment_multiple_minor >= 1, ">= 1"),
        ("part_multiple_minor", terms.part_multiple_minor >= 1, ">= 1"),
        ("principal_share",
         (terms.principal_share is not None) == (terms.method is Method.FIXED_PRINCIPAL)
         and (terms.principal_share is None
              or (is_number(terms.principal_share) and 0 < terms.principal_share <= 1)),
         "(0, 1], fixed_principal"),
        ("down_payment", terms.down_payment is None
         or (is_number(terms.down_payment) and 0 < terms.down_payment < 1), "(0, 1)"),
        *(
            (name, 0 <= getattr(terms, name) < terms.instalments, "0..instalments - 1")
            for name in ("grace_principal", "grace_interest")
        ),
        ("interest_free", 0 <= terms.interest_free <= terms.instalments, "0..instalments"),
        ("calendar", (terms.calendar is None) == (terms.holiday is BusinessDayRule.UNADJUSTED),
         "calendar <=> holiday"),
        ("fees", all(
            0 <= fee.amount_minor <= MAX_PRINCIPAL_MINOR and is_number(fee.rate)
            and 0 <= fee.rate <= 1
            for fee in terms.fees
         ), "0..1, 0..10^15"),
        ("penalty", terms.penalty is None
         or (is_number(terms.penalty.rate) and 0 <= terms.penalty.rate <= 10
             and terms.penalty.grace_days >= 0 and terms.penalty.days_in_year in (360, 365)),
         "0..10; 360, 365"),
    )  # fmt: skip
    return [(name, why) for name, holds, why in rules if not holds]
