"""Limits: granted, drawn on, changed with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.cashflows import form, terms
from steelyard.credit.model.application import Application
from steelyard.credit.model.line import (
    SECOND_PERSON_ABOVE_MINOR,
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
)
from steelyard.credit.model.loan import Loan, NewLoan
from steelyard.credit.model.offer import Offer, content_of
from steelyard.credit.model.product import Order, Product
from steelyard.credit.service import loans
from steelyard.credit.service.catalogue import product_of
from steelyard.credit.service.offering import LENDER, business_on, must_own
from steelyard.credit.service.origination_facts import LineChanged
from steelyard.credit.store import lender as lenders
from steelyard.credit.store import lines as table
from steelyard.parties import approvals, consents, registry

__all__ = [
    "CHANGE",
    "MARKETING",
    "Draw",
    "DrawIsBarred",
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
    "change_limit",
    "changes_of",
    "close",
    "draw",
    "draws_of",
    "free",
    "freeze",
    "lines_of",
    "open_for",
    "quote_draw",
    "read",
    "request_change",
    "visible_to_customer",
]

CHANGE = approvals.approval_kind(
    "credit.raise_limit", verb="credit.approve", en="Raise a credit limit", zh="提高授信额度"
)
MARKETING = "marketing"
"""The purpose of `parties` without whose consent nothing is offered unasked."""
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
        return apply(unit, present, after, LineChange.TAKEN_UP, reason="accepted", cause=cause)
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
    trace(unit, line, LineChange.GRANTED, before_minor=0, reason="accepted", cause=cause)
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


def draw(
    unit: UnitOfWork,
    line: UUID,
    wanted: Draw,
    *,
    decision: UUID | None = None,
    payee: str | None = None,
) -> Loan:
    """Draw under a limit: a loan by the prices of the line's tier, signed and paid out.

    Parameters
    ----------
    decision : that let it pass, where one was asked for
    payee : account in the book of wallets that is paid; None: the customer's wallet

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
    loans.disburse(unit, loan.id, payee=payee, decision=decision)
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
    return apply(unit, present, after, change, reason=reason, cause=why)


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
    return apply(unit, present, replace(present, state=wanted), change, reason=reason, cause=cause)


def _check_reason(reason: str) -> None:
    if not _REASON.fullmatch(reason):
        raise registry.ReasonIsInvalid(reason=reason)


def apply(
    unit: UnitOfWork, before: Line, after: Line, change: LineChange, *, reason: str, cause: str
) -> Line:
    """Change a limit, and write the step down."""
    table.change(unit.connection, before, after)
    after = replace(after, version=before.version + 1)
    trace(unit, after, change, before_minor=before.limit_minor, reason=reason, cause=cause)
    return after


def trace(
    unit: UnitOfWork, line: Line, change: LineChange, *, before_minor: int, reason: str, cause: str
) -> None:
    """Write down a step of a limit: its history, its fact, its line of the audit trail."""
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
