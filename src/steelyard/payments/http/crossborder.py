"""Routes of cross-border payments: planned, confirmed, sent, followed; corridors of providers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    PageOut,
    Read,
    Write,
    page_out,
    reading,
    refusals,
    writing,
)
from steelyard.kernel import CursorIsInvalid
from steelyard.payments import cross_border, cross_border_desk, institution, orders, quotes
from steelyard.payments.http.clearing import staff_only
from steelyard.payments.http.wire import (
    Code,
    Currency,
    Text,
    Word,
    id_of,
    merchant_for,
    merchant_of,
)

router = APIRouter(prefix="/v1/payments/cross-border", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Exchanges = Annotated[Write, writing("payments.exchange")]
Approves = Annotated[Write, writing("payments.approve")]
Which = Annotated[institution.Mode, Query(description="live or sandbox")]
CrossId = Annotated[UUID, Path(description="id of the cross-border payment")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", examples=["US"])]
Short = Annotated[str, Field(min_length=1, max_length=140)]
_QUOTE = (quotes.QuoteIsUnknown, quotes.QuoteHasExpired, quotes.QuoteIsNotActive)
_STATE = (cross_border.CrossBorderIsUnknown, cross_border.CrossBorderStateForbids)


class BeneficiaryIn(BodyIn):
    """Who is to be credited, and where."""

    name: Short
    account: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,34}$", examples=["US-0042"])]
    bank: Annotated[
        str, Field(pattern=r"^[A-Z0-9]{8,11}$", description="BIC", examples=["BANKUS33"])
    ]


class CrossIn(BodyIn):
    """A payment to plan; its quote fixes both amounts."""

    mode: institution.Mode = institution.Mode.LIVE
    merchant: UUID | None = Field(
        None,
        description="for staff; a merchant's key has its own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    payment_no: Word
    quote: UUID
    beneficiary: BeneficiaryIn
    country: Country
    purpose: Text
    arrive_by: datetime | None = None


class RequoteIn(BodyIn):
    """Another quote, instead of one that is over."""

    quote: UUID


class ReasonIn(BodyIn):
    """Why."""

    reason: Text


class LegOut(BaseModel):
    """What one provider brings."""

    no: int
    provider: str
    buy_minor: int
    sell_minor: int
    state: cross_border.LegState
    executed: Decimal | None
    slip_ppm: int | None
    reference: str | None
    leaves_on: date
    promised_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None
    returned_minor: int | None
    back_minor: int | None
    loss_minor: int | None


class EventOut(BaseModel):
    """A line of a payment's history."""

    at: datetime
    what: str
    detail: dict[str, Any]


class CrossOut(BaseModel):
    """A payment as it stands."""

    id: UUID
    mode: institution.Mode
    merchant: UUID
    payment_no: str
    quote: UUID
    country: str
    purpose: str
    sell: str
    buy: str
    sell_minor: int
    buy_minor: int
    charge_minor: int = Field(description="fees beside, in `sell`")
    state: cross_border.CrossState
    is_held: bool
    loss_owner: cross_border.LossOwner
    return_rate: cross_border.ReturnRate
    promised_at: datetime
    ended_at: datetime | None
    created_at: datetime
    legs: list[LegOut]
    choice: Mapping[str, Any] | None = Field(description="every provider with its cost; for staff")
    history: list[EventOut] | None = None

    @classmethod
    def of(
        cls,
        cross: cross_border.Cross,
        caller: UUID | None,
        history: list[cross_border.Event] | None = None,
    ) -> CrossOut:
        """Return the wire form; why it is held and what providers cost us is not the payer's."""
        of_cross = set(cls.model_fields) - {"legs", "choice", "history", "is_held"}
        shown = None
        if history is not None and caller is None:
            shown = [EventOut(at=one.at, what=one.what, detail=dict(one.detail)) for one in history]
        return cls(
            **{name: getattr(cross, name) for name in of_cross},
            is_held=bool(cross.hold),
            legs=[
                LegOut(**{name: getattr(leg, name) for name in LegOut.model_fields})
                for leg in cross.legs
            ],
            choice=cross.choice if caller is None else None,
            history=shown,
        )


