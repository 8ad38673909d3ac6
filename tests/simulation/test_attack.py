"""Attacks: as they are drawn, as they are carried out, and what is counted of them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from steelyard.cli import attack as attack_command
from steelyard.cli import simulate
from steelyard.simulation import AttackKind, Plan, day, found, stream, truth
from steelyard.simulation import attack as attacks
from steelyard.simulation.life import TownClient
from steelyard.simulation.life.client import TownWasRefused
from steelyard.simulation.life.score import BUCKETS, Score
from steelyard.simulation.model import CardPayment
from steelyard.simulation.model.attacks import (
    Attack,
    Drains,
    Handset,
    Joins,
    Need,
    Pays,
    PaysIn,
    SignsIn,
    draw_attack,
)

TOWN = found(Plan(seed=3, customers=40, terminals=90, opens_on=date(2026, 1, 5)))
STARTS_AT = datetime(2026, 1, 20, 4, tzinfo=UTC)
KINDS = list(AttackKind)

plans = st.builds(
    attacks.AttackPlan,
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**31),
    size=st.integers(1, 30),
    lasts=st.timedeltas(timedelta(minutes=1), timedelta(days=2)),
)


def drawn(plan: attacks.AttackPlan) -> Attack:
    return draw_attack(plan, TOWN, partial(stream, plan.seed))


def plan_of(kind: AttackKind, *, size: int = 8, seed: int = 5) -> attacks.AttackPlan:
    return attacks.AttackPlan(kind=kind, seed=seed, size=size, lasts=attacks.USUAL[kind][1])


# --- as drawn


@settings(max_examples=60, deadline=None)
@given(plan=plans)
def test_an_attack_follows_from_its_plan_in_order_of_time(plan: attacks.AttackPlan) -> None:
    attack = drawn(plan)
    assert attack == drawn(plan)
    after = [step.after for step in attack.steps]
    assert after == sorted(after)
    assert after[0] >= timedelta()
    ids = [step.id for step in attack.steps]
    assert len(set(ids)) == len(ids)
    assert attack.tries == len(attack.steps) - sum(
        isinstance(step, Joins | PaysIn) for step in attack.steps
    )
    for step in attack.steps:
        if isinstance(step, Pays | Drains | PaysIn):
            assert step.amount_minor > 0
    waits = attack.reported_after
    assert waits.keys() == {step.id for step in attack.steps if isinstance(step, Pays)}
    assert all(timedelta(days=1) <= wait <= plan.reports_within for wait in waits.values())


@settings(max_examples=20, deadline=None)
@given(plan=plans)
def test_another_seed_is_another_attack(plan: attacks.AttackPlan) -> None:
    other = attacks.AttackPlan(kind=plan.kind, seed=plan.seed + 1, size=plan.size, lasts=plan.lasts)
    assert {step.id for step in drawn(plan).steps}.isdisjoint(
        step.id for step in drawn(other).steps
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 30))
def test_cards_are_tried_before_they_are_used(seed: int, size: int) -> None:
    attack = drawn(plan_of(AttackKind.CARD_TESTING, size=size, seed=seed))
    tested: set[UUID] = set()
    for step in attack.steps:
        assert isinstance(step, Pays)
        if step.need is Need.NOTHING:
            assert step.amount_minor < 500
            tested.add(step.card_id)
        else:
            assert step.need is Need.CARD_PASSED
            assert step.card_id in tested
            assert step.amount_minor >= 20_000
    assert tested <= {customer.card_id for customer in TOWN.customers}
    assert len(tested) == size
    assert (
        len({s.terminal_id for s in attack.steps if isinstance(s, Pays) and s.need is Need.NOTHING})
        == 1
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 30))
def test_a_ring_has_money_before_it_spends_and_shares_what_it_has(seed: int, size: int) -> None:
    attack = drawn(plan_of(AttackKind.RING, size=size, seed=seed))
    balance: Counter[UUID] = Counter()
    there: set[UUID] = set()
    devices: set[str] = set()
    payees: set[str] = set()
    for step in attack.steps:
        match step:
            case Joins():
                there.add(step.account_id)
            case PaysIn():
                assert step.account_id in there
                balance[step.account_id] += step.amount_minor
            case Pays() | Drains():
                balance[step.account_id] -= step.amount_minor
                assert balance[step.account_id] >= 0
                devices.add(step.handset.device)
                payees |= {step.payee} if isinstance(step, Drains) else set()
            case SignsIn():
                pytest.fail("a ring needs no secrets")
    assert len(there) == size
    assert len(devices) <= max(1, size // 4)
    assert len(payees) == 1


def test_who_takes_accounts_over_drains_only_those() -> None:
    attack = drawn(plan_of(AttackKind.TAKEOVER, size=30))
    got_in: set[UUID] = set()
    for step in attack.steps:
        if isinstance(step, SignsIn):
            got_in |= {step.customer_id} if step.succeeded else set()
        else:
            assert isinstance(step, Pays | Drains)
            assert step.need is Need.SIGNED_IN
            assert step.customer_id in got_in
    assert len(got_in) == 30
    assert attack.beats_step_up < got_in


# --- as counted


def a_payment(after: timedelta, amount_minor: int) -> Pays:
    ids: dict[str, Any] = {
        name: uuid4()
        for name in (
            "id", "customer_id", "account_id", "card_id", "merchant_id", "merchant_account_id",
            "terminal_id",
        )
    }  # fmt: skip
    return Pays(after=after, amount_minor=amount_minor, handset=Handset("d", "192.0.2.1"), **ids)


def said(outcome: str, *reasons: str) -> dict[str, Any]:
    return {"outcome": outcome, "reasons": reasons, "texts": [f"{r}!" for r in reasons]}


def test_a_score_adds_up() -> None:
    attack = drawn(plan_of(AttackKind.CARD_TESTING))
    score = Score(attack, STARTS_AT)
    assert score.attempts == 0
    at = attack.lasts / BUCKETS
    score.note(a_payment(timedelta(), 100), said("approve"), 100)
    score.note(a_payment(at, 200), said("approve"), 0)  # the books refused it
    score.note(a_payment(at, 400), said("decline", "a", "b"), 0)
    score.note(a_payment(attack.lasts, 800), said("review", "b"), 0)
    score.note(a_payment(attack.lasts, 1_600), None, 1_600)
    assert score.attempts == 5
    assert score.outcomes == {"approve": 2, "decline": 1, "review": 1, "not_asked": 1}
    assert (score.passed_minor, score.stopped_minor) == (1_700, 1_200)
    assert [s.attempts for s in score.stretches] == [1, 2, *[0] * (BUCKETS - 3), 2]
    assert sum(s.unfunded for s in score.stretches) == 1
    assert score.first_stop == (at, 2)
    assert score.reasons == {"b": 2, "a": 1}
    assert score.texts == {"a": "a!", "b": "b!"}


def test_what_is_limited_counts_on_both_sides() -> None:
    attack = drawn(plan_of(AttackKind.TAKEOVER))
    score = Score(attack, STARTS_AT)
    drain = next(step for step in attack.steps if isinstance(step, Drains))
    score.note(drain, said("limit"), 100)
    assert score.passed_minor == 100
    assert score.stopped_minor == drain.amount_minor - 100
    assert score.first_stop is None


# --- as carried out


class Platform:
    """A platform in memory: its judge says what becomes of a question, its clock is moved by hand.

    Every answered request moves the clock on by `beat` while it runs.
    """

    def __init__(self, judge: Callable[[str, Mapping[str, Any]], str]) -> None:
        self.judge = judge
        self.now = STARTS_AT
        self.speed = 120.0
        self.beat = timedelta(minutes=2)
        self.decided: list[dict[str, Any]] = []
        self.speeds: list[float] = []
        self.reported: list[dict[str, Any]] = []
        self.joined = 0
        self.paid_in = 0
        self.future = 0
        self.opened: list[dict[str, Any]] = [
            {"kind": "old", "opened_at": (STARTS_AT - timedelta(days=1)).isoformat()}
        ]

    def client(self) -> TownClient:
        http = httpx.Client(base_url="http://town.test", transport=httpx.MockTransport(self.answer))
        return TownClient(http, stop=Hasty())

    def answer(self, request: httpx.Request) -> httpx.Response:
        parts = urlsplit(str(request.url))
        body = json.loads(request.content) if request.content else {}
        if self.speed:
            self.now += self.beat
        name = parts.path.removeprefix("/v1/")
        told = self.route(name, body, parse_qs(parts.query))
        if "code" in told:
            return httpx.Response(422, json=told)
        return httpx.Response(200, json=told)

    def route(self, name: str, body: Any, query: dict[str, list[str]]) -> dict[str, Any]:
        match name.split("/"):
            case ["simulation", "town"]:
                plan = TOWN.plan
                return {
                    "seed": plan.seed,
                    "customers": plan.customers,
                    "terminals": plan.terminals,
                    "opens_on": plan.opens_on.isoformat(),
                    "played_through": self.now.isoformat(),
                    "playing_through": self.now.isoformat(),
                    "clock": {"now": self.now.isoformat(), "speed": self.speed},
                }
            case ["simulation", "clock"]:
                self.speed = body["speed"]
                self.speeds.append(self.speed)
                return {}
            case ["simulation", "card-payments"]:
                return {"items": [self.pay(payment) for payment in body["payments"]]}
            case ["simulation", "card-reports"]:
                self.reported += body["reports"]
                return {}
            case ["decisions"]:
                assert query["scene"] == ["payment"]
                last = int(query.get("cursor", [str(len(self.decided))])[0])
                first = max(0, last - int(query["limit"][0]))
                page = self.decided[first:last][::-1]
                return {"items": page, "next": str(first) if first else None}
            case ["decisions", scene]:
                if self.future:
                    self.future -= 1
                    return {"code": "event_is_from_the_future", "title": "Too early."}
                return said(self.judge(scene, body["fields"])) | {"limit_minor": 500}
            case ["ledger", "books", "town", "accounts", _]:
                return {"owner": f"party:{uuid4()}"}
            case ["ledger", *_]:
                self.paid_in += len(body.get("transfers", ()))
                return {"items": [{"outcome": "created"} for _ in body.get("transfers", ())]}
            case ["parties", "customers"]:
                self.joined += 1
                return {"id": str(uuid4())}
            case ["cases"]:
                return {"items": self.opened[::-1], "next": None}
        raise AssertionError(name)

    def decide(self, payment: Mapping[str, Any]) -> str:
        outcome = self.judge("payment", payment)
        at_ms = int(datetime.fromisoformat(payment["at"]).timestamp() * 1_000)
        event = {"id": payment["id"], "at_ms": at_ms}
        reasons = () if outcome == "approve" else ("too_many_payments",)
        self.decided.append(
            said(outcome, *reasons) | {"number": len(self.decided) + 1, "event": event}
        )
        return outcome

    def pay(self, payment: Mapping[str, Any]) -> dict[str, Any]:
        outcome = self.decide(payment)
        return {"id": payment["id"], "outcome": "accepted" if outcome == "approve" else "declined"}


class Hasty(threading.Event):
    """An event that nobody waits for."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def lenient(scene: str, fields: Mapping[str, Any]) -> str:
    return "approve"


