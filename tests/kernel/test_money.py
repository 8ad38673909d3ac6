from __future__ import annotations

import copy
import pickle
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.kernel.currency import CURRENCIES, Currency, UnknownCurrency
from steelyard.kernel.money import (
    AMOUNT_LIMIT_MINOR,
    AmountHasTooManyDecimals,
    AmountIsMalformed,
    AmountIsOutOfRange,
    CurrenciesDiffer,
    Money,
)
from steelyard.kernel.rounding import Rounding

from .reading import rows

LARGEST = AMOUNT_LIMIT_MINOR - 1
currencies = st.sampled_from(list(CURRENCIES))
minors = st.integers(-LARGEST, LARGEST)
monies = st.builds(Money, minors, currencies)
yuan = st.builds(Money, st.integers(-(10**15), 10**15), st.just("CNY"))
weights = st.lists(
    st.one_of(
        st.integers(0, 10**6),
        st.decimals(min_value=0, max_value=1000, places=4, allow_nan=False, allow_infinity=False),
        st.fractions(min_value=0, max_value=100, max_denominator=1000),
    ),
    min_size=1,
    max_size=20,
).filter(any)


def major(text: str, currency: str) -> Money:
    return Money.parse(text, currency)


class TestAllocation:
    @pytest.mark.parametrize("row", rows("allocation.txt"), ids=lambda row: row["weights"])
    def test_the_table(self, row: dict[str, str]) -> None:
        shares = tuple(major(text, row["currency"]) for text in row["shares"].split(","))
        by = [Decimal(weight) for weight in row["weights"].split(",")]
        assert major(row["amount"], row["currency"]).allocate(by) == shares

    @given(monies, weights)
    def test_shares_add_up_and_are_near_the_exact_ones(
        self, money: Money, by: list[int | Decimal | Fraction]
    ) -> None:
        shares = money.allocate(by)
        assert len(shares) == len(by)
        assert Money.total(shares, money.currency) == money
        every = sum(Fraction(weight) for weight in by)
        for share, weight in zip(shares, by, strict=True):
            exact = money.amount_minor * Fraction(weight) / every
            assert abs(share.amount_minor - exact) < 1

    @given(monies, weights)
    def test_a_larger_weight_never_gets_less_and_none_gets_nothing(
        self, money: Money, by: list[int | Decimal | Fraction]
    ) -> None:
        shares = [abs(share) for share in money.allocate(by)]
        pairs = sorted(zip(map(Fraction, by), shares, strict=True), key=lambda pair: pair[0])
        for (light, less), (heavy, more) in pairwise(pairs):
            assert light == heavy or less <= more
        assert all(share.is_zero for weight, share in pairs if weight == 0)

    @given(monies, weights, st.fractions(min_value=Fraction(1, 100), max_value=100))
    def test_only_the_proportion_of_weights_counts(
        self, money: Money, by: list[int | Decimal | Fraction], scale: Fraction
    ) -> None:
        assert money.allocate([Fraction(weight) * scale for weight in by]) == money.allocate(by)

    @given(monies, weights)
    def test_a_negative_amount_mirrors_the_positive(
        self, money: Money, by: list[int | Decimal | Fraction]
    ) -> None:
        assert (-money).allocate(by) == tuple(-share for share in money.allocate(by))

    @given(monies, st.integers(1, 60))
    def test_parts_of_a_split_differ_by_one_at_most(self, money: Money, n: int) -> None:
        parts = [abs(part).amount_minor for part in money.split(n)]
        assert sum(parts) == abs(money.amount_minor)
        assert max(parts) - min(parts) <= 1
        assert parts == sorted(parts, reverse=True)

    @pytest.mark.parametrize("by", [[], [0], [0, 0], [1, -1], [Decimal("-0.1"), 2]])
    def test_weights_that_divide_nothing_are_a_fault(self, by: list[int]) -> None:
        with pytest.raises(ValueError, match="weights"):
            Money(1, "CNY").allocate(by)

    @pytest.mark.parametrize("weight", [1.0, True, "1", None])
    def test_weights_of_another_type_are_a_fault(self, weight: Any) -> None:
        with pytest.raises(TypeError):
            Money(1, "CNY").allocate([1, weight])

    def test_a_split_into_nothing_is_a_fault(self) -> None:
        with pytest.raises(ValueError, match="weights"):
            Money(1, "CNY").split(0)


