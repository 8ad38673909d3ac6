"""How consumers fare: what they lack, what they could not handle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

FIRST_RETRY = timedelta(milliseconds=200)
LONGEST_RETRY = timedelta(minutes=1)
COUNTED = 10_000
"""Facts behind are counted one by one up to here."""


class OnFailure(StrEnum):
    """What becomes of a consumer when a handler has failed on a fact for the last time."""

    STOP = "stop"
    """It waits until somebody settles the dead letter: for handlers that need every fact."""
    GO_ON = "go_on"
    """It goes on with the next fact; the letter waits."""


class LetterState(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"
    REPLAYING = "replaying"
    """Somebody asked for it; the process that runs the consumer will take it next."""
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A fact that a consumer could not handle.

    Attributes
    ----------
    attempts : how often it was tried
    error : class and message of the last failure
    settled_by, settled_because : who said what to do with it, and why
    """

    id: int
    consumer: str
    consumer_version: int
    sequence: int
    kind: str
    subject: str
    handler: str
    attempts: int
    error: str
    state: LetterState
    died_at: datetime
    settled_at: datetime | None
    settled_by: str | None
    settled_because: str | None


class Activity(StrEnum):
    """What a consumer is doing."""

    RUNNING = "running"
    """A process holds its lease."""
    IDLE = "idle"
    """No process runs it."""
    RETRYING = "retrying"
    """A fact has failed and will be tried again."""
    STOPPED = "stopped"
    """A dead letter must be settled first."""


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """How far a consumer is.

    Attributes
    ----------
    hears : `kind@version` of its handlers
    delivered_sequence : last fact delivered; 0 before the first
    facts_behind : facts it will still be given; above `COUNTED` it is the distance in sequence
        numbers, an upper bound
    seconds_behind : real age of the oldest of them, 0 when there is none
    trouble : what it waits for, None when nothing is wrong
    dead_letters : how many are not settled
    """

    name: str
    version: int
    hears: tuple[str, ...]
    activity: Activity
    delivered_sequence: int
    facts_behind: int
    seconds_behind: float
    trouble: str | None
    retry_at: datetime | None
    dead_letters: int
    moved_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long work is: `done` of `total`, in facts (or sequence numbers, for a replay)."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class DayExport:
    """One day of the log as a file.

    Attributes
    ----------
    file : name inside the folder
    facts : rows in it
    written : False when a complete file was there already
    """

    file: str
    facts: int
    written: bool


def retry_delay(attempts: int) -> timedelta:
    """Return how long to wait after the n-th failure: four times longer each time, up to a minute.

    Examples
    --------
    >>> [retry_delay(n).total_seconds() for n in (1, 2, 3, 9)]
    [0.2, 0.8, 3.2, 60.0]
    """
    assert attempts > 0, "after a failure"
    factor: int = 4 ** min(attempts - 1, 10)
    return min(LONGEST_RETRY, FIRST_RETRY * factor)
