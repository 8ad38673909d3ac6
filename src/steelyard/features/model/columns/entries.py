"""Which events a feature counts, from when and until when, for those who ask in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import polars as pl

from steelyard.features.model.columns.exact import Flags, Ints
from steelyard.features.model.columns.seen import Intervals, Pairs, Seen
from steelyard.features.model.columns.stream import Stream
from steelyard.features.model.definition import Compare, Feature, Where

PAIRS_AT_ONCE = 1_000_000
_FOREVER = 1 << 61


class Shape(NamedTuple):
    """What a feature looks at; features of one shape share the work of finding it."""

    entity: str
    kinds: tuple[str, ...]
    field: str | None
    window_ms: int | None
    where: tuple[Where, ...]
    delay_ms: int
    before: bool

    @classmethod
    def of(cls, feature: Feature) -> Shape:
        """Return the shape of a feature."""
        return cls(
            feature.entity,
            feature.kinds,
            feature.field,
            feature.window_ms,
            feature.where,
            feature.delay_ms,
            feature.before,
        )


@dataclass(frozen=True, slots=True)
class Askers:
    """The events that have the entity's field, and so a value of its features.

    Attributes
    ----------
    entity : int64[n], the entity of each event by number, -1 where it is missing
    order : the rows that were folded and have the field, entity by entity, in fold order
    line : those of them that came on time
    late : rows of those that came late, in fold order
    """

    stream: Stream
    entity: Ints
    order: Ints
    line: Ints
    late: Ints

    @classmethod
    def of(cls, stream: Stream, entity: str) -> Askers:
        """Return who asks about an entity."""
        values = stream.values(entity)
        _, codes = np.unique(values.numbers, return_inverse=True)
        numbers = np.where(values.known, codes.astype(np.int64), -1)
        asks = values.known & stream.folded
        rows = np.flatnonzero(asks)
        order = rows[np.argsort(numbers[rows], kind="stable")]
        late = np.flatnonzero(asks & ~stream.on_time)
        return cls(stream, numbers, order, order[stream.on_time[order]], late)

    def first_from_itself(self, events: Ints, *, before: bool) -> Ints:
        """Return what `first_from` does for each event's own row, or the row after it."""
        on_time = self.stream.on_time[self.order]
        met = np.cumsum(on_time)
        places = np.empty(self.stream.rows, np.int64)
        places[self.order] = met if before else met - on_time
        return places[events]

    def first_from(self, events: Ints, row: Ints) -> Ints:
        """Return the first place in the line of an asker about the event's entity, from the row."""
        rows = self.stream.rows + 1
        keys = self.entity[self.line] * rows + self.line
        return np.searchsorted(keys, self.entity[events] * rows + row).astype(np.int64)


def seen_by(askers: Askers, shape: Shape) -> Iterator[tuple[Ints, Seen]]:
    """Yield rows of askers and what they see of a shape: first all on time, then late ones."""
    stream = askers.stream
    words = [] if shape.field is None else [shape.field]
    words += [where.field for where in shape.where]
    told = tuple(sorted({name for name in words if name in stream.told}))
    plain = tuple(where for where in shape.where if where.field not in told)
    fits = _fits(stream.frame, plain)
    fits &= stream.frame["kind"].is_in(list(shape.kinds)).to_numpy()
    if shape.field is not None and shape.field not in told:
        fits &= stream.values(shape.field).known
    # In the askers' own order, so that whatever is looked up lies near what was looked up before.
    events = askers.order[fits[askers.order]]
    yield askers.line, _intervals(askers, shape, events, told)
    for rows in _portions(askers, shape, events):
        yield rows, _pairs(askers, shape, events, told, rows)


def _intervals(askers: Askers, shape: Shape, events: Ints, told: tuple[str, ...]) -> Intervals:
    stream = askers.stream
    if shape.delay_ms:
        row = np.maximum(stream.row_from(stream.at_ms + shape.delay_ms)[events], events)
        first = askers.first_from(events, row)
    else:
        first = askers.first_from_itself(events, before=shape.before)
    if shape.window_ms is None:
        end = np.full_like(events, stream.rows)
    else:
        end = stream.row_after(stream.at_ms + shape.delay_ms + shape.window_ms)[events]
    numbers = _numbers(stream, shape, events)
    if told:
        spans = stream.spans(told)
        fits = _fits(spans.frame, _of(shape.where, told))
        if shape.field is not None and shape.field in told:
            fits &= spans.frame[shape.field].is_not_null().to_numpy()
        mine, span = spans.of(events, fits)
        events = events[mine]
        first = np.maximum(first[mine], askers.first_from(events, spans.row[span]))
        end = np.minimum(end[mine], spans.end[span])
        numbers = numbers[mine]
        if shape.field is not None and shape.field in told:
            numbers = spans.frame[shape.field].fill_null(0).to_numpy()[span]
    end = askers.first_from(events, end)
    live = first < end
    return Intervals(len(askers.line), events[live], numbers[live], first[live], end[live])


