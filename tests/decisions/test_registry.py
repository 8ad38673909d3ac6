"""The registry of models: entering, approving, retiring, loading, and policies that name one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import read_audit
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.cli import models as command
from steelyard.decisions.http import model_router
from steelyard.decisions.model.card import CardIsMalformed, DataUsed, ModelCard
from steelyard.decisions.model.compile import compile_document
from steelyard.decisions.model.contest import auc_difference, contest
from steelyard.decisions.model.document import DocumentIsMalformed, parse_document
from steelyard.decisions.model.gbm import GbmModel, PlainScorer
from steelyard.decisions.model.inputs import (
    FIELD,
    FeatureDefinitionDiffers,
    ModelInputs,
    ModelIsMalformed,
    definition_hash,
)
from steelyard.decisions.model.lifecycle import Content
from steelyard.decisions.model.logistic import LogisticModel
from steelyard.decisions.model.metrics import auc, average_precision, calibration, fairness
from steelyard.decisions.model.partition import Partition
from steelyard.decisions.model.policy import Fails
from steelyard.decisions.model.registered import (
    CardDoesNotFit,
    ModelIsAltered,
    ModelIsInUse,
    ModelIsNotWaiting,
    ModelIsRegistered,
    ModelIsRetired,
    ModelIsUnknown,
    ModelNameIsInvalid,
    ModelReadsProtected,
    ModelState,
    RegisteredModel,
    make_entry,
    read_model,
    substance_of,
)
from steelyard.decisions.model.scorecard import Characteristic, Scaling, Scorecard
from steelyard.decisions.nodes import node_kinds
from steelyard.decisions.scenes import delivered_examples, delivered_policies, delivered_source
from steelyard.decisions.service import policies, registry
from steelyard.decisions.training.fit import BoostingRule, fit_gbm
from steelyard.features import CATALOGUE
from steelyard.kernel import Refusal
from steelyard.parties import approvals
from tests.conftest import Store
from tests.house import House

T = TypeVar("T")
ANN = "staff:018f0000-0000-7000-8000-000000000001"
BOB = "staff:018f0000-0000-7000-8000-000000000002"
FEATURE = "customer_payment_count_1d"


def logistic(*names: str, weight: float = 1.0) -> LogisticModel:
    definitions = tuple(
        definition_hash(CATALOGUE[one]) if one in CATALOGUE else FIELD for one in names
    )
    size = len(names)
    return LogisticModel("trained", 1, ModelInputs(names, definitions), (weight,) * size,
                         (0.0,) * size, (1.0,) * size, 0.5)  # fmt: skip


def scorecard() -> Scorecard:
    line = Characteristic(
        Partition("amount_minor", edges=(10_000.0,)),
        (30, 10, 20, 20),
        "SC_AMOUNT",
        "Amount",
        "金额",
    )
    return Scorecard("trained", 1, Scaling(), 500, (line,))


def card_of(model: LogisticModel | Scorecard, **changes: Any) -> ModelCard:
    bad = np.array([False, True, False, True, True, False])
    score = np.array([0.1, 0.7, 0.4, 0.3, 0.9, 0.2])
    measured = calibration(bad, score)
    assert measured is not None
    names = model.names if isinstance(model, Scorecard) else model.inputs.names
    card = ModelCard(
        model=model.name,
        version=model.version,
        kind="made for a test",
        content_hash=model.content_hash,
        data=DataUsed("six rows", "ab" * 32, 6, 3, names, (), ("SEX",)),
        how="By hand.",
        metrics={"AUC": 8 / 9},
        calibration=measured,
        fairness={
            "sex": fairness(bad, score, groups=np.array(["f", "m"] * 3), threshold=0.6),
        },
        declined_share=0.2,
        threshold=0.6,
        score_psi=0.01,
        csi=(),
        comparisons=(),
        libraries={"numpy": "2"},
        seed=1,
        trained_by=ANN,
    )
    return replace(card, **changes)


class Desk:
    def __init__(self, database: Database) -> None:
        self.database = database

    def run(self, work: Callable[[Any], T], actor: str = ANN) -> T:
        return self.database.transact(work, actor=actor)

    def register(
        self, name: str, model: LogisticModel | Scorecard, card: ModelCard | None = None
    ) -> RegisteredModel:
        told = (card or card_of(model)).to_json()
        return self.run(lambda unit: registry.register_model(unit, name, model.to_json(), told))

    def approve(self, name: str, version: int) -> RegisteredModel:
        asked = self.run(lambda unit: registry.request_model_approval(unit, name, version))
        by = Caller(BOB, frozenset({"decisions.approve"}))
        self.run(
            lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash), BOB
        )
        return self.run(lambda unit: registry.approve_model(unit, name, version, approval=asked.id))

    def load(self, reference: str) -> Any:
        with self.database.reading() as connection:
            return registry.load_registered(connection, reference)

    def facts(self) -> list[str]:
        with self.database.reading() as connection:
            rows = connection.execute(
                sa.text("SELECT kind FROM events.log WHERE kind LIKE 'decisions.%'"
                        " ORDER BY sequence"))  # fmt: skip
            return [kind.removeprefix("decisions.") for (kind,) in rows]


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


# --- entering ------------------------------------------------------------------------------------


def test_a_model_is_entered_under_its_name_and_loaded_as_it_was(desk: Desk) -> None:
    for name, model in (("flat", logistic(FEATURE, "amount_minor")), ("points", scorecard())):
        made = desk.register(name, model)
        assert (made.reference, made.state, made.registered_by) == (f"{name}@1", "registered", ANN)
        loaded = desk.load(made.reference)
        assert loaded == replace(model, name=name, version=1)
        assert loaded.content_hash == made.digest
        with desk.database.reading() as connection:
            card = registry.read_card(connection, name, 1)
            assert registry.read_registered(connection, name) == made
        assert (card.model, card.version, card.content_hash) == (name, 1, made.digest)
        assert card.digest == made.card_digest
        assert card == replace(card_of(model), model=name, content_hash=made.digest)
    assert desk.facts() == ["ModelRegistered"] * 2
    # the same model is entered once under a name, and another one is the next version
    desk.register("fraud", logistic("amount_minor"))
    with pytest.raises(ModelIsRegistered, match="fraud@1"):
        desk.register("fraud", replace(logistic("amount_minor"), name="other", version=7))
    assert desk.register("fraud", logistic("amount_minor", weight=2.0)).version == 2
    assert desk.register("other", logistic("amount_minor")).version == 1


@pytest.mark.parametrize(
    ("model", "changes", "refusal"),
    [
        (logistic("amount_minor", "SEX"), {}, ModelReadsProtected),
        (logistic("AGE"), {}, ModelReadsProtected),
        (logistic("FOREIGN=A201"), {}, ModelReadsProtected),
        (logistic("amount_minor"), {"content_hash": "00"}, CardDoesNotFit),
        (logistic("amount_minor"), {"metrics": {}}, CardDoesNotFit),
        (logistic("amount_minor"), {"fairness": {}}, CardDoesNotFit),
    ],
)
def test_what_may_not_be_entered(
    model: LogisticModel, changes: dict[str, Any], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        make_entry(model, card_of(model, **changes), named=("fraud", 1), definitions={})


def test_malformed_forms_and_names_are_refused(desk: Desk) -> None:
    card = card_of(logistic("amount_minor")).to_json()

    def enter(name: str, form: str, card: str = card) -> None:
        desk.run(lambda unit: registry.register_model(unit, name, form, card))

    form = logistic("amount_minor").to_json()
    for name in ("", "Fraud", "a b", "x@1", "1x", "x" * 61):
        with pytest.raises(ModelNameIsInvalid):
            enter(name, form)
    for broken in ("", "[]", "{}", "null", '{"kind": "forest"}', form[:-9]):
        with pytest.raises(ModelIsMalformed):
            enter("fraud", broken)
    for broken in ("", "{}", "[1]", card.replace('"seed": 1', '"seed": "one"')):
        with pytest.raises(CardIsMalformed):
            enter("fraud", form, broken)
    with desk.database.reading() as connection:
        assert registry.list_models(connection).items == ()
    assert desk.facts() == []
    for reference in ("fraud@1", "fraud", "fraud@0", "fraud@x", "@1", "fraud@99999999999"):
        with pytest.raises(ModelIsUnknown):
            desk.load(reference)


def boosted() -> GbmModel:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(80, 2))
    rule = BoostingRule(rounds=3, leaves=4, least_rows=5)
    inputs = ModelInputs(("amount_minor", "hour"), (FIELD, FIELD))
    return fit_gbm(matrix, matrix[:, 0] > 0.3, inputs, rule, seed=1)


BOOSTED = boosted()
FORMS = (logistic("amount_minor", "hour"), scorecard(), BOOSTED)
JUNK = (None, True, 0, -1, 7, 0.5, float("nan"), float("inf"), 10**400, "", "a", "\0", [], {}, [1])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values in a JSON value."""
    deeper: Any = ()
    if isinstance(value, dict | list):
        deeper = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(one for key, below in deeper for one in places(below, (*path, key)))]


