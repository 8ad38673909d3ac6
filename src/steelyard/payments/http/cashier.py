"""Routes of the cashier: a page for an order, looked at and paid by whoever was given its address.

Nobody signs in here: the address is the right. It is in no log and no stored key of ours; the edge
(the proxy in front) limits how often an address may be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel, Field

from steelyard.base.http import (
    BodyIn,
    Caller,
    IdempotencyKeyIsMissing,
    Write,
    body_of,
    language_of,
    platform_of,
    refusals,
    run_with_secrets,
    writing,
)
from steelyard.payments import bindings, cashier, institution, orders, paying, proofs, routing
from steelyard.payments.http.wire import Metadata, PaymentId, Word, id_of, merchant_of

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Pays = Annotated[Write, writing("payments.pay")]
Token = Annotated[
    str,
    Path(
        pattern=r"^[0-9A-Za-z_-]{43}$",
        description="of the page",
        examples=["Zm9ydHktdGhyZWUtbGV0dGVycy1vZi1hLXRva2VuLTE"],
    ),
]
Key = Annotated[str | None, Header(alias="Idempotency-Key")]
_DETAILS = frozenset({"network", "bank"})
_SHOWN = frozenset({"kind", "url", "code", "sent_to", "form", "method"})


@dataclass(frozen=True, slots=True)
class Visit:
    """A command by whoever has a page.

    Attributes
    ----------
    write : its path names the order, not the page: what is stored with a key opens nothing
    """

    platform: Any
    order: orders.Order
    now: datetime
    write: Write


def _visiting(
    token: Token, request: Request, body: Annotated[bytes, Depends(body_of)], key: Key = None
) -> Visit:
    platform = platform_of(request)
    if not key or len(key) > 200:
        raise IdempotencyKeyIsMissing
    now = platform.database.now()
    with platform.database.reading() as connection:
        order = cashier.find_order(connection, token, now)
    caller = Caller(f"payer:{order.id}", frozenset())
    path = f"/v1/payments/cashier/{order.id}"
    write = Write(platform, caller, language_of(request), "payments.pay", path, key, body)
    return Visit(platform, order, now, write)


Visits = Annotated[Visit, Depends(_visiting)]


class PageOut(BaseModel):
    """The address of an order's page."""

    token: str | None = Field(description="shown once: null when the same request is repeated")
    path: str | None = None
    expires_at: datetime


class OfferOut(BaseModel):
    """A way to pay."""

    method: orders.Method
    is_open: bool
    why: cashier.Why | None = Field(description="why it cannot be used now")


class CashierOut(BaseModel):
    """What a payer sees: the order, and no person."""

    merchant_name: str
    subject: str
    amount_minor: int
    currency: str
    state: cashier.PageState
    expires_at: datetime
    methods: list[OfferOut]
    action: dict[str, str] | None
    declined: str | None
    poll_after_seconds: int | None
    return_url: str | None

    @classmethod
    def of(cls, view: cashier.CashierView) -> CashierOut:
        """Return the wire form: chances and costs are our own business."""
        return cls(
            merchant_name=view.merchant_name,
            subject=view.subject,
            amount_minor=view.amount_minor,
            currency=view.currency,
            state=view.state,
            expires_at=view.expires_at,
            methods=[
                OfferOut(method=one.method, is_open=one.why is None, why=one.why)
                for one in view.offers
            ],
            action=_action(view.action),
            declined=None if view.declined is None else view.declined.value,
            poll_after_seconds=view.poll_after_seconds,
            return_url=view.return_url,
        )


class PagePayIn(BodyIn):
    """How whoever has the page wants to pay."""

    method: orders.Method
    instrument: Word | None = Field(None, description="token of a bound card, for quick_pay")
    details: Metadata = Field(default_factory=dict, description="network, bank")


class PagePaidOut(BaseModel):
    """What came of it."""

    state: cashier.PageState
    action: dict[str, str] | None
    declined: str | None


class ProofIn(BodyIn):
    """The answer to a code; without one, a code is sent."""

    code: Annotated[str | None, Field(pattern=r"^[0-9]{6}$", examples=["492039"])] = None


class ProofOut(BaseModel):
    """Where a code went, or what came of its answer."""

    state: cashier.PageState
    sent_to: str | None = None
    again_at: datetime | None = None
    expires_at: datetime | None = None


