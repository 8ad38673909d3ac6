from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.kernel.rounding import Rounding, round_ratio, round_to

from .reading import rows

amounts = st.decimals(
    min_value=-(10**20), max_value=10**20, allow_nan=False, allow_infinity=False, places=9
)


@pytest.mark.parametrize("row", rows("rounding.txt"), ids=lambda row: row["amount"])
@pytest.mark.parametrize("rounding", Rounding)
def test_the_table(row: dict[str, str], rounding: Rounding) -> None:
    amount, digits = Decimal(row["amount"]), int(row["digits"])
    expected = Decimal(row[rounding])
    rounded = round_to(amount, digits, rounding)
    assert rounded == expected
    assert rounded.as_tuple().exponent == -digits
    numerator, denominator = amount.as_integer_ratio()
    assert round_ratio(numerator * 10**digits, denominator, rounding) == expected.scaleb(digits)


@given(amounts, st.integers(0, 8), st.sampled_from(Rounding))
def test_decimals_and_ratios_round_alike(amount: Decimal, digits: int, rounding: Rounding) -> None:
    numerator, denominator = amount.as_integer_ratio()
    by_ratio = round_ratio(numerator * 10**digits, denominator, rounding)
    rounded = round_to(amount, digits, rounding)
    assert Decimal((0, (1,), -digits)) * 0 + rounded == Decimal(f"{by_ratio}E-{digits}")


@given(amounts, st.sampled_from(Rounding))
def test_rounding_again_changes_nothing_and_moves_less_than_a_step(
    amount: Decimal, rounding: Rounding
) -> None:
    once = round_to(amount, 2, rounding)
    assert round_to(once, 2, rounding) == once
    assert abs(once - amount) < Decimal("0.01")
    if rounding.startswith("half"):
        assert abs(once - amount) <= Decimal("0.005")


@given(amounts, amounts, st.sampled_from(Rounding))
def test_order_is_kept(one: Decimal, other: Decimal, rounding: Rounding) -> None:
    low, high = sorted((one, other))
    assert round_to(low, 2, rounding) <= round_to(high, 2, rounding)


MIRROR = {Rounding.FLOOR: Rounding.CEILING, Rounding.CEILING: Rounding.FLOOR}


@given(st.integers(), st.integers(min_value=1), st.sampled_from(Rounding))
def test_a_negative_value_mirrors_the_positive(n: int, d: int, rounding: Rounding) -> None:
    assert round_ratio(-n, d, rounding) == -round_ratio(n, d, MIRROR.get(rounding, rounding))


def test_the_caller_s_decimal_context_has_no_say() -> None:
    with localcontext(prec=3):
        assert round_to(Decimal("123456.785"), 2, Rounding.HALF_EVEN) == Decimal("123456.78")
