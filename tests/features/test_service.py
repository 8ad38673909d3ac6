"""Facts to events, profiles at any instant, snapshots in the database, and the routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database, fact_classes
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.features import CATALOGUE, KINDS, Event, StreamEngine, facts, graph, snapshots
from steelyard.features.catalogue import Label
from steelyard.features.http import router
from steelyard.features.model.definition import HOUR, Aggregate
from steelyard.features.model.refusals import EntityIsUnknown
from steelyard.features.service.profile import profile
from steelyard.kernel import Refusal
from tests.features.naive import Naive
from tests.features.worlds import KINDS as WORLD
from tests.features.worlds import dense, every_feature

AT = datetime(2026, 1, 5, 9, 30, 0, 123_456, tzinfo=UTC)
AT_MS = 1_767_605_400_123


def test_every_fact_heard_is_declared_with_the_fields_that_are_read() -> None:
    for room in ("parties.service.access_facts", "parties.service.facts",
                 "payments.service.facts", "payments.service.refunds_facts",
                 "credit.service.facts", "credit.service.close_facts"):  # fmt: skip
        import_module(f"steelyard.{room}")
    for name in facts.HEARD:
        if name.startswith(("cases.", "decisions.")) or name.endswith("Reported@1"):
            continue  # they tell labels
        kind, _, version = name.partition("@")
        declared = fact_classes()[kind, int(version)].__struct_fields__
        sample = {field: f"<{field}>" for field in declared}
        sample |= {"owner": "party:p", "factors": ["code"]} if "owner" in declared else {}
        made = facts.drafts(name, AT, json.dumps(sample))
        assert made
        for draft in made:
            assert isinstance(draft, facts.Draft)
            assert draft.at_ms == AT_MS
            missing = {field for field, value in draft.fields.items() if value is None}
            assert not missing, "read by a name that the fact does not have"
            assert set(draft.fields) <= set(KINDS[draft.kind].fields)
            assert set(draft.event(3).fields) <= set(KINDS[draft.kind].fields)


def test_a_declined_payment_is_two_events_of_one_id() -> None:
    attempt = str(uuid4())
    content = json.dumps(
        {"payment": str(uuid4()), "attempt": attempt, "card": "c", "amount_minor": 5,
         "reason": "poor", "method": "wallet"}
    )  # fmt: skip
    made = facts.drafts("payments.AttemptDeclined@1", AT, content)
    assert [(draft.kind, draft.id) for draft in made] == [
        ("payment", attempt),
        ("payment_decline", attempt),
    ]
    assert isinstance(made[0], facts.Draft)
    assert "reason" not in made[0].fields
    assert made[0].fields["method"] == "wallet"
    assert facts.drafts("ledger.TransferPosted@1", AT, "{}") == ()
    assert facts.drafts("payments.AttemptDeclined@2", AT, content) == ()


def test_a_refund_counts_what_went_back() -> None:
    content = {"refund": "r1", "payment": "p1", "amount_minor": 900, "refund_minor": 300}
    (made,) = facts.drafts("payments.RefundSucceeded@1", AT, json.dumps(content))
    assert isinstance(made, facts.Draft)
    assert (made.id, made.fields["amount_minor"]) == ("r1", 300)


def test_labels_come_from_reports_and_from_the_closing_of_cases() -> None:
    content = {"payment": "p1", "customer": "c1", "is_fraud": True}
    (label,) = facts.drafts("simulation.CardPaymentReported@1", AT, json.dumps(content))
    assert label == facts.LabelDraft("payment", "p1", AT_MS, "is_fraud", 1, "c1")
    closed = {"case": "k", "event_kind": "withdrawal", "event_id": "w1", "label_field": "is_fraud",
              "label_value": 0, "known_at_ms": AT_MS - 5, "about": "customer:c1"}  # fmt: skip
    (label,) = facts.drafts("cases.CaseClosed@1", AT, json.dumps(closed))
    assert isinstance(label, facts.LabelDraft)
    assert label.customer == "c1"
    assert label.label(9) == Label("withdrawal", "w1", AT_MS - 5, 9, "is_fraud", 0)
    for other in ({"event_kind": None}, {"label_field": "amount_minor"}, {"event_kind": "tea"}):
        assert facts.drafts("cases.CaseClosed@1", AT, json.dumps(closed | other)) == ()


@dataclass
class Kept:
    """A history in memory."""

    everything: list[Event | Label]

    def of(self, entity: str, value: str) -> Iterable[Event | Label]:
        mine = {
            each.id
            for each in self.everything
            if isinstance(each, Event) and each.fields.get(entity) == value
        }
        return [each for each in self.everything if each.id in mine]


@pytest.mark.parametrize("seed", range(3))
def test_a_profile_at_any_past_instant_is_what_an_event_there_would_see(seed: int) -> None:
    features = {feature.name: feature for feature in every_feature()}
    stream = dense(seed, 60)
    naive, folded = Naive(features.values(), WORLD), []
    for each in stream:
        if isinstance(each, Label):
            before = len(naive.labels)
            naive.label(each)
            folded += [each] if len(naive.labels) > before else []
        else:
            before = len(naive.events)
            naive.fold(each)
            folded += [each] if len(naive.events) > before else []
    for back in (0, 3 * HOUR, 8 * HOUR):
        at_ms = max(event.at_ms for event in naive.events) - back
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
        found = profile(Kept(folded), "card", "a", at, catalogue=features, kinds=WORLD)
        asked = Event("visit", "asked", at_ms, len(stream), {"card": "a"})
        for each in found.features:
            if each.feature.aggregate is not Aggregate.ZSCORE:
                # No event asks, so there is none to leave out.
                expected = naive.value(replace(each.feature, before=False), asked)
                assert repr(each.value) == repr(expected), each.feature


def test_a_profile_tells_how_fresh_it_is() -> None:
    paid = Event("payment", "1", AT_MS, 0, {"customer": "c", "amount_minor": 500})
    found = {
        each.feature.name: each
        for each in profile(Kept([paid]), "customer", "c", AT + timedelta(days=2)).features
    }
    exact = AT.replace(microsecond=123_000)
    assert found["customer_payment_sum_7d"].value == 500
    assert found["customer_payment_sum_7d"].fresh_at == exact
    assert found["customer_payment_sum_1d"].value == 0
    assert found["customer_payment_sum_1d"].fresh_at is None
    assert found["customer_payment_mean_1d"].value is None
    earlier = profile(Kept([paid]), "customer", "c", AT - timedelta(days=1)).features
    assert all(each.value in (None, 0) for each in earlier)
    with pytest.raises(EntityIsUnknown):
        profile(Kept([]), "weather", "fair", AT)


def test_a_snapshot_comes_back_as_it_was_and_only_the_latest_are_kept(database: Database) -> None:
    engine, links = StreamEngine(CATALOGUE.values(), KINDS), graph.LinkGraph()
    assert snapshots.restore(database, engine) is None
    digests = {}
    for sequence in range(4):
        event = Event(
            "withdrawal", f"{sequence}", AT_MS, sequence, {"customer": f"c{sequence}", "payee": "p"}
        )
        engine.fold(event)
        links.fold(event)
        with database.unit_of_work(actor="system:test") as unit:
            assert snapshots.save(unit, engine, links) == sequence
            snapshots.save(unit, engine, links)
        digests[sequence] = snapshots.digest(engine, links)
    again = StreamEngine(CATALOGUE.values(), KINDS)
    for sequence in (3, 2):
        restored = snapshots.restore(database, again, up_to=sequence)
        assert restored is not None
        assert again.sequence == sequence
        assert snapshots.digest(again, restored) == digests[sequence]
        assert restored.standing("c1").cluster_size == sequence + 1
    assert snapshots.restore(database, again, up_to=1) is None, "older ones are gone"
    assert snapshots.restore(database, again, shard=1) is None
    few = [feature for feature in CATALOGUE.values() if feature.entity == "ip"]
    assert snapshots.restore(database, StreamEngine(few, KINDS)) is None


def test_a_snapshot_that_was_tampered_with_is_not_taken(database: Database) -> None:
    engine = StreamEngine(CATALOGUE.values(), KINDS)
    engine.fold(Event("withdrawal", "w", AT_MS, 0, {"customer": "c"}))
    with database.unit_of_work(actor="system:test") as unit:
        snapshots.save(unit, engine, graph.LinkGraph())
        row = unit.connection.execute(sa.text("SELECT * FROM features.snapshot")).one()
        unit.connection.execute(sa.text("DELETE FROM features.snapshot"))
        for fold_seq, digest, state in ((7, "other", row.state), (8, row.digest, b"garbage")):
            unit.connection.execute(
                sa.text("INSERT INTO features.snapshot VALUES (0, :n, :d, :g, :s, :t)"),
                {"n": fold_seq, "d": row.definitions, "g": digest, "s": state, "t": row.taken_at},
            )
    fresh = StreamEngine(CATALOGUE.values(), KINDS)
    before = fresh.digest()
    assert snapshots.restore(database, fresh) is None
    assert snapshots.restore(database, fresh, up_to=7) is None
    assert fresh.digest() == before


@dataclass
class House:
    database: Database
    caller: Caller

    @property
    def verifier(self) -> House:
        return self

    def verify(self, request: Request, body: bytes) -> Caller:
        return self.caller


@pytest.fixture
def app(database: Database) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    app.state.platform = House(database, Caller("staff:risk", frozenset({"features.*"})))

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return app


def get(app: FastAPI, path: str, language: str = "en") -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://town") as client:
            return await client.get(path, headers={"Accept-Language": language})

    return asyncio.run(run())


def test_the_routes(app: FastAPI) -> None:
    everything = get(app, "/v1/features/catalogue")
    assert {each["name"] for each in everything.json()["items"]} == set(CATALOGUE)
    cards = get(app, "/v1/features/catalogue?entity=card", "zh")
    assert {each["entity"] for each in cards.json()["items"]} == {"card"}
    assert cards.json()["items"][0]["sentence"].endswith("。")
    apart = get(app, "/v1/features/profiles/card/c1")
    assert (apart.status_code, apart.json()["code"]) == (503, "history_is_not_connected")
    paid = Event("payment", "1", AT_MS, 0, {"card": "c1", "amount_minor": 500})
    app.state.features_history = Kept([paid])
    then = (AT + timedelta(hours=2)).isoformat().replace("+00:00", "Z")
    found = get(app, f"/v1/features/profiles/card/c1?at={then}").json()
    values = {each["name"]: each["value"] for each in found["features"]}
    assert values["card_payment_sum_1d"] == 500
    assert values["card_payment_count_1h"] == 0
    assert values["card_payment_time_since"] == 2 * HOUR
    now = get(app, "/v1/features/profiles/card/c1")
    assert now.status_code == 200
    nothing = get(app, "/v1/features/profiles/weather/fair")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "entity_is_unknown")


def test_whoever_may_not_read_features_is_refused(app: FastAPI) -> None:
    app.state.platform.caller = Caller("staff:none", frozenset())
    assert get(app, "/v1/features/catalogue").status_code == 403
