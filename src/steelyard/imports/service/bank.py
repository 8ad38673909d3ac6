"""Bringing the Berka bank in through the ordinary doors, and holding the result against the bank.

Every step may be repeated: parties are known by their origin, accounts by their code, transfers by
an id derived from the source's own. Killed half-way and run again, the import completes; run twice,
nothing is doubled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid5

from steelyard.base import Database, Outcome, UnitOfWork, Verdict
from steelyard.base.crypto import Keyring
from steelyard.imports.model.berka import (
    BerkaBank,
    Comparison,
    Counterparty,
    CounterpartyKind,
    DispositionRole,
    Operation,
    Transaction,
    chronological,
    compare_balances,
    order_transactions,
    overdrafts,
    read_balance_column,
    read_bank,
    sample_files,
    source_of,
)
from steelyard.imports.store import read_folder, write_folder
from steelyard.ledger import (
    AccountKind,
    BookReader,
    Funds,
    NewAccount,
    Transfer,
    accepted,
    close_day,
    open_accounts,
    open_book,
    post,
    set_limits,
)
from steelyard.parties import NewCustomer, NewLegalPerson, PersonalField, registry

BERKA = "berka"
SAMPLE = "berka_sample"
CURRENCY = "CZK"
TIMEZONE = "Europe/Prague"
CAUSE = "import.berka@1"
ACTOR = "import:berka"
PEOPLE_IN_A_UNIT = 500
TRANSFERS_IN_A_UNIT = 400
_IDS = UUID("6b3f6d0e-5f0c-5d2a-9a53-0b4a1f1c7d11")

Progress = Callable[[str, int, int], None]
T = TypeVar("T")

_KINDS: Mapping[CounterpartyKind, AccountKind] = {
    CounterpartyKind.CASH: AccountKind.ASSET,
    CounterpartyKind.CARD: AccountKind.ASSET,
    CounterpartyKind.OTHER_BANK: AccountKind.ASSET,
    CounterpartyKind.INTEREST_EXPENSE: AccountKind.EXPENSE,
    CounterpartyKind.FEE_INCOME: AccountKind.INCOME,
    CounterpartyKind.INTEREST_INCOME: AccountKind.INCOME,
}


@dataclass(frozen=True, slots=True)
class OperationTotal:
    """How often an operation stands in our books, and what it moved in haléř."""

    operation: Operation
    transfers: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Overdrawn:
    """An account that was below zero at the bank, and the overdraft limit that it got for it."""

    account_id: int
    limit_minor: int
    lowest_minor: int


@dataclass(frozen=True, slots=True)
class BerkaReport:
    """What stands in the books after the import, read back from them.

    Attributes
    ----------
    clients, owners, authorised : customers, and their dispositions
    accounts : deposit accounts; counterparties : accounts of the other side
    transfers : posted movements on deposit accounts
    difference_minor : debits less credits of the trial balance: 0
    turnover_minor : debits of the trial balance
    head : of the book's hash chain
    seconds, transfers_per_second : of the posting; transfers that stood there already count too
    created : how many transfers this run wrote
    """

    clients: int
    owners: int
    authorised: int
    accounts: int
    counterparties: int
    transfers: int
    created: int
    by_operation: tuple[OperationTotal, ...]
    difference_minor: int
    turnover_minor: int
    overdrawn: tuple[Overdrawn, ...]
    comparison: Comparison
    head: str
    seconds: float

    @property
    def transfers_per_second(self) -> float:
        """Posted transfers a second."""
        return self.transfers / self.seconds if self.seconds else 0.0


def import_berka(
    database: Database,
    keyring: Keyring,
    folder: Path,
    *,
    book: str = BERKA,
    progress: Progress = lambda stage, done, total: None,
) -> BerkaReport:
    """Import the bank in a folder: clients, accounts, transactions, counter-parties.

    The `balance` column of the source finds the order within a day and is compared with in the
    end; what is posted does not know it. No adjusting entry is made.

    Parameters
    ----------
    folder : the files of the bank, see the room's README
    book : id of the book, and source in the origins of the parties; the sample has its own
    progress : told (stage, done, total) after every unit of work

    Returns
    -------
    BerkaReport
        Read back from the ledger, not from what was sent to it.

    Refusals
    --------
    import_file_missing, import_row_malformed : before anything is written
    """
    files = read_folder(folder)
    bank = read_bank(files)
    column = read_balance_column(source_of(files, "trans"))
    ordered = order_transactions(bank.transactions, column)
    limits = overdrafts(ordered)

    run = _Run(database, book, progress)
    people = _register(run, keyring, bank)
    numbers = _open(run, bank, people, limits)
    _link(run, bank, people, numbers)
    began = time.perf_counter()
    created = _post(run, chronological(ordered), numbers)
    seconds = time.perf_counter() - began

    with database.reading() as connection:
        reader = BookReader(connection, book)
        ours, lowest = _read_back(reader, bank, numbers, progress)
        totals = reader.trial_totals()
        head = reader.head().hash
    return BerkaReport(
        clients=len(people.clients),
        owners=sum(d.role is DispositionRole.OWNER for d in bank.dispositions),
        authorised=sum(d.role is not DispositionRole.OWNER for d in bank.dispositions),
        accounts=len(bank.accounts),
        counterparties=len(numbers.counterparties),
        transfers=sum(len(lines) for lines in ours.values()),
        created=created,
        by_operation=_totals(bank.transactions, ours),
        difference_minor=sum(total.difference_minor for total in totals),
        turnover_minor=sum(total.debit_minor for total in totals),
        overdrawn=tuple(Overdrawn(a, limits[a], lowest[a]) for a in sorted(limits)),
        comparison=compare_balances(ours, column),
        head=head,
        seconds=seconds,
    )


def write_sample(folder: Path, *, seed: int = 1, accounts: int = 50) -> None:
    """Write a small made-up bank of the same form into a folder; the same seed, the same files.

    Parameters
    ----------
    accounts : at least 10; one in six has a loan
    """
    files = sample_files(
        seed, clients=accounts * 6 // 5, accounts=accounts, transactions=accounts * 12
    )
    write_folder(folder, files)


@dataclass(frozen=True, slots=True)
class _Run:
    database: Database
    book: str
    progress: Progress

    def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        return self.database.transact(work, actor=ACTOR)


@dataclass(frozen=True, slots=True)
class _People:
    clients: Mapping[int, UUID]
    banks: Mapping[str | None, UUID]


@dataclass(frozen=True, slots=True)
class _Numbers:
    deposits: Mapping[int, int]
    counterparties: Mapping[Counterparty, int]


def _register(run: _Run, keyring: Keyring, bank: BerkaBank) -> _People:
    """Register the clients and the partner banks."""
    verdict = Verdict(Outcome.APPROVE, CAUSE)
    clients: dict[int, UUID] = {}
    for chunk in _chunks(bank.clients, PEOPLE_IN_A_UNIT):
        new = [
            NewCustomer(
                {PersonalField.BIRTH_ON: c.born_on.isoformat(), PersonalField.SEX: c.sex.value},
                origin=f"{run.book}:client/{c.client_id}",
                region=f"district/{c.district_id}",
                channel="import",
            )
            for c in chunk
        ]

        def register(unit: UnitOfWork, new: Sequence[NewCustomer] = new) -> list[UUID]:
            answers = registry.register_customers(unit, keyring, new, verdict=verdict)
            return [answer.party for answer in answers]

        parties = run.transact(register)
        clients |= dict(zip((c.client_id for c in chunk), parties, strict=True))
        run.progress("clients", len(clients), len(bank.clients))

    codes = sorted({t.counterparty.bank for t in bank.transactions if t.counterparty.bank})
    banks: dict[str | None, UUID] = {}
    for code in codes:
        legal = NewLegalPerson(
            legal_name=f"Bank {code}",
            number=f"{run.book}/{code}",
            country="CZ",
            origin=f"{run.book}:bank/{code}",
            channel="import",
        )

        def enter(unit: UnitOfWork, legal: NewLegalPerson = legal) -> UUID:
            return registry.register_institution(unit, keyring, legal, verdict=verdict).id

        banks[code] = run.transact(enter)
        run.progress("partner banks", len(banks), len(codes))
    return _People(clients, banks)


def _open(run: _Run, bank: BerkaBank, people: _People, limits: Mapping[int, int]) -> _Numbers:
    """Open the book, a deposit account for each account, and the accounts of the other side."""
    owners = {
        d.account_id: people.clients[d.client_id]
        for d in bank.dispositions
        if d.role is DispositionRole.OWNER
    }
    deposits = [
        NewAccount(
            code=f"deposit:{a.account_id}",
            currency=CURRENCY,
            kind=AccountKind.LIABILITY,
            owner=f"party:{owners[a.account_id]}",
            debit_limit=limits.get(a.account_id, 0),
            metadata={"opened_on": a.opened_on.isoformat(), "district": a.district_id},
        )
        for a in bank.accounts
    ]
    others = sorted({t.counterparty for t in bank.transactions}, key=lambda c: c.key)
    facing = [
        NewAccount(
            code=c.key.replace("?", "unknown"),
            currency=CURRENCY,
            kind=_KINDS[c.kind],
            owner=f"party:{people.banks[c.bank]}" if c.bank else None,
        )
        for c in others
    ]
    first_on = min((t.booked_on for t in bank.transactions), default=date(1993, 1, 1))

    def found(unit: UnitOfWork) -> None:
        open_book(
            unit,
            run.book,
            name=f"Bank of {run.book}",
            funds=Funds.OWN,
            business_on=first_on,
            timezone=TIMEZONE,
        )

    run.transact(found)
    numbers: list[int] = []
    for chunk in _chunks([*deposits, *facing], PEOPLE_IN_A_UNIT):

        def open_chunk(unit: UnitOfWork, chunk: Sequence[NewAccount] = chunk) -> tuple[int, ...]:
            return open_accounts(unit, run.book, chunk, cause=CAUSE)

        numbers += run.transact(open_chunk)
        run.progress("accounts", len(numbers), len(deposits) + len(facing))
    by_account = dict(zip((a.account_id for a in bank.accounts), numbers, strict=False))
    by_counterparty = dict(zip(others, numbers[len(deposits) :], strict=True))
    _grant(run, by_account, limits)
    return _Numbers(by_account, by_counterparty)


def _grant(run: _Run, numbers: Mapping[int, int], limits: Mapping[int, int]) -> None:
    """Set the overdraft limits; on accounts just opened they stand already."""

    def grant(unit: UnitOfWork) -> None:
        for account_id, limit in sorted(limits.items()):
            set_limits(
                unit,
                run.book,
                numbers[account_id],
                debit_limit=limit,
                credit_limit=None,
                cause=CAUSE,
            )

    run.transact(grant)


def _link(run: _Run, bank: BerkaBank, people: _People, numbers: _Numbers) -> None:
    """Note who owns and who disposes of each account."""
    roles = {DispositionRole.OWNER: registry.AccountRole.OWNER}
    links = [
        registry.AccountLink(
            people.clients[d.client_id],
            f"account:{run.book}/{numbers.deposits[d.account_id]}",
            roles.get(d.role, registry.AccountRole.AUTHORISED),
        )
        for d in bank.dispositions
    ]
    done = 0
    for chunk in _chunks(links, PEOPLE_IN_A_UNIT):

        def link(unit: UnitOfWork, chunk: Sequence[registry.AccountLink] = chunk) -> int:
            return registry.link_accounts(unit, chunk)

        run.transact(link)
        done += len(chunk)
        run.progress("dispositions", done, len(links))


def transfer_id(book: str, trans_id: int) -> UUID:
    """Return the id of the transfer that a transaction of the source becomes in a book."""
    return uuid5(_IDS, f"{book}/{trans_id}")


def _post(run: _Run, transactions: Sequence[Transaction], numbers: _Numbers) -> int:
    """Post the transactions day by day, the book's date moving with them; return those created."""
    created = done = 0
    for days in _days_together(transactions, TRANSFERS_IN_A_UNIT):

        def post_days(unit: UnitOfWork, days: Sequence[list[Transaction]] = days) -> int:
            book = BookReader(unit.connection, run.book).book
            new = 0
            for day in days:
                if day[0].booked_on > book.business_on:
                    book = close_day(unit, run.book, next_on=day[0].booked_on)
                answers = accepted(post(unit, [_transfer(run.book, t, numbers) for t in day]))
                new += sum(answer.outcome == "created" for answer in answers)
            return new

        created += run.transact(post_days)
        done += sum(len(day) for day in days)
        run.progress("transactions", done, len(transactions))
    return created


