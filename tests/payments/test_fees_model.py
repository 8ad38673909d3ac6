"""Fees: what a payment costs, and what refunds give back of it, to the last fen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.kernel import Refusal, Rounding
from steelyard.payments.model.channel import Method
from steelyard.payments.model.fees import (
    STANDARD_PLAN,
    FeeReturn,
    FeeTerm,
    FeeTier,
    check_terms,
    day_of,
    fee_of,
    fee_returned,
)
from steelyard.payments.model.orders import Scenario

RATE = Decimal("0.006")


def test_a_fee_is_rate_and_fixed_part_between_least_and_most() -> None:
    term = FeeTerm(rate=RATE, currency="CNY", fixed_minor=10, least_minor=20, most_minor=500)
    plan = replace(STANDARD_PLAN, terms=(term,))
    amounts = (1, 15, 500, 10_000, 1_000_000)
    fees = [fee_of(plan, method=Method.CARD, amount_minor=amount) for amount in amounts]
    assert fees == [1, 15, 20, 70, 500], "a payment never costs more than it brings"


def test_the_term_that_names_most_holds() -> None:
    plan = replace(
        STANDARD_PLAN,
        terms=(
            FeeTerm(rate=Decimal("0.001"), scenario=Scenario.IN_STORE, currency="CNY"),
            FeeTerm(rate=Decimal("0.002"), method=Method.SCAN),
            FeeTerm(rate=Decimal("0.003")),
        ),
    )

    def fee(method: Method, scenario: Scenario) -> int:
        return fee_of(plan, method=method, amount_minor=1_000, scenario=scenario)

    assert fee(Method.SCAN, Scenario.IN_STORE) == 2
    assert fee(Method.CARD, Scenario.IN_STORE) == 1
    assert fee(Method.CARD, Scenario.ONLINE) == 3


def test_a_payment_nothing_was_agreed_for_is_refused() -> None:
    plan = replace(STANDARD_PLAN, terms=(FeeTerm(rate=RATE, currency="CNY"),))
    with pytest.raises(Refusal, match="fee_is_not_agreed"):
        fee_of(plan, method=Method.CARD, amount_minor=100, currency="USD")


def test_tiers_change_the_rate_by_the_volume_of_the_month() -> None:
    tiers = (
        FeeTier(from_minor=100_000, rate=Decimal("0.005")),
        FeeTier(from_minor=200_000, rate=Decimal("0.004"), fixed_minor=1),
    )
    plan = replace(STANDARD_PLAN, terms=(FeeTerm(rate=RATE, currency="CNY", tiers=tiers),))
    fees = [
        fee_of(plan, method=Method.CARD, amount_minor=10_000, volume_minor=volume)
        for volume in (0, 99_999, 100_000, 199_999, 200_000)
    ]
    assert fees == [60, 60, 50, 50, 41]


@pytest.mark.parametrize(
    ("rounding", "fee"), [(Rounding.HALF_UP, 3), (Rounding.HALF_EVEN, 2), (Rounding.DOWN, 2)]
)
def test_the_rounding_is_a_named_one(rounding: Rounding, fee: int) -> None:
    plan = replace(STANDARD_PLAN, terms=(FeeTerm(rate=Decimal("0.025")),), rounding=rounding)
    assert fee_of(plan, method=Method.CARD, amount_minor=100) == fee


@given(st.integers(1, 10**12), st.decimals("0", "0.2", places=6), st.integers(0, 10**6))
def test_a_fee_lies_between_nothing_and_the_payment(amount: int, rate: Decimal, fixed: int) -> None:
    term = FeeTerm(rate=rate, currency="CNY", fixed_minor=fixed)
    plan = replace(STANDARD_PLAN, terms=(term,))
    assert 0 <= fee_of(plan, method=Method.WALLET, amount_minor=amount) <= amount


@pytest.mark.parametrize("policy", list(FeeReturn))
@given(parts=st.lists(st.integers(1, 10**7), min_size=1, max_size=12), share=st.integers(0, 1_000))
def test_case_31_partial_refunds_give_the_fee_back_to_the_cent(
    policy: FeeReturn, parts: list[int], share: int
) -> None:
    captured = sum(parts)
    fee = captured * share // 1_000
    refunded = returned = 0
    for part in parts:
        back = fee_returned(
            policy,
            fee_minor=fee,
            captured_minor=captured,
            refund_minor=part,
            refunded_minor=refunded,
            returned_minor=returned,
        )
        assert back >= 0
        refunded, returned = refunded + part, returned + back
        assert returned <= fee
        if refunded < captured and policy is FeeReturn.FULL:
            assert returned == 0
    assert returned == (0 if policy is FeeReturn.NONE else fee)


def test_a_day_is_one_of_the_merchants_clock() -> None:
    at = datetime(2026, 3, 1, 15, 59, 59, tzinfo=UTC)
    assert day_of(at, "Asia/Shanghai") == date(2026, 3, 1)
    assert day_of(at.replace(hour=16, minute=0, second=0), "Asia/Shanghai") == date(2026, 3, 2)
    assert day_of(at, "America/New_York") == date(2026, 3, 1)


@pytest.mark.parametrize(
    "terms",
    [
        (),
        (FeeTerm(rate=RATE), FeeTerm(rate=RATE)),
        (FeeTerm(rate=Decimal("0.21")),),
        (FeeTerm(rate=Decimal("NaN")),),
        (FeeTerm(rate=RATE, fixed_minor=1),),
        (FeeTerm(rate=RATE, currency="CNY", fixed_minor=-1),),
        (FeeTerm(rate=RATE, currency="CNY", least_minor=2, most_minor=1),),
        (FeeTerm(rate=RATE, currency="CNY", tiers=(FeeTier(from_minor=0, rate=RATE),)),),
    ],
)
def test_terms_that_cannot_be_are_refused(terms: tuple[FeeTerm, ...]) -> None:
    with pytest.raises(Refusal, match="fee_plan_is_malformed"):
        check_terms(terms)