def strict(scene: str, fields: Mapping[str, Any]) -> str:
    return "decline"


def carry(platform: Platform, plan: attacks.AttackPlan, *, reports: bool = True) -> Score:
    raid = attacks.prepare(platform.client(), plan, speed=900.0)
    return attacks.carry_out(raid, lambda score: None, reports=reports)


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_is_refused_everything_is_lost(kind: AttackKind) -> None:
    platform, plan = Platform(lenient), plan_of(kind)
    score = carry(platform, plan)
    steps = drawn(plan).steps
    assert score.skipped == 0
    assert score.attempts == drawn(plan).tries
    assert score.passed_minor == sum(s.amount_minor for s in steps if isinstance(s, Pays | Drains))
    assert (score.stopped_minor, score.first_stop) == (0, None)
    assert platform.joined == sum(isinstance(s, Joins) for s in steps)
    assert platform.paid_in == sum(isinstance(s, PaysIn) for s in steps)
    paid = [str(s.id) for s in steps if isinstance(s, Pays)]
    assert sorted(said["payment"] for said in platform.reported) == sorted(paid)
    assert score.reported == len(paid)


@pytest.mark.parametrize("kind", KINDS)
def test_where_everything_is_refused_nothing_is(kind: AttackKind) -> None:
    platform, plan = Platform(strict), plan_of(kind)
    score = carry(platform, plan)
    assert score.passed_minor == 0
    assert score.first_stop is not None
    assert score.first_stop[1] == 0
    assert score.outcomes == {"decline": score.attempts}
    needy = sum(getattr(s, "need", Need.NOTHING) is not Need.NOTHING for s in drawn(plan).steps)
    assert score.skipped == needy
    assert score.attempts == drawn(plan).tries - needy
    # What was declined is reported too: whoever is asked says that it was somebody else.
    assert len(platform.reported) == score.asked == len(platform.decided)


