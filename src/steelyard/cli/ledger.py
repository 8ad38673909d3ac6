"""`steelyard ledger`: the books, read and checked."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from steelyard.base import read_settings
from steelyard.cli.output import AsJson, Column, RefusingGroup, bars, out, print_json, show
from steelyard.kernel import Money, Refusal, RefusalKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

app = typer.Typer(help="books, balances, proofs", cls=RefusingGroup, no_args_is_help=True)

Book = Annotated[str, typer.Argument(help="id of the book")]
Account = Annotated[str, typer.Argument(help="account: its code, or its number")]
Rows = Annotated[int, typer.Option("--rows", min=1, help="how many rows at most")]
Recorded = Annotated[
    datetime | None, typer.Option("--recorded-at", help="as it was known at this instant (UTC)")
]
Effective = Annotated[
    datetime | None,
    typer.Option("--effective-on", formats=["%Y-%m-%d"], help="with value dates up to this day"),
]


class HeadFileIsMalformed(Refusal):
    """The file does not hold a published head."""

    kind = RefusalKind.INVALID
    en = "{file} does not hold a head as `steelyard ledger head --json` prints it."
    zh = "{file} 不是 `steelyard ledger head --json` 输出的链头文件。"


def _reading() -> Any:
    from contextlib import contextmanager

    from steelyard.web.platform import open_database

    @contextmanager
    def connection() -> Iterator[sa.Connection]:
        with open_database(read_settings()) as database, database.reading() as opened:
            yield opened

    return connection()


def _ref(account: str) -> int | str:
    return int(account) if account.isdecimal() else account


def _day(at: datetime | None) -> date | None:
    return None if at is None else at.date()


def _money(amount_minor: int, currency: str) -> str:
    return Money(amount_minor, currency).format("en")


@app.command("books")
def books(as_json: AsJson = False) -> None:
    """List the books."""
    from steelyard import ledger

    with _reading() as connection:
        rows = [
            {
                "book": b.id,
                "name": b.name,
                "funds": b.funds.value,
                "business_on": str(b.business_on),
                "closed_through": b.closed_through and str(b.closed_through),
                "accounts": b.accounts,
                "transfers": b.transfers,
                "head": b.head.hex()[:16],
            }
            for b in ledger.books(connection)
        ]
    columns = [
        Column("book", "book"),
        Column("name", "name"),
        Column("funds", "funds"),
        Column("business_on", "business date"),
        Column("closed_through", "closed through"),
        Column("accounts", "accounts", right=True),
        Column("transfers", "transfers", right=True),
        Column("head", "head"),
    ]
    show(rows, columns, as_json=as_json)


@app.command("accounts")
def accounts(book: Book, rows: Rows = 50, as_json: AsJson = False) -> None:
    """List the accounts of a book with their balances."""
    from steelyard.ledger import BookReader

    with _reading() as connection:
        page = BookReader(connection, book).accounts(limit=rows)
    data = [
        {
            "account": a.id,
            "code": a.code,
            "kind": a.kind.value,
            "owner": a.owner,
            "balance": _money(a.balance_minor, a.currency),
            "balance_minor": a.balance_minor,
            "currency": a.currency,
            "held_minor": a.debits_held,
            "closed": a.closed,
        }
        for a in page.items
    ]
    columns = [
        Column("account", "no.", right=True),
        Column("code", "code"),
        Column("kind", "kind"),
        Column("balance", "balance", right=True),
        Column("held_minor", "held (minor)", right=True),
        Column("closed", "closed"),
    ]
    show(data, columns, as_json=as_json)


@app.command("balance")
def balance(
    book: Book,
    account: Account,
    recorded_at: Recorded = None,
    effective_on: Effective = None,
    as_json: AsJson = False,
) -> None:
    """Show the balance of an account, now or at an instant of either time."""
    from datetime import UTC

    from steelyard.ledger import BookReader

    known = None if recorded_at is None else recorded_at.replace(tzinfo=UTC)
    with _reading() as connection:
        reader = BookReader(connection, book)
        found = reader.account(_ref(account))
        amount = reader.balance(found.id, recorded_at=known, effective_on=_day(effective_on))
    row = {
        "account": found.id,
        "code": found.code,
        "balance": _money(amount, found.currency),
        "balance_minor": amount,
        "currency": found.currency,
    }
    columns = [Column("code", "account"), Column("balance", "balance", right=True)]
    show([row], columns, as_json=as_json)


@app.command("statement")
def statement(book: Book, account: Account, rows: Rows = 50, as_json: AsJson = False) -> None:
    """Show the newest movements of an account, with the balance after each."""
    from steelyard.ledger import BookReader

    with _reading() as connection:
        reader = BookReader(connection, book)
        found = reader.account(_ref(account))
        page = reader.statement(found.id, start="newest", limit=rows)
    data = [
        {
            "effective_on": str(line.effective_on),
            "recorded_at": line.recorded_at.isoformat(),
            "id": str(line.id),
            "kind": line.kind.word,
            "counter": line.counter[1],
            "change": _money(line.change_minor, found.currency),
            "balance": _money(line.balance_minor, found.currency),
            "change_minor": line.change_minor,
            "balance_minor": line.balance_minor,
            "cause": line.cause,
        }
        for line in page.items
    ]
    columns = [
        Column("effective_on", "value date"),
        Column("kind", "kind"),
        Column("counter", "other account"),
        Column("change", "change", right=True),
        Column("balance", "balance", right=True),
        Column("cause", "cause"),
    ]
    show(data, columns, as_json=as_json, title=found.code)


@app.command("trial-balance")
def trial_balance(
    book: Book,
    recorded_at: Recorded = None,
    effective_on: Effective = None,
    lines: Annotated[bool, typer.Option("--lines", help="every account too")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the trial balance; exit 1 if debits are not credits."""
    from datetime import UTC

    from steelyard.ledger import BookReader

    known = None if recorded_at is None else recorded_at.replace(tzinfo=UTC)
    with _reading() as connection:
        trial = BookReader(connection, book).trial_balance(
            recorded_at=known, effective_on=_day(effective_on)
        )
    totals = [
        {
            "currency": t.currency,
            "accounts": t.accounts,
            "debit_minor": t.debit_minor,
            "credit_minor": t.credit_minor,
            "difference_minor": t.difference_minor,
        }
        for t in trial.totals
    ]
    data = [
        {
            "code": line.code,
            "kind": line.kind.value,
            "currency": line.currency,
            "debit_minor": line.debit_minor,
            "credit_minor": line.credit_minor,
        }
        for line in trial.lines
    ]
    if as_json:
        print_json({"book": book, "totals": totals, **({"lines": data} if lines else {})})
    else:
        sides = [
            Column("debit_minor", "debit (minor units)", right=True),
            Column("credit_minor", "credit (minor units)", right=True),
        ]
        if lines:
            head = [Column("code", "account"), Column("kind", "kind")]
            show(data, [*head, Column("currency", "currency"), *sides], as_json=False)
        ends = [
            Column("currency", "currency"),
            Column("accounts", "accounts", right=True),
            *sides,
            Column("difference_minor", "difference", right=True),
        ]
        show(totals, ends, as_json=False, title=f"trial balance of {book}")
    if not trial.is_balanced:
        raise typer.Exit(1)


