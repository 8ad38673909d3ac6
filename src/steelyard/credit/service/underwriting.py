"""Underwriting: checked, decided by the policy, or ruled on by a person; and why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

import msgspec
import sqlalchemy as sa

from steelyard.base import Database, Gate, Question, UnitOfWork, Verdict
from steelyard.base.crypto import Keyring
from steelyard.cases import closing, open_case
from steelyard.credit.model.application import (
    Application,
    ApplicationIsMalformed,
    ApplicationState,
    event_fields,
)
from steelyard.credit.model.assessment import (
    NOBODY_DECIDED,
    Assessment,
    CreditFile,
    Grounds,
    Ruling,
    Said,
    assess,
    assessment_as_data,
    read_assessment,
)
from steelyard.credit.model.bureau import CreditBureau, Found, Known, Why
from steelyard.credit.model.counterfactual import (
    ACTIONABLE,
    Counterfactual,
    Situation,
    decide_again,
    find_counterfactual,
)
from steelyard.credit.model.product import Product, Tier
from steelyard.credit.model.reasons import OF_A_PERSON, REASONS
from steelyard.credit.service import bureau as bureaus
from steelyard.credit.service.applying import must_have_consent, product_for
from steelyard.credit.service.matters import REVIEW
from steelyard.credit.service.offering import business_on, make_offer
from steelyard.credit.service.origination_facts import (
    ApplicationDeclined,
    ApplicationReferred,
)
from steelyard.credit.service.steps import move
from steelyard.credit.store import applications as table
from steelyard.credit.store import lines as line_table
from steelyard.decisions import asking, consume, policies, records
from steelyard.features import catalogue
from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties import approvals, identity, registry

__all__ = [
    "ACTIONABLE",
    "OF_A_PERSON",
    "REVIEW",
    "SCENE",
    "UNDERWRITE",
    "Assessment",
    "Counterfactual",
    "CounterfactualIsNotAsked",
    "PersonIsNeeded",
    "PersonsRuling",
    "ReasonIsNotGiven",
    "Ruling",
    "RulingKind",
    "adverse_reasons",
    "assessment_of",
    "check",
    "conclude",
    "counterfactual_of",
    "decide",
    "grounds_of",
    "question_of",
    "request_ruling",
    "rule",
    "situation_of",
    "text_of",
]

SCENE = "loan_application"
FRESH = timedelta(minutes=10)
"""How long after the checks the policy is asked about the same event; then it is a new event."""
_INQUIRIES = UUID("0f5b7f0c-4a52-5d7f-9a05-3c77d2f9f0a1")
_S = ApplicationState
UNDERWRITE = approvals.approval_kind(
    "credit.underwrite",
    verb="credit.approve",
    en="Rule on a loan application above the amount of one person",
    zh="超权限贷款审批",
    lives=timedelta(days=3),
)


class PersonIsNeeded(Refusal):
    """A person rules, not a machine or a customer."""

    kind = RefusalKind.FORBIDDEN
    en = "Applications are ruled on by staff, not by {actor}."
    zh = "人工审批须由员工作出，{actor} 不能审批。"


class ReasonIsNotGiven(Refusal):
    """A ruling that is not yes says why, in codes that a person may give."""

    kind = RefusalKind.INVALID
    en = "A ruling needs reasons out of: {known}."
    zh = "审批结论须给出理由，可选：{known}。"


class CounterfactualIsNotAsked(Refusal):
    """Nothing was refused or reduced."""

    kind = RefusalKind.CONFLICT
    en = "Application {application} was neither declined nor reduced by a decision."
    zh = "申请 {application} 未被拒绝或降额，无需反事实说明。"


class RulingKind(StrEnum):
    """What a person says."""

    APPROVE = "approve"
    REDUCE = "reduce"
    DECLINE = "decline"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonsRuling:
    """What a person rules.

    Attributes
    ----------
    amount_minor : of a reduction; an approval is of what was asked for
    tier : whose price is offered; None: as assessed, or the last that the product serves
    reasons : codes of `OF_A_PERSON`, most weighty first
    """

    kind: RulingKind
    reasons: tuple[str, ...]
    amount_minor: int | None = None
    tier: Tier | None = None


# -- the checks ---------------------------------------------------------------------------------


def check(
    database: Database,
    keyring: Keyring,
    bureau: CreditBureau | None,
    application: UUID,
    *,
    actor: str,
) -> Application:
    """Look at identity and credit file; what cannot be known is unknown, and a person looks at it.

    A report that is still valid is used again: every inquiry leaves a trace with the bureau.

    Refusals
    --------
    application_is_unknown, application_state_forbids, application_has_expired, consent_is_needed,
    and those of the bureau's inquiry
    """
    with database.reading() as connection:
        present = table.read(connection, application)
        now = database.clock.read(connection)
        present.must_be("check", _S.SUBMITTED, _S.CHECKED, now=now)
        must_have_consent(connection, present)
        known = bureaus.newest(connection, present.party, now=now)
    if known is None and bureau is not None:
        known = _inquire(database, keyring, bureau, present, actor)
    return database.transact(lambda unit: _record_checks(unit, application, known), actor=actor)


def _inquire(
    database: Database, keyring: Keyring, bureau: CreditBureau, present: Application, actor: str
) -> Known | None:
    ask = bureaus.Ask(present.party, Why.APPLICATION, uuid5(_INQUIRIES, str(present.id)))
    inquiry = bureaus.inquire(database, keyring, bureau, ask, actor=actor)
    with database.reading() as connection:
        return bureaus.known_of(connection, inquiry.id)


def _record_checks(unit: UnitOfWork, application: UUID, known: Known | None) -> Application:
    present = table.read(unit.connection, application, lock=True)
    if present.state not in (_S.SUBMITTED, _S.CHECKED):
        return present
    party = registry.read_party(unit.connection, present.party)
    attempts = identity.attempts_of(unit.connection, present.party)
    checks: dict[str, Any] = {
        "identity_level": int(party.level),
        "identity": [
            {
                "attempt": str(one.id),
                "step": one.step,
                "state": one.state,
                "provider": one.provider,
                "started_at": one.started_at.isoformat(),
            }
            for one in attempts
            if one.is_settled
        ],
        "credit_file": {
            "inquiry": None if known is None else str(known.inquiry),
            "found": Found.UNKNOWN if known is None else known.found,
            "report": None if known is None else msgspec.to_builtins(known.report),
        },
    }
    detail = {"found": checks["credit_file"]["found"], "identity_level": int(party.level)}
    return move(unit, present, _S.CHECKED, checks=checks, detail=detail)


def _file_of(present: Application) -> CreditFile:
    assert present.checks is not None, "it was checked"
    found = {key: present.checks["credit_file"][key] for key in ("found", "report")}
    return msgspec.convert(found, CreditFile)


# -- the decision -------------------------------------------------------------------------------


def decide(database: Database, gate: Gate, application: UUID, *, actor: str) -> Application:
    """Ask the policy, and offer, refer to a person or decline; decided once, it stays so.

    The gate is asked before the transaction opens; its decision is consumed in the one that makes
    the offer. Asked again about the same event it says the same.

    Refusals
    --------
    application_is_unknown, application_state_forbids, application_has_expired, consent_is_needed,
    lender_is_unknown, owner_is_away, annual_rate_is_over_cap, and those of `decisions.consume`
    """
    with database.reading() as connection:
        present = table.read(connection, application)
        if present.assessment is not None:
            return present
        now = database.clock.read(connection)
        present.must_be("decide", _S.CHECKED, now=now)
        must_have_consent(connection, present)
        product = product_for(connection, present)
    if now - present.changed_at >= FRESH:
        present = database.transact(lambda unit: _renew(unit, application), actor=actor)
    (verdict,) = gate.ask_all(SCENE, [_question(present, product)])
    return database.transact(
        lambda unit: conclude(unit, application, present.version, verdict), actor=actor
    )


def question_of(connection: sa.Connection, application: Application) -> Question:
    """Return what the policy is asked about an application that was checked."""
    return _question(application, product_for(connection, application))


def _question(present: Application, product: Product) -> Question:
    fields = event_fields(present.party, product, present.facts, present.origin)
    return Question(f"{present.id}/{present.version}", present.changed_at, fields)


def _renew(unit: UnitOfWork, application: UUID) -> Application:
    present = table.read(unit.connection, application, lock=True)
    present.must_be("decide", _S.CHECKED, now=unit.now)
    return move(unit, present, _S.CHECKED, detail={"asked": "anew"})


def conclude(unit: UnitOfWork, application: UUID, version: int, verdict: Verdict) -> Application:
    """Offer, refer to a person or decline by a verdict on what an application was.

    Parameters
    ----------
    version : of the application about which the policy was asked; changed since, it stays as it is

    Refusals
    --------
    as of `decide`
    """
    present = table.read(unit.connection, application, lock=True)
    if present.assessment is not None:
        return present
    present.must_be("decide", _S.CHECKED, now=unit.now)
    if present.version != version:
        # Somebody checked it again since the policy was asked: the answer is about what was.
        return present
    must_have_consent(unit.connection, present)
    product = product_for(unit.connection, present)
    said = _said(unit.connection, verdict)
    principal, monthly = table.owed_by(unit.connection, present.party)
    days_late = line_table.worst_dpd(unit.connection, present.party)
    grounds = Grounds(
        product=product,
        facts=present.facts,
        said=said,
        file=_file_of(present),
        own_debts_minor=monthly,
        own_owed_minor=principal,
        own_days_late=days_late,
        on=business_on(unit.connection, product.currency),
    )
    found = assess(grounds)
    assessment = {
        **assessment_as_data(found),
        "own_debts_minor": monthly,
        "own_owed_minor": principal,
        "own_days_late": days_late,
        "on": grounds.on.isoformat(),
        "policy": verdict.cause,
    }
    decided = move(
        unit,
        present,
        _S.DECIDED,
        decision=verdict.decision_id,
        assessment=assessment,
        detail={"ruling": found.ruling, "reasons": list(found.reasons), "policy": verdict.cause},
    )
    match found.ruling:
        case Ruling.OFFER:
            return _offer(unit, decided, grounds, found, verdict)
        case Ruling.REVIEW:
            return _refer(unit, decided, found)
        case Ruling.DECLINE:
            return _decline(unit, decided, found.reasons, verdict.decision_id)


def _said(connection: sa.Connection, verdict: Verdict) -> Said:
    if verdict.decision_id is None:
        return NOBODY_DECIDED
    decision = records.read_decision(connection, verdict.decision_id).decision
    return Said(decision.outcome, decision.score, decision.reasons, decision.limit_minor)


def _offer(
    unit: UnitOfWork, present: Application, grounds: Grounds, found: Assessment, verdict: Verdict
) -> Application:
    assert found.tier is not None, "an offer has a price"
    assert verdict.decision_id is not None, "without a decision a person rules"
    decision = consume(
        unit, verdict.decision_id, by=present.subject, amount_minor=found.amount_minor
    )
    return make_offer(
        unit,
        present,
        grounds.product,
        tier=found.tier,
        amount_minor=found.amount_minor,
        cause=decision.cause,
        decision=decision.id,
        on=grounds.on,
    )


def _refer(unit: UnitOfWork, present: Application, found: Assessment) -> Application:
    opened = open_case(
        unit,
        REVIEW.name,
        present.subject,
        source=f"{present.subject}/{present.version}",
        links=(f"party:{present.party}",),
        kept_from=(unit.actor,) if unit.actor.startswith("staff:") else (),
    )
    fact = ApplicationReferred(
        application=present.id,
        party=present.party,
        product=present.product,
        reasons=found.reasons,
        case=opened.case.id,
    )
    return move(unit, present, _S.IN_REVIEW, fact=fact, detail={"case": str(opened.case.id)})


def _decline(
    unit: UnitOfWork, present: Application, reasons: tuple[str, ...], decision: UUID | None
) -> Application:
    fact = ApplicationDeclined(
        application=present.id,
        party=present.party,
        product=present.product,
        channel=present.channel,
        reasons=reasons,
        decision=decision,
    )
    return move(unit, present, _S.DECLINED, fact=fact, detail={"reasons": list(reasons)})


# -- a person's ruling --------------------------------------------------------------------------


def request_ruling(
    unit: UnitOfWork, application: UUID, ruling: PersonsRuling
) -> approvals.Approval | None:
    """Ask for a second person's yes to a ruling; None where one person may rule alone.

    Refusals
    --------
    as of `rule`
    """
    present, product = _reviewed(unit, application)
    amount, tier = _ruled(unit, present, product, ruling)
    if not _wants_two(present, product, ruling, amount):
        return None
    return approvals.request_approval(
        unit,
        kind=UNDERWRITE.name,
        subject=present.subject,
        shown=_shown(present, ruling, amount, tier),
        by=unit.actor,
    )


def rule(
    unit: UnitOfWork, application: UUID, ruling: PersonsRuling, *, approval: UUID | None = None
) -> Application:
    """Rule on an application that waits for a person; the case is closed with the ruling.

    Above the product's amount for one person, and above what was assessed as affordable, a second
    person has to have said yes.

    Refusals
    --------
    application_is_unknown, application_state_forbids, person_is_needed, reason_is_not_given,
    application_is_malformed, consent_is_needed, approval_is_needed, and those of
    `consume_approval` and of an offer
    """
    present, product = _reviewed(unit, application)
    amount, tier = _ruled(unit, present, product, ruling)
    cause = f"ruling:{present.id}@{present.version}"
    if _wants_two(present, product, ruling, amount):
        if approval is None:
            raise approvals.ApprovalIsNeeded(name=UNDERWRITE.name)
        cause = approvals.consume_approval(
            unit,
            approval,
            kind=UNDERWRITE.name,
            subject=present.subject,
            shown=_shown(present, ruling, amount, tier),
        )
    closing.conclude(unit, REVIEW.name, present.subject, ruling.kind)
    assessment = {
        **(present.assessment or {}),
        "person": {
            "ruling": ruling.kind,
            "reasons": list(ruling.reasons),
            "by": unit.actor,
            "cause": cause,
        },
    }
    ruled = move(
        unit,
        present,
        _S.IN_REVIEW,
        assessment=assessment,
        detail={"ruling": ruling.kind, "reasons": list(ruling.reasons), "cause": cause},
    )
    if ruling.kind is RulingKind.DECLINE:
        return _decline(unit, ruled, ruling.reasons, None)
    return make_offer(
        unit, ruled, product, tier=tier, amount_minor=amount, cause=cause, decision=None
    )


def _reviewed(unit: UnitOfWork, application: UUID) -> tuple[Application, Product]:
    present = table.read(unit.connection, application, lock=True)
    present.must_be("rule", _S.IN_REVIEW, now=unit.now)
    if not unit.actor.startswith("staff:"):
        raise PersonIsNeeded(actor=unit.actor)
    return present, product_for(unit.connection, present)


def _ruled(
    unit: UnitOfWork, present: Application, product: Product, ruling: PersonsRuling
) -> tuple[int, Tier]:
    """Return the amount and the tier of a ruling that is in order."""
    if not ruling.reasons or not OF_A_PERSON.issuperset(ruling.reasons):
        raise ReasonIsNotGiven(known=", ".join(sorted(OF_A_PERSON)))
    asked = present.facts.amount_minor
    last = product.tiers[-1].tier
    assessed = assessment_of(present)
    tier = ruling.tier or (assessed.tier if assessed else None) or last
    if product.tier_rule(tier) is None:
        raise ApplicationIsMalformed(field="tier", why="served by the product")
    if ruling.kind is RulingKind.DECLINE:
        return 0, tier
    must_have_consent(unit.connection, present)
    if ruling.kind is RulingKind.APPROVE:
        return asked, tier
    amount = ruling.amount_minor
    fits = amount is not None and product.least_minor <= amount < asked
    if amount is None or not fits or amount % product.step_minor:
        raise ApplicationIsMalformed(
            field="amount_minor", why=f"{product.least_minor}..{asked}, whole steps"
        )
    return amount, tier


def _wants_two(
    present: Application, product: Product, ruling: PersonsRuling, amount_minor: int
) -> bool:
    if ruling.kind is RulingKind.DECLINE:
        return False
    assessed = assessment_of(present)
    most = 0 if assessed is None else assessed.amount_minor
    return amount_minor > min(product.second_person_above_minor, most)


def _shown(
    present: Application, ruling: PersonsRuling, amount_minor: int, tier: Tier
) -> dict[str, object]:
    assessed = assessment_of(present)
    return {
        "application": str(present.id),
        "version": present.version,
        "product": f"{present.product}@{present.product_version}",
        "asked_minor": present.facts.amount_minor,
        "assessed_minor": 0 if assessed is None else assessed.amount_minor,
        "burden_bp": None if assessed is None else assessed.burden_bp,
        "ruling": str(ruling.kind),
        "amount_minor": amount_minor,
        "tier": str(tier),
        "reasons": list(ruling.reasons),
    }


# -- why not, and what would have helped --------------------------------------------------------


def assessment_of(application: Application) -> Assessment | None:
    """Return what an application was assessed as; None before."""
    data = application.assessment
    if data is None:
        return None
    return read_assessment({name: data[name] for name in Assessment.__dataclass_fields__})


def adverse_reasons(application: Application) -> tuple[str, ...]:
    """Return why an application was declined or reduced, a person's reasons before all others."""
    data: Mapping[str, Any] = application.assessment or {}
    person = data.get("person")
    if person is not None and person["ruling"] != RulingKind.APPROVE:
        return tuple(person["reasons"])
    assessed = assessment_of(application)
    if assessed is None or person is not None:
        return ()
    if assessed.ruling is Ruling.OFFER and assessed.amount_minor == application.facts.amount_minor:
        return ()
    return assessed.reasons


