"""The town: customers, merchants and fraudsters living through the doors, out of one seed."""

from steelyard.simulation.chance import found, stream
from steelyard.simulation.model import (
    Action,
    Plan,
    Town,
    Truth,
    actions_between,
    day,
    digest,
    truth,
)

__all__ = [
    "Action",
    "Plan",
    "Town",
    "Truth",
    "actions_between",
    "day",
    "digest",
    "found",
    "stream",
    "truth",
]
