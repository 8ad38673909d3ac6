"""Approvals by a second person, as a mechanism that any room can use.

A room registers what can be approved when it is imported, requests an approval showing what it is
about to do, and consumes it in the transaction that does it:

    CLOSE = approval_kind("books.close_period", verb="books.approve", en="...", zh="...")
    request_approval(unit, kind=CLOSE.name, subject="book:7", shown=shown, by=unit.actor)
    ...
    cause = consume_approval(unit, approval, kind=CLOSE.name, subject="book:7", shown=shown)

What is shown holds ids, codes and amounts, never personal data: facts and audit carry its hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Fact, UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.kernel.page import CursorIsInvalid
from steelyard.parties.model.approval import (
    Approval,
    ApprovalHasExpired,
    ApprovalIsForSomethingElse,
    ApprovalIsNeeded,
    ApprovalIsNotOpen,
    ApprovalIsNotYours,
    ApprovalIsUnknown,
    ApprovalKind,
    ApprovalKindIsUnknown,
    ApprovalNeedsAPerson,
    ApprovalState,
    MakerIsChecker,
    Shown,
    ShownDiffers,
    ShownIsMalformed,
    WaitIsTooLong,
    check_wait,
    hash_of,
)
from steelyard.parties.service.access_facts import (
    ApprovalConsumed,
    ApprovalExpired,
    ApprovalGiven,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalWithdrawn,
)
from steelyard.parties.store import api_key as key_table
from steelyard.parties.store import approval as table

if TYPE_CHECKING:
    from steelyard.base.http import Caller

__all__ = [
    "CONSUME_REFUSALS",
    "Approval",
    "ApprovalHasExpired",
    "ApprovalIsForSomethingElse",
    "ApprovalIsNeeded",
    "ApprovalIsNotOpen",
    "ApprovalIsNotYours",
    "ApprovalIsUnknown",
    "ApprovalKind",
    "ApprovalKindIsUnknown",
    "ApprovalNeedsAPerson",
    "ApprovalState",
    "MakerIsChecker",
    "ShownDiffers",
    "ShownIsMalformed",
    "WaitIsTooLong",
    "approval_kind",
    "approval_kinds",
    "approve",
    "consume_approval",
    "expire_approvals",
    "list_approvals",
    "read_approval",
    "reject",
    "request_approval",
    "withdraw",
]

CONSUME_REFUSALS = (
    ApprovalIsUnknown,
    ApprovalIsForSomethingElse,
    ApprovalHasExpired,
    ApprovalIsNotOpen,
)
"""How `consume_approval` can refuse."""

_KINDS: dict[str, ApprovalKind] = {}


def approval_kind(
    name: str,
    *,
    verb: str,
    en: str,
    zh: str,
    lives: timedelta = timedelta(hours=24),
    version: int = 1,
) -> ApprovalKind:
    """Register what can be approved, when a room is imported; see `ApprovalKind`."""
    kind = ApprovalKind(name, verb, en, zh, check_wait(lives), version)
    known = _KINDS.setdefault(name, kind)
    assert known == kind, f"{name} is registered twice, differently"
    return known


def approval_kinds() -> Mapping[str, ApprovalKind]:
    """Return the registered kinds by name."""
    return MappingProxyType(_KINDS)


def request_approval(
    unit: UnitOfWork,
    *,
    kind: str,
    subject: str,
    shown: Shown,
    by: str,
    expires_in: timedelta | None = None,
) -> Approval:
    """Ask for a second person's yes to something that is shown.

    Parameters
    ----------
    kind : name of a registered kind
    subject : `noun:id` of what it is about
    shown : everything that the checker has to know; texts and whole numbers, no personal data
    by : actor who asks; for a machine's key, the person who made the key answers with it
    expires_in : real time until it is too late to use it; by default what the kind says

    Refusals
    --------
    approval_kind_is_unknown, shown_is_malformed, wait_is_too_long
    """
    known = _KINDS.get(kind)
    if known is None:
        raise ApprovalKindIsUnknown(name=kind)
    text, digest = hash_of(kind, subject, shown)
    wait = known.lives if expires_in is None else check_wait(expires_in)
    approval = Approval(
        id=unit.new_id(),
        kind=kind,
        kind_version=known.version,
        verb=known.verb,
        subject=subject,
        shown=text,
        shown_hash=digest,
        requested_by=by,
        answerable=answerable_for(unit.connection, by),
        requested_at=unit.now,
        expires_at=unit.wall_at + wait,
        state=ApprovalState.REQUESTED,
        version=1,
    )
    table.insert(unit.connection, approval)
    unit.record(
        ApprovalRequested(
            approval=approval.id, approval_kind=kind, about=subject, shown_hash=digest
        ),
        subject=_subject(approval),
    )
    _audit(unit, approval, "request_approval")
    return approval


def answerable_for(connection: sa.Connection, actor: str) -> str:
    """Return the actor himself, or who made the key that acts."""
    noun, _, key = actor.partition(":")
    if noun != "key":
        return actor
    return key_table.creator(connection, key) or actor


def approve(unit: UnitOfWork, approval: UUID, *, by: Caller, shown_hash: str) -> Approval:
    """Say yes to what was shown.

    Parameters
    ----------
    by : somebody on the staff, not the maker, with the entitlement that the kind demands
    shown_hash : hash of what he saw, as the approval carries it

    Refusals
    --------
    approval_is_unknown, not_entitled, approval_needs_a_person, maker_is_checker,
    approval_has_expired, approval_is_not_open, shown_differs : in this order
    """
    present = _decide(unit, approval, by, shown_hash)
    after = replace(present, state=ApprovalState.APPROVED, decided_by=by.actor, decided_at=unit.now)
    fact = ApprovalGiven(approval=approval, approval_kind=present.kind, about=present.subject)
    return _change(unit, present, after, fact, "approve")


def reject(
    unit: UnitOfWork, approval: UUID, *, by: Caller, shown_hash: str, reason: str
) -> Approval:
    """Say no to what was shown; refusals as of `approve`."""
    present = _decide(unit, approval, by, shown_hash)
    after = replace(
        present,
        state=ApprovalState.REJECTED,
        decided_by=by.actor,
        decided_at=unit.now,
        reason=reason,
        closed_at=unit.now,
    )
    fact = ApprovalRejected(
        approval=approval, approval_kind=present.kind, about=present.subject, reason=reason
    )
    return _change(unit, present, after, fact, "reject")


def withdraw(unit: UnitOfWork, approval: UUID, *, by: str) -> Approval:
    """Take a request back before it is decided.

    Refusals
    --------
    approval_is_unknown, approval_is_not_yours, approval_has_expired, approval_is_not_open
    """
    present = table.lock(unit.connection, approval)
    if by not in (present.requested_by, present.answerable):
        raise ApprovalIsNotYours(approval=approval)
    present.must_be(ApprovalState.REQUESTED, unit.wall_at)
    after = replace(present, state=ApprovalState.WITHDRAWN, closed_at=unit.now)
    fact = ApprovalWithdrawn(approval=approval, approval_kind=present.kind, about=present.subject)
    return _change(unit, present, after, fact, "withdraw_approval")


def consume_approval(
    unit: UnitOfWork, approval: UUID, *, kind: str, subject: str, shown: Shown
) -> str:
    """Use an approval up in the transaction that does what was approved.

    Parameters
    ----------
    kind, subject, shown : of what is done now, computed afresh from the state of things

    Returns
    -------
    str
        The cause to name, `approval:<id>@<version of the kind>`. Of several callers at once, one
        gets it; when its transaction rolls back, the approval is open again.

    Refusals
    --------
    approval_is_unknown, approval_is_for_something_else, approval_has_expired, approval_is_not_open
    """
    present = table.lock(unit.connection, approval)
    _, digest = hash_of(kind, subject, shown)
    if (present.kind, present.subject, present.shown_hash) != (kind, subject, digest):
        raise ApprovalIsForSomethingElse(approval=approval)
    present.must_be(ApprovalState.APPROVED, unit.wall_at)
    after = replace(present, state=ApprovalState.CONSUMED, closed_at=unit.now)
    fact = ApprovalConsumed(
        approval=approval, approval_kind=kind, about=subject, cause=present.cause
    )
    return _change(unit, present, after, fact, "consume_approval").cause


def expire_approvals(unit: UnitOfWork, *, limit: int = 200) -> int:
    """Write down which approvals ran out of time; return how many.

    They count as expired from the instant itself: this only closes them and records the facts.
    """
    overdue = table.overdue(unit.connection, unit.wall_at, limit=limit)
    for present in overdue:
        after = replace(present, state=ApprovalState.EXPIRED, closed_at=unit.now)
        fact = ApprovalExpired(
            approval=present.id, approval_kind=present.kind, about=present.subject
        )
        _change(unit, present, after, fact, "expire_approval")
    return len(overdue)


def read_approval(connection: sa.Connection, approval: UUID) -> Approval:
    """Return an approval.

    Refusals
    --------
    approval_is_unknown
    """
    return table.read(connection, approval)


def list_approvals(
    connection: sa.Connection,
    *,
    now: datetime,
    state: ApprovalState | None = None,
    subject: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Approval]:
    """Return a page of approvals, newest first.

    Parameters
    ----------
    now : real instant, by which open approvals count as expired
    state, subject : only these

    Refusals
    --------
    cursor_is_invalid
    """
    before = _uuid(str(decode_cursor(cursor, str)[0])) if cursor else None
    found = table.list_newest(
        connection, state=state, subject=subject, now=now, before=before, limit=limit + 1
    )
    items = tuple(found[:limit])
    return Page(items, encode_cursor(str(items[-1].id)) if len(found) > limit else None)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise CursorIsInvalid from None


def _decide(unit: UnitOfWork, approval: UUID, by: Caller, shown_hash: str) -> Approval:
    assert unit.actor == by.actor, "who decides is who acts"
    present = table.lock(unit.connection, approval)
    by.require(present.verb)
    present.must_be_decidable_by(by.actor, shown_hash, unit.wall_at)
    return present


def _change(
    unit: UnitOfWork, before: Approval, after: Approval, fact: Fact, action: str
) -> Approval:
    table.change(unit.connection, before, after)
    unit.record(fact, subject=_subject(before))
    _audit(unit, before, action)
    return replace(after, version=before.version + 1)


def _audit(unit: UnitOfWork, approval: Approval, action: str) -> None:
    audit(
        unit,
        action=f"access.{action}",
        subject=_subject(approval),
        detail={"kind": approval.kind, "about": approval.subject, "shown": approval.shown_hash},
    )


def _subject(approval: Approval) -> str:
    return f"approval:{approval.id}"
