"""Payments at a glance: how they went lately, what nobody knows yet, how channels stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from steelyard.payments.model.breaker import BreakerState
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.tieout import TieOut
from steelyard.payments.service import institution
from steelyard.payments.store import glance as table
from steelyard.payments.store import health, tieout

__all__ = ["BALANCE", "ChannelNow", "PaymentsNow", "TieOut", "look"]

BALANCE: Final = "balance"
"""Under this code stands what is paid from balances in our own book."""
_WORST: Final = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)


@dataclass(frozen=True, slots=True)
class ChannelNow:
    """How a channel stands.

    Attributes
    ----------
    stage : of its life; None of our own balances, which have none
    breaker : the worst over its methods
    tried, succeeded : attempts since the instant that was asked for
    waiting : of those tried, not finished
    unknown : attempts of any time of which nobody knows yet what became
    """

    code: str
    stage: str | None
    breaker: BreakerState
    tried: int = 0
    succeeded: int = 0
    waiting: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class PaymentsNow:
    """How payments stand: over all channels, and by channel.

    Attributes
    ----------
    tie_outs : the newest of each currency
    """

    channels: tuple[ChannelNow, ...]
    tie_outs: tuple[TieOut, ...]

    @property
    def tried(self) -> int:
        """Attempts lately."""
        return sum(one.tried for one in self.channels)

    @property
    def unknown(self) -> int:
        """Attempts of which nobody knows what became."""
        return sum(one.unknown for one in self.channels)

    @property
    def success_share(self) -> float | None:
        """Return the share that went through of those finished lately; None without any."""
        ended = sum(one.tried - one.waiting for one in self.channels)
        return sum(one.succeeded for one in self.channels) / ended if ended else None


def look(connection: sa.Connection, since: datetime, mode: Mode = Mode.LIVE) -> PaymentsNow | None:
    """Return how payments stand; None where the institution is not open.

    Parameters
    ----------
    since : business instant from which on attempts are counted
    """
    if institution.find(connection, mode) is None:
        return None
    known: list[tuple[str, str | None]] = [(BALANCE, None), *table.channels(connection, mode)]
    codes = [code for code, _ in known]
    lately = table.lately(connection, codes, since)
    unknown = table.unknown(connection, codes)
    moved = {(row.channel, row.state) for row in health.breakers(connection)}
    made = []
    for code, stage in known:
        breaker = next((s for s in _WORST if (code, s) in moved), BreakerState.CLOSED)
        counts = lately.get(code, table.Lately(0, 0, 0))
        made.append(ChannelNow(code, stage, breaker, *counts, unknown.get(code, 0)))
    newest: dict[str, TieOut] = {}
    for tie in tieout.newest(connection, mode, limit=10):
        newest.setdefault(tie.currency, tie)
    return PaymentsNow(tuple(made), tuple(newest.values()))
