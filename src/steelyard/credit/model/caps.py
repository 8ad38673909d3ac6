"""The most that a credit may cost a year: dated rules, never constants.

A rule holds for a kind of lender from a day on, until the next rule for that kind. It is a rate,
or a multiple of the one-year loan prime rate (LPR, 贷款市场报价利率) of the day on which the
contract is made. `delivered` is the table that comes with the room; another is read with
`table_of`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final, TypeVar

import msgspec

from steelyard.kernel import Refusal, RefusalKind, Rounding
from steelyard.kernel.rounding import round_to


class AnnualRateIsOverCap(Refusal):
    """All costs together are more a year than the lender may ask for."""

    kind = RefusalKind.INVALID
    en = (
        "All costs are {rate_percent} % a year ({measure}); on {on} the most is {cap_percent} % "
        "for a {lender} lender."
    )
    zh = (
        "综合年化成本（{measure}）为 {rate_percent}%，"
        "{on} 适用于 {lender} 类出借人的上限为 {cap_percent}%。"
    )


class RateCapIsUnknown(Refusal):
    """No rule, or no loan prime rate, is entered for the day."""

    kind = RefusalKind.CONFLICT
    en = "No cap on the annual rate is entered for a {lender} lender on {on}: {why}."
    zh = "未录入 {lender} 类出借人在 {on} 的年化利率上限：{why}。"


class CapTableIsMalformed(Refusal):
    """A table of caps cannot be read."""

    kind = RefusalKind.INVALID
    en = "The table of rate caps cannot be read: {why}."
    zh = "利率上限表无法读取：{why}。"


class LenderKind(StrEnum):
    """Which rules a lender is under."""

    PRIVATE = "private"
    """民间借贷: persons and companies that are no financial institution."""
    LICENSED = "licensed"
    """持牌金融机构: banks, consumer finance companies and other licensed lenders."""


class CapKind(StrEnum):
    """What the value of a rule is."""

    ABSOLUTE = "absolute"
    """A rate per one and year."""
    LPR_MULTIPLE = "lpr_multiple"
    """So many times the one-year loan prime rate."""


class Measure(StrEnum):
    """Which of the two annualised rates of all costs is held against a rule."""

    SIMPLE = "simple"
    COMPOUND = "compound"


_SHOWN: Final = 4
"""Digits of a rate per one: two of a percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRule:
    """A rule.

    Attributes
    ----------
    from_on : first day of contracts that it holds for
    value : per one, or a multiple, as `kind` says
    source, source_zh : where it is written
    is_verified : somebody held it against the text; the delivered table says where nobody did
    """

    from_on: date
    lender: LenderKind
    kind: CapKind
    value: Decimal
    measure: Measure
    source: str
    source_zh: str
    is_verified: bool = False


@dataclass(frozen=True, slots=True)
class PrimeRate:
    """A one-year loan prime rate, in force until the next.

    Attributes
    ----------
    percent : a year
    """

    from_on: date
    percent: Decimal
    is_verified: bool = False


_Dated = TypeVar("_Dated", CapRule, PrimeRate)


