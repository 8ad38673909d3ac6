"""The past in columns: labelled events of one scene, with what was known as of each.

Every source of history (files, the log of decisions, made-up samples) ends here. What is lost if a
bad event is let through follows from the scene's `LossRule`, which a report states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.column_values import Column, Kind, Words
from steelyard.decisions.model.decision import Value
from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    import polars as pl

Progress = Callable[[str, int, int], None]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

WHOLE_BP = 10_000
DAY_MS = 86_400_000


class PastIsEmpty(Refusal):
    """There is nothing to test on."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no history of {scene} to test on: {why}."
    zh = "没有可用于回测 {scene} 的历史数据：{why}。"


class PastHasNoLabels(Refusal):
    """Nothing is known of what became of the events."""

    kind = RefusalKind.CONFLICT
    en = "Of {events} events of {scene} none is known to have turned out {missing}."
    zh = "{scene} 的 {events} 个事件中，没有已知的{missing}样本。"


class WindowIsInvalid(Refusal):
    """The days asked for are not there, or not in order."""

    kind = RefusalKind.INVALID
    en = "The history runs from {first} to {last}; {asked} cannot be tested."
    zh = "历史数据自 {first} 至 {last}；无法回测 {asked}。"


@dataclass(frozen=True, slots=True)
class LossRule:
    """What is lost if a bad event is approved.

    Attributes
    ----------
    field : amount of the event; None where it has none
    share_bp : of that amount
    each_minor : and beside it, for each event
    """

    field: str | None
    share_bp: int = WHOLE_BP
    each_minor: int = 0

    def of(self, amount_minor: Integers, is_bad: Flags) -> Integers:
        """Return the loss of each event, rounded half up; 0 for the good."""
        share = (amount_minor * np.int64(self.share_bp) + WHOLE_BP // 2) // WHOLE_BP
        return np.where(is_bad, share + np.int64(self.each_minor), 0).astype(np.int64)


LOSSES: Mapping[str, LossRule] = {
    "payment": LossRule("amount_minor"),
    "withdrawal": LossRule("amount_minor"),
    # What is recovered of a loan that defaults is taken as two fifths.
    "loan_application": LossRule("amount_minor", 6_000),
    # Half a month of turnover passes before a fraudulent merchant is stopped.
    "merchant_application": LossRule("monthly_minor", 5_000),
    # A log-in moves nothing itself; what a taken account loses on average.
    "log_in": LossRule(None, 0, 300_000),
}
"""By scene; what `--loss-share` and `--loss-each` change."""


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Labelled events of a scene in order of time, one place in each column for each.

    Attributes
    ----------
    scene, source : whose events, and where they come from, for people
    at_ms : int64 (n,), rising; told_ms : since when the label is known
    is_bad : bool (n,)
    amount_minor, loss_minor : int64 (n,); loss is 0 for the good
    subject : int64 (n,), a number for each customer or merchant
    columns : fields, features and flags by name; a name that is not there is missing everywhere
    loss : the rule that made the losses
    warm_ms : from when on the windows of the features are full
    notes : what has to be known to read the figures, sentences
    """

    scene: str
    source: str
    at_ms: Integers
    told_ms: Integers
    is_bad: Flags
    amount_minor: Integers
    loss_minor: Integers
    subject: Integers
    columns: Mapping[str, Column]
    loss: LossRule
    warm_ms: int = 0
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many events."""
        return len(self.at_ms)

    def take(self, rows: Integers) -> Past:
        """Return some of the events, in their order."""
        return replace(
            self,
            at_ms=self.at_ms[rows],
            told_ms=self.told_ms[rows],
            is_bad=self.is_bad[rows],
            amount_minor=self.amount_minor[rows],
            loss_minor=self.loss_minor[rows],
            subject=self.subject[rows],
            columns={name: _taken(column, rows) for name, column in self.columns.items()},
        )

    def values(self, row: int) -> dict[str, Value]:
        """Return what a policy reads of one event, as it does when it decides."""
        return {name: column.at(row) for name, column in self.columns.items()}


def _taken(column: Column, rows: Integers) -> Column:
    missing = None if column.missing is None else column.missing[rows]
    return Column(column.kind, column.values[rows], missing, column.words)


def column_of(series: pl.Series) -> Column:
    """Return the column of a series of numbers, texts or flags; null is missing."""
    import polars as pl

    absent = series.is_null().to_numpy()
    if absent.all():
        return Column(Kind.NOTHING, np.zeros(len(series), np.int64), absent)
    missing = absent if absent.any() else None
    if series.dtype == pl.String:
        words = series.drop_nulls().unique(maintain_order=True)
        codes = series.cast(pl.Enum(words)).to_physical().fill_null(0)
        return Column(Kind.TEXT, codes.to_numpy().astype(np.int64), missing, Words(words.to_list()))
    if series.dtype == pl.Boolean:
        return Column(Kind.FLAG, series.fill_null(False).to_numpy(), missing)
    if series.dtype.is_float():
        return Column(Kind.NUMBER, series.fill_null(0.0).to_numpy(), missing)
    return Column(Kind.NUMBER, series.cast(pl.Int64).fill_null(0).to_numpy(), missing)


def columns_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Column]:
    """Return the columns of some names of rows; what a row lacks is missing."""
    return {name: Column.of([row.get(name) for row in rows]) for name in names}


def numbered(texts: Sequence[str | None]) -> Integers:
    """Return a number for each different text."""
    numbers: dict[str | None, int] = {}
    return np.fromiter((numbers.setdefault(one, len(numbers)) for one in texts), np.int64)
