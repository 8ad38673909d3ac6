"""Pre-approval: limits proposed unasked, by a rule that is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.credit.model.line import (
    Candidate,
    Line,
    LineChange,
    LineState,
    PreapprovalRule,
    PreapprovalRuleIsMalformed,
    PreapprovalRuleIsUnknown,
)
from steelyard.credit.model.product import Product, ProductKind, TierIsNotServed
from steelyard.credit.service.catalogue import read_active
from steelyard.credit.service.lines import MARKETING, apply, trace
from steelyard.credit.service.offering import business_on
from steelyard.credit.store import lender as lenders
from steelyard.credit.store import lines as table
from steelyard.credit.store.lines import KeptRule
from steelyard.parties import approvals, consents, registry

__all__ = [
    "RULE",
    "KeptRule",
    "PreapprovalReport",
    "PreapprovalRule",
    "PreapprovalRuleIsMalformed",
    "PreapprovalRuleIsUnknown",
    "expire_proposals",
    "preapprove",
    "read_rule",
    "request_rule",
    "rules",
    "set_rule",
]

RULE = approvals.approval_kind(
    "credit.set_preapproval",
    verb="credit.approve",
    en="Grant limits unasked by a rule",
    zh="预授信规则生效",
)
AT_ONCE = 200
"""Customers looked at in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreapprovalReport:
    """What a rule chose, or would choose; how many fell out, and why.

    Attributes
    ----------
    repaid_well : customers whose loans are as the rule wants
    limit_minor : granted in all
    """

    rule: str
    version: int
    is_dry_run: bool
    repaid_well: int
    not_active: int
    too_new: int
    identity_too_low: int
    without_consent: int
    under_the_least: int
    proposed: int
    limit_minor: int


def rules(connection: sa.Connection) -> tuple[KeptRule, ...]:
    """Return the rules in force, each in its newest version."""
    return tuple(table.newest_rules(connection))


def read_rule(connection: sa.Connection, name: str, version: int | None = None) -> KeptRule:
    """Return a rule, in its newest version unless told otherwise.

    Refusals
    --------
    preapproval_rule_is_unknown
    """
    found = table.find_rule(connection, name, version)
    if found is None:
        raise PreapprovalRuleIsUnknown(rule=name)
    return found


def request_rule(unit: UnitOfWork, rule: PreapprovalRule) -> approvals.Approval:
    """Ask for a second person's yes to a rule, or to its next version.

    Refusals
    --------
    preapproval_rule_is_malformed, product_is_unknown
    """
    _check_rule(unit.connection, rule)
    return approvals.request_approval(
        unit,
        kind=RULE.name,
        subject=f"preapproval_rule:{rule.name}",
        shown=_shown_rule(rule),
        by=unit.actor,
    )


def set_rule(unit: UnitOfWork, rule: PreapprovalRule, *, approval: UUID) -> KeptRule:
    """Let a rule choose from now on, as two people want it.

    Refusals
    --------
    preapproval_rule_is_malformed, product_is_unknown, and those of `consume_approval`
    """
    _check_rule(unit.connection, rule)
    before = table.find_rule(unit.connection, rule.name)
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=RULE.name,
        subject=f"preapproval_rule:{rule.name}",
        shown=_shown_rule(rule),
    )
    version = 1 if before is None else before.version + 1
    kept = KeptRule(rule, version, unit.actor, unit.now, cause)
    table.insert_rule(unit.connection, kept)
    audit(
        unit,
        action="credit.set_preapproval",
        subject=f"preapproval_rule:{rule.name}",
        detail={"version": version, "cause": cause},
    )
    return kept


def _shown_rule(rule: PreapprovalRule) -> dict[str, object]:
    shown: dict[str, object] = msgspec.to_builtins(rule)
    return shown


def _check_rule(connection: sa.Connection, rule: PreapprovalRule) -> None:
    rule.check()
    product = read_active(connection, rule.product)
    if product.kind is not ProductKind.LINE:
        raise PreapprovalRuleIsMalformed(rule=rule.name, field="product", why="a line")
    if product.tier_rule(rule.tier) is None:
        raise TierIsNotServed(product=product.code, tier=rule.tier, tenor="")


