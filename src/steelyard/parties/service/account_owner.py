"""Hearing of accounts: whoever owns a new account in the ledger is linked to it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from steelyard.base import UnitOfWork
from steelyard.events import Consumer, Heard, hears
from steelyard.parties.model.party import AccountLink, AccountRole
from steelyard.parties.service.party import link_accounts
from steelyard.parties.store import party as table


@hears("ledger.AccountOpened@1", many=True)
def link_owners(unit: UnitOfWork, heard: Sequence[Heard]) -> None:
    """Link the owners among our parties; accounts of the house and of strangers are left out."""
    owned = [(owner, h.fact) for h in heard if (owner := _party(h.fact.owner)) is not None]
    found = table.read_many(unit.connection, [owner for owner, _ in owned])
    known = {party.id for party in found}
    links = [
        AccountLink(owner, f"account:{fact.book}/{fact.account}", AccountRole.OWNER)
        for owner, fact in owned
        if owner in known
    ]
    link_accounts(unit, links)


def _party(owner: str | None) -> UUID | None:
    """Return the party that an owner names, None for any other owner."""
    noun, _, name = (owner or "").partition(":")
    try:
        return UUID(name) if noun == "party" else None
    except ValueError:
        return None


account_owners = Consumer("parties.account_owners", (link_owners,))
