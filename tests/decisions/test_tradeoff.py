"""What thresholds cost: a table, brute force, and what can never be otherwise."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.decisions.model.tradeoff import (
    Costs,
    CostsAreMalformed,
    History,
    HistoryIsMalformed,
    NothingFitsTheBudget,
    at_rank,
    cheapest,
    cost_curve,
    pareto_front,
    pareto_policies,
    swap_set,
    within_budget,
)

TABLE = Path(__file__).parents[1] / "tables" / "decision_cost_curve.txt"
Row = tuple[float, bool, int, int]


def history(rows: list[Row]) -> History:
    score, is_bad, amount, loss = zip(*rows, strict=True)
    return History(
        np.array(score, dtype=np.float64),
        np.array(is_bad, dtype=np.bool_),
        np.array(amount, dtype=np.int64),
        np.array(loss, dtype=np.int64),
    )


@st.composite
def events(draw: st.DrawFn) -> list[Row]:
    # Few scores, so that many are equal.
    score = st.sampled_from([-2.5, 0.0, 0.1, 0.2, 0.30000000000000004, 0.3, 7.0])
    amount = st.integers(0, 10**9)

    def row(values: tuple[float, bool, int, int]) -> Row:
        score, is_bad, amount, loss = values
        return score, is_bad, amount, loss if is_bad else 0

    one = st.tuples(score, st.booleans(), amount, amount).map(row)
    return draw(st.lists(one, min_size=1, max_size=25))


costs = st.builds(
    Costs,
    insult_minor=st.integers(0, 5_000),
    insult_bp=st.integers(0, 10_000),
    review_minor=st.integers(0, 5_000),
    review_finds_bp=st.integers(0, 10_000),
)


def share(amount: int, bp: int) -> int:
    return (2 * amount * bp + 10_000) // 20_000


def weighed(rows: list[Row], cost: Costs, review_at: float, decline_at: float) -> tuple[int, ...]:
    """Loss, good declined, reviewed and cost of a policy, event by event."""
    loss = found = good = good_amount = reviewed = 0
    for score, is_bad, amount, lost in rows:
        if score >= decline_at:
            good += not is_bad
            good_amount += 0 if is_bad else amount
        elif score >= review_at:
            reviewed += 1
            found += lost
        else:
            loss += lost
    loss += share(found, 10_000 - cost.review_finds_bp)
    insult = good * cost.insult_minor + share(good_amount, cost.insult_bp)
    return loss, good, reviewed, loss + insult + reviewed * cost.review_minor


def test_the_cost_curve_is_that_of_the_table() -> None:
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    cut = lines.index("--")
    told = [line.split() for line in lines[1:cut]]
    rows = [(float(s), label == "bad", int(a), int(x)) for s, label, a, x in told]
    curve = cost_curve(history(rows), Costs(insult_minor=300, insult_bp=1_000))
    found = zip(
        curve.threshold.tolist(),
        curve.declined.tolist(),
        curve.good_declined.tolist(),
        curve.loss_minor.tolist(),
        curve.insult_minor.tolist(),
        curve.cost_minor.tolist(),
        strict=True,
    )
    expected = [tuple(float(cell) for cell in line.split()) for line in lines[cut + 2 :]]
    assert list(found) == expected
    assert curve.threshold[cheapest(curve)] == 0.8


@given(events(), costs)
def test_the_cost_curve_equals_weighing_event_by_event(rows: list[Row], cost: Costs) -> None:
    curve = cost_curve(history(rows), cost)
    assert curve.threshold.tolist() == [np.inf, *sorted({row[0] for row in rows}, reverse=True)]
    for i, threshold in enumerate(curve.threshold.tolist()):
        loss, good, _, total = weighed(rows, cost, threshold, threshold)
        assert curve.loss_minor[i] == loss
        assert curve.good_declined[i] == good
        assert curve.cost_minor[i] == total
        assert curve.declined[i] == sum(row[0] >= threshold for row in rows)
        assert curve.bad_declined[i] + curve.good_declined[i] == curve.declined[i]
    assert (np.diff(curve.loss_minor) <= 0).all()
    assert (np.diff(curve.good_declined) >= 0).all()
    best = cheapest(curve)
    assert curve.cost_minor[best] == min(curve.cost_minor)
    assert best == curve.cost_minor.tolist().index(min(curve.cost_minor))


@given(events(), st.integers(0, 26))
def test_the_best_threshold_within_a_budget_is_found(rows: list[Row], most: int) -> None:
    curve = cost_curve(history(rows), Costs())
    place = within_budget(curve, most_good_declined=most)
    fits = [i for i, good in enumerate(curve.good_declined.tolist()) if good <= most]
    least = min(int(curve.loss_minor[i]) for i in fits)
    assert place == min(i for i in fits if curve.loss_minor[i] == least)


def test_a_budget_below_nothing_is_refused() -> None:
    with pytest.raises(NothingFitsTheBudget):
        within_budget(cost_curve(history([(1.0, True, 1, 1)]), Costs()), most_good_declined=-1)


@given(events(), costs)
def test_the_pareto_set_equals_trying_all_policies(rows: list[Row], cost: Costs) -> None:
    thresholds = [np.inf, *sorted({row[0] for row in rows}, reverse=True)]
    tried = {
        (review, decline): weighed(rows, cost, review, decline)
        for decline in thresholds
        for review in thresholds
        if review <= decline
    }
    points = {result[:3] for result in tried.values()}
    front = {
        p
        for p in points
        if not any(q != p and all(x <= y for x, y in zip(q, p, strict=True)) for q in points)
    }
    found = pareto_policies(history(rows), cost, steps=0)
    assert {(p.loss_minor, p.good_declined, p.reviewed) for p in found} == front
    assert len(found) == len(front)
    assert [p.loss_minor for p in found] == sorted(p.loss_minor for p in found)
    for p in found:
        assert tried[p.review_at, p.decline_at] == (
            p.loss_minor,
            p.good_declined,
            p.reviewed,
            p.cost_minor,
        )
    few = pareto_policies(history(rows), cost, steps=0, most_reviewed=2)
    assert all(p.reviewed <= 2 for p in few)
    assert [p for p in found if p.reviewed <= 2] == [p for p in few if p in found]


@given(
    st.integers(1, 4).flatmap(
        lambda k: st.lists(
            st.lists(st.integers(0, 4), min_size=k, max_size=k), min_size=1, max_size=30
        )
    )
)
def test_the_front_equals_comparing_all_pairs(points: list[list[int]]) -> None:
    found = pareto_front(np.array(points, dtype=np.int64))
    unbeaten = [
        i
        for i, p in enumerate(points)
        if not any(q != p and all(x <= y for x, y in zip(q, p, strict=True)) for q in points)
    ]
    assert sorted(points[i] for i in found) == sorted(
        [*map(list, {tuple(points[i]) for i in unbeaten})]
    )
    assert all(points.index(points[i]) == i for i in found)


def test_many_events_are_weighed_at_a_few_thresholds() -> None:
    rng = np.random.default_rng(1)
    n = 200_000
    is_bad = rng.random(n) < 0.01
    amount = rng.integers(100, 100_000, n)
    past = History(rng.normal(size=n) + 2.0 * is_bad, is_bad, amount, np.where(is_bad, amount, 0))
    front = pareto_policies(past, Costs(insult_minor=500, review_minor=200), steps=60)
    assert 60 <= len(front) <= 61 * 62 // 2
    assert front[0].loss_minor == 0
    assert front[-1].loss_minor == amount[is_bad].sum()
    assert (
        min(p.cost_minor for p in front) < cost_curve(past, Costs(insult_minor=500)).cost_minor[0]
    )


@given(events(), st.data())
def test_the_swap_set_equals_asking_each_event(rows: list[Row], data: st.DataObject) -> None:
    flags = st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))
    before, after = data.draw(flags), data.draw(flags)
    found = swap_set(
        history(rows), approved_before=np.array(before), approved_after=np.array(after)
    )
    saved = 0
    for swap, was in ((found.declined, True), (found.approved, False)):
        moved = [
            i
            for i, (a, b) in enumerate(zip(before, after, strict=True))
            if a is was and b is not was
        ]
        assert swap.places.tolist() == moved
        assert swap.bad == sum(rows[i][1] for i in moved)
        assert swap.good == len(moved) - swap.bad
        assert swap.amount_minor == sum(rows[i][2] for i in moved)
        assert swap.loss_minor == sum(rows[i][3] for i in moved)
        saved += swap.loss_minor if was else -swap.loss_minor
    assert found.loss_saved_minor == saved


def test_a_swap_set_wants_aligned_columns() -> None:
    past = history([(1.0, True, 1, 1)])
    with pytest.raises(HistoryIsMalformed):
        swap_set(past, approved_before=np.array([True, True]), approved_after=np.array([True]))


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6))
def test_rank_is_the_mean_over_all_orders_of_equal_scores(events: list[tuple[float, bool]]) -> None:
    rows = [(s, b, 7, (i + 1) * 10 if b else 0) for i, (s, b) in enumerate(events)]
    past = history(rows)
    for k in range(1, len(rows) + 1):
        found = at_rank(past, k)
        orders = [sorted(order, key=lambda row: -row[0]) for order in permutations(rows)]
        hits = [sum(row[1] for row in order[:k]) for order in orders]
        lost = [sum(row[3] for row in order[:k]) for order in orders]
        bad, loss = sum(row[1] for row in rows), sum(row[3] for row in rows)
        assert found.precision == pytest.approx(sum(hits) / len(orders) / k)
        assert (found.recall is None) == (bad == 0)
        assert (found.loss_recall is None) == (loss == 0)
        if bad:
            assert found.recall == pytest.approx(sum(hits) / len(orders) / bad)
            assert found.loss_recall == pytest.approx(sum(lost) / len(orders) / loss)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([(float("nan"), True, 1, 1)], "not a number"),
        ([(1.0, True, -1, 1)], "negative"),
        ([(1.0, True, 1, -1)], "negative"),
        ([(1.0, True, 2**60, 1)], "too large"),
        ([(1.0, False, 1, 1)], "good event"),
    ],
)
def test_a_history_that_makes_no_sense_is_refused(rows: list[Row], what: str) -> None:
    with pytest.raises(HistoryIsMalformed, match=what):
        history(rows)


def test_columns_of_other_lengths_or_none_are_refused() -> None:
    none = np.array([], dtype=np.int64)
    with pytest.raises(HistoryIsMalformed, match="empty"):
        History(np.array([]), np.array([], dtype=np.bool_), none, none)
    one = np.array([1], dtype=np.int64)
    with pytest.raises(HistoryIsMalformed, match="lengths"):
        History(np.array([1.0, 2.0]), np.array([True]), one, one)


@pytest.mark.parametrize(
    "wrong",
    [
        {"insult_minor": -1},
        {"review_minor": 10**10},
        {"insult_bp": 10_001},
        {"review_finds_bp": -1},
    ],
)
def test_costs_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(CostsAreMalformed):
        Costs(**wrong)


def test_the_largest_amounts_are_exact() -> None:
    most = 2**63 // 40_000 // 2 - 1
    past = history([(0.5, True, most, most), (0.5, False, most, 0)])
    curve = cost_curve(past, Costs(insult_bp=9_999))
    assert curve.cost_minor.tolist() == [most, share(most, 9_999)]
