"""Routes of merchants: taken on, looked at, suspended, changed; and where they are paid to."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    Caller,
    Cursor,
    Limit,
    Read,
    Write,
    page_out,
    reading,
    refusals,
    writing,
)
from steelyard.kernel import CursorIsInvalid
from steelyard.kernel.calendars import UnknownCalendar
from steelyard.parties import approvals, registry
from steelyard.payments import applications, merchants, orders, settlement_accounts
from steelyard.payments.http.merchants_wire import (
    ApplicationOut,
    Applications,
    ApprovalAskedOut,
    ApprovedContractIn,
    ApprovedIn,
    ContractIn,
    EvidenceIn,
    MerchantChangeOut,
    MerchantChanges,
    MerchantId,
    MerchantIn,
    MerchantOut,
    MerchantPage,
    ResumeIn,
    RiskNoteIn,
    RiskNoteOut,
    RiskNotes,
    RulingIn,
    SettlementAccountIn,
    SettlementAccountOut,
    SettlementAccounts,
    WatchOut,
    WhyIn,
    must_be_of_mode,
    must_be_theirs,
)
from steelyard.payments.http.wire import merchant_of

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Onboards = Annotated[Write, writing("payments.onboard")]
Sees = Annotated[Read, reading("payments.onboard")]
Manages = Annotated[Write, writing("payments.manage")]
ApplicationId = Annotated[UUID, Path(description="id of the application")]
AccountId = Annotated[UUID, Path(description="id of the settlement account")]

_UNKNOWN = (merchants.PaymentMerchantIsUnknown,)
_MOVES = (*_UNKNOWN, merchants.MerchantStateForbids)
_TERMS = (
    merchants.ContractIsMalformed,
    merchants.SettlementTermsAreMalformed,
    UnknownCalendar,
)
_YES = approvals.CONSUME_REFUSALS
_ACCOUNT = (settlement_accounts.SettlementAccountIsUnknown,)
_ACCOUNT_MOVES = (*_ACCOUNT, settlement_accounts.SettlementAccountStateForbids)


@router.post(
    "/merchants",
    response_model=ApplicationOut,
    status_code=201,
    responses=refusals(
        applications.MerchantApplicationIsMalformed,
        applications.ApplicationIsUnderReview,
        merchants.MerchantHasAContract,
        merchants.ContractIsMalformed,
        settlement_accounts.SettlementAccountIsMalformed,
        settlement_accounts.SettlementAccountIsNotTheirs,
        registry.RegistrationIsDeclined,
        registry.RegistrationNumberIsInvalid,
        registry.RegistrationNumberIsTaken,
        write=True,
    ),
)
def apply(body: MerchantIn, write: Onboards) -> Response:
    """Enter a merchant's application; it is decided at once, or put before a person."""

    def work() -> ApplicationOut:
        made = applications.apply(
            write.database,
            write.platform.keyring,
            write.platform.gate,
            body.merchant(),
            body.settlement_account.account(),
            actor=write.caller.actor,
        )
        return ApplicationOut.of(made, write.caller)

    return write.run_in_steps(work, status=201)


