"""Monitoring of merchants: days are counted, judged, and what is out of the way is acted upon."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from steelyard.base import Database, Fact, UnitOfWork
from steelyard.base.jobs import Daily, Every, JobContext, job
from steelyard.cases import open_case
from steelyard.payments.model.merchants import (
    MerchantState,
    RiskGrade,
    RiskNote,
    default_contract,
)
from steelyard.payments.model.monitoring import (
    QUIET_LOOKS,
    Alert,
    AlertLevel,
    Figures,
    MerchantRule,
    Reading,
    Seen,
    judge,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.service import institution, merchants, settlement
from steelyard.payments.service.merchants_facts import MerchantContractChanged
from steelyard.payments.store import merchants as merchant_table
from steelyard.payments.store import monitoring as table
from steelyard.payments.store import settlement as settlement_table

__all__ = [
    "Alert",
    "AlertLevel",
    "Figures",
    "MerchantRule",
    "figures_of",
    "glance_at_merchants",
    "list_alerts",
    "look",
    "watch_merchants",
]

CAUSE: Final = "rule.merchant_monitoring@1"
_WEIGHTS: Final = {AlertLevel.WATCH: 20, AlertLevel.ACT: 60}


class MerchantAlertOpened(Fact, kind="payments.MerchantAlertOpened", version=1):
    """A merchant is out of the way of his past and his industry."""

    merchant: UUID
    alert: UUID
    rule: str
    level: str
    value: float
    own: float | None = None
    industry: float | None = None
    done: tuple[str, ...] = ()


class MerchantAlertRaised(Fact, kind="payments.MerchantAlertRaised", version=1):
    """It became worse: money is held."""

    merchant: UUID
    alert: UUID
    rule: str
    value: float
    done: tuple[str, ...] = ()


class MerchantAlertEnded(Fact, kind="payments.MerchantAlertEnded", version=1):
    """He was back on his way for several days; what was held is lifted by people."""

    merchant: UUID
    alert: UUID
    rule: str


def look(
    database: Database, mode: Mode, on: date, *, is_over: bool, actor: str = "system:payments"
) -> list[Alert]:
    """Count a day of all merchants, judge it, and act; return the alerts that opened or rose.

    Each merchant is a transaction of its own. Looked at again, a day changes nothing more.

    Parameters
    ----------
    on : by the clock of the institution
    is_over : whether the day is; only whole days bring an alert nearer to its end

    Refusals
    --------
    institution_is_not_open
    """
    with database.reading() as connection:
        zone = ZoneInfo(institution.read(connection, mode).timezone)
    since = datetime.combine(on, time(0), zone)
    until = datetime.combine(on + timedelta(days=1), time(0), zone)
    database.transact(
        lambda unit: table.count_day(unit.connection, mode, on, since=since, until=until),
        actor=actor,
    )
    with database.reading() as connection:
        days = table.seen_on(connection, mode, on)
        alarmed = table.merchants_with_alerts(connection, mode)
    told: list[Alert] = []
    for seen in days:
        readings = judge(seen)
        if not any(one.level for one in readings) and seen.merchant not in alarmed:
            continue
        told += database.transact(
            partial(_take, seen=seen, readings=readings, until=until if is_over else None),
            actor=actor,
        )
    return told


def _take(
    unit: UnitOfWork, *, seen: Seen, readings: list[Reading], until: datetime | None
) -> list[Alert]:
    """Let what is read of a merchant's day open, raise and end alerts.

    Parameters
    ----------
    until : the end of the day; None: it is not over
    """
    merchant_table.read(unit.connection, seen.merchant, lock=True)
    present = {
        one.rule: one
        for one in table.lock_open(unit.connection, seen.merchant)
        if (one.mode, one.currency) == (seen.mode, seen.currency)
    }
    told = []
    for reading in readings:
        alert = present.get(reading.rule)
        if alert is None:
            if reading.level is not None:
                told.append(_opened(unit, seen, reading, until))
        elif _is_worse(alert, reading):
            told.append(_raised(unit, alert, reading, until))
        else:
            _seen_again(unit, alert, reading, until)
    return told


def _is_worse(alert: Alert, reading: Reading) -> bool:
    return alert.level is AlertLevel.WATCH and reading.level is AlertLevel.ACT


def _opened(unit: UnitOfWork, seen: Seen, reading: Reading, until: datetime | None) -> Alert:
    assert reading.level is not None
    alert = Alert(
        id=unit.new_id(),
        merchant=seen.merchant,
        mode=seen.mode,
        currency=seen.currency,
        rule=reading.rule,
        level=reading.level,
        is_open=True,
        version=1,
        value=reading.value,
        own=reading.own,
        industry=reading.industry,
        opened_at=unit.now,
        seen_at=until or unit.now,
    )
    alert = _acted(unit, alert)
    table.insert(unit.connection, alert)
    fact = MerchantAlertOpened(
        merchant=alert.merchant,
        alert=alert.id,
        rule=alert.rule.value,
        level=reading.level.value,
        value=alert.value,
        own=alert.own,
        industry=alert.industry,
        done=alert.done,
    )
    unit.record(fact, subject=f"merchant:{alert.merchant}")
    return alert


def _raised(unit: UnitOfWork, alert: Alert, reading: Reading, until: datetime | None) -> Alert:
    after = replace(
        alert,
        level=AlertLevel.ACT,
        value=reading.value,
        own=reading.own,
        industry=reading.industry,
        quiet=0,
        seen_at=until or alert.seen_at,
    )
    after = _acted(unit, after)
    table.write(unit.connection, [after])
    fact = MerchantAlertRaised(
        merchant=after.merchant,
        alert=after.id,
        rule=after.rule.value,
        value=after.value,
        done=after.done,
    )
    unit.record(fact, subject=f"merchant:{alert.merchant}")
    return after


def _seen_again(unit: UnitOfWork, alert: Alert, reading: Reading, until: datetime | None) -> None:
    # A day counts once towards the end, however often it is looked at.
    is_new = until is not None and until > alert.seen_at
    quiet = alert.quiet + is_new if reading.is_quiet else 0
    ends = quiet >= QUIET_LOOKS
    after = replace(
        alert,
        value=reading.value,
        own=reading.own,
        industry=reading.industry,
        quiet=quiet,
        is_open=not ends,
        seen_at=until if is_new and until is not None else alert.seen_at,
        ended_at=unit.now if ends else None,
    )
    table.write(unit.connection, [after])
    if ends:
        fact = MerchantAlertEnded(merchant=alert.merchant, alert=alert.id, rule=alert.rule.value)
        unit.record(fact, subject=f"merchant:{alert.merchant}")


def _acted(unit: UnitOfWork, alert: Alert) -> Alert:
    """Do what the level asks for, each once for an alert; return it with what was done.

    Every alert opens a case and notes the risk; one that acts holds the settlements, and raises
    the rolling reserve with a worse grade. People take it back.
    """
    source = f"merchant_alert:{alert.id}"
    done = list(alert.done)
    opened = open_case(unit, merchants.WATCH.name, f"merchant:{alert.merchant}", source=source)
    if "case" not in done:
        done.append("case")
    if alert.level is AlertLevel.ACT:
        if _held(unit, alert):
            done.append("settlements_held")
        if _graded_down(unit, alert.merchant):
            done.append("grade_lowered")
    weight = _WEIGHTS[alert.level]
    note = RiskNote(f"{alert.rule.value}_{alert.level.value}", source, weight)
    merchants.note_risk(unit, alert.merchant, note)
    return replace(alert, done=tuple(done), case=opened.case.id)


def _held(unit: UnitOfWork, alert: Alert) -> bool:
    if settlement_table.open_hold(unit.connection, alert.merchant) is not None:
        return False
    settlement.hold_merchant(unit, alert.merchant, reason=alert.rule.value)
    return True


def _graded_down(unit: UnitOfWork, merchant: UUID) -> bool:
    """Lower the grade by one, with the reserve of the worse grade where it is higher."""
    before = merchant_table.read(unit.connection, merchant, lock=True)
    grades = list(RiskGrade)
    worse = grades[min(grades.index(before.risk_grade) + 1, len(grades) - 1)]
    if worse is before.risk_grade or before.state is not MerchantState.ACTIVE:
        return False
    terms = default_contract(worse, 1)
    rate = max(
        Decimal(str(terms["reserve_rate"])), Decimal(str(before.contract.get("reserve_rate", "0")))
    )
    days = max(int(str(terms["reserve_days"])), int(str(before.contract.get("reserve_days", 0))))
    contract = {**before.contract, "reserve_rate": str(rate), "reserve_days": days}
    after = replace(before, risk_grade=worse, contract=contract)
    fact = MerchantContractChanged(
        merchant=merchant,
        contract_version=before.version + 1,
        risk_grade=worse.value,
        changed=("reserve_rate", "reserve_days"),
        cause=CAUSE,
    )
    merchants.move(unit, before, after, fact, reason="monitoring", cause=CAUSE)
    return True


def list_alerts(
    connection: sa.Connection, *, merchant: UUID | None = None, is_open: bool | None = None
) -> list[Alert]:
    """Return alerts, the newest first."""
    return table.list_alerts(connection, merchant=merchant, is_open=is_open)


def figures_of(
    connection: sa.Connection, merchant: UUID, mode: Mode = Mode.LIVE
) -> list[tuple[date, str, Figures]]:
    """Return the days of a merchant in counts, the newest first: day, currency, counts."""
    return table.figures_of(connection, merchant, mode)


@job("payments.watch_merchants", schedule=Daily(time(2, 30), "Asia/Shanghai"))
def watch_merchants(context: JobContext) -> None:
    """Judge the day of every merchant that is over."""
    _look(context, back=1, is_over=True)


@job("payments.glance_at_merchants", schedule=Every(timedelta(hours=1)))
def glance_at_merchants(context: JobContext) -> None:
    """Judge the day of every merchant as far as it has come."""
    _look(context, back=0, is_over=False)


def _look(context: JobContext, *, back: int, is_over: bool) -> None:
    for mode in Mode:
        with context.database.reading() as connection:
            house = institution.find(connection, mode)
        if house is not None:
            today = context.database.now().astimezone(ZoneInfo(house.timezone)).date()
            on = today - timedelta(days=back)
            look(context.database, mode, on, is_over=is_over, actor=context.actor)
