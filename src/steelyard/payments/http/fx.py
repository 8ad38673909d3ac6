"""Routes of currency: rates, quotes, conversions, our positions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base import UnitOfWork
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
from steelyard.kernel import CursorIsInvalid, UnknownCurrency
from steelyard.payments import fx, institution, quotes
from steelyard.payments.http.clearing import staff_only
from steelyard.payments.http.wire import Amount, Code, Currency, Text, id_of, merchant_of

router = APIRouter(prefix="/v1/payments/fx", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Exchanges = Annotated[Write, writing("payments.exchange")]
Approves = Annotated[Write, writing("payments.approve")]
Which = Annotated[institution.Mode, Query(description="live or sandbox")]
Code3 = Annotated[str, Query(pattern=r"^[A-Z]{3}$", examples=["USD"])]
Pattern3 = Annotated[str, Field(pattern=r"^([A-Z]{3}|[*])$", description="a currency, or *")]
Number = Annotated[Decimal, Field(gt=0, lt=10**9, max_digits=20, examples=["7.1234"])]
TickId = Annotated[UUID, Path(description="id of the rate")]
QuoteId = Annotated[UUID, Path(description="id of the quote")]
ConversionId = Annotated[UUID, Path(description="id of the conversion")]
PRICE = (fx.RateIsUnknown, fx.RateIsStale, fx.RateIsHeld)


class TickIn(BodyIn):
    """What a source says of a currency."""

    source: Code
    pivot: Annotated[str, Field(pattern="^(EUR|USD)$")] = "EUR"
    currency: Currency
    bid: Number
    ask: Number
    observed_at: datetime


class TicksIn(BodyIn):
    """What sources say."""

    ticks: Annotated[list[TickIn], Field(min_length=1, max_length=500)]


class TickOut(BaseModel):
    """A rate as it was taken."""

    id: UUID
    source: str
    pivot: str
    currency: str
    bid: Decimal
    ask: Decimal
    observed_at: datetime
    state: fx.TickState
    why: str
    resolved_by: str | None

    @classmethod
    def of(cls, known: fx.KnownTick) -> TickOut:
        """Return the wire form."""
        tick = known.tick
        return cls(
            id=known.id,
            source=tick.source,
            pivot=tick.pivot,
            currency=tick.currency,
            bid=tick.bid,
            ask=tick.ask,
            observed_at=tick.observed_at,
            state=known.state,
            why=known.why,
            resolved_by=known.resolved_by,
        )


class TicksOut(BaseModel):
    """Rates."""

    items: list[TickOut]


class RateOut(BaseModel):
    """The market of a pair: what is got for one of `sell`, and the middle."""

    sell: str
    buy: str
    market: Decimal = Field(description="with the spread of both sides, before any margin")
    mid: Decimal
    observed_at: datetime | None


class ReasonIn(BodyIn):
    """Why."""

    reason: Text


class SourceIn(BodyIn):
    """What is asked of a source of rates."""

    calendar: Annotated[str, Field(max_length=20, examples=["TARGET2"])]
    cap_seconds: Annotated[int, Field(description="greatest age, closed days not counted")]


class SourceOut(BaseModel):
    """A source of rates."""

    source: str
    calendar: str
    cap_seconds: int


class MarginIn(BodyIn):
    """What is taken off the market's rate, from a time on."""

    sell: Pattern3 = "*"
    buy: Pattern3 = "*"
    tier: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,39}|[*])$")] = "*"
    margin_ppm: int
    starts_at: datetime


class MarginOut(BaseModel):
    """A margin."""

    sell: str
    buy: str
    tier: str
    margin_ppm: int
    starts_at: datetime


class QuoteIn(BodyIn):
    """A quote that is asked for; one of both amounts is fixed."""

    mode: institution.Mode = institution.Mode.LIVE
    merchant: UUID | None = Field(None, description="for staff; null: an indication")
    sell: Currency
    buy: Currency
    sell_minor: Amount | None = None
    buy_minor: Amount | None = None
    lock: quotes.Lock = quotes.Lock.NONE
    tier: Code | None = Field(None, description="for staff; a merchant has its own")


