"""Scorecards: points for each bin of each characteristic, and reasons for the points not reached.

Scaling: score = offset + factor x ln(odds), odds being good to bad, factor = PDO / ln 2 and
offset = base score - factor x ln(base odds): at the base odds the score is the base score, and
`PDO` points more double the odds. Higher is safer. (Siddiqi, Credit Risk Scorecards, 2006.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any, NamedTuple

from steelyard.decisions.model.inputs import is_number
from steelyard.decisions.model.logistic import sigmoid
from steelyard.decisions.model.partition import Partition, Scalar
from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FORM = 1
MOST_POINTS = 1_000_000
"""Of a bin, or of the base, either way."""


class ScorecardIsMalformed(Refusal):
    """The JSON is not a scorecard."""

    kind = RefusalKind.INVALID
    en = "This is not a scorecard: {what}."
    zh = "这不是一张评分卡：{what}。"


@dataclass(frozen=True, slots=True)
class Scaling:
    """From odds of good to bad to points.

    Examples
    --------
    >>> scaling = Scaling(base_score=600, base_odds=30, pdo=20)
    >>> round(scaling.factor, 4), round(scaling.offset, 4)
    (28.8539, 501.8622)
    >>> round(scaling.score(log(60)), 6)
    620.0
    """

    base_score: float = 600.0
    base_odds: float = 30.0
    pdo: float = 20.0

    def __post_init__(self) -> None:
        if not all(map(is_number, (self.base_score, self.base_odds, self.pdo))):
            raise ValueError("the scaling is made of finite numbers")
        if not (1e-9 <= self.base_odds <= 1e9 and 1e-6 <= self.pdo <= 1e6):
            raise ValueError("the scaling needs odds and points above 0")

    @property
    def factor(self) -> float:
        """Points for each unit of ln odds."""
        return self.pdo / log(2)

    @property
    def offset(self) -> float:
        """Points at even odds."""
        return self.base_score - self.factor * log(self.base_odds)

    def score(self, ln_odds: float) -> float:
        """Return the points of natural log odds, good to bad."""
        return self.offset + self.factor * ln_odds

    def probability_bad(self, score: float) -> float:
        """Return the chance of bad that a score stands for."""
        return sigmoid((self.offset - score) / self.factor)


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One line of a scorecard.

    Attributes
    ----------
    partition : its bins
    points : of each bin, in the partition's numbering
    code : of the reason given when points are missing, `SC_AGE`
    en, zh : that reason as it is told to the customer
    """

    partition: Partition
    points: tuple[int, ...]
    code: str
    en: str
    zh: str

    def __post_init__(self) -> None:
        if len(self.points) != self.partition.size:
            raise ValueError(f"{self.partition.name}: points for every bin")

    @property
    def best(self) -> int:
        """The most points that can be had; `missing` and `other` are not aimed at."""
        return max(self.points[: self.partition.missing])