def placed(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """Return a JSON value with another value at a path."""
    if not path:
        return other
    made = value.copy()
    made[path[0]] = placed(value[path[0]], path[1:], other)
    return made


@settings(derandomize=True, max_examples=250)
@given(st.data())
def test_a_damaged_form_is_refused_or_scores(data: st.DataObject) -> None:
    form = json.loads(data.draw(st.sampled_from(FORMS)).to_json())
    where = data.draw(st.sampled_from([path for path in places(form) if path]))
    damaged = placed(form, where, data.draw(st.sampled_from(JUNK)))
    check_damaged(damaged)


@settings(derandomize=True, max_examples=150)
@given(st.data())
def test_damaged_trees_are_refused_or_score(data: st.DataObject) -> None:
    form = json.loads(BOOSTED.to_json())
    text = form["text"]
    at = data.draw(st.integers(0, text.index("end of trees")))
    char = data.draw(st.sampled_from("019-. x=\n"))
    cut = data.draw(st.integers(0, 3))
    check_damaged({**form, "text": text[:at] + char + text[at + cut :]})


def check_damaged(form: Any) -> None:
    """A form is refused, or it is a model that can be entered and scores without a fault."""
    try:
        model = read_model(json.dumps(form), {})
        substance_of(model)
    except Refusal:
        return
    row = {"amount_minor": 1, "hour": 2.5}
    if isinstance(model, Scorecard):
        assert 0 <= model.probability_bad(model.score({**row, "a": None}).score) <= 1
    elif set(model.inputs.names) <= set(row):
        scorer = PlainScorer(model) if isinstance(model, GbmModel) else model
        assert 0 <= scorer.probability(row) <= 1


# --- approving and retiring ----------------------------------------------------------------------


def test_two_people_approve_and_a_retired_model_still_loads(desk: Desk) -> None:
    desk.register("fraud", logistic("amount_minor"))
    asked = desk.run(lambda unit: registry.request_model_approval(unit, "fraud", 1))
    assert json.loads(asked.shown)["metrics"] == {"AUC": "0.8889"}
    own = Caller(ANN, frozenset({"decisions.approve"}))
    with pytest.raises(approvals.MakerIsChecker):
        desk.run(lambda unit: approvals.approve(unit, asked.id, by=own,
                                                shown_hash=asked.shown_hash))  # fmt: skip
    with pytest.raises(approvals.ApprovalIsNotOpen):
        desk.run(lambda unit: registry.approve_model(unit, "fraud", 1, approval=asked.id))
    approved = desk.approve("fraud", 1)
    assert approved.state is ModelState.APPROVED
    assert approved.cause is not None
    assert approved.cause.startswith("approval:")
    with desk.database.reading() as connection:
        assert registry.champion_of(connection, "fraud") == approved
        assert registry.champion_of(connection, "other") is None
    with pytest.raises(ModelIsNotWaiting):
        desk.approve("fraud", 1)
    retired = desk.run(lambda unit: registry.retire_model(unit, "fraud", 1, reason="drifted"))
    assert (retired.state, retired.retired_by, retired.cause) == ("retired", ANN, approved.cause)
    with pytest.raises(ModelIsRetired):
        desk.run(lambda unit: registry.retire_model(unit, "fraud", 1, reason="again"))
    with pytest.raises(ModelIsNotWaiting):
        desk.approve("fraud", 1)
    assert desk.load("fraud@1").name == "fraud"
    assert desk.facts() == ["ModelRegistered", "ModelApproved", "ModelRetired"]
    with desk.database.reading() as connection:
        lines = read_audit(connection, limit=50).items
    actions = {line.action for line in lines if line.subject == "model:fraud@1"}
    assert {f"decisions.{verb}_model" for verb in ("register", "approve", "retire")} <= actions


def test_an_approval_is_for_what_was_shown(desk: Desk) -> None:
    desk.register("fraud", logistic("amount_minor"))
    desk.register("fraud", logistic("amount_minor", weight=2.0))
    asked = desk.run(lambda unit: registry.request_model_approval(unit, "fraud", 1))
    by = Caller(BOB, frozenset({"decisions.approve"}))
    desk.run(lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash),
             BOB)  # fmt: skip
    with pytest.raises(approvals.ApprovalIsForSomethingElse):
        desk.run(lambda unit: registry.approve_model(unit, "fraud", 2, approval=asked.id))


