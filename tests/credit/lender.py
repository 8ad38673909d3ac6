"""A lender beside a town of wallets, for the tests of loans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from steelyard.base import Database, PlainBusinessClock, UnitOfWork
from steelyard.base.http import Caller
from steelyard.cashflows import Terms, events, run
from steelyard.cashflows import terms as cash_terms
from steelyard.credit import books, changes, dayclose, loans
from steelyard.credit.model.postings import Accounts, Flow, Position, legs
from steelyard.events import PostgresFactLog
from steelyard.kernel import Refusal, SteppingClock
from steelyard.ledger import (
    AccountKind,
    BookReader,
    Funds,
    Heading,
    Leg,
    NewAccount,
    Transfer,
    accepted,
    close_day,
    entry,
    open_accounts,
    open_book,
    post,
)
from steelyard.parties import approvals
from tests.conftest import START, Store

T = TypeVar("T")
ANN, BOB = (f"staff:{UUID(int=n)}" for n in (1, 2))
TOWN, WALLET, SHOP, SETTLEMENT = "town", "wallet:ann", "shop:tea", "bank:settlement"
OPENED = START.date()
PARTY = UUID(int=77)


def terms(
    principal_minor: int = 120_000,
    start_on: date = OPENED,
    instalments: int = 12,
    rate: str = "0.12",
    **more: Any,
) -> Terms:
    """Return terms of an ordinary loan: equal instalments, a penalty for what is late."""
    penalty = cash_terms.Penalty(rate=Decimal("0.18"), days_in_year=360)
    return Terms(
        principal_minor=principal_minor,
        start_on=start_on,
        instalments=instalments,
        rate=Decimal(rate),
        **{"penalty": penalty} | more,
    )


@dataclass(slots=True)
class House:
    """A database with a lender and a few wallets, with both clocks moved by hand."""

    database: Database
    clock: SteppingClock
    wall: SteppingClock
    currency: str = "CNY"
    made: list[UUID] = field(default_factory=list)

    def run(self, work: Callable[[UnitOfWork], T], actor: str = "system:test") -> T:
        return self.database.transact(work, actor=actor)

    def do(self, verb: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run a verb of the room in a unit of work of its own."""
        return self.run(lambda unit: verb(unit, *args, **named))

    def refused(self, verb: Callable[..., Any], *args: Any, **named: Any) -> str:
        with pytest.raises(Refusal) as refusal:
            self.do(verb, *args, **named)
        refusal.value.sentence("en").index(" ")
        return refusal.value.code

    def open(self, funding_minor: int = 100_000_000) -> None:
        """Open the town and the lender's book; three people have wallets."""

        def work(unit: UnitOfWork) -> None:
            open_book(unit, TOWN, name="Town", funds=Funds.CLIENT, business_on=OPENED)
            asset = NewAccount(code=SETTLEMENT, currency="CNY", kind=AccountKind.ASSET)
            wallets = [
                NewAccount(code=code, currency="CNY", kind=AccountKind.LIABILITY, debit_limit=0)
                for code in (WALLET, SHOP)
            ]
            open_accounts(unit, TOWN, [asset, *wallets], cause="rule.town@1")

        self.run(work)
        self.do(
            books.open_lender,
            wallets_book=TOWN,
            settlement_account=SETTLEMENT,
            funding_minor=funding_minor,
        )

    def give(self, amount_minor: int, account: str = WALLET) -> None:
        """Let money come into a wallet from outside."""
        transfer = Transfer(
            id=uuid4(),
            book=TOWN,
            cause="rule.deposit@1",
            debit=SETTLEMENT,
            credit=account,
            amount_minor=amount_minor,
            currency="CNY",
        )
        self.run(lambda unit: accepted(post(unit, [transfer])))

    def sign(self, of: Terms | None = None, **more: Any) -> UUID:
        given: dict[str, Any] = {
            "party": PARTY,
            "product": "quick_cash",
            "product_version": 3,
            "terms": of or terms(),
            "wallet_book": TOWN,
            "wallet_account": WALLET,
        }
        new = loans.NewLoan(**given | more)
        loan = self.do(loans.sign, new).id
        self.made.append(loan)
        return loan

    def lend(self, of: Terms | None = None, **more: Any) -> UUID:
        """Sign a loan and pay it out."""
        loan = self.sign(of, **more)
        self.do(loans.disburse, loan)
        return loan

    def pay(self, loan: UUID, amount_minor: int, **more: Any) -> loans.Effect:
        return self.do(loans.repay, loan, loans.Repayment(amount_minor=amount_minor, **more))

    def to(self, on: date) -> None:
        """Let the business date of both books come to a day, without closing anything else."""
        for book in (books.BOOK, TOWN):
            self.run(lambda unit, book=book: close_day(unit, book, next_on=on))  # type: ignore[misc]

    def close(self, days: int) -> None:
        """Close business dates one by one, as the platform does when the clock has passed them."""
        for _ in range(days):
            on = self.today
            noon = datetime.combine(on + timedelta(days=1), time(12), tzinfo=UTC)
            self.clock.advance(max(timedelta(0), noon - self.clock.now()))
            report = dayclose.close_day(self.database, on, how=dayclose.How(workers=1))
            assert report.is_closed
            self.run(
                lambda unit, on=on: close_day(unit, TOWN, next_on=on + timedelta(days=1))  # type: ignore[misc]
            )

    def later(self, days: int) -> date:
        on = self.today + timedelta(days=days)
        self.to(on)
        return on

    @property
    def today(self) -> date:
        with self.database.reading() as connection:
            return books.business_on(connection)

    def read(self, loan: UUID) -> loans.Loan:
        with self.database.reading() as connection:
            return loans.read(connection, loan)

    def balance(self, account: str, book: str = books.BOOK) -> int:
        """Return debits less credits of an account; 0 where there is none."""
        with self.database.reading() as connection:
            return BookReader(connection, book).balances([account]).get(account, 0)

    def wallet(self, account: str = WALLET) -> int:
        return -self.balance(account, TOWN)

    def facts(self, loan: UUID) -> list[str]:
        with self.database.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT kind FROM events.log WHERE subject = %s ORDER BY sequence",
                (f"loan:{loan}",),
            )
            return [row.kind.removeprefix("credit.") for row in rows]

    def approve(self, ask: Callable[[UnitOfWork], approvals.Approval]) -> UUID:
        """Ask as one person, say yes as another, and return the approval."""
        asked = self.run(ask, ANN)
        checker = Caller(BOB, frozenset({"credit.*"}))
        self.run(
            lambda unit: approvals.approve(unit, asked.id, by=checker, shown_hash=asked.shown_hash),
            BOB,
        )
        return asked.id

    def changed(self, loan: UUID, event: events.Any) -> loans.Effect:
        """Change a loan by an event that needs a second person, with his yes."""
        yes = self.approve(lambda unit: changes.request(unit, loan, event))
        return self.do(changes.change, loan, event, approval=yes)

    def agree(self) -> None:
        """Assert that loans and ledger agree, and that what is stored is what `run` says."""
        with self.database.reading() as connection:
            agreement = books.check(connection)
            assert agreement.holds, agreement.differences
            trial = BookReader(connection, books.BOOK).trial_balance()
            assert trial.is_balanced
            for loan in self.made:
                self._agrees(connection, loan)

    def _agrees(self, connection: Any, id: UUID) -> None:
        loan = loans.read(connection, id)
        if loan.standing is None or loan.state is loans.LoanState.SOLD:
            return
        kept = loan.kept
        assert kept is not None
        known = loans.events_of(connection, [id])[id]
        then = run(loan.terms, known, kept.as_of)
        assert (kept.principal_minor, kept.overdue_minor, kept.dpd, kept.oldest_due_on) == (
            then.principal_minor,
            then.overdue_minor,
            then.days_past_due,
            then.oldest_due_on,
        )
        has = kept.position
        assert has.credit_minor == then.totals.credit_minor
        assert has.interest_suspended_minor <= max(0, has.interest_minor)
        assert has.penalty_suspended_minor <= max(0, has.penalty_minor)
        if loan.state is not loans.LoanState.ACTIVE:
            assert (has.book_minor, has.principal_minor, has.provision_minor) == (0, 0, 0)
        rows = connection.exec_driver_sql(
            "SELECT no, due_on, principal_minor, interest_minor, fee_minor, penalty_minor,"
            " paid_principal_minor, paid_interest_minor, balance_minor, accrues_minor, paid_on,"
            " penalty_from FROM credit.instalment WHERE nr = %s ORDER BY no",
            (loan.nr,),
        )
        assert [tuple(row) for row in rows] == [
            (
                row.nr,
                row.due_on,
                row.principal_minor,
                row.interest_minor,
                row.fee_minor,
                row.penalty_minor,
                row.paid_principal_minor,
                row.paid_interest_minor,
                row.balance_minor,
                row.accrues_minor,
                row.paid_on,
                row.penalty_from,
            )
            for row in then.rows
        ]


