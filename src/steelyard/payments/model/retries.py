"""What may follow a declined attempt, by its reason; and how a retry storm is kept small.

Nothing follows while an attempt is unknown: it may have charged the payer, and another channel
would charge him twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from steelyard.payments.model.attempts import AttemptState
from steelyard.payments.model.channel import Decline


class NextStep(StrEnum):
    """What follows a declined attempt."""

    RETRY_SAME = "retry_same"
    """The same channel a little later: it was busy."""
    RETRY_OTHER = "retry_other"
    """Another channel at once: this one, or its way to the issuer, is at fault."""
    ASK_PAYER = "ask_payer"
    """The payer can mend it: another card, another code, another method."""
    STOP = "stop"
    """No further attempt with what was given."""


class Fault(StrEnum):
    """Whose fault a decline is; what routing learns of it."""

    PAYER = "payer"
    CHANNEL = "channel"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class RetryRule:
    """What a reason leads to, and what routing learns of it."""

    step: NextStep
    fault: Fault


_ASK = RetryRule(NextStep.ASK_PAYER, Fault.PAYER)
_STOP = RetryRule(NextStep.STOP, Fault.PAYER)
_OTHER = RetryRule(NextStep.RETRY_OTHER, Fault.CHANNEL)
RULES: Final = MappingProxyType(
    {
        Decline.INSUFFICIENT_FUNDS: _ASK,
        Decline.LIMIT_EXCEEDED: _ASK,
        Decline.DO_NOT_HONOR: RetryRule(NextStep.RETRY_OTHER, Fault.UNCLEAR),
        Decline.EXPIRED_CARD: _ASK,
        Decline.INVALID_CARD: _ASK,
        Decline.INVALID_PIN: _ASK,
        Decline.STOLEN_CARD: _STOP,
        Decline.SUSPECTED_FRAUD: _STOP,
        Decline.NOT_PERMITTED: RetryRule(NextStep.RETRY_OTHER, Fault.UNCLEAR),
        Decline.ISSUER_UNAVAILABLE: _OTHER,
        Decline.CHANNEL_BUSY: RetryRule(NextStep.RETRY_SAME, Fault.CHANNEL),
        Decline.CHANNEL_CLOSED: _OTHER,
        Decline.DUPLICATE: RetryRule(NextStep.STOP, Fault.UNCLEAR),
        Decline.MANDATE_INVALID: _STOP,
        Decline.ACCOUNT_CLOSED: _STOP,
        Decline.PAYER_CANCELLED: _ASK,
        Decline.TIMED_OUT: RetryRule(NextStep.ASK_PAYER, Fault.UNCLEAR),
        Decline.INVALID_REQUEST: RetryRule(NextStep.STOP, Fault.CHANNEL),
        Decline.OTHER: RetryRule(NextStep.ASK_PAYER, Fault.UNCLEAR),
    }
)
"""One rule for each reason; a reason without one cannot be added unnoticed (a test reads both)."""

MOST_SAME: Final = 1
"""How often the same channel is asked again for one order."""


def next_step(
    state: AttemptState, decline: Decline | None, *, same_before: int = 0
) -> NextStep | None:
    """Return what may follow an attempt; None while it is under way, or its end unknown.

    Parameters
    ----------
    state : of the newest attempt
    decline : its reason, where it was declined
    same_before : how often the same channel was asked again already

    Examples
    --------
    >>> next_step(AttemptState.UNKNOWN, Decline.CHANNEL_BUSY) is None
    True
    >>> next_step(AttemptState.DECLINED, Decline.ISSUER_UNAVAILABLE).value
    'retry_other'
    >>> next_step(AttemptState.DECLINED, Decline.CHANNEL_BUSY, same_before=1).value
    'retry_other'
    """
    if state is AttemptState.CLOSED:
        # It was not sent, or the channel confirmed that no money stays there.
        return NextStep.RETRY_OTHER
    if state is not AttemptState.DECLINED:
        return None
    step = RULES[decline or Decline.OTHER].step
    if step is NextStep.RETRY_SAME and same_before >= MOST_SAME:
        return NextStep.RETRY_OTHER
    return step


@dataclass(slots=True)
class RetryBudget:
    """How many retries are allowed beside first attempts, over a window that slides smoothly.

    After an outage everybody tries again at once; retries beyond a share of the first attempts are
    not made, and those made are spread out.

    Attributes
    ----------
    share : retries per first attempt, at most; 0.1 of the firsts of the last minutes
    least : so many retries are allowed in any case, for a quiet hour
    half_life : seconds after which an attempt counts half
    """

    share: float = 0.1
    least: float = 3.0
    half_life: float = 120.0
    firsts: float = 0.0
    retries: float = 0.0
    at: float = 0.0

    def note_first(self, now: datetime) -> None:
        """Count a first attempt."""
        self._decay(now)
        self.firsts += 1.0

    def take(self, now: datetime) -> bool:
        """Take one retry; False where the budget is used up: then nothing is tried again."""
        self._decay(now)
        if self.retries + 1.0 > max(self.least, self.share * self.firsts):
            return False
        self.retries += 1.0
        return True

    def _decay(self, now: datetime) -> None:
        seconds = now.timestamp()
        if seconds > self.at:
            kept = 0.5 ** ((seconds - self.at) / self.half_life) if self.at else 0.0
            self.firsts *= kept
            self.retries *= kept
            self.at = seconds


def wait_before(retry: int, seed: int) -> timedelta:
    """Return how long to wait before a retry: growing, and spread over all of its span.

    Parameters
    ----------
    retry : 1 for the first
    seed : of the attempt; the same gives the same wait

    Returns
    -------
    timedelta
        Between zero and 1, 2, 4 ... at most 30 s ("full jitter"): retries that were made at once
        do not come back at once.

    Examples
    --------
    >>> wait_before(1, 7) == wait_before(1, 7), wait_before(9, 7) <= timedelta(seconds=30)
    (True, True)
    """
    most = min(30.0, 2.0 ** (retry - 1))
    return timedelta(seconds=most * uniform(seed, 64 + retry))


_MASK: Final = (1 << 64) - 1


def word(seed: int, stream: int) -> int:
    """Return 64 bits that follow from a seed and a stream of it.

    The finaliser of splitmix64 (Steele, Lea, Flood 2014), so that it is the same for ever.
    """
    z = (seed + 0x9E3779B97F4A7C15 * (stream + 1)) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def uniform(seed: int, stream: int) -> float:
    """Return a number in [0, 1) that follows from a seed and a stream of it.

    Examples
    --------
    >>> 0 <= uniform(1, 0) < 1, uniform(1, 0) == uniform(1, 1)
    (True, False)
    """
    return (word(seed, stream) >> 11) * (1.0 / (1 << 53))
