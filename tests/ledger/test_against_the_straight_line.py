"""The ledger on PostgreSQL answers and stands as the straight-line model does."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from steelyard.base import Database
from steelyard.kernel import SteppingClock
from steelyard.ledger import (
    AccountKind,
    BookReader,
    Funds,
    Kind,
    NewAccount,
    Transfer,
    close_account,
    close_day,
    close_period,
    expire_holds,
    open_accounts,
    open_book,
    post,
    set_limits,
)
from steelyard.ledger.model.refusals import (
    AccountClosed,
    AccountIsNotEmpty,
    LimitBelowUse,
    PeriodIsNotOver,
)
from tests.ledger.straight import StraightAccount, StraightBook

DAY = date(2026, 3, 2)
START = datetime.fromisoformat("2026-03-02T09:00:00+00:00")
BOOKS = count()

limits = st.none() | st.integers(0, 300)
ids = st.integers(1, 24).map(lambda n: UUID(int=n))
accounts = st.integers(1, 5)
amounts = st.integers(1, 120)


@st.composite
def transfers(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([Kind.SINGLE] * 4 + [Kind.HOLD] * 2 + list(Kind)))
    values: dict[str, Any] = {
        "id": draw(ids),
        "kind": kind,
        "cause": "test@1",
        "linked": draw(st.sampled_from([False, False, True])),
        "effective_on": draw(st.none() | st.integers(-4, 4).map(lambda n: DAY + timedelta(n))),
    }
    if kind in (Kind.SINGLE, Kind.HOLD):
        values["debit"], values["credit"] = draw(accounts), draw(accounts)
        values["amount_minor"] = draw(amounts)
        values["currency"] = draw(st.sampled_from(["CNY"] * 5 + ["USD"]))
        values["at_most"] = draw(st.sampled_from([False, False, True]))
        if kind is Kind.HOLD and draw(st.booleans()):
            values["expires_at"] = draw(st.integers(1, 6))
    else:
        values["refers_to"] = draw(ids.filter(lambda id: id != values["id"]))
        if kind is Kind.POST:
            values["amount_minor"] = draw(st.none() | amounts)
    return values


class Ledgers(RuleBasedStateMachine):
    """Each step is taken in both."""

    database: Database
    clock: SteppingClock

    @initialize(
        kinds=st.lists(st.sampled_from(AccountKind), min_size=5, max_size=5), data=st.data()
    )
    def open(self, kinds: list[AccountKind], data: st.DataObject) -> None:
        self.book = f"b{next(BOOKS)}"
        self.clock.at = START
        self.latest = START
        self.straight = StraightBook(DAY)
        self.kinds = kinds
        new = []
        for number, kind in enumerate(kinds, 1):
            currency = "USD" if number == 5 else "CNY"
            account = StraightAccount(number, currency, data.draw(limits), data.draw(limits))
            self.straight.accounts[number] = account
            new.append(
                NewAccount(
                    code=f"a:{number}",
                    currency=currency,
                    kind=kind,
                    debit_limit=account.debit_limit,
                    credit_limit=account.credit_limit,
                )
            )
        with self.database.unit_of_work() as uow:
            open_book(uow, self.book, name="B", funds=Funds.OWN, business_on=DAY)
            assert open_accounts(uow, self.book, new, cause="test@1") == (1, 2, 3, 4, 5)

    @rule(batch=st.lists(transfers(), min_size=1, max_size=8))
    def post(self, batch: list[dict[str, Any]]) -> None:
        made = []
        for values in batch:
            if isinstance(values.get("expires_at"), int):
                hours = timedelta(hours=values["expires_at"])
                values = values | {"expires_at": self.latest + hours}
            made.append(Transfer(book=self.book, **values))
        # The time of recording is the latest the books have seen; minutes are far over the
        # microseconds that separate the rows of a batch.
        expected = self.straight.post(made, self.latest)
        with self.database.unit_of_work() as uow:
            answers = post(uow, made)
        assert [a.outcome.value for a in answers] == expected
        self.compare()

    @rule(minutes=st.integers(-90, 240))
    def let_time_pass(self, minutes: int) -> None:
        self.clock.advance(timedelta(minutes=minutes))
        if self.straight.rows or self.clock.at > START:
            self.latest = max(self.latest, self.clock.at)
            # Make the book see the instant, so that both judge expiry by the same time.
            probe = Transfer(
                id=UUID(int=1000 + len(self.straight.rows)),
                book=self.book,
                cause="test@1",
                debit=1,
                credit=2,
                amount_minor=1,
                currency="CNY",
            )
            expected = self.straight.post([probe], self.latest)
            with self.database.unit_of_work() as uow:
                assert [a.outcome.value for a in post(uow, [probe])] == expected
            if expected != ["created"]:
                self.latest = max(self.seen(), self.clock.at)

    def seen(self) -> datetime:
        with self.database.reading() as connection:
            at = BookReader(connection, self.book).book.last_at
        return max(START, datetime.fromtimestamp(at / 1e6, tz=START.tzinfo))

    @rule()
    def expire(self) -> None:
        due = [
            row["id"]
            for row in self.straight.rows
            if row["kind"] is Kind.HOLD
            and row["expires_at"] is not None
            and row["expires_at"] <= self.latest
            and self.straight.resolver(row["id"]) is None
        ]
        with self.database.unit_of_work() as uow:
            answers = expire_holds(uow, self.book)
        assert {a.record.refers_to for a in answers if a.record} == set(due)
        for answer in answers:
            assert answer.record is not None
            void = Transfer(
                id=answer.id,
                book=self.book,
                cause="test@1",
                kind=Kind.VOID,
                refers_to=answer.record.refers_to,
            )
            assert self.straight.post([void], self.latest) == [answer.outcome.value]

    @rule(account=accounts, debit=limits, credit=limits)
    def change_limits(self, account: int, debit: int | None, credit: int | None) -> None:
        ours = self.straight.accounts[account]
        dp, dh, cp, ch = self.straight.counters(account)
        fits = (debit is None or dp + dh - cp <= debit) and (
            credit is None or cp + ch - dp <= credit
        )
        try:
            with self.database.unit_of_work() as uow:
                set_limits(
                    uow,
                    self.book,
                    account,
                    debit_limit=debit,
                    credit_limit=credit,
                    cause="test@2",
                )
            assert fits
            assert not ours.closed
            ours.debit_limit, ours.credit_limit = debit, credit
        except LimitBelowUse:
            assert not fits
        except AccountClosed:
            assert ours.closed

    @rule(account=accounts)
    def close(self, account: int) -> None:
        dp, dh, cp, ch = self.straight.counters(account)
        try:
            with self.database.unit_of_work() as uow:
                close_account(uow, self.book, account, cause="test@3")
            assert dp == cp
            assert dh == ch == 0
            self.straight.accounts[account].closed = True
        except AccountIsNotEmpty:
            assert dp != cp or dh or ch

    @rule(days=st.integers(0, 2))
    def end_day(self, days: int) -> None:
        self.straight.business_on += timedelta(days=days)
        with self.database.unit_of_work() as uow:
            book = close_day(uow, self.book, next_on=self.straight.business_on)
        assert book.business_on == self.straight.business_on

    @rule(days=st.integers(0, 3))
    def end_period(self, days: int) -> None:
        through = self.straight.business_on - timedelta(days=days)
        if self.straight.closed_through is not None and through < self.straight.closed_through:
            return
        try:
            with self.database.unit_of_work() as uow:
                close_period(uow, self.book, through=through)
            self.straight.closed_through = through
        except PeriodIsNotOver:
            assert days == 0

    def compare(self) -> None:
        with self.database.reading() as connection:
            reader = BookReader(connection, self.book)
            for number in self.straight.accounts:
                found = reader.account(number)
                assert (
                    found.debits_posted,
                    found.debits_held,
                    found.credits_posted,
                    found.credits_held,
                ) == self.straight.counters(number)

    def teardown(self) -> None:
        if not hasattr(self, "book"):
            return
        with self.database.reading() as connection:
            reader = BookReader(connection, self.book)
            report = reader.verify()
            assert report.is_sound, report.findings
            assert report.transfers == len(self.straight.rows)
            assert reader.trial_balance().is_balanced
            found = reader.movements(limit=100_000).items
            assert [m.id for m in reversed(found)] == [row["id"] for row in self.straight.rows]
            self.compare_histories(reader, [m.recorded_at for m in reversed(found)])

    def compare_histories(self, reader: BookReader, instants: list[datetime]) -> None:
        """At each recorded instant and on each day, the balance is the sum of its rows."""
        days = [None, *(DAY + timedelta(n) for n in range(-4, 5, 2))]
        for number in range(1, 6):
            sign = self.kinds[number - 1].sign
            lines = reader.statement(number, limit=10_000).items
            net = 0
            for line in lines:
                net += line.change_minor
                assert line.balance_minor == net
            assert net == sign * self.straight.balance(number)
            for index in range(0, len(instants), 3):
                for on in days:
                    asked = reader.balance(number, recorded_at=instants[index], effective_on=on)
                    assert asked == sign * self.straight.balance(number, rows=index + 1, on=on)
        for on in days[1:]:
            trial = reader.trial_balance(effective_on=on)
            assert trial.is_balanced
            nets = {line.account: line.debit_minor - line.credit_minor for line in trial.lines}
            assert {n: nets.get(n, 0) for n in range(1, 6)} == {
                n: self.straight.balance(n, on=on) for n in range(1, 6)
            }


def run(database: Database, clock: SteppingClock, *, examples: int, steps: int) -> None:
    machine = type("Machine", (Ledgers,), {"database": database, "clock": clock})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_history_stands_as_the_straight_line_says(
    database: Database, clock: SteppingClock
) -> None:
    run(database, clock, examples=25, steps=15)


@pytest.mark.long
def test_many_long_histories_stand_as_the_straight_line_says(
    database: Database, clock: SteppingClock
) -> None:
    run(database, clock, examples=120, steps=40)
