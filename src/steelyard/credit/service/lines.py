"""Limits: granted, proposed unasked by a rule that is shown, drawn on, changed with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cashflows import form, terms
from steelyard.credit.model.application import Application
from steelyard.credit.model.line import (
    SECOND_PERSON_ABOVE_MINOR,
    Candidate,
    DrawIsBarred,
    LimitDoesNotSuffice,
    LimitIsWrong,
    Line,
    LineChange,
    LineExists,
    LineHasExpired,
    LineIsUnknown,
    LineState,
    LineStateForbids,
    LineStep,
    PreapprovalRule,
    PreapprovalRuleIsMalformed,
    PreapprovalRuleIsUnknown,
)
from steelyard.credit.model.loan import Loan, NewLoan
from steelyard.credit.model.offer import Offer, content_of
from steelyard.credit.model.product import Order, Product, ProductKind, TierIsNotServed
from steelyard.credit.service import loans
from steelyard.credit.service.catalogue import product_of, read_active
from steelyard.credit.service.offering import LENDER, business_on, must_own
from steelyard.credit.service.origination_facts import LineChanged
from steelyard.credit.store import lender as lenders
from steelyard.credit.store import lines as table
from steelyard.credit.store.lines import KeptRule
from steelyard.parties import approvals, consents, registry

__all__ = [
    "CHANGE",
    "MARKETING",
    "RULE",
    "Draw",
    "DrawIsBarred",
    "KeptRule",
    "LimitDoesNotSuffice",
    "LimitIsWrong",
    "Line",
    "LineChange",
    "LineExists",
    "LineHasExpired",
    "LineIsUnknown",
    "LineState",
    "LineStateForbids",
    "LineStep",
    "PreapprovalReport",
    "PreapprovalRule",
    "PreapprovalRuleIsMalformed",
    "PreapprovalRuleIsUnknown",
    "change_limit",
    "changes_of",
    "close",
    "draw",
    "draws_of",
    "expire_proposals",
    "free",
    "freeze",
    "lines_of",
    "open_for",
    "preapprove",
    "quote_draw",
    "read",
    "read_rule",
    "request_change",
    "request_rule",
    "rules",
    "set_rule",
    "visible_to_customer",
]

CHANGE = approvals.approval_kind(
    "credit.raise_limit", verb="credit.approve", en="Raise a credit limit", zh="提高授信额度"
)
RULE = approvals.approval_kind(
    "credit.set_preapproval",
    verb="credit.approve",
    en="Grant limits unasked by a rule",
    zh="预授信规则生效",
)
MARKETING = "marketing"
"""The purpose of `parties` without whose consent nothing is offered unasked."""
AT_ONCE = 200
"""Customers looked at in one transaction."""
_REASON = re.compile(r"[a-z][a-z0-9_]{1,59}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What is drawn under a limit: an amount, for how long, repaid how, into which wallet."""

    amount_minor: int
    tenor: str
    method: terms.Method
    wallet_account: str


def open_for(unit: UnitOfWork, application: Application, offer: Offer, product: Product) -> Line:
    """Open the limit of a contract that is signed; one that was proposed is taken up.

    Refusals
    --------
    line_exists
    """
    cause = offer.cause
    expires_on = business_on(unit.connection, product.currency) + timedelta(days=product.line_days)
    present = table.find_open(unit.connection, application.party, product.code)
    if present is not None and present.state is not LineState.PROPOSED:
        raise LineExists(party=application.party, product=product.code, line=present.id)
    if present is not None:
        after = replace(
            present,
            state=LineState.OPEN,
            limit_minor=offer.amount_minor,
            tier=offer.tier,
            application=application.id,
            expires_on=expires_on,
        )
        return _change(unit, present, after, LineChange.TAKEN_UP, reason="accepted", cause=cause)
    line = Line(
        id=unit.new_id(),
        party=application.party,
        product=product.code,
        product_version=product.version,
        currency=product.currency,
        tier=offer.tier,
        limit_minor=offer.amount_minor,
        used_minor=0,
        state=LineState.OPEN,
        version=1,
        application=application.id,
        rule=None,
        rule_version=None,
        cause=cause,
        granted_at=unit.now,
        expires_on=expires_on,
    )
    if not table.insert(unit.connection, line):
        raise LineExists(party=line.party, product=line.product, line="")
    _trace(unit, line, LineChange.GRANTED, before_minor=0, reason="accepted", cause=cause)
    return line


# -- drawing ------------------------------------------------------------------------------------


def quote_draw(connection: sa.Connection, line: UUID, wanted: Draw) -> Mapping[str, Any]:
    """Return what a draw-down would cost, as an offer shows it; nothing is written.

    Refusals
    --------
    as of `draw`
    """
    present = table.read(connection, line)
    return _drawn(connection, present, wanted)[1]


