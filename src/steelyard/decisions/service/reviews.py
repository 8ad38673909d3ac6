"""Reviews: decisions that want a person become cases, and what people find feeds back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import EventRef, open_case, refusals, registry, working
from steelyard.decisions.model.decision import Decision
from steelyard.decisions.model.document import TableNode
from steelyard.decisions.model.explanation import (
    Attributor,
    Explanation,
    decode_explanation,
    encode_explanation,
    explain,
    note_of,
    sentence_of,
    traced,
    urgency_of,
)
from steelyard.decisions.model.lifecycle import (
    RuleIsSnoozed,
    RuleIsUnknown,
    SnoozeIsMalformed,
)
from steelyard.decisions.model.policy import CompiledPolicy
from steelyard.decisions.model.question import SceneIsUnknown
from steelyard.decisions.service import guards
from steelyard.decisions.service.matters import GENUINE, REVIEWS, DecisionReviewed
from steelyard.decisions.service.policies import policy_of
from steelyard.decisions.service.proof import PolicyIsUnknown
from steelyard.decisions.store import reviews as store
from steelyard.decisions.store.reviews import Reviewed, Waiting
from steelyard.features import KINDS
from steelyard.features.catalogue import kind_now
from steelyard.kernel import Refusal, RefusalKind

__all__ = [
    "AT_ONCE",
    "RELEASED",
    "WANT_A_PERSON",
    "DecisionIsNotReviewed",
    "Opener",
    "as_data",
    "conclude_review",
    "open_review",
    "read_explanation",
    "sentence_of",
]

WANT_A_PERSON = ("hold", "review")
"""The outcomes that wait for a person. Who is asked to step up helps himself."""
AT_ONCE = 50
"""Cases opened in one transaction."""
RELEASED = timedelta(hours=24)
"""How long the rules that hit are left out for somebody who was found genuine."""
_NOBODY = "nobody:"
Transact = Callable[[Callable[[UnitOfWork], Any]], Any]


class DecisionIsNotReviewed(Refusal):
    """No case was opened from the decision."""

    kind = RefusalKind.NOT_FOUND
    en = "Decision {id} is before nobody."
    zh = "决策 {id} 未提交人工审核。"


class Opener:
    """Opens cases from the log of decisions; the models of a policy are made ready once."""

    def __init__(self) -> None:
        self._attributors: dict[str, Attributor | None] = {}

    def open_all(
        self,
        database: Database,
        transact: Transact,
        *,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> int:
        """Open a case for each decision that waits for one; return how many were looked at.

        Where one was opened from a decision before, nothing is changed: the place in the log is
        moved in the transaction that opens the cases.
        """
        count = 0
        with database.reading() as connection:
            shards = store.shards(connection)
        for shard in shards:
            while not should_stop():
                with database.reading() as connection:
                    waiting = store.read_waiting(connection, shard, WANT_A_PERSON, limit=AT_ONCE)
                    explained = [(one, self._explain(connection, one)) for one in waiting.decisions]
                if waiting.read_to == waiting.head:
                    break

                def write(
                    unit: UnitOfWork,
                    waiting: Waiting = waiting,
                    explained: list[tuple[Decision, Explanation]] = explained,
                ) -> None:
                    if store.move_head(unit.connection, waiting):
                        for decision, explanation in explained:
                            open_review(unit, decision, explanation)

                transact(write)
                count += len(waiting.decisions)
        return count

    def _explain(self, connection: sa.Connection, decision: Decision) -> Explanation:
        cause = decision.cause
        if cause not in self._attributors:
            try:
                found = Attributor(policy_of(connection, cause))
            except PolicyIsUnknown:
                found = None
            self._attributors[cause] = found
        return explain(decision, self._attributors[cause])


def open_review(unit: UnitOfWork, decision: Decision, explanation: Explanation) -> UUID:
    """Put a decision before people, or let it join the open case of its subject; return the case.

    Returns
    -------
    UUID
        The case has a note in both languages, and as evidence the hash of the explanation. Its
        outcome becomes a label of the event. The same decision again changes nothing.
    """
    content = encode_explanation(explanation)
    field, event = _label(decision)
    try:
        case = _open(unit, decision, _subject(decision), field, event)
    except refusals.ReferenceIsMalformed:  # an id that is no reference, chosen by the caller
        case = _open(unit, decision, f"decision:{decision.id}", field, event)
    if store.insert(unit.connection, Reviewed(decision.id, case, unit.now, content)):
        working.attach(
            unit,
            case,
            note_of(explanation),
            kind="explanation",
            reference=f"decision:{decision.id}",
            content_hash=sha256(content).hexdigest(),
        )
    return case


def _open(
    unit: UnitOfWork, decision: Decision, subject: str, field: str, event: EventRef | None
) -> UUID:
    opened = open_case(
        unit,
        REVIEWS[field].name,
        subject,
        dedup_key=f"{decision.asked.scene}/{subject}",
        source=f"decision:{decision.id}",
        priority=registry.Priority(urgency_of(decision)),
        event=event,
        links=(f"decision:{decision.id}",),
    )
    return opened.case.id


def _subject(decision: Decision) -> str:
    is_nobody = decision.subject.startswith(_NOBODY)
    return f"decision:{decision.id}" if is_nobody else decision.subject


def _label(decision: Decision) -> tuple[str, EventRef | None]:
    """Return the label that a review of the scene proves, and the event it is about."""
    asked = decision.asked
    kind = KINDS.get(kind_now(asked.scene))
    for field in REVIEWS:
        if kind is not None and field in kind.labels:
            return field, EventRef(asked.scene, asked.id)
    return next(iter(REVIEWS)), None


def as_data(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values."""
    made: dict[str, Any] = msgspec.to_builtins(explanation)
    return made


