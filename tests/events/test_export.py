"""One Parquet file for each closed day."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from steelyard.base import Database
from steelyard.events import FactFilter, export, reading, refusals
from steelyard.events.service import export as exporting
from steelyard.kernel import SteppingClock
from tests.conftest import START, Store
from tests.events.lamps import append, light

parquet = pytest.importorskip("pyarrow.parquet")
DAY = START.date()
NEXT = datetime.combine(DAY, datetime.min.time(), UTC) + timedelta(days=1)


def test_a_closed_day_is_written_once(
    database: Database, clock: SteppingClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ROWS", 4)
    light(database, "a", *range(10))
    clock.at = NEXT
    light(database, "tomorrow", 1)
    marks: list[tuple[int, int]] = []
    made = export.export_day(
        database, DAY, tmp_path, progress=lambda p: marks.append((p.done, p.total))
    )
    assert (made.file, made.facts, made.written) == ("facts-2026-03-02.parquet", 10, True)
    assert marks == [(4, 10), (8, 10), (10, 10)]

    table = parquet.read_table(tmp_path / made.file)
    with database.reading() as connection:
        facts = reading.read_page(connection, FactFilter(subject="lamp:a")).items
    assert table.column_names == [
        *("sequence", "position", "epoch", "kind", "version", "subject"),
        *("occurred_at", "recorded_at", "actor", "payload"),
    ]
    for name in table.column_names:
        assert table[name].to_pylist() == [getattr(fact, name) for fact in facts], name

    again = export.export_day(database, DAY, tmp_path)
    assert (again.facts, again.written) == (10, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", made.file]


def test_an_empty_day_is_a_file_without_rows(
    database: Database, clock: SteppingClock, tmp_path: Path
) -> None:
    clock.at = NEXT
    made = export.export_day(database, DAY, tmp_path)
    assert (made.facts, made.written) == (0, True)
    assert parquet.read_table(tmp_path / made.file).num_rows == 0


def test_a_day_that_is_not_over_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(refusals.DayIsNotClosed):
        export.export_day(database, DAY, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_day_waits_for_its_last_transaction(
    database: Database,
    store: Store,
    clock: SteppingClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporting, "PATIENCE", 0.0)
    with psycopg.connect(store.conninfo()) as slow:
        slow.execute("SELECT 1")  # it may have read the clock; it has not written yet
        clock.at = NEXT
        with pytest.raises(refusals.DayIsNotClosed, match="still open"):
            export.export_day(database, DAY, tmp_path)
        append(slow, "a", [1])
        slow.commit()
        assert export.export_day(database, DAY, tmp_path).facts == 1


def test_a_file_is_made_again_when_facts_came_late(
    database: Database, clock: SteppingClock, tmp_path: Path
) -> None:
    light(database, "a", 1)
    clock.at = NEXT
    assert export.export_day(database, DAY, tmp_path).facts == 1
    clock.at = START  # a machine whose clock is behind
    light(database, "a", 2)
    clock.at = NEXT
    made = export.export_day(database, DAY, tmp_path)
    assert (made.facts, made.written) == (2, True)


def test_an_export_that_was_killed_leaves_no_file(
    database: Database, clock: SteppingClock, tmp_path: Path
) -> None:
    light(database, "a", 1)
    clock.at = NEXT

    def die(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export.export_day(database, DAY, tmp_path, progress=die)
    assert not (tmp_path / exporting.file_of(DAY)).exists()
    assert export.export_day(database, DAY, tmp_path).facts == 1
    assert not list(tmp_path.glob("*.part"))


def test_one_export_of_a_folder_at_a_time(
    database: Database, clock: SteppingClock, tmp_path: Path
) -> None:
    light(database, "a", 1)
    clock.at = NEXT

    def nested(_: object) -> None:
        export.export_day(database, DAY, tmp_path)

    with pytest.raises(refusals.ExportIsRunning):
        export.export_day(database, DAY, tmp_path, progress=nested)


def test_without_the_extra_it_says_which(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(refusals.ColumnsExtraIsMissing) as refused:
        export.export_day(database, date(2026, 3, 1), tmp_path)
    assert "steelyard[columns]" in refused.value.sentence("en")
    assert "steelyard[columns]" in refused.value.sentence("zh-CN")
