"""Posting inside a unit of work: human pace, together with the caller's own rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from uuid import UUID, uuid5

from steelyard.base import UnitOfWork
from steelyard.base.telemetry.metrics import TRANSFERS
from steelyard.ledger.model.decide import decide, microseconds
from steelyard.ledger.model.entries import link
from steelyard.ledger.model.refusals import BookNotFound, accepted
from steelyard.ledger.model.transfers import Answer, Kind, Transfer
from steelyard.ledger.service.facts import subject_of, transfer_posted
from steelyard.ledger.store.posting import expired_holds, lock_books, read_state, write_records
from steelyard.ledger.store.reading import read_entry

EXPIRY = "rule.hold_expiry@1"


def post(uow: UnitOfWork, transfers: Sequence[Transfer]) -> list[Answer]:
    """Post a batch of transfers in the caller's transaction; the last thing that it does.

    The books are locked, in the order of their ids, until the transaction ends: domain rows are
    locked and written before. A refusal is an answer; `accepted` turns it into an exception, which
    rolls the unit of work back.

    Parameters
    ----------
    uow : the transaction; its business instant is the earliest instant of recording
    transfers : at most a few thousand, of any books

    Returns
    -------
    list of Answer
        One for each transfer, in their order. Created ones stand when the transaction commits,
        each with a fact `ledger.TransferPosted`.

    Examples
    --------
    ::

        with database.unit_of_work(actor="party:7") as uow:
            uow.execute("UPDATE orders.basket SET state = 'paid' WHERE id = :id", id=basket)
            accepted(post(uow, [Transfer(id=basket, book="town", cause="no_policy@0",
                                         debit="wallet:7", credit="shop:3",
                                         amount_minor=1990, currency="CNY")]))
    """
    if not transfers:
        return []
    state = read_state(uow.driver, transfers)
    decision = decide(transfers, state, at=microseconds(uow.now))
    if decision.records:
        write_records(uow.driver, decision.records)
    for record in decision.records:
        uow.record(transfer_posted(record), subject=subject_of(record))
    uow.after_commit(partial(count_answers, decision.answers))
    return decision.answers


def count_answers(answers: Iterable[Answer]) -> None:
    """Count answers, by outcome, among the metrics."""
    for outcome, count in Counter(answer.outcome for answer in answers).items():
        TRANSFERS.labels(outcome.value).inc(count)


def reverse(
    uow: UnitOfWork, book: str, id: UUID, *, cause: str, effective_on: date | None = None
) -> list[Answer]:
    """Reverse a transfer, or all transfers of a journal entry, by their mirrors.

    The ids of the mirrors are derived, so that a repeat answers `exists`. The correction is dated
    in the open period, whatever the date of the original.

    Parameters
    ----------
    book : of the transfer; an entry is reversed in every book that it touches
    id : of a transfer or of an entry

    Refusals
    --------
    original_not_found, already_reversed, and what else can happen to a transfer
    """
    parts = [m for m in read_entry(uow.driver, id) if m.kind is not Kind.REVERSAL]
    originals = [(m.book, m.id) for m in parts] or [(book, id)]
    mirrors = [
        Transfer(
            id=uuid5(original, "reversal"),
            book=where,
            cause=cause,
            kind=Kind.REVERSAL,
            refers_to=original,
            entry=uuid5(id, "reversal") if parts else None,
            effective_on=effective_on,
        )
        for where, original in reversed(originals)
    ]
    return list(accepted(post(uow, link(mirrors))))


def expire_holds(uow: UnitOfWork, book: str, *, limit: int = 1000) -> list[Answer]:
    """Void the holds whose time is over; the oldest first, at most `limit`.

    Returns
    -------
    list of Answer
        One for each hold that was due. Fewer than `limit` means that none is left.

    Refusals
    --------
    book_not_found
    """
    locked = lock_books(uow.driver, [book]).get(book)
    if locked is None:
        raise BookNotFound(about=book)
    at = max(microseconds(uow.now), locked.last_at + 1)
    due = expired_holds(uow.driver, book, at, limit)
    voids = [
        Transfer(id=uuid5(hold, "expiry"), book=book, cause=EXPIRY, kind=Kind.VOID, refers_to=hold)
        for hold in due
    ]
    return post(uow, voids)
