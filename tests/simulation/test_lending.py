"""The town's loans: the lender, applications, what is paid, and books that agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from steelyard.base import Database, Environment, NoPolicyGate, Outcome, Verdict
from steelyard.base.crypto import Keyring
from steelyard.base.postgres import Address
from steelyard.credit import books, complaints, glance, loans, origination, underwriting
from steelyard.kernel import Refusal, SteppingClock
from steelyard.ledger import AccountKind, BookReader, NewAccount, close_day, open_accounts
from steelyard.parties import NewCustomer, PersonalField, identity, registry
from steelyard.payments import accounts, institution
from steelyard.simulation import borrowing, found, lending, report, stream, town
from steelyard.simulation.model.people import Person
from steelyard.web.live import DoorSource
from tests.conftest import TEMPLATE
from tests.credit.applicants import PolicyGate, StubBureau
from tests.web.fixture import FakePlatform

from .conftest import PLAN, REAL, cloned, open_world, settings_of

APPROVED = Verdict(Outcome.APPROVE, "no_policy@0")
AT = datetime(2026, 1, 5, 3, tzinfo=UTC)
CUSTOMER = UUID(int=0xC0)
WALLET = f"wallet:{UUID(int=0xA0)}"


def numbers(ruling: tuple[float, float], answer: tuple[float, float]) -> list[int]:
    """The requests for which these lots are drawn: the underwriter's, and the one on the offer."""

    def lot(of: str, number: int) -> float:
        return stream(0, of, str(UUID(int=number))).random()

    return [
        n
        for n in range(1, 300)
        if ruling[0] <= lot("underwriter", n) < ruling[1]
        and answer[0] <= lot("answers-offer", n) < answer[1]
    ]


TAKEN = numbers((0.24, 1), (0.07, 1))
FIRST, SECOND = TAKEN[0], TAKEN[1]
[WAITING, *_] = numbers((0, 0.12), (0.07, 1))
[DOUBTED, *_] = numbers((0.12, 0.24), (0.07, 1))
[LEFT, *_] = numbers((0.24, 1), (0, 0.07))


class Away:
    """An identity provider that does not answer until it is back."""

    name = "away"
    is_back = False

    def __getattr__(self, verb: str) -> Callable[..., identity.ProviderAnswer]:
        found = identity.Finding.PASSED if self.is_back else identity.Finding.UNKNOWN
        return lambda request, **_: identity.ProviderAnswer(request, found)


@dataclass
class Desk:
    """A town with a lender and one customer."""

    database: Database
    keyring: Keyring
    gate: Any = field(default_factory=NoPolicyGate)
    identity: Any = None
    bureau: Any = None

    def order(self, number: int = FIRST, **changes: Any) -> borrowing.LoanOrder:
        values: dict[str, Any] = {
            "id": UUID(int=number),
            "at": AT,
            "customer": CUSTOMER,
            "account": WALLET,
            "product": "quick_cash",
            "amount_minor": 600_000,
            "currency": "CNY",
            "months": 3,
            "income_minor": 1_500_000,
        } | changes
        return borrowing.LoanOrder(**values)

    def apply(self, *orders: borrowing.LoanOrder) -> tuple[borrowing.LoanAnswer, ...]:
        served = borrowing.Desk(
            database=self.database,
            keyring=self.keyring,
            gate=self.gate,
            identity=self.identity,
            credit_bureau=self.bureau,
        )
        return borrowing.apply_for_loans(served, orders)

    def lend(self, number: int = FIRST, **changes: Any) -> borrowing.LoanAnswer:
        [answer] = self.apply(self.order(number, **changes))
        return answer

    def pay(self, request: int = FIRST, number: int = 91, *, repays_all: bool = False) -> Any:
        order = lending.LoanPaymentOrder(
            id=UUID(int=number), request=UUID(int=request), repays_all=repays_all
        )
        [answer] = self.database.transact(lambda unit: lending.pay_loans(unit, [order]))
        return answer

    def application(self, number: int = FIRST) -> origination.Application:
        with self.database.reading() as connection:
            return origination.read(connection, UUID(int=number))

    def facts(self, number: int = FIRST) -> list[str]:
        with self.database.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT kind FROM events.log WHERE subject = %s ORDER BY sequence",
                (f"application:{UUID(int=number)}",),
            )
            return [row.kind.removeprefix("credit.") for row in rows]

    def move_to(self, on: date) -> None:
        def move(unit: Any) -> None:
            for book in ("town", lending.LENDING_BOOK):
                close_day(unit, book, next_on=on)

        self.database.transact(move)

    def wallet(self) -> int:
        with self.database.reading() as connection:
            return -BookReader(connection, "town").balances([WALLET])[WALLET]

    def agrees(self) -> bool:
        with self.database.reading() as connection:
            return books.check(connection).holds


