"""Tables of reconciliation: plans, expected days, files and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.orders import Mode
from steelyard.payments.model.recon import DayState, FileState, Plan
from steelyard.payments.model.recon_refusals import ReconPlanIsUnknown
from steelyard.payments.model.statement_files import Proof
from steelyard.payments.store.rows import one_json

_PLAN: Final = tuple(f.name for f in fields(Plan))


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of a channel whose statement is expected.

    Attributes
    ----------
    run : the newest finished run
    """

    channel: str
    on: date
    state: DayState
    version: int
    due_at: datetime
    run: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A statement as it was taken.

    Attributes
    ----------
    total_minor : of its lines, fees taken off
    proof : what shows that no line is missing
    """

    id: UUID
    channel: str
    on: date
    version: int
    name: str
    form: str
    sha256: bytes
    state: FileState
    account: str
    currency: str
    page: int
    is_last_page: bool
    proof: Proof
    lines: int
    total_minor: int
    opening_minor: int | None
    closing_minor: int | None
    arrived_at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A matching of a day.

    Attributes
    ----------
    no : 1, 2, ... of the day; digest : two runs with one result have the same
    stages, breaks : how many groups and breaks of each kind
    sums : of lines that are no payments, kind to currency to minor units
    """

    id: UUID
    channel: str
    on: date
    no: int
    state: str
    files: tuple[UUID, ...]
    is_complete: bool
    ours: int
    theirs: int
    matched: int
    stages: dict[str, int]
    breaks: dict[str, int]
    sums: dict[str, dict[str, int]]
    digest: str | None
    started_at: datetime
    finished_at: datetime | None
    by: str


# --- plans and days -------------------------------------------------------------------------------


def write_plan(connection: sa.Connection, plan: Plan, at: datetime) -> None:
    """Insert a plan, or put it in the place of the one before."""
    names = ", ".join(_PLAN)
    values = ", ".join(f":{name}" for name in _PLAN)
    changed = ", ".join(f"{name} = excluded.{name}" for name in _PLAN[1:])
    connection.execute(
        sa.text(
            f"INSERT INTO payments.recon_plan AS p ({names}, updated_at) VALUES ({values}, :at)"
            f" ON CONFLICT (channel) DO UPDATE SET {changed}, version = p.version + 1,"
            " updated_at = excluded.updated_at"
        ),
        {**{name: getattr(plan, name) for name in _PLAN}, "mode": plan.mode.value, "at": at},
    )


def read_plans(connection: sa.Connection, channel: str | None = None) -> list[Plan]:
    """Return the plans, by channel, or that of one."""
    rows = connection.execute(
        sa.text(
            f"SELECT {', '.join(_PLAN)} FROM payments.recon_plan"
            " WHERE CAST(:channel AS text) IS NULL OR channel = :channel ORDER BY channel"
        ),
        {"channel": channel},
    )
    return [Plan(**{**row._asdict(), "mode": Mode(row.mode)}) for row in rows]


def read_plan(connection: sa.Connection, channel: str) -> Plan:
    """Return the plan of a channel.

    Refusals
    --------
    recon_plan_is_unknown
    """
    found = read_plans(connection, channel)
    if not found:
        raise ReconPlanIsUnknown(channel=channel)
    return found[0]


def insert_days(
    connection: sa.Connection, channel: str, days: Sequence[tuple[date, datetime]], at: datetime
) -> int:
    """Insert days that are expected; those that are there are kept. Return how many are new."""
    if not days:
        return 0
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.statement_day (channel, on_day, state, due_at, updated_at)"
            " SELECT :channel, d, 'expected', t, :at"
            " FROM unnest(CAST(:days AS date[]), CAST(:dues AS timestamptz[])) AS x (d, t)"
            " ON CONFLICT DO NOTHING"
        ),
        {
            "channel": channel,
            "days": [on for on, _ in days],
            "dues": [due for _, due in days],
            "at": at,
        },
    )
    return done.rowcount


_DAY: Final = "SELECT channel, on_day, state, version, due_at, run FROM payments.statement_day"


def _day(row: Any) -> Day:
    return Day(
        channel=row.channel,
        on=row.on_day,
        state=DayState(row.state),
        version=row.version,
        due_at=row.due_at,
        run=row.run,
    )


def find_day(
    connection: sa.Connection, channel: str, on: date, *, lock: bool = False
) -> Day | None:
    """Return a day, locked where that is asked for."""
    row = connection.execute(
        sa.text(f"{_DAY} WHERE channel = :channel AND on_day = :on" + " FOR UPDATE" * lock),
        {"channel": channel, "on": on},
    ).one_or_none()
    return None if row is None else _day(row)


def list_days(
    connection: sa.Connection, channel: str | None, from_on: date, to_on: date
) -> list[Day]:
    """Return the days of a span, newest first, then by channel."""
    rows = connection.execute(
        sa.text(
            f"{_DAY} WHERE on_day BETWEEN :first AND :last"
            " AND (CAST(:channel AS text) IS NULL OR channel = :channel)"
            " ORDER BY on_day DESC, channel"
        ),
        {"channel": channel, "first": from_on, "last": to_on},
    )
    return [_day(row) for row in rows]


def late_days(connection: sa.Connection, now: datetime) -> list[Day]:
    """Return the days whose statement is expected and is past its time."""
    rows = connection.execute(
        sa.text(f"{_DAY} WHERE state = 'expected' AND due_at <= :now ORDER BY channel, on_day"),
        {"now": now},
    )
    return [_day(row) for row in rows]