@router.get("/merchants", response_model=MerchantPage, responses=refusals(CursorIsInvalid))
def list_merchants(
    read: Reads,
    state: merchants.MerchantState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> MerchantPage:
    """List merchants; a merchant sees itself."""
    own = merchant_of(read.caller)
    with read.database.reading() as connection:
        if own is not None:
            found = merchants.read_many(connection, [own])
            mine = [MerchantOut.of(one, read.caller) for one in found.values()]
            return MerchantPage(items=mine, next=None)
        page = merchants.list_merchants(connection, state=state, cursor=cursor, limit=limit)
    return page_out(MerchantPage, page, lambda one: MerchantOut.of(one, read.caller))


@router.get("/merchants/{merchant}", response_model=MerchantOut, responses=refusals(*_UNKNOWN))
def read_merchant(merchant: MerchantId, read: Reads) -> MerchantOut:
    """Show a merchant's contract."""
    _own(read.caller, merchant)
    with read.database.reading() as connection:
        return MerchantOut.of(merchants.read(connection, merchant), read.caller)


@router.get(
    "/merchants/{merchant}/history",
    response_model=MerchantChanges,
    responses=refusals(*_UNKNOWN),
)
def read_history(merchant: MerchantId, read: Sees) -> MerchantChanges:
    """Show every version of a contract with its reason."""
    _own(read.caller, merchant)
    with read.database.reading() as connection:
        merchants.read(connection, merchant)
        changes = merchants.history(connection, merchant)
    return MerchantChanges(items=[MerchantChangeOut.of(one) for one in changes])


@router.get(
    "/merchants/{merchant}/applications",
    response_model=Applications,
    responses=refusals(*_UNKNOWN),
)
def list_applications(merchant: MerchantId, read: Reads) -> Applications:
    """List the applications of a merchant, newest first."""
    _own(read.caller, merchant)
    with read.database.reading() as connection:
        found = applications.applications_of(connection, merchant)
    return Applications(items=[ApplicationOut.of(one, read.caller) for one in found])


@router.get(
    "/merchant-applications/{application}",
    response_model=ApplicationOut,
    responses=refusals(applications.MerchantApplicationIsUnknown),
)
def read_application(application: ApplicationId, read: Reads) -> ApplicationOut:
    """Show an application."""
    with read.database.reading() as connection:
        found = applications.read_application(connection, application)
    unknown = applications.MerchantApplicationIsUnknown(application=application)
    must_be_theirs(read.caller, found.merchant, unknown)
    return ApplicationOut.of(found, read.caller)


@router.post(
    "/merchant-applications/{application}/rule",
    response_model=ApplicationOut,
    responses=refusals(
        applications.MerchantApplicationIsUnknown,
        applications.ApplicationIsRuled,
        applications.RulingContradictsItself,
        applications.RulingNeedsAPerson,
        applications.RulerApplied,
        write=True,
    ),
)
def rule(application: ApplicationId, body: RulingIn, write: Onboards) -> Response:
    """Decide, as a person, an application that was put before people."""
    return write.run(
        lambda unit: ApplicationOut.of(
            applications.rule(unit, application, **body.model_dump()), write.caller
        )
    )


# --- the life of a contract ----------------------------------------------------------------------


@router.post(
    "/merchants/{merchant}/suspend",
    response_model=MerchantOut,
    responses=refusals(*_MOVES, write=True),
)
def suspend(merchant: MerchantId, body: WhyIn, write: Onboards) -> Response:
    """Let a merchant take no payments."""
    return write.run(
        lambda unit: MerchantOut.of(
            merchants.suspend(unit, merchant, reason=body.reason), write.caller
        )
    )


@router.post(
    "/merchants/{merchant}/resume/request",
    response_model=ApprovalAskedOut,
    responses=refusals(*_MOVES, write=True),
)
def request_resume(merchant: MerchantId, body: WhyIn, write: Onboards) -> Response:
    """Ask for a second person's yes to resuming a merchant."""
    return write.run(
        lambda unit: _asked(merchants.request_resume(unit, merchant, reason=body.reason))
    )


@router.post(
    "/merchants/{merchant}/resume",
    response_model=MerchantOut,
    responses=refusals(*_MOVES, *_YES, write=True),
)
def resume(merchant: MerchantId, body: ResumeIn, write: Onboards) -> Response:
    """Let a suspended merchant take payments again."""
    return write.run(
        lambda unit: MerchantOut.of(
            merchants.resume(unit, merchant, reason=body.reason, approval=body.approval),
            write.caller,
        )
    )


@router.post(
    "/merchants/{merchant}/close",
    response_model=MerchantOut,
    responses=refusals(*_MOVES, merchants.MerchantHasOpenPayments, write=True),
)
def close(merchant: MerchantId, body: WhyIn, write: Onboards) -> Response:
    """End a contract; what the merchant is owed is still paid out."""
    return write.run(
        lambda unit: MerchantOut.of(
            merchants.close(unit, merchant, reason=body.reason), write.caller
        )
    )


@router.post(
    "/merchants/{merchant}/contract/request",
    response_model=ApprovalAskedOut,
    responses=refusals(*_MOVES, *_TERMS, write=True),
)
def request_change(merchant: MerchantId, body: ContractIn, write: Onboards) -> Response:
    """Ask for a second person's yes to a contract."""
    return write.run(
        lambda unit: _asked(
            merchants.request_change(unit, merchant, contract=body.contract, grade=body.grade)
        )
    )


@router.post(
    "/merchants/{merchant}/contract",
    response_model=MerchantOut,
    responses=refusals(*_MOVES, *_TERMS, *_YES, write=True),
)
def change_contract(merchant: MerchantId, body: ApprovedContractIn, write: Onboards) -> Response:
    """Put a contract in force."""
    return write.run(
        lambda unit: MerchantOut.of(
            merchants.change_contract(
                unit,
                merchant,
                contract=body.contract,
                grade=body.grade,
                approval=body.approval,
            ),
            write.caller,
        )
    )


@router.post(
    "/merchants/{merchant}/risk-notes",
    response_model=WatchOut,
    responses=refusals(*_UNKNOWN, merchants.RiskNoteIsMalformed, write=True),
)
def note_risk(merchant: MerchantId, body: RiskNoteIn, write: Onboards) -> Response:
    """Write down what monitoring saw of a merchant."""

    def work(unit: UnitOfWork) -> WatchOut:
        watch = merchants.note_risk(unit, merchant, body.note())
        return WatchOut(
            weight=watch.weight,
            wants_review=watch.wants_review,
            wants_suspension=watch.wants_suspension,
        )

    return write.run(work)


@router.get(
    "/merchants/{merchant}/risk-notes", response_model=RiskNotes, responses=refusals(*_UNKNOWN)
)
def list_risk_notes(merchant: MerchantId, read: Sees, limit: Limit = 100) -> RiskNotes:
    """List what monitoring saw of a merchant, newest first."""
    _own(read.caller, merchant)
    with read.database.reading() as connection:
        found = merchants.notes_of(connection, merchant, limit=limit)
    return RiskNotes(items=[RiskNoteOut.of(one) for one in found])


# --- settlement accounts -------------------------------------------------------------------------


@router.post(
    "/merchants/{merchant}/settlement-accounts",
    response_model=SettlementAccountOut,
    status_code=201,
    responses=refusals(
        *_UNKNOWN,
        settlement_accounts.SettlementAccountIsMalformed,
        settlement_accounts.SettlementAccountIsNotTheirs,
        write=True,
    ),
)
def propose_account(merchant: MerchantId, body: SettlementAccountIn, write: Manages) -> Response:
    """Propose an account of the merchant to be paid to."""
    _own(write.caller, merchant)
    unknown = merchants.PaymentMerchantIsUnknown(merchant=merchant)

    def work(unit: UnitOfWork) -> SettlementAccountOut:
        must_be_of_mode(unit.connection, write.caller, orders.Mode.LIVE, unknown)
        made = settlement_accounts.propose(unit, write.platform.keyring, merchant, body.account())
        return SettlementAccountOut.of(made)

    return write.run(work, status=201)


@router.get(
    "/merchants/{merchant}/settlement-accounts",
    response_model=SettlementAccounts,
    responses=refusals(*_UNKNOWN),
)
def list_accounts(merchant: MerchantId, read: Reads) -> SettlementAccounts:
    """List the settlement accounts of a merchant, masked."""
    _own(read.caller, merchant)
    with read.database.reading() as connection:
        found = settlement_accounts.of_merchant(connection, merchant)
    return SettlementAccounts(items=[SettlementAccountOut.of(one) for one in found])


@router.post(
    "/settlement-accounts/{account}/verify",
    response_model=SettlementAccountOut,
    responses=refusals(
        *_ACCOUNT_MOVES,
        settlement_accounts.SettlementAccountIsMalformed,
        settlement_accounts.VerifierProposed,
        write=True,
    ),
)
def verify_account(account: AccountId, body: EvidenceIn, write: Onboards) -> Response:
    """Write down what shows that an account is the merchant's."""
    return write.run(
        lambda unit: SettlementAccountOut.of(
            settlement_accounts.verify(unit, account, evidence=body.evidence)
        )
    )


@router.post(
    "/settlement-accounts/{account}/approve/request",
    response_model=ApprovalAskedOut,
    responses=refusals(*_ACCOUNT_MOVES, write=True),
)
def request_account_approval(account: AccountId, write: Onboards) -> Response:
    """Ask for a second person's yes to an account."""
    return write.run(lambda unit: _asked(settlement_accounts.request_approval(unit, account)))


@router.post(
    "/settlement-accounts/{account}/approve",
    response_model=SettlementAccountOut,
    responses=refusals(*_ACCOUNT_MOVES, *_YES, write=True),
)
def approve_account(account: AccountId, body: ApprovedIn, write: Onboards) -> Response:
    """Let the merchant be paid to an account: the first one at once, a change after a day."""
    return write.run(
        lambda unit: SettlementAccountOut.of(
            settlement_accounts.approve(unit, account, body.approval)
        )
    )


@router.post(
    "/settlement-accounts/{account}/withdraw",
    response_model=SettlementAccountOut,
    responses=refusals(*_ACCOUNT_MOVES, write=True),
)
def withdraw_account(account: AccountId, write: Manages) -> Response:
    """Give a proposed account up."""

    def work(unit: UnitOfWork) -> SettlementAccountOut:
        unknown = settlement_accounts.SettlementAccountIsUnknown(account=account)
        found = settlement_accounts.read(unit.connection, account)
        must_be_theirs(write.caller, found.merchant, unknown)
        must_be_of_mode(unit.connection, write.caller, orders.Mode.LIVE, unknown)
        return SettlementAccountOut.of(settlement_accounts.withdraw(unit, account))

    return write.run(work)


def _own(caller: Caller, merchant: UUID) -> None:
    must_be_theirs(caller, merchant, merchants.PaymentMerchantIsUnknown(merchant=merchant))


def _asked(approval: approvals.Approval) -> ApprovalAskedOut:
    return ApprovalAskedOut(
        approval=approval.id, shown_hash=approval.shown_hash, expires_at=approval.expires_at
    )
