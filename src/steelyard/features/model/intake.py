"""The edge: what may be folded, checked against the kind before anything sees it."""

from __future__ import annotations

from collections.abc import Mapping

from steelyard.features.model.definition import LARGEST
from steelyard.features.model.event import EventKind, FieldType, Value
from steelyard.features.model.refusals import (
    EventFieldIsInvalid,
    EventFieldIsUnknown,
    EventIsFromTheFuture,
)

LONGEST = 200
"""Characters of a text field."""
AHEAD_MS = 5_000
"""How far another machine's clock may be ahead of ours."""


def check_fields(kind: EventKind, fields: Mapping[str, object]) -> dict[str, Value]:
    """Return the fields of an event as given, if every one is of its kind; None is missing.

    Refusals
    --------
    event_field_is_unknown, event_field_is_invalid
    """
    made: dict[str, Value] = {}
    for name, value in fields.items():
        type_ = kind.fields.get(name)
        if type_ is None or name in kind.labels:
            raise EventFieldIsUnknown(event_kind=kind.name, field=name)
        if value is not None and not _is_of(type_, value):
            raise EventFieldIsInvalid(field=name, type=type_.value)
        made[name] = value  # type: ignore[assignment]
    return made


def _is_of(type_: FieldType, value: object) -> bool:
    if type_ is FieldType.TEXT:
        return isinstance(value, str) and 0 < len(value) <= LONGEST and "\0" not in value
    if type_ is FieldType.FLAG:
        return isinstance(value, bool)
    return type(value) is int and abs(value) <= LARGEST


def check_instant(at_ms: int, now_ms: int) -> None:
    """Refuse an event from the future.

    Refusals
    --------
    event_is_from_the_future
    """
    if at_ms > now_ms + AHEAD_MS:
        raise EventIsFromTheFuture(ahead_ms=at_ms - now_ms)
