"""Disputes: opened, answered with evidence, and brought to an outcome that may be turned again.

The channel's words, the merchant's and those of people and of the clock all come before one
reducer; the order is locked first, so that refunds and disputes of one payment add up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Fact, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, closing, open_case, registry
from steelyard.kernel import Page, encode_cursor
from steelyard.payments.model import accounts
from steelyard.payments.model.disputes import (
    Dispute,
    DisputeAmountIsWrong,
    DisputeEvidence,
    DisputeEvidenceIsMalformed,
    DisputeEvidenceIsMissing,
    DisputeReferenceWasUsed,
    DisputeRuling,
    DisputeState,
    DisputeStateForbids,
    DisputeWord,
    EvidenceIsTooLate,
    Money,
    PaymentDisputeIsUnknown,
    PaymentIsNotDisputable,
    check_evidence,
    reduce,
)
from steelyard.payments.model.orders import Order
from steelyard.payments.model.refunds import Home
from steelyard.payments.model.refunds_refusals import ReversalIsUnderWay
from steelyard.payments.model.refusals import PaymentIsUnknown
from steelyard.payments.service import facts, refunds_facts
from steelyard.payments.service.evidence import BALANCE
from steelyard.payments.service.refunds import position_of
from steelyard.payments.service.refunds_change import Change, Leg, open_change
from steelyard.payments.store import disputes as table
from steelyard.payments.store.disputes import DisputeStep, KeptEvidence

__all__ = [
    "DISPUTE_CASE",
    "Dispute",
    "DisputeAmountIsWrong",
    "DisputeEvidence",
    "DisputeEvidenceIsMalformed",
    "DisputeEvidenceIsMissing",
    "DisputeReferenceWasUsed",
    "DisputeRuling",
    "DisputeState",
    "DisputeStateForbids",
    "DisputeStep",
    "DisputeWord",
    "EvidenceIsTooLate",
    "KeptEvidence",
    "Money",
    "NewDispute",
    "PaymentDisputeIsUnknown",
    "PaymentIsNotDisputable",
    "ReversalIsUnderWay",
    "accept",
    "add_evidence",
    "evidence_of",
    "expire_due",
    "list_disputes",
    "read",
    "steps_of",
    "submit",
    "take",
    "tell",
]

DISPUTE_CASE: Final = registry.register_kind(
    CaseKind(
        "payments.dispute",
        "A payer disputes a payment",
        "交易争议",
        registry.Sla(timedelta(days=7)),
        (
            registry.CaseOutcome("won", "The merchant won", "商户胜诉"),
            registry.CaseOutcome("lost", "The payer won", "付款人胜诉"),
        ),
        priority=registry.Priority.HIGH,
        skill="payments.dispute",
        is_settled_elsewhere=True,
    )
)
CAUSE: Final = "rule.dispute@1"
EXCESS_CAUSE: Final = "rule.dispute_excess@1"
FEE_CAUSE: Final = "rule.dispute_fee@1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDispute:
    """A dispute as a channel brings it.

    Attributes
    ----------
    reference : the channel's own number
    is_inquiry : nothing is claimed yet, the bank only asks
    due_at : until when evidence is taken, where the channel says so
    """

    id: UUID
    order: UUID
    reference: str
    amount_minor: int
    currency: str
    reason: str = ""
    is_inquiry: bool = False
    due_at: datetime | None = None


def take(unit: UnitOfWork, new: NewDispute, *, source: str = "operator") -> Dispute:
    """Take a dispute that a channel brings: what the payment still has of it is withheld.

    Brought again under the same number it is the same dispute. The merchant's balance may go below
    zero by it. Claims beyond what the payment has left are kept as `excess_minor`.

    Parameters
    ----------
    source : who told: `notice`, `statement`, `operator`

    Refusals
    --------
    payment_is_unknown, payment_is_not_disputable, dispute_amount_is_wrong,
    dispute_reference_was_used
    reversal_is_under_way : it is brought again when the channel has said what became of that
    """
    change = open_change(unit, [new.order])
    order = change.orders.get(new.order)
    if order is None:
        raise PaymentIsUnknown(payment=new.order)
    attempt = None if order.paid_by is None else change.attempts.get(order.paid_by)
    if attempt is None or order.captured_minor == 0:
        raise PaymentIsNotDisputable(payment=order.id, state=order.state.value)
    known = table.find_reference(unit.connection, attempt.channel, new.reference)
    if known is not None:
        if (known.order, known.amount_minor) != (order.id, new.amount_minor):
            raise DisputeReferenceWasUsed(reference=new.reference, dispute=known.id)
        return known
    is_fitting = 0 < new.amount_minor <= order.captured_minor and new.currency == order.currency
    if not is_fitting:
        raise DisputeAmountIsWrong(
            amount_minor=new.amount_minor,
            currency=new.currency,
            total_minor=order.captured_minor,
        )
    dispute = Dispute(
        id=new.id,
        order=order.id,
        attempt=attempt.id,
        merchant=order.merchant,
        mode=order.mode,
        channel=attempt.channel,
        reference=new.reference,
        reason=new.reason,
        state=DisputeState.INQUIRY,
        version=1,
        amount_minor=new.amount_minor,
        currency=order.currency,
        opened_at=unit.now,
        due_at=new.due_at,
    )
    if not table.insert(unit.connection, dispute):
        # Of another payment, in the same moment.
        raise DisputeReferenceWasUsed(reference=new.reference, dispute=new.id)
    open_case(
        unit,
        DISPUTE_CASE.name,
        f"dispute:{dispute.id}",
        links=(f"payment:{order.id}",),
    )
    if new.is_inquiry:
        _step(unit, dispute, DisputeWord.INQUIRED, "", source)
        _tell(change, order, dispute, refunds_facts.DisputeOpened)
        change.write()
        return dispute
    ruling = _rule(change, dispute, DisputeWord.OPENED, source)
    assert ruling.is_new, "an inquiry can be opened"
    change.write()
    return table.read(unit.connection, dispute.id)


def tell(
    unit: UnitOfWork,
    dispute: UUID,
    word: DisputeWord,
    *,
    source: str = "operator",
    due_at: datetime | None = None,
) -> DisputeRuling:
    """Report what was said about a dispute, and let what follows from it happen.

    Parameters
    ----------
    due_at : until when evidence is taken from now on; None: as it was

    Refusals
    --------
    payment_dispute_is_unknown, reversal_is_under_way
    """
    change, found = _hold(unit, dispute, None)
    ruling = _rule(change, replace(found, due_at=due_at or found.due_at), word, source)
    change.write()
    return ruling


def add_evidence(
    unit: UnitOfWork, dispute: UUID, evidence: DisputeEvidence, *, merchant: UUID | None = None
) -> KeptEvidence:
    """Keep something that a merchant says for himself; it is sent when it is submitted.

    Refusals
    --------
    payment_dispute_is_unknown, dispute_state_forbids, evidence_is_too_late,
    dispute_evidence_is_malformed
    """
    _, found = _hold(unit, dispute, merchant)
    _must_take_evidence(unit, found)
    kept = KeptEvidence(unit.new_id(), check_evidence(evidence), unit.now, unit.actor)
    table.insert_evidence(unit.connection, found.id, kept)
    audit(
        unit,
        action="payments.add_dispute_evidence",
        subject=f"dispute:{found.id}",
        detail={"kind": evidence.kind, "hash": evidence.content_hash},
    )
    return kept


def submit(unit: UnitOfWork, dispute: UUID, *, merchant: UUID | None = None) -> Dispute:
    """Put the evidence before the bank.

    Refusals
    --------
    payment_dispute_is_unknown, dispute_state_forbids, evidence_is_too_late,
    dispute_evidence_is_missing
    """
    change, found = _hold(unit, dispute, merchant)
    _must_take_evidence(unit, found)
    if not table.evidence_of(unit.connection, found.id):
        raise DisputeEvidenceIsMissing(dispute=found.id)
    _rule(change, found, DisputeWord.SUBMITTED, "merchant")
    change.write()
    return table.read(unit.connection, dispute)


def accept(unit: UnitOfWork, dispute: UUID, *, merchant: UUID | None = None) -> Dispute:
    """Not contest a dispute: its money goes to the channel.

    Refusals
    --------
    payment_dispute_is_unknown, dispute_state_forbids, reversal_is_under_way
    """
    change, found = _hold(unit, dispute, merchant)
    ruling = _rule(change, found, DisputeWord.ACCEPTED, "merchant")
    if not ruling.is_new:
        raise DisputeStateForbids(dispute=dispute, state=found.state.value, verb="accept")
    change.write()
    return table.read(unit.connection, dispute)


def expire_due(unit: UnitOfWork, *, limit: int = 100) -> int:
    """Note which disputes were not answered in time; return how many.

    Their money stays withheld: who has it in the end the channel says.
    """
    due = table.overdue(unit.connection, unit.now, limit)
    for one in sorted(due):
        change, found = _hold(unit, one, None)
        _rule(change, found, DisputeWord.OVERDUE, "clock")
        change.write()
    return len(due)


def _hold(unit: UnitOfWork, dispute: UUID, merchant: UUID | None) -> tuple[Change, Dispute]:
    """Lock a dispute and its order."""
    found = table.read(unit.connection, dispute)
    if merchant not in (None, found.merchant):
        raise PaymentDisputeIsUnknown(dispute=dispute)
    change = open_change(unit, [found.order])
    return change, table.read(unit.connection, dispute, lock=True)


def _must_take_evidence(unit: UnitOfWork, dispute: Dispute) -> None:
    if dispute.due_at is not None and unit.now > dispute.due_at:
        raise EvidenceIsTooLate(dispute=dispute.id, due_at=dispute.due_at.isoformat())
    if not dispute.state.takes_evidence:
        raise DisputeStateForbids(
            dispute=dispute.id, state=dispute.state.value, verb="add_evidence"
        )


def _rule(change: Change, dispute: Dispute, word: DisputeWord, source: str) -> DisputeRuling:
    """Let what follows from a word happen to a change; order and dispute are locked."""
    unit, order = change.unit, change.orders[dispute.order]
    terms = change.terms[dispute.merchant]
    ruling = reduce(
        dispute,
        order,
        word,
        fee_minor=terms.dispute_fee_minor,
        returns_fee=terms.returns_dispute_fee,
    )
    if not ruling.is_new:
        return ruling
    begins = dispute.money is Money.NONE and ruling.money is not Money.NONE
    attempt = change.attempts.get(dispute.attempt)
    if begins and attempt is not None and attempt.is_reversing:
        # The whole payment may be gone in a moment: nothing of it is withheld meanwhile.
        raise ReversalIsUnderWay(payment=order.id)
    home = change.home_of(order) if begins else dispute.home
    after = replace(
        dispute,
        state=ruling.state,
        money=ruling.money,
        home=home,
        held_minor=ruling.held_minor,
        excess_minor=ruling.excess_minor,
        fee_minor=dispute.fee_minor + ruling.fee_minor,
        submitted_at=unit.now if word is DisputeWord.SUBMITTED else dispute.submitted_at,
        decided_at=unit.now if ruling.state.is_decided else None,
    )
    table.write(unit.connection, after)
    after = replace(after, version=dispute.version + 1)
    change.orders[order.id] = replace(
        order, disputed_minor=order.disputed_minor + after.held_minor - dispute.held_minor
    )
    for number, leg in enumerate(_legs(change, dispute, after, ruling.fee_minor)):
        id = uuid5(dispute.id, f"{dispute.version}/{number}")
        change.post(order, id, leg, f"dispute:{dispute.id}")
    _step(unit, after, word, ruling.note, source)
    _tell(change, change.orders[order.id], after, _kind_of(dispute, after))
    _settle_case(unit, dispute, after)
    return ruling


def _legs(change: Change, before: Dispute, after: Dispute, fee_minor: int) -> list[Leg]:
    """Return what follows for the books from where the money lies before and after."""
    order = change.orders[before.order]
    disputes = accounts.disputes(before.currency)
    available = accounts.available(before.merchant, before.currency)
    fees_due = accounts.fees_due(before.currency)
    legs: list[Leg] = []
    if before.money is Money.NONE and after.money is not Money.NONE:
        legs.append((_home_account(after), disputes, after.held_minor, CAUSE))
    was_taken, is_taken = before.money is Money.TAKEN, after.money is Money.TAKEN
    outside = _outside(order, before)
    if is_taken and not was_taken:
        bearer, account = change.bearer(before.merchant, before.currency)
        legs.append((disputes, outside, after.held_minor, CAUSE))
        legs.append((account, outside, after.excess_minor, EXCESS_CAUSE))
        if after.excess_minor:
            change.lose(order, f"dispute:{before.id}", bearer, after.excess_minor)
    if was_taken and not is_taken:
        bearer, account = change.bearer(before.merchant, before.currency)
        legs.append((outside, disputes, before.held_minor, CAUSE))
        legs.append((outside, account, before.excess_minor, EXCESS_CAUSE))
        if before.excess_minor:
            change.lose(order, f"dispute:{before.id}", bearer, -before.excess_minor)
    if before.money is not Money.NONE and after.money is Money.NONE:
        legs.append((disputes, _home_account(before), before.held_minor, CAUSE))
    if fee_minor > 0:
        legs.append((available, fees_due, fee_minor, FEE_CAUSE))
    elif fee_minor < 0:
        legs.append((fees_due, available, -fee_minor, FEE_CAUSE))
    return legs


def _home_account(dispute: Dispute) -> str:
    if dispute.home is Home.PENDING:
        return accounts.pending(dispute.merchant, dispute.currency)
    return accounts.available(dispute.merchant, dispute.currency)


def _outside(order: Order, dispute: Dispute) -> str:
    if dispute.channel == BALANCE:
        assert order.payer.account is not None, "it was paid from an account"
        return order.payer.account
    return accounts.in_transit(dispute.channel, dispute.currency)


def _step(unit: UnitOfWork, dispute: Dispute, word: DisputeWord, note: str, source: str) -> None:
    step = DisputeStep(
        dispute.version,
        word,
        dispute.state,
        dispute.money,
        dispute.held_minor,
        note,
        source,
        unit.now,
        unit.actor,
    )
    table.insert_step(unit.connection, dispute.id, step)


def _kind_of(before: Dispute, after: Dispute) -> type[refunds_facts.DisputeFact]:
    if before.state is DisputeState.INQUIRY and after.state is DisputeState.OPENED:
        return refunds_facts.DisputeOpened
    if after.state is DisputeState.WON:
        return refunds_facts.DisputeWon
    if after.state in (DisputeState.LOST, DisputeState.ACCEPTED):
        return refunds_facts.DisputeLost
    return refunds_facts.DisputeMoved


def _tell(
    change: Change, order: Order, dispute: Dispute, kind: type[refunds_facts.DisputeFact]
) -> None:
    told = facts.about(order, change.attempts.get(dispute.attempt))
    fact: Fact = kind(
        **told,
        dispute=dispute.id,
        reference=dispute.reference,
        dispute_minor=dispute.amount_minor,
        held_minor=dispute.held_minor,
        state=dispute.state.value,
        money=dispute.money.value,
        reason=dispute.reason,
    )
    change.told.append((fact, refunds_facts.subject_of(order.id)))


def _settle_case(unit: UnitOfWork, before: Dispute, after: Dispute) -> None:
    """Close the case with an outcome, and open another where the outcome is turned."""
    subject = f"dispute:{after.id}"
    if after.state.is_decided:
        outcome = "won" if after.state is DisputeState.WON else "lost"
        closing.conclude(unit, DISPUTE_CASE.name, subject, outcome)
    elif before.state.is_decided:
        open_case(unit, DISPUTE_CASE.name, subject, links=(f"payment:{after.order}",))


def read(connection: sa.Connection, dispute: UUID, *, merchant: UUID | None = None) -> Dispute:
    """Return a dispute.

    Refusals
    --------
    payment_dispute_is_unknown
    """
    found = table.read(connection, dispute)
    if merchant not in (None, found.merchant):
        raise PaymentDisputeIsUnknown(dispute=dispute)
    return found


def steps_of(connection: sa.Connection, dispute: UUID) -> list[DisputeStep]:
    """Return everything that happened to a dispute, in its order."""
    return table.steps_of(connection, dispute)


def evidence_of(connection: sa.Connection, dispute: UUID) -> list[KeptEvidence]:
    """Return what was said for the merchant, the oldest first."""
    return table.evidence_of(connection, dispute)


def list_disputes(
    connection: sa.Connection,
    *,
    merchant: UUID | None = None,
    order: UUID | None = None,
    state: DisputeState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Dispute]:
    """Return a page of disputes, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    found = table.list_newest(
        connection,
        limit=limit + 1,
        before=position_of(cursor),
        merchant=merchant,
        order=order,
        state=state,
    )
    items = tuple(found[:limit])
    last = items[-1] if len(found) > limit else None
    return Page(items, encode_cursor(last.opened_at.isoformat(), str(last.id)) if last else None)
