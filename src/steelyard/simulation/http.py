"""Routes of the town: founding, clock, progress, card payments, refunds, reports, fees."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, Field

from steelyard.base import ClockGoesBackwards, RefusedInProduction, UnitOfWork
from steelyard.base.http import BodyIn, Read, Write, reading, refusals, writing
from steelyard.simulation import Plan, cards, fees, lending, reports, town

router = APIRouter(prefix="/v1/simulation", tags=["simulation"])

Reads = Annotated[Read, reading("simulation.read")]
Lives = Annotated[Write, writing("simulation.live")]

_ON_CARDS = (town.TownIsNotFounded, cards.TooManyCardPayments, RefusedInProduction)
_ON_LOANS = (town.TownIsNotFounded, lending.TooManyLoans, RefusedInProduction)
_Code = Annotated[str, Field(min_length=1, max_length=120)]


class PlanIn(BodyIn):
    """What the town is made from; two towns of one plan are the same town."""

    seed: Annotated[int, Field(ge=-(2**53) + 1, lt=2**53)] = 1
    customers: Annotated[int, Field(ge=1, le=100_000)] = 300
    terminals: Annotated[int, Field(ge=1, le=200_000)] = 600
    opens_on: date = Field(description="its first day, midnight to midnight in Beijing")
    history_days: Annotated[int, Field(ge=0, le=3_650)] = 60


class ClockOut(BaseModel):
    """The business clock."""

    now: datetime
    speed: float = Field(description="virtual seconds in one real second")

    @classmethod
    def of(cls, reading: town.ClockReading) -> ClockOut:
        """Return the wire form of a reading."""
        return cls(now=reading.now, speed=reading.speed)


class TownOut(BaseModel):
    """The town as it stands."""

    seed: int
    customers: int
    terminals: int
    opens_on: date
    history_days: int
    book: str = Field(description="the book of client funds")
    house: str = Field(description="the book of own funds")
    founded_at: datetime
    is_settled: bool
    played_through: datetime = Field(description="everything before it was sent and answered")
    playing_through: datetime = Field(description="what is being sent reaches up to here")
    history_done: bool
    resting: str | None = Field(description="why the town rests, a code; null while it lives")
    clock: ClockOut
    database_bytes: int

    @classmethod
    def of(cls, view: town.TownView) -> TownOut:
        """Return the wire form of a view."""
        state = view.state
        return cls(
            seed=state.plan.seed,
            customers=state.plan.customers,
            terminals=state.plan.terminals,
            opens_on=state.plan.opens_on,
            history_days=state.history_days,
            book=state.book,
            house=state.house,
            founded_at=state.founded_at,
            is_settled=state.is_settled,
            played_through=state.played_through,
            playing_through=state.playing_through,
            history_done=state.history_done,
            resting=state.resting,
            clock=ClockOut.of(view.clock),
            database_bytes=view.database_bytes,
        )


class ClockIn(BodyIn):
    """Where the business clock is to stand, and how fast it goes on from there."""

    at: AwareDatetime | None = Field(None, description="null: where it stands now")
    speed: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class ProgressIn(BodyIn):
    """How far the town has lived, and how far the next span reaches."""

    played_through: AwareDatetime
    playing_through: AwareDatetime
    history_done: bool = False
    resting: Annotated[str | None, Field(pattern=r"^[a-z][a-z_]{1,39}$")] = None
    stand_at: AwareDatetime | None = Field(
        None, description="let the business clock stand at this instant; null: it goes on"
    )


class CardPaymentIn(BodyIn):
    """A card payment that is asked for; its id is that of the transfer it becomes."""

    id: UUID
    at: AwareDatetime = Field(description="when the card was shown")
    customer: UUID = Field(description="as the town knows the customer")
    card: UUID
    account: _Code = Field(description="code of the account that pays")
    merchant: UUID = Field(description="as the town knows the merchant")
    merchant_account: _Code = Field(description="code of the account that is paid")
    terminal: UUID
    amount_minor: Annotated[int, Field(gt=0, lt=2**53)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    device: _Code | None = Field(None, description="from which it is asked for; null: not known")
    ip: _Code | None = Field(None, description="address of the net; null: not known")
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = Field(
        None, description="ISO 3166; null: not known"
    )
    is_online: bool | None = Field(None, description="null: not known")


class CardPaymentsIn(BodyIn):
    """Card payments in the order in which they happened."""

    payments: Annotated[list[CardPaymentIn], Field(min_length=1, max_length=cards.BATCH)]


class RefundIn(BodyIn):
    """A refund: the mirror of one whole payment."""

    id: UUID
    at: AwareDatetime
    payment: UUID
    customer: UUID
    card: UUID
    account: _Code
    merchant: UUID


class RefundsIn(BodyIn):
    """Refunds in the order in which they happened."""

    refunds: Annotated[list[RefundIn], Field(min_length=1, max_length=cards.BATCH)]


class CardReportIn(BodyIn):
    """What a cardholder, or the card's bank, says about a payment."""

    payment: UUID = Field(description="made or declined")
    at: AwareDatetime = Field(description="when it is told")
    card: UUID = Field(description="with which the payment was asked for")
    is_fraud: bool = Field(True, description="false takes an earlier report back")


