"""Routes of applications: for customers about their own, for those who judge about all."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    Caller,
    Cursor,
    Limit,
    NotEntitled,
    Read,
    Write,
    page_out,
    reading,
    writing,
)
from steelyard.base.http import refusals as refused_by
from steelyard.credit import bureau, catalogue, loans, origination, underwriting
from steelyard.credit.http.origination_wire import (
    AcceptIn,
    ApplicationIn,
    ApplicationOut,
    ApplicationPage,
    ConsentIn,
    CounterfactualOut,
    EvidenceList,
    EvidenceOut,
    FileOut,
    OfferOut,
    RequestOut,
    RuledOut,
    RulingIn,
    StepOut,
)
from steelyard.credit.http.wire import own
from steelyard.decisions import asking, records
from steelyard.kernel import CursorIsInvalid
from steelyard.ledger import refusals as ledger_refusals
from steelyard.parties import approvals, consents, registry

router = APIRouter(prefix="/v1/credit/applications", tags=["credit"])

Reads = Annotated[Read, reading("credit.read")]
Applies = Annotated[Write, writing("credit.apply")]
Underwrites = Annotated[Write, writing("credit.underwrite")]
Id = Annotated[UUID, Path(description="id of the application")]

_NONE = (origination.ApplicationIsUnknown,)
_STATE = (
    origination.ApplicationIsUnknown,
    origination.ApplicationStateForbids,
    origination.ApplicationHasExpired,
    origination.ApplicationHasChanged,
    origination.ConsentIsNeeded,
)
_OFFERING = (
    loans.refusals.LenderIsUnknown,
    origination.AnnualRateIsOverCap,
    origination.RateCapIsUnknown,
)
_DECIDING = (
    origination.CustomerMayNotBorrow,
    origination.IdentityIsNotProved,
    bureau.InquiryIsUnderWay,
    asking.OwnerIsAway,
    records.DecisionIsUnknown,
    records.DecisionDoesNotLetPass,
    records.DecisionIsExpired,
    records.DecisionIsUsed,
)
_OFFER = (
    origination.OfferIsUnknown,
    origination.OfferHasExpired,
    origination.OfferIsOfAnotherDay,
    origination.OfferNoLongerFits,
    origination.TermsDiffer,
    origination.ContractTextDiffers,
    origination.AccountIsNotTheirs,
)


def _staff_only(caller: Caller, verb: str) -> None:
    if caller.party is not None:
        raise NotEntitled(actor=caller.actor, verb=verb)


def _mine(write: Write, unit: UnitOfWork, application: UUID) -> None:
    own(write.caller, origination.read(unit.connection, application).party, write.verb)


def _out(write: Write, application: origination.Application) -> ApplicationOut:
    return ApplicationOut.of(application, write.language)


@router.post(
    "",
    status_code=201,
    response_model=ApplicationOut,
    responses=refused_by(
        catalogue.ProductIsUnknown,
        registry.PartyIsUnknown,
        origination.CustomerMayNotBorrow,
        origination.ApplicationIdIsTaken,
        origination.ApplicationIsMalformed,
        catalogue.TenorIsNotOffered,
        catalogue.MethodIsNotOffered,
        catalogue.AmountIsNotOffered,
        write=True,
    ),
)
def draft(body: ApplicationIn, write: Applies) -> Response:
    """Write an application down; nobody is asked, and nothing is looked at yet."""
    own(write.caller, body.party, write.verb)
    new = body.new(is_staff=write.caller.party is None)
    return write.run(lambda unit: _out(write, origination.draft(unit, new)), status=201)


@router.get("", response_model=ApplicationPage, responses=refused_by(CursorIsInvalid))
def list_applications(
    read: Reads,
    *,
    party: UUID | None = None,
    state: origination.ApplicationState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ApplicationPage:
    """List applications, the newest first; a customer sees his own."""
    if read.caller.party is not None:
        mine = UUID(read.caller.party.removeprefix("party:"))
        own(read.caller, party or mine, "credit.read")
        party = mine
    with read.database.reading() as connection:
        page = origination.find(connection, party=party, state=state, cursor=cursor, limit=limit)
    return page_out(ApplicationPage, page, lambda one: ApplicationOut.of(one, read.language))


@router.get("/{application}", response_model=ApplicationOut, responses=refused_by(*_NONE))
def read_application(application: Id, read: Reads) -> ApplicationOut:
    """Show an application, with the reasons where it was declined or reduced."""
    return ApplicationOut.of(_read(read, application), read.language)


@router.get("/{application}/file", response_model=FileOut, responses=refused_by(*_NONE))
def read_the_file(application: Id, read: Annotated[Read, reading("credit.underwrite")]) -> FileOut:
    """Show what an application is judged by: facts, checks, assessment, every step."""
    _staff_only(read.caller, "credit.underwrite")
    with read.database.reading() as connection:
        found = origination.read(connection, application)
        steps = origination.steps_of(connection, application)
    facts: dict[str, Any] = {
        name: getattr(found.facts, name) for name in origination.Facts.__dataclass_fields__
    }
    return FileOut(
        application=ApplicationOut.of(found, read.language),
        facts=facts,
        checks=None if found.checks is None else dict(found.checks),
        assessment=None if found.assessment is None else dict(found.assessment),
        steps=[
            StepOut(
                version=one.version,
                at=one.at,
                actor=one.actor,
                before=one.before,
                after=one.after,
                detail=dict(one.detail),
            )
            for one in steps
        ],
    )


@router.post(
    "/{application}/consent",
    response_model=ApplicationOut,
    responses=refused_by(
        *_STATE,
        consents.ConsentTextIsUnknown,
        consents.ConsentTextIsOutdated,
        registry.PartyIsClosed,
        write=True,
    ),
)
def consent(application: Id, body: ConsentIn, write: Applies) -> Response:
    """Say yes to what is collected and why; revocable at the customer's consents."""

    def work(unit: UnitOfWork) -> ApplicationOut:
        _mine(write, unit, application)
        given = origination.consent(unit, application, body.texts, channel=body.channel)
        return _out(write, given)

    return write.run(work)


