"""Routes of corporate e-banking: a company's makers, checkers, and what they decide on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base.http import BodyIn, Read, Write, reading, refusals, writing
from steelyard.payments import cashier, corporate, orders, proofs, routing
from steelyard.payments.http.cashier import till_of
from steelyard.payments.http.orders import OrderOut
from steelyard.payments.http.wire import Currency, Text, Word, id_of, merchant_for

router = APIRouter(prefix="/v1/payments/corporate", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Pays = Annotated[Write, writing("payments.pay")]
Manages = Annotated[Write, writing("payments.manage")]
AttemptId = Annotated[UUID, Path(description="id of the attempt")]
Company = Annotated[UUID | None, Query(description="for staff; a company has its own")]
_MOST = 10**13


class PersonIn(BodyIn):
    """What a person of a company may."""

    company: UUID | None = Field(
        None,
        description="for staff; a company has its own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    person: Word = Field(description="as he signs his requests")
    may_make: bool
    may_check: bool
    currency: Currency = "CNY"
    single_minor: Annotated[int, Field(ge=0, le=_MOST)]
    day_minor: Annotated[int, Field(ge=0, le=_MOST)]


class PersonOut(BaseModel):
    """What a person of a company may."""

    company: UUID
    person: str
    may_make: bool
    may_check: bool
    currency: str
    single_minor: int
    day_minor: int

    @classmethod
    def of(cls, one: corporate.Person) -> PersonOut:
        """Return the wire form."""
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class SubmitIn(BodyIn):
    """A payment that a maker makes; one of both names it."""

    company: UUID | None = Field(
        None,
        description="for staff; a company has its own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    payment: UUID | None = Field(None, description="an order that is for the company")
    page: Annotated[str | None, Field(pattern=r"^[0-9A-Za-z_-]{43}$")] = Field(
        None,
        description="token of the cashier's page",
        examples=["Zm9ydHktdGhyZWUtbGV0dGVycy1vZi1hLXRva2VuLTE"],
    )
    bank: Word | None = None


class DecideIn(BodyIn):
    """Whose payment it is."""

    company: UUID | None = Field(
        None,
        description="for staff; a company has its own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )


class RejectIn(DecideIn):
    """Why it is turned down."""

    reason: Text


class StepOut(BaseModel):
    """A payment as a company's maker and checker see it."""

    attempt: UUID
    order: UUID
    amount_minor: int
    currency: str
    state: corporate.StepState
    waits: bool = Field(description="false when the order is over, or it was sent")
    maker: str
    made_at: datetime
    checker: str | None
    checked_at: datetime | None
    reason: str | None

    @classmethod
    def of(cls, one: corporate.Step) -> StepOut:
        """Return the wire form."""
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


@router.post(
    "/people",
    response_model=PersonOut,
    responses=refusals(corporate.PersonSetsHimself, write=True),
)
def set_person(body: PersonIn, write: Manages) -> Response:
    """Let a person make or check payments of a company, up to limits."""
    values = body.model_dump() | {"company": merchant_for(write, body.company)}
    one = corporate.Person(**values)
    return write.run(lambda unit: PersonOut.of(corporate.set_person(unit, one)))


@router.get("/people", response_model=list[PersonOut], responses=refusals())
def list_people(read: Reads, company: Company = None) -> list[PersonOut]:
    """List the makers and checkers of a company."""
    with read.database.reading() as connection:
        found = corporate.list_people(connection, merchant_for(read, company))
    return [PersonOut.of(one) for one in found]


@router.post(
    "/payments",
    response_model=OrderOut,
    status_code=201,
    responses=refusals(
        *corporate.ON_SUBMIT,
        cashier.CashierPageIsUnknown,
        orders.PaymentIsPaid,
        orders.PaymentIsOver,
        orders.PaymentIsUnderWay,
        orders.MethodIsNotTaken,
        orders.ChannelCannot,
        routing.NoChannelIsOpen,
        write=True,
    ),
)
def submit_payment(body: SubmitIn, write: Pays) -> Response:
    """Make a payment of a company: it waits for another person of the company."""
    company = merchant_for(write, body.company)

    def work() -> OrderOut:
        payment = body.payment
        if body.page is not None:
            with write.database.reading() as connection:
                now = write.database.now()
                payment = cashier.find_order(connection, body.page, now).id
        if payment is None:
            raise cashier.CashierPageIsUnknown
        done = corporate.submit(
            till_of(write.platform),
            payment,
            company,
            attempt=id_of(write, "attempt"),
            has_page=body.page is not None,
            bank=body.bank,
            actor=write.caller.actor,
        )
        return OrderOut.of(done.order, done.attempt)

    return write.run_in_steps(work, status=201)


@router.get("/payments", response_model=list[StepOut], responses=refusals())
def list_payments(
    read: Reads,
    company: Company = None,
    *,
    waiting: Annotated[bool, Query(description="only those that wait for a checker")] = False,
) -> list[StepOut]:
    """List a company's payments, the newest first."""
    with read.database.reading() as connection:
        found = corporate.list_steps(connection, merchant_for(read, company), waiting=waiting)
    return [StepOut.of(one) for one in found]


@router.post(
    "/payments/{attempt}/approve",
    response_model=OrderOut,
    responses=refusals(
        *corporate.ON_DECIDE, proofs.ProofIsNotAsked, routing.NoChannelIsOpen, write=True
    ),
)
def approve_payment(attempt: AttemptId, body: DecideIn, write: Pays) -> Response:
    """Let a payment go that another person made."""
    company = merchant_for(write, body.company)

    def work() -> OrderOut:
        till = till_of(write.platform)
        done = corporate.approve(till, attempt, company, actor=write.caller.actor)
        return OrderOut.of(done.order, done.attempt)

    return write.run_in_steps(work)


@router.post(
    "/payments/{attempt}/reject",
    response_model=OrderOut,
    responses=refusals(*corporate.ON_DECIDE, write=True),
)
def reject_payment(attempt: AttemptId, body: RejectIn, write: Pays) -> Response:
    """Turn a payment down that another person made."""
    company = merchant_for(write, body.company)

    def work() -> OrderOut:
        done = corporate.reject(
            till_of(write.platform),
            attempt,
            company,
            reason=body.reason,
            actor=write.caller.actor,
        )
        return OrderOut.of(done.order, done.attempt)

    return write.run_in_steps(work)
