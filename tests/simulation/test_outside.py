"""Channels outside as the town uses them: drawn from the seed, paid through payments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from steelyard.base import NoPolicyGate, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.payments import accounts, channel, channel_desk, orders, paying
from steelyard.simulation import actions_between, found, outside, stream
from steelyard.simulation.life.client import TownClient
from steelyard.simulation.life.errands import Messenger
from steelyard.simulation.life.outside import Outside
from steelyard.simulation.model import CardPayment, midnight
from steelyard.simulation.model.outside import CHANNELS, outage_of, way_of
from steelyard.simulation.model.schedule import errands, live_spans

from .conftest import PLAN
from .test_service import Shopper, shopper

__all__ = ["shopper"]

DAY = date(2026, 1, 20)


def test_ways_follow_from_the_seed() -> None:
    ways = [way_of(stream(1, "way", str(n))) for n in range(4_000)]
    assert ways == [way_of(stream(1, "way", str(n))) for n in range(4_000)]
    gone = [way for way in ways if way.method is not None]
    assert 0.3 < len(gone) / len(ways) < 0.4
    assert {way.method for way in gone} == {m for some in CHANNELS.values() for m in some}
    troubles = Counter(way.trouble[0] for way in gone if way.trouble)
    assert 0.05 < sum(troubles.values()) / len(gone) < 0.11
    assert {"hang", "late", "decline"} <= troubles.keys()
    assert all(way.trouble is None for way in ways if way.method is None)


def test_a_day_has_one_outage_by_day() -> None:
    outages = [outage_of(stream(1, "outage", n), DAY) for n in range(50)]
    assert {one.channel for one in outages} == CHANNELS.keys()
    for one in outages:
        assert timedelta(hours=9) <= one.start_at - midnight(DAY) < timedelta(hours=18)
        assert one.is_on(one.start_at)
        assert not one.is_on(one.end_at)


class Listening:
    """A simulator that hears what it is told, and a platform that accepts everything."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def client(self) -> httpx.Client:
        return httpx.Client(base_url="http://tin", transport=httpx.MockTransport(self))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = msgspec.json.decode(request.content)
        self.told.append((request.url.path, body))
        items = body.get("payments", ()) if isinstance(body, dict) else ()
        answers = [{"id": one["id"], "outcome": "accepted", "reason": None} for one in items]
        return httpx.Response(200, json={"items": answers})


def test_each_payment_goes_one_way_and_trouble_is_scripted_first() -> None:
    town, heard = found(PLAN), Listening()
    at = midnight(DAY)
    acts = list(actions_between(town, at, at + timedelta(hours=20)))
    payments = [one for one in acts if isinstance(one, CardPayment)]
    (span,) = live_spans(at, at + timedelta(hours=20))
    with heard.client() as http:
        messenger = Messenger(TownClient(http), town, Outside(http, PLAN.seed))
        messenger.carry(span, errands(acts))
    sent = {
        path: [one["id"] for told, body in heard.told if told == path for one in body["payments"]]
        for path in ("/v1/simulation/card-payments", "/v1/simulation/channel-payments")
    }
    at_home, gone = sent.values()
    assert sorted(at_home + gone) == sorted(str(one.id) for one in payments)
    assert messenger.tally.outside == len(gone) > 5
    scripted = [rule for path, body in heard.told if path == "/script" for rule in body]
    assert {UUID(rule["number"]) for rule in scripted} <= {UUID(one) for one in gone}
    paths = [path for path, _ in heard.told]
    if scripted:
        assert paths.index("/script") < paths.index("/v1/simulation/channel-payments")


def test_an_outage_begins_and_ends_once_with_the_clock() -> None:
    heard = Listening()
    outage = outage_of(stream(3, "outage", DAY.isoformat()), DAY)
    with heard.client() as http:
        channels = Outside(http, 3)
        for at in (outage.start_at - timedelta(minutes=1), outage.start_at, outage.start_at,
                   outage.end_at, outage.end_at):  # fmt: skip
            channels.keep_time(at, 120.0)
    told = [body for path, body in heard.told if path == "/outage"]
    assert told == [
        {"dialect": outage.channel, "on": True},
        {"dialect": outage.channel, "on": False},
    ]
    assert sum(path == "/clock" for path, _ in heard.told) == 5


class Tin:
    """A channel that answers what it is told to answer."""

    code = "tin"

    def __init__(self, *said: channel.Said) -> None:
        self.said = list(said)
        self.asked: list[channel.PayRequest] = []

    def pay(self, request: channel.PayRequest) -> channel.Finding:
        self.asked.append(request)
        return channel.Finding(said=self.said.pop(0), decline=channel.Decline.DO_NOT_HONOR)

    def query(self, query: channel.Query) -> channel.Finding:
        return channel.Finding(said=channel.Said.SUCCEEDED)

    def refund(self, request: channel.RefundRequest) -> channel.Finding:
        raise AssertionError("nothing is given back here")

    cancel = query

    def parse_notice(self, raw: channel.RawNotice, now: datetime) -> channel.Notice:
        raise AssertionError("it tells nothing")

    def statement(self, on: date) -> None:
        return None


class Straight:
    """Routes everything over the one channel."""

    def route(self, order: orders.Order, how: paying.Pay, now: datetime) -> paying.Routed:
        return paying.Routed("tin")

    def write(self, unit: UnitOfWork, attempts: Sequence[UUID]) -> None:
        """Nothing was chosen."""


def test_what_a_channel_says_is_what_the_town_hears(shopper: Shopper, keyring: Keyring) -> None:
    said = channel.Said
    tin = Tin(said.SUCCEEDED, said.DECLINED, said.UNKNOWN)
    desk = channel_desk.ChannelDesk(shopper.database, keyring)
    desk.add(tin, channel.Capability(methods=(channel.Method.WALLET,)))
    payer = paying.Paying(shopper.database, NoPolicyGate(), desk, Straight())
    bought = [shopper.order(100), shopper.order(200), shopper.order(400)]
    wanted = [(one, channel.Method.WALLET) for one in bought]
    answers = outside.pay_over_channels(shopper.database, payer, wanted)
    assert [(one.outcome.value, one.reason) for one in answers] == [
        ("accepted", None),
        ("declined", "do_not_honor"),
        ("accepted", "unknown"),
    ]
    assert [request.number for request in tin.asked] == [one.id.hex for one in bought]
    assert all(len(request.details["auth_code"]) == 18 for request in tin.asked)
    assert shopper.balance(shopper.account) == 100_000, "it was not paid from the wallet"
    assert shopper.owed() == shopper.balance(accounts.in_transit("tin", "CNY")) == 100
    again = outside.pay_over_channels(shopper.database, payer, wanted[2:])
    assert again[0].reason in (None, "unknown")
    assert len(tin.asked) == 3, "an attempt that was made is asked about, not made again"
    payer.close()


@pytest.mark.parametrize("times", [1, 2])
def test_channels_are_known_by_where_they_are_now(
    shopper: Shopper, keyring: Keyring, times: int
) -> None:
    given = {kind: {"url": f"http://127.0.0.1:{times}"} for kind in CHANNELS}
    for _ in range(times):
        outside.connect(shopper.database, keyring, given)
    desk = channel_desk.ChannelDesk(shopper.database, keyring)
    assert desk.codes(orders.Mode.LIVE) == tuple(sorted(CHANNELS))
    with shopper.database.unit_of_work() as unit:
        shown = unit.execute("SELECT settings::text FROM payments.channel").scalars().all()
    assert not any("127.0.0.1" in text for text in shown), "what it was given is sealed"
