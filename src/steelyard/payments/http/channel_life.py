"""Routes of channels: their lives, agreements, maintenance, health."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime

from steelyard.base import UnitOfWork
from steelyard.base.http import NotEntitled, Read, Write, reading, refusals, writing
from steelyard.parties import approvals
from steelyard.payments import channel, channel_desk, channel_life, health, orders
from steelyard.payments.http.channel_life_wire import (
    AgreementIn,
    AgreementOut,
    AgreementsOut,
    ApprovalOut,
    BreakerIn,
    BreakerOut,
    ChangesIn,
    ChannelOut,
    ChannelsOut,
    HealthOut,
    HealthsOut,
    NewChannelIn,
    SecretsIn,
    SheetIn,
    StageIn,
    StageOut,
    StagesOut,
    TestOut,
    TestsOut,
    WindowIn,
    WindowOut,
    WindowsOut,
)
from steelyard.payments.http.wire import Code

router = APIRouter(prefix="/v1/payments/channels", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Changes = Annotated[Write, writing("payments.channel")]
_NONE = (channel_desk.ChannelIsUnknown,)
_STEP = (*_NONE, channel_life.StageForbids, channel_life.StageNeedsMore)
_DAY = timedelta(days=1)


def staff(command: Read | Write, verb: str) -> None:
    """Refuse who is no member of the staff: channels are no merchant's matter.

    Refusals
    --------
    not_entitled
    """
    if command.caller.party is not None:
        raise NotEntitled(actor=command.caller.actor, verb=verb)


def span(read: Read, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """Return a stretch of time: the last hour, unless it is stated."""
    until = until or read.database.now()
    return since or until - timedelta(hours=1), until


@router.get("", responses=refusals())
def list_channels(read: Reads, mode: orders.Mode = orders.Mode.LIVE) -> ChannelsOut:
    """List the channels of a mode."""
    staff(read, "payments.read")
    desk: channel_desk.ChannelDesk = read.platform.channels
    return ChannelsOut(items=[ChannelOut.of(o.record, o.capability) for o in desk.all(mode)])


@router.post(
    "",
    response_model=ChannelOut,
    responses=refusals(
        channel_desk.ChannelExists,
        channel_desk.ChannelKindIsUnknown,
        channel_life.TermDoesNotFit,
        write=True,
    ),
)
def register_channel(body: NewChannelIn, write: Changes) -> Response:
    """Register a channel; it begins surveyed."""
    staff(write, write.verb)

    def work(unit: UnitOfWork) -> ChannelOut:
        new = channel_desk.NewChannel(
            code=body.code,
            mode=body.mode,
            kind=body.kind,
            name=body.name,
            capability=channel_life.sheet_of(body.capability),
            settings=body.settings,
            secrets=body.secrets,
            probe=None if body.probe is None else body.probe.probe(),
        )
        return ChannelOut.of(channel_desk.register_channel(unit, write.platform.keyring, new))

    return write.run(work)


@router.get("/health", responses=refusals())
def show_health(
    read: Reads,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    channel: Annotated[Code | None, Query()] = None,
) -> HealthsOut:
    """Show how channels did by method, in the last hour unless it is stated."""
    staff(read, "payments.read")
    start, end = span(read, since, until)
    with read.database.reading() as connection:
        found = health.health(connection, start, end, channel)
        breakers = health.breakers(connection)
    return HealthsOut(
        since=start,
        until=end,
        items=[HealthOut.of(one) for one in found],
        breakers=[BreakerOut.of(one) for one in breakers if channel in (None, one.channel)],
    )


@router.get("/{code}", responses=refusals(*_NONE))
def show_channel(code: Code, read: Reads) -> ChannelOut:
    """Show a channel with what it can do today."""
    staff(read, "payments.read")
    with read.database.reading() as connection:
        record = channel_life.read(connection, code)
        today = _today(read, record)
        return ChannelOut.of(record, channel_life.capability_at(connection, code, today))


def _today(read: Read, record: channel_desk.ChannelRecord) -> date:
    return read.database.now().astimezone(ZoneInfo(record.capability.timezone)).date()


@router.post("/{code}/changes", response_model=ChannelOut, responses=refusals(*_NONE, write=True))
def change_channel(code: Code, body: ChangesIn, write: Changes) -> Response:
    """Change what a channel is operated by: trial caps, probe, owner, runbook."""
    staff(write, write.verb)
    return write.run(
        lambda unit: ChannelOut.of(channel_life.configure(unit, code, **body.changes()))
    )


@router.post("/{code}/secrets", response_model=ChannelOut, responses=refusals(*_NONE, write=True))
def replace_secrets(code: Code, body: SecretsIn, write: Changes) -> Response:
    """Replace the secrets of a channel's adaptor; they are sealed and never shown."""
    staff(write, write.verb)
    keyring = write.platform.keyring
    return write.run(
        lambda unit: ChannelOut.of(channel_desk.replace_secrets(unit, keyring, code, body.secrets))
    )


@router.post(
    "/{code}/sheet",
    response_model=ChannelOut,
    responses=refusals(*_NONE, channel_life.TermDoesNotFit, write=True),
)
def change_sheet(code: Code, body: SheetIn, write: Changes) -> Response:
    """Write a new version of a channel's capability sheet."""
    staff(write, write.verb)
    return write.run(
        lambda unit: ChannelOut.of(
            channel_life.change_sheet(unit, code, body.changes, reason=body.reason)
        )
    )


