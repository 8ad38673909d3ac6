"""Table of settlement accounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.merchants_refusals import SettlementAccountIsUnknown
from steelyard.payments.model.settlement_accounts import (
    AccountKind,
    AccountState,
    SettlementAccount,
)

_COLUMNS = """
    id, merchant, currency, kind, bank, hint, number_index, state, version, proposed_at,
    proposed_by, verified_at, verified_by, evidence, approved_at, active_from, cause
"""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What of an account is sealed, and the blind index of its number."""

    holder: bytes
    number: bytes
    number_index: bytes


def insert(connection: sa.Connection, account: SettlementAccount, sealed: Sealed) -> None:
    """Insert a proposed account."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.settlement_account (id, merchant, currency, kind, bank, holder,"
            " number, number_index, hint, state, proposed_at, proposed_by) VALUES (:id, :merchant,"
            " :currency, :kind, :bank, :holder, :number, :number_index, :hint, :state,"
            " :proposed_at, :proposed_by)"
        ),
        {
            "id": account.id,
            "merchant": account.merchant,
            "currency": account.currency,
            "kind": account.kind,
            "bank": account.bank,
            "holder": sealed.holder,
            "number": sealed.number,
            "number_index": sealed.number_index,
            "hint": account.hint,
            "state": account.state,
            "proposed_at": account.proposed_at,
            "proposed_by": account.proposed_by,
        },
    )


def change(
    connection: sa.Connection,
    before: SettlementAccount,
    after: SettlementAccount,
    *,
    approval: UUID | None = None,
) -> None:
    """Write an account whose row is held."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.settlement_account SET state = :state, version = version + 1,"
            " verified_at = :verified_at, verified_by = :verified_by, evidence = :evidence,"
            " approval = :approval, cause = :cause, approved_at = :approved_at,"
            " active_from = :active_from WHERE id = :id AND version = :version"
        ),
        {
            "id": before.id,
            "version": before.version,
            "state": after.state,
            "verified_at": after.verified_at,
            "verified_by": after.verified_by,
            "evidence": after.evidence,
            "approval": approval,
            "cause": after.cause,
            "approved_at": after.approved_at,
            "active_from": after.active_from,
        },
    )
    assert done.rowcount == 1, "the row is held"


def read(connection: sa.Connection, account: UUID, *, lock: bool = False) -> SettlementAccount:
    """Return an account, its row held if asked for.

    Refusals
    --------
    settlement_account_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.settlement_account WHERE id = :id"
            f"{' FOR UPDATE' if lock else ''}"
        ),
        {"id": account},
    ).one_or_none()
    if row is None:
        raise SettlementAccountIsUnknown(account=account)
    return _account(row)


def read_sealed(connection: sa.Connection, account: UUID) -> Sealed:
    """Return what of an account is sealed.

    Refusals
    --------
    settlement_account_is_unknown
    """
    row = connection.execute(
        sa.text(
            "SELECT holder, number, number_index FROM payments.settlement_account WHERE id = :id"
        ),
        {"id": account},
    ).one_or_none()
    if row is None:
        raise SettlementAccountIsUnknown(account=account)
    return Sealed(bytes(row.holder), bytes(row.number), bytes(row.number_index))


def of_merchant(connection: sa.Connection, merchant: UUID) -> list[SettlementAccount]:
    """Return the accounts of a merchant, newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.settlement_account WHERE merchant = :merchant"
            " ORDER BY proposed_at DESC, id DESC"
        ),
        {"merchant": merchant},
    )
    return [_account(row) for row in rows]


def in_force(
    connection: sa.Connection, merchants: list[UUID], currency: str, at: datetime
) -> dict[UUID, SettlementAccount]:
    """Return where merchants are paid to at an instant; one that has no account is left out."""
    rows = connection.execute(
        sa.text(
            f"SELECT DISTINCT ON (merchant) {_COLUMNS} FROM payments.settlement_account"
            " WHERE merchant = ANY(:merchants) AND currency = :currency AND state = 'approved'"
            " AND active_from <= :at ORDER BY merchant, active_from DESC, id DESC"
        ),
        {"merchants": merchants, "currency": currency, "at": at},
    )
    return {row.merchant: _account(row) for row in rows}


def has_approved(connection: sa.Connection, merchant: UUID, currency: str) -> bool:
    """Return whether the merchant was ever to be paid in a currency."""
    found = connection.execute(
        sa.text(
            "SELECT 1 FROM payments.settlement_account WHERE merchant = :merchant"
            " AND currency = :currency AND state = 'approved' LIMIT 1"
        ),
        {"merchant": merchant, "currency": currency},
    )
    return found.scalar() is not None


def _account(row: sa.Row[Any]) -> SettlementAccount:
    return SettlementAccount(
        id=row.id,
        merchant=row.merchant,
        currency=row.currency,
        kind=AccountKind(row.kind),
        bank=row.bank,
        hint=row.hint,
        fingerprint=bytes(row.number_index).hex()[:16],
        state=AccountState(row.state),
        version=row.version,
        proposed_at=row.proposed_at.astimezone(UTC),
        proposed_by=row.proposed_by,
        verified_at=row.verified_at and row.verified_at.astimezone(UTC),
        verified_by=row.verified_by,
        evidence=row.evidence,
        approved_at=row.approved_at and row.approved_at.astimezone(UTC),
        active_from=row.active_from and row.active_from.astimezone(UTC),
        cause=row.cause,
    )
