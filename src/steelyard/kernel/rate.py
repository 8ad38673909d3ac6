"""Rates: a decimal per one, applied to money with a named rounding."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from steelyard.kernel.currency import Currency
from steelyard.kernel.money import CurrenciesDiffer, Money
from steelyard.kernel.refusal import Refusal, RefusalKind
from steelyard.kernel.rounding import DIGITS, RATE_CONTEXT, Rounding, round_ratio

_LARGEST_POWER: Final = 12
_SMALLEST_POWER: Final = -40


class RateIsMalformed(Refusal):
    """The number cannot be a rate."""

    kind = RefusalKind.INVALID
    en = "{rate} is not a rate: a decimal of at most 28 digits, above zero between currencies."
    zh = "{rate} 不是有效比率：应为不超过 28 位的有限小数，汇率须大于零。"


class RateBasis(StrEnum):
    """What a rate counts by."""

    PLAIN = "plain"
    """Per one of the amount, once: a fee, a discount, a tax."""
    ANNUAL = "annual"
    """Per one of the amount and year: an interest rate."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A number per one: 0.05 is five percent.

    Attributes
    ----------
    per_one : finite, at most 28 significant digits, of either sign
    basis : plain, or annual; the two do not mix

    Refusals
    --------
    rate_is_malformed : not finite, too many digits, or beyond 10**12

    Examples
    --------
    >>> Rate.from_percent("0.6").apply(Money(12345, "CNY"), Rounding.HALF_UP)
    Money(74, 'CNY')
    """

    per_one: Decimal
    basis: RateBasis = RateBasis.PLAIN

    def __post_init__(self) -> None:
        _check(self.per_one)

    @classmethod
    def from_percent(cls, percent: Decimal | int | str, basis: RateBasis = RateBasis.PLAIN) -> Rate:
        """Return the rate of so many in a hundred.

        Examples
        --------
        >>> Rate.from_percent("4.35", RateBasis.ANNUAL).per_one
        Decimal('0.0435')
        """
        return cls(_shifted(percent, -2), basis)

    @classmethod
    def from_bp(cls, bp: Decimal | int | str, basis: RateBasis = RateBasis.PLAIN) -> Rate:
        """Return the rate of so many basis points, hundredths of a percent.

        Examples
        --------
        >>> Rate.from_bp(25).per_one
        Decimal('0.0025')
        """
        return cls(_shifted(bp, -4), basis)

    def to_percent(self) -> Decimal:
        """Return how many in a hundred."""
        return _shifted(self.per_one, 2)

    def to_bp(self) -> Decimal:
        """Return how many basis points."""
        return _shifted(self.per_one, 4)

    def apply(
        self, money: Money, rounding: Rounding, *, years: Fraction | int | None = None
    ) -> Money:
        """Return this part of an amount, rounded once from the exact product.

        Parameters
        ----------
        years : the length of the period as a fraction of a year, `Fraction(30, 360)`; a day count
            convention makes it. An annual rate needs it, a plain one takes none.

        Refusals
        --------
        amount_is_out_of_range

        Examples
        --------
        >>> annual = Rate.from_percent("4.35", RateBasis.ANNUAL)
        >>> annual.apply(Money(1_000_000, "CNY"), Rounding.HALF_EVEN, years=Fraction(90, 360))
        Money(10875, 'CNY')
        """
        if (years is None) is (self.basis is RateBasis.ANNUAL):
            raise TypeError("an annual rate is applied over `years`, a plain rate without")
        if isinstance(years, float | bool):
            raise TypeError("years are a Fraction or an int")
        exact = Fraction(self.per_one) * money.amount_minor * (1 if years is None else years)
        return Money(round_ratio(exact.numerator, exact.denominator, rounding), money.currency)

    def scaled(self, by: Decimal | int) -> Rate:
        """Return the rate times a number (a penalty of 1.5 times), to 28 digits."""
        return Rate(RATE_CONTEXT.multiply(self.per_one, by), self.basis)

    def format(self, language: str) -> str:
        """Return the rate in percent for people to read.

        Examples
        --------
        >>> rate = Rate.from_percent("4.350", RateBasis.ANNUAL)
        >>> rate.format("zh-CN"), rate.format("en"), Rate.from_bp(5).format("en")
        ('年化 4.35%', '4.35% p.a.', '0.05%')
        """
        percent = f"{self.to_percent():f}"
        if "." in percent:
            percent = percent.rstrip("0").rstrip(".")
        if self.basis is RateBasis.PLAIN:
            return f"{percent}%"
        return f"年化 {percent}%" if language.lower().startswith("zh") else f"{percent}% p.a."

    def _number_of(self, other: Rate) -> Decimal:
        if other.basis is not self.basis:
            raise TypeError("an annual and a plain rate do not mix")
        return other.per_one

    def __add__(self, other: Rate) -> Rate:
        if not isinstance(other, Rate):
            return NotImplemented
        return Rate(RATE_CONTEXT.add(self.per_one, self._number_of(other)), self.basis)

    def __sub__(self, other: Rate) -> Rate:
        if not isinstance(other, Rate):
            return NotImplemented
        return Rate(RATE_CONTEXT.subtract(self.per_one, self._number_of(other)), self.basis)

    def __lt__(self, other: Rate) -> bool:
        if not isinstance(other, Rate):
            return NotImplemented
        return self.per_one < self._number_of(other)

    def __le__(self, other: Rate) -> bool:
        if not isinstance(other, Rate):
            return NotImplemented
        return self.per_one <= self._number_of(other)


@dataclass(frozen=True, slots=True, init=False)
class FxRate:
    """The price of one unit of the base currency in the quote currency.

    Attributes
    ----------
    base, quote : two different currencies; codes are accepted too
    rate : units of `quote` for one of `base`, above zero, at most 28 digits

    Refusals
    --------
    rate_is_malformed, unknown_currency

    Examples
    --------
    >>> FxRate("USD", "CNY", Decimal("7.1234")).convert(Money(10_000, "USD"), Rounding.HALF_EVEN)
    Money(71234, 'CNY')
    """

    base: Currency
    quote: Currency
    rate: Decimal

    def __init__(self, base: Currency | str, quote: Currency | str, rate: Decimal) -> None:
        _check(rate)
        base = Currency.of(base) if isinstance(base, str) else base
        quote = Currency.of(quote) if isinstance(quote, str) else quote
        if rate <= 0 or base == quote:
            raise RateIsMalformed(rate=f"{base}/{quote} {rate}")
        object.__setattr__(self, "base", base)
        object.__setattr__(self, "quote", quote)
        object.__setattr__(self, "rate", rate)

    def convert(self, money: Money, rounding: Rounding) -> Money:
        """Return an amount of one of the two currencies in the other, rounded once.

        Parameters
        ----------
        money : in `base` (multiplied by the rate) or in `quote` (divided by it)

        Refusals
        --------
        currencies_differ : the money is in neither
        amount_is_out_of_range

        Examples
        --------
        >>> FxRate("USD", "JPY", Decimal("150")).convert(Money(1000, "JPY"), Rounding.HALF_UP)
        Money(667, 'USD')
        """
        minor_rate = Fraction(self.rate) * self.quote.minor_per_major / self.base.minor_per_major
        if money.currency == self.base:
            target, exact = self.quote, minor_rate * money.amount_minor
        elif money.currency == self.quote:
            target, exact = self.base, money.amount_minor / minor_rate
        else:
            raise CurrenciesDiffer(expected=f"{self.base}/{self.quote}", given=money.currency.code)
        return Money(round_ratio(exact.numerator, exact.denominator, rounding), target)


def _check(number: Decimal) -> None:
    if not isinstance(number, Decimal):
        raise TypeError(f"a rate is a Decimal, not {type(number).__name__}")
    _, digits, power = number.as_tuple()
    if (
        not isinstance(power, int)
        or len(digits) > DIGITS
        or power < _SMALLEST_POWER
        or number.adjusted() > _LARGEST_POWER
    ):
        raise RateIsMalformed(rate=str(number)[:50])


def _shifted(number: Decimal | int | str, power: int) -> Decimal:
    """Return a number times a power of ten, exactly."""
    if isinstance(number, bool) or not isinstance(number, Decimal | int | str):
        raise TypeError(f"a rate is a Decimal, an int or a str, not {type(number).__name__}")
    try:
        exact = Decimal(number)
    except ArithmeticError:
        raise RateIsMalformed(rate=str(number)[:50]) from None
    _check(exact)
    return RATE_CONTEXT.scaleb(exact, power)