class TestArithmetic:
    @given(yuan, yuan, yuan)
    def test_addition_is_a_group(self, a: Money, b: Money, c: Money) -> None:
        assert (a + b) + c == a + (b + c)
        assert a + b == b + a
        assert a + Money.zero("CNY") == a
        assert (a - b) + b == a
        assert a + -a == Money.zero("CNY")

    @given(st.integers(-1000, 1000), yuan, yuan)
    def test_multiplication_by_an_int_distributes(self, n: int, a: Money, b: Money) -> None:
        assert n * (a + b) == a * n + b * n

    @given(yuan, yuan)
    def test_order_is_that_of_the_minor_units(self, a: Money, b: Money) -> None:
        assert (a < b) is (a.amount_minor < b.amount_minor)
        assert (a <= b) is (not a > b)
        assert (a >= b) is (not a < b)
        assert (a == b) is (a <= b <= a)

    def test_two_currencies_do_not_mix(self) -> None:
        yuan, dollar = Money(1, "CNY"), Money(1, "USD")
        for attempt in (
            lambda: yuan + dollar,
            lambda: yuan - dollar,
            lambda: yuan < dollar,
            lambda: yuan <= dollar,
            lambda: yuan > dollar,
            lambda: yuan >= dollar,
            lambda: Money.total([yuan, dollar], "CNY"),
        ):
            with pytest.raises(CurrenciesDiffer) as refused:
                attempt()
            assert refused.value.facts == {"expected": "CNY", "given": "USD"}
        assert yuan != dollar

    @pytest.mark.parametrize("other", [1, 1.0, Decimal(1), "1", None, True])
    def test_money_and_bare_numbers_do_not_mix(self, other: Any) -> None:
        money: Any = Money(1, "CNY")
        for attempt in (
            lambda: money + other,
            lambda: other + money,
            lambda: money - other,
            lambda: money < other,
            lambda: money >= other,
        ):
            with pytest.raises(TypeError):
                attempt()
        assert money != other

    @pytest.mark.parametrize("times", [1.0, True, Decimal(2), Fraction(1, 2), Money(1, "CNY")])
    def test_only_an_int_multiplies(self, times: Any) -> None:
        money: Any = Money(1, "CNY")
        with pytest.raises(TypeError):
            money * times
        with pytest.raises(TypeError):
            times * money

    def test_there_is_no_division(self) -> None:
        money: Any = Money(1, "CNY")
        with pytest.raises(TypeError):
            money / 2
        with pytest.raises(TypeError):
            money // 2

    def test_a_total_of_nothing_is_zero_and_may_pass_beyond_the_limit(self) -> None:
        assert Money.total([], "JPY") == Money.zero("JPY")
        most = Money(LARGEST, "CNY")
        assert Money.total([most, most, -most, -most], "CNY").is_zero
        with pytest.raises(AmountIsOutOfRange):
            Money.total([most, Money(1, "CNY")], "CNY")


class TestMaking:
    @pytest.mark.parametrize("amount", [1.0, True, "1", None, Decimal(1), Fraction(1)])
    def test_only_an_int_counts_minor_units(self, amount: Any) -> None:
        with pytest.raises(TypeError):
            Money(amount, "CNY")

    @pytest.mark.parametrize("amount", [2**62, -(2**62), 10**40])
    def test_beyond_the_limit_is_refused(self, amount: int) -> None:
        with pytest.raises(AmountIsOutOfRange):
            Money(amount, "CNY")

    def test_the_limit_itself(self) -> None:
        assert (-Money(LARGEST, "CNY")).amount_minor == -LARGEST
        with pytest.raises(AmountIsOutOfRange):
            Money(LARGEST, "CNY") + Money(1, "CNY")
        with pytest.raises(AmountIsOutOfRange):
            Money(LARGEST, "CNY") * 2

    def test_an_unknown_currency_is_refused(self) -> None:
        with pytest.raises(UnknownCurrency):
            Money(1, "RMB")

    def test_it_is_a_value(self) -> None:
        money = Money(1, "CNY")
        assert money == Money(1, Currency.of("CNY"))
        assert hash(money) == hash(Money(1, "CNY"))
        assert pickle.loads(pickle.dumps(money)) == money == copy.deepcopy(money)
        with pytest.raises(AttributeError):
            money.amount_minor = 2  # type: ignore[misc]


