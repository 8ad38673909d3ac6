"""What a merchant pays for being paid: plans of dated terms, and what a refund gives back.

A plan holds from the midnight that begins its first day, on the clock of the merchant's timezone,
until the next plan begins. A fee is computed from the plan of the day on which a payment went
through, never from the plan of the day on which somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from steelyard.kernel import Refusal, RefusalKind, Rounding
from steelyard.kernel.rounding import round_ratio
from steelyard.payments.model.channel import Method
from steelyard.payments.model.orders import Scenario

MOST_TERMS: Final = 100
MOST_RATE: Final = Decimal("0.2")
"""No term takes more than a fifth of a payment by its rate."""


class FeeIsNotAgreed(Refusal):
    """No term of the plan is about such a payment."""

    kind = RefusalKind.CONFLICT
    en = "The fee plan has no term for {method}, {scenario} in {currency}."
    zh = "费率方案中没有适用于 {method}、{scenario}、{currency} 的条款。"


class FeePlanIsUnknown(Refusal):
    """No plan of fees has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no fee plan {plan}."
    zh = "费率方案 {plan} 不存在。"


class FeePlanIsMalformed(Refusal):
    """The terms cannot be those of a plan."""

    kind = RefusalKind.INVALID
    en = "The fee plan cannot be: {reason}."
    zh = "费率方案无效：{reason}。"


class FeePlanIsTooLate(Refusal):
    """What was charged stays as it was: a plan begins at a midnight to come."""

    kind = RefusalKind.INVALID
    en = "A plan from {effective_on} on comes too late; the earliest day is {earliest}."
    zh = "方案生效日 {effective_on} 过早，最早为 {earliest}。"


class FeePlanStateForbids(Refusal):
    """The verb does not go with the state of the plan."""

    kind = RefusalKind.CONFLICT
    en = "Fee plan {plan} is {state}: it cannot be {verb}."
    zh = "费率方案 {plan} 的状态为 {state}，不能执行 {verb}。"


class FeeReturn(StrEnum):
    """What of a fee a refund gives back to the merchant."""

    FULL = "full"
    """All of it, with the refund that gives the last of the payment back; nothing before."""
    PROPORTIONAL = "proportional"
    """Its share with each partial refund, rounded down; the last one gives the rest."""
    NONE = "none"


class PlanState(StrEnum):
    """Where a plan stands; only an approved one is ever applied."""

    DRAFTED = "drafted"
    APPROVED = "approved"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeTier:
    """Another rate from a volume of the month on.

    Attributes
    ----------
    from_minor : volume of the month before the day, in minor units, from which it holds
    rate : Decimal per one; fixed_minor : added to it
    """

    from_minor: int
    rate: Decimal
    fixed_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeTerm:
    """What is charged for a kind of payment.

    Attributes
    ----------
    method, scenario, currency : whom it is about; None: any. Of several terms that fit the one
        that names most holds, a method before a scenario before a currency
    rate : Decimal per one of the amount
    fixed_minor : added to that; least_minor, most_minor : between which the sum is kept
    tiers : by growing volume; below the first one the term's own rate holds
    """

    rate: Decimal
    method: Method | None = None
    scenario: Scenario | None = None
    currency: str | None = None
    fixed_minor: int = 0
    least_minor: int = 0
    most_minor: int | None = None
    tiers: tuple[FeeTier, ...] = ()

    @property
    def weight(self) -> int:
        """How closely it says whom it is about."""
        names = (self.method, self.scenario, self.currency)
        return sum(4 >> at for at, name in enumerate(names) if name is not None)

    def fits(self, method: Method, scenario: Scenario, currency: str) -> bool:
        """Whether it is about such a payment."""
        asked = (method, scenario, currency)
        named = (self.method, self.scenario, self.currency)
        return all(mine in (None, other) for mine, other in zip(named, asked, strict=True))

    def priced_at(self, volume_minor: int) -> tuple[Decimal, int]:
        """Return rate and fixed part after a volume of the month."""
        held = [tier for tier in self.tiers if volume_minor >= tier.from_minor]
        return (held[-1].rate, held[-1].fixed_minor) if held else (self.rate, self.fixed_minor)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeePlan:
    """The terms that hold for a merchant from a day on.

    Attributes
    ----------
    merchant : party; None: the house's own plan, for whom nothing else was agreed
    version : 1, 2, ... of the merchant's plans
    effective_on : first day, on the clock of `timezone`
    returns : what refunds give back
    rounding : of a fee to minor units
    """

    id: UUID
    merchant: UUID | None
    version: int
    effective_on: date
    terms: tuple[FeeTerm, ...]
    returns: FeeReturn = FeeReturn.PROPORTIONAL
    rounding: Rounding = Rounding.HALF_UP
    timezone: str = "Asia/Shanghai"
    state: PlanState = PlanState.APPROVED
    made_by: str = ""
    made_at: datetime | None = field(default=None, compare=False)

    @property
    def cause(self) -> str:
        """What a posting of its fees names."""
        return f"fee_plan:{self.id}@{self.version}"

    @property
    def effective_at(self) -> datetime:
        """The instant at which its first day begins."""
        begins = datetime.combine(self.effective_on, time(0), ZoneInfo(self.timezone))
        return begins.astimezone(UTC)


