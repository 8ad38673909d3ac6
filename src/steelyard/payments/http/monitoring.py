"""Routes of the monitoring of merchants; for the house's own people."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from steelyard.base.http import BodyIn, NotEntitled, Read, reading, refusals
from steelyard.payments import monitoring, orders
from steelyard.payments.http.merchants_wire import MerchantId
from steelyard.payments.http.wire import merchant_of

router = APIRouter(prefix="/v1/payments/monitoring", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]


class AlertOut(BaseModel):
    """An alert about a merchant."""

    id: UUID
    merchant: UUID
    mode: orders.Mode
    currency: str
    rule: monitoring.MerchantRule
    level: monitoring.AlertLevel
    is_open: bool
    value: float
    own: float | None
    industry: float | None
    quiet: int
    case: UUID | None
    done: list[str]
    opened_at: datetime
    seen_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, alert: monitoring.Alert) -> AlertOut:
        """Return the wire form."""
        told = {name: getattr(alert, name) for name in cls.model_fields}
        return cls(**told | {"done": list(alert.done)})


class AlertsIn(BodyIn):
    """Which alerts are asked for."""

    merchant: UUID | None = None
    is_open: bool | None = None


class Alerts(BaseModel):
    """Alerts, the newest first."""

    items: list[AlertOut]


class DayOut(BaseModel):
    """A day of a merchant in counts."""

    on: date
    currency: str
    attempts: int
    declined: int
    paid: int
    paid_minor: int
    night: int
    refunded: int
    disputed: int
    cards_per_device: int


class Days(BaseModel):
    """Days, the newest first."""

    items: list[DayOut]


@router.get("/alerts", response_model=Alerts, responses=refusals(NotEntitled))
def list_alerts(read: Reads, asked: Annotated[AlertsIn, Query()]) -> Alerts:
    """List alerts about merchants, the newest first."""
    _must_be_staff(read)
    with read.database.reading() as connection:
        found = monitoring.list_alerts(connection, merchant=asked.merchant, is_open=asked.is_open)
    return Alerts(items=[AlertOut.of(alert) for alert in found])


@router.get("/merchants/{merchant}/days", response_model=Days, responses=refusals(NotEntitled))
def list_days(merchant: MerchantId, read: Reads, mode: orders.Mode = orders.Mode.LIVE) -> Days:
    """List the days of a merchant in counts, the newest first."""
    _must_be_staff(read)
    with read.database.reading() as connection:
        found = monitoring.figures_of(connection, merchant, mode)
    names = [name for name in DayOut.model_fields if name not in ("on", "currency")]
    return Days(
        items=[
            DayOut(on=on, currency=currency, **{name: getattr(counts, name) for name in names})
            for on, currency, counts in found
        ]
    )


def _must_be_staff(read: Read) -> None:
    """Let nobody see how he is watched."""
    if merchant_of(read.caller) is not None:
        raise NotEntitled(actor=read.caller.actor, verb="the monitoring of merchants")
