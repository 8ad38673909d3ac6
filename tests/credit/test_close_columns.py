"""The day close's columns against the scalar forms that they stand for."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cashflows import Accrual
from steelyard.credit.model import close as columns
from steelyard.credit.model import close_grading as grading
from steelyard.credit.model.buckets import STANDARD
from steelyard.credit.model.classification import (
    Category,
    Restructured,
    RiskFacts,
    Stage,
    StageFacts,
    classify,
    stage_of,
)
from steelyard.credit.model.close import LoanColumns, PenaltyRules, RowColumns
from steelyard.credit.model.shares import Shares

MOST = 10**15
DAY = date(2026, 5, 9)
TODAY = columns.day_number(DAY)


def loan(**values: int) -> LoanColumns:
    """Return the columns of one active loan; what is not given is nothing."""
    given_: dict[str, Any] = {
        "nr": 1,
        "state": 1,
        "own_parts": 1,
        "all_parts": 1,
        "line_nr": columns.NONE,
        "stage": 1,
        "as_of": TODAY - 1,
        "oldest_due_on": columns.NO_DAY,
        "next_due_on": columns.NO_DAY,
        "paused_until": columns.NO_DAY,
    } | values
    return LoanColumns(
        **{one.name: np.array([given_.get(one.name, 0)], np.int64) for one in fields(LoanColumns)}
    )


def row(**values: int) -> RowColumns:
    """Return the columns of one instalment of that loan."""
    given_ = {"nr": 1, "no": 1, "penalty_from": columns.NO_DAY} | values
    return RowColumns(
        **{one.name: np.array([given_.get(one.name, 0)], np.int64) for one in fields(RowColumns)}
    )


@given(
    st.integers(-MOST, MOST),
    st.integers(0, MOST),
    st.integers(1, 40_000),
    st.integers(-5, 40_010),
)
def test_the_line_is_the_scalar_line(total: int, before: int, days: int, gone: int) -> None:
    starts = DAY - timedelta(days=gone)
    line = Accrual(1, starts, starts + timedelta(days=days), before, total)
    begins = columns.day_number(starts)
    made = loan(
        line_nr=1,
        line_from=begins,
        line_to=begins + days,
        line_before_minor=before,
        line_total_minor=total,
    )
    assert columns.line_earned(made, TODAY).tolist() == [line.earned_minor(DAY)]


@given(st.integers(1, 5_000), st.integers(0, 5_000), st.integers(0, MOST))
def test_our_share_is_the_share_of_the_loan(own: int, others: int, amount: int) -> None:
    shares = (
        Shares(own, (("bank_a", others),) if others else ()) if own + others <= 10_000 else None
    )
    if shares is None:
        return
    made = loan(own_parts=own, all_parts=own + others)
    assert columns.own_of(made, np.array([amount])).tolist() == [shares.own_minor(amount)]


@given(
    st.integers(0, MOST),
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.integers(0, 4_000),
    st.integers(0, 10**9),
)
def test_penalty_is_exact_whatever_the_digits_of_its_rate(
    base: int, num: int, den: int, days: int, before: int
) -> None:
    num = min(num, 10 * den)  # the terms allow ten times a year
    rules = PenaltyRules(np.array([num]), np.array([den * 365]), np.array([0]), np.array([False]))
    late = row(
        penalty_from=TODAY - days,
        penalty_base_minor=base,
        penalty_before_minor=before,
        penalty_minor=before,
        due_on=TODAY - days,
        principal_left_minor=base,
    )
    made, charged = columns.charged(loan(penalty_earned_minor=before), late, rules, TODAY)
    exact = before + (2 * base * num * days + den * 365) // (2 * den * 365)
    assert charged.penalty_minor.tolist() == [exact]
    assert made.penalty_earned_minor.tolist() == [exact]


def test_penalty_begins_when_the_days_of_grace_are_over_and_counts_from_the_due_date() -> None:
    rules = PenaltyRules(np.array([18]), np.array([36_500]), np.array([3]), np.array([True]))
    for late, expected in ((3, 0), (4, 2_170), (5, 2_712)):
        owed = row(
            due_on=TODAY - late,
            to_on=TODAY - late,
            principal_left_minor=1_000_000,
            interest_left_minor=100_000,
        )
        _, charged = columns.charged(loan(), owed, rules, TODAY)
        assert charged.penalty_minor.tolist() == [expected], late


pasts = st.builds(
    grading.Past,
    clean_since=st.none() | st.integers(0, 250).map(lambda days: DAY - timedelta(days=days)),
    paid_since=st.integers(0, 4),
    restructured=st.none()
    | st.builds(
        Restructured,
        on=st.integers(0, 400).map(lambda days: DAY - timedelta(days=days)),
        times=st.integers(1, 2),
        was=st.sampled_from(Category),
    ),
)


@given(
    st.sampled_from([0, 1, 30, 31, 60, 61, 90, 91, 180, 270, 271, 360, 361, 900]),
    st.sampled_from(Category),
    st.sampled_from(Stage),
    st.integers(0, 7),
    st.none() | st.integers(-2, 3),
    pasts,
)
def test_grades_are_those_of_the_scalar_rules(
    dpd: int, category: Category, stage: Stage, bucket: int, paused: int | None, past: grading.Past
) -> None:
    if dpd:
        past = grading.Past(restructured=past.restructured)
    until = None if paused is None else DAY + timedelta(days=paused)
    made = loan(
        dpd=dpd,
        category=int(category),
        stage=int(stage),
        bucket=bucket,
        paused_until=columns.NO_DAY if until is None else columns.day_number(until),
    )
    watched = past.restructured is not None and (DAY - past.restructured.on).days < 365
    asks = grading.asks_past(made, np.array([past.restructured is not None]), TODAY)
    graded = grading.graded(made, {1: past} if asks[0] else {}, TODAY)
    worth = classify(
        RiskFacts(
            on=DAY,
            days_past_due=dpd,
            before=category,
            restructured=past.restructured,
            clean_since=past.clean_since,
            paid_since=past.paid_since,
        )
    ).category
    staged = stage_of(
        StageFacts(
            on=DAY,
            days_past_due=dpd,
            before=stage,
            category=worth,
            is_restructured=watched,
            clean_since=past.clean_since,
        )
    )
    assert graded.bucket.tolist() == [STANDARD.held(dpd, bucket, until, DAY)]
    assert graded.category.tolist() == [worth]
    assert graded.stage.tolist() == [staged]


@given(st.integers(0, 3_000), st.integers(-3_000, 3_000), st.integers(0, 9_000))
def test_suspense_is_what_is_earned_in_stage_three_and_no_more_than_is_owed(
    was: int, receivable: int, grown: int
) -> None:
    from steelyard.credit.model.postings import suspended

    before = loan(stage=3, interest_receivable_minor=receivable, interest_suspended_minor=was)
    earned = columns.Earned(np.array([grown]), np.array([0]), np.array([0]))
    after = columns.booked(before, before, earned)
    assert after.interest_suspended_minor.tolist() == [suspended(was, grown, receivable + grown, 3)]
