from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from steelyard.base import Database
from steelyard.base.audit import audit, read_audit, verify_audit
from tests.conftest import Store


def _write(database: Database, count: int) -> None:
    for number in range(count):
        with database.unit_of_work(actor="staff:a") as unit:
            audit(unit, action="parties.unmask", subject=f"party:{number}", detail={"n": number})
            audit(unit, action="parties.read", subject=f"party:{number}")


def test_lines_are_chained_in_order(database: Database) -> None:
    _write(database, 5)
    with database.reading() as connection:
        report = verify_audit(connection)
        page = read_audit(connection, limit=4)
        rest = read_audit(connection, cursor=page.next, limit=100)
        mine = read_audit(connection, subject="party:3")
    assert (report.entries, report.holds) == (10, True)
    assert [e.sequence for e in page.items + rest.items] == list(range(10, 0, -1))
    assert rest.next is None
    assert [e.action for e in mine.items] == ["parties.read", "parties.unmask"]
    assert mine.items[1].detail == '{"n":3}'


def test_units_at_once_make_one_chain(database: Database) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: _write(database, 8), range(6)))
    with database.reading() as connection:
        report = verify_audit(connection)
    assert (report.entries, report.holds) == (96, True)


@pytest.mark.parametrize(
    ("tampering", "first_bad"),
    [
        ("UPDATE base.audit SET detail = '{}' WHERE sequence = 3", 3),
        ("UPDATE base.audit SET actor = 'staff:b' WHERE sequence = 7", 7),
        ("DELETE FROM base.audit WHERE sequence = 4", 4),
        ("DELETE FROM base.audit WHERE sequence = 10", 10),
    ],
)
def test_tampering_is_found_and_named(
    database: Database, store: Store, tampering: str, first_bad: int
) -> None:
    _write(database, 5)
    with psycopg.connect(store.conninfo("postgres"), autocommit=True) as admin:
        admin.execute("ALTER TABLE base.audit DISABLE TRIGGER ALL")
        admin.execute(tampering)
    with database.reading() as connection:
        assert verify_audit(connection).first_bad == first_bad


@pytest.mark.parametrize("statement", ["UPDATE base.audit SET actor = 'x'", "TRUNCATE base.audit"])
def test_the_application_cannot_change_a_line(
    database: Database, store: Store, statement: str
) -> None:
    _write(database, 1)
    with (
        psycopg.connect(store.conninfo()) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)
    with (
        psycopg.connect(store.conninfo("steelyard_owner")) as connection,
        pytest.raises(psycopg.errors.RestrictViolation),
    ):
        connection.execute(statement)
