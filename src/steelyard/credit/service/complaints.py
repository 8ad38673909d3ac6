"""What customers bring up: complaints, repudiation, disputes of the bureau's record.

Each is answered by a day that a dated rule sets, with reasons; what follows from the answer is done
in the transaction of the answer. People look at the case on the queue, and answer here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, EventRef, closing, open_case
from steelyard.cases import registry as case_registry
from steelyard.cashflows import events
from steelyard.credit.model.complaint import (
    DEADLINES,
    NEEDED,
    AnswerIsMalformed,
    Consequence,
    DeadlineRule,
    EvidenceIsNeeded,
    Matter,
    MatterAnswer,
    MatterHasNoExtension,
    MatterIsAnswered,
    MatterIsUnknown,
    MatterKind,
    MatterOutcome,
    NoApprovalIsNeeded,
    check_answer,
    due_on,
    follows,
    rule_for,
)
from steelyard.credit.model.loan import Loan, LoanState, Route
from steelyard.credit.model.strategy import Stop
from steelyard.credit.service import books, bureau_files, changes, collections, facts, signing
from steelyard.credit.service.booking import Act, open_file, perform
from steelyard.credit.service.loans import reverse
from steelyard.credit.service.outside_facts import MatterAnswered, MatterReceived
from steelyard.credit.store import complaints as table
from steelyard.credit.store import loans as loan_table
from steelyard.decisions import lists
from steelyard.parties import approvals

__all__ = [
    "ANSWER",
    "BLOCKED_DEVICES",
    "DEADLINES",
    "EXTEND",
    "KINDS",
    "AnswerIsMalformed",
    "Consequence",
    "DeadlineRule",
    "EvidenceIsNeeded",
    "Matter",
    "MatterAnswer",
    "MatterEvidence",
    "MatterHasNoExtension",
    "MatterIsAnswered",
    "MatterIsUnknown",
    "MatterKind",
    "MatterOutcome",
    "NewMatter",
    "NoApprovalIsNeeded",
    "answer",
    "attach",
    "attach_contract",
    "evidence_of",
    "extend",
    "matters_of",
    "needs_approval",
    "open_matters",
    "propose",
    "read_matter",
    "receive",
    "request_extension",
]

MatterEvidence = table.MatterEvidence
BLOCKED_DEVICES = "blocked_devices"
"""The list of `decisions` that takes the devices of a fraud."""
_OUTCOMES = (
    case_registry.CaseOutcome("upheld", "Upheld", "成立"),
    case_registry.CaseOutcome("partly", "Upheld in part", "部分成立"),
    case_registry.CaseOutcome("refused", "Refused with reasons", "不成立"),
    case_registry.CaseOutcome("withdrawn", "Withdrawn by the customer", "客户撤回"),
)
_FRAUD = (
    case_registry.CaseOutcome(
        "upheld", "Taken by somebody else", "冒名借款", case_registry.Label("is_fraud", 1)
    ),
    case_registry.CaseOutcome(
        "refused", "Taken by the customer", "本人借款", case_registry.Label("is_fraud", 0)
    ),
    case_registry.CaseOutcome("withdrawn", "Withdrawn by the customer", "客户撤回"),
)
_OFFICE = case_registry.WorkingHours("CN", "Asia/Shanghai")


def _kind(kind: MatterKind, en: str, zh: str, sla: case_registry.Sla) -> CaseKind:
    outcomes = _FRAUD if kind is MatterKind.REPUDIATION else _OUTCOMES
    priority = (
        case_registry.Priority.HIGH
        if kind is MatterKind.REPUDIATION
        else case_registry.Priority.NORMAL
    )
    return case_registry.register_kind(
        CaseKind(
            f"credit.{kind.value}",
            en,
            zh,
            sla,
            outcomes,
            priority=priority,
            skill="credit.answer",
            is_settled_elsewhere=True,
        )
    )


KINDS: Final = MappingProxyType(
    {
        MatterKind.COMPLAINT: _kind(
            MatterKind.COMPLAINT, "Complaint", "投诉", case_registry.Sla(timedelta(days=15))
        ),
        MatterKind.REPUDIATION: _kind(
            MatterKind.REPUDIATION,
            "Repudiation of a loan",
            "借款抵赖或伪冒",
            case_registry.Sla(timedelta(hours=90), _OFFICE),
        ),
        MatterKind.BUREAU_DISPUTE: _kind(
            MatterKind.BUREAU_DISPUTE,
            "Dispute of what the bureau was told",
            "征信异议",
            case_registry.Sla(timedelta(days=20)),
        ),
    }
)
"""Their cases; the day that binds stands on the matter, where an extension moves it."""
ANSWER: Final = approvals.approval_kind(
    "credit.answer_matter",
    verb="credit.approve",
    en="Answer what a customer brought up",
    zh="客户诉求答复",
    lives=timedelta(days=3),
)
EXTEND: Final = approvals.approval_kind(
    "credit.extend_matter",
    verb="credit.approve",
    en="Extend the deadline of a matter",
    zh="延长诉求办理期限",
    lives=timedelta(days=3),
)
_STOPS: Final = MappingProxyType(
    {MatterKind.REPUDIATION: Stop.REPUDIATION, MatterKind.BUREAU_DISPUTE: Stop.DISPUTE}
)


@dataclass(frozen=True, slots=True)
class NewMatter:
    """What a customer brings up.

    Attributes
    ----------
    about : stable code (`not_my_loan`, `rude_call`, `wrong_penalty`, `wrong_history`, ...)
    links : further `noun:id` that it has to do with
    """

    loan: UUID
    kind: MatterKind
    about: str
    links: tuple[str, ...] = ()


def receive(unit: UnitOfWork, new: NewMatter) -> Matter:
    """Take a matter in: its day is set and its case opened.

    Where the loan or what was told of it is contested, collection stops at once. The same matter
    again, while it is open, is the one there is.

    Refusals
    --------
    loan_is_unknown
    """
    loan = loan_table.lock(unit.connection, new.loan)
    known = table.find_open(unit.connection, loan.nr, new.kind)
    if known is not None:
        return known
    received_on = books.business_on(unit.connection, loan.currency)
    rule = rule_for(new.kind, received_on)
    id = unit.new_id()
    case = open_case(
        unit,
        KINDS[new.kind].name,
        f"loan:{loan.id}",
        dedup_key=f"matter:{id}",
        source=f"matter:{id}",
        event=_labelled(new.kind, loan),
        links=(f"party:{loan.party}", *new.links),
    ).case
    matter = Matter(
        id=id,
        kind=new.kind,
        nr=loan.nr,
        party=loan.party,
        about=new.about,
        case=case.id,
        received_at=unit.now,
        received_on=received_on,
        due_on=due_on(rule, received_on),
        rule=rule.name,
    )
    table.insert(unit.connection, matter)
    if new.kind in _STOPS:
        collections.stop(unit, loan.party, _STOPS[new.kind], source=matter.subject, nr=loan.nr)
    unit.record(
        MatterReceived(
            matter=id,
            matter_kind=new.kind.value,
            loan=loan.id,
            party=loan.party,
            due_on=matter.due_on,
        ),
        subject=matter.subject,
    )
    audit(
        unit,
        action="credit.receive_matter",
        subject=loan.subject,
        detail={"matter": str(id), "kind": new.kind.value, "due_on": matter.due_on.isoformat()},
    )
    return matter


def attach(
    unit: UnitOfWork, matter: UUID, *, kind: str, reference: str, content_hash: str
) -> tuple[MatterEvidence, ...]:
    """Put evidence to a matter: where it is kept, and its SHA-256; never the thing itself.

    Refusals
    --------
    matter_is_unknown, matter_is_answered
    """
    present = table.lock(unit.connection, matter).must_be_open()
    one = MatterEvidence(kind, reference, content_hash, unit.now, unit.actor)
    table.add_evidence(unit.connection, present.id, one)
    audit(
        unit,
        action="credit.attach_evidence",
        subject=present.subject,
        detail={"kind": kind, "reference": reference, "sha256": content_hash},
    )
    return tuple(table.evidence_of(unit.connection, matter))


def attach_contract(unit: UnitOfWork, matter: UUID) -> tuple[MatterEvidence, ...]:
    """Put the contract's own evidence to a matter: the package that its application exports.

    Refusals
    --------
    matter_is_unknown, matter_is_answered, evidence_is_missing : the contract keeps none
    """
    present = table.lock(unit.connection, matter).must_be_open()
    application = _loan_of(unit.connection, present).application
    if application is None:
        raise EvidenceIsNeeded(matter=matter, missing="contract_evidence")
    package = signing.export_evidence(unit.connection, application)
    return attach(
        unit,
        matter,
        kind="contract_evidence",
        reference=f"application:{application}",
        content_hash=hashlib.sha256(package).hexdigest(),
    )


def request_extension(unit: UnitOfWork, matter: UUID) -> approvals.Approval:
    """Ask for a second person's yes to a later day.

    Refusals
    --------
    matter_is_unknown, matter_is_answered, matter_has_no_extension
    """
    present = table.lock(unit.connection, matter).must_be_open()
    return approvals.request_approval(
        unit,
        kind=EXTEND.name,
        subject=present.subject,
        shown=_extension(present)[1],
        by=unit.actor,
    )


def extend(unit: UnitOfWork, matter: UUID, *, approval: UUID) -> Matter:
    """Move the day of a matter as its rule allows, as two people want it.

    Refusals
    --------
    matter_is_unknown, matter_is_answered, matter_has_no_extension, and those of `consume_approval`
    """
    present = table.lock(unit.connection, matter).must_be_open()
    later, shown = _extension(present)
    approvals.consume_approval(
        unit, approval, kind=EXTEND.name, subject=present.subject, shown=shown
    )
    table.extend(unit.connection, present, later)
    audit(
        unit,
        action="credit.extend_matter",
        subject=present.subject,
        detail={"due_on": later.isoformat(), "rule": present.rule},
    )
    return table.read(unit.connection, matter)


def needs_approval(kind: MatterKind, answer: MatterAnswer) -> bool:
    """Return whether a second person says yes to an answer.

    To every ruling about who took a loan, to what the bureau is told, and to a large waiver.
    """
    if answer.outcome is MatterOutcome.WITHDRAWN:
        return False
    if kind is MatterKind.REPUDIATION or answer.history:
        return True
    return answer.waived_minor > changes.WAIVED_ALONE_MINOR


def propose(unit: UnitOfWork, matter: UUID, answer: MatterAnswer) -> approvals.Approval:
    """Ask for a second person's yes to an answer, with everything that follows from it.

    Refusals
    --------
    matter_is_unknown, matter_is_answered, answer_is_malformed, evidence_is_needed
    no_approval_is_needed, and, of a waiver, those of `changes.change`
    """
    present = _answerable(unit, matter, answer)
    if not needs_approval(present.kind, answer):
        raise NoApprovalIsNeeded(matter=matter)
    if answer.waived_minor:
        loan = _loan_of(unit.connection, present)
        return changes.request(unit, loan.id, _waiver(answer))
    return approvals.request_approval(
        unit,
        kind=ANSWER.name,
        subject=present.subject,
        shown=_shown(unit, present, answer),
        by=unit.actor,
    )


def answer(
    unit: UnitOfWork, matter: UUID, answer: MatterAnswer, *, approval: UUID | None = None
) -> Matter:
    """Answer a matter, and do what follows from it in the same transaction.

    A repudiation that is upheld: the loan's payments go back to whom they came from, the rest is a
    loss of ours, nobody is contacted about it again, the bureau forgets it, and the devices it was
    taken with are blocked.

    Refusals
    --------
    matter_is_unknown, matter_is_answered, answer_is_malformed, evidence_is_needed
    approval_is_needed, and those of `consume_approval`, of `changes.waive` and of `loans.reverse`
    correction_is_malformed, list_is_unknown
    """
    present = _answerable(unit, matter, answer)
    loan = _loan_of(unit.connection, present)
    cause = None
    if needs_approval(present.kind, answer):
        if approval is None:
            raise approvals.ApprovalIsNeeded(name=ANSWER.name)
        if answer.waived_minor:
            cause = f"approval:{approval}@1"
        else:
            cause = approvals.consume_approval(
                unit,
                approval,
                kind=ANSWER.name,
                subject=present.subject,
                shown=_shown(unit, present, answer),
            )
    for one in follows(present.kind, answer.outcome):
        _CONSEQUENCES[one](unit, _Ruling(present, answer, loan, approval, cause))
    table.answer(
        unit.connection, present, answer.to_json(), at=unit.now, by=unit.actor, cause=cause
    )
    outcome = answer.outcome.value
    closing.conclude(unit, KINDS[present.kind].name, present.subject, outcome)
    on = books.business_on(unit.connection, loan.currency)
    unit.record(
        MatterAnswered(
            matter=matter,
            matter_kind=present.kind.value,
            loan=loan.id,
            party=present.party,
            outcome=outcome,
            is_in_time=on <= present.due_on,
        ),
        subject=present.subject,
    )
    audit(
        unit,
        action="credit.answer_matter",
        subject=present.subject,
        detail={"outcome": outcome, "cause": cause, "is_in_time": on <= present.due_on},
    )
    return table.read(unit.connection, matter)


def read_matter(connection: sa.Connection, matter: UUID) -> Matter:
    """Return a matter.

    Refusals
    --------
    matter_is_unknown
    """
    return table.read(connection, matter)


def matters_of(connection: sa.Connection, nr: int) -> tuple[Matter, ...]:
    """Return what was brought up about a loan, newest first."""
    return tuple(table.of_loan(connection, nr))


def open_matters(connection: sa.Connection, *, limit: int = 200) -> tuple[Matter, ...]:
    """Return what waits for an answer, the nearest deadline first."""
    return tuple(table.open_matters(connection, limit=limit))


def evidence_of(connection: sa.Connection, matter: UUID) -> tuple[MatterEvidence, ...]:
    """Return the evidence about a matter, oldest first.

    Refusals
    --------
    matter_is_unknown
    """
    table.read(connection, matter)
    return tuple(table.evidence_of(connection, matter))


# What follows


@dataclass(frozen=True, slots=True)
class _Ruling:
    """An answer about to be given."""

    matter: Matter
    answer: MatterAnswer
    loan: Loan
    approval: UUID | None
    cause: str | None


def _void_loan(unit: UnitOfWork, ruling: _Ruling) -> None:
    """Give back what was paid, and give up what is left."""
    loan, cause = ruling.loan.id, ruling.cause
    assert cause is not None, "approved by a second person"
    undone = {
        line.event.of
        for line in loan_table.history(unit.connection, loan)
        if isinstance(line.event, events.Reversed)
    }
    for line in reversed(loan_table.history(unit.connection, loan)):
        is_payment = isinstance(line.event, events.Repaid | events.PrepaidPart | events.PaidOff)
        if is_payment and line.seq not in undone and line.route is not Route.MERCHANT:
            reverse(unit, loan, of=line.seq, cause=cause)
    file = open_file(unit, loan)
    if file.loan.state is LoanState.ACTIVE:
        event = events.WrittenOff(seq=file.next_seq, on=file.business_on)
        who = file.loan
        act = Act(
            name="void",
            cause=cause,
            events=(event,),
            facts=lambda effect: [
                facts.LoanWrittenOff(
                    loan=who.id,
                    nr=who.nr,
                    party=who.party,
                    product=who.product,
                    currency=who.currency,
                    amount_minor=effect.after.totals.principal_written_off_minor
                    + effect.after.totals.interest_written_off_minor
                    + effect.after.totals.fee_written_off_minor
                    + effect.after.totals.penalty_written_off_minor,
                    on=event.on,
                    cause=cause,
                )
            ],
        )
        perform(unit, file, act)


def _keep_stopped(unit: UnitOfWork, ruling: _Ruling) -> None:
    """Let nobody be contacted for good: a source of its own, which no withdrawal lifts."""
    collections.stop(
        unit,
        ruling.matter.party,
        Stop.REPUDIATION,
        source=f"ruling:{ruling.matter.id}",
        nr=ruling.matter.nr,
    )


def _resume(unit: UnitOfWork, ruling: _Ruling) -> None:
    reason = f"matter_{ruling.answer.outcome.value}"
    collections.lift_of(unit, ruling.matter.subject, reason=reason)


def _delete_account(unit: UnitOfWork, ruling: _Ruling) -> None:
    bureau_files.delete_account(unit, ruling.matter.nr, cause=ruling.matter.subject)


def _correct_history(unit: UnitOfWork, ruling: _Ruling) -> None:
    for month, status in sorted(ruling.answer.history.items()):
        bureau_files.correct(unit, ruling.matter.nr, month, status, cause=ruling.matter.subject)


def _block_devices(unit: UnitOfWork, ruling: _Ruling) -> None:
    if ruling.answer.devices:
        lists.add_to_list(
            unit, BLOCKED_DEVICES, ruling.answer.devices, reason=f"fraud: {ruling.matter.subject}"
        )


def _waive(unit: UnitOfWork, ruling: _Ruling) -> None:
    told = ruling.answer
    if told.waived_minor:
        changes.waive(
            unit,
            ruling.loan.id,
            penalty_minor=told.waived_penalty_minor,
            fee_minor=told.waived_fee_minor,
            interest_minor=told.waived_interest_minor,
            approval=ruling.approval,
        )


_CONSEQUENCES: Final[MappingProxyType[Consequence, Callable[[UnitOfWork, _Ruling], None]]] = (
    MappingProxyType(
        {
            Consequence.STOP_COLLECTION: _keep_stopped,
            Consequence.REVERSE_LOAN: _void_loan,
            Consequence.DELETE_BUREAU_ACCOUNT: _delete_account,
            Consequence.CORRECT_BUREAU_HISTORY: _correct_history,
            Consequence.BLOCK_DEVICES: _block_devices,
            Consequence.WAIVE: _waive,
            Consequence.RESUME_COLLECTION: _resume,
        }
    )
)


def _answerable(unit: UnitOfWork, matter: UUID, answer: MatterAnswer) -> Matter:
    present = table.lock(unit.connection, matter).must_be_open()
    check_answer(present.kind, answer)
    has = {one.kind for one in table.evidence_of(unit.connection, matter)}
    missing = [kind for kind in NEEDED.get((present.kind, answer.outcome), ()) if kind not in has]
    if missing:
        raise EvidenceIsNeeded(matter=matter, missing=", ".join(missing))
    return present


def _shown(unit: UnitOfWork, matter: Matter, answer: MatterAnswer) -> dict[str, object]:
    """Return what a second person says yes to: the answer, its consequences, the evidence."""
    loan = _loan_of(unit.connection, matter)
    return {
        "matter": matter.kind.value,
        "loan": loan.nr,
        "version": loan.version,
        "principal_minor": loan.kept.principal_minor if loan.kept else 0,
        "answer": answer.to_json(),
        "follows": [one.value for one in follows(matter.kind, answer.outcome)],
        "evidence": [
            {"kind": e.kind, "reference": e.reference, "content_hash": e.content_hash}
            for e in table.evidence_of(unit.connection, matter.id)
        ],
    }


def _extension(matter: Matter) -> tuple[date, dict[str, object]]:
    rule = next(one for one in DEADLINES if one.name == matter.rule)
    if matter.extended >= len(rule.extensions):
        raise MatterHasNoExtension(matter=matter.id, due_on=matter.due_on, rule=rule.name)
    later = due_on(rule, matter.received_on, matter.extended + 1)
    return later, {
        "matter": str(matter.id),
        "rule": rule.name,
        "due_on": matter.due_on.isoformat(),
        "later": later.isoformat(),
    }


def _waiver(answer: MatterAnswer) -> events.Waived:
    return events.Waived(
        seq=0,
        on=date.min,
        penalty_minor=answer.waived_penalty_minor,
        fee_minor=answer.waived_fee_minor,
        interest_minor=answer.waived_interest_minor,
    )


def _loan_of(connection: sa.Connection, matter: Matter) -> Loan:
    (loan,) = loan_table.find(connection, after=matter.nr - 1, limit=1)
    return loan


def _labelled(kind: MatterKind, loan: Loan) -> EventRef | None:
    """Return the event whose label a ruling about fraud is: the loan's application."""
    if kind is not MatterKind.REPUDIATION or loan.application is None:
        return None
    return EventRef("loan_application", str(loan.application))
