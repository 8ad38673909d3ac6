"""Funding sources: who lends a payer the amount of a payment, and takes it back with a refund."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingRequest:
    """What a source is asked to pay for somebody.

    Attributes
    ----------
    number : of the attempt; the same again is the same
    party : the payer; instrument : token of what he pays with, as the source gave it to him
    payee : account in the client book that the source pays
    """

    number: UUID
    party: UUID
    instrument: str
    merchant: UUID
    amount_minor: int
    currency: str
    book: str
    payee: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingOffer:
    """What paying with a source would cost the payer.

    Attributes
    ----------
    cost_minor : interest and fees in all, beside the amount; payments : how many repay it
    """

    source: str
    instrument: str
    amount_minor: int
    currency: str
    cost_minor: int
    payments: int