def _numbers(stream: Stream, shape: Shape, events: Ints) -> Ints:
    if shape.field is None:
        return np.zeros_like(events)
    return stream.values(shape.field).numbers[events]


def _portions(askers: Askers, shape: Shape, events: Ints) -> Iterator[Ints]:
    """Yield the late rows, so many at a time as have a bounded number of pairs."""
    rows = askers.late
    if not len(rows):
        return
    _, first, end = _candidates(askers, shape, events, rows)
    ends = np.cumsum(end - first)
    start = 0
    while start < len(rows):
        reached = PAIRS_AT_ONCE + (ends[start - 1] if start else 0)
        stop = max(int(np.searchsorted(ends, reached, "right")), start + 1)
        yield rows[start:stop]
        start = stop


def _candidates(askers: Askers, shape: Shape, events: Ints, rows: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the events by entity and instant, and where each asker's window begins and ends."""
    stream = askers.stream
    instants = np.unique(stream.at_ms)
    steps = len(instants) + 1
    keys = askers.entity[events] * steps + np.searchsorted(instants, stream.at_ms)[events]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    until = stream.at_ms[rows] - shape.delay_ms
    since = until - (_FOREVER if shape.window_ms is None else shape.window_ms)
    mine = askers.entity[rows] * steps
    first = np.searchsorted(keys, mine + np.searchsorted(instants, since, "left"))
    end = np.searchsorted(keys, mine + np.searchsorted(instants, until, "right"))
    return events[order], first, end


def _pairs(askers: Askers, shape: Shape, events: Ints, told: Sequence[str], rows: Ints) -> Pairs:
    """Return what late askers see: whatever was folded before them and lies in their window."""
    stream = askers.stream
    ordered, first, end = _candidates(askers, shape, events, rows)
    many = end - first
    asker = np.repeat(np.arange(len(rows)), many)
    starts = np.repeat(first - np.concatenate([[0], np.cumsum(many)[:-1]]), many)
    event = ordered[starts + np.arange(len(asker))]
    row = rows[asker]
    there = event < row if shape.before else event <= row
    asker, event, row = asker[there], event[there], row[there]
    numbers = _numbers(stream, shape, event)
    if told:
        pairs = pl.DataFrame({"event": event, "asker_row": row, "at_ms": stream.at_ms[row]})
        pairs = _with_labels(stream, pairs.with_row_index("pair"), told)
        fits = _fits(pairs, _of(shape.where, told))
        if shape.field is not None and shape.field in told:
            fits &= pairs[shape.field].is_not_null().to_numpy()
            numbers = pairs[shape.field].fill_null(0).to_numpy()
        asker, event, numbers = asker[fits], event[fits], numbers[fits]
    return Pairs(len(rows), event, numbers, asker)


def _with_labels(stream: Stream, pairs: pl.DataFrame, told: Sequence[str]) -> pl.DataFrame:
    """Add what each asker knows of each event: the latest label told up to its instant."""
    for name in told:
        known = (
            pairs.select("pair", "event", "asker_row", "at_ms")
            .join(stream.told[name], on="event", how="inner")
            .filter((pl.col("row") <= pl.col("asker_row")) & (pl.col("told_ms") <= pl.col("at_ms")))
            .group_by("pair")
            .agg(pl.col("value").sort_by("place").last().alias(name))
        )
        pairs = pairs.join(known, on="pair", how="left", maintain_order="left")
    return pairs


def _of(where: Sequence[Where], fields: Sequence[str]) -> tuple[Where, ...]:
    return tuple(one for one in where if one.field in fields)


def _fits(frame: pl.DataFrame, where: Sequence[Where]) -> Flags:
    """Return which rows fit all conditions; a missing field never fits."""
    if not where:
        return np.ones(len(frame), np.bool_)
    return (
        frame.select(reduce(pl.Expr.and_, (_fit(frame, one) for one in where)))
        .to_series()
        .to_numpy()
    )


def _fit(frame: pl.DataFrame, where: Where) -> pl.Expr:
    if where.field not in frame.columns:
        return pl.repeat(value=False, n=pl.len())
    column, value = pl.col(where.field), where.value
    if isinstance(value, bool) and frame.schema[where.field] != pl.Boolean:
        value = int(value)  # A flag that is a label is told as 1 or 0.
    compared = {
        Compare.IS: column.eq,
        Compare.IS_NOT: column.ne,
        Compare.AT_LEAST: column.ge,
        Compare.BELOW: column.lt,
    }[where.compare](value)
    return compared.fill_null(value=False)
