from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.base import Database, read_settings
from steelyard.base.crypto import Keyring
from steelyard.imports import (
    SAMPLE,
    Agreement,
    BerkaReport,
    Way,
    import_berka,
    transfer_id,
    write_sample,
)
from steelyard.kernel import Refusal
from steelyard.ledger import BookReader
from steelyard.parties import PersonalField, registry
from tests.conftest import Store

KILLED_AFTER = """
import os, signal, sys
from pathlib import Path
from steelyard.base import read_settings
from steelyard.base.crypto import Keyring
from steelyard.imports import SAMPLE, import_berka
from steelyard.web.platform import open_database

def progress(stage, done, total):
    if stage == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

with open_database(read_settings()) as database:
    import_berka(database, Keyring.for_tests(), Path(sys.argv[1]), book=SAMPLE, progress=progress)
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    write_sample(tmp_path / "bank")
    return tmp_path / "bank"


def _import(database: Database, folder: Path, book: str = SAMPLE) -> BerkaReport:
    return import_berka(database, Keyring.for_tests(), folder, book=book)


def _counts(database: Database) -> tuple[int, ...]:
    with database.reading() as connection:
        return tuple(
            int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())
            for table in ("parties.party", "ledger.account", "ledger.transfer", "events.log")
        )


def test_the_bank_stands_in_parties_accounts_transfers_and_events(
    database: Database, sample: Path
) -> None:
    report = _import(database, sample)
    assert (report.clients, report.accounts, report.transfers) == (60, 50, 600)
    assert report.created == 600
    assert report.difference_minor == 0
    assert sum(total.transfers for total in report.by_operation) == 600
    counts = {a: report.comparison.count(Way.ROW_TO_ROW, a) for a in Agreement}
    assert counts[Agreement.DIFFERS] == counts[Agreement.INCOMPLETE] == 0
    assert [o.account_id for o in report.overdrawn] == [14]
    assert report.overdrawn[0].lowest_minor == -report.overdrawn[0].limit_minor
    with database.reading() as connection:
        book = BookReader(connection, SAMPLE)
        assert book.verify().is_sound
        posted = connection.exec_driver_sql(
            "SELECT count(*) FROM events.log WHERE kind = 'ledger.TransferPosted'"
        ).scalar_one()
        owner = registry.find_origins(connection, [f"{SAMPLE}:client/1"])[f"{SAMPLE}:client/1"]
        roles = {link.role for link in registry.accounts_of(connection, owner)}
    assert posted == 600
    assert roles <= set(registry.AccountRole)
    assert roles


def test_run_twice_nothing_is_doubled(database: Database, sample: Path) -> None:
    first = _import(database, sample)
    before = _counts(database)
    second = _import(database, sample)
    assert _counts(database) == before
    assert (second.created, second.transfers, second.head) == (0, 600, first.head)


@pytest.mark.parametrize("stage", ["clients", "accounts", "dispositions", "transactions"])
def test_killed_half_way_and_run_again_it_is_complete(
    database: Database, store: Store, sample: Path, tmp_path: Path, stage: str
) -> None:
    environment = {
        **os.environ,
        "STEELYARD_DATABASE_URL": store.url,
        "STEELYARD_HOME": str(tmp_path / "home"),
    }
    died = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER, str(sample), stage],
        env=environment,
        check=False,
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL
    report = _import(database, sample)
    assert (report.transfers, report.difference_minor) == (600, 0)
    assert report.created < 600 or stage != "transactions"
    assert report.comparison.count(Way.ROW_TO_ROW, Agreement.INCOMPLETE) == 0
    with database.reading() as connection:
        assert BookReader(connection, SAMPLE).verify().is_sound


def test_the_amounts_are_those_of_the_source_and_dated_as_there(
    database: Database, sample: Path
) -> None:
    _import(database, sample)
    lines = (sample / "trans.csv").read_text().splitlines()
    head = [name.strip('"') for name in lines[0].split(";")]
    with database.reading() as connection:
        book = BookReader(connection, SAMPLE)
        for line in lines[1:50]:
            row = dict(zip(head, (cell.strip('"') for cell in line.split(";")), strict=True))
            movement = book.movement(transfer_id(SAMPLE, int(row["trans_id"])))
            whole, _, part = row["amount"].partition(".")
            assert movement.amount_minor == int(whole) * 100 + int(part.ljust(2, "0") or 0)
            assert movement.effective_on.strftime("%y%m%d") == row["date"]
            assert movement.cause == "import.berka@1"


def test_personal_data_of_clients_is_sealed(database: Database, sample: Path) -> None:
    _import(database, sample)
    with database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT field, sealed FROM parties.personal_field").all()
    assert len(rows) == 120
    assert {row.field for row in rows} == {PersonalField.BIRTH_ON, PersonalField.SEX}
    assert not any(b"19" in bytes(row.sealed)[:2] for row in rows)


def test_a_broken_row_is_refused_before_anything_is_written(
    database: Database, sample: Path
) -> None:
    text = (sample / "trans.csv").read_text()
    (sample / "trans.csv").write_text(text + '1;1;"930101";"credit"\n')
    with pytest.raises(Refusal) as refused:
        _import(database, sample)
    assert refused.value.code == "import_row_malformed"
    assert _counts(database) == (0, 0, 0, 0)


def test_the_real_bank(database: Database) -> None:
    folder = read_settings().data / "berka"
    if not folder.is_dir():
        pytest.skip(f"the real Berka data is not in {folder}; set STEELYARD_DATA")
    report = _import(database, folder, "berka")
    assert (report.clients, report.accounts, report.transfers) == (5_369, 4_500, 30_200)
    assert (report.owners, report.authorised) == (4_500, 869)
    assert report.difference_minor == 0
    cumulative = {a.value: report.comparison.count(Way.CUMULATIVE, a) for a in Agreement}
    row_to_row = {a.value: report.comparison.count(Way.ROW_TO_ROW, a) for a in Agreement}
    assert cumulative == {"exact": 34, "within_rounding": 191, "differs": 129, "incomplete": 0}
    assert row_to_row == {"exact": 34, "within_rounding": 320, "differs": 0, "incomplete": 0}
    assert len(report.overdrawn) == 14