class CardReportsIn(BodyIn):
    """Reports in the order in which they were made."""

    reports: Annotated[list[CardReportIn], Field(min_length=1, max_length=cards.BATCH)]


class CardAnswerOut(BaseModel):
    """What became of one item."""

    id: UUID
    outcome: cards.CardOutcome
    reason: str | None = Field(description="why it was declined: a code of the gate or the ledger")
    cause: str


class CardAnswersOut(BaseModel):
    """One answer for each item, in order."""

    items: list[CardAnswerOut]

    @classmethod
    def of(cls, answers: tuple[cards.CardAnswer, ...]) -> CardAnswersOut:
        """Return the wire form of answers."""
        return cls(
            items=[
                CardAnswerOut(id=a.id, outcome=a.outcome, reason=a.reason, cause=a.cause)
                for a in answers
            ]
        )


class FeesIn(BodyIn):
    """Which business day the fees are charged on: the open one, before it is closed."""

    business_on: date


class FeesOut(BaseModel):
    """What the merchants paid for a business day."""

    business_on: date
    entry: UUID = Field(description="the journal entry, in both books")
    merchants: int
    amount_minor: int
    currency: str


class LenderOut(BaseModel):
    """The lender that the town borrows from."""

    currency: str
    book: str = Field(description="of own funds")
    wallets_book: str


