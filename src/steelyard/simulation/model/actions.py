"""What the people of the town do, as facts: only a report says that a payment was fraud."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

import msgspec

from steelyard.simulation.model.people import Person


@dataclass(frozen=True, slots=True)
class SignUp:
    """A customer joins: the person becomes a party with one wallet account and one card.

    Attributes
    ----------
    id : of the action, to be used as the idempotency key
    at : instant, UTC
    customer_id, account_id, card_id : ids the customer is known by in the town
    person : the personal data the customer gives
    """

    id: UUID
    at: datetime
    customer_id: UUID
    account_id: UUID
    card_id: UUID
    person: Person


class DepositKind(StrEnum):
    """Where the money of a deposit comes from."""

    OPENING = "opening"
    """What a customer brings along, enough to get to the first regular deposit."""
    SALARY = "salary"
    """Monthly, by the employer."""
    TOP_UP = "top_up"
    """Weekly, by the customer."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money comes into a customer's wallet from outside the town.

    Attributes
    ----------
    id : of the action and of the deposit
    at : instant, UTC
    customer_id, account_id : who gets it, and where
    amount_minor : positive
    currency : ISO 4217
    kind : where the money comes from
    """

    id: UUID
    at: datetime
    customer_id: UUID
    account_id: UUID
    amount_minor: int
    currency: str
    kind: DepositKind


@dataclass(frozen=True, slots=True)
class CardPayment:
    """A customer asks to pay at a terminal; whether the balance is enough is for the books to say.

    Attributes
    ----------
    id : of the action and of the payment
    at : instant, UTC
    customer_id, account_id, card_id : who pays, from where, with what
    merchant_id, terminal_id : who is paid, and where
    amount_minor : positive
    currency : ISO 4217
    """

    id: UUID
    at: datetime
    customer_id: UUID
    account_id: UUID
    card_id: UUID
    merchant_id: UUID
    terminal_id: UUID
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Refund:
    """A merchant gives back a whole payment, by its mirror.

    A payment is refunded once at most. If the payment was refused, so must the refund be.

    Attributes
    ----------
    id : of the action and of the refund
    at : instant, UTC, on a later day than the payment
    payment_id : the payment given back
    customer_id, account_id, merchant_id : those of the payment
    amount_minor, currency : those of the payment
    """

    id: UUID
    at: datetime
    payment_id: UUID
    customer_id: UUID
    account_id: UUID
    merchant_id: UUID
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class FraudReport:
    """A cardholder finds a payment on the statement that somebody else has made.

    Attributes
    ----------
    id : of the action
    at : instant, UTC, one to fourteen days after the payment
    payment_id, customer_id, card_id : the payment, whose it was, and with what it was asked for
    """

    id: UUID
    at: datetime
    payment_id: UUID
    customer_id: UUID
    card_id: UUID


@dataclass(frozen=True, slots=True)
class LoanRequest:
    """A customer asks for a loan; whether it is given is for the platform to say.

    Attributes
    ----------
    id : of the action, by which the loan is found
    at : instant, UTC
    customer_id, account_id : who asks, and the wallet that is paid to and paid from
    product : code of what is asked for
    amount_minor, currency : positive; ISO 4217
    months : instalments
    income_minor : a month, as the customer states it
    merchant_id, merchant_account_id : who is paid instead, for a purchase
    """

    id: UUID
    at: datetime
    customer_id: UUID
    account_id: UUID
    product: str
    amount_minor: int
    currency: str
    months: int
    income_minor: int
    merchant_id: UUID | None
    merchant_account_id: UUID | None


@dataclass(frozen=True, slots=True)
class LoanPayment:
    """A borrower pays what is due on a loan, or all of it, as far as the wallet has it.

    Attributes
    ----------
    id : of the action
    at : instant, UTC
    customer_id, request_id : who pays, and for which loan
    repays_all : everything that is owed, early
    """

    id: UUID
    at: datetime
    customer_id: UUID
    request_id: UUID
    repays_all: bool


@dataclass(frozen=True, slots=True)
class LoanComplaint:
    """A borrower complains about a loan.

    Attributes
    ----------
    id : of the action
    at : instant, UTC
    customer_id, request_id : who complains, and about which loan
    about : stable code of what it is about
    """

    id: UUID
    at: datetime
    customer_id: UUID
    request_id: UUID
    about: str


Action = (
    SignUp
    | Deposit
    | CardPayment
    | Refund
    | FraudReport
    | LoanRequest
    | LoanPayment
    | LoanComplaint
)


def digest(actions: Iterable[Action]) -> str:
    """Return the SHA-256, in hex, of the actions in their order, every field of them.

    Examples
    --------
    >>> digest(())[:16]
    'e3b0c44298fc1c14'
    """
    summed = sha256()
    encoder = msgspec.json.Encoder()
    for action in actions:
        summed.update(type(action).__name__.encode() + b" " + encoder.encode(action) + b"\n")
    return summed.hexdigest()
