"""The published Handbook protocol, fed by the streaming engine.

Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi), chapter 3: train on a week, wait
the seven days in which frauds become known, test on the week after, cards known as compromised by
then left out day by day. Features come event by event from the engine that serves decisions; a
fraud is told to it seven days after it happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.inputs import FIELD, ModelInputs, definition_hash
from steelyard.features import (
    CATALOGUE,
    KINDS,
    Event,
    StreamEngine,
)
from steelyard.features.catalogue import Aggregate, Feature, Label, complete
from steelyard.kernel import Refusal, RefusalKind

Progress = Callable[[str, int, int], None]
Floats = NDArray[np.float64]

KIND = "payment"
FIELDS = ("amount_minor", "is_weekend", "is_night")
PUBLISHED_INPUTS = (
    *FIELDS,
    *(
        name.format(days)
        for name in (
            "customer_payment_count_{}d",
            "customer_payment_mean_{}d",
            "terminal_payment_count_{}d_delayed_7d",
            "terminal_fraud_share_{}d_delayed_7d",
        )
        for days in (1, 7, 30)
    ),
)
"""The fifteen of the Handbook, in this catalogue's names."""
_FED = {"customer", "terminal", "customer_hour", "hour", "is_fraud", *FIELDS}
_COLUMNS = ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT_CENTS", "TX_FRAUD")
DAY = 86_400_000
DELAY = 7
"""Days until a fraud is known."""
TRAIN_ON = date(2018, 7, 25)
"""First day of the published training week; models are chosen on days before it."""


