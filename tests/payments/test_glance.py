"""Payments at a glance, as the live page shows them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from steelyard.base import Database, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.base.http import Platform
from steelyard.kernel import SteppingClock
from steelyard.payments import glance, orders
from steelyard.payments.model.breaker import BreakerState, OpenedBy
from steelyard.payments.model.channel import Capability, Method, Stage
from steelyard.payments.service import channel_desk
from steelyard.payments.service.paying import Pay
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import health
from steelyard.web.live.source import DoorSource
from tests.payments.test_orders import LOST, NO, YES
from tests.payments.till import ScriptedDesk, an_order, paying
from tests.payments.vault import LIVE, Vault
from tests.web.fixture import FakePlatform, settings_of


def pay(database: Database, desk: ScriptedDesk) -> UUID:
    new = an_order()
    database.transact(lambda unit: orders.create(unit, [new]))
    with paying(database, desk) as opened:
        opened.pay(new.id, Pay(attempt=uuid4(), method=Method.WALLET), actor="key:test")
    return new.id


def register(unit: UnitOfWork) -> None:
    new = channel_desk.NewChannel(
        code="scripted",
        mode=LIVE,
        kind="uni",
        name="scripted",
        capability=Capability(methods=(Method.WALLET,)),
        secrets={"address": "http://tin", "merchant": "M", "key": "k", "their_key": "k"},
        stage=Stage.LIVE,
    )
    channel_desk.register_channel(unit, Keyring.for_tests(), new)


def test_the_page_shows_how_payments_stand(database: Database, clock: SteppingClock) -> None:
    platform: Platform = FakePlatform(settings_of(), database=database)  # type: ignore[assignment]
    assert DoorSource(platform).look({}).paying is None
    vault = Vault(database, clock)
    database.transact(register)
    vault.pay(5_000)
    clock.advance(timedelta(hours=2))
    said = iter((YES, LOST, NO))
    vault.desk.channel.paid = lambda asked: next(said)
    for _ in range(3):
        pay(database, vault.desk)
    row = health.BreakerRow(
        channel="scripted",
        method=Method.WALLET,
        state=BreakerState.OPEN,
        version=0,
        opened_by=OpenedBy.TRAFFIC,
        trips=1,
        since=clock.now(),
        until=clock.now() + timedelta(minutes=1),
    )
    database.transact(lambda unit: health.write_breaker(unit.connection, row))
    shown = DoorSource(platform).look({}).paying
    assert shown is not None
    own, scripted = shown.channels
    assert (own.channel, own.tried, own.stage) == ("balance", 0, None)
    assert (scripted.tried, scripted.succeeded, scripted.unknown) == (3, 1, 1)
    assert (scripted.breaker, scripted.stage) == ("open", "live")
    assert (shown.tried, shown.success_share, shown.unknown) == (3, 0.5, 1)
    assert shown.tie_outs == []


def test_nothing_tried_has_no_share(database: Database, clock: SteppingClock) -> None:
    Vault(database, clock)
    with database.reading() as connection:
        now = glance.look(connection, clock.now())
    assert now is not None
    assert (now.tried, now.success_share, now.unknown) == (0, None, 0)


def test_an_order_ends_although_its_attempt_is_claimed_in_between(
    database: Database, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks channels claims attempts without their orders: the end has to read them locked."""
    vault = Vault(database, clock)
    vault.desk.channel.paid = lambda asked: LOST
    order = pay(database, vault.desk)
    clock.advance(timedelta(hours=2))
    read = attempts_table.of_order

    def read_and_lose(connection: object, of: UUID) -> object:
        found = read(connection, of)  # type: ignore[arg-type]
        database.transact(
            lambda unit: unit.execute(
                "UPDATE payments.attempt SET version = version + 1 WHERE order_id = :of", of=of
            )
        )
        return found

    with monkeypatch.context() as patch:
        patch.setattr(attempts_table, "of_order", read_and_lose)
        assert database.transact(orders.end_due) == 1
    with database.reading() as connection:
        assert orders.read(connection, order).order.state is orders.OrderState.EXPIRING
