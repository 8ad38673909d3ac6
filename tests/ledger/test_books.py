"""Opening, limits, closing of accounts, days and periods; entries, movements, exchanges."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from steelyard.base import Database, read_fact
from steelyard.kernel import Refusal
from steelyard.kernel.currency import UnknownCurrency
from steelyard.kernel.rate import FxRate
from steelyard.kernel.rounding import Rounding
from steelyard.ledger import (
    REFUSALS,
    AccountKind,
    BookReader,
    Funds,
    Heading,
    Kind,
    Leg,
    NewAccount,
    Outcome,
    TransferPosted,
    accepted,
    accounts_of,
    between_books,
    books,
    close_account,
    close_day,
    close_period,
    entry,
    entry_of,
    exchange,
    expire_holds,
    open_accounts,
    open_book,
    post,
    reverse,
    set_limits,
)
from steelyard.ledger.model import refusals
from tests.ledger.town import (
    ACCOUNTS,
    ALICE,
    BANK,
    BOB,
    CAUSE,
    DAY,
    FEES,
    balance,
    hold,
    is_sound,
    open_town,
    outcomes,
    put,
    resolve,
    transfer,
)


def facts_of(database: Database) -> list[Any]:
    with database.reading() as connection:
        rows = connection.exec_driver_sql(
            "SELECT kind, version, payload::text, subject, actor FROM events.log ORDER BY sequence"
        )
        return [(read_fact(kind, version, text), *rest) for kind, version, text, *rest in rows]


def test_a_book_is_opened_once(database: Database) -> None:
    with database.unit_of_work() as uow:
        book = open_book(uow, "town", name="Town", funds=Funds.OWN, business_on=DAY)
        again = open_book(uow, "town", name="Town", funds=Funds.OWN, business_on=date(2030, 1, 1))
    assert book == again
    assert book.business_on == DAY
    with database.reading() as connection:
        assert books(connection) == (book,)
    assert [fact.kind for fact, *_ in facts_of(database)] == ["ledger.BookOpened"]
    with pytest.raises(refusals.BookExists), database.unit_of_work() as uow:
        open_book(uow, "town", name="Town", funds=Funds.CLIENT, business_on=DAY)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("id", {"book": "Town"}),
        ("id", {"book": "x" * 41}),
        ("name", {"name": " "}),
        ("name", {"name": "a\0b"}),
        ("timezone", {"timezone": "U\0TC"}),
        ("business_on", {"business_on": date(9999, 12, 31)}),
        ("timezone", {"timezone": "Mars/Olympus"}),
        ("timezone", {"timezone": "../etc/passwd"}),
    ],
)
def test_a_malformed_book_is_refused(database: Database, field: str, change: Any) -> None:
    values = {"book": "town", "name": "Town", "funds": Funds.OWN, "business_on": DAY} | change
    with pytest.raises(refusals.BookIsMalformed) as refused, database.unit_of_work() as uow:
        open_book(uow, values.pop("book"), **values)
    assert refused.value.facts["field"] == field


def test_accounts_are_numbered_on_and_opened_once(database: Database) -> None:
    assert open_town(database) == (1, 2, 3, 4)
    mine = NewAccount(
        code="wallet:carol",
        currency="CNY",
        kind=AccountKind.LIABILITY,
        owner="party:7",
        metadata={"tier": "gold"},
    )
    with database.unit_of_work() as uow:
        assert open_accounts(uow, "town", (ACCOUNTS[1], mine, mine), cause="test@1") == (2, 5, 5)
    with database.reading() as connection:
        (found,) = accounts_of(connection, "party:7")
        assert (found.id, found.metadata) == (5, {"tier": "gold"})
        assert [a.id for a in BookReader(connection, "town").accounts(limit=3).items] == [1, 2, 3]
    opened = [fact.account for fact, *_ in facts_of(database) if "AccountOpened" in fact.kind]
    assert opened == [1, 2, 3, 4, 5]
    other = NewAccount(code="wallet:carol", currency="USD", kind=AccountKind.LIABILITY)
    with pytest.raises(refusals.AccountExists), database.unit_of_work() as uow:
        open_accounts(uow, "town", [other], cause="test@1")


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"code": "17"}, refusals.AccountIsMalformed),
        ({"code": "a b"}, refusals.AccountIsMalformed),
        ({"code": "x" * 121}, refusals.AccountIsMalformed),
        ({"currency": "XXX"}, UnknownCurrency),
        ({"owner": "Party 7"}, refusals.AccountIsMalformed),
        ({"debit_limit": -1}, refusals.AccountIsMalformed),
        ({"mirrors": "Other"}, refusals.AccountIsMalformed),
        ({"mirrors": "nowhere"}, refusals.BookNotFound),
        ({"metadata": {"A": 1}}, refusals.AccountIsMalformed),
        ({"metadata": {"mobile": "x"}}, refusals.PersonalData),
    ],
)
def test_a_malformed_account_is_refused(
    database: Database, change: Any, refused: type[Refusal]
) -> None:
    open_town(database)
    values = {"code": "x", "currency": "CNY", "kind": AccountKind.ASSET} | change
    with pytest.raises(refused), database.unit_of_work() as uow:
        open_accounts(uow, "town", [NewAccount(**values)], cause="test@1")


def test_client_funds_cannot_be_earned(database: Database) -> None:
    open_town(database, "client", funds=Funds.CLIENT, accounts=ACCOUNTS[:3])
    with pytest.raises(refusals.ClientFundsCannotBeEarned), database.unit_of_work() as uow:
        open_accounts(uow, "client", [ACCOUNTS[3]], cause="test@1")


def test_limits_keep_their_history_and_stay_over_what_is_used(database: Database) -> None:
    open_town(database)
    put(database, transfer(BANK, ALICE, 100))
    with database.unit_of_work() as uow:
        set_limits(uow, "town", ALICE, debit_limit=50, credit_limit=100, cause="approval.9@1")
        set_limits(uow, "town", ALICE, debit_limit=50, credit_limit=100, cause="approval.9@1")
    with pytest.raises(refusals.LimitBelowUse) as refused, database.unit_of_work() as uow:
        set_limits(uow, "town", ALICE, debit_limit=0, credit_limit=99, cause="test@1")
    assert refused.value.facts["used"] == 100
    assert outcomes(put(database, transfer(ALICE, BOB, 150), transfer(ALICE, BOB, 1))) == [
        "created",
        "exceeds_debit_limit",
    ]
    with database.reading() as connection:
        rows = connection.exec_driver_sql(
            "SELECT version, debit_limit, credit_limit, cause FROM ledger.limits"
            " WHERE account = 2 ORDER BY version"
        ).fetchall()
    assert rows == [(0, 0, None, "test@1"), (1, 50, 100, "approval.9@1")]


def test_an_account_is_closed_at_zero_and_for_ever(database: Database) -> None:
    open_town(database)
    put(database, transfer(BANK, ALICE, 10))
    with pytest.raises(refusals.AccountIsNotEmpty), database.unit_of_work() as uow:
        close_account(uow, "town", ALICE, cause="test@1")
    put(database, transfer(ALICE, BANK, 10))
    with database.unit_of_work() as uow:
        close_account(uow, "town", ALICE, cause="test@1")
        close_account(uow, "town", ALICE, cause="test@1")
    assert outcomes(put(database, transfer(BANK, ALICE, 10))) == ["account_closed"]
    with pytest.raises(refusals.AccountClosed), database.unit_of_work() as uow:
        set_limits(uow, "town", ALICE, debit_limit=9, credit_limit=None, cause="test@1")
    assert [f.kind for f, *_ in facts_of(database)].count("ledger.AccountClosed") == 1


def test_days_and_periods_go_on_and_never_back(database: Database) -> None:
    open_town(database)
    with database.unit_of_work() as uow:
        assert close_day(uow, "town").business_on == date(2026, 3, 3)
        assert close_day(uow, "town", next_on=date(2026, 3, 9)).business_on == date(2026, 3, 9)
        assert close_day(uow, "town", next_on=date(2026, 3, 9)).business_on == date(2026, 3, 9)
        assert close_period(uow, "town", through=date(2026, 3, 8)).closed_through is not None
    for change in (
        lambda uow: close_day(uow, "town", next_on=date(2026, 3, 8)),
        lambda uow: close_period(uow, "town", through=date(2026, 3, 7)),
    ):
        with pytest.raises(refusals.DatesDoNotGoBack), database.unit_of_work() as uow:
            change(uow)
    with pytest.raises(refusals.DateIsOutOfRange), database.unit_of_work() as uow:
        close_day(uow, "town", next_on=date(9999, 12, 31))
    with pytest.raises(refusals.PeriodIsNotOver), database.unit_of_work() as uow:
        close_period(uow, "town", through=date(2026, 3, 9))
    early = transfer(BANK, ALICE, 10, effective_on=date(2026, 3, 8))
    assert outcomes(put(database, early, transfer(BANK, ALICE, 10))) == [
        "period_closed",
        "created",
    ]
    kinds = [fact.kind for fact, *_ in facts_of(database)]
    assert kinds.count("ledger.DayClosed") == 2
    assert kinds.count("ledger.PeriodClosed") == 1


def test_each_created_transfer_is_a_fact_of_the_account_it_debits(database: Database) -> None:
    open_town(database)
    paid = transfer(BANK, ALICE, 10, entry=uuid4(), decision_id=uuid4())
    refused = transfer(ALICE, BOB, 11)
    with database.unit_of_work(actor="party:7") as uow:
        assert outcomes(post(uow, [paid, refused, paid])) == [
            "created",
            "exceeds_debit_limit",
            "exists",
        ]
    ((fact, subject, actor),) = [f for f in facts_of(database) if isinstance(f[0], TransferPosted)]
    assert (subject, actor) == ("account:town/1", "party:7")
    assert (fact.id, fact.amount_minor, fact.cause, fact.transfer_kind) == (
        paid.id,
        10,
        CAUSE,
        "single",
    )
    assert (fact.entry, fact.decision_id, fact.effective_on) == (
        paid.entry,
        paid.decision_id,
        DAY,
    )


def test_a_refusal_in_the_unit_of_work_leaves_nothing(database: Database) -> None:
    open_town(database)
    with pytest.raises(refusals.ExceedsDebitLimit) as refused, database.unit_of_work() as uow:
        accepted(post(uow, [transfer(BANK, ALICE, 10), transfer(ALICE, BOB, 11)]))
    assert "wallet:alice" in refused.value.sentence("zh-CN")
    assert balance(database, ALICE) == 0


def test_every_answer_that_is_no_has_a_refusal_in_both_languages() -> None:
    assert set(REFUSALS) == {outcome for outcome in Outcome if not outcome.is_accepted}
    for kind in REFUSALS.values():
        shown = kind(id="7", about="x")
        assert "?" not in shown.sentence("en") + shown.sentence("zh-CN")


def test_an_entry_of_many_legs_is_all_or_nothing(database: Database) -> None:
    open_town(database)
    put(database, transfer(BANK, ALICE, 1000))
    heading = Heading(entry=uuid4(), book="town", currency="CNY", cause="rule.fee@1")
    legs = [Leg(ALICE, debit_minor=1000), Leg(BOB, credit_minor=994), Leg(FEES, credit_minor=6)]
    chain = entry(heading, legs)
    assert outcomes(put(database, *chain)) == ["created", "created"]
    assert outcomes(put(database, *chain)) == ["exists", "exists"]
    with database.reading() as connection:
        found = entry_of(connection, heading.entry)
        assert [(m.debit_code, m.credit_code, m.amount_minor) for m in found] == [
            (ALICE, BOB, 994),
            (ALICE, FEES, 6),
        ]
    more = Heading(entry=uuid4(), book="town", currency="CNY", cause="rule.fee@1")
    again = entry(more, [Leg(BOB, debit_minor=995), Leg(ALICE, credit_minor=995)])
    assert outcomes(put(database, *again)) == ["exceeds_debit_limit"]
    for unbalanced in ([Leg(ALICE, 5), Leg(BOB, 0, 4)], [Leg(ALICE, 5, 5)], [Leg(ALICE, -5, -5)]):
        with pytest.raises(refusals.EntryDoesNotBalance):
            entry(heading, unbalanced)


def test_an_entry_is_reversed_whole_and_once(database: Database) -> None:
    open_town(database)
    put(database, transfer(BANK, ALICE, 1000))
    heading = Heading(entry=uuid4(), book="town", currency="CNY", cause="rule.fee@1")
    legs = [Leg(ALICE, debit_minor=1000), Leg(BOB, credit_minor=994), Leg(FEES, credit_minor=6)]
    put(database, *entry(heading, legs))
    with database.unit_of_work() as uow:
        assert outcomes(reverse(uow, "town", heading.entry, cause="approval.1@1")) == [
            "created",
            "created",
        ]
    assert [balance(database, a) for a in (ALICE, BOB, FEES)] == [1000, 0, 0]
    with database.unit_of_work() as uow:
        again = reverse(uow, "town", heading.entry, cause="approval.1@1")
    assert outcomes(again) == ["exists", "exists"]
    with pytest.raises(refusals.OriginalNotFound), database.unit_of_work() as uow:
        reverse(uow, "town", uuid4(), cause="approval.1@1")
    assert is_sound(database)


def test_an_expired_hold_is_swept_once(database: Database, clock: Any) -> None:
    open_town(database)
    put(database, transfer(BANK, ALICE, 100))
    kept = [
        hold(ALICE, BOB, 10, expires_at=clock.at + timedelta(hours=hours)) for hours in (1, 2, 30)
    ]
    put(database, *kept, resolve(Kind.POST, kept[1].id))
    clock.advance(timedelta(hours=3))
    with database.unit_of_work() as uow:
        (answer,) = expire_holds(uow, "town")
        assert answer.record is not None
        assert answer.record.refers_to == kept[0].id
        assert expire_holds(uow, "town") == []
    with database.reading() as connection:
        alice = BookReader(connection, "town").account(ALICE)
    assert (alice.debits_held, alice.spendable_minor) == (10, 80)
    with pytest.raises(refusals.BookNotFound), database.unit_of_work() as uow:
        expire_holds(uow, "nowhere")


def open_both(database: Database) -> None:
    """An own and a client book that face each other."""
    open_town(database, "client", funds=Funds.CLIENT, accounts=ACCOUNTS[:3])
    open_town(
        database,
        accounts=(*ACCOUNTS, NewAccount.mirror("client", currency="CNY", kind=AccountKind.ASSET)),
    )
    with database.unit_of_work() as uow:
        facing = NewAccount.mirror("town", currency="CNY", kind=AccountKind.LIABILITY)
        open_accounts(uow, "client", [facing], cause="test@1")


def test_money_moves_between_books_through_the_mirrors(database: Database) -> None:
    open_both(database)
    put(database, transfer(BANK, ALICE, 1000, book="client"))
    heading = Heading(entry=uuid4(), book="client", currency="CNY", cause="contract.fee@3")
    chain = between_books(heading, "town", debit=ALICE, credit=FEES, amount_minor=15)
    assert outcomes(put(database, *chain)) == ["created", "created"]
    assert outcomes(put(database, *chain)) == ["exists", "exists"]
    assert balance(database, ALICE, "client") == 985
    assert balance(database, FEES) == 15
    assert balance(database, "mirror:client:CNY") == 15
    assert balance(database, "mirror:town:CNY", "client") == 15
    with database.reading() as connection:
        assert [m.book for m in entry_of(connection, heading.entry)] == ["client", "town"]
    assert is_sound(database)
    assert is_sound(database, "client")
    with database.unit_of_work() as uow:
        accepted(reverse(uow, "client", heading.entry, cause="approval.2@1"))
    assert balance(database, ALICE, "client") == 1000
    assert is_sound(database, "client")


def test_a_movement_between_books_needs_both_halves(database: Database) -> None:
    open_both(database)
    put(database, transfer(BANK, ALICE, 1000, book="client"))
    heading = Heading(entry=uuid4(), book="client", currency="CNY", cause="contract.fee@3")
    near, far = between_books(heading, "town", debit=ALICE, credit=FEES, amount_minor=15)
    from dataclasses import replace

    lone = replace(near, linked=False)
    assert outcomes(put(database, lone)) == ["mirror_unmatched"]
    assert outcomes(put(database, near, replace(far, amount_minor=14))) == [
        "linked_failed",
        "mirror_unmatched",
    ]
    assert outcomes(put(database, near, replace(far, credit="no:such"))) == [
        "linked_failed",
        "account_not_found",
    ]
    assert balance(database, ALICE, "client") == 1000


def test_an_exchange_goes_through_the_position_accounts(database: Database) -> None:
    accounts = (
        NewAccount(code=BANK, currency="CNY", kind=AccountKind.ASSET),
        NewAccount(code="wallet:cny", currency="CNY", kind=AccountKind.LIABILITY, debit_limit=0),
        NewAccount(code="wallet:usd", currency="USD", kind=AccountKind.LIABILITY, debit_limit=0),
        NewAccount(code="position:CNY", currency="CNY", kind=AccountKind.EQUITY),
        NewAccount(code="position:USD", currency="USD", kind=AccountKind.EQUITY),
    )
    open_town(database, accounts=accounts)
    put(database, transfer(BANK, "wallet:cny", 100_000))
    rate = FxRate("USD", "CNY", Decimal("7.1234"))

    def sell(sold_minor: int) -> Any:
        heading = Heading(entry=uuid4(), book="town", currency="CNY", cause="quote.fx@1")
        return exchange(
            heading,
            rate,
            Rounding.DOWN,
            debit="wallet:cny",
            credit="wallet:usd",
            sold_minor=sold_minor,
        )

    assert outcomes(put(database, *sell(71_234))) == ["created", "created"]
    assert balance(database, "wallet:usd") == 10_000
    assert outcomes(put(database, *sell(71_234))) == ["exceeds_debit_limit", "linked_failed"]
    with database.reading() as connection:
        reader = BookReader(connection, "town")
        assert [t.currency for t in reader.trial_balance().totals] == ["CNY", "USD"]
        (found, _) = reader.movements(limit=2).items
        assert found.metadata == '{"fx_pair": "USD/CNY", "fx_rate": "7.1234"}'
    assert is_sound(database)


def test_an_id_of_another_book_is_another_id(database: Database) -> None:
    open_town(database)
    open_town(database, "other")
    same = UUID(int=5)
    first = transfer(BANK, ALICE, 10, id=same)
    second = transfer(BANK, ALICE, 20, id=same, book="other")
    assert outcomes(put(database, second, first)) == ["created", "created"]
    assert (balance(database, ALICE), balance(database, ALICE, "other")) == (10, 20)
