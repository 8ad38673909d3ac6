"""The features: numbers about customers, cards, devices and places, exact as of every event.

A feature is defined once, in `CATALOGUE`; `StreamEngine` computes it event by event, `compute` in
columns for training and backtests. `facts` turns the log into events, `profiles` reads an entity.
What definitions, events and labels are made of stands in `steelyard.features.catalogue`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.features.catalogue import CATALOGUE, KINDS
from steelyard.features.model.event import Event
from steelyard.features.model.stream import StreamEngine
from steelyard.kernel import door

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

__getattr__ = door(__name__, _GROUPS, {"compute": "model.columns"})
