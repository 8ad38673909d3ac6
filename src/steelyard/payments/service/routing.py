"""Rules of routing, written by people; what was decided, made again, and tried otherwise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties import approvals
from steelyard.payments.model.health import is_good
from steelyard.payments.model.retries import NextStep
from steelyard.payments.model.routing import (
    Candidate,
    Choice,
    NoChannelIsOpen,
    choose,
    draw,
    explain,
    propensity_of,
)
from steelyard.payments.model.routing_evaluation import Estimate, Logged, snips
from steelyard.payments.model.routing_rules import (
    Options,
    RoutingPolicy,
    RoutingRequest,
    Rule,
    RuleDoesNotFit,
    Verb,
    apply_rules,
    check_rules,
)
from steelyard.payments.service.channel_facts import RoutingPolicyChanged
from steelyard.payments.service.routing_desk import (
    ChannelDayIsFull,
    Retry,
    RoutingDesk,
    count_days_again,
)
from steelyard.payments.store import channel_desk as channel_table
from steelyard.payments.store import routing as table
from steelyard.payments.store.routing import (
    PolicyRow,
    Share,
    StoredDecision,
    find_decision,
    insert_decisions,
    policies,
    policy_in_force,
    shares,
)

__all__ = [
    "POLICY",
    "Candidate",
    "ChannelDayIsFull",
    "Choice",
    "Estimate",
    "NextStep",
    "NoChannelIsOpen",
    "Options",
    "PolicyIsInForce",
    "PolicyRow",
    "Proposed",
    "Replayed",
    "Retry",
    "RoutingDecisionIsUnknown",
    "RoutingDesk",
    "RoutingPolicy",
    "RoutingPolicyIsUnknown",
    "RoutingRequest",
    "Rule",
    "RuleDoesNotFit",
    "Share",
    "StoredDecision",
    "Verb",
    "choose",
    "count_days_again",
    "enact",
    "evaluate",
    "explain",
    "find_decision",
    "insert_decisions",
    "options_of",
    "policies",
    "policy_in_force",
    "propensity_of",
    "propose",
    "replay",
    "shares",
]

_MOST_LOGGED: Final = 100_000
POLICY: Final = approvals.approval_kind(
    "payments.routing_policy",
    verb="payments.approve",
    en="Put rules of routing in force",
    zh="启用路由规则",
)


class RoutingPolicyIsUnknown(Refusal):
    """There is no such version of the rules."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no version {version} of the rules of routing."
    zh = "没有第 {version} 版路由规则。"


class PolicyIsInForce(Refusal):
    """The version came into force before."""

    kind = RefusalKind.CONFLICT
    en = "Version {version} of the rules of routing came into force already."
    zh = "第 {version} 版路由规则已启用过。"


