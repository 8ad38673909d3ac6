"""The delivered policies: each says what its examples say, and is complete by the battery."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import zen
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.decisions.model.column_values import Column
from steelyard.decisions.model.columns import ColumnPolicy
from steelyard.decisions.model.decision import OUTCOMES, Value, record_of
from steelyard.decisions.model.document import TableNode
from steelyard.decisions.model.policy import (
    FAILED,
    FLAGS,
    REASON_NAMES,
    CompiledPolicy,
    check_policy,
    codes_of,
    outcomes_of,
)
from steelyard.decisions.model.reasons import REASONS
from steelyard.decisions.model.roster import Roster
from steelyard.decisions.scenes import delivered_examples, delivered_policies
from steelyard.decisions.service.engine import replay
from steelyard.decisions.service.owner import Owner, Place
from steelyard.features import CATALOGUE, KINDS
from steelyard.features.catalogue import Aggregate, FieldType

POLICIES = delivered_policies()
SCENES = ("payment", "log_in", "loan_application", "withdrawal", "merchant_application")
AT = 1_772_442_000_000


COMMITTED = {
    "policy.payment@2": "54e562c85c1da9b2",
    "policy.log_in@1": "18ca45d5dc4dada8",
    "policy.loan_application@1": "58e5dacf9ccf0057",
    "policy.withdrawal@1": "a077ec9d85571973",
    "policy.merchant_application@1": "f419f14f8dde40ae",
}
"""A version once committed keeps its document: raise the version and write its hash here."""


def rules(scene: str) -> TableNode:
    node = POLICIES[scene].document.node("rules")
    assert isinstance(node, TableNode)
    return node


def test_every_scene_is_delivered() -> None:
    assert tuple(POLICIES) == SCENES
    for scene, policy in POLICIES.items():
        assert (policy.scene, policy.cause) == (scene, f"policy.{scene}@{policy.version}")


@pytest.mark.parametrize("scene", SCENES)
def test_a_committed_version_is_never_changed(scene: str) -> None:
    policy = POLICIES[scene]
    assert COMMITTED[policy.cause] == policy.document.hash[:16]


@pytest.mark.parametrize("scene", SCENES)
def test_nothing_is_wrong_with_a_delivered_policy(scene: str) -> None:
    examples = delivered_examples(scene)
    assert len(examples) >= 6
    assert check_policy(POLICIES[scene], examples) == ()
    assert len({one.name for one in examples}) == len(examples)


@pytest.mark.parametrize("scene", SCENES)
def test_examples_show_most_outcomes_and_every_code_has_a_text(scene: str) -> None:
    policy = POLICIES[scene]
    shown = {one.outcome for one in delivered_examples(scene)}
    assert {"approve", "decline"} <= shown <= outcomes_of(policy) <= set(OUTCOMES)
    assert codes_of(policy) <= REASONS.keys()


def test_the_payment_policy_is_as_large_as_was_asked_for() -> None:
    assert len(rules("payment").rows) >= 20
    assert rules("payment").collect
    assert len(POLICIES["payment"].reads) >= 40
    assert "model.payment@1" in POLICIES["payment"].versions


@pytest.mark.parametrize("scene", SCENES)
def test_the_weightiest_reason_comes_first(scene: str) -> None:
    points = [int(row.results[0]) for row in rules(scene).rows]
    assert points == sorted(points, reverse=True)
    assert min(points) > 0


@pytest.mark.parametrize("scene", SCENES)
def test_each_rule_says_why_it_is_there(scene: str) -> None:
    notes = [row.note for row in rules(scene).rows]
    assert all(notes)
    assert len(set(notes)) == len(notes)


@pytest.mark.parametrize("scene", SCENES)
def test_an_event_too_late_to_be_folded_is_never_approved(scene: str) -> None:
    judged = POLICIES[scene].judge({"event_is_too_late": True})
    assert judged.outcome not in ("approve", "limit")
    assert "event_came_too_late" in judged.reasons


def values_of(policy: CompiledPolicy) -> st.SearchStrategy[dict[str, Value]]:
    kind = KINDS[policy.scene]
    whole = st.one_of(st.integers(0, 12), st.integers(0, 10**12))
    number = st.one_of(st.none(), whole, st.floats(-50, 50))
    texts = st.one_of(st.none(), st.sampled_from(["CN", "BR", "c1", "crypto", "EUR", "CNY", "car"]))
    known: dict[str, st.SearchStrategy[Any]] = {
        name: texts if CATALOGUE[name].aggregate is Aggregate.LAST else number
        for name in policy.reads
    }
    by_type = {
        FieldType.TEXT: texts,
        FieldType.INTEGER: st.one_of(st.none(), whole),
        FieldType.FLAG: st.one_of(st.none(), st.booleans()),
    }
    for name, type_ in kind.fields.items():
        if name not in kind.labels:
            known[name] = by_type[type_]
    flags = (*FLAGS, *(f"list_{one}" for one in policy.lists))
    known |= dict.fromkeys(flags, st.sampled_from([None, None, None, True]))
    return st.fixed_dictionaries({}, optional=known)


@pytest.mark.parametrize("scene", SCENES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_comes_a_policy_never_fails(scene: str, data: st.DataObject) -> None:
    policy = POLICIES[scene]
    values = data.draw(values_of(policy))
    judged = policy.judge(values)
    assert FAILED not in judged.reasons, judged
    assert set(judged.reasons) <= REASONS.keys()
    assert judged.outcome == "approve" or judged.reasons
    assert (judged.limit_minor is not None) == (judged.outcome == "limit")
    assert policy.judge(dict(reversed([*values.items()]))) == judged
    assert json.loads(json.dumps(judged.trace)) == list(judged.trace)


@pytest.mark.parametrize("scene", SCENES)
def test_the_reference_engine_opens_the_document_and_says_the_same(scene: str) -> None:
    """Nodes of our own kinds are answered for it; the rest is its own."""
    policy = POLICIES[scene]
    content = json.loads(policy.document.content)
    edges = [
        {"id": f"{n}", "type": "edge", "sourceId": edge[0], "targetId": edge[1]}
        for n, edge in enumerate(content["edges"])
    ]

    def answer(request: Any) -> Any:
        node = policy.compiled.nodes[request.node["id"]]
        return {"output": dict(node.answer(request.input).values)}

    engine = zen.ZenEngine(
        {
            "loader": {
                "type": "static",
                "content": {"k": {"nodes": content["nodes"], "edges": edges}},
            },
            "customHandler": answer,
        }
    )
    for one in delivered_examples(scene):
        blank = dict.fromkeys(policy.reads)
        found = engine.evaluate("k", {**blank, **one.values})["result"]
        ours = policy.compiled.run({**blank, **one.values}).result
        for key in ("outcome", "score", "limit_minor", *REASON_NAMES):
            assert found.get(key) == ours.get(key), (one.name, key)


@pytest.mark.parametrize("scene", SCENES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_over_columns_a_policy_decides_as_it_does_one_by_one(
    scene: str, data: st.DataObject
) -> None:
    policy = POLICIES[scene]
    drawn = data.draw(st.lists(values_of(policy), min_size=1, max_size=12))
    rows = [*drawn, *(dict(one.values) for one in delivered_examples(scene))]
    names = sorted(policy.compiled.reads)
    columns = {name: Column.of([row.get(name) for row in rows]) for name in names}
    decided = ColumnPolicy(policy.compiled).run(columns, len(rows)).columns
    for n, row in enumerate(rows):
        whole = {name: columns[name].at(n) for name in names}
        found = policy.compiled.run(whole).result
        for key in ("outcome", "score", "limit_minor", "reasons", "list_reasons", "limit_reasons"):
            column = decided.get(key)
            assert (None if column is None else column.at(n)) == found.get(key), (key, row)


def test_the_owner_decides_with_them_and_a_replay_gives_the_same_bytes(database: Database) -> None:
    owner = Owner(database, Roster.of(POLICIES), Place("one"))

    async def ask(scene: str, number: int, **fields: Any) -> Any:
        body = json.dumps({"id": f"e{number}", "at_ms": AT + number * 60_000, "fields": fields})
        return await owner.ask(scene, body.encode(), now_ms=AT + 10**9)

    async def day() -> list[Any]:
        made = [
            await ask("payment", n, customer="c1", card="k1", terminal="t1", merchant="m1",
                      amount_minor=100, currency="CNY", is_online=True, device="d1")
            for n in range(6)
        ]  # fmt: skip
        made += [
            await ask("withdrawal", 10 + n, customer="c1", payee="p1", amount_minor=4_000_000)
            for n in range(3)
        ]
        made.append(await ask("log_in", 20, customer="c1", device="d1", succeeded=True))
        made.append(await ask("loan_application", 21, customer="c1", amount_minor=400_000,
                              income_minor=900_000, term_months=6, purpose="goods"))  # fmt: skip
        made.append(await ask("merchant_application", 22, merchant="m1", owner="o1", payee="p1",
                              industry="grocery", monthly_minor=1000))  # fmt: skip
        return made

    made = asyncio.run(day())
    owner.close()
    assert [one.outcome for one in made[:6]] == ["approve"] * 3 + ["step_up"] * 3
    assert made[3].reasons[0] == "too_many_payments"
    last = made[8]
    assert (last.outcome, last.limit_minor) == ("limit", 2_000_000)
    assert [one.outcome for one in made[9:]] == ["approve"] * 3
    for one in made:
        assert record_of(replay(one, POLICIES[one.asked.scene])) == record_of(one)
