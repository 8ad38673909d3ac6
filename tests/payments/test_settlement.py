"""Settlements and payouts: once, on the right day, to a listed account, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.base.http import Caller
from steelyard.kernel import Refusal, SteppingClock
from steelyard.parties import approvals
from steelyard.payments import payouts, settlement
from steelyard.payments.model.clearing import ReconWord
from steelyard.payments.model.custody import CustodianAnswer, PayoutSaid
from steelyard.payments.model.payouts import (
    Payout,
    PayoutKind,
    PayoutMove,
    PayoutSource,
    PayoutState,
    rule,
)
from steelyard.payments.model.settlement import (
    Cycle,
    SettlementState,
    SettlementTerms,
    payable,
    terms_of,
)
from tests.payments.refunding import ask
from tests.payments.till import SHOP, sum_of_postings
from tests.payments.vault import AVAILABLE, KEPT, LIVE, PENDING, SETTLEMENT, WAY, Vault

DAY = date(2026, 3, 2)
TOMORROW = DAY + timedelta(days=1)
NEXT_MORNING = datetime(2026, 3, 3, 1, 0, tzinfo=UTC)
MAKER = "staff:00000000-0000-7000-8000-00000000000a"
CHECKER = "staff:00000000-0000-7000-8000-00000000000b"


@pytest.fixture
def vault(database: Database, clock: SteppingClock) -> Iterator[Vault]:
    """A shop whose books add up after every test, whatever happened (case 45)."""
    opened = Vault(database, clock)
    yield opened
    assert sum_of_postings(database) == 0


def cleared(vault: Vault, *amounts: int) -> None:
    """Let payments be made, cleared, and paid in at the custodian."""
    for amount in amounts:
        vault.pay(amount)
    vault.at(NEXT_MORNING)
    vault.close()
    vault.deposit(sum(amounts), "D-1")


def by(vault: Vault, actor: str, work: object) -> object:
    return vault.database.transact(work, actor=actor)  # type: ignore[arg-type]


def test_a_merchant_is_paid_the_net_of_the_day_on_the_next(vault: Vault) -> None:
    cleared(vault, 10_000)
    assert vault.settle(DAY)[0].payable.amount_minor == 0
    (found,) = vault.settle(TOMORROW)
    assert (found.state, found.payable.amount_minor) == (SettlementState.APPROVED, 9_940)
    (payout,) = vault.pay_out()
    assert payout.state is PayoutState.PAID
    assert vault.settled(found.id).state is SettlementState.PAID
    assert (vault.has(AVAILABLE), vault.has(WAY), vault.has(SETTLEMENT)) == (0, 0, 9_940)
    assert vault.at_the_bank() == 60


def test_case_47_a_settlement_run_twice_pays_once(vault: Vault) -> None:
    cleared(vault, 10_000)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: vault.settle(TOMORROW), range(4)))
    with ThreadPoolExecutor(4) as pool:
        paid = [one for many in pool.map(lambda _: vault.pay_out(), range(4)) for one in many]
    assert len(paid) == 1
    vault.settle(TOMORROW)
    assert vault.pay_out() == ()
    assert vault.at_the_bank() == 60
    with vault.database.reading() as connection:
        assert len(payouts.list_payouts(connection, LIVE)) == 1


def test_case_48_a_payout_that_is_unknown_and_then_returned_waits_for_an_account(
    vault: Vault,
) -> None:
    cleared(vault, 10_000)
    (found,) = vault.settle(TOMORROW)
    vault.script("pay", "break")
    (payout,) = vault.pay_out()
    assert payout.state is PayoutState.UNKNOWN
    assert vault.settled(found.id).state is SettlementState.PAY_UNKNOWN
    assert (vault.has(WAY), vault.has(SETTLEMENT)) == (9_940, 0)
    assert vault.client.post("/returns", json={"number": payout.number}).json()["is_done"]
    vault.tick(timedelta(minutes=1))
    assert vault.poll() == 1
    assert vault.settled(found.id).state is SettlementState.RETURNED
    assert (vault.has(WAY), vault.has(AVAILABLE), vault.at_the_bank()) == (9_940, 0, 10_000)
    assert vault.settle(TOMORROW + timedelta(days=1)) == ()
    vault.payees.edition = 2
    again = by(vault, MAKER, lambda unit: payouts.reissue(unit, found.id, vault.payees))
    assert isinstance(again, payouts.Payout)
    assert (again.no, again.payee) == (2, f"account:{SHOP}.2")
    assert again.number != payout.number
    vault.tick(timedelta(minutes=1))
    assert vault.poll() == 1
    assert vault.settled(found.id).state is SettlementState.PAID
    assert (vault.has(WAY), vault.at_the_bank()) == (0, 60)


def test_case_50_a_negative_net_is_carried_and_made_good_by_what_is_sold_next(
    vault: Vault,
) -> None:
    vault.sign(SHOP, settlement_cycle="D1", refund_advance_minor=1_000_000)
    order = vault.pay(10_000)
    vault.at(NEXT_MORNING)
    vault.close()
    vault.deposit(10_000, "D-1")
    vault.settle(TOMORROW)
    vault.pay_out()
    ask(vault.database, order, 6_000)
    vault.tick(timedelta(days=1))
    vault.close()
    (carried,) = vault.settle(DAY + timedelta(days=2))
    assert (carried.state, carried.payable.carried_minor) == (SettlementState.CARRIED, -6_000)
    assert vault.pay_out() == ()
    vault.pay(20_000)
    vault.tick(timedelta(days=1))
    vault.close()
    vault.deposit(20_000, "D-2")
    (made_good,) = vault.settle(DAY + timedelta(days=3))
    assert made_good.payable.amount_minor == 19_880 - 6_000
    assert vault.pay_out()[0].state is PayoutState.PAID
    assert vault.has(AVAILABLE) == 0


@pytest.mark.parametrize(
    ("cycle", "on", "due_on"),
    [
        (Cycle.T1, "2025-09-26", "2025-09-28"),  # Friday: the Sunday after is a make-up day
        (Cycle.T1, "2025-09-30", "2025-10-09"),
        (Cycle.T1, "2025-10-04", "2025-10-09"),
        (Cycle.T1, "2025-10-10", "2025-10-11"),  # Friday: the Saturday after is a make-up day
        (Cycle.T1, "2025-10-11", "2025-10-13"),
        (Cycle.D1, "2025-09-30", "2025-10-01"),
        (Cycle.T0, "2025-09-30", "2025-09-30"),
        (Cycle.T0, "2025-10-01", "2025-10-09"),
    ],
)
def test_case_51_golden_week_with_its_make_up_days(cycle: Cycle, on: str, due_on: str) -> None:
    terms = SettlementTerms(cycle=cycle)
    assert terms.due_on(date.fromisoformat(on)) == date.fromisoformat(due_on)
    assert terms.pays_on(date(2025, 10, 1)) == (cycle is Cycle.D1)
    assert terms.pays_on(date(2025, 9, 28))


def test_what_is_not_due_or_not_reconciled_is_not_paid(vault: Vault) -> None:
    vault.sign(SHOP, settlement_cycle="T1")
    cleared(vault, 10_000)
    vault.pay(5_000)
    vault.tick(timedelta(days=1))
    vault.close(ReconWord(is_expected=True, is_verified=False))
    (found,) = vault.settle(DAY + timedelta(days=2))
    assert (found.payable.amount_minor, found.payable.not_due_minor) == (9_940, 4_970)


def test_below_the_least_amount_it_waits_and_is_not_forgotten(vault: Vault) -> None:
    vault.sign(SHOP, settlement_cycle="D1", settlement_least_minor=15_000)
    cleared(vault, 10_000)
    (small,) = vault.settle(TOMORROW)
    assert (small.state, small.payable.carried_minor) == (SettlementState.CARRIED, 9_940)
    vault.pay(10_000)
    vault.tick(timedelta(days=1))
    vault.close()
    (both,) = vault.settle(DAY + timedelta(days=2))
    assert both.payable.amount_minor == 19_880


def test_a_rolling_reserve_is_kept_and_released_on_its_day(vault: Vault) -> None:
    vault.sign(SHOP, settlement_cycle="D1", reserve_rate="0.1", reserve_days=30)
    cleared(vault, 10_000)
    assert (vault.has(KEPT), vault.has(AVAILABLE)) == (1_000, 8_940)
    (found,) = vault.settle(TOMORROW)
    vault.pay_out()
    assert found.payable.amount_minor == 8_940
    assert vault.settle(DAY + timedelta(days=29)) == ()
    (released,) = vault.settle(DAY + timedelta(days=30))
    assert (released.payable.amount_minor, vault.has(KEPT)) == (1_000, 0)
    assert vault.settle(DAY + timedelta(days=31))[0].payable.amount_minor == 1_000


def test_a_held_merchant_is_not_paid_until_two_people_want_it(vault: Vault) -> None:
    cleared(vault, 10_000)
    (found,) = vault.settle(TOMORROW)
    by(vault, MAKER, lambda unit: settlement.hold_merchant(unit, SHOP, reason="fraud report"))
    held = vault.settled(found.id)
    assert (held.state, held.held_for) == (SettlementState.HELD, "risk")
    assert vault.pay_out() == ()
    asked = by(vault, MAKER, lambda unit: settlement.request_lift(unit, SHOP))
    assert isinstance(asked, approvals.Approval)
    with pytest.raises(approvals.ApprovalIsNotOpen):
        by(vault, MAKER, lambda u: settlement.lift_hold(u, SHOP, approval=asked.id))
    approve(vault, asked)
    by(vault, MAKER, lambda unit: settlement.lift_hold(unit, SHOP, approval=asked.id))
    (next_day,) = vault.settle(DAY + timedelta(days=2))
    assert (next_day.state, next_day.payable.amount_minor) == (SettlementState.APPROVED, 9_940)
    assert vault.settled(found.id).state is SettlementState.SUPERSEDED


def say_yes(vault: Vault, asked: approvals.Approval, actor: str) -> None:
    who = Caller(actor, frozenset({"*"}))
    by(
        vault,
        actor,
        lambda unit: approvals.approve(unit, asked.id, by=who, shown_hash=asked.shown_hash),
    )


def approve(vault: Vault, asked: approvals.Approval) -> None:
    say_yes(vault, asked, CHECKER)


def test_above_the_limit_a_second_person_approves(vault: Vault) -> None:
    vault.sign(SHOP, settlement_cycle="D1", settlement_alone_minor=5_000)
    cleared(vault, 10_000)
    (found,) = vault.settle(TOMORROW)
    assert found.state is SettlementState.CALCULATED
    assert vault.pay_out() == ()
    asked = by(vault, MAKER, lambda unit: settlement.request_approval(unit, found.id))
    assert isinstance(asked, approvals.Approval)
    with pytest.raises(approvals.MakerIsChecker):
        say_yes(vault, asked, MAKER)
    approve(vault, asked)
    by(vault, MAKER, lambda unit: settlement.approve(unit, found.id, approval=asked.id))
    (payout,) = vault.pay_out()
    assert payout.cause == asked.cause


def test_money_goes_to_listed_accounts_only(vault: Vault) -> None:
    cleared(vault, 10_000)
    vault.payees.unlisted.add(SHOP)
    (found,) = vault.settle(TOMORROW)
    assert (found.state, found.held_for) == (SettlementState.HELD, "account_is_not_verified")
    vault.payees.unlisted.clear()
    (found,) = vault.settle(DAY + timedelta(days=2))
    vault.payees.unlisted.add(SHOP)
    assert vault.pay_out() == ()
    assert vault.settled(found.id).held_for == "account_is_not_verified"
    assert vault.at_the_bank() == 10_000


def test_a_refund_in_between_leaves_less_than_was_calculated(vault: Vault) -> None:
    order = vault.pay(10_000)
    vault.at(NEXT_MORNING)
    vault.close()
    (found,) = vault.settle(TOMORROW)
    ask(vault.database, order, 5_000)
    assert vault.pay_out() == ()
    assert vault.settled(found.id).held_for == "balance_is_short"


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [
        ("reject", PayoutState.UNKNOWN),
        ("lose", PayoutState.UNKNOWN),
        ("garble", PayoutState.UNKNOWN),
        ("forge", PayoutState.UNKNOWN),
        ("other_amount", PayoutState.SENT),
        ("pending", PayoutState.PENDING),
        ("fail", PayoutState.FAILED),
    ],
)
def test_whatever_the_custodian_does_the_merchant_is_paid_once_or_keeps_his_money(
    vault: Vault, behaviour: str, state: PayoutState
) -> None:
    cleared(vault, 10_000)
    vault.settle(TOMORROW)
    vault.script("pay", behaviour, seconds=3_600)
    (payout,) = vault.pay_out()
    assert payout.state is state
    vault.tick(timedelta(hours=2))
    vault.poll()
    vault.tick(timedelta(hours=2))
    vault.poll()
    paid = 10_000 - vault.at_the_bank()
    assert vault.has(AVAILABLE) + paid == 9_940
    assert paid == (0 if behaviour == "fail" else 9_940)
    assert vault.has(WAY) == 0


def test_a_failed_payout_is_taken_up_the_next_day(vault: Vault) -> None:
    cleared(vault, 10_000)
    (found,) = vault.settle(TOMORROW)
    vault.script("pay", "fail")
    vault.pay_out()
    assert vault.settled(found.id).state is SettlementState.PAY_FAILED
    (again,) = vault.settle(DAY + timedelta(days=2))
    assert again.payable.amount_minor == 9_940
    assert vault.pay_out()[0].state is PayoutState.PAID


def test_returned_money_can_go_back_into_the_balance(vault: Vault) -> None:
    cleared(vault, 10_000)
    (found,) = vault.settle(TOMORROW)
    (payout,) = vault.pay_out()
    assert vault.client.post("/returns", json={"number": payout.number}).json()["is_done"]
    said = CustodianAnswer(said=PayoutSaid.RETURNED)
    by(
        vault,
        MAKER,
        lambda unit: payouts.report(unit, payout.id, said, PayoutSource.OPERATOR),
    )
    by(vault, MAKER, lambda unit: payouts.release_returned(unit, found.id))
    assert (vault.has(AVAILABLE), vault.has(WAY)) == (9_940, 0)
    with pytest.raises(settlement.SettlementStateForbids):
        by(vault, MAKER, lambda unit: payouts.release_returned(unit, found.id))


def test_another_merchant_does_not_see_it(vault: Vault) -> None:
    cleared(vault, 10_000)
    (found,) = vault.settle(TOMORROW)
    with vault.database.reading() as connection, pytest.raises(settlement.SettlementIsUnknown):
        settlement.read(connection, found.id, merchant=UUID(int=9))


def test_account_numbers_are_not_kept_in_the_clear(vault: Vault) -> None:
    cleared(vault, 10_000)
    vault.settle(TOMORROW)
    vault.pay_out()
    with vault.database.reading() as connection:
        rows = connection.execute(sa.text("SELECT p::text FROM payments.payout AS p")).scalars()
        assert not any("6222021234" in row for row in rows)


@pytest.mark.parametrize(
    "contract",
    [
        {"settlement_cycle": "T9"},
        {"reserve_rate": "0.9"},
        {"reserve_rate": "x"},
        {"reserve_rate": "NaN"},
        {"reserve_days": -1},
        {"settlement_least_minor": True},
        {"settlement_calendar": "MOON"},
    ],
)
def test_terms_that_cannot_be_are_refused(contract: dict[str, object]) -> None:
    with pytest.raises(Refusal):
        terms_of(contract)


@given(
    st.lists(st.tuples(st.integers(-(10**8), 10**8), st.integers(0, 10**7)), max_size=60),
    st.integers(0, 10**7),
)
def test_the_carry_is_never_lost(days: list[tuple[int, int]], least: int) -> None:
    """Whatever comes and goes on each day, what was paid and what is carried is all of it."""
    terms = SettlementTerms(least_minor=least)
    balance = paid = earned = 0
    for net, not_due in days:
        balance += net
        earned += net
        found = payable(terms, balance_minor=balance, not_due_minor=not_due)
        assert found.amount_minor + found.carried_minor + not_due == balance
        assert found.amount_minor == 0 or found.amount_minor >= max(least, 1)
        balance -= found.amount_minor
        paid += found.amount_minor
    assert paid + balance == earned


@given(st.lists(st.sampled_from(list(PayoutSaid)), max_size=12))
def test_a_payout_is_confirmed_returned_and_released_at_most_once(said: list[PayoutSaid]) -> None:
    payout = Payout(
        id=UUID(int=1),
        kind=PayoutKind.SETTLEMENT,
        settlement=UUID(int=2),
        no=1,
        merchant=SHOP,
        mode=LIVE,
        currency="CNY",
        amount_minor=5,
        payee="account:1",
        payee_tail="1",
        state=PayoutState.SENT,
        version=1,
        cause="rule.x@1",
        began_at=NEXT_MORNING,
    )
    moves: list[PayoutMove] = []
    for one in said:
        ruling = rule(payout, CustodianAnswer(said=one), PayoutSource.QUERY)
        again = rule(
            replace(payout, state=ruling.state), CustodianAnswer(said=one), PayoutSource.QUERY
        )
        assert not again.is_new
        moves += ruling.moves
        payout = replace(payout, state=ruling.state)
    assert len(moves) == len(set(moves))
    assert PayoutMove.RELEASE not in moves or len(moves) == 1
    assert PayoutMove.RETURN not in moves or PayoutMove.CONFIRM in moves


def test_pending_money_is_not_touched_by_settlement(vault: Vault) -> None:
    vault.pay(10_000)
    assert vault.settle(DAY) == ()
    assert vault.has(PENDING) == 10_000
