"""Reading a book: one view of one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
import sqlalchemy as sa

from steelyard.kernel import CursorIsInvalid, Page, decode_cursor, encode_cursor
from steelyard.ledger.model.accounts import Account, AccountRef, Book, Head
from steelyard.ledger.model.audit import Audit, Fault, Finding, Report
from steelyard.ledger.model.decide import microseconds
from steelyard.ledger.model.reading import (
    Movement,
    Search,
    StatementLine,
    TrialBalance,
    TrialTotal,
    total_lines,
)
from steelyard.ledger.model.refusals import AccountNotFound, BookNotFound, OriginalNotFound
from steelyard.ledger.store import auditing, reading


def _driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _position(cursor: str | None) -> int | None:
    """Return the recording instant or number in a cursor."""
    if cursor is None:
        return None
    (position,) = decode_cursor(cursor, int)
    if not 0 <= int(position) <= reading.FOREVER:
        raise CursorIsInvalid
    return int(position)


def books(connection: sa.Connection) -> tuple[Book, ...]:
    """Return every book, by id."""
    return tuple(reading.read_books(_driver(connection)))


def entry_of(connection: sa.Connection, entry: UUID) -> tuple[Movement, ...]:
    """Return the movements of a journal entry, in all the books that it touches; maybe none."""
    return tuple(reading.read_entry(_driver(connection), entry))


def accounts_of(connection: sa.Connection, owner: str) -> tuple[Account, ...]:
    """Return the accounts of an owner (`noun:id`) in all books."""
    return tuple(reading.read_accounts_of(_driver(connection), owner))


class BookReader:
    """The questions that a book answers, on the snapshot of the connection.

    Parameters
    ----------
    connection : inside `database.reading()`, or a unit of work's own
    book : id

    Refusals
    --------
    book_not_found

    Examples
    --------
    ::

        with database.reading() as connection:
            town = BookReader(connection, "town")
            town.balance("wallet:7", effective_on=date(2026, 2, 28))
    """

    def __init__(self, connection: sa.Connection, book: str) -> None:
        self._driver = _driver(connection)
        found = reading.read_book(self._driver, book)
        if found is None:
            raise BookNotFound(about=book)
        self.book = found

    def account(self, account: AccountRef) -> Account:
        """Return an account by number or code, with its counters and limits.

        Refusals
        --------
        account_not_found
        """
        found = reading.read_account(self._driver, self.book.id, account)
        if found is None:
            raise AccountNotFound(about=str(account))
        return found

    def accounts(self, *, cursor: str | None = None, limit: int = 50) -> Page[Account]:
        """Return the accounts, by number.

        Refusals
        --------
        cursor_is_invalid
        """
        after = _position(cursor) or 0
        found = reading.read_account_page(self._driver, self.book.id, after, limit + 1)
        more = len(found) > limit
        return Page(tuple(found[:limit]), encode_cursor(found[limit - 1].id) if more else None)

    def balances(self, codes: Sequence[str]) -> dict[str, int]:
        """Return debits less credits of many accounts by code; a code without account is left out.

        Unlike `balance` it is signed by side, so that balances of all kinds add up to nothing.
        """
        return dict(reading.read_balances(self._driver, self.book.id, codes))

    def balance(
        self,
        account: AccountRef,
        *,
        recorded_at: datetime | None = None,
        effective_on: date | None = None,
    ) -> int:
        """Return the posted balance of an account in minor units, on its natural side.

        Parameters
        ----------
        recorded_at : as it was known at this instant; None: as it is known now
        effective_on : of the movements with value dates up to and with this day; None: of all

        Refusals
        --------
        account_not_found
        """
        found = self.account(account)
        if recorded_at is None and effective_on is None:
            return found.balance_minor
        known_at = reading.FOREVER if recorded_at is None else microseconds(recorded_at)
        net = reading.net_balance(
            self._driver, self.book.id, found.id, known_at=known_at, effective_on=effective_on
        )
        return found.kind.sign * net

    def statement(
        self,
        account: AccountRef,
        *,
        start: Literal["oldest", "newest"] = "oldest",
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[StatementLine]:
        """Return a page of the posted movements of an account, with the balance after each.

        Refusals
        --------
        account_not_found, cursor_is_invalid
        """
        found = self.account(account)
        past = _position(cursor)
        lines = reading.statement_lines(
            self._driver, found, start=start, past=past, limit=limit + 1
        )
        more = len(lines) > limit
        return Page(tuple(lines[:limit]), encode_cursor(lines[limit - 1].at) if more else None)

    def trial_balance(
        self, *, recorded_at: datetime | None = None, effective_on: date | None = None
    ) -> TrialBalance:
        """Return the balances of all accounts; the two times mean what they do in `balance`."""
        known_at = None if recorded_at is None else microseconds(recorded_at)
        lines = reading.trial_lines(
            self._driver, self.book.id, known_at=known_at, effective_on=effective_on
        )
        return TrialBalance(self.book.id, lines, total_lines(lines))

    def trial_totals(self) -> tuple[TrialTotal, ...]:
        """Return the totals of the present trial balance by currency, without the lines."""
        return reading.trial_totals(self._driver, self.book.id)

    def movements(
        self, search: Search | None = None, *, cursor: str | None = None, limit: int = 20
    ) -> Page[Movement]:
        """Return the newest movements, or the newest of those that a search finds.

        Refusals
        --------
        cursor_is_invalid
        """
        before = _position(cursor)
        found = reading.find_movements(
            self._driver, self.book.id, search or Search(), before=before, limit=limit + 1
        )
        more = len(found) > limit
        return Page(tuple(found[:limit]), encode_cursor(found[limit - 1].at) if more else None)

    def movement(self, id: UUID) -> Movement:
        """Return one movement by its id.

        Refusals
        --------
        original_not_found
        """
        found = reading.read_movement(self._driver, self.book.id, id)
        if found is None:
            raise OriginalNotFound(about=str(id))
        return found

    def head(self) -> Head:
        """Return the end of the chain, to be published where no one can change it."""
        return Head(self.book.id, self.book.transfers, self.book.last_at, self.book.head.hex())

    def verify(
        self,
        *,
        against: Head | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Report:
        """Compute the whole book again from its transfers, and report what differs.

        Parameters
        ----------
        against : a head that was published earlier: the chain must lead through it
        progress : called with transfers read, and transfers in all
        """
        driver, book = self._driver, self.book
        audit = Audit(book.id, book.funds.value, auditing.read_currencies(driver, book.id))
        blocks = auditing.read_blocks(driver, book.id)
        audit.watch((b.to_at for b in blocks), auditing.read_reversed(driver, book.id))
        for page in auditing.stream_records(driver, book.id):
            audit.read(page)
            progress(audit.transfers, book.transfers)
        if against is not None:
            found = auditing.read_hash(driver, book.id, against.at)
            if against.at and found != (bytes.fromhex(against.hash), against.transfers):
                about = f"the published head of {against.transfers} transfers is not in the chain"
                audit.findings.insert(0, Finding(Fault.HEAD_DIFFERS, about, against.at))
        return audit.finish(auditing.stream_claims(driver, book.id), blocks, book.head)