def stage(house: House, loan: UUID, number: int, provision_minor: int = 0) -> None:
    """Put a loan into a stage with a provision, books included, as the day close would."""
    found = house.read(loan)
    assert found.kept is not None
    was = found.kept.position
    now = Position(
        stage=number,
        principal_minor=was.principal_minor,
        interest_minor=was.interest_minor,
        penalty_minor=was.penalty_minor,
        fee_minor=was.fee_minor,
        provision_minor=provision_minor,
        credit_minor=was.credit_minor,
    )
    lines = legs(Accounts("quick_cash", "CNY", cash="bank:CNY"), was, now, Flow())

    def work(unit: Any) -> None:
        unit.execute(
            "UPDATE credit.standing SET stage = :stage, provision_minor = :provision"
            " WHERE nr = :nr",
            stage=number,
            provision=provision_minor,
            nr=found.nr,
        )
        heading = Heading(entry=uuid4(), book=books.BOOK, currency="CNY", cause="rule.day_close@1")
        sides = [
            Leg(one.account, max(one.amount_minor, 0), max(-one.amount_minor, 0)) for one in lines
        ]
        accepted(post(unit, entry(heading, sides)))

    house.run(work)
    house.agree()


def open_house(store: Store) -> House:
    clock, wall = SteppingClock(START), SteppingClock(START + timedelta(days=200))
    database = Database(
        store.url, facts=PostgresFactLog(), clock=PlainBusinessClock(clock), wall=wall
    )
    opened = House(database, clock, wall)
    opened.open()
    return opened


@pytest.fixture
def house(store: Store) -> Iterator[House]:
    """A lender with a million of capital beside a town with two wallets."""
    opened = open_house(store)
    yield opened
    opened.database.close()
