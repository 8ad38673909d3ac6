"""The town as a client of the interface: its history, its present, what it survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from steelyard.base import Database, Environment
from steelyard.base.crypto import Keyring
from steelyard.kernel import SteppingClock
from steelyard.ledger import BookReader
from steelyard.simulation import (
    Plan,
    actions_between,
    day,
    found,
    play_history,
    report,
    town,
    truth,
)
from steelyard.simulation.life import Pace, Stopped, TownClient
from steelyard.simulation.life.client import TownWasRefused
from steelyard.simulation.life.present import RESTING, Life
from steelyard.simulation.life.upcoming import Upcoming
from steelyard.simulation.model import CardPayment, Deposit, FraudReport, midnight
from steelyard.simulation.model.schedule import errands, history_spans, live_spans
from steelyard.simulation.model.state import SETTLEMENT

from .conftest import PLAN, PLAYED, REAL, served

OPENS_AT = midnight(PLAN.opens_on)


class Hasty(threading.Event):
    """An event that nobody waits for."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class Killed(BaseException):
    """The process is gone."""


class Wire(httpx.BaseTransport):
    """Carries requests to the servers in turn; a fate can befall each of them.

    A fate is `lost` (never arrives), `unanswered` (arrives, its answer is lost), `busy` and
    `throttled` (503 and 429 by somebody in between), `killed` and `killed_after` (the town dies
    before or after the server has worked), or None.
    """

    def __init__(self, addresses: list[str], fates: Iterator[str | None]) -> None:
        self.addresses = addresses
        self.fates = fates
        self.sent: list[tuple[str, str, bytes]] = []
        self._wire = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        key = request.headers.get("idempotency-key", "")
        self.sent.append((request.url.path, key, request.content))
        fate = next(self.fates, None)
        if fate == "lost":
            raise httpx.ConnectError("lost")
        if fate == "killed":
            raise Killed
        if fate in ("busy", "throttled"):
            return httpx.Response(503 if fate == "busy" else 429, headers={"retry-after": "1"})
        address = httpx.URL(self.addresses[len(self.sent) % len(self.addresses)])
        request.url = request.url.copy_with(host=address.host, port=address.port)
        answer = self._wire.handle_request(request)
        answer.read()
        if fate == "unanswered":
            raise httpx.ReadTimeout("no answer")
        if fate == "killed_after":
            raise Killed
        return answer

    def close(self) -> None:
        self._wire.close()


Wired = Callable[..., tuple[TownClient, Wire]]


@pytest.fixture
def wired() -> Iterator[Wired]:
    """Make clients of some servers, to whose requests some fates befall."""
    with ExitStack() as stack:

        def make(*addresses: str, fates: Iterable[str | None] = ()) -> tuple[TownClient, Wire]:
            wire = Wire(list(addresses), iter(fates))
            http = httpx.Client(base_url="http://town.test", transport=wire)
            return TownClient(stack.enter_context(http), stop=Hasty()), wire

        yield make


