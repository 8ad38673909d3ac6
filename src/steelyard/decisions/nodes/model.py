"""Models inside a policy: a chance of bad, and the inputs that raised it as reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.decisions.model.column_values import Column
from steelyard.decisions.model.compile import Answer
from steelyard.decisions.model.document import CustomNode
from steelyard.decisions.model.expression import NotEvaluable
from steelyard.decisions.model.flat import load_model
from steelyard.decisions.model.gbm import GbmModel
from steelyard.decisions.model.inputs import (
    InputIsNotANumber,
    ModelIsMalformed,
    ModelNeverSawItMissing,
    known_definitions,
)
from steelyard.decisions.model.logistic import LogisticModel, sigmoid
from steelyard.decisions.model.policy import LARGEST_SCORE
from steelyard.decisions.nodes.over_columns import floats
from steelyard.decisions.nodes.settings import Models, Settings, no_models
from steelyard.features import CATALOGUE

MOST_REASONS = 3
_OPTIONAL = ("points", "told_from", "least", "most_reasons")
Explain = Callable[[Mapping[str, Any]], tuple[float, list[tuple[str, float]]]]


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A model, ready to score.

    Attributes
    ----------
    told : the reason code of an input that raised the risk; an input without one is not told
    points : that a chance of 1 is worth
    told_from : points from which it gives reasons
    least : of what an input adds to the ln odds, below which it is no reason
    """

    name: str
    model: GbmModel | LogisticModel
    explain: Explain
    told: Mapping[str, str]
    points: int
    told_from: int
    least: float
    most: int
    reads: tuple[str, ...]
    codes: tuple[str, ...]
    writes: Mapping[str, str]
    versions: Mapping[str, str]
    asks: Mapping[str, str]

    def answer(self, values: Mapping[str, Any]) -> Answer:
        """Return `chance` (0 to 1), `model_points` in proportion to it, and `model_reasons`.

        Raises
        ------
        NotEvaluable : a value is no number, or one is missing that never was in training
        """
        try:
            chance, raised = self.explain(values)
        except (InputIsNotANumber, ModelNeverSawItMissing) as refused:
            raise NotEvaluable(refused.sentence("en")) from refused
        points = round(self.points * chance)
        codes: list[str] = []
        if points >= self.told_from:
            told, least = self.told, self.least
            codes = [told[name] for name, add in raised if add >= least and name in told]
        made = {
            "chance": chance,
            "model_points": points,
            "model_reasons": [*dict.fromkeys(codes)][: self.most],
        }
        return Answer(made, (), [[name, add] for name, add in raised[: self.most]])


@dataclass(frozen=True, slots=True)
class PreparedLogistic(PreparedModel):
    """A logistic regression, ready to score one event or many."""

    model: LogisticModel

    def answer_columns(self, columns: Mapping[str, Column], rows: int) -> dict[str, Column]:
        """Return `chance` and `model_points` of many events; reasons are left to single ones."""
        matrix = np.column_stack([floats(columns, name, rows) for name in self.reads])
        chance = self.model.probabilities(matrix)
        # Half to even, as round does.
        points = np.rint(self.points * chance).astype(np.int64)
        return {"chance": Column.of(chance), "model_points": Column.of(points)}


class ModelKind:
    """Kind `model`: `{"model", "reasons": {input: code}}`.

    Further settings are `points`, `told_from`, `least` and `most_reasons` of `PreparedModel`. The
    model is in its flat JSON form, with what its inputs meant in training, or `name@version` of a
    registered one.

    Parameters
    ----------
    models : gives the flat form of a registered model
    """

    def __init__(self, models: Models = no_models) -> None:
        self._models = models

    def prepare(self, node: CustomNode) -> PreparedModel:
        """Return the model of a node.

        Refusals
        --------
        document_is_malformed, model_schema_differs, feature_definition_differs
        """
        settings = Settings.of(node, "model", "reasons", *_OPTIONAL)
        try:
            model = load_model(settings.form("model", self._models), known_definitions(CATALOGUE))
        except ModelIsMalformed as refused:
            raise settings.refused(refused.sentence("en")) from refused
        told = settings.get("reasons", dict)
        for name, code in told.items():
            if name not in model.inputs.names or not isinstance(code, str):
                raise settings.refused(f"{name} is no input with a reason")
        least = settings.get("least", float) if settings.has("least") else 0.0
        made: dict[str, Any] = {
            "name": model.name,
            "model": model,
            "explain": _explainer(model),
            "told": told,
            "points": settings.whole("points", LARGEST_SCORE),
            "told_from": settings.whole("told_from", 0),
            "least": least,
            "most": settings.whole("most_reasons", MOST_REASONS),
            "reads": model.inputs.names,
            "codes": tuple(dict.fromkeys(told.values())),
            "writes": {"chance": "number", "model_points": "number", "model_reasons": "any"},
            "versions": {f"model.{model.name}@{model.version}": model.content_hash},
            "asks": {},
        }
        if isinstance(model, LogisticModel):
            return PreparedLogistic(**made)
        return PreparedModel(**made)


def _explainer(model: GbmModel | LogisticModel) -> Explain:
    """Return what gives the chance of bad and what raised it, the greatest first."""
    if isinstance(model, LogisticModel):
        return _linear(model)
    from steelyard.decisions.model.attribution import Explainer

    explain = Explainer(model, len(model.inputs.names)).explain

    def walked(values: Mapping[str, Any]) -> tuple[float, list[tuple[str, float]]]:
        explained = explain(values)
        return explained.probability, [(one.feature, one.contribution) for one in explained.reasons]

    return walked


def _linear(model: LogisticModel) -> Explain:
    """Return what `model.probability` and `model.contributions` say, in one pass, to the bit."""
    terms = tuple(
        zip(model.inputs.names, model.coefficients, model.means, model.scales, strict=True)
    )
    intercept = model.intercept

    def explain(values: Mapping[str, Any]) -> tuple[float, list[tuple[str, float]]]:
        total = intercept
        raised = []
        for name, coefficient, mean, scale in terms:
            value = values.get(name)
            if value is None:
                continue
            if isinstance(value, str) or value != value:
                raise InputIsNotANumber(feature=name, value=value)
            part = coefficient * ((value - mean) / scale)
            total += part
            if part > 0:
                raised.append((part, name))
        raised.sort(reverse=True)
        return sigmoid(total), [(name, part) for part, name in raised]

    return explain
