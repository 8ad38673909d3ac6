"""What is known about one entity as of an instant, without an event asking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from steelyard.features.model import formula
from steelyard.features.model.definition import Feature
from steelyard.features.model.event import Event, EventKind, Label
from steelyard.features.model.layout import EntityLayout, plan
from steelyard.features.model.window import Number, State, ask, empty, insert, latest


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
        if event.kind in told.kinds:
            state[told.slot].insert((event.kind, event.id), event.at_ms, event.fields)


def tell(layout: EntityLayout, state: State, label: Label) -> None:
    """Let what is known about an entity hear a label."""
    for told in layout.told:
        if label.kind in told.kinds and label.field in told.labels:
            what = (label.field, int(label.value))
            key = (label.kind, label.id)
            state[told.slot].tell(key, label.at_ms, label.sequence, what)


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
    state = empty(layout)
    for each in history:
        if each.at_ms > at_ms:
            continue
        if isinstance(each, Label):
            tell(layout, state, each)
        else:
            place(layout, state, each)
    return readings(layout, by_name, state, at_ms)


def _number(value: Number) -> float | None:
    assert not isinstance(value, str), "checked: a part is a number"
    return value