@router.post(
    "/{application}/submit",
    response_model=ApplicationOut,
    responses=refused_by(*_STATE, *_DECIDING, *_OFFERING, write=True),
)
def submit(application: Id, write: Applies) -> Response:
    """Submit: identity and credit file are looked at, the policy decides, an offer is made.

    Cut off in the middle and sent again, it goes on where it was.
    """
    platform, database = write.platform, write.database

    def work() -> ApplicationOut:
        def begin(unit: UnitOfWork) -> origination.Application:
            _mine(write, unit, application)
            return origination.submit(unit, application)

        present = database.transact(begin, actor=write.caller.actor)
        state = origination.ApplicationState
        if present.state is state.SUBMITTED:
            present = underwriting.check(
                database,
                platform.keyring,
                getattr(platform, "credit_bureau", None),
                application,
                actor=write.caller.actor,
            )
        if present.state is state.CHECKED:
            present = underwriting.decide(
                database, platform.gate, application, actor=write.caller.actor
            )
        return _out(write, present)

    return write.run_in_steps(work)


@router.get(
    "/{application}/offer",
    response_model=OfferOut,
    responses=refused_by(*_NONE, origination.OfferIsUnknown),
)
def read_offer(application: Id, read: Reads) -> OfferOut:
    """Show the offer: terms, schedule, every cost and the yearly rate of all of them."""
    _read(read, application)
    with read.database.reading() as connection:
        return OfferOut.of(origination.offer_of(connection, application))


@router.post(
    "/{application}/offer/refresh",
    response_model=OfferOut,
    responses=refused_by(*_STATE, *_OFFERING, write=True),
)
def refresh_offer(application: Id, write: Applies) -> Response:
    """Make the offer anew for today's dates; amount, price and expiry stay."""

    def work(unit: UnitOfWork) -> OfferOut:
        _mine(write, unit, application)
        return OfferOut.of(origination.refresh(unit, application))

    return write.run(work)


@router.post(
    "/{application}/accept",
    response_model=ApplicationOut,
    responses=refused_by(
        *_STATE,
        *_OFFER,
        *_OFFERING,
        loans.refusals.WalletIsOutOfReach,
        loans.refusals.LoanBeginsLater,
        ledger_refusals.AccountNotFound,
        ledger_refusals.ExceedsDebitLimit,
        write=True,
    ),
)
def accept(application: Id, body: AcceptIn, write: Applies) -> Response:
    """Sign the contract that was offered; its evidence is kept, and it is paid out."""

    def work(unit: UnitOfWork) -> ApplicationOut:
        _mine(write, unit, application)
        signed = origination.accept(unit, application, body.acceptance(), pay_out=body.pay_out)
        return _out(write, signed)

    return write.run(work)


