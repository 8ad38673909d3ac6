"""The facts of the experiments. A unit is named by its id; no personal data is in them."""

from __future__ import annotations

from steelyard.base import Fact


class ExperimentDrafted(Fact, kind="experiments.ExperimentDrafted", version=1):
    """A version was proposed; subject is the experiment."""

    name: str
    experiment_version: int


class ExperimentStarted(Fact, kind="experiments.ExperimentStarted", version=1):
    """A version assigns units from now on, as two people wanted it; subject is the experiment."""

    name: str
    experiment_version: int
    cause: str


class ExperimentStopped(Fact, kind="experiments.ExperimentStopped", version=1):
    """A version assigns no unit any more; subject is the experiment."""

    name: str
    experiment_version: int
    cause: str


class Exposed(Fact, kind="experiments.Exposed", version=1):
    """A unit met its arm for the first time; subject is the exposure."""

    experiment: str
    experiment_version: int
    unit: str
    arm: str


class OutcomeRecorded(Fact, kind="experiments.OutcomeRecorded", version=1):
    """What became of an exposed unit in one metric is known; subject is the outcome.

    Attributes
    ----------
    value : whole number of the last decimal of the metric
    """

    experiment: str
    experiment_version: int
    unit: str
    metric: str
    value: int
