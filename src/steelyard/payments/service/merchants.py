"""Merchants: taken on after a check (KYB), watched, suspended, closed; and what they agreed to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Fact, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, open_case, registry
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.kernel.page import CursorIsInvalid
from steelyard.parties import approvals
from steelyard.payments.model.channel import Method
from steelyard.payments.model.merchants import (
    CONTRACT,
    WATCHED_FOR,
    Merchant,
    MerchantState,
    RiskGrade,
    RiskNote,
    Watch,
    check_contract,
    default_contract,
)
from steelyard.payments.model.merchants_refusals import (
    ContractIsMalformed,
    MerchantHasAContract,
    MerchantHasOpenPayments,
    MerchantStateForbids,
    RiskNoteIsMalformed,
)
from steelyard.payments.model.refusals import PaymentMerchantIsUnknown
from steelyard.payments.model.settlement import SettlementTermsAreMalformed
from steelyard.payments.service.merchants_facts import (
    MerchantActivated,
    MerchantClosed,
    MerchantContractChanged,
    MerchantResumed,
    MerchantRiskNoted,
    MerchantSuspended,
)
from steelyard.payments.store import merchants as table
from steelyard.payments.store.merchants import MerchantChange, NotedRisk

__all__ = [
    "CHANGE",
    "CONTRACT",
    "RESUME",
    "WATCH",
    "ContractIsMalformed",
    "Merchant",
    "MerchantChange",
    "MerchantHasAContract",
    "MerchantHasOpenPayments",
    "MerchantState",
    "MerchantStateForbids",
    "NotedRisk",
    "PaymentMerchantIsUnknown",
    "RiskGrade",
    "RiskNote",
    "RiskNoteIsMalformed",
    "SettlementTermsAreMalformed",
    "Watch",
    "admit",
    "change_contract",
    "close",
    "history",
    "list_merchants",
    "note_risk",
    "notes_of",
    "read",
    "read_many",
    "request_change",
    "request_resume",
    "resume",
    "suspend",
    "timezones",
]

_RULE: Final = "rule.merchant_risk@1"
_CODE = re.compile(r"[a-z][a-z0-9_]{0,59}")
CHANGE: Final = approvals.approval_kind(
    "payments.change_contract",
    verb="payments.approve",
    en="Change a merchant's contract",
    zh="变更商户合同",
)
RESUME: Final = approvals.approval_kind(
    "payments.resume_merchant",
    verb="payments.approve",
    en="Let a suspended merchant take payments again",
    zh="恢复商户收款",
)
WATCH: Final = registry.register_kind(
    CaseKind(
        "payments.merchant_watch",
        "Merchant under watch",
        "商户风险监测",
        registry.Sla(timedelta(hours=24)),
        (
            registry.CaseOutcome("harmless", "Harmless", "无异常"),
            registry.CaseOutcome("restricted", "Restricted", "已限制"),
            registry.CaseOutcome("fraud", "Fraud", "欺诈"),
        ),
        priority=registry.Priority.HIGH,
        rises_at=(3,),
    )
)


def admit(
    unit: UnitOfWork,
    party: UUID,
    *,
    name: str,
    cause: str,
    industry: str | None = None,
    grade: RiskGrade = RiskGrade.C,
    currencies: Iterable[str] = ("CNY",),
    methods: Iterable[Method] = tuple(Method),
    contract: Mapping[str, object] | None = None,
    monthly_minor: int = 100_000_000,
) -> Merchant:
    """Give a party a contract without an application: an import, a partner's word, a simulation.

    Parameters
    ----------
    cause : import, approval or rule that lets it in, `name@version`
    contract : None: what the grade gives for the expected monthly volume

    Refusals
    --------
    merchant_has_a_contract, contract_is_malformed, settlement_terms_are_malformed
    """
    terms = default_contract(grade, monthly_minor) if contract is None else contract
    merchant = Merchant(
        id=party,
        state=MerchantState.ACTIVE,
        version=1,
        name=name,
        industry=industry,
        risk_grade=grade,
        currencies=tuple(currencies),
        methods=tuple(methods),
        contract=check_contract(terms),
        created_at=unit.now,
        updated_at=unit.now,
    )
    begin(unit, merchant, reason="admitted", cause=cause)
    fact = MerchantActivated(merchant=party, risk_grade=grade, cause=cause)
    unit.record(fact, subject=merchant.subject)
    return merchant


def begin(unit: UnitOfWork, merchant: Merchant, *, reason: str, cause: str) -> None:
    """Insert the first version of a contract.

    Refusals
    --------
    merchant_has_a_contract
    """
    if not table.insert(unit.connection, merchant):
        there = table.read(unit.connection, merchant.id)
        raise MerchantHasAContract(merchant=merchant.id, state=there.state)
    _keep(unit, merchant, reason, cause)


def suspend(unit: UnitOfWork, merchant: UUID, *, reason: str, cause: str | None = None) -> Merchant:
    """Let a merchant take no payments; what is under way goes on, refunds too.

    Refusals
    --------
    payment_merchant_is_unknown, merchant_state_forbids
    """
    before = table.read(unit.connection, merchant, lock=True).must_allow("suspended")
    by = cause or _person(unit)
    fact = MerchantSuspended(merchant=merchant, reason=reason, cause=by)
    after = replace(before, state=MerchantState.SUSPENDED)
    return move(unit, before, after, fact, reason=reason, cause=by)


def request_resume(unit: UnitOfWork, merchant: UUID, *, reason: str) -> approvals.Approval:
    """Ask for a second person's yes to resuming a merchant.

    Refusals
    --------
    payment_merchant_is_unknown, merchant_state_forbids
    """
    present = table.read(unit.connection, merchant, lock=True).must_allow("resumed")
    return approvals.request_approval(
        unit,
        kind=RESUME.name,
        subject=present.subject,
        shown=_resuming(present, reason),
        by=unit.actor,
    )


def resume(unit: UnitOfWork, merchant: UUID, *, reason: str, approval: UUID) -> Merchant:
    """Let a suspended merchant take payments again, as two people want it.

    Refusals
    --------
    payment_merchant_is_unknown, merchant_state_forbids, and those of an approval
    """
    before = table.read(unit.connection, merchant, lock=True).must_allow("resumed")
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=RESUME.name,
        subject=before.subject,
        shown=_resuming(before, reason),
    )
    fact = MerchantResumed(merchant=merchant, reason=reason, cause=cause)
    after = replace(before, state=MerchantState.ACTIVE)
    return move(unit, before, after, fact, reason=reason, cause=cause)


def close(unit: UnitOfWork, merchant: UUID, *, reason: str) -> Merchant:
    """End a contract; what the merchant is owed is still paid out.

    Refusals
    --------
    payment_merchant_is_unknown, merchant_state_forbids
    merchant_has_open_payments : cancel them, or let them end
    """
    before = table.read(unit.connection, merchant, lock=True).must_allow("closed")
    count = table.open_payments(unit.connection, merchant)
    if count:
        raise MerchantHasOpenPayments(merchant=merchant, count=count)
    cause = _person(unit)
    fact = MerchantClosed(merchant=merchant, reason=reason, cause=cause)
    after = replace(before, state=MerchantState.CLOSED)
    return move(unit, before, after, fact, reason=reason, cause=cause)


def request_change(
    unit: UnitOfWork,
    merchant: UUID,
    *,
    contract: Mapping[str, object],
    grade: RiskGrade | None = None,
) -> approvals.Approval:
    """Ask for a second person's yes to a contract.

    Refusals
    --------
    payment_merchant_is_unknown, merchant_state_forbids, contract_is_malformed,
    settlement_terms_are_malformed
    """
    before = table.read(unit.connection, merchant, lock=True).must_allow("changed")
    after = _changed(before, contract, grade)
    return approvals.request_approval(
        unit,
        kind=CHANGE.name,
        subject=before.subject,
        shown=_changing(before, after),
        by=unit.actor,
    )


def change_contract(
    unit: UnitOfWork,
    merchant: UUID,
    *,
    contract: Mapping[str, object],
    approval: UUID,
    grade: RiskGrade | None = None,
) -> Merchant:
    """Put a contract in force, as two people want it; it holds for what comes after.

    Refusals
    --------
    as `request_change`, and those of an approval
    """
    before = table.read(unit.connection, merchant, lock=True).must_allow("changed")
    after = _changed(before, contract, grade)
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=CHANGE.name,
        subject=before.subject,
        shown=_changing(before, after),
    )
    names = sorted({*before.contract, *after.contract})
    fact = MerchantContractChanged(
        merchant=merchant,
        contract_version=before.version + 1,
        risk_grade=after.risk_grade,
        changed=tuple(n for n in names if before.contract.get(n) != after.contract.get(n)),
        cause=cause,
    )
    return move(unit, before, after, fact, reason="contract", cause=cause)


def note_risk(unit: UnitOfWork, merchant: UUID, note: RiskNote) -> Watch:
    """Write down what monitoring saw; enough of it is put before a person, more suspends.

    Told again by the same source it changes nothing.

    Refusals
    --------
    payment_merchant_is_unknown, risk_note_is_malformed
    """
    noun, _, name = note.source.partition(":")
    is_formed = _CODE.fullmatch(note.code) and noun.isidentifier() and noun.islower() and name
    if not is_formed or not 0 <= note.weight <= 100:
        raise RiskNoteIsMalformed
    present = table.read(unit.connection, merchant, lock=True)
    since = unit.now - WATCHED_FOR
    before = Watch(table.weight_since(unit.connection, merchant, since))
    if table.has_note(unit.connection, merchant, note):
        return before
    after = Watch(before.weight + note.weight)
    case = None
    if after.wants_review:
        opened = open_case(unit, WATCH.name, present.subject, source=note.source)
        case = opened.case.id
    noted = NotedRisk(unit.new_id(), note, case, unit.now, unit.actor)
    table.insert_note(unit.connection, merchant, noted)
    unit.record(
        MerchantRiskNoted(
            merchant=merchant,
            code=note.code,
            source=note.source,
            weight=note.weight,
            total=after.weight,
        ),
        subject=present.subject,
    )
    if after.wants_suspension and present.state is MerchantState.ACTIVE:
        suspend(unit, merchant, reason=note.code, cause=_RULE)
    return after


def read(connection: sa.Connection, merchant: UUID) -> Merchant:
    """Return a merchant's contract.

    Refusals
    --------
    payment_merchant_is_unknown
    """
    return table.read(connection, merchant)


def read_many(connection: sa.Connection, merchants: Sequence[UUID]) -> dict[UUID, Merchant]:
    """Return those contracts that there are, by party."""
    return table.read_many(connection, merchants)


def timezones(connection: sa.Connection, merchants: Iterable[UUID]) -> dict[UUID, str]:
    """Return on whose clock the days of merchants are counted; without a contract, none."""
    found = table.read_many(connection, list(merchants))
    return {merchant: contract.timezone for merchant, contract in found.items()}


def list_merchants(
    connection: sa.Connection,
    *,
    state: MerchantState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Merchant]:
    """Return a page of contracts, in the order of their parties' ids.

    Refusals
    --------
    cursor_is_invalid
    """
    after: UUID | None = None
    if cursor:
        try:
            after = UUID(str(decode_cursor(cursor, str)[0]))
        except ValueError:
            raise CursorIsInvalid from None
    found = table.list_by_id(connection, state=state, after=after, limit=limit + 1)
    items = tuple(found[:limit])
    return Page(items, encode_cursor(str(items[-1].id)) if len(found) > limit else None)


def history(connection: sa.Connection, merchant: UUID) -> list[MerchantChange]:
    """Return every version of a contract with its reason, the oldest first."""
    return table.changes(connection, merchant)


def notes_of(connection: sa.Connection, merchant: UUID, *, limit: int = 100) -> list[NotedRisk]:
    """Return what monitoring saw of a merchant, newest first."""
    return table.notes_of(connection, merchant, limit)


def move(
    unit: UnitOfWork, before: Merchant, after: Merchant, fact: Fact, *, reason: str, cause: str
) -> Merchant:
    """Write the next version of a contract whose row is held, with its reason and fact."""
    changed = rewrite(unit, before, after, reason=reason, cause=cause)
    unit.record(fact, subject=before.subject)
    return changed


def rewrite(
    unit: UnitOfWork, before: Merchant, after: Merchant, *, reason: str, cause: str
) -> Merchant:
    """Write the next version of a contract whose row is held, with its reason."""
    after = replace(after, updated_at=unit.now)
    table.change(unit.connection, before, after)
    changed = replace(after, version=before.version + 1)
    _keep(unit, changed, reason, cause)
    return changed


def _keep(unit: UnitOfWork, merchant: Merchant, reason: str, cause: str) -> None:
    line = MerchantChange(
        merchant.version,
        merchant.state,
        merchant.risk_grade,
        merchant.contract,
        reason,
        cause,
        unit.actor,
        unit.now,
    )
    table.insert_change(unit.connection, merchant.id, line)
    audit(
        unit,
        action="payments.merchant",
        subject=merchant.subject,
        detail={"state": merchant.state.value, "version": merchant.version, "reason": reason},
    )


def _person(unit: UnitOfWork) -> str:
    """Return the cause of what somebody does on his own word."""
    return f"{unit.actor}@1"


def _changed(before: Merchant, contract: Mapping[str, object], grade: RiskGrade | None) -> Merchant:
    return replace(before, contract=check_contract(contract), risk_grade=grade or before.risk_grade)


def _changing(before: Merchant, after: Merchant) -> dict[str, str | int]:
    shown: dict[str, str | int] = {"version": before.version, "grade": after.risk_grade.value}
    for name in sorted({*before.contract, *after.contract}):
        was, becomes = before.contract.get(name), after.contract.get(name)
        if was != becomes:
            shown[name] = f"{was} -> {becomes}"
    return shown


def _resuming(merchant: Merchant, reason: str) -> dict[str, str | int]:
    return {"merchant": str(merchant.id), "version": merchant.version, "reason": reason}
