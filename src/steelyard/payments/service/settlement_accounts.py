"""Settlement accounts: proposed, verified, approved by a second person, cooled off, revealed.

The number is sealed and shown to nobody; who pays out asks `reveal`, which is audited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring, Plain
from steelyard.parties import approvals, registry
from steelyard.payments.model.merchants_refusals import (
    SettlementAccountIsMalformed,
    SettlementAccountIsNotTheirs,
    SettlementAccountIsUnknown,
    SettlementAccountStateForbids,
    VerifierProposed,
)
from steelyard.payments.model.settlement_accounts import (
    COOLS_FOR,
    AccountKind,
    AccountState,
    NewSettlementAccount,
    Revealed,
    SettlementAccount,
    check_account,
    is_theirs,
)
from steelyard.payments.service.merchants_facts import (
    SettlementAccountApproved,
    SettlementAccountProposed,
    SettlementAccountVerified,
    SettlementAccountWithdrawn,
)
from steelyard.payments.store import merchants as merchant_table
from steelyard.payments.store import settlement_accounts as table
from steelyard.payments.store.settlement_accounts import Sealed

__all__ = [
    "APPROVAL",
    "COOLS_FOR",
    "AccountKind",
    "AccountState",
    "NewSettlementAccount",
    "Revealed",
    "SettlementAccount",
    "SettlementAccountIsMalformed",
    "SettlementAccountIsNotTheirs",
    "SettlementAccountIsUnknown",
    "SettlementAccountStateForbids",
    "VerifierProposed",
    "approve",
    "in_force",
    "of_merchant",
    "propose",
    "read",
    "request_approval",
    "reveal",
    "verify",
    "withdraw",
]

APPROVAL: Final = approvals.approval_kind(
    "payments.settlement_account",
    verb="payments.approve",
    en="Pay a merchant out to an account",
    zh="启用商户结算账户",
)
_OWNER_NAME = "payments.merchant_owner.name"
_HOLDER, _NUMBER = "payments.settlement_account.holder", "payments.settlement_account.number"


def propose(
    unit: UnitOfWork, keyring: Keyring, merchant: UUID, new: NewSettlementAccount
) -> SettlementAccount:
    """Propose an account; a merchant may do so itself.

    Refusals
    --------
    payment_merchant_is_unknown, settlement_account_is_malformed
    settlement_account_is_not_theirs : not in the registered name; of an individual business not in
        that of an owner either
    """
    merchant_table.read(unit.connection, merchant, lock=True)
    clean = check_account(new)
    legal = registry.read_party(unit.connection, merchant).legal
    assert legal is not None, "a merchant is a legal person"
    owners = _owners(unit, keyring, merchant) if new.kind is AccountKind.PERSONAL else ()
    if not is_theirs(clean, legal_name=legal.legal_name, number=legal.number, owners=owners):
        raise SettlementAccountIsNotTheirs(merchant=merchant)
    holder, number = keyring.seal_many(
        unit.connection,
        [
            Plain(f"party:{merchant}", _HOLDER, clean.holder),
            Plain(f"party:{merchant}", _NUMBER, clean.number),
        ],
    )
    index = keyring.blind_index(unit.connection, clean.number, field=_NUMBER)
    account = SettlementAccount(
        id=unit.new_id(),
        merchant=merchant,
        currency=clean.currency,
        kind=clean.kind,
        bank=clean.bank,
        hint=clean.number[-4:],
        fingerprint=index.hex()[:16],
        state=AccountState.PROPOSED,
        version=1,
        proposed_at=unit.now,
        proposed_by=approvals.answerable_for(unit.connection, unit.actor),
    )
    table.insert(unit.connection, account, Sealed(holder, number, index))
    unit.record(
        SettlementAccountProposed(
            merchant=merchant, account=account.id, currency=account.currency, hint=account.hint
        ),
        subject=f"merchant:{merchant}",
    )
    _audit(unit, account, "propose_settlement_account")
    return account


def verify(unit: UnitOfWork, account: UUID, *, evidence: str) -> SettlementAccount:
    """Write down what shows that an account is the merchant's, e.g. a letter of the bank.

    Parameters
    ----------
    evidence : `noun:id` of it

    Refusals
    --------
    settlement_account_is_unknown, settlement_account_state_forbids
    verifier_proposed : who proposed it does not verify it
    settlement_account_is_malformed : the evidence is no reference
    """
    before = table.read(unit.connection, account, lock=True).must_allow("verified")
    by = approvals.answerable_for(unit.connection, unit.actor)
    if by == before.proposed_by:
        raise VerifierProposed(account=account)
    noun, _, name = evidence.partition(":")
    if not (noun.isidentifier() and name and len(evidence) <= 100):
        raise SettlementAccountIsMalformed(reason="evidence is named noun:id")
    after = replace(
        before,
        state=AccountState.VERIFIED,
        verified_at=unit.now,
        verified_by=by,
        evidence=evidence,
    )
    table.change(unit.connection, before, after)
    unit.record(
        SettlementAccountVerified(merchant=before.merchant, account=account, evidence=evidence),
        subject=f"merchant:{before.merchant}",
    )
    _audit(unit, before, "verify_settlement_account")
    return replace(after, version=before.version + 1)


def request_approval(unit: UnitOfWork, account: UUID) -> approvals.Approval:
    """Ask for a second person's yes to an account that was verified.

    Refusals
    --------
    settlement_account_is_unknown, settlement_account_state_forbids
    """
    present = table.read(unit.connection, account, lock=True).must_allow("approved")
    return approvals.request_approval(
        unit, kind=APPROVAL.name, subject=present.subject, shown=_shown(present), by=unit.actor
    )


def approve(unit: UnitOfWork, account: UUID, approval: UUID) -> SettlementAccount:
    """Let a merchant be paid to an account: the first one at once, a change after a day.

    Refusals
    --------
    settlement_account_is_unknown, settlement_account_state_forbids, and those of an approval
    """
    seen = table.read(unit.connection, account)
    merchant_table.read(unit.connection, seen.merchant, lock=True)
    before = table.read(unit.connection, account, lock=True).must_allow("approved")
    cause = approvals.consume_approval(
        unit, approval, kind=APPROVAL.name, subject=before.subject, shown=_shown(before)
    )
    is_change = table.has_approved(unit.connection, before.merchant, before.currency)
    active_from = unit.now + COOLS_FOR if is_change else unit.now
    after = replace(
        before,
        state=AccountState.APPROVED,
        approved_at=unit.now,
        active_from=active_from,
        cause=cause,
    )
    table.change(unit.connection, before, after, approval=approval)
    unit.record(
        SettlementAccountApproved(
            merchant=before.merchant,
            account=account,
            currency=before.currency,
            active_from=active_from,
            cause=cause,
        ),
        subject=f"merchant:{before.merchant}",
    )
    _audit(unit, before, "approve_settlement_account")
    return replace(after, version=before.version + 1)


def withdraw(unit: UnitOfWork, account: UUID) -> SettlementAccount:
    """Give a proposal up before it is approved.

    Refusals
    --------
    settlement_account_is_unknown, settlement_account_state_forbids
    """
    before = table.read(unit.connection, account, lock=True).must_allow("withdrawn")
    after = replace(before, state=AccountState.WITHDRAWN)
    table.change(unit.connection, before, after)
    unit.record(
        SettlementAccountWithdrawn(merchant=before.merchant, account=account),
        subject=f"merchant:{before.merchant}",
    )
    _audit(unit, before, "withdraw_settlement_account")
    return replace(after, version=before.version + 1)


def read(connection: sa.Connection, account: UUID) -> SettlementAccount:
    """Return an account, masked.

    Refusals
    --------
    settlement_account_is_unknown
    """
    return table.read(connection, account)


def of_merchant(connection: sa.Connection, merchant: UUID) -> list[SettlementAccount]:
    """Return the accounts of a merchant, newest first, masked."""
    return table.of_merchant(connection, merchant)


def in_force(
    connection: sa.Connection, merchants: Sequence[UUID], currency: str, at: datetime
) -> dict[UUID, SettlementAccount]:
    """Return where merchants are paid to at an instant; one that has no account is left out."""
    return table.in_force(connection, list(merchants), currency, at)


def reveal(unit: UnitOfWork, keyring: Keyring, account: UUID, *, purpose: str) -> Revealed:
    """Return an account in the clear, for a payment order; the trail says for what.

    Parameters
    ----------
    purpose : `noun:id` of what it is needed for

    Refusals
    --------
    settlement_account_is_unknown, value_is_erased
    """
    present = table.read(unit.connection, account)
    sealed = table.read_sealed(unit.connection, account)
    holder, number = keyring.unseal_many(
        unit.connection, [(sealed.holder, _HOLDER), (sealed.number, _NUMBER)]
    )
    _audit(unit, present, "reveal_settlement_account", purpose=purpose)
    return Revealed(holder, number, present.bank, present.currency, present.kind)


def _owners(unit: UnitOfWork, keyring: Keyring, merchant: UUID) -> tuple[str, ...]:
    applications = merchant_table.applications_of(unit.connection, merchant)
    if not applications:
        return ()
    owners = merchant_table.owners_of(unit.connection, applications[0].id)
    persons = [(o.name, _OWNER_NAME) for o in owners if o.kind == "person"]
    return tuple(keyring.unseal_many(unit.connection, persons))


def _shown(account: SettlementAccount) -> dict[str, str]:
    return {
        "merchant": str(account.merchant),
        "currency": account.currency,
        "kind": account.kind.value,
        "bank": account.bank,
        "ends_with": account.hint,
        "fingerprint": account.fingerprint,
        "evidence": account.evidence or "",
    }


def _audit(unit: UnitOfWork, account: SettlementAccount, action: str, **more: str) -> None:
    audit(
        unit,
        action=f"payments.{action}",
        subject=f"merchant:{account.merchant}",
        detail={"account": str(account.id), "hint": account.hint, **more},
    )