@router.get("/{code}/agreements", responses=refusals(*_NONE))
def list_agreements(code: Code, read: Reads, on: date | None = None) -> AgreementsOut:
    """List the agreements of a channel, and its sheet as they change it on a day."""
    staff(read, "payments.read")
    with read.database.reading() as connection:
        day = on or _today(read, channel_life.read(connection, code))
        found = channel_life.agreements_of(connection, code)
        capability = channel_life.capability_at(connection, code, day)
    return AgreementsOut(
        items=[AgreementOut.of(one) for one in found],
        on=day,
        capability=channel_life.plain(capability),
    )


@router.post(
    "/{code}/agreements",
    response_model=AgreementOut,
    responses=refusals(
        *_NONE,
        channel_life.TermDoesNotFit,
        channel_life.AgreementExists,
        channel_life.AgreementIsUnknown,
        channel_life.SupplementIsOutside,
        channel_life.AgreementsOverlap,
        write=True,
    ),
)
def add_agreement(code: Code, body: AgreementIn, write: Changes) -> Response:
    """Add a dated agreement, or a supplement that changes the sheet from its day on."""
    staff(write, write.verb)
    return write.run(
        lambda unit: AgreementOut.of(channel_life.add_agreement(unit, code, body.new()))
    )


@router.get("/{code}/stages", responses=refusals(*_NONE))
def list_stages(code: Code, read: Reads) -> StagesOut:
    """Show a channel's life so far, and what it lacks for each stage that may follow."""
    staff(read, "payments.read")
    with read.database.reading() as connection:
        missing = channel_life.lacks(connection, code, read.database.now())
        found = channel_life.stages_of(connection, code)
    return StagesOut(items=[StageOut(**one) for one in found], lacks=missing)


@router.post(
    "/{code}/stages/live", response_model=ApprovalOut, responses=refusals(*_STEP, write=True)
)
def request_live(code: Code, write: Changes) -> Response:
    """Ask for a second person's yes to take a channel live."""
    staff(write, write.verb)

    def work(unit: UnitOfWork) -> ApprovalOut:
        asked = channel_life.request_live(unit, code)
        return ApprovalOut(approval=asked.id, shown_hash=asked.shown_hash)

    return write.run(work)


@router.post(
    "/{code}/stages",
    response_model=ChannelOut,
    responses=refusals(*_STEP, approvals.ApprovalIsNeeded, *approvals.CONSUME_REFUSALS, write=True),
)
def advance(code: Code, body: StageIn, write: Changes) -> Response:
    """Take a channel to the next stage of its life."""
    staff(write, write.verb)
    return write.run(
        lambda unit: ChannelOut.of(
            channel_life.advance(unit, code, body.to, reason=body.reason, approval=body.approval)
        )
    )


@router.get("/{code}/tests", responses=refusals(*_NONE))
def list_tests(code: Code, read: Reads) -> TestsOut:
    """List the newest test payments and probes of a channel."""
    staff(read, "payments.read")
    with read.database.reading() as connection:
        channel_life.read(connection, code)
        found = channel_life.protocol_of(connection, code, limit=100)
    return TestsOut(items=[TestOut.of(one) for one in found])


_CALLED = (*_NONE, channel_desk.ChannelKindIsUnknown)


@router.post("/{code}/tests", response_model=TestsOut, responses=refusals(*_CALLED, write=True))
def run_tests(code: Code, write: Changes) -> Response:
    """Make the test payments of a channel's protocol."""
    staff(write, write.verb)
    return write.run_in_steps(
        lambda: TestsOut(
            items=[
                TestOut.of(one)
                for one in channel_life.run_tests(
                    write.database, write.platform.channels, code, actor=write.caller.actor
                )
            ]
        )
    )


@router.post("/{code}/probe", response_model=TestOut, responses=refusals(*_CALLED, write=True))
def probe_now(code: Code, write: Changes) -> Response:
    """Probe a channel now."""
    staff(write, write.verb)
    return write.run_in_steps(
        lambda: TestOut.of(
            health.probe(write.database, write.platform.channels, code, actor=write.caller.actor)
        )
    )


@router.get("/{code}/maintenance", responses=refusals(*_NONE))
def list_windows(code: Code, read: Reads) -> WindowsOut:
    """List the maintenance of a channel that is announced and not over."""
    staff(read, "payments.read")
    with read.database.reading() as connection:
        channel_life.read(connection, code)
        found = health.windows(connection, [code], read.database.now())[code]
    return WindowsOut(items=[WindowOut.of(one) for one in found])


@router.post(
    "/{code}/maintenance",
    response_model=WindowOut,
    responses=refusals(*_NONE, health.WindowDoesNotFit, write=True),
)
def announce(code: Code, body: WindowIn, write: Changes) -> Response:
    """Announce maintenance, once or recurring."""
    staff(write, write.verb)
    return write.run(lambda unit: WindowOut.of(health.announce(unit, body.window(code))))


@router.post(
    "/{code}/maintenance/{window}/withdraw",
    response_model=WindowsOut,
    responses=refusals(*_NONE, health.WindowIsUnknown, write=True),
)
def withdraw_window(code: Code, window: UUID, write: Changes) -> Response:
    """Let announced maintenance not take place."""
    staff(write, write.verb)

    def work(unit: UnitOfWork) -> WindowsOut:
        health.withdraw(unit, code, window)
        left = health.windows(unit.connection, [code], unit.now)[code]
        return WindowsOut(items=[WindowOut.of(one) for one in left])

    return write.run(work)


@router.post("/{code}/breaker", response_model=BreakerOut, responses=refusals(*_NONE, write=True))
def force_breaker(code: Code, body: BreakerIn, write: Changes) -> Response:
    """Cut a channel off for a method by hand, or take it back."""
    staff(write, write.verb)
    method: channel.Method = body.method
    return write.run(
        lambda unit: BreakerOut.of(
            health.force_breaker(unit, code, method, is_open=body.is_open, reason=body.reason)
        )
    )
