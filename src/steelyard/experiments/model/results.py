"""What an experiment says: counts, means, effects with intervals, and one verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from steelyard.experiments.model.experiment import Better, Experiment, Metric, MetricKind
from steelyard.experiments.model.ratio import RatioCheck, check_ratio
from steelyard.experiments.model.sequential import Interval, Tally, difference

NOTHING = Tally(0, 0, 0, 0)


class Verdict(StrEnum):
    """What to do now; it may be asked for at any time, as often as one likes."""

    CONTINUE = "continue"
    """Nothing is shown yet."""
    CHALLENGER_BETTER = "challenger_better"
    CHALLENGER_WORSE = "challenger_worse"
    NO_DIFFERENCE = "no_difference"
    """It is over, and no difference was shown; that is not to say that there is none."""
    NOT_TO_BE_TRUSTED = "not_to_be_trusted"
    """The arms do not have the shares that were set: find the fault first."""


SENTENCES: Mapping[Verdict, tuple[str, str]] = {
    Verdict.CONTINUE: ("No difference is shown yet; continue.", "尚未显示差异，请继续。"),
    Verdict.CHALLENGER_BETTER: ("The challenger is better.", "挑战者更优。"),
    Verdict.CHALLENGER_WORSE: ("The challenger is worse.", "挑战者更差。"),
    Verdict.NO_DIFFERENCE: ("It is over and no difference was shown.", "实验结束，未显示差异。"),
    Verdict.NOT_TO_BE_TRUSTED: (
        "The arms do not have the shares that were set; do not trust the figures.",
        "分组比例与设定不符，结果不可信。",
    ),
}


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm in one metric.

    Attributes
    ----------
    exposed : units that met the arm; n : those of them with an outcome
    total : sum of the outcomes, whole numbers of the metric's last decimal
    mean : in the metric's own unit; None without an outcome
    """

    arm: str
    exposed: int
    n: int
    total: int
    mean: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A challenger against the control in one metric.

    Attributes
    ----------
    effect : mean of the challenger less that of the control, in the metric's unit
    interval : confidence sequence of the effect, valid at any look; None while too little is known
    lift : effect over the mean of the control; None where that is zero
    p_value : always valid, of this comparison; `threshold` is what it is held against
    """

    arm: str
    effect: float | None
    interval: Interval | None
    lift: float | None
    p_value: float
    threshold: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class MetricResult:
    """All arms in one metric."""

    metric: Metric
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """What an experiment says at an instant.

    Attributes
    ----------
    is_over : no unit is assigned any more
    ratio : whether the exposed units stand in the set ratio
    metrics : in their order; the first one decides
    verdict : of the first metric
    best : the challenger with the best effect among those shown to be better, else None
    """

    name: str
    version: int
    as_of: datetime
    is_over: bool
    ratio: RatioCheck
    metrics: tuple[MetricResult, ...]
    verdict: Verdict
    best: str | None

    def sentence(self, language: str) -> str:
        """Return the verdict in words, in Chinese for `zh*`, else in English."""
        en, zh = SENTENCES[self.verdict]
        return zh if language.lower().startswith("zh") else en


def results_of(
    experiment: Experiment,
    exposed: Mapping[str, int],
    tallies: Mapping[tuple[str, str], Tally],
    as_of: datetime,
) -> Results:
    """Return what an experiment says.

    Parameters
    ----------
    exposed : units by arm; tallies : by (metric, arm); what is not there is nothing
    as_of : the instant that the counts are of
    """
    arms = experiment.draft.arms
    ratio = check_ratio([exposed.get(arm.name, 0) for arm in arms], [arm.weight_bp for arm in arms])
    is_over = experiment.is_over_at(as_of)
    metrics = tuple(
        _measure(experiment, metric, exposed, tallies, is_over=is_over)
        for metric in experiment.draft.metrics
    )
    verdict, best = _decide(metrics[0])
    if ratio.is_mismatch:
        verdict, best = Verdict.NOT_TO_BE_TRUSTED, None
    return Results(
        experiment.name, experiment.version, as_of, is_over, ratio, metrics, verdict, best
    )


def _measure(
    experiment: Experiment,
    metric: Metric,
    exposed: Mapping[str, int],
    tallies: Mapping[tuple[str, str], Tally],
    *,
    is_over: bool,
) -> MetricResult:
    scale = 10**metric.decimals
    names = [arm.name for arm in experiment.draft.arms]
    found = {name: tallies.get((metric.name, name), NOTHING) for name in names}
    arms = tuple(
        ArmResult(
            name,
            exposed.get(name, 0),
            tally.n,
            tally.total,
            tally.mean / scale if tally.n else None,
        )
        for name, tally in found.items()
    )
    control, *challengers = names
    comparisons = tuple(
        _compare(experiment, metric, found[control], name, found[name], is_over=is_over)
        for name in challengers
    )
    return MetricResult(metric, arms, comparisons)


def _compare(
    experiment: Experiment,
    metric: Metric,
    control: Tally,
    arm: str,
    tally: Tally,
    *,
    is_over: bool,
) -> Comparison:
    # Several challengers share the false alarms that are allowed (Bonferroni).
    threshold = experiment.draft.alpha_bp / 10_000 / (len(experiment.draft.arms) - 1)
    found = difference(
        control,
        tally,
        planned_units=experiment.draft.planned_units,
        alpha=threshold,
        is_proportion=metric.kind is MetricKind.PROPORTION,
    )
    scale = 10**metric.decimals
    interval, lift = None, None
    verdict = Verdict.NO_DIFFERENCE if is_over else Verdict.CONTINUE
    if found.interval is not None:
        interval = Interval(found.interval.low / scale, found.interval.high / scale)
    if found.effect is not None and found.p_value <= threshold:
        is_better = (found.effect > 0) == (metric.better is Better.HIGHER)
        verdict = Verdict.CHALLENGER_BETTER if is_better else Verdict.CHALLENGER_WORSE
    if found.effect is not None and control.total:
        lift = found.effect / control.mean
    effect = None if found.effect is None else found.effect / scale
    return Comparison(arm, effect, interval, lift, found.p_value, threshold, verdict)


def _decide(result: MetricResult) -> tuple[Verdict, str | None]:
    better = [c for c in result.comparisons if c.verdict is Verdict.CHALLENGER_BETTER]
    if better:
        best = max(better, key=lambda c: abs(c.effect or 0.0))
        return Verdict.CHALLENGER_BETTER, best.arm
    if all(c.verdict is Verdict.CHALLENGER_WORSE for c in result.comparisons):
        return Verdict.CHALLENGER_WORSE, None
    undecided: Sequence[Verdict] = [
        c.verdict for c in result.comparisons if c.verdict is not Verdict.CHALLENGER_WORSE
    ]
    return undecided[0], None
