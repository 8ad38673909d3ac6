"""The doors of rooms: what stands behind one is loaded when it is asked for first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

_NOTHING: Mapping[str, str] = MappingProxyType({})


def door(
    room: str, groups: Mapping[str, str], values: Mapping[str, str] = _NOTHING
) -> Callable[[str], Any]:
    """Return the `__getattr__` of a room's package.

    Parameters
    ----------
    room : name of the package
    groups : modules by the name they have at the door; `{"reading": "service.reading"}`
    values : names that stand in a module of the room; `{"Case": "model.case"}`

    Examples
    --------
    >>> door("steelyard", {"values": "kernel"}, {"Page": "kernel.page"})("Page").__name__
    'Page'
    """

    def load(name: str) -> Any:
        if name in groups:
            return import_module(f"{room}.{groups[name]}")
        if name in values:
            return getattr(import_module(f"{room}.{values[name]}"), name)
        raise AttributeError(f"module {room!r} has no attribute {name!r}")

    return load
