"""The book at a glance: what is owed, how much of it is late, what came of applications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from steelyard.credit.store import glance as table

__all__ = ["Owed", "outcomes", "owed"]


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed in a currency, as the last event or day close of each loan left it.

    Attributes
    ----------
    loans : open; late : of them with something past due
    outstanding_minor : principal
    """

    currency: str
    loans: int
    late: int
    outstanding_minor: int

    @property
    def late_share(self) -> float:
        """Return the share of open loans with something late; 0 where none is open."""
        return self.late / self.loans if self.loans else 0.0


def owed(connection: sa.Connection) -> tuple[Owed, ...]:
    """Return what is owed by currency; nothing where nobody owes."""
    return tuple(Owed(*row) for row in table.owed(connection))


def outcomes(connection: sa.Connection, since: datetime | None = None) -> Mapping[str, int]:
    """Return how many applications stand in which state.

    Parameters
    ----------
    since : of those written down at this business instant or later; None: of all
    """
    return table.outcomes(connection, since)
