"""Card payments of the Fraud Detection Handbook as a past: features in columns, point in time.

The payments are fed as EUR, as which the delivered policy was asked; a fraud is told seven days
after it happened. Cards, devices, networks and merchants are not in the data: what a policy reads
of them is missing, as it would be in life.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from steelyard.decisions.backtest.past import (
    DAY_MS,
    LOSSES,
    Integers,
    LossRule,
    Past,
    Progress,
    column_of,
)
from steelyard.decisions.training.handbook import DELAY, KIND, Transactions, read_transactions
from steelyard.features import CATALOGUE, KINDS, compute
from steelyard.features.catalogue import Feature, FieldType

if TYPE_CHECKING:
    import polars as pl

WARM_DAYS = 37
"""The longest windows of the payments' features: 30 days that end 7 days ago."""
CURRENCY = "EUR"


def read_handbook(
    folder: Path, features: Iterable[str], progress: Progress, loss: LossRule | None = None
) -> Past:
    """Return the payments of every `*.parquet` of a folder, with some features as of each.

    Parameters
    ----------
    features : by name, those that the policies read
    loss : what a fraud costs; the amount, if not said

    Refusals
    --------
    handbook_is_missing
    """
    import polars as pl

    all_ = read_transactions(folder)
    rule = loss or LOSSES[KIND]
    wanted = with_parts(features)
    progress("features", 0, len(wanted))
    events = _events(all_)
    made = compute(events, _labels(all_), wanted)
    progress("features", len(wanted), len(wanted))
    frame = pl.concat([events, made], how="horizontal")
    names = [*(name for name in KINDS[KIND].fields if name in events.columns), *made.columns]
    delay_ms = DELAY * DAY_MS
    return Past(
        scene=KIND,
        source=f"the Handbook's payments in {folder.name}",
        at_ms=all_.at_ms,
        told_ms=all_.at_ms + delay_ms,
        is_bad=all_.bad,
        amount_minor=all_.amount_minor,
        loss_minor=rule.of(all_.amount_minor, all_.bad),
        subject=all_.customer,
        columns={name: column_of(frame[name]) for name in names},
        loss=rule,
        warm_ms=int(all_.at_ms[0]) + WARM_DAYS * DAY_MS,
        notes=(
            "The payments are published simulation, asked as EUR; they name customer, terminal,"
            " amount and instant, and nothing else.",
            f"A fraud is known {DELAY} days after it happened.",
        ),
    )


def with_parts(names: Iterable[str]) -> list[Feature]:
    """Return features by name, with the parts of ratios, in the catalogue's order."""
    wanted = set(names)
    for name in tuple(wanted):
        wanted |= set(CATALOGUE[name].parts or ())
    return [feature for name, feature in CATALOGUE.items() if name in wanted]


def _events(all_: Transactions) -> pl.DataFrame:
    import polars as pl

    rows = len(all_.at_ms)
    hour = pl.col("at_ms") % DAY_MS // 3_600_000
    frame = pl.DataFrame({
        "kind": pl.repeat(KIND, rows, eager=True),
        "id": pl.Series(np.arange(rows)).cast(pl.String),
        "at_ms": all_.at_ms,
        "sequence": np.arange(rows) + np.searchsorted(_due(all_), all_.at_ms, side="right"),
        "customer": "c" + pl.Series(all_.customer).cast(pl.String),
        "terminal": "t" + pl.Series(all_.terminal).cast(pl.String),
        "amount_minor": all_.amount_minor,
        "currency": pl.repeat(CURRENCY, rows, eager=True),
    }).with_columns(
        hour=hour, is_night=hour < 7, is_weekend=(pl.col("at_ms") // DAY_MS + 3) % 7 >= 5
    )  # fmt: skip
    types = {FieldType.TEXT: pl.String, FieldType.INTEGER: pl.Int64, FieldType.FLAG: pl.Boolean}
    # Every field that a feature may look at has its column, also those of other kinds of events.
    absent = {
        name: types[type_]
        for kind in KINDS.values()
        for name, type_ in kind.fields.items()
        if name not in frame.columns and name not in kind.labels
    }
    blank = [pl.lit(None, dtype=type_).alias(name) for name, type_ in absent.items()]
    habit = pl.concat_str("customer", pl.col("hour").cast(pl.String), separator="|")
    return frame.with_columns(blank).with_columns(customer_hour=habit)


def _labels(all_: Transactions) -> pl.DataFrame:
    import polars as pl

    due = _due(all_)
    return pl.DataFrame({
        "kind": pl.repeat(KIND, len(due), eager=True),
        "id": pl.Series(np.flatnonzero(all_.bad)).cast(pl.String),
        "at_ms": due,
        # A label comes before the payments of its own instant.
        "sequence": np.arange(len(due)) + np.searchsorted(all_.at_ms, due, side="left"),
        "field": pl.repeat("is_fraud", len(due), eager=True),
        "value": np.ones(len(due), np.int64),
    })  # fmt: skip


def _due(all_: Transactions) -> Integers:
    return all_.at_ms[all_.bad] + DELAY * DAY_MS
