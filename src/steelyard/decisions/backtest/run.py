"""A backtest: what a policy would have done, beside another one, on days it was not chosen on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from steelyard.decisions.backtest.judging import SAMPLE, Judged, judge
from steelyard.decisions.backtest.measures import Assumed, Measures, measure, moves, scored
from steelyard.decisions.backtest.past import (
    Flags,
    Integers,
    Past,
    PastHasNoLabels,
    PastIsEmpty,
    Progress,
    WindowIsInvalid,
)
from steelyard.decisions.backtest.thresholds import Thresholds, try_thresholds
from steelyard.decisions.model.column_values import Column, Kind
from steelyard.decisions.model.drift import Finding, NumberBins, WordBins, distribution_drift
from steelyard.decisions.model.policy import CompiledPolicy
from steelyard.decisions.model.tradeoff import History, SwapSet, swap_set
from steelyard.features import KINDS

NOTHING = "nothing"
"""Stands for no policy at all: every event approved."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a past is tested.

    Attributes
    ----------
    assumed : costs, and what review and second factor stop
    since, until : of the events that are used, the last instant excluded; None is as far as the
        past goes, but `since` not before the features' windows are full
    test_from : where the tested part begins; None is two thirds of the way
    most_disturbed : share of the good that a chosen threshold may disturb
    sample, seed : how many events are judged one by one as well, and which
    """

    assumed: Assumed
    since: datetime | None = None
    until: datetime | None = None
    test_from: datetime | None = None
    most_disturbed: float = 0.02
    sample: int = SAMPLE
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """What was found.

    Attributes
    ----------
    past : the tested part; choosing : the earlier part, whose labels were known by then
    policy, against : what the two say to the tested events; `against` is None for no policy
    measures, measures_against : their figures there
    swap : which events they treat differently
    moves : pairs of outcomes that differ, and how often
    thresholds : None where the policy gives no score, or the earlier part has no bad event
    drift : how what the policy reads moved from the earlier part to the tested one
    """

    plan: Plan
    past: Past
    choosing: Past
    policy: Judged
    against: Judged | None
    measures: Measures
    measures_against: Measures | None
    swap: SwapSet
    moves: Sequence[tuple[str, str, int]]
    thresholds: Thresholds | None
    drift: tuple[Finding, ...]


def backtest(
    past: Past,
    policy: CompiledPolicy,
    against: CompiledPolicy | None,
    plan: Plan,
    progress: Progress,
) -> Backtest:
    """Return what a policy would have done to the tested part of a past.

    Parameters
    ----------
    against : the policy it is compared with; None for approving everything

    Refusals
    --------
    past_is_empty, past_has_no_labels, window_is_invalid
    """
    choosing, tested = _parts(past, plan)
    _need_labels(tested)
    judged = judge(policy, tested, progress=progress, seed=plan.seed, sample=plan.sample)
    other = None
    if against is not None:
        other = judge(against, tested, progress=progress, seed=plan.seed, sample=plan.sample)
    history = scored(tested, judged)
    weighed = history or History(
        np.zeros(tested.rows), tested.is_bad, tested.amount_minor, tested.loss_minor
    )
    before = np.zeros(tested.rows, np.int64) if other is None else other.outcome
    passed: Flags = np.ones(tested.rows, np.bool_) if other is None else other.lets_pass
    return Backtest(
        plan,
        tested,
        choosing,
        judged,
        other,
        measure(tested, judged, plan.assumed),
        None if other is None else measure(tested, other, plan.assumed),
        swap_set(weighed, approved_before=passed, approved_after=judged.lets_pass),
        moves(before, judged.outcome),
        _thresholds(policy, choosing, history, plan),
        _drift(policy, choosing, tested),
    )


def _thresholds(
    policy: CompiledPolicy, choosing: Past, testing: History | None, plan: Plan
) -> Thresholds | None:
    if testing is None or not choosing.is_bad.any():
        return None
    judged = judge(policy, choosing, progress=lambda *_: None, seed=plan.seed, sample=0)
    history = scored(choosing, judged)
    if history is None:
        return None
    return try_thresholds(history, testing, plan.assumed.costs, most_disturbed=plan.most_disturbed)


# -- windows -------------------------------------------------------------------------------------


def _parts(past: Past, plan: Plan) -> tuple[Past, Past]:
    """Return the part that chooses and the part that is tested; no event is in both."""
    if not past.rows:
        raise PastIsEmpty(scene=past.scene, why="no event is labelled")
    since = past.warm_ms if plan.since is None else _ms(plan.since)
    until = int(past.at_ms[-1]) + 1 if plan.until is None else _ms(plan.until)
    since = max(since, int(past.at_ms[0])) if plan.since is None else since
    middle = since + (until - since) * 2 // 3
    if plan.test_from is not None:
        middle = _ms(plan.test_from)
        since = min(since, middle) if plan.since is None else since
    if not since <= middle < until or since > past.at_ms[-1] or until > past.at_ms[-1] + _SLACK_MS:
        raise _invalid(past, since, middle, until)
    first, cut, last = np.searchsorted(past.at_ms, [since, middle, until]).tolist()
    if cut == last:
        raise _invalid(past, since, middle, until)
    early: Integers = np.arange(first, cut, dtype=np.int64)
    # What was not known when the tested part began cannot have chosen anything.
    early = early[past.told_ms[early] <= middle]
    return past.take(early), past.take(np.arange(cut, last, dtype=np.int64))


_SLACK_MS = 86_400_000
"""`until` may name the end of the last day, which no event reaches exactly."""


def _invalid(past: Past, since: int, middle: int, until: int) -> WindowIsInvalid:
    return WindowIsInvalid(
        first=shown(int(past.at_ms[0])),
        last=shown(int(past.at_ms[-1])),
        asked=f"{shown(since)} – {shown(until)}, tested from {shown(middle)},",
    )


def _need_labels(tested: Past) -> None:
    if not tested.is_bad.any():
        raise PastHasNoLabels(events=tested.rows, scene=tested.scene, missing="bad")
    if tested.is_bad.all():
        raise PastHasNoLabels(events=tested.rows, scene=tested.scene, missing="good")


def _ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1_000)


def shown(at_ms: int) -> str:
    """Return an instant as people read it, UTC."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return at.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")


# -- drift ---------------------------------------------------------------------------------------


def _drift(policy: CompiledPolicy, before: Past, now: Past) -> tuple[Finding, ...]:
    """Return how each value that the policy reads moved, the most moved first."""
    if not before.rows:
        return ()
    found = []
    # Who it is about is no distribution.
    for name in sorted(policy.compiled.reads - set(KINDS[policy.scene].entities)):
        one, other = before.columns.get(name), now.columns.get(name)
        if one is None or other is None or Kind.NOTHING in (one.kind, other.kind):
            continue
        counts = _counts(one, other)
        if counts is not None:
            found.append(distribution_drift(name, *counts))
    return tuple(sorted(found, key=lambda one: -one.value))


def _counts(before: Column, now: Column) -> tuple[Integers, Integers] | None:
    if before.kind is Kind.TEXT:
        words = WordBins.of(before.to_list())
        return words.count(before.to_list()), words.count(now.to_list())
    if before.kind not in (Kind.NUMBER, Kind.FLAG):
        return None
    bins = NumberBins.of(_floats(before))
    return bins.count(_floats(before)), bins.count(_floats(now))


def _floats(column: Column) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    values = column.values.astype(np.float64)
    return values if column.missing is None else np.where(column.missing, np.nan, values)
