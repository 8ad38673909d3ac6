"""Routes of loans, from the contract to the end, and of the lender's books."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from steelyard.base import UnitOfWork
from steelyard.base.http import Cursor, Limit, Read, Write, page_out, reading, writing
from steelyard.base.http import NotEntitled as NotTheirs
from steelyard.base.http import refusals as refused_by
from steelyard.cashflows import events
from steelyard.cashflows import refusals as cash_refusals
from steelyard.cashflows import terms as cash_terms
from steelyard.credit import books, changes, loans
from steelyard.credit.http.bodies import (
    AgeingPauseIn,
    ChangeIn,
    DisburseIn,
    DrawIn,
    FundIn,
    LenderIn,
    MerchantRefundIn,
    ReceiptIn,
    RefundIn,
    RepayIn,
    ReverseIn,
    SaleIn,
    SignIn,
)
from steelyard.credit.http.wire import (
    AgreementOut,
    Code,
    DoneOut,
    EffectOut,
    EventOut,
    HistoryOut,
    LenderOut,
    LoanId,
    LoanOut,
    LoanPage,
    PayoffOut,
    PrepayOut,
    StatementOut,
    own,
)
from steelyard.kernel import CursorIsInvalid
from steelyard.ledger import refusals as ledger_refusals
from steelyard.parties import approvals

router = APIRouter(prefix="/v1/credit", tags=["credit"])

Reads = Annotated[Read, reading("credit.read")]
Lends = Annotated[Write, writing("credit.lend")]
Repays = Annotated[Write, writing("credit.repay")]
Changes = Annotated[Write, writing("credit.change")]
GivesUp = Annotated[Write, writing("credit.give_up")]
Keeps = Annotated[Write, writing("credit.books")]

R = loans.refusals
_NONE = (R.LoanIsUnknown,)
_STATE = (R.LoanIsUnknown, R.LoanIsClosed, R.LoanStateForbids)
_MONEY = (R.AmountIsNotPositive, ledger_refusals.ExceedsDebitLimit)
_FITS = (R.ChangeDoesNotFit, R.ValueDateIsOutOfRange)
_YES = (approvals.ApprovalIsNeeded, *approvals.CONSUME_REFUSALS)


def _anybody(write: Write | Read, verb: str) -> None:
    if write.caller.party is not None:
        raise NotTheirs(actor=write.caller.actor, verb=verb)


def _effect(write: Write, loan: UUID, verb: Callable[..., loans.Effect], **named: Any) -> Response:
    """Do a verb on a loan that the caller may act on."""

    def work(unit: UnitOfWork) -> EffectOut:
        own(write.caller, loans.read(unit.connection, loan).party, write.verb)
        return EffectOut.of(verb(unit, loan, **named), write.caller)

    return write.run(work)


@router.get("/loans", response_model=LoanPage, responses=refused_by(CursorIsInvalid))
def list_loans(
    read: Reads,
    *,
    party: UUID | None = None,
    merchant: UUID | None = None,
    application: UUID | None = None,
    product: Code | None = None,
    state: loans.LoanState | None = None,
    least_dpd: Annotated[int | None, Query(ge=0)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> LoanPage:
    """List loans by number; a customer sees his own."""
    caller = read.caller
    if caller.party is not None:
        mine = UUID(caller.party.removeprefix("party:"))
        own(caller, party or mine, "credit.read")
        party = mine
    with read.database.reading() as connection:
        page = loans.find(
            connection,
            party=party,
            merchant=merchant,
            application=application,
            product=product,
            state=state,
            least_dpd=least_dpd,
            cursor=cursor,
            limit=limit,
        )
    return page_out(LoanPage, page, lambda one: LoanOut.of(one, caller))


@router.post(
    "/loans",
    response_model=LoanOut,
    status_code=201,
    responses=refused_by(
        R.LenderIsUnknown,
        R.WalletIsOutOfReach,
        loans.SharesAreInvalid,
        cash_refusals.FormIsInvalid,
        cash_refusals.TermsAreInvalid,
        ledger_refusals.AccountNotFound,
        write=True,
    ),
)
def sign(body: SignIn, write: Lends) -> Response:
    """Make a contract; nothing is paid out."""
    _anybody(write, write.verb)
    return write.run(
        lambda unit: LoanOut.of(loans.sign(unit, body.new_loan()), write.caller), status=201
    )


@router.get(
    "/loans/{loan}",
    response_model=LoanOut,
    responses=refused_by(*_NONE, R.ValueDateIsOutOfRange),
)
def read_loan(loan: LoanId, read: Reads, on: date | None = None) -> LoanOut:
    """Show a loan with its standing on the business date, or on another day."""
    with read.database.reading() as connection:
        found = loans.read(connection, loan, on=on)
    own(read.caller, found.party, "credit.read")
    return LoanOut.of(found, read.caller)


@router.get("/loans/{loan}/history", response_model=HistoryOut, responses=refused_by(*_NONE))
def read_history(loan: LoanId, read: Reads) -> HistoryOut:
    """Show everything that happened to a loan, as it was recorded."""
    with read.database.reading() as connection:
        own(read.caller, loans.read(connection, loan).party, "credit.read")
        lines = loans.history(connection, loan)
    return HistoryOut(items=[EventOut.of(line) for line in lines])


@router.get("/loans/{loan}/statement", response_model=StatementOut, responses=refused_by(*_NONE))
def read_statement(loan: LoanId, read: Reads) -> StatementOut:
    """Show what the customer sees: every movement, and what it was set against."""
    with read.database.reading() as connection:
        own(read.caller, loans.read(connection, loan).party, "credit.read")
        return StatementOut.of(loans.statement(connection, loan))


@router.get(
    "/loans/{loan}/payoff",
    response_model=PayoffOut,
    responses=refused_by(*_STATE, R.ValueDateIsOutOfRange),
)
def quote_payoff(
    loan: LoanId,
    read: Reads,
    on: date | None = None,
    until: events.PayoffUntil = events.PayoffUntil.DAY,
) -> PayoffOut:
    """Show what repays a loan wholly on a day."""
    with read.database.reading() as connection:
        found = loans.read(connection, loan)
        own(read.caller, found.party, "credit.read")
        quote = loans.quote_payoff(connection, loan, on, until)
        day = on or books.business_on(connection, found.currency)
    return PayoffOut(on=day, **quote._asdict())


@router.get(
    "/loans/{loan}/prepayment",
    response_model=PrepayOut,
    responses=refused_by(*_STATE, *_FITS, R.AmountIsNotPositive),
)
def quote_prepay(
    loan: LoanId,
    read: Reads,
    amount_minor: Annotated[int, Query(ge=1, le=10**15)],
    on: date | None = None,
    plan: cash_terms.Prepay | None = None,
) -> PrepayOut:
    """Show what a part repaid early would change."""
    with read.database.reading() as connection:
        own(read.caller, loans.read(connection, loan).party, "credit.read")
        quote = loans.quote_prepay(connection, loan, amount_minor=amount_minor, on=on, plan=plan)
    return PrepayOut.of(quote)


@router.post(
    "/loans/{loan}/disburse",
    response_model=EffectOut,
    responses=refused_by(*_STATE, *_MONEY, R.LoanBeginsLater, write=True),
)
def disburse(loan: LoanId, body: DisburseIn, write: Lends) -> Response:
    """Pay a signed loan out; what falls due on its first day is taken with it."""
    _anybody(write, write.verb)
    return _effect(write, loan, loans.disburse, **body.model_dump())


@router.post(
    "/loans/{loan}/draw",
    response_model=EffectOut,
    responses=refused_by(*_STATE, *_MONEY, *_FITS, write=True),
)
def draw_tranche(loan: LoanId, body: DrawIn, write: Lends) -> Response:
    """Pay a further tranche out."""
    _anybody(write, write.verb)
    return _effect(write, loan, changes.draw, **body.model_dump())


@router.post(
    "/loans/{loan}/repay",
    response_model=EffectOut,
    responses=refused_by(*_STATE, *_MONEY, *_FITS, R.LoanHasChanged, R.WalletIsEmpty, write=True),
)
def repay(loan: LoanId, body: RepayIn, write: Repays) -> Response:
    """Take a payment; a customer pays from his wallet, and as of today."""
    if body.effective_on is not None or not body.from_wallet or body.kind == "goodwill":
        _anybody(write, write.verb)

    def verb(unit: UnitOfWork, id: UUID) -> loans.Effect:
        return loans.repay(
            unit, id, body.repayment(), if_version=body.if_version, dry_run=body.dry_run
        )

    return _effect(write, loan, verb)


@router.post(
    "/loans/{loan}/reverse",
    response_model=EffectOut,
    responses=refused_by(*_STATE, *_MONEY, *_FITS, R.EventIsUnknown, R.EventIsReversed, write=True),
)
def reverse(loan: LoanId, body: ReverseIn, write: Changes) -> Response:
    """Take an event back, as if it had not happened."""
    _anybody(write, write.verb)
    return _effect(write, loan, loans.reverse, **body.model_dump())


@router.post(
    "/loans/{loan}/refund",
    response_model=EffectOut,
    responses=refused_by(*_STATE, *_MONEY, R.RefundExceedsCredit, write=True),
)
def refund_credit(loan: LoanId, body: RefundIn, write: Repays) -> Response:
    """Give a credit balance back to the customer's wallet."""
    return _effect(write, loan, loans.refund_credit, **body.model_dump())


