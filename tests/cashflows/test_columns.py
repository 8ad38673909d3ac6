"""The columnar engine plans every contract as the scalar engine does."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings

from steelyard.cashflows.model.columns import plan_columns
from steelyard.cashflows.model.columns_book import TermsColumns
from steelyard.cashflows.model.plan import plan
from steelyard.cashflows.model.terms import Terms

from .books import books

SIZE = 50
BY_DEFAULT = 20_000


def check(contracts: list[Terms]) -> Counter[str]:
    """Assert that both engines agree; return how many contracts each planned."""
    made = plan_columns(TermsColumns.of(contracts))
    for place, one in enumerate(contracts):
        assert made.plan_at(place) == plan(one), one
    return Counter(contracts=len(contracts), scalar=made.by_scalar, near=made.near_ties)


def equality(contracts: int) -> Counter[str]:
    """Run both engines over so many random contracts."""
    found: Counter[str] = Counter()

    @settings(
        max_examples=contracts // SIZE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(books(SIZE))
    def agree(book: list[Terms]) -> None:
        found.update(check(book))

    agree()
    return found


def test_both_engines_plan_random_contracts_alike() -> None:
    found = equality(BY_DEFAULT)
    assert found["contracts"] >= BY_DEFAULT
    # The rates of 17 decimals that one in eight has, and little else.
    assert found["scalar"] < found["contracts"] // 5
    assert found["near"] < found["contracts"] // 1_000
