"""Where the state of an entity lies: one flat list of slots, planned from the definitions.

Features that look at the same events (kinds and conditions) share one track: a list of instants in
order, beside it running totals per field, and one pair of pointers per window. The plan says which
slot holds what; it holds no state itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from steelyard.features.model.checking import check_feature, looks_at_label
from steelyard.features.model.definition import Aggregate, Feature, Where
from steelyard.features.model.event import EventKind

POSITION = 0
"""Slot of the instant up to which the pointers of the entity may have moved."""
LONG_AGO = -(1 << 62)
FIRST_TRIM = 48
"""A track looks for what can go when it is this long."""


class Slot(Enum):
    """What a slot holds."""

    POSITION = auto()
    LIST = auto()
    TOTALS = auto()
    """Running totals: one more than there are events, the first is of what is gone."""
    ZERO = auto()
    LIMIT = auto()
    NONE = auto()
    DICT = auto()
    DEQUE = auto()
    TOLD = auto()
    """`ToldWindows`, None until there is something to keep."""


@dataclass(slots=True)
class Column:
    """Slots of a field of a track: totals of n, s, q and the values, as far as they are used."""

    n: int | None = None
    s: int | None = None
    q: int | None = None
    values: int | None = None

    @property
    def totals(self) -> tuple[int | None, int | None, int | None]:
        """Slots of the totals of n, s, q."""
        return self.n, self.s, self.q


@dataclass(slots=True)
class Window:
    """A window on a track.

    Attributes
    ----------
    length : milliseconds, None for ever
    head, tail : slots of the first event inside and of the first that has not come in yet; no head
        without a length, no tail without a delay
    distinct : by field, slot of value -> how often (with a length) or -> first instant (for ever)
    low, high : by field, slot of a deque of (instant, value) (with a length), or of the value
    last : by field, slot of (instant, value)
    """

    length: int | None
    delay: int
    head: int | None = None
    tail: int | None = None
    distinct: dict[str, int] = field(default_factory=dict)
    low: dict[str, int] = field(default_factory=dict)
    high: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def holds(self, name: str) -> bool:
        """Whether it keeps something of its own about the values of a field."""
        return any(name in held for held in (self.distinct, self.low, self.high, self.last))


@dataclass(slots=True)
class Track:
    """Events that some features look at alike.

    Attributes
    ----------
    instants : slot of the list of instants, in order
    gone : slot of how many were dropped from its head
    limit : slot of the length at which to look for what can be dropped
    first : slot of the first instant ever
    kept : by field, slot of what was dropped: (lowest, highest, last value) as far as seen
    span : the longest that any window reaches back
    """

    kinds: frozenset[str]
    where: tuple[Where, ...]
    instants: int
    gone: int
    limit: int
    first: int
    columns: dict[str, Column] = field(default_factory=dict)
    windows: dict[tuple[int | None, int], Window] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    span: int = 0

    @property
    def held(self) -> dict[int, Slot]:
        """The slots of what grows with its events; shared empty things until there is one."""
        found = {self.instants: Slot.LIST}
        for column in self.columns.values():
            found |= {slot: Slot.TOTALS for slot in column.totals if slot is not None}
            if column.values is not None:
                found[column.values] = Slot.LIST
        for window in self.windows.values():
            found |= dict.fromkeys(window.distinct.values(), Slot.DICT)
            if window.length is not None:
                found |= dict.fromkeys((*window.low.values(), *window.high.values()), Slot.DEQUE)
        return found

    @property
    def is_for_ever(self) -> bool:
        """Whether some window has no length, so that the track never vanishes."""
        return any(window.length is None for window in self.windows.values())


@dataclass(slots=True)
class ToldTrack:
    """Events whose labels some features look at; `aggregated` is the field, if any.

    `soonest` is how long after an event it comes into the first of the windows.
    """

    kinds: frozenset[str]
    where: tuple[Where, ...]
    aggregated: str | None
    slot: int
    labels: frozenset[str]
    windows: list[tuple[int, int]] = field(default_factory=list)
    span: int = 0
    soonest: int = 0

    @property
    def is_told_only(self) -> bool:
        """Whether labels alone decide what an event contributes: none of its own fields do."""
        fields = {where.field for where in self.where}
        return fields | ({self.aggregated} - {None}) <= self.labels


@dataclass(frozen=True, slots=True)
class Ask:
    """A feature and where its answer is found."""

    feature: Feature
    track: Track | None
    told: ToldTrack | None
    window: Window | None

    @property
    def nth(self) -> int:
        """Place of the window among those of a told track."""
        assert self.told is not None
        window = self.feature.window_ms
        assert window is not None, "a label is looked at in a window"
        return self.told.windows.index((window, self.feature.delay_ms))


@dataclass(slots=True)
class EntityLayout:
    """The slots of one entity and the features found there, ratios not among them."""

    entity: str
    slots: list[Slot] = field(default_factory=lambda: [Slot.POSITION])
    tracks: list[Track] = field(default_factory=list)
    told: list[ToldTrack] = field(default_factory=list)
    asks: dict[str, Ask] = field(default_factory=dict)
    told_at: dict[int, ToldTrack] = field(default_factory=dict)

    def slot(self, holds: Slot) -> int:
        """Take the next slot."""
        self.slots.append(holds)
        return len(self.slots) - 1

    @property
    def is_for_ever(self) -> bool:
        """Whether the entity is remembered for ever."""
        return any(track.is_for_ever for track in self.tracks)

    def add(self, feature: Feature, kinds: Mapping[str, EventKind]) -> None:
        """Make room for a feature."""
        if looks_at_label(feature, kinds):
            told = self._told(feature, kinds)
            self.asks[feature.name] = Ask(feature, None, told, None)
            return
        track = self._track(feature)
        window = self._window(track, feature)
        self._aggregate(track, window, feature)
        self.asks[feature.name] = Ask(feature, track, None, window)

    def _told(self, feature: Feature, kinds: Mapping[str, EventKind]) -> ToldTrack:
        key = (frozenset(feature.kinds), feature.where, feature.field)
        for told in self.told:
            if (told.kinds, told.where, told.aggregated) == key:
                break
        else:
            used = {feature.field, *(where.field for where in feature.where)}
            labels = frozenset(x for kind in feature.kinds for x in kinds[kind].labels if x in used)
            told = ToldTrack(*key, self.slot(Slot.TOLD), labels)
            self.told.append(told)
            self.told_at[told.slot] = told
        assert feature.window_ms is not None, "checked"
        window = (feature.window_ms, feature.delay_ms)
        if window not in told.windows:
            told.windows.append(window)
        told.span = max(told.span, sum(window))
        told.soonest = min(delay for _, delay in told.windows)
        return told

    def _track(self, feature: Feature) -> Track:
        key = (frozenset(feature.kinds), feature.where)
        for track in self.tracks:
            if (track.kinds, track.where) == key:
                return track
        track = Track(
            *key,
            instants=self.slot(Slot.LIST),
            gone=self.slot(Slot.ZERO),
            limit=self.slot(Slot.LIMIT),
            first=self.slot(Slot.NONE),
        )
        self.tracks.append(track)
        return track

    def _window(self, track: Track, feature: Feature) -> Window:
        key = (feature.window_ms, feature.delay_ms)
        window = track.windows.get(key)
        if window is None:
            window = track.windows[key] = Window(*key)
            if window.length is not None:
                window.head = self.slot(Slot.ZERO)
            if window.delay:
                window.tail = self.slot(Slot.ZERO)
            track.span = max(track.span, (window.length or 0) + window.delay)
        return window

    def _aggregate(self, track: Track, window: Window, feature: Feature) -> None:
        name, aggregate = feature.field, feature.aggregate
        if name is None:
            return
        column = track.columns.setdefault(name, Column())
        if aggregate in {Aggregate.MEAN, Aggregate.STD, Aggregate.ZSCORE} and column.n is None:
            column.n = self.slot(Slot.TOTALS)
        added = {Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.ZSCORE}
        if aggregate in added and column.s is None:
            column.s = self.slot(Slot.TOTALS)
        if aggregate in {Aggregate.STD, Aggregate.ZSCORE} and column.q is None:
            column.q = self.slot(Slot.TOTALS)
        places = {
            Aggregate.DISTINCT: window.distinct,
            Aggregate.MIN: window.low,
            Aggregate.MAX: window.high,
            Aggregate.LAST: window.last,
        }
        if aggregate not in places:
            return
        if column.values is None:
            column.values = self.slot(Slot.LIST)
        if name in places[aggregate]:
            return
        is_deque = aggregate in {Aggregate.MIN, Aggregate.MAX} and window.length is not None
        holds = Slot.DEQUE if is_deque else Slot.NONE
        places[aggregate][name] = self.slot(Slot.DICT if aggregate is Aggregate.DISTINCT else holds)
        is_kept = window.length is None and aggregate is not Aggregate.DISTINCT
        if is_kept and name not in track.kept:
            track.kept[name] = self.slot(Slot.NONE)


def plan(
    features: Iterable[Feature], kinds: Mapping[str, EventKind]
) -> tuple[dict[str, Feature], dict[str, EntityLayout]]:
    """Return the features by name, every part of a ratio among them, and the slots by entity.

    Raises
    ------
    ValueError
        A definition does not hold to `check_feature`.
    """
    by_name = {feature.name: feature for feature in features}
    layouts: dict[str, EntityLayout] = {}
    for feature in by_name.values():
        check_feature(feature, by_name, kinds)
        layout = layouts.setdefault(feature.entity, EntityLayout(feature.entity))
        if feature.parts is None:
            layout.add(feature, kinds)
    return by_name, layouts
