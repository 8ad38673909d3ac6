"""The profile of an entity: every feature with its freshness, now or at any past instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from steelyard.features.catalogue import CATALOGUE, KINDS
from steelyard.features.model.definition import Feature
from steelyard.features.model.event import Event, EventKind, Label
from steelyard.features.model.profile import replayed
from steelyard.features.model.refusals import EntityIsUnknown
from steelyard.features.model.window import Number

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class History(Protocol):
    """Who keeps what was folded; the room above that owns the state implements it."""

    def of(self, entity: str, value: str) -> Iterable[Event | Label]:
        """Return what was folded of an entity and its labels, in the order of sequence."""
        ...


@dataclass(frozen=True, slots=True)
class ProfiledFeature:
    """A feature of a profile.

    Attributes
    ----------
    value : None is missing
    fresh_at : instant of the latest event that it looks at; None if there is none
    """

    feature: Feature
    value: Number
    fresh_at: datetime | None


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known about an entity as of an instant, in the order of the catalogue."""

    entity: str
    value: str
    at: datetime
    features: tuple[ProfiledFeature, ...]


def profile(
    history: History,
    entity: str,
    value: str,
    at: datetime,
    *,
    catalogue: Mapping[str, Feature] = CATALOGUE,
    kinds: Mapping[str, EventKind] = KINDS,
) -> Profile:
    """Return every feature of an entity as of an instant, recomputed from its events.

    What came late counts at the instant where it belongs, and a label from the instant for which it
    was told. An entity that nothing happened to has counts of zero, and the rest missing.

    Refusals
    --------
    entity_is_unknown
    """
    mine = [feature for feature in catalogue.values() if feature.entity == entity]
    if not mine:
        raise EntityIsUnknown(entity=entity)
    at_ms = (at - _EPOCH) // timedelta(milliseconds=1)
    read = replayed(mine, kinds, history.of(entity, value), entity=entity, at_ms=at_ms)
    features = tuple(
        ProfiledFeature(feature, read[feature.name].value, _instant(read[feature.name].fresh_at_ms))
        for feature in mine
    )
    return Profile(entity, value, at, features)


def _instant(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else _EPOCH + timedelta(milliseconds=at_ms)
