"""Routes of captures: what was authorized is taken, or let go."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from steelyard.base.http import BodyIn, Read, Write, reading, refusals, writing
from steelyard.payments import capturing, channel_desk, orders
from steelyard.payments.http.wire import Amount, PaymentId, id_of, merchant_of

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Pays = Annotated[Write, writing("payments.pay")]


class CaptureIn(BodyIn):
    """How much is taken."""

    amount_minor: Amount | None = Field(None, description="null: all that is left")
    is_last: bool = Field(False, description="nothing is taken after it, the rest is let go")


class CaptureOut(BaseModel):
    """A capture, or the release of the rest."""

    id: UUID
    payment: UUID
    no: int
    kind: capturing.CaptureKind
    state: capturing.CaptureState
    amount_minor: int
    currency: str
    is_last: bool
    reference: str | None = Field(description="the channel's own number")
    code: str | None
    sent_at: datetime
    final_at: datetime | None

    @classmethod
    def of(cls, one: capturing.Capture) -> CaptureOut:
        """Return the wire form."""
        same = {name: getattr(one, name) for name in cls.model_fields if name != "payment"}
        return cls(**same, payment=one.order)


class CapturedOut(BaseModel):
    """A capture with what the payment has come to."""

    capture: CaptureOut
    state: orders.OrderState
    authorized_minor: int
    captured_minor: int

    @classmethod
    def of(cls, done: capturing.Captured) -> CapturedOut:
        """Return the wire form."""
        return cls(
            capture=CaptureOut.of(done.capture),
            state=done.order.state,
            authorized_minor=done.order.authorized_minor,
            captured_minor=done.order.captured_minor,
        )


@router.post(
    "/orders/{id}/captures",
    response_model=CapturedOut,
    status_code=201,
    responses=refusals(*capturing.REFUSALS, channel_desk.ChannelIsUnknown, write=True),
)
def capture_payment(id: PaymentId, body: CaptureIn, write: Pays) -> Response:
    """Take money that was set aside, whole or in parts."""
    return write.run_in_steps(
        lambda: CapturedOut.of(
            capturing.capture(
                write.database,
                write.platform.channels,
                id,
                request=id_of(write, "capture"),
                amount_minor=body.amount_minor,
                is_last=body.is_last,
                merchant=merchant_of(write.caller),
                actor=write.caller.actor,
            )
        ),
        status=201,
    )


@router.post(
    "/orders/{id}/void",
    response_model=CapturedOut,
    responses=refusals(*capturing.REFUSALS, channel_desk.ChannelIsUnknown, write=True),
)
def void_payment(id: PaymentId, write: Pays) -> Response:
    """Let go what is left of the money that was set aside."""
    return write.run_in_steps(
        lambda: CapturedOut.of(
            capturing.void(
                write.database,
                write.platform.channels,
                id,
                request=id_of(write, "void"),
                merchant=merchant_of(write.caller),
                actor=write.caller.actor,
            )
        )
    )


@router.get(
    "/orders/{id}/captures",
    response_model=list[CaptureOut],
    responses=refusals(orders.PaymentIsUnknown),
)
def list_captures(id: PaymentId, read: Reads) -> list[CaptureOut]:
    """List what was captured and released of a payment."""
    with read.database.reading() as connection:
        found = capturing.list_captures(connection, id, merchant=merchant_of(read.caller))
    return [CaptureOut.of(one) for one in found]
