"""Resolving what does not agree: assigned, proposed, approved by a second person, posted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, open_case, registry
from steelyard.parties import approvals
from steelyard.payments.model.breaks import BreakKind
from steelyard.payments.model.recon import (
    OF_MERCHANT,
    WAITING,
    Action,
    Item,
    ItemState,
    Plan,
    Proposal,
    actions_for,
)
from steelyard.payments.model.recon_refusals import (
    ReconActionDoesNotFit,
    ReconMerchantIsNeeded,
    ReconPairDoesNotFit,
    WriteOffIsTooLarge,
)
from steelyard.payments.service import recon_posting
from steelyard.payments.service.recon_change import change_items, closed
from steelyard.payments.service.recon_run import age_suspects, succeeded, tell
from steelyard.payments.store import recon as table
from steelyard.payments.store import recon_items as item_table

if TYPE_CHECKING:
    from steelyard.base.http import Caller

__all__ = ["APPROVAL", "BREAK", "age", "approve", "assign", "post", "propose", "withdraw"]

APPROVAL: Final = approvals.approval_kind(
    "payments.recon_post",
    verb="payments.approve",
    en="Resolve a difference of a reconciliation",
    zh="对账差异处理",
    lives=timedelta(days=3),
)
BREAK: Final = registry.register_kind(
    CaseKind(
        "payments.recon_break",
        "A difference with a channel grew old",
        "对账差异超期",
        registry.Sla(timedelta(hours=24)),
        (
            registry.CaseOutcome("resolved", "Resolved", "已处理"),
            registry.CaseOutcome("explained", "Explained", "已查明"),
        ),
        skill="payments.reconcile",
    )
)
_CHUNK: Final = 200


def assign(unit: UnitOfWork, item: UUID, owner: str) -> Item:
    """Give an item to somebody.

    Parameters
    ----------
    owner : actor, `staff:<id>`

    Refusals
    --------
    recon_item_is_unknown, recon_item_state_forbids
    """
    found = item_table.read_item(unit.connection, item, lock=True)
    found.must_be("assigned", *WAITING)
    is_break = found.state in (ItemState.BREAK, ItemState.ASSIGNED)
    state = ItemState.ASSIGNED if is_break else found.state
    after = replace(found, owner=owner, state=state)
    return change_items(unit, [(after, "assign", {"owner": owner})])[0]


def propose(unit: UnitOfWork, item: UUID, proposal: Proposal) -> Item:
    """Propose how an item is resolved; a second person is asked.

    Refusals
    --------
    recon_item_is_unknown, recon_item_state_forbids, recon_action_does_not_fit,
    write_off_is_too_large, recon_merchant_is_needed, recon_pair_does_not_fit
    """
    found = item_table.read_item(unit.connection, item, lock=True)
    found.must_be("proposed", *WAITING)
    proposal = _checked(unit, found, proposal)
    asked = approvals.request_approval(
        unit,
        kind=APPROVAL.name,
        subject=found.subject,
        shown=shown(found, proposal),
        by=unit.actor,
    )
    after = replace(found, state=ItemState.PROPOSED, proposal=proposal, approval=asked.id)
    detail = {"action": proposal.action.value, "reason": proposal.reason}
    return change_items(unit, [(after, "propose", detail)])[0]


def approve(unit: UnitOfWork, item: UUID, *, by: Caller, shown_hash: str) -> Item:
    """Say yes to what somebody else proposed; `post` does it then.

    Refusals
    --------
    recon_item_is_unknown, recon_item_state_forbids, not_entitled, maker_is_checker, and the others
    of an approval
    """
    found = item_table.read_item(unit.connection, item, lock=True)
    found.must_be("approved", ItemState.PROPOSED)
    assert found.approval is not None, "it was proposed"
    approvals.approve(unit, found.approval, by=by, shown_hash=shown_hash)
    return change_items(unit, [(replace(found, state=ItemState.APPROVED), "approve", {})])[0]


def withdraw(unit: UnitOfWork, item: UUID, *, by: str) -> Item:
    """Take a proposal back; after a no of the second person, or a yes that ran out, too.

    Refusals
    --------
    recon_item_is_unknown, recon_item_state_forbids, approval_is_not_yours
    """
    found = item_table.read_item(unit.connection, item, lock=True)
    found.must_be("withdrawn", ItemState.PROPOSED, ItemState.APPROVED)
    assert found.approval is not None, "it was proposed"
    present = approvals.read_approval(unit.connection, found.approval)
    if present.state is approvals.ApprovalState.REQUESTED and present.expires_at > unit.wall_at:
        approvals.withdraw(unit, found.approval, by=by)
    state = ItemState.POSTED if found.suspense_minor else ItemState.BREAK
    after = replace(found, state=state, proposal=None, approval=None)
    return change_items(unit, [(after, "withdraw", {})])[0]


def post(unit: UnitOfWork, item: UUID) -> Item:
    """Do what was proposed and approved: postings with their cause, in one transaction.

    Where the approval was given does not matter, here or in the list of approvals.

    Returns
    -------
    Item
        Closed; posted and open where it waits in suspense.

    Refusals
    --------
    recon_item_is_unknown, recon_item_state_forbids, and those of `consume_approval`
    """
    found = item_table.read_item(unit.connection, item, lock=True)
    found.must_be("posted", ItemState.PROPOSED, ItemState.APPROVED)
    proposal, approval = found.proposal, found.approval
    assert proposal is not None, "it was proposed"
    assert approval is not None, "it was proposed"
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=APPROVAL.name,
        subject=found.subject,
        shown=shown(found, proposal),
    )
    detail = {"action": proposal.action.value, "cause": cause}
    if proposal.action is Action.MATCH:
        return _match(unit, found, proposal, cause)
    if _is_by_evidence(found, proposal):
        transfers = recon_posting.release(unit, found) if found.suspense_minor else []
        after = replace(closed(unit, found, "evidence", is_matched=False), cause=cause)
        done = change_items(unit, [(replace(after, suspense_minor=0), "post", detail)])[0]
        _audit(unit, done, detail)
        recon_posting.write(unit, transfers)
        tell(unit, [found], [succeeded(found)])
        return done
    merchant = proposal.merchant
    transfers = recon_posting.resolve(unit, found, proposal.action, merchant, cause)
    left = recon_posting.suspended_minor(proposal.action, found)
    after = replace(found, cause=cause, suspense_minor=left, state=ItemState.POSTED)
    done = change_items(unit, [(after, "post", detail)])[0]
    if not left:
        over = closed(unit, done, recon_posting.POSTED, is_matched=False)
        done = change_items(unit, [(over, "close", {})])[0]
    _audit(unit, done, detail)
    recon_posting.write(unit, transfers)
    return done


def _audit(unit: UnitOfWork, item: Item, detail: dict[str, Any]) -> None:
    facts = {"difference_minor": item.difference_minor, "currency": item.currency}
    audit(unit, action="payments.recon_post", subject=item.subject, detail={**detail, **facts})


def _is_by_evidence(item: Item, proposal: Proposal) -> bool:
    """Whether the core books the money: it has the payment, and hears that it went through."""
    return item.kind is BreakKind.LONG and proposal.action is Action.SUPPLEMENT


def _checked(unit: UnitOfWork, item: Item, proposal: Proposal) -> Proposal:
    """Return a proposal that fits its item, with the merchant whose money it moves."""
    action, difference = proposal.action, item.difference_minor
    possible = actions_for(difference, is_suspended=item.suspense_minor != 0)
    if action not in possible:
        raise ReconActionDoesNotFit(
            action=action.value,
            difference_minor=difference,
            possible=", ".join(sorted(possible)),
        )
    if action is Action.WRITE_OFF:
        most = table.read_plan(unit.connection, item.channel).write_off_minor
        if abs(difference) > most:
            raise WriteOffIsTooLarge(most_minor=most, amount_minor=abs(difference))
    if action is Action.MATCH:
        _check_pair(unit, item, proposal)
    if action in OF_MERCHANT | {Action.SUPPLEMENT} and not _is_by_evidence(item, proposal):
        merchant = _merchant_of(unit.connection, item) or proposal.merchant
        if merchant is None and difference:
            raise ReconMerchantIsNeeded(action=action.value)
        return replace(proposal, merchant=merchant)
    return proposal


def _merchant_of(connection: sa.Connection, item: Item) -> UUID | None:
    """Return whose payment or refund an item is about."""
    if not item.number:
        return None
    return item_table.merchant_of(connection, UUID(item.number))


def _check_pair(unit: UnitOfWork, item: Item, proposal: Proposal) -> Item:
    if proposal.other is None or proposal.other == item.id:
        raise ReconPairDoesNotFit(item=item.id, other=proposal.other, why="name the other item")
    other = item_table.read_item(unit.connection, proposal.other, lock=True)
    wrong = ""
    if (other.channel, other.currency) != (item.channel, item.currency):
        wrong = "channel or currency differ"
    elif other.difference_minor + item.difference_minor:
        wrong = "they do not cancel out"
    elif not other.state.is_open or other.state in (ItemState.PROPOSED, ItemState.APPROVED):
        wrong = f"the other is {other.state.value}"
    if wrong:
        raise ReconPairDoesNotFit(item=item.id, other=other.id, why=wrong)
    return other


def _match(unit: UnitOfWork, item: Item, proposal: Proposal, cause: str) -> Item:
    other = _check_pair(unit, item, proposal)
    transfers = []
    changes = []
    for one, mate in ((item, other), (other, item)):
        transfers += recon_posting.resolve(unit, one, Action.MATCH, None, cause)
        after = replace(
            closed(unit, one, f"by hand with {mate.id}", is_matched=False),
            suspense_minor=0,
            cause=cause,
        )
        changes.append((after, "match", {"other": str(mate.id), "cause": cause}))
    done = change_items(unit, changes)[0]
    _audit(unit, done, {"action": Action.MATCH.value, "cause": cause, "other": str(other.id)})
    recon_posting.write(unit, transfers)
    return done


def shown(item: Item, proposal: Proposal) -> dict[str, object]:
    """Return what the second person says yes to; a run that changes the item makes another."""
    return {
        "item": str(item.id),
        "channel": item.channel,
        "on": item.on.isoformat(),
        "kind": item.kind.word,
        "number": item.number,
        "difference_minor": item.difference_minor,
        "currency": item.currency,
        "suspense_minor": item.suspense_minor,
        "action": proposal.action.value,
        "reason": proposal.reason,
        "merchant": "" if proposal.merchant is None else str(proposal.merchant),
        "other": "" if proposal.other is None else str(proposal.other),
    }


def age(database: Database, *, actor: str = "system:recon") -> dict[str, int]:
    """Make breaks of what was suspected for long enough, and cases of old breaks.

    Returns
    -------
    dict of str to int
        How many items were `aged`, and how many `cases` were opened.
    """
    with database.reading() as connection:
        plans = table.read_plans(connection)
    done = {"aged": 0, "cases": 0}
    for plan in plans:
        for name, work in (("aged", age_suspects), ("cases", _open_cases)):
            for _ in range(10_000):
                count = database.transact(
                    lambda unit, w=work, p=plan: w(unit, p, limit=_CHUNK),  # type: ignore[misc]
                    actor=actor,
                )
                done[name] += count
                if count < _CHUNK:
                    break
    return done


def _open_cases(unit: UnitOfWork, plan: Plan, *, limit: int) -> int:
    today = plan.clock.business_on(unit.now)
    last = today - timedelta(days=plan.case_days)
    found = item_table.due_cases(unit.connection, plan.channel, last, limit)
    for one in found:
        open_case(unit, BREAK.name, one.subject, links=(f"channel:{one.channel}",))
    change_items(unit, [(replace(one, case_at=unit.now), "case", {}) for one in found])
    return len(found)
