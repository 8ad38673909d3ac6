"""A day close that is killed anywhere and run again leaves the books of one that was not."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from steelyard.credit import books
from tests.conftest import Store
from tests.credit.lender import House, open_house, terms

DYING = Path(__file__).with_name("dying.py")
LOANS = 10


def _book(store: Store, later: int) -> House:
    """Return a book of loans, most of them late, whose next day brings something to each step."""
    house = open_house(store)
    chance = random.Random(5)
    house.give(9_000_000)
    for nr in range(LOANS):
        house.lend(terms(chance.randint(40_000, 90_000), instalments=chance.randint(2, 6)))
        if nr % 6 == 0:  # a held credit balance, which the first due date takes
            house.pay(house.made[-1], 700)
    house.later(later)
    return house


def _run(house: House, on: date, dies_at: int = 0) -> int | None:
    """Return how many statements the close took; None if it was killed."""
    done = subprocess.run(
        [sys.executable, str(DYING), house.database.url, on.isoformat(), str(dies_at)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def _digest(house: House) -> dict[str, Any]:
    """Return all that the close wrote, but for ids and instants."""
    queries = {
        "standing": "SELECT to_jsonb(s) - 'eir_bp' FROM credit.standing s ORDER BY nr",
        "instalment": "SELECT to_jsonb(i) FROM credit.instalment i ORDER BY nr, no",
        "accrual": "SELECT to_jsonb(a) - 'entry' FROM credit.accrual a"
        " ORDER BY on_day, first_nr, pool, stage_before, stage",
        "chunks": "SELECT on_day, first_nr, last_nr, counts, done_at IS NOT NULL"
        " FROM credit.day_chunk ORDER BY 1, 2",
        "balances": "SELECT book, code, debits_posted, credits_posted FROM ledger.account"
        " ORDER BY book, code",
        "facts": "SELECT kind, count(*) FROM events.log WHERE kind LIKE 'credit.%%' GROUP BY 1"
        " ORDER BY 1",
        "day": "SELECT on_day, differences, closed_at IS NOT NULL FROM credit.day ORDER BY 1",
    }
    with house.database.reading() as connection:
        return {
            name: sha256(
                "\n".join(str(tuple(row)) for row in connection.exec_driver_sql(query)).encode()
            ).hexdigest()
            for name, query in queries.items()
        }


def _killed_and_whole(make_store: Callable[[], Store], kills: int, seed: int) -> None:
    chance = random.Random(seed)
    later = chance.choice([31, 59, 60])
    whole, killed = _book(make_store(), later), _book(make_store(), later)
    on = whole.today
    statements = _run(whole, on)
    assert statements is not None
    died = 0
    for _ in range(kills):
        dies_at = chance.randint(5, statements)
        if _run(killed, on, dies_at) is not None:
            break
        died += 1
    assert died, "it was killed before its end"
    assert _run(killed, on) is not None
    assert killed.today == on + timedelta(days=1)
    assert _digest(killed) == _digest(whole)
    with killed.database.reading() as connection:
        assert books.check(connection).holds
    for house in (whole, killed):
        house.database.close()


def test_killed_and_run_again_it_leaves_the_same_books(make_store: Callable[[], Store]) -> None:
    _killed_and_whole(make_store, kills=2, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 8))
def test_killed_many_times_it_leaves_the_same_books(
    make_store: Callable[[], Store], seed: int
) -> None:
    _killed_and_whole(make_store, kills=12, seed=seed)
