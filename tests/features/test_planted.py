"""Bugs of the usual kinds, planted in one engine: parity finds each, and accuses nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import polars as pl
import pytest

from steelyard.features.catalogue import CATALOGUE, KINDS
from steelyard.features.model import stream as streaming
from steelyard.features.model.checking import looks_at_label
from steelyard.features.model.columns import entries, exact
from steelyard.features.model.columns import stream as columns
from steelyard.features.model.columns.seen import Intervals
from steelyard.features.model.definition import Aggregate, Feature
from steelyard.features.service.parity import Parity, Replay, compare, comparison, sample_replay

A = Aggregate
Patch = pytest.MonkeyPatch
Accused = Callable[[Feature], bool]
SUMMED = {A.SUM, A.MEAN, A.STD, A.ZSCORE}


@pytest.fixture(scope="module")
def sample() -> Replay:
    return sample_replay(KINDS, events=1_200)


def _redefined(patch: Patch, change: Callable[[Feature], dict[str, Any]]) -> None:
    """Give the streaming engine other definitions."""

    def engine(features: list[Feature], kinds: Any) -> streaming.StreamEngine:
        changed = [f if f.parts else replace(f, **change(f)) for f in features]
        return streaming.StreamEngine(changed, kinds)

    patch.setattr(comparison, "StreamEngine", engine)


def _retold(patch: Patch, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Let the columns hear other labels."""
    real = columns._told
    patch.setattr(
        columns, "_told", lambda *given: {name: change(x) for name, x in real(*given).items()}
    )


def _window_open_at_its_far_end(patch: Patch) -> Accused:
    patch.setattr(columns.Stream, "row_after", columns.Stream.row_from)
    return lambda f: f.window_ms is not None


def _window_a_millisecond_short(patch: Patch) -> Accused:
    _redefined(patch, lambda f: {"window_ms": f.window_ms - 1} if f.window_ms else {})
    return lambda f: f.window_ms is not None


def _ties_seen_by_each_other(patch: Patch) -> Accused:
    def itself(askers: Any, events: Any, *, before: bool) -> Any:
        return askers.first_from(events, askers.stream.row_from(askers.stream.at_ms)[events])

    patch.setattr(entries.Askers, "first_from_itself", itself)
    return lambda f: not f.delay_ms


def _current_event_left_out(patch: Patch) -> Accused:
    _redefined(patch, lambda f: {"before": not f.delay_ms})
    return lambda f: not f.delay_ms and not f.before


def _current_event_counted_in_a_past(patch: Patch) -> Accused:
    _redefined(patch, lambda f: {"before": False})
    return lambda f: f.before


def _delay_ignored(patch: Patch) -> Accused:
    _redefined(patch, lambda f: {"delay_ms": 0})
    return lambda f: f.delay_ms > 0


def _labels_leak_from_the_future(patch: Patch) -> Accused:
    _retold(patch, lambda told: told.with_columns(told_ms=pl.lit(0), row=pl.col("event") + 1))
    return lambda f: looks_at_label(f, KINDS)


def _a_second_label_unheard(patch: Patch) -> Accused:
    _retold(patch, lambda told: told.sort("place").unique("event", keep="first"))
    return lambda f: looks_at_label(f, KINDS)


def _money_in_floats(patch: Patch) -> Accused:
    computing = import_module("steelyard.features.model.columns.compute")
    patch.setattr(computing, "total", lambda seen, n: seen.add(seen.numbers / 100) * 100)
    return lambda f: f.aggregate in SUMMED


def _distinct_never_leaves(patch: Patch) -> Accused:
    _redefined(patch, lambda f: {"window_ms": None} if f.aggregate is A.DISTINCT else {})
    return lambda f: f.aggregate is A.DISTINCT


def _distinct_counts_every_time(patch: Patch) -> Accused:
    patch.setattr(Intervals, "distinct", lambda seen: seen.add(np.ones_like(seen.numbers)))
    return lambda f: f.aggregate is A.DISTINCT


