"""The 90 numbered cases of the specification: each has an automated test named after it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
CASES = frozenset(range(1, 91))
_NAME = re.compile(r"^test_cases?_(\d\d(?:_(?:and_)?\d\d)*)_")


def cases_of(name: str) -> set[int]:
    """Return the cases that the name of a test function stands for."""
    found = _NAME.match(name)
    return {int(one) for one in re.findall(r"\d\d", found[1])} if found else set()


def indexed() -> dict[int, list[str]]:
    """Return the tests of each case, `path::name`."""
    tests: dict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text()
        if "def test_case" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for case in cases_of(node.name):
                    tests[case].append(f"{path.relative_to(TESTS)}::{node.name}")
    return dict(tests)


def test_a_name_stands_for_its_cases() -> None:
    assert cases_of("test_case_05_and_06_success_stands") == {5, 6}
    assert cases_of("test_case_69_70_quotes") == {69, 70}
    assert cases_of("test_case_14_killed_at_25_points") == {14}
    assert cases_of("test_an_order_of_90_cents") == set()


def test_every_case_is_tested() -> None:
    found = indexed()
    assert sorted(CASES - found.keys()) == [], "cases without a test"
    assert sorted(found.keys() - CASES) == [], "tests of cases that there are not"
