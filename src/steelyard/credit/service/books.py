"""The lender's books: opened, funded, and checked against the loans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, open_case, registry
from steelyard.credit.model.loan_refusals import AmountIsNotPositive, LenderExists
from steelyard.credit.model.postings import Accounts, loan_code, partner_code
from steelyard.credit.model.shares import Shares
from steelyard.credit.service.facts import BooksDisagreed
from steelyard.credit.store import lender as table
from steelyard.credit.store.lender import Lender
from steelyard.ledger import (
    CHARTS,
    AccountKind,
    BookReader,
    Funds,
    Heading,
    Leg,
    NewAccount,
    accepted,
    entry,
    open_accounts,
    open_book,
    open_chart,
    post,
)
from steelyard.payments import wallets

__all__ = [
    "BOOK",
    "DIFFERENCE",
    "Agreement",
    "Difference",
    "Lender",
    "business_on",
    "check",
    "fund",
    "lenders",
    "open_lender",
    "open_loan_accounts",
    "open_pool",
    "receive",
    "report_differences",
]

BOOK: Final = "lending"
"""The lender's book where nothing else is said."""
CHART: Final = "lending"
_RULE: Final = "rule.lender@1"
_ACCOUNT_RULE: Final = "rule.loan_accounts@1"
_CHUNK: Final = 5_000
_RECEIPTS: Final = UUID("6f2a1c58-3d0b-5e47-9c11-7a4be20d9f63")

DIFFERENCE: Final = registry.register_kind(
    CaseKind(
        "credit.difference",
        "Loans and ledger disagree",
        "贷款与总账不符",
        registry.Sla(timedelta(hours=8)),
        (
            registry.CaseOutcome("corrected", "Corrected", "已更正"),
            registry.CaseOutcome("explained", "Explained", "已查明"),
        ),
        priority=registry.Priority.URGENT,
        skill="credit.books",
    )
)


@dataclass(frozen=True, slots=True)
class Difference:
    """An account that is not what the loans add up to, minor units.

    Attributes
    ----------
    expected_minor, found_minor : debits less credits, by the loans and by the ledger
    """

    account: str
    expected_minor: int
    found_minor: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a check of the lender's books found.

    Attributes
    ----------
    loans, accounts : how many were looked at
    differences : none, or the books are broken
    """

    book: str
    checked_on: date
    loans: int
    accounts: int
    differences: tuple[Difference, ...]

    @property
    def holds(self) -> bool:
        """Whether loans and ledger agree."""
        return not self.differences


def lenders(connection: sa.Connection) -> tuple[Lender, ...]:
    """Return every lender, by currency; none before `open_lender`."""
    return tuple(table.read_all(connection))


def business_on(connection: sa.Connection, currency: str = "CNY") -> date:
    """Return the business date of the lender's book.

    Refusals
    --------
    lender_is_unknown
    """
    return BookReader(connection, table.read(connection, currency).book).book.business_on


def open_lender(
    unit: UnitOfWork,
    *,
    wallets_book: str,
    settlement_account: str,
    funding_minor: int,
    book: str = BOOK,
    currency: str = "CNY",
) -> Lender:
    """Open the book of a lender with its capital, all of it lying at the book of the wallets.

    Opening it again changes nothing.

    Parameters
    ----------
    wallets_book : where customers and merchants have their money
    settlement_account : code of the account there that money from outside goes to
    funding_minor : capital paid in

    Refusals
    --------
    lender_exists : loans of the currency stand in another book
    book_not_found, account_not_found : of the wallets
    amount_is_not_positive
    """
    if funding_minor <= 0:
        raise AmountIsNotPositive(amount_minor=funding_minor)
    wanted = Lender(currency, book, wallets_book)
    there = BookReader(unit.connection, wallets_book)
    there.account(settlement_account)
    open_book(
        unit,
        book,
        name="Consumer lender",
        funds=Funds.OWN,
        business_on=there.book.business_on,
        timezone=there.book.timezone,
    )
    if not table.insert(unit.connection, wanted, unit.now):
        found = table.read(unit.connection, currency)
        if found != wanted:
            raise LenderExists(**found._asdict())
        return found
    open_chart(unit, book, CHART, currencies=[currency])
    ours = NewAccount.mirror(wallets_book, currency=currency, kind=AccountKind.ASSET)
    open_accounts(unit, book, [ours], cause=_RULE)
    theirs = NewAccount(
        code=NewAccount.mirror(book, currency=currency, kind=AccountKind.LIABILITY).code,
        currency=currency,
        kind=AccountKind.LIABILITY,
        mirrors=book,
        debit_limit=0,
    )
    open_accounts(unit, wallets_book, [theirs], cause=_RULE)
    heading = Heading(entry=unit.new_id(), book=book, currency=currency, cause=_RULE)
    legs = [
        Leg(f"bank:{currency}", debit_minor=funding_minor),
        Leg(f"capital:{currency}", credit_minor=funding_minor),
    ]
    accepted(post(unit, entry(heading, legs)))
    _deposit(unit, wanted, settlement_account, funding_minor)
    audit(unit, action="credit.open_lender", subject=f"book:{book}", detail=wanted._asdict())
    return wanted


def fund(
    unit: UnitOfWork, *, settlement_account: str, amount_minor: int, currency: str = "CNY"
) -> None:
    """Move money of the lender from its bank to its balance at the book of the wallets.

    Refusals
    --------
    lender_is_unknown, amount_is_not_positive, account_not_found
    """
    if amount_minor <= 0:
        raise AmountIsNotPositive(amount_minor=amount_minor)
    lender = table.read(unit.connection, currency)
    BookReader(unit.connection, lender.wallets_book).account(settlement_account)
    _deposit(unit, lender, settlement_account, amount_minor)
    audit(
        unit,
        action="credit.fund",
        subject=f"book:{lender.book}",
        detail={"amount_minor": amount_minor, "currency": currency},
    )


def _deposit(unit: UnitOfWork, lender: Lender, settlement: str, amount_minor: int) -> None:
    """Pay from our bank into the reserve of the wallets, which owes it to us from then on."""
    currency = lender.currency
    heading = Heading(entry=unit.new_id(), book=lender.book, currency=currency, cause=_RULE)
    new = wallets.NewMovement(
        entry=heading.entry,
        own_book=lender.book,
        book=lender.wallets_book,
        account=settlement,
        amount_minor=amount_minor,
        currency=currency,
        cause=_RULE,
        about=f"book:{lender.book}",
    )
    ours = NewAccount.mirror(lender.wallets_book, currency=currency, kind=AccountKind.ASSET).code
    paid = heading.transfer(0, ours, f"bank:{currency}", amount_minor)
    accepted(post(unit, [paid, wallets.deposit(unit, new)]))


def receive(unit: UnitOfWork, *, amount_minor: int, currency: str, reference: str) -> None:
    """Take a receipt from outside into suspense, where it waits to be applied.

    Parameters
    ----------
    reference : of the bank's statement; the same receipt is taken once

    Refusals
    --------
    lender_is_unknown, amount_is_not_positive
    """
    if amount_minor <= 0:
        raise AmountIsNotPositive(amount_minor=amount_minor)
    lender = table.read(unit.connection, currency)
    heading = Heading(
        entry=uuid5(_RECEIPTS, f"{lender.book}/{currency}/{reference}"),
        book=lender.book,
        currency=currency,
        cause="rule.receipt@1",
    )
    legs = [
        Leg(f"bank:{currency}", debit_minor=amount_minor),
        Leg(f"suspense:{currency}", credit_minor=amount_minor),
    ]
    accepted(post(unit, entry(heading, legs)))


def open_pool(unit: UnitOfWork, lender: Lender, product: str) -> int:
    """Return the pool of a product, opened with its accounts when it is asked for first."""
    found = table.find_pool(unit.connection, product, lender.currency)
    if found is not None:
        return found
    number = table.insert_pool(unit.connection, product, lender.currency)
    accounts = CHARTS[CHART].accounts_of_part(product, lender.currency)
    open_accounts(unit, lender.book, accounts, cause=CHARTS[CHART].cause)
    return number


def open_loan_accounts(unit: UnitOfWork, lender: Lender, nr: int, shares: Shares) -> None:
    """Open the account of a loan's principal, and those of its partners."""
    currency = lender.currency
    own = NewAccount(
        code=loan_code(nr, currency), currency=currency, kind=AccountKind.ASSET, credit_limit=0
    )
    partners = [
        NewAccount(code=partner_code(name, currency), currency=currency, kind=AccountKind.LIABILITY)
        for name, _ in shares.partners
    ]
    open_accounts(unit, lender.book, [own, *partners], cause=_ACCOUNT_RULE)


