"""What the engines fold: an event with its instant, its place in the order, and its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

Value = int | str | bool | None
"""A field of an event. Money is an int of minor units; None is missing, and never zero."""


class FieldType(StrEnum):
    """What a field of an event holds; there is no float, so that every aggregate is exact."""

    TEXT = "text"
    INTEGER = "integer"
    FLAG = "flag"


class Event(NamedTuple):
    """Something that happened to entities.

    Attributes
    ----------
    kind : an `EventKind` by name
    id : unique in its kind; a label names the event it is about by it
    at_ms : event time, milliseconds since 1970; with `sequence` the place in the order of all
    sequence : order of arrival (`fold_seq`), which breaks ties of the instant; unique and rising
    fields : by name; a name that the kind does not have is refused at the edge
    """

    kind: str
    id: str
    at_ms: int
    sequence: int
    fields: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class EventKind:
    """The schema of a kind of event.

    Attributes
    ----------
    name : `payment`, `log_in`, ...
    fields : type of each field, labels included; those named in `entities` key the state
    entities : text fields that name an entity (`customer`, `card`, `device`, ...)
    labels : fields that are not known when the event happens, but told later by a `Label`; an
        event does not carry them
    en, zh : what it is, for people
    """

    name: str
    fields: Mapping[str, FieldType]
    entities: tuple[str, ...]
    en: str
    zh: str
    labels: tuple[str, ...] = ()


class Label(NamedTuple):
    """What became known later about an event: fraud or not, default or not.

    It counts from `at_ms` on, which is never before the event; a feature with a delay looks at
    the event only when the delay is over. A second label of the same field replaces the first
    from its own instant on. A flag is told as 1 or 0.
    """

    kind: str
    id: str
    at_ms: int
    sequence: int
    field: str
    value: int
