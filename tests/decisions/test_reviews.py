"""Reviews: a case for each decision that waits, explained to the bit, and what people find."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import lightgbm
import numpy as np
import pytest
import sqlalchemy as sa

from steelyard.base import Database
from steelyard.base.http import Caller
from steelyard.cases import CaseState, closing, reading, working
from steelyard.decisions.model.decision import Asked, Decision, Judgement, decide
from steelyard.decisions.model.explanation import (
    Attributor,
    Urgency,
    decode_explanation,
    encode_explanation,
    explain,
    sentence_of,
    urgency_of,
    values_read,
)
from steelyard.decisions.model.gbm import GbmModel
from steelyard.decisions.model.inputs import FIELD, ModelInputs
from steelyard.decisions.model.policy import CompiledPolicy, Fails, make_policy
from steelyard.decisions.nodes import node_kinds
from steelyard.decisions.scenes import delivered_examples, delivered_policies
from steelyard.decisions.service import reviews, upkeep
from steelyard.decisions.service.engine import inputs_of
from steelyard.decisions.service.log import DecisionLog
from steelyard.decisions.service.policies import install_delivered, load_roster
from steelyard.decisions.store import reviews as store
from steelyard.events import drain
from steelyard.features import catalogue
from steelyard.kernel import SteppingClock
from tests.conftest import START
from tests.decisions.jdm import document, entries

ANN = Caller("staff:00000000-0000-7000-8000-00000000000a", frozenset({"*"}))
AT_MS = int(START.timestamp()) * 1_000
POLICIES = delivered_policies()


def judged(
    name: str,
    example: str,
    *,
    scene: str = "payment",
    sequence: int = 1,
    customer: str = "c7",
    **more: int | str | None,
) -> Decision:
    """The decision that a delivered policy takes in one of its examples."""
    policy = POLICIES[scene]
    given = next(one for one in delivered_examples(scene) if one.name.startswith(example)).values
    values = {one: given.get(one) for one in policy.reads}
    fields = {k: v for k, v in given.items() if k not in values and not k.startswith("list_")}
    asked = Asked(
        scene=scene,
        id=name,
        at_ms=AT_MS,
        fields={**fields, "customer": customer, "currency": "CNY", **more},  # type: ignore[arg-type]
    )
    complete = catalogue.complete(scene, AT_MS, asked.fields)
    return decide(
        asked,
        UUID(int=sequence),
        policy.judge(inputs_of(complete, values, {})),
        subject=f"customer:{customer}",
        sequence=sequence,
        values=values,
        flags={},
        versions={"policy": policy.cause, **policy.versions},
        decided_at_ms=AT_MS,
    )


RISKY = "A terminal of which much"


def open_all(database: Database) -> int:
    return reviews.Opener().open_all(database, database.transact)


def cases(database: Database) -> list[reading.CaseFile]:
    with database.reading() as connection:
        page = reading.list_cases(connection, reading.CaseFilter(), now=START)
        return [reading.read_file(connection, one.id) for one in reversed(page.items)]


def close(database: Database, case: UUID, outcome: str) -> None:
    with database.unit_of_work(actor=ANN.actor) as unit:
        working.claim(unit, case, by=ANN)
        closing.close(unit, case, outcome, by=ANN)
    drain(database, (upkeep.people_found,))


def told(database: Database) -> list[dict[str, object]]:
    with database.reading() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT payload FROM events.log WHERE kind = 'decisions.DecisionReviewed'"
                " ORDER BY sequence"
            )
        )
        return [
            row.payload if isinstance(row.payload, dict) else json.loads(row.payload)
            for row in rows
        ]


# --- opening -------------------------------------------------------------------------------------


def test_a_decision_that_waits_is_before_people_explained(database: Database) -> None:
    decision = judged("p1", RISKY)
    assert decision.outcome == "review"
    usual = judged("p2", "A usual payment", sequence=2)
    log = DecisionLog(database, holder="a")
    log.write([decision, usual])
    assert open_all(database) == 1
    (file,) = cases(database)
    case = file.case
    assert (case.kind, case.subject, case.state) == (
        "decisions.review",
        "customer:c7",
        CaseState.OPEN,
    )
    assert case.event is not None
    assert (case.event.kind, case.event.id) == ("payment", "p1")
    assert [one.target for one in file.links] == [f"decision:{decision.id}"]
    (note,) = file.notes
    assert "Fraud was reported at this place." in note.text
    assert "该商户或终端曾被报告欺诈。" in note.text
    assert ", linear: " in note.text
    (evidence,) = file.evidence
    with database.reading() as connection:
        kept, explanation = reviews.read_explanation(connection, decision.id)
        with pytest.raises(reviews.DecisionIsNotReviewed):
            reviews.read_explanation(connection, usual.id)
    assert evidence.content_hash == sha256(kept.explanation).hexdigest()
    assert explanation.values == decision.values
    assert (explanation.score, explanation.amount[:4]) == (decision.score, "CNY ")
    (model,) = explanation.models
    found = POLICIES["payment"].compiled.nodes["model"].model  # type: ignore[attr-defined]
    total = model.base + sum(one.add for one in model.parts)
    assert total == pytest.approx(found.raw(values_read(decision)), abs=1e-9)


def test_a_decision_is_before_people_once(database: Database) -> None:
    log = DecisionLog(database, holder="a")
    log.write([judged("p1", RISKY)])
    assert open_all(database) == 1
    assert open_all(database) == 0
    with database.reading() as connection:
        seen = store.read_waiting(connection, 0, ("review",), limit=9)
    assert (seen.head, seen.read_to, seen.decisions) == (1, 1, ())
    # Somebody else looked through the log meanwhile: this one writes nothing.
    with database.unit_of_work() as unit:
        stale = store.Waiting(0, 0, (), 1)
        assert not store.move_head(unit.connection, stale)
    # And were it looked through again, the same decision would change nothing.
    with database.unit_of_work() as unit:
        decision = judged("p1", RISKY)
        reviews.open_review(unit, decision, explain(decision, None))
    (file,) = cases(database)
    assert (file.case.signals, len(file.notes)) == (1, 1)


def test_decisions_about_one_customer_are_one_case(database: Database) -> None:
    log = DecisionLog(database, holder="a")
    log.write([judged(f"p{n}", RISKY, sequence=n) for n in (1, 2, 3)])
    log.write([judged("p4", RISKY, sequence=4, customer="c8")])
    open_all(database)
    first, second = sorted(cases(database), key=lambda file: file.case.subject)
    assert (first.case.signals, second.case.signals) == (3, 1)
    assert len(first.notes) == len(first.evidence) == len(first.links) == 3
    assert first.case.priority > second.case.priority, "three signals are more urgent"


def test_many_decisions_are_opened_in_steps(database: Database) -> None:
    many = reviews.AT_ONCE + 3
    log = DecisionLog(database, holder="a")
    log.write([judged(f"p{n}", RISKY, sequence=n, customer=f"c{n}") for n in range(1, many + 1)])
    assert open_all(database) == many
    with database.reading() as connection:
        count = connection.execute(sa.text("SELECT count(*) FROM decisions.review")).scalar_one()
    assert count == many


def test_two_who_open_at_once_open_each_case_once(database: Database) -> None:
    many = reviews.AT_ONCE + 9
    log = DecisionLog(database, holder="a")
    log.write([judged(f"p{n}", RISKY, sequence=n, customer=f"c{n}") for n in range(1, many + 1)])
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(open_all, database) for _ in range(2)]
        assert sum(one.result() for one in done) >= many
    with database.reading() as connection:
        signals = connection.execute(
            sa.text("SELECT count(*), max(signals) FROM cases.case_file")
        ).one()
    assert tuple(signals) == (many, 1)


def test_what_is_no_reference_is_put_before_people_all_the_same(database: Database) -> None:
    log = DecisionLog(database, holder="a")
    strange = judged("p1", RISKY, customer="某人 one")
    log.write([strange])
    open_all(database)
    (file,) = cases(database)
    assert file.case.subject == f"decision:{strange.id}"


def test_a_log_in_is_labelled_as_taken_over(database: Database) -> None:
    one = judged("l1", "A usual log-in", scene="log_in")
    held = decide(
        one.asked,
        one.id,
        Judgement("hold", None, ("device_is_new",), None, one.trace),
        subject=one.subject,
        sequence=1,
        values=one.values,
        flags={},
        versions=one.versions,
        decided_at_ms=AT_MS,
    )
    DecisionLog(database, holder="a").write([held])
    open_all(database)
    (file,) = cases(database)
    assert file.case.kind == "decisions.takeover"


# --- what people find ----------------------------------------------------------------------------


def test_what_people_find_is_the_label_of_each_event(database: Database) -> None:
    log = DecisionLog(database, holder="a")
    log.write([judged(f"p{n}", RISKY, sequence=n) for n in (1, 2)])
    open_all(database)
    (file,) = cases(database)
    close(database, file.case.id, "fraud")
    first, second = told(database)
    assert first["decision"] == str(UUID(int=1))
    assert first.get("label_field") is None, "the closing is its label"
    assert (second["event_kind"], second["event_id"]) == ("payment", "p2")
    assert (second["label_field"], second["label_value"]) == ("is_fraud", 1)
    assert second["known_at_ms"] == AT_MS
    with database.reading() as connection:
        assert load_roster(connection).standings["payment"].snoozes == {}


def test_who_is_found_genuine_may_try_again(database: Database, clock: SteppingClock) -> None:
    with database.unit_of_work() as unit:
        install_delivered(unit)
    decision = judged("p1", RISKY)
    DecisionLog(database, holder="a").write([decision])
    open_all(database)
    (file,) = cases(database)
    close(database, file.case.id, "genuine")
    (one,) = told(database)
    assert (one["outcome"], one.get("label_field")) == ("genuine", None)
    with database.reading() as connection:
        roster = load_roster(connection)
    values = inputs_of(
        catalogue.complete("payment", AT_MS, decision.asked.fields), decision.values, {}
    )
    chosen = roster.choose("payment", decision.subject, AT_MS)
    again = chosen.policy.judge(values)
    assert again.outcome == "approve", "the rule that hit is left out for this customer"
    assert roster.choose("payment", "customer:c8", AT_MS).policy.judge(values).outcome == ("review")
    later = AT_MS + reviews.RELEASED // timedelta(milliseconds=1) + 1
    assert (
        roster.choose("payment", decision.subject, later).policy.judge(values).outcome == "review"
    ), "for a day"


def released(database: Database) -> list[dict[str, list[str]]]:
    with database.reading() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT detail::text AS detail FROM base.audit WHERE action = 'decisions.release'"
            )
        )
        return [json.loads(row.detail) for row in rows]


def test_a_release_is_audited_and_twice_is_once(database: Database) -> None:
    with database.unit_of_work() as unit:
        install_delivered(unit)
    log = DecisionLog(database, holder="a")
    log.write([judged(f"p{n}", RISKY, sequence=n) for n in (1, 2)])
    open_all(database)
    (file,) = cases(database)
    close(database, file.case.id, "genuine")
    first, second = sorted(released(database), key=lambda one: -len(one["left_out"]))
    assert first["left_out"]
    assert all(rule.startswith("rules/") for rule in first["left_out"]), "no band of the score"
    assert second["left_out"] == []


def test_where_no_policy_stands_nothing_is_left_out(database: Database) -> None:
    DecisionLog(database, holder="a").write([judged("p1", RISKY)])
    open_all(database)
    (file,) = cases(database)
    close(database, file.case.id, "genuine")
    (one,) = released(database)
    assert one["left_out"] == []


def test_what_cannot_be_told_changes_nothing(database: Database) -> None:
    DecisionLog(database, holder="a").write([judged("p1", RISKY)])
    open_all(database)
    (file,) = cases(database)
    close(database, file.case.id, "unclear")
    (one,) = told(database)
    assert one.get("label_field") is None


# --- explaining ----------------------------------------------------------------------------------


FIELDS = ("amount_minor", "hour", "is_online")


def boosted() -> tuple[lightgbm.Booster, CompiledPolicy]:
    """A policy that asks boosted trees about fields, one of them worked out when it came in."""
    chance = np.random.default_rng(5)
    matrix = np.column_stack(
        [chance.lognormal(8, 1, 800), chance.integers(0, 24, 800), chance.integers(0, 2, 800)]
    )
    bad = (matrix[:, 0] > 5_000) ^ (matrix[:, 1] < 6)
    params = {"objective": "binary", "verbose": -1, "num_leaves": 7, "num_threads": 1}
    data = lightgbm.Dataset(matrix, bad.astype(int), feature_name=list(FIELDS))
    booster = lightgbm.train(params, data, 8)
    model = GbmModel("trees", 1, ModelInputs(FIELDS, (FIELD,) * 3), booster.model_to_string())
    config = {"model": json.loads(model.to_json()), "reasons": {}}
    node = {"id": "m", "name": "m", "type": "customNode",
            "content": {"kind": "model", "config": config}}  # fmt: skip
    said = entries("said", ("outcome", "'review'"), ("score", "model_points"), ("reasons", "[]"))
    policy = make_policy(
        "payment", 9, document(node, said), scene="payment", fails=Fails.OPEN,
        kinds=node_kinds(),
    )  # fmt: skip
    return booster, policy


def asked_of(policy: CompiledPolicy) -> Decision:
    fields: dict[str, int | str | bool | None] = {"amount_minor": 7_700, "is_online": True}
    complete = catalogue.complete("payment", AT_MS, fields)
    return decide(
        Asked(scene="payment", id="x", at_ms=AT_MS, fields=fields),
        UUID(int=1),
        policy.judge(inputs_of(complete, {}, {})),
        subject="nobody:unknown",
        sequence=1,
        values={},
        flags={},
        versions={"policy": policy.cause},
        decided_at_ms=AT_MS,
    )


def test_trees_are_explained_by_exact_shapley_values() -> None:
    booster, policy = boosted()
    decision = asked_of(policy)
    explanation = explain(decision, Attributor(policy))
    (model,) = explanation.models
    assert (model.method, model.model) == ("tree_shap", "trees@1")
    hour = catalogue.complete("payment", AT_MS, {})["hour"]
    expected = booster.predict(np.array([[7_700.0, hour, 1.0]]), pred_contrib=True)[0].tolist()
    found = {one.input: one.add for one in model.parts}
    assert [found[name] for name in FIELDS] == pytest.approx(expected[:3], abs=1e-12)
    assert model.base == pytest.approx(expected[3], abs=1e-12)
    assert [abs(one.add) for one in model.parts] == sorted(map(abs, found.values()), reverse=True)


def test_without_lightgbm_the_paths_are_told_and_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    booster, policy = boosted()
    monkeypatch.setattr("steelyard.decisions.model.gbm.native_library", lambda: None)
    (model,) = explain(asked_of(policy), Attributor(policy)).models
    assert model.method == "tree_paths"
    hour = catalogue.complete("payment", AT_MS, {})["hour"]
    raw = booster.predict(np.array([[7_700.0, hour, 1.0]]), raw_score=True)[0]
    assert model.base + sum(one.add for one in model.parts) == pytest.approx(raw, abs=1e-9)


def test_an_explanation_is_kept_to_the_byte() -> None:
    explanation = explain(judged("p1", RISKY), Attributor(POLICIES["payment"]))
    content = encode_explanation(explanation)
    assert encode_explanation(decode_explanation(content)) == content
    assert sentence_of(explanation, "zh-CN").startswith("结论 review")
    assert sentence_of(explanation, "en").startswith("Outcome review")


def test_the_points_of_a_scorecard_are_told() -> None:
    decision = judged("l1", "A weak card", scene="loan_application")
    explanation = explain(decision, Attributor(POLICIES["loan_application"]))
    (card,) = explanation.models
    assert card.method == "points"
    assert {one.input for one in card.parts} <= {*decision.values, *decision.asked.fields}


def test_without_the_policy_the_rest_is_told() -> None:
    explanation = explain(judged("p1", RISKY), None)
    assert explanation.models == ()
    assert explanation.reasons[0].en


@pytest.mark.parametrize(
    ("amount_minor", "score", "outcome", "expected"),
    [
        (1_000, 300, "review", Urgency.LOW),
        (20_000, 300, "review", Urgency.NORMAL),
        (20_000, 300, "hold", Urgency.HIGH),
        (200_000, 800, "review", Urgency.HIGH),
        (5_000_000, 900, "review", Urgency.URGENT),
        (5_000_000, 900, "hold", Urgency.URGENT),
        (None, 900, "review", Urgency.HIGH),
        (None, 300, "review", Urgency.NORMAL),
        (None, None, "hold", Urgency.HIGH),
    ],
)
def test_urgency_goes_by_what_is_at_stake(
    amount_minor: int | None, score: int | None, outcome: str, expected: Urgency
) -> None:
    one = judged("p1", RISKY)
    fields = {**one.asked.fields, "amount_minor": amount_minor}
    decision = decide(
        Asked(scene="payment", id="x", at_ms=AT_MS, fields=fields),
        one.id,
        Judgement(outcome, score, ()),
        subject=one.subject,
        sequence=1,
        values={},
        flags={},
        versions=one.versions,
        decided_at_ms=AT_MS,
    )
    assert urgency_of(decision) is expected
