from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.decisions.model.compile import Answer, Hit, NodeKind, compile_document
from steelyard.decisions.model.document import (
    CustomNode,
    DocumentIsMalformed,
    Shaping,
    canonical,
    parse_document,
)
from steelyard.decisions.model.expression import NotEvaluable
from steelyard.decisions.model.inputs import FIELD, FeatureDefinitionDiffers, ModelInputs
from steelyard.decisions.model.logistic import LogisticModel
from steelyard.decisions.model.partition import Partition
from steelyard.decisions.model.scorecard import Characteristic, Scaling, Scorecard
from steelyard.decisions.nodes import NODE_KINDS, node_kinds
from tests.decisions.jdm import document, entries, table


def prepared(kind: str, config: Mapping[str, Any]) -> Any:
    return NODE_KINDS[kind].prepare(CustomNode("n", "n", kind, canonical(config), Shaping()))


def answer(kind: str, config: Mapping[str, Any], **values: Any) -> Answer:
    found: Answer = prepared(kind, config).answer(values)
    return found


def entry(name: str, means: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "means": means, "field": "payee", "reason": f"{name}_hit", **more}


LISTS = {
    "lists": [
        entry("bad", "block", entries=["p1", "p2"]),
        entry("seen", "watch"),
        entry("good", "allow", entries=["p3"]),
    ]
}
DAY = {"id": "day", "used": "sum_1d", "most_minor": 1000, "reason": "day_is_used_up"}
ONE = {"id": "one", "most_minor": 600, "reason": "too_much_at_once"}
LIMIT = {"amount": "amount", "ceilings": [DAY, ONE]}
CARD = Scorecard(
    "card",
    3,
    Scaling(),
    500,
    (
        Characteristic(Partition("age", edges=(25.0,)), (10, 30, 15, 15), "SC_AGE", "Age", "年龄"),
        Characteristic(Partition("sum", edges=(9.0,)), (40, 0, 5, 5), "SC_SUM", "Sum", "金额"),
    ),
)
MODEL = LogisticModel(
    "fraud", 2, ModelInputs(("x", "y"), (FIELD, FIELD)), (2.0, 1.0), (0.0, 0.0), (1.0, 1.0), -1.0
)


def test_a_list_finds_what_stands_on_it() -> None:
    found = answer("list", LISTS, payee="p2")
    assert found.hits == ("bad",)
    assert found.values == {
        "block": True,
        "allow": False,
        "watch": False,
        "list_reasons": ["bad_hit"],
    }
    assert answer("list", LISTS, payee="p3").values["allow"] is True
    assert answer("list", LISTS, payee="p4").hits == ()
    assert answer("list", LISTS, payee=None).hits == ()


def test_a_kept_list_is_what_its_keeper_says() -> None:
    lists = prepared("list", LISTS)
    assert lists.asks == {"seen": "payee"}
    assert lists.reads == ("payee", "list_seen")
    assert answer("list", LISTS, payee="p4", list_seen=True).values["watch"] is True
    assert answer("list", LISTS, payee="p4", list_seen=1).hits == ()


def test_a_limit_leaves_the_least_room() -> None:
    found = answer("limit", LIMIT, amount=500, sum_1d=1200)
    assert found.values == {
        "room_minor": 300,
        "is_over": True,
        "limit_is_known": True,
        "limit_reasons": ["day_is_used_up"],
    }
    assert found.hits == ("day",)
    assert answer("limit", LIMIT, amount=600, sum_1d=1000).values["is_over"] is False


@given(amount=st.integers(1, 3000), before=st.integers(0, 3000))
def test_what_a_limit_approves_is_within_it(amount: int, before: int) -> None:
    found = answer("limit", LIMIT, amount=amount, sum_1d=before + amount).values
    assert found["is_over"] == (amount > found["room_minor"])
    if found["is_over"]:
        again = found["room_minor"]
        assert answer("limit", LIMIT, amount=again, sum_1d=before + again).values["is_over"] == (
            before > 1000
        )


@pytest.mark.parametrize("values", [{}, {"amount": 5}, {"sum_1d": 5}, {"amount": 5, "sum_1d": "7"}])
def test_what_a_limit_does_not_know_it_does_not_take_for_zero(values: dict[str, Any]) -> None:
    found = answer("limit", LIMIT, **values).values
    assert (found["limit_is_known"], found["room_minor"]) == (False, None)


def test_a_scorecard_gives_points_and_what_they_lack() -> None:
    config = {"scorecard": json.loads(CARD.to_json()), "most_reasons": 1}
    found = answer("scorecard", config, age=20, sum=100)
    assert (found.values["points"], found.values["card_reasons"]) == (510, ["SC_SUM"])
    assert found.hits == ("age:0", "sum:1")
    assert answer("scorecard", config, age=20).detail == {"points": [10, 5], "missing": ["sum"]}
    with pytest.raises(NotEvaluable):
        answer("scorecard", config, age="old", sum=1)
    versions = prepared("scorecard", config).versions
    assert versions == {"scorecard.card@3": CARD.content_hash}


