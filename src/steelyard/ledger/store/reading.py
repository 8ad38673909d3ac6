"""Reading the books: each query walks an index in the order of recording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any, Literal
from uuid import UUID

import psycopg

from steelyard.ledger.model.accounts import (
    Account,
    AccountKind,
    AccountRef,
    Book,
    Funds,
    book_is_well_formed,
    code_is_well_formed,
    owner_is_well_formed,
)
from steelyard.ledger.model.decide import instant
from steelyard.ledger.model.reading import Movement, Search, StatementLine, TrialLine, TrialTotal
from steelyard.ledger.model.transfers import Kind

Driver = psycopg.Connection[Any]
FOREVER = 2**63 - 1

_BOOK = (
    "id, name, timezone, funds, opened_at, business_on, closed_through, accounts, transfers,"
    " blocks, last_at, head"
)
_ACCOUNT = (
    "book, id, code, currency, kind, owner, mirrors, metadata, opened_at, debit_limit,"
    " credit_limit, limits_version, closed, debits_posted, debits_held, credits_posted,"
    " credits_held"
)


def _book(row: tuple[Any, ...]) -> Book:
    return Book(**dict(zip(_BOOK.split(", "), row, strict=True)) | {"funds": Funds(row[3])})


def _account(row: tuple[Any, ...]) -> Account:
    values = dict(zip(_ACCOUNT.split(", "), row, strict=True))
    return Account(**values | {"kind": AccountKind(values["kind"])})


def read_books(driver: Driver) -> list[Book]:
    """Return every book, by id."""
    return [_book(row) for row in driver.execute(f"SELECT {_BOOK} FROM ledger.book ORDER BY id")]


def read_book(driver: Driver, book: str) -> Book | None:
    """Return a book, or None."""
    if not book_is_well_formed(book):
        return None
    row = driver.execute(f"SELECT {_BOOK} FROM ledger.book WHERE id = %s", (book,)).fetchone()
    return None if row is None else _book(row)


def read_account(driver: Driver, book: str, account: AccountRef) -> Account | None:
    """Return an account by number or code, or None."""
    if isinstance(account, str):
        if not code_is_well_formed(account):
            return None
        key = "code"
    else:
        if not 0 < account < FOREVER:
            return None
        key = "id"
    row = driver.execute(
        f"SELECT {_ACCOUNT} FROM ledger.account WHERE book = %s AND {key} = %s", (book, account)
    ).fetchone()
    return None if row is None else _account(row)


def read_accounts_of(driver: Driver, owner: str) -> list[Account]:
    """Return the accounts of an owner in all books."""
    if not owner_is_well_formed(owner):
        return []
    rows = driver.execute(
        f"SELECT {_ACCOUNT} FROM ledger.account WHERE owner = %s ORDER BY book, id", (owner,)
    )
    return [_account(row) for row in rows]


def read_balances(driver: Driver, book: str, codes: Sequence[str]) -> list[tuple[str, int]]:
    """Return debits less credits posted of the accounts of a book that have one of some codes."""
    rows = driver.execute(
        """
        SELECT code, debits_posted - credits_posted FROM ledger.account
        WHERE book = %s AND code = ANY(%s::text[])
        """,
        (book, list(codes)),
    )
    return [(str(code), int(net)) for code, net in rows]


def read_account_page(driver: Driver, book: str, after: int, limit: int) -> list[Account]:
    """Return the accounts of a book after a number."""
    rows = driver.execute(
        f"SELECT {_ACCOUNT} FROM ledger.account WHERE book = %s AND id > %s ORDER BY id LIMIT %s",
        (book, after, limit),
    )
    return [_account(row) for row in rows]


# The last row of either side at or before an instant knows the balance.
_AS_RECORDED = """
    SELECT balance FROM (
        (SELECT at, debit_balance AS balance FROM ledger.transfer
         WHERE book = %(book)s AND debit = {account} AND at <= %(at)s ORDER BY at DESC LIMIT 1)
        UNION ALL
        (SELECT at, credit_balance FROM ledger.transfer
         WHERE book = %(book)s AND credit = {account} AND at <= %(at)s ORDER BY at DESC LIMIT 1)
    ) AS last ORDER BY at DESC LIMIT 1
"""
# Of the rows whose value date is not their business date: recorded by then with a later value
# date, out; recorded later (but known) with an earlier one, in.
_OFF_DATED = """
    SELECT {side} AS account, {sign} * (CASE WHEN at <= %(at)s THEN -1 ELSE 1 END) * posted_minor
        AS amount
    FROM ledger.transfer
    WHERE book = %(book)s AND off_dated {only}
      AND CASE WHEN at <= %(at)s THEN effective_on > %(effective_on)s
               ELSE at <= %(known_at)s AND effective_on <= %(effective_on)s END
