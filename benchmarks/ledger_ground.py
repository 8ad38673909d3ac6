"""Ground for the benchmarks of the ledger: a durable server, a book, and the naive peer.

The peer is what one would write first with the same guarantees: one transaction for each transfer,
which locks the book's row (the hash chain needs an order), reads both accounts, checks limits and
the id, inserts the transfer with its cause, running balances and chained hash, updates both
accounts and the book, inserts the event, and commits. Its tables have the same keys, checks and
append-only triggers; they are not guarded against a hostile application role, which ours are.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from steelyard.base import Database, PlainBusinessClock
from steelyard.base.postgres import Address, EmbeddedPostgres, bootstrap
from steelyard.base.schema import migrate
from steelyard.events import PostgresFactLog
from steelyard.kernel import FixedClock
from steelyard.ledger import (
    AccountKind,
    BookReader,
    Funds,
    NewAccount,
    Transfer,
    open_accounts,
    open_book,
    post,
)

ACCOUNTS = 10_000
"""Half of them give, half of them take; the first takes part in 80 % of the hot transfers."""
DAY = date(2026, 3, 2)
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
_CHUNK = 1_000

PEER = f"""
CREATE SCHEMA peer; GRANT USAGE ON SCHEMA peer TO steelyard_app;
CREATE TABLE peer.book (id text PRIMARY KEY, last_at bigint NOT NULL, head bytea NOT NULL);
CREATE TABLE peer.account (
    id bigint PRIMARY KEY, currency text NOT NULL,
    debits bigint NOT NULL CHECK (debits >= 0), credits bigint NOT NULL CHECK (credits >= 0),
    debit_limit bigint, CHECK (debits - credits <= debit_limit));
CREATE TABLE peer.transfer (
    at bigint PRIMARY KEY, id uuid NOT NULL UNIQUE, debit bigint NOT NULL, credit bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0), currency text NOT NULL,
    effective_on date NOT NULL, cause text NOT NULL CHECK (cause LIKE '%_@_%'),
    debit_balance bigint NOT NULL, credit_balance bigint NOT NULL, hash bytea NOT NULL,
    CHECK (debit <> credit));
CREATE INDEX ON peer.transfer (debit, at); CREATE INDEX ON peer.transfer (credit, at);
CREATE TABLE peer.event (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position xid8 NOT NULL DEFAULT pg_current_xact_id(), kind text NOT NULL, subject text NOT NULL,
    occurred_at timestamptz NOT NULL, actor text NOT NULL, payload jsonb NOT NULL);
CREATE INDEX ON peer.event (position, sequence); CREATE INDEX ON peer.event (subject, sequence);
CREATE TRIGGER a BEFORE UPDATE OR DELETE OR TRUNCATE ON peer.transfer
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
CREATE TRIGGER a BEFORE UPDATE OR DELETE OR TRUNCATE ON peer.event
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA peer TO steelyard_app;
GRANT UPDATE ON peer.book, peer.account TO steelyard_app;
INSERT INTO peer.account SELECT n, 'CNY', 0, 0, CASE WHEN n = 2 THEN 0 END
    FROM generate_series(1, {ACCOUNTS}) n;
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """A server with a book `bench` of `ACCOUNTS` accounts, and the peer's."""

    address: Address

    @property
    def url(self) -> str:
        return self.address.url(role="steelyard_app", database="bench")

    def conninfo(self, role: str = "steelyard_app") -> str:
        return self.address.conninfo(role=role, database="bench")

    def database(self, *, at: datetime | None = None) -> Database:
        clock = None if at is None else PlainBusinessClock(FixedClock(at))
        return Database(self.url, facts=PostgresFactLog(), clock=clock)

    def owner(self, sql: str) -> None:
        with psycopg.connect(self.conninfo("steelyard_owner"), autocommit=True) as connection:
            connection.execute(sql)


