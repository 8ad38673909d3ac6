"""A small seeded stream of every kind, in which whatever can go wrong with time does."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from random import Random
from typing import Any

import polars as pl

from steelyard.features.model.definition import DAY, HOUR, LATENESS_MS, MINUTE
from steelyard.features.model.event import EventKind, FieldType, Value
from steelyard.features.service.parity.reading import LOCAL_OFFSET_MS
from steelyard.features.service.parity.replay import HEAD, LABEL, TYPES, Replay, derive

SEED = 3
EVENTS = 4_000
_STARTS_MS = 1_767_225_600_000
_ECHOES_MS = (10 * MINUTE, HOUR, DAY, 7 * DAY, 8 * DAY, 14 * DAY, 30 * DAY, 37 * DAY, 90 * DAY)
"""After these, windows with and without a delay of a week end: the border itself is met."""


def sample_replay(
    kinds: Mapping[str, EventKind], *, seed: int = SEED, events: int = EVENTS
) -> Replay:
    """Return a stream of some 120 days, the same for the same seed.

    Events come late by up to an hour (one of twenty), too late (one of sixty) and in the same
    millisecond (one of eight); one of four comes back exactly when a window ends, or a millisecond
    beside. Fields are missing now and then. Labels are told after hours to weeks, some twice, some
    after they have been waiting, and some for events that were never folded.
    """
    chance = Random(seed)
    source = _Source(chance, kinds)
    rows: list[dict[str, Any]] = []
    labels: list[tuple[Any, ...]] = []
    clock = _STARTS_MS
    mean_ms = 120 * DAY // events
    while len(rows) < events:
        if chance.random() >= 1 / 8:
            clock += int(chance.expovariate(1 / mean_ms)) if chance.random() < 0.8 else 1
        due = source.next_due(clock)
        if due is not None:
            at_ms, (kind, id_, fields) = due
            clock = max(clock, at_ms)
            if isinstance(fields, str):
                labels.append((kind, id_, at_ms, len(rows) + len(labels), fields, source.told()))
                continue
        else:
            kind, fields = source.fresh()
            at_ms = clock
        at_ms -= _late(chance)
        id_ = f"e{len(rows)}"
        head = {"kind": kind, "id": id_, "at_ms": at_ms, "sequence": len(rows) + len(labels)}
        rows.append(head | fields)
        source.follow(kind, id_, at_ms, fields)
    types = {
        name: TYPES[type_]
        for kind in kinds.values()
        for name, type_ in kind.fields.items()
        if name not in kind.labels
    }
    frame = pl.DataFrame(rows, schema={**HEAD, **types})
    told = pl.DataFrame(labels, schema=LABEL, orient="row")
    return Replay(derive(frame, kinds, offset_ms=LOCAL_OFFSET_MS), told, kinds)


def _late(chance: Random) -> int:
    drawn = chance.random()
    if drawn < 1 / 20:
        return chance.choice((1, MINUTE, chance.randrange(LATENESS_MS), LATENESS_MS))
    if drawn < 1 / 20 + 1 / 60:
        return chance.choice((LATENESS_MS + MINUTE, 3 * LATENESS_MS, 2 * DAY))
    return 0


class _Source:
    """What happens next: something new, or what is due because of something earlier."""

    def __init__(self, chance: Random, kinds: Mapping[str, EventKind]) -> None:
        self._chance, self._kinds = chance, kinds
        self._names = sorted(kinds) + ["payment"] * (4 if "payment" in kinds else 0)
        self._due: list[tuple[int, int, tuple[str, str, Any]]] = []
        self._count = 0

    def next_due(self, clock: int) -> tuple[int, tuple[str, str, Any]] | None:
        """Return what is due, if anything."""
        if not self._due or self._due[0][0] > clock:
            return None
        at_ms, _, what = heappop(self._due)
        return at_ms, what

    def fresh(self) -> tuple[str, dict[str, Value]]:
        """Return a kind and the fields of something new."""
        kind = self._kinds[self._chance.choice(self._names)]
        fields = {
            name: self._value(kind, name, type_)
            for name, type_ in kind.fields.items()
            if name not in kind.labels
        }
        return kind.name, fields

    def _value(self, kind: EventKind, name: str, type_: FieldType) -> Value:
        if self._chance.random() < 1 / 30:
            return None
        if type_ is FieldType.FLAG:
            return self._chance.random() < 0.5
        if type_ is FieldType.INTEGER:
            return self._chance.choice((1, 499, 500, 20_000, self._chance.randrange(1_000_000)))
        many = 12 if name in kind.entities else 4
        return f"{name}-{int(self._chance.paretovariate(1)) % many}"

    def told(self) -> int:
        """Return what a label says."""
        return int(self._chance.random() < 0.4)

    def follow(self, kind: str, id_: str, at_ms: int, fields: Mapping[str, Value]) -> None:
        """Let something follow from an event: itself again on a border, and its labels."""
        if self._chance.random() < 1 / 4:
            beside = self._chance.choice((0, 0, 0, 1, -1))
            self._push(at_ms + self._chance.choice(_ECHOES_MS) + beside, (kind, id_, dict(fields)))
        for field in self._kinds[kind].labels:
            for _ in range(self._chance.choice((0, 1, 1, 2))):
                after = self._chance.choice((0, HOUR, DAY, 7 * DAY, 7 * DAY + 1, 20 * DAY))
                self._push(at_ms + after, (kind, id_, field))

    def _push(self, at_ms: int, what: tuple[str, str, Any]) -> None:
        self._count += 1
        heappush(self._due, (at_ms, self._count, what))