def draw(unit: UnitOfWork, line: UUID, wanted: Draw, *, decision: UUID | None = None) -> Loan:
    """Draw under a limit: a loan by the prices of the line's tier, signed and paid out.

    Parameters
    ----------
    decision : that let it pass, where one was asked for

    Refusals
    --------
    line_is_unknown, line_state_forbids, line_has_expired, limit_does_not_suffice, draw_is_barred,
    tenor_is_not_offered, method_is_not_offered, amount_is_not_offered, annual_rate_is_over_cap,
    account_is_not_theirs, and those of `loans.sign` and `loans.disburse`
    """
    present = table.read(unit.connection, line, lock=True)
    product, content = _drawn(unit.connection, present, wanted)
    lender = lenders.read(unit.connection, present.currency)
    account, book = wanted.wallet_account, lender.wallets_book
    must_own(unit.connection, account, present.party, book=book)
    loan = loans.sign(
        unit,
        NewLoan(
            party=present.party,
            product=product.code,
            product_version=product.version,
            terms=form.terms_from_json(content["terms"]),
            wallet_book=lender.wallets_book,
            wallet_account=wanted.wallet_account,
            application=present.application,
            shares=product.shares,
            decision=decision,
        ),
    )
    table.insert_draw(unit.connection, line, loan.id, wanted.amount_minor, unit.now)
    loans.disburse(unit, loan.id, decision=decision)
    audit(
        unit,
        action="credit.draw",
        subject=present.subject,
        detail={"loan": str(loan.id), "amount_minor": wanted.amount_minor},
    )
    return loans.read(unit.connection, loan.id)


def _drawn(
    connection: sa.Connection, present: Line, wanted: Draw
) -> tuple[Product, dict[str, Any]]:
    on = business_on(connection, present.currency)
    present.must_carry(wanted.amount_minor, on)
    days = table.worst_dpd(connection, present.party)
    if days:
        raise DrawIsBarred(line=present.id, days=days)
    product = product_of(connection, present.product, present.product_version)
    order = Order(
        amount_minor=wanted.amount_minor,
        tenor=wanted.tenor,
        method=wanted.method,
        start_on=on,
    )
    return product, content_of(product, present.tier, order, LENDER)


# -- changes ------------------------------------------------------------------------------------


def request_change(
    unit: UnitOfWork, line: UUID, limit_minor: int, *, reason: str
) -> approvals.Approval | None:
    """Ask for a second person's yes to another limit; None where one person may set it.

    Refusals
    --------
    as of `change_limit`
    """
    present, product = _changeable(unit, line, limit_minor, reason)
    if not _wants_two(present, product, limit_minor):
        return None
    return approvals.request_approval(
        unit,
        kind=CHANGE.name,
        subject=present.subject,
        shown=_shown(present, limit_minor, reason),
        by=unit.actor,
    )


def change_limit(
    unit: UnitOfWork,
    line: UUID,
    limit_minor: int,
    *,
    reason: str,
    approval: UUID | None = None,
    cause: str | None = None,
) -> Line:
    """Raise or lower a limit; what is owed stays, however low the limit.

    Parameters
    ----------
    reason : stable code
    cause : of a machine that lowers it by a rule; raising above the threshold takes two people

    Refusals
    --------
    line_is_unknown, line_state_forbids, reason_is_invalid, limit_is_wrong, approval_is_needed, and
    those of `consume_approval`
    """
    present, product = _changeable(unit, line, limit_minor, reason)
    why = cause or f"staff_limit:{present.id}@{present.version}"
    if _wants_two(present, product, limit_minor):
        if approval is None:
            raise approvals.ApprovalIsNeeded(name=CHANGE.name)
        why = approvals.consume_approval(
            unit,
            approval,
            kind=CHANGE.name,
            subject=present.subject,
            shown=_shown(present, limit_minor, reason),
        )
    is_more = limit_minor > present.limit_minor
    change = LineChange.RAISED if is_more else LineChange.LOWERED
    after = replace(present, limit_minor=limit_minor)
    return _change(unit, present, after, change, reason=reason, cause=why)


def _changeable(
    unit: UnitOfWork, line: UUID, limit_minor: int, reason: str
) -> tuple[Line, Product]:
    present = table.read(unit.connection, line, lock=True)
    present.must_be("change_limit", LineState.OPEN, LineState.FROZEN)
    _check_reason(reason)
    product = product_of(unit.connection, present.product, present.product_version)
    is_within = 0 <= limit_minor <= product.most_minor
    if not is_within or limit_minor == present.limit_minor:
        raise LimitIsWrong(product=product.code, least_minor=0, most_minor=product.most_minor)
    return present, product


def _wants_two(present: Line, product: Product, limit_minor: int) -> bool:
    more = limit_minor - present.limit_minor
    is_large = limit_minor > product.second_person_above_minor
    return more > 0 and (is_large or more > SECOND_PERSON_ABOVE_MINOR)


def _shown(present: Line, limit_minor: int, reason: str) -> dict[str, object]:
    return {
        "line": str(present.id),
        "version": present.version,
        "party": str(present.party),
        "product": f"{present.product}@{present.product_version}",
        "before_minor": present.limit_minor,
        "after_minor": limit_minor,
        "reason": reason,
    }


