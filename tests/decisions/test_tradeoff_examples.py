from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["tradeoff", "drift", "budget"])
def test_the_examples_run(name: str) -> None:
    module = importlib.import_module(f"steelyard.decisions.model.{name}")
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)
