"""The town: customers, merchants and fraudsters living through the doors, out of one seed.

The model is pure; `town`, `cards`, `reports`, `borrowing`,
`lending`, `outside`, `custody`, `paydays` and `report` are its
use cases inside the platform; `play_history`, `live` and `attack` its life outside, as a client of
the HTTP interface.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from steelyard.simulation.chance import found, stream
from steelyard.simulation.model import (
    OPENS_ON,
    Action,
    AttackKind,
    Plan,
    Town,
    Truth,
    actions_between,
    day,
    digest,
    truth,
)
from steelyard.simulation.service import facts

if TYPE_CHECKING:
    from steelyard.simulation.life import attack, live, play_history
    from steelyard.simulation.service import (
        borrowing,
        cards,
        custody,
        lending,
        outside,
        paydays,
        report,
        reports,
        town,
    )

__all__ = [
    "OPENS_ON",
    "Action",
    "AttackKind",
    "Plan",
    "Town",
    "Truth",
    "actions_between",
    "attack",
    "borrowing",
    "cards",
    "custody",
    "day",
    "digest",
    "facts",
    "found",
    "lending",
    "live",
    "outside",
    "paydays",
    "play_history",
    "report",
    "reports",
    "stream",
    "town",
    "truth",
]

_GROUPS = {
    "attack": "life.attack",
    "borrowing": "service.borrowing",
    "cards": "service.cards",
    "custody": "service.custody",
    "lending": "service.lending",
    "outside": "service.outside",
    "paydays": "service.paydays",
    "report": "service.report",
    "reports": "service.reports",
    "town": "service.town",
}
_LIFE = ("live", "play_history")


def __getattr__(name: str) -> Any:
    """Load what needs the platform, or a client of it, when it is asked for first."""
    if name in _GROUPS:
        return import_module(f"{__name__}.{_GROUPS[name]}")
    if name in _LIFE:
        return getattr(import_module(f"{__name__}.life"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
