"""What a credit costs, as it is shown: all of it, and in a rate that says how it was made."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cashflows.model.disclosure import (
    CHINA,
    RateMethod,
    Timing,
    annualised,
    disclose,
    fee_to_rate,
    years,
)
from steelyard.cashflows.model.irr import Flow, FlowsAreInvalid
from steelyard.cashflows.model.plan import plan
from steelyard.cashflows.model.terms import (
    Fee,
    FeeOf,
    FeeWhen,
    InterestOn,
    Method,
    Terms,
    Unit,
)

START = date(2026, 1, 15)


def terms(**changes: object) -> Terms:
    given: dict[str, object] = {
        "principal_minor": 1_200_000,
        "start_on": START,
        "instalments": 12,
        "rate": Decimal("0.12"),
    }
    return Terms(**{**given, **changes})  # type: ignore[arg-type]


def test_a_plain_loan_costs_its_rate() -> None:
    cost = disclose(terms())
    assert cost.simple == Decimal("0.120001")
    assert cost.compound == Decimal("0.126826")
    assert cost.cost_minor == cost.interest_minor == 79_423
    assert (cost.received_minor, cost.payments_minor) == (1_200_000, 1_279_423)


def test_interest_on_the_original_amount_costs_nearly_twice_what_it_says() -> None:
    cost = disclose(terms(method=Method.EQUAL_PRINCIPAL, interest_on=InterestOn.ORIGINAL))
    assert cost.simple == Decimal("0.214572")
    assert cost.rates[0].percent == "23.70%"


def test_every_fee_is_in_the_rate() -> None:
    upfront = Fee(code="service", when=FeeWhen.UPFRONT, rate=Decimal("0.02"))
    each = Fee(code="guarantee", when=FeeWhen.EACH, rate=Decimal("0.001"), of=FeeOf.ORIGINAL)
    cost = disclose(terms(fees=(upfront, each)))
    assert cost.received_minor == 1_176_000
    assert cost.fee_minor == 24_000 + 12 * 1_200
    assert cost.cost_minor == cost.interest_minor + cost.fee_minor
    assert cost.compound > disclose(terms(fees=(upfront,))).compound > disclose(terms()).compound


def test_a_down_payment_is_no_credit_and_no_cost() -> None:
    bare = disclose(terms(principal_minor=900_000))
    paid = disclose(terms(down_payment=Decimal("0.25")))
    assert (paid.principal_minor, paid.down_payment_minor) == (900_000, 300_000)
    assert paid.received_minor == 900_000
    assert (paid.compound, paid.cost_minor) == (bare.compound, bare.cost_minor)


def test_without_interest_and_fees_it_costs_nothing() -> None:
    cost = disclose(terms(rate=Decimal(0)))
    assert cost.compound == cost.simple == Decimal(0)
    assert cost.cost_minor == 0


def test_a_flat_fee_for_two_weeks_is_a_high_rate() -> None:
    fee = Fee(code="advance", when=FeeWhen.LAST, amount_minor=1_000)
    cost = disclose(
        terms(
            principal_minor=100_000, instalments=1, every=14, unit=Unit.DAY, rate=Decimal(0),
            fees=(fee,),
        )
    )  # fmt: skip
    assert cost.simple == Decimal("0.260714")
    assert cost.compound == Decimal("0.296177")


def test_a_tenth_for_a_day_has_a_rate_that_is_shown_not_refused() -> None:
    fee = Fee(code="advance", when=FeeWhen.LAST, rate=Decimal("0.1"))
    cost = disclose(
        terms(
            principal_minor=100_000, instalments=1, every=1, unit=Unit.DAY, rate=Decimal(0),
            fees=(fee,),
        )
    )  # fmt: skip
    assert cost.simple == Decimal("36.500000")
    assert float(cost.compound) == pytest.approx(1.1**365, rel=1e-9)


fees = st.builds(
    Fee,
    code=st.just("fee"),
    when=st.sampled_from(FeeWhen),
    amount_minor=st.integers(0, 50_000),
    rate=st.decimals(0, Decimal("0.2"), places=3),
    of=st.sampled_from(FeeOf),
)


@given(
    st.sampled_from(Method),
    st.sampled_from(InterestOn),
    st.sampled_from(Unit),
    st.integers(1, 24),
    st.integers(1, 3),
    st.decimals(0, 1, places=3),
    st.lists(fees, max_size=3),
    st.sampled_from([None, Decimal("0.2")]),
)
def test_every_contract_has_its_cost_and_every_fee_raises_it(
    method: Method,
    interest_on: InterestOn,
    unit: Unit,
    count: int,
    every: int,
    rate: Decimal,
    charged: list[Fee],
    down: Decimal | None,
) -> None:
    made = terms(
        method=method, interest_on=interest_on, unit=unit, instalments=count, every=every,
        rate=rate, fees=tuple(charged), down_payment=down,
        principal_share=Decimal("0.04") if method is Method.FIXED_PRINCIPAL else None,
    )  # fmt: skip
    rows = plan(made).rows
    received = 1_200_000 - sum(row.total_minor for row in rows if row.due_on == START)
    back = sum(row.total_minor for row in rows if row.due_on > START)
    if received <= 0 or (unit is not Unit.MONTH and back > 1.2 * received):
        # Nothing is received; or a fifth and more within days, beyond what is searched.
        return
    cost = disclose(made, methods=tuple(RateMethod))
    assert cost.cost_minor == cost.interest_minor + cost.fee_minor
    assert cost.compound >= cost.simple >= 0
    assert sum(one.total_minor for one in cost.periods) == (
        cost.principal_minor + cost.down_payment_minor + cost.cost_minor
    )
    bare = disclose(terms(**{
        "method": method, "interest_on": interest_on, "unit": unit, "instalments": count,
        "every": every, "rate": rate, "down_payment": down,
        "principal_share": made.principal_share,
    }))  # fmt: skip
    assert cost.compound >= bare.compound


def test_simple_and_compound_are_called_so_in_both_languages() -> None:
    compound, simple = disclose(terms()).rates
    assert ("compound" in compound.en, "复利" in compound.zh) == (True, True)
    assert ("simple" in simple.en, "单利" in simple.zh) == (True, True)
    assert tuple(one.method for one in (compound, simple)) == CHINA


def test_the_rates_of_other_countries_stand_beside() -> None:
    cost = disclose(terms(), methods=tuple(RateMethod))
    found = {one.method: one.per_one for one in cost.rates}
    assert found[RateMethod.REG_Z] == Decimal("0.120001")
    assert found[RateMethod.EU] == found[RateMethod.COMPOUND] == Decimal("0.126826")


def test_lines_have_words_in_both_languages_and_add_up() -> None:
    cost = disclose(terms())
    lines = {line.code: line for line in cost.lines}
    assert lines["payments"].amount_minor - lines["received"].amount_minor == cost.cost_minor
    assert all(line.en and line.zh for line in cost.lines)
    assert sum(one.principal_minor for one in cost.periods) == 1_200_000
    assert cost.periods[-1].balance_minor == 0


def test_rows_of_another_plan_are_taken_as_they_are() -> None:
    longer = plan(terms(instalments=24)).rows
    assert disclose(terms(), rows=longer).payments_minor == sum(row.total_minor for row in longer)


def test_fees_as_high_as_the_loan_are_refused() -> None:
    fee = Fee(code="service", when=FeeWhen.UPFRONT, rate=Decimal(1))
    with pytest.raises(FlowsAreInvalid):
        disclose(terms(fees=(fee,)))


@pytest.mark.parametrize(
    ("fee", "months", "upfront"), [("0.006", 0, "0"), ("-0.1", 12, "0"), ("0.006", 12, "1")]
)
def test_a_fee_that_cannot_be_is_refused(fee: str, months: int, upfront: str) -> None:
    with pytest.raises(FlowsAreInvalid):
        fee_to_rate(Decimal(fee), months, Decimal(upfront))


def test_a_fee_of_the_first_day_raises_the_rate_behind_a_monthly_fee() -> None:
    bare, charged = (fee_to_rate(Decimal("0.006"), 12, Decimal(one)) for one in ("0", "0.03"))
    assert charged.compound > bare.compound + Decimal("0.05")


@given(
    st.sampled_from(Method),
    st.integers(1, 48),
    st.integers(1, 360),
    st.integers(10_000, 10**9),
    st.dates(date(2000, 1, 1), date(2060, 12, 31)),
)
def test_the_rate_of_a_contract_without_fees_is_the_rate_it_names(
    method: Method, count: int, tenths: int, principal: int, start: date
) -> None:
    share = Decimal("0.01") if method is Method.FIXED_PRINCIPAL else None
    cost = disclose(
        terms(
            principal_minor=principal * 100, start_on=start, instalments=count, method=method,
            rate=Decimal(tenths) / 1000, principal_share=share,
        )
    )  # fmt: skip
    assert cost.cost_minor == cost.interest_minor == cost.payments_minor - cost.received_minor
    if method is Method.BULLET:
        # Interest that is not paid out is not compounded: over months it is worth less.
        assert cost.simple <= Decimal(tenths) / 1000 + Decimal("0.0001")
    else:
        assert float(cost.simple) == pytest.approx(tenths / 1000, abs=1e-4)
    assert cost.compound >= cost.simple


@given(st.integers(1, 10**9), st.integers(1, 2000), st.integers(0, 10**8))
def test_a_dated_rate_repays_to_the_day(lent: int, days: int, more: int) -> None:
    start = date(2020, 1, 1)
    end = date.fromordinal(start.toordinal() + days)
    if 365 / days * math.log1p(more / lent) > 99:
        # 10^43 times a year: refused as beyond what is searched.
        return
    found = annualised([Flow(start, lent)], [Flow(end, lent + more)])
    grown = (lent + more) / lent
    exact = grown ** (365 / days) - 1
    if exact < 1e6:
        assert float(found.compound) == pytest.approx(exact, rel=1e-9, abs=1e-6)


def test_dates_are_counted_by_months_or_by_days() -> None:
    one, other = date(2026, 1, 31), date(2026, 2, 28)
    assert years(one, other, Timing.MONTHS) == pytest.approx(1 / 12)
    assert years(one, other, Timing.DAYS) == pytest.approx(28 / 365)
    quarter = annualised(
        [Flow(START, 100_000)], [Flow(date(2026, 4, 15), 103_000)], Timing.MONTHS, Fraction(4)
    )
    assert quarter.simple == Decimal("0.120000")
    assert str(quarter.per_period) == "0.0300000000"


@pytest.mark.parametrize(
    ("received", "paid"),
    [
        ([], [Flow(START, 1)]),
        ([Flow(START, 1)], []),
        ([Flow(START, 1)], [Flow(date(2025, 1, 1), 2)]),
    ],
)
def test_lists_that_cannot_be_are_refused(received: list[Flow], paid: list[Flow]) -> None:
    with pytest.raises(FlowsAreInvalid):
        annualised(received, paid)
