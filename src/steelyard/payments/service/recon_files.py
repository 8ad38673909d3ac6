"""Statements of channels: when each is expected, and what becomes of the files that come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.payments.model import statement_files
from steelyard.payments.model.matching_columns import of_lines, take
from steelyard.payments.model.recon import DayState, FileState, Plan
from steelyard.payments.model.recon_refusals import ReconPlanIsMalformed, StatementIsOfNoDay
from steelyard.payments.model.statement_refusals import StatementDoesNotAddUp
from steelyard.payments.model.statements import Statement
from steelyard.payments.service.recon_facts import StatementIsLate, StatementTaken
from steelyard.payments.store import recon as table
from steelyard.payments.store import recon_rows as rows
from steelyard.payments.store.recon import Day, File

__all__ = [
    "Arrival",
    "Taken",
    "expect_days",
    "mark_late",
    "plan_of",
    "plans",
    "set_plan",
    "take_file",
    "take_statements",
]

_AHEAD: Final = timedelta(days=1)
_MOST_DAYS: Final = 800


class Arrival(StrEnum):
    """What a file was."""

    FIRST = "first"
    ADDED = "added"
    """A further page or account of the day."""
    CORRECTED = "corrected"
    """It stands in the place of an earlier version from now on."""
    DUPLICATE = "duplicate"
    """The same bytes were taken before: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A statement, and what it was."""

    file: File
    how: Arrival


def subject_of(channel: str, on: date) -> str:
    """Return whose history the facts of a day are."""
    return f"statement_day:{channel}.{on}"


def set_plan(unit: UnitOfWork, plan: Plan) -> Plan:
    """Say what is expected of a channel's statements, and what is tolerated in them.

    Refusals
    --------
    recon_plan_is_malformed
    """
    amounts = ("tolerance_minor", "budget_minor", "write_off_minor", "due_days", "suspect_days")
    for name in (*amounts, "case_days"):
        if not 0 <= getattr(plan, name) <= (10**15 if name.endswith("minor") else 366):
            raise ReconPlanIsMalformed(channel=plan.channel, field=name)
    if plan.fee_ppm is not None and not 0 <= plan.fee_ppm <= 1_000_000:
        raise ReconPlanIsMalformed(channel=plan.channel, field="fee_ppm")
    try:
        ZoneInfo(plan.timezone)
    except (KeyError, ValueError, OSError):
        raise ReconPlanIsMalformed(channel=plan.channel, field="timezone") from None
    table.write_plan(unit.connection, plan, unit.now)
    audit(
        unit,
        action="payments.set_recon_plan",
        subject=f"channel:{plan.channel}",
        detail={"starts_on": plan.starts_on.isoformat(), "write_off_minor": plan.write_off_minor},
    )
    return plan


def plans(connection: sa.Connection) -> list[Plan]:
    """Return every plan, by channel."""
    return table.read_plans(connection)


def plan_of(connection: sa.Connection, channel: str) -> Plan:
    """Return the plan of a channel.

    Refusals
    --------
    recon_plan_is_unknown
    """
    return table.read_plan(connection, channel)


def expect_days(unit: UnitOfWork, channel: str) -> int:
    """Enter every day that has begun into the calendar of statements; return how many are new.

    Refusals
    --------
    recon_plan_is_unknown
    """
    plan = table.read_plan(unit.connection, channel)
    today = plan.clock.business_on(unit.now)
    first = max(plan.starts_on, today - timedelta(days=_MOST_DAYS))
    days = [first + timedelta(days=n) for n in range((today - first).days + 1)]
    return table.insert_days(
        unit.connection, channel, [(on, plan.due(on)) for on in days], unit.now
    )


def mark_late(unit: UnitOfWork) -> list[Day]:
    """Write down which statements did not come in time; return their days."""
    found = table.late_days(unit.connection, unit.now)
    for day in found:
        table.move_day(unit.connection, day, DayState.LATE, unit.now)
        fact = StatementIsLate(channel=day.channel, on=day.on)
        unit.record(fact, subject=subject_of(day.channel, day.on))
    return found


def take_file(
    database: Database,
    content: bytes,
    name: str,
    *,
    channel: str,
    on: date | None = None,
    actor: str = "system:recon",
) -> list[Taken]:
    """Read a file in whatever form it is written, and take the statements in it.

    Parameters
    ----------
    on : the day it is taken for; None: the day that the statement says it is of

    Refusals
    --------
    recon_plan_is_unknown, statement_is_of_no_day, statement_does_not_add_up, and those of
    `statement_files.read`
    """
    found = statement_files.read(content, name)
    return take_statements(
        database, found, name, digest=sha256(content).digest(), channel=channel, on=on, actor=actor
    )


def take_statements(
    database: Database,
    statements: Iterable[Statement],
    name: str,
    *,
    digest: bytes,
    channel: str,
    on: date | None = None,
    actor: str = "system:recon",
) -> list[Taken]:
    """Take statements that were read: arrived, verified, and stored part by part.

    Parameters
    ----------
    digest : SHA-256 of the file; the same bytes again are a duplicate and change nothing

    Returns
    -------
    list of Taken
        One for each statement. A crash in between leaves a day that is not staged; the same file
        again finishes it.

    Refusals
    --------
    recon_plan_is_unknown, statement_is_of_no_day
    statement_does_not_add_up : that it arrived is kept, and the day waits for another
    """
    taken = []
    for place, statement in enumerate(statements):
        mark = digest if place == 0 else sha256(digest + place.to_bytes(4, "big")).digest()
        one = _Coming(statement, name, mark, channel, _day_of(statement, on))
        found = database.transact(lambda unit, o=one: _arrive(unit, o), actor=actor)  # type: ignore[misc]
        if found.file.state is FileState.ARRIVED:
            _check(statement)
            database.transact(lambda unit, f=found.file: _verify(unit, f), actor=actor)  # type: ignore[misc]
            found = Taken(replace(found.file, state=FileState.VERIFIED), found.how)
        if found.file.state is FileState.VERIFIED:
            found = _stage(database, found, statement, actor)
        taken.append(found)
    return taken


@dataclass(frozen=True, slots=True)
class _Coming:
    """A statement that is to be taken."""

    statement: Statement
    name: str
    digest: bytes
    channel: str
    on: date


def _day_of(statement: Statement, on: date | None) -> date:
    if on is not None:
        return on
    if statement.from_on != statement.to_on:
        raise StatementIsOfNoDay(from_on=statement.from_on, to_on=statement.to_on)
    return statement.to_on


def _check(statement: Statement) -> None:
    """Refuse lines that do not lead from the opening to the closing balance.

    Readers refuse such a file by its line; a statement that was built otherwise is checked here.
    """
    total = statement_files.moved(statement)
    opening, closing = statement.opening_minor, statement.closing_minor
    if opening is not None and closing is not None and opening + total != closing:
        raise StatementDoesNotAddUp(
            line=len(statement.lines),
            opening=opening,
            movements=total,
            closing=closing,
            currency=statement.currency,
        )


def _arrive(unit: UnitOfWork, coming: _Coming) -> Taken:
    statement, channel, day_on = coming.statement, coming.channel, coming.on
    plan = table.read_plan(unit.connection, channel)
    table.insert_days(unit.connection, channel, [(day_on, plan.due(day_on))], unit.now)
    day = table.find_day(unit.connection, channel, day_on, lock=True)
    assert day is not None, "it was inserted"
    known = table.files_by_hash(unit.connection, channel, coming.digest)
    if known:
        # What did not add up, or was cut short by a crash, goes on from where it stands.
        is_done = known[-1].state in (FileState.STAGED, FileState.CORRECTED)
        return Taken(known[-1], Arrival.DUPLICATE if is_done else Arrival.FIRST)
    everything = table.files_of(unit.connection, channel, day_on, current=False)
    key = (statement.account, statement.currency, statement.page)
    before = [one for one in everything if (one.account, one.currency, one.page) == key]
    file = File(
        id=unit.new_id(),
        channel=channel,
        on=day_on,
        version=len(before) + 1,
        name=coming.name,
        form=statement.form,
        sha256=coming.digest,
        state=FileState.ARRIVED,
        account=statement.account,
        currency=statement.currency,
        page=statement.page,
        is_last_page=statement.is_last_page,
        proof=statement_files.proof_of(statement),
        lines=len(statement.lines),
        total_minor=statement_files.moved(statement),
        opening_minor=statement.opening_minor,
        closing_minor=statement.closing_minor,
        arrived_at=unit.now,
        by=unit.actor,
    )
    table.insert_file(unit.connection, file)
    if day.state in (DayState.EXPECTED, DayState.LATE):
        table.move_day(unit.connection, day, DayState.ARRIVED, unit.now)
    audit(
        unit,
        action="payments.take_statement",
        subject=f"statement_file:{file.id}",
        detail={"channel": channel, "on": day_on.isoformat(), "sha256": coming.digest.hex()},
    )
    how = Arrival.CORRECTED if before else Arrival.ADDED if everything else Arrival.FIRST
    return Taken(file, how)


def _verify(unit: UnitOfWork, file: File) -> None:
    """Write down that a file adds up."""
    table.move_files(unit.connection, [file.id], FileState.VERIFIED)
    day = table.find_day(unit.connection, file.channel, file.on, lock=True)
    assert day is not None, "the file is of a day"
    if day.state is DayState.ARRIVED:
        table.move_day(unit.connection, day, DayState.VERIFIED, unit.now)


def _stage(database: Database, taken: Taken, statement: Statement, actor: str) -> Taken:
    """Store the lines in parts, then let the file count; also what a crash left half stored."""
    lines = of_lines(statement.lines)
    for part, start in enumerate(range(0, len(lines.line), rows.PART)):
        piece = take(lines, np.arange(start, min(start + rows.PART, len(lines.line))))
        database.transact(
            lambda unit, p=piece, k=part: rows.insert_part(  # type: ignore[misc]
                unit.connection, taken.file.id, k, p
            ),
            actor=actor,
        )
    database.transact(lambda unit: _count(unit, taken.file), actor=actor)
    return Taken(replace(taken.file, state=FileState.STAGED), taken.how)


def _count(unit: UnitOfWork, file: File) -> None:
    """Let a stored file count, in the place of an earlier version of it."""
    connection = unit.connection
    day = table.find_day(connection, file.channel, file.on, lock=True)
    assert day is not None, "the file is of a day"
    older = [
        one.id
        for one in table.files_of(connection, file.channel, file.on, current=False)
        if (one.account, one.currency, one.page) == (file.account, file.currency, file.page)
        and one.version < file.version
    ]
    table.move_files(connection, older, FileState.CORRECTED)
    table.move_files(connection, [file.id], FileState.STAGED)
    current = table.files_of(connection, file.channel, file.on)
    state = DayState.STAGED if is_whole(current) else DayState.INCOMPLETE
    table.move_day(connection, day, state, unit.now)
    fact = StatementTaken(
        channel=file.channel,
        on=file.on,
        file=file.id,
        file_version=file.version,
        lines=file.lines,
    )
    unit.record(fact, subject=subject_of(file.channel, file.on))


def is_whole(files: Sequence[File]) -> bool:
    """Whether every account's pages are there, up to its last one, and stored."""
    pages: dict[tuple[str, str], dict[int, bool]] = {}
    for one in files:
        if one.state is not FileState.STAGED:
            return False
        pages.setdefault((one.account, one.currency), {})[one.page] = one.is_last_page
    return bool(pages) and all(
        found[max(found)] and sorted(found) == list(range(1, max(found) + 1))
        for found in pages.values()
    )


def file_ids(files: Iterable[File]) -> list[UUID]:
    """Return the ids of files, in their order."""
    return [one.id for one in files]
