"""The bank's loans booked as contracts, day by day, in books of their own.

The books' date moves with the grants, so that nothing is booked late and nothing grows old that the
source does not tell of. A day is one transaction: killed half-way and run again, the replay goes on
with the day that is missing; run twice, nothing is doubled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Database, Outcome, UnitOfWork, Verdict
from steelyard.base.crypto import Keyring
from steelyard.cashflows import events
from steelyard.credit import books, loans
from steelyard.imports.model.berka import (
    BerkaBank,
    DispositionRole,
    Loan,
    SimulatedRepayment,
    read_bank,
    simulated_repayments,
    terms_of,
)
from steelyard.imports.model.berka.loans import CURRENCY
from steelyard.imports.model.refusals import BankIsReplayedOtherwise
from steelyard.imports.service.bank import ACTOR, CAUSE, TIMEZONE, Progress
from steelyard.imports.store import read_folder
from steelyard.ledger import (
    AccountKind,
    BookReader,
    Funds,
    NewAccount,
    close_day,
    open_accounts,
    open_book,
)
from steelyard.parties import NewCustomer, PersonalField, registry

PRODUCT: Final = "berka_loan"
REPAYMENT_KIND: Final = "simulated"
REPAYMENT_CAUSE: Final = "simulation.berka_repayment@1"
_SETTLEMENT: Final = "settlement:CZK"
_PEOPLE_IN_A_UNIT: Final = 500
_PAGE: Final = 500
_IDS: Final = UUID("0d1f5c0e-7c1f-5b57-8a9e-3d6f1b2a9c44")


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedLoans:
    """What stands in the books after the replay, read back from them.

    Attributes
    ----------
    book, wallets_book : of the lender, and of its customers
    loans, created : contracts in the books; how many this run made
    terms_kept : contracts whose stored terms are those of the source
    lent_minor, outstanding_minor : paid out; principal still owed
    repayments, repaid_minor : simulated, never of the source
    differences : accounts on which loans and ledger disagree
    head : of the lender's hash chain
    """

    book: str
    wallets_book: str
    as_of: date
    loans: int
    created: int
    terms_kept: int
    lent_minor: int
    outstanding_minor: int
    repayments: int
    repaid_minor: int
    differences: int
    head: str


def book_berka_loans(
    database: Database,
    keyring: Keyring,
    folder: Path,
    *,
    book: str,
    repayments: int = 0,
    seed: int = 1,
    progress: Progress = lambda stage, done, total: None,
) -> BookedLoans:
    """Book every loan of a folder as a contract, paid out on the day of its grant.

    Parameters
    ----------
    book : source in the origins of the parties; the books are called after it
    repayments : how many instalments of each loan are repaid by simulation, out of what was lent
    seed : of the simulation

    Refusals
    --------
    import_file_missing, import_row_malformed : before anything is written
    bank_is_replayed_otherwise : the books stand there from another bank, seed or number
    """
    bank = read_bank(read_folder(folder))
    run = _Run(database, book, bank, progress)
    parties = _register(run, keyring)
    _open_books(run, repayments=repayments, seed=seed)
    acts = _acts(bank, repayments, seed)
    created = _play(run, acts, parties)
    return _read_back(run, created)


@dataclass(frozen=True, slots=True)
class _Run:
    database: Database
    source: str
    bank: BerkaBank
    progress: Progress

    @property
    def book(self) -> str:
        return f"{self.source}_lending"

    @property
    def wallets(self) -> str:
        return f"{self.source}_wallets"

    def key(self, loan_id: int) -> UUID:
        """Return what a contract is found by: the application that the source does not tell of."""
        return uuid5(_IDS, f"{self.source}/loan/{loan_id}")


_Act = tuple[date, Loan, SimulatedRepayment | None]


def _acts(bank: BerkaBank, repayments: int, seed: int) -> list[_Act]:
    """Return payouts and repayments by day; on one day payouts come first."""
    acts: list[_Act] = [(loan.granted_on, loan, None) for loan in bank.loans]
    for loan in bank.loans:
        for one in simulated_repayments(loan, first=repayments, seed=seed):
            acts.append((one.on, loan, one))
    acts.sort(key=lambda act: (act[0], act[2] is not None, act[1].loan_id, act[2] and act[2].nr))
    return acts


def _register(run: _Run, keyring: Keyring) -> Mapping[int, UUID]:
    """Register the owners of accounts with loans, unless an import did, by account."""
    accounts = {loan.account_id for loan in run.bank.loans}
    owners = {
        d.client_id: d.account_id
        for d in run.bank.dispositions
        if d.role is DispositionRole.OWNER and d.account_id in accounts
    }
    clients = [client for client in run.bank.clients if client.client_id in owners]
    verdict = Verdict(Outcome.APPROVE, CAUSE)
    found: dict[int, UUID] = {}
    for start in range(0, len(clients), _PEOPLE_IN_A_UNIT):
        chunk = clients[start : start + _PEOPLE_IN_A_UNIT]
        new = [
            NewCustomer(
                {PersonalField.BIRTH_ON: c.born_on.isoformat(), PersonalField.SEX: c.sex.value},
                origin=f"{run.source}:client/{c.client_id}",
                region=f"district/{c.district_id}",
                channel="import",
            )
            for c in chunk
        ]

        def register(unit: UnitOfWork, new: Sequence[NewCustomer] = new) -> list[UUID]:
            answers = registry.register_customers(unit, keyring, new, verdict=verdict)
            return [answer.party for answer in answers]

        parties = run.database.transact(register, actor=ACTOR)
        found |= {owners[c.client_id]: party for c, party in zip(chunk, parties, strict=True)}
        run.progress("borrowers", len(found), len(clients))
    return found


def _open_books(run: _Run, *, repayments: int, seed: int) -> None:
    """Open the lender's book and that of the wallets, on the day before the first grant."""
    bank = run.bank
    first_on = min((loan.granted_on for loan in bank.loans), default=date(1993, 1, 1))
    total = sum(loan.amount_minor for loan in bank.loans)
    told: dict[str, str | int | bool] = {
        "loans": len(bank.loans),
        "source": f"sha256:{sha256(repr(bank.loans).encode()).hexdigest()}",
        "repayments": repayments,
        "seed": seed if repayments else 0,
    }

    def found(unit: UnitOfWork) -> None:
        open_book(
            unit,
            run.wallets,
            name=f"Wallets of {run.source}",
            funds=Funds.CLIENT,
            business_on=first_on - timedelta(days=1),
            timezone=TIMEZONE,
        )
        settlement = NewAccount(
            code=_SETTLEMENT, currency=CURRENCY, kind=AccountKind.ASSET, metadata=told
        )
        open_accounts(unit, run.wallets, [settlement], cause=CAUSE)
        stands = BookReader(unit.connection, run.wallets).account(_SETTLEMENT)
        if stands.metadata != told:
            raise BankIsReplayedOtherwise(book=run.book)
        books.open_lender(
            unit,
            wallets_book=run.wallets,
            settlement_account=_SETTLEMENT,
            funding_minor=max(total, 1),
            book=run.book,
            currency=CURRENCY,
        )

    run.database.transact(found, actor=ACTOR)


