"""Health: is the process alive, can it serve, and what to do when it cannot.

`/healthz` answers liveness, `/readyz` and `steelyard doctor` readiness.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from steelyard.base.database import Database
from steelyard.base.jobs.store import job_counts
from steelyard.base.schema import OLDEST_SERVER, revisions
from steelyard.base.telemetry import mask_text

_PATIENCE_S = 3
LEAST_FREE_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes
    ----------
    detail : what was found, fit for strangers
    mend_en, mend_zh : what to do when it is not ok, empty when it is
    vital : whether requests must be kept away while it is not ok
    """

    name: str
    ok: bool
    detail: str
    mend_en: str = ""
    mend_zh: str = ""
    vital: bool = True


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was looked at, vital things first."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether requests can be served: every vital check is ok."""
        return all(check.ok for check in self.checks if check.vital)

    @property
    def is_healthy(self) -> bool:
        """Whether nothing at all is to be mended."""
        return all(check.ok for check in self.checks)


Look = Callable[[sa.Connection], Check]
_LOOKS: dict[str, Look] = {}
_CURRENT: set[str] = set()
"""Databases whose schema was found current: it only goes forward while this release runs."""


def watch_check(name: str, look: Look) -> None:
    """Add a check of a room to readiness, e.g. the lag of its consumers.

    Parameters
    ----------
    look : reads on a connection of its own, for three seconds at most, and says what it found
    """
    _LOOKS[name] = look


def liveness() -> Check:
    """Return that the process can answer; it looks at nothing, so nothing outside can kill it."""
    return Check("process", ok=True, detail="alive")


def readiness(database: Database, *, home: Path | None = None) -> Readiness:
    """Look at everything that serving needs; takes seconds, not minutes, when the database is away.

    Parameters
    ----------
    home : folder whose disk must have room; not looked at when None
    """
    checks = list(_checks(database))
    if home is not None:
        checks.append(_disk(home))
    return Readiness(tuple(sorted(checks, key=lambda check: not check.vital)))


def _checks(database: Database) -> Iterator[Check]:
    # A connection of its own: a pool that is used up must not look like a dead database.
    engine = sa.create_engine(
        database.url,
        poolclass=sa.NullPool,
        connect_args={
            "connect_timeout": _PATIENCE_S,
            "options": f"-c statement_timeout={_PATIENCE_S}s -c timezone=UTC",
        },
    )
    try:
        connection = engine.connect()
    except sa.exc.DBAPIError as error:
        yield Check(
            "database",
            ok=False,
            detail=_why(error),
            mend_en="Start the database (steelyard up), or mend STEELYARD_DATABASE_URL.",
            mend_zh="请启动数据库（steelyard up），或修正 STEELYARD_DATABASE_URL。",
        )
        return
    with connection:
        yield Check("database", ok=True, detail="reachable")
        yield _looked("server", _server, connection)
        schema = _looked("schema", partial(_schema, database.url), connection)
        yield schema
        if schema.ok:
            yield _looked("jobs", _jobs, connection)
            for name, look in sorted(_LOOKS.items()):
                yield _looked(name, look, connection)


def _looked(name: str, look: Look, connection: sa.Connection) -> Check:
    try:
        return look(connection)
    except sa.exc.DBAPIError as error:
        return Check(
            name,
            ok=False,
            detail=_why(error),
            mend_en="Read the log of the database.",
            mend_zh="请查看数据库日志。",
        )
    finally:
        connection.rollback()


def _why(error: sa.exc.DBAPIError) -> str:
    return mask_text(f"{type(error.orig).__name__}: {error.orig}".strip().splitlines()[0])


def _server(connection: sa.Connection) -> Check:
    number = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
    return Check(
        "server",
        ok=number // 10_000 >= OLDEST_SERVER,
        detail=f"PostgreSQL {number // 10_000}.{number % 10_000}",
        mend_en=f"Use PostgreSQL {OLDEST_SERVER} or later.",
        mend_zh=f"请使用 PostgreSQL {OLDEST_SERVER} 或更高版本。",
    )


def _schema(url: str, connection: sa.Connection) -> Check:
    missing: set[str] = set()
    if url not in _CURRENT:
        found = revisions(url)
        missing = set(found.wanted) - set(found.present)
        if found.is_current:
            _CURRENT.add(url)
    return Check(
        "schema",
        ok=not missing,
        detail=f"lacks {', '.join(sorted(missing))}" if missing else "current",
        mend_en="Run: steelyard db migrate.",
        mend_zh="请运行：steelyard db migrate。",
    )


def _jobs(connection: sa.Connection) -> Check:
    counts = job_counts(connection)
    return Check(
        "jobs",
        ok=counts.workers > 0,
        detail=f"{counts.workers} workers, {counts.waiting} waiting, {counts.dead} dead",
        mend_en="Start a job worker (steelyard up starts one): jobs wait meanwhile.",
        mend_zh="请启动任务进程（steelyard up 会启动一个），在此期间任务会等待。",
        vital=False,
    )


def _disk(home: Path) -> Check:
    free = shutil.disk_usage(home).free
    return Check(
        "disk",
        ok=free >= LEAST_FREE_BYTES,
        detail=f"{free / 1e9:.1f} GB free",
        mend_en=f"Make room on the disk: {LEAST_FREE_BYTES / 1e9:.1f} GB at least.",
        mend_zh=f"请清理磁盘，至少留出 {LEAST_FREE_BYTES / 1e9:.1f} GB。",
    )
