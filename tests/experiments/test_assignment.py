"""Assignment: the stated formula, the least number of moves, layers, independence."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.experiments import Arm, Better, Draft, Experiment, Metric, MetricKind, Slots, State
from steelyard.experiments import refusals as r
from steelyard.experiments.model.assignment import (
    BUCKETS,
    Allocation,
    Span,
    allocate,
    arm_in,
    bucket_of,
    moved,
    reallocate,
    slot_of,
)
from steelyard.experiments.model.experiment import next_allocation
from tests.experiments.reading import TABLES, rows

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def draft(**changes: object) -> Draft:
    made = Draft(
        name="policy_8",
        hypothesis="less loss",
        unit="customer",
        arms=(Arm("old", 5_000), Arm("new", 5_000)),
        metrics=(Metric("lost", MetricKind.PROPORTION, Better.LOWER),),
        layer="card",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def running(proposed: Draft, before: Experiment | None = None) -> Experiment:
    salt, allocation = next_allocation(proposed, before)
    return Experiment(
        replace(proposed, salt=salt), 1, allocation, State.RUNNING, "staff:1", NOW, NOW
    )


def parsed(text: str) -> Allocation:
    spans = [part.replace(":", "-").split("-") for part in text.split()]
    return tuple(Span(arm, int(start), int(stop)) for arm, start, stop in spans)


@st.composite
def weights(draw: st.DrawFn) -> dict[str, int]:
    arms = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True))
    picked = st.lists(
        st.integers(1, BUCKETS - 1), min_size=len(arms) - 1, max_size=len(arms) - 1, unique=True
    )
    edges = [0, *sorted(draw(picked)), BUCKETS]
    return {arm: b - a for arm, a, b in zip(arms, edges, edges[1:], strict=False)}


def shares(allocation: Allocation) -> dict[str, int]:
    found: Counter[str] = Counter()
    for span in allocation:
        found[span.arm] += span.stop - span.start
    return dict(found)


def test_buckets_are_those_of_the_table() -> None:
    lines = (TABLES / "experiment_buckets.txt").read_text().splitlines()
    told = [line.split() for line in lines if not line.startswith(("#", "salt"))]
    assert len(told) == 6
    for salt, unit, digits, bucket in told:
        assert int(digits, 16) % 10_000 == int(bucket)
        assert bucket_of(salt, unit) == int(bucket)


def test_a_layer_is_a_salt_of_its_own() -> None:
    assert slot_of("card", "u1") == bucket_of("layer/card", "u1")


@pytest.mark.parametrize("row", rows("experiment_reallocations.txt"), ids=lambda row: row["after"])
def test_reallocations_are_those_of_the_table(row: dict[str, str]) -> None:
    before = parsed(row["before"])
    weights_bp = {arm: int(bp) for arm, bp in (part.split("=") for part in row["weights"].split())}
    after = reallocate(before, weights_bp)
    assert after == parsed(row["after"])
    assert moved(before, after) == int(row["moved"])


@settings(max_examples=40)
@given(weights(), weights())
def test_no_change_of_weights_moves_more_than_it_must(
    first: dict[str, int], then: dict[str, int]
) -> None:
    before = allocate(first)
    after = reallocate(before, then)
    assert shares(before) == first
    assert shares(after) == then
    by_hand = sum(arm_in(before, b) != arm_in(after, b) for b in range(BUCKETS))
    lost = sum(max(0, bp - then.get(arm, 0)) for arm, bp in first.items())
    assert moved(before, after) == by_hand == lost
    assert (after[0].start, after[-1].stop) == (0, BUCKETS)
    assert all(a.stop == b.start and a.arm != b.arm for a, b in pairwise(after))


@settings(max_examples=40)
@given(weights(), weights())
def test_going_there_and_back_moves_as_few_again(
    first: dict[str, int], then: dict[str, int]
) -> None:
    there = reallocate(allocate(first), then)
    back = reallocate(there, first)
    assert shares(back) == first
    assert moved(there, back) == sum(max(0, bp - first.get(arm, 0)) for arm, bp in then.items())


def test_a_unit_keeps_its_arm_and_the_shares_come_out() -> None:
    experiment = running(draft(arms=(Arm("old", 9_000), Arm("new", 1_000))))
    arms = [experiment.arm_of(f"c{n}") for n in range(20_000)]
    assert arms == [experiment.arm_of(f"c{n}") for n in range(20_000)]
    # 2,000 expected, standard deviation 42.
    assert abs(arms.count("new") - 2_000) < 5 * 43
    assert None not in arms


def test_experiments_of_one_layer_share_no_unit_and_do_not_sort_each_others_arms() -> None:
    first = running(draft(slots=Slots(0, 4_000)))
    second = running(draft(name="limit_2", slots=Slots(4_000, 10_000)))
    units = [f"c{n}" for n in range(10_000)]
    one, two = ({u: e.arm_of(u) for u in units} for e in (first, second))
    assert all((one[u] is None) != (two[u] is None) for u in units)
    assert abs(sum(arm is not None for arm in one.values()) - 4_000) < 5 * 49
    # An experiment of another layer falls on both arms alike: 2,000 each, deviation 31.
    other = running(draft(name="offer", layer="growth"))
    both = Counter((one[u], other.arm_of(u)) for u in units if one[u])
    assert len(both) == 4
    assert all(abs(n - 1_000) < 5 * 31 for n in both.values())


def test_a_new_version_moves_few_units_and_a_new_salt_deals_them_anew() -> None:
    before = running(draft())
    units = [f"c{n}" for n in range(4_000)]
    wider = running(draft(arms=(Arm("old", 4_000), Arm("new", 6_000))), before)
    changed = [u for u in units if before.arm_of(u) != wider.arm_of(u)]
    assert {(before.arm_of(u), wider.arm_of(u)) for u in changed} == {("old", "new")}
    assert abs(len(changed) - 400) < 5 * 19
    anew = running(draft(salt="again"), before)
    dealt = sum(before.arm_of(u) != anew.arm_of(u) for u in units)
    assert abs(dealt - 2_000) < 5 * 32


@pytest.mark.parametrize("unit", ["", " ", "张三", "a b", "x" * 121, "-a", "a@b.c"])
def test_a_unit_is_an_id(unit: str) -> None:
    with pytest.raises(r.UnitIsMalformed):
        running(draft()).arm_of(unit)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"name": "Policy"}, r.ExperimentIsMalformed),
        ({"name": ""}, r.ExperimentIsMalformed),
        ({"unit": "a customer"}, r.ExperimentIsMalformed),
        ({"layer": "a/b"}, r.ExperimentIsMalformed),
        ({"salt": "a:b"}, r.ExperimentIsMalformed),
        ({"hypothesis": ""}, r.ExperimentIsMalformed),
        ({"slots": Slots(5, 5)}, r.ExperimentIsMalformed),
        ({"slots": Slots(0, 10_001)}, r.ExperimentIsMalformed),
        ({"alpha_bp": 0}, r.ExperimentIsMalformed),
        ({"planned_units": 99}, r.ExperimentIsMalformed),
        ({"starts_at": NOW, "ends_at": NOW}, r.ExperimentIsMalformed),
        ({"metrics": ()}, r.ExperimentIsMalformed),
        (
            {"metrics": (Metric("m", MetricKind.PROPORTION, Better.LOWER, decimals=1),)},
            r.ExperimentIsMalformed,
        ),
        ({"metrics": (Metric("m", MetricKind.MEAN, Better.LOWER),) * 2}, r.ExperimentIsMalformed),
        ({"arms": (Arm("Old", 5_000), Arm("new", 5_000))}, r.ExperimentIsMalformed),
        ({"arms": (Arm("old", 10_000),)}, r.ArmsAreWrong),
        ({"arms": (Arm("old", 5_000), Arm("old", 5_000))}, r.ArmsAreWrong),
        ({"arms": (Arm("old", 5_000), Arm("new", 4_999))}, r.WeightsDoNotAddUp),
        ({"arms": (Arm("old", 10_000), Arm("new", 0))}, r.WeightsDoNotAddUp),
    ],
)
def test_a_draft_is_checked(changes: dict[str, object], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        draft(**changes).check()
    assert draft().check() == draft()


def test_units_are_assigned_from_the_start_until_before_the_end() -> None:
    planned = running(draft(starts_at=NOW, ends_at=NOW + timedelta(hours=1)))
    at = [NOW - timedelta(seconds=1), NOW, NOW + timedelta(minutes=59), NOW + timedelta(hours=1)]
    assert [planned.assigns_at(t) for t in at] == [False, True, True, False]
    assert [planned.is_over_at(t) for t in at] == [False, False, False, True]
    stopped = replace(planned, state=State.STOPPED, stopped_at=NOW)
    assert not stopped.assigns_at(NOW)
    assert stopped.is_over_at(NOW)


MARGIN = Metric("margin", MetricKind.MEAN, Better.HIGHER, decimals=2)
LOST = Metric("lost", MetricKind.PROPORTION, Better.LOWER)


@pytest.mark.parametrize(
    ("metric", "outcome", "scaled"),
    [
        (MARGIN, 3, 300),
        (MARGIN, Decimal("3.10"), 310),
        (MARGIN, "-0.01", -1),
        (MARGIN, "3.100", 310),
        (LOST, 1, 1),
        (LOST, 0, 0),
    ],
)
def test_an_outcome_is_kept_as_a_whole_number(
    metric: Metric, outcome: int | Decimal | str, scaled: int
) -> None:
    assert metric.scaled(outcome) == scaled


@pytest.mark.parametrize(
    ("metric", "outcome"),
    [
        (MARGIN, "3.001"),
        (MARGIN, "NaN"),
        (MARGIN, "Infinity"),
        (MARGIN, "much"),
        (MARGIN, 10**14),
        (MARGIN, "1e400"),
        (LOST, 2),
        (LOST, -1),
        (LOST, "0.5"),
    ],
)
def test_an_outcome_that_does_not_fit_is_refused(
    metric: Metric, outcome: int | Decimal | str
) -> None:
    with pytest.raises(r.OutcomeIsWrong):
        metric.scaled(outcome)
