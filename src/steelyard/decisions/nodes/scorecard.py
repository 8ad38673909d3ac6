"""Scorecards inside a policy: points, and reasons for the points not reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steelyard.decisions.model.compile import Answer
from steelyard.decisions.model.document import CustomNode, canonical
from steelyard.decisions.model.expression import NotEvaluable
from steelyard.decisions.model.partition import ValueDoesNotFit
from steelyard.decisions.model.scorecard import Scorecard, ScorecardIsMalformed
from steelyard.decisions.nodes.settings import Settings

MOST_REASONS = 4


@dataclass(frozen=True, slots=True)
class PreparedScorecard:
    """A scorecard, ready to score."""

    card: Scorecard
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
        made = {
            "points": scored.score,
            "chance_of_bad": self.card.probability_bad(scored.score),
            "card_reasons": [one.code for one in self.card.reasons(scored, self.most)],
        }
        bins = zip(self.reads, scored.bins, strict=True)
        detail = {"points": list(scored.points), "missing": list(scored.missing)}
        return Answer(made, tuple(f"{name}:{bin}" for name, bin in bins), detail)


class ScorecardKind:
    """Kind `scorecard`: `{"scorecard": {...}, "most_reasons"?}`, a card in its JSON form."""

    def prepare(self, node: CustomNode) -> PreparedScorecard:
        """Return the scorecard of a node."""
        settings = Settings.of(node, "scorecard", "most_reasons")
        try:
            card = Scorecard.from_json(canonical(settings.get("scorecard", dict)))
        except ScorecardIsMalformed as refused:
            raise settings.refused(refused.sentence("en")) from refused
        return PreparedScorecard(
            card=card,
            most=settings.whole("most_reasons", MOST_REASONS),
            reads=card.names,
            codes=tuple(one.code for one in card.characteristics),
            writes={"points": "number", "chance_of_bad": "number", "card_reasons": "any"},
            versions={f"scorecard.{card.name}@{card.version}": card.content_hash},
            asks={},
        )