def freeze(unit: UnitOfWork, line: UUID, *, reason: str) -> Line:
    """Let nothing more be drawn; frozen again it stays frozen.

    Refusals
    --------
    line_is_unknown, line_state_forbids, reason_is_invalid
    """
    return _turn(unit, line, (LineState.OPEN, LineState.FROZEN), LineChange.FROZEN, reason)


def free(unit: UnitOfWork, line: UUID, *, reason: str) -> Line:
    """Let a frozen limit be drawn on again; refusals as of `freeze`."""
    return _turn(unit, line, (LineState.FROZEN, LineState.OPEN), LineChange.FREED, reason)


def close(unit: UnitOfWork, line: UUID, *, reason: str) -> Line:
    """End a limit for good; what is owed under it stays owed. Refusals as of `freeze`."""
    states = (LineState.PROPOSED, LineState.OPEN, LineState.FROZEN, LineState.CLOSED)
    return _turn(unit, line, states, LineChange.CLOSED, reason)


_AFTER = {
    LineChange.FROZEN: LineState.FROZEN,
    LineChange.FREED: LineState.OPEN,
    LineChange.CLOSED: LineState.CLOSED,
}


def _turn(
    unit: UnitOfWork, line: UUID, states: tuple[LineState, ...], change: LineChange, reason: str
) -> Line:
    present = table.read(unit.connection, line, lock=True)
    present.must_be(change, *states)
    _check_reason(reason)
    wanted = _AFTER[change]
    if present.state is wanted:
        return present
    cause = f"staff_limit:{present.id}@{present.version}"
    return _change(
        unit, present, replace(present, state=wanted), change, reason=reason, cause=cause
    )


def _check_reason(reason: str) -> None:
    if not _REASON.fullmatch(reason):
        raise registry.ReasonIsInvalid(reason=reason)


def _change(
    unit: UnitOfWork, before: Line, after: Line, change: LineChange, *, reason: str, cause: str
) -> Line:
    table.change(unit.connection, before, after)
    after = replace(after, version=before.version + 1)
    _trace(unit, after, change, before_minor=before.limit_minor, reason=reason, cause=cause)
    return after


def _trace(
    unit: UnitOfWork, line: Line, change: LineChange, *, before_minor: int, reason: str, cause: str
) -> None:
    step = LineStep(
        line.id,
        line.version,
        unit.now,
        unit.actor,
        change,
        before_minor,
        line.limit_minor,
        reason,
        cause,
    )
    unit.at_commit(
        "credit.line_steps", step, lambda u, steps: table.insert_steps(u.connection, steps)
    )
    fact = LineChanged(
        line=line.id,
        party=line.party,
        product=line.product,
        currency=line.currency,
        change=change,
        before_minor=before_minor,
        after_minor=line.limit_minor,
        reason=reason,
        cause=cause,
    )
    unit.record(fact, subject=line.subject)
    detail = {"reason": reason, "before": before_minor, "after": line.limit_minor, "cause": cause}
    audit(unit, action=f"credit.line_{change}", subject=line.subject, detail=detail)


# -- reading ------------------------------------------------------------------------------------


def read(connection: sa.Connection, line: UUID) -> Line:
    """Return a limit with what is used of it.

    Refusals
    --------
    line_is_unknown
    """
    return table.read(connection, line)


def lines_of(connection: sa.Connection, party: UUID) -> tuple[Line, ...]:
    """Return all limits of a customer, the newest first, for those who work here."""
    return tuple(table.of_party(connection, party))


def visible_to_customer(connection: sa.Connection, party: UUID) -> tuple[Line, ...]:
    """Return the limits that a customer is shown.

    A proposal is shown while it stands, and while he consents to be offered what he did not ask
    for; a closed one is not shown.
    """
    allows = consents.has_consent(connection, party, MARKETING)
    return tuple(
        line
        for line in table.of_party(connection, party)
        if line.state is not LineState.CLOSED
        and (
            line.state is not LineState.PROPOSED
            or (allows and business_on(connection, line.currency) <= line.expires_on)
        )
    )


def changes_of(connection: sa.Connection, line: UUID) -> tuple[LineStep, ...]:
    """Return every change of a limit, oldest first.

    Refusals
    --------
    line_is_unknown
    """
    table.read(connection, line)
    return tuple(table.steps(connection, line))


def draws_of(connection: sa.Connection, line: UUID) -> tuple[UUID, ...]:
    """Return the loans under a limit, oldest first.

    Refusals
    --------
    line_is_unknown
    """
    table.read(connection, line)
    return tuple(table.draws(connection, line))


# -- pre-approval -------------------------------------------------------------------------------


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
            _trace(
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
            _change(
                unit,
                present,
                after,
                LineChange.CLOSED,
                reason="proposal_expired",
                cause=present.cause,
            )
            count += 1
    return count
