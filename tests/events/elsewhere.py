"""A process that runs a consumer, to be killed: `python -m tests.events.elsewhere URL`."""

from __future__ import annotations

import os
import sys
from threading import Event

from steelyard.base import Database, UnitOfWork
from steelyard.events import Consumer, Heard, PostgresFactLog, Runner, hears
from tests.events.lamps import LIT


@hears(LIT)
def note(unit: UnitOfWork, heard: Heard) -> None:
    """Write down the fact and which process handled it."""
    unit.execute(
        "INSERT INTO public.seen (lamp, nth) VALUES (:lamp, :nth)",
        lamp=str(os.getpid()),
        nth=heard.fact.nth,
    )


CONSUMER = Consumer("lamps.seen", (note,))

if __name__ == "__main__":
    with Runner(Database(sys.argv[1], facts=PostgresFactLog()), [CONSUMER]):
        Event().wait()
