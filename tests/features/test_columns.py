"""The columnar engine beside the straight line, on streams with every kind of disorder."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import product
from math import isfinite
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from steelyard.features.model import formula
from steelyard.features.model.columns import compute, entries, exact
from steelyard.features.model.definition import (
    LATENESS_MS,
    Aggregate,
    Compare,
    Feature,
    Where,
)
from steelyard.features.model.event import Event, Label
from tests.features.straight import straight_line

MINUTE = 60_000
FIELDS: dict[str, Any] = {
    "customer": pl.String, "device": pl.String, "amount": pl.Int64, "city": pl.String,
    "abroad": pl.Boolean,
}  # fmt: skip
PAY, LOG = ("pay",), ("log",)


def _feature(name: str, aggregate: Aggregate, **said: Any) -> Feature:
    said = {"entity": "customer", "kinds": PAY, "window_ms": 30 * MINUTE} | said
    return Feature(name=name, aggregate=aggregate, en="", zh="", **said)


def _every_feature() -> list[Feature]:
    """Return every aggregate in every setting that changes what is looked at."""
    abroad = (Where("abroad", Compare.IS, value=True),)
    settings: list[dict[str, Any]] = [
        {}, {"before": True}, {"window_ms": None}, {"window_ms": None, "before": True},
        {"delay_ms": 20 * MINUTE}, {"delay_ms": 20 * MINUTE, "window_ms": None},
        {"kinds": PAY + LOG}, {"kinds": LOG, "entity": "device"}, {"where": abroad},
        {"where": (Where("fraud", Compare.IS, 1),)},
        {"where": (Where("fraud", Compare.IS_NOT, 1), *abroad), "delay_ms": 20 * MINUTE},
        {"where": (Where("dispute", Compare.AT_LEAST, 1), Where("fraud", Compare.BELOW, 1))},
        {"where": (Where("fraud", Compare.IS, value=True),), "before": True},
        {"where": (Where("city", Compare.IS_NOT, "B"), Where("amount", Compare.AT_LEAST, 5))},
    ]  # fmt: skip
    plain = (Aggregate.COUNT, Aggregate.FIRST_SEEN, Aggregate.TIME_SINCE)
    of_numbers = (Aggregate.SUM, Aggregate.MEAN, Aggregate.MIN, Aggregate.MAX, Aggregate.STD,
                  Aggregate.ZSCORE)  # fmt: skip
    made = []
    for n, said in enumerate(settings):
        made += [_feature(f"{a}_{n}", a, **said) for a in plain]
        made += [_feature(f"{a}_{n}", a, field="amount", **said) for a in of_numbers]
        for a, f in product((Aggregate.DISTINCT, Aggregate.LAST), ("city", "amount", "abroad")):
            made.append(_feature(f"{a}_{f}_{n}", a, field=f, **said))
        for a in (*of_numbers, Aggregate.DISTINCT, Aggregate.LAST):
            made.append(_feature(f"{a}_fraud_{n}", a, field="fraud", **said))
        for pair in ("sum count", "mean std", "max sum", "sum_fraud mean_fraud"):
            first, second = (f"{part}_{n}" for part in pair.split())
            parts, name = (first, second), f"{first}_over_{second}"
            entity = said.get("entity", "customer")
            made.append(_feature(name, Aggregate.RATIO, parts=parts, window_ms=None, entity=entity))
    return made


EVERY = _every_feature()


@st.composite
def streams(draw: st.DrawFn, amounts: st.SearchStrategy[int]) -> tuple[list[Event], list[Label]]:
    """Draw events, labels told late or out of order, and instants that go back."""
    events: list[Event] = []
    labels: list[Label] = []
    clock = 0
    steps = st.sampled_from([0, 0, 1, MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE])
    back = st.sampled_from(
        [0, 0, 0, 0, 1, MINUTE, 20 * MINUTE, LATENESS_MS, LATENESS_MS + 1, 3 * LATENESS_MS]
    )
    for sequence in range(0, 2 * draw(st.integers(1, 25)), 2):
        if events and draw(st.integers(0, 3)) == 0:
            about = draw(st.sampled_from(events))
            told_ms = clock + draw(st.sampled_from([0, 0, MINUTE, -10 * MINUTE]))
            name = draw(st.sampled_from(["fraud", "fraud", "dispute"]))
            labels.append(
                Label(about.kind, about.id, told_ms, sequence, name, draw(st.integers(0, 2)))
            )
            if draw(st.integers(0, 9)) == 0:
                labels.append(
                    Label("pay", f"e{sequence + 2}", clock + MINUTE, sequence + 1, name, 1)
                )
            continue
        clock += draw(steps)
        fields = {
            "customer": draw(st.sampled_from(["c", "c", "c", "d", None])),
            "device": draw(st.sampled_from(["1", "1", "2", None])),
            "amount": draw(st.one_of(st.none(), amounts)),
            "city": draw(st.sampled_from(["A", "B", "é", None])),
            "abroad": draw(st.sampled_from([True, False, None])),
        }
        kind = draw(st.sampled_from(["pay", "pay", "pay", "log"]))
        events.append(Event(kind, f"e{sequence}", clock - draw(back), sequence, fields))
    return events, labels


def frames(events: Sequence[Event], labels: Sequence[Label]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the stream as the columnar engine takes it."""
    rows = [(e.kind, e.id, e.at_ms, e.sequence, *(e.fields[f] for f in FIELDS)) for e in events]
    head = {"kind": pl.String, "id": pl.String, "at_ms": pl.Int64, "sequence": pl.Int64}
    told = {**head, "field": pl.String, "value": pl.Int64}
    return (
        pl.DataFrame(rows, schema={**head, **FIELDS}, orient="row"),
        pl.DataFrame(labels, schema=told, orient="row"),
    )