"""


def _off_dated(only: str) -> str:
    debits = _OFF_DATED.format(side="debit", sign=1, only=only.format(side="debit"))
    credits = _OFF_DATED.format(side="credit", sign=-1, only=only.format(side="credit"))
    return f"{debits} UNION ALL {credits}"


STATEMENTS = {
    "as_recorded": _AS_RECORDED.format(account="%(account)s"),
    "off_dated": (
        "SELECT COALESCE(sum(amount), 0)::bigint FROM ("
        + _off_dated("AND {side} = %(account)s")
        + ") AS moved"
    ),
}


def end_of_day(driver: Driver, book: str, business_on: date) -> int:
    """Return the recording instant at which a business day and those before it had ended."""
    row = driver.execute(
        "SELECT from_at - 1 FROM ledger.day WHERE book = %s AND business_on > %s"
        " ORDER BY business_on LIMIT 1",
        (book, business_on),
    ).fetchone()
    return FOREVER if row is None else int(row[0])


def net_balance(
    driver: Driver, book: str, account: int, *, known_at: int, effective_on: date | None
) -> int:
    """Return debits less credits of an account, as known at an instant, to a value date."""
    at = known_at
    if effective_on is not None:
        at = min(at, end_of_day(driver, book, effective_on))
    values = {
        "book": book,
        "account": account,
        "at": at,
        "known_at": known_at,
        "effective_on": effective_on,
    }
    row = driver.execute(STATEMENTS["as_recorded"], values).fetchone()
    net = 0 if row is None else int(row[0])
    if effective_on is not None:
        moved = driver.execute(STATEMENTS["off_dated"], values).fetchone()
        assert moved is not None
        net += int(moved[0])
    return net


_TRIAL = f"""
    SELECT a.id, a.code, a.kind, a.currency,
           COALESCE(recorded.balance, 0) + COALESCE(moved.amount, 0)
    FROM ledger.account a
    LEFT JOIN LATERAL ({_AS_RECORDED.format(account="a.id")}) AS recorded ON true
    LEFT JOIN (
        SELECT account, sum(amount)::bigint AS amount FROM ({_off_dated("")}) AS each
        WHERE %(effective_on)s::date IS NOT NULL GROUP BY account
    ) AS moved ON moved.account = a.id
    WHERE a.book = %(book)s ORDER BY a.code
"""
_TRIAL_NOW = """
    SELECT id, code, kind, currency, debits_posted - credits_posted FROM ledger.account
    WHERE book = %s AND debits_posted <> credits_posted ORDER BY code
"""


def trial_lines(
    driver: Driver, book: str, *, known_at: int | None, effective_on: date | None
) -> tuple[TrialLine, ...]:
    """Return the accounts whose balance is not 0, now or as known at an instant."""
    if known_at is None and effective_on is None:
        rows = driver.execute(_TRIAL_NOW, (book,)).fetchall()
    else:
        known = FOREVER if known_at is None else known_at
        at = known if effective_on is None else min(known, end_of_day(driver, book, effective_on))
        values = {"book": book, "at": at, "known_at": known, "effective_on": effective_on}
        rows = driver.execute(_TRIAL, values).fetchall()
    return tuple(
        TrialLine(id, code, AccountKind(kind), currency, max(net, 0), max(-net, 0))
        for id, code, kind, currency, net in rows
        if net
    )


def trial_totals(driver: Driver, book: str) -> tuple[TrialTotal, ...]:
    """Return the columns of the present trial balance by currency, without its lines."""
    rows = driver.execute(
        """
        SELECT currency, count(*) FILTER (WHERE debits_posted <> credits_posted),
               sum(GREATEST(debits_posted - credits_posted, 0))::bigint,
               sum(GREATEST(credits_posted - debits_posted, 0))::bigint
        FROM ledger.account WHERE book = %s GROUP BY currency ORDER BY currency
        """,
        (book,),
    )
    return tuple(TrialTotal(*row) for row in rows)


# The limit is pushed into both halves: each walks its index and stops.
_STATEMENT = """
    SELECT t.at, t.id, t.kind, t.effective_on, t.counter, c.code, t.change, t.balance, t.cause,
           t.entry
    FROM (
        (SELECT at, id, kind, effective_on, credit AS counter, posted_minor AS change,
                debit_balance AS balance, cause, entry
         FROM ledger.transfer
         WHERE book = %(book)s AND debit = %(account)s AND posted_minor > 0 AND at {past} %(at)s
         ORDER BY at {order} LIMIT %(limit)s)
        UNION ALL
        (SELECT at, id, kind, effective_on, debit, -posted_minor, credit_balance, cause, entry
         FROM ledger.transfer
         WHERE book = %(book)s AND credit = %(account)s AND posted_minor > 0 AND at {past} %(at)s
         ORDER BY at {order} LIMIT %(limit)s)
        ORDER BY at {order} LIMIT %(limit)s
    ) AS t
    JOIN ledger.account c ON c.book = %(book)s AND c.id = t.counter
    ORDER BY t.at {order}
