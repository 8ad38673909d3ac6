"""The custodian: where clients' money lies, how it is asked to pay, and what it states itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.channel import StatementFile
from steelyard.payments.model.orders import Mode


class CustodyAccountIsUnknown(Refusal):
    """Nobody said yet where the reserve of the mode lies."""

    kind = RefusalKind.CONFLICT
    en = "No custody account is open for {mode} payments in {currency}."
    zh = "{mode} 模式的 {currency} 备付金存管账户尚未登记。"


class CustodyAccountIsAnother(Refusal):
    """The reserve lies elsewhere; it is not moved by a call."""

    kind = RefusalKind.CONFLICT
    en = "The custody account of {mode} payments in {currency} is {account}."
    zh = "{mode} 模式的 {currency} 备付金存管账户为 {account}。"


class CustodianIsNotAtHand(Refusal):
    """No custodian was configured."""

    kind = RefusalKind.UNAVAILABLE
    en = "No custodian is configured."
    zh = "尚未配置备付金存管机构。"


class PayoutSaid(StrEnum):
    """What the custodian says about a payout."""

    PAID = "paid"
    PENDING = "pending"
    FAILED = "failed"
    """A final no: nothing left the account."""
    RETURNED = "returned"
    """It left, and the payee's bank sent it back."""
    NOT_FOUND = "not_found"
    """The custodian knows of no such number."""
    NOT_SENT = "not_sent"
    """The connection was refused before the first byte."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """An account that client money may go to: named, verified, in force.

    Attributes
    ----------
    reference : which one with us, `account:<id>`; tail : the last digits, for people
    """

    reference: str
    tail: str


@dataclass(frozen=True, slots=True)
class Payee:
    """A listed account in the clear, as a payment order needs it.

    Attributes
    ----------
    reference : which one with us: `account:<id>`, or `own` for our own funds
    number, holder : as the bank knows them; never logged
    tail : the last digits, for people
    """

    reference: str
    number: str
    holder: str
    tail: str

    def __repr__(self) -> str:
        return f"Payee({self.reference!r}, …{self.tail})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutOrder:
    """A payout as the custodian is asked for it.

    Attributes
    ----------
    number : ours, 32 hex digits, the same at every repetition
    account : at the custodian, that is debited
    """

    number: str
    account: str
    amount_minor: int
    currency: str
    payee: Payee
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodianAnswer:
    """What is known from one answer of the custodian.

    Attributes
    ----------
    executed_on : business date of the custodian on which the money left; returned_on : came back
    amount_minor, currency : as it states them; None where it does not
    why : of a failure, a return, or what went wrong on the way
    """

    said: PayoutSaid
    reference: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    executed_on: date | None = None
    returned_on: date | None = None
    why: str | None = None


class Custodian(Protocol):
    """The bank that keeps clients' money; three verbs, called outside of any transaction."""

    @property
    def name(self) -> str:
        """Its name with us."""
        ...

    def pay_out(self, order: PayoutOrder) -> CustodianAnswer:
        """Ask that money be paid; the same number again is the same payout."""
        ...

    def query(self, number: str) -> CustodianAnswer:
        """Ask what became of a payout."""
        ...

    def statement(self, account: str, on: date) -> StatementFile | None:
        """Fetch the statement of a day of an account; None while there is none."""
        ...


@dataclass(frozen=True, slots=True)
class CustodyAccount:
    """Where the reserve of a mode lies in a currency.

    Attributes
    ----------
    account : at the custodian; own_account : ours, the only one beside clients' that may be paid
    """

    mode: Mode
    currency: str
    account: str
    own_account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyStatement:
    """What the custodian said of a day.

    Attributes
    ----------
    edition : 1, 2, ... of the files of the day
    fault : why it cannot be believed; None: it holds
    """

    id: UUID
    mode: Mode
    currency: str
    on: date
    edition: int
    name: str
    opening_minor: int
    closing_minor: int
    fault: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyLine:
    """A line of a statement: over zero what came in.

    Attributes
    ----------
    key : the same for the same line in every edition of the day
    """

    no: int
    kind: str
    amount_minor: int
    reference: str
    our_number: str
    counterparty: str
    key: str


def fault_of(
    *, opening_minor: int, closing_minor: int, amounts: list[int], last_closing_minor: int | None
) -> str | None:
    """Return why a statement cannot be believed, None where it adds up and goes on.

    Parameters
    ----------
    last_closing_minor : of the day before; None where there was no statement yet

    Examples
    --------
    >>> fault_of(opening_minor=10, closing_minor=15, amounts=[7, -2], last_closing_minor=10)
    >>> fault_of(opening_minor=9, closing_minor=14, amounts=[5], last_closing_minor=10)
    'opening_is_not_the_last_closing'
    """
    if opening_minor + sum(amounts) != closing_minor:
        return "lines_do_not_add_up"
    if last_closing_minor is not None and opening_minor != last_closing_minor:
        return "opening_is_not_the_last_closing"
    return None