@contextmanager
def ground() -> Iterator[Ground]:
    """Have a fresh durable server for a while, after both ways have given the same books."""
    with tempfile.TemporaryDirectory(prefix="steelyard-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        with EmbeddedPostgres(home) as address:
            bootstrap(address, database="bench")
            migrate(address.url(role="steelyard_owner", database="bench"))
            here = Ground(address)
            here.owner(PEER)
            _open(here)
            assert_equal(here)
            here.owner("VACUUM ANALYZE")
            yield here


def _open(here: Ground) -> None:
    accounts = [
        NewAccount(
            code=f"a:{n}",
            currency="CNY",
            kind=AccountKind.LIABILITY,
            debit_limit=0 if n == 2 else None,
        )
        for n in range(1, ACCOUNTS + 1)
    ]
    database = here.database(at=START)
    with database.unit_of_work() as uow:
        book = open_book(uow, "bench", name="Bench", funds=Funds.OWN, business_on=DAY)
    for start in range(0, ACCOUNTS, _CHUNK):
        with database.unit_of_work() as uow:
            open_accounts(uow, "bench", accounts[start : start + _CHUNK], cause="bench@1")
    database.close()
    with psycopg.connect(here.conninfo("steelyard_owner")) as connection:
        connection.execute("INSERT INTO peer.book VALUES ('bench', 0, %s)", (book.head,))


def transfers(count: int, *, hot: bool, seed: int | None = None) -> list[Transfer]:
    """Return new transfers over all accounts; hot: four of five debit the same account."""
    chance = random.Random(seed)
    half = ACCOUNTS // 2
    return [
        Transfer(
            id=UUID(int=chance.getrandbits(128)),
            book="bench",
            cause="no_policy@0",
            debit=1 if hot and chance.random() < 0.8 else chance.randrange(3, half),
            credit=chance.randrange(half, ACCOUNTS + 1),
            amount_minor=chance.randrange(1, 10_000),
            currency="CNY",
        )
        for _ in range(count)
    ]


def naive_post(connection: psycopg.Connection[Any], t: Transfer, now: datetime) -> str:
    """Post one transfer in one transaction, the naive way, and return its outcome."""
    with connection.transaction():
        row = connection.execute(
            "SELECT last_at, head FROM peer.book WHERE id = 'bench' FOR UPDATE"
        ).fetchone()
        assert row is not None
        last_at, head = row
        known = connection.execute(
            "SELECT debit, credit, amount FROM peer.transfer WHERE id = %s", (t.id,)
        ).fetchone()
        if known is not None:
            return "exists" if known == (t.debit, t.credit, t.amount_minor) else "id_conflict"
        accounts = {
            id: (currency, debits, credits, limit)
            for id, currency, debits, credits, limit in connection.execute(
                "SELECT id, currency, debits, credits, debit_limit FROM peer.account"
                " WHERE id IN (%s, %s)",
                (t.debit, t.credit),
            )
        }
        currency, debits, credits, limit = accounts[t.debit]
        assert t.amount_minor is not None
        if currency != t.currency or accounts[t.credit][0] != t.currency:
            return "currency_mismatch"
        if limit is not None and debits - credits + t.amount_minor > limit:
            return "exceeds_debit_limit"
        at = max(int(now.timestamp() * 1_000_000), last_at + 1)
        debit_balance = debits - credits + t.amount_minor
        credit_balance = accounts[t.credit][1] - accounts[t.credit][2] - t.amount_minor
        text = (
            f"{t.book}\t{at}\t{t.id}\t0\t{t.debit}\t{t.credit}\t{t.currency}\t{t.amount_minor}\t0"
            f"\t{DAY}\t{t.cause}\t{debit_balance}\t{credit_balance}\t\t\t\t\t"
        )
        hash = sha256(head + text.encode()).digest()
        connection.execute(
            "INSERT INTO peer.transfer VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (at, t.id, t.debit, t.credit, t.amount_minor, t.currency, DAY, t.cause, debit_balance,
             credit_balance, hash),
        )  # fmt: skip
        connection.execute(
            "UPDATE peer.account SET debits = debits + %s WHERE id = %s", (t.amount_minor, t.debit)
        )
        connection.execute(
            "UPDATE peer.account SET credits = credits + %s WHERE id = %s",
            (t.amount_minor, t.credit),
        )
        connection.execute("UPDATE peer.book SET last_at = %s, head = %s", (at, hash))
        payload = {
            "book": t.book,
            "id": str(t.id),
            "at": at,
            "transfer_kind": "single",
            "debit": t.debit,
            "credit": t.credit,
            "amount_minor": t.amount_minor,
            "currency": t.currency,
            "cause": t.cause,
            "effective_on": DAY,
        }
        connection.execute(
            "INSERT INTO peer.event (kind, subject, occurred_at, actor, payload)"
            " VALUES ('TransferPosted', %s, %s, 'system:bench', %s)",
            (f"account:bench/{t.debit}", now, msgspec.json.encode(payload).decode()),
        )
    return "created"