def test_a_model_gives_its_chance_and_what_raised_it() -> None:
    config = {
        "model": json.loads(MODEL.to_json()),
        "reasons": {"x": "rx", "y": "ry"},
        "points": 500,
        "least": 0.5,
    }
    found = answer("model", config, x=1, y=0.1)
    assert found.values["chance"] == MODEL.probability({"x": 1, "y": 0.1})
    assert found.values["model_points"] == round(500 * found.values["chance"])
    assert found.values["model_reasons"] == ["rx"]
    assert answer("model", config, x=1, y=3).values["model_reasons"] == ["ry", "rx"]
    assert answer("model", config).values["chance"] == MODEL.probability({})
    with pytest.raises(NotEvaluable):
        answer("model", config, x="much")


@given(x=st.none() | st.floats(-9, 9), y=st.none() | st.integers(-9, 9))
def test_the_chance_in_a_policy_is_that_of_the_model_to_the_bit(
    x: float | None, y: int | None
) -> None:
    config = {"model": json.loads(MODEL.to_json()), "reasons": {}}
    found = answer("model", config, x=x, y=y)
    assert found.values["chance"] == MODEL.probability({"x": x, "y": y})
    parts = zip(("x", "y"), MODEL.contributions({"x": x, "y": y}), strict=True)
    assert dict(found.detail) == {name: part for name, part in parts if part > 0}


def test_a_model_of_other_features_is_refused() -> None:
    names = ("customer_payment_count_1d",)
    stale = LogisticModel("m", 1, ModelInputs(names, ("00",)), (1.0,), (0.0,), (1.0,), 0.0)
    with pytest.raises(FeatureDefinitionDiffers):
        prepared("model", {"model": json.loads(stale.to_json()), "reasons": {}})


def custom(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    content = {"kind": kind, "config": config}
    return {"id": "n", "name": "n", "type": "customNode", "content": content}


def test_a_sub_policy_answers_as_its_document_would() -> None:
    rows = [["> 5", "'many'"], ["", "'few'"]]
    inner = document(custom("list", LISTS), table("t", ["a"], ["word"], rows, passThrough=True))
    inner["edges"][0:1] = [{"sourceId": "in", "targetId": "n"}, {"sourceId": "in", "targetId": "t"}]
    kinds = node_kinds({"inner": parse_document(inner)})
    asking = {"id": "q", "name": "q", "type": "decisionNode", "content": {"key": "inner"}}
    outer = compile_document(parse_document(document(asking)), kinds)
    direct = compile_document(parse_document(inner), NODE_KINDS)
    for values in ({"a": 7, "payee": "p1"}, {"a": 1}, {}):
        assert outer.run(values).result == direct.run(values).result
    assert outer.run({"a": 7}).hits == (Hit("q", "t/t-0"),)
    node = outer.nodes["q"]
    assert set(node.reads) >= {"a", "payee", "list_seen"}
    assert getattr(node, "asks") == {"seen": "payee"}  # noqa: B009


def test_a_sub_policy_cannot_ask_itself() -> None:
    asking = {"id": "q", "name": "q", "type": "decisionNode", "content": {"key": "me"}}
    me = parse_document(document(asking))
    with pytest.raises(DocumentIsMalformed):
        compile_document(me, node_kinds({})).run({})


BAD: list[tuple[str, dict[str, Any]]] = [
    ("list", {}),
    ("list", {"lists": []}),
    ("list", {"lists": [entry("a", "love")]}),
    ("list", {"lists": [entry("a", "block", entries=[1])]}),
    ("list", {"lists": [entry("a", "block", until="tomorrow")]}),
    ("limit", {"amount": "a", "ceilings": [{**DAY, "most_minor": -1}]}),
    ("limit", {"amount": "a", "ceilings": [{**DAY, "most_minor": 10.5}]}),
    ("limit", {"amount": "a", "ceilings": [{**DAY, "most_minor": True}]}),
    ("limit", {"amount": "", "ceilings": [DAY]}),
    ("limit", {"amount": "a", "ceilings": [DAY, DAY]}),
    ("limit", {"amount": "a", "ceilings": ["day"]}),
    ("scorecard", {"scorecard": {"form": 9}}),
    ("scorecard", {"scorecard": "card"}),
    ("model", {"model": {}, "reasons": {}}),
    ("model", {"model": json.loads(MODEL.to_json()), "reasons": {"z": "rz"}}),
]


@pytest.mark.parametrize(("kind", "config"), BAD)
def test_settings_that_are_not_understood_are_refused(kind: str, config: dict[str, Any]) -> None:
    with pytest.raises(DocumentIsMalformed) as refused:
        prepared(kind, config)
    assert refused.value.facts["node"] == "n"


@pytest.mark.parametrize("kind", sorted(NODE_KINDS))
def test_every_kind_fits_the_port(kind: str) -> None:
    port: NodeKind = NODE_KINDS[kind]
    configs: dict[str, dict[str, Any]] = {
        "list": LISTS,
        "limit": LIMIT,
        "scorecard": {"scorecard": json.loads(CARD.to_json())},
        "model": {"model": json.loads(MODEL.to_json()), "reasons": {}},
    }
    config = configs[kind]
    node = port.prepare(CustomNode("n", "n", kind, canonical(config), Shaping()))
    made = node.answer(dict.fromkeys(node.reads))
    assert set(made.values) == set(node.writes)
    whole = document(custom(kind, config), entries("e", ("x", "1")))
    assert compile_document(parse_document(whole), NODE_KINDS).run({}).notes == ()
