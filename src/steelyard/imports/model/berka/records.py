"""The records of the Berka bank, as values. None of them carries the bank's own balance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from steelyard.imports.model.berka.operations import Counterparty, Operation, Purpose


class Sex(StrEnum):
    """As the birth number encodes it."""

    FEMALE = "female"
    MALE = "male"


class StatementFrequency(StrEnum):
    """When the bank issues a statement, which it charges for."""

    MONTHLY = "monthly"
    WEEKLY = "weekly"
    AFTER_TRANSACTION = "after_transaction"


class DispositionRole(StrEnum):
    """What a client may do with an account."""

    OWNER = "owner"
    DISPONENT = "disponent"
    """May use the account, may not ask for a loan on it."""


class CardKind(StrEnum):
    """The three cards the bank issued."""

    JUNIOR = "junior"
    CLASSIC = "classic"
    GOLD = "gold"


class LoanOutcome(StrEnum):
    """How a loan stood at the end of the data."""

    PAID = "paid"
    """A: ended, paid."""
    NOT_PAID = "not_paid"
    """B: ended, not paid."""
    RUNNING = "running"
    """C: running, fine."""
    RUNNING_IN_DEBT = "running_in_debt"
    """D: running, in debt."""


@dataclass(frozen=True, slots=True)
class District:
    """A district of the country; a figure the source marks with a question mark is None.

    Attributes
    ----------
    municipalities_by_size : below 499 inhabitants, to 1,999, to 9,999, above 10,000
    urban_percent, unemployment_1995_percent, unemployment_1996_percent : of the inhabitants
    average_salary_minor : a month, in haléř
    """

    district_id: int
    name: str
    region: str
    inhabitants: int
    municipalities_by_size: tuple[int, int, int, int]
    cities: int
    urban_percent: Decimal | None
    average_salary_minor: int
    unemployment_1995_percent: Decimal | None
    unemployment_1996_percent: Decimal | None
    entrepreneurs_per_1000: Decimal | None
    crimes_1995: Decimal | None
    crimes_1996: Decimal | None


@dataclass(frozen=True, slots=True)
class Client:
    """A natural person; the source names nobody."""

    client_id: int
    born_on: date
    sex: Sex
    district_id: int


@dataclass(frozen=True, slots=True)
class Account:
    """A current account in CZK."""

    account_id: int
    district_id: int
    statement_frequency: StatementFrequency
    opened_on: date


@dataclass(frozen=True, slots=True)
class Disposition:
    """The right of a client to an account; every account has exactly one owner."""

    disposition_id: int
    client_id: int
    account_id: int
    role: DispositionRole


@dataclass(frozen=True, slots=True)
class Transaction:
    """One line of a statement.

    Attributes
    ----------
    booked_on : the day; the source does not say in which order within it
    amount_minor : haléř, never negative; the operation says which way it goes
    purpose : what the bank says it is for, None where it does not say
    """

    trans_id: int
    account_id: int
    booked_on: date
    operation: Operation
    purpose: Purpose | None
    amount_minor: int
    counterparty: Counterparty

    @property
    def signed_minor(self) -> int:
        """The change of the customer's balance."""
        return self.amount_minor if self.operation.is_credit else -self.amount_minor


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """A standing order to pay an account at another bank."""

    order_id: int
    account_id: int
    counterparty: Counterparty
    amount_minor: int
    purpose: Purpose | None


@dataclass(frozen=True, slots=True)
class Loan:
    """A loan on an account: what was lent, over how many months, and each month's payment."""

    loan_id: int
    account_id: int
    granted_on: date
    amount_minor: int
    duration_months: int
    payment_minor: int
    outcome: LoanOutcome


@dataclass(frozen=True, slots=True)
class Card:
    """A card issued to whoever holds a disposition."""

    card_id: int
    disposition_id: int
    kind: CardKind
    issued_on: date


@dataclass(frozen=True, slots=True)
class BerkaBank:
    """Everything the bank's files say, but for its own balances.

    Every reference between the tuples holds, every id is there once and every account has one
    owner. Each tuple is sorted by its id, transactions by account, day and id: the order of the
    rows in the files has no say.
    """

    districts: tuple[District, ...]
    clients: tuple[Client, ...]
    accounts: tuple[Account, ...]
    dispositions: tuple[Disposition, ...]
    transactions: tuple[Transaction, ...]
    standing_orders: tuple[StandingOrder, ...]
    loans: tuple[Loan, ...]
    cards: tuple[Card, ...]
