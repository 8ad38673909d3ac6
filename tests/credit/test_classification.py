from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.credit.model.classification import (
    RULES,
    RULES_2023,
    Category,
    CategoryRules,
    Restructured,
    RiskFacts,
    Stage,
    StageFacts,
    category_of_days,
    classify,
    clean_since,
    provision_2002,
    rules_on,
    stage_of,
)

ON = date(2026, 3, 2)
LATE = ON - timedelta(days=200)


def of(**facts: object) -> Category:
    return classify(RiskFacts(**{"on": ON, "days_past_due": 0, **facts})).category  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "name"),
    [(0, "正常"), (1, "关注"), (90, "关注"), (91, "次级"), (270, "次级"), (271, "可疑"),
     (360, "可疑"), (361, "损失")],
)  # fmt: skip
def test_lateness_alone_asks_for_a_category(days: int, name: str) -> None:
    assert category_of_days(days).zh == name
    assert of(days_past_due=days).zh == name


@pytest.mark.parametrize(
    ("days", "category"), [(7, Category.NORMAL), (8, Category.SPECIAL_MENTION)]
)
def test_lateness_of_technical_cause_is_forgiven_for_a_week(days: int, category: Category) -> None:
    assert of(days_past_due=days, is_technical=True) is category


@pytest.mark.parametrize(
    ("share", "category"),
    [(0, Category.SUBSTANDARD), (499_999, Category.SUBSTANDARD), (500_000, Category.DOUBTFUL),
     (899_999, Category.DOUBTFUL), (900_000, Category.LOSS)],
)  # fmt: skip
def test_impairment_asks_by_the_share_that_is_expected_lost(share: int, category: Category) -> None:
    assert of(is_impaired=True, ecl_ppm=share) is category
    assert of(is_impaired=False, ecl_ppm=share) is Category.NORMAL


def test_cross_debt_binds_all_but_retail_debtors() -> None:
    assert of(own_bad_ppm=100_001) is Category.NORMAL
    assert of(own_bad_ppm=100_001, is_retail=False) is Category.SUBSTANDARD
    assert of(own_bad_ppm=100_000, is_retail=False) is Category.SPECIAL_MENTION
    assert of(other_late_ppm=200_001, is_retail=False) is Category.SUBSTANDARD
    assert of(other_late_ppm=200_000, is_retail=False) is Category.SPECIAL_MENTION


def test_a_restructured_loan_is_watched_for_a_year() -> None:
    done = Restructured(on=ON - timedelta(days=364))
    assert of(restructured=done) is Category.SPECIAL_MENTION
    assert of(restructured=replace(done, on=ON - timedelta(days=365))) is Category.NORMAL
    assert of(restructured=replace(done, was=Category.DOUBTFUL)) is Category.SUBSTANDARD
    assert of(restructured=replace(done, times=2)) is Category.DOUBTFUL


@pytest.mark.parametrize(
    ("clean_days", "paid", "category"),
    [(None, 9, Category.DOUBTFUL), (182, 6, Category.DOUBTFUL), (183, 1, Category.DOUBTFUL),
     (183, 2, Category.NORMAL)],
)  # fmt: skip
def test_a_non_performing_loan_is_better_only_after_half_a_year_in_time(
    clean_days: int | None, paid: int, category: Category
) -> None:
    since = None if clean_days is None else ON - timedelta(days=clean_days)
    assert of(before=Category.DOUBTFUL, clean_since=since, paid_since=paid) is category


def test_a_performing_loan_is_better_at_once() -> None:
    assert of(before=Category.SPECIAL_MENTION) is Category.NORMAL


def test_why_names_every_rule_that_asks_for_the_category() -> None:
    found = classify(RiskFacts(on=ON, days_past_due=120, is_impaired=True))
    assert found.reasons == ("days_past_due", "impaired")
    assert classify(RiskFacts(on=ON, days_past_due=0)).reasons == ()


def test_rules_are_chosen_by_the_day() -> None:
    later = CategoryRules(in_force_on=date(2030, 1, 1), substandard_over=60)
    dated = (*RULES, later)
    assert rules_on(date(2029, 12, 31), dated) is RULES_2023
    assert rules_on(date(2030, 1, 1), dated) is later
    assert rules_on(date(2020, 1, 1), dated) is RULES_2023
    assert classify(RiskFacts(on=ON, days_past_due=61), later).category is Category.SUBSTANDARD


@given(
    st.integers(0, 500), st.integers(0, 500), st.booleans(), st.integers(0, 1_000_000),
    st.sampled_from([None, *Category]),
)  # fmt: skip
def test_later_is_never_better(
    days: int, more: int, impaired: bool, share: int, before: Category | None
) -> None:
    facts = RiskFacts(on=ON, days_past_due=days, is_impaired=impaired, ecl_ppm=share, before=before)
    worse = classify(replace(facts, days_past_due=days + more)).category
    assert worse >= classify(facts).category >= category_of_days(days)


