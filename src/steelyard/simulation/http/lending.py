"""Routes of loans: the lender, applications, payments, complaints, the close of a day."""

from __future__ import annotations

from datetime import UTC, date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, Field

from steelyard.base import RefusedInProduction, UnitOfWork
from steelyard.base.http import BodyIn, refusals
from steelyard.simulation import borrowing, lending, town
from steelyard.simulation.http.wire import Code, Lives, refuse_in_production

router = APIRouter()

_ON_LOANS = (town.TownIsNotFounded, lending.TooManyLoans, RefusedInProduction)


class LenderOut(BaseModel):
    """The lender that the town borrows from."""

    currency: str
    book: str = Field(description="of own funds")
    wallets_book: str


class LoanIn(BodyIn):
    """A loan that is asked for; application and loan are found by the id of the request."""

    id: UUID
    at: AwareDatetime
    customer: UUID = Field(description="as the town knows the customer")
    account: Code = Field(description="code of the wallet")
    product: Code
    amount_minor: Annotated[int, Field(gt=0, lt=2**53)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    months: Annotated[int, Field(ge=1, le=120)]
    income_minor: Annotated[int, Field(ge=0, lt=2**53)] = Field(description="stated, a month")
    merchant: UUID | None = Field(None, description="who is paid instead, for a purchase")


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
    reason: str | None = Field(description="why nothing was lent or paid, a code")


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


@router.post(
    "/lender",
    response_model=LenderOut,
    responses=refusals(
        RefusedInProduction, town.TownIsNotFounded, lending.TownIsOfBefore, write=True
    ),
)
def open_lender(write: Lives) -> Response:
    """Open the lender's book beside the town's; done again it changes nothing."""
    refuse_in_production(write)

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
def borrow(body: LoansIn, write: Lives) -> Response:
    """Apply for loans: consent, identity, bureau, policy, offer and contract, each on its own.

    Cut off in the middle and sent again, it goes on where it was.
    """
    refuse_in_production(write)
    orders = [
        borrowing.LoanOrder(
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
        )
        for one in body.loans
    ]
    desk = borrowing.Desk(
        database=write.database,
        keyring=write.platform.keyring,
        gate=write.platform.gate,
        identity=write.platform.identity_provider,
        credit_bureau=getattr(write.platform, "credit_bureau", None),
    )
    return write.run_in_steps(lambda: LoanAnswersOut.of(borrowing.apply_for_loans(desk, orders)))


@router.post(
    "/loan-payments", response_model=LoanAnswersOut, responses=refusals(*_ON_LOANS, write=True)
)
def pay_loans(body: LoanPaymentsIn, write: Lives) -> Response:
    """Pay what is due on loans out of the wallets, as far as they have it."""
    refuse_in_production(write)
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
    refuse_in_production(write)
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
    refuse_in_production(write)

    def work() -> LendingDayOut:
        report = lending.close_lending_day(write.database, body.business_on)
        return LendingDayOut(business_on=body.business_on, is_closed=report.is_closed)

    return write.run_in_steps(work)