class Shortfall(NamedTuple):
    """Why a score is not higher: points below the best attainable of a characteristic."""

    code: str
    name: str
    lost: int
    bin: str
    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Scored:
    """The answer of a scorecard for one row.

    Attributes
    ----------
    score : whole points, the base points and those of each characteristic
    bins : the bin of each characteristic, in the scorecard's order
    points : of each of these bins
    missing : characteristics without a value, by name
    """

    score: int
    bins: tuple[int, ...]
    points: tuple[int, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A scorecard as it is used: nothing in it is fitted any more.

    Examples
    --------
    >>> age = Characteristic(
    ...     Partition("age", edges=(25.0,)), (10, 30, 15, 15), "SC_AGE", "Age", "年龄")
    >>> card = Scorecard("demo", 1, Scaling(), 500, (age,))
    >>> card.score({"age": 22})
    Scored(score=510, bins=(0,), points=(10,), missing=())
    >>> [(one.code, one.lost) for one in card.reasons(card.score({"age": 22}))]
    [('SC_AGE', 20)]
    >>> Scorecard.from_json(card.to_json()) == card
    True
    """

    name: str
    version: int
    scaling: Scaling
    base_points: int
    characteristics: tuple[Characteristic, ...]
    content_hash: str = field(init=False)
    _steps: tuple[tuple[str, Any, tuple[int, ...], int], ...] = field(
        init=False, repr=False, compare=False
    )
    _best: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _labels: tuple[tuple[str, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [one.partition.name for one in self.characteristics]
        if len(set(names)) != len(names):
            raise ValueError("a characteristic stands twice")
        steps = tuple(
            (one.partition.name, one.partition.index, one.points, one.partition.missing)
            for one in self.characteristics
        )
        object.__setattr__(self, "_steps", steps)
        object.__setattr__(self, "_best", tuple(one.best for one in self.characteristics))
        labels = tuple(one.partition.labels() for one in self.characteristics)
        object.__setattr__(self, "_labels", labels)
        digest = hashlib.sha256(self.to_json().encode()).hexdigest()
        object.__setattr__(self, "content_hash", digest)

    @property
    def names(self) -> tuple[str, ...]:
        """What is read from a row."""
        return tuple(one.partition.name for one in self.characteristics)

    def score(self, row: Mapping[str, Scalar]) -> Scored:
        """Return the points of one row; a name that is not in it is missing.

        Raises
        ------
        ValueDoesNotFit : a text for a number, a number for a category
        """
        bins: list[int] = []
        found: list[int] = []
        absent: list[str] = []
        for name, index, points, missing in self._steps:
            number = index(row.get(name))
            if number == missing:
                absent.append(name)
            bins.append(number)
            found.append(points[number])
        return Scored(self.base_points + sum(found), tuple(bins), tuple(found), tuple(absent))

    def score_columns(self, columns: Mapping[str, Any]) -> NDArray[np.int64]:
        """Return the scores of rows given as columns, each as `score` would find it.

        Parameters
        ----------
        columns : by name; numbers with NaN for missing, texts with None for missing
        """
        import numpy as np

        rows = len(next(iter(columns.values())))
        total = np.full(rows, self.base_points, dtype=np.int64)
        for one in self.characteristics:
            indices = one.partition.indices(columns[one.partition.name])
            total += np.array(one.points, dtype=np.int64)[indices]
        return total

    def reasons(self, scored: Scored, most: int = 4) -> tuple[Shortfall, ...]:
        """Return why the score is not higher, the greatest shortfall first.

        Parameters
        ----------
        scored : an answer of this scorecard
        most : how many at most; at a tie the earlier characteristic goes first
        """
        short = [
            (points - best, n)
            for n, (best, points) in enumerate(zip(self._best, scored.points, strict=True))
            if points < best
        ]
        short.sort()
        return tuple([self._shortfall(n, -lost, scored.bins[n]) for lost, n in short[:most]])

    def _shortfall(self, n: int, lost: int, number: int) -> Shortfall:
        one = self.characteristics[n]
        label = self._labels[n][number]
        return Shortfall(one.code, one.partition.name, lost, label, one.en, one.zh)

    def probability_bad(self, score: int) -> float:
        """Return the chance of bad that the score stands for."""
        return self.scaling.probability_bad(score)

    def to_json(self) -> str:
        """Return the canonical JSON, of which `content_hash` is the SHA-256."""
        return json.dumps(
            {
                "form": _FORM,
                "name": self.name,
                "version": self.version,
                "scaling": {
                    "base_score": self.scaling.base_score,
                    "base_odds": self.scaling.base_odds,
                    "pdo": self.scaling.pdo,
                },
                "base_points": self.base_points,
                "characteristics": [_as_data(one) for one in self.characteristics],
            },
            ensure_ascii=False,
            sort_keys=True,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Scorecard:
        """Return the scorecard of a JSON.

        Raises
        ------
        ScorecardIsMalformed : a key is missing, a type is wrong, or the parts do not fit
        """
        try:
            made = json.loads(text)
            if made["form"] != _FORM:
                raise ScorecardIsMalformed(what=f"form {made['form']}")
            if not _is_points(made["base_points"]):
                raise ScorecardIsMalformed(what="the base points are a whole number")
            return cls(
                name=str(made["name"]),
                version=int(made["version"]),
                scaling=Scaling(**made["scaling"]),
                base_points=made["base_points"],
                characteristics=tuple(_characteristic(one) for one in made["characteristics"]),
            )
        except KeyError as error:
            raise ScorecardIsMalformed(what=f"{error.args[0]} is missing") from None
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            raise ScorecardIsMalformed(what=str(error)) from None


@dataclass(frozen=True, slots=True)
class Line:
    """What is needed for one line of a scorecard to be made.

    Attributes
    ----------
    partition : the bins
    woe : of each bin, ln(good share / bad share)
    weight : coefficient of the WoE in the logistic regression of *bad*; below zero when evidence
        and outcome agree
    en, zh : the reason as it is told to the customer
    """

    partition: Partition
    woe: Sequence[float]
    weight: float
    en: str
    zh: str


def make_scorecard(
    name: str, lines: Sequence[Line], *, intercept: float, scaling: Scaling, version: int = 1
) -> Scorecard:
    """Return the scorecard of a logistic regression on weights of evidence.

    Parameters
    ----------
    lines : the characteristics
    intercept : of the regression, ln odds of bad at WoE 0

    Returns
    -------
    Scorecard : points are rounded half to even, so that a score differs from the scaled
        regression by at most half a point for each line and the base
    """
    factor = scaling.factor
    characteristics = tuple(
        Characteristic(
            partition=line.partition,
            points=tuple(round(-line.weight * woe * factor) for woe in line.woe),
            code="SC_" + line.partition.name.upper(),
            en=line.en,
            zh=line.zh,
        )
        for line in lines
    )
    base = round(scaling.score(-intercept))
    return Scorecard(name, version, scaling, base, characteristics)


def _is_points(value: object) -> bool:
    return type(value) is int and abs(value) <= MOST_POINTS


def _as_data(one: Characteristic) -> dict[str, object]:
    partition = one.partition
    return {
        "name": partition.name,
        "edges": None if partition.edges is None else list(partition.edges),
        "groups": [list(group) for group in partition.groups],
        "specials": list(partition.specials),
        "points": list(one.points),
        "code": one.code,
        "en": one.en,
        "zh": one.zh,
    }


def _characteristic(made: Mapping[str, Any]) -> Characteristic:
    edges = made["edges"]
    if not all(_is_points(points) for points in made["points"]):
        raise ScorecardIsMalformed(what=f"points of {made['name']} are whole numbers")
    texts = [made[key] for key in ("name", "code", "en", "zh")]
    levels = [one for group in made["groups"] for one in group]
    if not all(isinstance(one, str) for one in (*texts, *levels)):
        raise ScorecardIsMalformed(what="names, codes, sentences and levels are texts")
    if not all(isinstance(one, str) or is_number(one) for one in made["specials"]):
        raise ScorecardIsMalformed(what="special values are texts or numbers")
    partition = Partition(
        name=made["name"],
        edges=None if edges is None else tuple(float(edge) for edge in edges),
        groups=tuple(tuple(group) for group in made["groups"]),
        specials=tuple(made["specials"]),
    )
    return Characteristic(partition, tuple(made["points"]), made["code"], made["en"], made["zh"])
