"""Model cards: what a model was made from, how well it does, and for whom it does worse.

After Mitchell et al., Model Cards for Model Reporting, 2019.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from steelyard.decisions.model.contest import Contest
from steelyard.decisions.model.metrics import (
    Calibration,
    CharacteristicStability,
    GroupCut,
)
from steelyard.kernel import Refusal, RefusalKind


class CardIsMalformed(Refusal):
    """The JSON is not a model card."""

    kind = RefusalKind.INVALID
    en = "This is not a model card: {why}."
    zh = "这不是一张模型卡：{why}。"


@dataclass(frozen=True, slots=True)
class DataUsed:
    """What a model was made from.

    Attributes
    ----------
    name, digest : of the data set, SHA-256 of its file
    rows, bad : how many rows, and how many of them bad
    inputs : what the model reads
    left_out : attributes it was not given, because a person may not be judged by them
    protected : all attributes of the data by which a person may not be judged
    """

    name: str
    digest: str
    rows: int
    bad: int
    inputs: tuple[str, ...]
    left_out: tuple[str, ...]
    protected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model's cross-validated AUC beside the published one; None where there is none."""

    model: str
    auc: float
    deviation: float
    published: float | None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model's card.

    Attributes
    ----------
    model, version, kind, content_hash : which model it is about
    data : see `DataUsed`
    how : how it was trained and measured, in words
    metrics : by name; of rows held out by cross-validation
    calibration : of the same rows
    fairness : for each way to cut people into groups, at the threshold that declines
        `declined_share` of them
    declined_share, threshold : of that threshold
    score_psi : training rows against held-out rows
    csi : the same for each characteristic; empty where the model has none
    comparisons : other models on the same rows, this one among them
    libraries : versions, by name, our own among them
    seed : of folds and models
    trained_by : who did it, `staff:<uuid>` or the user of a command line
    contest : beside the model of the same name in use; None where there was none to compare with
    """

    model: str
    version: int
    kind: str
    content_hash: str
    data: DataUsed
    how: str
    metrics: Mapping[str, float]
    calibration: Calibration
    fairness: Mapping[str, tuple[GroupCut, ...]]
    declined_share: float
    threshold: float
    score_psi: float
    csi: tuple[CharacteristicStability, ...]
    comparisons: tuple[Comparison, ...]
    libraries: Mapping[str, str]
    seed: int
    trained_by: str = ""
    contest: Contest | None = None

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelCard:
        """Return the card of a JSON.

        Refusals
        --------
        card_is_malformed : a part is missing, or of another type
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            raise CardIsMalformed(why=str(error)) from None

    def to_json(self) -> str:
        """Return the card as JSON, keys sorted."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, indent=1) + "\n"

    @property
    def digest(self) -> str:
        """The SHA-256 of the JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_markdown(self) -> str:
        """Return the card as a page for people."""
        parts = [
            f"# Model card: {self.model} {self.version}",
            f"{self.kind}, content hash `{self.content_hash}`. {self.how}",
            "## Data",
            self._data(),
            "## Metrics, on rows held out",
            _table(("metric", "value"), [(n, _f(v)) for n, v in sorted(self.metrics.items())]),
        ]
        if self.comparisons:
            rows = [
                (one.model, f"{_f(one.auc)} ± {_f(one.deviation)}", _f(one.published))
                for one in self.comparisons
            ]
            parts += ["## Beside other models, AUC on the same rows",
                      _table(("model", "here", "published"), rows)]  # fmt: skip
        if self.contest is not None:
            parts += ["## Beside the model in use", self.contest.to_markdown()]
        parts += ["## Calibration", self._calibrated()]
        if not self.fairness:
            parts += ["## Fairness", "The data says nothing of people by which to cut it."]
        for name, cuts in self.fairness.items():
            parts += [f"## Fairness by {name}", self._fairness(cuts)]
        parts += ["## Stability", f"PSI of the score, training against held out: "
                  f"{_f(self.score_psi)} (under 0.1 is stable)."]  # fmt: skip
        if self.csi:
            rows = [(one.name, _f(one.csi), _shift(one.score_shift)) for one in self.csi]
            parts.append(_table(("characteristic", "CSI", "points shifted"), rows))
        made = ", ".join(f"{name} {version}" for name, version in sorted(self.libraries.items()))
        by = f" by {self.trained_by}" if self.trained_by else ""
        parts.append(f"Made{by} with {made}; seed {self.seed}.")
        return "\n\n".join(parts) + "\n"

    def _data(self) -> str:
        data = self.data
        lines = [
            f"- {data.name}: {data.rows:,} rows, {data.bad:,} bad ({data.bad / data.rows:.1%})",
            f"- SHA-256 `{data.digest}`",
            f"- reads {len(data.inputs)}: {', '.join(data.inputs)}",
        ]
        if data.left_out:
            lines.append(f"- not given to it, for they are protected: {', '.join(data.left_out)}")
        return "\n".join(lines)

    def _calibrated(self) -> str:
        found = self.calibration
        rows = [(f"{one.rows:,}", _f(one.predicted), _f(one.observed)) for one in found.curve]
        said = f"Brier score {_f(found.brier)}, expected error {_f(found.expected_error)}."
        return said + "\n\n" + _table(("rows", "predicted", "observed"), rows)

    def _fairness(self, cuts: Sequence[GroupCut]) -> str:
        rows = [
            (str(one.group), f"{one.rows:,}", _p(one.bad_rate), _p(one.approval_rate),
             _f(one.approval_ratio), _p(one.good_declined), _p(one.bad_approved), _f(one.auc))
            for one in cuts
        ]  # fmt: skip
        heads = ("group", "rows", "bad", "approved", "ratio to the highest", "goods declined",
                 "bads approved", "AUC")  # fmt: skip
        said = f"At the threshold {_f(self.threshold)}, which declines {self.declined_share:.0%}."
        return said + "\n\n" + _table(heads, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def _f(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _shift(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
