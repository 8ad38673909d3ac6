"""Credit: the day close of a million open loans in the embedded PostgreSQL.

The book is real: some thousand contracts of five methods and several rules of penalty, each with
the repayments that brought it to its lateness, stand as the day close of the day before left them,
and are multiplied inside the database with all their rows. Before anything is timed, and after,
a sample read back from the tables is equal to `run(terms, events, day)`, every pool is equal to its
accounts in the ledger, and the stored detail of every posting adds up. On the day that is closed at
least 3 of 100 loans have an instalment that falls due and at least 3 of 100 change their bucket.

`--size` takes a smaller book; `--workers` and `--chunk` are what was chosen by measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg

from steelyard.base import Database, PlainBusinessClock, UnitOfWork
from steelyard.base.postgres import Address, EmbeddedPostgres, bootstrap
from steelyard.base.schema import migrate
from steelyard.cashflows import Terms, events, run
from steelyard.cashflows import terms as cash
from steelyard.credit import books, dayclose, loans
from steelyard.credit.model.postings import position
from steelyard.credit.service.close_chunk import effective_bp
from steelyard.credit.service.dayclose import How
from steelyard.credit.store import loans as loan_table
from steelyard.credit.store import standing as standings
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock
from steelyard.ledger import (
    AccountKind,
    Funds,
    Heading,
    Leg,
    NewAccount,
    accepted,
    entry,
    open_accounts,
    open_book,
    post,
)

DAY = date(2026, 3, 17)
"""The day that is closed and timed; the one before is closed by the same code while it is small."""
FIRST = DAY - timedelta(days=2)
PRODUCTS = ("quick_cash", "merchant_instalments", "salary_advance")
METHODS = (
    cash.Method.EQUAL_INSTALMENT,
    cash.Method.EQUAL_INSTALMENT,
    cash.Method.EQUAL_PRINCIPAL,
    cash.Method.INTEREST_ONLY,
    cash.Method.BULLET,
)
PENALTIES = (
    cash.Penalty(rate=Decimal("0.18")),
    cash.Penalty(rate=Decimal("0.2400"), days_in_year=360, grace_days=3),
    cash.Penalty(rate=Decimal("0.1825"), on_interest=True),
)
SAMPLE = 400


@dataclass(slots=True)
class Ground:
    """A durable server with a lender."""

    address: Address
    database: Database
    clock: SteppingClock

    def connect(self, role: str = "postgres") -> psycopg.Connection[Any]:
        conninfo = self.address.conninfo(role=role, database="bench")
        return psycopg.connect(conninfo, autocommit=True)


@contextmanager
def ground() -> Iterator[Ground]:
    """Have a fresh durable server for a while, with a town and a lender on `FIRST`."""
    with tempfile.TemporaryDirectory(prefix="steelyard-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        with EmbeddedPostgres(home) as address:
            bootstrap(address, database="bench")
            migrate(address.url(role="steelyard_owner", database="bench"))
            clock = SteppingClock(datetime(FIRST.year, FIRST.month, FIRST.day, 1, tzinfo=UTC))
            database = Database(
                address.url(role="steelyard_app", database="bench"),
                facts=PostgresFactLog(),
                clock=PlainBusinessClock(clock),
            )
            here = Ground(address, database, clock)
            here.database.transact(_open)
            yield here
            database.close()


def _open(unit: UnitOfWork) -> None:
    open_book(unit, "town", name="Town", funds=Funds.CLIENT, business_on=FIRST)
    asset = NewAccount(code="bank:settlement", currency="CNY", kind=AccountKind.ASSET)
    wallet = NewAccount(code="wallet", currency="CNY", kind=AccountKind.LIABILITY)
    open_accounts(unit, "town", [asset, wallet], cause="rule.bench@1")
    lender = books.open_lender(
        unit, wallets_book="town", settlement_account="bank:settlement", funding_minor=10**15
    )
    for product in PRODUCTS:
        books.open_pool(unit, lender, product)


def contract(chance: random.Random, nr: int) -> tuple[Terms, list[events.Any]]:
    """Return terms and repayments of a contract that is open on `FIRST`.

    Due dates lie on every day of the month alike. Of a hundred, 86 have paid everything; four have
    an instalment that fell due on the day before `DAY` and will not pay it, two come to the edge of
    a later bucket on `DAY`, and the others are late by anything up to a year.
    """
    months = chance.randint(6, 18)
    age = chance.randint(1, min(months - 1, 11))
    kind = nr % 100
    due_on = FIRST + timedelta(days=chance.randint(-27, 2))
    unpaid = 0
    if kind < 4:
        due_on, unpaid = DAY - timedelta(days=1), 1
    elif kind < 6:
        late = chance.choice((31, 61, 91))
        due_on, unpaid = DAY - timedelta(days=late), 1
        age = max(age, late // 30 + 1)
    elif kind < 14:
        unpaid = chance.randint(1, 4)
    terms = Terms(
        principal_minor=chance.randint(100_000, 5_000_000),
        start_on=_months_before(due_on, age),
        instalments=max(months, age + 2),
        rate=Decimal(chance.randint(60, 240)) / 1000,
        method=chance.choice(METHODS),
        penalty=chance.choice(PENALTIES),
        fees=(cash.Fee(code="service", when=cash.FeeWhen.EACH, amount_minor=500),)
        if nr % 5 == 0
        else (),
    )
    rows = run(terms, [], terms.start_on).rows
    fallen = [row for row in rows if row.due_on <= DAY - timedelta(days=1)]
    paid = fallen[: len(fallen) - unpaid] if unpaid else fallen
    paid = [row for row in paid if row.due_on <= FIRST and row.total_minor > 0]
    return terms, [
        events.Repaid(seq=seq, on=row.due_on, amount_minor=row.total_minor)
        for seq, row in enumerate(paid, start=1)
    ]


def _months_before(on: date, months: int) -> date:
    at = on.year * 12 + on.month - 1 - months
    return date(at // 12, at % 12 + 1, min(on.day, 28))


def fill(here: Ground, many: int) -> None:
    """Enter the contracts, each as the last event or day close left it on `FIRST`."""
    chance = random.Random(7)
    for start in range(0, many, 100):

        def work(unit: UnitOfWork, start: int = start) -> None:
            for nr in range(start, min(start + 100, many)):
                _enter(unit, *contract(chance, nr), PRODUCTS[nr % 3])

        here.database.transact(work)


def _enter(unit: UnitOfWork, terms: Terms, happened: list[events.Any], product: str) -> None:
    id = unit.new_id()
    new = loans.NewLoan(
        party=uuid4(),
        product=product,
        product_version=1,
        terms=terms,
        wallet_book="town",
        wallet_account="wallet",
    )
    loan_table.insert(unit.connection, id, new, unit.now)
    loan = loan_table.read(unit.connection, id)
    lines = [
        loans.LoanEvent(
            seq=event.seq,
            kind=loan_table.kind_of(event),
            effective_on=event.on,
            content=loans_form(event),
            event=event,
            cause=loan.cause,
            decision=None,
            actor=unit.actor,
            recorded_at=unit.now,
            business_on=event.on,
            entry=None,
            route=None,
        )
        for event in happened
    ]
    if lines:
        loan_table.insert_events(unit.connection, id, lines)
    unit.execute("UPDATE credit.loan SET state = 'active', version = 2 WHERE id = :id", id=id)
    then = run(terms, happened, FIRST)
    at = position(then.totals, loan.shares, before=loans_position())
    standings.write(
        unit.connection,
        loan,
        then,
        at,
        pool=PRODUCTS.index(product) + 1,
        state=loans.LoanState.ACTIVE,
        events=len(lines),
    )
    unit.execute(
        "UPDATE credit.standing SET eir_bp = :bp WHERE nr = :nr", bp=effective_bp(terms), nr=loan.nr
    )


def loans_form(event: events.Any) -> dict[str, object]:
    """Return an event as it is stored."""
    from steelyard.cashflows import form

    return form.event_to_json(event)


def loans_position() -> Any:
    """Return the position of a loan of which nothing is in the books."""
    from steelyard.credit.model.postings import Position

    return Position()


def multiply(here: Ground, many: int, size: int) -> None:
    """Copy every contract with all its rows until there are `size`, numbered on."""
    copies = -(-size // many) - 1
    with here.connect() as connection:
        names = {
            table: [
                row[0]
                for row in connection.execute(
                    "SELECT column_name FROM information_schema.columns WHERE table_schema ="
                    " 'credit' AND table_name = %s ORDER BY ordinal_position",
                    [table],
                )
            ]
            for table in ("loan", "event", "standing", "instalment")
        }
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "CREATE TABLE public.copy AS SELECT l.id AS old, gen_random_uuid() AS id,"
            f" l.nr + c * {many} AS nr, l.nr AS was FROM credit.loan AS l,"
            f" generate_series(1, {copies}) AS c WHERE l.nr + c * {many} <= {size}"
        )
        connection.execute("ANALYZE public.copy")
        for table, own in (
            ("loan", {"id": "c.id", "nr": "c.nr", "party": "gen_random_uuid()"}),
            ("event", {"loan": "c.id"}),
            ("standing", {"nr": "c.nr"}),
            ("instalment", {"nr": "c.nr"}),
        ):
            columns = names[table]
            values = ", ".join(own.get(name, f"o.{name}") for name in columns)
            key = {"loan": "o.id = c.old", "event": "o.loan = c.old"}.get(table, "o.nr = c.was")
            connection.execute(
                f"INSERT INTO credit.{table} ({', '.join(columns)}) SELECT {values}"
                f" FROM public.copy AS c JOIN credit.{table} AS o ON {key} ORDER BY c.nr"
            )
        connection.execute("DROP TABLE public.copy")
        _open_principals(connection)


def _open_principals(connection: psycopg.Connection[Any]) -> None:
    """Give each loan its account, with what is owed in it, as if it had been paid out long ago."""
    first = connection.execute("SELECT max(id) FROM ledger.account").fetchone()
    assert first is not None
    connection.execute(
        "INSERT INTO ledger.account (book, id, code, currency, kind, opened_at, limits_cause,"
        " debits_posted) SELECT 'lending', %s + nr, 'loan:' || nr || ':CNY', 'CNY', 'asset',"
        " now(), 'rule.bench@1', principal_own_minor FROM credit.standing",
        [first[0]],
    )


def settle_pools(here: Ground) -> None:
    """Post what the pools have in the tables and the ledger does not, out of capital."""

    def work(unit: UnitOfWork) -> None:
        agreement = books.check(unit.connection)
        legs = [
            Leg(one.account, max(change, 0), max(-change, 0))
            for one in agreement.differences
            if (change := one.expected_minor - one.found_minor)
        ]
        rest = sum(one.debit_minor - one.credit_minor for one in legs)
        legs.append(Leg("capital:CNY", max(-rest, 0), max(rest, 0)))
        heading = Heading(entry=uuid4(), book="lending", currency="CNY", cause="rule.bench@1")
        accepted(post(unit, entry(heading, legs)))

    here.database.transact(work)


def must_equal(here: Ground, on: date, size: int) -> int:
    """Assert that a sample of the tables is what `run` says, and return how many were looked at."""
    chance = random.Random(11)
    nrs = sorted(chance.sample(range(1, size + 1), min(SAMPLE, size)))
    with here.database.reading() as connection:
        ids: dict[int, UUID] = dict(
            connection.exec_driver_sql(
                "SELECT nr, id FROM credit.loan WHERE nr = ANY (%s)", (nrs,)
            ).all()
        )
        for nr in nrs:
            _equals(connection, ids[nr], nr, on)
    return len(nrs)


def _equals(connection: Any, id: UUID, nr: int, on: date) -> None:
    loan = loan_table.read(connection, id)
    then = run(loan.terms, loan_table.events_of(connection, [id])[id], on)
    stored = connection.exec_driver_sql("SELECT * FROM credit.standing WHERE nr = %s", (nr,)).one()
    for name, value in standings.standing_values(then).items():
        if name != "totals":
            assert getattr(stored, name) == value, (nr, name, getattr(stored, name), value)
    rows = connection.exec_driver_sql(
        "SELECT * FROM credit.instalment WHERE nr = %s ORDER BY no", (nr,)
    )
    for row, one in zip(rows, then.rows, strict=True):
        for name, value in standings.row_values(one).items():
            assert getattr(row, name) == value, (nr, name, getattr(row, name), value)


def must_add_up(here: Ground, on: date) -> int:
    """Assert that the stored detail of a day is what its entries moved; return its loans."""
    with here.connect() as connection:
        row = connection.execute(
            "SELECT sum(cardinality(nrs)), bool_and(interest_minor = credit.total(interest)),"
            " sum(interest_minor) FILTER (WHERE stage_before = stage),"
            " array_agg(entry) FILTER (WHERE stage_before = stage)"
            " FROM credit.accrual WHERE on_day = %s",
            [on],
        ).fetchone()
        assert row is not None
        posted = connection.execute(
            "SELECT sum(CASE WHEN a.id = t.debit THEN t.posted_minor ELSE -t.posted_minor END)"
            " FROM ledger.transfer AS t JOIN ledger.account AS a ON a.book = t.book"
            " AND a.id IN (t.debit, t.credit) AND a.code LIKE 'interest_receivable/%%'"
            " WHERE t.book = 'lending' AND t.entry = ANY (%s)",
            [row[3]],
        ).fetchone()
    assert posted is not None
    assert row[1], "the parts of a posting add up to it"
    assert posted[0] == row[2], (posted, row[2])
    return int(row[0])


class Watch(threading.Thread):
    """Looks at the memory of all processes: each page counted once."""

    def __init__(self, server: str) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.peak = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.5):
            self.peak = max(self.peak, sum(_memory(pid) for pid in _pids(self.server)))


def _pids(server: str) -> list[int]:
    """Return this process and those of its database, which bear the server's name."""
    found, named = [os.getpid()], server.encode()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if named in Path(f"/proc/{name}/cmdline").read_bytes()[:200]:
                    found.append(int(name))
            except OSError:
                continue
    return found


