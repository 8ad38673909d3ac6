"""Routes of orders: created, paid, looked at, cancelled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    NotEntitled,
    PageOut,
    Read,
    Write,
    page_out,
    reading,
    refusals,
    writing,
)
from steelyard.decisions import asking, records
from steelyard.kernel import CursorIsInvalid, UnknownCurrency
from steelyard.ledger import accounts_of
from steelyard.payments import (
    at_once,
    attempts,
    bindings,
    channel_desk,
    institution,
    limits,
    orders,
    paying,
    routing,
)
from steelyard.payments.http.apps import bound
from steelyard.payments.http.wire import (
    Amount,
    Code,
    Currency,
    Metadata,
    PaymentId,
    Text,
    Word,
    id_of,
    merchant_for,
    merchant_of,
    shown,
)

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Pays = Annotated[Write, writing("payments.pay")]

_ON_CREATE = (
    orders.PaymentMerchantIsUnknown,
    orders.PaymentMerchantIsNotActive,
    orders.PaymentAmountIsOutOfRange,
    UnknownCurrency,
    orders.CurrencyIsNotTaken,
    orders.MethodIsNotTaken,
    orders.ExpiryIsOutOfRange,
    orders.OrderNoWasUsed,
)
_ON_PAY = (
    orders.PaymentIsUnknown,
    orders.PaymentIsPaid,
    orders.PaymentIsOver,
    orders.PaymentIsUnderWay,
    orders.MethodIsNotTaken,
    orders.ChannelCannot,
    paying.PaymentsAreBusy,
    at_once.AccountIsMissing,
    bindings.BindingIsUnknown,
    channel_desk.ChannelIsUnknown,
    routing.NoChannelIsOpen,
    routing.ChannelDayIsFull,
    limits.LimitIsReached,
    channel_desk.ChannelKindIsUnknown,
    institution.InstitutionIsNotOpen,
    asking.OwnerIsAway,
    records.DecisionIsUnknown,
    records.DecisionDoesNotLetPass,
    records.DecisionIsExpired,
    records.DecisionIsUsed,
)


class PayerIO(BodyIn):
    """Who pays, as far as it is known."""

    customer: UUID | None = None
    instrument: Word | None = Field(None, description="token of a card or account; no card number")
    account: Word | None = Field(None, description="account in our own book")
    terminal: Word | None = None
    device: Word | None = None
    ip: Annotated[str | None, Field(pattern=r"^[0-9A-Fa-f.:]{2,45}$", examples=["10.0.0.7"])] = None
    country: Annotated[str | None, Field(pattern=r"^[A-Z]{2}$", examples=["CN"])] = None
    is_online: bool | None = None

    def payer(self) -> orders.Payer:
        """Return the value."""
        return orders.Payer(**self.model_dump())

    @classmethod
    def of(cls, payer: orders.Payer) -> PayerIO:
        """Return the wire form."""
        return cls(**{name: getattr(payer, name) for name in cls.model_fields})


class PayIn(BodyIn):
    """How the payer wants to pay."""

    method: orders.Method
    channel: Code | None = Field(None, description="null: the routing chooses")
    payer: PayerIO | None = None
    details: Metadata = Field(default_factory=dict, description="what the method needs")


class OrderIn(BodyIn):
    """What a merchant asks a payer for; with `pay` it is tried at once."""

    merchant: UUID | None = Field(
        None,
        description="for staff; a merchant's key has its own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    app: Word = "default"
    mode: orders.Mode = orders.Mode.LIVE
    order_no: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_.:/-]{1,64}$",
            description="the merchant's own number, never used twice",
            examples=["2026-0001"],
        ),
    ]
    amount_minor: Amount
    currency: Currency = "CNY"
    subject: Text
    scenario: orders.Scenario = orders.Scenario.ONLINE
    capture: orders.Capture = orders.Capture.AUTOMATIC
    methods: Annotated[list[orders.Method], Field(max_length=10)] = Field(default_factory=list)
    payer: PayerIO | None = None
    expires_at: AwareDatetime | None = Field(None, description="null: in 30 minutes")
    return_url: Annotated[str | None, Field(max_length=500)] = None
    notify_url: Annotated[str | None, Field(max_length=500)] = None
    late_success: Annotated[
        str, Field(pattern=r"^(refund|revive)$", description="of money after the end")
    ] = "refund"
    metadata: Metadata = Field(default_factory=dict)
    pay: PayIn | None = None

    def order(self, id: UUID, merchant: UUID) -> orders.NewOrder:
        """Return the value."""
        return orders.NewOrder(
            id=id,
            merchant=merchant,
            app=self.app,
            mode=self.mode,
            order_no=self.order_no,
            amount_minor=self.amount_minor,
            currency=self.currency,
            subject=self.subject,
            scenario=self.scenario,
            capture=self.capture,
            methods=tuple(self.methods),
            payer=orders.Payer() if self.payer is None else self.payer.payer(),
            expires_at=self.expires_at,
            return_url=self.return_url,
            notify_url=self.notify_url,
            late_success=self.late_success,
            metadata=self.metadata,
        )


class AttemptOut(BaseModel):
    """One try to pay."""

    id: UUID
    no: int
    channel: str
    method: orders.Method
    amount_minor: int
    currency: str
    state: orders.AttemptState
    reference: str | None = Field(description="the channel's own number")
    decline: str | None
    code: str | None
    action: dict[str, str] | None = Field(description="what the payer has to do")
    sent_at: datetime
    final_at: datetime | None
    next_query_at: datetime | None
    propensity: float | None

    @classmethod
    def of(cls, attempt: orders.Attempt) -> AttemptOut:
        """Return the wire form."""
        return cls(
            id=attempt.id,
            no=attempt.no,
            channel=attempt.channel,
            method=attempt.method,
            amount_minor=attempt.amount_minor,
            currency=attempt.currency,
            state=attempt.state,
            reference=attempt.reference,
            decline=None if attempt.decline is None else attempt.decline.value,
            code=attempt.code,
            action=None if attempt.action is None else dict(attempt.action),
            sent_at=attempt.sent_at,
            final_at=attempt.final_at,
            next_query_at=attempt.next_query_at,
            propensity=attempt.propensity,
        )


class OrderOut(BaseModel):
    """An order as it stands."""

    id: UUID
    merchant: UUID
    app: str
    mode: orders.Mode
    order_no: str
    amount_minor: int
    currency: str
    subject: str
    scenario: orders.Scenario
    capture: orders.Capture
    methods: list[orders.Method]
    payer: PayerIO
    state: orders.OrderState
    version: int
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    attempts: int
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    refund_reserved_minor: int
    disputed_minor: int
    refundable_minor: int
    metadata: dict[str, str]
    attempt: AttemptOut | None = Field(None, description="the one that was just tried")

    @classmethod
    def of(cls, order: orders.Order, attempt: orders.Attempt | None = None) -> OrderOut:
        """Return the wire form."""
        same = {
            name: getattr(order, name)
            for name in cls.model_fields
            if name not in ("payer", "methods", "metadata", "attempt")
        }
        return cls(
            **same,
            methods=list(order.methods),
            payer=PayerIO.of(order.payer),
            metadata=shown(order.metadata),
            attempt=None if attempt is None else AttemptOut.of(attempt),
        )


class EvidenceOut(BaseModel):
    """Something that was learnt about an attempt, whether or not anything followed from it."""

    attempt: UUID
    source: attempts.Source
    said: str
    amount_minor: int | None
    currency: str | None
    code: str | None
    why: str | None
    note: str
    is_new: bool
    actor: str
    seen_at: datetime


class HistoryOut(OrderOut):
    """An order with every attempt and everything that was learnt."""

    tried: list[AttemptOut]
    evidence: list[EvidenceOut]

    @classmethod
    def of_history(cls, history: orders.History) -> HistoryOut:
        """Return the wire form."""
        return cls(
            **OrderOut.of(history.order).model_dump(),
            tried=[AttemptOut.of(one) for one in history.attempts],
            evidence=[
                EvidenceOut(
                    attempt=row.about,
                    source=row.source,
                    said=row.finding.said.value,
                    amount_minor=row.finding.amount_minor,
                    currency=row.finding.currency,
                    code=row.finding.code,
                    why=row.finding.why,
                    note=row.note,
                    is_new=row.is_new,
                    actor=row.actor,
                    seen_at=row.seen_at,
                )
                for row in history.evidence
            ],
        )


class OrderPage(PageOut):
    """Orders, the newest first."""

    items: list[OrderOut]


@router.post(
    "/orders",
    response_model=OrderOut,
    status_code=201,
    responses=refusals(*_ON_CREATE, *_ON_PAY, write=True),
)
def create_order(body: OrderIn, write: Pays) -> Response:
    """Create an order, and with `pay` try to pay it at once."""
    merchant = merchant_for(write, body.merchant)
    stated = body.model_copy(update=bound(write, body))
    new = stated.order(id_of(write, "order"), merchant)
    how = None if body.pay is None else _with_card(write, _how(write, body.pay), new)
    return _take(write, merchant=merchant, new=new, how=how, status=201)


@router.post("/orders/{id}/pay", response_model=OrderOut, responses=refusals(*_ON_PAY, write=True))
def pay_order(id: PaymentId, body: PayIn, write: Pays) -> Response:
    """Try to pay an order; the answer says what is known, also where that is nothing yet."""
    how = _with_card(write, _how(write, body), id)
    return _take(write, merchant=merchant_of(write.caller), order=id, how=how)


def _take(write: Write, *, merchant: UUID | None, status: int = 200, **what: Any) -> Response:
    """Do a command once for its key, together with the others of the moment."""
    answer = write.platform.paying.take(
        paying.Command(
            call=paying.KeyedCall.of(write.scope, write.key, write.body),
            actor=write.caller.actor,
            merchant=merchant,
            render=lambda order, tried: OrderOut.of(order, tried).model_dump_json().encode(),
            status=status,
            **what,
        )
    )
    headers = {"Idempotency-Replayed": "true"} if answer.replayed else None
    return Response(answer.body, answer.status, headers, "application/json")


def _how(write: Write, body: PayIn) -> paying.Pay:
    payer = None if body.payer is None else body.payer.payer()
    if body.method is orders.Method.BALANCE:
        _must_be_theirs(write, payer)
    return paying.Pay(
        attempt=id_of(write, "attempt"),
        method=body.method,
        channel=body.channel,
        payer=payer,
        details=body.details,
    )


def _with_card(write: Write, how: paying.Pay, order: orders.NewOrder | UUID) -> paying.Pay:
    """Let a card that is bound here be paid with by its own customer alone."""
    named = how.payer is not None and bindings.is_ours(how.payer.instrument)
    if not named and how.method is not orders.Method.QUICK_PAY:
        return how
    with write.database.reading() as connection:
        of: orders.NewOrder | orders.Order
        if isinstance(order, UUID):
            of = orders.read(connection, order, merchant=merchant_of(write.caller)).order
        else:
            of = order
        payer = how.payer or of.payer
        if not bindings.is_ours(payer.instrument):
            return how
        if payer.customer is None:
            payer = replace(payer, customer=of.payer.customer)
        return bindings.pay_by_token(
            connection, how, payer, amount_minor=of.amount_minor, currency=of.currency
        )


def _must_be_theirs(write: Write, payer: orders.Payer | None) -> None:
    """Let nobody but its owner, or our own staff and machines, pay from an account with us."""
    party = write.caller.party
    if party is None:
        return
    with write.database.reading() as connection:
        book = institution.read_known(connection, orders.Mode.LIVE).client_book
        own = {
            account.code
            for account in accounts_of(connection, f"party:{party}")
            if account.book == book
        }
    if payer is None or payer.account not in own:
        raise NotEntitled(actor=write.caller.actor, verb="payments from this account")


@router.post(
    "/orders/{id}/cancel",
    response_model=OrderOut,
    responses=refusals(
        orders.PaymentIsUnknown, orders.PaymentIsPaid, orders.PaymentIsOver, write=True
    ),
)
def cancel_order(id: PaymentId, write: Pays) -> Response:
    """End an order that is not paid; with an attempt under way it ends when its channel says so."""
    merchant = merchant_of(write.caller)
    return write.run(lambda unit: OrderOut.of(orders.cancel(unit, id, merchant=merchant)))


@router.get("/orders", response_model=OrderPage, responses=refusals(CursorIsInvalid))
def list_orders(
    read: Reads,
    cursor: Cursor = None,
    limit: Limit = 50,
    *,
    merchant: Annotated[UUID | None, Query(description="of one merchant")] = None,
    customer: Annotated[UUID | None, Query(description="of one payer")] = None,
    state: Annotated[orders.OrderState | None, Query()] = None,
) -> OrderPage:
    """List orders, the newest first: a merchant's own, or anybody's for staff."""
    with read.database.reading() as connection:
        page = orders.list_orders(
            connection,
            cursor=cursor,
            limit=limit,
            merchant=merchant_of(read.caller) or merchant,
            customer=customer,
            state=state,
        )
    return page_out(OrderPage, page, OrderOut.of)


@router.get("/orders/{id}", response_model=HistoryOut, responses=refusals(orders.PaymentIsUnknown))
def read_order(id: PaymentId, read: Reads) -> HistoryOut:
    """Show an order with every attempt and everything that was learnt about it."""
    with read.database.reading() as connection:
        history = orders.read(connection, id, merchant=merchant_of(read.caller))
    return HistoryOut.of_history(history)
