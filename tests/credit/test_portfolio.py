from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg.types.json import Jsonb

from steelyard.base import Database, UnitOfWork
from steelyard.base.http import Caller
from steelyard.credit.model.book import (
    ACTIVE,
    CLOSED,
    WRITTEN_OFF,
    Applications,
    Book,
    Labels,
    month_of,
)
from steelyard.credit.model.classification import Stage
from steelyard.credit.model.ecl import Owing, allowance, exposures
from steelyard.credit.model.estimation import delivered_parameters, estimate_parameters
from steelyard.credit.model.parameters import (
    DEFAULT_BUCKET,
    WHOLE_BOOK,
    parameters_from_json,
    parameters_to_json,
    place,
)
from steelyard.credit.model.portfolio import (
    concentration,
    first_payment_defaults,
    funnel,
    moves,
    names_at_top,
    profit_and_loss,
)
from steelyard.credit.model.portfolio_tables import report
from steelyard.credit.model.risk_refusals import BookIsEmpty, HistoryIsTooShort
from steelyard.credit.model.vintage import vintages, went_bad
from steelyard.credit.service import portfolio, provisioning
from steelyard.credit.service.provisioning import seen_in
from steelyard.credit.store.close import insert_snapshot
from steelyard.parties import approvals
from tests.conftest import Store

JAN = month_of(2026, 1)
NONE = np.zeros(0, np.int64)