def open_desk(database: Database, keyring: Keyring) -> Desk:
    town.found_town(database, keyring, NoPolicyGate(), PLAN, history_days=7)
    database.transact(lending.open_lender)
    person: Person = found(PLAN).customers[0].person

    def join(unit: Any) -> None:
        told = {
            PersonalField.NAME: person.name,
            PersonalField.ID_NUMBER: person.resident_id,
            PersonalField.PHONE: person.phone,
        }
        new = NewCustomer(told, origin=f"town:customer/{CUSTOMER}", channel="town")
        party = registry.register_customer(unit, keyring, new, verdict=APPROVED).id
        account = NewAccount(
            code=WALLET,
            currency="CNY",
            kind=AccountKind.LIABILITY,
            owner=f"party:{party}",
            debit_limit=0,
        )
        open_accounts(unit, "town", [account], cause="rule.town_wallet@1")

    database.transact(join)
    return Desk(database, keyring)


@pytest.fixture(scope="module")
def desk_template(server: Address) -> Iterator[str]:
    """A database with the town, its lender and the customer, to be cloned."""
    with cloned(server, TEMPLATE) as store:
        database = open_world(store.url, SteppingClock(REAL))
        open_desk(database, Keyring.for_tests())
        database.close()
        yield store.name


@pytest.fixture
def make_desk(
    server: Address, desk_template: str, real: SteppingClock
) -> Iterator[Callable[[], Desk]]:
    with ExitStack() as stack:

        def make() -> Desk:
            store = stack.enter_context(cloned(server, desk_template))
            database = open_world(store.url, real)
            stack.callback(database.close)
            return Desk(database, Keyring.for_tests())

        yield make


@pytest.fixture
def desk(make_desk: Callable[[], Desk]) -> Desk:
    return make_desk()


