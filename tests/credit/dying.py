"""A process that closes a day, and may be killed at its n-th statement: `dying.py URL DAY N`.

It prints how many statements it sent. Killed is what it says: SIGKILL, nothing is cleaned up.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from steelyard.base import Database, PlainBusinessClock
from steelyard.credit import dayclose
from steelyard.events import PostgresFactLog
from steelyard.kernel import FixedClock


def main(url: str, on: date, dies_at: int) -> None:
    sent = itertools.count(1)
    last = 0
    plain = psycopg.Cursor.execute

    def execute(self: Any, *args: Any, **named: Any) -> Any:
        nonlocal last
        last = next(sent)
        if last == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, *args, **named)

    psycopg.Cursor.execute = execute  # type: ignore[method-assign]
    noon = datetime(on.year, on.month, on.day, 12, tzinfo=UTC) + timedelta(days=1)
    database = Database(url, facts=PostgresFactLog(), clock=PlainBusinessClock(FixedClock(noon)))
    how = dayclose.How(chunk=3, workers=1, debits=True)
    report = dayclose.close_day(database, on, how=how)
    assert report.is_closed
    database.close()
    print(last)


if __name__ == "__main__":
    main(sys.argv[1], date.fromisoformat(sys.argv[2]), int(sys.argv[3]))