class HandbookIsMissing(Refusal):
    """No transactions in the folder."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no *.parquet with {columns} in {folder}; --sample makes a small made-up one."
    zh = "{folder} 中没有包含 {columns} 的 *.parquet；可使用 --sample 生成虚构小样本。"


class HandbookIsTooShort(Refusal):
    """The days of the protocol are not all there."""

    kind = RefusalKind.INVALID
    en = "The transactions run from {first} to {last}; the protocol needs {needed} to {end}."
    zh = "交易数据自 {first} 至 {last}；协议需要 {needed} 至 {end}。"


@dataclass(frozen=True, slots=True, eq=False)
class Transactions:
    """Card transactions in order of time: instants in ms, ids, amounts, and what became known."""

    at_ms: NDArray[np.int64]
    customer: NDArray[np.int64]
    terminal: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    bad: NDArray[np.bool_]

    def day(self) -> NDArray[np.int64]:
        """Return the day of each, counted from 1970."""
        return self.at_ms // DAY


@dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """What the engine answered, for the days from the first of the earliest training week on.

    Attributes
    ----------
    names : inputs in the order of the columns of `matrix`
    matrix : shape (rows, names), NaN is missing
    bad, customer, day : of each row
    events, seconds_cpu : how many events were folded, and in what time
    """

    names: tuple[str, ...]
    matrix: Floats
    bad: NDArray[np.bool_]
    customer: NDArray[np.int64]
    day: NDArray[np.int64]
    events: int
    seconds_cpu: float

    def columns(self, names: tuple[str, ...]) -> Floats:
        """Return some of the inputs."""
        return self.matrix[:, [self.names.index(name) for name in names]]


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of a training week, and of the week tested fourteen days after its first day."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def read_transactions(folder: Path) -> Transactions:
    """Return the transactions of every `*.parquet` of a folder that has the Handbook's columns.

    Raises
    ------
    HandbookIsMissing
    """
    import polars as pl

    paths = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    frames = [
        pl.read_parquet(path, columns=list(_COLUMNS))
        for path in paths
        if set(_COLUMNS) <= set(pl.read_parquet_schema(path))
    ]
    if not frames:
        raise HandbookIsMissing(folder=folder, columns=", ".join(_COLUMNS))
    frame = pl.concat(frames).sort("TX_DATETIME", maintain_order=True)

    def whole(name: str) -> NDArray[np.int64]:
        return frame[name].cast(pl.Int64).to_numpy()

    return Transactions(
        at_ms=frame["TX_DATETIME"].dt.epoch("ms").to_numpy(),
        customer=whole("CUSTOMER_ID"),
        terminal=whole("TERMINAL_ID"),
        amount_minor=whole("TX_AMOUNT_CENTS"),
        bad=whole("TX_FRAUD") == 1,
    )


def fed_features() -> dict[str, Feature]:
    """Return the features of the catalogue that this stream can feed, numbers only, by name."""
    plain = {
        name: one
        for name, one in CATALOGUE.items()
        if one.parts is None
        and one.kinds == (KIND,)
        and one.aggregate is not Aggregate.LAST
        and {one.entity, *(where.field for where in one.where)} <= _FED
        and (one.field is None or one.field in _FED)
    }
    ratios = {
        name: one
        for name, one in CATALOGUE.items()
        if one.parts is not None and set(one.parts) <= set(plain)
    }
    return {name: one for name, one in CATALOGUE.items() if name in plain or name in ratios}


def inputs_of(names: tuple[str, ...]) -> ModelInputs:
    """Return what a model on these names reads, with the definitions it is trained on."""
    definitions = (
        definition_hash(CATALOGUE[name]) if name in CATALOGUE else FIELD for name in names
    )
    return ModelInputs(names, tuple(definitions))


def stream(
    all_: Transactions, first_on: date, end_on: date, progress: Progress | None = None
) -> Streamed:
    """Return every input as the streaming engine answers it, for the days from `first_on`.

    Parameters
    ----------
    all_ : everything since the beginning; what is before `first_on` is folded and not kept
    first_on, end_on : days kept; the last one excluded

    Raises
    ------
    HandbookIsTooShort : a day of them is not covered
    """
    from time import process_time

    first, end = _number(first_on), _number(end_on)
    days = all_.day()
    if not len(days) or days[0] > first or days[-1] < end - 1:
        covered = [_date(int(day)) for day in (days[[0, -1]] if len(days) else [0, 0])]
        raise HandbookIsTooShort(
            first=covered[0], last=covered[1], needed=first_on, end=end_on - timedelta(days=1)
        )
    features = fed_features()
    engine = StreamEngine(features.values(), {KIND: KINDS[KIND]})
    names = (*FIELDS, "hour", *features)
    kept = int(np.searchsorted(days, first)), int(np.searchsorted(days, end))
    matrix = np.empty((kept[1] - kept[0], len(names)))
    began = process_time()
    _fold(engine, all_, kept, matrix, progress or (lambda *_: None))
    rows = slice(*kept)
    return Streamed(names, matrix, all_.bad[rows], all_.customer[rows], days[rows], kept[1],
                    process_time() - began)  # fmt: skip


def _fold(
    engine: StreamEngine,
    all_: Transactions,
    kept: tuple[int, int],
    matrix: Floats,
    progress: Progress,
) -> None:
    """Fold events and the labels due, in order; write the answers of the kept ones."""
    start, end = kept
    columns = (all_.at_ms, all_.customer, all_.terminal, all_.amount_minor)
    frauds = np.flatnonzero(all_.bad).tolist()
    told = 0
    sequence = 0
    names = list(fed_features())
    for n, (at_ms, customer, terminal, amount) in enumerate(
        zip(*(column[:end].tolist() for column in columns), strict=True)
    ):
        while told < len(frauds) and (due := int(all_.at_ms[frauds[told]]) + DELAY * DAY) <= at_ms:
            engine.label(Label(KIND, str(frauds[told]), due, sequence, "is_fraud", 1))
            told += 1
            sequence += 1
        given = {"customer": f"c{customer}", "terminal": f"t{terminal}", "amount_minor": amount}
        fields = complete(KIND, at_ms, given, offset_ms=0)
        values = engine.fold(Event(KIND, str(n), at_ms, sequence, fields)).values
        sequence += 1
        if n >= start:
            own = map(fields.__getitem__, (*FIELDS, "hour"))
            matrix[n - start] = np.array([*own, *map(values.__getitem__, names)], dtype=np.float64)
        if n % 20_000 == 0:
            progress("stream", n, end)
    progress("stream", end, end)


def split(rows: Streamed, train_on: date) -> Split:
    """Return the rows of the protocol whose training week begins on a day.

    A day's test leaves out the cards with a fraud in the training week, or up to seven days and
    one before the day itself.
    """
    first = _number(train_on)
    train = np.flatnonzero((rows.day >= first) & (rows.day < first + 7))
    known = set(rows.customer[train][rows.bad[train]].tolist())
    tested = []
    for n in range(7):
        told = (rows.day == first + 7 + n - 1) & rows.bad
        known |= set(rows.customer[told].tolist())
        today = np.flatnonzero(rows.day == first + 7 + DELAY + n)
        tested.append(today[~np.isin(rows.customer[today], list(known))])
    return Split(train, np.concatenate(tested))


def write_sample(folder: Path, seed: int = 1) -> Path:
    """Write made-up transactions of the same form, from late May to the middle of August 2018.

    Three kinds of fraud, as in the Handbook: amounts over 220, terminals compromised for 28 days,
    and cards of which a third of the payments are multiplied by five for 14 days.
    """
    import polars as pl

    rng = np.random.default_rng(seed)
    days, customers, terminals = 84, 220, 160
    first = datetime(2018, 5, 24, tzinfo=UTC)
    count = rng.poisson(1.2, (days, customers))
    day = np.repeat(np.repeat(np.arange(days), customers), count.ravel())
    customer = np.repeat(np.tile(np.arange(customers), days), count.ravel())
    second = np.clip(rng.normal(43_200, 20_000, len(day)), 0, 86_399).astype(np.int64)
    near = (customer * 7 + rng.integers(0, 8, len(day))) % terminals
    mean = rng.uniform(500, 10_000, customers)[customer]
    amount = np.abs(rng.normal(mean, mean / 2)).astype(np.int64) + 100
    fraud = amount > 22_000
    for began in range(0, days, 2):
        terminal = rng.integers(terminals)
        fraud |= (near == terminal) & (day >= began) & (day < began + 28)
        card = (customer == rng.integers(customers)) & (day >= began) & (day < began + 14)
        card &= rng.random(len(day)) < 1 / 3
        amount = np.where(card, amount * 5, amount)
        fraud |= card
    order = np.lexsort((second, day))
    at_ms = int(first.timestamp() * 1000) + (day * 86_400 + second)[order] * 1000
    folder.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame({
        "TX_DATETIME": pl.Series(at_ms).cast(pl.Datetime("ms")),
        "CUSTOMER_ID": customer[order],
        "TERMINAL_ID": near[order],
        "TX_AMOUNT_CENTS": amount[order],
        "TX_FRAUD": fraud[order].astype(np.int8),
    })  # fmt: skip
    frame.write_parquet(folder / "sample.parquet")
    return folder


def _number(on: date) -> int:
    return on.toordinal() - date(1970, 1, 1).toordinal()


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)
