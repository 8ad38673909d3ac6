"""An experiment: what is compared with what, on whom, by which measure, from when to when."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from steelyard.experiments.model.assignment import (
    BUCKETS,
    Allocation,
    allocate,
    arm_in,
    bucket_of,
    reallocate,
    slot_of,
)
from steelyard.experiments.model.refusals import (
    ArmsAreWrong,
    ExperimentIsMalformed,
    ExperimentIsNotDraft,
    ExperimentIsNotRunning,
    ExperimentIsOver,
    OutcomeIsWrong,
    UnitIsMalformed,
    WeightsDoNotAddUp,
)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:.-]{0,119}")
_LARGEST = 10**15
MOST_ARMS = 10
MOST_METRICS = 5
MOST_DECIMALS = 6


class State(StrEnum):
    """Where a version of an experiment stands."""

    DRAFT = "draft"
    RUNNING = "running"
    STOPPED = "stopped"
    DROPPED = "dropped"
    """A draft that a later draft took the place of."""


class MetricKind(StrEnum):
    """What an outcome is."""

    PROPORTION = "proportion"
    """0 or 1 for each unit."""
    MEAN = "mean"
    """An amount or number for each unit."""


class Better(StrEnum):
    """Which way is good."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured, once for each unit.

    Attributes
    ----------
    name : e.g. `charged_back`, `margin_minor`
    decimals : digits after the point of an outcome; kept and summed as whole numbers
    """

    name: str
    kind: MetricKind
    better: Better
    decimals: int = 0

    def scaled(self, outcome: int | Decimal | str) -> int:
        """Return an outcome as a whole number of its last decimal.

        Refusals
        --------
        outcome_is_wrong : not a number, more decimals than the metric has, out of range; for a
            proportion anything but 0 and 1

        Examples
        --------
        >>> Metric("margin", MetricKind.MEAN, Better.HIGHER, decimals=2).scaled(Decimal("-1.50"))
        -150
        """
        try:
            shifted = Decimal(outcome).scaleb(self.decimals)
            is_whole = shifted.is_finite() and shifted == shifted.to_integral_value()
        except InvalidOperation:
            is_whole = False
        if not is_whole or abs(shifted) > _LARGEST:
            raise OutcomeIsWrong(metric=self.name, outcome=str(outcome)[:40])
        if self.kind is MetricKind.PROPORTION and shifted not in (0, 1):
            raise OutcomeIsWrong(metric=self.name, outcome=str(outcome)[:40])
        return int(shifted)


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the things compared; its weight is in basis points of the experiment's units."""

    name: str
    weight_bp: int


@dataclass(frozen=True, slots=True)
class Slots:
    """The part of a layer that an experiment has: slots `start` to before `stop` of 10,000."""

    start: int = 0
    stop: int = BUCKETS


