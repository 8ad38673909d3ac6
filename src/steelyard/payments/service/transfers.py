"""Transfers between merchants of one platform: at once, under the platform's own number."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import Page, encode_cursor
from steelyard.ledger import Transfer, accepted, post
from steelyard.payments.model import accounts
from steelyard.payments.model.refunds_refusals import (
    MerchantBalanceIsShort,
    MerchantIsOutOfPlatform,
    MerchantTransferIsUnknown,
    TransferIsMalformed,
    TransferNoWasUsed,
    TransferReturnExceeds,
)
from steelyard.payments.model.transfers import MerchantTransfer, NewTransfer
from steelyard.payments.service import institution
from steelyard.payments.service.refunds import position_of
from steelyard.payments.service.refunds_facts import (
    MerchantTransferMade,
    MerchantTransferReturned,
)
from steelyard.payments.store import institution as contracts
from steelyard.payments.store import refunds as terms_table
from steelyard.payments.store import transfers as table

__all__ = [
    "MerchantBalanceIsShort",
    "MerchantIsOutOfPlatform",
    "MerchantTransfer",
    "MerchantTransferIsUnknown",
    "NewTransfer",
    "TransferIsMalformed",
    "TransferNoWasUsed",
    "TransferReturnExceeds",
    "give_back",
    "list_transfers",
    "make",
    "read",
]

CAUSE: Final = "rule.merchant_transfer@1"


def make(unit: UnitOfWork, new: NewTransfer) -> MerchantTransfer:
    """Move money from one merchant's available balance to another's; never below zero.

    The same number for the same again is the same transfer.

    Refusals
    --------
    transfer_is_malformed, merchant_is_out_of_platform, transfer_no_was_used,
    merchant_balance_is_short
    """
    if new.amount_minor <= 0:
        raise TransferIsMalformed(reason="the amount is not over zero")
    if new.from_merchant == new.to_merchant:
        raise TransferIsMalformed(reason="it goes to whom it comes from")
    _check_platform(unit, new)
    transfer = MerchantTransfer(**asdict(new), at=unit.now, by=unit.actor)
    if not table.insert(unit.connection, transfer):
        known = table.find_number(unit.connection, new.platform, new.mode, new.transfer_no)
        if known is None or not _is_same(known, new):
            found = new.id if known is None else known.id
            raise TransferNoWasUsed(transfer_no=new.transfer_no, transfer=found)
        return known
    unit.record(
        MerchantTransferMade(
            transfer=new.id,
            platform=new.platform,
            from_merchant=new.from_merchant,
            to_merchant=new.to_merchant,
            mode=new.mode.value,
            amount_minor=new.amount_minor,
            currency=new.currency,
        ),
        subject=_subject(new.id),
    )
    audit(
        unit,
        action="payments.transfer",
        subject=_subject(new.id),
        detail={"amount_minor": new.amount_minor, "currency": new.currency},
    )
    _move(unit, transfer, new.amount_minor, back=None)
    return transfer


def give_back(
    unit: UnitOfWork, transfer: UUID, amount_minor: int, *, platform: UUID | None = None
) -> MerchantTransfer:
    """Move some of a transfer back; the receiver's balance never goes below zero by it.

    Parameters
    ----------
    platform : whose transfer it must be; None: anybody's

    Refusals
    --------
    merchant_transfer_is_unknown, transfer_is_malformed, transfer_return_exceeds,
    merchant_balance_is_short
    """
    found = table.read(unit.connection, transfer, lock=True)
    if platform not in (None, found.platform):
        raise MerchantTransferIsUnknown(transfer=transfer)
    if amount_minor <= 0:
        raise TransferIsMalformed(reason="the amount is not over zero")
    if amount_minor > found.left_minor:
        raise TransferReturnExceeds(
            transfer=transfer, left_minor=found.left_minor, amount_minor=amount_minor
        )
    after = replace(found, returned_minor=found.returned_minor + amount_minor)
    table.set_returned(unit.connection, after)
    unit.record(
        MerchantTransferReturned(
            transfer=transfer,
            returned_minor=after.returned_minor,
            amount_minor=amount_minor,
            currency=found.currency,
        ),
        subject=_subject(transfer),
    )
    audit(
        unit,
        action="payments.return_transfer",
        subject=_subject(transfer),
        detail={"amount_minor": amount_minor},
    )
    _move(unit, found, amount_minor, back=found.version)
    return replace(after, version=found.version + 1)


def _subject(transfer: UUID) -> str:
    return f"merchant_transfer:{transfer}"


def _is_same(known: MerchantTransfer, new: NewTransfer) -> bool:
    names = ("from_merchant", "to_merchant", "amount_minor", "currency")
    return all(getattr(known, name) == getattr(new, name) for name in names)


def _check_platform(unit: UnitOfWork, new: NewTransfer) -> None:
    pair = (new.from_merchant, new.to_merchant)
    known = contracts.merchant_terms(unit.connection, list(pair))
    terms = terms_table.terms_of_merchants(unit.connection, list(pair))
    for merchant in pair:
        belongs = merchant == new.platform or terms[merchant].platform == new.platform
        if merchant not in known or not belongs:
            raise MerchantIsOutOfPlatform(merchant=merchant, platform=new.platform)
        if new.currency not in known[merchant].currencies:
            raise TransferIsMalformed(reason=f"{merchant} has no {new.currency}")


def _move(unit: UnitOfWork, transfer: MerchantTransfer, minor: int, *, back: int | None) -> None:
    """Post a transfer, or a part of it back at a version; refuse below zero, under the lock."""
    debtor, creditor = transfer.from_merchant, transfer.to_merchant
    name = "make"
    if back is not None:
        debtor, creditor, name = creditor, debtor, f"back/{back}"
    book = institution.read_known(unit.connection, transfer.mode).client_book
    debit, credit = (accounts.available(one, transfer.currency) for one in (debtor, creditor))
    wanted = [(debit, transfer.currency), (credit, transfer.currency)]
    institution.have_accounts(unit, book, wanted)
    one = Transfer(
        id=uuid5(transfer.id, name),
        book=book,
        cause=CAUSE,
        debit=debit,
        credit=credit,
        amount_minor=minor,
        currency=transfer.currency,
        metadata={"transfer": str(transfer.id)},
    )
    (answer,) = accepted(post(unit, [one]))
    assert answer.record is not None, "it was posted"
    balance = -answer.record.debit_balance
    if balance < 0:
        raise MerchantBalanceIsShort(
            merchant=debtor, balance_minor=balance + minor, amount_minor=minor
        )


def read(
    connection: sa.Connection, transfer: UUID, *, merchant: UUID | None = None
) -> MerchantTransfer:
    """Return a transfer; a merchant sees those of its platform and its own.

    Refusals
    --------
    merchant_transfer_is_unknown
    """
    found = table.read(connection, transfer)
    if merchant not in (None, found.platform, found.from_merchant, found.to_merchant):
        raise MerchantTransferIsUnknown(transfer=transfer)
    return found


def list_transfers(
    connection: sa.Connection,
    *,
    merchant: UUID | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[MerchantTransfer]:
    """Return a page of transfers, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    found = table.list_newest(
        connection, limit=limit + 1, before=position_of(cursor), merchant=merchant
    )
    items = tuple(found[:limit])
    last = items[-1] if len(found) > limit else None
    return Page(items, encode_cursor(last.at.isoformat(), str(last.id)) if last else None)
