"""A home from before all payments were one scene: its words stay, and are read as today's."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
import sqlalchemy as sa

from steelyard.base import Database
from steelyard.decisions import Decision, policies
from steelyard.decisions.model.decision import Asked, decide, record_of
from steelyard.decisions.model.lifecycle import Committed, Content, How
from steelyard.decisions.model.policy import CompiledPolicy, make_policy
from steelyard.decisions.model.roster import DEFAULT_BUDGET
from steelyard.decisions.nodes import node_kinds
from steelyard.decisions.scenes import delivered_policies, delivered_source
from steelyard.decisions.service.engine import inputs_of
from steelyard.decisions.service.history import EntityHistory
from steelyard.decisions.service.log import DecisionLog, verify_log
from steelyard.decisions.service.owner import Owner, Place
from steelyard.decisions.service.proof import replay_decision
from steelyard.decisions.store import policies as table
from steelyard.features import catalogue
from tests.decisions.desk import ANN
from tests.decisions.test_owner import body
from tests.decisions.test_state import fraud, paid, tell

AT = 1_772_442_000_000
OLD = "card_payment"


def policy_of_old() -> CompiledPolicy:
    source, _ = delivered_source("payment")
    fails = delivered_policies()["payment"].fails
    return make_policy(OLD, 1, source, scene=OLD, fails=fails, kinds=node_kinds())


def decided(policy: CompiledPolicy, number: int) -> Decision:
    """Return what the owner of then said to a payment by card, in the words of then."""
    fields: dict[str, int | str | bool | None] = {
        "customer": "c1",
        "card": "k1",
        "amount_minor": 700,
    }
    at_ms = AT + number * 60_000
    values = dict.fromkeys(policy.reads)
    complete = catalogue.complete(OLD, at_ms, fields)
    return decide(
        Asked(scene=OLD, id=f"p{number}", at_ms=at_ms, fields=fields),
        UUID(int=number),
        policy.judge(inputs_of(complete, values, {})),
        subject="customer:c1",
        sequence=number,
        values=values,
        flags={},
        versions={"policy": policy.cause, **policy.versions},
        decided_at_ms=at_ms,
    )


def kept(database: Database, how: How) -> Committed:
    """Keep a policy of the old scene as it was kept then, and in force by one of two ways."""
    policy = policy_of_old()
    source, examples = delivered_source("payment")

    with database.unit_of_work(actor=ANN) as unit:
        content = Content(source, policy.fails, examples, DEFAULT_BUDGET, "What we want.")
        made = Committed(OLD, 1, content, policy.document.hash, (), ANN, unit.now)
        table.insert_version(unit.connection, made)
        table.put_stand(unit.connection, table.Stand(OLD, 1))
        table.insert_promotion(
            unit.connection,
            table.Promotion(unit.new_id(), OLD, 1, None, how, "approval:1", ANN, unit.now),
        )
    return made


def test_a_log_of_old_words_is_folded_replayed_and_never_rewritten(database: Database) -> None:
    policy = policy_of_old()
    kept(database, How.INSTALL)
    log = DecisionLog(database, holder="then", address="")
    made = [decided(policy, number) for number in (1, 2, 3)]
    log.write(made)
    # A label of then and a fact of now tell of payments that were decided then.
    tell(database, fraud(1, 1, at_ms=AT + 120_000, customer="c1")._replace(kind=OLD), paid(2, 2))

    desk_roster = database.transact(policies.install_delivered, actor=ANN)
    assert "payment" in desk_roster
    with database.reading() as connection:
        roster = policies.load_roster(connection)
    assert OLD not in roster.scenes
    owner = Owner(database, roster, Place("now"))

    async def ask() -> Decision:
        owner.hear(owner.untold(), now_ms=AT + 10**9)
        question = body(4, AT + 240_000, customer="c1", card="k1", amount_minor=700)
        return await owner.ask("payment", question, now_ms=AT + 10**9)

    asked = asyncio.run(ask())
    owner.close()
    assert asked.values["card_payment_count_1h"] == 4, "three of then, one of now, none twice"
    assert asked.values["customer_fraud_sum_90d"] == 1
    history = EntityHistory(database).of("card", "k1")
    assert {(one.kind, type(one).__name__) for one in history} == {
        ("payment", "Event"),
        ("payment", "Label"),
    }
    with database.reading() as connection:
        assert verify_log(connection).first_bad is None
        scenes = connection.execute(sa.text("SELECT scene FROM decisions.log ORDER BY number"))
        assert [*scenes.scalars()] == [OLD] * 3 + ["payment"]
        again = replay_decision(connection, made[0].id, policies.policy_that_made)
    assert again.is_equal, again.differing
    assert record_of(again.recorded) == record_of(made[0])


@pytest.mark.parametrize(("how", "expected"), [(How.PROMOTE, 2), (How.ROLL_BACK, 2)])
def test_what_people_put_in_force_goes_on_under_the_new_name(
    database: Database, how: How, expected: int
) -> None:
    old = kept(database, how)
    database.transact(policies.install_delivered, actor=ANN)
    with database.reading() as connection:
        (made,) = table.promotions(connection, "payment")
        now = policies.read_version(connection, "payment", expected)
    assert (made.version, made.cause) == (expected, "policy.card_payment@1")
    assert now.content == old.content


def test_what_was_only_delivered_is_delivered_anew(database: Database) -> None:
    kept(database, How.INSTALL)
    database.transact(policies.install_delivered, actor=ANN)
    with database.reading() as connection:
        (made,) = table.promotions(connection, "payment")
    assert (made.version, made.cause) == (delivered_policies()["payment"].version, "delivered")
