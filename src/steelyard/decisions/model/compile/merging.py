"""How values of nodes are laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def merge(below: Any, above: Any) -> Any:
    """Return one over the other: objects on all levels, all else as a whole.

    A null takes its name away, and nothing at all leaves what is below.

    Examples
    --------
    >>> merge({"a": 1, "o": {"x": 1}}, {"a": None, "o": {"y": 2}})
    {'o': {'x': 1, 'y': 2}}
    """
    if above is None:
        return below
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    made = dict(below)
    for key, value in above.items():
        if value is None:
            made.pop(key, None)
            continue
        old = made.get(key)
        made[key] = merge(old, value) if isinstance(old, dict) else value
    return made


def stripped(value: Any) -> Any:
    """Return an object without the names that are null; anything else as it is."""
    if isinstance(value, dict):
        return {key: one for key, one in value.items() if one is not None}
    return {} if value is None else value


def put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a value under a path of names."""
    for name in path[:-1]:
        inner = into.get(name)
        if not isinstance(inner, dict):
            inner = into[name] = {}
        into = inner
    into[path[-1]] = value


def nothing(name: str) -> None:
    """Return missing: what any name of a value that has no names is."""


def named(values: Any) -> Any:
    """Return how names of a context are looked up."""
    return values.get if type(values) is dict else nothing