def test_only_cards_that_passed_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(AttackKind.CARD_TESTING, size=20)
    cards = sorted({s.card_id for s in drawn(plan).steps if isinstance(s, Pays)})
    good = {str(card) for card in cards[:5]}
    platform = Platform(lambda scene, asked: "approve" if asked["card"] in good else "step_up")
    # Everything comes due at once: the answer to a test is still waited for.
    platform.beat = timedelta(days=1)
    score = carry(platform, plan, reports=False)
    large = [s for s in drawn(plan).steps if isinstance(s, Pays) and s.need is Need.CARD_PASSED]
    passed = sum(s.amount_minor for s in large if str(s.card_id) in good)
    assert passed < score.passed_minor < passed + 5_000
    assert score.skipped == sum(str(s.card_id) not in good for s in large)
    assert platform.reported == []


def test_a_second_proof_keeps_most_out() -> None:
    plan = plan_of(AttackKind.TAKEOVER, size=30)
    platform = Platform(lambda scene, asked: "step_up" if scene == "log_in" else "approve")
    score = carry(platform, plan, reports=False)
    beaten = drawn(plan).beats_step_up
    lost = sum(
        s.amount_minor
        for s in drawn(plan).steps
        if isinstance(s, Pays | Drains) and s.customer_id in beaten
    )
    assert score.passed_minor == lost > 0
    limited = Platform(lambda scene, asked: "limit" if scene == "withdrawal" else "approve")
    score = carry(limited, plan, reports=False)
    drains = [s for s in drawn(plan).steps if isinstance(s, Drains)]
    pays = sum(s.amount_minor for s in drawn(plan).steps if isinstance(s, Pays))
    assert score.passed_minor == pays + 500 * len(drains)


