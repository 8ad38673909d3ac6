"""The gate: where someone could be refused, somebody is asked before the money moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class Outcome(StrEnum):
    """What the gate says to a scene."""

    APPROVE = "approve"
    LIMIT = "limit"
    """Approve up to an amount."""
    STEP_UP = "step_up"
    """Approve once the person has proved more about who they are."""
    HOLD = "hold"
    """Take it, and let nothing of it go before somebody has looked."""
    REVIEW = "review"
    DECLINE = "decline"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer.

    Attributes
    ----------
    outcome : what may happen
    cause : `policy@version` that said so; recorded as the cause of every movement that follows
    reasons : stable reason codes, most weighty first
    decision_id : the durable decision to consume, None where no policy decided
    limit_minor : up to which amount it is approved, where the outcome is `limit`
    """

    outcome: Outcome
    cause: str
    reasons: tuple[str, ...] = ()
    decision_id: UUID | None = None
    limit_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """The facts of a scene as they are put to the gate.

    Attributes
    ----------
    id : of what happens; the same id is the same question, and is answered alike
    at : when it happens
    facts : by name; ids as UUIDs or texts, money in minor units, None is missing
    """

    id: str
    at: datetime
    facts: Mapping[str, object]


class Gate(Protocol):
    """Asked before the unit of work opens; no lock is held while it thinks."""

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        """Return the verdict on the facts of a scene, at an instant."""
        ...

    def ask_all(self, scene: str, questions: Sequence[Question]) -> tuple[Verdict, ...]:
        """Return the verdicts on many questions of a scene, in the order in which they happened."""
        ...


class NoPolicyGate:
    """The gate of a house without policies: it approves and says that nothing decided.

    Examples
    --------
    >>> from datetime import UTC
    >>> NoPolicyGate().ask("payment", {}, datetime(2026, 1, 1, tzinfo=UTC)).cause
    'no_policy@0'
    """

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        """Approve."""
        return Verdict(Outcome.APPROVE, "no_policy@0")

    def ask_all(self, scene: str, questions: Sequence[Question]) -> tuple[Verdict, ...]:
        """Approve."""
        return tuple(self.ask(scene, q.facts, q.at) for q in questions)
