"""Mandates: proposed by a merchant, signed by the customer, suspended, revoked, ended by time.

Whoever sends a debit, counts it or stops its mandate holds the mandate's row: that orders a
revocation and a debit that is sent in the same moment.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import Page, Refusal, encode_cursor
from steelyard.ledger import accounts_of
from steelyard.payments.model.debits import DebitState, NewDebit
from steelyard.payments.model.debits_dates import Cycle, Period, next_cycle_date
from steelyard.payments.model.mandates import (
    Mandate,
    MandateRules,
    MandateState,
    MandateVerb,
    NewMandate,
    check_later,
    check_mandate,
    ends_on,
    rules_of,
)
from steelyard.payments.model.mandates_refusals import (
    DebitDateMovesOnlyLater,
    MandateAccountIsNotTheirs,
    MandateIsMalformed,
    MandateIsNotActive,
    MandateIsSignedByTheCustomer,
    MandateIsUnknown,
    MandateNoWasUsed,
    MandatesAreTooMany,
    MandateStateForbids,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.refusals import PaymentMerchantIsNotActive, PaymentMerchantIsUnknown
from steelyard.payments.service import debits_facts as facts
from steelyard.payments.service import debits_scheduling, institution
from steelyard.payments.service.refunds import position_of
from steelyard.payments.store import debits as debits_table
from steelyard.payments.store import institution as contracts
from steelyard.payments.store import mandates as table

__all__ = [
    "Cycle",
    "DebitDateMovesOnlyLater",
    "Mandate",
    "MandateAccountIsNotTheirs",
    "MandateIsMalformed",
    "MandateIsNotActive",
    "MandateIsSignedByTheCustomer",
    "MandateIsUnknown",
    "MandateNoWasUsed",
    "MandateRules",
    "MandateState",
    "MandateStateForbids",
    "MandatesAreTooMany",
    "NewMandate",
    "Period",
    "expire_due",
    "finish_terminating",
    "list_mandates",
    "move_next",
    "propose",
    "read",
    "reject",
    "resume",
    "revoke",
    "rules_of",
    "settle_signing",
    "sign",
    "suspend",
]

_FACTS: Final[dict[MandateVerb, type[facts.MandateFact]]] = {
    MandateVerb.CONFIRM: facts.MandateSigned,
    MandateVerb.SUSPEND: facts.MandateSuspended,
    MandateVerb.REVOKE: facts.MandateRevoked,
}


def propose(unit: UnitOfWork, new: NewMandate) -> Mandate:
    """Propose a mandate to a customer; the same number for the same again is the same mandate.

    Refusals
    --------
    mandate_is_malformed, unknown_currency, unknown_calendar, payment_merchant_is_unknown,
    payment_merchant_is_not_active, mandate_account_is_not_theirs, mandate_no_was_used
    mandates_are_too_many : of this customer with this merchant, as the channel's rules say
    """
    check_mandate(new)
    terms = contracts.merchant_terms(unit.connection, [new.merchant]).get(new.merchant)
    if terms is None:
        raise PaymentMerchantIsUnknown(merchant=new.merchant)
    if terms.state != "active":
        raise PaymentMerchantIsNotActive(merchant=new.merchant, state=terms.state)
    if new.account is not None:
        _must_be_theirs(unit, new, new.account)
    rules = rules_of(new.kind)
    known = table.find_number(unit.connection, new.merchant, new.mode, new.mandate_no)
    if known is None:
        many = table.many_of_pair(unit.connection, new.merchant, new.customer, new.mode)
        if many >= rules.most_per_pair:
            raise MandatesAreTooMany(
                customer=new.customer, merchant=new.merchant, most=rules.most_per_pair
            )
    mandate = Mandate(
        **asdict(new),
        state=MandateState.DRAFT,
        version=1,
        created_at=unit.now,
        created_by=unit.actor,
    )
    if known is not None or not table.insert(unit.connection, mandate):
        known = known or table.find_number(unit.connection, new.merchant, new.mode, new.mandate_no)
        if known is None or not _is_same(known, new):
            raise MandateNoWasUsed(mandate_no=new.mandate_no, mandate=known.id if known else "")
        return known
    table.insert_step(unit.connection, mandate, "propose", actor=unit.actor, at=unit.now)
    unit.record(facts.MandateProposed(**facts.about_mandate(mandate)), subject=mandate.subject_key)
    audit(unit, action="payments.propose_mandate", subject=mandate.subject_key)
    return mandate


def _is_same(known: Mandate, new: NewMandate) -> bool:
    """Whether a mandate that is there is the one that is proposed again."""
    return all(getattr(known, name) == value for name, value in asdict(new).items() if name != "id")


def _must_be_theirs(unit: UnitOfWork, new: NewMandate, account: str) -> None:
    book = institution.read_known(unit.connection, new.mode).client_book
    theirs = {
        one.code
        for one in accounts_of(unit.connection, f"party:{new.customer}")
        if one.book == book
    }
    if account not in theirs:
        raise MandateAccountIsNotTheirs(account=account, customer=new.customer)


def sign(unit: UnitOfWork, mandate: UUID, *, customer: UUID) -> Mandate:
    """Let the customer sign.

    Where his bank or wallet confirms it, the mandate is `signing` until the first debit, which
    tells the channel so, has succeeded; that debit is scheduled for today.

    Parameters
    ----------
    customer : who signs; somebody else is told that there is no such mandate

    Refusals
    --------
    mandate_is_unknown, mandate_state_forbids
    mandate_is_signed_by_the_customer : the merchant does not sign for him
    """
    before = _of_customer(unit, mandate, customer, MandateVerb.SIGN)
    on = debits_scheduling.today(unit, before.mode)
    signed = replace(
        before,
        signed_at=unit.now,
        signed_by=unit.actor,
        signed_on=on,
        next_on=_first_next(before, on),
    )
    signing = _move(unit, before, replace(signed, state=before.after(MandateVerb.SIGN)), "sign")
    if not signing.needs_confirmation:
        return _confirm(unit, signing)
    debit = NewDebit(
        id=unit.new_id(),
        mandate=mandate,
        debit_no=f"sign-{before.number}",
        amount_minor=before.signing_minor,
        currency=before.currency,
        due_on=on,
        subject=before.subject,
        is_signing=True,
    )
    (answer,) = debits_scheduling.schedule(unit, [debit])
    if isinstance(answer, Refusal):
        raise answer
    return signing


def _first_next(mandate: Mandate, on: date) -> date | None:
    if mandate.cycle is Cycle.NONE or mandate.first_on is None:
        return None
    if mandate.first_on >= on:
        return mandate.first_on
    return next_cycle_date(mandate.cycle, mandate.cycle_length, mandate.first_on, on)


def _confirm(unit: UnitOfWork, signing: Mandate) -> Mandate:
    after = replace(signing, state=signing.after(MandateVerb.CONFIRM))
    return _move(unit, signing, after, MandateVerb.CONFIRM.value)


def settle_signing(unit: UnitOfWork, mandate: UUID, state: DebitState) -> None:
    """Let what became of the first debit decide about a mandate that is being signed."""
    before = table.lock(unit.connection, [mandate])[mandate]
    if before.state is not MandateState.SIGNING:
        return
    if state is DebitState.SUCCEEDED:
        _confirm(unit, before)
    elif state.is_final:
        after = replace(before, state=before.after(MandateVerb.REJECT), why="channel")
        _move(unit, before, after, MandateVerb.REJECT.value)


def reject(unit: UnitOfWork, mandate: UUID, *, customer: UUID) -> Mandate:
    """Let the customer say no to a mandate that he has not signed.

    Refusals
    --------
    mandate_is_unknown, mandate_state_forbids, mandate_is_signed_by_the_customer
    """
    before = _of_customer(unit, mandate, customer, MandateVerb.REJECT)
    if before.state is not MandateState.DRAFT:
        raise MandateStateForbids(mandate=mandate, state=before.state.value, verb="reject")
    after = replace(before, state=MandateState.REJECTED, why="customer")
    return _move(unit, before, after, MandateVerb.REJECT.value)


def suspend(
    unit: UnitOfWork, mandate: UUID, *, party: UUID | None = None, why: str = "asked"
) -> Mandate:
    """Take nothing new by a mandate for a while; what waits goes on waiting.

    Parameters
    ----------
    party : who must have a part in it; None: anybody's

    Refusals
    --------
    mandate_is_unknown, mandate_state_forbids
    """
    before = _of_party(unit, mandate, party)
    after = replace(before, state=before.after(MandateVerb.SUSPEND), why=why[:100])
    return _move(unit, before, after, MandateVerb.SUSPEND.value)


def suspend_for(unit: UnitOfWork, mandate: Mandate, why: str) -> None:
    """Suspend a mandate that is locked, because a bank says that it, or its account, is no good."""
    if mandate.state is MandateState.ACTIVE:
        after = replace(mandate, state=MandateState.SUSPENDED, why=why[:100])
        _move(unit, mandate, after, MandateVerb.SUSPEND.value)


def resume(unit: UnitOfWork, mandate: UUID, *, customer: UUID) -> Mandate:
    """Let the customer allow it again.

    Refusals
    --------
    mandate_is_unknown, mandate_state_forbids, mandate_is_signed_by_the_customer
    """
    before = _of_customer(unit, mandate, customer, MandateVerb.RESUME)
    after = replace(before, state=before.after(MandateVerb.RESUME), why="")
    return _move(unit, before, after, MandateVerb.RESUME.value)


def revoke(
    unit: UnitOfWork, mandate: UUID, *, party: UUID | None = None, why: str = "asked"
) -> Mandate:
    """Revoke a mandate: what was sent before stands, what waits is cancelled, nothing is sent.

    Parameters
    ----------
    party : who must have a part in it; None: anybody's

    Returns
    -------
    Mandate
        Terminating while something is under way, else terminated.

    Refusals
    --------
    mandate_is_unknown, mandate_state_forbids
    """
    before = _of_party(unit, mandate, party)
    after = replace(before, state=before.after(MandateVerb.REVOKE), why=why[:100])
    revoked = _move(unit, before, after, MandateVerb.REVOKE.value)
    if debits_scheduling.cancel_waiting(unit, mandate, failure="mandate_is_not_active"):
        return revoked
    return _finish(unit, revoked)


def _finish(unit: UnitOfWork, before: Mandate) -> Mandate:
    after = replace(before, state=before.after(MandateVerb.FINISH))
    return _move(unit, before, after, MandateVerb.FINISH.value)


def finish_terminating(unit: UnitOfWork, *, limit: int = 100) -> int:
    """End revoked mandates of which nothing is under way any more; return how many."""
    due = table.terminating(unit.connection, limit)
    for before in table.lock(unit.connection, due).values():
        if before.state is MandateState.TERMINATING:
            _finish(unit, before)
    return len(due)


def expire_due(unit: UnitOfWork, *, limit: int = 100) -> int:
    """End mandates that were idle for 36 months, or whose last day is over; return how many."""
    on = debits_scheduling.today(unit, Mode.LIVE)
    ended = 0
    for before in table.lock(unit.connection, table.ending(unit.connection, on, limit)).values():
        end = ends_on(before)
        if before.state.is_over or end is None or end > on:
            continue
        under_way = [
            one
            for one in debits_table.find(
                unit.connection, debits_table.open_of(unit.connection, before.id)
            ).values()
            if one.state.is_under_way
        ]
        if under_way:
            continue
        why = "idle" if end != before.valid_until else "valid_until"
        after = replace(before, state=before.after(MandateVerb.EXPIRE), why=why)
        _move(unit, before, after, MandateVerb.EXPIRE.value)
        debits_scheduling.cancel_waiting(unit, before.id, failure="mandate_is_not_active")
        ended += 1
    return ended


def move_next(
    unit: UnitOfWork, mandate: UUID, to_on: date, *, party: UUID | None = None
) -> Mandate:
    """Move the next date of a cycle; it only ever moves later.

    Refusals
    --------
    mandate_is_unknown, mandate_is_not_active, debit_date_moves_only_later
    """
    before = _of_party(unit, mandate, party)
    if before.state is not MandateState.ACTIVE:
        raise MandateIsNotActive(mandate=mandate, state=before.state.value)
    check_later(before, to_on)
    after = table.change(unit.connection, before, replace(before, next_on=to_on))
    table.insert_step(unit.connection, after, "move_next", actor=unit.actor, at=unit.now)
    audit(
        unit,
        action="payments.move_debit_date",
        subject=after.subject_key,
        detail={"to_on": str(to_on)},
    )
    return after


def _of_party(unit: UnitOfWork, mandate: UUID, party: UUID | None) -> Mandate:
    """Lock a mandate that a party has a part in; somebody else's is not found."""
    found = table.lock(unit.connection, [mandate]).get(mandate)
    if found is None or party not in (None, found.merchant, found.customer):
        raise MandateIsUnknown(mandate=mandate)
    return found


