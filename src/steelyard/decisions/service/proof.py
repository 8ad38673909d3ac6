"""Proof: a recorded decision is computed again, and its bytes compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from steelyard.decisions.model.decision import Decision, record_of
from steelyard.decisions.service.engine import Policy, replay
from steelyard.decisions.service.log import read_decision
from steelyard.kernel import Refusal, RefusalKind


class PolicyIsUnknown(Refusal):
    """The policy of a decision, in its version, is not here."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no policy {cause} to compute the decision again with."
    zh = "没有策略 {cause}，无法重算该决策。"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A decision as it is recorded, and as it comes out now.

    Attributes
    ----------
    is_equal : whether the bytes are
    differing : names of the fields that are not
    """

    recorded: Decision
    computed: Decision
    is_equal: bool
    differing: tuple[str, ...]


def replay_decision(
    connection: sa.Connection, id: UUID, made_by: Callable[[sa.Connection, Decision], Policy]
) -> Replayed:
    """Compute a decision again from its recorded inputs by the policy of its version.

    Parameters
    ----------
    made_by : returns the policy of a decision, as it judged (`policies.policy_that_made`)

    Refusals
    --------
    decision_is_unknown, policy_is_unknown
    """
    line = read_decision(connection, id)
    recorded = line.decision
    computed = replay(recorded, made_by(connection, recorded))
    differing = tuple(
        name
        for name in Decision.__struct_fields__
        if _plain(getattr(recorded, name)) != _plain(getattr(computed, name))
    )
    return Replayed(recorded, computed, record_of(computed) == line.record, differing)


def _plain(value: object) -> object:
    """Return a value with its tuples as lists, as a record has them."""
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value
