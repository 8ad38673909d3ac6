"""Scorecards inside a policy: points, and reasons for the points not reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.decisions.model.column_values import Column
from steelyard.decisions.model.compile import Answer
from steelyard.decisions.model.document import CustomNode
from steelyard.decisions.model.expression import NotEvaluable
from steelyard.decisions.model.partition import ValueDoesNotFit
from steelyard.decisions.model.scorecard import Scorecard, ScorecardIsMalformed
from steelyard.decisions.nodes.over_columns import floats
from steelyard.decisions.nodes.settings import Models, Settings, no_models

MOST_REASONS = 4


@dataclass(frozen=True, slots=True)
class PreparedScorecard:
    """A scorecard, ready to score.

    Attributes
    ----------
    told_below : points below which it gives reasons; None gives them always
    """

    card: Scorecard
    told_below: int | None
    most: int
    reads: tuple[str, ...]
    codes: tuple[str, ...]
    writes: Mapping[str, str]
    versions: Mapping[str, str]
    asks: Mapping[str, str]

    def answer(self, values: Mapping[str, Any]) -> Answer:
        """Return `points`, `chance_of_bad` and `card_reasons`.

        Raises
        ------
        NotEvaluable : a value is not of the type its characteristic is cut from
        """
        try:
            scored = self.card.score({name: values.get(name) for name in self.reads})
        except ValueDoesNotFit as refused:
            raise NotEvaluable(refused.sentence("en")) from refused
        short = self.told_below is None or scored.score < self.told_below
        reasons = self.card.reasons(scored, self.most) if short else ()
        made = {
            "points": scored.score,
            "chance_of_bad": self.card.probability_bad(scored.score),
            "card_reasons": [one.code for one in reasons],
        }
        bins = zip(self.reads, scored.bins, strict=True)
        detail = {"points": list(scored.points), "missing": list(scored.missing)}
        return Answer(made, tuple(f"{name}:{bin}" for name, bin in bins), detail)

    def answer_columns(self, columns: Mapping[str, Column], rows: int) -> dict[str, Column]:
        """Return `points` and `chance_of_bad` of many events; reasons are left to single ones."""
        given: dict[str, Any] = {}
        for one in self.card.characteristics:
            name = one.partition.name
            if one.partition.edges is not None:
                given[name] = floats(columns, name, rows)
            else:
                column = columns.get(name)
                given[name] = [None] * rows if column is None else column.to_list()
        points = self.card.score_columns(given)
        distinct, places = np.unique(points, return_inverse=True)
        chances = np.array([self.card.probability_bad(one) for one in distinct.tolist()])
        return {"points": Column.of(points), "chance_of_bad": Column.of(chances[places])}


class ScorecardKind:
    """Kind `scorecard`: `{"scorecard", "told_below"?, "most_reasons"?}`.

    The scorecard is in JSON, or `name@version` of a registered one.

    Parameters
    ----------
    models : gives the JSON of a registered scorecard
    """

    def __init__(self, models: Models = no_models) -> None:
        self._models = models

    def prepare(self, node: CustomNode) -> PreparedScorecard:
        """Return the scorecard of a node."""
        settings = Settings.of(node, "scorecard", "told_below", "most_reasons")
        try:
            card = Scorecard.from_json(settings.form("scorecard", self._models))
        except ScorecardIsMalformed as refused:
            raise settings.refused(refused.sentence("en")) from refused
        return PreparedScorecard(
            card=card,
            told_below=settings.whole("told_below") if settings.has("told_below") else None,
            most=settings.whole("most_reasons", MOST_REASONS),
            reads=card.names,
            codes=tuple(one.code for one in card.characteristics),
            writes={"points": "number", "chance_of_bad": "number", "card_reasons": "any"},
            versions={f"scorecard.{card.name}@{card.version}": card.content_hash},
            asks={},
        )
