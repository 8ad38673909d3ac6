"""The life of a loan as a state machine: whatever happens, loans and ledger agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from steelyard.cashflows import events
from steelyard.cashflows import terms as cash_terms
from steelyard.cashflows.model.daycount import DayCount
from steelyard.credit import changes, loans
from steelyard.kernel import Refusal
from tests.conftest import Store
from tests.credit.lender import House, open_house, stage, terms

TODAY = date.min
EXPECTED = frozenset(
    {
        "change_does_not_fit",
        "waiver_exceeds_due",
        "refund_exceeds_credit",
        "loan_is_closed",
        "loan_state_forbids",
        "event_is_reversed",
        "event_is_unknown",
        "credit_balance_stands",
        "loan_is_joint",
        "exceeds_debit_limit",
    }
)
METHODS = st.sampled_from(
    [
        {},
        {"method": cash_terms.Method.EQUAL_PRINCIPAL},
        {"method": cash_terms.Method.BULLET},
        {"method": cash_terms.Method.INTEREST_ONLY},
        {"accrues": cash_terms.Accrues.OUTSTANDING},
        {"interest_on": cash_terms.InterestOn.ORIGINAL},
        {"day_count": DayCount.ACT_360},
        {
            "fees": (
                cash_terms.Fee(code="f", when=cash_terms.FeeWhen.UPFRONT, amount_minor=700),
                cash_terms.Fee(code="g", when=cash_terms.FeeWhen.EACH, amount_minor=50),
            )
        },
        {"prepay": cash_terms.Prepay.REDUCE_TERM, "grace_principal": 1},
    ]
)
SHARES = st.sampled_from(
    [loans.Shares(), loans.Shares(3, (("bank_a", 7),)), loans.Shares(1, (("a", 1), ("b", 1)))]
)
AMOUNT = st.integers(1, 40_000)


def life_in(house: House) -> type[RuleBasedStateMachine]:
    """Return the machine of one loan in a house that goes on from example to example."""

    class Life(RuleBasedStateMachine):
        """One loan, from its payout on."""

        @initialize(
            principal=st.integers(100, 200_000),
            instalments=st.integers(2, 8),
            rate=st.sampled_from(["0", "0.06", "0.1799", "0.36"]),
            more=METHODS,
            shares=SHARES,
        )
        def lend(
            self, principal: int, instalments: int, rate: str, more: Any, shares: loans.Shares
        ) -> None:
            house.made.clear()
            house.give(400_000)
            of = terms(principal, house.today, instalments, rate, **more)
            self.loan = house.lend(of, shares=shares)

        def attempt(self, act: Callable[[], Any]) -> None:
            """Do something that may be refused, with a code that a customer can be told."""
            before, refused = house.read(self.loan), None
            try:
                act()
            except Refusal as refusal:
                refused = refusal
            if refused is not None:
                assert refused.code in EXPECTED, refused
                assert house.read(self.loan).version == before.version

        @rule(days=st.integers(1, 50), rolls=st.booleans())
        def time_passes(self, days: int, rolls: bool) -> None:
            house.later(days)
            if rolls:
                self.attempt(lambda: house.do(loans.roll, self.loan))

        @rule(days=st.integers(1, 3))
        def days_are_closed(self, days: int) -> None:
            house.close(days)

        @rule(amount=AMOUNT, kind=st.sampled_from(["repayment", "debit", "prepay", "payoff"]))
        def pay(self, amount: int, kind: str) -> None:
            self.attempt(lambda: house.pay(self.loan, amount, kind=kind))

        @rule()
        def pay_what_is_due(self) -> None:
            standing = house.read(self.loan).standing
            assert standing is not None
            if standing.due_minor:
                self.attempt(lambda: house.pay(self.loan, standing.due_minor))

        @rule(short=st.integers(-1, 1))
        def pay_off(self, short: int) -> None:
            if house.read(self.loan).state is not loans.LoanState.ACTIVE:
                return
            with house.database.reading() as connection:
                owed = loans.quote_payoff(connection, self.loan).total_minor
            if owed + short > 0:
                self.attempt(lambda: house.pay(self.loan, owed + short, kind="payoff"))

        @rule(days=st.integers(0, 40), amount=AMOUNT)
        def pay_as_of_earlier(self, days: int, amount: int) -> None:
            first = house.read(self.loan).terms.start_on
            on = max(first, house.today - timedelta(days=days))
            self.attempt(lambda: house.pay(self.loan, amount, effective_on=on))

        @rule(nth=st.integers(0, 40))
        def take_back(self, nth: int) -> None:
            with house.database.reading() as connection:
                lines = loans.history(connection, self.loan)
            of = lines[nth % len(lines)].seq
            self.attempt(lambda: house.do(loans.reverse, self.loan, of=of))

        @rule()
        def give_credit_back(self) -> None:
            self.attempt(lambda: house.do(loans.refund_credit, self.loan))

        @rule(n=st.integers(1, 3))
        def extend(self, n: int) -> None:
            self.attempt(lambda: house.do(changes.extend, self.loan, instalments=n))

        @rule(rate=st.sampled_from(["0", "0.05", "0.24"]), days=st.integers(0, 40))
        def change_rate(self, rate: str, days: int) -> None:
            first = house.read(self.loan).terms.start_on
            on = max(first, house.today - timedelta(days=days))
            self.attempt(
                lambda: house.do(
                    changes.change_rate, self.loan, rate=Decimal(rate), effective_on=on
                )
            )

        @rule(days=st.integers(1, 40))
        def pause(self, days: int) -> None:
            until = house.today + timedelta(days=days)
            self.attempt(lambda: house.do(changes.pause_interest, self.loan, until=until))

        @rule(days=st.integers(1, 20))
        def move_due_date(self, days: int) -> None:
            found = house.read(self.loan)
            assert found.kept is not None
            due = found.kept.next_due_on
            if due is not None:
                to = due + timedelta(days=days)
                self.attempt(
                    lambda: house.do(changes.move_due_dates, self.loan, from_due=due, to_due=to)
                )

        @rule(amount=st.integers(1, 3_000))
        def charge(self, amount: int) -> None:
            self.attempt(
                lambda: house.do(changes.charge_fee, self.loan, code="l", amount_minor=amount)
            )

        @rule(percent=st.integers(1, 110))
        def waive(self, percent: int) -> None:
            standing = house.read(self.loan).standing
            assert standing is not None
            due = [row for row in standing.rows if row.due_on <= standing.as_of]
            asked = {
                f"{part}_minor": percent
                * sum(
                    getattr(row, f"{part}_minor")
                    - getattr(row, f"paid_{part}_minor")
                    - getattr(row, f"waived_{part}_minor")
                    for row in due
                )
                // 100
                for part in ("penalty", "fee", "interest")
            }
            if 0 < sum(asked.values()) <= changes.WAIVED_ALONE_MINOR:
                self.attempt(lambda: house.do(changes.waive, self.loan, **asked))

        @rule(amount=AMOUNT)
        def draw(self, amount: int) -> None:
            self.attempt(lambda: house.do(changes.draw, self.loan, amount_minor=amount))

        @rule(days=st.integers(1, 40), n=st.integers(1, 6))
        def re_age(self, days: int, n: int) -> None:
            first = house.today + timedelta(days=days)
            event = events.ReAged(seq=0, on=TODAY, first_due_on=first, instalments=n)
            self.attempt(lambda: house.changed(self.loan, event))

        @rule()
        def write_off(self) -> None:
            event = events.WrittenOff(seq=0, on=TODAY)
            self.attempt(lambda: house.changed(self.loan, event))

        @precondition(lambda self: house.read(self.loan).state is loans.LoanState.ACTIVE)
        @rule(number=st.integers(1, 3), share=st.integers(0, 100))
        def grade(self, number: int, share: int) -> None:
            kept = house.read(self.loan).kept
            assert kept is not None
            suspended = kept.position.interest_suspended_minor or (
                kept.position.penalty_suspended_minor
            )
            if number == kept.position.stage or (kept.position.stage == 3 and suspended):
                return
            provision = max(0, kept.position.book_minor) * share // 100
            stage(house, self.loan, number, provision)

        @invariant()
        def loans_and_ledger_agree(self) -> None:
            if hasattr(self, "loan"):
                house.agree()

    return Life


def live(store: Store, *, lives: int, steps: int) -> None:
    house = open_house(store)
    try:
        run_state_machine_as_test(
            life_in(house),
            settings=settings(
                max_examples=lives,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        house.database.close()


def test_whatever_happens_to_a_loan_the_books_agree(store: Store) -> None:
    live(store, lives=8, steps=12)


@pytest.mark.long
def test_whatever_happens_to_many_loans_the_books_agree(store: Store) -> None:
    live(store, lives=60, steps=30)