def move_day(
    connection: sa.Connection, day: Day, state: DayState, at: datetime, run: UUID | None = None
) -> None:
    """Change the state of a day that was read, if nobody else did."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.statement_day SET state = :state, run = coalesce(:run, run),"
            " version = version + 1, updated_at = :at"
            " WHERE channel = :channel AND on_day = :on AND version = :version"
        ),
        {
            "state": state.value,
            "run": run,
            "at": at,
            "channel": day.channel,
            "on": day.on,
            "version": day.version,
        },
    )
    assert done.rowcount == 1, "the day changed while it was held"


# --- files ----------------------------------------------------------------------------------------

_FILE_NAMES: Final = tuple("on_day" if f.name == "on" else f.name for f in fields(File))


def _file(row: Any) -> File:
    values = row._asdict()
    return File(
        **{
            **{k: v for k, v in values.items() if k != "on_day"},
            "on": values["on_day"],
            "sha256": bytes(values["sha256"]),
            "state": FileState(values["state"]),
            "proof": Proof(values["proof"]),
        }
    )


def insert_file(connection: sa.Connection, file: File) -> None:
    """Insert a file."""
    values = {f.name: getattr(file, f.name) for f in fields(File)}
    values["on_day"] = values.pop("on")
    values["state"], values["proof"] = file.state.value, file.proof.value
    connection.execute(
        sa.text(
            f"INSERT INTO payments.statement_file ({', '.join(_FILE_NAMES)})"
            f" VALUES ({', '.join(f':{name}' for name in _FILE_NAMES)})"
        ),
        values,
    )


def files_of(
    connection: sa.Connection, channel: str, on: date, *, current: bool = True
) -> list[File]:
    """Return the files of a day: those that count, or all that were taken."""
    rows = connection.execute(
        sa.text(
            f"SELECT {', '.join(_FILE_NAMES)} FROM payments.statement_file"
            " WHERE channel = :channel AND on_day = :on"
            " AND (NOT :current OR state IN ('verified', 'staged'))"
            " ORDER BY account, currency, page, version"
        ),
        {"channel": channel, "on": on, "current": current},
    )
    return [_file(row) for row in rows]


def files_by_hash(connection: sa.Connection, channel: str, sha256: bytes) -> list[File]:
    """Return what was taken of a file with the same bytes."""
    rows = connection.execute(
        sa.text(
            f"SELECT {', '.join(_FILE_NAMES)} FROM payments.statement_file"
            " WHERE channel = :channel AND sha256 = :sha256 ORDER BY id"
        ),
        {"channel": channel, "sha256": sha256},
    )
    return [_file(row) for row in rows]


def move_files(connection: sa.Connection, ids: Sequence[UUID], state: FileState) -> None:
    """Change the state of files."""
    connection.execute(
        sa.text("UPDATE payments.statement_file SET state = :state WHERE id = ANY(:ids)"),
        {"state": state.value, "ids": list(ids)},
    )


def days_of_files(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, date]:
    """Return the day that each file was taken for."""
    rows = connection.execute(
        sa.text("SELECT id, on_day FROM payments.statement_file WHERE id = ANY(:ids)"),
        {"ids": list(ids)},
    )
    return {row.id: row.on_day for row in rows}


# --- runs -----------------------------------------------------------------------------------------

_RUN_NAMES: Final = tuple("on_day" if f.name == "on" else f.name for f in fields(Run))


def _run(row: Any) -> Run:
    values = row._asdict()
    values["on"] = values.pop("on_day")
    values["files"] = tuple(values["files"])
    return Run(**values)


def insert_run(connection: sa.Connection, run: Run) -> None:
    """Insert a run that begins."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.recon_run (id, channel, on_day, no, state, files, is_complete,"
            " ours, theirs, sums, started_at, by) VALUES (:id, :channel, :on, :no, 'running',"
            " :files, :is_complete, :ours, :theirs, CAST(:sums AS jsonb), :at, :by)"
        ),
        {
            "id": run.id,
            "channel": run.channel,
            "on": run.on,
            "no": run.no,
            "files": list(run.files),
            "is_complete": run.is_complete,
            "ours": run.ours,
            "theirs": run.theirs,
            "sums": one_json(run.sums),
            "at": run.started_at,
            "by": run.by,
        },
    )


def finish_run(connection: sa.Connection, run: Run) -> None:
    """Write what a run found; it stays so."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.recon_run SET state = 'finished', matched = :matched,"
            " stages = CAST(:stages AS jsonb), breaks = CAST(:breaks AS jsonb), digest = :digest,"
            " finished_at = :at WHERE id = :id AND state = 'running'"
        ),
        {
            "id": run.id,
            "matched": run.matched,
            "stages": one_json(run.stages),
            "breaks": one_json(run.breaks),
            "digest": run.digest,
            "at": run.finished_at,
        },
    )
    assert done.rowcount == 1, "a run is finished once"


def runs_of(connection: sa.Connection, channel: str, on: date) -> list[Run]:
    """Return the runs of a day, newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {', '.join(_RUN_NAMES)} FROM payments.recon_run"
            " WHERE channel = :channel AND on_day = :on ORDER BY no DESC"
        ),
        {"channel": channel, "on": on},
    )
    return [_run(row) for row in rows]


def runs_by_id(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Run]:
    """Return runs by id."""
    rows = connection.execute(
        sa.text(f"SELECT {', '.join(_RUN_NAMES)} FROM payments.recon_run WHERE id = ANY(:ids)"),
        {"ids": list(ids)},
    )
    return {row.id: _run(row) for row in rows}