def book_of(*lives: tuple[int, list[tuple[int, int, int]]], **fields: object) -> Book:
    """Return a book of loans of 1,000: cohort, and (bucket, state, balance) of each later month."""
    many = len(lives)
    rows = sorted(
        (cohort + n, loan, *month)
        for loan, (cohort, months) in enumerate(lives)
        for n, month in enumerate(months)
    )
    month, loan, bucket, state, balance = (
        np.array([row[n] for row in rows], np.int64) for n in range(5)
    )
    zeros = np.zeros(many, np.int64)
    one = Labels(("one",), zeros)
    made = Book(
        source="a test",
        notes=(),
        as_of_month=int(month.max()),
        cohort=np.array([cohort for cohort, _ in lives], np.int64),
        party=np.arange(many, dtype=np.int64),
        product=one,
        channel=one,
        region=one,
        tier=one,
        principal_minor=zeros + 1_000,
        owed_minor=zeros,
        provision_minor=zeros,
        income_minor=zeros,
        written_off_minor=zeros,
        recovered_minor=zeros,
        first_age=zeros - 1,
        first_late=zeros - 1,
        loan=loan,
        month=month,
        bucket=bucket,
        state=state,
        balance_minor=balance,
        applications=Applications(
            NONE, Labels((), NONE), NONE.astype(bool), NONE.astype(bool), NONE.astype(bool), NONE
        ),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


FINE = (0, ACTIVE, 900)
GOOD = (JAN, [FINE, FINE, FINE, (0, CLOSED, 0)])
CURED = (JAN, [FINE, (4, ACTIVE, 800), FINE, FINE])
LOST = (JAN, [FINE, (1, ACTIVE, 900), (2, ACTIVE, 900), (0, WRITTEN_OFF, 0)])
YOUNG = (JAN + 2, [FINE, (1, ACTIVE, 900)])


def test_a_vintage_keeps_what_went_bad_once() -> None:
    book = book_of(GOOD, CURED, LOST, YOUNG, written_off_minor=np.array([0, 0, 900, 0]))
    assert went_bad(book, DEFAULT_BUCKET).age.tolist() == [-1, 1, 3, -1]
    assert went_bad(book, DEFAULT_BUCKET).owed_minor.tolist() == [0, 800, 900, 0]
    found = vintages(book, bad_bucket=DEFAULT_BUCKET)
    assert found.groups == ("2026-01", "2026-02", "2026-03", "2026-04")
    assert found.loans.tolist() == [3, 0, 1, 0]
    assert found.bad_loans[0].tolist() == [0, 1, 1, 2]
    assert found.bad_minor[0].tolist() == [0, 800, 800, 1_700]
    assert found.bad_loans[2][:2].tolist() == [0, 0]
    assert np.isnan(found.bad_loans[2][2:]).all()
    assert found.share_of_loans[0][3] == pytest.approx(2 / 3)


def test_a_curve_of_several_cohorts_ends_with_the_youngest() -> None:
    book = book_of(GOOD, LOST, YOUNG)
    found = vintages(book, bad_bucket=DEFAULT_BUCKET, by=Labels(("web",), np.zeros(3, np.int64)))
    assert found.bad_loans[0][:2].tolist() == [0, 0]
    assert np.isnan(found.bad_loans[0][2:]).all()


def test_loans_of_the_running_month_stand_in_a_cohort_that_is_not_seen_yet() -> None:
    book = book_of((0, [(0, 1, 900), (0, 1, 800)]), (2, []))
    found = vintages(book, bad_bucket=4)
    assert found.loans.tolist() == [1, 0, 1]
    assert np.isnan(found.bad_loans[2]).all()


def test_moves_are_between_months_that_follow_each_other() -> None:
    found = moves(book_of(GOOD, CURED, LOST, YOUNG))
    closed = DEFAULT_BUCKET + 1
    assert found.months.tolist() == [JAN + 1, JAN + 2, JAN + 3]
    total = found.counts.sum(axis=0)
    assert total[0, 0] == 3  # two steps of the good one, the last of the cured one ...
    assert total[0, closed] == 1
    assert (total[0, 1], total[1, 2], total[2, DEFAULT_BUCKET]) == (2, 1, 1)
    assert total[0, DEFAULT_BUCKET] == 1
    assert total[DEFAULT_BUCKET].sum() == 0  # from default nothing is counted
    assert found.balances.sum(axis=0)[0, closed] == 900


def test_a_month_that_is_missing_is_no_move() -> None:
    book = book_of((JAN, [FINE, FINE, FINE]))
    kept = np.array([0, 2])
    gap = replace(
        book, loan=book.loan[kept], month=book.month[kept], bucket=book.bucket[kept],
        state=book.state[kept], balance_minor=book.balance_minor[kept],
    )  # fmt: skip
    assert moves(gap).counts.sum() == 0


def test_first_payments_that_failed() -> None:
    book = book_of(
        GOOD, CURED, LOST, YOUNG,
        first_age=np.array([60, 60, 60, 20]), first_late=np.array([0, 30, 31, 20]),
    )  # fmt: skip
    (found,) = first_payment_defaults(book, book.channel)
    assert (found.due, found.failed, found.share) == (3, 1, pytest.approx(1 / 3))


def test_profit_and_loss_of_a_cohort() -> None:
    book = book_of(
        (JAN, [(0, ACTIVE, 1_000)] * 11 + [(0, WRITTEN_OFF, 0)]),
        income_minor=np.array([150]), written_off_minor=np.array([1_000]),
        recovered_minor=np.array([400]), provision_minor=np.array([5]),
    )  # fmt: skip
    (found,) = (one for one in profit_and_loss(book, book.cohorts, 1_200) if one.loans)
    # Eleven month ends and the half month before the first: 11.5 months at 1 %.
    assert found.funding_minor == 115
    assert found.result_minor == 150 - 115 - 1_000 + 400 - 5
    assert found.margin == found.result_minor / 1_000


def test_concentration_is_one_over_n_of_equal_parts() -> None:
    book = book_of(
        GOOD, CURED, LOST, YOUNG, owed_minor=np.full(4, 500),
        region=Labels(("north", "south"), np.array([0, 1, 0, 1])),
    )  # fmt: skip
    by_region = concentration(book, "region", book.region)
    assert (by_region.herfindahl, by_region.effective) == (0.5, 2.0)
    assert by_region.parts == (("north", 2, 1_000), ("south", 2, 1_000))
    assert names_at_top(book, 2).herfindahl == 0.25
    assert len(names_at_top(book, 2).parts) == 2


@pytest.fixture(scope="module")
def made_up() -> Book:
    return portfolio.made_up_book(lambda *_: None)


def test_the_report_of_a_made_up_book_adds_up(made_up: Book) -> None:
    book = made_up
    tables = {one.name: one for one in report(book)}
    assert len(tables) == 13
    for name in ("profit_and_loss", "profit_and_loss_by_channel"):
        lent = tables[name].heads.index("lent_minor")
        assert sum(int(row[lent] or 0) for row in tables[name].rows) == book.principal_minor.sum()
    owed = tables["concentration"].heads.index("owed_minor")
    for by in ("product", "region", "tier", "channel"):
        parts = [row for row in tables["concentration"].rows if row[0] == by]
        assert sum(int(row[owed] or 0) for row in parts) == book.owed_minor.sum()
    asked = {one.channel: one for one in funnel(book)}
    assert sum(one.signed for one in asked.values()) == book.loans
    assert all(one.signed <= one.offered <= one.approved <= one.submitted for one in asked.values())
    # The channel that brings most bad loans is seen as such.
    bad = vintages(book, bad_bucket=DEFAULT_BUCKET, by=book.channel)
    worst = bad.groups[int(np.nanargmax(bad.share_of_loans[:, 6]))]
    assert worst == "partner"
    for row in tables["migration"].rows:
        assert row[2] is None or 0 <= row[3] <= row[2] <= row[4] <= 1  # type: ignore[operator]


def test_an_empty_book_has_no_report() -> None:
    nothing = book_of(GOOD)
    rows = ("cohort", "loan", "month", "bucket", "state", "balance_minor")
    empty = replace(nothing, **dict.fromkeys(rows, NONE))
    with pytest.raises(BookIsEmpty):
        report(empty)


# -- risk parameters ------------------------------------------------------------------------------


def test_parameters_of_a_book_come_from_its_moves_and_its_recoveries(made_up: Book) -> None:
    book = made_up
    made = estimate_parameters(seen_in(book), date(2027, 8, 31), version=3)
    segment = made.segment("quick_cash")
    rising = [segment.pd_ppm(bucket) for bucket in range(DEFAULT_BUCKET + 1)]
    assert rising == sorted(rising)
    assert rising[-1] == 1_000_000
    whole = made.segments[WHOLE_BOOK]
    assert made.segment("never_sold") is whole
    for bucket in range(DEFAULT_BUCKET):
        assert segment.low[bucket] <= segment.cumulative[bucket][12] <= segment.high[bucket]
    ended = book.written_off_minor > 0
    back = (book.recovered_minor[ended] / book.written_off_minor[ended]).mean()
    assert segment.lgd / 1e9 == pytest.approx(1 - back, abs=0.02)
    assert segment.defaults == ended.sum()
    assert parameters_from_json(3, parameters_to_json(made)) == made


def test_curves_stand_by_product_and_bucket() -> None:
    made = delivered_parameters()
    curves = made.curves(["a", "b"])
    assert len(curves) == 2 * (DEFAULT_BUCKET + 1)
    assert curves[place(1, 2)] == made.curve("b", 2)
    assert curves[place(1, 99)] == made.curve("b", DEFAULT_BUCKET)
    # In default already the loss of the whole exposure is expected at once.
    assert made.curve("a", DEFAULT_BUCKET).by_month[1] == made.curve("a", 0).impaired


def test_too_few_moves_are_no_estimate() -> None:
    with pytest.raises(HistoryIsTooShort):
        estimate_parameters(seen_in(book_of(GOOD, LOST)), date(2026, 4, 30), version=1)


def test_worse_buckets_are_provided_for_with_more() -> None:
    made = delivered_parameters()
    on = date(2026, 3, 2)
    rows = [Owing(on + timedelta(days=30 * n), 10_000, 100, 0) for n in range(1, 13)]
    exposed = exposures(rows, on)
    found = [
        allowance(exposed, made.curve("quick_cash", bucket), 1_200, stage)
        for bucket, stage in enumerate((Stage.ONE, Stage.ONE, Stage.TWO, Stage.TWO, Stage.THREE))
    ]
    assert found == sorted(found)
    assert found[0] > 0


# -- in the database ------------------------------------------------------------------------------

NAMES = """
disbursed recovered credit refunded received down_payment principal_paid interest_paid
interest_waived fee_paid fee_waived penalty_paid penalty_waived principal_written_off
interest_written_off fee_written_off penalty_written_off
"""
COUNTERS = NAMES.split()


@contextmanager
def owner(store: Store) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(store.conninfo("steelyard_owner")) as connection:
        yield connection


def put_loans(
    store: Store, many: int, *, lost: int = 0, currency: str = "CNY", after: int = 0
) -> None:
    """Write loans and standings as the day close leaves them."""
    at = datetime(2025, 10, 5, 9, tzinfo=UTC)
    pool = 1 if currency == "CNY" else 2
    with owner(store) as connection:
        connection.execute(
            "INSERT INTO credit.lender (currency, book, wallets_book, opened_at)"
            " VALUES (%s, 'lending', 'town', %s) ON CONFLICT DO NOTHING",
            [currency, at],
        )
        connection.execute(
            "INSERT INTO credit.pool (id, product, currency) VALUES (%s, 'quick_cash', %s)"
            " ON CONFLICT DO NOTHING",
            [pool, currency],
        )
        for n in range(many):
            is_lost = n < lost
            totals = {f"{name}_minor": 0 for name in COUNTERS} | {
                "disbursed_minor": 120_000,
                "principal_written_off_minor": 60_000 if is_lost else 0,
                "recovered_minor": 15_000 if is_lost else 0,
            }
            nr = after + n + 1
            connection.execute(
                "INSERT INTO credit.loan (id, nr, party, product, product_version, currency, terms,"
                " wallet_book, wallet_account, state, signed_at)"
                " VALUES (%s, %s, %s, 'quick_cash', 1, %s, %s, 'town', 'w', %s, %s)",
                [uuid4(), nr, uuid4(), currency, Jsonb({"start_on": "2025-10-05"}),
                 "written_off" if is_lost else "active", at],
            )  # fmt: skip
            connection.execute(
                "INSERT INTO credit.standing (nr, pool, state, as_of, events, principal_minor,"
                " interest_settled_minor, interest_earned_minor, penalty_earned_minor,"
                " fee_earned_minor, principal_own_minor, interest_receivable_minor,"
                " penalty_receivable_minor, fee_receivable_minor, overdue_minor, dpd, bucket,"
                " credit_minor, totals) VALUES (%s, %s, %s, '2026-01-31', 1, %s, 0, 5000, 0, 0, %s,"
                " 0, 0, 0, 0, 0, 0, 0, %s)",
                [nr, pool, 2 if is_lost else 1, 0 if is_lost else 90_000, 0 if is_lost else 90_000,
                 Jsonb(totals)],
            )  # fmt: skip


def set_standing(store: Store, nr: int, **columns: int) -> None:
    with owner(store) as connection:
        pairs = ", ".join(f"{name} = %({name})s" for name in columns)
        connection.execute(
            f"UPDATE credit.standing SET {pairs} WHERE nr = %(nr)s", {"nr": nr, **columns}
        )


def keep(database: Database, month_on: date) -> None:
    """Keep a month as the day close does."""
    database.transact(lambda unit: insert_snapshot(unit.driver, [1, 2], 1, 10_000, month_on))


def test_a_month_is_kept_once_and_a_loan_that_ended_stands_in_it_last(
    store: Store, database: Database
) -> None:
    put_loans(store, 3)
    keep(database, date(2025, 10, 31))
    keep(database, date(2025, 10, 31))
    set_standing(store, 1, state=2, principal_minor=0)
    keep(database, date(2025, 11, 30))
    keep(database, date(2025, 12, 31))
    with database.reading() as connection:
        months = portfolio.list_months(connection)
    assert [row["loans"] for row in months] == [3, 3, 2]
    with owner(store) as connection, pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute("DELETE FROM credit.snapshot")


def test_a_book_without_loans_or_months_is_refused(store: Store, database: Database) -> None:
    with database.reading() as connection, pytest.raises(BookIsEmpty):
        portfolio.read_book(connection)
    put_loans(store, 1)
    with database.reading() as connection, pytest.raises(BookIsEmpty):
        portfolio.read_book(connection)


def test_currencies_are_never_added_up(store: Store, database: Database) -> None:
    put_loans(store, 2)
    put_loans(store, 3, currency="EUR", after=2)
    keep(database, date(2025, 10, 31))
    with database.reading() as connection:
        with pytest.raises(portfolio.CurrencyIsNotNamed) as refused:
            portfolio.read_book(connection)
        assert refused.value.facts["currencies"] == "CNY, EUR"
        assert portfolio.read_book(connection, "EUR").loans == 3
        months = portfolio.list_months(connection)
    assert [(row["currency"], row["loans"]) for row in months] == [("CNY", 2), ("EUR", 3)]


def test_the_book_is_read_as_it_stands(store: Store, database: Database) -> None:
    put_loans(store, 4, lost=1)
    for month_on in (date(2025, 10, 31), date(2025, 11, 30)):
        keep(database, month_on)
    with database.reading() as connection:
        book = portfolio.read_book(connection)
    assert book.loans == 4
    assert book.as_of_month == month_of(2025, 11)
    assert book.cohort.tolist() == [month_of(2025, 10)] * 4
    assert book.owed_minor.tolist() == [0, 90_000, 90_000, 90_000]
    assert book.written_off_minor.tolist() == [60_000, 0, 0, 0]
    assert book.recovered_minor.tolist() == [15_000, 0, 0, 0]
    assert book.income_minor.tolist() == [5_000] * 4
    assert book.channel.names == ("missing",)
    assert len(report(book)) == 13


def test_parameters_are_estimated_and_put_in_force_by_two(store: Store, database: Database) -> None:
    put_loans(store, 200, lost=2)
    for month_on in (date(2025, 10, 31), date(2025, 11, 30), date(2025, 12, 31)):
        keep(database, month_on)
    with pytest.raises(HistoryIsTooShort):
        database.transact(provisioning.estimate)
    keep(database, date(2026, 1, 31))
    tried = database.transact(lambda unit: provisioning.estimate(unit, dry_run=True))
    made = database.transact(provisioning.estimate, actor="staff:ann")
    assert (tried, made.version) == (made, 1)
    assert made.segment("quick_cash").defaults == 2
    assert made.as_of == date(2026, 1, 31)
    from_on = date(2026, 2, 1)
    asked = database.transact(
        lambda unit: provisioning.request_adoption(unit, 1, from_on=from_on), actor="staff:ann"
    )

    def adopt(unit: UnitOfWork) -> provisioning.Adoption:
        return provisioning.adopt(unit, 1, from_on=from_on, approval=asked.id)

    with pytest.raises(approvals.ApprovalIsNotOpen):
        database.transact(adopt)
    with database.reading() as connection:
        assert provisioning.in_force(connection, from_on).version == 0
    checker = Caller("staff:bob", frozenset({"credit.approve"}))
    database.transact(
        lambda unit: approvals.approve(unit, asked.id, by=checker, shown_hash=asked.shown_hash),
        actor="staff:bob",
    )
    with pytest.raises(approvals.ApprovalIsForSomethingElse):
        database.transact(
            lambda unit: provisioning.adopt(unit, 1, from_on=date(2026, 1, 1), approval=asked.id)
        )
    database.transact(adopt, actor="staff:ann")
    with database.reading() as connection:
        assert provisioning.in_force(connection, from_on) == made
        assert provisioning.in_force(connection, date(2026, 1, 31)).version == 0
        assert [one.version for one in provisioning.list_adoptions(connection)] == [1]
        with pytest.raises(provisioning.ParametersAreUnknown):
            provisioning.read(connection, 2)
