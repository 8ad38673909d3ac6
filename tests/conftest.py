"""One embedded server for the whole run, one database cloned from a migrated template per test."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest

from steelyard.base import Database, PlainBusinessClock
from steelyard.base.postgres import Address, EmbeddedPostgres, bootstrap
from steelyard.base.schema import migrate
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock

TEMPLATE = "steelyard_template"
_PLENTY = 4 * 2**30
# How long an example takes is measured in benchmarks, not here.
hypothesis.settings.register_profile("steelyard", deadline=None)
hypothesis.settings.load_profile("steelyard")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Store:
    """A fresh, migrated database of one test."""

    address: Address
    name: str

    @property
    def url(self) -> str:
        return self.address.url(role="steelyard_app", database=self.name)

    @property
    def owner_url(self) -> str:
        return self.address.url(role="steelyard_owner", database=self.name)

    def conninfo(self, role: str = "steelyard_app") -> str:
        return self.address.conninfo(role=role, database=self.name)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _place() -> Path:
    """Return where the databases of tests lie: in memory, where there is plenty of it.

    A database has some 1,500 files; on a disk it is cloned many times slower than it is used.
    """
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _PLENTY:
        return memory
    return Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The embedded server, shared by the workers of one run; the last worker stops it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    home = _place() / f"steelyard-tests-{os.getuid()}-{run}"
    home.mkdir(mode=0o700, exist_ok=True)
    embedded = EmbeddedPostgres(home, durable=False)
    with _locked(home / "tests.lock"):
        address = embedded.acquire()
        bootstrap(address, database=TEMPLATE)
        migrate(address.url(role="steelyard_owner", database=TEMPLATE))
    yield address
    with _locked(home / "tests.lock"):
        embedded.release()
        if embedded.status().is_running:
            return
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def make_store(server: Address) -> Iterator[Callable[[], Store]]:
    """Make as many fresh databases as a test wants."""
    made: list[str] = []
    admin = server.conninfo(role="postgres", database="postgres")

    def make() -> Store:
        name = f"t_{uuid4().hex[:12]}"
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER steelyard_owner")
        made.append(name)
        return Store(server, name)

    yield make
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(make_store: Callable[[], Store]) -> Store:
    """A fresh database."""
    return make_store()


@pytest.fixture
def clock() -> SteppingClock:
    """The business clock of `database`, moved by hand."""
    return SteppingClock(START)


@pytest.fixture
def database(store: Store, clock: SteppingClock) -> Iterator[Database]:
    """The fresh database through the application role, on the stepping clock."""
    opened = Database(store.url, facts=PostgresFactLog(), clock=PlainBusinessClock(clock))
    yield opened
    opened.close()
