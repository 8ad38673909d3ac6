from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from steelyard.base import ClockGoesBackwards, Database, StoredBusinessClock
from steelyard.kernel import SteppingClock, VirtualClock

REAL = datetime(2026, 11, 22, tzinfo=UTC)
TOWN = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def real() -> SteppingClock:
    return SteppingClock(REAL)


@pytest.fixture
def stored(real: SteppingClock) -> StoredBusinessClock:
    return StoredBusinessClock(real)


def test_without_a_row_it_is_the_real_clock(
    database: Database, stored: StoredBusinessClock
) -> None:
    with database.reading() as connection:
        assert stored.read(connection) == REAL


def test_it_runs_at_its_speed_for_everybody(
    database: Database, stored: StoredBusinessClock, real: SteppingClock
) -> None:
    with database.unit_of_work() as unit:
        stored.set(unit.connection, TOWN, speed=60)
    real.advance(timedelta(seconds=2))
    other = StoredBusinessClock(real)
    with database.reading() as connection:
        assert other.read(connection) == TOWN + timedelta(minutes=2)
    virtual = VirtualClock(real, REAL, TOWN, speed=60)
    assert virtual.now() == TOWN + timedelta(minutes=2)


def test_it_does_not_go_back(database: Database, stored: StoredBusinessClock) -> None:
    with database.unit_of_work() as unit:
        stored.set(unit.connection, TOWN, speed=0)
        with pytest.raises(ClockGoesBackwards):
            stored.set(unit.connection, TOWN - timedelta(seconds=1), speed=0)


def test_after_a_night_of_silence_it_goes_on_where_it_was_seen(
    database: Database, stored: StoredBusinessClock, real: SteppingClock
) -> None:
    with database.unit_of_work() as unit:
        assert stored.resume(unit.connection, speed=1) is None
        stored.set(unit.connection, TOWN, speed=60)
        real.advance(timedelta(seconds=1))
        stored.beat(unit.connection)
    real.advance(timedelta(hours=9))
    with database.unit_of_work() as unit:
        assert stored.resume(unit.connection, speed=10) == TOWN + timedelta(minutes=1)
    real.advance(timedelta(seconds=1))
    with database.reading() as connection:
        assert stored.read(connection) == TOWN + timedelta(seconds=70)
