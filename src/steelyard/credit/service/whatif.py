"""Strategy what-if: a history of applications under another policy, cut-off, limit or price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from steelyard.credit.model.outcome import OutcomeModel, fit
from steelyard.credit.model.portfolio_tables import Cell, Table
from steelyard.credit.model.risk_refusals import HistoryIsTooShort, StrategyIsInvalid
from steelyard.credit.model.whatif import (
    COVARIATES,
    Answers,
    Change,
    Economics,
    Granted,
    History,
    Outcome,
    as_it_was,
    grant,
    judge,
    sweep,
)
from steelyard.credit.products import DELIVERED
from steelyard.credit.service.answers import answers_of
from steelyard.credit.service.made_up import PRICE_ADD_BP, SCENE, make_up
from steelyard.decisions import backtest

__all__ = [
    "SCENE",
    "Change",
    "Economics",
    "Found",
    "HistoryIsTooShort",
    "Outcome",
    "StrategyIsInvalid",
    "Tried",
    "remarks",
    "tables",
    "try_on",
    "try_sample",
]

CUT_OFFS: Final = (50, 100, 150, 200, 250, 300, 350, 400, 500, 600, 700, 850, 1_001)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A strategy to try on a history.

    Attributes
    ----------
    answers : of the policy that it asks
    change : what it does differently from the policy
    economics : what history does not say about money
    """

    answers: Answers
    change: Change
    economics: Economics


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a strategy would have done beside what happened.

    Attributes
    ----------
    history : what it was tried on
    model : of the outcome of loans that were not made
    happened, tried : history as it was; the strategy
    cut_offs : the strategy with each of some cut-offs instead of its own
    """

    history: History
    model: OutcomeModel
    economics: Economics
    happened: Outcome
    tried: Outcome
    cut_offs: tuple[tuple[int, Outcome], ...]


def try_on(history: History, tried: Tried, cut_offs: Sequence[int] = CUT_OFFS) -> Found:
    """Return what a strategy would have done to a history, beside what happened.

    Refusals
    --------
    history_is_too_short : too few loans with a known outcome for an outcome model
    """
    known = history.known
    model = fit(COVARIATES, history.covariates[known], history.bad[known])
    granted: Granted = grant(history, tried.answers, tried.change)
    economics = tried.economics
    return Found(
        history,
        model,
        economics,
        judge(history, as_it_was(history), model, economics),
        judge(history, granted, model, economics),
        tuple(sweep(history, tried.answers, (model, economics, tried.change), cut_offs)),
    )


def try_sample(
    change: Change,
    economics: Economics,
    progress: Progress,
    *,
    policy: str | None = None,
    seed: int = 1,
) -> Found:
    """Return what a strategy would have done to a made-up history.

    Parameters
    ----------
    policy : name or file of another policy; None asks the one of that time

    Refusals
    --------
    history_is_too_short, and how `backtest.find_policy` refuses a name
    """
    made = make_up(progress, seed=seed)
    answers = made.answers
    if policy is not None:
        chosen = backtest.find_policy(policy, SCENE)
        past = made.past
        if not chosen.reads <= set(past.columns):
            past = backtest.make_sample(SCENE, chosen.reads, progress, seed=seed)
        answers = answers_of(chosen, past, DELIVERED["quick_cash"], progress, add_bp=PRICE_ADD_BP)
    return try_on(made.history, Tried(answers, change, economics))


# -- what is told ---------------------------------------------------------------------------------


def tables(found: Found) -> list[Table]:
    """Return the two side by side, and the cut-offs."""
    both = (_line(found.happened), _line(found.tried))
    sides = tuple(
        (name, *(one[n] for one in both)) for n, name in enumerate(_HEADS) if name != "strategy"
    )
    swept = tuple((cut, *_line(one)[1:]) for cut, one in found.cut_offs)
    heads = ("figure", found.happened.name, found.tried.name)
    return [
        Table("side_by_side", "What happened, and what would have", heads, sides),
        Table("cut_offs", "The same with other cut-offs", ("cut_off", *_HEADS[1:]), swept),
    ]


_HEADS: Final = (
    "strategy", "applications", "lent", "lent_minor", "approval_rate", "reviewed", "kept", "added",
    "dropped", "observed", "beyond", "bad", "bad_rate", "bad_low", "bad_high", "dropped_bad_rate",
    "added_bad_rate", "income_minor", "funding_minor", "lost_minor", "cost_minor", "result_minor",
    "result_low_minor", "result_high_minor", "return_on_capital", "true_bad", "true_result_minor",
)  # fmt: skip


def _line(one: Outcome) -> tuple[Cell, ...]:
    low, high = one.range_minor
    true = one.true
    return (
        one.name,
        one.applications,
        one.lent,
        one.lent_minor,
        _rounded(one.lent / one.applications),
        one.reviewed,
        one.kept,
        one.added,
        one.dropped,
        one.observed,
        one.beyond,
        round(one.central.bad, 1),
        _rounded(one.bad_share),
        round(one.better.bad, 1),
        round(one.worse.bad, 1),
        _rounded(one.dropped_bad),
        _rounded(one.added_bad),
        one.central.income_minor,
        one.central.funding_minor,
        one.central.lost_minor,
        one.cost_minor,
        one.result_minor,
        low,
        high,
        _rounded(one.on_capital),
        None if true is None else round(true.bad, 1),
        None if true is None else true.result_minor(one.cost_minor),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def remarks(found: Found) -> list[str]:
    """Return what has to be known to read the figures: one sentence or two each."""
    history, model, tried, economics = found.history, found.model, found.tried, found.economics
    known = int(history.known.sum())
    made = [
        *history.notes,
        f"Of {history.rows:,} applications {int(history.lent.sum()):,} were lent to; the outcome of"
        f" {known:,} is known, {model.bad:,} of them bad. Loans that are too young, and loans that"
        " were never made, count with the probability of a logistic model of"
        f" {', '.join(model.names)} (AUC {model.auc:.3f} on the loans that it was fitted on).",
        "What the model sees of an application is taken to be all that acceptance went by. Nothing"
        " in the data can prove that: the odds of each loan that was not made are therefore also"
        f" taken {economics.odds:g} times higher and lower, which is the range given.",
        "A loan keeps its outcome whatever its amount and price, and nobody walks away from a"
        " higher price: what a change of price or amount does to demand is not in the figures.",
    ]
    if tried.added == 0:
        made.append(
            "The strategy lends nobody who was not lent to: it tightens only, every outcome is that"
            " of a loan that was made."
        )
    else:
        made.append(
            f"{tried.added:,} loans were not made in history; {tried.beyond:,} of them are unlike"
            " any that was, and there the model extrapolates."
        )
    if tried.true is not None:
        low, high = tried.range_minor
        truth = tried.true.result_minor(tried.cost_minor)
        place = "inside" if low <= truth <= high else "outside"
        made.append(
            "Who made the history up knows the truth: the result would have been"
            f" {truth:,}, {place} the range."
        )
    return made