class QuoteOut(BaseModel):
    """A quote as it stands."""

    id: UUID
    mode: institution.Mode
    holder: UUID | None
    sell: str
    buy: str
    side: quotes.Side
    sell_minor: int
    buy_minor: int
    rate: Decimal = Field(description="units of `buy` for one of `sell`")
    market: Decimal
    mid: Decimal
    margin_ppm: int
    premium_ppm: int = Field(description="what the lock costs")
    lock: quotes.Lock
    valid_from: datetime
    valid_to: datetime
    state: quotes.QuoteState
    reserved_for: UUID | None
    consumed_by: UUID | None

    @classmethod
    def of(cls, quote: quotes.Quote, now: datetime) -> QuoteOut:
        """Return the wire form at an instant."""
        values = {name: getattr(quote, name) for name in cls.model_fields}
        return cls(**{**values, "state": quote.state_at(now)})


class QuotePage(PageOut):
    """Quotes."""

    items: list[QuoteOut]


class ConversionIn(BodyIn):
    """Which quote is used."""

    quote: UUID


class ConversionOut(BaseModel):
    """A conversion as it was posted."""

    id: UUID
    mode: institution.Mode
    quote: UUID
    holder: UUID
    sell: str
    buy: str
    sell_minor: int
    buy_minor: int
    rate: Decimal
    payment: UUID | None
    back_minor: int = Field(description="what of the bought was converted back")
    booked_at: datetime

    @classmethod
    def of(cls, conversion: quotes.Conversion) -> ConversionOut:
        """Return the wire form."""
        return cls(**{name: getattr(conversion, name) for name in cls.model_fields})


class ConversionPage(PageOut):
    """Conversions, the newest first."""

    items: list[ConversionOut]


class PositionOut(BaseModel):
    """What our own book holds of a currency, and what of ours lies in the client reserve."""

    currency: str
    amount_minor: int
    in_reserve_minor: int


class PairOut(BaseModel):
    """What was converted of a pair, returns taken off."""

    sell: str
    buy: str
    conversions: int
    sold_minor: int
    bought_minor: int


class PositionsOut(BaseModel):
    """Our positions, by currency and by pair."""

    items: list[PositionOut]
    pairs: list[PairOut]


class TopUpIn(BodyIn):
    """How much of our own money goes into the client reserve; below zero it comes back."""

    mode: institution.Mode = institution.Mode.LIVE
    currency: Currency
    amount_minor: Annotated[int, Field(gt=-(2**53), lt=2**53)]


class TopUpOut(BaseModel):
    """What is ours in the reserve now."""

    currency: str
    in_reserve_minor: int


class RevalueIn(BodyIn):
    """Whose positions are valued."""

    mode: institution.Mode = institution.Mode.LIVE
    base: Currency = "CNY"


class RevaluationOut(BaseModel):
    """Positions at a rate, and what they gained since the last time."""

    id: UUID
    mode: institution.Mode
    on: date
    run: int
    base: str
    positions: Mapping[str, int]
    rates: Mapping[str, str]
    gain_minor: int


@router.get("/rates", response_model=RateOut, responses=refusals(*PRICE, UnknownCurrency))
def read_rate(sell: Code3, buy: Code3, read: Reads) -> RateOut:
    """Show the market of a pair."""
    with read.database.reading() as connection:
        found = fx.rates_at(connection, read.database.now(), [sell, buy])
    return RateOut(
        sell=sell,
        buy=buy,
        market=fx.as_rate(found.book.cross(sell, buy)),
        mid=fx.as_rate(found.book.mid(sell, buy)),
        observed_at=found.observed_at,
    )


@router.post(
    "/rates",
    response_model=TicksOut,
    status_code=201,
    responses=refusals(fx.RateSourceIsUnknown, fx.RateTickIsMalformed, UnknownCurrency, write=True),
)
def take_rates(body: TicksIn, write: Exchanges) -> Response:
    """Take rates of a source; one that jumped is held until it is confirmed."""
    staff_only(write)
    ticks = [fx.Tick(**one.model_dump()) for one in body.ticks]
    past = fx.history()
    return write.run(
        lambda unit: TicksOut(
            items=[TickOut.of(one) for one in fx.take(unit, ticks, reference=past)]
        ),
        status=201,
    )


