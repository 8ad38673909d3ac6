"""The experiments: who gets which arm, and what may be concluded, at any look.

Verbs stand in two groups: `designs` (draft, start, stop, read) and `observations` (assign, expose,
record outcomes, results); the mathematics is pure and stands under `sequential` and `boundaries`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.experiments.service import facts
from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.experiments.model import boundaries, refusals, sequential
    from steelyard.experiments.model.experiment import (
        Arm,
        Better,
        Draft,
        Experiment,
        Metric,
        MetricKind,
        Slots,
        State,
    )
    from steelyard.experiments.model.results import Results, Verdict
    from steelyard.experiments.service import design as designs
    from steelyard.experiments.service import observation as observations

__all__ = [
    "Arm",
    "Better",
    "Draft",
    "Experiment",
    "Metric",
    "MetricKind",
    "Results",
    "Slots",
    "State",
    "Verdict",
    "boundaries",
    "designs",
    "facts",
    "observations",
    "refusals",
    "sequential",
]

_GROUPS = {
    "boundaries": "model.boundaries",
    "designs": "service.design",
    "observations": "service.observation",
    "refusals": "model.refusals",
    "sequential": "model.sequential",
}
_VALUES = {
    "Arm": "model.experiment",
    "Better": "model.experiment",
    "Draft": "model.experiment",
    "Experiment": "model.experiment",
    "Metric": "model.experiment",
    "MetricKind": "model.experiment",
    "Results": "model.results",
    "Slots": "model.experiment",
    "State": "model.experiment",
    "Verdict": "model.results",
}

__getattr__ = door(__name__, _GROUPS, _VALUES)
