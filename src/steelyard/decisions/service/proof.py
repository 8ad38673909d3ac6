"""Proof: a recorded decision is computed again, and its bytes compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from steelyard.decisions.model.decision import Decision, record_of
from steelyard.decisions.model.policy import CompiledPolicy
from steelyard.decisions.model.roster import switched_off, variant
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
    connection: sa.Connection, id: UUID, policies: Mapping[str, Policy]
) -> Replayed:
    """Compute a decision again from its recorded inputs by the policy of its version.

    Parameters
    ----------
    policies : by scene

    Refusals
    --------
    decision_is_unknown, policy_is_unknown
    """
    line = read_decision(connection, id)
    recorded = line.decision
    policy = policies.get(recorded.asked.scene)
    if policy is None or policy.cause != recorded.cause:
        raise PolicyIsUnknown(cause=recorded.cause)
    computed = replay(recorded, _as_it_was(policy, recorded.versions))
    differing = tuple(
        name
        for name in Decision.__struct_fields__
        if _plain(getattr(recorded, name)) != _plain(getattr(computed, name))
    )
    return Replayed(recorded, computed, record_of(computed) == line.record, differing)


def _as_it_was(policy: Policy, versions: Mapping[str, str]) -> Policy:
    """Return a policy without what was left out of it, or switched off, when it decided."""
    if not isinstance(policy, CompiledPolicy):
        return policy
    if "killed" in versions:
        return switched_off(policy, versions["killed"])
    return variant(policy, versions.get("without", ""))


def _plain(value: object) -> object:
    """Return a value with its tuples as lists, as a record has them."""
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value
