"""Logistic regression in flat form: coefficients of standardised inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Any

from steelyard.decisions.model.inputs import (
    InputIsNotANumber,
    ModelInputs,
    ModelIsMalformed,
    is_number,
    read_inputs,
)
from steelyard.decisions.model.partition import Scalar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KIND = "logistic"


@dataclass(frozen=True, slots=True)
class LogisticModel:
    """The chance of bad as 1 / (1 + exp(-(intercept + sum of coefficient x (x - mean) / scale))).

    A missing input adds nothing, as if it stood at its mean in training; `missing` of the policy's
    trace tells that it was. Terms are added in the order of the inputs, by rows and by columns.

    Attributes
    ----------
    name, version : of the model
    inputs : what it reads
    coefficients, means, scales : of each input
    intercept : ln odds of bad at the means

    Examples
    --------
    >>> model = LogisticModel(
    ...     "demo", 1, ModelInputs(("x",), ("field",)), (2.0,), (1.0,), (0.5,), 0.0)
    >>> model.probability({"x": 1}), model.contributions({"x": 2}), model.probability({"x": None})
    (0.5, (4.0,), 0.5)
    """

    name: str
    version: int
    inputs: ModelInputs
    coefficients: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        sizes = {len(self.inputs.names), len(self.coefficients), len(self.means), len(self.scales)}
        if len(sizes) != 1 or not all(self.scales):
            raise ModelIsMalformed(what="one coefficient, mean and scale, not 0, for each input")
        numbers = (*self.coefficients, *self.means, *self.scales, self.intercept)
        if not all(map(is_number, numbers)):
            raise ModelIsMalformed(what="a coefficient, mean or scale is no finite number")

    def contributions(self, row: Mapping[str, Scalar]) -> tuple[float, ...]:
        """Return what each input adds to the ln odds of bad; they and the intercept sum to it.

        Raises
        ------
        InputIsNotANumber : a text, or NaN
        """
        found = []
        parts = zip(self.inputs.names, self.coefficients, self.means, self.scales, strict=True)
        for name, coefficient, mean, scale in parts:
            value = row.get(name)
            if value is None:
                found.append(0.0)
                continue
            if isinstance(value, str) or value != value:
                raise InputIsNotANumber(feature=name, value=value)
            found.append(coefficient * ((value - mean) / scale))
        return tuple(found)

    def raw(self, row: Mapping[str, Scalar]) -> float:
        """Return the ln odds of bad."""
        total = self.intercept
        for part in self.contributions(row):
            total += part
        return total

    def probability(self, row: Mapping[str, Scalar]) -> float:
        """Return the chance of bad."""
        return sigmoid(self.raw(row))

    def probabilities(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the chance of bad of rows, equal to `probability` of each to the bit.

        Parameters
        ----------
        matrix : shape (n, inputs), NaN is missing
        """
        import numpy as np

        total = np.full(len(matrix), self.intercept)
        for n, coefficient in enumerate(self.coefficients):
            part = coefficient * ((matrix[:, n] - self.means[n]) / self.scales[n])
            total += np.where(np.isnan(part), 0.0, part)
        return np.fromiter(map(sigmoid, total.tolist()), np.float64, len(total))

    def to_json(self) -> str:
        """Return the canonical JSON form."""
        form = {
            "kind": KIND,
            "name": self.name,
            "version": self.version,
            "inputs": self.inputs.as_data(),
            "coefficients": list(self.coefficients),
            "means": list(self.means),
            "scales": list(self.scales),
            "intercept": self.intercept,
        }
        return json.dumps(form, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @property
    def content_hash(self) -> str:
        """The SHA-256 of the JSON form."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> LogisticModel:
        """Return the model of a decoded JSON form; see `flat.load_model`."""
        return cls(
            name=data["name"],
            version=data["version"],
            inputs=read_inputs(data["name"], data["inputs"]),
            coefficients=tuple(data["coefficients"]),
            means=tuple(data["means"]),
            scales=tuple(data["scales"]),
            intercept=data["intercept"],
        )


def sigmoid(ln_odds: float) -> float:
    """Return 1 / (1 + exp(-x)); 0 where exp would overflow, as in C."""
    try:
        return 1 / (1 + exp(-ln_odds))
    except OverflowError:
        return 0.0
