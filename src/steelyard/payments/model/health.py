"""How a channel does: its figures over a stretch of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from steelyard.payments.model.attempts import AttemptState
from steelyard.payments.model.channel import Decline, Method
from steelyard.payments.model.retries import RULES, Fault

_MONEY: Final = frozenset(
    {
        AttemptState.AUTHORIZED,
        AttemptState.SUCCEEDED,
        AttemptState.REVERSED,
        AttemptState.DUPLICATE,
        AttemptState.LATE,
    }
)
REFUSED_SECONDS: Final = 30.0
"""Closed so soon after it was sent, an attempt never reached its channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What became of the attempts that were sent through a channel in a stretch of time.

    Attributes
    ----------
    failed : through the channel's fault, or nobody knows whose; payers : through the payer's
    unknown : sent, and no end is known
    latency_ms_p50, _p95, _p99 : from sending to the end, of those that ended; None: of none
    """

    channel: str
    method: Method
    since: datetime
    until: datetime
    attempts: int
    succeeded: int
    failed: int
    payers: int
    unknown: int
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    latency_ms_p99: int | None

    @property
    def success_rate(self) -> float | None:
        """Successes among those that ended, the payers' own faults left out; None: of none."""
        ended = self.succeeded + self.failed
        return self.succeeded / ended if ended else None

    @property
    def unknown_rate(self) -> float | None:
        """Share of those sent whose end is not known; None: of none."""
        return self.unknown / self.attempts if self.attempts else None


def is_good(state: AttemptState, decline: Decline | None, seconds: float | None) -> bool | None:
    """Return what an ended attempt says of its channel; None: nothing, the payer decided it.

    Parameters
    ----------
    seconds : from its sending to its end; an attempt closed at once never reached its channel

    Examples
    --------
    >>> is_good(AttemptState.DECLINED, Decline.INSUFFICIENT_FUNDS, 2.0) is None
    True
    >>> is_good(AttemptState.DECLINED, Decline.ISSUER_UNAVAILABLE, 2.0)
    False
    """
    if state in _MONEY:
        return True
    if state is AttemptState.DECLINED:
        return None if RULES[decline or Decline.OTHER].fault is Fault.PAYER else False
    if state is AttemptState.CLOSED:
        return None if seconds is None or seconds >= REFUSED_SECONDS else False
    return False if state is AttemptState.INTEGRITY_HOLD else None
