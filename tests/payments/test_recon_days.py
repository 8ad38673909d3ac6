"""Statements of a channel, runs over their days, and what a run makes of the books."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import SteppingClock
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import Attempt, AttemptState, Source
from steelyard.payments.model.breaks import BreakKind
from steelyard.payments.model.channel import Finding, Method, Said
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.recon import DayState, FileState, ItemState, Plan
from steelyard.payments.model.statement_refusals import StatementDoesNotAddUp
from steelyard.payments.model.statements import LineKind, Statement, StatementLine
from steelyard.payments.service import evidence, recon
from steelyard.payments.service.orders import create
from steelyard.payments.store import attempts as attempt_table
from steelyard.payments.store import orders as order_table
from tests.payments.till import SHOP, an_order, balance, open_shop, sum_of_postings

CHANNEL = "uni"
ON = date(2026, 3, 2)
NEXT = ON + timedelta(days=1)
TRANSIT = accounts.in_transit(CHANNEL, "CNY")
CHINA = timedelta(hours=8)


def local(on: date, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """Return an instant by the clock of the channel."""
    return datetime.combine(on, time(hour, minute, second), UTC) - CHINA


@pytest.fixture
def shop(database: Database) -> Database:
    """Books, a merchant, and a plan of the channel's statements."""
    open_shop(database)
    plan = Plan(
        channel=CHANNEL,
        mode=Mode.LIVE,
        starts_on=ON - timedelta(days=1),
        write_off_minor=500,
        tolerance_minor=1,
        budget_minor=5,
    )
    database.transact(lambda unit: recon.set_plan(unit, plan))
    return database


def pay(
    database: Database,
    *,
    at: datetime,
    amount_minor: int = 10_000,
    said: Said | None = Said.SUCCEEDED,
    reference: str | None = None,
) -> Attempt:
    """Let a payment be sent at an instant; `said` None leaves it unknown."""

    def work(unit: UnitOfWork) -> UUID:
        new = an_order(amount_minor=amount_minor)
        made = create(unit, [new])[0]
        order = order_table.lock(unit.connection, [new.id])[new.id]
        assert made is not None
        attempt = Attempt(
            id=unit.new_id(),
            order=order.id,
            no=1,
            channel=CHANNEL,
            method=Method.SCAN,
            amount_minor=amount_minor,
            currency="CNY",
            state=AttemptState.SENT,
            version=1,
            sent_at=at,
            cause="no_policy@0",
        )
        attempt_table.insert(unit.connection, [attempt])
        unit.execute(
            "UPDATE payments.order SET state = 'processing', attempts = 1, version = version + 1"
            " WHERE id = :id",
            id=order.id,
        )
        return attempt.id

    id = database.transact(work)
    finding = Finding(
        said=said or Said.UNKNOWN,
        amount_minor=amount_minor if said is Said.SUCCEEDED else None,
        currency="CNY" if said is Said.SUCCEEDED else None,
        reference=reference,
    )
    report = evidence.Report(id, Source.ANSWER, finding)
    database.transact(lambda unit: evidence.report(unit, [report]))
    with database.reading() as connection:
        return attempt_table.find(connection, [id])[id]


def line(attempt: Attempt | None = None, **changes: Any) -> StatementLine:
    """Return a line as the channel would list a payment."""
    at = changes.pop("at", attempt.sent_at if attempt else local(ON, 12))
    given: dict[str, Any] = {
        "number": 1,
        "kind": LineKind.PAYMENT,
        "amount_minor": attempt.amount_minor if attempt else 10_000,
        "currency": "CNY",
        "booked_at": at,
        "booked_on": (at + CHINA).date(),
        "our_number": attempt.number if attempt else "",
    }
    return StatementLine(**{**given, **changes})


def take(
    database: Database, lines: Sequence[StatementLine], on: date = ON, **changes: Any
) -> recon.Taken:
    """Let a statement come whose balances hold."""
    from dataclasses import replace

    numbered = tuple(replace(one, number=k) for k, one in enumerate(lines, 1))
    moved = sum(one.amount_minor - (one.fee_minor or 0) for one in numbered)
    given: dict[str, Any] = {
        "form": "uni",
        "account": "uni-settle",
        "currency": "CNY",
        "from_on": on,
        "to_on": on,
        "lines": numbered,
        "opening_minor": 5,
        "closing_minor": 5 + moved,
    }
    statement = Statement(**{**given, **changes})
    mark = hashlib.sha256(repr(statement).encode()).digest()
    return recon.take_statements(database, [statement], "x.csv", digest=mark, channel=CHANNEL)[0]


def run(database: Database, on: date = ON) -> recon.Run:
    return recon.run_day(database, CHANNEL, on)


