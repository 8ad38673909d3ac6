"""Where merchants are paid to: the settlement accounts that are approved and in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.payments.model.custody import ListedAccount, Payee
from steelyard.payments.service import settlement_accounts

__all__ = ["SettlementPayees"]


class SettlementPayees:
    """The approved settlement accounts of merchants, opened for a payment order alone."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def listed(
        self, connection: sa.Connection, merchants: Sequence[UUID], currency: str, at: datetime
    ) -> Mapping[UUID, ListedAccount]:
        """Return the account of each merchant that has one in force."""
        found = settlement_accounts.in_force(connection, merchants, currency, at)
        return {
            merchant: ListedAccount(f"account:{account.id}", account.hint)
            for merchant, account in found.items()
        }

    def reveal(self, unit: UnitOfWork, account: ListedAccount, *, purpose: str) -> Payee:
        """Return an account in the clear."""
        id = UUID(account.reference.removeprefix("account:"))
        shown = settlement_accounts.reveal(unit, self._keyring, id, purpose=purpose)
        return Payee(account.reference, shown.number, shown.holder, account.tail)
