"""Monitoring of merchants: what raises an alert, what it does, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base.http import Caller
from steelyard.kernel import SteppingClock
from steelyard.payments import monitoring
from steelyard.payments.http import monitoring_router
from steelyard.payments.model.monitoring import (
    AlertLevel,
    Figures,
    MerchantRule,
    Reading,
    Seen,
    judge,
    wilson_low,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.store.settlement import open_hold
from tests.house import House
from tests.payments.agency import Agency
from tests.payments.agency import agency as agency
from tests.payments.till import open_shop
from tests.payments.wiring import STAFF, Wire

CALM = Figures(days=28, attempts=2_800, declined=140, paid=2_660, paid_minor=26_600_000,
               night=80, refunded=53, disputed=2, cards_per_device=2)  # fmt: skip
DAY = Figures(days=1, attempts=100, declined=5, paid=95, paid_minor=950_000, night=3, refunded=2,
              cards_per_device=1)  # fmt: skip


def read(rule: MerchantRule, day: Figures, **past: Figures) -> Reading:
    seen = Seen(
        merchant=UUID(int=1),
        mode=Mode.LIVE,
        currency="CNY",
        on=date(2026, 3, 2),
        day=day,
        own=past.get("own", CALM),
        industry=past.get("industry", CALM),
    )
    (found,) = [one for one in judge(seen) if one.rule is rule]
    return found


def test_an_ordinary_day_raises_nothing() -> None:
    for rule in MerchantRule:
        assert read(rule, DAY).level is None, rule


@pytest.mark.parametrize(
    ("rule", "changes", "level"),
    [
        (MerchantRule.REFUND_RATE, {"refunded": 25}, AlertLevel.WATCH),
        (MerchantRule.REFUND_RATE, {"refunded": 60}, AlertLevel.ACT),
        (MerchantRule.DISPUTE_RATE, {"disputed": 3}, AlertLevel.WATCH),
        (MerchantRule.DISPUTE_RATE, {"disputed": 12}, AlertLevel.ACT),
        (MerchantRule.DECLINE_RATE, {"declined": 55}, AlertLevel.WATCH),
        (MerchantRule.NIGHT_SHARE, {"night": 50}, AlertLevel.WATCH),
        (MerchantRule.TICKET_JUMP, {"paid_minor": 4_500_000}, AlertLevel.WATCH),
        (MerchantRule.VOLUME_JUMP, {"paid_minor": 15_000_000}, AlertLevel.ACT),
        (MerchantRule.CARDS_PER_DEVICE, {"cards_per_device": 7}, AlertLevel.WATCH),
        (MerchantRule.CARDS_PER_DEVICE, {"cards_per_device": 30}, AlertLevel.ACT),
    ],
)
def test_each_rule_speaks(rule: MerchantRule, changes: dict[str, int], level: AlertLevel) -> None:
    assert read(rule, replace(DAY, **changes)).level is level


def test_few_payments_prove_nothing_and_a_new_merchant_has_no_jump() -> None:
    few = Figures(days=1, attempts=5, paid=5, paid_minor=50_000, refunded=3)
    assert read(MerchantRule.REFUND_RATE, few).level is None
    big = replace(DAY, paid_minor=95_000_000)
    assert read(MerchantRule.VOLUME_JUMP, big, own=Figures()).level is None
    # What the whole industry does alarms nobody.
    busy = replace(CALM, refunded=800)
    assert read(MerchantRule.REFUND_RATE, replace(DAY, refunded=30), industry=busy).level is None


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_lower_end_lies_below_the_share(count: int, of: int) -> None:
    low = wilson_low(min(count, of), of)
    assert 0 <= low <= (min(count, of) / of if of else 0) + 1e-12


@dataclass
class Watched:
    """Merchants of one trade whose days are written by hand."""

    agency: Agency
    clock: SteppingClock
    merchants: list[UUID]
    on: date

    def sells(self, merchant: UUID, count: int, *, refunded: int = 0, amount: int = 1_000) -> None:
        """Write payments of the middle of the day, and refunds of them."""
        at = datetime(self.on.year, self.on.month, self.on.day, 4, tzinfo=UTC)
        with self.agency.database.engine.begin() as connection:
            rows = [
                {"id": uuid4(), "attempt": uuid4(), "merchant": merchant, "at": at,
                 "amount": amount, "no": f"{merchant.hex[-4:]}-{self.on}-{n}"}
                for n in range(count)
            ]  # fmt: skip
            connection.execute(_ORDERS, rows)
            connection.execute(_ATTEMPTS, rows)
            if refunded:
                connection.execute(_REFUNDS, [row | {"refund": uuid4()} for row in rows[:refunded]])

    def looks(self) -> list[monitoring.Alert]:
        """Judge the day, as the job of the next morning does; then it is the next day."""
        told = monitoring.look(self.agency.database, Mode.LIVE, self.on, is_over=True)
        self.on += timedelta(days=1)
        self.clock.advance(timedelta(days=1))
        return told


_ORDERS = sa.text(
    "INSERT INTO payments.order (id, merchant, app, mode, order_no, amount_minor, currency,"
    " subject, scenario, capture, methods, payer, state, created_at, expires_at, late_success,"
    " most_attempts, paid_by, paid_at, captured_minor, authorized_minor) VALUES (:id, :merchant,"
    " 'app_test', 'live', :no, :amount, 'CNY', 'Tea', 'online', 'automatic', '{}',"
    " '{\"device\": \"d1\"}', 'succeeded', :at, :at, 'refund', 5, :attempt, :at, :amount, :amount)"
)
_ATTEMPTS = sa.text(
    "INSERT INTO payments.attempt (id, order_id, no, channel, method, amount_minor, currency,"
    " state, sent_at, cause, instrument, final_at) VALUES (:attempt, :id, 1, 'scripted', 'card',"
    " :amount, 'CNY', 'succeeded', :at, 'no_policy@0', 'card:1', :at)"
)
_REFUNDS = sa.text(
    "INSERT INTO payments.refund (id, order_id, attempt, merchant, mode, refund_no, amount_minor,"
    " currency, channel, state, asked_at, asked_by, reason, is_automatic, home, final_at)"
    " VALUES (:refund, :id, :attempt, :merchant, 'live', :no, :amount, 'CNY', 'scripted',"
    " 'succeeded', :at, 'key:shop', 'cold', false, 'pending', :at)"
)


@pytest.fixture
def watched(agency: Agency, clock: SteppingClock) -> Watched:
    open_shop(agency.database, merchants=())
    merchants = [agency.taken_on(n, industry="5499") for n in range(2)]
    on = (agency.database.now() + timedelta(hours=8)).date()
    found = Watched(agency, clock, merchants, on)
    for _ in range(8):
        for merchant in merchants:
            found.sells(merchant, 40, refunded=1)
        assert found.looks() == []
    return found


def of_rule(found: list[monitoring.Alert], rule: MerchantRule) -> monitoring.Alert:
    (alert,) = [one for one in found if one.rule is rule]
    return alert


def test_an_alert_opens_acts_and_ends_after_quiet_days(watched: Watched) -> None:
    bad, good = watched.merchants
    database = watched.agency.database
    before = watched.agency.merchant(bad)
    watched.sells(bad, 40, refunded=38)
    watched.sells(good, 40, refunded=1)
    (alert,) = watched.looks()
    assert (alert.merchant, alert.rule, alert.level) == (
        bad,
        MerchantRule.REFUND_RATE,
        AlertLevel.ACT,
    )
    assert set(alert.done) == {"case", "settlements_held", "grade_lowered"}
    assert alert.case is not None
    after = watched.agency.merchant(bad)
    assert after.risk_grade > before.risk_grade
    assert float(str(after.contract["reserve_rate"])) > float(str(before.contract["reserve_rate"]))
    with database.reading() as connection:
        assert open_hold(connection, bad) == "refund_rate"
        assert open_hold(connection, good) is None
    facts = watched.agency.facts(bad)
    assert {"MerchantAlertOpened", "MerchantRiskNoted", "MerchantContractChanged"} <= set(facts)
    # Looked at again, the same day opens nothing a second time, and brings it no nearer its end.
    yesterday = watched.on - timedelta(days=1)
    assert monitoring.look(database, Mode.LIVE, yesterday, is_over=True) == []
    for _ in range(3):
        with database.reading() as connection:
            assert len(monitoring.list_alerts(connection, merchant=bad, is_open=True)) == 1
        watched.sells(bad, 40, refunded=1)
        assert watched.looks() == []
        assert (
            monitoring.look(database, Mode.LIVE, watched.on - timedelta(days=1), is_over=True) == []
        )
    with database.reading() as connection:
        assert monitoring.list_alerts(connection, merchant=bad, is_open=True) == []
        (ended,) = monitoring.list_alerts(connection, merchant=bad)
    assert ended.ended_at is not None
    # What was held is lifted by people, not by the clock.
    with database.reading() as connection:
        assert open_hold(connection, bad) == "refund_rate"


def test_between_the_two_marks_an_alert_neither_ends_nor_opens(watched: Watched) -> None:
    bad = watched.merchants[0]
    watched.sells(bad, 40, refunded=12)
    assert of_rule(watched.looks(), MerchantRule.REFUND_RATE).level is AlertLevel.WATCH
    for _ in range(4):
        watched.sells(bad, 40, refunded=6)
        watched.looks()
    with watched.agency.database.reading() as connection:
        open_now = monitoring.list_alerts(connection, merchant=bad, is_open=True)
    assert [one.quiet for one in open_now if one.rule is MerchantRule.REFUND_RATE] == [0]
    # It became worse: the same alert rises, and now money is held.
    watched.sells(bad, 40, refunded=40)
    raised = of_rule(watched.looks(), MerchantRule.REFUND_RATE)
    assert (raised.id, raised.level) == (open_now[0].id, AlertLevel.ACT)
    assert "settlements_held" in raised.done


def test_by_the_hour_a_jump_is_seen_before_the_day_is_over(watched: Watched) -> None:
    bad = watched.merchants[0]
    watched.sells(bad, 60, amount=50_000)
    told = monitoring.look(watched.agency.database, Mode.LIVE, watched.on, is_over=False)
    assert {one.rule for one in told} == {MerchantRule.TICKET_JUMP, MerchantRule.VOLUME_JUMP}


def test_only_the_house_sees_how_a_merchant_is_watched(watched: Watched) -> None:
    watched.sells(watched.merchants[0], 40, refunded=38)
    watched.looks()
    house = House(watched.agency.database, STAFF)
    wire = Wire(house, monitoring_router)
    assert [one["rule"] for one in wire.get("/monitoring/alerts?is_open=true")["items"]] == [
        "refund_rate"
    ]
    days: Any = wire.get(f"/monitoring/merchants/{watched.merchants[0]}/days")["items"]
    assert (days[0]["paid"], days[0]["refunded"], len(days)) == (40, 38, 9)
    shop = Caller("key:shop", frozenset({"payments.read"}), str(watched.merchants[0]))
    house.caller = shop
    assert wire.get("/monitoring/alerts")["code"] == "not_entitled"