def items(database: Database, **which: Any) -> list[recon.Item]:
    with database.reading() as connection:
        return list(recon.items(connection, **which).items)


def day(database: Database, on: date = ON) -> recon.Day:
    with database.reading() as connection:
        return recon.days(connection, channel=CHANNEL, from_on=on, to_on=on)[0].day


def test_a_day_of_payments_that_agree_is_closed(shop: Database) -> None:
    paid = [pay(shop, at=local(ON, 9 + k)) for k in range(5)]
    taken = take(shop, [line(one) for one in paid])
    assert taken.how is recon.Arrival.FIRST
    assert day(shop).state is DayState.STAGED
    done = run(shop)
    assert (done.no, done.matched, done.stages, done.breaks) == (1, 5, {"exact": 5}, {})
    assert day(shop).state is DayState.CLOSED
    with shop.reading() as connection:
        kept = recon.result(connection, done.id)
        assert recon.word(connection, CHANNEL, ON).opens(0)
    assert sorted(kept["ours_number"].tolist()) == sorted(one.number.encode() for one in paid)
    assert set(kept["theirs_line"].tolist()) == {1, 2, 3, 4, 5}


def test_case_55_cut_off_pair_matches_with_the_next_days_file(shop: Database) -> None:
    late = pay(shop, at=local(ON, 23, 59, 58))
    early = pay(shop, at=local(NEXT, 0, 0, 1))
    take(shop, [line(early, at=local(ON, 23, 59, 59))])
    first = run(shop)
    # Theirs of this day is ours of the next: found by its number. Ours of this day waits.
    assert first.stages == {"cut_off": 1}
    [waiting] = items(shop)
    assert (waiting.kind, waiting.state) == (BreakKind.SHORT, ItemState.SUSPECT)
    assert waiting.suspect_until == ON + timedelta(days=2)
    take(shop, [line(late, at=local(NEXT, 0, 0, 1))], NEXT)
    second = run(shop, NEXT)
    assert (second.stages, second.breaks) == ({"cut_off": 1}, {})
    [closed] = items(shop)
    assert (closed.id, closed.state) == (waiting.id, ItemState.MATCHED)
    assert closed.closed_why == f"run {NEXT} no 1"
    # Each day again finds the same: nobody takes the other day's pair for a repeat.
    assert run(shop, NEXT).digest == second.digest
    assert run(shop).breaks == {}
    assert items(shop, state="open") == []


def test_case_56_a_duplicated_row_is_one_item(shop: Database) -> None:
    paid = pay(shop, at=local(ON, 10))
    take(shop, [line(paid), line(paid)])
    assert run(shop).breaks == {"duplicate": 1}
    [one] = items(shop)
    assert (one.kind, one.difference_minor, one.line) == (BreakKind.DUPLICATE, 10_000, 2)
    # Listed again on the next day, it is a duplicate of a payment that was matched before.
    take(shop, [line(paid, at=local(NEXT, 10))], NEXT)
    assert run(shop, NEXT).breaks == {"duplicate": 1}


def test_case_57_two_equal_amounts_in_a_minute_stay_open(shop: Database) -> None:
    pay(shop, at=local(ON, 10, 0, 1))
    pay(shop, at=local(ON, 10, 0, 30))
    nameless = [line(at=local(ON, 10, 0, s)) for s in (2, 31)]
    take(shop, nameless)
    assert run(shop).breaks == {"short": 2, "bank_only": 2}
    assert {one.state for one in items(shop)} == {ItemState.SUSPECT}


def test_case_58_a_bulk_deposit_is_matched_net_of_fees(shop: Database) -> None:
    paid = [pay(shop, at=local(ON, 9, k), amount_minor=1_000 + k) for k in range(4)]

    def batched(unit: UnitOfWork) -> None:
        unit.execute(
            'UPDATE payments.attempt SET details = \'{"batch": "B77"}\', fee_minor = 5'
            " WHERE id = ANY(:ids)",
            ids=[one.id for one in paid],
        )

    shop.transact(batched)
    total = sum(one.amount_minor for one in paid) - 20
    take(shop, [line(amount_minor=total, batch="B77", at=local(NEXT, 2))], ON)
    done = run(shop)
    assert (done.stages, done.breaks, done.matched) == ({"many_to_one": 1}, {}, 4)


def test_case_59_one_payment_in_two_lines(shop: Database) -> None:
    paid = pay(shop, at=local(ON, 10), amount_minor=9_000)
    take(shop, [line(paid, amount_minor=4_000), line(paid, amount_minor=5_000)])
    done = run(shop)
    assert (done.stages, done.breaks) == ({"one_to_many": 1}, {})