class LoanIn(BodyIn):
    """A loan that is asked for; the loan is found by the id of the request."""

    id: UUID
    at: AwareDatetime
    customer: UUID = Field(description="as the town knows the customer")
    account: _Code = Field(description="code of the wallet")
    product: _Code
    amount_minor: Annotated[int, Field(gt=0, lt=2**53)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    months: Annotated[int, Field(ge=1, le=120)]
    income_minor: Annotated[int, Field(ge=0, lt=2**53)] = Field(description="stated, a month")
    merchant: UUID | None = Field(None, description="who is paid instead, for a purchase")
    merchant_account: _Code | None = None


class LoansIn(BodyIn):
    """Loans in the order in which they were asked for."""

    loans: Annotated[list[LoanIn], Field(min_length=1, max_length=lending.BATCH)]


class LoanPaymentIn(BodyIn):
    """A payment on a loan: what is due, or all of it."""

    id: UUID
    request: UUID = Field(description="of the loan")
    repays_all: bool = False


class LoanPaymentsIn(BodyIn):
    """Payments on loans in the order in which they happened."""

    payments: Annotated[list[LoanPaymentIn], Field(min_length=1, max_length=lending.BATCH)]


class ComplaintIn(BodyIn):
    """A complaint about a loan."""

    id: UUID
    request: UUID = Field(description="of the loan")
    about: Annotated[str, Field(pattern=r"^[a-z][a-z_]{1,39}$")] = Field(description="a code")


class ComplaintsIn(BodyIn):
    """Complaints in the order in which they were made."""

    complaints: Annotated[list[ComplaintIn], Field(min_length=1, max_length=lending.BATCH)]


class LoanAnswerOut(BaseModel):
    """What became of one item."""

    id: UUID
    outcome: lending.LoanOutcome
    amount_minor: int
    reason: str | None = Field(description="why it was declined, a code")


class LoanAnswersOut(BaseModel):
    """One answer for each item, in order."""

    items: list[LoanAnswerOut]

    @classmethod
    def of(cls, answers: tuple[lending.LoanAnswer, ...]) -> LoanAnswersOut:
        """Return the wire form of answers."""
        return cls(
            items=[
                LoanAnswerOut(
                    id=a.id, outcome=a.outcome, amount_minor=a.amount_minor, reason=a.reason
                )
                for a in answers
            ]
        )


class LendingDayIn(BodyIn):
    """Which day of the lender's book is closed: the open one."""

    business_on: date


class LendingDayOut(BaseModel):
    """A day of the lender's book after its close."""

    business_on: date
    is_closed: bool


@router.get("/town", responses=refusals(town.TownIsNotFounded))
def read_town(read: Reads) -> TownOut:
    """Show the town, the business clock, and the size of the database."""
    return TownOut.of(town.read_town(read.database))


@router.post(
    "/town",
    response_model=TownOut,
    responses=refusals(
        RefusedInProduction,
        ClockGoesBackwards,
        town.TownIsFoundedOtherwise,
        town.TownIsTooSmall,
        write=True,
    ),
)
def found_town(body: PlanIn, write: Lives) -> Response:
    """Found the town: its clock, its two books, its merchants; again by the same plan, nothing."""
    _refuse_in_production(write)
    plan = Plan(body.seed, body.customers, body.terminals, body.opens_on)

    def work() -> TownOut:
        town.found_town(
            write.database,
            write.platform.keyring,
            write.platform.gate,
            plan,
            history_days=body.history_days,
            actor=write.caller.actor,
        )
        return TownOut.of(town.read_town(write.database))

    return write.run_in_steps(work)


@router.post(
    "/clock",
    response_model=ClockOut,
    responses=refusals(RefusedInProduction, ClockGoesBackwards, write=True),
)
def set_clock(body: ClockIn, write: Lives) -> Response:
    """Set the business clock, forwards only, or change its speed."""
    _refuse_in_production(write)
    at = None if body.at is None else body.at.astimezone(UTC)
    return write.run(lambda unit: ClockOut.of(town.set_clock(write.database, unit, at, body.speed)))


@router.post(
    "/progress",
    responses=refusals(
        RefusedInProduction,
        ClockGoesBackwards,
        town.TownIsNotFounded,
        town.TownDoesNotGoBack,
        write=True,
    ),
)
def note_progress(body: ProgressIn, write: Lives) -> ClockOut:
    """Note how far the town has lived; a beat of its clock.

    The same note again changes nothing, so no answer is kept for the key.
    """
    _refuse_in_production(write)
    return ClockOut.of(
        write.database.transact(
            lambda unit: town.note_progress(
                write.database,
                unit,
                played_through=body.played_through.astimezone(UTC),
                playing_through=body.playing_through.astimezone(UTC),
                history_done=body.history_done,
                resting=body.resting,
                stand_at=None if body.stand_at is None else body.stand_at.astimezone(UTC),
            ),
            actor=write.caller.actor,
        )
    )


@router.post(
    "/card-payments",
    response_model=CardAnswersOut,
    responses=refusals(*_ON_CARDS, *cards.ON_DECISIONS, write=True),
)
def pay_by_card(body: CardPaymentsIn, write: Lives) -> Response:
    """Take card payments: each is asked of the gate, and judged by the books."""
    _refuse_in_production(write)
    orders = [
        cards.CardOrder(
            id=p.id,
            at=p.at.astimezone(UTC),
            customer=p.customer,
            card=p.card,
            account=p.account,
            merchant=p.merchant,
            merchant_account=p.merchant_account,
            terminal=p.terminal,
            amount_minor=p.amount_minor,
            currency=p.currency,
            device=p.device,
            ip=p.ip,
            country=p.country,
            is_online=p.is_online,
        )
        for p in body.payments
    ]
    verdicts = cards.ask_about_payments(write.database, write.platform.gate, orders)
    return write.run(lambda unit: CardAnswersOut.of(cards.pay_by_card(unit, orders, verdicts)))


@router.post("/refunds", response_model=CardAnswersOut, responses=refusals(*_ON_CARDS, write=True))
def refund_card_payments(body: RefundsIn, write: Lives) -> Response:
    """Give card payments back by their mirrors."""
    _refuse_in_production(write)
    orders = [
        cards.RefundOrder(
            id=r.id,
            at=r.at.astimezone(UTC),
            payment=r.payment,
            customer=r.customer,
            card=r.card,
            account=r.account,
            merchant=r.merchant,
        )
        for r in body.refunds
    ]
    return write.run(lambda unit: CardAnswersOut.of(cards.refund_card_payments(unit, orders)))


@router.post(
    "/card-reports", response_model=CardAnswersOut, responses=refusals(*_ON_CARDS, write=True)
)
def report_card_payments(body: CardReportsIn, write: Lives) -> Response:
    """Tell which payments were fraud, days after; said again, it changes nothing."""
    _refuse_in_production(write)
    said = [
        reports.CardReport(
            payment=r.payment, at=r.at.astimezone(UTC), card=r.card, is_fraud=r.is_fraud
        )
        for r in body.reports
    ]
    return write.run(lambda unit: CardAnswersOut.of(reports.report_card_payments(unit, said)))


@router.post(
    "/fees",
    response_model=FeesOut,
    responses=refusals(
        RefusedInProduction, town.TownIsNotFounded, fees.FeeDayIsNotOpen, write=True
    ),
)
def charge_card_fees(body: FeesIn, write: Lives) -> Response:
    """Move the card fees of the open business day from client funds to own funds, once."""
    _refuse_in_production(write)

    def work(unit: UnitOfWork) -> FeesOut:
        charged = fees.charge_card_fees(unit, body.business_on)
        return FeesOut(
            business_on=charged.business_on,
            entry=charged.entry,
            merchants=charged.merchants,
            amount_minor=charged.amount_minor,
            currency=charged.currency,
        )

    return write.run(work)


@router.post(
    "/lender",
    response_model=LenderOut,
    responses=refusals(RefusedInProduction, town.TownIsNotFounded, write=True),
)
def open_lender(write: Lives) -> Response:
    """Open the lender's book beside the town's; done again it changes nothing."""
    _refuse_in_production(write)

    def work(unit: UnitOfWork) -> LenderOut:
        lender = lending.open_lender(unit)
        return LenderOut(
            currency=lender.currency, book=lender.book, wallets_book=lender.wallets_book
        )

    return write.run(work)


@router.post(
    "/loans",
    response_model=LoanAnswersOut,
    responses=refusals(*_ON_LOANS, *lending.ON_DECISIONS, write=True),
)
def lend(body: LoansIn, write: Lives) -> Response:
    """Lend: each loan is asked of the gate, signed by the product's terms, and paid out."""
    _refuse_in_production(write)
    orders = [
        lending.LoanOrder(
            id=one.id,
            at=one.at.astimezone(UTC),
            customer=one.customer,
            account=one.account,
            product=one.product,
            amount_minor=one.amount_minor,
            currency=one.currency,
            months=one.months,
            income_minor=one.income_minor,
            merchant=one.merchant,
            merchant_account=one.merchant_account,
        )
        for one in body.loans
    ]
    verdicts = lending.ask_about_loans(write.database, write.platform.gate, orders)
    return write.run(lambda unit: LoanAnswersOut.of(lending.lend(unit, orders, verdicts)))


@router.post(
    "/loan-payments", response_model=LoanAnswersOut, responses=refusals(*_ON_LOANS, write=True)
)
def pay_loans(body: LoanPaymentsIn, write: Lives) -> Response:
    """Pay what is due on loans out of the wallets, as far as they have it."""
    _refuse_in_production(write)
    orders = [
        lending.LoanPaymentOrder(id=p.id, request=p.request, repays_all=p.repays_all)
        for p in body.payments
    ]
    return write.run(lambda unit: LoanAnswersOut.of(lending.pay_loans(unit, orders)))


@router.post(
    "/loan-complaints", response_model=LoanAnswersOut, responses=refusals(*_ON_LOANS, write=True)
)
def complain(body: ComplaintsIn, write: Lives) -> Response:
    """Take complaints about loans in; each becomes a case with a day."""
    _refuse_in_production(write)
    orders = [
        lending.ComplaintOrder(id=c.id, request=c.request, about=c.about) for c in body.complaints
    ]
    return write.run(lambda unit: LoanAnswersOut.of(lending.complain(unit, orders)))


@router.post(
    "/lending-day-close",
    response_model=LendingDayOut,
    responses=refusals(RefusedInProduction, *lending.ON_DAY_CLOSE, write=True),
)
def close_lending_day(body: LendingDayIn, write: Lives) -> Response:
    """Close a day of the lender's book: accrual, ageing, classification, provision, check."""
    _refuse_in_production(write)

    def work() -> LendingDayOut:
        report = lending.close_lending_day(write.database, body.business_on)
        return LendingDayOut(business_on=body.business_on, is_closed=report.is_closed)

    return write.run_in_steps(work)


def _refuse_in_production(write: Write) -> None:
    write.platform.settings.refuse_in_production("the simulated town")
