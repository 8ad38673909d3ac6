"""Both engines over one stream: drawn, made up, and from files."""

from __future__ import annotations

import json
import os
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from steelyard.cli import features as command
from steelyard.features.catalogue import CATALOGUE, KINDS, complete, export
from steelyard.features.model.checking import check_feature
from steelyard.features.model.definition import (
    DAY,
    HOUR,
    LARGEST,
    Aggregate,
    Compare,
    Feature,
    Where,
)
from steelyard.features.model.event import Event, EventKind, FieldType, Label
from steelyard.features.service import parity
from steelyard.features.service.parity import (
    Replay,
    compare,
    comparison,
    read_folder,
    sample_replay,
)
from steelyard.features.service.parity.comparison import bits
from steelyard.features.service.parity.reading import (
    LOCAL_OFFSET_MS,
    StreamFileMalformed,
    StreamFileMissing,
)
from steelyard.features.service.parity.replay import derive
from tests.features.test_columns import EVERY, frames, streams

_OWN = {
    "customer": FieldType.TEXT,
    "device": FieldType.TEXT,
    "amount": FieldType.INTEGER,
    "city": FieldType.TEXT,
    "abroad": FieldType.FLAG,
}
_LABELS = {"fraud": FieldType.INTEGER, "dispute": FieldType.INTEGER}
DRAWN = {
    name: EventKind(
        name, _OWN | _LABELS, ("customer", "device"), "It is.", "如此。", ("fraud", "dispute")
    )
    for name in ("pay", "log")
}


def _taken() -> dict[str, Feature]:
    """Return those of every feature that definitions may be; the rest only the columns can do."""
    made: dict[str, Feature] = {}
    for feature in EVERY:
        told = {field: getattr(feature, field) for field in Feature.__dataclass_fields__}
        named = Feature(**told | {"en": "It is.", "zh": "如此。"})
        try:
            check_feature(named, made | {named.name: named}, DRAWN)
        except ValueError:
            continue
        made[named.name] = named
    return made


TAKEN = _taken()


@pytest.fixture(scope="module")
def sample() -> Replay:
    return sample_replay(KINDS)


def test_most_features_are_taken_by_both_engines() -> None:
    assert len(TAKEN) > 0.75 * len(EVERY)
    assert {feature.aggregate for feature in TAKEN.values()} == set(Aggregate)


@settings(max_examples=30)
@given(
    streams(st.sampled_from([-(2**40), -5, 0, 1, 7, 20, 2**33 + 1, 2**40])),
    st.sampled_from([4, 100]),
)
def test_the_engines_agree_on_any_stream(
    stream: tuple[list[Event], list[Label]], chunk_rows: int
) -> None:
    replay = Replay(*frames(*stream), DRAWN)
    features = list(TAKEN.values()) if stream[0] else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "CHUNK_ROWS", chunk_rows)
        patch.setattr(comparison, "COLUMNS_AT_ONCE", len(TAKEN))
        patch.setattr(comparison, "split", lambda *given: (features, []))
        found = compare(replay, TAKEN)
    assert found.differences == []
    assert found.cells == len(stream[0]) * len(features)


def test_the_sample_feeds_every_feature_and_nothing_differs(sample: Replay) -> None:
    stages: list[tuple[str, int, int]] = []
    found = compare(sample, CATALOGUE, lambda *told: stages.append(told))
    assert found.not_fed == []
    assert list(found.features) == list(CATALOGUE)
    assert (found.differing_cells, found.differences) == (0, [])
    assert found.cells == sample.events.height * len(CATALOGUE)
    assert found.late > 50
    assert found.too_late > 20
    assert stages[-1] == ("stream", found.rows, found.rows)


def test_the_sample_has_what_can_go_wrong(sample: Replay) -> None:
    assert set(sample.events["kind"]) == set(KINDS)
    assert sample.events.equals(sample_replay(KINDS).events)
    assert not sample.events.equals(sample_replay(KINDS, seed=4).events)
    assert sample.events["at_ms"].diff().eq(0).sum() > 100
    assert sample.labels.select("kind", "id", "field").is_duplicated().sum() > 100
    columns = comparison.compute_on(
        comparison.Stream.of(sample.events, sample.labels), list(CATALOGUE.values())
    )
    for name in CATALOGUE:
        assert columns[name].n_unique() > 2, f"{name} says nearly nothing on the sample"