class CrossPage(PageOut):
    """Payments, the newest first."""

    items: list[CrossOut]


class CorridorBody(BodyIn):
    """What a provider offers between two currencies."""

    sell: Currency
    buy: Currency
    country: Annotated[str, Field(pattern=r"^([A-Z]{2}|[*])$")] = "*"
    spread_ppm: int = 0
    fixed_minor: int = 0
    lifting_minor: int = 0
    least_minor: int = 1
    most_minor: int
    daily_most_minor: Annotated[int, Field(gt=0)] | None = None
    success_ppm: int = 990_000
    arrives_minutes: int = 1_440
    timezone: Annotated[str, Field(max_length=60)] = "UTC"
    cut_off: time = time(16)
    calendar: Annotated[str, Field(max_length=20)] = "WEEKENDS"
    is_open: bool = True


class CorridorOut(BaseModel):
    """A corridor of a provider."""

    provider: str
    sell: str
    buy: str
    country: str
    spread_ppm: int
    fixed_minor: int
    lifting_minor: int
    least_minor: int
    most_minor: int
    daily_most_minor: int | None
    success_ppm: int
    arrives_minutes: int
    timezone: str
    cut_off: time
    calendar: str
    is_open: bool

    @classmethod
    def of(cls, corridor: cross_border.Corridor) -> CorridorOut:
        """Return the wire form."""
        return cls(**{name: getattr(corridor, name) for name in cls.model_fields})


class CorridorsOut(BaseModel):
    """Corridors."""

    items: list[CorridorOut]


class ArrivalOut(BaseModel):
    """How a provider kept its promises."""

    provider: str
    legs: int
    credited: int
    returned: int
    on_time: int
    late_seconds: int = Field(description="of those that were late, on the average")


class ArrivalsOut(BaseModel):
    """How providers kept their promises."""

    items: list[ArrivalOut]


def desk_of(write: Write) -> cross_border_desk.CrossBorder:
    """Return the platform's desk of cross-border payments; without providers where it has none."""
    found = getattr(write.platform, "cross_border", None)
    if found is not None:
        return found  # type: ignore[no-any-return]
    return cross_border_desk.CrossBorder(write.database, write.platform.gate, {})


@router.get("/corridors", response_model=CorridorsOut, responses=refusals())
def list_corridors(read: Reads) -> CorridorsOut:
    """List what providers offer."""
    staff_only(read)
    with read.database.reading() as connection:
        found = cross_border.corridors(connection)
    return CorridorsOut(items=[CorridorOut.of(one) for one in found])


@router.put(
    "/corridors/{provider}",
    response_model=CorridorOut,
    responses=refusals(cross_border.CorridorIsMalformed, write=True),
)
def set_corridor(
    provider: Annotated[Code, Path(description="code of the provider")],
    body: CorridorBody,
    write: Exchanges,
) -> Response:
    """Enter what a provider offers between two currencies, or change it."""
    staff_only(write)
    wanted = cross_border.Corridor(provider=provider, **body.model_dump())
    return write.run(lambda unit: CorridorOut.of(cross_border.set_corridor(unit, wanted)))


@router.get("/arrivals", response_model=ArrivalsOut, responses=refusals())
def list_arrivals(read: Reads, mode: Which = institution.Mode.LIVE) -> ArrivalsOut:
    """Show how providers kept their promises of arrival."""
    staff_only(read)
    with read.database.reading() as connection:
        found = cross_border.arrivals(connection, mode)
    names = ArrivalOut.model_fields
    return ArrivalsOut(
        items=[ArrivalOut(**{name: getattr(one, name) for name in names}) for one in found]
    )


@router.post(
    "",
    response_model=CrossOut,
    status_code=201,
    responses=refusals(
        *_QUOTE,
        orders.PaymentMerchantIsUnknown,
        orders.PaymentMerchantIsNotActive,
        cross_border.NoProviderFits,
        cross_border.CrossBorderNoWasUsed,
        write=True,
    ),
)
def make_payment(body: CrossIn, write: Exchanges) -> Response:
    """Plan a payment by a quote: who brings it, at which cost, and until when."""
    caller = merchant_of(write.caller)
    new = cross_border.NewCross(
        id=id_of(write, "cross_border"),
        mode=body.mode,
        merchant=merchant_for(write, body.merchant),
        payment_no=body.payment_no,
        quote=body.quote,
        beneficiary=body.beneficiary.model_dump(),
        country=body.country,
        purpose=body.purpose,
        arrive_by=body.arrive_by,
    )
    return write.run(lambda unit: CrossOut.of(cross_border.create(unit, new), caller), status=201)


