from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.credit.model.buckets import STANDARD, Buckets
from steelyard.credit.model.risk_refusals import BucketsAreInvalid

ON = date(2026, 3, 2)


def test_the_standard_buckets_cover_thirty_days_each() -> None:
    assert STANDARD.labels == (
        "current", "1-30", "31-60", "61-90", "91-120", "121-150", "151-180", "181+",
    )  # fmt: skip


@pytest.mark.parametrize("edges", [(), (2,), (1, 1), (1, 40, 30)])
def test_buckets_that_do_not_rise_from_one_are_refused(edges: tuple[int, ...]) -> None:
    with pytest.raises(BucketsAreInvalid):
        Buckets(edges)


@given(st.integers(0, 2_000))
def test_a_bucket_holds_the_days_that_its_name_says(days: int) -> None:
    bucket = STANDARD.of(days)
    name = STANDARD.label(bucket)
    if name == "current":
        assert days == 0
    elif name.endswith("+"):
        assert days >= int(name[:-1])
    else:
        first, last = map(int, name.split("-"))
        assert first <= days <= last


@given(st.integers(0, 400), st.integers(0, 7), st.integers(-3, 3))
def test_a_pause_never_makes_a_bucket_worse_and_ends_on_its_day(
    days: int, before: int, offset: int
) -> None:
    until = ON + timedelta(days=offset)
    held = STANDARD.held(days, before, until, ON)
    if until > ON:
        assert held == min(before, STANDARD.of(days))
    else:
        assert held == STANDARD.of(days) == STANDARD.held(days, before, None, ON)
