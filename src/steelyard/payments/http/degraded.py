"""Routes of degraded mode."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from steelyard.base import UnitOfWork
from steelyard.base.http import BodyIn, NotEntitled, Read, Write, reading, refusals, writing
from steelyard.parties import approvals
from steelyard.payments import degraded
from steelyard.payments.http.merchants_wire import ApprovalAskedOut
from steelyard.payments.http.wire import Currency, merchant_of

router = APIRouter(prefix="/v1/payments/degraded", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Rules = Annotated[Write, writing("payments.channel")]
Minor = Annotated[int, Field(ge=0, lt=2**53, description="minor units")]


class DegradedSettingIO(BodyIn):
    """What may be paid while nobody decides; numbers and sums of a rolling day."""

    is_on: bool
    currency: Currency = "CNY"
    most_minor: Minor = Field(description="of one payment")
    customer_payments: Annotated[int, Field(ge=0, lt=2**31)]
    customer_minor: Minor
    sum_minor: Minor = Field(description="of all customers")
    known_payments: Annotated[int, Field(ge=1, le=1_000)] = 1

    def setting(self) -> degraded.DegradedSetting:
        """Return what it says."""
        told = {name: getattr(self, name) for name in DegradedSettingIO.model_fields}
        return degraded.DegradedSetting(**told)


class DegradedChangeIn(DegradedSettingIO):
    """A setting with a second person's yes."""

    approval: UUID


class StandingOut(BaseModel):
    """Whether payments pass by the small rule now, for a reason."""

    why: degraded.Why
    is_on: bool
    since: datetime


class PassesOut(BaseModel):
    """What passed within a day, by what was said of it afterwards."""

    state: degraded.PassState
    payments: int
    amount_minor: int


class DegradedOut(BaseModel):
    """How degraded mode stands."""

    version: int = Field(description="of the setting; 0: none was made, it is off")
    setting: DegradedSettingIO
    standings: list[StandingOut]
    passes: list[PassesOut]

    @classmethod
    def of(cls, state: degraded.State) -> DegradedOut:
        """Return the wire form."""
        names = DegradedSettingIO.model_fields
        return cls(
            version=state.version,
            setting=DegradedSettingIO(**{name: getattr(state.setting, name) for name in names}),
            standings=[StandingOut(**one._asdict()) for one in state.standings],
            passes=[
                PassesOut(state=name, payments=payments, amount_minor=minor)
                for name, (payments, minor) in sorted(state.passes.items())
            ],
        )


@router.get("", response_model=DegradedOut, responses=refusals(NotEntitled))
def read_degraded(read: Reads) -> DegradedOut:
    """Show whether payments pass while nobody decides, and what passed within a day."""
    if merchant_of(read.caller) is not None:
        raise NotEntitled(actor=read.caller.actor, verb="degraded mode")
    with read.database.reading() as connection:
        return DegradedOut.of(degraded.read_state(connection, read.database.now()))


@router.post(
    "/change/request",
    response_model=ApprovalAskedOut,
    responses=refusals(degraded.DegradedSettingIsMalformed, write=True),
)
def request_degraded_change(body: DegradedSettingIO, write: Rules) -> Response:
    """Ask for a second person's yes to another setting."""

    def work(unit: UnitOfWork) -> ApprovalAskedOut:
        asked = degraded.request_change(unit, body.setting())
        return ApprovalAskedOut(
            approval=asked.id, shown_hash=asked.shown_hash, expires_at=asked.expires_at
        )

    return write.run(work)


@router.post(
    "/change",
    response_model=DegradedOut,
    responses=refusals(
        degraded.DegradedSettingIsMalformed, *approvals.CONSUME_REFUSALS, write=True
    ),
)
def change_degraded(body: DegradedChangeIn, write: Rules) -> Response:
    """Let another setting hold from now on."""

    def work(unit: UnitOfWork) -> DegradedOut:
        degraded.change(unit, body.setting(), body.approval)
        return DegradedOut.of(degraded.read_state(unit.connection, unit.now))

    return write.run(work)
