"""The custodian's statements: fetched, checked, kept in editions, and booked line by line.

A line is booked once, in whatever edition it comes first. Money that came is booked from the
custodian's own statement alone; money that left without an order of ours is never booked: it stays
a difference, and the tie-out stops payouts.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, open_case, registry
from steelyard.ledger import BookReader, Leg, Transfer, accepted, entry, post
from steelyard.payments.model import accounts
from steelyard.payments.model.channel import StatementFile
from steelyard.payments.model.custody import (
    Custodian,
    CustodianAnswer,
    CustodianIsNotAtHand,
    CustodyAccount,
    CustodyAccountIsAnother,
    CustodyAccountIsUnknown,
    CustodyLine,
    CustodyStatement,
    PayoutSaid,
    fault_of,
)
from steelyard.payments.model.custody_csv import CustodyStatementIsUnreadable, read_statement
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.payouts import PayoutSource, PayoutState
from steelyard.payments.model.statements import LineKind, Statement
from steelyard.payments.service import institution, payouts
from steelyard.payments.service.clearing_books import heading_of, open_own, sweep_out
from steelyard.payments.service.clearing_facts import CustodyBooked
from steelyard.payments.service.institution import Institution
from steelyard.payments.store import clearing as clearing_table
from steelyard.payments.store import custody as table

__all__ = [
    "Custodian",
    "CustodianIsNotAtHand",
    "CustodyAccount",
    "CustodyAccountIsAnother",
    "CustodyAccountIsUnknown",
    "CustodyStatement",
    "CustodyStatementIsUnreadable",
    "accounts_of",
    "book_lines",
    "fetch",
    "open_account",
    "statement_of",
    "take",
]

CHUNK: Final = 100
_RULE: Final = "rule.custody_statement@1"
_ENTRIES: Final = UUID("a3b3e0de-7e0b-5c53-9a55-94a9b2d0c1a7")
Read = Callable[[StatementFile], Statement]

UNKNOWN_LINE: Final = registry.register_kind(
    CaseKind(
        "payments.custody_line",
        "A movement at the custodian that nobody ordered or expected",
        "存管账户不明收支",
        registry.Sla(timedelta(hours=8)),
        (
            registry.CaseOutcome("claimed", "Belongs to somebody", "已认领"),
            registry.CaseOutcome("sent_back", "Sent back", "已退回"),
            registry.CaseOutcome("explained", "Explained", "已查明"),
        ),
        priority=registry.Priority.URGENT,
        skill="payments.clear",
    )
)


def open_account(
    unit: UnitOfWork, mode: Mode, currency: str, *, account: str, own_account: str
) -> CustodyAccount:
    """Say where the reserve of a mode lies, and which account of ours fees may go to.

    Refusals
    --------
    institution_is_not_open
    custody_account_is_another : it lies elsewhere already
    """
    books = institution.read(unit.connection, mode)
    wanted = CustodyAccount(mode, currency, account, own_account)
    if not table.insert_account(unit.connection, wanted, unit.now):
        found = table.account(unit.connection, mode, currency)
        if found != wanted:
            raise CustodyAccountIsAnother(mode=mode.value, currency=currency, account=found.account)
        return found
    open_own(unit, books, currency)
    audit(
        unit,
        action="payments.open_custody",
        subject=f"custody:{mode.value}.{currency}",
        detail={"account": account, "own_account": own_account},
    )
    return wanted


def accounts_of(connection: sa.Connection, mode: Mode) -> tuple[CustodyAccount, ...]:
    """Return where the reserve of a mode lies, by currency."""
    return tuple(table.accounts(connection, mode))


def statement_of(
    connection: sa.Connection, mode: Mode, currency: str, on: date
) -> CustodyStatement | None:
    """Return the newest edition of a day's statement."""
    return table.newest(connection, mode, currency, on)


