"""The gate: where someone could be refused, somebody is asked before the money moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class Outcome(StrEnum):
    """What the gate says to a scene."""

    APPROVE = "approve"
    STEP_UP = "step_up"
    """Approve once the person has proved more about who they are."""
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
    """

    outcome: Outcome
    cause: str
    reasons: tuple[str, ...] = ()
    decision_id: UUID | None = None


class Gate(Protocol):
    """Asked before the unit of work opens; no lock is held while it thinks."""

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        """Return the verdict on the facts of a scene, at an instant."""
        ...


class NoPolicyGate:
    """The gate of a house without policies: it approves and says that nothing decided.

    Examples
    --------
    >>> from datetime import UTC
    >>> NoPolicyGate().ask("card_payment", {}, datetime(2026, 1, 1, tzinfo=UTC)).cause
    'no_policy@0'
    """

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        """Approve."""
        return Verdict(Outcome.APPROVE, "no_policy@0")
