"""Routes of the custodian, the tie-out of the reserve, and the release of payouts by two people."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from steelyard.base import UnitOfWork
from steelyard.base.http import BodyIn, Read, Write, reading, writing
from steelyard.base.http import refusals as refused_by
from steelyard.parties import approvals
from steelyard.payments import custody, day, institution, tieout
from steelyard.payments.http.clearing import hands_of, staff_only
from steelyard.payments.http.settlement import ApprovalOut, DoneOut
from steelyard.payments.http.wire import Currency, Text, Word

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.clear")]
Clears = Annotated[Write, writing("payments.clear")]
Which = Annotated[institution.Mode, Query(description="live or sandbox")]


class CustodyIn(BodyIn):
    """Where the reserve lies, and which account of ours fees may go to."""

    mode: institution.Mode = institution.Mode.LIVE
    currency: Currency
    account: Word
    own_account: Word


class CustodyOut(BaseModel):
    """Where the reserve lies; whether payouts are stopped, and why."""

    mode: institution.Mode
    currency: str
    account: str
    own_account: str
    stopped_since: datetime | None
    stopped_for: str | None


class CustodiesOut(BaseModel):
    """Accounts at the custodian."""

    items: list[CustodyOut]


class ItemOut(BaseModel):
    """By what our books and the custodian's differ."""

    kind: str
    about: str
    amount_minor: int
    is_explained: bool


class TieOutOut(BaseModel):
    """A tie-out: owed = custody + in transit + explained, to the cent."""

    id: UUID
    mode: institution.Mode
    currency: str
    on: date
    run: int
    holds: bool
    why: str
    owed_minor: int
    owed: dict[str, int]
    custody_minor: int | None
    in_transit_minor: int
    in_transit: dict[str, int]
    explained_minor: int
    difference_minor: int | None
    overdrawn_minor: int
    own_owes_minor: int
    items: list[ItemOut]
    made_at: datetime

    @classmethod
    def of(cls, tie: tieout.TieOut) -> TieOutOut:
        """Return the wire form."""
        said = tie.holdings
        return cls(
            id=tie.id,
            mode=tie.mode,
            currency=tie.currency,
            on=tie.on,
            run=tie.run,
            holds=tie.holds,
            why=tie.why,
            owed_minor=said.owed_minor,
            owed=dict(said.owed),
            custody_minor=tie.custody_minor,
            in_transit_minor=said.in_transit_minor,
            in_transit=dict(said.in_transit),
            explained_minor=tie.explained_minor,
            difference_minor=tie.difference_minor,
            overdrawn_minor=said.overdrawn_minor,
            own_owes_minor=said.own_owes_minor,
            items=[
                ItemOut(
                    kind=item.kind,
                    about=item.about,
                    amount_minor=item.amount_minor,
                    is_explained=item.is_explained,
                )
                for item in tie.items
            ],
            made_at=tie.made_at,
        )


class TieOutsOut(BaseModel):
    """Tie-outs."""

    items: list[TieOutOut]


class TieOutIn(BodyIn):
    """Which day is tied out."""

    mode: institution.Mode = institution.Mode.LIVE
    on: date | None = Field(None, description="null: the last day that is over")


class ReleaseIn(BodyIn):
    """Why payouts go out although the reserve is off; without an approval one is asked for."""

    mode: institution.Mode = institution.Mode.LIVE
    currency: Currency
    reason: Text
    approval: UUID | None = None


@router.get("/custody", responses=refused_by())
def list_custody(read: Reads, mode: Which = institution.Mode.LIVE) -> CustodiesOut:
    """List where the reserve lies, and whether payouts are stopped."""
    staff_only(read)
    items = []
    with read.database.reading() as connection:
        for account in custody.accounts_of(connection, mode):
            stop = tieout.open_stop(connection, mode, account.currency)
            items.append(
                CustodyOut(
                    mode=mode,
                    currency=account.currency,
                    account=account.account,
                    own_account=account.own_account,
                    stopped_since=None if stop is None else stop.since_at,
                    stopped_for=None if stop is None else stop.why,
                )
            )
    return CustodiesOut(items=items)


@router.post(
    "/custody",
    response_model=DoneOut,
    responses=refused_by(
        institution.InstitutionIsNotOpen, custody.CustodyAccountIsAnother, write=True
    ),
)
def open_custody(body: CustodyIn, write: Clears) -> Response:
    """Say where the reserve of a mode lies; it is said once."""
    staff_only(write)

    def work(unit: UnitOfWork) -> DoneOut:
        custody.open_account(
            unit,
            body.mode,
            body.currency,
            account=body.account,
            own_account=body.own_account,
        )
        return DoneOut(is_done=True)

    return write.run(work, status=201)


@router.post(
    "/custody/release",
    response_model=DoneOut,
    responses=refused_by(tieout.PayoutsAreNotStopped, *approvals.CONSUME_REFUSALS, write=True),
)
def release_payouts(body: ReleaseIn, write: Clears) -> Response:
    """Let payouts go out again, as two people want it for a reason."""
    staff_only(write)

    def work(unit: UnitOfWork) -> DoneOut:
        if body.approval is None:
            asked = tieout.request_release(unit, body.mode, body.currency, reason=body.reason)
            return DoneOut(is_done=False, waits_for=ApprovalOut.of(asked))
        tieout.release(unit, body.mode, body.currency, reason=body.reason, approval=body.approval)
        return DoneOut(is_done=True)

    return write.run(work)


@router.get("/tie-outs", responses=refused_by())
def list_tie_outs(
    read: Reads,
    mode: Which = institution.Mode.LIVE,
    currency: Currency | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 31,
) -> TieOutsOut:
    """List the newest tie-out of each day, the newest day first."""
    staff_only(read)
    with read.database.reading() as connection:
        found = tieout.latest(connection, mode, currency=currency, limit=limit)
    return TieOutsOut(items=[TieOutOut.of(one) for one in found])


@router.post(
    "/tie-outs",
    response_model=TieOutsOut,
    responses=refused_by(
        institution.InstitutionIsNotOpen, custody.CustodyStatementIsUnreadable, write=True
    ),
)
def make_tie_out(body: TieOutIn, write: Clears) -> Response:
    """Fetch the custodian's statement of a day, book it, and tie the reserve out."""
    staff_only(write)

    def work() -> TieOutsOut:
        on = body.on or day.due_on(write.database, body.mode)
        how = day.How(actor=write.caller.actor)
        made = day.tie_out(write.database, body.mode, on, hands_of(write), how)
        return TieOutsOut(items=[TieOutOut.of(one) for one in made])

    return write.run_in_steps(work)
