"""Boosted trees as flat arrays, read from LightGBM's text form, and walked without LightGBM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.inputs import ModelIsMalformed

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_ZERO, _MISSING_NAN = 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """All trees of a binary model in one set of arrays.

    A node's child is the number of a node of the whole, or, below zero, `~leaf` of the whole.

    Attributes
    ----------
    feature, threshold, left, right : of each inner node; at most the threshold goes left
    default_left : where a missing value goes
    knows_missing : whether it does; otherwise LightGBM reads NaN as 0
    roots : of each tree, a node or `~leaf`
    leaf_value, leaf_rows : of each leaf: what it adds, and the rows of training that fell in it
    first_leaf : of each tree, where its leaves begin
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    default_left: NDArray[np.bool_]
    knows_missing: NDArray[np.bool_]
    roots: NDArray[np.int64]
    leaf_value: NDArray[np.float64]
    leaf_rows: NDArray[np.int64]
    first_leaf: NDArray[np.int64]

    def leaves_of(self, matrix: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the leaves of rows, shape (rows, trees), all walked a level at a time."""
        at = np.repeat(self.roots[None, :], len(matrix), axis=0)
        while (inner := at >= 0).any():
            rows, trees = np.nonzero(inner)
            node = at[rows, trees]
            value = matrix[rows, self.feature[node]]
            missing = np.isnan(value)
            goes_left = np.where(missing, 0.0, value) <= self.threshold[node]
            by_default = missing & self.knows_missing[node]
            goes_left = np.where(by_default, self.default_left[node], goes_left)
            at[rows, trees] = np.where(goes_left, self.left[node], self.right[node])
        return np.asarray(~at)

    def raw_of(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the raw scores of rows, trees added in their order."""
        total = np.zeros(len(matrix))
        leaves = self.leaves_of(matrix)
        for tree in range(leaves.shape[1]):
            total += self.leaf_value[leaves[:, tree]]
        return total

    def blind_to_missing(self) -> frozenset[int]:
        """Return the features whose missing value some node would read as zero."""
        return frozenset(self.feature[~self.knows_missing].tolist())


class Walker:
    """Walks the trees for one row at a time, in plain Python lists.

    Examples
    --------
    >>> one = np.array([0])
    >>> stump = Trees(one, np.array([5.0]), ~one, ~one - 1, one > 0, one == 0, one,
    ...               np.array([0.5, -0.5]), one, one)
    >>> Walker(stump).leaves([7.0])
    [1]
    """

    def __init__(self, trees: Trees) -> None:
        self._roots: list[int] = trees.roots.tolist()
        nodes = (trees.feature, trees.threshold, trees.left, trees.right, self._nan_goes(trees))
        self._nodes = list(zip(*(one.tolist() for one in nodes), strict=True))

    @staticmethod
    def _nan_goes(trees: Trees) -> NDArray[np.int64]:
        """Return the child a missing value goes to."""
        goes_left = np.where(trees.knows_missing, trees.default_left, trees.threshold >= 0.0)
        return np.where(goes_left, trees.left, trees.right)

    def leaves(self, row: Sequence[float]) -> list[int]:
        """Return the leaf of each tree that a row falls in, numbered over all trees."""
        nodes = self._nodes
        found = []
        for root in self._roots:
            at = root
            while at >= 0:
                feature, threshold, left, right, nan_goes = nodes[at]
                value = row[feature]
                at = left if value <= threshold else right if value == value else nan_goes
            found.append(~at)
        return found


def read_lightgbm(text: str) -> tuple[Trees, tuple[str, ...], float]:
    """Return the trees of LightGBM's text form, the names of its columns, and the sigmoid's slope.

    Raises
    ------
    ModelIsMalformed : more than two classes, another objective than `binary`, categorical splits,
        linear leaves, averaged trees, zero taken for missing, or no such text
    """
    head, *blocks = text.split("\nTree=")
    header = _pairs(head)
    if not blocks or "feature_names" not in header:
        raise ModelIsMalformed(what="it is not the text form of a LightGBM model")
    objective = header.get("objective", "")
    if not objective.startswith("binary") or header.get("num_class") != "1":
        raise ModelIsMalformed(what=f"its objective is {objective or 'unknown'}, not binary")
    if "average_output" in head.splitlines():
        raise ModelIsMalformed(what="its trees are averaged")
    slope = float(objective.partition("sigmoid:")[2] or 1)
    if not isfinite(slope):
        raise ModelIsMalformed(what="the slope of its sigmoid is no finite number")
    names = tuple(header["feature_names"].split())
    made = _flatten([_pairs(block.split("\nend of trees")[0]) for block in blocks])
    _check(made, len(names))
    return made, names, slope


def _check(trees: Trees, columns: int) -> None:
    """Refuse trees on which a walk would leave the arrays, or never end."""
    inner, leaves = len(trees.feature), len(trees.leaf_value)
    sizes = {len(one) for one in (trees.feature, trees.threshold, trees.left, trees.right)}
    if len(sizes) != 1 or len(trees.default_left) != inner or len(trees.leaf_rows) != leaves:
        raise ModelIsMalformed(what="parts of a tree have different sizes")
    if inner and not 0 <= trees.feature.min() <= trees.feature.max() < columns:
        raise ModelIsMalformed(what="a tree splits on a column that is not there")
    if np.isnan(trees.threshold).any() or not np.isfinite(trees.leaf_value).all():
        raise ModelIsMalformed(what="a threshold or leaf is no number")
    # Every node and leaf hangs on one node, or is the root of its tree: so no walk meets one twice.
    hung = np.sort(np.concatenate([trees.roots, trees.left, trees.right]))
    if not np.array_equal(hung, np.arange(-leaves, inner)):
        raise ModelIsMalformed(what="a tree does not hang together")


def _pairs(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _flatten(trees: list[dict[str, str]]) -> Trees:
    columns: dict[str, list[float]] = {
        key: [] for key in ("split_feature", "threshold", "decision_type", "left", "right")
    }
    leaf_value: list[float] = []
    leaf_rows: list[int] = []
    roots: list[int] = []
    first_leaf: list[int] = []
    for tree in trees:
        if tree.get("num_cat", "0") != "0" or tree.get("is_linear", "0") != "0":
            raise ModelIsMalformed(what="it has categorical splits or linear leaves")
        node, leaf = len(columns["left"]), len(leaf_value)
        leaves = int(tree["num_leaves"])
        roots.append(node if leaves > 1 else ~leaf)
        first_leaf.append(leaf)
        leaf_value += map(float, tree["leaf_value"].split())
        leaf_rows += map(int, tree.get("leaf_count", "1").split()) if leaves > 1 else [1]
        if leaves == 1:
            continue
        for key in ("split_feature", "threshold", "decision_type"):
            columns[key] += map(float, tree[key].split())
        for key in ("left", "right"):
            children = map(int, tree[f"{key}_child"].split())
            columns[key] += [node + one if one >= 0 else ~(leaf + ~one) for one in children]
    kinds = np.array(columns["decision_type"], dtype=np.int64)
    missing = (kinds >> 2) & 3
    if (kinds & _CATEGORICAL).any() or (missing == _MISSING_ZERO).any():
        raise ModelIsMalformed(what="it has categorical splits, or takes zero for missing")
    return Trees(
        feature=np.array(columns["split_feature"], dtype=np.int64),
        threshold=np.array(columns["threshold"], dtype=np.float64),
        left=np.array(columns["left"], dtype=np.int64),
        right=np.array(columns["right"], dtype=np.int64),
        default_left=(kinds & _DEFAULT_LEFT) != 0,
        knows_missing=missing == _MISSING_NAN,
        roots=np.array(roots, dtype=np.int64),
        leaf_value=np.array(leaf_value, dtype=np.float64),
        leaf_rows=np.array(leaf_rows, dtype=np.int64),
        first_leaf=np.array(first_leaf, dtype=np.int64),
    )
