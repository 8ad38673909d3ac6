"""What the loans of a chunk post on a day: sums by pool and stage, and each loan's part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from steelyard.credit.model.close import Earned, Integers, LoanColumns
from steelyard.credit.model.postings import Flow, PartFlow, Position

_AMOUNTS = {
    "interest_minor": "interest_receivable_minor",
    "penalty_minor": "penalty_receivable_minor",
    "fee_minor": "fee_receivable_minor",
    "interest_suspended_minor": "interest_suspended_minor",
    "penalty_suspended_minor": "penalty_suspended_minor",
    "provision_minor": "provision_minor",
}
"""Fields of a position by the columns of the standing."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Loans of one pool that were in one stage and are in one stage.

    Attributes
    ----------
    nrs : int64 (loans,)
    interest, penalty, fee : int64 (loans,), earned by each, our share
    provision : int64 (loans,), what the provision of each grew by
    before, after, flow : their sums, as the templates of postings take them
    """

    pool: int
    stage_before: int
    stage: int
    nrs: Integers
    interest: Integers
    penalty: Integers
    fee: Integers
    provision: Integers
    before: Position
    after: Position
    flow: Flow


def groups(before: LoanColumns, after: LoanColumns, earned: Earned) -> Iterator[Group]:
    """Yield the groups of a chunk of which something moves, by pool and stages.

    Their sums together are those of all loans.
    """
    key = (before.pool * 4 + before.stage) * 4 + after.stage
    grown = after.provision_minor - before.provision_minor
    moves = (before.stage != after.stage) | (grown != 0)
    moves |= (earned.interest_minor != 0) | (earned.penalty_minor != 0) | (earned.fee_minor != 0)
    moving = np.flatnonzero(moves)
    order = moving[np.argsort(key[moving], kind="stable")]
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    for at in np.split(order, starts[1:]) if len(order) else []:
        first = at[0]
        parts = (earned.interest_minor, earned.penalty_minor, earned.fee_minor)
        interest, penalty, fee = (
            PartFlow(earned_minor=int(one[at].sum()), waived_minor=0) for one in parts
        )
        yield Group(
            pool=int(before.pool[first]),
            stage_before=int(before.stage[first]),
            stage=int(after.stage[first]),
            nrs=before.nr[at],
            interest=parts[0][at],
            penalty=parts[1][at],
            fee=parts[2][at],
            provision=grown[at],
            before=_sum(before, at),
            after=_sum(after, at),
            flow=Flow(interest=interest, penalty=penalty, fee=fee),
        )


def _sum(loans: LoanColumns, at: Integers) -> Position:
    sums = {field: int(getattr(loans, column)[at].sum()) for field, column in _AMOUNTS.items()}
    return Position(stage=int(loans.stage[at[0]]), **sums)