def fetch(
    database: Database,
    custodian: Custodian,
    account: CustodyAccount,
    on: date,
    *,
    actor: str = "system:custody",
    read: Read | None = None,
) -> CustodyStatement | None:
    """Fetch the statement of a day, keep it if it is new, and book its lines.

    Returns
    -------
    CustodyStatement or None
        The newest edition; None while the custodian gives none.

    Refusals
    --------
    custody_statement_is_unreadable
    """
    file = custodian.statement(account.account, on)
    if file is not None:
        said = (read or _read)(file)
        database.transact(lambda unit: take(unit, account, on, said, file), actor=actor)
    with database.engine.connect() as connection:
        found = table.newest(connection, account.mode, account.currency, on)
    if found is not None and found.fault is None:
        book_lines(database, found, actor=actor)
    return found


def _read(file: StatementFile) -> Statement:
    return read_statement(file.content)


def take(
    unit: UnitOfWork,
    account: CustodyAccount,
    on: date,
    said: Statement,
    file: StatementFile,
) -> CustodyStatement | None:
    """Keep a statement as another edition of its day; None where the same file came before.

    It is checked: it is of the account and day, its lines add up, it goes on where the day before
    ended. One that does not hold is kept with its fault, and not booked.
    """
    connection, mode, currency = unit.connection, account.mode, account.currency
    table.account(connection, mode, currency, lock=True)
    digest = hashlib.sha256(file.content).digest()
    if table.has_content(connection, mode, currency, on, digest):
        return None
    newest = table.newest(connection, mode, currency, on)
    statement = CustodyStatement(
        id=unit.new_id(),
        mode=mode,
        currency=currency,
        on=on,
        edition=1 if newest is None else newest.edition + 1,
        name=file.name,
        opening_minor=said.opening_minor or 0,
        closing_minor=said.closing_minor or 0,
        fault=_fault(connection, account, on, said),
    )
    table.insert_statement(connection, statement, content_hash=digest, at=unit.now)
    table.insert_lines(connection, statement.id, _lines(said))
    return statement


def _fault(
    connection: sa.Connection, account: CustodyAccount, on: date, said: Statement
) -> str | None:
    if (said.account, said.currency, said.to_on) != (account.account, account.currency, on):
        return "it_is_of_something_else"
    if said.opening_minor is None or said.closing_minor is None:
        return "it_has_no_balances"
    last = table.last_before(connection, account.mode, account.currency, on)
    return fault_of(
        opening_minor=said.opening_minor,
        closing_minor=said.closing_minor,
        amounts=[line.amount_minor for line in said.lines],
        last_closing_minor=None if last is None else last.closing_minor,
    )


def _lines(said: Statement) -> list[CustodyLine]:
    """Return the lines, each with a key that it has in every edition: what it says, and which."""
    seen: Counter[str] = Counter()
    made = []
    for line in said.lines:
        words = (line.kind.value, str(line.amount_minor), line.reference, line.our_number)
        text = "\x1f".join((*words, line.counterparty))
        seen[text] += 1
        key = hashlib.sha256(f"{text}\x1f{seen[text]}".encode()).hexdigest()[:32]
        made.append(
            CustodyLine(
                no=line.number,
                kind=line.kind.value,
                amount_minor=line.amount_minor,
                reference=line.reference,
                our_number=line.our_number,
                counterparty=line.counterparty,
                key=key,
            )
        )
    return made


def book_lines(
    database: Database, statement: CustodyStatement, *, actor: str = "system:custody"
) -> int:
    """Book the lines of a statement that are not booked yet; return how many were booked.

    What left without an order of ours stays unbooked.
    """
    booked = after = 0
    while True:
        last, count = database.transact(
            partial(_book_chunk, statement=statement, after=after), actor=actor
        )
        booked += count
        if last is None:
            return booked
        after = last


def _book_chunk(
    unit: UnitOfWork, statement: CustodyStatement, after: int
) -> tuple[int | None, int]:
    connection = unit.connection
    account = table.account(connection, statement.mode, statement.currency, lock=True)
    lines = table.unbooked(connection, statement, limit=CHUNK, after=after)
    house = institution.read(connection, statement.mode)
    booker = _Booker(unit, statement, account, house)
    for line in lines:
        booker.book(line)
    accepted(post(unit, booker.transfers))
    return (lines[-1].no if lines else None), booker.count


