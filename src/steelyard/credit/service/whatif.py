"""Strategy what-if: a history of applications under another policy, cut-off, limit or price."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import sqlalchemy as sa

from steelyard.credit.model.book import Flags, Integers, Labels, month_of
from steelyard.credit.model.outcome import OutcomeModel, fit
from steelyard.credit.model.parameters import DEFAULT_BUCKET
from steelyard.credit.model.portfolio_tables import Cell, Table
from steelyard.credit.model.risk_refusals import HistoryIsTooShort, StrategyIsInvalid
from steelyard.credit.model.whatif import (
    COVARIATES,
    NO_SCORE,
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
from steelyard.credit.service.answers import answers_of, answers_to_past, price_bp
from steelyard.credit.service.made_up import KNOWN_AFTER, PRICE_ADD_BP, SCENE, make_up
from steelyard.credit.store import whatif as table
from steelyard.decisions import Decision, backtest, records
from steelyard.features.catalogue import complete

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
    "try_log",
    "try_on",
    "try_sample",
]

_KNOWN: Final = (
    f"The outcome of a loan is known {KNOWN_AFTER} months after it was made; each is laid out as"
    " equal instalments by the month."
)
_MOST_CUT_OFFS: Final = 12
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


def cut_offs_of(answers: Answers) -> tuple[int, ...]:
    """Return cut-offs that differ in whom they lend to: just above scores that were given.

    Returns
    -------
    tuple
        At most `_MOST_CUT_OFFS`, rising; the last lends to every score.
    """
    given = answers.score[answers.score != NO_SCORE]
    levels, many = np.unique(given, return_counts=True)
    # The levels at which most stand: a cut there changes most.
    most = np.argsort(-many, kind="stable")[: _MOST_CUT_OFFS - 1]
    chosen = np.union1d(levels[most], levels[-1:])
    return tuple(int(one) + 1 for one in chosen)


def try_on(history: History, tried: Tried, cut_offs: Sequence[int] | None = None) -> Found:
    """Return what a strategy would have done to a history, beside what happened.

    Parameters
    ----------
    cut_offs : tried beside it; None takes those that differ

    Refusals
    --------
    history_is_too_short : too few loans with a known outcome for an outcome model
    """
    known = history.known
    model = fit(COVARIATES, history.covariates[known], history.bad[known])
    granted: Granted = grant(history, tried.answers, tried.change)
    economics = tried.economics
    chosen = cut_offs_of(tried.answers) if cut_offs is None else cut_offs
    return Found(
        history,
        model,
        economics,
        judge(history, as_it_was(history), model, economics),
        judge(history, granted, model, economics),
        tuple(sweep(history, tried.answers, (model, economics, tried.change), chosen)),
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
        if not set(chosen.reads) <= set(past.columns):
            past = backtest.make_sample(SCENE, chosen.reads, progress, seed=seed)
        pricing = (DELIVERED["quick_cash"], PRICE_ADD_BP)
        answers = answers_to_past(chosen, past, pricing, progress)
    return try_on(made.history, Tried(answers, change, economics))


def try_log(
    connection: sa.Connection,
    change: Change,
    economics: Economics,
    progress: Progress,
    *,
    policy: str | None = None,
) -> Found:
    """Return what a strategy would have done to the applications of the platform.

    A loan's outcome is known once it is `KNOWN_AFTER` months old; bad is what was in default, was
    written off or sold by then or since.

    Parameters
    ----------
    policy : name or file of another policy; None asks the delivered one

    Refusals
    --------
    history_is_too_short, and how `backtest.find_policy` refuses a name
    """
    rows = table.read_decided(connection, known_after=KNOWN_AFTER, default_bucket=DEFAULT_BUCKET)
    if not rows:
        raise HistoryIsTooShort(found=0, what="decided applications", least=1)
    told = []
    for n, row in enumerate(rows):
        told.append(records.read_decision(connection, row["decision"]).decision)
        if n % 500 == 0:
            progress("decisions", n, len(rows))
    progress("decisions", len(rows), len(rows))
    history = _history(rows, told)
    chosen = backtest.find_policy(policy or SCENE, SCENE)
    months = history.months.tolist()

    def prices(scores: Sequence[int]) -> list[int]:
        made = []
        for row, score, long in zip(rows, scores, months, strict=True):
            product = DELIVERED.get(row["product"], DELIVERED["quick_cash"])
            made += price_bp(product, [score], [long])
        return made

    answers = answers_of(chosen, [partial(_values, one) for one in told], prices, progress)
    return try_on(history, Tried(answers, change, economics))


def _values(decision: Decision) -> dict[str, Any]:
    asked = decision.asked
    fields = complete(asked.scene, asked.at_ms, asked.fields)
    return {**fields, **decision.values, **decision.flags}


def _history(rows: Sequence[Mapping[str, Any]], told: Sequence[Decision]) -> History:
    def whole(name: str) -> Integers:
        return np.array([int(row[name] or 0) for row in rows], np.int64)

    def flags(name: str) -> Flags:
        return np.array([bool(row[name]) for row in rows], np.bool_)

    days = [row["drafted_at"] for row in rows]
    scores = [NO_SCORE if one.score is None else one.score for one in told]
    return History(
        source=f"{len(rows):,} applications of the platform",
        notes=(_KNOWN,),
        month=np.array([month_of(day.year, day.month) for day in days], np.int64),
        amount_minor=whole("amount_minor"),
        months=np.array([_months(row["tenor"]) for row in rows], np.int64),
        income_minor=whole("income_minor"),
        score=np.array(scores, np.int64),
        channel=Labels.of([row["channel"] for row in rows]),
        outcome=Labels.of([one.outcome for one in told]),
        reviewed=flags("reviewed"),
        lent=flags("lent"),
        lent_minor=whole("lent_minor"),
        rate_bp=whole("rate_bp"),
        walked_away=flags("walked_away"),
        known=flags("known"),
        bad=flags("bad"),
        bad_nr=whole("bad_nr"),
        recovered_ppm=whole("recovered_ppm"),
    )


def _months(tenor: str) -> int:
    """Return the months of a tenor; one of days is a single period."""
    return int(tenor[:-1]) if tenor.endswith("m") else 1


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
