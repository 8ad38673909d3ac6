"""A day of the institution: trade, close, statements, reconcile, settle, tie out.

Each step finds what it did before and goes on from there, so a day that was cut off at any point is
run again as it was. Only trade, which is somebody else's, is never done twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Protocol

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import Refusal
from steelyard.payments.model.channel import Capability, Channel
from steelyard.payments.model.clearing import ClearingState
from steelyard.payments.model.custody import Custodian, CustodyAccount
from steelyard.payments.model.day import (
    ChannelLine,
    DayReport,
    DayStep,
    MerchantLine,
    PaymentDayIsNotOver,
    StepDone,
)
from steelyard.payments.model.fees import day_of
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.payouts import PayoutsAreStopped
from steelyard.payments.service import (
    clearing,
    custody,
    institution,
    payouts,
    recon,
    settlement,
    tieout,
)
from steelyard.payments.service.settlement import Payees
from steelyard.payments.store import custody as custody_table
from steelyard.payments.store import day as table
from steelyard.payments.store import tieout as tie_table

__all__ = [
    "ChannelLine",
    "Channels",
    "DayReport",
    "DayStep",
    "Hands",
    "How",
    "MerchantLine",
    "PaymentDayIsNotOver",
    "StepDone",
    "due_on",
    "gate_days",
    "report",
    "run",
    "settle",
    "sweep",
    "tie_out",
    "today",
]

Progress = Callable[[str, int, int], None]
Trade = Callable[[date], Mapping[str, object]]
MOST_LINES: Final = 200
_WAITING: Final = (recon.DayState.EXPECTED, recon.DayState.LATE, recon.DayState.INCOMPLETE)


class Channels(Protocol):
    """Channels by their codes, and what each can do."""

    def get(self, code: str) -> Channel:
        """Return the adaptor of a channel."""
        ...

    def capability(self, code: str) -> Capability:
        """Return what a channel can do."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What a day is run with.

    Attributes
    ----------
    custodian : None, or none of its accounts opened: nothing is paid out, and the reserve cannot be
        tied out
    trade : what is sold on the day, where the caller brings it about
    """

    channels: Channels
    payees: Payees
    custodian: Custodian | None = None
    trade: Trade | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How a day is run.

    Attributes
    ----------
    most_open_minor : amounts at risk in open breaks with which a channel's day still settles
    """

    most_open_minor: int = clearing.MOST_OPEN_MINOR
    actor: str = "system:day"
    progress: Progress = lambda stage, done, total: None


def due_on(database: Database, mode: Mode) -> date:
    """Return the last day that is over on the institution's clock.

    Refusals
    --------
    institution_is_not_open
    """
    with database.engine.connect() as connection:
        house = institution.read(connection, mode)
    return day_of(database.now(), house.timezone) - timedelta(days=1)


def today(database: Database, mode: Mode) -> date:
    """Return the present day on the institution's clock.

    Refusals
    --------
    institution_is_not_open
    """
    return due_on(database, mode) + timedelta(days=1)


def run(
    database: Database, mode: Mode, on: date, hands: Hands, how: How | None = None
) -> DayReport:
    """Run a day to its end, from wherever it stands, and return what it came to.

    Refusals
    --------
    institution_is_not_open
    payment_day_is_not_over : of a channel with payments; its trade is kept
    """
    how = how or How()
    with database.engine.connect() as connection:
        institution.read(connection, mode)
    work: dict[DayStep, Callable[[], Mapping[str, object]]] = {
        DayStep.CLOSE: lambda: _close(database, mode, on, hands, how),
        DayStep.STATEMENTS: lambda: _statements(database, mode, on, hands, how),
        DayStep.RECONCILE: lambda: _reconcile(database, mode, how),
        DayStep.SETTLE: lambda: _settle(database, mode, hands, how),
        DayStep.TIE_OUT: lambda: _tie_out(database, mode, on, hands, how),
    }
    trade = hands.trade
    if trade is not None:
        work = {DayStep.TRADE: lambda: trade(on), **work}
    for done, step in enumerate(work, start=1):
        how.progress("day (steps)", done - 1, len(work))
        _step(database, (mode, on, step), work[step], how)
        how.progress("day (steps)", done, len(work))
    with database.reading() as connection:
        return report(connection, mode, on)


def _step(
    database: Database,
    which: tuple[Mode, date, DayStep],
    work: Callable[[], Mapping[str, object]],
    how: How,
) -> None:
    """Do a step, and keep what it did; trade that was done is not done again."""
    mode, on, step = which
    is_new = database.transact(
        lambda unit: table.begin(unit.connection, mode, on, step, unit.now), actor=how.actor
    )
    if step is DayStep.TRADE and not is_new:
        return
    content = work()

    def keep(unit: UnitOfWork) -> None:
        table.finish(unit.connection, mode, on, step, at=unit.now, content=content)

    database.transact(keep, actor=how.actor)