def heads(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        return {b: BookReader(connection, b).head().hash for b in ("town", "house")}


def told(database: Database) -> Counter[str]:
    with database.unit_of_work() as unit:
        return Counter(unit.execute("SELECT kind FROM events.log").scalars())


def balanced(database: Database) -> bool:
    with database.reading() as connection:
        readers = [BookReader(connection, book) for book in ("town", "house")]
        return all(r.trial_balance().is_balanced and r.verify().is_sound for r in readers)


Play = Callable[..., Database]


@pytest.fixture
def play(make_world: Callable[[], Database], wired: Wired) -> Play:
    """Play a history on a fresh database, through some servers."""

    def run(plan: Plan = PLAN, *, days: int = 2, servers: int = 1) -> Database:
        database, keyring = make_world(), Keyring.for_tests()
        with ExitStack() as stack:
            opened = [stack.enter_context(served(database, keyring)) for _ in range(servers)]
            caller, _ = wired(*(address for address, _ in opened))
            play_history(caller, plan, days=days)
        return database

    return run


# History


def test_the_same_seed_gives_the_same_books_to_the_hash(play: Play) -> None:
    one, two = play(days=4), play(days=4, servers=2)
    assert heads(one) == heads(two)
    assert told(one) == told(two)
    assert heads(play(replace(PLAN, seed=PLAN.seed + 1), days=4))["town"] != heads(one)["town"]
    assert balanced(one)


def test_a_history_is_what_the_model_says(played: Database) -> None:
    database = played
    view = town.read_town(database)
    end_at = OPENS_AT + timedelta(days=PLAYED)
    assert view.state.history_done
    assert view.state.played_through == view.clock.now == end_at
    assert view.clock.speed == 0
    acts = list(actions_between(found(PLAN), OPENS_AT, end_at))
    asked = Counter(type(act).__name__ for act in acts)
    facts = told(database)
    made, declined = (facts[f"payments.{w}"] for w in ("PaymentSucceeded", "AttemptDeclined"))
    assert made + declined == asked["CardPayment"] > 100
    assert declined > 0
    assert facts["parties.CustomerRegistered"] == asked["SignUp"] == PLAN.customers
    assert 0 < facts["payments.RefundSucceeded"] <= asked["Refund"]
    with database.reading() as connection:
        book, house = BookReader(connection, "town"), BookReader(connection, "house")
        assert book.book.business_on == PLAN.opens_on + timedelta(days=PLAYED)
        assert house.book.business_on == book.book.business_on
        deposits = sum(act.amount_minor for act in acts if isinstance(act, Deposit))
        funding = PLAN.customers * 5_000_000  # of the lender, lying at the town's bank
        assert book.balance(SETTLEMENT) == deposits + funding
        wallets = [a for a in book.accounts(limit=200).items if a.code.startswith("wallet:")]
        assert min(wallet.balance_minor for wallet in wallets) >= 0


def test_fraud_is_told_when_it_is_reported(played: Database) -> None:
    said = [
        act
        for act in actions_between(found(PLAN), OPENS_AT, OPENS_AT + timedelta(days=PLAYED))
        if isinstance(act, FraudReport)
    ]
    with played.unit_of_work() as unit:
        rows = unit.execute(
            "SELECT subject, occurred_at, payload FROM events.log"
            " WHERE kind = 'simulation.CardPaymentReported' ORDER BY sequence"
        ).all()
    assert said
    assert {(row.subject, row.occurred_at, row.payload["payment"]) for row in rows} == {
        (f"card:{act.card_id}", act.at, str(act.payment_id)) for act in said
    }
    assert all(row.payload["is_fraud"] for row in rows)


def test_facts_bear_the_instant_of_the_action_and_no_label(played: Database) -> None:
    database = played
    people = found(PLAN)
    labels = {
        payment
        for n in range(PLAYED)
        for payment in truth(people, PLAN.opens_on + timedelta(days=n)).scenarios
    }
    payments = {
        act.id: act
        for act in actions_between(people, OPENS_AT, OPENS_AT + timedelta(days=PLAYED))
        if isinstance(act, CardPayment)
    }
    assert labels
    assert labels <= payments.keys()
    with database.unit_of_work() as unit:
        rows = unit.execute(
            "SELECT kind, subject, occurred_at, payload FROM events.log"
            " WHERE kind IN ('payments.PaymentSucceeded', 'payments.AttemptDeclined')"
        ).all()
    assert len(rows) == len(payments)
    shapes = set()
    for row in rows:
        act = next(a for i, a in payments.items() if str(i) == row.payload["attempt"])
        assert row.occurred_at == act.at
        assert row.subject == f"payment:{row.payload['payment']}"
        assert row.payload["card"] == str(act.card_id)
        assert row.payload["amount_minor"] == act.amount_minor
        shapes.add((row.kind, tuple(sorted(row.payload))))
    usual = {
        "payment", "attempt", "customer", "card", "account", "merchant", "terminal", "amount_minor",
        "currency", "app", "mode", "order_no", "scenario", "is_online", "channel", "method",
    }  # fmt: skip
    assert {frozenset(keys) - {"reason"} for _, keys in shapes} == {frozenset(usual)}


def test_the_report_counts_what_happened_and_scores_by_the_truth(played: Database) -> None:
    found_out = report.report_town(played)
    facts = told(played)
    assert found_out.days == PLAYED
    assert found_out.payments == sum(
        facts[f"payments.{w}"] for w in ("PaymentSucceeded", "AttemptDeclined")
    )
    assert found_out.declined == facts["payments.AttemptDeclined"]
    assert found_out.customers == PLAN.customers
    people = found(PLAN)
    scenarios = Counter(
        scenario
        for n in range(PLAYED)
        for scenario in truth(people, PLAN.opens_on + timedelta(days=n)).scenarios.values()
    )
    assert found_out.fraud == scenarios
    assert scenarios
    for scenario, n in scenarios.items():
        assert found_out.fraud_share(scenario) == n / found_out.payments
    assert {b.book: b.head for b in found_out.books} == heads(played)
    assert all(b.is_sound and b.difference_minor == 0 for b in found_out.books)


def test_a_history_is_played_once(client: httpx.Client, world: Database) -> None:
    seen: list[tuple[int, int]] = []
    first = play_history(client, PLAN, days=2, progress=lambda *n: seen.append(n))
    assert first.days_closed == 2
    assert seen == [(0, 2), (1, 2), (2, 2)]
    before = heads(world), told(world)
    assert play_history(client, PLAN, days=2).actions == 0
    assert play_history(client, PLAN, days=3).actions == 0
    assert (heads(world), told(world)) == before
    with pytest.raises(TownWasRefused, match="town_is_founded_otherwise"):
        play_history(client, replace(PLAN, seed=99), days=2)


def test_unknown_answers_are_asked_for_again_with_the_same_ids(
    make_world: Callable[[], Database], wired: Wired, play: Play
) -> None:
    fates = ("lost", None, "unanswered", "busy", None, "throttled", None)
    database = make_world()
    with served(database, Keyring.for_tests()) as (address, _):
        caller, wire = wired(address, fates=(fates[n % len(fates)] for n in range(10_000)))
        tally = play_history(caller, PLAN, days=2)
    straight = play(days=2)
    assert heads(database) == heads(straight)
    assert told(database) == told(straight)
    assert tally.days_closed == 2
    bodies: dict[tuple[str, str], set[bytes]] = {}
    for path, key, body in wire.sent:
        bodies.setdefault((path, key), set()).add(body)
    assert all(len(of_key) == 1 for of_key in bodies.values())
    assert len(wire.sent) > 1.5 * len(bodies)


@pytest.mark.parametrize("fate", ["killed", "killed_after"])
def test_killed_again_and_again_it_ends_with_the_same_head(
    make_world: Callable[[], Database], wired: Wired, play: Play, fate: str
) -> None:
    """Every life is one request longer than the one before, until it reaches the end."""
    database, deaths = make_world(), 0
    with served(database, Keyring.for_tests()) as (address, _):
        for life in range(3, 60):
            caller, _ = wired(address, fates=[None] * life + [fate])
            try:
                play_history(caller, PLAN, days=2)
                break
            except Killed:
                deaths += 1
        else:
            pytest.fail("it does not get on")
    straight = play(days=2)
    assert deaths > 5
    assert heads(database) == heads(straight)
    assert told(database) == told(straight)


def test_a_server_that_only_fails_is_not_asked_for_ever() -> None:
    class Broken(httpx.BaseTransport):
        asked = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.asked += 1
            return httpx.Response(500, json={"code": "fault", "title": "A fault."})

    broken = Broken()
    with (
        httpx.Client(base_url="http://x", transport=broken) as http,
        pytest.raises(TownWasRefused, match="fault"),
    ):
        play_history(TownClient(http, stop=Hasty()), PLAN, days=1)
    assert broken.asked == 10


def test_who_is_told_to_stop_asks_no_more() -> None:
    stop = Hasty()

    class Deaf(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            stop.set()
            raise httpx.ConnectError("nobody there")

    with (
        httpx.Client(base_url="http://x", transport=Deaf()) as http,
        pytest.raises(Stopped),
    ):
        TownClient(http, stop=stop).get("/v1/simulation/town")


def test_production_knows_no_town(world: Database, keyring: Keyring) -> None:
    with (
        served(world, keyring, Environment.PRODUCTION) as (address, _),
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        with pytest.raises(TownWasRefused, match="refused_in_production"):
            play_history(client, PLAN, days=1)
        at = OPENS_AT.isoformat()
        for path, body in (
            ("clock", {"at": at, "speed": 1}),
            ("progress", {"played_through": at, "playing_through": at}),
            ("payday-close", {"business_on": "2026-01-05"}),
        ):
            answer = client.post(
                f"/v1/simulation/{path}", json=body, headers={"idempotency-key": "k"}
            )
            assert answer.status_code == 403
            assert answer.json()["code"] == "refused_in_production"


# The present


class Present:
    """A town that lives tick by tick, under a real clock moved by hand."""

    def __init__(self, address: str, wired: Wired, real: SteppingClock) -> None:
        self.address = address
        self.wired = wired
        self.real = real
        self.pace = Pace(disk_check_seconds=10)
        self.enter()

    def enter(self, fates: Iterable[str | None] = ()) -> None:
        caller, _ = self.wired(self.address, fates=fates)
        self.life = Life(caller, PLAN, 3600.0, self.pace, timer=self.timer)
        self.life.begin()

    def timer(self) -> float:
        return (self.real.now() - REAL).total_seconds()

    def tick(self, seconds: float = 1) -> None:
        self.real.advance(timedelta(seconds=seconds))
        self.life.tick()


@pytest.fixture
def present(
    played: Database, keyring: Keyring, wired: Wired, real: SteppingClock
) -> Iterator[tuple[Present, Database]]:
    with served(played, keyring) as (address, _):
        yield Present(address, wired, real), played


def payments_between(start_at: datetime, end_at: datetime) -> int:
    acts = actions_between(found(PLAN), start_at, end_at)
    return sum(isinstance(act, CardPayment) for act in acts)


def test_people_act_when_their_instant_comes(present: tuple[Present, Database]) -> None:
    now, database = present
    start_at = OPENS_AT + timedelta(days=PLAYED)
    assert town.read_town(database).clock == town.ClockReading(start_at, 3600)
    before = told(database)
    for _ in range(27):
        now.tick()
    at = start_at + timedelta(hours=27)
    state = town.read_town(database).state
    assert state.playing_through == at
    asked = payments_between(start_at, at)
    after = told(database)
    made = sum(
        after[k] - before[k]
        for k in after
        if k in ("payments.PaymentSucceeded", "payments.AttemptDeclined")
    )
    assert made == asked > 10
    assert now.life.messenger.tally.payments == asked
    with database.reading() as connection:
        assert BookReader(connection, "town").book.business_on == PLAN.opens_on + timedelta(
            days=PLAYED + 1
        )
        assert BookReader(connection, "house").book.business_on == PLAN.opens_on + timedelta(
            days=PLAYED + 1
        )
    with database.unit_of_work() as unit:
        late = unit.execute(
            "SELECT count(*) FROM events.log WHERE occurred_at > recorded_at"
        ).scalar_one()
    assert late == 0
    assert balanced(database)


def test_after_a_crash_the_announced_span_is_sent_again(
    present: tuple[Present, Database],
) -> None:
    now, database = present
    start_at = OPENS_AT + timedelta(days=PLAYED)
    before = told(database)
    deaths = 0
    for life in range(3, 15):
        fate = ("killed", "killed_after")[life % 2]
        try:
            now.enter([None] * life + [fate])
            for _ in range(9):
                now.tick()
        except Killed:
            deaths += 1
    now.enter()
    now.tick(0)
    asked = payments_between(start_at, now.life.played_at)
    after = told(database)
    made = sum(
        after[k] - before[k]
        for k in after
        if k in ("payments.PaymentSucceeded", "payments.AttemptDeclined")
    )
    assert made == asked > 10
    assert balanced(database)


def test_a_long_pause_is_lived_through_quietly(present: tuple[Present, Database]) -> None:
    now, database = present
    start_at = OPENS_AT + timedelta(days=PLAYED)
    before = told(database)
    pause = timedelta(days=40)
    now.tick(pause / timedelta(hours=1))
    end_at = start_at + pause - timedelta(hours=6)
    assert now.life.played_at == end_at
    assert now.life.messenger.tally.payments == now.life.messenger.tally.refunds == 0
    paid = [a for a in actions_between(found(PLAN), start_at, end_at) if isinstance(a, Deposit)]
    assert now.life.messenger.tally.deposits == len(paid) > 12
    after = told(database)
    assert after["ledger.DayClosed"] - before["ledger.DayClosed"] == 3 * 39
    now.tick(0)
    assert now.life.played_at == start_at + pause
    asked = payments_between(end_at, start_at + pause)
    assert now.life.messenger.tally.payments == asked
    assert balanced(database)


def test_a_tick_sends_a_bounded_number_of_actions(present: tuple[Present, Database]) -> None:
    now, _ = present
    now.life.pace = Pace(actions_a_tick=3)
    now.tick(20)
    ticks = 1
    while now.life.played_at < OPENS_AT + timedelta(days=PLAYED, hours=20):
        before = now.life.messenger.tally.actions
        now.tick(0)
        assert now.life.messenger.tally.actions - before <= 3
        ticks += 1
        assert ticks < 100
    assert ticks > 3


def test_the_town_rests_when_the_disk_budget_is_used(present: tuple[Present, Database]) -> None:
    now, database = present
    now.tick()
    now.life.pace = Pace(disk_limit_bytes=1, disk_check_seconds=10)
    now.tick(10)
    view = town.read_town(database)
    assert view.state.resting == RESTING
    assert view.clock.speed == 0
    before = told(database)
    for _ in range(5):
        now.tick(10)
    assert told(database) == before
    assert town.read_town(database).clock.now == view.clock.now
    now.life.pace = Pace(disk_check_seconds=10)
    now.tick(10)
    woken = town.read_town(database)
    assert woken.state.resting is None
    assert woken.clock.speed == 3600
    now.tick(5)
    assert now.life.played_at > view.clock.now


def test_the_town_sleeps_the_more_the_more_it_has_worked(
    present: tuple[Present, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, _ = present
    worked = 0.0
    monkeypatch.setattr("time.process_time", lambda: worked)
    now.life.pace = Pace(tick_seconds=1, cpu_share=0.1)
    now.tick()
    assert now.life.pause() == pytest.approx(1)
    worked = 0.5
    assert now.life.pause() == pytest.approx(5)
    now.real.advance(timedelta(seconds=6))
    assert now.life.pause() == 0


# The process


@contextmanager
def process(address: str, key: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    key.write_text(json.dumps({"key": "ak_test", "secret": "s"}))
    plan = (
        "--customers", str(PLAN.customers), "--terminals", str(PLAN.terminals),
        "--seed", str(PLAN.seed), "--history", "2",
    )  # fmt: skip
    module = [sys.executable, "-m", "steelyard.simulation", "--url", address]
    running = subprocess.Popen(
        [*module, "--key-file", str(key), *plan, *more], stderr=subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait(timeout=20)


def test_a_real_process_is_killed_and_ends_with_the_same_head(
    make_world: Callable[[], Database], play: Play, tmp_path: Path
) -> None:
    database = make_world()
    lives = threading.Event()
    with served(database, Keyring.for_tests()) as (address, platform):
        for last in (12, 25):
            heard = 0

            def kill(request: Any, last: int = last) -> None:
                nonlocal heard
                heard += 1
                if heard == last:
                    os.kill(running.pid, signal.SIGKILL)

            with process(address, tmp_path / "key") as running:
                platform.verifier.heard = kill
                assert running.wait(timeout=60) == -signal.SIGKILL

        def alive(request: Any) -> None:
            # At speed 0 the present never moves: what is written is the history.
            if request.url.path.endswith("/clock"):
                lives.set()

        platform.verifier.heard = alive
        with process(address, tmp_path / "key", "--speed", "0") as running:
            assert lives.wait(60)
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=20) == 0
    straight = play(days=2)
    assert heads(database) == heads(straight)
    assert told(database) == told(straight)


# How days are cut


def test_a_history_is_cut_at_every_sixth_hour_and_goes_on_from_anywhere() -> None:
    spans = list(history_spans(OPENS_AT, OPENS_AT + timedelta(days=2)))
    assert len(spans) == 8
    assert [s.ends_the_day for s in spans].count(True) == 2
    assert all(a.end_at == b.start_at for a, b in pairwise(spans))
    rest = list(history_spans(OPENS_AT + timedelta(hours=7), OPENS_AT + timedelta(days=2)))
    assert rest[0].start_at == OPENS_AT + timedelta(hours=7)
    assert rest[0].end_at == OPENS_AT + timedelta(hours=12)
    assert rest[1:] == spans[2:]


def test_the_present_is_cut_at_midnights_only() -> None:
    start_at, end_at = OPENS_AT + timedelta(hours=23), OPENS_AT + timedelta(hours=30)
    first, second = live_spans(start_at, end_at)
    assert (first.start_at, first.end_at, first.ends_the_day) == (
        start_at, OPENS_AT + timedelta(days=1), True,
    )  # fmt: skip
    assert (second.end_at, second.ends_the_day) == (end_at, False)
    assert not first.is_quiet
    assert all(s.is_quiet for s in live_spans(start_at, start_at + timedelta(days=2)))
    assert len({s.name for s in live_spans(start_at, start_at + timedelta(days=PLAYED + 1))}) == 10
    assert list(live_spans(start_at, start_at)) == []


def test_a_quiet_span_has_deposits_and_no_shopping() -> None:
    acts = day(found(PLAN), date(2026, 1, 16))
    busy, quiet = errands(acts), errands(acts, is_quiet=True)
    assert len(busy.payments) > 3
    assert quiet.payments == quiet.refunds == quiet.reports == ()
    assert quiet.deposits == busy.deposits
    assert sum(len(getattr(busy, field.name)) for field in fields(busy)) == len(acts)


def test_a_quiet_span_has_instalments_and_nobody_borrows() -> None:
    made = found(replace(PLAN, customers=200))
    acts = [a for n in range(40, 50) for a in day(made, PLAN.opens_on + timedelta(days=n))]
    busy, quiet = errands(acts), errands(acts, is_quiet=True)
    assert len(busy.loan_requests) > 0
    assert len(busy.loan_payments) > 0
    assert quiet.loan_requests == quiet.loan_complaints == ()
    assert quiet.loan_payments == busy.loan_payments
    assert sum(len(getattr(busy, field.name)) for field in fields(busy)) == len(acts)


def test_upcoming_is_read_in_order_and_cut_where_it_is_asked() -> None:
    made = found(PLAN)
    end_at = OPENS_AT + timedelta(days=20)
    acts = list(actions_between(made, OPENS_AT, end_at))
    upcoming = Upcoming(made, OPENS_AT)
    at, taken = OPENS_AT, []
    while at < end_at:
        at = upcoming.cut(end_at, most=7)
        some = upcoming.take(at)
        assert len(some) <= 7
        taken += some
    assert taken == acts
    assert len({type(act) for act in taken}) == 6  # nobody has anything to repay yet