def _play(run: _Run, acts: Sequence[_Act], parties: Mapping[int, UUID]) -> int:
    """Play the days that the books have not seen; return how many contracts were made."""
    with run.database.reading() as connection:
        played_on = BookReader(connection, run.book).book.business_on
    created = done = 0
    for on, group in groupby(acts, key=lambda act: act[0]):
        of_day = list(group)
        done += len(of_day)
        if on > played_on:

            def play(unit: UnitOfWork, on: date = on, of_day: Sequence[_Act] = of_day) -> None:
                _play_day(unit, run, on, of_day, parties)

            run.database.transact(play, actor=ACTOR)
            created += sum(payment is None for _, _, payment in of_day)
        run.progress("loans", done, len(acts))
    return created


def _play_day(
    unit: UnitOfWork, run: _Run, on: date, acts: Sequence[_Act], parties: Mapping[int, UUID]
) -> None:
    for book in (run.wallets, run.book):
        close_day(unit, book, next_on=on)
    for _, loan, payment in acts:
        if payment is None:
            _pay_out(unit, run, loan, parties[loan.account_id])
        else:
            [found] = loans.find(unit.connection, application=run.key(loan.loan_id)).items
            loans.repay(
                unit,
                found.id,
                loans.Repayment(amount_minor=payment.amount_minor, kind=REPAYMENT_KIND),
                cause=REPAYMENT_CAUSE,
            )


def _pay_out(unit: UnitOfWork, run: _Run, loan: Loan, party: UUID) -> None:
    wallet = NewAccount(
        code=f"wallet:{loan.account_id}",
        currency=CURRENCY,
        kind=AccountKind.LIABILITY,
        owner=f"party:{party}",
        debit_limit=0,
    )
    open_accounts(unit, run.wallets, [wallet], cause=CAUSE)
    signed = loans.sign(
        unit,
        loans.NewLoan(
            party=party,
            product=PRODUCT,
            product_version=1,
            terms=terms_of(loan),
            wallet_book=run.wallets,
            wallet_account=wallet.code,
            application=run.key(loan.loan_id),
        ),
    )
    loans.disburse(unit, signed.id)


def _read_back(run: _Run, created: int) -> BookedLoans:
    """Return what the books say; nothing is taken from what was sent to them."""
    source = {run.key(loan.loan_id): loan for loan in run.bank.loans}
    count = kept = lent = outstanding = repaid = repayments = 0
    with run.database.reading() as connection:
        for page in _pages(connection):
            happened = loans.events_of(connection, [one.id for one in page])
            for one in page:
                terms = terms_of(source[one.application]) if one.application else None
                count += 1
                kept += one.terms == terms
                lent += one.terms.principal_minor
                outstanding += one.kept.principal_minor if one.kept else 0
                paid = [e.amount_minor for e in happened[one.id] if isinstance(e, events.Repaid)]
                repayments += len(paid)
                repaid += sum(paid)
        agreement = books.check(connection)
        reader = BookReader(connection, run.book)
        return BookedLoans(
            book=run.book,
            wallets_book=run.wallets,
            as_of=reader.book.business_on,
            loans=count,
            created=created,
            terms_kept=kept,
            lent_minor=lent,
            outstanding_minor=outstanding,
            repayments=repayments,
            repaid_minor=repaid,
            differences=len(agreement.differences),
            head=reader.head().hash,
        )


def _pages(connection: sa.Connection) -> Iterator[tuple[loans.Loan, ...]]:
    cursor: str | None = None
    while True:
        page = loans.find(connection, product=PRODUCT, cursor=cursor, limit=_PAGE)
        yield page.items
        cursor = page.next
        if cursor is None:
            return
