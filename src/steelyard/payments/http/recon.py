"""Routes of reconciliation: statements, runs, items and how they are resolved. Staff only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query, Response

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    Cursor,
    Limit,
    NotEntitled,
    Read,
    Write,
    page_out,
    reading,
    writing,
)
from steelyard.base.http import refusals as refused_by
from steelyard.kernel import CursorIsInvalid
from steelyard.parties import approvals
from steelyard.payments import institution, recon
from steelyard.payments.http.recon_wire import (
    AgeingOut,
    AgeingPlotOut,
    AgeLineOut,
    DayOut,
    DaysOut,
    FileOut,
    FilesOut,
    HistoryOut,
    ItemOut,
    ItemPage,
    OwnerIn,
    PlanIn,
    PlanOut,
    ProposalIn,
    RunOut,
    RunsOut,
    StepOut,
    TakenListOut,
    TakenOut,
    YesIn,
)

router = APIRouter(prefix="/v1/payments/recon", tags=["payments"])

Reads = Annotated[Read, reading("payments.reconcile")]
Writes = Annotated[Write, writing("payments.reconcile")]
Approves = Annotated[Write, writing("payments.approve")]
Code = Annotated[str, Path(description="code of the channel", pattern="^[a-z][a-z0-9_]{0,39}$")]
OfChannel = Annotated[str | None, Query(description="code of the channel", max_length=40)]
Day = Annotated[date, Path(description="business date of the channel")]
ItemId = Annotated[UUID, Path(description="id of the item")]
Content = Annotated[bytes, Body(media_type="application/octet-stream", description="the file")]

_LONGEST = timedelta(days=366)
_ITEM = (recon.ReconItemIsUnknown, recon.ReconItemStateForbids)
_YES = (
    approvals.ApprovalIsUnknown,
    approvals.ApprovalNeedsAPerson,
    approvals.MakerIsChecker,
    approvals.ApprovalHasExpired,
    approvals.ApprovalIsNotOpen,
    approvals.ShownDiffers,
)


def _staff(asked: Read | Write, verb: str) -> None:
    if asked.caller.party is not None:
        raise NotEntitled(actor=asked.caller.actor, verb=verb)


@router.get("/plans", responses=refused_by())
def list_recon_plans(read: Reads) -> list[PlanOut]:
    """List what is expected of each channel's statements."""
    _staff(read, "payments.reconcile")
    with read.database.reading() as connection:
        return [PlanOut.of(one) for one in recon.plans(connection)]


@router.put(
    "/plans/{channel}",
    response_model=PlanOut,
    responses=refused_by(recon.ReconPlanIsMalformed, write=True),
)
def set_recon_plan(channel: Code, body: PlanIn, write: Writes) -> Response:
    """Say what is expected of a channel's statements, and what is tolerated in them."""
    _staff(write, write.verb)
    plan = recon.Plan(channel=channel, **body.model_dump())

    def work(unit: UnitOfWork) -> PlanOut:
        recon.set_plan(unit, plan)
        recon.expect_days(unit, channel)
        return PlanOut.of(plan)

    return write.run(work)


@router.post(
    "/files",
    response_model=TakenListOut,
    responses=refused_by(
        recon.ReconPlanIsUnknown,
        recon.StatementIsOfNoDay,
        *recon.FILE_REFUSALS,
        write=True,
    ),
)
def take_statement_file(
    write: Writes,
    content: Content,
    channel: Annotated[str, Query(description="code of the channel", max_length=40)],
    name: Annotated[str, Query(description="of the file", max_length=200)] = "statement",
    on: Annotated[date | None, Query(description="day it is of, where it covers several")] = None,
) -> Response:
    """Take a statement in any form that is read; the same bytes again change nothing."""
    _staff(write, write.verb)

    def work() -> TakenListOut:
        taken = recon.take_file(
            write.database, content, name, channel=channel, on=on, actor=write.caller.actor
        )
        return TakenListOut(
            items=[TakenOut(how=one.how, file=FileOut.of(one.file)) for one in taken]
        )

    return write.run_in_steps(work)


@router.get("/days", responses=refused_by())
def show_recon_days(
    read: Reads,
    from_on: date,
    to_on: date,
    channel: OfChannel = None,
) -> DaysOut:
    """Show the days of a span by channel: the statement, the run, what is open. At most a year."""
    _staff(read, "payments.reconcile")
    first = max(from_on, to_on - _LONGEST) if to_on >= date.min + _LONGEST else from_on
    with read.database.reading() as connection:
        found = recon.days(connection, channel=channel, from_on=first, to_on=to_on)
    return DaysOut(items=[DayOut.of(one) for one in found])


@router.get("/days/{channel}/{on}/files", responses=refused_by())
def list_statement_files(channel: Code, on: Day, read: Reads) -> FilesOut:
    """List every file that was taken for a day, versions that count no more as well."""
    _staff(read, "payments.reconcile")
    with read.database.reading() as connection:
        return FilesOut(items=[FileOut.of(one) for one in recon.files(connection, channel, on)])


@router.get("/days/{channel}/{on}/runs", responses=refused_by())
def list_recon_runs(channel: Code, on: Day, read: Reads) -> RunsOut:
    """List the runs of a day, newest first; each says what it found then."""
    _staff(read, "payments.reconcile")
    with read.database.reading() as connection:
        return RunsOut(items=[RunOut.of(one) for one in recon.runs(connection, channel, on)])


