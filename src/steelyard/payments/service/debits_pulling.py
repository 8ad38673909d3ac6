"""Debits within our own books, in the unit of the room that is owed: a mandate bounds them too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from steelyard.base import UnitOfWork
from steelyard.kernel import Refusal
from steelyard.ledger import Transfer
from steelyard.payments.model.debits import Debit, DebitState, NewDebit
from steelyard.payments.model.debits_refusals import DebitIsMalformed, DebitNoWasUsed
from steelyard.payments.model.mandates import Mandate
from steelyard.payments.model.mandates_refusals import MandateIsUnknown
from steelyard.payments.model.movements import NewMovement
from steelyard.payments.service import debits_facts as facts
from steelyard.payments.service import institution, wallets
from steelyard.payments.service.debits_scheduling import Counting, check_debit, today
from steelyard.payments.store import debits as table
from steelyard.payments.store import mandates as mandates_table


@dataclass(frozen=True, slots=True)
class Pull:
    """What a product takes from a customer's account with us, by his mandate.

    Attributes
    ----------
    mandate : names the account; movement : as of `wallets.debit`, from that account
    debit_no : unique for the mandate's merchant, e.g. loan and date
    """

    mandate: UUID
    debit_no: str
    movement: NewMovement


def pull(unit: UnitOfWork, pulls: Sequence[Pull]) -> list[Transfer | Refusal]:
    """Take amounts by mandates within the caller's unit: the mandate is held, its caps are counted.

    Returns
    -------
    list of Transfer or Refusal
        For each the half in the client book, as of `wallets.debit`: the caller posts it last, in a
        chain with his own half. What he does not post he must not have asked for: the debit counts
        as taken unless the unit is rolled back.

    Refusals
    --------
    for one item mandate_is_unknown, mandate_is_not_active, debit_is_malformed, debit_no_was_used,
    debit_exceeds_mandate, movement_is_empty; of posting those of the ledger
    """
    found = mandates_table.find(unit.connection, [one.mandate for one in pulls])
    on = {id: today(unit, mandate.mode) for id, mandate in found.items()}
    counting = Counting.of(unit, [(id, on[id]) for id in found])
    answers: list[Transfer | Refusal] = []
    fresh: list[Debit] = []
    for one in pulls:
        try:
            mandate = counting.mandates.get(one.mandate)
            if mandate is None:
                raise MandateIsUnknown(mandate=one.mandate)
            debit = _pulled(unit, counting, mandate, one)
            transfer = wallets.debit(unit, one.movement)
        except Refusal as refusal:
            answers.append(refusal)
            continue
        fresh.append(debit)
        answers.append(transfer)
    inserted = table.insert(unit.connection, fresh)
    for debit in fresh:
        if debit.id not in inserted:
            raise DebitNoWasUsed(debit_no=debit.debit_no, debit="")
        unit.record(facts.DebitSucceeded(**facts.about_debit(debit)), subject=debit.subject_key)
    mandates_table.touch(unit.connection, {one.mandate: (one.due_on, None) for one in fresh})
    return answers


def _pulled(unit: UnitOfWork, counting: Counting, mandate: Mandate, one: Pull) -> Debit:
    """Return the debit of a pull that its mandate allows, and count it."""
    on = today(unit, mandate.mode)
    moved = one.movement
    new = NewDebit(
        id=uuid5(moved.entry, f"pull/{mandate.id}"),
        mandate=mandate.id,
        debit_no=one.debit_no,
        amount_minor=moved.amount_minor,
        currency=moved.currency,
        due_on=on,
        subject=moved.about,
    )
    book = institution.read_known(unit.connection, mandate.mode).client_book
    if (moved.book, moved.account) != (book, mandate.account):
        raise DebitIsMalformed(reason="the account is not the one of the mandate")
    known = table.find_numbers(unit.connection, mandate.merchant, mandate.mode, [one.debit_no])
    if known:
        raise DebitNoWasUsed(debit_no=one.debit_no, debit=known[one.debit_no].id)
    check_debit(mandate, new, on)
    period = counting.take(mandate, on, new.amount_minor)
    return Debit(
        id=new.id,
        mandate=mandate.id,
        debit_no=new.debit_no,
        amount_minor=new.amount_minor,
        currency=new.currency,
        due_on=on,
        subject=new.subject,
        merchant=mandate.merchant,
        customer=mandate.customer,
        mode=mandate.mode,
        state=DebitState.SUCCEEDED,
        version=1,
        counted_on=period,
        try_on=on,
        created_at=unit.now,
        created_by=unit.actor,
        tries=1,
        movement=moved.entry,
        first_sent_on=on,
        sent_at=unit.now,
        final_at=unit.now,
    )