# --- loading -------------------------------------------------------------------------------------


def test_a_changed_feature_stops_the_model(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, model in (("flat", logistic(FEATURE)), ("card", scorecard_on(FEATURE))):
        desk.register(name, model)
        assert desk.load(f"{name}@1")
    registry._definitions.cache_clear()
    monkeypatch.setattr(registry, "CATALOGUE", {
        **CATALOGUE, FEATURE: replace(CATALOGUE[FEATURE], window_ms=7_200_000)})  # fmt: skip
    try:
        for name in ("flat", "card"):
            with pytest.raises(FeatureDefinitionDiffers, match=FEATURE):
                desk.load(f"{name}@1")
    finally:
        registry._definitions.cache_clear()


def scorecard_on(name: str) -> Scorecard:
    line = Characteristic(Partition(name, edges=(3.0,)), (30, 10, 20, 20), "SC_N", "Often", "频繁")
    return Scorecard("trained", 1, Scaling(), 500, (line,))


def test_the_database_keeps_what_was_entered(desk: Desk, store: Store) -> None:
    desk.register("fraud", logistic("amount_minor"))
    for change in (
        "UPDATE decisions.model SET form = '{}'",
        "UPDATE decisions.model SET card = '{}'",
        "UPDATE decisions.model SET version = 2",
        "DELETE FROM decisions.model",
    ):
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            desk.run(lambda unit, change=change: unit.execute(change))
    owner = sa.create_engine(store.owner_url)
    for change in (
        "UPDATE decisions.model SET form = form || ' '",
        "UPDATE decisions.model SET state = 'approved', approved_at = now(), cause = 'x',"
        " registered_by = 'x'",
        "DELETE FROM decisions.model",
    ):
        with pytest.raises(sa.exc.DBAPIError), owner.begin() as connection:
            connection.execute(sa.text(change))
    # whoever owns the schema can do all of it; then the digest tells
    with owner.begin() as connection:
        connection.execute(sa.text("ALTER TABLE decisions.model DISABLE TRIGGER USER"))
        checks = connection.execute(
            sa.text("SELECT conname FROM pg_constraint WHERE conrelid = 'decisions.model'::regclass"
                    " AND pg_get_constraintdef(oid) LIKE '%hash_of(form)%'"))  # fmt: skip
        for (name,) in checks.all():
            connection.execute(sa.text(f'ALTER TABLE decisions.model DROP CONSTRAINT "{name}"'))
        changed = "UPDATE decisions.model SET form = replace(form, '0.5', '0.6')"
        assert connection.execute(sa.text(changed)).rowcount == 1
    with pytest.raises(ModelIsAltered):
        desk.load("fraud@1")
    owner.dispose()


def test_pages_of_models_are_complete_and_in_order(desk: Desk) -> None:
    made = []
    for name in ("b", "a", "c"):
        for weight in (1.0, 2.0, 3.0):
            made.append(desk.register(name, logistic("amount_minor", weight=weight)))
    desk.approve("a", 2)
    wanted = sorted((one.name, -one.version) for one in made)
    for size in (1, 2, 4, 9, 20):
        found, cursor = [], None
        for _ in range(20):
            with desk.database.reading() as connection:
                page = registry.list_models(connection, cursor=cursor, limit=size)
            found += [(one.name, -one.version) for one in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert found == wanted
    with desk.database.reading() as connection:
        approved = registry.list_models(connection, state=ModelState.APPROVED).items
        named = registry.list_models(connection, name="c").items
    assert [one.reference for one in approved] == ["a@2"]
    assert [one.reference for one in named] == ["c@3", "c@2", "c@1"]


# --- policies that name one ----------------------------------------------------------------------


def document(content: dict[str, Any], kind: str = "model") -> str:
    node = {"id": "m", "name": "m", "type": "customNode",
            "content": {"kind": kind, "config": content}}  # fmt: skip
    nodes = [
        {"id": "in", "name": "in", "type": "inputNode"},
        node,
        {"id": "out", "name": "out", "type": "outputNode"},
    ]
    edges = [
        {"id": "1", "sourceId": "in", "targetId": "m"},
        {"id": "2", "sourceId": "m", "targetId": "out"},
    ]
    return json.dumps({"nodes": nodes, "edges": edges})


def test_a_node_names_a_registered_model_as_it_would_hold_it(desk: Desk) -> None:
    model = logistic("amount_minor", weight=0.001)
    made = desk.register("fraud", model)
    held = json.loads(replace(model, name="fraud").to_json())
    points = {"points": 1000, "reasons": {"amount_minor": "AMOUNT_IS_HIGH"}}
    with desk.database.reading() as connection:
        for_new = node_kinds(models=registry.model_source(connection, for_new=True))
        for_old = node_kinds(models=registry.model_source(connection, for_new=False))
        named = parse_document(document({"model": "fraud@1", **points}))
        with pytest.raises(DocumentIsMalformed, match="approved models only"):
            compile_document(named, for_new)
        by_name = compile_document(named, for_old)
        for reference in ("fraud@2", "fraud", "other@1"):
            unknown = parse_document(document({"model": reference, **points}))
            with pytest.raises(DocumentIsMalformed, match="no model"):
                compile_document(unknown, for_old)
    by_itself = compile_document(parse_document(document({"model": held, **points})), node_kinds())
    for amount in (None, 0, 700, 10**6):
        values = {"amount_minor": amount}
        assert by_name.run(dict(values)).result == by_itself.run(dict(values)).result
    assert by_name.nodes["m"].versions == {"model.fraud@1": made.digest}  # type: ignore[attr-defined]
    with pytest.raises(DocumentIsMalformed, match="no model"):
        compile_document(named, node_kinds())


def test_a_node_names_a_registered_scorecard(desk: Desk) -> None:
    desk.register("points", scorecard())
    desk.register("flat", logistic("amount_minor"))
    desk.approve("points", 1)
    with desk.database.reading() as connection:
        kinds = node_kinds(models=registry.model_source(connection, for_new=True))
        named = compile_document(
            parse_document(document({"scorecard": "points@1"}, "scorecard")), kinds
        )
        old = node_kinds(models=registry.model_source(connection, for_new=False))
        for kind, reference in (("scorecard", "flat@1"), ("model", "points@1")):
            content = {kind: reference, "reasons": {}} if kind == "model" else {kind: reference}
            with pytest.raises(DocumentIsMalformed):
                compile_document(parse_document(document(content, kind)), old)
    found = named.run({"amount_minor": 5_000}).result
    assert found["points"] == 530


def test_a_delivered_policy_judges_alike_by_the_name_of_its_model(desk: Desk) -> None:
    source, examples = delivered_source("payment")
    named = json.loads(source)
    node = next(one for one in named["nodes"] if one["id"] == "model")
    model = LogisticModel.from_data(node["content"]["config"]["model"])
    node["content"]["config"]["model"] = "town@1"
    content = Content(json.dumps(named), Fails.OPEN, examples, None, "The model by its name.")
    desk.run(policies.install_delivered)
    desk.register("town", model)

    def draft(unit: UnitOfWork) -> Any:
        return policies.draft_policy(unit, "payment", content)

    with pytest.raises(DocumentIsMalformed, match="approved models only"):
        desk.run(draft)
    desk.approve("town", 1)
    desk.run(draft)
    made = desk.run(lambda unit: policies.commit_draft(unit, "payment"))
    with desk.database.reading() as connection:
        (use,) = registry.uses_of(connection, "town", 1)
        assert (use.cause, use.standing) == (f"policy.payment@{made.version}", "")
        by_name = policies.policy_of(connection, use.cause)
    assert by_name.versions["model.town@1"] == replace(model, name="town", version=1).content_hash
    held = delivered_policies()["payment"]
    for example in delivered_examples("payment"):
        one, other = by_name.judge(example.values), held.judge(example.values)
        assert (one.outcome, one.score, one.reasons) == (other.outcome, other.score, other.reasons)
    promote(desk, made.version)
    with pytest.raises(ModelIsInUse, match=r"policy\.payment@"):
        desk.run(lambda unit: registry.retire_model(unit, "town", 1, reason="drifted"))
    promote(desk, held.version)
    desk.run(lambda unit: registry.retire_model(unit, "town", 1, reason="drifted"))
    with desk.database.reading() as connection:
        # what it decided is still computed again
        assert policies.policy_of(connection, use.cause).cause == use.cause
        (embedded,) = registry.uses_of(connection, model.name, model.version)
        assert embedded.cause == held.cause
    with pytest.raises(DocumentIsMalformed, match="approved models only"):
        desk.run(draft)


def promote(desk: Desk, version: int) -> None:
    asked = desk.run(lambda unit: policies.request_promotion(unit, "payment", version))
    by = Caller(BOB, frozenset({"decisions.approve"}))
    desk.run(
        lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash), BOB
    )
    desk.run(lambda unit: policies.promote(unit, "payment", version, approval=asked.id))


# --- over HTTP and from the command line ---------------------------------------------------------


@dataclass
class Client:
    house: House
    app: FastAPI

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                headers = {"Idempotency-Key": str(uuid4())} if method == "POST" else {}
                return await http.request(
                    method, f"/v1/models{path}", json=body, headers=headers, **more
                )

        return asyncio.run(run())


@pytest.fixture
def client(database: Database) -> Client:
    house = House(database, Caller(ANN, frozenset({"decisions.read", "decisions.register"})))
    app = FastAPI()
    app.include_router(model_router)
    app.state.platform = house

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return Client(house, app)


def test_a_model_lives_over_http(client: Client, desk: Desk) -> None:
    model = logistic(FEATURE, "amount_minor", weight=0.1)
    body = {
        "name": "fraud",
        "form": json.loads(model.to_json()),
        "card": json.loads(card_of(model).to_json()),
    }
    made = client.ask("POST", "", body)
    assert made.status_code == 201
    assert made.json()["digest"] == replace(model, name="fraud").content_hash
    again = client.ask("POST", "", body)
    assert (again.status_code, again.json()["code"]) == (409, "model_is_registered")
    assert client.ask("POST", "", {**body, "name": "A b"}).json()["code"] == "model_name_is_invalid"
    assert (
        client.ask("POST", "", {**body, "name": "x", "card": {}}).json()["code"]
        == "card_is_malformed"
    )
    page = client.ask("GET", "").json()
    assert ([one["name"] for one in page["items"]], page["next"]) == (["fraud"], None)
    shown = client.ask("GET", "/fraud/1").json()
    assert (shown["model"], shown["used_by"]) == (made.json(), [])
    card = client.ask("GET", "/fraud/1/card").json()
    assert (card["model"], card["content_hash"]) == ("fraud", made.json()["digest"])
    text = client.ask("GET", "/fraud/1/card.md")
    assert text.headers["content-type"].startswith("text/markdown")
    assert text.text.startswith("# Model card: fraud 1\n")
    form = client.ask("GET", "/fraud/1/form").content
    assert sha256(form).hexdigest() == made.json()["digest"]
    for path in ("/fraud/2", "/fraud/2/card", "/fraud/2/card.md", "/none/1/form"):
        assert client.ask("GET", path).json()["code"] == "model_is_unknown"
    asked = client.ask("POST", "/fraud/1/approve", {}).json()
    assert asked["is_done"] is False
    early = client.ask("POST", "/fraud/1/approve", {"approval": asked["approval"]})
    assert early.json()["code"] == "approval_is_not_open"
    assert desk.approve("fraud", 1).state is ModelState.APPROVED
    retired = client.ask("POST", "/fraud/1/retire", {"reason": "drifted"}).json()
    assert (retired["state"], retired["reason"]) == ("retired", "drifted")
    client.house.caller = Caller(BOB, frozenset({"decisions.approve"}))
    assert client.ask("GET", "").json()["code"] == "not_entitled"


def test_models_from_the_command_line(
    desk: Desk, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STEELYARD_DATABASE_URL", store.url)

    def call(*arguments: str, status: int = 0) -> Any:
        done = CliRunner().invoke(command.app, list(arguments))
        assert done.exit_code == status, done.output
        return done.stderr if status else done.stdout

    model = scorecard()
    form, card = tmp_path / "form.json", tmp_path / "card.json"
    form.write_text(model.to_json() + "\n")
    card.write_text(card_of(model).to_json())
    entering = ("register", str(form), "--card", str(card), "--name", "points")
    made = json.loads(call(*entering, "--json"))
    assert (made["model"], made["kind"]) == ("points@1", "scorecard")
    assert "model_is_registered" in call(*entering, status=1)
    missing = ("register", str(tmp_path / "none"), "--card", str(card), "--name", "points")
    assert "file_cannot_be_read" in call(*missing, status=1)
    assert call("card", "points").startswith("# Model card: points 1\n")
    call("export", "points@1", "--out", str(tmp_path / "kept.json"))
    assert sha256((tmp_path / "kept.json").read_bytes()).hexdigest() == made["digest"]
    asked = json.loads(call("approve", "points@1", "--json"))
    approval = ("approve", "points@1", "--approval", asked["approval"])
    assert "approval_is_not_open" in call(*approval, status=1)
    with desk.database.reading() as connection:
        waiting = approvals.read_approval(connection, UUID(asked["approval"]))
    by = Caller(BOB, frozenset({"decisions.approve"}))
    desk.run(lambda unit: approvals.approve(unit, waiting.id, by=by,
                                            shown_hash=waiting.shown_hash), BOB)  # fmt: skip
    call(*approval)
    assert json.loads(call("show", "points"))["state"] == "approved"
    champion = command.champion("points")
    assert champion is not None
    columns = {"amount_minor": np.array([5_000.0, 20_000.0, np.nan])}
    found = champion.probability(columns)
    assert found is not None
    expected = [model.probability_bad(points) for points in (530, 510, 520)]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    assert champion.probability({}) is None
    assert command.champion("other") is None
    call("retire", "points", "--reason", "drifted")
    (row,) = json.loads(call("list", "--json", "--state", "retired"))
    assert row["model"] == "points@1"
    assert "one of registered" in call("list", "--state", "sold", status=2)


# --- the contest ---------------------------------------------------------------------------------


@given(st.data())
def test_the_areas_of_a_contest_are_those_of_auc(data: st.DataObject) -> None:
    size = data.draw(st.integers(4, 40))
    bad = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    grades = st.lists(st.integers(0, 5), min_size=size, max_size=size)
    one, other = (np.array(data.draw(grades), dtype=float) for _ in range(2))
    told = auc_difference(bad, one, other)
    if min(bad.sum(), (~bad).sum()) < 2:
        assert told is None
        return
    assert told is not None
    assert told.first == pytest.approx(auc(bad, one), abs=1e-12)
    assert told.second == pytest.approx(auc(bad, other), abs=1e-12)
    assert told.low <= told.first - told.second <= told.high
    turned = auc_difference(bad, other, one)
    assert turned is not None
    assert (turned.low, turned.high) == pytest.approx((-told.high, -told.low), abs=1e-12)
    same = auc_difference(bad, one, one)
    assert same is not None
    assert same.low == same.high == 0


def test_the_interval_holds_the_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(300):
        bad = rng.random(400) < 0.3
        latent = bad + rng.normal(0, 1, 400)
        # both see the same through noise of the same strength: the true difference is zero
        one, other = latent + rng.normal(0, 0.7, 400), latent + rng.normal(0, 0.7, 400)
        told = auc_difference(bad, one, other)
        assert told is not None
        inside += told.low <= 0 <= told.high
    assert 272 <= inside <= 297


def test_a_contest_says_who_was_better_and_what_flatters() -> None:
    bad = np.array([False, True] * 20)
    good = np.linspace(0, 1, 40) + bad
    told = contest(bad, good, -good, champion=("fraud@1", "ab"), saw=True)
    assert told is not None
    assert (told.rows, told.bad, told.auc, told.champion_auc) == (40, 20, 1.0, 0.0)
    assert told.average_precision == average_precision(bad, good)
    assert "flatters" in told.to_markdown()
    assert "flatters" not in replace(told, champion_saw=False).to_markdown()
    card = card_of(logistic("amount_minor"), contest=told)
    assert ModelCard.from_json(card.to_json()) == card
    assert "fraud@1, in use" in card.to_markdown()