@router.get("", response_model=CrossPage, responses=refusals(CursorIsInvalid))
def list_cross_border(read: Reads, cursor: Cursor = None, limit: Limit = 50) -> CrossPage:
    """List payments, the newest first: a merchant's own, or all for staff."""
    caller = merchant_of(read.caller)
    with read.database.reading() as connection:
        page = cross_border.list_payments(connection, merchant=caller, cursor=cursor, limit=limit)
    return page_out(CrossPage, page, lambda one: CrossOut.of(one, caller))


@router.get("/{id}", response_model=CrossOut, responses=refusals(cross_border.CrossBorderIsUnknown))
def read_payment(id: CrossId, read: Reads) -> CrossOut:
    """Show a payment with its legs, promised and actual arrival, and its history to staff."""
    caller = merchant_of(read.caller)
    with read.database.reading() as connection:
        found = cross_border.read(connection, id, merchant=caller)
        return CrossOut.of(found, caller, cross_border.history(connection, id))


@router.post(
    "/{id}/requote",
    response_model=CrossOut,
    responses=refusals(
        *_STATE, *_QUOTE, quotes.QuotePairIsMalformed, cross_border.NoProviderFits, write=True
    ),
)
def requote_payment(id: CrossId, body: RequoteIn, write: Exchanges) -> Response:
    """Go on with another quote, the old one being over."""
    caller = merchant_of(write.caller)
    return write.run(
        lambda unit: CrossOut.of(
            cross_border.requote(unit, id, body.quote, merchant=caller), caller
        )
    )


@router.post(
    "/{id}/confirm",
    response_model=CrossOut,
    responses=refusals(
        *_STATE,
        *_QUOTE,
        cross_border.CrossBorderIsHeld,
        quotes.BalanceDoesNotCover,
        quotes.OwnCurrencyIsShort,
        cross_border.ProviderIsUnknown,
        cross_border_desk.PayoutsAreStopped,
        write=True,
    ),
)
def confirm_payment(id: CrossId, write: Exchanges) -> Response:
    """Let the payer confirm: rate kept, parties screened, money taken, converted, and sent.

    It goes as far as it can: one that is held or waits for a provider answers with its state, and
    goes on from there when it is confirmed again.
    """
    caller = merchant_of(write.caller)
    desk = desk_of(write)
    return write.run_in_steps(
        lambda: CrossOut.of(desk.advance(id, merchant=caller, actor=write.caller.actor), caller)
    )


@router.post("/{id}/release", response_model=CrossOut, responses=refusals(*_STATE, write=True))
def release_payment(id: CrossId, body: ReasonIn, write: Approves) -> Response:
    """Let a held payment go on."""
    staff_only(write)
    return write.run(
        lambda unit: CrossOut.of(cross_border.release(unit, id, reason=body.reason), None)
    )


@router.post(
    "/{id}/reject",
    response_model=CrossOut,
    responses=refusals(*_STATE, cross_border.CrossBorderIsHeld, write=True),
)
def reject_cross_border(id: CrossId, body: ReasonIn, write: Exchanges) -> Response:
    """End a payment that was not converted; what was set aside is the payer's again."""
    caller = merchant_of(write.caller)
    return write.run(
        lambda unit: CrossOut.of(
            cross_border.reject(unit, id, reason=body.reason, merchant=caller), caller
        )
    )


@router.post(
    "/{id}/recall",
    response_model=CrossOut,
    responses=refusals(*_STATE, cross_border.ProviderIsUnknown, write=True),
)
def recall_payment(id: CrossId, write: Exchanges) -> Response:
    """Ask the providers to get back what did not arrive yet; only their word ends it."""
    staff_only(write)
    desk = desk_of(write)
    return write.run_in_steps(lambda: CrossOut.of(desk.recall(id, actor=write.caller.actor), None))
