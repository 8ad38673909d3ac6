"""A database whose real clock is moved by hand too, so that retries come due without waiting."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from steelyard.base import Database, PlainBusinessClock
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock
from tests.conftest import START, Store


@pytest.fixture
def wall() -> SteppingClock:
    return SteppingClock(START)


@pytest.fixture
def stepped(store: Store, clock: SteppingClock, wall: SteppingClock) -> Iterator[Database]:
    """Also has a table `public.seen (lamp, nth)` for what handlers write."""
    with psycopg.connect(store.conninfo(role="steelyard_owner")) as owner:
        owner.execute(
            "CREATE TABLE public.seen (id int GENERATED ALWAYS AS IDENTITY, lamp text, nth int,"
            " CONSTRAINT late_check UNIQUE (lamp, nth) DEFERRABLE INITIALLY DEFERRED)"
        )
        owner.execute("GRANT ALL ON public.seen TO steelyard_app")
    opened = Database(
        store.url, facts=PostgresFactLog(), clock=PlainBusinessClock(clock), wall=wall
    )
    yield opened
    opened.close()
