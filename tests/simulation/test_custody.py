"""The town's reserve at a custodian: opened as the book has it, brought to, paid in, tied out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import pytest

from steelyard.base import Database
from steelyard.kernel import SteppingClock
from steelyard.ledger import BookReader, Transfer, accepted, post
from steelyard.payments import custody_http, day, institution, tieout
from steelyard.simulation import actions_between, custody, found, town
from steelyard.simulation.custodian import Desk, create_custodian
from steelyard.simulation.life.client import TownClient
from steelyard.simulation.life.custody import Custody
from steelyard.simulation.life.errands import Messenger
from steelyard.simulation.life.outside import Outside
from steelyard.simulation.model import Deposit, midnight
from steelyard.simulation.model.actions import DepositKind
from steelyard.simulation.model.custody import ON_THE_WAY, RESERVE
from steelyard.simulation.model.schedule import errands, live_spans
from steelyard.simulation.model.state import BOOK, SETTLEMENT
from tests.payments.vault import InProcess

from .conftest import PLAN
from .test_outside import Listening
from .test_service import Shopper, shopper

__all__ = ["shopper"]

LIVE = institution.Mode.LIVE


@dataclass
class Bank:
    """The custodian in this process, and channels of which one took 12.34 on every day."""

    database: Database
    levers: httpx.Client
    asked: list[str]

    def __post_init__(self) -> None:
        def sums(request: httpx.Request) -> httpx.Response:
            self.asked.append(request.url.params["on"])
            return httpx.Response(200, json={"uni": 1_234, "wechat": -5, "alipay": 0})

        channels = httpx.Client(base_url="http://tin", transport=httpx.MockTransport(sums))
        self.custody = Custody(self.levers, channels)
        self.hands = day.Hands(
            channels=None,  # type: ignore[arg-type]
            payees=None,  # type: ignore[arg-type]
            custodian=custody_http.HttpCustodian("", secret="custodian", client=self.levers),
        )

    def tell(self, path: str, body: Mapping[str, object]) -> None:
        self.levers.post(path, json=dict(body)).raise_for_status()

    def balance(self) -> int:
        found: int = self.levers.get(f"/accounts/{RESERVE}").json()["balance_minor"]
        return found

    def tie_out(self, on: date) -> tieout.TieOut:
        (made,) = day.tie_out(self.database, LIVE, on, self.hands)
        return made


@pytest.fixture
def bank(founded: Database) -> Iterator[Bank]:
    transport = InProcess(create_custodian())
    with httpx.Client(base_url="http://custodian", transport=transport) as levers:
        yield Bank(founded, levers, [])


def held(database: Database) -> int:
    with database.reading() as connection:
        return BookReader(connection, BOOK).balances([SETTLEMENT])[SETTLEMENT]


def a_deposit(amount: int) -> Deposit:
    return Deposit(
        id=uuid4(),
        at=midnight(PLAN.opens_on),
        customer_id=uuid4(),
        account_id=uuid4(),
        amount_minor=amount,
        currency="CNY",
        kind=DepositKind.SALARY,
    )


def top_up(database: Database, bank: Bank, wallet: str, amount: int) -> None:
    """Put money on a wallet as the town does when there is a custodian."""
    deposit = a_deposit(amount)
    transfer = Transfer(
        id=deposit.id,
        book=BOOK,
        cause="rule.town_salary@1",
        debit=ON_THE_WAY,
        credit=wallet,
        amount_minor=amount,
        currency="CNY",
    )
    database.transact(lambda unit: accepted(post(unit, [transfer])))
    bank.custody.bring([deposit])


def test_the_reserve_lies_at_the_custodian_and_ties_out_day_after_day(
    shopper: Shopper, bank: Bank, real: SteppingClock
) -> None:
    database, opened = shopper.database, held(shopper.database)
    custody.open_reserve(database, bank.tell)
    custody.open_reserve(database, bank.tell)
    assert bank.balance() == opened > 0
    first = day.due_on(database, LIVE)
    for n in range(3):
        database.transact(
            lambda unit, n=n: town.set_clock(  # type: ignore[misc]
                database, unit, midnight(first + timedelta(days=n + 1)) + timedelta(hours=9), 0
            )
        )
        bank.custody.keep_time(database.now(), 0)
        top_up(database, bank, shopper.account, 70_000 + n)
        made = bank.tie_out(first + timedelta(days=n))
        assert (made.why, made.difference_minor) == ("ties_out", 0), made
    assert held(database) == opened + 70_000 + 70_001
    assert made.holdings.in_transit == {"top_up": 70_002}
    bank.tell("/movements", {"account": RESERVE, "amount_minor": -1, "reference": "X"})
    later = midnight(first + timedelta(days=4)) + timedelta(hours=9)
    database.transact(lambda unit: town.set_clock(database, unit, later, 0))
    bank.custody.keep_time(later, 0)
    gone = bank.tie_out(first + timedelta(days=3))
    assert (gone.why, gone.difference_minor, gone.stops) == ("reserve_is_off", 1, True)


def test_each_channel_pays_in_what_a_day_came_to_once(bank: Bank) -> None:
    custody.open_reserve(bank.database, bank.tell)
    before = bank.balance()
    on = date(2026, 1, 20)
    bank.custody.pay_in(on)
    assert bank.asked == ["2026-01-18", "2026-01-19", "2026-01-20"]
    assert bank.balance() == before + 3 * 1_234
    bank.custody.pay_in(on + timedelta(days=1))
    assert bank.balance() == before + 4 * 1_234


def test_what_the_custodian_did_not_hear_is_told_again_in_order() -> None:
    heard: list[str] = []
    away = True

    def answer(request: httpx.Request) -> httpx.Response:
        if away:
            return httpx.Response(503)
        if request.url.path == "/movements":
            heard.append(msgspec.json.decode(request.content)["reference"])
        return httpx.Response(200, json={"uni": 5} if request.method == "GET" else {})

    with httpx.Client(base_url="http://tin", transport=httpx.MockTransport(answer)) as http:
        told = Custody(http, http)
        some = [a_deposit(1), a_deposit(2)]
        told.bring(some)
        told.pay_in(date(2026, 1, 20))
        assert heard == []
        away = False
        told.keep_time(midnight(date(2026, 1, 21)), 1.0)
    days = [f"uni-2026-01-{n}" for n in (18, 19, 20)]
    assert heard == [str(some[0].id), str(some[1].id), *days]


def test_money_of_the_present_comes_through_the_custodian_and_no_other() -> None:
    people, heard = found(PLAN), Listening()
    at = midnight(PLAN.opens_on)
    acts = [
        one
        for one in actions_between(people, at, at + timedelta(hours=20))
        if isinstance(one, Deposit)
    ]
    (span,) = live_spans(at, at + timedelta(hours=20))
    with heard.client() as http:
        for kept in (None, Custody(http, http)):
            messenger = Messenger(TownClient(http), people, Outside(http, PLAN.seed, kept))
            messenger.carry(span, errands(acts))
    posted = [body["transfers"] for path, body in heard.told if path.endswith("/transfers")]
    assert [{one["debit"] for one in some} for some in posted] == [{SETTLEMENT}, {ON_THE_WAY}]
    moved = [body for path, body in heard.told if path == "/movements"]
    assert [(one["reference"], one["amount_minor"]) for one in moved] == [
        (str(one.id), one.amount_minor) for one in acts
    ]


def test_a_custodian_that_was_killed_is_still_on_the_day_it_was_told(tmp_path: Path) -> None:
    file = str(tmp_path / "custodian.sqlite")
    at = midnight(date(2026, 2, 3)) + timedelta(hours=1)
    Desk(file).set_clock(at.timestamp(), 1_200.0)
    again = Desk(file)
    assert again.today() == date(2026, 2, 3)
    assert again.clock.now() == at.timestamp()
