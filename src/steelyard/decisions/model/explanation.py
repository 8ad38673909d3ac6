"""What explains a decision to the person who reviews it: reasons, values, and exact attributions.

In the hot path a model names what raised its score by path attribution. Before a person it is told
exactly: Shapley values of the trees (TreeSHAP), the terms of a logistic regression, the points of
a scorecard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.attribution import Explainer
from steelyard.decisions.model.decision import Decision, Value
from steelyard.decisions.model.gbm import GbmModel, NativeScorer, open_scorer
from steelyard.decisions.model.logistic import LogisticModel
from steelyard.decisions.model.policy import CompiledPolicy
from steelyard.decisions.model.reasons import REASONS
from steelyard.decisions.model.scorecard import Scorecard
from steelyard.kernel import Money, Refusal

EXACT, PATHS, LINEAR, POINTS = "tree_shap", "tree_paths", "linear", "points"


class Reason(msgspec.Struct, frozen=True):
    """A reason code with its customer texts; both empty where the code has none."""

    code: str
    en: str
    zh: str


class Part(msgspec.Struct, frozen=True):
    """What one input adds.

    Attributes
    ----------
    value : as it was read; None is missing
    add : to the ln odds of bad, or, of a scorecard, the points it gives
    """

    input: str
    value: Value
    add: float


class Attribution(msgspec.Struct, frozen=True):
    """How the parts of a model's answer come from its inputs.

    Attributes
    ----------
    node : of the policy
    model : `name@version`
    method : `tree_shap` (exact), `tree_paths` (where LightGBM is not installed), `linear` (exact,
        against the means of training) or `points` of a scorecard
    base : what the parts are added to
    parts : the largest first; all of them
    """

    node: str
    model: str
    method: str
    base: float
    parts: tuple[Part, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What is put before the person who reviews a decision.

    Attributes
    ----------
    decision : its id
    hits : the rows of rules that hit, `node/row`
    values : the features, by name
    models : none where the policy of the decision is not at hand any more
    """

    decision: str
    scene: str
    event: str
    subject: str
    policy: str
    outcome: str
    score: int | None
    amount: str
    reasons: tuple[Reason, ...]
    hits: tuple[str, ...]
    values: dict[str, Value]
    models: tuple[Attribution, ...]


def encode_explanation(explanation: Explanation) -> bytes:
    """Return the bytes that are kept; equal explanations give equal bytes."""
    return msgspec.json.encode(explanation, order="sorted")


def decode_explanation(content: bytes) -> Explanation:
    """Return the explanation of its bytes."""
    return msgspec.json.decode(content, type=Explanation)


def traced(decision: Decision, name: str) -> Any:
    """Return a part of a decision's trace (`hits`, `read`, `details`, ...), None without it."""
    return next((part[1] for part in decision.trace if part[0] == name), None)


def values_read(decision: Decision) -> dict[str, Value]:
    """Return what the nodes of a policy could read: fields, what else they read, features."""
    return {
        **decision.asked.fields,
        **decision.flags,
        **(traced(decision, "read") or {}),
        **decision.values,
    }


@runtime_checkable
class Modelled(Protocol):
    """A prepared node that asks a model."""

    @property
    def model(self) -> GbmModel | LogisticModel:
        """The model."""
        ...


@runtime_checkable
class Carded(Protocol):
    """A prepared node that asks a scorecard."""

    @property
    def card(self) -> Scorecard:
        """The scorecard."""
        ...


def models_of(policy: CompiledPolicy) -> dict[str, GbmModel | LogisticModel]:
    """Return the models that a policy asks itself, by node; not those of its sub-policies."""
    nodes = policy.compiled.nodes
    return {id: node.model for id, node in nodes.items() if isinstance(node, Modelled)}