@app.command("movements")
def movements(book: Book, rows: Rows = 20, as_json: AsJson = False) -> None:
    """List the newest movements of a book."""
    from steelyard.ledger import BookReader

    with _reading() as connection:
        page = BookReader(connection, book).movements(limit=rows)
    show([_movement(m) for m in page.items], _MOVEMENT, as_json=as_json)


@app.command("entry")
def entry(
    entry_id: Annotated[UUID, typer.Argument(help="id of a journal entry")], as_json: AsJson = False
) -> None:
    """Show the movements of a journal entry, in all the books that it touches."""
    from steelyard.ledger import entry_of

    with _reading() as connection:
        found = entry_of(connection, entry_id)
    show([_movement(m) for m in found], [Column("book", "book"), *_MOVEMENT], as_json=as_json)
    if not found:
        raise typer.Exit(1)


_MOVEMENT = [
    Column("effective_on", "value date"),
    Column("kind", "kind"),
    Column("debit", "debit"),
    Column("credit", "credit"),
    Column("amount", "amount", right=True),
    Column("cause", "cause"),
    Column("id", "id"),
]


def _movement(movement: Any) -> dict[str, Any]:
    return {
        "id": str(movement.id),
        "book": movement.book,
        "recorded_at": movement.recorded_at.isoformat(),
        "effective_on": str(movement.effective_on),
        "kind": movement.kind.word,
        "debit": movement.debit_code,
        "credit": movement.credit_code,
        "amount": _money(movement.amount_minor, movement.currency),
        "amount_minor": movement.amount_minor,
        "currency": movement.currency,
        "cause": movement.cause,
        "hash": movement.hash,
    }


@app.command("head")
def head(book: Book, as_json: AsJson = False) -> None:
    """Print the end of a book's hash chain, to be published where nobody can change it."""
    from dataclasses import asdict

    from steelyard.ledger import BookReader

    with _reading() as connection:
        found = BookReader(connection, book).head()
    if as_json:
        print_json(asdict(found))
    else:
        out.print(f"{found.book} {found.transfers} {found.hash}", highlight=False)


@app.command("verify")
def verify(
    book: Annotated[str | None, typer.Argument(help="id of the book; all of them")] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="file of a head published earlier (JSON)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute the books again from their transfers and compare; exit 1 if anything differs."""
    from steelyard import ledger

    published = None if against is None else _published(against)
    rows: list[dict[str, Any]] = []
    with _reading() as connection, bars() as progress:
        if book is None and published is not None:
            book = published.book
        chosen = [book] if book is not None else [b.id for b in ledger.books(connection)]
        for one in chosen:
            report = ledger.BookReader(connection, one).verify(
                against=published if published and published.book == one else None,
                progress=partial(progress, one),
            )
            rows.append(
                {
                    "book": one,
                    "transfers": report.transfers,
                    "accounts": report.accounts,
                    "blocks": report.blocks,
                    "sound": report.is_sound,
                    "head": report.head,
                    "findings": [
                        {"fault": f.fault.value, "about": f.about, "transfer": f.id and str(f.id)}
                        for f in report.findings
                    ],
                }
            )
    columns = [
        Column("book", "book"),
        Column("transfers", "transfers", right=True),
        Column("accounts", "accounts", right=True),
        Column("blocks", "blocks", right=True),
        Column("sound", "sound"),
        Column("head", "head"),
    ]
    show(rows, columns, as_json=as_json)
    found = [finding | {"book": row["book"]} for row in rows for finding in row["findings"]]
    if found and not as_json:
        named = [Column("book", "book"), Column("fault", "fault"), Column("about", "what")]
        show(found, [*named, Column("transfer", "transfer")], as_json=False)
    if found:
        raise typer.Exit(1)


def _published(path: Path) -> Any:
    import msgspec

    from steelyard.ledger import Head

    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except (OSError, msgspec.MsgspecError):
        raise HeadFileIsMalformed(file=str(path)) from None
