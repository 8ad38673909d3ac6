"""Terms and events as plain data: what is stored, hashed and sent."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from steelyard.cashflows.model.allocation import Advance, Allocation, Direction, Part, When
from steelyard.cashflows.model.events import Any as AnyEvent
from steelyard.cashflows.model.refusals import FormIsInvalid
from steelyard.cashflows.model.terms import Terms

EVENTS: Final[Mapping[str, type[AnyEvent]]] = MappingProxyType(
    {kind.__name__: kind for kind in typing.get_args(AnyEvent)}
)
"""Every kind of event by its name, which is also its name in the stored form."""


def terms_to_json(terms: Terms) -> dict[str, Any]:
    """Return terms as plain data; fields that have their default are left out.

    Examples
    --------
    >>> terms_to_json(Terms(principal_minor=5, start_on=date(2026, 1, 1), instalments=1,
    ...                     rate=Decimal("0.10")))
    {'principal_minor': 5, 'start_on': '2026-01-01', 'instalments': 1, 'rate': '0.10'}
    """
    return _to_json(terms)


def terms_from_json(form: Mapping[str, Any]) -> Terms:
    """Return the terms of plain data.

    Refusals
    --------
    form_is_invalid : a field is unknown, missing or of another sort
    terms_are_invalid : the terms cannot be

    Examples
    --------
    >>> terms_from_json({"principal_minor": 5, "start_on": "2026-01-01", "instalments": 1,
    ...                  "rate": "0.1"}).rate
    Decimal('0.1')
    """
    return typing.cast("Terms", _from_json(Terms, form, "terms"))


def event_to_json(event: AnyEvent) -> dict[str, Any]:
    """Return an event as plain data, its kind with it.

    Examples
    --------
    >>> from steelyard.cashflows.model.events import Repaid
    >>> event_to_json(Repaid(seq=1, on=date(2026, 1, 1), amount_minor=5))
    {'event': 'Repaid', 'seq': 1, 'on': '2026-01-01', 'amount_minor': 5}
    """
    return {"event": type(event).__name__} | _to_json(event)


def event_from_json(form: Mapping[str, Any]) -> AnyEvent:
    """Return the event of plain data.

    Refusals
    --------
    form_is_invalid

    Examples
    --------
    >>> event_from_json({"event": "Reversed", "seq": 2, "on": "2026-01-01", "of": 1}).seq
    2
    """
    kind = EVENTS.get(str(form.get("event")))
    if kind is None:
        raise FormIsInvalid(field="event", why=f"{form.get('event')!r}: {', '.join(EVENTS)}")
    rest = {name: value for name, value in form.items() if name != "event"}
    return typing.cast("AnyEvent", _from_json(kind, rest, kind.__name__))


def _to_json(value: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for one in fields(value):
        item = getattr(value, one.name)
        if item == _default(one):
            continue
        made[one.name] = _plain(item)
    return made


def _default(one: dataclasses.Field[Any]) -> Any:
    if one.default is not dataclasses.MISSING:
        return one.default
    if one.default_factory is not dataclasses.MISSING:
        return one.default_factory()
    return dataclasses.MISSING


def _plain(item: Any) -> Any:
    if isinstance(item, Allocation):
        return _allocation_form(item)
    if dataclasses.is_dataclass(item):
        return _to_json(item)
    if isinstance(item, date):
        return item.isoformat()
    if isinstance(item, Decimal):
        return format(item, "f")
    if isinstance(item, tuple):
        return [_plain(one) for one in item]
    if isinstance(item, Mapping):
        return {name: _plain(one) for name, one in item.items()}
    return item.value if isinstance(item, StrEnum) else item


def _allocation_form(rule: Allocation) -> dict[str, Any]:
    return {
        "order": [f"{when}/{part}" for when, part in rule.order],
        "direction": rule.direction.value,
        "advance": rule.advance.value,
    }


def _allocation(form: Any, path: str) -> Allocation:
    if not isinstance(form, Mapping):
        raise FormIsInvalid(field=path, why="an object")
    try:
        order = []
        for pair in form["order"]:
            when, part = str(pair).split("/")
            order.append((When(when), Part(part)))
        direction = Direction(form.get("direction", Direction.HORIZONTAL))
        return Allocation(tuple(order), direction, Advance(form.get("advance", Advance.HOLD)))
    except (KeyError, ValueError, TypeError) as error:
        raise FormIsInvalid(field=path, why=str(error)) from None


def _from_json(kind: type[Any], form: Any, path: str) -> Any:
    if not isinstance(form, Mapping):
        raise FormIsInvalid(field=path, why="an object")
    hints = _hints(kind)
    for name in form:
        if name not in hints:
            raise FormIsInvalid(field=f"{path}.{name}", why=f"one of {', '.join(hints)}")
    made: dict[str, Any] = {}
    for one in fields(kind):
        if one.name in form:
            made[one.name] = _value(hints[one.name], form[one.name], f"{path}.{one.name}")
        elif _default(one) is dataclasses.MISSING:
            raise FormIsInvalid(field=f"{path}.{one.name}", why="given")
    return kind(**made)


_HINTS: Final[dict[type, dict[str, Any]]] = {}


def _hints(kind: type[Any]) -> dict[str, Any]:
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]


def _value(hint: Any, form: Any, path: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if form is None:
            return None
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
        origin = typing.get_origin(hint)
    if origin is tuple:
        if not isinstance(form, list | tuple):
            raise FormIsInvalid(field=path, why="a list")
        inner = typing.get_args(hint)[0]
        return tuple(_value(inner, one, f"{path}[{n}]") for n, one in enumerate(form))
    if origin is not None:
        if not isinstance(form, Mapping):
            raise FormIsInvalid(field=path, why="an object")
        return MappingProxyType(
            {str(name): _allocation(one, f"{path}.{name}") for name, one in form.items()}
        )
    if hint is Allocation:
        return _allocation(form, path)
    if dataclasses.is_dataclass(hint):
        return _from_json(typing.cast("type[Any]", hint), form, path)
    return _scalar(hint, form, path)


def _scalar(hint: Any, form: Any, path: str) -> Any:
    if hint is int or hint is bool:
        if type(form) is not hint:
            raise FormIsInvalid(field=path, why="a whole number" if hint is int else "true, false")
        return form
    if not isinstance(form, str):
        raise FormIsInvalid(field=path, why="a text")
    try:
        if hint is date:
            return date.fromisoformat(form)
        return hint(form)
    except (ValueError, InvalidOperation):
        choices = f"one of {', '.join(hint)}" if issubclass(hint, StrEnum) else hint.__name__
        raise FormIsInvalid(field=path, why=choices) from None
