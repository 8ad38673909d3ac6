from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import steelyard.credit

MODULES = [
    found.name
    for found in pkgutil.walk_packages(steelyard.credit.__path__, "steelyard.credit.")
    if not found.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [one for name in MODULES for one in finder.find(importlib.import_module(name))]
    assert len([one for one in found if one.examples]) >= 20
