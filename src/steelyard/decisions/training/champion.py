"""The model in use, asked about the rows that a new one is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.contest import Contest, contest
from steelyard.decisions.model.gbm import GbmModel, open_scorer
from steelyard.decisions.model.registered import Model
from steelyard.decisions.model.scorecard import Scorecard

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Champion:
    """An approved model of the registry.

    Attributes
    ----------
    reference : its `name@version`
    model : ready to run
    data_digest : SHA-256 of the data it was trained on
    """

    reference: str
    model: Model
    data_digest: str

    def probability(self, columns: Mapping[str, NDArray[Any]]) -> Floats | None:
        """Return the chance of bad of rows given as columns; None where an input is not there.

        Parameters
        ----------
        columns : by name; numbers with NaN for missing, texts with None for missing
        """
        model = self.model
        if isinstance(model, Scorecard):
            if not set(model.names) <= set(columns):
                return None
            scaling, points = model.scaling, model.score_columns(columns)
            return np.asarray(1 / (1 + np.exp((points - scaling.offset) / scaling.factor)))
        inputs = [_input(columns, name) for name in model.inputs.names]
        found = [one for one in inputs if one is not None]
        if len(found) < len(inputs):
            return None
        scorer = open_scorer(model) if isinstance(model, GbmModel) else model
        return scorer.probabilities(np.column_stack(found))

    def against(
        self,
        columns: Mapping[str, NDArray[Any]],
        bad: NDArray[np.bool_],
        score: Floats,
        data_digest: str,
    ) -> Contest | None:
        """Return how a new model's scores stand beside this one's on the same rows.

        Parameters
        ----------
        columns, bad, score : of the rows; the scores by models that had not seen them
        data_digest : of the data they are from
        """
        own = self.probability(columns)
        if own is None:
            return None
        champion = (self.reference, self.model.content_hash)
        return contest(bad, score, own, champion=champion, saw=self.data_digest == data_digest)


def _input(columns: Mapping[str, NDArray[Any]], name: str) -> Floats | None:
    """Return an input of a flat model: a column of numbers, or 1 where a category has a level."""
    if name in columns:
        column = columns[name]
        return None if column.dtype == object else column.astype(np.float64)
    base, equals, level = name.partition("=")
    if not equals or base not in columns or columns[base].dtype != object:
        return None
    return np.asarray((columns[base] == level).astype(np.float64))
