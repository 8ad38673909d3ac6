"""Outsiders' numbers and what reads them."""

import pytest

# So that a failing case shows the rows that differ.
pytest.register_assert_rewrite(
    *(f"tests.vectors.{name}" for name in ("china", "functions", "rates", "risk", "schedules"))
)