@router.post(
    "/loans/{loan}/merchant-refund",
    response_model=EffectOut,
    responses=refused_by(*_STATE, *_MONEY, *_FITS, write=True),
)
def merchant_refund(loan: LoanId, body: MerchantRefundIn, write: Changes) -> Response:
    """Take back from the merchant what he returns of a purchase."""
    _anybody(write, write.verb)
    return _effect(write, loan, changes.merchant_refund, **body.model_dump())


@router.post(
    "/loans/{loan}/cancel", response_model=LoanOut, responses=refused_by(*_STATE, write=True)
)
def cancel(loan: LoanId, write: Lends) -> Response:
    """Let a signed contract go before it is paid out."""

    def work(unit: UnitOfWork) -> LoanOut:
        own(write.caller, loans.read(unit.connection, loan).party, write.verb)
        return LoanOut.of(loans.cancel(unit, loan), write.caller)

    return write.run(work)


@router.post(
    "/loans/{loan}/step-back",
    response_model=EffectOut,
    responses=refused_by(*_STATE, *_MONEY, R.CoolingOffIsOver, write=True),
)
def step_back(loan: LoanId, write: Repays) -> Response:
    """Undo a loan within its cooling-off: the principal goes back, nothing else is owed."""
    return _effect(write, loan, loans.step_back)


