"""What a policy says to a history of applications, and what its loans would cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from steelyard.credit.model.product import Product
from steelyard.credit.model.whatif import NO_SCORE, Answers
from steelyard.decisions import backtest

_PASSES: Final = frozenset({"approve", "limit"})
_REVIEWS: Final = frozenset({"review", "hold", "step_up"})
_TELL_EVERY: Final = 500


Values = Mapping[str, Any]


def answers_of(
    policy: backtest.CompiledPolicy,
    asked: Sequence[Callable[[], Values]],
    prices: Callable[[Sequence[int]], Sequence[int]],
    progress: Callable[[str, int, int], None],
) -> Answers:
    """Return what a policy says to every application, by the form that decides live.

    Parameters
    ----------
    asked : what gives the values of each application, as they were known then
    prices : from the scores that the policy gives to the yearly rates, basis points
    """
    passes, reviews, scores, limits = [], [], [], []
    for row, values in enumerate(asked):
        said = policy.judge(values())
        passes.append(said.outcome in _PASSES)
        reviews.append(said.outcome in _REVIEWS)
        scores.append(NO_SCORE if said.score is None else said.score)
        limits.append(said.limit_minor or 0)
        if row % _TELL_EVERY == 0:
            progress(policy.cause, row, len(asked))
    progress(policy.cause, len(asked), len(asked))
    return Answers(
        policy.cause,
        np.array(passes, np.bool_),
        np.array(reviews, np.bool_),
        np.array(scores, np.int64),
        np.array(limits, np.int64),
        np.array(prices(scores), np.int64),
    )


def answers_to_past(
    policy: backtest.CompiledPolicy,
    past: backtest.Past,
    pricing: tuple[Product, int],
    progress: Callable[[str, int, int], None],
) -> Answers:
    """Return what a policy says to every event of a past.

    Parameters
    ----------
    pricing : whose table of prices is asked, and what the lender asks above it, basis points
    """
    product, add_bp = pricing
    months = [int(one or 1) for one in past.columns["term_months"].to_list()]
    asked = [partial(past.values, row) for row in range(past.rows)]

    def prices(scores: Sequence[int]) -> list[int]:
        return [one + add_bp for one in price_bp(product, scores, months)]

    return answers_of(policy, asked, prices, progress)


def price_bp(product: Product, scores: Sequence[int], months: Sequence[int]) -> list[int]:
    """Return the yearly rate of each application in basis points.

    A score beyond every tier has the price of the last one; a term that the product does not have,
    that of the next shorter one, or of the shortest.
    """
    tenors = sorted(product.tenors, key=_length)
    cells = {(one.tier, one.tenor): int(one.rate * 10_000) for one in product.prices}
    last = product.tiers[-1].tier

    def price(score: int, long: int) -> int:
        fits = [one for one in tenors if _length(one) <= long] or tenors[:1]
        tier = last if score == NO_SCORE else product.tier_of(score) or last
        return cells[tier, fits[-1]]

    return [price(score, long) for score, long in zip(scores, months, strict=True)]


def _length(tenor: str) -> float:
    """Return the months of a tenor; a fortnight is half of one."""
    number = int(tenor[:-1])
    return number if tenor.endswith("m") else number / 30