def test_a_town_from_before_there_were_payments_is_refused_in_words(
    founded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(institution, "find", lambda connection, mode: None)
    with pytest.raises(lending.TownIsOfBefore, match="a new home"):
        founded.transact(lending.open_lender)


def test_a_lender_is_opened_once_and_never_without_a_town(
    desk: Desk, make_world: Callable[[], Database]
) -> None:
    world = desk.database
    with world.reading() as connection:
        head = BookReader(connection, lending.LENDING_BOOK).head().hash
    assert world.transact(lending.open_lender).book == lending.LENDING_BOOK
    with world.reading() as connection:
        assert BookReader(connection, lending.LENDING_BOOK).head().hash == head
    nowhere = make_world()
    with pytest.raises(Refusal, match="town_is_not_founded"):
        nowhere.transact(lending.open_lender)
    desk.database = nowhere
    with pytest.raises(Refusal, match="town_is_not_founded"):
        desk.lend()


# Applications


def test_a_loan_is_applied_for_paid_out_once_and_the_books_agree(desk: Desk) -> None:
    first = desk.lend()
    assert (first.outcome, first.amount_minor, desk.wallet()) == ("granted", 600_000, 600_000)
    assert desk.lend() == first
    assert desk.wallet() == 600_000
    assert desk.agrees()
    assert desk.facts() == [
        "ApplicationSubmitted", "ApplicationReferred", "OfferMade", "ContractSigned"
    ]  # fmt: skip


def test_the_contract_keeps_its_evidence(desk: Desk) -> None:
    desk.lend()
    with desk.database.reading() as connection:
        package = origination.export_evidence(connection, UUID(int=FIRST))
        steps = origination.steps_of(connection, UUID(int=FIRST))
        party = registry.read_party(connection, desk.application().party)
        tried = identity.attempts_of(connection, party.id)
    assert origination.verify_evidence(package).wrong == ()
    assert int(party.level) == 2
    assert {one.provider for one in tried} == {"town"}
    ruled = [one for one in steps if one.actor == borrowing.UNDERWRITER]
    assert [one.detail.get("ruling") for one in ruled][:1] == ["approve"]
    assert {one.actor for one in steps} == {f"party:{party.id}", borrowing.UNDERWRITER}


def test_what_a_person_does_not_get_round_to_waits(desk: Desk) -> None:
    assert desk.lend(WAITING).outcome == "referred"
    assert desk.lend(DOUBTED).reason == "documents_do_not_suffice"
    left = desk.lend(LEFT)
    assert (left.outcome, left.reason) == ("left", "application_is_offered")
    assert desk.wallet() == 0
    with desk.database.reading() as connection:
        assert glance.outcomes(connection) == {"declined": 1, "in_review": 1, "offered": 1}
        assert glance.outcomes(connection, datetime(2030, 1, 1, tzinfo=UTC)) == {}
        assert glance.owed(connection) == ()
    assert desk.pay(WAITING).reason == "loan_is_unknown"


def test_the_policy_and_the_bureau_are_asked_about_all_of_a_batch(desk: Desk) -> None:
    desk.gate, desk.bureau = PolicyGate(desk.database), StubBureau()
    orders = [
        desk.order(n, amount_minor=amount)
        for n, amount in zip(TAKEN, (200_000, 300_000), strict=False)
    ]
    assert [one.outcome for one in desk.apply(*orders)] == ["granted", "granted"]
    application = desk.application()
    assert application.decision is not None
    assert application.checks is not None
    assert application.checks["credit_file"]["found"] == "hit"
    # a report that is still valid is not asked for again
    assert desk.bureau.inquiries == 1
    assert desk.wallet() == 500_000


def test_who_cannot_carry_it_is_told_why_and_gets_less_or_nothing(desk: Desk) -> None:
    assert desk.lend(income_minor=40_000).reason == "income_does_not_carry_it"
    assert desk.facts() == ["ApplicationSubmitted", "ApplicationDeclined"]
    less = desk.lend(SECOND, income_minor=400_000)
    assert less.outcome == "granted"
    assert 100_000 <= less.amount_minor < 600_000
    assert underwriting.adverse_reasons(desk.application(SECOND)) == ("income_does_not_carry_it",)
    assert desk.wallet() == less.amount_minor


def test_who_is_not_known_or_not_proved_gets_nothing(desk: Desk) -> None:
    assert desk.lend(customer=UUID(int=5)).reason == "party_is_unknown"
    assert desk.lend(months=5).reason == "tenor_is_not_offered"
    desk.identity = Away()
    answer = desk.lend()
    assert (answer.outcome, answer.reason) == ("left", "identity_is_not_proved")
    assert desk.lend(SECOND).reason == "identity_is_not_proved"
    desk.identity.is_back = True
    assert desk.lend().outcome == "granted"


def test_what_was_cut_off_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(BaseException):
        pass

    whole = desk.order()
    for verb in ("submit", "check", "conclude", "rule", "accept"):
        group = origination if hasattr(origination, verb) else underwriting
        done = getattr(group, verb)

        def cut(*args: Any, **more: Any) -> Any:
            raise Cut

        with monkeypatch.context() as patch:
            patch.setattr(group, verb, cut)
            with pytest.raises(Cut):
                desk.apply(whole)
        assert getattr(group, verb) is done
    [answer] = desk.apply(whole)
    assert (answer.outcome, desk.wallet()) == ("granted", 600_000)
    with desk.database.reading() as connection:
        assert len(loans.find(connection).items) == 1
    assert desk.agrees()


def test_too_many_are_refused(desk: Desk) -> None:
    with pytest.raises(Refusal, match="too_many_loans"):
        desk.apply(*[desk.order()] * (lending.BATCH + 1))


def test_a_purchase_pays_the_merchant_less_the_subsidy(desk: Desk) -> None:
    merchant = found(PLAN).merchants[0]
    answer = desk.lend(product="merchant_instalments", merchant=merchant.id)
    assert answer.outcome == "granted"
    assert desk.wallet() == 0
    with desk.database.reading() as connection:
        (party,) = registry.find_origins(connection, [f"town:merchant/{merchant.id}"]).values()
        code = accounts.available(party, "CNY")
        got = -BookReader(connection, "town").balances([code])[code]
        [loan] = loans.find(connection, application=UUID(int=FIRST)).items
    assert 500_000 < got < 600_000
    assert (loan.merchant is None, loan.terms.rate) == (False, 0)
    assert desk.agrees()


# Payments


def test_what_is_due_is_paid_on_its_day_and_not_before(desk: Desk) -> None:
    desk.lend()
    assert desk.pay().reason == "nothing_is_owed"
    desk.move_to(date(2026, 2, 5))
    paid = desk.pay()
    assert paid.outcome == "paid"
    assert 200_000 < paid.amount_minor < 210_000
    assert desk.wallet() == 600_000 - paid.amount_minor
    assert desk.pay(number=92).reason == "nothing_is_owed"
    assert desk.agrees()


def test_an_empty_wallet_pays_what_it_has_and_then_nothing(desk: Desk) -> None:
    merchant = found(PLAN).merchants[0]
    desk.lend(product="merchant_instalments", merchant=merchant.id)
    desk.lend(SECOND, amount_minor=100_000, months=12)
    desk.move_to(date(2026, 2, 5))
    assert desk.pay().amount_minor == 100_000
    assert desk.wallet() == 0
    assert desk.pay(number=92).outcome == "declined"
    assert desk.agrees()


def test_everything_is_repaid_early(desk: Desk) -> None:
    desk.lend()
    desk.lend(SECOND)
    desk.move_to(date(2026, 1, 20))
    assert desk.pay(repays_all=True).amount_minor > 600_000
    with desk.database.reading() as connection:
        [loan] = loans.find(connection, application=UUID(int=FIRST)).items
    assert loan.state is loans.LoanState.CLOSED
    assert desk.pay(number=93).outcome == "declined"
    assert desk.agrees()


def test_a_complaint_is_a_matter_with_a_day(desk: Desk) -> None:
    def complain(about: str, request: int = FIRST) -> Any:
        order = lending.ComplaintOrder(
            id=UUID(int=70 + len(about)), request=UUID(int=request), about=about
        )  # fmt: skip
        [answer] = desk.database.transact(lambda unit: lending.complain(unit, [order]))
        return answer

    assert complain("rude_call").reason == "loan_is_unknown"
    desk.lend()
    assert complain("rude_call").outcome == "received"
    assert complain("not_my_loan").outcome == "received"
    with desk.database.reading() as connection:
        found_open = complaints.open_matters(connection)
    assert {one.kind.value for one in found_open} == {"complaint", "repudiation"}
    assert all(one.due_on > one.received_on for one in found_open)


# Books


def test_the_same_requests_give_the_same_books_and_ids(
    make_desk: Callable[[], Desk],
) -> None:
    told = []
    for one in (make_desk(), make_desk()):
        one.lend()
        one.move_to(date(2026, 2, 5))
        one.pay()
        with one.database.reading() as connection:
            offer = origination.offer_of(connection, UUID(int=FIRST))
            head = BookReader(connection, lending.LENDING_BOOK).head().hash
        told.append((head, offer.id, one.application().loan))
    assert told[0] == told[1]


def test_the_report_tells_how_the_loans_stand(desk: Desk) -> None:
    desk.lend()
    told = report.report_town(desk.database).lending
    assert told is not None
    assert (told.loans, told.open, told.outstanding_minor) == (1, 1, 600_000)
    assert (told.overdue_loans, told.overdue_share, told.differences) == (0, 0.0, 0)
    assert told.applications == {"signed": 1}


def test_a_day_of_the_lender_is_closed(desk: Desk) -> None:
    desk.lend()
    midnight = datetime(2026, 1, 5, 16, tzinfo=UTC)
    desk.database.transact(lambda unit: town.set_clock(desk.database, unit, midnight, 0))
    closed = lending.close_lending_day(desk.database, date(2026, 1, 5))
    assert closed.is_closed
    assert lending.close_lending_day(desk.database, date(2026, 1, 5)).is_closed
    assert desk.agrees()
    with desk.database.reading() as connection:
        [owed] = glance.owed(connection)
    assert (owed.currency, owed.loans, owed.late, owed.late_share) == ("CNY", 1, 0, 0.0)


def test_the_live_page_is_told_of_today(desk: Desk) -> None:
    desk.lend()
    desk.lend(DOUBTED)
    platform: Any = FakePlatform(settings_of(Environment.DEVELOPMENT), database=desk.database)
    told = DoorSource(platform).look({}).credit
    assert told is not None
    assert [(one.outstanding, one.loans, one.late_share) for one in told.owed] == [
        ("6000.00", 1, 0.0)
    ]
    today = {one.state: one.times for one in told.applications_today}
    assert today == {"declined": 1, "signed": 1}
    tomorrow = datetime(2026, 1, 5, 16, tzinfo=UTC)
    desk.database.transact(lambda unit: town.set_clock(desk.database, unit, tomorrow, 0))
    later = DoorSource(platform).look({}).credit
    assert later is not None
    assert (later.owed, later.applications_today) == (told.owed, [])