@dataclass(frozen=True, slots=True)
class CapTable:
    """Rules and the rates they refer to, in any order."""

    rules: tuple[CapRule, ...]
    prime_rates: tuple[PrimeRate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """The most that a contract of a day may cost.

    Attributes
    ----------
    rate : per one and year
    prime : the loan prime rate behind it; None for an absolute rule
    """

    on: date
    rate: Decimal
    rule: CapRule
    prime: PrimeRate | None

    @property
    def is_verified(self) -> bool:
        """Return whether the rule, and the prime rate behind it, were held against their texts."""
        return self.rule.is_verified and (self.prime is None or self.prime.is_verified)


def lpr_cap(lpr_percent: Decimal, multiple: Decimal = Decimal(4)) -> Decimal:
    """Return a multiple of a loan prime rate, percent with two digits, as it is published.

    Examples
    --------
    >>> lpr_cap(Decimal("3.85"))
    Decimal('15.40')
    """
    return round_to(lpr_percent * multiple, 2, Rounding.HALF_UP)


def cap_on(table: CapTable, lender: LenderKind, on: date) -> Cap:
    """Return the cap on contracts made on a day.

    Refusals
    --------
    rate_cap_is_unknown : no rule holds yet, or its prime rate is not entered; never a guess

    Examples
    --------
    >>> cap_on(delivered(), LenderKind.PRIVATE, date(2025, 6, 2)).rate
    Decimal('0.12')
    >>> cap_on(delivered(), LenderKind.PRIVATE, date(2020, 8, 19)).rate
    Decimal('0.24')
    """
    rule = _latest((one for one in table.rules if one.lender is lender), on)
    if rule is None:
        raise RateCapIsUnknown(lender=lender.value, on=on.isoformat(), why="no rule")
    if rule.kind is CapKind.ABSOLUTE:
        return Cap(on=on, rate=rule.value, rule=rule, prime=None)
    prime = _latest(table.prime_rates, on)
    if prime is None:
        raise RateCapIsUnknown(lender=lender.value, on=on.isoformat(), why="no loan prime rate")
    rate = lpr_cap(prime.percent, rule.value) / 100
    return Cap(on=on, rate=rate, rule=rule, prime=prime)


def _latest(found: Iterable[_Dated], on: date) -> _Dated | None:
    begun = [one for one in found if one.from_on <= on]
    return max(begun, key=lambda one: one.from_on, default=None)


def hold_to_cap(cap: Cap, *, compound: Decimal, simple: Decimal) -> None:
    """Refuse a credit that costs more than its cap, in percent with two digits as it is shown.

    Instalments are whole minor units, so that a loan at exactly the cap costs a trace more or less.

    Parameters
    ----------
    compound, simple : annualised rates of all costs, per one; the rule says which one counts

    Refusals
    --------
    annual_rate_is_over_cap

    Examples
    --------
    >>> cap = cap_on(delivered(), LenderKind.LICENSED, date(2026, 1, 5))
    >>> hold_to_cap(cap, compound=Decimal("0.268242"), simple=Decimal("0.24"))
    """
    rate = simple if cap.rule.measure is Measure.SIMPLE else compound
    if round_to(rate, _SHOWN, Rounding.HALF_UP) > cap.rate:
        raise AnnualRateIsOverCap(
            rate_percent=_percent(rate),
            cap_percent=_percent(cap.rate),
            measure=cap.rule.measure.value,
            lender=cap.rule.lender.value,
            on=cap.on.isoformat(),
            source=cap.rule.source,
            source_zh=cap.rule.source_zh,
        )


def _percent(rate: Decimal) -> str:
    return f"{round_to(rate * 100, 4, Rounding.HALF_UP).normalize():f}"


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    from_on: date
    percent: Decimal
    is_verified: bool = False


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    from_on: date
    lender: LenderKind
    kind: CapKind
    value: Decimal
    measure: Measure
    source: str
    source_zh: str
    is_verified: bool = False


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    lpr_1y: list[_Line]
    caps: list[_Rule]


def table_of(text: str | bytes) -> CapTable:
    """Return the table that a JSON text holds.

    Refusals
    --------
    cap_table_is_malformed : a field too many or too few, a value not above 0, a day named twice
    """
    try:
        made = msgspec.json.decode(text, type=_Table)
    except msgspec.DecodeError as error:
        raise CapTableIsMalformed(why=str(error)) from None
    rules = tuple(CapRule(**msgspec.structs.asdict(one)) for one in made.caps)
    primes = tuple(PrimeRate(one.from_on, one.percent, one.is_verified) for one in made.lpr_1y)
    values = [*(one.value for one in rules), *(one.percent for one in primes)]
    if not all(value.is_finite() and value > 0 for value in values):
        raise CapTableIsMalformed(why="a value is not above 0")
    days = [(one.lender.value, one.from_on) for one in rules]
    days += [("lpr_1y", one.from_on) for one in primes]
    for day in days:
        if days.count(day) > 1:
            raise CapTableIsMalformed(why=f"{day[0]} {day[1]} stands twice")
    return CapTable(rules, primes)


@cache
def delivered() -> CapTable:
    """Return the table that comes with the room: data beside this module, the same for ever.

    Rules and rates are those known to its authors, `is_verified` where they had the text before
    them; whoever lends verifies the others, and enters what came later.
    """
    return table_of(files("steelyard.credit.model").joinpath("caps.json").read_bytes())
