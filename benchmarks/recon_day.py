"""Reconciliation of a whole day in the embedded PostgreSQL: a million payments, as many lines.

The day is that of `recon_world` (a seed of development), stored as orders, attempts and a staged
statement. Timed are taking the statement, and the run: gathering, matching, writing. Printed beside
them are the breaks that were found and the longest unit of work, which has to stay under 2 s. That
they are the right ones is scored in `recon_match`.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

import recon_world
from steelyard.base import Database, PlainBusinessClock, UnitOfWork
from steelyard.base.postgres import EmbeddedPostgres, bootstrap
from steelyard.base.schema import migrate
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock
from steelyard.ledger import Funds, open_book, open_chart
from steelyard.payments import institution, recon
from steelyard.payments.model.matching_columns import KINDS, NOT_SAID
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.statements import Statement, StatementLine

ON = date(1970, 1, 1) + timedelta(days=recon_world.DAY)
CHANNEL = "bench"
HELD = {recon_world.OPEN: "unknown", recon_world.MONEY: "succeeded", recon_world.NO_MONEY: "closed"}
STATUS = {recon_world.PENDING: "PENDING", recon_world.DONE: "", recon_world.FAILED: "FAILED"}
MERCHANT = "00000000-0000-7000-8000-000000000001"


@contextmanager
def platform(home: Path) -> Iterator[tuple[Database, str]]:
    """Give an embedded server with the schema, as durable as it is in use."""
    embedded = EmbeddedPostgres(home)
    address = embedded.acquire()
    try:
        bootstrap(address, database="bench")
        migrate(address.url(role="steelyard_owner", database="bench"))
        clock = SteppingClock(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=20_501, hours=4))
        database = Database(
            address.url(role="steelyard_app", database="bench"),
            facts=PostgresFactLog(),
            clock=PlainBusinessClock(clock),
        )
        yield database, address.conninfo(role="steelyard_owner", database="bench")
        database.close()
    finally:
        embedded.release()


def open_house(unit: UnitOfWork) -> None:
    """Open the books and plan the statements."""
    for book, funds in (("clients", Funds.CLIENT), ("own", Funds.OWN)):
        open_book(unit, book, name=book, funds=funds, business_on=ON, timezone="UTC")
    open_chart(unit, "own", "platform", currencies=["CNY"])
    institution.open_books(unit, Mode.LIVE, client_book="clients", own_book="own")
    plan = recon.Plan(channel=CHANNEL, mode=Mode.LIVE, timezone="UTC", starts_on=ON)
    recon.set_plan(unit, plan)


def store(conninfo: str, world: recon_world.World) -> int:
    """Copy the payments of a world into the tables; return how many. Refunds are left out."""
    ours = world.ours
    rows = np.flatnonzero(ours["kind"] == recon_world.PAYMENT)
    number = [text.decode() for text in ours["number"][rows].tolist()]
    first = datetime(1970, 1, 1, tzinfo=UTC)
    at = [first + timedelta(seconds=s) for s in ours["at"][rows].tolist()]
    amount, fee = ours["amount"][rows].tolist(), ours["fee"][rows].tolist()
    currency = [text.decode() for text in ours["currency"][rows].tolist()]
    state = [HELD[held] for held in ours["held"][rows].tolist()]
    details = [
        f'{{"batch": "{batch.decode()}", "party": "{party.decode()}"}}'
        for batch, party in zip(
            ours["batch"][rows].tolist(), ours["party"][rows].tolist(), strict=True
        )
    ]
    reference = [text.decode() for text in ours["reference"][rows].tolist()]
    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        with cursor.copy(
            "COPY payments.order (id, merchant, app, mode, order_no, amount_minor, currency,"
            " subject, scenario, capture, methods, payer, state, created_at, expires_at,"
            " late_success, most_attempts, attempts) FROM STDIN"
        ) as copy:
            for k in range(len(rows)):
                copy.write_row(
                    (number[k], MERCHANT, "a", "live", number[k], amount[k], currency[k], "s",
                     "online", "automatic", [], "{}", "processing", at[k],
                     at[k] + timedelta(hours=1), "refund", 5, 1)
                )  # fmt: skip
        with cursor.copy(
            "COPY payments.attempt (id, order_id, no, channel, method, amount_minor, currency,"
            " state, sent_at, cause, reference, fee_minor, details) FROM STDIN"
        ) as copy:
            for k in range(len(rows)):
                copy.write_row(
                    (number[k], number[k], 1, CHANNEL, "scan", amount[k], currency[k], state[k],
                     at[k], "no_policy@0", reference[k], fee[k], details[k])
                )  # fmt: skip
        cursor.execute("ANALYZE payments.attempt")
        cursor.execute("ANALYZE payments.order")
    return len(rows)


def statement(world: recon_world.World) -> Statement:
    """Return the lines of a world as a reader gives them."""
    theirs = world.theirs
    first = datetime(1970, 1, 1, tzinfo=UTC)
    names = ("line", "kind", "amount", "currency", "on", "at", "number", "reference", "fee")
    columns = [theirs[name].tolist() for name in (*names, "batch", "party", "status")]
    day = date(1970, 1, 1)
    lines = tuple(
        StatementLine(
            number=line,
            kind=KINDS[kind],
            amount_minor=amount,
            currency=currency.decode(),
            booked_on=day + timedelta(days=on),
            booked_at=first + timedelta(seconds=at),
            our_number=number.decode(),
            reference=reference.decode(),
            fee_minor=None if fee == NOT_SAID else fee,
            batch=batch.decode(),
            counterparty=party.decode(),
            status=STATUS[status],
        )
        for (
            line, kind, amount, currency, on, at, number, reference, fee, batch, party, status
        ) in zip(*columns, strict=True)
        if kind == recon_world.PAYMENT
    )  # fmt: skip
    return Statement(form="bench", account="a", currency="CNY", from_on=ON, to_on=ON, lines=lines)


class Longest:
    """The longest unit of work that was run through a database."""

    def __init__(self, database: Database) -> None:
        self.seconds = 0.0
        self.name = ""
        self.units = 0
        self._transact = database.transact
        database.transact = self._timed  # type: ignore[method-assign]

    def _timed(self, work: Callable[[UnitOfWork], Any], **more: Any) -> Any:
        start = time.perf_counter()
        try:
            return self._transact(work, **more)
        finally:
            took = time.perf_counter() - start
            if took > self.seconds:
                self.seconds, self.name = took, ", ".join(work.__code__.co_names)
            self.units += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="a twentieth of it")
    given = parser.parse_args()
    size = 50_000 if given.quick else given.size
    world = recon_world.world(recon_world.DEVELOPMENT_SEEDS[0], size)
    with tempfile.TemporaryDirectory() as home, platform(Path(home)) as (database, conninfo):
        database.transact(open_house)
        paid = store(conninfo, world)
        taken = statement(world)
        longest = Longest(database)
        start = time.perf_counter()
        recon.take_statements(
            database, [taken], "bench", digest=hashlib.sha256(b"1").digest(), channel=CHANNEL
        )
        staged = time.perf_counter() - start
        results = []
        for name in ("first run", "again"):
            start = time.perf_counter()
            run = recon.run_day(database, CHANNEL, ON)
            results.append((name, time.perf_counter() - start, run))
    print(f"{paid:,} payments, {len(taken.lines):,} lines; taken and stored in {staged:.1f} s")
    for name, seconds, run in results:
        print(f"{name}: {seconds:.1f} s, matched {run.matched:,}, breaks {run.breaks}")
        print(f"  stages {run.stages}")
    print(
        f"longest of {longest.units} units of work: {longest.seconds:.2f} s (limit 2 s),"
        f" {longest.name}"
    )


if __name__ == "__main__":
    main()