def _cpu_seconds(server: str) -> float:
    """Return what all the processes have computed: other work on the machine is not in it."""
    ticks = 0
    for pid in _pids(server):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    """Return proportional set size, bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def measure(size: int, many: int, how: How) -> dict[str, Any]:
    """Close `DAY` of a book of `size` loans, and return what was measured."""
    with ground() as here:
        began = time.monotonic()
        fill(here, many)
        here.clock.advance(timedelta(days=1))
        assert dayclose.close_day(here.database, FIRST, how=How(check=False)).is_closed
        here.clock.advance(timedelta(days=1))
        before = DAY - timedelta(days=1)
        assert dayclose.close_day(here.database, before, how=How(check=False)).is_closed
        multiply(here, many, size)
        with here.connect() as connection:
            connection.execute("VACUUM ANALYZE")
        settle_pools(here)
        with here.connect() as connection:
            connection.execute("CHECKPOINT")
        with here.database.reading() as connection:
            assert books.check(connection).holds
        sampled = must_equal(here, before, size)
        setup = time.monotonic() - began
        here.clock.advance(timedelta(days=1))
        return {"loans": size, "sample": sampled, "setup s": round(setup)} | _timed(here, size, how)


def _timed(here: Ground, size: int, how: How) -> dict[str, Any]:
    with here.connect() as connection:
        named = connection.execute("SHOW cluster_name").fetchone()
        assert named is not None
        watch = Watch(named[0])
        watch.start()
        wal = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
        cpu = _cpu_seconds(named[0])
        began = time.monotonic()
        report = dayclose.close_day(here.database, DAY, how=how)
        took = time.monotonic() - began
        used = _cpu_seconds(named[0]) - cpu
        after = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
        facts = connection.execute(
            "SELECT count(*) FROM events.log WHERE kind IN ('credit.LoanBucketChanged',"
            " 'credit.InstalmentFellDue') AND recorded_at >= %s",
            [here.clock.now()],
        ).fetchone()
        rolled = connection.execute(
            "SELECT count(*) FROM events.log WHERE kind = 'credit.LoanBucketChanged'"
            " AND recorded_at >= %s AND payload->'bucket' <> payload->'bucket_before'",
            [here.clock.now()],
        ).fetchone()
    watch.done.set()
    watch.join()
    assert report.is_closed
    assert wal is not None
    assert after is not None
    assert facts is not None
    assert rolled is not None
    must_equal(here, DAY, size)
    detailed = must_add_up(here, DAY)
    checking = time.monotonic()
    with here.database.reading() as connection:
        assert books.check(connection).holds
    checking = time.monotonic() - checking
    counts = report.counts
    assert counts.loans == size
    assert facts[0] == counts.fell_due + counts.changed
    assert min(counts.fell_due, rolled[0]) >= 3 * size // 100, "a day like the one that is asked"
    return {
        "close s": round(took, 1),
        "loans/s": round(size / took),
        "CPU s, all processes": round(used, 1),
        "fell due %": round(100 * counts.fell_due / size, 2),
        "changed bucket %": round(100 * rolled[0] / size, 2),
        "changed at all %": round(100 * counts.changed / size, 2),
        "chunks": report.chunks,
        "facts": facts[0],
        "loans in detail": detailed,
        "WAL MB": round(float(after[0] - wal[0]) / 1e6),
        "peak MB": round(watch.peak / 1e6),
        "check of the books s": round(checking, 1),
    }


def main() -> None:
    """Print one table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--contracts", type=int, default=4_000)
    parser.add_argument("--workers", type=int, default=dayclose.WORKERS)
    parser.add_argument("--chunk", type=int, default=dayclose.CHUNK)
    parser.add_argument("--json", action="store_true")
    wish = parser.parse_args()
    slowest: list[float] = []
    how = How(workers=wish.workers, chunk=wish.chunk, check=False, timing=slowest.append)
    found = measure(wish.size, min(wish.contracts, wish.size), how)
    found["chunk s, median"] = round(float(np.median(slowest)), 2)
    found["chunk s, longest"] = round(max(slowest), 2)
    if wish.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:22} {value:>14,}")


if __name__ == "__main__":
    main()