def check(connection: sa.Connection) -> Agreement:
    """Compare every loan with its account, and every pool with the sum of its loans.

    Returns
    -------
    Agreement
        On the snapshot of the connection: run it inside `database.reading()`, or in a unit of work
        whose statements see the same rows. `report_differences` makes cases of what it found.

    Refusals
    --------
    lender_is_unknown : there is no lender yet
    """
    found = table.read_all(connection)
    if not found:
        table.read(connection, "CNY")
    differences: list[Difference] = []
    loans = accounts = 0
    for lender in found:
        reader = BookReader(connection, lender.book)
        for expected in _expected(connection, lender):
            balances = reader.balances(list(expected))
            accounts += len(expected)
            loans += sum(code.startswith("loan:") for code in expected)
            differences += [
                Difference(code, amount, balances.get(code, 0))
                for code, amount in expected.items()
                if balances.get(code, 0) != amount
            ]
    book = BookReader(connection, found[0].book).book
    return Agreement(book.id, book.business_on, loans, accounts, tuple(differences))


def _expected(connection: sa.Connection, lender: Lender) -> Iterator[dict[str, int]]:
    """Yield what accounts should have, debits less credits, in chunks."""
    for chunk in table.principals(connection, lender.currency, size=_CHUNK):
        yield {loan_code(nr, lender.currency): amount for nr, amount in chunk}
    pooled: dict[str, int] = {}
    for one in table.pool_sums(connection):
        if one.currency != lender.currency:
            continue
        accounts = Accounts(one.product, one.currency, cash="")
        for code, amount in (
            ("interest_receivable", one.interest_minor),
            ("penalty_receivable", one.penalty_minor),
            ("fee_receivable", one.fee_minor),
            ("provision", -one.provision_minor),
        ):
            pooled[accounts.staged(code, one.stage)] = amount
        for code, amount in (
            ("interest_suspense", one.interest_suspended_minor),
            ("penalty_suspense", one.penalty_suspended_minor),
            ("credit_balance", one.credit_minor),
        ):
            account = accounts.pooled(code)
            pooled[account] = pooled.get(account, 0) - amount
    if pooled:
        yield pooled


def report_differences(unit: UnitOfWork, agreement: Agreement) -> int:
    """Open a case for each account that differs, and return how many differ."""
    for one in agreement.differences:
        open_case(
            unit,
            DIFFERENCE.name,
            f"account:{agreement.book}/{one.account}",
            links=(f"book:{agreement.book}",),
        )
    if agreement.differences:
        unit.record(
            BooksDisagreed(
                book=agreement.book,
                checked_on=agreement.checked_on,
                differences=len(agreement.differences),
            ),
            subject=f"book:{agreement.book}",
        )
    return len(agreement.differences)
