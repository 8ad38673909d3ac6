"""What the town's merchants agree with `payments`: a contract each, and where each is paid to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from steelyard.base import Database, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller
from steelyard.parties import approvals
from steelyard.payments import accounts, institution, merchants, settlement_accounts
from steelyard.simulation.model import CURRENCY, Merchant
from steelyard.simulation.model.state import BOOK

CAUSE: Final = "rule.town_founding@1"
CLERK: Final = "staff:town_clerk"
MANAGER: Final = "staff:town_manager"
"""Who verifies and who approves accounts: two people whom nobody hired, of the town's own."""
TIMEZONE: Final = "Asia/Shanghai"
_CONTRACT: Final = {
    "timezone": TIMEZONE,
    "settlement_cycle": "T1",
    "refund_alone_minor": 100_000_000,
    "refund_advance_minor": 100_000_000,
}
"""Paid the working day after; goods come back days later, so that a balance may go below zero."""
_BANK: Final = "999100000016"
"""Twelve digits as of a bank in CN; no bank has these."""


class Shop(NamedTuple):
    """A merchant of the town and the party that it is."""

    merchant: Merchant
    party: UUID


def take_on(unit: UnitOfWork, keyring: Keyring, shops: Sequence[Shop]) -> None:
    """Give merchants a contract, accounts in the books, and propose where they are paid to.

    Those that have one are passed over.
    """
    there = merchants.read_many(unit.connection, [shop.party for shop in shops])
    new = [shop for shop in shops if shop.party not in there]
    for merchant, party in new:
        merchants.admit(
            unit,
            party,
            name=merchant.name_zh,
            industry=merchant.category_code,
            grade=merchants.RiskGrade.A,
            contract=_CONTRACT,
            cause=CAUSE,
        )
        account = settlement_accounts.NewSettlementAccount(
            holder=merchant.name_zh,
            number=f"621799{merchant.number:010d}",
            bank=_BANK,
            currency=CURRENCY,
        )
        settlement_accounts.propose(unit, keyring, party, account)
    owed = [
        (code, CURRENCY)
        for _, party in new
        for code in (accounts.pending(party, CURRENCY), accounts.available(party, CURRENCY))
    ]
    institution.have_accounts(unit, BOOK, owed)


def open_accounts(database: Database, shops: Sequence[Shop]) -> None:
    """Have the proposed accounts verified by one person of the town, and approved by another."""

    def verify(unit: UnitOfWork) -> list[tuple[UUID, approvals.Approval]]:
        found = [
            account
            for _, party in shops
            for account in settlement_accounts.of_merchant(unit.connection, party)
            if account.state == "proposed"
        ]
        for account in found:
            settlement_accounts.verify(unit, account.id, evidence=f"letter:{account.hint}")
        return [(one.id, settlement_accounts.request_approval(unit, one.id)) for one in found]

    def approve(unit: UnitOfWork) -> None:
        manager = Caller(MANAGER, frozenset({"payments.approve"}))
        for account, asked in waiting:
            approvals.approve(unit, asked.id, by=manager, shown_hash=asked.shown_hash)
            settlement_accounts.approve(unit, account, asked.id)

    waiting = database.transact(verify, actor=CLERK)
    database.transact(approve, actor=MANAGER)