def read_explanation(connection: sa.Connection, decision: UUID) -> tuple[Reviewed, Explanation]:
    """Return what explains a decision that is before people, and the case it is in.

    Refusals
    --------
    decision_is_not_reviewed
    """
    found = store.read(connection, decision)
    if found is None:
        raise DecisionIsNotReviewed(id=decision)
    return found, decode_explanation(found.explanation)


# --- what people find ----------------------------------------------------------------------------


def conclude_review(unit: UnitOfWork, case: UUID, closed: Any) -> int:
    """Tell what people found out about each decision of a closed case; return how many there are.

    Parameters
    ----------
    closed : the fact `cases.CaseClosed@1`

    Notes
    -----
    A case is one matter: what it came to holds for each decision in it, so that the events of those
    that joined it get the label too. Where the outcome is `genuine`, the rules that hit are left
    out for the subject for `RELEASED`, so that the customer can try again; the decision itself
    stays as it was, and lets nothing pass.
    """
    decisions = store.read_of_case(unit.connection, case)
    for decision in decisions:
        asked = decision.asked
        label: dict[str, Any] = {}
        # The closing itself is the label of the event that opened the case.
        if closed.label_field is not None and closed.event_id != asked.id:
            label = {
                "label_field": closed.label_field,
                "label_value": closed.label_value,
                "event_kind": asked.scene,
                "event_id": asked.id,
                "known_at_ms": closed.known_at_ms,
            }
        unit.record(
            DecisionReviewed(
                decision=decision.id,
                case=case,
                outcome=closed.outcome,
                about=decision.subject,
                **label,
            ),
            subject=f"decision:{decision.id}",
        )
        if closed.outcome == GENUINE:
            _release(unit, case, decision)
    return len(decisions)


def _release(unit: UnitOfWork, case: UUID, decision: Decision) -> None:
    """Leave the rules that hit out for the subject for a day."""
    if decision.subject.startswith(_NOBODY):
        return
    try:
        rules = _rules_hit(policy_of(unit.connection, decision.cause), decision)
    except PolicyIsUnknown:
        return
    left_out = []
    for rule in rules:
        # It runs already, the present policy does not have it, or the subject cannot be named.
        with contextlib.suppress(RuleIsSnoozed, RuleIsUnknown, SceneIsUnknown, SnoozeIsMalformed):
            guards.snooze_rule(
                unit,
                decision.asked.scene,
                rule,
                subject=decision.subject,
                until_at=unit.now + RELEASED,
                reason=f"case:{case}",
            )
            left_out.append(rule)
    detail = {"case": str(case), "left_out": left_out}
    audit(unit, action="decisions.release", subject=f"decision:{decision.id}", detail=detail)


def _rules_hit(policy: CompiledPolicy, decision: Decision) -> tuple[str, ...]:
    """Return the rules that made it suspicious: of tables that collect, not a score's bands."""
    collecting = {
        node.id for node in policy.document.nodes if isinstance(node, TableNode) and node.collect
    }
    hits: list[str] = traced(decision, "hits") or []
    return tuple(hit for hit in hits if hit.partition("/")[0] in collecting)