STANDARD_PLAN: Final = FeePlan(
    id=UUID(int=0),
    merchant=None,
    version=1,
    effective_on=date(2000, 1, 1),
    terms=(FeeTerm(rate=Decimal("0.006")),),
)
"""What is charged where nothing was agreed: 0.6 %."""


def day_of(at: datetime, timezone: str) -> date:
    """Return the day of an instant on the clock of a timezone.

    Examples
    --------
    >>> day_of(datetime(2026, 3, 1, 16, tzinfo=UTC), "Asia/Shanghai")
    datetime.date(2026, 3, 2)
    """
    return at.astimezone(ZoneInfo(timezone)).date()


def fee_of(
    plan: FeePlan,
    *,
    method: Method,
    amount_minor: int,
    currency: str = "CNY",
    scenario: Scenario = Scenario.ONLINE,
    volume_minor: int = 0,
) -> int:
    """Return the fee of a payment, in minor units of its currency.

    Parameters
    ----------
    amount_minor : what was captured, over zero
    volume_minor : what the merchant captured in the month before the day of the payment; all
        payments of a day are priced alike, so that a day computed again gives the same fees

    Returns
    -------
    int
        From zero to `amount_minor`: a payment never costs more than it brings.

    Refusals
    --------
    fee_is_not_agreed

    Examples
    --------
    >>> fee_of(STANDARD_PLAN, method=Method.CARD, amount_minor=12_345)
    74
    """
    assert amount_minor > 0, "a payment is of something"
    fitting = [term for term in plan.terms if term.fits(method, scenario, currency)]
    if not fitting:
        raise FeeIsNotAgreed(method=method, scenario=scenario, currency=currency)
    term = max(fitting, key=lambda each: each.weight)
    rate, fixed = term.priced_at(volume_minor)
    share = Fraction(rate) * amount_minor
    fee = round_ratio(share.numerator, share.denominator, plan.rounding) + fixed
    fee = max(fee, term.least_minor)
    if term.most_minor is not None:
        fee = min(fee, term.most_minor)
    return min(fee, amount_minor)


def fee_returned(
    policy: FeeReturn,
    *,
    fee_minor: int,
    captured_minor: int,
    refund_minor: int,
    refunded_minor: int = 0,
    returned_minor: int = 0,
) -> int:
    """Return what of a fee a refund gives back to the merchant, in minor units.

    Parameters
    ----------
    fee_minor : charged for the payment; captured_minor : the payment
    refund_minor : this refund; refunded_minor : those that went through before it
    returned_minor : what they gave back of the fee

    Returns
    -------
    int
        Over refunds that give the whole payment back, in any parts, the sum is exactly the fee;
        for `NONE` it is zero.

    Examples
    --------
    >>> first = fee_returned(FeeReturn.PROPORTIONAL, fee_minor=100, captured_minor=3,
    ...                      refund_minor=1)
    >>> first, fee_returned(FeeReturn.PROPORTIONAL, fee_minor=100, captured_minor=3,
    ...                     refund_minor=2, refunded_minor=1, returned_minor=first)
    (33, 67)
    """
    assert 0 < refund_minor <= captured_minor - refunded_minor, "no more than was captured"
    assert 0 <= returned_minor <= fee_minor, "no more than was charged"
    if policy is FeeReturn.NONE:
        return 0
    if refunded_minor + refund_minor == captured_minor:
        return fee_minor - returned_minor
    if policy is FeeReturn.FULL:
        return 0
    return round_ratio(fee_minor * refund_minor, captured_minor, Rounding.DOWN)


def check_terms(terms: tuple[FeeTerm, ...]) -> tuple[FeeTerm, ...]:
    """Return terms that can be those of a plan.

    Refusals
    --------
    fee_plan_is_malformed
    """
    if not 0 < len(terms) <= MOST_TERMS:
        raise FeePlanIsMalformed(reason=f"1 to {MOST_TERMS} terms")
    about = {(term.method, term.scenario, term.currency) for term in terms}
    if len(about) < len(terms):
        raise FeePlanIsMalformed(reason="two terms are about the same payments")
    for term in terms:
        _check_term(term)
    return terms


def _check_term(term: FeeTerm) -> None:
    prices = [(term.rate, term.fixed_minor), *((t.rate, t.fixed_minor) for t in term.tiers)]
    if any(not rate.is_finite() or not 0 <= rate <= MOST_RATE for rate, _ in prices):
        raise FeePlanIsMalformed(reason=f"a rate lies between 0 and {MOST_RATE}")
    if any(fixed < 0 for _, fixed in prices) or term.least_minor < 0:
        raise FeePlanIsMalformed(reason="no amount is below zero")
    if term.most_minor is not None and term.most_minor < term.least_minor:
        raise FeePlanIsMalformed(reason="the most is not below the least")
    counts = any(fixed for _, fixed in prices) or term.least_minor or term.most_minor is not None
    if (counts or term.tiers) and term.currency is None:
        raise FeePlanIsMalformed(reason="a term with amounts names its currency")
    volumes = [tier.from_minor for tier in term.tiers]
    if volumes != sorted(set(volumes)) or (volumes and volumes[0] <= 0):
        raise FeePlanIsMalformed(reason="tiers grow by volume, from over zero")