@router.post(
    "/days/{channel}/{on}/run",
    response_model=RunOut,
    responses=refused_by(
        recon.ReconPlanIsUnknown,
        recon.StatementIsMissing,
        recon.ReconIsRunning,
        institution.InstitutionIsNotOpen,
        write=True,
    ),
)
def run_recon_day(channel: Code, on: Day, write: Writes) -> Response:
    """Match a day with its statement; a day can be run again at any time."""
    _staff(write, write.verb)
    actor = write.caller.actor
    return write.run_in_steps(
        lambda: RunOut.of(recon.run_day(write.database, channel, on, actor=actor))
    )


@router.get("/items", responses=refused_by(CursorIsInvalid))
def list_recon_items(
    read: Reads,
    *,
    channel: OfChannel = None,
    on: Annotated[date | None, Query(description="business date")] = None,
    state: Annotated[
        str | None, Query(description="a state, or `open`", pattern="^[a-z]{1,20}$")
    ] = None,
    kind: Annotated[str | None, Query(description="of break", pattern="^[a-z_]{1,20}$")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ItemPage:
    """List what does not agree, newest first."""
    _staff(read, "payments.reconcile")
    with read.database.reading() as connection:
        page = recon.items(
            connection,
            channel=channel,
            on=on,
            state=state,
            kind=kind,
            cursor=cursor,
            limit=limit,
        )
    return page_out(ItemPage, page, ItemOut.of)


@router.get("/items/{item}", responses=refused_by(recon.ReconItemIsUnknown))
def read_recon_item(item: ItemId, read: Reads) -> HistoryOut:
    """Show an item with what was done to it."""
    _staff(read, "payments.reconcile")
    with read.database.reading() as connection:
        found = recon.item(connection, item)
        steps = recon.history(connection, item)
    return HistoryOut(item=ItemOut.of(found), steps=[StepOut(**one) for one in steps])


def _do(write: Write, work: Callable[[UnitOfWork], recon.Item]) -> Response:
    _staff(write, write.verb)
    return write.run(lambda unit: ItemOut.of(work(unit)))


@router.post(
    "/items/{item}/assign", response_model=ItemOut, responses=refused_by(*_ITEM, write=True)
)
def assign_recon_item(item: ItemId, body: OwnerIn, write: Writes) -> Response:
    """Give an item to somebody."""
    return _do(write, lambda unit: recon.assign(unit, item, body.owner))


@router.post(
    "/items/{item}/propose",
    response_model=ItemOut,
    responses=refused_by(
        *_ITEM,
        recon.ReconPlanIsUnknown,
        recon.ReconActionDoesNotFit,
        recon.WriteOffIsTooLarge,
        recon.ReconMerchantIsNeeded,
        recon.ReconPairDoesNotFit,
        approvals.ShownIsMalformed,
        write=True,
    ),
)
def propose_recon_item(item: ItemId, body: ProposalIn, write: Writes) -> Response:
    """Propose how an item is resolved; a second person is asked."""
    proposal = recon.Proposal(
        action=body.action, reason=body.reason, merchant=body.merchant, other=body.other
    )
    return _do(write, lambda unit: recon.propose(unit, item, proposal))


@router.post(
    "/items/{item}/withdraw",
    response_model=ItemOut,
    responses=refused_by(*_ITEM, approvals.ApprovalIsNotYours, write=True),
)
def withdraw_recon_item(item: ItemId, write: Writes) -> Response:
    """Take a proposal back."""
    return _do(write, lambda unit: recon.withdraw(unit, item, by=write.caller.actor))


@router.post(
    "/items/{item}/approve",
    response_model=ItemOut,
    responses=refused_by(*_ITEM, *_YES, write=True),
)
def approve_recon_item(item: ItemId, body: YesIn, write: Approves) -> Response:
    """Say yes to what somebody else proposed."""
    return _do(
        write,
        lambda unit: recon.approve(unit, item, by=write.caller, shown_hash=body.shown_hash),
    )


@router.post(
    "/items/{item}/post",
    response_model=ItemOut,
    responses=refused_by(
        *_ITEM,
        recon.ReconPairDoesNotFit,
        institution.InstitutionIsNotOpen,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def post_recon_item(item: ItemId, write: Writes) -> Response:
    """Do what was proposed and approved."""
    return _do(write, lambda unit: recon.post(unit, item))


@router.get("/ageing", responses=refused_by())
def show_recon_ageing(
    read: Reads,
    channel: OfChannel = None,
    today: Annotated[date | None, Query(description="from which ages are counted")] = None,
) -> AgeingOut:
    """Show what is open, by age: a table, and the same as a plot takes it."""
    _staff(read, "payments.reconcile")
    on = today or read.database.now().date()
    with read.database.reading() as connection:
        lines = recon.ageing(connection, on, channel)
    names = AgeLineOut.model_fields
    return AgeingOut(
        today=on,
        lines=[AgeLineOut(**{name: getattr(one, name) for name in names}) for one in lines],
        plot=AgeingPlotOut(**recon.plot_of_ageing(lines)),
    )
