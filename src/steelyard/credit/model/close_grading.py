"""Bucket, category, stage and provision of a day in columns: equal to the scalar rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import numpy as np

from steelyard.credit.model.buckets import STANDARD, Buckets
from steelyard.credit.model.classification import (
    STANDARD_STAGES,
    Category,
    Restructured,
    RiskFacts,
    Stage,
    StageFacts,
    classify,
    rules_on,
    stage_of,
)
from steelyard.credit.model.close import (
    ACTIVE,
    Flags,
    Integers,
    LoanColumns,
    RowColumns,
    date_of,
    own_of,
    place_of,
)
from steelyard.credit.model.ecl_columns import Curves, Graded, OpenRows, allowances

SUBSTANDARD: Final = int(Category.SUBSTANDARD)


@dataclass(frozen=True, slots=True)
class Past:
    """What the rules about getting better ask of a loan's past.

    Attributes
    ----------
    clean_since, paid_since : as `classification.clean_since` gives them
    restructured : None where the contract was never changed in difficulty
    """

    clean_since: date | None = None
    paid_since: int = 0
    restructured: Restructured | None = None


def asks_past(loans: LoanColumns, restructured: Flags, on: int) -> Flags:
    """Return which loans' grade depends on more than how late they are, bool (loans,).

    Those are loans that would get better, and those whose contract was changed in difficulty.
    """
    better = _category_of_days(loans.dpd, on) < loans.category
    better &= loans.category >= SUBSTANDARD
    better |= _stage_of_days(loans.dpd, _category_of_days(loans.dpd, on)) < loans.stage
    asks: Flags = (better | restructured) & (loans.state == ACTIVE)
    return asks


def graded(
    loans: LoanColumns, past: Mapping[int, Past], on: int, buckets: Buckets = STANDARD
) -> LoanColumns:
    """Return the loans with bucket, category and stage of a day.

    Parameters
    ----------
    loans : with those of the day before
    past : by number, of the loans for which `asks_past`
    """
    active = loans.state == ACTIVE
    bucket = np.searchsorted(np.array(buckets.edges), loans.dpd, side="right").astype(np.int64)
    bucket = np.where(loans.paused_until > on, np.minimum(bucket, loans.bucket), bucket)
    category = _category_of_days(loans.dpd, on)
    stage = _stage_of_days(loans.dpd, category)
    for nr, one in past.items():
        at = int(place_of(loans, np.array([nr]))[0])
        category[at], stage[at] = _grade_of(loans, at, one, on)
    return replace(
        loans,
        bucket=np.where(active, bucket, loans.bucket),
        category=np.where(active, category, loans.category),
        stage=np.where(active, stage, loans.stage),
    )


def _category_of_days(dpd: Integers, on: int) -> Integers:
    rules = rules_on(date_of(on))
    steps = np.array((0, rules.substandard_over, rules.doubtful_over, rules.loss_over))
    return np.searchsorted(steps, dpd, side="left").astype(np.int64)


def _stage_of_days(dpd: Integers, category: Integers) -> Integers:
    impaired = (category >= SUBSTANDARD) | (dpd > STANDARD_STAGES.impaired_over)
    return np.where(impaired, 3, np.where(dpd > STANDARD_STAGES.increase_over, 2, 1))


def _grade_of(loans: LoanColumns, at: int, past: Past, on: int) -> tuple[int, int]:
    """Return category and stage of one loan by the scalar rules."""
    dpd, day = int(loans.dpd[at]), date_of(on)
    category = classify(
        RiskFacts(
            on=day,
            days_past_due=dpd,
            before=Category(int(loans.category[at])),
            restructured=past.restructured,
            clean_since=past.clean_since,
            paid_since=past.paid_since,
        )
    ).category
    stage = stage_of(
        StageFacts(
            on=day,
            days_past_due=dpd,
            before=Stage(int(loans.stage[at])),
            category=category,
            is_restructured=_is_watched(past.restructured, day),
            clean_since=past.clean_since,
        )
    )
    return int(category), int(stage)


def _is_watched(one: Restructured | None, on: date) -> bool:
    return one is not None and (on - one.on).days < rules_on(on).observed_days


def provided(
    loans: LoanColumns, rows: RowColumns, curves: Curves, segment: Integers, on: int
) -> LoanColumns:
    """Return the loans with the provision of a day: our share of the loss expected of each.

    Parameters
    ----------
    segment : int64 (loans,), row of the table of curves

    Returns
    -------
    LoanColumns
        Loans that are not active have none.
    """
    is_open = rows.plan_left_minor + rows.penalty_minor - rows.penalty_paid_minor > 0
    place = place_of(loans, rows.nr[is_open])
    # Within a loan by due date: rows stand by number, and numbers rise with due dates.
    many = np.bincount(place, minlength=len(loans.nr))
    charges = rows.fee_left_minor + rows.penalty_minor - rows.penalty_paid_minor
    found = allowances(
        OpenRows(
            np.concatenate(([0], np.cumsum(many))).astype(np.int64),
            (rows.due_on - on)[is_open],
            rows.principal_left_minor[is_open],
            rows.interest_left_minor[is_open],
            charges[is_open],
        ),
        Graded(segment, np.maximum(loans.eir_bp, 0), loans.stage),
        curves,
    )
    provision = np.where(loans.state == ACTIVE, own_of(loans, found), 0)
    return replace(loans, provision_minor=provision)


def changed(before: LoanColumns, after: LoanColumns) -> Flags:
    """Return which loans came into another bucket, category or stage, bool (loans,)."""
    found: Flags = before.bucket != after.bucket
    found |= (before.category != after.category) | (before.stage != after.stage)
    return found


def falls_due(before: LoanColumns, rows: RowColumns, on: int) -> Flags:
    """Return which rows of active loans fall due on a day, bool (rows,)."""
    falls: Flags = (before.state[place_of(before, rows.nr)] == ACTIVE) & (rows.due_on == on)
    return falls
