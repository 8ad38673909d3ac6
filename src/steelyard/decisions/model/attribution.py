"""Which inputs raised a model's score: path attributions in the hot path, TreeSHAP in a case.

A tree's node stands for the mean of its leaves, weighted by their rows in training. Walking down,
each step from a node to its child is credited to the input that the node splits on (Saabas, 2014).
What a walk credits is settled by the leaf it ends in, so that it is tabled once for each leaf, and
the attributions of a row are the sum of one table row for each tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.gbm import GbmModel, GbmScorer, RowReader, open_scorer
from steelyard.decisions.model.logistic import sigmoid
from steelyard.decisions.model.partition import Scalar
from steelyard.decisions.model.trees import Trees


class Reason(NamedTuple):
    """An input that raised the risk, and by how much ln odds."""

    feature: str
    contribution: float


class Explained(NamedTuple):
    """A probability with its foremost reasons, the greatest first; only what raised it is one."""

    probability: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PathTable:
    """Path attributions of every leaf.

    Attributes
    ----------
    base : the mean raw score in training
    credits : shape (leaves, inputs): what ending in the leaf credits to each input; `base` and the
        credits of a row's leaves sum to its raw score, up to rounding
    """

    base: float
    credits: NDArray[np.float64]


def path_table(model: GbmModel) -> PathTable:
    """Return the path attributions of every leaf of a model."""
    trees = model.trees
    means, _ = _node_means(trees)
    credit = np.zeros((len(trees.leaf_value), len(model.inputs.names)))
    base = 0.0
    for root in trees.roots.tolist():
        base += means[root] if root >= 0 else float(trees.leaf_value[~root])
        open_: list[tuple[int, dict[int, float]]] = [(root, {})]
        while open_:
            at, so_far = open_.pop()
            if at < 0:
                for feature, amount in so_far.items():
                    credit[~at, feature] = amount
                continue
            feature = int(trees.feature[at])
            for child in (int(trees.left[at]), int(trees.right[at])):
                mean = means[child] if child >= 0 else float(trees.leaf_value[~child])
                step = {**so_far, feature: so_far.get(feature, 0.0) + mean - means[at]}
                open_.append((child, step))
    return PathTable(base, credit)


def _node_means(trees: Trees) -> tuple[list[float], list[int]]:
    """Return the weighted mean below each inner node, and its rows."""
    means, rows = [0.0] * len(trees.left), [0] * len(trees.left)

    def below(child: int) -> tuple[float, int]:
        if child < 0:
            return float(trees.leaf_value[~child]), int(trees.leaf_rows[~child])
        return means[child], rows[child]

    # LightGBM numbers a child above its parent
    for node in reversed(range(len(trees.left))):
        (left, n_left), (right, n_right) = (
            below(int(trees.left[node])),
            below(int(trees.right[node])),
        )
        rows[node] = n_left + n_right
        means[node] = (left * n_left + right * n_right) / max(1, rows[node])
    return means, rows


class Explainer:
    """Scores a row and names its foremost reasons, from the leaves that it falls in.

    The probability is that of `GbmScorer.probability`, to the bit.
    """

    def __init__(self, model: GbmModel, most: int = 3, scorer: GbmScorer | None = None) -> None:
        self._names = model.inputs.names
        self._leaves = (scorer or open_scorer(model)).leaves
        self._values = model.trees.leaf_value
        self._credits = path_table(model).credits
        self._slope = model.slope
        self._most = most

    def explain(self, row: Mapping[str, Scalar]) -> Explained:
        """Return the probability and the reasons.

        Raises
        ------
        ModelNeverSawItMissing, InputIsNotANumber
        """
        leaves = self._leaves(row)
        # add.accumulate goes from left to right, as LightGBM does; sum would go in pairs
        raw = float(np.add.accumulate(self._values.take(leaves))[-1])
        credit = np.add.reduce(self._credits.take(leaves, axis=0), axis=0)
        return Explained(sigmoid(self._slope * raw), _foremost(credit, self._names, self._most))

    def contributions(self, row: Mapping[str, Scalar]) -> dict[str, float]:
        """Return the path attribution of every input."""
        credit = np.add.reduce(self._credits.take(self._leaves(row), axis=0), axis=0)
        return dict(zip(self._names, credit.tolist(), strict=True))


def _foremost(credit: NDArray[np.float64], names: tuple[str, ...], most: int) -> tuple[Reason, ...]:
    order = (-credit).argsort(kind="stable")[:most].tolist()
    amounts = credit.tolist()
    return tuple([Reason(names[n], amounts[n]) for n in order if amounts[n] > 0])


class CompiledExplainer:
    """The same as `Explainer`, walked by a function that numba compiles; needs numba.

    Sums go in the same order, so that probability and reasons are equal to the bit.
    """

    def __init__(self, model: GbmModel, most: int = 3) -> None:
        trees = model.trees
        self._reader = RowReader(model)
        self._names = model.inputs.names
        self._slope = model.slope
        self._most = most
        self._credit = np.zeros(len(self._names))
        self._foremost = np.zeros(most, dtype=np.int64)
        self._arrays = (
            trees.feature, trees.threshold, trees.left, trees.right, trees.default_left,
            trees.knows_missing, trees.roots, trees.leaf_value, path_table(model).credits,
        )  # fmt: skip
        self._walk = _compiled()
        self._walk(self._reader.buffer, self._credit, self._foremost, self._arrays)

    def explain(self, row: Mapping[str, Scalar]) -> Explained:
        """Return the probability and the reasons."""
        self._reader.read(row)
        raw = self._walk(self._reader.buffer, self._credit, self._foremost, self._arrays)
        amounts = self._credit
        reasons = tuple([
            Reason(self._names[n], float(amounts[n]))
            for n in self._foremost.tolist() if n >= 0
        ])  # fmt: skip
        return Explained(sigmoid(self._slope * raw), reasons)


def _compiled() -> Callable[..., float]:
    from numba import njit

    compiled: Any = njit(_walk_and_credit, cache=False)
    return compiled  # type: ignore[no-any-return]


def _walk_and_credit(row: Any, credit: Any, foremost: Any, arrays: Any) -> float:
    """Walk all trees; fill `credit` and the numbers of the `foremost` inputs, -1 for none."""
    feature, threshold, left, right, default_left, knows_missing, roots, values, credits = arrays
    credit[:] = 0.0
    raw = 0.0
    for at in roots:
        while at >= 0:
            value = row[feature[at]]
            goes_left = value <= threshold[at]
            if value != value:
                goes_left = default_left[at] if knows_missing[at] else threshold[at] >= 0.0
            at = left[at] if goes_left else right[at]
        raw += values[~at]
        for n in range(len(credit)):
            credit[n] += credits[~at, n]
    for place in range(len(foremost)):
        best = -1
        for n in range(len(credit)):
            taken = False
            for earlier in range(place):
                taken = taken or foremost[earlier] == n
            if credit[n] > 0.0 and not taken and (best < 0 or credit[n] > credit[best]):
                best = n
        foremost[place] = best
    return raw
