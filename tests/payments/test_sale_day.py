"""A sale day in short: what the benchmark of the same name plays for longer, with its checks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PLAYED = Path(__file__).parents[2] / "benchmarks" / "payments_sale_day.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("payments_sale_day", PLAYED)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def play(url: str, **changes: Any) -> dict[str, int]:
    """Play a sale day, ask everybody, and have the books checked to the cent."""
    sale_day = load()
    with sale_day.open_sale(url, sale_day.Plan(**changes)) as sale:
        sale.run()
        sale.ask_everybody()
        counted: dict[str, int] = sale.check()
        told = sale_day.table(sale).splitlines()
        seconds = {one.second for one in sale.served}
    assert len(told) == 1 + len(seconds)
    return counted


def test_a_rush_with_a_failing_channel_loses_and_doubles_nothing(store: Any) -> None:
    counted = play(
        store.url, normal=15.0, factor=6.0, before=0.6, rush=1.5, after=0.4, workers=40, capacity=6
    )
    assert counted["accepted"] + counted["refused"] == counted["offered"] > 50
    assert 0 < counted["paid"] <= counted["accepted"]
    assert counted["degraded"] > 0


@pytest.mark.long
def test_a_longer_rush_moves_a_breaker(store: Any) -> None:
    counted = play(store.url)
    assert counted["breaker_moves"] > 0
    assert counted["refused"] > 0
