"""Money: a whole number of minor units in one currency."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Final

from steelyard.kernel.currency import Currency
from steelyard.kernel.refusal import Refusal, RefusalKind
from steelyard.kernel.rounding import Rounding, round_to

AMOUNT_LIMIT_MINOR: Final = 2**62
"""Every amount lies strictly between minus this and this: the sum of two still fits in 64 bits."""

_WRITTEN: Final = re.compile(r"-?[0-9]{1,24}(\.[0-9]{1,24})?")

# How Chinese writing tells currencies apart by their sign; the rest are written with the code.
_SIGN_ZH: Final = {
    "AUD": "AU$",
    "CAD": "CA$",
    "CNY": "¥",
    "EUR": "€",
    "GBP": "£",
    "HKD": "HK$",
    "INR": "₹",
    "JPY": "JP¥",
    "KRW": "₩",
    "NZD": "NZ$",
    "TWD": "NT$",
    "USD": "US$",
    "VND": "₫",
}


class CurrenciesDiffer(Refusal):
    """Two amounts of different currencies were put together without a rate."""

    kind = RefusalKind.INVALID
    en = "An amount in {given} was given where {expected} is needed."
    zh = "需要 {expected} 金额，收到的是 {given}。"


class AmountIsOutOfRange(Refusal):
    """The amount does not fit in the ledger's integers."""

    kind = RefusalKind.INVALID
    en = "The amount is too large: at most 2^62 - 1 minor units of {currency} are counted."
    zh = "金额过大：{currency} 最多可计 2^62 - 1 个最小单位。"


class AmountIsMalformed(Refusal):
    """The text or number is not an amount."""

    kind = RefusalKind.INVALID
    en = "{amount} is not an amount; write it as 1234.56, without separators."
    zh = "{amount} 不是有效金额；请写成 1234.56 的形式，不加千分位。"


