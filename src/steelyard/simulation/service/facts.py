"""What the town tells beside `payments`: only a report says that a payment was fraud."""

from __future__ import annotations

from uuid import UUID

from steelyard.base import Fact


class CardPaymentReported(Fact, kind="simulation.CardPaymentReported", version=1):
    """A cardholder, or the card's bank, said whether a payment was fraud; the latest word holds.

    It occurred when it was told, days after the payment.

    Attributes
    ----------
    payment : one that was asked for, made or declined: the id of its attempt
    customer : party; card : token of what was paid with
    """

    payment: UUID
    customer: UUID | None
    card: UUID
    is_fraud: bool
    amount_minor: int
    currency: str


class TownFounded(Fact, kind="simulation.TownFounded", version=1):
    """A town was founded; it will live by this plan."""

    seed: int
    customers: int
    terminals: int
    book: str
    house: str