def _close(
    database: Database, mode: Mode, on: date, hands: Hands, how: How
) -> Mapping[str, object]:
    closing = clearing.How(actor=how.actor, progress=how.progress)
    clearing.close_due(database, mode, hands.channels.capability, closing)
    with database.engine.connect() as connection:
        found = clearing.list_days(connection, mode, on=on)
    for day in found:
        if day.state in (ClearingState.OPEN, ClearingState.CUT_OFF):
            raise PaymentDayIsNotOver(on=on, channel=day.channel, closes_at=day.closes_at)
    return {"channels": [day.channel for day in found]}


def _statements(
    database: Database, mode: Mode, on: date, hands: Hands, how: How
) -> Mapping[str, object]:
    """Fetch the statements that are waited for, through the day; one that is refused is told."""
    came: dict[str, object] = {}
    with database.engine.connect() as connection:
        plans = [plan for plan in recon.plans(connection) if plan.mode is mode]
    for done, plan in enumerate(plans, start=1):
        database.transact(_expecting(plan.channel), actor=how.actor)
        with database.engine.connect() as connection:
            days = recon.days(connection, channel=plan.channel, from_on=plan.starts_on, to_on=on)
        for view in reversed(days):
            if view.day.state in _WAITING:
                said = _fetch(database, hands.channels.get(plan.channel), view.day.on, how)
                came[f"{plan.channel}/{view.day.on}"] = said
        how.progress("statements", done, len(plans))
    return came


def _expecting(channel: str) -> Callable[[UnitOfWork], int]:
    return lambda unit: recon.expect_days(unit, channel)


def _fetch(database: Database, channel: Channel, on: date, how: How) -> str:
    file = channel.statement(on)
    if file is None:
        return "none_yet"
    try:
        taken = recon.take_file(
            database, file.content, file.name, channel=channel.code, on=on, actor=how.actor
        )
    except Refusal as refusal:
        return refusal.code
    return ", ".join(one.how.value for one in taken)


def _reconcile(database: Database, mode: Mode, how: How) -> Mapping[str, object]:
    runs = recon.reconcile(database, actor=how.actor)
    passed = gate_days(database, mode, how)
    return {"runs": len(runs), "breaks": sum(sum(r.breaks.values()) for r in runs), **passed}


def gate_days(database: Database, mode: Mode, how: How | None = None) -> Mapping[str, object]:
    """Let every cleared day pass that reconciliation has nothing against."""
    how = how or How()
    with database.engine.connect() as connection:
        waiting = [
            day
            for day in clearing.list_days(connection, mode, limit=10_000)
            if day.state is ClearingState.CLEARED
        ]
    passed = held = 0
    for day in sorted(waiting, key=lambda each: (each.on, each.channel)):

        def gate(unit: UnitOfWork, day: clearing.ClearingDay = day) -> clearing.ClearingDay:
            word = recon.word(unit.connection, day.channel, day.on)
            return clearing.pass_gate(unit, day, word, most_open_minor=how.most_open_minor)

        after = database.transact(gate, actor=how.actor)
        passed += after.state is ClearingState.RECON_GATED
        held += after.state is not ClearingState.RECON_GATED
    return {"passed": passed, "held": held}


def _settle(database: Database, mode: Mode, hands: Hands, how: How) -> Mapping[str, object]:
    on = today(database, mode)
    return {"settled_on": str(on), **settle(database, mode, on, hands, how)}


def settle(
    database: Database, mode: Mode, on: date, hands: Hands, how: How | None = None
) -> Mapping[str, object]:
    """Calculate the settlements of a day, pay what is approved, and pay our own account its fees.

    Returns
    -------
    mapping
        How many were made and in which state payouts are; `stopped` where none may go out.
    """
    how = how or How()
    made = settlement.calculate(
        database,
        mode,
        on,
        hands.payees,
        settlement.How(actor=how.actor, progress=how.progress),
    )
    told: dict[str, object] = {"settlements": made}
    if hands.custodian is None or not _accounts(database, mode):
        return {**told, "custodian": "none"}
    paying = payouts.How(actor=how.actor, progress=how.progress)
    try:
        paid = payouts.pay_ready(database, hands.custodian, mode, hands.payees, paying)
        payouts.poll(database, hands.custodian, hands.payees, paying)
        swept = sweep(database, mode, hands, how)
    except PayoutsAreStopped as stopped:
        return {**told, "stopped": stopped.facts.get("why", "")}
    states = Counter(payout.state.value for payout in paid)
    return {**told, "payouts": dict(states), "swept_minor": swept}


