"""A small town on a fresh database, with a business clock that is kept there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import pytest

from steelyard.base import Database, NoPolicyGate, StoredBusinessClock
from steelyard.base.crypto import Keyring
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock
from steelyard.simulation import Plan, town

REAL = datetime(2026, 11, 22, 9, tzinfo=UTC)
PLAN = Plan(seed=3, customers=12, terminals=30, opens_on=date(2026, 1, 5), arrival_days=7)


@pytest.fixture
def real() -> SteppingClock:
    """The real clock, moved by hand."""
    return SteppingClock(REAL)


@pytest.fixture
def keyring() -> Keyring:
    return Keyring.for_tests()


@pytest.fixture
def make_world(
    make_store: Callable[[], object], real: SteppingClock
) -> Iterator[Callable[[], Database]]:
    """Make fresh databases whose business clock is the stored one."""
    made: list[Database] = []

    def make() -> Database:
        opened = Database(
            make_store().url,
            facts=PostgresFactLog(),
            clock=StoredBusinessClock(real),
            wall=real,
        )
        made.append(opened)
        return opened

    yield make
    for opened in made:
        opened.close()


@pytest.fixture
def world(make_world: Callable[[], Database]) -> Database:
    return make_world()


@pytest.fixture
def founded(world: Database, keyring: Keyring) -> Database:
    """A database with the small town founded in it."""
    town.found_town(world, keyring, NoPolicyGate(), PLAN, history_days=7)
    return world
