"""Ids that follow from the town's own."""

from __future__ import annotations

from steelyard.base import UnitOfWork
from steelyard.simulation.chance import stream
from steelyard.simulation.model.draws import entropy


def seed_ids(unit: UnitOfWork, *names: str | int) -> None:
    """Let the ids of a unit follow from a name: the same plan gives the same books."""
    chance = stream(0, *names)
    unit.draw_ids(lambda: entropy(chance))