class AmountHasTooManyDecimals(Refusal):
    """The amount is finer than the currency's minor unit, and no rounding was asked for."""

    kind = RefusalKind.INVALID
    en = "{amount} has more decimals than {currency} counts ({exponent})."
    zh = "{amount} 的小数位超过 {currency} 允许的 {exponent} 位。"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Money:
    """An amount of one currency, exact; never made of or turned into a float.

    Attributes
    ----------
    amount_minor : whole minor units (fen, cents), of either sign, below 2**62 in size
    currency : the currency; its code is accepted too when one is made

    Refusals
    --------
    unknown_currency, amount_is_out_of_range
    currencies_differ : from adding, subtracting and ordering

    Examples
    --------
    >>> Money(1000, "CNY") + Money.parse("2.34", "CNY")
    Money(1234, 'CNY')
    >>> Money(1000, "CNY").allocate([1, 1, 1])
    (Money(334, 'CNY'), Money(333, 'CNY'), Money(333, 'CNY'))
    """

    amount_minor: int
    currency: Currency

    def __init__(self, amount_minor: int, currency: Currency | str) -> None:
        if type(amount_minor) is not int:
            raise TypeError(f"minor units are an int, not {type(amount_minor).__name__}")
        if isinstance(currency, str):
            currency = Currency.of(currency)
        if not -AMOUNT_LIMIT_MINOR < amount_minor < AMOUNT_LIMIT_MINOR:
            raise AmountIsOutOfRange(currency=currency.code)
        object.__setattr__(self, "amount_minor", amount_minor)
        object.__setattr__(self, "currency", currency)

    @classmethod
    def zero(cls, currency: Currency | str) -> Money:
        """Return nothing, in a currency."""
        return cls(0, currency)

    @classmethod
    def total(cls, amounts: Iterable[Money], currency: Currency | str) -> Money:
        """Return the sum of any number of amounts, none included, in one currency.

        Refusals
        --------
        currencies_differ, amount_is_out_of_range : the latter for the sum, not for what it passes
        """
        start = cls(0, currency)
        return cls(sum(start._minor_of(amount) for amount in amounts), start.currency)

    @classmethod
    def from_decimal(
        cls,
        amount: Decimal | int,
        currency: Currency | str,
        *,
        rounding: Rounding | None = None,
    ) -> Money:
        """Return the money of an amount in major units.

        Parameters
        ----------
        amount : yuan, not fen
        rounding : how a finer amount is rounded; None takes only amounts that are exact

        Refusals
        --------
        amount_has_too_many_decimals : no rounding given and the amount is finer
        amount_is_malformed : not a number, or infinite
        amount_is_out_of_range, unknown_currency

        Examples
        --------
        >>> Money.from_decimal(Decimal("0.125"), "CNY", rounding=Rounding.HALF_EVEN)
        Money(12, 'CNY')
        """
        if isinstance(amount, bool) or not isinstance(amount, int | Decimal):
            raise TypeError(f"an amount is a Decimal or an int, not {type(amount).__name__}")
        if isinstance(currency, str):
            currency = Currency.of(currency)
        exact = Decimal(amount)
        if not exact.is_finite():
            raise AmountIsMalformed(amount=str(amount))
        if exact and exact.adjusted() > 20:
            raise AmountIsOutOfRange(currency=currency.code)
        rounded = round_to(exact, currency.exponent, rounding or Rounding.DOWN)
        if rounding is None and rounded != exact:
            raise AmountHasTooManyDecimals(
                amount=str(amount)[:50], currency=currency.code, exponent=currency.exponent
            )
        numerator, denominator = rounded.as_integer_ratio()
        return cls(numerator * currency.minor_per_major // denominator, currency)

    @classmethod
    def parse(cls, text: str, currency: Currency | str) -> Money:
        """Return the money written as `1234.56` or `-0.5`: plain digits, a point, no separators.

        Refusals
        --------
        amount_is_malformed : anything else, spaces, exponents and other scripts' digits included
        amount_has_too_many_decimals, amount_is_out_of_range, unknown_currency

        Examples
        --------
        >>> Money.parse("12.34", "CNY")
        Money(1234, 'CNY')
        """
        if not _WRITTEN.fullmatch(text):
            raise AmountIsMalformed(amount=text[:50])
        return cls.from_decimal(Decimal(text), currency)

    def to_decimal(self) -> Decimal:
        """Return the amount in major units, with as many decimals as the currency has.

        Examples
        --------
        >>> Money(1230, "CNY").to_decimal(), Money(5, "JPY").to_decimal()
        (Decimal('12.30'), Decimal('5'))
        """
        return Decimal(f"{self.amount_minor}E-{self.currency.exponent}")

    @property
    def is_zero(self) -> bool:
        """Whether it is nothing."""
        return self.amount_minor == 0

    @property
    def is_negative(self) -> bool:
        """Whether it is below nothing."""
        return self.amount_minor < 0

    def allocate(self, weights: Sequence[int | Decimal | Fraction]) -> tuple[Money, ...]:
        """Return the amount divided in proportion to weights, to the last minor unit.

        Each share is first rounded towards zero; what is left over goes, one minor unit each, to
        the shares that lost most (method of the largest remainder, Hamilton), ties to the earlier.

        Parameters
        ----------
        weights : at least one, none negative, not all zero

        Returns
        -------
        tuple of Money
            As many as weights; they add up exactly, each is within one minor unit of its exact
            share, a larger weight never gets less and a weight of zero gets nothing. A negative
            amount mirrors the positive one.

        Examples
        --------
        >>> Money(-100, "CNY").allocate([Decimal("0.5"), Decimal("0.25"), Decimal("0.5")])
        (Money(-40, 'CNY'), Money(-20, 'CNY'), Money(-40, 'CNY'))
        """
        whole = _whole_weights(weights)
        every = sum(whole)
        size = abs(self.amount_minor)
        shares = [size * weight // every for weight in whole]
        lost = [size * weight % every for weight in whole]
        left_over = size - sum(shares)
        for position in sorted(range(len(whole)), key=lambda i: -lost[i])[:left_over]:
            shares[position] += 1
        sign = -1 if self.is_negative else 1
        return tuple(Money(sign * share, self.currency) for share in shares)

    def split(self, n: int) -> tuple[Money, ...]:
        """Return the amount in `n` parts as equal as can be, the larger ones first.

        Examples
        --------
        >>> Money(5, "JPY").split(3)
        (Money(2, 'JPY'), Money(2, 'JPY'), Money(1, 'JPY'))
        """
        return self.allocate([1] * n)

    def format(self, language: str) -> str:
        """Return the amount for people to read, with a currency sign in Chinese.

        Examples
        --------
        >>> Money(123456, "CNY").format("zh-CN"), Money(-123456, "CNY").format("en")
        ('¥1,234.56', '-CNY 1,234.56')
        """
        code = self.currency.code
        before = f"{code} "
        if language.lower().startswith("zh"):
            before = _SIGN_ZH.get(code, before)
        sign = "-" if self.is_negative else ""
        return f"{sign}{before}{abs(self).to_decimal():,}"

    def _minor_of(self, other: Money) -> int:
        if other.currency != self.currency:
            raise CurrenciesDiffer(expected=self.currency.code, given=other.currency.code)
        return other.amount_minor

    def __add__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        return Money(self.amount_minor + self._minor_of(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        return Money(self.amount_minor - self._minor_of(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount_minor, self.currency)

    def __abs__(self) -> Money:
        return Money(abs(self.amount_minor), self.currency)

    def __mul__(self, times: int) -> Money:
        if type(times) is not int:
            return NotImplemented
        return Money(self.amount_minor * times, self.currency)

    __rmul__ = __mul__

    def __lt__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount_minor < self._minor_of(other)

    def __le__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount_minor <= self._minor_of(other)

    def __gt__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount_minor > self._minor_of(other)

    def __ge__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount_minor >= self._minor_of(other)

    def __str__(self) -> str:
        return f"{self.currency.code} {self.to_decimal():f}"

    def __repr__(self) -> str:
        return f"Money({self.amount_minor}, {self.currency.code!r})"


def _whole_weights(weights: Sequence[int | Decimal | Fraction]) -> list[int]:
    """Return weights as integers in the same proportion."""
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, int | Decimal | Fraction):
            raise TypeError(f"a weight is an int, Decimal or Fraction, not {type(weight).__name__}")
    exact = [Fraction(weight) for weight in weights]
    if not any(exact) or any(weight < 0 for weight in exact):
        raise ValueError("weights are not negative, and one at least is above zero")
    scale = lcm(*(weight.denominator for weight in exact))
    return [int(weight * scale) for weight in exact]
