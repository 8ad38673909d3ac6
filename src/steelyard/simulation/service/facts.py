"""What happens at the terminals, as facts; only a report says that a payment was fraud."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from steelyard.base import Fact


class CardPaymentMade(Fact, kind="simulation.CardPaymentMade", version=1):
    """A card payment went through.

    Attributes
    ----------
    payment : id of the payment and of its transfer in the town's book
    customer, merchant : parties
    account : code of the account that paid
    """

    payment: UUID
    customer: UUID
    card: UUID
    account: str
    merchant: UUID
    terminal: UUID
    amount_minor: int
    currency: str


class CardPaymentDeclined(Fact, kind="simulation.CardPaymentDeclined", version=1):
    """A card payment was refused, by the gate or for want of money.

    Attributes
    ----------
    reason : a code of the gate or of the ledger
    customer, merchant : parties, None where nobody is registered as such; the rest as in
        `CardPaymentMade`
    """

    payment: UUID
    customer: UUID | None
    card: UUID
    account: str
    merchant: UUID | None
    terminal: UUID
    amount_minor: int
    currency: str
    reason: str


class CardPaymentRefunded(Fact, kind="simulation.CardPaymentRefunded", version=1):
    """A merchant gave back a whole payment.

    Attributes
    ----------
    refund : id of the refund and of its transfer
    payment : what is given back
    customer, merchant : parties
    """

    refund: UUID
    payment: UUID
    customer: UUID
    card: UUID
    account: str
    merchant: UUID
    amount_minor: int
    currency: str


class CardPaymentReported(Fact, kind="simulation.CardPaymentReported", version=1):
    """A cardholder, or the card's bank, said whether a payment was fraud; the latest word holds.

    It occurred when it was told, days after the payment.

    Attributes
    ----------
    payment : one that was asked for, made or declined
    customer : party, None where nobody is registered as such; the rest as in `CardPaymentMade`
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


class CardFeesCharged(Fact, kind="simulation.CardFeesCharged", version=1):
    """The platform took its fee from the merchants, for one business day.

    Attributes
    ----------
    entry : the journal entry, in the town's book and in the house's
    merchants : how many paid
    """

    entry: UUID
    business_on: date
    merchants: int
    amount_minor: int
    currency: str
