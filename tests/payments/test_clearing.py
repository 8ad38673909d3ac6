"""Clearing days: the channel's clock, fees of the day, nets that add up, what comes later."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import SteppingClock
from steelyard.ledger import Transfer, accepted, post
from steelyard.payments import clearing
from steelyard.payments.model.channel import Capability, Finding, Said
from steelyard.payments.model.clearing import ClearingState, DayClock, ReconWord, Sums, net_of
from steelyard.payments.model.fees import FeePlan, FeeTerm
from steelyard.payments.service import refunds
from steelyard.payments.store import fees as plans
from tests.payments.refunding import ask, tell
from tests.payments.till import CLIENTS, EVERYTHING, OTHER_SHOP, SHOP, balance, sum_of_postings
from tests.payments.vault import AVAILABLE, CNY, FEES, LIVE, PENDING, TRANSIT, Vault

DAY = date(2026, 3, 2)
NEXT_MORNING = datetime(2026, 3, 3, 1, 0, tzinfo=UTC)


@pytest.fixture
def vault(database: Database, clock: SteppingClock) -> Iterator[Vault]:
    """A shop whose books add up after every test, whatever happened (case 45)."""
    opened = Vault(database, clock)
    yield opened
    assert sum_of_postings(database) == 0


def total(vault: Vault, on: date = DAY, merchant: UUID = SHOP) -> clearing.Total:
    with vault.database.reading() as connection:
        (found,) = clearing.totals(connection, LIVE, on, merchant=merchant)
    return found


def test_a_day_is_closed_after_its_last_instant_and_posted_per_merchant(vault: Vault) -> None:
    vault.pay(10_000)
    vault.pay(3_333)
    vault.pay(5_000, merchant=OTHER_SHOP)
    assert clearing.close_due(vault.database, LIVE, vault.capability) == ()
    assert vault.has(PENDING) == 13_333
    vault.at(NEXT_MORNING)
    (day,) = clearing.close_due(vault.database, LIVE, vault.capability)
    assert (day.state, day.on) == (ClearingState.CLEARED, DAY)
    found = total(vault).net
    assert (found.sums.payments, found.sums.gross_minor, found.sums.fee_minor) == (2, 13_333, 80)
    assert found.net_minor == found.posted_minor == 13_253
    assert (vault.has(PENDING), vault.has(AVAILABLE)) == (0, 13_253)
    assert vault.has(FEES) == 80 + 30


def test_a_day_closed_twice_is_posted_once(vault: Vault) -> None:
    vault.pay()
    vault.at(NEXT_MORNING)
    how = clearing.How(lines=1, merchants=1)
    (first,) = clearing.close_due(vault.database, LIVE, vault.capability, how)
    (again,) = clearing.close_due(vault.database, LIVE, vault.capability, how)
    assert first == again
    assert vault.has(AVAILABLE) == 9_940


def test_several_workers_clear_a_day_once(vault: Vault) -> None:
    for n in range(12):
        vault.pay(1_000 + n, merchant=SHOP if n % 2 else OTHER_SHOP)
    vault.at(NEXT_MORNING)
    how = clearing.How(lines=2, merchants=1)
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda _: clearing.close_due(vault.database, LIVE, vault.capability, how), range(4)
            )
        )
    assert total(vault).net.sums.payments == total(vault, merchant=OTHER_SHOP).net.sums.payments
    assert vault.has(PENDING) == 0


def test_a_day_that_was_cut_off_at_any_commit_goes_on(vault: Vault) -> None:
    """A crash is a transaction that did not commit: each chunk finds what the last one left."""
    for _ in range(5):
        vault.pay(2_000)
    vault.at(NEXT_MORNING)
    real = vault.database.transact
    how = clearing.How(lines=2, merchants=1)
    dying, lived = 0, False
    while not lived:
        dying += 1
        left = iter(range(dying))

        def dies(work: Any, *, actor: str, left: Iterator[int] = left) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return real(work, actor=actor)

        vault.database.transact = dies  # type: ignore[method-assign]
        try:
            clearing.close_due(vault.database, LIVE, vault.capability, how)
            lived = True
        except KeyboardInterrupt:
            continue
        finally:
            vault.database.transact = real  # type: ignore[method-assign]
    assert dying > 4
    assert total(vault).net.sums.gross_minor == 10_000
    assert (vault.has(PENDING), vault.has(AVAILABLE), vault.has(FEES)) == (0, 9_940, 60)


def test_case_45_all_postings_add_up_to_nothing_through_a_whole_day(vault: Vault) -> None:
    order = vault.pay(10_000)
    ask(vault.database, order, 2_500)
    vault.at(NEXT_MORNING)
    vault.close()
    assert sum_of_postings(vault.database) == 0
    owed = [vault.has(code) for code in (PENDING, AVAILABLE, FEES, "refunds:CNY")]
    mirror = balance(vault.database, "mirror:own:CNY")
    assert sum(owed) + mirror == 10_000 == -vault.has(TRANSIT)


def test_case_46_many_captures_at_once_of_one_merchant_lose_nothing(vault: Vault) -> None:
    with ThreadPoolExecutor(8) as pool:
        orders = list(pool.map(lambda n: vault.pay(100 + n), range(48)))
    gross = sum(order.captured_minor for order in orders)
    assert gross == sum(100 + n for n in range(48))
    assert vault.has(PENDING) == gross == -vault.has(TRANSIT)
    vault.at(NEXT_MORNING)
    vault.close()
    found = total(vault).net
    assert (found.sums.payments, found.sums.gross_minor) == (48, gross)
    assert vault.has(AVAILABLE) == gross - found.sums.fee_minor


def approve_plan(vault: Vault, version: int, effective_on: date, rate: str) -> None:
    plan = FeePlan(
        id=uuid4(),
        merchant=SHOP,
        version=version,
        effective_on=effective_on,
        terms=(FeeTerm(rate=Decimal(rate)),),
        state=plans.PlanState.DRAFTED,
        made_by="staff:a",
        made_at=vault.clock.now(),
    )

    def work(unit: UnitOfWork) -> None:
        plans.insert(unit.connection, plan)
        plans.decide(
            unit.connection,
            plan.id,
            plans.PlanState.APPROVED,
            at=unit.now,
            approval=uuid4(),
            cause="approval:test@1",
        )

    vault.database.transact(work)


def test_case_49_a_fee_that_changes_at_midnight_is_that_of_each_payment(vault: Vault) -> None:
    approve_plan(vault, 1, date(2026, 1, 1), "0.01")
    approve_plan(vault, 2, date(2026, 3, 3), "0.02")
    shanghai = ZoneInfo("Asia/Shanghai")
    # The channel's day ends at 23:00: both payments are cleared on one day, at two prices.
    late = datetime(2026, 3, 2, 23, 59, 59, tzinfo=shanghai)
    vault.at(late)
    vault.pay(10_000)
    vault.at(late + timedelta(seconds=1))
    vault.pay(10_000)

    def capability(_: str) -> Capability:
        return replace(EVERYTHING, cut_off=time(23, 0))

    vault.at(datetime(2026, 3, 3, 23, 30, tzinfo=shanghai))
    closed = clearing.close_due(vault.database, LIVE, capability)
    assert [day.on for day in closed] == [date(2026, 3, 3)]
    with vault.database.reading() as connection:
        found = connection.execute(
            sa.text("SELECT fee_minor FROM payments.clearing_line ORDER BY happened_at")
        )
        assert list(found.scalars()) == [100, 200]
    assert vault.has(FEES) == 300


def test_case_53_a_corrected_fee_leaves_the_day_and_adds_reversal_and_posting(
    vault: Vault,
) -> None:
    order = vault.pay(10_000)
    vault.at(NEXT_MORNING)
    vault.close()
    before = total(vault)
    assert order.paid_by is not None
    payment = order.paid_by
    vault.tick(timedelta(days=2))
    vault.database.transact(
        lambda unit: clearing.correct_fee(
            unit, payment, fee_minor=25, reason="wrong plan", cause="approval:a@1"
        )
    )
    assert total(vault) == before
    assert vault.has(AVAILABLE) == 9_940 + 60 - 25
    with vault.database.reading() as connection:
        moved = connection.execute(
            sa.text(
                "SELECT posted_minor, effective_on, off_dated FROM ledger.transfer"
                " WHERE cause = 'approval:a@1' ORDER BY at"
            )
        ).all()
    assert [row.posted_minor for row in moved] == [60, 25]
    assert {row.effective_on for row in moved} == {DAY}
    with pytest.raises(clearing.FeeCorrectionIsWrong):
        vault.database.transact(
            lambda unit: clearing.correct_fee(
                unit, payment, fee_minor=25, reason="again", cause="approval:b@1"
            )
        )


@pytest.mark.parametrize(
    ("zone", "at", "on"),
    [
        ("Asia/Shanghai", "2026-03-02T15:59:59+00:00", "2026-03-02"),
        ("Asia/Shanghai", "2026-03-02T16:00:00+00:00", "2026-03-03"),
        ("America/New_York", "2026-03-08T04:59:59+00:00", "2026-03-07"),
        ("America/New_York", "2026-03-08T05:00:00+00:00", "2026-03-08"),
        ("America/New_York", "2026-03-09T03:59:59+00:00", "2026-03-08"),
        ("America/New_York", "2026-11-02T04:59:59+00:00", "2026-11-01"),
        ("America/New_York", "2026-11-02T05:00:00+00:00", "2026-11-02"),
    ],
)
def test_case_54_the_business_date_is_that_of_the_channels_clock(
    zone: str, at: str, on: str
) -> None:
    assert DayClock(zone).business_on(datetime.fromisoformat(at)) == date.fromisoformat(on)


def test_case_54_days_where_clocks_are_set_have_23_and_25_hours() -> None:
    clock = DayClock("America/New_York")
    hours = [
        (clock.bounds(on)[1] - clock.bounds(on)[0]) / timedelta(hours=1)
        for on in (date(2026, 3, 8), date(2026, 3, 9), date(2026, 11, 1))
    ]
    assert hours == [23, 24, 25]


@given(
    zone=st.sampled_from(["Asia/Shanghai", "America/New_York", "Europe/London", "Pacific/Apia"]),
    cut_off=st.times().map(lambda at: at.replace(microsecond=0)),
    at=st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_every_instant_lies_in_exactly_its_business_day(
    zone: str, cut_off: time, at: datetime
) -> None:
    clock = DayClock(zone, cut_off)
    first, last = clock.bounds(clock.business_on(at))
    assert first <= at < last


def test_a_refund_before_clearing_is_netted_and_gives_its_fee_back(vault: Vault) -> None:
    order = vault.pay(10_000)
    ask(vault.database, order, 4_000)
    with vault.database.reading() as connection:
        sent = connection.execute(sa.text("SELECT id FROM payments.refund")).scalars().all()
    refunds.send(vault.database, vault.desk, list(sent))
    vault.at(NEXT_MORNING)
    vault.close()
    net = total(vault).net
    assert (net.sums.gross_minor, net.sums.refund_minor, net.sums.fee_minor) == (10_000, 4_000, 36)
    assert (vault.has(PENDING), vault.has(AVAILABLE)) == (0, 5_964)


def test_a_refund_that_fails_after_clearing_comes_back_by_the_next_day(vault: Vault) -> None:
    vault.desk.channel.refunded = lambda _: Finding(said=Said.PENDING)
    order = vault.pay(10_000)
    ask(vault.database, order, 4_000)
    with vault.database.reading() as connection:
        (sent,) = connection.execute(sa.text("SELECT id FROM payments.refund")).scalars().all()
    refunds.send(vault.database, vault.desk, [sent])
    vault.at(NEXT_MORNING)
    vault.close()
    assert (vault.has(PENDING), vault.has(AVAILABLE)) == (0, 5_940)
    tell(vault.database, sent, Said.DECLINED, code="x")
    assert vault.has(PENDING) == 4_000
    vault.tick(timedelta(days=1))
    vault.close()
    assert (vault.has(PENDING), vault.has(AVAILABLE)) == (0, 9_940)
    net = total(vault, DAY + timedelta(days=1)).net
    assert net.sums.refund_minor == -4_000


def test_a_day_without_a_verified_statement_or_with_breaks_does_not_pass(vault: Vault) -> None:
    vault.pay()
    vault.at(NEXT_MORNING)
    (held,) = vault.close(ReconWord(is_expected=True, is_verified=False))
    assert held.state is ClearingState.CLEARED
    assert held.gate is not None
    assert held.gate["why"] == "statement_is_not_verified"
    (held,) = vault.close(ReconWord(is_expected=True, is_verified=True, breaks=1, open_minor=1))
    assert held.state is ClearingState.CLEARED
    assert vault.has(FEES) == 60
    (passed,) = vault.close()
    assert passed.state is ClearingState.RECON_GATED
    assert vault.has(FEES) == 0
    assert balance(vault.database, "income/fees:CNY", "own") == 60


def test_what_a_channel_keeps_is_met_by_our_own_book(vault: Vault) -> None:
    vault.desk.channel.paid = lambda request: Finding(
        said=Said.SUCCEEDED,
        amount_minor=request.amount_minor,
        currency=request.currency,
        fee_minor=20,
    )
    vault.pay(10_000)
    vault.at(NEXT_MORNING)
    vault.close()
    assert -vault.has(TRANSIT) == 9_980
    assert -balance(vault.database, "expense/channels:CNY", "own") == 20
    assert vault.has("mirror:own:CNY") == 40


def test_a_payment_reversed_after_clearing_is_taken_back_with_its_fee(vault: Vault) -> None:
    order = vault.pay(10_000)
    vault.at(NEXT_MORNING)
    vault.close()
    assert order.paid_by is not None
    back = Transfer(
        id=uuid4(),
        book=CLIENTS,
        cause="rule.test@1",
        debit=PENDING,
        credit=TRANSIT,
        amount_minor=10_000,
        currency=CNY,
    )

    def reverse(unit: UnitOfWork) -> None:
        unit.execute(
            "UPDATE payments.attempt SET state = 'reversed' WHERE id = :id", id=order.paid_by
        )
        accepted(post(unit, [back]))

    vault.database.transact(reverse)
    vault.tick(timedelta(days=1))
    vault.close()
    net = total(vault, DAY + timedelta(days=1)).net
    assert (net.sums.gross_minor, net.sums.fee_minor, net.net_minor) == (-10_000, -60, -9_940)
    assert (vault.has(PENDING), vault.has(AVAILABLE)) == (0, 0)


amounts = st.integers(0, 10**9)


@given(
    gross=amounts,
    refund=amounts,
    dispute=amounts,
    elsewhere=amounts,
    fee=st.integers(-(10**6), 10**6),
    rate=st.decimals("0", "0.5", places=4),
)
@settings(max_examples=300)
def test_net_fees_and_reserve_are_the_gross_exactly(
    gross: int, refund: int, dispute: int, elsewhere: int, fee: int, rate: Decimal
) -> None:
    pending = gross - min(refund + dispute, elsewhere)
    sums = Sums(
        merchant=SHOP,
        currency=CNY,
        payments=1,
        refunds=1,
        gross_minor=gross,
        refund_minor=refund,
        dispute_minor=dispute,
        pending_minor=pending,
        fee_minor=fee,
    )
    net = net_of(sums, reserve_rate=rate)
    assert net.net_minor + fee + net.reserve_minor + refund + dispute == gross
    assert net.posted_minor + fee + net.reserve_minor == pending
    assert net.reserve_minor >= 0
    assert net.reserve_minor == 0 or net.net_minor >= 0
    assert net.posted_minor >= 0 or net.reserve_minor == 0
