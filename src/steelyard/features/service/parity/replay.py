"""A stream as it came, in columns: events in fold order and the labels told among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from steelyard.features.catalogue.derived import NIGHT_ENDS, SEPARATOR
from steelyard.features.model.definition import DAY, HOUR
from steelyard.features.model.event import Event, EventKind, FieldType, Label

HEAD = {"kind": pl.String, "id": pl.String, "at_ms": pl.Int64, "sequence": pl.Int64}
LABEL = {**HEAD, "field": pl.String, "value": pl.Int64}
TYPES = {FieldType.TEXT: pl.String, FieldType.INTEGER: pl.Int64, FieldType.FLAG: pl.Boolean}


@dataclass(frozen=True, slots=True)
class Replay:
    """A stream that can be folded again.

    Attributes
    ----------
    events : `kind`, `id`, `at_ms`, `sequence` (rising) and the fields, derived ones among them
    labels : `kind`, `id`, `at_ms`, `sequence` (rising), `field`, `value`
    kinds : those of the events, by name
    """

    events: pl.DataFrame
    labels: pl.DataFrame
    kinds: Mapping[str, EventKind]

    def chunks(self, rows: int) -> Iterator[tuple[int, list[Event | Label]]]:
        """Yield so many events at a time, with the row of the first, labels where they were told.

        Labels told after the last event are answered by nobody and left out.
        """
        names = [name for name in self.events.columns if name not in HEAD]
        told = self.labels["sequence"]
        done = 0
        for start in range(0, self.events.height, rows):
            part = self.events.slice(start, rows)
            before = int(told.search_sorted(part["sequence"][-1]))
            labels, done = self.labels.slice(done, before - done), before
            mixed: list[Event | Label] = [
                Event(kind, id_, at_ms, sequence, dict(zip(names, fields, strict=True)))
                for kind, id_, at_ms, sequence, *fields in part.select(*HEAD, *names).rows()
            ]
            mixed += [Label(*row) for row in labels.select(*LABEL).rows()]
            mixed.sort(key=lambda each: each.sequence)
            yield start, mixed


def derive(events: pl.DataFrame, kinds: Mapping[str, EventKind], *, offset_ms: int) -> pl.DataFrame:
    """Return the events with the derived fields that their kinds have, as `complete` makes them."""
    local = pl.col("at_ms") + offset_ms
    hour = local.mod(DAY) // HOUR
    events = events.with_columns(
        hour=hour, is_night=hour < NIGHT_ENDS, is_weekend=(local.floordiv(DAY) + 3).mod(7) >= 5
    )
    pairs = {e for kind in kinds.values() for e in kind.entities if e.startswith("customer_")}
    for pair in sorted(pairs):
        first, second = pair.split("_", 1)
        if first in events.columns and second in events.columns:
            both = pl.concat_str(first, pl.col(second).cast(pl.String), separator=SEPARATOR)
            having = [name for name, kind in kinds.items() if pair in kind.entities]
            own = pl.when(pl.col("kind").is_in(having)).then(both)
            events = events.with_columns(own.alias(pair))
    return events
