"""What a policy does to the events of a past: approval, loss, recall, who is disturbed, the work.

Loss is what the outcomes let through: all of it after `approve`, at most the limit after `limit`,
what a second factor does not stop after `step_up`, what people do not find after `review` and
`hold`, nothing after `decline`. How much those two stop is assumed, and stated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from steelyard.decisions.backtest.judging import (
    APPROVE,
    DECLINE,
    HOLD,
    LIMIT,
    NO_SCORE,
    REVIEW,
    STEP_UP,
    Judged,
)
from steelyard.decisions.backtest.past import DAY_MS, WHOLE_BP, Flags, Integers, Past
from steelyard.decisions.model.decision import OUTCOMES
from steelyard.decisions.model.metrics import auc, average_precision, ks
from steelyard.decisions.model.tradeoff import AtRank, Costs, History, at_rank

RANKS = (50, 100, 500, 1_000)


@dataclass(frozen=True, slots=True)
class Assumed:
    """What history cannot say.

    Attributes
    ----------
    costs : of a good event declined, of a case reviewed; share of the loss that a review finds
    step_up_stops_bp : share of the loss that a second factor stops
    """

    costs: Costs
    step_up_stops_bp: int = 9_000


COSTS: Mapping[str, Costs] = {
    "payment": Costs(2_000, 150, 3_000, 9_000),
    "log_in": Costs(5_000, 0, 2_000, 9_000),
    # A good loan declined loses its margin.
    "loan_application": Costs(0, 800, 10_000, 6_000),
    "withdrawal": Costs(5_000, 0, 3_000, 9_000),
    "merchant_application": Costs(0, 300, 20_000, 8_000),
}
"""What is assumed of each scene if nobody says otherwise; judgement, and stated in every report."""


@dataclass(frozen=True, slots=True)
class OutcomeLine:
    """What became of the events that were given one outcome.

    Attributes
    ----------
    events, bad : how many; amount_minor, loss_minor : of them, had all been approved
    """

    outcome: str
    events: int
    bad: int
    amount_minor: int
    loss_minor: int


@dataclass(frozen=True, slots=True)
class Measures:
    """The figures of one policy on one past.

    Attributes
    ----------
    events, bad, days : how many, over how many days (of 24 hours, from the first to the last)
    loss_minor : without any policy; let_through_minor : with it, as assumed
    cost_minor : let through, and what insults and reviews cost
    outcomes : a line for each outcome that was given
    approved : share of the events that pass, limited ones too; approved_amount : of the amounts
    good_disturbed : share of the good events not simply approved
    good_declined : share of the good events declined
    subjects_disturbed : share of the subjects without a bad event who were disturbed at least once
    recall, loss_recall : share of the bad, and of the loss, not simply approved
    precision : share of bad among what was not simply approved
    reviewed_a_day : events for people (review, hold)
    auc, average_precision, ks : of the score; None where it or a class is missing
    ranks : precision and recall among the k highest scores
    failed : events that the fault mode answered
    """

    events: int
    bad: int
    days: float
    loss_minor: int
    let_through_minor: int
    cost_minor: int
    outcomes: tuple[OutcomeLine, ...]
    approved: float
    approved_amount: float | None
    good_disturbed: float | None
    good_declined: float | None
    subjects_disturbed: float | None
    recall: float | None
    loss_recall: float | None
    precision: float | None
    reviewed_a_day: float
    auc: float | None
    average_precision: float | None
    ks: float | None
    ranks: tuple[AtRank, ...]
    failed: int


def measure(past: Past, judged: Judged, assumed: Assumed) -> Measures:
    """Return the figures of a policy; of an empty past there are none to be asked for."""
    outcome, bad = judged.outcome, past.is_bad
    good = ~bad
    disturbed = judged.disturbs
    through = let_through(past, judged, assumed)
    costs = assumed.costs
    turned_away = good & (outcome == DECLINE)
    insult = int(np.count_nonzero(turned_away)) * costs.insult_minor + _share(
        int(past.amount_minor[turned_away].sum()), costs.insult_bp
    )
    people = np.count_nonzero((outcome == REVIEW) | (outcome == HOLD))
    days = max(1.0, float(past.at_ms[-1] - past.at_ms[0]) / DAY_MS)
    amount = int(past.amount_minor.sum())
    loss = int(past.loss_minor.sum())
    history = scored(past, judged)
    return Measures(
        events=past.rows,
        bad=int(np.count_nonzero(bad)),
        days=days,
        loss_minor=loss,
        let_through_minor=through,
        cost_minor=through + insult + int(people) * costs.review_minor,
        outcomes=_lines(past, outcome),
        approved=_part(judged.lets_pass, np.ones_like(bad)) or 0.0,
        approved_amount=int(past.amount_minor[judged.lets_pass].sum()) / amount if amount else None,
        good_disturbed=_part(disturbed, good),
        good_declined=_part(outcome == DECLINE, good),
        subjects_disturbed=_subjects(past, disturbed),
        recall=_part(disturbed, bad),
        loss_recall=int(past.loss_minor[disturbed].sum()) / loss if loss else None,
        precision=_part(bad, disturbed),
        reviewed_a_day=float(people) / days,
        auc=auc(history.is_bad, history.score) if history else None,
        average_precision=average_precision(history.is_bad, history.score) if history else None,
        ks=ks(history.is_bad, history.score) if history else None,
        ranks=tuple(at_rank(history, k) for k in RANKS if k <= past.rows) if history else (),
        failed=int(np.count_nonzero(judged.failed)),
    )


def scored(past: Past, judged: Judged) -> History | None:
    """Return the past by its scores; None where no event has one.

    What the fault mode answered has no score: it stands lowest where that approves, and highest
    where it declines, as does any other event by its outcome.
    """
    has = judged.score != NO_SCORE
    if not has.any():
        return None
    without = np.where(judged.lets_pass, -1.0, 1001.0)
    return History(
        np.where(has, judged.score, without).astype(np.float64),
        past.is_bad,
        past.amount_minor,
        past.loss_minor,
    )


def let_through(past: Past, judged: Judged, assumed: Assumed) -> int:
    """Return the loss that the outcomes let through, in minor units."""
    loss, outcome = past.loss_minor, judged.outcome

    def of(where: Flags) -> int:
        return int(loss[where].sum())

    limited = outcome == LIMIT
    return (
        of(outcome == APPROVE)
        + int(np.minimum(loss, judged.limit_minor)[limited].sum())
        + _share(of(outcome == STEP_UP), WHOLE_BP - assumed.step_up_stops_bp)
        + _share(
            of((outcome == REVIEW) | (outcome == HOLD)), WHOLE_BP - assumed.costs.review_finds_bp
        )
    )


def _share(amount: int, bp: int) -> int:
    return (amount * bp + WHOLE_BP // 2) // WHOLE_BP


def _lines(past: Past, outcome: Integers) -> tuple[OutcomeLine, ...]:
    made = []
    for code, name in enumerate(OUTCOMES):
        rows = outcome == code
        events = int(np.count_nonzero(rows))
        if events:
            made.append(
                OutcomeLine(
                    name,
                    events,
                    int(np.count_nonzero(rows & past.is_bad)),
                    int(past.amount_minor[rows].sum()),
                    int(past.loss_minor[rows].sum()),
                )
            )
    return tuple(made)


def _part(which: Flags, of: Flags) -> float | None:
    whole = int(np.count_nonzero(of))
    return int(np.count_nonzero(which & of)) / whole if whole else None


def _subjects(past: Past, disturbed: Flags) -> float | None:
    guilty = np.unique(past.subject[past.is_bad])
    good = np.setdiff1d(past.subject, guilty)
    if not len(good):
        return None
    return len(np.intersect1d(past.subject[disturbed], good)) / len(good)


def moves(before: Integers, after: Integers) -> list[tuple[str, str, int]]:
    """Return how many events two policies give which pair of outcomes, changed ones only.

    Examples
    --------
    >>> moves(np.array([0, 0, 5]), np.array([0, 5, 5]))
    [('approve', 'decline', 1)]
    """
    many = len(OUTCOMES)
    counts = np.bincount(before * many + after, minlength=many * many).tolist()
    return [
        (OUTCOMES[place // many], OUTCOMES[place % many], count)
        for place, count in enumerate(counts)
        if count and place // many != place % many
    ]