def test_chunks_of_any_size_give_the_same(sample: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Replay(sample.events.head(700), sample.labels, KINDS)
    monkeypatch.setattr(comparison, "CHUNK_ROWS", 137)
    monkeypatch.setattr(comparison, "COLUMNS_AT_ONCE", 5)
    assert compare(small, CATALOGUE).differing_cells == 0


def test_derived_fields_are_those_that_complete_makes(sample: Replay) -> None:
    derived = ["hour", "is_night", "is_weekend"]
    derived += [e for e in sample.events.columns if e.startswith("customer_")]
    bare = sample.events.drop(derived)
    made = derive(bare, KINDS, offset_ms=8 * HOUR)
    for row, have in zip(bare.iter_rows(named=True), made.iter_rows(named=True), strict=True):
        expected = complete(row["kind"], row["at_ms"], row)
        assert {name: have[name] for name in derived} == {n: expected.get(n) for n in derived}


def _published(folder: Path, rows: int, **columns: Any) -> Any:
    frame = pl.DataFrame(
        {
            "TRANSACTION_ID": list(range(rows)),
            "TX_DATETIME": [datetime(2018, 4, 1 + n // 2, n % 24) for n in range(rows)],
            "CUSTOMER_ID": [n % 3 for n in range(rows)],
            "TERMINAL_ID": [n % 2 for n in range(rows)],
            "TX_AMOUNT_CENTS": [100 + n for n in range(rows)],
            "TX_FRAUD": [n % 5 == 0 for n in range(rows)],
            "TX_FRAUD_SCENARIO": 0,
        }
        | columns
    )
    frame.sample(fraction=1, shuffle=True, seed=1).write_parquet(folder / "a.parquet")
    return frame


def test_published_transactions_are_card_payments_in_their_order(tmp_path: Path) -> None:
    _published(tmp_path, 40)
    replay = read_folder(tmp_path, KINDS)
    assert replay.events["id"].to_list() == [str(n) for n in range(40)]
    assert replay.events["hour"].to_list() == [n % 24 for n in range(40)]
    assert replay.events.row(7, named=True) | {"sequence": 0} == {
        "kind": "payment", "id": "7", "at_ms": 1522825200000, "sequence": 0,
        "customer": "1", "terminal": "1", "amount_minor": 107,
        "hour": 7, "is_night": False, "is_weekend": False, "customer_hour": "1|7",
    }  # fmt: skip
    told = replay.labels.row(0, named=True)
    assert told["at_ms"] == replay.events["at_ms"][0] + 7 * DAY
    first = replay.events.filter(pl.col("sequence") > told["sequence"])["at_ms"][0]
    before = replay.events.filter(pl.col("sequence") < told["sequence"])["at_ms"][-1]
    assert before < told["at_ms"] <= first
    assert replay.labels["value"].to_list() == [int(n % 5 == 0) for n in range(40)]
    found = compare(replay, CATALOGUE)
    assert found.differing_cells == 0
    assert "terminal_fraud_share_7d_delayed_7d" in found.features
    reasons = {lack.name: lack.en for lack in found.not_fed}
    assert len(reasons) + len(found.features) == len(CATALOGUE)
    assert reasons["customer_log_in_time_since"] == "no event log_in"
    assert reasons["customer_merchant_distinct_1d"] == "no merchant in payment"
    assert reasons["customer_online_payment_share_7d"].startswith("its part customer_online")


def test_published_files_without_labels_or_amounts_are_taken(tmp_path: Path) -> None:
    frame = (
        _published(tmp_path, 9)
        .drop("TX_FRAUD")
        .with_columns(pl.lit(None, pl.Int32).alias("TX_AMOUNT_CENTS"))
    )
    frame.write_parquet(tmp_path / "a.parquet")
    found = compare(read_folder(tmp_path, KINDS), CATALOGUE)
    assert (found.labels, found.differing_cells) == (0, 0)
    assert "customer_payment_count_1d" in found.features
    assert "customer_payment_mean_1d" not in found.features


def test_events_in_files_are_taken_as_they_are(sample: Replay, tmp_path: Path) -> None:
    kinds = sample.events["kind"].unique().sort()
    for kind in kinds:
        own = sample.events.filter(kind=kind)
        own.select(x for x in own if x.null_count() < len(x)).write_parquet(
            tmp_path / f"{kind}.parquet"
        )
    sample.labels.write_parquet(tmp_path / "labels.parquet")
    read = read_folder(tmp_path, KINDS)
    assert read.labels.equals(sample.labels)
    assert read.events.select(sorted(read.events.columns)).equals(
        sample.events.select(sorted(sample.events.columns))
    )


def test_payments_with_their_label_are_taken_like_published_ones(tmp_path: Path) -> None:
    frame = _published(tmp_path, 60)
    published = read_folder(tmp_path, KINDS)
    frame.select(
        pl.col("TRANSACTION_ID").alias("id"),
        pl.col("TX_DATETIME").dt.epoch("ms").alias("at_ms") - LOCAL_OFFSET_MS,
        pl.col("CUSTOMER_ID").alias("customer"),
        pl.col("TERMINAL_ID").alias("terminal"),
        pl.col("TX_AMOUNT_CENTS").alias("amount_minor"),
        pl.col("TX_FRAUD").alias("is_fraud"),
    ).write_parquet(tmp_path / "a.parquet")
    own = read_folder(tmp_path, KINDS)
    later = pl.col("at_ms") + LOCAL_OFFSET_MS
    assert own.events.with_columns(later).equals(published.events)
    assert own.labels.with_columns(later).equals(published.labels)


def test_labels_in_two_places_are_refused(tmp_path: Path) -> None:
    told = {"kind": "log_in", "id": "a", "at_ms": 9, "sequence": 3, "field": "is_takeover"}
    pl.DataFrame([_EVENT | {"is_takeover": True}]).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame([told | {"value": 1}]).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(StreamFileMalformed, match="two places"):
        read_folder(tmp_path, KINDS)


def test_a_folder_with_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StreamFileMissing):
        read_folder(tmp_path, KINDS)


_EVENT = {"kind": "log_in", "id": "a", "at_ms": 5, "sequence": 1, "customer": "c"}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"x": 1}], "no stream"),
        ([_EVENT | {"kind": "nap"}], "no kind nap"),
        ([_EVENT | {"mood": "good"}], "no event has a field mood"),
        ([_EVENT | {"is_fraud": True}], "no event has a field is_fraud"),
        ([_EVENT | {"succeeded": 1}], "succeeded is Int64, not Boolean"),
        ([_EVENT | {"customer": 1.5}], "customer is Float64"),
        ([_EVENT | {"at_ms": 1.5}], "at_ms is Float64"),
        ([_EVENT, _EVENT | {"sequence": 2}], "an event is there twice"),
        ([_EVENT, _EVENT | {"id": "b"}], "a sequence is there twice"),
        ([_EVENT, _EVENT | {"id": "b", "sequence": None}], "sequence is missing"),
        ([_EVENT | {"hour": "x"}], "hour is String"),
        (
            [_EVENT | {"kind": "withdrawal", "amount_minor": LARGEST + 1}],
            "amount_minor is too large",
        ),
        (
            [_EVENT | {"payee": "p"}, _EVENT | {"kind": "withdrawal", "sequence": 2}],
            "log_in has no field payee",
        ),
    ],
)
def test_a_file_that_is_no_stream_is_refused(
    rows: list[dict[str, Any]], reason: str, tmp_path: Path
) -> None:
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(StreamFileMalformed, match=reason):
        read_folder(tmp_path, KINDS)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ({"field": "is_fraud"}, "log_in has no label is_fraud"),
        ({"value": None}, "the value of a label is missing"),
        ({"sequence": 1}, "a sequence is there twice"),
    ],
)
def test_labels_that_fit_no_event_are_refused(
    label: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    told = {
        "kind": "log_in",
        "id": "a",
        "at_ms": 9,
        "sequence": 3,
        "field": "is_takeover",
        "value": 1,
    }
    pl.DataFrame([_EVENT]).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame([told | label]).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(StreamFileMalformed, match=reason):
        read_folder(tmp_path, KINDS)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("TRANSACTION_ID,TX_DATETIME\n1,2\n")
    with pytest.raises(StreamFileMalformed, match="cannot be read"):
        read_folder(tmp_path, KINDS)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"TX_DATETIME": "2018-04-01"}, "TX_DATETIME is no instant"),
        ({"TX_AMOUNT_CENTS": 1.5}, "TX_AMOUNT_CENTS is Float64"),
        ({"TRANSACTION_ID": [*range(8), 3]}, "an event is there twice"),
        ({"TRANSACTION_ID": [*range(8), None]}, "TRANSACTION_ID is missing"),
    ],
)
def test_published_files_that_are_wrong_are_refused(
    columns: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    _published(tmp_path, 9, **columns)
    with pytest.raises(StreamFileMalformed, match=reason):
        read_folder(tmp_path, KINDS)


def test_two_forms_in_one_folder_are_refused(tmp_path: Path) -> None:
    _published(tmp_path, 9)
    pl.DataFrame([_EVENT]).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(StreamFileMalformed, match="two forms"):
        read_folder(tmp_path, KINDS)


@pytest.mark.parametrize(
    ("one", "other"),
    [(0.0, -0.0), (1, 1.0), (1, True), (None, 0), ("1", 1), (0.1 + 0.2, 0.3)],
)
def test_what_is_equal_is_not_always_the_same(one: object, other: object) -> None:
    assert bits(one) == bits(one)
    assert bits(one) != bits(other)
    assert comparison._alike([None, one], [None, one]) == (one != 0.0 or str(one) != "-0.0")
    assert not comparison._alike([one], [other])


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "sample_replay", partial(sample_replay, events=600))


