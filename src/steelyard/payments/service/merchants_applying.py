"""Taking merchants on: who they are, what they told, what the gate said, and who ruled.

Three stages, so that no lock is held while the gate thinks: the party is registered, the gate is
asked, and the application is entered with what follows from both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, Gate, Outcome, Question, UnitOfWork, Verdict, new_id
from steelyard.base.crypto import Keyring, Plain
from steelyard.cases import CaseKind, EventRef, closing, open_case
from steelyard.cases import registry as kinds
from steelyard.decisions import consume
from steelyard.parties import NewLegalPerson, PartyKind, approvals, registry
from steelyard.payments.model.fees import day_of
from steelyard.payments.model.merchants import (
    FATAL,
    Application,
    ApplicationState,
    Merchant,
    MerchantState,
    NewMerchant,
    Owner,
    OwnerKind,
    RiskGrade,
    check_application,
    default_contract,
    findings_of,
    grade_of,
    industry_word,
)
from steelyard.payments.model.merchants_refusals import (
    ApplicationIsRuled,
    ApplicationIsUnderReview,
    MerchantApplicationIsMalformed,
    MerchantApplicationIsUnknown,
    MerchantHasAContract,
    RulerApplied,
    RulingContradictsItself,
    RulingNeedsAPerson,
)
from steelyard.payments.model.settlement_accounts import NewSettlementAccount, check_account
from steelyard.payments.service import merchants, settlement_accounts
from steelyard.payments.service.merchants_facts import (
    MerchantActivated,
    MerchantApplied,
    MerchantRejected,
)
from steelyard.payments.store import merchants as table
from steelyard.payments.store.merchants import SealedOwner

__all__ = [
    "REVIEW",
    "Application",
    "ApplicationIsRuled",
    "ApplicationIsUnderReview",
    "ApplicationState",
    "Asked",
    "MerchantApplicationIsMalformed",
    "MerchantApplicationIsUnknown",
    "NewMerchant",
    "Owner",
    "OwnerKind",
    "RulerApplied",
    "RulingContradictsItself",
    "RulingNeedsAPerson",
    "applications_of",
    "apply",
    "enter",
    "read_application",
    "rule",
]

SCENE: Final = "merchant_application"
_NAME, _NUMBER = "payments.merchant_owner.name", "payments.merchant_owner.number"
_PAYEE, _PHONE, _ADDRESS = "payments.payee", "payments.phone", "payments.address"

REVIEW: Final = kinds.register_kind(
    CaseKind(
        "payments.merchant_application",
        "Merchant application",
        "商户入网审核",
        kinds.Sla(timedelta(days=2)),
        (
            kinds.CaseOutcome("approved", "Approved", "准入", kinds.Label("is_fraud", 0)),
            kinds.CaseOutcome("declined", "Declined", "拒绝"),
            kinds.CaseOutcome("fraud", "Fraud", "欺诈", kinds.Label("is_fraud", 1)),
        ),
        skill="payments.onboard",
        is_settled_elsewhere=True,
    )
)


@dataclass(frozen=True, slots=True)
class Asked:
    """An application of a registered party with what the gate said to it."""

    application: UUID
    party: UUID
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Tokens:
    """What the gate is told instead of personal data: equal for equal values, and no more."""

    owner: str
    payee: str
    phone: str | None
    address: str | None


def apply(
    database: Database,
    keyring: Keyring,
    gate: Gate,
    new: NewMerchant,
    account: NewSettlementAccount,
    *,
    actor: str,
) -> Application:
    """Take an application, and decide it where nobody has to look.

    The gate's yes to an application without findings makes the merchant active; a fatal finding or
    the gate's no rejects it; anything else is put before a person (`rule`). A merchant that was
    rejected may apply again.

    Refusals
    --------
    merchant_application_is_malformed, contract_is_malformed, settlement_account_is_malformed
    registration_number_is_invalid, registration_number_is_taken, registration_is_declined
    origin_was_used, merchant_has_a_contract, application_is_under_review
    settlement_account_is_not_theirs
    """
    check_application(new)
    account = check_account(account)
    party = _register(database, keyring, gate, new, actor)
    tokens = database.transact(
        lambda unit: _tokens(unit, keyring, new, account),
        actor=actor,
    )
    told: dict[str, object] = {
        "merchant": party,
        "owner": tokens.owner,
        "payee": tokens.payee,
        "phone": tokens.phone,
        "address": tokens.address,
        "device": new.device,
        "ip": new.ip,
        "country": new.country,
        "industry": industry_word(new.industry),
        "monthly_minor": new.monthly_minor,
    }
    now = database.now()
    application = new_id(now)
    (verdict,) = gate.ask_all(SCENE, [Question(str(application), now, told)])
    asked = Asked(application, party, verdict)
    return database.transact(
        lambda unit: enter(unit, keyring, asked, new, account=account), actor=actor
    )


def enter(
    unit: UnitOfWork,
    keyring: Keyring,
    asked: Asked,
    new: NewMerchant,
    *,
    account: NewSettlementAccount,
) -> Application:
    """Write an application of a registered party down with what follows from the verdict.

    Refusals
    --------
    as of `apply`, from merchant_has_a_contract on
    """
    party, verdict = asked.party, asked.verdict
    findings = findings_of(new, day_of(unit.now, new.timezone))
    grade = grade_of(new, findings, verdict.reasons)
    state = _follows(findings, verdict)
    merchant = _applied(unit, party, new, grade)
    application = Application(
        id=asked.application,
        merchant=party,
        state=state,
        version=1,
        industry=new.industry,
        licence_no=new.licence_no.strip(),
        licence_until_on=new.licence_until_on,
        currency=new.currency,
        monthly_minor=new.monthly_minor,
        findings=findings,
        outcome=verdict.outcome,
        reasons=verdict.reasons,
        cause=verdict.cause,
        decision=verdict.decision_id,
        risk_grade=grade,
        applied_at=unit.now,
        applied_by=approvals.answerable_for(unit.connection, unit.actor),
    )
    if state is ApplicationState.REVIEW:
        opened = open_case(
            unit,
            REVIEW.name,
            application.subject,
            event=EventRef(SCENE, str(application.id)),
            links=(f"party:{party}",),
        )
        application = replace(application, case_id=opened.case.id)
    else:
        application = replace(
            application, ruled_at=unit.now, ruled_by=verdict.cause, ruling=verdict.outcome
        )
    owners = _sealed(unit, keyring, party, new.owners)
    table.insert_application(unit.connection, application, owners)
    unit.record(_told(application), subject=merchant.subject)
    if state is ApplicationState.APPROVED and verdict.decision_id is not None:
        consume(unit, verdict.decision_id, by=application.subject)
    _settle(unit, merchant, application, cause=verdict.cause)
    settlement_accounts.propose(unit, keyring, party, account)
    return application


def rule(
    unit: UnitOfWork,
    application: UUID,
    *,
    is_approved: bool,
    ruling: str,
    grade: RiskGrade | None = None,
    is_fraud: bool = False,
) -> Application:
    """Decide, as a person, an application that was put before people.

    Parameters
    ----------
    ruling : in words, why; without personal data
    grade : of the merchant, where the person knows better than the rule
    is_fraud : that the application was one; the gate learns it

    Refusals
    --------
    merchant_application_is_unknown, application_is_ruled, ruling_needs_a_person, ruler_applied
    ruling_contradicts_itself : nobody takes a fraud on
    """
    seen = table.read_application(unit.connection, application)
    merchant = table.read(unit.connection, seen.merchant, lock=True)
    before = table.read_application(unit.connection, application, lock=True)
    if before.state is not ApplicationState.REVIEW:
        raise ApplicationIsRuled(application=application, state=before.state)
    if not unit.actor.startswith("staff:"):
        raise RulingNeedsAPerson(application=application, actor=unit.actor)
    if unit.actor == before.applied_by:
        raise RulerApplied(application=application)
    if is_approved and is_fraud:
        raise RulingContradictsItself
    state = ApplicationState.APPROVED if is_approved else ApplicationState.DECLINED
    after = replace(
        before,
        state=state,
        risk_grade=grade or before.risk_grade,
        ruled_at=unit.now,
        ruled_by=unit.actor,
        ruling=ruling,
    )
    table.rule(unit.connection, before, after)
    word = "approved" if is_approved else "fraud" if is_fraud else "declined"
    closing.conclude(unit, REVIEW.name, before.subject, word)
    _settle(unit, merchant, after, cause=f"{unit.actor}@1")
    return replace(after, version=before.version + 1)


def read_application(connection: sa.Connection, application: UUID) -> Application:
    """Return an application.

    Refusals
    --------
    merchant_application_is_unknown
    """
    return table.read_application(connection, application)


def applications_of(connection: sa.Connection, merchant: UUID) -> list[Application]:
    """Return the applications of a merchant, newest first."""
    return table.applications_of(connection, merchant)


def _register(
    database: Database, keyring: Keyring, gate: Gate, new: NewMerchant, actor: str
) -> UUID:
    """Return the party, registered if it is new; the same number is the same merchant."""
    person = NewLegalPerson(
        legal_name=new.legal_name,
        number=new.number,
        country=new.country,
        industry=new.industry,
        licence_until_on=new.licence_until_on,
        origin=new.origin,
        region=new.region,
        channel="payments",
    )
    verdict = registry.ask_to_register(gate, PartyKind.MERCHANT, person, now=database.now())

    def work(unit: UnitOfWork) -> UUID:
        return registry.register_merchant(unit, keyring, person, verdict=verdict).id

    try:
        return database.transact(work, actor=actor)
    except registry.RegistrationNumberIsTaken as taken:
        party = taken.facts["party"]
        assert isinstance(party, UUID), "the refusal names the holder"
        with database.reading() as connection:
            known = registry.read_party(connection, party)
        is_same = known.kind is PartyKind.MERCHANT and known.legal is not None
        if not is_same or known.legal is None or known.legal.legal_name != new.legal_name.strip():
            raise
        return party


def _tokens(
    unit: UnitOfWork, keyring: Keyring, new: NewMerchant, account: NewSettlementAccount
) -> _Tokens:
    def index(value: str, field: str) -> str:
        return keyring.blind_index(unit.connection, value, field=field).hex()[:32]

    first = max(new.owners, key=lambda owner: (owner.controls, owner.share_bp))
    return _Tokens(
        owner=index(first.number.strip(), _NUMBER),
        payee=index(account.number, _PAYEE),
        phone=None if new.phone is None else index("".join(new.phone.split()), _PHONE),
        address=None if new.address is None else index("".join(new.address.split()), _ADDRESS),
    )


def _follows(findings: tuple[str, ...], verdict: Verdict) -> ApplicationState:
    if verdict.outcome is Outcome.DECLINE or FATAL & set(findings):
        return ApplicationState.DECLINED
    if verdict.outcome is Outcome.APPROVE and not findings:
        return ApplicationState.APPROVED
    return ApplicationState.REVIEW


def _applied(unit: UnitOfWork, party: UUID, new: NewMerchant, grade: RiskGrade) -> Merchant:
    """Return the contract of a party as one that applied, its row held."""
    fresh = Merchant(
        id=party,
        state=MerchantState.APPLIED,
        version=1,
        name=new.legal_name.strip(),
        industry=new.industry,
        risk_grade=grade,
        currencies=new.currencies,
        methods=new.methods,
        contract=default_contract(grade, new.monthly_minor, new.timezone),
        created_at=unit.now,
        updated_at=unit.now,
    )
    there = table.find(unit.connection, party, lock=True)
    if there is None:
        merchants.begin(unit, fresh, reason="applied", cause=f"{unit.actor}@1")
        return fresh
    if there.state is MerchantState.REVIEW:
        open_one = table.applications_of(unit.connection, party)[0]
        raise ApplicationIsUnderReview(application=open_one.id)
    if there.state is not MerchantState.REJECTED:
        raise MerchantHasAContract(merchant=party, state=there.state)
    again = replace(fresh, version=there.version, created_at=there.created_at, updated_at=unit.now)
    return merchants.rewrite(unit, there, again, reason="applied again", cause=f"{unit.actor}@1")


def _settle(unit: UnitOfWork, merchant: Merchant, application: Application, *, cause: str) -> None:
    """Bring the contract to where its application stands."""
    if application.state is ApplicationState.REVIEW:
        after = replace(merchant, state=MerchantState.REVIEW)
        merchants.rewrite(unit, merchant, after, reason="review", cause=cause)
        return
    if application.state is ApplicationState.DECLINED:
        merchant.must_allow("rejected")
        after = replace(merchant, state=MerchantState.REJECTED)
        no = MerchantRejected(merchant=merchant.id, application=application.id, cause=cause)
        merchants.move(unit, merchant, after, no, reason="declined", cause=cause)
        return
    merchant.must_allow("activated")
    grade = application.risk_grade
    after = replace(
        merchant,
        state=MerchantState.ACTIVE,
        risk_grade=grade,
        contract=default_contract(grade, application.monthly_minor, merchant.timezone),
        decision=application.decision,
    )
    yes = MerchantActivated(merchant=merchant.id, risk_grade=grade, cause=cause)
    merchants.move(unit, merchant, after, yes, reason="approved", cause=cause)


def _sealed(
    unit: UnitOfWork, keyring: Keyring, party: UUID, owners: tuple[Owner, ...]
) -> list[SealedOwner]:
    holder = f"party:{party}"
    plains = [
        plain
        for owner in owners
        for plain in (
            Plain(holder, _NAME, owner.name.strip()),
            Plain(holder, _NUMBER, owner.number.strip()),
        )
    ]
    sealed = keyring.seal_many(unit.connection, plains)
    return [
        SealedOwner(
            owner.kind,
            sealed[2 * at],
            sealed[2 * at + 1],
            keyring.blind_index(unit.connection, owner.number.strip(), field=_NUMBER),
            owner.share_bp,
            owner.controls,
        )
        for at, owner in enumerate(owners)
    ]


def _told(application: Application) -> MerchantApplied:
    return MerchantApplied(
        merchant=application.merchant,
        application=application.id,
        industry=application.industry,
        currency=application.currency,
        monthly_minor=application.monthly_minor,
        findings=application.findings,
        outcome=application.outcome,
        reasons=application.reasons,
        cause=application.cause,
        state=application.state,
    )
