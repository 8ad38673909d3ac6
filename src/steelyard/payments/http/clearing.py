"""Routes of clearing days and of what they came to."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field, JsonValue

from steelyard.base.http import BodyIn, NotEntitled, Read, Write, reading, writing
from steelyard.base.http import refusals as refused_by
from steelyard.payments import clearing, day, exports, institution, invoices, payouts_payees
from steelyard.payments.http.wire import Code, merchant_for, merchant_of

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Clears = Annotated[Write, writing("payments.clear")]
Which = Annotated[institution.Mode, Query(description="live or sandbox")]


def staff_only(command: Read | Write) -> None:
    """Refuse a merchant what is the institution's own.

    Refusals
    --------
    not_entitled
    """
    if command.caller.party is not None:
        raise NotEntitled(actor=command.caller.actor, verb="payments.clear")


class CloseIn(BodyIn):
    """Whose days are closed."""

    mode: institution.Mode = institution.Mode.LIVE


class ClearingDayOut(BaseModel):
    """A business date of a channel."""

    channel: str
    mode: institution.Mode
    on: date
    state: clearing.ClearingState
    timezone: str
    opens_at: datetime
    closes_at: datetime
    cleared_at: datetime | None
    gate: dict[str, JsonValue] | None = Field(description="what reconciliation said")
    cost_minor: dict[str, int] = Field(description="what the channel kept, by currency")

    @classmethod
    def of(cls, one: clearing.ClearingDay) -> ClearingDayOut:
        """Return the wire form."""
        gate: Any = one.gate
        return cls(
            channel=one.channel,
            mode=one.mode,
            on=one.on,
            state=one.state,
            timezone=one.timezone,
            opens_at=one.opens_at,
            closes_at=one.closes_at,
            cleared_at=one.cleared_at,
            gate=gate,
            cost_minor=dict(one.cost_minor),
        )


class ClearingDaysOut(BaseModel):
    """Days of channels."""

    items: list[ClearingDayOut]


class TotalOut(BaseModel):
    """What a day came to for a merchant; gross = refunds + disputes + fee + reserve + net."""

    channel: str
    on: date
    merchant: UUID
    currency: str
    payments: int
    refunds: int
    gross_minor: int
    refund_minor: int
    dispute_minor: int
    fee_minor: int
    reserve_minor: int
    net_minor: int
    due_on: date

    @classmethod
    def of(cls, one: clearing.Total) -> TotalOut:
        """Return the wire form."""
        sums = one.net.sums
        return cls(
            channel=one.channel,
            on=one.on,
            merchant=sums.merchant,
            currency=sums.currency,
            payments=sums.payments,
            refunds=sums.refunds,
            gross_minor=sums.gross_minor,
            refund_minor=sums.refund_minor,
            dispute_minor=sums.dispute_minor,
            fee_minor=sums.fee_minor,
            reserve_minor=one.net.reserve_minor,
            net_minor=one.net.net_minor,
            due_on=one.due_on,
        )


class TotalsOut(BaseModel):
    """Totals of a day."""

    items: list[TotalOut]


@router.get("/clearing-days", responses=refused_by())
def list_clearing_days(
    read: Annotated[Read, reading("payments.clear")],
    mode: Which = institution.Mode.LIVE,
    channel: Code | None = None,
    on: date | None = None,
    limit: Annotated[int, Query(ge=1, le=366)] = 31,
) -> ClearingDaysOut:
    """List the clearing days of channels, the newest first."""
    staff_only(read)
    with read.database.reading() as connection:
        found = clearing.list_days(connection, mode, channel=channel, on=on, limit=limit)
    return ClearingDaysOut(items=[ClearingDayOut.of(one) for one in found])


@router.post(
    "/clearing-days/close",
    response_model=ClearingDaysOut,
    responses=refused_by(clearing.InstitutionIsNotOpen, clearing.ChannelIsUnknown, write=True),
)
def close_clearing_days(body: CloseIn, write: Clears) -> Response:
    """Close every day whose cut-off passed, and let pass what is reconciled."""
    staff_only(write)

    def work() -> ClearingDaysOut:
        actor = write.caller.actor
        desk = write.platform.channels
        closed = clearing.close_due(
            write.database, body.mode, desk.capability, clearing.How(actor=actor)
        )
        day.gate_days(write.database, body.mode, day.How(actor=actor))
        with write.database.reading() as connection:
            items = [
                ClearingDayOut.of(clearing.read_day(connection, one.channel, one.mode, one.on))
                for one in closed
            ]
        return ClearingDaysOut(items=items)

    return write.run_in_steps(work)


@router.get("/clearing-days/{on}/totals", responses=refused_by())
def list_totals(
    read: Reads,
    on: Annotated[date, Path()],
    mode: Which = institution.Mode.LIVE,
    channel: Code | None = None,
    merchant: UUID | None = None,
) -> TotalsOut:
    """List what a day came to; a merchant sees its own."""
    whose = merchant_of(read.caller) or merchant
    with read.database.reading() as connection:
        found = clearing.totals(connection, mode, on, channel=channel, merchant=whose)
    return TotalsOut(items=[TotalOut.of(one) for one in found])


@router.get(
    "/fee-invoices/{month}",
    response_class=Response,
    responses=refused_by(invoices.MonthIsMalformed, exports.ExportIsTooLong),
)
def fee_invoice(
    read: Reads,
    month: Annotated[str, Path(pattern=r"^[0-9]{4}-[0-9]{2}$", examples=["2026-03"])],
    mode: Which = institution.Mode.LIVE,
    merchant: UUID | None = None,
) -> Response:
    """Give a merchant's fee invoice of a month, as CSV."""
    whose = merchant_for(read, merchant)
    with read.database.reading() as connection:
        made = invoices.invoice(connection, whose, mode, month)
    exports.note(
        read.database,
        what=f"fee_invoice {month}",
        subject=f"party:{whose}",
        rows=len(made.lines),
        actor=read.caller.actor,
    )
    return Response(invoices.to_csv(made), media_type="text/csv")


def hands_of(write: Write) -> day.Hands:
    """Return what a day is run with on this platform."""
    return day.Hands(
        channels=write.platform.channels,
        payees=payouts_payees.SettlementPayees(write.platform.keyring),
        custodian=getattr(write.platform, "custodian", None),
    )
