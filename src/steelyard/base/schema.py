"""The schema: migrations run by the owner role, each room on a branch of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 7_311_001
# Which plug-ins it has set up is of no interest to the operator.
logging.getLogger("alembic").setLevel(logging.WARNING)
OLDEST_SERVER = 16


class ServerIsTooOld(Refusal):
    """The database server is older than the schema needs."""

    kind = RefusalKind.UNAVAILABLE
    en = "The database is PostgreSQL {found}; {needed} or later is needed."
    zh = "数据库版本为 PostgreSQL {found}，至少需要 {needed}。"


class SchemaIsBehind(Refusal):
    """The database was not migrated to this release."""

    kind = RefusalKind.UNAVAILABLE
    en = "The database is not migrated to this release; run: steelyard db migrate."
    zh = "数据库结构落后于当前版本，请运行：steelyard db migrate。"


@dataclass(frozen=True, slots=True)
class Revisions:
    """Where the schema stands, and where this release wants it: revision ids, sorted."""

    present: tuple[str, ...]
    wanted: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """Whether nothing is left to migrate."""
        return set(self.wanted) <= set(self.present)


def migrate(owner_url: str) -> Revisions:
    """Bring the database to this release, in one transaction; safe for several callers at once.

    Refusals
    --------
    server_is_too_old
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.set_main_option("path_separator", "os")
    engine = sa.create_engine(owner_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        major = connection.execute(sa.text("SHOW server_version_num")).scalar_one()
        if int(major) // 10_000 < OLDEST_SERVER:
            raise ServerIsTooOld(found=int(major) // 10_000, needed=OLDEST_SERVER)
        connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        config.attributes["connection"] = connection
        command.upgrade(config, "heads")
        connection.execute(sa.text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
        connection.commit()
    return revisions(owner_url)


def revisions(url: str) -> Revisions:
    """Return where the schema stands."""
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table_schema": "public"})
        noted = context.get_current_heads()
    heads = scripts.get_heads()
    stands = _made_upon(scripts, noted).intersection(heads)
    return Revisions(tuple(sorted(stands.union(noted))), tuple(sorted(heads)))


def _made_upon(scripts: ScriptDirectory, noted: Iterable[str]) -> set[str]:
    """Return the revisions noted in the database, and all those that they were made upon.

    A revision that another branch depends on is not noted: its dependant stands for it.
    """
    known = {script.revision: script for script in scripts.walk_revisions()}
    found: set[str] = set()
    left = list(noted)
    while left:
        revision = left.pop()
        script = known.get(revision)
        if revision in found or script is None:
            continue
        found.add(revision)
        for names in (script.down_revision, script.dependencies):
            left += [names] if isinstance(names, str) else names or ()
    return found