def _transfer(book: str, transaction: Transaction, numbers: _Numbers) -> Transfer:
    deposit = numbers.deposits[transaction.account_id]
    other = numbers.counterparties[transaction.counterparty]
    is_credit = transaction.operation.is_credit
    metadata: dict[str, str | int] = {
        "operation": transaction.operation.value,
        "source": transaction.trans_id,
    }
    if transaction.purpose is not None:
        metadata["purpose"] = transaction.purpose.value
    return Transfer(
        id=transfer_id(book, transaction.trans_id),
        book=book,
        cause=CAUSE,
        debit=other if is_credit else deposit,
        credit=deposit if is_credit else other,
        amount_minor=transaction.amount_minor,
        currency=CURRENCY,
        effective_on=transaction.booked_on,
        metadata=metadata,
    )


def _read_back(
    book: BookReader, bank: BerkaBank, numbers: _Numbers, progress: Progress
) -> tuple[dict[int, list[tuple[int, int]]], dict[int, int]]:
    """Return every account's (trans id, balance after it) from its statement, and its lowest."""
    known = {transfer_id(book.book.id, t.trans_id): t.trans_id for t in bank.transactions}
    active = sorted({t.account_id for t in bank.transactions})
    ours: dict[int, list[tuple[int, int]]] = {}
    for done, account_id in enumerate(active, 1):
        lines: list[tuple[int, int]] = []
        cursor: str | None = None
        while True:
            page = book.statement(numbers.deposits[account_id], cursor=cursor, limit=1000)
            lines += [(known[line.id], line.balance_minor) for line in page.items]
            if (cursor := page.next) is None:
                break
        ours[account_id] = lines
        progress("comparison", done, len(active))
    lowest = {a: min((balance for _, balance in lines), default=0) for a, lines in ours.items()}
    return ours, lowest


def _totals(
    transactions: Iterable[Transaction], ours: Mapping[int, Sequence[tuple[int, int]]]
) -> tuple[OperationTotal, ...]:
    """Sum what the statements moved, by operation: each step of a balance is one transaction."""
    operations = {t.trans_id: t.operation for t in transactions}
    counts = dict.fromkeys(Operation, 0)
    sums = dict.fromkeys(Operation, 0)
    for lines in ours.values():
        before = 0
        for trans_id, balance in lines:
            operation = operations[trans_id]
            counts[operation] += 1
            sums[operation] += abs(balance - before)
            before = balance
    return tuple(OperationTotal(o, counts[o], sums[o]) for o in Operation if counts[o])


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _days_together(
    transactions: Sequence[Transaction], size: int
) -> Iterator[list[list[Transaction]]]:
    """Yield whole days, as many as make about `size` transactions."""
    days: list[list[Transaction]] = []
    count = 0
    for _, group in groupby(transactions, key=lambda t: t.booked_on):
        days.append(list(group))
        count += len(days[-1])
        if count >= size:
            yield days
            days, count = [], 0
    if days:
        yield days