def _of_customer(unit: UnitOfWork, mandate: UUID, customer: UUID, verb: MandateVerb) -> Mandate:
    """Lock a mandate for what only the customer may do."""
    found = _of_party(unit, mandate, customer)
    if found.customer != customer:
        raise MandateIsSignedByTheCustomer(mandate=mandate, verb=verb.value)
    return found


def _move(unit: UnitOfWork, before: Mandate, after: Mandate, verb: str) -> Mandate:
    written = table.change(unit.connection, before, after)
    table.insert_step(unit.connection, written, verb, actor=unit.actor, at=unit.now)
    is_step_of_two = written.state is MandateState.SIGNING and not written.needs_confirmation
    if not is_step_of_two:
        known = {each.value: kind for each, kind in _FACTS.items()}
        kind = known.get(verb, facts.MandateMoved)
        unit.record(kind(**facts.about_mandate(written)), subject=written.subject_key)
    audit(
        unit,
        action=f"payments.{verb}_mandate",
        subject=written.subject_key,
        detail={"state": written.state.value, "why": written.why},
    )
    return written


def read(connection: sa.Connection, mandate: UUID, *, party: UUID | None = None) -> Mandate:
    """Return a mandate.

    Parameters
    ----------
    party : who must have a part in it; None sees all

    Refusals
    --------
    mandate_is_unknown
    """
    found = table.find(connection, [mandate]).get(mandate)
    if found is None or party not in (None, found.merchant, found.customer):
        raise MandateIsUnknown(mandate=mandate)
    return found


def list_mandates(
    connection: sa.Connection,
    *,
    party: UUID | None = None,
    merchant: UUID | None = None,
    customer: UUID | None = None,
    state: MandateState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Mandate]:
    """Return a page of mandates, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    found = table.list_newest(
        connection,
        limit=limit + 1,
        before=position_of(cursor),
        party=party,
        merchant=merchant,
        customer=customer,
        state=state,
    )
    items = tuple(found[:limit])
    last = items[-1] if len(found) > limit else None
    return Page(items, encode_cursor(last.created_at.isoformat(), str(last.id)) if last else None)