def test_who_decides_may_not_have_seen_the_clock_move() -> None:
    platform = Platform(lenient)
    platform.future = 7
    score = carry(platform, plan_of(AttackKind.TAKEOVER), reports=False)
    assert score.attempts == drawn(plan_of(AttackKind.TAKEOVER)).tries
    platform.future = 10**6
    with pytest.raises(TownWasRefused, match="event_is_from_the_future"):
        carry(platform, plan_of(AttackKind.TAKEOVER), reports=False)


def test_the_clock_is_left_as_it_was_found() -> None:
    platform = Platform(lenient)
    carry(platform, plan_of(AttackKind.CARD_TESTING))
    assert platform.speeds == [900.0, 1_800.0, 120.0]

    def broken(scene: str, asked: Mapping[str, Any]) -> str:
        raise KeyboardInterrupt

    platform = Platform(broken)
    with pytest.raises(KeyboardInterrupt):
        carry(platform, plan_of(AttackKind.CARD_TESTING))
    assert platform.speeds == [900.0, 120.0]


def test_honest_customers_are_counted_before_and_meanwhile() -> None:
    today = date(2026, 1, 20)
    acts = [act for act in day(TOWN, today) if isinstance(act, CardPayment)]
    labels = truth(TOWN, today)
    honest = [act for act in acts if labels.of(act.id) is None]
    platform = Platform(lenient)

    def decide(some: list[CardPayment], outcome: str) -> None:
        platform.judge = lambda scene, asked: outcome
        for act in some:
            platform.decide({"id": str(act.id), "at": act.at.isoformat()})
        platform.judge = lenient

    frauds = [act for act in acts if labels.of(act.id) is not None]
    decide(honest[:6], "approve")
    decide([*honest[6:8], *frauds], "decline")
    by_hand = {"number": len(platform.decided) + 1, "event": {"id": "by-hand", "at_ms": 1}}
    platform.decided.append(said("decline") | by_hand)
    raid = attacks.prepare(platform.client(), plan_of(AttackKind.CARD_TESTING), speed=900.0)
    rest = iter([honest[8:12]])

    def watch(score: Score) -> None:
        for some in rest:
            decide(some, "review")

    platform.opened.append({"kind": "decisions.review", "opened_at": "2026-01-20T05:00:00+00:00"})
    score = attacks.carry_out(raid, watch, reports=False)
    assert (score.before.payments, score.before.disturbed) == (8, 2)
    assert (score.during.payments, score.during.disturbed) == (4, 4)
    assert score.before.share == 0.25
    assert score.after.share is None
    assert score.cases == {"decisions.review": 1}


# --- as a person calls it


def test_without_a_platform_it_says_how_to_have_one(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_HOME", str(tmp_path))
    monkeypatch.setenv("STEELYARD_DATABASE_URL", "")
    arguments = ["attack", "ring", "--url", "http://127.0.0.1:9", "--json"]
    done = CliRunner().invoke(simulate.app, arguments)
    assert done.exit_code == 1
    assert "platform_does_not_answer" in done.stderr
    assert "--sample" in done.stderr


def test_a_sample_needs_nothing_and_reacts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_command, "_SAMPLE_DAYS", 2)
    monkeypatch.setattr(attack_command, "_SAMPLE_CUSTOMERS", 24)
    arguments = ["attack", "card-testing", "--sample", "--seed", "7", "--size", "9"]
    done = CliRunner().invoke(simulate.app, [*arguments, "--no-reports", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["attempts"] > told["outcomes"]["approve"] > 0
    assert "not_asked" not in told["outcomes"]
    assert "many_cards_on_device" in [row["reason"] for row in told["reasons"]]
    assert all(row["text"] for row in told["reasons"])
    assert told["loss_passed_minor"] < told["loss_stopped_minor"]
    assert told["attempts_before_first_stop"] <= 8
    assert told["good_before"]["disturbed"] < 0.1 * told["good_before"]["payments"]
    assert sum(row["attempts"] for row in told["over_time"]) == told["attempts"]
