"""The custodian's statements and the daily tie-out of the reserve."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.base.http import Caller
from steelyard.cases import reading as case_reading
from steelyard.kernel import SteppingClock
from steelyard.parties import approvals
from steelyard.payments import custody, day, payouts, tieout
from steelyard.payments.model.channel import Finding, Said
from steelyard.payments.model.custody_csv import CustodyStatementIsUnreadable, read_statement
from steelyard.payments.model.settlement import SettlementState
from steelyard.payments.model.tieout import TieItem, holdings_of, judge
from steelyard.payments.service import evidence, orders
from tests.payments.till import sum_of_postings
from tests.payments.vault import CNY, LIVE, OURS, RESERVE, SETTLEMENT, TRANSIT, Vault

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


def stop(vault: Vault) -> tieout.Stop | None:
    with vault.database.reading() as connection:
        return tieout.open_stop(connection, LIVE, CNY)


def a_day(vault: Vault, *amounts: int) -> None:
    """Let a day be traded, cleared, paid in, settled and paid out; it is the next morning."""
    for amount in amounts:
        vault.pay(amount)
    vault.at(NEXT_MORNING)
    vault.close()
    vault.deposit(sum(amounts), "D-1")
    vault.settle(TOMORROW)
    vault.pay_out()


def open_cases(vault: Vault, kind: str) -> int:
    with vault.database.reading() as connection:
        page = case_reading.list_cases(
            connection, case_reading.CaseFilter(kind=kind), now=vault.database.now()
        )
    return len(page.items)


def test_it_ties_out_day_by_day_while_money_is_under_way(vault: Vault) -> None:
    a_day(vault, 10_000, 2_345)
    first = vault.tie_out(DAY)
    assert (first.why, first.custody_minor, first.difference_minor) == ("ties_out", 0, 0)
    assert [item.kind for item in first.items] == ["payout_after"]
    vault.tick(timedelta(days=1))
    second = vault.tie_out(TOMORROW)
    assert (second.why, second.custody_minor, second.items) == ("ties_out", 74, ())
    assert vault.has(TRANSIT) == 0
    again = vault.tie_out(DAY)
    assert (again.run, again.why) == (2, "ties_out")
    assert sorted(item.kind for item in again.items) == ["deposit_after", "payout_after"]


def test_case_52_off_by_one_cent_stops_payouts_until_it_ties_out_again(vault: Vault) -> None:
    a_day(vault, 10_000)
    vault.pay(20_000)
    told = {"account": RESERVE, "kind": "fee", "amount_minor": -1, "reference": "F-1"}
    vault.client.post("/movements", json=told)
    vault.tick(timedelta(days=1))
    off = vault.tie_out(TOMORROW)
    assert (off.why, off.difference_minor) == ("reserve_is_off", 1)
    assert [(item.kind, item.amount_minor) for item in off.items] == [("line_is_not_ours", 1)]
    assert open_cases(vault, "payments.reserve") == open_cases(vault, "payments.custody_line") == 1
    vault.close()
    vault.deposit(20_000, "D-2")
    (waiting,) = vault.settle(DAY + timedelta(days=2))
    with pytest.raises(payouts.PayoutsAreStopped):
        vault.pay_out()
    assert vault.settled(waiting.id).state is SettlementState.APPROVED
    with pytest.raises(payouts.PayoutsAreStopped):
        vault.database.transact(lambda unit: payouts.begin_sweep(unit, LIVE, CNY))
    assert vault.at_the_bank() == 20_059
    # The bank gives it back from our own account: the books agree again, and payouts go on.
    told = {"account": RESERVE, "amount_minor": 1, "reference": "F-2", "counterparty": "bank"}
    vault.client.post("/movements", json={**told, "kind": "fee"})
    vault.tick(timedelta(days=1))
    assert vault.tie_out(DAY + timedelta(days=2)).why != "ties_out"
    release(vault, "bank confirmed in writing")
    assert vault.pay_out()[0].amount_minor == 19_880


def release(vault: Vault, reason: str) -> None:
    """Let two people release payouts."""
    database = vault.database
    asked = database.transact(
        lambda unit: tieout.request_release(unit, LIVE, CNY, reason=reason), actor=MAKER
    )
    with pytest.raises(approvals.ApprovalIsNotOpen):
        database.transact(
            lambda unit: tieout.release(unit, LIVE, CNY, reason=reason, approval=asked.id),
            actor=MAKER,
        )
    who = Caller(CHECKER, frozenset({"*"}))
    database.transact(
        lambda unit: approvals.approve(unit, asked.id, by=who, shown_hash=asked.shown_hash),
        actor=CHECKER,
    )
    with pytest.raises(approvals.ApprovalIsForSomethingElse):
        database.transact(
            lambda unit: tieout.release(unit, LIVE, CNY, reason="other", approval=asked.id),
            actor=MAKER,
        )
    database.transact(
        lambda unit: tieout.release(unit, LIVE, CNY, reason=reason, approval=asked.id),
        actor=MAKER,
    )
    assert stop(vault) is None


def test_a_statement_that_does_not_add_up_is_not_booked_and_stops(vault: Vault) -> None:
    a_day(vault, 10_000)
    vault.tick(timedelta(days=1))
    vault.script("statement", "misstate", cents=1)
    off = vault.tie_out(TOMORROW)
    assert off.why == "lines_do_not_add_up"
    assert vault.has(TRANSIT) == -10_000
    assert stop(vault) is not None
    # The corrected file is another edition: it is booked, and the next tie-out lifts the stop.
    good = vault.tie_out(TOMORROW)
    assert (good.why, good.run) == ("ties_out", 2)
    assert stop(vault) is None


def test_what_the_custodian_says_is_paid_and_does_not_state_is_found(vault: Vault) -> None:
    for amount in (10_000,):
        vault.pay(amount)
    vault.at(NEXT_MORNING)
    vault.close()
    vault.deposit(10_000, "D-1")
    vault.settle(TOMORROW)
    vault.script("pay", "lie")
    (payout,) = vault.pay_out()
    assert payout.state is payouts.PayoutState.PAID
    vault.tick(timedelta(days=1))
    off = vault.tie_out(TOMORROW)
    assert off.difference_minor == -9_940
    assert [item.kind for item in off.items] == ["not_in_the_statement"]
    assert stop(vault) is not None


def test_a_payout_that_nobody_answered_is_settled_by_the_statement(vault: Vault) -> None:
    vault.pay(10_000)
    vault.at(NEXT_MORNING)
    vault.close()
    vault.deposit(10_000, "D-1")
    (found,) = vault.settle(TOMORROW)
    vault.script("pay", "break")
    vault.pay_out()
    vault.tick(timedelta(days=1))
    assert vault.tie_out(TOMORROW).why == "ties_out"
    assert vault.settled(found.id).state is SettlementState.PAID


def test_money_from_nobody_known_is_kept_as_unclaimed(vault: Vault) -> None:
    vault.deposit(777, "X-1", channel="stranger")
    vault.at(NEXT_MORNING)
    tie = vault.tie_out(DAY)
    assert (tie.why, tie.holdings.owed["unclaimed"]) == ("ties_out", 777)
    assert open_cases(vault, "payments.custody_line") == 1
    vault.tie_out(DAY)
    assert vault.has("unclaimed:CNY") == 777


def test_fees_go_to_our_own_account_only_after_they_are_earned(vault: Vault) -> None:
    a_day(vault, 10_000)
    (payout,) = [vault.database.transact(lambda unit: payouts.begin_sweep(unit, LIVE, CNY))]
    assert payout is not None
    assert payout.amount_minor == 60
    assert vault.database.transact(lambda unit: payouts.begin_sweep(unit, LIVE, CNY)) is None
    payouts.send(vault.database, vault.bank, payout.id, vault.payees, actor=MAKER)
    assert vault.at_the_bank() == 0
    assert vault.has("mirror:own:CNY") == 0
    vault.tick(timedelta(days=1))
    assert vault.tie_out(TOMORROW).why == "ties_out"
    assert vault.database.transact(lambda unit: payouts.begin_sweep(unit, LIVE, CNY)) is None


def test_our_own_debt_to_clients_stops_payouts_until_we_pay_it_in(vault: Vault) -> None:
    vault.desk.channel.paid = lambda request: Finding(
        said=Said.SUCCEEDED,
        amount_minor=request.amount_minor,
        currency=request.currency,
        fee_minor=100,
    )
    vault.pay(10_000)
    vault.at(NEXT_MORNING)
    vault.close()
    vault.deposit(9_900, "D-1")
    vault.tick(timedelta(days=1))
    off = vault.tie_out(TOMORROW)
    assert (off.why, off.holdings.own_owes_minor) == ("own_funds_owe_clients", 40)
    told = {"account": RESERVE, "amount_minor": 40, "reference": "O-1", "counterparty": OURS}
    vault.client.post("/movements", json=told)
    vault.tick(timedelta(days=1))
    assert vault.tie_out(DAY + timedelta(days=2)).why == "ties_out"
    assert vault.has(SETTLEMENT) == -9_940


def test_without_a_statement_nothing_is_tied_out_and_nothing_is_stopped(vault: Vault) -> None:
    vault.pay()
    tie = vault.tie_out(DAY)
    assert (tie.why, tie.difference_minor) == ("statement_is_missing", None)
    assert stop(vault) is None


def test_a_line_that_vanishes_in_a_corrected_statement_is_found(vault: Vault) -> None:
    a_day(vault, 10_000)
    vault.tick(timedelta(days=1))
    vault.tie_out(TOMORROW)
    file = vault.bank.statement(RESERVE, TOMORROW)
    assert file is not None
    rows = [row for row in file.content.decode().splitlines() if ",deposit," not in row]
    head = rows[0].split(",")
    head[5], head[6] = str(int(head[5]) - 10_000), str(len(rows) - 1)
    content = "\n".join([",".join(head), *rows[1:]]).encode()
    said = read_statement(content)
    shorter = type(file)(name="corrected", content=content)
    vault.database.transact(lambda unit: custody.take(unit, vault.account, TOMORROW, said, shorter))
    off = tieout.make(vault.database, vault.account, TOMORROW)
    assert off.difference_minor == 10_000
    assert [item.kind for item in off.items] == ["line_has_vanished"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"H,R,CNY,2026-03-02,0\n",
        b"H,R,CNY,2026-13-02,0,0,0\n",
        b"H,R,CNY,2026-03-02,0,0,1\n",
        b"H,R,CNY,2026-03-02,0,5,1\nL,1,deposit,x,D,,c,2026-03-02T00:00:00Z\n",
        b"H,R,CNY,2026-03-02,0,5,1\nL,1,deposit,5\n",
        b'H,"R,CNY',
    ],
)
def test_a_file_that_is_no_statement_is_refused_with_its_line(content: bytes) -> None:
    with pytest.raises(CustodyStatementIsUnreadable) as refused:
        read_statement(content)
    assert refused.value.facts["line"]


def test_the_custodian_believes_no_forged_or_repeated_request(vault: Vault) -> None:
    assert vault.client.post("/v1/payouts", json={}).status_code == 401
    answer, _ = vault.bank._call("GET", "/v1/payouts/x", b"")
    assert answer.status_code == 200
    again = vault.client.send(answer.request)
    assert again.status_code == 401


balances = st.dictionaries(
    st.sampled_from(
        [
            "merchant/a/pending",
            "merchant/a/available",
            "merchant/b/available",
            "merchant/a/reserve",
            "payouts",
            "refunds",
            "unclaimed",
            "wallet/x",
            "in_transit/uni",
            "in_transit/wx",
            "shortage",
        ]
    ),
    st.integers(-(10**9), 10**9),
)


@given(balances, st.integers(-5, 5), st.integers(-(10**6), 10**6))
def test_any_balanced_book_ties_out_to_the_cent_and_to_no_other(
    others: dict[str, int], off: int, after: int
) -> None:
    lines = {**others, "settlement": -sum(others.values())}
    said = holdings_of(lines, mirror="mirror:own")
    items = (TieItem("payout_after", "payout:1", after),)
    difference, why = judge(
        said, custody_minor=lines["settlement"] - after + off, fault=None, items=items
    )
    assert difference == -off
    assert (why == "ties_out") == (off == 0)


def test_a_channel_that_pays_in_before_its_payment_is_known_is_a_channel(vault: Vault) -> None:
    vault.desk.channel.paid = lambda _: Finding(said=Said.UNKNOWN)
    order = vault.pay(10_000)
    vault.deposit(10_000, "D-1")
    vault.at(NEXT_MORNING)
    assert vault.tie_out(DAY).why == "ties_out"
    assert (vault.has(TRANSIT), vault.has("unclaimed:CNY")) == (10_000, 0)
    with vault.database.reading() as connection:
        (attempt,) = orders.read(connection, order.id).attempts
    known = evidence.Report(attempt.id, evidence.Source.QUERY, Finding(said=Said.SUCCEEDED))
    vault.database.transact(lambda unit: evidence.report(unit, [known]))
    assert vault.has(TRANSIT) == 0
    assert open_cases(vault, "payments.custody_line") == 0


def test_a_misstated_day_is_fetched_again_until_it_is_corrected(vault: Vault) -> None:
    hands = day.Hands(channels=vault.desk, payees=vault.payees, custodian=vault.bank)

    def why(on: date) -> list[str]:
        return [one.why for one in day.tie_out(vault.database, LIVE, on, hands)]

    vault.script("statement", "misstate", cents=1, times=2)
    vault.deposit(0, "D-0")
    vault.at(NEXT_MORNING)
    assert why(DAY) == ["lines_do_not_add_up"]
    vault.tick(timedelta(days=1))
    assert why(TOMORROW) == ["statement_is_missing"]
    assert stop(vault) is not None
    vault.tick(timedelta(days=1))
    assert why(TOMORROW + timedelta(days=1)) == ["ties_out"]
    assert stop(vault) is None