def bits(value: object) -> object:
    """Return a value in which two floats are equal only if every bit is, and 1 is not 1.0."""
    return struct.pack("d", value) if isinstance(value, float) else (type(value), value)


def assert_equal(events: Sequence[Event], labels: Sequence[Label]) -> None:
    columns = compute(*frames(events, labels), EVERY)
    expected = straight_line(events, labels, EVERY)
    assert columns.columns == [feature.name for feature in EVERY]
    assert columns.height == len(events)
    for name in columns.columns:
        ours = [bits(value) for value in columns[name].to_list()]
        theirs = [bits(answer[name]) for answer in expected]
        assert ours == theirs, name


@settings(max_examples=50)
@given(streams(st.integers(-5, 20)))
def test_the_columns_equal_the_straight_line(stream: tuple[list[Event], list[Label]]) -> None:
    assert_equal(*stream)


@settings(max_examples=20)
@given(streams(st.sampled_from([2**31, -(2**40) + 1, 2**53 + 1, 2**62 + 3, 7])))
def test_amounts_whose_squares_pass_64_bits_are_exact(
    stream: tuple[list[Event], list[Label]],
) -> None:
    assert_equal(*stream)


@settings(max_examples=10)
@given(streams(st.integers(0, 9)))
def test_late_events_are_the_same_in_portions_of_any_size(
    stream: tuple[list[Event], list[Label]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "PAIRS_AT_ONCE", 2)
        assert_equal(*stream)


HUGE = st.integers(-(2**70), 2**70)


def _same(vector: tuple[Any, Any], scalar: list[float | None]) -> None:
    numbers, known = vector
    made = [float(x) if k else None for x, k in zip(numbers, known, strict=True)]
    assert [bits(x) for x in made] == [bits(x) for x in scalar]


@given(st.lists(st.lists(st.integers(-(2**64), 2**64) | st.integers(-99, 99)), min_size=1), HUGE)
def test_the_vector_formulas_equal_the_scalar_ones(values: list[list[int]], x: int) -> None:
    n = [len(v) for v in values]
    s = [sum(v) for v in values]
    q = [sum(a * a for a in v) for v in values]
    vectors = np.array(n, np.int64), np.array(s, object), np.array(q, object)
    own = np.array([x] * len(n), object)
    every = list(zip(n, s, q, strict=True))
    _same(exact.mean(*vectors[:2]), [formula.mean(a, b) for a, b, _ in every])
    _same(exact.standard_deviation(*vectors), [formula.standard_deviation(*a) for a in every])
    _same(exact.z_score(own, *vectors), [formula.z_score(x, *a) for a in every])


@given(st.lists(st.tuples(HUGE | st.integers(-3, 3), HUGE | st.integers(-3, 3)), min_size=1))
def test_a_ratio_of_integers_is_correctly_rounded(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(column, object) for column in zip(*pairs, strict=True))
    known = np.ones(len(pairs), np.bool_)
    _same(exact.ratio(first, second, known), [formula.ratio(a, b) for a, b in pairs])


@example([(1.0, -0.0)])
@given(
    st.lists(
        st.tuples(*[st.floats(-1e100, 1e100).filter(lambda x: abs(x) > 1e-100 or x == 0)] * 2),
        min_size=1,
    )
)
def test_a_ratio_of_floats_is_pythons(pairs: list[tuple[float, float]]) -> None:
    first, second = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    known = np.ones(len(pairs), np.bool_)
    _same(exact.ratio(first, second, known), [formula.ratio(a, b) for a, b in pairs])


def test_events_out_of_fold_order_are_a_fault() -> None:
    events = [Event("pay", str(n), n, 5 - n, dict.fromkeys(FIELDS)) for n in range(3)]
    with pytest.raises(ValueError, match="fold order"):
        compute(*frames(events, ()), EVERY)


def test_a_float_in_an_event_is_a_fault() -> None:
    events, labels = frames([Event("pay", "a", 0, 0, dict.fromkeys(FIELDS))], ())
    with pytest.raises(ValueError, match="not Float64"):
        compute(events.with_columns(amount=pl.lit(1.5)), labels, EVERY)


def test_no_events_give_no_rows() -> None:
    assert compute(*frames((), ()), EVERY).shape == (0, len(EVERY))


def test_without_labels_nothing_is_told() -> None:
    events, _ = frames([Event("pay", "a", 0, 0, dict.fromkeys(FIELDS) | {"customer": "c"})], ())
    told = compute(events, None, EVERY).row(0, named=True)
    assert told["sum_fraud_0"] == 0
    assert told["mean_fraud_0"] is None
    assert told["count_9"] == 0
    assert isfinite(told["count_0"])