class RoutingDecisionIsUnknown(Refusal):
    """The attempt's channel was not chosen by routing, or there is no such attempt."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no decision of routing for attempt {attempt}."
    zh = "支付尝试 {attempt} 没有路由决策记录。"


@dataclass(frozen=True, slots=True)
class Proposed:
    """A version of the rules that waits for a second person."""

    row: PolicyRow
    approval: approvals.Approval


def propose(unit: UnitOfWork, rules: Sequence[Rule], options: Options, *, reason: str) -> Proposed:
    """Write a version of the rules, and ask for a second person's yes.

    Refusals
    --------
    rule_does_not_fit
    """
    known = frozenset(one.code for one in channel_table.read_all(unit.connection))
    check_rules(rules, known)
    version = table.lock_policies(unit.connection) + 1
    policy = RoutingPolicy(version=version, rules=tuple(rules), options=options)
    table.insert_policy(unit.connection, policy, reason=reason, actor=unit.actor, at=unit.now)
    (row,) = policies(unit.connection, version=version)
    asked = approvals.request_approval(
        unit,
        kind=POLICY.name,
        subject=f"routing_policy:{version}",
        shown=_shown(row),
        by=unit.actor,
    )
    audit(
        unit,
        action="payments.propose_routing",
        subject=f"routing_policy:{version}",
        detail={"rules": len(policy.rules)},
    )
    return Proposed(row, asked)


def enact(unit: UnitOfWork, version: int, *, approval: UUID) -> PolicyRow:
    """Put a version in force, as two people want it; an older one too, to go back.

    Refusals
    --------
    routing_policy_is_unknown, policy_is_in_force, and those of `consume_approval`
    """
    table.lock_policies(unit.connection)
    found = policies(unit.connection, version=version)
    if not found:
        raise RoutingPolicyIsUnknown(version=version)
    if found[0].in_force_at is not None:
        raise PolicyIsInForce(version=version)
    subject = f"routing_policy:{version}"
    cause = approvals.consume_approval(
        unit, approval, kind=POLICY.name, subject=subject, shown=_shown(found[0])
    )
    table.put_in_force(unit.connection, version, cause=cause, at=unit.now)
    unit.record(RoutingPolicyChanged(policy=version, cause=cause), subject=subject)
    audit(unit, action="payments.enact_routing", subject=subject, detail={"cause": cause})
    return policies(unit.connection, version=version)[0]


def _shown(row: PolicyRow) -> dict[str, object]:
    options = row.policy.options
    return {
        "version": row.policy.version,
        "rules": table.rules_to_plain(row.policy.rules),
        "options": {
            name: json.dumps(getattr(options, name)) for name in options.__dataclass_fields__
        },
        "reason": row.reason,
    }


@dataclass(frozen=True, slots=True)
class Replayed:
    """A choice as it was made, and as it is made again from what was written down.

    Attributes
    ----------
    channel, propensity : of the second time
    """

    stored: StoredDecision
    channel: str
    propensity: float

    @property
    def agrees(self) -> bool:
        """Whether both times gave the same, to the bit."""
        first = self.stored.choice
        return (self.channel, self.propensity) == (first.chosen, first.propensity)


def replay(connection: sa.Connection, attempt: UUID) -> Replayed:
    """Make the choice of an attempt's channel again, from its record and its version of the rules.

    Refusals
    --------
    routing_decision_is_unknown
    """
    stored = find_decision(connection, attempt)
    if stored is None:
        raise RoutingDecisionIsUnknown(attempt=attempt)
    choice = stored.choice
    policy = _policy_of(connection, choice.policy)
    ruled_out = [code for code, why in choice.excluded.items() if why.startswith("rule:")]
    codes = sorted([*(one.channel for one in choice.candidates), *ruled_out])
    ruled = apply_rules(policy.rules, stored.request, codes, choice.seed)
    _, chosen, learnt = draw(choice.candidates, policy.options, choice.seed)
    if ruled.chosen is not None:
        return Replayed(stored, ruled.chosen, ruled.propensity)
    return Replayed(stored, chosen, learnt)


def options_of(connection: sa.Connection, version: int) -> Options:
    """Return the options of a version of the rules; 0 is what counts before anybody wrote any."""
    return _policy_of(connection, version).options


def _policy_of(connection: sa.Connection, version: int) -> RoutingPolicy:
    return policies(connection, version=version)[0].policy if version else RoutingPolicy()


def evaluate(
    connection: sa.Connection,
    options: Options,
    *,
    since: datetime,
    until: datetime,
    wider: float = 1.0,
) -> tuple[Estimate, Estimate] | None:
    """Return the success rate of payments as they were routed, and as other options would have.

    Parameters
    ----------
    options : those tried on the logged payments
    wider : factor of the deviations that draws are made with: over 1 explores more

    Returns
    -------
    tuple of Estimate, or None
        As it was, and as it would have been (SNIPS); None where nothing was logged that ended.
    """
    was, other = [], []
    for chosen, propensity, candidates, state, decline, seconds in table.logged(
        connection, since, until, limit=_MOST_LOGGED
    ):
        good = is_good(state, decline, seconds)
        if good is None:
            continue
        gain = float(good)
        tried = [one._replace(deviation=one.deviation * wider) for one in candidates]
        was.append(Logged(propensity, propensity, gain))
        other.append(Logged(propensity, propensity_of(tried, chosen, options), gain))
    return (snips(was), snips(other)) if was else None