@router.post(
    "/{application}/withdraw",
    response_model=ApplicationOut,
    responses=refused_by(*_STATE, write=True),
)
def withdraw(application: Id, write: Applies) -> Response:
    """Take an application back before it is a contract."""

    def work(unit: UnitOfWork) -> ApplicationOut:
        _mine(write, unit, application)
        return _out(write, origination.withdraw(unit, application))

    return write.run(work)


@router.post(
    "/{application}/take-back",
    response_model=ApplicationOut,
    responses=refused_by(
        *_STATE,
        loans.refusals.CoolingOffIsOver,
        loans.refusals.LoanStateForbids,
        ledger_refusals.ExceedsDebitLimit,
        write=True,
    ),
)
def take_back(application: Id, write: Applies) -> Response:
    """Step back from the contract within its days of reflection: no interest is owed."""

    def work(unit: UnitOfWork) -> ApplicationOut:
        _mine(write, unit, application)
        return _out(write, origination.take_back(unit, application))

    return write.run(work)


@router.get(
    "/{application}/counterfactual",
    response_model=CounterfactualOut,
    responses=refused_by(*_NONE, underwriting.CounterfactualIsNotAsked, records.PolicyIsUnknown),
)
def read_counterfactual(application: Id, read: Reads) -> CounterfactualOut:
    """Show what the customer could change so that it would have been approved."""
    _read(read, application)
    with read.database.reading() as connection:
        found = underwriting.counterfactual_of(connection, application)
    return CounterfactualOut.of(found, read.language)


@router.post(
    "/{application}/ruling",
    response_model=RuledOut,
    responses=refused_by(
        *_STATE,
        *_OFFERING,
        underwriting.PersonIsNeeded,
        underwriting.ReasonIsNotGiven,
        origination.ApplicationIsMalformed,
        catalogue.TierIsNotServed,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def rule(application: Id, body: RulingIn, write: Underwrites) -> Response:
    """Rule on an application that waits for a person; above his amount, ask a second one."""
    _staff_only(write.caller, write.verb)
    ruling = body.persons()

    def work(unit: UnitOfWork) -> RuledOut:
        if body.approval is None:
            asked = underwriting.request_ruling(unit, application, ruling)
            if asked is not None:
                found = origination.read(unit.connection, application)
                return RuledOut(
                    is_done=False, request=requested(asked), application=_out(write, found)
                )
        ruled = underwriting.rule(unit, application, ruling, approval=body.approval)
        return RuledOut(is_done=True, application=_out(write, ruled))

    return write.run(work)


@router.get(
    "/{application}/evidence",
    response_model=EvidenceList,
    responses=refused_by(*_NONE, origination.ContractEvidenceIsMissing),
)
def list_evidence(application: Id, read: Reads) -> EvidenceList:
    """List the pieces of evidence of a contract, with their hashes."""
    _read(read, application)
    with read.database.reading() as connection:
        found = origination.evidence_of(connection, application)
    return EvidenceList(
        items=[
            EvidenceOut(
                name=one.name,
                sha256=one.hash.hex(),
                bytes=len(one.content),
                at=one.at,
                actor=one.actor,
            )
            for one in found
        ]
    )


@router.get(
    "/{application}/evidence.zip",
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {}}, "description": "manifest and every piece"},
        **refused_by(*_NONE, origination.ContractEvidenceIsMissing),
    },
)
def export_evidence(application: Id, read: Reads) -> Response:
    """Give the evidence of a contract as one package that proves itself."""
    _read(read, application)
    with read.database.reading() as connection:
        package = origination.export_evidence(connection, application)
    name = f'attachment; filename="contract-{application}.zip"'
    return Response(package, 200, {"Content-Disposition": name}, "application/zip")


def requested(asked: approvals.Approval) -> RequestOut:
    """Return the wire form of a request for a second person's yes."""
    return RequestOut(
        approval=asked.id,
        kind=asked.kind,
        subject=asked.subject,
        shown_hash=asked.shown_hash,
        expires_at=asked.expires_at,
    )


def _read(read: Read, application: UUID) -> origination.Application:
    with read.database.reading() as connection:
        found = origination.read(connection, application)
    own(read.caller, found.party, "credit.read")
    return found
