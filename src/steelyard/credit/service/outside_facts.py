"""Facts about the world outside: the bureau, messages, collections, what customers bring up."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from steelyard.base import Fact

__all__ = [
    "BureauAsked",
    "BureauEvidenceRecorded",
    "BureauFileMade",
    "CollectionContacted",
    "CollectionEnded",
    "CollectionStarted",
    "CollectionStopLifted",
    "CollectionStopped",
    "HardshipPlanProposed",
    "HardshipPlanSettled",
    "MatterAnswered",
    "MatterReceived",
    "MessageIntended",
    "MessageSettled",
    "PromiseJudged",
    "PromiseMade",
]


class BureauAsked(Fact, kind="credit.BureauAsked", version=1):
    """An inquiry to a bureau is about to be made, under a consent."""

    inquiry: UUID
    party: UUID
    why: str
    consent_version: int


class BureauEvidenceRecorded(Fact, kind="credit.BureauEvidenceRecorded", version=1):
    """An answer about an inquiry came in."""

    inquiry: UUID
    party: UUID
    found: str
    reason: str
    settled_as: str


class BureauFileMade(Fact, kind="credit.BureauFileMade", version=1):
    """The reporting file of a month was made."""

    period: str
    rows: int
    corrections: int
    balance_minor: int
    overdue_minor: int
    sha256: str


class MessageIntended(Fact, kind="credit.MessageIntended", version=1):
    """A message is about to be sent for an act."""

    message: UUID
    party: UUID
    act: str
    channel: str
    template: str


class MessageSettled(Fact, kind="credit.MessageSettled", version=1):
    """The receipts of a message came to another state."""

    message: UUID
    party: UUID
    act: str
    state: str


class CollectionStarted(Fact, kind="credit.CollectionStarted", version=1):
    """A loan that is late is collected by a strategy from now on."""

    episode: UUID
    loan: UUID
    party: UUID
    strategy: str
    dpd: int


class CollectionContacted(Fact, kind="credit.CollectionContacted", version=1):
    """A contact about a late loan was made, or refused."""

    contact: UUID
    loan: UUID
    party: UUID
    channel: str
    is_ours: bool
    refused: str | None


class CollectionEnded(Fact, kind="credit.CollectionEnded", version=1):
    """A loan is not collected any more: nothing is late, or it left the books."""

    episode: UUID
    loan: UUID
    party: UUID
    ended_as: str
    worst_dpd: int


class CollectionStopped(Fact, kind="credit.CollectionStopped", version=1):
    """Nobody is to be contacted, for a reason."""

    stop: UUID
    party: UUID
    loan: UUID | None
    reason: str


class CollectionStopLifted(Fact, kind="credit.CollectionStopLifted", version=1):
    """A reason not to contact anybody is gone."""

    stop: UUID
    party: UUID
    reason: str


class PromiseMade(Fact, kind="credit.PromiseMade", version=1):
    """A customer promised to pay."""

    promise: UUID
    loan: UUID
    party: UUID
    amount_minor: int
    by_on: date


class PromiseJudged(Fact, kind="credit.PromiseJudged", version=1):
    """What was paid decided what became of a promise."""

    promise: UUID
    loan: UUID
    party: UUID
    state: str
    paid_minor: int


class HardshipPlanProposed(Fact, kind="credit.HardshipPlanProposed", version=1):
    """A plan for a customer in hardship waits for a second person's yes."""

    plan: UUID
    loan: UUID
    party: UUID
    plan_kind: str
    approval: UUID


class HardshipPlanSettled(Fact, kind="credit.HardshipPlanSettled", version=1):
    """A plan for a customer in hardship came into force, or was dropped."""

    plan: UUID
    loan: UUID
    party: UUID
    state: str


class MatterReceived(Fact, kind="credit.MatterReceived", version=1):
    """A customer brought something up that is to be answered by a day."""

    matter: UUID
    matter_kind: str
    loan: UUID
    party: UUID
    due_on: date


class MatterAnswered(Fact, kind="credit.MatterAnswered", version=1):
    """What a customer brought up was answered, with its consequences."""

    matter: UUID
    matter_kind: str
    loan: UUID
    party: UUID
    outcome: str
    is_in_time: bool