# -- stages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "stage"),
    [(0, Stage.ONE), (30, Stage.ONE), (31, Stage.TWO), (90, Stage.TWO), (91, Stage.THREE)],
)
def test_the_presumptions_of_thirty_and_ninety_days(days: int, stage: Stage) -> None:
    assert stage_of(StageFacts(on=ON, days_past_due=days)) is stage


@pytest.mark.parametrize(
    ("first", "now", "stage"),
    [
        (10_000, 19_999, Stage.ONE),
        (10_000, 20_000, Stage.TWO),
        (1_000, 2_999, Stage.ONE),  # low risk
        (2_000, 6_999, Stage.ONE),  # it rose by less than half a per cent
        (2_000, 7_000, Stage.TWO),
        (0, 500_000, Stage.ONE),  # nothing to compare with: missing is not zero
    ],
)
def test_risk_that_doubled_is_a_significant_increase(first: int, now: int, stage: Stage) -> None:
    facts = StageFacts(on=ON, days_past_due=0, first_pd_ppm=first, pd_ppm=now)
    assert stage_of(facts) is stage


def test_non_performing_is_impaired_and_restructured_has_increased_risk() -> None:
    facts = StageFacts(on=ON, days_past_due=0)
    assert stage_of(replace(facts, category=Category.SUBSTANDARD)) is Stage.THREE
    assert stage_of(replace(facts, is_impaired=True)) is Stage.THREE
    assert stage_of(replace(facts, is_restructured=True)) is Stage.TWO


def test_stages_are_left_one_at_a_time_after_a_time_of_cure() -> None:
    cured = StageFacts(
        on=ON, days_past_due=0, before=Stage.THREE, clean_since=ON - timedelta(days=90)
    )
    assert stage_of(cured) is Stage.TWO
    assert stage_of(replace(cured, before=Stage.TWO)) is Stage.ONE
    almost = replace(cured, clean_since=ON - timedelta(days=89))
    assert stage_of(almost) is Stage.THREE
    assert stage_of(replace(almost, before=Stage.TWO)) is Stage.TWO
    still_late = replace(cured, clean_since=None, days_past_due=5)
    assert stage_of(still_late) is Stage.THREE
    # A probability that rose and fell again was never a matter of lateness.
    assert stage_of(replace(cured, before=Stage.TWO, clean_since=None)) is Stage.ONE


@given(
    st.integers(0, 400), st.sampled_from([None, *Stage]), st.one_of(st.none(), st.integers(0, 400))
)
def test_a_stage_never_improves_by_two_and_never_hides_lateness(
    days: int, before: Stage | None, clean: int | None
) -> None:
    since = None if clean is None or days > 0 else ON - timedelta(days=clean)
    found = stage_of(StageFacts(on=ON, days_past_due=days, before=before, clean_since=since))
    assert found >= (before or Stage.ONE) - 1
    assert found >= stage_of(StageFacts(on=ON, days_past_due=days))


# -- since when nothing is late, provisions -------------------------------------------------------


def test_since_when_nothing_is_late() -> None:
    due = [date(2026, month, 5) for month in (1, 2, 3)]
    assert clean_since([], ON) == (None, 0)
    assert clean_since([(one, one) for one in due[:2]], ON) == (None, 2)
    late = date(2026, 2, 20)
    assert clean_since([(due[0], late), (due[1], late), (due[2], None)], ON) == (late, 0)
    assert clean_since([(due[0], late), (due[1], None)], ON) == (None, 0)


def test_the_rates_of_2002() -> None:
    rates = [provision_2002(100, one) for one in Category]
    assert rates == [1, 2, 25, 50, 100]
    assert provision_2002(1_000, Category.SUBSTANDARD, float_ppm=200_000) == 300
    assert provision_2002(1_000, Category.DOUBTFUL, float_ppm=-200_000) == 400
    with pytest.raises(AssertionError):
        provision_2002(1_000, Category.LOSS, float_ppm=1)
    with pytest.raises(AssertionError):
        provision_2002(1_000, Category.DOUBTFUL, float_ppm=200_001)


@given(st.integers(0, 10**12), st.sampled_from(list(Category)))
def test_a_provision_is_the_rounded_product(gross: int, category: Category) -> None:
    rate = [Decimal("0.01"), Decimal("0.02"), Decimal("0.25"), Decimal("0.50"), Decimal(1)][
        category
    ]
    assert abs(provision_2002(gross, category) - gross * rate) <= Decimal("0.5")