def sweep(database: Database, mode: Mode, hands: Hands, how: How) -> Mapping[str, int]:
    """Pay our own account the fees that are earned, by currency.

    Refusals
    --------
    payouts_are_stopped
    """
    swept: dict[str, int] = {}
    for account in _accounts(database, mode):
        begun = database.transact(
            lambda unit, a=account: payouts.begin_sweep(unit, mode, a.currency),  # type: ignore[misc]
            actor=how.actor,
        )
        if begun is not None and hands.custodian is not None:
            payouts.send(database, hands.custodian, begun.id, hands.payees, actor=how.actor)
            swept[account.currency] = begun.amount_minor
    return swept


def _accounts(database: Database, mode: Mode) -> tuple[CustodyAccount, ...]:
    with database.engine.connect() as connection:
        return custody.accounts_of(connection, mode)


def _tie_out(
    database: Database, mode: Mode, on: date, hands: Hands, how: How
) -> Mapping[str, object]:
    made = tie_out(database, mode, on, hands, how)
    return {tie.currency: tie.why for tie in made}


def tie_out(
    database: Database, mode: Mode, on: date, hands: Hands, how: How | None = None
) -> tuple[tieout.TieOut, ...]:
    """Fetch the custodian's statements through a day, and tie the reserve out for it.

    Statements that are missing since the last one that can be believed are fetched first, in their
    order: each goes on where the one before ended.

    Refusals
    --------
    custody_statement_is_unreadable
    """
    how = how or How()
    made = []
    for account in _accounts(database, mode):
        if hands.custodian is not None:
            for missing in _missing(database, account, on):
                said = custody.fetch(database, hands.custodian, account, missing, actor=how.actor)
                if said is not None and said.fault is not None:
                    break  # what follows goes on where this one ends, once it is corrected
        made.append(tieout.make(database, account, on, actor=how.actor))
    return tuple(made)


def _missing(database: Database, account: CustodyAccount, on: date) -> list[date]:
    """Return the days whose statements are fetched: after the last one before, through the day."""
    with database.engine.connect() as connection:
        last = custody_table.last_before(connection, account.mode, account.currency, on)
        opened = custody_table.opened_at(connection, account.mode, account.currency)
        house = institution.read(connection, account.mode)
    first = day_of(opened, house.timezone) if last is None else last.on + timedelta(days=1)
    first = min(first, on)
    return [first + timedelta(days=n) for n in range((on - first).days + 1)]


def report(connection: sa.Connection, mode: Mode, on: date) -> DayReport:
    """Return what a day came to, as far as it was run.

    Refusals
    --------
    institution_is_not_open
    """
    institution.read(connection, mode)
    steps = table.steps(connection, mode, on)
    settled = next((s.content.get("settled_on") for s in steps if s.step is DayStep.SETTLE), None)
    settled_on = date.fromisoformat(str(settled)) if settled else on + timedelta(days=1)
    ties = [tie for tie in tie_table.newest(connection, mode, limit=400) if tie.on == on]
    return DayReport(
        mode=mode,
        on=on,
        settled_on=settled_on,
        steps=tuple(steps),
        channels=_channel_lines(connection, mode, on),
        merchants=tuple(table.merchant_lines(connection, mode, on, settled_on, limit=MOST_LINES)),
        tie_outs=tuple(ties),
    )


def _channel_lines(connection: sa.Connection, mode: Mode, on: date) -> tuple[ChannelLine, ...]:
    views = {
        view.day.channel: view
        for view in recon.days(connection, channel=None, from_on=on, to_on=on)
    }
    planned = {plan.channel for plan in recon.plans(connection) if plan.mode is mode}
    lines = []
    for row in table.channel_sums(connection, mode, on):
        view = views.get(row.channel)
        ran = None if view is None else view.run
        absent = "missing" if row.channel in planned else "none_expected"
        lines.append(
            ChannelLine(
                channel=row.channel,
                currency=row.currency or "",
                state=row.state,
                payments=row.payments or 0,
                refunds=row.refunds or 0,
                gross_minor=row.gross or 0,
                refund_minor=row.refund or 0,
                fee_minor=row.fee or 0,
                statement=absent if view is None else view.day.state.value,
                lines=None if ran is None else ran.theirs,
                matched=None if ran is None else ran.matched,
                breaks=None if ran is None else sum(ran.breaks.values()),
            )
        )
    return tuple(lines)