def _late_events_dropped(patch: Patch) -> Accused:
    patch.setattr(streaming, "LATENESS_MS", 0)
    return lambda f: True


def _too_late_events_taken(patch: Patch) -> Accused:
    patch.setattr(columns, "LATENESS_MS", columns.LATENESS_MS * 100)
    return lambda f: True


def _late_events_counted_but_unanswered(patch: Patch) -> Accused:
    patch.setattr(entries, "_portions", lambda *given: iter(()))
    return lambda f: True


def _late_events_known_before_they_came(patch: Patch) -> Accused:
    real = entries.Askers.first_from_itself

    def itself(askers: Any, events: Any, *, before: bool) -> Any:
        stream = askers.stream
        early = askers.first_from(events, stream.row_from(stream.at_ms)[events])
        return np.where(stream.on_time[events], real(askers, events, before=before), early)

    patch.setattr(entries.Askers, "first_from_itself", itself)
    return lambda f: not f.delay_ms


def _last_by_arrival(patch: Patch) -> Accused:
    real = columns.Stream.of

    def of(*given: Any) -> columns.Stream:
        made = real(*given)
        return replace(made, place=np.arange(made.rows))

    patch.setattr(columns.Stream, "of", of)
    return lambda f: f.aggregate in {A.LAST, A.TIME_SINCE, A.FIRST_SEEN}


def _zero_for_missing(patch: Patch) -> Accused:
    real = exact.mean
    patch.setattr(exact, "mean", lambda n, s: (real(n, s)[0], np.ones(len(n), np.bool_)))
    return lambda f: f.aggregate is A.MEAN


def _deviation_of_the_population(patch: Patch) -> Accused:
    def deviation(n: Any, s: Any, q: Any) -> Any:
        m = np.maximum(n, 2)
        return np.sqrt(exact.divide(n * q - s * s, m * m)), n >= 2

    patch.setattr(exact, "standard_deviation", deviation)
    return lambda f: f.aggregate in {A.STD, A.ZSCORE}


def _mean_by_the_inverse(patch: Patch) -> Accused:
    patch.setattr(exact, "mean", lambda n, s: (s * (1 / np.maximum(n, 1)), n > 0))
    return lambda f: f.aggregate is A.MEAN


PLANTED = [
    _window_open_at_its_far_end,
    _window_a_millisecond_short,
    _ties_seen_by_each_other,
    _current_event_left_out,
    _current_event_counted_in_a_past,
    _delay_ignored,
    _labels_leak_from_the_future,
    _a_second_label_unheard,
    _money_in_floats,
    _distinct_never_leaves,
    _distinct_counts_every_time,
    _late_events_dropped,
    _too_late_events_taken,
    _late_events_counted_but_unanswered,
    _late_events_known_before_they_came,
    _last_by_arrival,
    _zero_for_missing,
    _deviation_of_the_population,
    _mean_by_the_inverse,
]


def _accused(found: Parity) -> set[str]:
    """Return the features that differ; a ratio only where its parts do not account for it."""
    names = {difference.feature for difference in found.differences}
    return {name for name in names if not set(CATALOGUE[name].parts or ()) & names}


def test_without_a_bug_nothing_differs(sample: Replay) -> None:
    assert compare(sample, CATALOGUE).differing_cells == 0


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")  # of sums in floats
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__[1:])
def test_a_planted_bug_is_found(
    plant: Callable[[Patch], Accused], sample: Replay, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(comparison, "SHOWN", 1_000_000)
    is_guilty = plant(monkeypatch)
    found = compare(sample, CATALOGUE)
    assert found.differing_cells > 0
    assert len(found.differences) == found.differing_cells
    innocent = {name for name in _accused(found) if not is_guilty(CATALOGUE[name])}
    assert innocent == set()