@router.post(
    "/loans/{loan}/changes",
    response_model=EffectOut,
    responses=refused_by(
        *_STATE, *_FITS, R.LoanHasChanged, R.AmountIsNotPositive, *_YES, write=True
    ),
)
def change(loan: LoanId, body: ChangeIn, write: Changes) -> Response:
    """Change a loan; where a second person has to say yes, ask for it, and then do it with it."""
    _anybody(write, write.verb)
    event = body.change.event()

    def work(unit: UnitOfWork) -> EffectOut:
        if body.dry_run or body.approval or changes.needs_approval(event) is None:
            return EffectOut.of(
                changes.change(
                    unit,
                    loan,
                    event,
                    approval=body.approval,
                    if_version=body.if_version,
                    dry_run=body.dry_run,
                ),
                write.caller,
            )
        effect = changes.change(unit, loan, event, dry_run=True)
        shown = EffectOut.of(effect, write.caller)
        asked = changes.request(unit, loan, event)
        return shown.model_copy(update={"approval": asked.id, "expires_at": asked.expires_at})

    return write.run(work)


@router.post(
    "/loans/{loan}/sale",
    response_model=EffectOut,
    responses=refused_by(
        *_STATE, R.AmountIsNotPositive, R.LoanIsJoint, R.CreditBalanceStands, *_YES, write=True
    ),
)
def sell(loan: LoanId, body: SaleIn, write: GivesUp) -> Response:
    """Sell a claim: ask for a second person's yes, and then do it with it."""
    _anybody(write, write.verb)
    sale: dict[str, Any] = {"buyer": body.buyer, "price_minor": body.price_minor}

    def work(unit: UnitOfWork) -> EffectOut:
        if body.dry_run or body.approval:
            return EffectOut.of(
                changes.sell(unit, loan, approval=body.approval, dry_run=body.dry_run, **sale),
                write.caller,
            )
        shown = EffectOut.of(changes.sell(unit, loan, dry_run=True, **sale), write.caller)
        asked = changes.request_sale(unit, loan, **sale)
        return shown.model_copy(update={"approval": asked.id, "expires_at": asked.expires_at})

    return write.run(work)


@router.post(
    "/loans/{loan}/ageing-pause",
    response_model=LoanOut,
    responses=refused_by(*_STATE, R.ChangeDoesNotFit, write=True),
)
def pause_ageing(loan: LoanId, body: AgeingPauseIn, write: Changes) -> Response:
    """Let the bucket of a loan not grow worse before a day."""
    _anybody(write, write.verb)
    return write.run(
        lambda unit: LoanOut.of(changes.pause_ageing(unit, loan, until=body.until), write.caller)
    )


@router.post(
    "/books",
    response_model=LenderOut,
    status_code=201,
    responses=refused_by(
        R.LenderExists,
        ledger_refusals.BookNotFound,
        ledger_refusals.AccountNotFound,
        write=True,
    ),
)
def open_lender(body: LenderIn, write: Keeps) -> Response:
    """Open a lender's book with its capital; again it changes nothing."""
    _anybody(write, write.verb)

    def work(unit: UnitOfWork) -> LenderOut:
        return LenderOut(**books.open_lender(unit, **body.model_dump())._asdict())

    return write.run(work, status=201)


@router.post(
    "/books/fund",
    response_model=DoneOut,
    responses=refused_by(R.LenderIsUnknown, ledger_refusals.AccountNotFound, write=True),
)
def fund(body: FundIn, write: Keeps) -> Response:
    """Move money of the lender from its bank to its balance at the wallets."""
    _anybody(write, write.verb)

    def work(unit: UnitOfWork) -> DoneOut:
        books.fund(unit, **body.model_dump())
        return DoneOut()

    return write.run(work)


@router.post(
    "/books/receipts",
    response_model=DoneOut,
    responses=refused_by(R.LenderIsUnknown, ledger_refusals.IdConflict, write=True),
)
def receive(body: ReceiptIn, write: Keeps) -> Response:
    """Take a receipt from outside into suspense, where it waits to be applied."""
    _anybody(write, write.verb)

    def work(unit: UnitOfWork) -> DoneOut:
        books.receive(unit, **body.model_dump())
        return DoneOut()

    return write.run(work)


@router.get(
    "/books/agreement", response_model=AgreementOut, responses=refused_by(R.LenderIsUnknown)
)
def check(read: Reads) -> AgreementOut:
    """Compare every loan and every pool with the ledger, now."""
    _anybody(read, "credit.read")
    with read.database.reading() as connection:
        return AgreementOut.of(books.check(connection))
