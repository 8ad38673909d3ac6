"""The features: numbers about customers, cards, devices and places, exact as of every event.

A feature is defined once, in `CATALOGUE`; `StreamEngine` computes it event by event, `compute` in
columns for training and backtests. `facts` turns the log into events, `profiles` reads an entity.
What definitions, events and labels are made of stands in `steelyard.features.catalogue`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from steelyard.features.catalogue import CATALOGUE, KINDS
from steelyard.features.model.event import Event
from steelyard.features.model.stream import StreamEngine

if TYPE_CHECKING:
    from steelyard.features.model import graph, intake, refusals
    from steelyard.features.model.columns import compute
    from steelyard.features.service import facts, parity
    from steelyard.features.service import profile as profiles
    from steelyard.features.service import snapshot as snapshots

__all__ = [
    "CATALOGUE",
    "KINDS",
    "Event",
    "StreamEngine",
    "compute",
    "facts",
    "graph",
    "intake",
    "parity",
    "profiles",
    "refusals",
    "snapshots",
]

_GROUPS = {
    "facts": "service.facts",
    "graph": "model.graph",
    "intake": "model.intake",
    "parity": "service.parity",
    "profiles": "service.profile",
    "refusals": "model.refusals",
    "snapshots": "service.snapshot",
}


def __getattr__(name: str) -> Any:
    """Load a group or the columnar engine when it is asked for first."""
    if name in _GROUPS:
        return import_module(f"{__name__}.{_GROUPS[name]}")
    if name == "compute":
        return import_module(f"{__name__}.model.columns").compute
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
