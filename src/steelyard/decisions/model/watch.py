"""What a business day is compared with, when there is enough of it, and what is found.

The first days of a version of a policy are its reference. Later days are compared with it: what
the features and the score are like over the last days, how often each rule hit, and, where labels
had time to come in, whether the chances were right and how much of the bad was caught. Where there
is too little to say anything, that is said, and no number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from steelyard.decisions.model.drift import (
    Cusum,
    DayRecall,
    Drift,
    Finding,
    Level,
    calibration_of,
    distribution_drift,
    recall_drift,
    surprise,
)

REFERENCE_DAYS, REFERENCE_LEAST = 7, 1_000
"""Days and decisions that a reference has at least: a whole week, because weekends differ."""
WARM_UP_DAYS = 30
"""How long a scene was there before a reference begins: windows that are still filling drift."""
RECENT_DAYS, RECENT_LEAST = 7, 500
"""The last days that are compared with it, and the decisions that they have at least."""
LABEL_DELAY_DAYS = 7
"""How long labels take: what is not known of a day by then is not waited for."""
CALIBRATED_DAYS = 28
LEAST_BAD = 10
"""Bad events that calibration (expected) and recall (known, before and now) need."""
SCORE, OUTCOME = "score", "outcome"
"""Subjects beside the features."""
_EPOCH = date(1970, 1, 1)
_SLACK, _INTERVAL = 1.0, 5.0
"""Of the hit rates' cumulative sums: a false alarm in 53,000 days of a rule; hits that are two
standard deviations of a day more than usual are found within six days, three within three."""


@dataclass(frozen=True, slots=True)
class TooLittle:
    """There is too little to say anything about a subject."""

    drift: Drift
    subject: str
    en: str
    zh: str


Found = Finding | TooLittle


@dataclass(frozen=True, slots=True)
class Chances:
    """What a model said about the events of a day that were let pass, and what they turned out.

    Attributes
    ----------
    rows : events; expected : sum of their chances p; spread : sum of p (1 - p)
    bad : events that turned out bad
    """

    rows: int
    expected: float
    spread: float
    bad: int


@dataclass(frozen=True, slots=True)
class Labels:
    """What became known of a day once labels had time to come in.

    Attributes
    ----------
    bad, caught : events; loss_minor, caught_minor : their amounts
    models : by `name@version`
    """

    bad: int
    caught: int
    loss_minor: int
    caught_minor: int
    models: Mapping[str, Chances]


@dataclass(frozen=True, slots=True)
class Day:
    """A business day of a version of a policy.

    Attributes
    ----------
    hits : how often each rule `node/row` hit
    labels : None as long as they may still come in
    """

    day: date
    decisions: int
    hits: Mapping[str, int]
    labels: Labels | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """The days that later ones are compared with; a higher number replaces a lower one."""

    number: int
    first_day: date
    last_day: date
    decisions: int


@dataclass(frozen=True, slots=True)
class Bins:
    """How the values of a subject are counted: by the edges of numbers, or by words."""

    subject: str
    edges: tuple[float, ...] | None
    words: tuple[str, ...] | None


Counts = Mapping[str, Sequence[int]]
"""By subject, how many values each of its bins has; the missing have the last one."""


def begins_reference(days: Sequence[Day]) -> bool:
    """Whether days are enough for a reference."""
    if not days or sum(one.decisions for one in days) < REFERENCE_LEAST:
        return False
    return (days[-1].day - days[0].day).days + 1 >= REFERENCE_DAYS


def lacks_for_reference(days: Sequence[Day], history_days: int) -> TooLittle:
    """Return what is said as long as there is no reference.

    Parameters
    ----------
    days : those that count for it
    history_days : for how long the scene has been there
    """
    if history_days <= WARM_UP_DAYS:
        return TooLittle(
            Drift.DISTRIBUTION,
            OUTCOME,
            f"Not enough for a reference yet: {history_days} of {WARM_UP_DAYS} days of history"
            " before it begins.",
            f"参照期尚未开始：历史数据 {history_days}/{WARM_UP_DAYS} 天。",
        )
    seen = sum(one.decisions for one in days)
    span = (days[-1].day - days[0].day).days + 1 if days else 0
    return TooLittle(
        Drift.DISTRIBUTION,
        OUTCOME,
        f"Not enough for a reference yet: {seen} of {REFERENCE_LEAST} decisions,"
        f" {span} of {REFERENCE_DAYS} days.",
        f"参照期数据不足：决策 {seen}/{REFERENCE_LEAST} 笔，{span}/{REFERENCE_DAYS} 天。",
    )


def shifts(
    reference: Counts, recent: Counts, ages: frozenset[str] = frozenset()
) -> Iterator[Found]:
    """Yield for each subject whether it is distributed as in the reference.

    Parameters
    ----------
    recent : of every decision each subject is counted once, or nothing is there at all
    ages : subjects that grow as time goes by; they are shown, and no alert
    """
    seen = max((sum(counts) for counts in recent.values()), default=0)
    if seen < RECENT_LEAST:
        yield TooLittle(
            Drift.DISTRIBUTION,
            OUTCOME,
            f"Not enough to compare: {seen} of {RECENT_LEAST} decisions in {RECENT_DAYS} days.",
            f"数据不足，无法比较：{RECENT_DAYS} 天内仅 {seen}/{RECENT_LEAST} 笔决策。",
        )
        return
    for subject in sorted(reference):
        before = np.array(reference[subject], dtype=np.int64)
        found = distribution_drift(subject, before, np.array(recent[subject], dtype=np.int64))
        is_age = subject in ages and found.level is Level.ALERT
        yield replace(found, level=Level.WATCH) if is_age else found


def hit_rates(reference: Sequence[Day], later: Sequence[Day]) -> Iterator[Finding]:
    """Yield for each rule whether the last day brings an alarm of its cumulative sums.

    Parameters
    ----------
    reference : days from which the usual rate is taken first; a rule that never hit has one too
    later : days after it, in order; each is compared with all days before it, and the sums are
        computed again from the first of them
    """
    rules = sorted({rule for one in (*reference, *later) for rule in one.hits})
    for rule in rules:
        asked = sum(one.decisions for one in reference)
        usual = sum(one.hits.get(rule, 0) for one in reference)
        watch, found = Cusum(rule, 0.5, _SLACK, _INTERVAL), None
        for one in later:
            hits = one.hits.get(rule, 0)
            watch = replace(watch, rate=(usual + 0.5) / (asked + 1))
            z = surprise(hits, one.decisions, usual=usual, asked=asked)
            watch, found = watch.observe(one.decisions, hits, z=z)
            asked, usual = asked + one.decisions, usual + hits
        yield found or _usual(watch, later[-1])


def _usual(watch: Cusum, last: Day) -> Finding:
    share = last.hits.get(watch.rule, 0) / last.decisions
    told = (f"{share:.2%}", f"{watch.rate:.2%}")
    return Finding(
        Drift.HIT_RATE,
        watch.rule,
        Level.STEADY,
        share,
        "Rule {} hits {} of decisions, usually {}.".format(watch.rule, *told),
        "规则 {} 命中率 {}，常值 {}。".format(watch.rule, *told),
    )


def calibrations(days: Sequence[Day]) -> Iterator[Found]:
    """Yield for each model whether as many turned out bad, of those let pass, as it said."""
    labelled = [one.labels for one in days if one.labels is not None][-CALIBRATED_DAYS:]
    for model in sorted({name for one in labelled for name in one.models}):
        seen = [one.models[model] for one in labelled if model in one.models]
        whole = Chances(
            sum(one.rows for one in seen),
            sum(one.expected for one in seen),
            sum(one.spread for one in seen),
            sum(one.bad for one in seen),
        )
        # Where nothing is told at all, nobody knows whether the model is right.
        if not whole.bad or max(whole.expected, whole.bad) < LEAST_BAD:
            yield TooLittle(
                Drift.CALIBRATION,
                model,
                f"{model}: not enough, {whole.expected:.1f} bad expected and {whole.bad} known"
                f" of {whole.rows}; at least one and {LEAST_BAD} are needed.",
                f"{model}：数据不足，{whole.rows} 笔中预期 {whole.expected:.1f} 笔、已知"
                f" {whole.bad} 笔为坏；需至少已知 1 笔，且其一达到 {LEAST_BAD} 笔。",
            )
        else:
            yield calibration_of(
                model,
                rows=whole.rows,
                expected=whole.expected,
                spread=whole.spread,
                bad=whole.bad,
            )


def recalls(policy: str, days: Sequence[Day]) -> Found:
    """Return whether the last days whose labels are known catch as much as those before."""
    known = [
        DayRecall((one.day - _EPOCH).days, one.labels.bad, one.labels.caught,
                  one.labels.loss_minor, one.labels.caught_minor)
        for one in days if one.labels is not None
    ]  # fmt: skip
    now = sum(one.bad for one in known[-RECENT_DAYS:])
    before = sum(one.bad for one in known[:-RECENT_DAYS])
    if min(now, before) < LEAST_BAD:
        return TooLittle(
            Drift.RECALL,
            policy,
            f"{policy}: not enough, {before} bad events known before and {now} in the last"
            f" {RECENT_DAYS} days whose labels had {LABEL_DELAY_DAYS} days to come in;"
            f" {LEAST_BAD} of each are needed.",
            f"{policy}：数据不足，标签等待 {LABEL_DELAY_DAYS} 天后，此前已知 {before} 笔、"
            f"最近 {RECENT_DAYS} 天 {now} 笔为坏，各需至少 {LEAST_BAD} 笔。",
        )
    return recall_drift(policy, known, recent=RECENT_DAYS)


def mature_by(day: date) -> date:
    """Return the last day whose labels had time to come in by the end of a day."""
    return day - timedelta(days=LABEL_DELAY_DAYS)
