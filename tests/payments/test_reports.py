"""Reports: what they count, who sees them, how they are written."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database, UnitOfWork
from steelyard.base.http import Caller
from steelyard.cli.payments_reports import write_tables
from steelyard.cli.payments_reports_plots import draw
from steelyard.payments import reports
from steelyard.payments.http import report_router
from steelyard.payments.model.channel import Decline, Finding, Method, PayRequest, Said
from steelyard.payments.model.reports import Moved, ReportName, open_seconds
from steelyard.payments.service import orders, refunds
from steelyard.payments.service.channel_facts import ChannelBreakerMoved
from steelyard.payments.service.paying import Pay
from tests.house import House
from tests.payments.till import (
    OTHER_SHOP,
    SHOP,
    ScriptedChannel,
    ScriptedDesk,
    an_order,
    open_shop,
    paying,
)
from tests.payments.wiring import STAFF, Wire

AT = datetime(2026, 1, 1, tzinfo=UTC)


def answers(request: PayRequest) -> Finding:
    """By the amount: 1 is declined, 2 is lost, the others succeed."""
    if request.amount_minor == 1:
        return Finding(said=Said.DECLINED, decline=Decline.INSUFFICIENT_FUNDS, code="51")
    if request.amount_minor == 2:
        return Finding(said=Said.UNKNOWN, why="timeout")
    told = {"amount_minor": request.amount_minor, "currency": request.currency}
    return Finding(said=Said.SUCCEEDED, fee_minor=3, **told)  # type: ignore[arg-type]


@pytest.fixture
def sold(database: Database) -> Database:
    """A day on which 3 were paid, 2 declined and 1 is unknown; one of them of another shop."""
    open_shop(database)
    desk = ScriptedDesk(ScriptedChannel(paid=answers))
    with paying(database, desk) as opened:
        for amount, merchant in ((100, SHOP), (200, SHOP), (1, SHOP), (2, SHOP), (1, SHOP),
                                 (300, OTHER_SHOP)):  # fmt: skip
            new = an_order(amount_minor=amount, merchant=merchant)
            database.transact(partial(orders.create, news=[new]))
            opened.pay(new.id, Pay(attempt=uuid4(), method=Method.WALLET), actor="party:test")
    return database


def report(database: Database, name: ReportName, **changes: Any) -> list[dict[str, Any]]:
    now = database.now()
    values = {"since": now - timedelta(days=1), "until": now + timedelta(seconds=1)}
    asked = reports.Asked(**{**values, **changes})
    with database.reading() as connection:
        return reports.run(connection, name, asked).as_json()


def test_unknown_is_neither_success_nor_failure(sold: Database) -> None:
    (row,) = report(sold, ReportName.SUCCESS_BY_CHANNEL)
    assert (row["attempts"], row["paid"], row["declined"], row["unknown"]) == (6, 3, 2, 1)
    assert (row["success_rate"], row["paid_minor"]) == (0.6, 600)
    (own,) = report(sold, ReportName.SUCCESS_BY_MERCHANT, merchant=SHOP)
    assert (own["merchant"], own["attempts"], own["success_rate"]) == (str(SHOP), 5, 0.5)
    (hour,) = report(sold, ReportName.SUCCESS_BY_HOUR)
    assert hour["hour"] == (sold.now() + timedelta(hours=8)).hour
    (declined,) = report(sold, ReportName.DECLINES)
    assert (declined["decline"], declined["attempts"], declined["of_channel_rate"]) == (
        "insufficient_funds",
        2,
        1.0,
    )
    assert report(sold, ReportName.SUCCESS_BY_METHOD)[0]["method"] == "wallet"


def test_health_tells_how_long_the_breaker_stood_open(sold: Database) -> None:
    now = sold.now()

    def move(unit: UnitOfWork) -> None:
        for hours, before, after in ((30, "closed", "open"), (23, "open", "closed"),
                                     (2, "closed", "open"), (1, "open", "half_open")):  # fmt: skip
            fact = ChannelBreakerMoved(
                channel="scripted", method="wallet", before=before, after=after, by="traffic"
            )
            at = now - timedelta(hours=hours)
            unit.record(fact, subject="channel:scripted", occurred_at=at)

    sold.transact(move)
    (row,) = report(sold, ReportName.CHANNEL_HEALTH)
    assert (row["breaker_open_seconds"], row["breaker_openings"]) == (3 * 3600.0 + 1, 1)
    assert (row["unknown_now"], row["attempts"]) == (1, 6)


def test_what_channels_cost_is_set_against_what_was_earned(sold: Database) -> None:
    (row,) = report(sold, ReportName.FEES)
    assert (row["earned_minor"], row["cost_minor"], row["margin_minor"]) == (0, 9, -9)


def test_refunds_and_disputes_by_merchant(sold: Database) -> None:
    with sold.reading() as connection:
        paid = connection.execute(
            sa.text("SELECT id FROM payments.order WHERE amount_minor = 100")
        ).scalar_one()
    ask = refunds.NewRefund(
        id=uuid4(), order=UUID(str(paid)), refund_no="R1", amount_minor=40, reason="cold tea"
    )
    sold.transact(lambda unit: refunds.ask(unit, [ask]))
    rows = {row["merchant"]: row for row in report(sold, ReportName.REFUNDS_DISPUTES)}
    assert rows[str(SHOP)]["paid"] == 2
    assert rows[str(SHOP)]["refunds"] == 0  # asked for, and nothing went back yet
    assert rows[str(OTHER_SHOP)]["refund_rate"] == 0.0


def test_every_report_is_there_written_and_drawn(sold: Database, tmp_path: Path) -> None:
    now = sold.now()
    asked = reports.Asked(since=now - timedelta(days=1), until=now + timedelta(seconds=1))
    with sold.reading() as connection:
        tables = reports.every(connection, asked)
        backwards = reports.Asked(since=now, until=now)
        with pytest.raises(reports.ReportPeriodIsMalformed):
            reports.run(connection, ReportName.FEES, backwards)
    assert [table.name for table in tables] == list(ReportName)
    assert write_tables(tables, tmp_path) == len(tables) + 1
    whole = json.loads((tmp_path / "reports.json").read_text())
    with (tmp_path / "success_by_channel.csv").open() as text:
        (row,) = csv.DictReader(text)
    assert row["attempts"] == str(whole["success_by_channel"][0]["attempts"]) == "6"
    assert draw(tables, tmp_path) == len(list(tmp_path.glob("*.png"))) >= 5


def test_a_merchant_sees_its_own_and_no_cost_of_the_house(sold: Database) -> None:
    house = House(sold, STAFF)
    wire = Wire(house, report_router)
    now = sold.now()
    span = {
        "since": (now - timedelta(days=1)).isoformat(),
        "until": (now + timedelta(seconds=1)).isoformat(),
    }
    for name in ReportName:
        answer = wire.request("GET", f"/reports/{name.value}", params=span)
        assert answer.status_code == 200, answer.text
    house.caller = Caller("key:shop", frozenset({"payments.read"}), str(OTHER_SHOP))
    seen = wire.request("GET", "/reports/success_by_merchant", params=span).json()
    assert [row[0] for row in seen["rows"]] == [str(OTHER_SHOP)]
    for path, more in (("fees", {}), ("success_by_merchant", {"merchant": str(SHOP)})):
        answer = wire.request("GET", f"/reports/{path}", params=span | more)
        assert answer.json()["code"] == "not_entitled"


@given(st.lists(st.tuples(st.integers(-100, 200), st.booleans()), max_size=20))
def test_a_breaker_is_never_open_for_longer_than_the_period(moves: list[tuple[int, bool]]) -> None:
    told = [Moved("uni", "card", AT + timedelta(seconds=n), is_open) for n, is_open in moves]
    found = open_seconds(told, AT, AT + timedelta(seconds=100))
    for seconds, openings in found.values():
        assert 0 <= seconds <= 100
        assert openings <= sum(is_open for _, is_open in moves)
