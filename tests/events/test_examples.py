"""The examples in the room's docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from steelyard import events

MODULES = [m.name for m in pkgutil.walk_packages(events.__path__, "steelyard.events.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for name in MODULES for t in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) >= 5


def test_the_door_opens() -> None:
    for name in events.__all__:
        assert getattr(events, name) is not None
    with pytest.raises(AttributeError):
        _ = events.nothing_of_the_kind
