"""Every refusal of the platform, from the registry that their classes are."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType

import steelyard
from steelyard.base.http import STATUS
from steelyard.kernel import Refusal

_ROOMS = ("kernel", "base", "ledger", "events", "parties", "simulation", "imports", "web")
# Programs and migrations do something when they are imported.
_PROGRAMS = frozenset({"__main__", "worker", "migrations"})


def status_of(kind: type[Refusal]) -> int:
    """Return the HTTP status by which a refusal is told."""
    return STATUS[kind.kind]


@cache
def every_refusal() -> Mapping[str, type[Refusal]]:
    """Return all refusals of the rooms by code, in the order of the codes.

    The rooms are imported whole, so that the list does not depend on what was used before.
    """
    for room in _ROOMS:
        _import(f"steelyard.{room}")
    known = {kind.code: kind for kind in _below(Refusal) if kind.__module__.startswith("steelyard")}
    return MappingProxyType(dict(sorted(known.items())))


def _import(name: str) -> None:
    package = import_module(name)
    for found in pkgutil.iter_modules(getattr(package, "__path__", ())):
        if found.name not in _PROGRAMS:
            _import(f"{name}.{found.name}")


def _below(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def room_of(kind: type[Refusal]) -> str:
    """Return the room that a refusal belongs to."""
    return kind.__module__.removeprefix(f"{steelyard.__name__}.").split(".", 1)[0]
