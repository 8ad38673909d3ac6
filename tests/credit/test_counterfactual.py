"""The counterfactual: only what a person can change, the smallest found, proved anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.credit import underwriting
from steelyard.credit.model.application import Facts
from steelyard.credit.model.assessment import Ruling, Said, assess
from steelyard.credit.model.bureau import Report
from steelyard.credit.model.counterfactual import (
    ACTIONABLE,
    Change,
    Counterfactual,
    Situation,
    changed_grounds,
    decide_again,
    find_counterfactual,
)
from steelyard.credit.products import DELIVERED
from tests.credit.applicants import CLEAN, Counter
from tests.credit.applicants import counter as counter
from tests.credit.test_offers import any_grounds, grounds

NOBODYS_CHOICE = {
    "age", "sex", "gender", "birth_on", "device", "ip", "phone", "address", "employer", "party",
    "customer", "purpose", "income_minor", "name", "region", "channel", "merchant",
}  # fmt: skip


def situation(judge: Any = None, **more: Any) -> Situation:
    return Situation(grounds=grounds(**more), values={}, judge=judge)


def test_only_what_a_person_can_change_is_ever_changed() -> None:
    assert set(Change.__dataclass_fields__) == set(ACTIONABLE)
    assert not set(ACTIONABLE) & NOBODYS_CHOICE
    assert all(text.en and text.zh for text in ACTIONABLE.values())


@given(any_grounds(good=True), st.integers(300_000, 600_000))
@settings(max_examples=40)
def test_whatever_is_found_is_proved_and_touches_nothing_else(one: Any, income: int) -> None:
    poor = replace(one, facts=replace(one.facts, income_minor=income))
    found = find_counterfactual(Situation(grounds=poor, values={}, judge=None), most_tries=300)
    if assess(poor, reduces=False).ruling is Ruling.OFFER or found is None:
        return
    again = decide_again(Situation(grounds=poor, values={}, judge=None), found.change)
    assert again == found.assessment
    assert again.ruling is Ruling.OFFER
    assert found.change.changed
    after = changed_grounds(poor, found.change)
    kept = set(Facts.__dataclass_fields__) - {
        "amount_minor", "tenor", "debts_minor", "income_is_shown",
    }  # fmt: skip
    assert all(getattr(after.facts, name) == getattr(poor.facts, name) for name in kept)
    assert (after.product, after.said, after.own_debts_minor) == (
        poor.product,
        poor.said,
        poor.own_debts_minor,
    )


def test_one_step_less_does_not_suffice() -> None:
    one = situation(amount_minor=9_000_000, income_minor=600_000, income_is_shown=True)
    found = find_counterfactual(one)
    assert found is not None
    assert found.is_least
    assert set(found.change.changed) == {"amount_minor"} or set(found.change.changed) == {"tenor"}
    amount = _only_amount(one)
    more = Change(amount_minor=amount + 10_000)
    assert decide_again(one, Change(amount_minor=amount)).ruling is Ruling.OFFER
    assert decide_again(one, more).ruling is Ruling.DECLINE


def _only_amount(one: Situation) -> int:
    """Return the most that would be lent, found step by step."""
    facts, step = one.grounds.facts, one.grounds.product.step_minor
    amount = facts.amount_minor
    while decide_again(one, Change(amount_minor=amount)).ruling is not Ruling.OFFER:
        amount -= step
    return amount


def test_showing_the_income_is_tried_before_giving_something_up() -> None:
    found = find_counterfactual(situation(amount_minor=4_000_000, income_minor=800_000))
    assert found is not None
    assert found.change == Change(income_is_shown=True)


def test_debts_elsewhere_are_paid_down_no_further_than_needed() -> None:
    one = situation(
        amount_minor=100_000,
        tenor="24m",
        income_minor=400_000,
        income_is_shown=True,
        debts_minor=250_000,
    )
    found = find_counterfactual(one)
    assert found is not None
    assert set(found.change.changed) == {"debts_minor"}
    left = found.change.debts_minor
    assert left is not None
    assert decide_again(one, Change(debts_minor=left + 1)).ruling is Ruling.DECLINE


def test_a_purchase_is_helped_by_a_larger_down_payment() -> None:
    shop = DELIVERED["merchant_instalments"]
    one = situation(
        product=shop,
        tenor="24m",
        amount_minor=4_500_000,
        price_minor=5_000_000,
        merchant=UUID(int=4),
        income_minor=400_000,
        income_is_shown=True,
    )
    found = find_counterfactual(one)
    assert found is not None
    assert set(found.change.changed) == {"down_payment_minor"}
    paid = found.change.down_payment_minor
    assert paid is not None
    assert paid > 500_000
    assert decide_again(one, Change(down_payment_minor=paid - 1)).ruling is Ruling.DECLINE


def test_the_policy_is_asked_again_and_not_guessed() -> None:
    asked: list[Mapping[str, Any]] = []

    def judge(values: Mapping[str, Any]) -> Said:
        asked.append(values)
        high = values["amount_minor"] > 500_000 or values["term_months"] > 6
        return Said("decline", 800, ("amount_is_very_high",)) if high else Said("approve", 10)

    one = replace(situation(judge), values={"income_minor": 1, "history": "stays"})
    found = find_counterfactual(one)
    assert found is not None
    assert set(found.change.changed) == {"amount_minor", "tenor"}
    assert (found.change.amount_minor, found.change.tenor) == (500_000, "6m")
    assert {values["history"] for values in asked} == {"stays"}
    assert found.tries == len(asked)


def test_where_nothing_helps_nothing_is_told() -> None:
    def never(values: Mapping[str, Any]) -> Said:
        return Said("decline", 1000, ("history_of_fraud",))

    assert find_counterfactual(situation(never), most_tries=200) is None
    late = Report(made_on=CLEAN.made_on, worst_dpd_24m=90)
    one = situation()
    file = replace(one.grounds.file, report=late)
    blocked = replace(one, grounds=replace(one.grounds, file=file))
    assert find_counterfactual(blocked, most_tries=200) is None


def test_a_recorded_decline_is_explained_and_proved_over_the_log(counter: Counter) -> None:
    counter.bureau.report = replace(CLEAN, overdue_minor=5_000)
    applied = counter.decided()
    with counter.database.reading() as connection:
        found = underwriting.counterfactual_of(connection, applied.id)
        one = underwriting.situation_of(connection, applied)
    assert isinstance(found, Counterfactual)
    assert found.change == Change(overdue_minor=0)
    assert one.judge is not None
    assert decide_again(one, Change()) == assess(one.grounds, reduces=False)
    # Applied anew, as the counterfactual says, it is offered.
    counter.bureau.report = CLEAN
    counter.clock_days(31)
    assert counter.decided(applied.party).state == "offered"


def test_a_policy_that_declines_is_the_one_that_is_asked_again(counter: Counter) -> None:
    applied = counter.decided(amount_minor=20_000_000, income_minor=100_000)
    assert applied.state in ("declined", "in_review", "offered")
    with counter.database.reading() as connection:
        found = underwriting.counterfactual_of(connection, applied.id)
    assert found is not None
    assert found.assessment.ruling is Ruling.OFFER
    assert found.change.amount_minor is not None
    assert found.change.amount_minor < 20_000_000


def test_who_got_what_he_asked_for_has_nothing_to_be_told(counter: Counter) -> None:
    applied = counter.decided()
    with (
        counter.database.reading() as connection,
        pytest.raises(underwriting.CounterfactualIsNotAsked),
    ):
        underwriting.counterfactual_of(connection, applied.id)
