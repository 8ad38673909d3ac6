"""Windows over labels: events whose contribution changes when something is told about them.

What nothing was told about contributes nothing. So where labels alone decide, an event is put in
its place by the first label of it, and an entity of which nothing was ever told has no windows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from steelyard.features.model.definition import Compare, Where
from steelyard.features.model.event import Label, Value
from steelyard.features.model.layout import FIRST_TRIM, LONG_AGO, ToldTrack

Key = tuple[str, str]
"""Kind and id of an event."""
Place = tuple[int, int]
"""Instant and sequence of an event."""
_NEVER = 1 << 62


def fits(where: Where, value: Value) -> bool:
    """Whether a value fits a condition; a missing one never does."""
    if value is None:
        return False
    if where.compare is Compare.IS:
        return value == where.value
    if where.compare is Compare.IS_NOT:
        return value != where.value
    assert isinstance(value, int), "checked: only integers have an order"
    assert isinstance(where.value, int), "checked"
    return value >= where.value if where.compare is Compare.AT_LEAST else value < where.value


class Mention:
    """An event that something was or may be told about.

    Attributes
    ----------
    sequence : of the event, which breaks ties of the instant
    value : of the aggregated field, if that is not a label
    history : (instant, sequence, field, value) of what was told, in this order
    counted : what it contributes as of the position of its track; None for nothing
    """

    __slots__ = ("at_ms", "counted", "history", "key", "sequence", "value")

    def __init__(self, key: Key, at_ms: int, sequence: int, value: Value = None) -> None:
        self.key = key
        self.at_ms = at_ms
        self.sequence = sequence
        self.value = value
        self.history: Sequence[tuple[int, int, str, int]] = ()
        self.counted: Value = None


class ToldWindows:
    """The state of one told track of one entity.

    `windows` holds, per window of the plan, [head, tail, n, s, q] as of `position`; contributions
    of labels told for a later instant wait in `pending`. Up to `due`, itself left out, nothing in
    them changes: who asks before it need not advance them.
    """

    __slots__ = (
        "by_key",
        "due",
        "instants",
        "limit",
        "mentions",
        "pending",
        "plan",
        "position",
        "windows",
    )

    def __init__(self, plan: ToldTrack) -> None:
        self.plan = plan
        self.position = LONG_AGO
        self.due = _NEVER
        self.limit = FIRST_TRIM
        self.instants: list[int] = []
        self.mentions: list[Mention] = []
        self.by_key: dict[Key, Mention] = {}
        self.pending: list[tuple[int, int, Key]] = []
        self.windows = [[0, 0, 0, 0, 0] for _ in plan.windows]

    def contribution(self, mention: Mention, at_ms: int) -> Value:
        """Return what an event contributes as of an instant; None for nothing."""
        told: dict[str, int] = {}
        for told_ms, _, name, value in mention.history:
            if told_ms > at_ms:
                break
            told[name] = value
        plan = self.plan
        for where in plan.where:
            if where.field in plan.labels and not fits(where, told.get(where.field)):
                return None
        if plan.aggregated is None:
            return 1
        return told.get(plan.aggregated) if plan.aggregated in plan.labels else mention.value

    def insert(self, key: Key, place: Place, fields: Mapping[str, Value]) -> bool:
        """Put an event in its place, if it fits the conditions that are known at once.

        True says that it is time to look for what can be dropped.
        """
        plan = self.plan
        for where in plan.where:
            if where.field not in plan.labels and not fits(where, fields.get(where.field)):
                return False
        value = None
        if plan.aggregated is not None and plan.aggregated not in plan.labels:
            value = fields.get(plan.aggregated)
        self._place(Mention(key, *place, value))
        return len(self.instants) > self.limit

    def _place(self, mention: Mention) -> None:
        """Put in an event that contributes nothing yet, so that only places shift."""
        at_ms, instants, mentions = mention.at_ms, self.instants, self.mentions
        self.by_key[mention.key] = mention
        self.due = min(self.due, at_ms + self.plan.soonest)
        i = bisect_right(instants, at_ms)
        while i and instants[i - 1] == at_ms and mentions[i - 1].sequence > mention.sequence:
            i -= 1
        instants.insert(i, at_ms)
        mentions.insert(i, mention)
        for window in self.windows:
            if i < window[0]:
                window[0] += 1
            if i < window[1]:
                window[1] += 1

    def tell(self, label: Label, place: Place) -> None:
        """Take a label of an event, whose instant and sequence are `place`."""
        key = (label.kind, label.id)
        mention = self.by_key.get(key)
        if mention is None:
            if not self.plan.is_told_only:
                return
            mention = Mention(key, *place)
            self._place(mention)
        entry = (label.at_ms, label.sequence, label.field, int(label.value))
        mention.history = sorted((*mention.history, entry))
        if label.at_ms <= self.position:
            self._recount(mention, self.position)
        else:
            heappush(self.pending, (label.at_ms, label.sequence, key))
            self.due = min(self.due, label.at_ms)

    def _recount(self, mention: Mention, at_ms: int) -> None:
        now = self.contribution(mention, at_ms)
        before = mention.counted
        if now == before:
            return
        mention.counted = now
        i = bisect_left(self.instants, mention.at_ms)
        while self.mentions[i] is not mention:
            i += 1
        for window in self.windows:
            if window[0] <= i < window[1]:
                if before is not None:
                    _add(window, before, -1)
                if now is not None:
                    _add(window, now, 1)

    def advance(self, at_ms: int) -> None:
        """Move every window on to an instant, which is not before the position."""
        while self.pending and self.pending[0][0] <= at_ms:
            mention = self.by_key.get(heappop(self.pending)[2])
            if mention is not None:
                self._recount(mention, at_ms)
        self.position = at_ms
        instants, mentions = self.instants, self.mentions
        n = len(instants)
        due = self.pending[0][0] if self.pending else _NEVER
        for (length, delay), window in zip(self.plan.windows, self.windows, strict=True):
            end = at_ms - delay
            head, tail = window[0], window[1]
            while tail < n and instants[tail] <= end:
                if (counted := mentions[tail].counted) is not None:
                    _add(window, counted, 1)
                tail += 1
            begin = end - length
            while head < tail and instants[head] < begin:
                if (counted := mentions[head].counted) is not None:
                    _add(window, counted, -1)
                head += 1
            window[0], window[1] = head, tail
            # An event comes in when it is `delay` old, and goes one millisecond behind the window.
            if tail < n and instants[tail] + delay < due:
                due = instants[tail] + delay
            if head < tail and instants[head] + delay + length < due:
                due = instants[head] + delay + length + 1
        self.due = due

    def within(self, begin: int, end: int, at_ms: int) -> list[tuple[int, Value]]:
        """Return (instant, contribution) of what counts in [begin, end], as of an instant."""
        low, high = bisect_left(self.instants, begin), bisect_right(self.instants, end)
        counted = ((m.at_ms, self.contribution(m, at_ms)) for m in self.mentions[low:high])
        return [(at, value) for at, value in counted if value is not None]

    def trim(self, keep_from: int) -> None:
        """Drop events before an instant that no answer looks at any more."""
        k = bisect_left(self.instants, keep_from)
        self.limit = max(FIRST_TRIM, 2 * (len(self.instants) - k))
        if not k:
            return
        assert all(k <= window[0] for window in self.windows), "windows were moved on"
        for mention in self.mentions[:k]:
            del self.by_key[mention.key]
        del self.instants[:k], self.mentions[:k]
        for window in self.windows:
            window[0] -= k
            window[1] -= k

    def dump(self, keep_from: int | None = None) -> list[Any]:
        """Return what there is to know, from an instant on, as plain values."""
        k = 0 if keep_from is None else bisect_left(self.instants, keep_from)
        return [[*m.key, m.at_ms, m.sequence, m.value, list(m.history)] for m in self.mentions[k:]]

    @classmethod
    def load(cls, plan: ToldTrack, dumped: list[Any]) -> ToldWindows:
        """Return the windows as dumped, at no position yet."""
        made = cls(plan)
        for kind, id_, at_ms, sequence, value, history in dumped:
            mention = Mention((kind, id_), at_ms, sequence, value)
            mention.history = [tuple(entry) for entry in history]
            made.instants.append(at_ms)
            made.mentions.append(mention)
            made.by_key[mention.key] = mention
            made.pending += [(told_ms, s, mention.key) for told_ms, s, _, _ in mention.history]
            made.due = LONG_AGO
        heapify(made.pending)
        return made


def _add(window: list[int], value: Value, sign: int) -> None:
    window[2] += sign
    if isinstance(value, int):
        window[3] += sign * value
        window[4] += sign * value * value