def assert_equal(here: Ground) -> None:
    """The same transfers give the same answers, balances, events and head, both ways."""
    made = transfers(150, hot=False, seed=1) + transfers(150, hot=True, seed=2)
    made += made[40:50]
    made += [
        Transfer(
            id=UUID(int=n),
            book="bench",
            cause="no_policy@0",
            debit=2,
            credit=ACCOUNTS,
            amount_minor=n,
            currency="CNY",
        )
        for n in range(1, 4)
    ]
    random.Random(3).shuffle(made)
    database = here.database(at=START)
    ours: list[str] = []
    for start in range(0, len(made), 37):
        with database.unit_of_work() as uow:
            ours += [a.outcome.value for a in post(uow, made[start : start + 37])]
    with psycopg.connect(here.conninfo()) as connection:
        naive = [naive_post(connection, t, START) for t in made]
        assert ours == naive
        assert {"created", "exists", "exceeds_debit_limit"} == set(naive)
        rows = connection.execute(
            "SELECT (SELECT head FROM peer.book), (SELECT count(*) FROM peer.event),"
            " (SELECT array_agg(credits - debits ORDER BY id) FROM peer.account)"
        ).fetchone()
        events = connection.execute(
            "SELECT count(*) FROM events.log WHERE kind = 'ledger.TransferPosted'"
        ).fetchone()
        balances = connection.execute(
            "SELECT array_agg(credits_posted - debits_posted ORDER BY id) FROM ledger.account"
        ).fetchone()
    with database.reading() as reading:
        book = BookReader(reading, "bench").book
    assert rows is not None
    assert rows == (book.head, (events or (0,))[0], (balances or (None,))[0])
    database.close()


def naive_rate(here: Ground, made: Sequence[Transfer], connections: int) -> float:
    """Return transfers a second of the naive way from so many connections at once."""
    shares = [made[n::connections] for n in range(connections)]
    barrier = Barrier(connections + 1)

    def work(share: Sequence[Transfer]) -> None:
        with psycopg.connect(here.conninfo()) as connection:
            connection.execute("SELECT 1")
            connection.commit()
            barrier.wait()
            for t in share:
                naive_post(connection, t, datetime.now(UTC))

    threads = [Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return len(made) / (time.perf_counter() - began)


def timed(count: int, work: Callable[[], object]) -> float:
    """Return so many things a second."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def fsync_rate() -> int:
    """Return how many 8 KB writes a second this disk makes durable."""
    with tempfile.NamedTemporaryFile() as file:
        until, count = time.perf_counter() + 0.5, 0
        while time.perf_counter() < until:
            os.pwrite(file.fileno(), b"x" * 8192, 0)
            os.fdatasync(file.fileno())
            count += 1
    return count * 2


def python() -> str:
    """Return this interpreter."""
    return sys.executable