def chances(model: GbmModel | LogisticModel, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the chance of bad of rows, shape (n, inputs); NaN is missing."""
    if isinstance(model, LogisticModel):
        return model.probabilities(matrix)
    return open_scorer(model).probabilities(matrix)


class Attributor:
    """Attributes the answers of one policy's models and scorecards; makes each ready once."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self._models = models_of(policy)
        self._scorers = {
            node: open_scorer(model)
            for node, model in self._models.items()
            if isinstance(model, GbmModel)
        }
        nodes = policy.compiled.nodes
        self._cards = {id: node.card for id, node in nodes.items() if isinstance(node, Carded)}

    def attribute(self, decision: Decision) -> tuple[Attribution, ...]:
        """Return the attribution of each node that scored; one that failed on a value has none."""
        values = values_read(decision)
        found = []
        for node, model in self._models.items():
            try:
                found.append(self._of_model(node, model, values))
            except Refusal:  # the node failed on the same value when it was asked
                continue
        details = traced(decision, "details") or {}
        for node, card in self._cards.items():
            if node in details:
                adds = details[node]["points"]
                name = f"{card.name}@{card.version}"
                parts = _parts(card.names, values, adds)
                found.append(Attribution(node, name, POINTS, 0.0, parts))
        return tuple(found)

    def _of_model(
        self, node: str, model: GbmModel | LogisticModel, values: Mapping[str, Value]
    ) -> Attribution:
        names = model.inputs.names
        name = f"{model.name}@{model.version}"
        if isinstance(model, LogisticModel):
            adds = model.contributions(values)
            return Attribution(node, name, LINEAR, model.intercept, _parts(names, values, adds))
        scorer = self._scorers[node]
        if isinstance(scorer, NativeScorer):
            *exact, base = scorer.shap_of(values).tolist()
            return Attribution(node, name, EXACT, base, _parts(names, values, exact))
        paths = Explainer(model, scorer=scorer).contributions(values)
        raw = float(model.trees.leaf_value[scorer.leaves(values)].sum())
        adds = tuple(paths[one] for one in names)
        return Attribution(node, name, PATHS, raw - sum(adds), _parts(names, values, adds))


def _parts(
    names: Sequence[str], values: Mapping[str, Value], adds: Sequence[float]
) -> tuple[Part, ...]:
    parts = [Part(n, values.get(n), float(add)) for n, add in zip(names, adds, strict=True)]
    return tuple(sorted(parts, key=lambda one: (-abs(one.add), one.input)))


def explain(decision: Decision, attributor: Attributor | None) -> Explanation:
    """Return what explains a decision.

    Parameters
    ----------
    attributor : of the policy that made it; None where that is not at hand
    """
    return Explanation(
        decision=str(decision.id),
        scene=decision.asked.scene,
        event=decision.asked.id,
        subject=decision.subject,
        policy=decision.cause,
        outcome=decision.outcome,
        score=decision.score,
        amount=_amount(decision),
        reasons=tuple(_reason(code) for code in decision.reasons),
        hits=tuple(traced(decision, "hits") or ()),
        values=decision.values,
        models=() if attributor is None else attributor.attribute(decision),
    )


def _reason(code: str) -> Reason:
    text = REASONS.get(code)
    return Reason(code, "", "") if text is None else Reason(code, text.en, text.zh)


def _money(decision: Decision) -> Money | None:
    amount, currency = (decision.asked.fields.get(one) for one in ("amount_minor", "currency"))
    if type(amount) is not int or not isinstance(currency, str):
        return None
    try:
        return Money(amount, currency)
    except Refusal:  # no currency that is counted in units
        return None


def _amount(decision: Decision) -> str:
    money = _money(decision)
    return "" if money is None else money.format("en")


MOST_PARTS = 6


def sentence_of(explanation: Explanation, language: str) -> str:
    """Return outcome, score, amount and reasons, in Chinese for `zh*`, else in English."""
    is_zh = language.lower().startswith("zh")
    told = [(one.code, one.zh if is_zh else one.en) for one in explanation.reasons]
    reasons = "; ".join(f"{code}: {text}" if text else code for code, text in told)
    score = "–" if explanation.score is None else str(explanation.score)
    head = (explanation.outcome, score, explanation.amount or "–", explanation.policy)
    lines = [
        "结论 {}，评分 {}，金额 {}，策略 {}。".format(*head)
        if is_zh
        else "Outcome {}, score {}, amount {}, by {}.".format(*head)
    ]
    lines += [("原因：" if is_zh else "Reasons: ") + reasons] if reasons else []
    return "\n".join(lines)


def note_of(explanation: Explanation) -> str:
    """Return the explanation in some lines: in both languages, then the rules and the models."""
    lines = [sentence_of(explanation, language) for language in ("en", "zh-CN")]
    hits = ", ".join(explanation.hits)
    lines += [f"Hits 命中: {hits}"] if hits else []
    for model in explanation.models:
        parts = ", ".join(
            f"{one.input} {_value(one.value)} ({one.add:+.2f})" for one in model.parts[:MOST_PARTS]
        )
        lines.append(f"{model.model}, {model.method}: {parts}")
    return "\n".join(lines)


def _value(value: Value) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# --- how urgent ----------------------------------------------------------------------------------


class Urgency(IntEnum):
    """How soon a person should look, as the queue counts it."""

    LOW = 1
    NORMAL = 2
    HIGH = 3
    URGENT = 4


_AT_STAKE = ((10_000, Urgency.URGENT), (1_000, Urgency.HIGH), (50, Urgency.NORMAL))
"""Whole units of the currency times the chance that a score of 1000 stands for, from above."""
_HIGH_SCORE = 700


def urgency_of(decision: Decision) -> Urgency:
    """Return how urgent a review is: by what is at stake, amount times score.

    Returns
    -------
    Urgency
        A held movement waits, and is one step more urgent than one that was turned down to be
        looked at. Without an amount the score alone counts; without a score, the amount as if it
        were 500. Whole units of any currency count the same.
    """
    score = 500 if decision.score is None else decision.score
    money = _money(decision)
    if money is None:
        found = Urgency.HIGH if score >= _HIGH_SCORE else Urgency.NORMAL
    else:
        stake = money.amount_minor * score // (1_000 * money.currency.minor_per_major)
        found = next((level for least, level in _AT_STAKE if stake >= least), Urgency.LOW)
    waits = decision.outcome == "hold"
    return Urgency(min(found + waits, Urgency.URGENT))
