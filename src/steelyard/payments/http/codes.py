"""Routes of codes: those that hang in shops, and those that payers show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field

from steelyard.base.http import (
    BodyIn,
    Caller,
    IdempotencyKeyIsMissing,
    Read,
    Write,
    body_of,
    language_of,
    platform_of,
    reading,
    refusals,
    run_with_secrets,
    writing,
)
from steelyard.payments import bindings, codes, orders, paying, routing
from steelyard.payments.http.cashier import till_of
from steelyard.payments.http.orders import OrderOut
from steelyard.payments.http.wire import (
    Amount,
    Currency,
    Text,
    Word,
    id_of,
    merchant_for,
    merchant_of,
)

router = APIRouter(prefix="/v1/payments/codes", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Pays = Annotated[Write, writing("payments.pay")]
Manages = Annotated[Write, writing("payments.manage")]
Token = Annotated[
    str,
    Path(
        pattern=r"^[0-9A-Za-z_-]{22}$",
        description="of the code",
        examples=["dHdlbnR5LXR3byBsZXR0ZQ"],
    ),
]
Merchant = Annotated[UUID | None, Query(description="for staff; a merchant has its own")]


class ScanCodeIn(BodyIn):
    """A code to hang."""

    merchant: UUID | None = Field(
        None,
        description="for staff; a merchant has its own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    app: Word = "default"
    mode: orders.Mode = orders.Mode.LIVE
    terminal: Word | None = None
    currency: Currency = "CNY"
    subject: Text
    most_minor: Amount = 500_000


class ScanCodeOut(BaseModel):
    """A code that hangs in a shop."""

    token: str
    merchant: UUID
    app: str
    mode: orders.Mode
    terminal: str | None
    currency: str
    subject: str
    most_minor: int
    is_active: bool
    created_at: datetime

    @classmethod
    def of(cls, one: codes.ScanCode) -> ScanCodeOut:
        """Return the wire form."""
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class DownIn(BodyIn):
    """Whose code it is."""

    merchant: UUID | None = Field(
        None,
        description="for staff; a merchant has its own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )


class ScannedIn(BodyIn):
    """What the payer typed."""

    amount_minor: Amount


class ScannedOut(BaseModel):
    """The order, and its page."""

    amount_minor: int
    currency: str
    subject: str
    expires_at: datetime
    page: str | None = Field(description="shown once: null when the same request is repeated")


class ShowIn(BodyIn):
    """Which card is paid with."""

    customer: UUID | None = Field(
        None,
        description="for staff; a customer has his own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    binding: UUID


class ShownOut(BaseModel):
    """A payer's code."""

    code: str | None = Field(description="shown once: null when the same request is repeated")
    expires_at: datetime


class PayByCodeIn(BodyIn):
    """The order, and the code that its payer shows."""

    payment: UUID
    code: Annotated[str, Field(pattern=r"^[0-9]{18}$", examples=["880123456789012345"])]


@dataclass(frozen=True, slots=True)
class _Scan:
    """A command by whoever scanned a code."""

    write: Write


def _scanning(
    token: Token,
    request: Request,
    body: Annotated[bytes, Depends(body_of)],
    key: Annotated[str | None, Header(alias="Idempotency-Key")] = None,
) -> _Scan:
    if not key or len(key) > 200:
        raise IdempotencyKeyIsMissing
    platform, path = platform_of(request), f"/v1/payments/codes/{token}/scan"
    caller = Caller("payer:scan", frozenset())
    verb, language = "payments.scan", language_of(request)
    return _Scan(Write(platform, caller, language, verb, path, key, body))


@router.post("", response_model=ScanCodeOut, status_code=201, responses=refusals(write=True))
def hang_code(body: ScanCodeIn, write: Manages) -> Response:
    """Make a code that hangs in a shop, or at one of its tills."""
    values = body.model_dump() | {"merchant": merchant_for(write, body.merchant)}
    new = codes.NewScanCode(id=id_of(write, "code"), **values)
    keyring = write.platform.keyring
    return write.run(lambda unit: ScanCodeOut.of(codes.hang(unit, keyring, new)), status=201)


@router.get("", response_model=list[ScanCodeOut], responses=refusals())
def list_codes(read: Reads, merchant: Merchant = None) -> list[ScanCodeOut]:
    """List the codes of a merchant."""
    with read.database.reading() as connection:
        found = codes.list_scan_codes(connection, merchant_for(read, merchant))
    return [ScanCodeOut.of(one) for one in found]


@router.post(
    "/{token}/take-down",
    response_model=ScanCodeOut,
    responses=refusals(codes.ScanCodeIsUnknown, write=True),
)
def take_code_down(token: Token, body: DownIn, write: Manages) -> Response:
    """Let a code be paid on no more."""
    merchant = merchant_for(write, body.merchant)
    return write.run(lambda unit: ScanCodeOut.of(codes.take_down(unit, token, merchant)))


@router.post(
    "/{token}/scan",
    response_model=ScannedOut,
    status_code=201,
    responses=refusals(
        codes.ScanCodeIsUnknown,
        codes.ScanCodeTakesLess,
        orders.PaymentMerchantIsNotActive,
        orders.CurrencyIsNotTaken,
        write=True,
    ),
)
def scan_code(
    token: Token, body: ScannedIn, scanned: Annotated[_Scan, Depends(_scanning)]
) -> Response:
    """Make an order of the amount that was typed; nobody signs in to scan."""
    write = scanned.write

    def work(unit: Any) -> tuple[BaseModel, dict[str, Any]]:
        done = codes.scan(
            unit,
            write.platform.keyring,
            token,
            order=id_of(write, "order"),
            amount_minor=body.amount_minor,
        )
        order = done.order
        out = ScannedOut(
            amount_minor=order.amount_minor,
            currency=order.currency,
            subject=order.subject,
            expires_at=order.expires_at,
            page=None,
        )
        return out, {"page": f"/v1/payments/cashier/{done.token}"}

    return run_with_secrets(write, work, status=201)


@router.post(
    "/show",
    response_model=ShownOut,
    status_code=201,
    responses=refusals(bindings.BindingIsUnknown, codes.TooManyPayCodes, write=True),
)
def show_code(body: ShowIn, write: Pays) -> Response:
    """Make a code that a customer shows: good for a minute and one payment."""
    customer = merchant_for(write, body.customer)

    def work(unit: Any) -> tuple[BaseModel, dict[str, Any]]:
        made = codes.show(unit, write.platform.keyring, customer, body.binding)
        return ShownOut(code=None, expires_at=made.expires_at), {"code": made.code}

    return run_with_secrets(write, work, status=201)


@router.post(
    "/pay",
    response_model=OrderOut,
    responses=refusals(
        orders.PaymentIsUnknown,
        codes.PayCodeIsUnknown,
        bindings.BindingIsUnknown,
        orders.PaymentIsPaid,
        orders.PaymentIsOver,
        orders.PaymentIsUnderWay,
        orders.MethodIsNotTaken,
        orders.ChannelCannot,
        paying.PaymentsAreBusy,
        routing.NoChannelIsOpen,
        write=True,
    ),
)
def pay_by_code(body: PayByCodeIn, write: Pays) -> Response:
    """Pay an order with the code that its payer shows."""

    def work() -> OrderOut:
        done = codes.pay_by_code(
            till_of(write.platform),
            body.payment,
            body.code,
            attempt=id_of(write, "attempt"),
            merchant=merchant_of(write.caller),
            actor=write.caller.actor,
        )
        return OrderOut.of(done.order, done.attempt)

    return write.run_in_steps(work)