@router.get("/rates/held", response_model=TicksOut, responses=refusals())
def list_held(read: Reads) -> TicksOut:
    """List the rates that wait for a confirmation."""
    staff_only(read)
    with read.database.reading() as connection:
        return TicksOut(items=[TickOut.of(one) for one in fx.held(connection)])


@router.post(
    "/rates/{id}/confirm",
    response_model=TickOut,
    responses=refusals(fx.HeldRateIsUnknown, fx.RateIsOwnWork, write=True),
)
def confirm_rate(id: TickId, body: ReasonIn, write: Approves) -> Response:
    """Let a rate be used that jumped; who brought it does not."""
    staff_only(write)
    return write.run(lambda unit: TickOut.of(fx.confirm(unit, id, reason=body.reason)))


@router.post(
    "/rates/{id}/reject",
    response_model=TickOut,
    responses=refusals(fx.HeldRateIsUnknown, fx.RateIsOwnWork, write=True),
)
def reject_rate(id: TickId, body: ReasonIn, write: Approves) -> Response:
    """Never use a rate that jumped."""
    staff_only(write)
    return write.run(lambda unit: TickOut.of(fx.reject(unit, id, reason=body.reason)))


@router.put(
    "/sources/{source}",
    response_model=SourceOut,
    responses=refusals(fx.RateSourceIsMalformed, write=True),
)
def set_source(
    source: Annotated[Code, Path(description="code of the source")],
    body: SourceIn,
    write: Exchanges,
) -> Response:
    """Enter a source of rates, or change how old one of its rates may be."""
    staff_only(write)
    wanted = fx.RateSource(source=source, calendar=body.calendar, cap_seconds=body.cap_seconds)

    def work(unit: UnitOfWork) -> SourceOut:
        made = fx.set_source(unit, wanted)
        return SourceOut(source=made.source, calendar=made.calendar, cap_seconds=made.cap_seconds)

    return write.run(work)


@router.post(
    "/margins",
    response_model=MarginOut,
    status_code=201,
    responses=refusals(fx.MarginIsMalformed, fx.MarginIsBackdated, UnknownCurrency, write=True),
)
def set_margin(body: MarginIn, write: Exchanges) -> Response:
    """Agree what is taken off the market's rate, by pair and tier, from a time on."""
    staff_only(write)
    margin = fx.Margin(**body.model_dump())
    return write.run(lambda unit: _margin(fx.set_margin(unit, margin)), status=201)


def _margin(margin: fx.Margin) -> MarginOut:
    return MarginOut(**{name: getattr(margin, name) for name in MarginOut.model_fields})


@router.post(
    "/quotes",
    response_model=QuoteOut,
    status_code=201,
    responses=refusals(
        quotes.BothSidesAreGiven,
        quotes.NoSideIsGiven,
        quotes.QuotePairIsMalformed,
        quotes.QuoteIsTooSmall,
        UnknownCurrency,
        *PRICE,
        write=True,
    ),
)
def make_quote(body: QuoteIn, write: Exchanges) -> Response:
    """Quote a rate, locked for as long as is wished: one of both amounts is fixed."""
    own = merchant_of(write.caller)
    ask = quotes.QuoteAsk(
        id=id_of(write, "quote"),
        mode=body.mode,
        holder=own or body.merchant,
        sell=body.sell,
        buy=body.buy,
        sell_minor=body.sell_minor,
        buy_minor=body.buy_minor,
        lock=body.lock,
        tier="standard" if own is not None or body.tier is None else body.tier,
    )
    return write.run(lambda unit: QuoteOut.of(quotes.make(unit, ask), unit.now), status=201)


@router.get("/quotes", response_model=QuotePage, responses=refusals(CursorIsInvalid))
def list_quotes(read: Reads, cursor: Cursor = None, limit: Limit = 50) -> QuotePage:
    """List quotes: a merchant's own, or all for staff."""
    now = read.database.now()
    with read.database.reading() as connection:
        page = quotes.list_quotes(
            connection, holder=merchant_of(read.caller), cursor=cursor, limit=limit
        )
    return page_out(QuotePage, page, lambda one: QuoteOut.of(one, now))


@router.get("/quotes/{id}", response_model=QuoteOut, responses=refusals(quotes.QuoteIsUnknown))
def read_quote(id: QuoteId, read: Reads) -> QuoteOut:
    """Show a quote."""
    now = read.database.now()
    with read.database.reading() as connection:
        return QuoteOut.of(quotes.read(connection, id, holder=merchant_of(read.caller)), now)


