"""One stream in columns: who was folded, who came late, when a label was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from steelyard.features.model.columns.exact import Exact, Flags, Ints
from steelyard.features.model.definition import LATENESS_MS


@dataclass(frozen=True, slots=True)
class FieldValues:
    """A field as exact integers, one per event.

    Attributes
    ----------
    numbers : int64[n]; of a text its place in `words`, of a flag 0 or 1, 0 where missing
    known : bool[n]
    words : the texts in rising order, if it is a text
    is_flag : whether it is a flag
    """

    numbers: Ints
    known: Flags
    words: pl.Series | None = None
    is_flag: bool = False


@dataclass(frozen=True, slots=True)
class Spans:
    """For how long those on time know what of the labels of an event.

    Attributes
    ----------
    event : int64[m], row of the event, rising
    row, end : int64[m], known by those on time from the row on, up to, without, the end
    frame : a column for each label, null where it is not told
    """

    event: Ints
    row: Ints
    end: Ints
    frame: pl.DataFrame

    def of(self, events: Ints, fits: Flags) -> tuple[Ints, Ints]:
        """Return each fitting span of the events: place among the events, and the span."""
        chosen = np.flatnonzero(fits)
        each = np.bincount(self.event[chosen], minlength=int(events.max(initial=0)) + 1)
        first, many = (np.cumsum(each) - each)[events], each[events]
        mine = np.repeat(np.arange(len(events)), many)
        within = np.arange(len(mine)) - np.repeat(np.cumsum(many) - many, many)
        return mine, chosen[np.repeat(first, many) + within]


@dataclass(frozen=True, slots=True)
class Stream:
    """The events in fold order, one row each, and the labels by the row of their event.

    An event is on time if its instant is not before the watermark. Among those the instants never
    fall, so that what can be said of an instant can be said of a row: this carries the engine.

    Attributes
    ----------
    frame : the events
    at_ms : int64[n]
    folded : bool[n], false for those that came later than is allowed
    on_time : bool[n]
    place : int64[n], rank in the order of (instant, sequence)
    told : by field: columns event, told_ms, row (the first that stands after the label), place
        (rank among the labels by instant and sequence), value
    """

    frame: pl.DataFrame
    at_ms: Ints
    folded: Flags
    on_time: Flags
    place: Ints
    told: Mapping[str, pl.DataFrame]
    _rows_on_time: Ints
    _fields: dict[str, FieldValues] = field(default_factory=dict)
    _spans: dict[tuple[str, ...], Spans] = field(default_factory=dict)

    @classmethod
    def of(cls, events: pl.DataFrame, labels: pl.DataFrame | None) -> Stream:
        """Return the stream; a ValueError says where events are not in fold order."""
        sequence = events["sequence"].cast(pl.Int64).to_numpy()
        if not (np.diff(sequence) > 0).all():
            raise ValueError("events come in fold order: their sequence rises")
        at_ms = events["at_ms"].cast(pl.Int64).to_numpy().astype(np.int64)
        # An event that is not folded lies below the watermark and does not move it.
        before = np.maximum.accumulate(at_ms)[:-1]
        watermark = np.concatenate([[np.iinfo(np.int64).min // 2], before])[: len(at_ms)]
        folded = at_ms >= watermark - LATENESS_MS
        on_time = at_ms >= watermark
        place = np.empty(len(at_ms), np.int64)
        place[np.argsort(at_ms, kind="stable")] = np.arange(len(at_ms))
        told = {} if labels is None else _told(events, labels, folded, sequence)
        return cls(events, at_ms, folded, on_time, place, told, np.flatnonzero(on_time))

    @property
    def rows(self) -> int:
        """How many events."""
        return len(self.at_ms)

    def row_from(self, instants: Ints) -> Ints:
        """Return the first row on time that stands at each instant or after it; `rows` if none."""
        return self._row(instants, "left")

    def row_after(self, instants: Ints) -> Ints:
        """Return the first row on time that stands after each instant; `rows` if none."""
        return self._row(instants, "right")

    def _row(self, instants: Ints, side: Literal["left", "right"]) -> Ints:
        ends = np.append(self._rows_on_time, self.rows)
        return ends[np.searchsorted(self.at_ms[self._rows_on_time], instants, side)]

    def values(self, name: str) -> FieldValues:
        """Return a field of the events; of a field that no event has everything is missing."""
        if name not in self._fields:
            self._fields[name] = _values(self.frame, name)
        return self._fields[name]

    def spans(self, names: tuple[str, ...]) -> Spans:
        """Return what those on time know of the labels of these names."""
        if names not in self._spans:
            self._spans[names] = _spans(self, names)
        return self._spans[names]


def _values(frame: pl.DataFrame, name: str) -> FieldValues:
    if name not in frame.columns:
        return FieldValues(np.zeros(len(frame), np.int64), np.zeros(len(frame), np.bool_))
    column = frame[name]
    known = column.is_not_null().to_numpy()
    if column.dtype == pl.Null:
        return FieldValues(np.zeros(len(frame), np.int64), known)
    if column.dtype == pl.String:
        words = column.drop_nulls().unique().sort()
        codes = column.cast(pl.Enum(words)).to_physical().cast(pl.Int64).fill_null(0)
        return FieldValues(codes.to_numpy(), known, words=words)
    if column.dtype != pl.Boolean and not column.dtype.is_integer():
        raise ValueError(f"{name}: an event holds texts, integers and flags, not {column.dtype}")
    numbers = column.cast(pl.Int64).fill_null(0).to_numpy()
    return FieldValues(numbers, known, is_flag=column.dtype == pl.Boolean)


def nullable(numbers: Exact, known: Flags) -> pl.Series:
    """Return numbers as a column, null where they are not known."""
    return pl.select(pl.when(pl.Series(known)).then(pl.Series(numbers))).to_series()


def _told(
    events: pl.DataFrame, labels: pl.DataFrame, folded: Flags, sequence: Ints
) -> dict[str, pl.DataFrame]:
    """Return the labels that were folded, by field."""
    known = (
        events.select("kind", "id", pl.col("at_ms").alias("happened_ms"))
        .with_row_index("event")
        .filter(pl.Series(folded))
    )
    ordered = labels.sort("at_ms", "sequence").with_row_index("place")
    rows = np.searchsorted(sequence, ordered["sequence"].cast(pl.Int64).to_numpy())
    told = (
        ordered.with_columns(pl.Series("row", rows, dtype=pl.Int64))
        .join(known, on=["kind", "id"], how="inner")
        .filter(pl.col("event") < pl.col("row"), pl.col("happened_ms") <= pl.col("at_ms"))
        .select(
            "field",
            pl.col("event").cast(pl.Int64),
            pl.col("at_ms").cast(pl.Int64).alias("told_ms"),
            "row",
            pl.col("place").cast(pl.Int64),
            pl.col("value").cast(pl.Int64),
        )
    )
    names = labels["field"].unique(maintain_order=True).to_list()
    return {name: told.filter(pl.col("field") == name).drop("field") for name in names}


def _spans(stream: Stream, names: tuple[str, ...]) -> Spans:
    """Return what those on time know of the labels, from the instants at which any of it changes.

    A label is known from the first row on time that stands after it and not before its instant.
    One that comes to be known after another of a later instant says nothing new.
    """
    rows = stream.rows + 1
    changes = {}
    for name in names:
        labels = stream.told[name]
        event, place, value = (labels[word].to_numpy() for word in ("event", "place", "value"))
        row = np.maximum(labels["row"].to_numpy(), stream.row_from(labels["told_ms"].to_numpy()))
        order = np.lexsort((place, row, event))
        ranked = event[order] * (len(labels) + int(place.max(initial=0))) + place[order]
        keys = event[order] * rows + row[order]
        last = np.append(keys[1:] != keys[:-1], np.ones(min(1, len(keys)), np.bool_))
        news = (ranked == np.maximum.accumulate(ranked)) & last
        changes[name] = keys[news], value[order][news]
    keys = np.unique(np.concatenate([made for made, _ in changes.values()]))
    event, row = np.divmod(keys, rows)
    follows = np.append(event[1:] == event[:-1], np.zeros(min(1, len(keys)), np.bool_))
    end = np.where(follows, np.append(row[1:], row[:1]), stream.rows)
    columns = {}
    for name, (made, value) in changes.items():
        at = np.searchsorted(made, keys, "right")
        known = np.append(-1, made // rows)[at] == event
        columns[name] = nullable(np.append(0, value)[at], known)
    return Spans(event, row, end, pl.DataFrame(columns))