class TestDecimals:
    @given(monies)
    def test_there_and_back(self, money: Money) -> None:
        assert Money.from_decimal(money.to_decimal(), money.currency) == money
        assert Money.parse(str(money).removeprefix(f"{money.currency} "), money.currency) == money
        exponent = money.to_decimal().as_tuple().exponent
        assert exponent == -money.currency.exponent

    @given(monies)
    def test_the_caller_s_decimal_context_has_no_say(self, money: Money) -> None:
        with localcontext(prec=2):
            assert Money.from_decimal(money.to_decimal(), money.currency) == money

    @pytest.mark.parametrize("row", rows("rounding.txt"), ids=lambda row: row["amount"])
    @pytest.mark.parametrize("rounding", Rounding)
    def test_rounding_by_name(self, row: dict[str, str], rounding: Rounding) -> None:
        currency = {"0": "JPY", "2": "CNY", "3": "KWD"}[row["digits"]]
        rounded = Money.from_decimal(Decimal(row["amount"]), currency, rounding=rounding)
        assert rounded.to_decimal() == Decimal(row[rounding])

    def test_finer_than_the_minor_unit_needs_a_rounding(self) -> None:
        with pytest.raises(AmountHasTooManyDecimals) as refused:
            Money.from_decimal(Decimal("0.001"), "CNY")
        assert refused.value.facts == {"amount": "0.001", "currency": "CNY", "exponent": 2}
        assert Money.from_decimal(Decimal("0.001"), "KWD") == Money(1, "KWD")
        assert Money.from_decimal(Decimal("1.500"), "CNY") == Money(150, "CNY")
        assert Money.from_decimal(7, "CNY") == Money(700, "CNY")

    @pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity"])
    def test_what_is_not_a_number_is_refused(self, amount: str) -> None:
        with pytest.raises(AmountIsMalformed):
            Money.from_decimal(Decimal(amount), "CNY", rounding=Rounding.DOWN)

    @pytest.mark.parametrize("amount", ["1E+999999", "1E+21", "46116860184273879.04"])
    def test_too_large_is_refused(self, amount: str) -> None:
        with pytest.raises(AmountIsOutOfRange):
            Money.from_decimal(Decimal(amount), "CNY", rounding=Rounding.DOWN)

    def test_the_smallest_decimal_rounds(self) -> None:
        tiny = Decimal("1E-999999")
        assert Money.from_decimal(tiny, "CNY", rounding=Rounding.UP) == Money(1, "CNY")
        assert Money.from_decimal(tiny, "CNY", rounding=Rounding.HALF_UP).is_zero
        with pytest.raises(AmountHasTooManyDecimals):
            Money.from_decimal(tiny, "CNY")

    @pytest.mark.parametrize("amount", [0.1, 1.0, True, "1", None])
    def test_floats_and_the_like_are_a_fault(self, amount: Any) -> None:
        with pytest.raises(TypeError):
            Money.from_decimal(amount, "CNY", rounding=Rounding.DOWN)


class TestText:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            " 1",
            "1 ",
            "+1",
            "1,000",
            "1.",
            ".5",
            "1e3",
            "0x1",
            "1_0",
            "１２",
            "--1",
            "1.2.3",
            "NaN",
            "1\n",
            "9" * 25,
            "¥1",
        ],
    )
    def test_malformed_text_is_refused(self, text: str) -> None:
        with pytest.raises(AmountIsMalformed):
            Money.parse(text, "CNY")

    @given(st.text(max_size=40))
    def test_any_text_is_money_or_a_refusal(self, text: str) -> None:
        try:
            money = Money.parse(text, "CNY")
        except (AmountIsMalformed, AmountHasTooManyDecimals, AmountIsOutOfRange):
            return
        assert money.to_decimal() == Decimal(text)

    def test_more_decimals_than_the_currency_has(self) -> None:
        assert Money.parse("12.340", "CNY") == Money(1234, "CNY")
        with pytest.raises(AmountHasTooManyDecimals):
            Money.parse("12.345", "CNY")
        with pytest.raises(AmountHasTooManyDecimals):
            Money.parse("1.5", "JPY")

    @pytest.mark.parametrize(
        ("money", "chinese", "english"),
        [
            (Money(123456, "CNY"), "¥1,234.56", "CNY 1,234.56"),
            (Money(-5, "CNY"), "-¥0.05", "-CNY 0.05"),
            (Money(0, "CNY"), "¥0.00", "CNY 0.00"),
            (Money(1234567, "JPY"), "JP¥1,234,567", "JPY 1,234,567"),
            (Money(1234567, "KWD"), "KWD 1,234.567", "KWD 1,234.567"),
            (Money(99, "USD"), "US$0.99", "USD 0.99"),
            (Money(LARGEST, "CLF"), "CLF 461,168,601,842,738.7903", "CLF 461,168,601,842,738.7903"),
        ],
    )
    def test_display(self, money: Money, chinese: str, english: str) -> None:
        assert money.format("zh-CN") == chinese
        assert money.format("en") == english

    def test_str_is_plain_and_repr_is_code(self) -> None:
        money = Money(-123456, "CNY")
        assert str(money) == "CNY -1234.56"
        assert eval(repr(money)) == money