def test_case_62_a_corrected_file_replaces_the_first(shop: Database) -> None:
    paid = [pay(shop, at=local(ON, 9 + k)) for k in range(3)]
    wrong = [line(paid[0]), line(paid[1], amount_minor=9_000)]
    first = take(shop, wrong)
    run_1 = run(shop)
    assert run_1.breaks == {"amount": 1, "short": 1}
    before = {one.number: one for one in items(shop)}
    again = take(shop, wrong)
    assert (again.how, again.file.id) == (recon.Arrival.DUPLICATE, first.file.id)
    corrected = take(shop, [line(paid[2]), *[line(one) for one in paid[:2]]])
    assert (corrected.how, corrected.file.version) == (recon.Arrival.CORRECTED, 2)
    with shop.reading() as connection:
        states = [one.state for one in recon.files(connection, CHANNEL, ON)]
    assert states == [FileState.CORRECTED, FileState.STAGED]
    run_2 = run(shop)
    assert (run_2.no, run_2.breaks) == (2, {})
    after = {one.number: one for one in items(shop)}
    assert {one.state for one in after.values()} == {ItemState.MATCHED}
    assert after.keys() == before.keys()
    # The first run says what it said.
    with shop.reading() as connection:
        kept = recon.runs(connection, CHANNEL, ON)
    assert [(one.no, one.breaks) for one in kept] == [(2, {}), (1, {"amount": 1, "short": 1})]
    assert kept[1].digest == run_1.digest != kept[0].digest


def test_case_66_a_payment_that_they_list_as_failed_is_a_status_break(
    shop: Database, clock: SteppingClock
) -> None:
    failed = pay(shop, at=local(ON, 10))
    missing = pay(shop, at=local(ON, 11))
    take(shop, [line(failed, status="FAILED", amount_minor=10_000)])
    assert run(shop).breaks == {"status": 1, "short": 1}
    assert {one.state for one in items(shop)} == {ItemState.SUSPECT}
    # It is not taken back from the merchant by anybody but people.
    assert balance(shop, accounts.pending(SHOP, "CNY")) == 20_000
    clock.advance(timedelta(days=2))
    recon.age(shop)
    assert {one.state for one in items(shop)} == {ItemState.SUSPECT}
    clock.advance(timedelta(days=1))
    assert recon.age(shop)["aged"] == 2
    assert {one.number: one.kind for one in items(shop, state="break")} == {
        failed.number: BreakKind.STATUS,
        missing.number: BreakKind.SHORT,
    }
    # A file that comes even later closes by itself what it explains.
    take(shop, [line(missing, at=local(ON, 23, 59, 59)), line(failed, at=local(NEXT, 1))], NEXT)
    run(shop, NEXT)
    left = {one.number: one for one in items(shop)}
    assert left[missing.number].state is ItemState.MATCHED


def test_case_67_a_rerun_gives_the_identical_result(shop: Database) -> None:
    paid = [pay(shop, at=local(ON, 9, k), reference=f"R{k}") for k in range(12)]
    lines = [line(one) for one in paid[:6]]
    lines += [line(paid[6], our_number="", reference="R6"), line(paid[7], amount_minor=1)]
    lines += [line(paid[0]), line(at=local(ON, 20)), line(at=local(ON, 20))]
    take(shop, lines)
    first = run(shop)
    known = {(one.id, one.version, one.state) for one in items(shop)}
    second, third = run(shop), run(shop)
    assert first.digest == second.digest == third.digest
    assert (first.stages, first.breaks) == (second.stages, second.breaks)
    assert {(one.id, one.version, one.state) for one in items(shop)} == known
    assert [first.no, second.no, third.no] == [1, 2, 3]
    with shop.reading() as connection:
        a, b = (recon.result(connection, one.id) for one in (first, second))
    assert all((a[name] == b[name]).all() for name in a)


def test_a_statement_is_evidence_for_a_payment_that_is_unknown(shop: Database) -> None:
    unknown = pay(shop, at=local(ON, 10), said=None)
    assert unknown.state is AttemptState.UNKNOWN
    take(shop, [line(unknown, reference="R9", fee_minor=60)])
    assert run(shop).breaks == {"long": 1}
    with shop.reading() as connection:
        after = attempt_table.find(connection, [unknown.id])[unknown.id]
        told = attempt_table.evidence_about(connection, unknown.id)
    assert (after.state, after.reference, after.fee_minor) == (AttemptState.SUCCEEDED, "R9", 60)
    assert told[-1].source is Source.STATEMENT
    assert balance(shop, accounts.pending(SHOP, "CNY")) == 10_000
    assert [(one.state, one.closed_why) for one in items(shop)] == [(ItemState.CLOSED, "evidence")]
    assert run(shop).breaks == {}
    assert sum_of_postings(shop) == 0


