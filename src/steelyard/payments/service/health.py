"""Health of channels: announced maintenance, probes, figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.jobs import Every, JobContext, job
from steelyard.payments.model.breaker import Breaker, BreakerState, Moved
from steelyard.payments.model.channel import (
    Channel,
    Method,
    PayRequest,
    Query,
    RefundRequest,
    Said,
    Stage,
)
from steelyard.payments.model.channel_calendar import (
    Window,
    WindowDoesNotFit,
    WindowIsUnknown,
    check_window,
)
from steelyard.payments.model.health import Health
from steelyard.payments.model.lifecycle import ProbeSetting, TestKind, TestLine
from steelyard.payments.model.orders import Mode
from steelyard.payments.service.channel_desk import ChannelDesk, Listed
from steelyard.payments.service.channel_facts import (
    ChannelBreakerMoved,
    ChannelWindowAnnounced,
)
from steelyard.payments.service.routing_desk import breaker_of, count_days_again, force_breaker
from steelyard.payments.store import channel_desk as table
from steelyard.payments.store import channel_life as life_table
from steelyard.payments.store import health as health_table
from steelyard.payments.store.health import BreakerRow, breakers, health, windows

__all__ = [
    "BreakerRow",
    "BreakerState",
    "Health",
    "Window",
    "WindowDoesNotFit",
    "WindowIsUnknown",
    "announce",
    "breakers",
    "force_breaker",
    "health",
    "probe",
    "probe_channels",
    "windows",
    "withdraw",
]


def announce(unit: UnitOfWork, window: Window) -> Window:
    """Announce maintenance; its id, actor and instant are given here.

    Refusals
    --------
    channel_is_unknown, window_does_not_fit
    """
    record = table.lock(unit.connection, window.channel)
    check_window(window, unit.now)
    made = replace(window, id=unit.new_id(), announced_at=unit.now, actor=unit.actor)
    health_table.insert_window(unit.connection, made)
    _tell(unit, made, record.subject, is_withdrawn=False)
    return made


def withdraw(unit: UnitOfWork, channel: str, window: UUID) -> None:
    """Let announced maintenance not take place.

    Refusals
    --------
    channel_is_unknown, window_is_unknown
    """
    record = table.lock(unit.connection, channel)
    if not health_table.withdraw_window(unit.connection, channel, window, unit.now):
        raise WindowIsUnknown(channel=channel, window=window)
    gone = Window(id=window, channel=channel, reason="")
    _tell(unit, gone, record.subject, is_withdrawn=True)


def _tell(unit: UnitOfWork, window: Window, subject: str, *, is_withdrawn: bool) -> None:
    table.touch(unit.connection, window.channel, unit.now)
    unit.record(
        ChannelWindowAnnounced(
            channel=window.channel, window=str(window.id), is_withdrawn=is_withdrawn
        ),
        subject=subject,
    )
    audit(
        unit,
        action="payments.withdraw_window" if is_withdrawn else "payments.announce_window",
        subject=subject,
        detail={"window": str(window.id)},
    )


def probe(
    database: Database,
    desk: ChannelDesk,
    channel: str,
    *,
    actor: str,
    timer: Callable[[], float] = time.monotonic,
) -> TestLine:
    """Probe a channel once, and let its breaker know.

    A known number is asked about; or, where the channel's probe has an amount, that is paid by its
    own probe merchant and refunded. Good probes never close what real traffic opened.

    Refusals
    --------
    channel_is_unknown, channel_kind_is_unknown
    """
    listed = desk.listed(channel)
    adaptor = desk.get(channel)
    setting = listed.record.probe or ProbeSetting(method=listed.capability.methods[0])
    number = setting.number
    if setting.amount_minor:
        number = database.transact(lambda unit: unit.new_id(), actor=actor).hex
    began = timer()
    said, code = _ask(adaptor, setting, number, database.now())
    took = round(1000 * (timer() - began))

    def keep(unit: UnitOfWork) -> TestLine:
        line = TestLine(
            id=unit.new_id(),
            channel=channel,
            kind=TestKind.PROBE,
            number=number,
            said=said.value,
            code=code,
            amount_minor=setting.amount_minor or None,
            is_passed=_answers(said, setting),
            latency_ms=took,
            actor=unit.actor,
            at=unit.now,
        )
        if listed.record.version and listed.record.kind != "in_process":
            life_table.insert_test(unit.connection, line)
        _move(unit, listed, is_good=line.is_passed)
        return line

    return database.transact(keep, actor=actor)


def _answers(said: Said, setting: ProbeSetting) -> bool:
    """Whether a probe's answer shows a channel that works: any to a question, or the money."""
    if setting.amount_minor:
        return said in (Said.SUCCEEDED, Said.PENDING)
    return said not in (Said.UNKNOWN, Said.NOT_SENT)