def text_of(code: str, language: str) -> str:
    """Return what a customer is told of a reason; Chinese for `zh*`, otherwise English.

    Refusals
    --------
    reason_is_unknown

    Examples
    --------
    >>> text_of("income_does_not_carry_it", "en")
    'The instalments are high for the income and the debts.'
    """
    own = REASONS.get(code)
    if own is None:
        return asking.text_of(code, language)
    return own.zh if language.lower().startswith("zh") else own.en


def grounds_of(connection: sa.Connection, application: Application) -> Grounds:
    """Return what an application was assessed by, from what was kept with it.

    Refusals
    --------
    counterfactual_is_not_asked : it was not assessed
    """
    data = application.assessment
    if data is None:
        raise CounterfactualIsNotAsked(application=application.id)
    said = NOBODY_DECIDED
    if application.decision is not None:
        decision = records.read_decision(connection, application.decision).decision
        said = Said(decision.outcome, decision.score, decision.reasons, decision.limit_minor)
    return Grounds(
        product=product_for(connection, application),
        facts=application.facts,
        said=said,
        file=_file_of(application),
        own_debts_minor=data["own_debts_minor"],
        own_owed_minor=data["own_owed_minor"],
        own_days_late=data.get("own_days_late", 0),
        on=date.fromisoformat(data["on"]),
    )