@router.post(
    "/quotes/{id}/cancel",
    response_model=QuoteOut,
    responses=refusals(
        quotes.QuoteIsUnknown, quotes.QuoteHasExpired, quotes.QuoteIsNotActive, write=True
    ),
)
def cancel_quote(id: QuoteId, write: Exchanges) -> Response:
    """Withdraw a quote that nobody used."""
    holder = merchant_of(write.caller)
    return write.run(lambda unit: QuoteOut.of(quotes.cancel(unit, id, holder=holder), unit.now))


@router.post(
    "/conversions",
    response_model=ConversionOut,
    status_code=201,
    responses=refusals(
        quotes.QuoteIsUnknown,
        quotes.QuoteHasExpired,
        quotes.QuoteIsNotActive,
        quotes.BalanceDoesNotCover,
        quotes.OwnCurrencyIsShort,
        institution.InstitutionIsNotOpen,
        write=True,
    ),
)
def convert(body: ConversionIn, write: Exchanges) -> Response:
    """Exchange the merchant's available balance by a quote; it is used once."""
    holder = merchant_of(write.caller)
    book = quotes.Book(id=id_of(write, "conversion"), quote=body.quote)
    return write.run(
        lambda unit: ConversionOut.of(quotes.convert(unit, book, holder=holder)), status=201
    )


@router.get("/conversions", response_model=ConversionPage, responses=refusals(CursorIsInvalid))
def list_conversions(read: Reads, cursor: Cursor = None, limit: Limit = 50) -> ConversionPage:
    """List conversions, the newest first: a merchant's own, or all for staff."""
    with read.database.reading() as connection:
        page = quotes.list_conversions(
            connection, holder=merchant_of(read.caller), cursor=cursor, limit=limit
        )
    return page_out(ConversionPage, page, ConversionOut.of)


@router.get(
    "/conversions/{id}",
    response_model=ConversionOut,
    responses=refusals(quotes.ConversionIsUnknown),
)
def read_conversion(id: ConversionId, read: Reads) -> ConversionOut:
    """Show a conversion."""
    with read.database.reading() as connection:
        return ConversionOut.of(
            quotes.read_conversion(connection, id, holder=merchant_of(read.caller))
        )


@router.get(
    "/positions",
    response_model=PositionsOut,
    responses=refusals(institution.InstitutionIsNotOpen),
)
def list_positions(read: Reads, mode: Which = institution.Mode.LIVE) -> PositionsOut:
    """Show what our own book holds of each currency, and what was converted by pair."""
    staff_only(read)
    with read.database.reading() as connection:
        held, pairs = fx.positions(connection, mode), fx.pair_totals(connection, mode)
    return PositionsOut(
        items=[
            PositionOut(**{name: getattr(one, name) for name in PositionOut.model_fields})
            for one in held
        ],
        pairs=[
            PairOut(**{name: getattr(one, name) for name in PairOut.model_fields}) for one in pairs
        ],
    )


@router.post(
    "/positions/top-up",
    response_model=TopUpOut,
    responses=refusals(institution.InstitutionIsNotOpen, quotes.OwnCurrencyIsShort, write=True),
)
def top_up(body: TopUpIn, write: Approves) -> Response:
    """Put our own money into the client reserve, out of which conversions are paid."""
    staff_only(write)
    return write.run(
        lambda unit: TopUpOut(
            currency=body.currency,
            in_reserve_minor=fx.top_up(unit, body.mode, body.currency, body.amount_minor),
        )
    )


@router.post(
    "/positions/revalue",
    response_model=RevaluationOut,
    responses=refusals(institution.InstitutionIsNotOpen, *PRICE, write=True),
)
def revalue(body: RevalueIn, write: Exchanges) -> Response:
    """Value our positions at the present rates, and post gain or loss."""
    staff_only(write)

    def work(unit: UnitOfWork) -> RevaluationOut:
        made = fx.revalue(unit, body.mode, base=body.base)
        return RevaluationOut(**{name: getattr(made, name) for name in RevaluationOut.model_fields})

    return write.run(work)
