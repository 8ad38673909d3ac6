"""Features of a whole stream, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from steelyard.features.model.columns import exact
from steelyard.features.model.columns.entries import Askers, Shape, seen_by
from steelyard.features.model.columns.exact import Exact, Flags, Floats, Ints
from steelyard.features.model.columns.seen import (
    NOTHING,
    Seen,
    count,
    total,
    total_of_squares,
)
from steelyard.features.model.columns.stream import Stream, nullable
from steelyard.features.model.definition import Aggregate, Feature

_FLOATS = frozenset({Aggregate.MEAN, Aggregate.STD, Aggregate.ZSCORE, Aggregate.RATIO})
_SUMS = frozenset({Aggregate.COUNT, Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.ZSCORE})


@dataclass(frozen=True, slots=True)
class Column:
    """Values of a feature: numbers of any exact dtype or floats, and where they are known."""

    numbers: Exact | Floats
    known: Flags


def compute(
    events: pl.DataFrame, labels: pl.DataFrame | None, features: Sequence[Feature]
) -> pl.DataFrame:
    """Return every feature as of every event, point-in-time correct.

    Parameters
    ----------
    events : one row per event in fold order; columns `kind`, `id`, `at_ms`, `sequence` (rising)
        and the fields (texts, integers, flags; null where an event has none)
    labels : columns `kind`, `id`, `at_ms`, `sequence`, `field`, `value`, in any order; their
        sequence is of the same count as the events'
    features : the parts of a ratio come with it, or before it

    Returns
    -------
    One row per event, one column per feature, in their order: whole numbers for counts, sums and
    instants, floats for means, deviations and ratios, and the field's own type for the lowest,
    highest and last value. Null is missing: also where the event lacks the entity's field, and
    where it came too late to be folded. Equal to the streaming engine to the bit. Nothing is
    computed in rounded steps: what does not fit 64 bits is computed in as many as it needs.
    Memory is about 200 bytes a row, and the result.

    Examples
    --------
    >>> from steelyard.features.model.definition import HOUR
    >>> taps = Feature("card_taps_1h", "card", ("tap",), Aggregate.COUNT, "", "", window_ms=HOUR)
    >>> events = pl.DataFrame({
    ...     "kind": "tap", "id": ["a", "b", "c"], "at_ms": [0, HOUR, HOUR + 1],
    ...     "sequence": [1, 2, 3], "card": "c1",
    ... })
    >>> compute(events, None, [taps])["card_taps_1h"].to_list()
    [1, 2, 2]
    """
    return compute_on(Stream.of(events, labels), features)


def compute_on(stream: Stream, features: Sequence[Feature]) -> pl.DataFrame:
    """Return every feature as of every event of a prepared stream; see `compute`."""
    columns: dict[str, Column] = {}
    grouped: dict[str, dict[Shape, list[Feature]]] = {}
    for feature in features:
        if feature.aggregate is not Aggregate.RATIO:
            shape = Shape.of(feature)
            grouped.setdefault(shape.entity, {}).setdefault(shape, []).append(feature)
    for entity, shapes in grouped.items():
        askers = Askers.of(stream, entity)
        for shape, members in shapes.items():
            columns |= _of_shape(askers, shape, members)
    for feature in features:
        if feature.aggregate is Aggregate.RATIO:
            columns[feature.name] = _ratio(feature, columns)
    return pl.DataFrame([_series(stream, feature, columns[feature.name]) for feature in features])


def _of_shape(askers: Askers, shape: Shape, members: Sequence[Feature]) -> dict[str, Column]:
    rows = askers.stream.rows
    made: dict[str, Column] = {}
    for asking, seen in seen_by(askers, shape):
        for name, column in _answers(askers.stream, asking, seen, members).items():
            whole = made.get(name)
            if whole is None:
                whole = Column(np.zeros(rows, column.numbers.dtype), np.zeros(rows, np.bool_))
            elif column.numbers.dtype == object and whole.numbers.dtype != object:
                whole = Column(whole.numbers.astype(object), whole.known)
            made[name] = whole
            whole.numbers[asking] = column.numbers
            whole.known[asking] = column.known
    return made


def _answers(
    stream: Stream, asking: Ints, seen: Seen, members: Sequence[Feature]
) -> dict[str, Column]:
    made: dict[str, Column] = {}
    if any(feature.aggregate in _SUMS for feature in members):
        n = count(seen)
        everywhere = np.ones(len(n), np.bool_)
    s = q = None
    for feature in members:
        match feature.aggregate:
            case Aggregate.COUNT:
                made[feature.name] = Column(n, everywhere)
            case Aggregate.SUM | Aggregate.MEAN | Aggregate.STD | Aggregate.ZSCORE:
                s = total(seen, n) if s is None else s
                if feature.aggregate is Aggregate.SUM:
                    made[feature.name] = Column(s, everywhere)
                elif feature.aggregate is Aggregate.MEAN:
                    made[feature.name] = Column(*exact.mean(n, s))
                else:
                    q = total_of_squares(seen, n) if q is None else q
                    made[feature.name] = _spread(stream, asking, feature, (n, s, q))
            case Aggregate.DISTINCT:
                made[feature.name] = Column(seen.distinct(), np.ones(len(asking), np.bool_))
            case _:
                made[feature.name] = _one(stream, asking, seen, feature.aggregate)
    return made


def _spread(
    stream: Stream, asking: Ints, feature: Feature, sums: tuple[Ints, Exact, Exact]
) -> Column:
    n, s, q = sums
    if feature.aggregate is Aggregate.STD:
        return Column(*exact.standard_deviation(n, s, q))
    assert feature.field is not None
    own = stream.values(feature.field)
    score, known = exact.z_score(own.numbers[asking], n, s, q)
    return Column(score, known & own.known[asking])


def _one(stream: Stream, asking: Ints, seen: Seen, aggregate: Aggregate) -> Column:
    """Return the value, or the age, of the one entry that stands highest or lowest in an order."""
    if aggregate in (Aggregate.MIN, Aggregate.MAX):
        order = np.argsort(seen.numbers, kind="stable")
    else:  # Two entries of one event, with different labels, are never seen by one asker.
        order = np.argsort(stream.place[seen.event], kind="stable")
    if aggregate in (Aggregate.MIN, Aggregate.FIRST_SEEN):
        order = order[::-1]
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    highest = seen.highest(rank)
    known = highest != NOTHING
    if not len(order):
        return Column(np.zeros(len(asking), np.int64), known)
    entry = order[np.maximum(highest, 0)]
    if aggregate in (Aggregate.FIRST_SEEN, Aggregate.TIME_SINCE):
        return Column(stream.at_ms[asking] - stream.at_ms[seen.event[entry]], known)
    return Column(seen.numbers[entry], known)


def _ratio(feature: Feature, columns: dict[str, Column]) -> Column:
    assert feature.parts is not None
    first, second = (columns[part] for part in feature.parts)
    return Column(*exact.ratio(first.numbers, second.numbers, first.known & second.known))


def _series(stream: Stream, feature: Feature, column: Column) -> pl.Series:
    numbers = column.numbers
    if numbers.dtype == object and exact.largest(numbers) >= exact.INT64:
        numbers[~column.known] = None
        return pl.Series(feature.name, numbers.tolist(), pl.Int128)
    if numbers.dtype == object:
        numbers = numbers.astype(np.int64)
    made = nullable(numbers, column.known)
    if feature.aggregate in (Aggregate.MIN, Aggregate.MAX, Aggregate.LAST):
        assert feature.field is not None
        values = stream.values(feature.field)
        if feature.field in stream.told:
            return made.alias(feature.name)
        if values.words is not None:
            made = values.words.gather(made)
        elif values.is_flag:
            made = made.cast(pl.Boolean)
    return made.alias(feature.name)