"""
STATEMENTS["statement_oldest"] = _STATEMENT.format(past=">", order="ASC")
STATEMENTS["statement_newest"] = _STATEMENT.format(past="<", order="DESC")


def statement_lines(
    driver: Driver,
    account: Account,
    *,
    start: Literal["oldest", "newest"],
    past: int | None,
    limit: int,
) -> list[StatementLine]:
    """Return posted movements of an account from one end, past a recording instant."""
    if past is None:
        past = 0 if start == "oldest" else FOREVER
    rows = driver.execute(
        STATEMENTS[f"statement_{start}"],
        {"book": account.book, "account": account.id, "at": past, "limit": limit},
    )
    sign = account.kind.sign
    return [
        StatementLine(
            at, instant(at), id, Kind(kind), on, (number, code), sign * change, sign * balance,
            cause, entry,
        )
        for at, id, kind, on, number, code, change, balance, cause, entry in rows
    ]  # fmt: skip


_MOVEMENT = """
    SELECT t.book, t.at, t.id, t.kind, t.debit, d.code, t.credit, c.code,
           GREATEST(t.posted_minor, abs(t.held_minor) * (t.posted_minor = 0)::integer),
           t.currency, t.effective_on, t.cause, t.refers_to, t.entry, t.decision_id,
           t.metadata::text, t.hash
    FROM {source} AS t
    JOIN ledger.account d ON d.book = t.book AND d.id = t.debit
    JOIN ledger.account c ON c.book = t.book AND c.id = t.credit
    ORDER BY {order}
"""


def _movement(row: tuple[Any, ...]) -> Movement:
    return Movement(
        book=row[0],
        at=row[1],
        recorded_at=instant(row[1]),
        id=row[2],
        kind=Kind(row[3]),
        debit=row[4],
        debit_code=row[5],
        credit=row[6],
        credit_code=row[7],
        amount_minor=row[8],
        currency=row[9],
        effective_on=row[10],
        cause=row[11],
        refers_to=row[12],
        entry=row[13],
        decision_id=row[14],
        metadata=row[15],
        hash=row[16].hex(),
    )


def find_movements(
    driver: Driver, book: str, search: Search, *, before: int | None, limit: int
) -> list[Movement]:
    """Return the newest movements that a search finds, recorded before an instant."""
    if not search.can_find:
        return []
    conditions = ["book = %(book)s", "at < %(before)s"]
    values: dict[str, object] = {
        "book": book,
        "before": FOREVER if before is None else before,
        "limit": limit,
    }
    texts = {
        "account": "(debit = %(account)s OR credit = %(account)s)",
        "entry": "entry = %(entry)s",
        "cause": "cause = %(cause)s",
        "decision_id": "decision_id = %(decision_id)s",
        "metadata": "metadata @> %(metadata)s::jsonb",
        "effective_from": "effective_on >= %(effective_from)s",
        "effective_to": "effective_on <= %(effective_to)s",
    }
    for name, text in texts.items():
        value = getattr(search, name)
        if value is not None:
            conditions.append(text)
            values[name] = json.dumps(value) if name == "metadata" else value
    source = (
        f"(SELECT * FROM ledger.transfer WHERE {' AND '.join(conditions)}"
        " ORDER BY at DESC LIMIT %(limit)s)"
    )
    rows = driver.execute(_MOVEMENT.format(source=source, order="t.at DESC"), values)
    return [_movement(row) for row in rows]


def read_movement(driver: Driver, book: str, id: UUID) -> Movement | None:
    """Return one movement by its id, or None."""
    source = "(SELECT * FROM ledger.transfer WHERE book = %s AND id = %s)"
    statement = _MOVEMENT.format(source=source, order="t.at")
    row = driver.execute(statement, (book, id)).fetchone()
    return None if row is None else _movement(row)


def read_entry(driver: Driver, entry: UUID) -> list[Movement]:
    """Return the movements of a journal entry, in all books that it touches."""
    source = (
        "(SELECT t.* FROM ledger.book b JOIN ledger.transfer t ON t.book = b.id AND t.entry = %s)"
    )
    rows = driver.execute(_MOVEMENT.format(source=source, order="t.book, t.at"), (entry,))
    return [_movement(row) for row in rows]