def preapprove(
    database: Database, name: str, *, dry_run: bool = False, actor: str
) -> PreapprovalReport:
    """Propose limits to everybody whom a rule chooses, in short transactions; or only count them.

    Who has a limit of the product, proposed or open, is left out: run again it proposes nothing
    twice.

    Refusals
    --------
    preapproval_rule_is_unknown, lender_is_unknown
    """
    with database.reading() as connection:
        kept = read_rule(connection, name)
        product = read_active(connection, kept.rule.product)
    tally = dict.fromkeys(PreapprovalReport.__dataclass_fields__, 0)
    after: UUID | None = None
    while True:
        with database.reading() as connection:
            found = table.repaid_well(
                connection, kept.rule, product.currency, after=after, limit=AT_ONCE
            )
            chosen = [(one, _chosen(connection, kept.rule, product, one)) for one in found]
        if not found:
            break
        after = found[-1].party
        tally["repaid_well"] += len(found)
        for _, (why, limit) in chosen:
            tally[why] += 1
            tally["limit_minor"] += limit
        granted = [(one.party, limit) for one, (why, limit) in chosen if why == "proposed"]
        if granted and not dry_run:
            work = partial(_propose, kept=kept, product=product, granted=granted)
            database.transact(work, actor=actor)
    counts = {one: tally[one] for one in tally if one not in ("rule", "version", "is_dry_run")}
    return PreapprovalReport(rule=name, version=kept.version, is_dry_run=dry_run, **counts)


def _chosen(
    connection: sa.Connection, rule: PreapprovalRule, product: Product, candidate: Candidate
) -> tuple[str, int]:
    """Return what becomes of somebody who repaid well: a column of the report, and the limit."""
    party = registry.read_party(connection, candidate.party)
    on = business_on(connection, product.currency)
    if party.state is not registry.PartyState.ACTIVE:
        return "not_active", 0
    if (on - party.registered_at.date()).days < rule.known_days:
        return "too_new", 0
    if party.level < rule.identity_level:
        return "identity_too_low", 0
    if not consents.has_consent(connection, party.id, MARKETING):
        return "without_consent", 0
    most = min(product.most_minor, _tier_most(product, rule))
    limit = rule.limit_minor(
        candidate.largest_minor, least=product.least_minor, most=most, step=product.step_minor
    )
    return ("proposed", limit) if limit else ("under_the_least", 0)


def _tier_most(product: Product, rule: PreapprovalRule) -> int:
    found = product.tier_rule(rule.tier)
    assert found is not None, "a rule names a tier that is served"
    return found.limit_minor


def _propose(
    unit: UnitOfWork, *, kept: KeptRule, product: Product, granted: list[tuple[UUID, int]]
) -> None:
    on = business_on(unit.connection, product.currency)
    for party, limit in granted:
        line = Line(
            id=unit.new_id(),
            party=party,
            product=product.code,
            product_version=product.version,
            currency=product.currency,
            tier=kept.rule.tier,
            limit_minor=limit,
            used_minor=0,
            state=LineState.PROPOSED,
            version=1,
            application=None,
            rule=kept.rule.name,
            rule_version=kept.version,
            cause=kept.cause,
            granted_at=unit.now,
            expires_on=on + timedelta(days=kept.rule.valid_days),
        )
        if table.insert(unit.connection, line):
            trace(
                unit,
                line,
                LineChange.PROPOSED,
                before_minor=0,
                reason="preapproval_rule",
                cause=kept.cause,
            )


def expire_proposals(unit: UnitOfWork, *, limit: int = 200) -> int:
    """Close the proposals whose day is over; return how many."""
    count = 0
    for lender in lenders.read_all(unit.connection):
        on = business_on(unit.connection, lender.currency)
        for present in table.expired(unit.connection, on, limit=limit):
            after = replace(present, state=LineState.CLOSED)
            apply(
                unit,
                present,
                after,
                LineChange.CLOSED,
                reason="proposal_expired",
                cause=present.cause,
            )
            count += 1
    return count