@pytest.mark.usefixtures("small_sample")
def test_the_command_is_content_with_the_sample() -> None:
    done = CliRunner().invoke(command.app, ["parity", "--sample", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["differing_cells"] == 0
    assert told["cells"] == told["rows"] * len(told["features"])


@pytest.mark.usefixtures("small_sample")
def test_the_command_shows_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    real = comparison.compute_on

    def wrong(*given: Any) -> Any:
        columns = real(*given)
        if "customer_payment_count_1h" not in columns.columns:
            return columns
        return columns.with_columns(pl.col("customer_payment_count_1h") + 1)

    monkeypatch.setattr(comparison, "compute_on", wrong)
    done = CliRunner().invoke(command.app, ["parity", "--sample", "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["differing_cells"] > 100
    first = told["differences"][0]
    assert first["feature"] == "customer_payment_count_1h"
    assert first["columns"] == first["stream"] + 1
    assert len(told["differences"]) == comparison.SHOWN
    done = CliRunner(env={"COLUMNS": "200"}).invoke(command.app, ["parity", "--sample"])
    assert done.exit_code == 1
    assert "differing_cells" in done.stdout


def test_the_command_refuses_without_a_stream() -> None:
    done = CliRunner().invoke(command.app, ["parity"])
    assert done.exit_code == 1
    assert "nothing_to_compare" in done.output


@pytest.mark.parametrize(("language", "word"), [("en_GB", "says"), ("zh_CN", "含义")])
def test_the_list_is_in_the_readers_language(language: str, word: str) -> None:
    done = CliRunner(env={"LC_ALL": language, "COLUMNS": "300"}).invoke(command.app, ["list"])
    assert word in done.stdout
    assert str(len(CATALOGUE)) in done.stdout
    few = CliRunner().invoke(command.app, ["list", "--entity", "terminal", "--json"])
    assert {row["entity"] for row in json.loads(few.stdout)} == {"terminal"}


def test_the_exported_definitions_are_whole(tmp_path: Path) -> None:
    done = CliRunner().invoke(command.app, ["export", str(tmp_path / "x.json")])
    assert done.exit_code == 0
    told = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert told == export(CATALOGUE, KINDS)
    assert {_feature(data) for data in told["features"]} == set(CATALOGUE.values())
    assert {kind["name"]: _kind(kind) for kind in told["kinds"]} == dict(KINDS)
    known: set[str] = set()
    for data in told["features"]:
        assert set(data["parts"] or ()) <= known
        known.add(data["name"])
    fewer = export(CATALOGUE, {"log_in": KINDS["log_in"]})
    assert fewer["sha256"] != told["sha256"]
    assert json.loads(CliRunner().invoke(command.app, ["export"]).stdout) == told


def _feature(data: dict[str, Any]) -> Feature:
    where = tuple(Where(w["field"], Compare(w["compare"]), w["value"]) for w in data["where"])
    parts = tuple(data["parts"]) if data["parts"] else None
    again = {"where": where, "parts": parts, "kinds": tuple(data["kinds"])}
    return Feature(**data | again | {"aggregate": Aggregate(data["aggregate"])})


def _kind(data: dict[str, Any]) -> EventKind:
    fields = {name: FieldType(type_) for name, type_ in data["fields"].items()}
    again = {"entities": tuple(data["entities"]), "labels": tuple(data["labels"])}
    return EventKind(**data | again | {"fields": fields})


CHECKOUT = Path(__file__).parents[2]
REAL = Path(os.environ.get("STEELYARD_DATA", CHECKOUT / "../shared/data")) / "handbook"
needs_data = pytest.mark.skipif(
    not REAL.is_dir(),
    reason="the Handbook data is absent: set STEELYARD_DATA to the folder that holds handbook/",
)


@needs_data
def test_a_month_of_some_published_customers(tmp_path: Path) -> None:
    whole = pl.read_parquet(REAL / "*.parquet")
    some = whole.filter(pl.col("CUSTOMER_ID") < 60, pl.col("TX_DATETIME") < datetime(2018, 6, 1))
    some.write_parquet(tmp_path / "some.parquet")
    found = compare(read_folder(tmp_path, KINDS), CATALOGUE)
    assert found.rows > 5_000
    assert found.differing_cells == 0


@needs_data
@pytest.mark.long
def test_all_published_transactions() -> None:
    found = compare(read_folder(REAL, KINDS), CATALOGUE)
    assert found.rows == 1_466_282
    assert found.differing_cells == 0
