"""Risk parameters estimated from the book: product by product, drawn towards the whole.

The whole book is drawn towards the stated prior of `migration`, each product towards the whole
book, by so many pseudo-loans. A product that is new therefore has the book's figures, and its own
as soon as it has shown them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final

import numpy as np

from steelyard.credit.model.ecl import PARTS
from steelyard.credit.model.migration import (
    PSEUDO_LOANS,
    Integers,
    LossShare,
    Migration,
    default_curve,
    estimate,
    loss_given_default,
    prior_of,
    states_of,
)
from steelyard.credit.model.parameters import (
    DEFAULT_BUCKET,
    MONTHS,
    WHOLE_BOOK,
    Parameters,
    Segment,
    live_labels,
)
from steelyard.credit.model.risk_refusals import HistoryIsTooShort

LEAST_MOVES: Final = 500
"""Fewer monthly moves than this are no estimate of a book."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a book showed of one product.

    Attributes
    ----------
    counts : int64 (months, states, states), as `migration.count_moves` gives them
    exposed_minor, recovered_minor : int64 (defaults,), of defaults whose end is known
    """

    counts: Integers
    exposed_minor: Integers
    recovered_minor: Integers


def estimate_parameters(seen: Mapping[str, Seen], as_of: date, *, version: int) -> Parameters:
    """Return the parameters that a book shows.

    Parameters
    ----------
    seen : by product

    Refusals
    --------
    history_is_too_short
    """
    counts = {product: one.counts.sum(axis=0) for product, one in seen.items()}
    moves = sum(int(one[:DEFAULT_BUCKET].sum()) for one in counts.values())
    if moves < LEAST_MOVES:
        raise HistoryIsTooShort(found=moves, what="monthly moves", least=LEAST_MOVES)
    states = states_of(live_labels())
    whole = estimate(np.sum(list(counts.values()), axis=0), states)
    exposed = np.concatenate([one.exposed_minor for one in seen.values()])
    recovered = np.concatenate([one.recovered_minor for one in seen.values()])
    lost = loss_given_default(exposed, recovered)
    segments = [_segment(WHOLE_BOOK, whole, lost)]
    for product, one in seen.items():
        if not counts[product][:DEFAULT_BUCKET].any():
            continue
        own = estimate(counts[product], states, prior=whole.matrix)
        share = loss_given_default(one.exposed_minor, one.recovered_minor, prior=lost.mean)
        segments.append(_segment(product, own, share))
    months = max(len(one.counts) for one in seen.values())
    note = f"cohorts of {months} months, {moves} moves, {lost.defaults} ended defaults"
    return Parameters(version, as_of, months, {one.product: one for one in segments}, note=note)


@cache
def delivered_parameters() -> Parameters:
    """Return version 0: the stated priors, until a book has shown something."""
    many = DEFAULT_BUCKET + 2
    nothing, unsure = np.zeros((many, many), np.int64), np.zeros((many, many))
    states = states_of(live_labels())
    matrix = prior_of(DEFAULT_BUCKET)
    prior = Migration(states, nothing, matrix, unsure, unsure + 1, PSEUDO_LOANS, 0)
    segment = _segment(WHOLE_BOOK, prior, loss_given_default([], []))
    return Parameters(
        0, date(2026, 1, 1), 0, {WHOLE_BOOK: segment}, note="priors, a judgement; nothing was seen"
    )


def _segment(product: str, migration: Migration, lost: LossShare) -> Segment:
    curves = [default_curve(migration, state, MONTHS) for state in range(DEFAULT_BUCKET)]
    return Segment(
        product,
        tuple(tuple(_parts(p) for p in curve.cumulative.tolist()) for curve in curves),
        tuple(_parts(float(curve.low[12])) for curve in curves),
        tuple(_parts(float(curve.high[12])) for curve in curves),
        _parts(lost.mean),
        int(migration.counts[:DEFAULT_BUCKET].sum()),
        lost.defaults,
    )


def _parts(share: float) -> int:
    return min(PARTS, int(share * PARTS + 0.5))
