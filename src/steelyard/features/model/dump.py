"""The state of the streaming engine as bytes, and its digest."""

from __future__ import annotations

import pickle
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from typing import Any

from steelyard.features.model.definition import Feature
from steelyard.features.model.event import EventKind
from steelyard.features.model.layout import EntityLayout, Slot, Track
from steelyard.features.model.told import ToldWindows
from steelyard.features.model.window import CLOSED, State

FORM = "steelyard-features-2"
Noted = Mapping[tuple[str, str], tuple[int, int, tuple[tuple[str, str], ...]]]


class _PlainOnly(pickle.Unpickler):
    """Reads plain values; a snapshot that names any class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into a snapshot")


def definitions(features: Mapping[str, Feature], kinds: Mapping[str, EventKind]) -> str:
    """Return the SHA-256 of definitions, words apart, in their order: it decides the slots."""
    said = [
        (f.name, f.entity, f.kinds, f.aggregate.value, f.field, f.window_ms, f.delay_ms, f.before,
         f.parts, f.version, [(w.field, w.compare.value, w.value) for w in f.where])
        for f in features.values()
    ]  # fmt: skip
    shapes = [
        (k.name, sorted((n, t.value) for n, t in k.fields.items()), k.entities, k.labels)
        for k in kinds.values()
    ]
    return sha256(repr((FORM, said, shapes)).encode()).hexdigest()


def pack(
    known: dict[str, Any], features: Mapping[str, Feature], kinds: Mapping[str, EventKind]
) -> bytes:
    """Return a state with the definitions it belongs to, as bytes with a checksum."""
    body = pickle.dumps((definitions(features, kinds), known), protocol=5)
    return sha256(body).digest() + body


def unpack(
    snapshot: bytes, features: Mapping[str, Feature], kinds: Mapping[str, EventKind]
) -> dict[str, Any]:
    """Return the state in a snapshot of these definitions; a ValueError says why there is none."""
    body = snapshot[32:]
    if sha256(body).digest() != snapshot[:32]:
        raise ValueError("the snapshot is damaged")
    try:
        made, known = _PlainOnly(BytesIO(body)).load()
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from error
    if made != definitions(features, kinds):
        raise ValueError("the snapshot is of other definitions")
    state: dict[str, Any] = known
    return state


def states(
    held: Mapping[str, State], layout: EntityLayout, oldest: int | None
) -> dict[str, list[Any]]:
    """Return the states of an entity as plain values.

    With `oldest` in a canonical form, sorted: only what an answer at that instant or later can
    depend on, whatever has been dropped already, and no pointers.
    """
    if oldest is None:
        return {value: _whole(state, layout) for value, state in held.items()}
    made = {}
    for value in sorted(held):
        needed = _needed(held[value], layout, oldest)
        if needed is not None:
            made[value] = needed
    return made


def _whole(state: State, layout: EntityLayout) -> list[Any]:
    made: list[Any] = []
    for slot, content in zip(layout.slots, state, strict=True):
        if slot is Slot.DEQUE or slot is Slot.LIST or slot is Slot.TOTALS:
            made.append(list(content))
        elif slot is Slot.DICT:
            made.append(dict(content))
        elif slot is Slot.TOLD:
            made.append(None if content is None else content.dump())
        else:
            made.append(content)
    return made


def load_state(layout: EntityLayout, dumped: list[Any]) -> State:
    """Return a state from its plain values."""
    state: State = []
    for i, (slot, content) in enumerate(zip(layout.slots, dumped, strict=True)):
        if slot is Slot.DEQUE:
            state.append(deque(content))
        elif slot is Slot.TOLD and content is not None:
            state.append(ToldWindows.load(layout.told_at[i], content))
        else:
            state.append(content)
    for track in layout.tracks:
        if not state[track.instants]:
            for number, holds in track.held.items():
                state[number] = CLOSED[holds]
    return state


def _needed(state: State, layout: EntityLayout, oldest: int) -> list[Any] | None:
    tracks = [_needed_of_track(state, track, oldest - track.span) for track in layout.tracks]
    windows = ((state[told.slot], oldest - told.span) for told in layout.told)
    told = [[] if one is None else one.dump(keep_from) for one, keep_from in windows]
    return [tracks, told] if any(tracks) or any(told) else None


def _needed_of_track(state: State, track: Track, keep_from: int) -> list[Any] | None:
    instants = state[track.instants]
    k = bisect_left(instants, keep_from)
    if not instants or (k == len(instants) and not track.is_for_ever):
        return None
    if track.is_for_ever:
        k = max(k - 1, 0)
    made: list[Any] = [instants[k:]]
    for name, column in sorted(track.columns.items()):
        values = [] if column.values is None else state[column.values][k:]
        totals = []
        for slot in (column.n, column.s, column.q):
            if slot is not None:
                base = 0 if track.is_for_ever else state[slot][k]
                totals.append([total - base for total in state[slot][k:]])
        made.append([name, values, totals])
    if track.is_for_ever:
        made += [state[track.gone] + k, state[track.first]]
        for window in track.windows.values():
            if window.length is None:
                made += _for_ever(state, window.distinct, window.low, window.high, window.last)
    return made


def _for_ever(state: State, *slots: Mapping[str, int]) -> list[Any]:
    made: list[Any] = []
    for each in slots:
        for name, slot in sorted(each.items()):
            held = state[slot]
            made.append([name, sorted(held.items(), key=repr) if isinstance(held, dict) else held])
    return made


def noted(held: Noted, keep_from: int | None) -> dict[tuple[str, str], Any]:
    """Return which entities labelled events belong to; with an instant those from it on, sorted."""
    if keep_from is None:
        return dict(held)
    return {key: held[key] for key in sorted(held) if held[key][0] >= keep_from}


def digest(known: dict[str, Any]) -> str:
    """Return the SHA-256 of a state in canonical form."""
    return sha256(repr(known).encode()).hexdigest()