@dataclass(frozen=True, slots=True)
class Draft:
    """An experiment as it is proposed.

    Attributes
    ----------
    name : stays the same over all versions
    hypothesis : what is expected and why, for those who approve it
    unit : noun of what is assigned: `customer`, `card`, `merchant`
    arms : two or more; the first is the control that the others are compared with
    metrics : the first decides, the others are shown
    salt : of the assignment; None is that of the version before, of a first version its name
    layer : experiments of one layer never share a unit
    alpha_bp : probability of a false alarm, in basis points, over all challengers and looks
    planned_units : with an outcome, in all arms: where the test is sharpest
    starts_at, ends_at : units are assigned from then, and until before then; both may be open
    """

    name: str
    hypothesis: str
    unit: str
    arms: tuple[Arm, ...]
    metrics: tuple[Metric, ...]
    layer: str
    slots: Slots = Slots()
    salt: str | None = None
    alpha_bp: int = 500
    planned_units: int = 10_000
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def check(self) -> Draft:
        """Return the draft itself.

        Refusals
        --------
        experiment_is_malformed, arms_are_wrong, weights_do_not_add_up : in this order
        """
        for what, fits in self._conditions():
            if not fits:
                raise ExperimentIsMalformed(what=what)
        arms = [arm.name for arm in self.arms]
        if not 2 <= len(set(arms)) == len(arms) <= MOST_ARMS:
            raise ArmsAreWrong(most=MOST_ARMS)
        if any(arm.weight_bp < 1 for arm in self.arms) or self._weight() != BUCKETS:
            raise WeightsDoNotAddUp(total=self._weight())
        return self

    def _conditions(self) -> Iterator[tuple[str, bool]]:
        words = {"name": self.name, "unit": self.unit, "layer": self.layer}
        words |= {"salt": self.salt or self.name}
        for what, word in words.items():
            yield what, bool(_NAME.fullmatch(word))
        for arm in self.arms:
            yield "arm", bool(_NAME.fullmatch(arm.name))
        for metric in self.metrics:
            most = 0 if metric.kind is MetricKind.PROPORTION else MOST_DECIMALS
            yield "metric", bool(_NAME.fullmatch(metric.name)) and 0 <= metric.decimals <= most
        names = [metric.name for metric in self.metrics]
        yield "metrics", 0 < len(set(names)) == len(names) <= MOST_METRICS
        yield "hypothesis", 0 < len(self.hypothesis) <= 2_000
        yield "slots", 0 <= self.slots.start < self.slots.stop <= BUCKETS
        yield "alpha_bp", 1 <= self.alpha_bp <= 5_000
        yield "planned_units", 100 <= self.planned_units <= 10**9
        start, end = self.starts_at, self.ends_at
        yield "ends_at", start is None or end is None or start < end

    def _weight(self) -> int:
        return sum(arm.weight_bp for arm in self.arms)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One version of an experiment; what it says never changes, its state goes forward.

    Attributes
    ----------
    draft : what was proposed, the salt filled in
    version : 1, 2 ...; weights, arms or metrics change by a new version
    allocation : which buckets belong to which arm
    drafted_by, started_at, stopped_at : who proposed it, when it ran
    cause : approval that started it; stop_cause : that stopped it, or started its successor
    """

    draft: Draft
    version: int
    allocation: Allocation
    state: State
    drafted_by: str
    drafted_at: datetime
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    cause: str | None = None
    stop_cause: str | None = None

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.draft.name

    @property
    def salt(self) -> str:
        """Salt of its assignment."""
        assert self.draft.salt is not None, "filled in when it is drafted"
        return self.draft.salt

    @property
    def subject(self) -> str:
        """Whose history its facts belong to."""
        return f"experiment:{self.name}"

    def metric(self, name: str) -> Metric | None:
        """Return a metric of the experiment."""
        return next((metric for metric in self.draft.metrics if metric.name == name), None)

    def arm_of(self, unit: str) -> str | None:
        """Return the arm of a unit, the same for ever; None if it is outside the slots.

        Refusals
        --------
        unit_is_malformed
        """
        if not _UNIT.fullmatch(unit):
            raise UnitIsMalformed(unit=unit[:40])
        slots = self.draft.slots
        if not slots.start <= slot_of(self.draft.layer, unit) < slots.stop:
            return None
        return arm_in(self.allocation, bucket_of(self.salt, unit))

    def assigns_at(self, now: datetime) -> bool:
        """Whether units are assigned at an instant."""
        start, end = self.draft.starts_at, self.draft.ends_at
        return (
            self.state is State.RUNNING
            and (start is None or start <= now)
            and (end is None or now < end)
        )

    def is_over_at(self, now: datetime) -> bool:
        """Whether no unit will be assigned any more from an instant on."""
        end = self.draft.ends_at
        is_stopped = self.stopped_at is not None and self.stopped_at <= now
        return is_stopped or (end is not None and end <= now)

    def must_start_at(self, now: datetime) -> None:
        """Check that it can be started.

        Refusals
        --------
        experiment_is_not_draft, experiment_is_over
        """
        if self.state is not State.DRAFT:
            raise ExperimentIsNotDraft(name=self.name, version=self.version, state=self.state)
        if self.is_over_at(now):
            raise ExperimentIsOver(name=self.name, version=self.version)

    def must_run(self) -> None:
        """Check that it was started and not stopped.

        Refusals
        --------
        experiment_is_not_running
        """
        if self.state is not State.RUNNING:
            raise ExperimentIsNotRunning(name=self.name, version=self.version, state=self.state)


def next_allocation(draft: Draft, before: Experiment | None) -> tuple[str, Allocation]:
    """Return salt and allocation of a draft that follows a version, or follows none.

    With the salt of the version before, as few units change their arm as there can be; with
    another salt, all are dealt anew.
    """
    weights = {arm.name: arm.weight_bp for arm in draft.arms}
    if before is None or draft.salt not in (None, before.salt):
        return draft.salt or draft.name, allocate(weights)
    return before.salt, reallocate(before.allocation, weights)