class _Booker:
    """Books lines of a statement, and collects their postings for the end of the unit."""

    def __init__(
        self,
        unit: UnitOfWork,
        statement: CustodyStatement,
        account: CustodyAccount,
        house: Institution,
    ) -> None:
        self._unit = unit
        self._statement = statement
        self._account = account
        self._house = house
        self.transfers: list[Transfer] = []
        self.count = 0

    def book(self, line: CustodyLine) -> None:
        """Book a line, or leave it as a difference."""
        payout = self._payout(line)
        if payout is not None:
            self._book_payout(line, payout)
        elif line.amount_minor <= 0:
            open_case(
                self._unit,
                UNKNOWN_LINE.name,
                f"custody_line:{self._statement.on}.{line.key}",
                source=f"custody_line:{self._statement.on}.{line.key}",
            )
        else:
            self._book_deposit(line)

    def _payout(self, line: CustodyLine) -> UUID | None:
        try:
            number = UUID(hex=line.our_number)
        except ValueError:
            return None
        found = payouts.find(self._unit.connection, number)
        return None if found is None else number

    def _book_payout(self, line: CustodyLine, payout: UUID) -> None:
        """Take a line as evidence; what it cannot prove stays unbooked."""
        is_return = line.amount_minor > 0
        answer = CustodianAnswer(
            said=PayoutSaid.RETURNED if is_return else PayoutSaid.PAID,
            reference=line.reference or None,
            amount_minor=abs(line.amount_minor),
            currency=self._statement.currency,
            executed_on=None if is_return else self._statement.on,
            returned_on=self._statement.on if is_return else None,
        )
        after, transfers = payouts.learn(self._unit, payout, answer, PayoutSource.STATEMENT)
        wanted = (PayoutState.RETURNED,) if is_return else (PayoutState.PAID, PayoutState.RETURNED)
        if after.state not in wanted or after.amount_minor != abs(line.amount_minor):
            return
        self.transfers += transfers
        self._note(line, "return" if is_return else "payout", f"payout:{payout}", None)

    def _book_deposit(self, line: CustodyLine) -> None:
        currency = self._statement.currency
        reserve = accounts.settlement(currency)
        name = f"{self._statement.mode.value}/{currency}/{self._statement.on}/{line.key}"
        key = uuid5(_ENTRIES, name)
        heading = heading_of(self._house, key, currency, _RULE)
        channel = line.counterparty.removeprefix("channel:")
        if line.counterparty == self._account.own_account:
            self.transfers += sweep_out(self._house, heading, -line.amount_minor)
            self._note(line, "deposit", "own", key)
            return
        is_channel = line.counterparty.startswith("channel:") and self._owes_us(channel)
        credit = accounts.in_transit(channel, currency) if is_channel else None
        if credit is None or line.kind == LineKind.OTHER.value:
            credit = accounts.unclaimed(currency)
            source = f"custody_line:{self._statement.on}.{line.key}"
            open_case(self._unit, UNKNOWN_LINE.name, source, source=source)
        institution.have_accounts(self._unit, self._house.client_book, [(credit, currency)])
        legs = [
            Leg(reserve, debit_minor=line.amount_minor),
            Leg(credit, credit_minor=line.amount_minor),
        ]
        self.transfers += entry(heading, legs)
        is_known = credit != accounts.unclaimed(currency)
        about = f"channel:{channel}" if is_known else f"line:{line.key}"
        self._note(line, "deposit" if is_known else "unclaimed", about, key)

    def _owes_us(self, channel: str) -> bool:
        """Whether a channel was ever asked, or our books know it to have money on its way to us."""
        connection, mode = self._unit.connection, self._statement.mode
        if clearing_table.is_channel(connection, mode, channel):
            return True
        code = accounts.in_transit(channel, self._statement.currency)
        return code in BookReader(connection, self._house.client_book).balances([code])

    def _note(self, line: CustodyLine, as_what: str, about: str, key: UUID | None) -> None:
        table.insert_booking(
            self._unit.connection,
            self._statement,
            line,
            as_what=as_what,
            about=about,
            entry=key,
            at=self._unit.now,
        )
        self.count += 1
        fact = CustodyBooked(
            mode=self._statement.mode.value,
            currency=self._statement.currency,
            on=self._statement.on,
            as_what=as_what,
            about=about,
            amount_minor=line.amount_minor,
        )
        subject = f"custody:{self._statement.mode.value}.{self._statement.currency}"
        self._unit.record(fact, subject=subject)
