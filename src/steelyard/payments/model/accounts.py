"""The accounts of payments in the books, and which of them a movement goes between.

Client funds (备付金) lie in one book of a mode, the institution's own funds in another. In the
client book everything is owed to somebody: to a merchant (to be cleared, available, kept back), to
a payer (a refund under way), to us (fees earned and not swept yet), or to nobody known yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from steelyard.payments.model.attempts import Move

SETTLEMENT = "settlement"
"""备付金存管账户: what the custodian holds for our clients; an asset."""


def settlement(currency: str) -> str:
    """Return the account of the reserve at the custodian.

    Examples
    --------
    >>> settlement("CNY")
    'settlement:CNY'
    """
    return f"{SETTLEMENT}:{currency}"


def in_transit(channel: str, currency: str) -> str:
    """Return the account of what a channel took and has not paid to the custodian; an asset."""
    return f"in_transit/{channel}:{currency}"


def pending(merchant: UUID, currency: str) -> str:
    """Return the account of what is owed to a merchant and not cleared yet; a liability."""
    return f"merchant/{merchant.hex}/pending:{currency}"


def available(merchant: UUID, currency: str) -> str:
    """Return the account of what a merchant is owed after clearing; a liability.

    It may go below zero by refunds and disputes: the merchant owes us then, and what he sells next
    makes it good.
    """
    return f"merchant/{merchant.hex}/available:{currency}"


def rolling_reserve(merchant: UUID, currency: str) -> str:
    """Return the account of what is kept back of a merchant's money for a while; a liability."""
    return f"merchant/{merchant.hex}/reserve:{currency}"


def payouts(currency: str) -> str:
    """Return the account of payouts that were sent and are not confirmed; a liability."""
    return f"payouts:{currency}"


def refunds(currency: str) -> str:
    """Return the account of refunds that are reserved or under way; a liability."""
    return f"refunds:{currency}"


def disputes(currency: str) -> str:
    """Return the account of what is withheld for open disputes; a liability."""
    return f"disputes:{currency}"


def cross_border(currency: str) -> str:
    """Return the account of what payers set aside for cross-border payments; a liability."""
    return f"cross_border:{currency}"


def unclaimed(currency: str) -> str:
    """Return the account of money that came and is owed to nobody known (未认领款项)."""
    return f"unclaimed:{currency}"


def shortage(currency: str) -> str:
    """Return the account of what a channel owes by our books and denies (短款); an asset."""
    return f"shortage:{currency}"


def fees_due(currency: str) -> str:
    """Return the account of fees earned and not swept to our own book yet; a liability."""
    return f"fees_due:{currency}"


@dataclass(frozen=True, slots=True)
class Posting:
    """One movement within the client book, in minor units over zero."""

    debit: str
    credit: str
    amount_minor: int


def postings_of(
    moves: tuple[Move, ...],
    *,
    channel: str,
    merchant: UUID,
    amount_minor: int,
    currency: str,
    source: str | None = None,
) -> tuple[Posting, ...]:
    """Return what a ruling posts.

    Parameters
    ----------
    source : account that pays where no channel stands between (the payer's balance, a funding
        source); None: what the channel owes us

    Examples
    --------
    >>> made = postings_of((Move.CAPTURE,), channel="uni", merchant=UUID(int=2),
    ...                    amount_minor=100, currency="CNY")
    >>> made[0].debit, made[0].credit[-12:], made[0].amount_minor
    ('in_transit/uni:CNY', '/pending:CNY', 100)
    """
    cash = source or in_transit(channel, currency)
    owed = pending(merchant, currency)
    ways = {
        Move.CAPTURE: (cash, owed),
        Move.SUSPENSE: (cash, unclaimed(currency)),
        Move.CLAIM: (unclaimed(currency), owed),
        Move.REVERSE: (owed, cash),
    }
    return tuple(Posting(*ways[move], amount_minor) for move in moves)
