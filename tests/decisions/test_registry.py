"""The registry of models: entering, approving, retiring, loading, and policies that name one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.base.audit import read_audit
from steelyard.base.http import Caller
from steelyard.decisions.model.card import CardIsMalformed, DataUsed, ModelCard
from steelyard.decisions.model.compile import compile_document
from steelyard.decisions.model.contest import auc_difference, contest
from steelyard.decisions.model.document import DocumentIsMalformed, parse_document
from steelyard.decisions.model.inputs import (
    FIELD,
    FeatureDefinitionDiffers,
    ModelInputs,
    ModelIsMalformed,
    definition_hash,
)
from steelyard.decisions.model.logistic import LogisticModel
from steelyard.decisions.model.metrics import auc, average_precision, calibration, fairness
from steelyard.decisions.model.partition import Partition
from steelyard.decisions.model.registered import (
    CardDoesNotFit,
    ModelIsAltered,
    ModelIsNotWaiting,
    ModelIsRegistered,
    ModelIsRetired,
    ModelIsUnknown,
    ModelNameIsInvalid,
    ModelReadsProtected,
    ModelState,
    RegisteredModel,
    make_entry,
)
from steelyard.decisions.model.scorecard import Characteristic, Scaling, Scorecard
from steelyard.decisions.nodes import node_kinds
from steelyard.decisions.service import registry
from steelyard.features import CATALOGUE
from steelyard.parties import approvals
from tests.conftest import Store

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
