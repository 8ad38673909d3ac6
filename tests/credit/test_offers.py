"""Assessment and affordability: offers fit into the room, and smaller is found only where due."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from steelyard.cashflows import terms
from steelyard.credit.model.affordability import Means, monthly_minor, room_minor
from steelyard.credit.model.application import Facts
from steelyard.credit.model.assessment import (
    CreditFile,
    Grounds,
    Ruling,
    Said,
    assess,
    assessment_as_data,
    read_assessment,
)
from steelyard.credit.model.bureau import Found, Report
from steelyard.credit.model.caps import AnnualRateIsOverCap, LenderKind, delivered
from steelyard.credit.model.offer import Lender, content_of
from steelyard.credit.model.product import terms_of
from steelyard.credit.products import DELIVERED

ON = date(2026, 3, 2)
CASH = DELIVERED["quick_cash"]


def grounds(**more: Any) -> Grounds:
    """Return grounds of somebody whom nothing speaks against."""
    given_facts = {
        name: more.pop(name) for name in list(more) if name in Facts.__dataclass_fields__
    }
    facts = Facts(
        **{
            "amount_minor": 1_000_000,
            "tenor": "12m",
            "method": terms.Method.EQUAL_INSTALMENT,
            "purpose": "home",
            "income_minor": 1_500_000,
        }
        | given_facts
    )
    base: dict[str, Any] = {
        "product": CASH,
        "facts": facts,
        "said": Said("approve", 40),
        "file": CreditFile(Found.HIT, Report(made_on=ON, score=700)),
        "own_debts_minor": 0,
        "own_owed_minor": 0,
        "on": ON,
    }
    return Grounds(**base | more)


@st.composite
def any_grounds(draw: st.DrawFn, *, good: bool | None = None) -> Grounds:
    """Return grounds of anybody; of somebody whom nothing speaks against, where told so."""
    is_good = draw(st.booleans()) if good is None else good
    product = DELIVERED[draw(st.sampled_from(["quick_cash", "credit_line", "salary_advance"]))]
    steps = (product.most_minor - product.least_minor) // product.step_minor
    score = draw(st.integers(0, 299) if is_good else st.one_of(st.none(), st.integers(0, 1000)))
    outcomes = ["approve", "limit"] if is_good else ["review", "decline", "hold", "step_up"]
    report = st.builds(
        Report,
        made_on=st.just(ON),
        overdue_minor=st.just(0) if is_good else st.sampled_from([0, 100]),
        monthly_due_minor=st.integers(0, 100_000),
        worst_dpd_24m=st.integers(0, 60 if is_good else 120),
        inquiries_6m=st.integers(0, 10 if is_good else 20),
    )
    return grounds(
        product=product,
        amount_minor=product.least_minor + product.step_minor * draw(st.integers(0, steps)),
        tenor=draw(st.sampled_from(product.tenors)),
        method=draw(st.sampled_from(product.methods)),
        income_minor=draw(st.integers(500_000 if is_good else 0, 5_000_000)),
        debts_minor=draw(st.integers(0, 100_000)),
        income_is_shown=draw(st.booleans()),
        said=Said(
            draw(st.sampled_from(outcomes)),
            score,
            draw(st.sampled_from([(), ("amount_exceeds_income",)])),
            draw(st.one_of(st.none(), st.integers(100_000, 20_000_000))),
        ),
        file=CreditFile(
            Found.HIT if is_good else draw(st.sampled_from(Found)),
            draw(report if is_good else st.one_of(st.none(), report)),
        ),
        own_debts_minor=draw(st.sampled_from([0, 0, 50_000])),
        own_owed_minor=draw(st.sampled_from([0, 0, 500_000])),
    )


@given(any_grounds())
@settings(max_examples=150)
def test_whatever_is_offered_is_priced_carried_and_bounded(one: Grounds) -> None:
    found = assess(one)
    assert read_assessment(assessment_as_data(found)) == found
    assert assess(one) == found
    if found.ruling is not Ruling.OFFER:
        assert found.reasons
        return
    product = one.product
    assert found.tier is not None
    assert product.least_minor <= found.amount_minor <= one.facts.amount_minor
    assert found.amount_minor % product.step_minor == 0
    assert found.amount_minor <= found.limit_minor
    assert one.said.outcome in ("approve", "limit")
    order = replace(one.facts.order(ON), amount_minor=found.amount_minor)
    assert monthly_minor(terms_of(product, found.tier, order)) == found.monthly_minor
    assert found.monthly_minor <= found.room_minor
    assert (found.reasons == ()) == (found.amount_minor == one.facts.amount_minor)
    if found.amount_minor < one.facts.amount_minor:
        more = found.amount_minor + product.step_minor
        if more <= min(found.limit_minor, one.facts.amount_minor):
            larger = replace(order, amount_minor=more)
            assert monthly_minor(terms_of(product, found.tier, larger)) > found.room_minor


@given(any_grounds(good=True), st.integers(0, 1_000_000))
@settings(max_examples=80)
def test_more_income_never_hurts_and_more_debts_never_help(one: Grounds, more: int) -> None:
    before = assess(one)
    assume(before.ruling is Ruling.OFFER)
    richer = replace(one, facts=replace(one.facts, income_minor=one.facts.income_minor + more))
    assert assess(richer).amount_minor >= before.amount_minor
    indebted = replace(one, own_debts_minor=one.own_debts_minor + more)
    assert assess(indebted).amount_minor <= before.amount_minor


def test_what_is_due_at_the_end_is_put_by_month_for_month() -> None:
    order = replace(grounds().facts.order(ON), method=terms.Method.INTEREST_ONLY)
    made = terms_of(CASH, CASH.tiers[0].tier, order)
    assert monthly_minor(made) > 1_000_000 // 12
    assert monthly_minor(made) < 1_000_000 // 11
    advance = DELIVERED["salary_advance"]
    short = replace(order, amount_minor=100_000, tenor="14d", method=terms.Method.BULLET)
    assert monthly_minor(terms_of(advance, advance.tiers[0].tier, short)) == 100_300


def test_a_stated_income_counts_in_part_and_the_larger_debts_count() -> None:
    means = Means(income_minor=1_000_000, stated_debts_minor=100_000, known_debts_minor=150_000)
    assert room_minor(means, CASH) == 350_000 - 150_000
    assert room_minor(replace(means, income_is_shown=True), CASH) == 500_000 - 150_000
    assert room_minor(Means(income_minor=0), CASH) == 0


def test_what_is_owed_to_us_uses_the_limit() -> None:
    found = assess(grounds(own_owed_minor=19_500_000))
    assert (found.ruling, found.amount_minor) == (Ruling.OFFER, 500_000)
    assert found.reasons == ("limit_is_used",)
    found = assess(grounds(own_owed_minor=20_000_000))
    assert (found.ruling, found.amount_minor) == (Ruling.DECLINE, 0)


def test_a_risk_in_no_tier_is_declined_and_one_that_nobody_scored_too() -> None:
    for score, reason in ((300, "risk_is_too_high"), (None, "risk_is_not_scored")):
        found = assess(grounds(said=Said("approve", score)))
        assert (found.ruling, found.reasons[0]) == (Ruling.DECLINE, reason)


def test_a_price_over_the_cap_is_never_offered() -> None:
    private = Lender(kind=LenderKind.PRIVATE, caps=delivered())
    order = grounds().facts.order(ON)
    dear = replace(CASH, prices=tuple(replace(p, rate=p.rate * 3) for p in CASH.prices))
    for product, lender in ((dear, private), (dear, replace(private, kind=LenderKind.LICENSED))):
        with pytest.raises(AnnualRateIsOverCap):
            content_of(product, product.tiers[-1].tier, replace(order, tenor="24m"), lender)
