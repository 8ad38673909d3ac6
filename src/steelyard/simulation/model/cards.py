"""Card payments as the platform is asked for them, and how it answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from steelyard.kernel import Refusal, RefusalKind

BATCH = 1_000


def order_id(payment: UUID) -> UUID:
    """Return the id of the merchant's order that a payment of the town pays."""
    return uuid5(payment, "order")


class TooManyCardPayments(Refusal):
    """A batch would hold its transaction open for too long."""

    kind = RefusalKind.TOO_LARGE
    en = "A batch holds at most {most} payments, refunds or reports; this one holds {found}."
    zh = "每批最多 {most} 笔付款、退款或举报，本批为 {found} 笔。"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardOrder:
    """A card payment that is asked for.

    Attributes
    ----------
    id : of the payment: its attempt has it, the gate is asked about it
    at : instant, UTC, at which the card was shown
    customer, merchant : whom the town knows by these ids
    card, terminal : with what, and where
    account : code in the town's book, of who pays
    amount_minor : positive
    currency : ISO 4217
    device, ip, country : from where, ISO 3166 for the last; None where it is not known
    is_online : whether nobody stands at the terminal; None where it is not known
    """

    id: UUID
    at: datetime
    customer: UUID
    card: UUID
    account: str
    merchant: UUID
    terminal: UUID
    amount_minor: int
    currency: str
    device: str | None = None
    ip: str | None = None
    country: str | None = None
    is_online: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """A refund that is asked for, of one whole payment, whatever its amount was.

    Attributes
    ----------
    id : of the refund
    at : instant, UTC, at which the goods came back
    payment : the payment that is given back
    """

    id: UUID
    at: datetime
    payment: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class CardReport:
    """What a cardholder, or the card's bank, says about a payment.

    Attributes
    ----------
    payment : which was asked for with this card
    at : instant, UTC, at which it is told
    is_fraud : whether somebody else paid; False takes an earlier report back
    """

    payment: UUID
    at: datetime
    card: UUID
    is_fraud: bool


class CardOutcome(StrEnum):
    """What became of an order."""

    ACCEPTED = "accepted"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class CardAnswer:
    """The answer to one order.

    Attributes
    ----------
    reason : why it was declined, a code of the gate or of the ledger; None when it was accepted
    cause : what the movement rests on, or what said no
    """

    id: UUID
    outcome: CardOutcome
    cause: str
    reason: str | None = None
