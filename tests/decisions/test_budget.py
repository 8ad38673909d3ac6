"""The guard of a rule's budget, and the kill switch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.decisions.model.budget import (
    Budget,
    BudgetIsMalformed,
    Change,
    Guard,
    KillSwitch,
    KillSwitchIsNotThrown,
    KillSwitchIsThrown,
    LifterThrewTheSwitch,
)

TABLE = Path(__file__).parents[1] / "tables" / "decision_budget.txt"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_the_guard_does_what_the_table_says() -> None:
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")][1:]
    guard = Guard.of(Budget("r", 5, 4_000, 2_000, 3, goes_on_itself=True))
    for number, line in enumerate(lines):
        decision, hits, seen, state = line.split()
        guard, change = guard.observe(hit=decision == "x")
        word = {Change.STOPPED: "stops", Change.RESUMED: "goes_on"}.get(change)
        found = word or ("stopped" if guard.is_stopped else "runs")
        assert (guard.hits, guard.seen, found) == (int(hits), int(seen), state), number


budgets = st.integers(1, 12).flatmap(
    lambda window: st.builds(
        lambda fewest, shares, itself: Budget(
            "r", window, max(shares), min(shares), fewest, goes_on_itself=itself
        ),
        st.integers(1, window),
        st.lists(st.integers(0, 9_999), min_size=2, max_size=2, unique=True),
        st.booleans(),
    )
)


@given(budgets, st.lists(st.booleans(), max_size=80))
def test_the_guard_equals_counting_the_window_anew(budget: Budget, hits: list[bool]) -> None:
    guard, seen, is_stopped, since = Guard.of(budget), [], False, 0
    for hit in hits:
        guard, change = guard.observe(hit=hit)
        seen.append(hit)
        since += 1
        last = seen[-budget.window :]
        share = sum(last) / len(last)
        expected = Change.NONE
        if (
            not is_stopped
            and since >= budget.fewest
            and sum(last) * 10_000 > budget.most_bp * len(last)
        ):
            expected, is_stopped, since = Change.STOPPED, True, 0
        elif (
            is_stopped
            and budget.goes_on_itself
            and since >= budget.window
            and sum(last) * 10_000 <= budget.resume_bp * len(last)
        ):
            expected, is_stopped, since, seen, last = Change.RESUMED, False, 0, [], []
        assert change is expected
        assert (guard.is_stopped, guard.hits, guard.seen) == (is_stopped, sum(last), len(last))
        if last:
            assert guard.share_bp == sum(last) * 10_000 // len(last)
            assert guard.share_bp == pytest.approx(share * 10_000, abs=1)


def test_a_rule_that_runs_wild_is_stopped_and_only_a_person_lets_it_go_on() -> None:
    guard = Guard.of(Budget("velocity", window=1_000, most_bp=500, resume_bp=200, fewest=200))
    changes = []
    for n in range(5_000):
        guard, change = guard.observe(hit=n % 50 == 0 if n < 2_000 else n < 2_400)
        if change is not Change.NONE:
            changes.append((n, change))
    # 20 of the last 1,000 before; more than 50 are reached at the 32nd hit in a row or so.
    assert [change for _, change in changes] == [Change.STOPPED]
    assert 2_029 <= changes[0][0] <= 2_033
    assert (guard.is_stopped, guard.hits) == (True, 0)
    assert "stopped: 0 of the last 1000" in guard.sentence("en")
    assert "已停用" in guard.sentence("zh-CN")
    assert guard.resumed() == Guard.of(guard.budget)
    assert "within its budget" in guard.resumed().sentence("en")


def test_at_exactly_its_budget_a_rule_runs() -> None:
    guard = Guard.of(Budget("r", window=10, most_bp=2_000, resume_bp=0, fewest=10))
    for hit in [True] * 2 + [False] * 8:
        guard, change = guard.observe(hit=hit)
    assert (guard.share_bp, guard.is_stopped, change) == (2_000, False, Change.NONE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"fewest": 0},
        {"fewest": 1_001},
        {"window": 100_001},
        {"most_bp": 200},
        {"most_bp": 10_000},
        {"resume_bp": -1},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BudgetIsMalformed):
        Budget("r", **wrong)  # type: ignore[arg-type]


def test_one_person_throws_the_switch_and_another_lifts_it() -> None:
    switch = KillSwitch("policy:payment")
    assert not switch.is_thrown_at(NOW)
    with pytest.raises(KillSwitchIsNotThrown):
        switch.lift("staff:2", now=NOW)
    thrown = switch.throw("staff:1", "declines everybody", now=NOW)
    assert thrown.is_thrown_at(NOW + timedelta(days=900))
    with pytest.raises(KillSwitchIsThrown):
        thrown.throw("staff:2", "again", now=NOW)
    with pytest.raises(LifterThrewTheSwitch):
        thrown.lift("staff:1", now=NOW)
    lifted = thrown.lift("staff:2", now=NOW)
    assert lifted == KillSwitch("policy:payment", version=3)


def test_a_switch_with_an_end_lifts_itself() -> None:
    until = NOW + timedelta(hours=1)
    thrown = KillSwitch("rule:r").throw("staff:1", "a feed is down", now=NOW, until_at=until)
    assert thrown.is_thrown_at(until - timedelta(seconds=1))
    assert not thrown.is_thrown_at(until)
    again = thrown.throw("staff:1", "still down", now=until)
    assert (again.version, again.until_at) == (3, None)