def situation_of(connection: sa.Connection, application: Application) -> Situation:
    """Return the decision on an application so that it can be made again.

    Refusals
    --------
    counterfactual_is_not_asked, policy_is_unknown
    """
    grounds = grounds_of(connection, application)
    if application.decision is None:
        return Situation(grounds=grounds, values={}, judge=None)
    decision = records.read_decision(connection, application.decision).decision
    policy = policies.policy_that_made(connection, decision)
    asked = decision.asked
    fields = catalogue.complete(asked.scene, asked.at_ms, asked.fields)
    values = {**fields, **decision.values, **decision.flags}
    return Situation(grounds=grounds, values=values, judge=policy.judge)


def counterfactual_of(connection: sa.Connection, application: UUID) -> Counterfactual | None:
    """Return the smallest change found under which it would have been approved as asked.

    The recorded decision is made again with the changed facts, by the policy and the terms that
    judged; nothing is written. None says that none was found among what a person can change.

    Refusals
    --------
    application_is_unknown, counterfactual_is_not_asked, policy_is_unknown
    """
    present = table.read(connection, application)
    if not adverse_reasons(present):
        raise CounterfactualIsNotAsked(application=application)
    situation = situation_of(connection, present)
    found = find_counterfactual(situation)
    assert found is None or decide_again(situation, found.change) == found.assessment
    return found
