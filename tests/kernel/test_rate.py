from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.kernel.currency import UnknownCurrency
from steelyard.kernel.money import AmountIsOutOfRange, CurrenciesDiffer, Money
from steelyard.kernel.rate import FxRate, Rate, RateBasis, RateIsMalformed
from steelyard.kernel.rounding import Rounding

from .reading import rows

numbers = st.decimals(
    min_value=-100, max_value=100, allow_nan=False, allow_infinity=False, places=12
)
yuan = st.builds(Money, st.integers(-(10**15), 10**15), st.just("CNY"))
roundings = st.sampled_from(Rounding)


@pytest.mark.parametrize("row", rows("rates.txt"), ids=lambda row: " ".join(row.values()))
def test_the_table(row: dict[str, str]) -> None:
    is_plain = row["years"] == "-"
    rate = Rate.from_percent(row["percent"], RateBasis.PLAIN if is_plain else RateBasis.ANNUAL)
    made = rate.apply(
        Money.parse(row["amount"], row["currency"]),
        Rounding(row["rounding"]),
        years=None if is_plain else Fraction(row["years"]),
    )
    assert made == Money.parse(row["result"], row["currency"])


@pytest.mark.parametrize("row", rows("fx.txt"), ids=lambda row: " ".join(row.values()))
def test_the_fx_table(row: dict[str, str]) -> None:
    fx = FxRate(row["base"], row["quote"], Decimal(row["rate"]))
    target = row["quote"] if row["currency"] == row["base"] else row["base"]
    converted = fx.convert(Money.parse(row["amount"], row["currency"]), Rounding(row["rounding"]))
    assert converted == Money.parse(row["result"], target)


@given(numbers, yuan, roundings)
def test_one_rounding_of_the_exact_product(
    number: Decimal, money: Money, rounding: Rounding
) -> None:
    made = Rate(number).apply(money, rounding).amount_minor
    exact = Fraction(number) * money.amount_minor
    assert abs(made - exact) < 1
    if rounding is Rounding.HALF_EVEN:
        assert made == round(exact)


@given(numbers)
def test_percent_and_basis_points_there_and_back(number: Decimal) -> None:
    assert Rate.from_percent(number).to_percent() == number
    assert Rate.from_bp(number).to_bp() == number
    assert Rate.from_percent(number) == Rate.from_bp(number * 100)


@given(numbers, numbers)
def test_sums_and_order(one: Decimal, other: Decimal) -> None:
    assert (Rate(one) + Rate(other)) - Rate(other) == Rate(one)
    assert (Rate(one) < Rate(other)) is (one < other)
    assert (Rate(one) <= Rate(other)) is (one <= other)


@given(yuan, numbers.filter(lambda number: number > 0))
def test_a_conversion_comes_back_within_what_rounding_lost(money: Money, number: Decimal) -> None:
    fx = FxRate("CNY", "USD", number)
    there = fx.convert(money, Rounding.HALF_EVEN)
    back = fx.convert(there, Rounding.HALF_EVEN)
    lost = Fraction(1, 2) / Fraction(number) + Fraction(1, 2)
    assert there.currency.code == "USD"
    assert abs(back.amount_minor - money.amount_minor) <= lost


def test_scaling_keeps_the_basis() -> None:
    penal = Rate.from_percent(12, RateBasis.ANNUAL).scaled(Decimal("1.5"))
    assert penal == Rate(Decimal("0.18"), RateBasis.ANNUAL)


def test_annual_and_plain_do_not_mix() -> None:
    annual, plain = Rate(Decimal("0.1"), RateBasis.ANNUAL), Rate(Decimal("0.1"))
    assert annual != plain
    for attempt in (lambda: annual + plain, lambda: plain - annual, lambda: annual < plain):
        with pytest.raises(TypeError, match="mix"):
            attempt()


def test_an_annual_rate_needs_a_period_and_a_plain_one_none() -> None:
    money = Money(100, "CNY")
    with pytest.raises(TypeError, match="years"):
        Rate(Decimal(1), RateBasis.ANNUAL).apply(money, Rounding.DOWN)
    with pytest.raises(TypeError, match="years"):
        Rate(Decimal(1)).apply(money, Rounding.DOWN, years=1)
    years: Any = 0.5
    with pytest.raises(TypeError, match="years"):
        Rate(Decimal(1), RateBasis.ANNUAL).apply(money, Rounding.DOWN, years=years)


@pytest.mark.parametrize("number", [0.1, 1, True, "0.1", None])
def test_only_a_decimal_is_a_rate(number: Any) -> None:
    with pytest.raises(TypeError):
        Rate(number)
    with pytest.raises(TypeError):
        FxRate("USD", "CNY", number)


@pytest.mark.parametrize("percent", [0.1, True, None])
def test_only_an_exact_number_is_a_percentage(percent: Any) -> None:
    with pytest.raises(TypeError):
        Rate.from_percent(percent)


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "1E+13", "1E-41", "0." + "1" * 29, "1E-999999"]
)
def test_malformed_numbers_are_refused(text: str) -> None:
    with pytest.raises(RateIsMalformed):
        Rate(Decimal(text))
    with pytest.raises(RateIsMalformed):
        Rate.from_percent(text)


@pytest.mark.parametrize("text", ["", "five", "5%", "1.2.3"])
def test_text_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(RateIsMalformed):
        Rate.from_bp(text)


@pytest.mark.parametrize(
    ("base", "quote", "rate"), [("USD", "CNY", "0"), ("USD", "CNY", "-7"), ("CNY", "CNY", "1")]
)
def test_a_price_is_above_zero_and_between_two_currencies(base: str, quote: str, rate: str) -> None:
    with pytest.raises(RateIsMalformed):
        FxRate(base, quote, Decimal(rate))


def test_a_third_currency_is_not_converted() -> None:
    with pytest.raises(CurrenciesDiffer):
        FxRate("USD", "CNY", Decimal(7)).convert(Money(1, "EUR"), Rounding.DOWN)
    with pytest.raises(UnknownCurrency):
        FxRate("USD", "RMB", Decimal(7))


def test_a_result_beyond_the_limit_is_refused() -> None:
    with pytest.raises(AmountIsOutOfRange):
        FxRate("USD", "CNY", Decimal(7)).convert(Money(2**61, "USD"), Rounding.DOWN)


def test_the_caller_s_decimal_context_has_no_say() -> None:
    with localcontext(prec=2):
        assert Rate.from_percent("4.3578").per_one == Decimal("0.043578")
        total = Rate(Decimal("0.043578")) + Rate(Decimal("0.000001"))
        assert total == Rate(Decimal("0.043579"))


@pytest.mark.parametrize(
    ("percent", "shown"), [("100", "100%"), ("0.50", "0.5%"), ("-3", "-3%"), ("1E+2", "100%")]
)
def test_display(percent: str, shown: str) -> None:
    assert Rate.from_percent(percent).format("en") == shown
