"""What is done to the state of one entity when it is not the common case.

The common case, an event that comes in order, runs in generated code (`source`). Here an event is
put in its place among later ones, a window is asked as of an earlier instant, and what no answer
can look at any more is dropped. A state is a flat list, planned by `layout`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from steelyard.features.model import formula
from steelyard.features.model.definition import Aggregate
from steelyard.features.model.event import Value
from steelyard.features.model.layout import (
    FIRST_TRIM,
    LONG_AGO,
    POSITION,
    Ask,
    Column,
    EntityLayout,
    Slot,
    Track,
    Window,
)
from steelyard.features.model.told import ToldWindows, fits

State = list[Any]
Number = int | float | str | bool | None
_NOTHING = (None, None, None)
CLOSED: Mapping[Slot, Any] = {
    Slot.LIST: (),
    Slot.TOTALS: (0,),
    Slot.DICT: MappingProxyType({}),
    Slot.DEQUE: (),
}
"""What a track without events holds: one for all, so that what never happened takes no memory."""
OPENED: Mapping[Slot, Callable[[], Any]] = {
    Slot.LIST: list,
    Slot.TOTALS: lambda: [0],
    Slot.DICT: dict,
    Slot.DEQUE: deque,
}
"""What it holds from the first event on."""


def insert(state: State, track: Track, at_ms: int, fields: Mapping[str, Value]) -> None:
    """Put an event in its place in a track, if it fits; windows stay true to their pointers.

    An event on the border of a window's pointers counts as inside its head and before its tail:
    the next reading moves it on, if it belongs there.
    """
    for where in track.where:
        if not fits(where, fields.get(where.field)):
            return
    if not state[track.instants]:
        for slot, holds in track.held.items():
            state[slot] = OPENED[holds]()
    instants = state[track.instants]
    i = bisect_right(instants, at_ms)
    instants.insert(i, at_ms)
    if state[track.first] is None or at_ms < state[track.first]:
        state[track.first] = at_ms
    for name, column in track.columns.items():
        _insert_value(state, column, i, fields.get(name))
    for window in track.windows.values():
        if window.head is not None and i < state[window.head]:
            state[window.head] += 1
            if window.tail is not None:
                state[window.tail] += 1
        elif window.tail is None:
            enter(state, track, window, i)
        elif i < state[window.tail]:
            state[window.tail] += 1
            enter(state, track, window, i)


def _insert_value(state: State, column: Column, i: int, value: Value) -> None:
    if column.values is not None:
        state[column.values].insert(i, value)
    x = value if isinstance(value, int) else 0
    for slot, step in ((column.n, int(value is not None)), (column.s, int(x)), (column.q, x * x)):
        if slot is not None:
            totals = state[slot]
            totals.insert(i + 1, totals[i])
            if step:
                for j in range(i + 1, len(totals)):
                    totals[j] += step


def enter(state: State, track: Track, window: Window, i: int) -> None:
    """Take the event at a place into a window, wherever it stands among those inside."""
    at_ms = state[track.instants][i]
    for name, slot in window.distinct.items():
        value = _value(state, track, name, i)
        if value is not None:
            seen = state[slot]
            if window.length is None:
                seen[value] = min(seen.get(value, at_ms), at_ms)
            else:
                seen[value] = seen.get(value, 0) + 1
    for name, slot in window.last.items():
        value = _value(state, track, name, i)
        if value is not None and (state[slot] is None or at_ms >= state[slot][0]):
            state[slot] = (at_ms, value)
    for sign, slots in ((1, window.low), (-1, window.high)):
        for name, slot in slots.items():
            _enter_extreme(state, track, window, (name, i, slot, sign))


def _enter_extreme(
    state: State, track: Track, window: Window, place: tuple[str, int, int, int]
) -> None:
    name, i, slot, sign = place
    value = _value(state, track, name, i)
    if value is None:
        return
    if window.length is None:
        best = state[slot]
        if best is None or sign * value < sign * best:
            state[slot] = value
        return
    line = state[slot]
    at_ms = state[track.instants][i]
    later: list[tuple[int, int]] = []
    while line and line[-1][0] > at_ms:
        later.append(line.pop())
    # A later value that is at least as extreme hides this one; else this one hides weaker ones.
    if not (later and sign * later[-1][1] <= sign * value):
        while line and sign * line[-1][1] >= sign * value:
            line.pop()
        line.append((at_ms, value))
    line.extend(reversed(later))


def _value(state: State, track: Track, name: str, i: int) -> Any:
    slot = track.columns[name].values
    assert slot is not None, "planned with the window"
    return state[slot][i]


def advance(state: State, track: Track, window: Window, at_ms: int) -> None:
    """Move a window on to an instant, which is not before the position of the entity."""
    instants = state[track.instants]
    end = at_ms - window.delay
    tail = len(instants)
    if window.tail is not None:
        i = state[window.tail]
        while i < tail and instants[i] <= end:
            enter(state, track, window, i)
            i += 1
        tail = state[window.tail] = i
    if window.length is None or window.head is None:
        return
    begin = end - window.length
    head = state[window.head]
    while head < tail and instants[head] < begin:
        for name, slot in window.distinct.items():
            value = _value(state, track, name, head)
            if value is not None:
                seen = state[slot]
                seen[value] -= 1
                if not seen[value]:
                    del seen[value]
        head += 1
    state[window.head] = head
    for slot in (*window.low.values(), *window.high.values()):
        line = state[slot]
        while line and line[0][0] < begin:
            line.popleft()


def trim(state: State, track: Track, keep_from: int) -> None:
    """Drop what lies before an instant that no answer looks at any more.

    The windows have been moved on to an instant that is later by at least their span. Of a track
    that is remembered for ever, totals, first and last, extremes and different values stay.
    """
    instants = state[track.instants]
    k = bisect_left(instants, keep_from)
    if track.is_for_ever:
        k -= 1
    if k > 0:
        for name, slot in track.kept.items():
            state[slot] = _kept(state, track, name, k)
        for window in track.windows.values():
            for pointer in (window.head, window.tail):
                if pointer is not None:
                    assert state[pointer] >= k, "windows were moved on"
                    state[pointer] -= k
        for column in track.columns.values():
            for place in (column.n, column.s, column.q, column.values):
                if place is not None:
                    del state[place][:k]
        del instants[:k]
        state[track.gone] += k
    state[track.limit] = max(FIRST_TRIM, 2 * len(instants))


def _kept(state: State, track: Track, name: str, k: int) -> tuple[Any, Any, Any]:
    """Return (lowest, highest, last) of the first k values and of those dropped before them."""
    low, high, last = state[track.kept[name]] or _NOTHING
    slot = track.columns[name].values
    assert slot is not None, "planned with the window"
    values = [value for value in state[slot][:k] if value is not None]
    if not values:
        return low, high, last
    last = values[-1]
    if isinstance(last, int):
        low = min(values) if low is None else min(low, *values)
        high = max(values) if high is None else max(high, *values)
    return low, high, last


def ask(state: State, ask_: Ask, at_ms: int, own: Value) -> Number:
    """Return a feature as of an instant, by what stands in the state, without moving anything.

    `own` is the aggregated field of the event asked at, for a z-score.
    """
    if ask_.told is not None:
        return _ask_told(state, ask_, at_ms, own)
    track, window, aggregate = ask_.track, ask_.window, ask_.feature.aggregate
    assert track is not None, "either a track or a told one"
    assert window is not None, "a track comes with a window"
    instants = state[track.instants]
    end = at_ms - window.delay
    tail = bisect_right(instants, end)
    head = 0 if window.length is None else bisect_left(instants, end - window.length)
    if aggregate is Aggregate.COUNT:
        return int(tail - head + (state[track.gone] if window.length is None else 0))
    if aggregate is Aggregate.TIME_SINCE:
        return int(at_ms - instants[tail - 1]) if tail > head else None
    if aggregate is Aggregate.FIRST_SEEN:
        if window.length is not None:
            return int(at_ms - instants[head]) if tail > head else None
        first = state[track.first]
        return int(at_ms - first) if first is not None and first <= end else None
    name = ask_.feature.field
    assert name is not None, "every other aggregate has a field"
    if aggregate in {Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.ZSCORE}:
        column = track.columns[name]
        n, s, q = (
            0
            if slot is None
            else state[slot][tail] - (0 if window.head is None else state[slot][head])
            for slot in (column.n, column.s, column.q)
        )
        return total(aggregate, (n, s, q), own)
    return _ask_values(state, ask_, (head, tail), end)


def total(aggregate: Aggregate, sums: tuple[int, int, int], own: Value) -> Number:
    """Return what an aggregate makes of n, s, q by the shared formulas."""
    n, s, q = sums
    if aggregate is Aggregate.COUNT:
        return n
    if aggregate is Aggregate.SUM:
        return s
    if aggregate is Aggregate.MEAN:
        return formula.mean(n, s)
    if aggregate is Aggregate.STD:
        return formula.standard_deviation(n, s, q)
    assert aggregate is Aggregate.ZSCORE, "no other is made of sums"
    return formula.z_score(own, n, s, q) if isinstance(own, int) else None


def _ask_values(state: State, ask_: Ask, place: tuple[int, int], end: int) -> Number:
    track, window, aggregate = ask_.track, ask_.window, ask_.feature.aggregate
    name = ask_.feature.field
    assert track is not None
    assert window is not None
    assert name is not None
    slot = track.columns[name].values
    assert slot is not None, "planned with the window"
    if aggregate is Aggregate.DISTINCT and window.length is None:
        entered = {value for value, first in state[window.distinct[name]].items() if first <= end}
        # Those on the border that the next reading in order would take in.
        border = [] if window.tail is None else state[slot][state[window.tail] : place[1]]
        return len(entered.union(value for value in border if value is not None))
    values = [value for value in state[slot][slice(*place)] if value is not None]
    if aggregate is Aggregate.DISTINCT:
        return len(set(values))
    low, high, last = _NOTHING
    if window.length is None:
        low, high, last = state[track.kept[name]] or _NOTHING
    return extreme(aggregate, values, (low, high, last))


def extreme(aggregate: Aggregate, values: list[Any], kept: tuple[Any, Any, Any]) -> Number:
    """Return the lowest, highest or last of the values and of what was kept of older ones."""
    low, high, last = kept
    made: Number
    if aggregate is Aggregate.LAST:
        made = values[-1] if values else last
    elif aggregate is Aggregate.MIN:
        made = min((*values, *([] if low is None else [low])), default=None)
    else:
        made = max((*values, *([] if high is None else [high])), default=None)
    return made


def _ask_told(state: State, ask_: Ask, at_ms: int, own: Value) -> Number:
    feature, told = ask_.feature, ask_.told
    assert told is not None
    assert feature.window_ms is not None, "a label is looked at in a window"
    end = at_ms - feature.delay_ms
    windows: ToldWindows | None = state[told.slot]
    inside = [] if windows is None else windows.within(end - feature.window_ms, end, at_ms)
    aggregate = feature.aggregate
    if aggregate is Aggregate.TIME_SINCE:
        return at_ms - inside[-1][0] if inside else None
    if aggregate is Aggregate.FIRST_SEEN:
        return at_ms - inside[0][0] if inside else None
    values = [value for _, value in inside]
    if aggregate is Aggregate.DISTINCT:
        return len(set(values))
    if aggregate in {Aggregate.MIN, Aggregate.MAX, Aggregate.LAST}:
        return extreme(aggregate, values, _NOTHING)
    numbers = [int(value) for value in values if isinstance(value, int)]
    return total(aggregate, (len(inside), sum(numbers), sum(x * x for x in numbers)), own)


def tidy(state: State, layout: EntityLayout, oldest: int) -> None:
    """Drop what no answer looks at any more.

    `oldest` is the earliest instant that an event may still come with.
    """
    position = state[POSITION] = max(state[POSITION], oldest)
    for track in layout.tracks:
        instants, keep_from = state[track.instants], oldest - track.span
        if instants and instants[0] < keep_from:
            for window in track.windows.values():
                advance(state, track, window, position)
            trim(state, track, keep_from)
        else:
            state[track.limit] = max(FIRST_TRIM, 2 * len(instants))
    for told in layout.told:
        windows = state[told.slot]
        if windows is not None:
            windows.advance(position)
            windows.trim(oldest - told.span)


def latest(state: State, ask_: Ask, at_ms: int) -> int | None:
    """Return the instant of the latest event that a feature looks at, as of an instant."""
    feature = ask_.feature
    end = at_ms - feature.delay_ms
    begin = LONG_AGO if feature.window_ms is None else end - feature.window_ms
    if ask_.told is not None:
        windows: ToldWindows | None = state[ask_.told.slot]
        inside = [] if windows is None else windows.within(begin, end, at_ms)
        return inside[-1][0] if inside else None
    assert ask_.track is not None
    instants = state[ask_.track.instants]
    tail = bisect_right(instants, end)
    return instants[tail - 1] if tail and instants[tail - 1] >= begin else None
