"""A small town's books, and short ways to say what moves in them."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID, uuid4

from steelyard.base import Database
from steelyard.ledger import (
    AccountKind,
    Answer,
    BookReader,
    Funds,
    Kind,
    NewAccount,
    Transfer,
    open_accounts,
    open_book,
    post,
)

DAY = date(2026, 3, 2)
CAUSE = "no_policy@0"
BANK, ALICE, BOB, FEES = "asset:bank", "wallet:alice", "wallet:bob", "income:fees"
ACCOUNTS = (
    NewAccount(code=BANK, currency="CNY", kind=AccountKind.ASSET),
    NewAccount(code=ALICE, currency="CNY", kind=AccountKind.LIABILITY, debit_limit=0),
    NewAccount(code=BOB, currency="CNY", kind=AccountKind.LIABILITY, debit_limit=0),
    NewAccount(code=FEES, currency="CNY", kind=AccountKind.INCOME),
)


def open_town(
    database: Database,
    book: str = "town",
    *,
    funds: Funds = Funds.OWN,
    accounts: tuple[NewAccount, ...] = ACCOUNTS,
) -> tuple[int, ...]:
    with database.unit_of_work() as uow:
        open_book(uow, book, name=book.title(), funds=funds, business_on=DAY)
        return open_accounts(uow, book, accounts, cause="test@1")


def transfer(
    debit: int | str | None, credit: int | str | None, minor: int | None, **more: Any
) -> Transfer:
    values: dict[str, Any] = {
        "id": uuid4(),
        "book": "town",
        "cause": CAUSE,
        "debit": debit,
        "credit": credit,
        "amount_minor": minor,
        "currency": "CNY",
    }
    return Transfer(**values | more)


def hold(debit: int | str, credit: int | str, minor: int, **more: Any) -> Transfer:
    return transfer(debit, credit, minor, kind=Kind.HOLD, **more)


def resolve(kind: Kind, refers_to: UUID, minor: int | None = None, **more: Any) -> Transfer:
    return transfer(None, None, minor, kind=kind, refers_to=refers_to, **{"currency": None} | more)


def put(database: Database, *transfers: Transfer) -> list[Answer]:
    with database.unit_of_work() as uow:
        return post(uow, transfers)


def outcomes(answers: list[Answer] | tuple[Answer, ...]) -> list[str]:
    return [answer.outcome.value for answer in answers]


def balance(database: Database, account: int | str, book: str = "town", **more: Any) -> int:
    with database.reading() as connection:
        return BookReader(connection, book).balance(account, **more)


def is_sound(database: Database, book: str = "town") -> bool:
    with database.reading() as connection:
        reader = BookReader(connection, book)
        report = reader.verify()
        assert report.is_sound, report.findings
        assert reader.trial_balance().is_balanced
        return report.transfers == reader.book.transfers
