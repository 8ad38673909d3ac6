from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import steelyard.kernel

MODULES = [
    found.name for found in pkgutil.walk_packages(steelyard.kernel.__path__, "steelyard.kernel.")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [one for name in MODULES for one in finder.find(importlib.import_module(name))]
    assert len([one for one in found if one.examples]) >= 25


def test_the_readme_runs() -> None:
    readme = Path(steelyard.kernel.__path__[0]) / "README.md"
    ran = doctest.testfile(str(readme), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert ran.failed == 0
    assert ran.attempted >= 15
