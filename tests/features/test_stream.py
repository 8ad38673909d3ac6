"""The streaming engine against the straight-line model, whatever comes, and across restarts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.features.model.definition import DAY, HOUR, LATENESS_MS, Aggregate, Feature
from steelyard.features.model.event import Event, Label
from steelyard.features.model.stream import StreamEngine
from tests.features.naive import Naive
from tests.features.worlds import KINDS, STEP, dense, every_feature, features, streams


def play(engine: StreamEngine, stream: Iterable[Event | Label]) -> list[dict[str, object]]:
    answers = []
    for each in stream:
        if isinstance(each, Label):
            engine.label(each)
        else:
            answers.append(engine.fold(each).values)
    return answers


def straight(chosen: list[Feature], stream: Iterable[Event | Label]) -> list[dict[str, object]]:
    naive = Naive(chosen, KINDS)
    answers = []
    for each in stream:
        if isinstance(each, Label):
            naive.label(each)
        else:
            answers.append(naive.fold(each))
    return answers


def same(ours: list[dict[str, object]], theirs: list[dict[str, object]]) -> None:
    """Equal to the bit, and of equal type where a flag could pass for a number."""
    assert repr(ours) == repr(theirs)


@settings(max_examples=300)
@given(features(), streams())
def test_equals_the_straight_line(chosen: list[Feature], stream: list[Event | Label]) -> None:
    same(play(StreamEngine(chosen, KINDS), stream), straight(chosen, stream))


@pytest.mark.parametrize("seed", range(6))
def test_every_aggregate_on_one_busy_card(seed: int) -> None:
    chosen, stream = every_feature(), dense(seed, 150)
    same(play(StreamEngine(chosen, KINDS), stream), straight(chosen, stream))


@settings(max_examples=80)
@given(features(), streams(), st.data())
def test_a_snapshot_in_the_middle_changes_nothing(
    chosen: list[Feature], stream: list[Event | Label], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(stream)))
    first, second = StreamEngine(chosen, KINDS), StreamEngine(chosen, KINDS)
    answers = play(first, stream[:cut])
    second.restore(first.snapshot())
    assert second.digest() == first.digest()
    answers += play(second, stream[cut:])
    same(answers, straight(chosen, stream))
    whole = StreamEngine(chosen, KINDS)
    play(whole, stream)
    assert second.digest() == whole.digest()
    assert (second.late, second.too_late) == (whole.late, whole.too_late)


@settings(max_examples=80)
@given(features(), streams(), st.integers(1, 3))
def test_what_was_put_out_is_read_back(
    chosen: list[Feature], stream: list[Event | Label], most: int
) -> None:
    folded: list[Event | Label] = []

    def reload(entity: str, value: str) -> Iterable[Event | Label]:
        mine = {e.id for e in folded if isinstance(e, Event) and e.fields.get(entity) == value}
        return [each for each in folded if each.id in mine]

    engine = StreamEngine(chosen, KINDS, most_entities=most, reload=reload)
    answers = []
    for each in stream:
        if isinstance(each, Label):
            engine.label(each)
            about = [e for e in folded if isinstance(e, Event) and e.id == each.id]
            if about and about[0].at_ms <= each.at_ms:
                folded.append(each)
        else:
            made = engine.fold(each)
            answers.append(made.values)
            if not made.is_too_late:
                folded.append(each)
        assert engine.entities <= most
    same(answers, straight(chosen, stream))


@settings(max_examples=60)
@given(features(), streams())
def test_reading_moves_nothing_and_agrees(
    chosen: list[Feature], stream: list[Event | Label]
) -> None:
    engine, naive = StreamEngine(chosen, KINDS), Naive(chosen, KINDS)
    for each in stream:
        if isinstance(each, Label):
            engine.label(each)
            naive.label(each)
        else:
            engine.fold(each)
            naive.fold(each)
    before = engine.digest()
    at_ms = engine.watermark
    asked = Event("visit", "asked", at_ms, len(stream), {"card": "a"})
    for name, reading in (
        engine.read("card", "a", at_ms) if "card" in engine.layouts else {}
    ).items():
        feature = engine.features[name]
        parts = [feature, *(engine.features[part] for part in feature.parts or ())]
        if all(part.aggregate is not Aggregate.ZSCORE for part in parts):
            assert repr(reading.value) == repr(naive.value(feature, asked))
    assert engine.digest() == before


def count(window_ms: int | None = HOUR, **more: object) -> Feature:
    return Feature(
        "n", "card", ("pay",), Aggregate.COUNT, "It.", "它。", window_ms=window_ms, **more
    )


def pay(at_ms: int, sequence: int, **fields: object) -> Event:
    return Event("pay", f"p{sequence}", at_ms, sequence, {"card": "a", **fields})


def test_the_window_is_closed_at_both_ends() -> None:
    engine = StreamEngine([count()], KINDS)
    made = [engine.fold(pay(at, i)).values["n"] for i, at in enumerate((0, HOUR, HOUR + 1))]
    assert made == [1, 2, 2]


def test_an_event_that_is_too_late_is_counted_and_leaves_no_trace() -> None:
    engine = StreamEngine([count(None)], KINDS)
    engine.fold(pay(10 * HOUR, 0))
    on_the_edge = engine.fold(pay(10 * HOUR - LATENESS_MS, 1))
    before = engine.digest()
    beyond = engine.fold(pay(10 * HOUR - LATENESS_MS - 1, 2))
    assert (on_the_edge.values, on_the_edge.is_late, on_the_edge.is_too_late) == (
        {"n": 1},
        True,
        False,
    )
    assert (beyond.values, beyond.is_late, beyond.is_too_late) == ({"n": None}, True, True)
    assert (engine.late, engine.too_late) == (1, 1)
    assert engine.digest() != before, "that it came is remembered"
    assert engine.fold(pay(10 * HOUR, 3)).values == {"n": 3}


def test_memory_is_bounded_by_the_windows() -> None:
    engine = StreamEngine([count()], KINDS)
    for i in range(5_000):
        engine.fold(Event("pay", f"p{i}", i * HOUR, i, {"card": f"c{i}"}))
    assert engine.entities < 10
    for i in range(5_000, 10_000):
        engine.fold(pay(5_000 * HOUR + i * 60_000, i))
    assert len(engine.snapshot()) < 10_000


def test_what_is_remembered_for_ever_stays_small() -> None:
    ever = Feature("first", "card", ("pay",), Aggregate.FIRST_SEEN, "It.", "它。")
    total = Feature("sum", "card", ("pay",), Aggregate.SUM, "It.", "它。", field="minor")
    engine = StreamEngine([ever, total], KINDS)
    for i in range(10_000):
        made = engine.fold(pay(i * HOUR, i, minor=3)).values
    assert made == {"first": 9_999 * HOUR, "sum": 30_000}
    assert len(engine.snapshot()) < 4_000


def test_sequences_rise_and_kinds_are_known() -> None:
    engine = StreamEngine([count()], KINDS)
    engine.fold(pay(0, 5))
    with pytest.raises(ValueError, match="not above"):
        engine.fold(pay(0, 5))
    with pytest.raises(ValueError, match="no kind"):
        engine.fold(Event("flight", "f", 0, 6, {}))
    with pytest.raises(ValueError, match="no label"):
        engine.label(Label("pay", "p5", 0, 6, "minor", 1))
    assert engine.fold(pay(0, 6)).values == {"n": 2}


def test_a_label_counts_from_its_own_instant_and_a_second_one_replaces_it() -> None:
    bad = Feature("bad", "card", ("pay",), Aggregate.SUM, "It.", "它。", field="bad", window_ms=DAY)
    engine = StreamEngine([bad], KINDS)
    engine.fold(pay(0, 0))
    assert engine.label(Label("pay", "p0", 2 * STEP, 1, "bad", 1))
    assert engine.fold(pay(STEP, 2)).values == {"bad": 0}
    assert engine.fold(pay(2 * STEP, 3)).values == {"bad": 1}
    assert engine.label(Label("pay", "p0", 3 * STEP, 4, "bad", 0))
    assert engine.fold(pay(2 * STEP, 5)).values == {"bad": 1}
    assert engine.fold(pay(3 * STEP, 6)).values == {"bad": 0}
    assert not engine.label(Label("pay", "nobody", 3 * STEP, 7, "bad", 1))
    assert not engine.label(Label("pay", "p6", 2 * STEP, 8, "bad", 1)), "before its event"
    assert engine.labels_unheard == 2


@pytest.mark.parametrize("cut", [0, 31, 40, 200])
def test_a_damaged_snapshot_is_refused(cut: int) -> None:
    engine = StreamEngine([count()], KINDS)
    engine.fold(pay(0, 0))
    snapshot = engine.snapshot()
    with pytest.raises(ValueError, match="damaged"):
        engine.restore(snapshot[:cut] + bytes([snapshot[cut] ^ 1]) + snapshot[cut + 1 :])


def test_a_snapshot_of_other_definitions_is_refused() -> None:
    first = StreamEngine([count()], KINDS)
    with pytest.raises(ValueError, match="other definitions"):
        StreamEngine([count(2 * HOUR)], KINDS).restore(first.snapshot())


def test_a_snapshot_that_names_code_is_refused() -> None:
    import pickle
    from hashlib import sha256

    body = pickle.dumps(("x", print))
    engine = StreamEngine([count()], KINDS)
    with pytest.raises(ValueError, match="does not belong"):
        engine.restore(sha256(body).digest() + body)