def _action(action: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if action is None else {k: v for k, v in action.items() if k in _SHOWN}


@router.post(
    "/orders/{id}/cashier",
    response_model=PageOut,
    status_code=201,
    responses=refusals(
        orders.PaymentIsUnknown, orders.PaymentIsPaid, orders.PaymentIsOver, write=True
    ),
)
def open_cashier_page(id: PaymentId, write: Pays) -> Response:
    """Open the page of an order: its address is the same however often it is opened."""
    merchant = merchant_of(write.caller)

    def work(unit: Any) -> tuple[BaseModel, dict[str, Any]]:
        token = cashier.open_page(unit, write.platform.keyring, id, merchant=merchant)
        expires = orders.read(unit.connection, id, merchant=merchant).order.expires_at
        secret = {"token": token, "path": f"/v1/payments/cashier/{token}"}
        return PageOut(token=None, expires_at=expires), secret

    return run_with_secrets(write, work, status=201)


@router.get(
    "/cashier/{token}",
    response_model=CashierOut,
    responses=refusals(cashier.CashierPageIsUnknown, institution.InstitutionIsNotOpen),
)
def show_cashier_page(token: Token, request: Request, response: Response) -> CashierOut:
    """Show what is to be paid, the ways that are open, or what became of it."""
    platform = platform_of(request)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    now = platform.database.now()
    with platform.database.reading() as connection:
        order = cashier.find_order(connection, token, now)
        return CashierOut.of(cashier.offer(connection, platform.routing, order, now))


@router.post(
    "/cashier/{token}/pay",
    response_model=PagePaidOut,
    responses=refusals(
        cashier.CashierPageIsUnknown,
        cashier.MethodWantsSignIn,
        bindings.BindingIsUnknown,
        orders.PaymentIsPaid,
        orders.PaymentIsOver,
        orders.PaymentIsUnderWay,
        orders.MethodIsNotTaken,
        orders.ChannelCannot,
        paying.PaymentsAreBusy,
        routing.NoChannelIsOpen,
        routing.ChannelDayIsFull,
        write=True,
    ),
)
def pay_on_cashier_page(token: Token, body: PagePayIn, page: Visits) -> Response:
    """Pay the order of a page."""
    platform, order = page.platform, page.order
    with platform.database.reading() as connection:
        how = cashier.how_to_pay(
            connection,
            order,
            body.method,
            attempt=id_of(page.write, "attempt"),
            instrument=body.instrument,
            details={name: body.details[name] for name in _DETAILS & body.details.keys()},
        )
    answer = platform.paying.take(
        paying.Command(
            call=paying.KeyedCall.of(page.write.scope, page.write.key, page.write.body),
            actor=page.write.caller.actor,
            merchant=order.merchant,
            order=order.id,
            how=how,
            render=lambda order, tried: _paid(order, tried, page.now).model_dump_json().encode(),
        )
    )
    headers = {"Idempotency-Replayed": "true"} if answer.replayed else None
    return Response(answer.body, answer.status, headers, "application/json")


def _paid(order: orders.Order, tried: orders.Attempt | None, now: datetime) -> PagePaidOut:
    declined = cashier.told_decline(tried)
    return PagePaidOut(
        state=cashier.page_state(order, now),
        action=None if tried is None else _action(tried.action),
        declined=None if declined is None else declined.value,
    )


@router.post(
    "/cashier/{token}/proof",
    response_model=ProofOut,
    responses=refusals(
        cashier.CashierPageIsUnknown,
        *dict.fromkeys((*proofs.ON_SEND, *proofs.ON_ANSWER)),
        routing.NoChannelIsOpen,
        write=True,
    ),
)
def prove_on_cashier_page(token: Token, body: ProofIn, page: Visits) -> Response:
    """Have a code sent to the payer's phone, or answer it; then the order is paid."""
    platform, order = page.platform, page.order
    with platform.database.reading() as connection:
        attempts = orders.read(connection, order.id).attempts
    if not attempts:
        raise proofs.ProofIsNotAsked(about=order.id)
    till, actor, last = till_of(platform), page.write.caller.actor, attempts[-1].id

    def work() -> ProofOut:
        if body.code is not None:
            done = proofs.answer(till, last, body.code, actor=actor)
            return ProofOut(state=cashier.page_state(done.order, platform.database.now()))
        sent = proofs.send(till, last, actor=actor)
        return ProofOut(
            state=cashier.PageState.ACTION,
            sent_to=sent.to,
            again_at=sent.again_at,
            expires_at=sent.expires_at,
        )

    return page.write.run_in_steps(work)


def till_of(platform: Any) -> proofs.Till:
    """Return what payments are proved and sent on with."""
    return proofs.Till(
        codes=codes_of(platform),
        gate=platform.gate,
        paying=platform.paying,
        desk=platform.channels,
        routing=platform.routing,
    )


def codes_of(platform: Any) -> proofs.Codes:
    """Return what one-time codes are made and sent with."""
    return proofs.codes_of(
        platform.database,
        platform.keyring,
        getattr(platform, "code_sender", None),
        platform.settings,
    )
