"""A small town on a fresh database, with a business clock that is kept there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from fastapi import Request

from steelyard.base import (
    Database,
    Environment,
    NoPolicyGate,
    Settings,
    StoredBusinessClock,
)
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller
from steelyard.base.postgres import Address
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock
from steelyard.ledger.http import router as ledger
from steelyard.parties.http import router as parties
from steelyard.payments import channel_desk
from steelyard.simulation import Plan, play_history, town
from steelyard.simulation.http import router as simulation
from steelyard.web.app import create_app
from tests.conftest import TEMPLATE, Store
from tests.web.fixture import Town as Pulse
from tests.web.fixture import serve

REAL = datetime(2026, 11, 22, 9, tzinfo=UTC)
PLAN = Plan(seed=3, customers=30, terminals=90, opens_on=date(2026, 1, 5))
PLAYED = 8


@pytest.fixture
def real() -> SteppingClock:
    """The real clock, moved by hand."""
    return SteppingClock(REAL)


@pytest.fixture
def keyring() -> Keyring:
    return Keyring.for_tests()


def open_world(url: str, real: SteppingClock) -> Database:
    """Open a database whose business clock is the stored one."""
    return Database(
        url, facts=PostgresFactLog(), clock=StoredBusinessClock(real), wall=real, pool_size=3
    )


@pytest.fixture
def make_world(
    make_store: Callable[[], Store], real: SteppingClock
) -> Iterator[Callable[[], Database]]:
    """Make fresh databases with a stored business clock."""
    with ExitStack() as stack:

        def make() -> Database:
            opened = open_world(make_store().url, real)
            stack.callback(opened.close)
            return opened

        yield make


@pytest.fixture
def world(make_world: Callable[[], Database]) -> Database:
    return make_world()


@pytest.fixture
def founded(world: Database, keyring: Keyring) -> Database:
    """A database with the small town founded in it."""
    town.found_town(world, keyring, NoPolicyGate(), PLAN, history_days=7)
    return world


class AnyCaller:
    """Lets everybody in, and tells whoever listens that a request came."""

    def __init__(self) -> None:
        self.heard: Callable[[Request], None] = lambda request: None

    def verify(self, request: Request, body: bytes) -> Caller:
        self.heard(request)
        return Caller("key:town", frozenset({"*"}))


@dataclass
class World:
    """One platform over one database, as the routes see it."""

    settings: Settings
    database: Database
    keyring: Keyring
    verifier: AnyCaller = field(default_factory=AnyCaller)
    gate: Any = field(default_factory=NoPolicyGate)
    ledger_queue: Any = None
    identity_provider: Any = None
    channels: Any = None

    def __post_init__(self) -> None:
        self.channels = channel_desk.ChannelDesk(self.database, self.keyring)


def settings_of(environment: Environment) -> Settings:
    return Settings(home=Path("no-home-is-needed"), environment=environment)


@contextmanager
def served(
    database: Database, keyring: Keyring, environment: Environment = Environment.DEVELOPMENT
) -> Iterator[tuple[str, World]]:
    """The platform behind a real HTTP server; yields its address and itself."""
    world = World(settings_of(environment), database, keyring)

    @contextmanager
    def opener(settings: Settings) -> Iterator[Any]:
        yield world

    app = create_app(
        world.settings,
        opener=opener,
        rooms=(simulation, parties, ledger),
        watching=lambda platform: Pulse(),
    )
    with serve(app) as address:
        yield address, world


@pytest.fixture
def client(world: Database, keyring: Keyring) -> Iterator[httpx.Client]:
    """A client of the platform over `world`."""
    with (
        served(world, keyring) as (address, _),
        httpx.Client(base_url=address, trust_env=False, timeout=30) as opened,
    ):
        yield opened


@contextmanager
def cloned(server: Address, template: str) -> Iterator[Store]:
    """A copy of a database, for a while."""
    name = f"t_{uuid4().hex[:12]}"
    admin = server.conninfo(role="postgres", database="postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER steelyard_owner")
        yield Store(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def played_template(server: Address) -> Iterator[str]:
    """A database with a town that has lived for `PLAYED` days, to be cloned."""
    with cloned(server, TEMPLATE) as store:
        database = open_world(store.url, SteppingClock(REAL))
        with (
            served(database, Keyring.for_tests()) as (address, _),
            httpx.Client(base_url=address, trust_env=False, timeout=30) as caller,
        ):
            play_history(caller, PLAN, days=PLAYED)
        database.close()
        yield store.name


@pytest.fixture
def played(server: Address, played_template: str, real: SteppingClock) -> Iterator[Database]:
    """A town of one's own that has lived for `PLAYED` days; its clock stands."""
    with cloned(server, played_template) as store:
        database = open_world(store.url, real)
        yield database
        database.close()