def test_absent_in_two_complete_statements_is_declined(shop: Database) -> None:
    unknown = pay(shop, at=local(ON, 10), said=None)
    take(shop, [])
    assert run(shop).breaks == {"platform_only": 1}
    with shop.reading() as connection:
        assert attempt_table.find(connection, [unknown.id])[unknown.id].state.is_under_way
    take(shop, [], NEXT, opening_minor=None, closing_minor=None, form="export")
    run(shop, NEXT)
    # A file that proves nothing about what it lacks is none of the two.
    with shop.reading() as connection:
        assert attempt_table.find(connection, [unknown.id])[unknown.id].state.is_under_way
    take(shop, [], NEXT)
    run(shop, NEXT)
    with shop.reading() as connection:
        after = attempt_table.find(connection, [unknown.id])[unknown.id]
    assert after.state is AttemptState.DECLINED
    assert [one.closed_why for one in items(shop)] == ["evidence"]


def test_a_statement_that_does_not_add_up_is_refused(shop: Database) -> None:
    with pytest.raises(StatementDoesNotAddUp):
        take(shop, [line()], closing_minor=1)
    assert day(shop).state is DayState.ARRIVED
    with pytest.raises(recon.StatementIsMissing, match="arrived"):
        run(shop)
    with pytest.raises(recon.StatementIsMissing, match="unexpected"):
        run(shop, NEXT)
    assert take(shop, [line()]).file.version == 2
    with shop.reading() as connection:
        states = [one.state for one in recon.files(connection, CHANNEL, ON)]
    assert states == [FileState.CORRECTED, FileState.STAGED]
    assert run(shop).breaks == {"bank_only": 1}


def test_a_file_that_was_half_stored_is_finished_by_the_same_file(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise OSError("power")

    with monkeypatch.context() as patch:
        patch.setattr("steelyard.payments.store.recon_rows.insert_part", fails)
        with pytest.raises(OSError, match="power"):
            take(shop, [line()])
    assert day(shop).state is DayState.VERIFIED
    assert take(shop, [line()]).file.state is FileState.STAGED
    assert day(shop).state is DayState.STAGED


def test_a_day_waits_until_its_last_page_is_there(shop: Database) -> None:
    paid = pay(shop, at=local(ON, 10))
    take(shop, [], page=1, is_last_page=False)
    assert day(shop).state is DayState.INCOMPLETE
    with pytest.raises(recon.StatementIsMissing, match="incomplete"):
        run(shop)
    second = take(shop, [line(paid)], page=2)
    assert second.how is recon.Arrival.ADDED
    assert run(shop).breaks == {}


def test_the_calendar_says_what_is_expected_and_late(shop: Database, clock: SteppingClock) -> None:
    assert shop.transact(lambda unit: recon.expect_days(unit, CHANNEL)) == 2
    assert shop.transact(lambda unit: recon.expect_days(unit, CHANNEL)) == 0
    assert day(shop).state is DayState.EXPECTED
    clock.advance(timedelta(days=1))
    late = shop.transact(recon.mark_late)
    assert [one.on for one in late] == [ON - timedelta(days=1), ON]
    assert day(shop).state is DayState.LATE
    take(shop, [])
    run(shop)
    assert day(shop).state is DayState.CLOSED


def test_fees_and_payouts_in_a_statement_are_summed_up_apart(shop: Database) -> None:
    paid = pay(shop, at=local(ON, 10))
    other = [
        line(kind=LineKind.FEE, amount_minor=-30),
        line(kind=LineKind.FEE, amount_minor=-12),
        line(kind=LineKind.PAYOUT, amount_minor=-9_958),
    ]
    take(shop, [line(paid), *other])
    done = run(shop)
    assert (done.breaks, done.sums) == ({}, {"fee": {"CNY": -42}, "payout": {"CNY": -9_958}})


def test_two_runs_at_once_are_refused(shop: Database) -> None:
    take(shop, [])
    with shop.engine.connect() as other:
        key = {"name": f"payments.recon/{CHANNEL}"}
        other.execute(sa.text("SELECT pg_advisory_lock(hashtextextended(:name, 0))"), key)
        with pytest.raises(recon.ReconIsRunning):
            run(shop)
        other.execute(sa.text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), key)
    assert run(shop).no == 1


def test_everything_that_waits_is_reconciled(shop: Database) -> None:
    take(shop, [])
    take(shop, [], NEXT)
    assert [one.on for one in recon.reconcile(shop)] == [ON, NEXT]
    assert recon.reconcile(shop) == []
