"""What is known about one entity as of an instant, without an event asking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from steelyard.features.model import formula
from steelyard.features.model.definition import Feature
from steelyard.features.model.event import Event, EventKind, Label
from steelyard.features.model.layout import EntityLayout, ToldTrack, plan
from steelyard.features.model.told import Key, Place, ToldWindows
from steelyard.features.model.upkeep import generate_empty
from steelyard.features.model.window import Number, State, ask, insert, latest


class Reading(NamedTuple):
    """A feature of an entity as of an instant.

    Attributes
    ----------
    fresh_at_ms : instant of the latest event it looks at; None if there is none
    """

    value: Number
    fresh_at_ms: int | None


def place(layout: EntityLayout, state: State, event: Event) -> None:
    """Put an event in its place among what is known about an entity."""
    for track in layout.tracks:
        if event.kind in track.kinds:
            insert(state, track, event.at_ms, event.fields)
    for told in layout.told:
        if event.kind in told.kinds and not told.is_told_only:
            where = (event.at_ms, event.sequence)
            _windows(state, told).insert((event.kind, event.id), where, event.fields)


def hears(layout: EntityLayout, label: Label) -> bool:
    """Whether a feature of an entity looks at the label."""
    return any(label.kind in one.kinds and label.field in one.labels for one in layout.told)


def tell(layout: EntityLayout, state: State, label: Label, about: Place) -> None:
    """Let what is known about an entity hear a label of an event of this instant and sequence."""
    for told in layout.told:
        if label.kind in told.kinds and label.field in told.labels:
            _windows(state, told).tell(label, about)


def _windows(state: State, told: ToldTrack) -> ToldWindows:
    made: ToldWindows | None = state[told.slot]
    if made is None:
        made = state[told.slot] = ToldWindows(told)
    return made


def readings(
    layout: EntityLayout, features: Mapping[str, Feature], state: State, at_ms: int
) -> dict[str, Reading]:
    """Return every feature of an entity by name; a z-score is missing without an own value."""
    made: dict[str, Reading] = {}
    for name, ask_ in layout.asks.items():
        made[name] = Reading(ask(state, ask_, at_ms, None), latest(state, ask_, at_ms))
    for name, feature in features.items():
        if feature.parts is not None and feature.entity == layout.entity:
            first, second = (made[part] for part in feature.parts)
            value = formula.ratio(_number(first.value), _number(second.value))
            fresh = [x.fresh_at_ms for x in (first, second) if x.fresh_at_ms is not None]
            made[name] = Reading(value, max(fresh, default=None))
    return made


def replayed(
    features: Iterable[Feature],
    kinds: Mapping[str, EventKind],
    history: Iterable[Event | Label],
    *,
    entity: str,
    at_ms: int,
) -> dict[str, Reading]:
    """Return every feature of an entity as of any instant, from its whole history.

    Parameters
    ----------
    features : of all entities or of this one, the parts of ratios among them
    history : what was folded of the entity and the labels of it, in the order of sequence
    at_ms : asked at it; what came late counts where it belongs
    """
    by_name, layouts = plan((f for f in features if f.entity == entity), kinds)
    layout = layouts[entity]
    state = generate_empty(layout)()
    places: dict[Key, Place] = {}
    for each in history:
        if each.at_ms > at_ms:
            continue
        if isinstance(each, Label):
            about = places.get((each.kind, each.id))
            if about is not None:
                tell(layout, state, each, about)
        else:
            places[each.kind, each.id] = (each.at_ms, each.sequence)
            place(layout, state, each)
    return readings(layout, by_name, state, at_ms)


def _number(value: Number) -> float | None:
    assert not isinstance(value, str), "checked: a part is a number"
    return value
