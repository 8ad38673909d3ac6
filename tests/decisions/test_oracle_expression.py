"""Random expressions and values: ours answers what the reference engine answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings

from tests.decisions.zen_grammar import agree, cells, contexts, expressions, ours, reference

_SETTINGS = settings(
    derandomize=True,
    max_examples=400,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@_SETTINGS
@given(source=expressions, context=contexts)
def test_an_expression_is_what_the_reference_says(source: str, context: dict[str, Any]) -> None:
    expected, found = (f(source, context, unary=False) for f in (reference, ours))
    note(f"{source}: reference {expected!r}, ours {found!r}")
    assert agree(expected, found)


@pytest.mark.parametrize(
    "source",
    [
        "d('2024-01-31') + d('2024-02-01')",
        "d('2024-01-31').add(0, 'day') + 'x'",
        "'x' + d('2024-01-31')",
        "d('2024-01-31') + 1",
        "d('never') + 'x'",
        "d('2024-01-31') - d('2024-01-30')",
    ],
)
def test_what_a_random_search_found_once_stays_found(source: str) -> None:
    assert agree(reference(source, {}, unary=False), ours(source, {}, unary=False))


@_SETTINGS
@given(source=cells, context=contexts)
def test_a_test_of_a_cell_is_what_the_reference_says(source: str, context: dict[str, Any]) -> None:
    expected, found = (f(source, context, unary=True) for f in (reference, ours))
    # A test that gives no flag fails in the reference, and does not hold in a table of either.
    if not isinstance(found, bool):
        found = ours("missing > 0", context, unary=False)
    note(f"{source}: reference {expected!r}, ours {found!r}")
    assert agree(expected, found)


@pytest.mark.long
@settings(parent=_SETTINGS, max_examples=30_000, derandomize=False)
@given(source=expressions, context=contexts)
def test_many_expressions_are_what_the_reference_says(source: str, context: dict[str, Any]) -> None:
    assert agree(reference(source, context, unary=False), ours(source, context, unary=False))
