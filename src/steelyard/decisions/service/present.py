"""What is decided at present, for whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from steelyard.decisions.store import present as store
from steelyard.decisions.store.log import Line, newest

OVER = 500
"""The outcomes of so many last decisions are counted."""


@dataclass(frozen=True, slots=True)
class Present:
    """The end of the log.

    Attributes
    ----------
    decisions : how many were made, in all shards
    outcomes : how often each is among the last `OVER`
    newest : the last lines, the newest first
    """

    decisions: int
    outcomes: Mapping[str, int]
    newest: tuple[Line, ...]


def count_decisions(connection: sa.Connection) -> int:
    """Return how many decisions were made; costs nothing."""
    return store.count(connection)


def present_decisions(connection: sa.Connection, *, lines: int, shard: int = 0) -> Present:
    """Return what is decided at present; costs the same however long the log is.

    Parameters
    ----------
    lines : how many of the newest are read
    """
    return Present(
        count_decisions(connection),
        store.last_outcomes(connection, shard, over=OVER),
        newest(connection, limit=lines, shard=shard).items,
    )