def _ask(
    adaptor: Channel, setting: ProbeSetting, number: str, now: datetime
) -> tuple[Said, str | None]:
    if not setting.amount_minor:
        found = adaptor.query(Query(number=number, reference=None, sent_at=now))
        return found.said, found.code
    paid = adaptor.pay(
        PayRequest(
            number=number,
            amount_minor=setting.amount_minor,
            currency=setting.currency,
            method=setting.method,
            subject="probe 探测交易",
            merchant=setting.merchant,
            sent_at=now,
            instrument=setting.instrument,
        )
    )
    if paid.said is Said.SUCCEEDED:
        adaptor.refund(
            RefundRequest(
                number=f"r{number[1:]}",
                payment_number=number,
                payment_reference=paid.reference,
                amount_minor=setting.amount_minor,
                total_minor=setting.amount_minor,
                currency=setting.currency,
                sent_at=now,
                reason="probe",
            )
        )
    return paid.said, paid.code


def _move(unit: UnitOfWork, listed: Listed, *, is_good: bool) -> None:
    """Let the breakers of all methods of a channel know how a probe went."""
    code, now = listed.record.code, unit.now.timestamp()
    rows = {one.method: one for one in breakers(unit.connection) if one.channel == code}
    for method in listed.capability.methods:
        row = rows.get(method)
        breaker = breaker_of(row) if row else Breaker(since=now)
        step = breaker.probe(now, is_good=is_good)
        _write(unit, code, method, (row, breaker, step))


def _write(
    unit: UnitOfWork,
    code: str,
    method: Method,
    after: tuple[BreakerRow | None, Breaker, Moved | None],
) -> None:
    row, breaker, step = after
    until = datetime.fromtimestamp(breaker.until, UTC) if breaker.until else None
    written = BreakerRow(
        channel=code,
        method=method,
        state=breaker.state,
        version=row.version if row else 0,
        opened_by=breaker.opened_by,
        trips=breaker.trips,
        since=datetime.fromtimestamp(breaker.since, UTC),
        until=until,
        detail={"probes_good": breaker.probes_good, "probes_bad": breaker.probes_bad},
    )
    if row is not None and written == row:
        return
    if not health_table.write_breaker(unit.connection, written) or step is None:
        return
    unit.record(
        ChannelBreakerMoved(
            channel=code,
            method=method.value,
            before=step.before.value,
            after=step.after.value,
            by=step.by.value,
        ),
        subject=f"channel:{code}",
    )


@job("payments.probe_channels", schedule=Every(timedelta(seconds=30)))
def probe_channels(context: JobContext) -> None:
    """Probe every channel in use, and count again what was taken of days with a limit."""
    desk = getattr(context.platform, "channels", None)
    if desk is None:
        return
    for mode in Mode:
        for listed in desk.all(mode):
            if context.should_stop:
                return
            record = listed.record
            if record.probe is not None and record.stage is not Stage.RETIRED:
                probe(context.database, desk, record.code, actor=context.actor)
    count_days_again(context.database, desk, actor=context.actor)
