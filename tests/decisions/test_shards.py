"""More shards, proved offline: the same values, and a record that needs no other shard."""

from __future__ import annotations

import random
from typing import Any, cast

from steelyard.decisions.model.decision import Asked, Decision, record_of
from steelyard.decisions.scenes import delivered_policies
from steelyard.decisions.service.engine import Engine, replay
from steelyard.decisions.service.shards import ShardedState, shard_of, shards_of
from steelyard.decisions.service.state import GRAPH, State, event_of
from tests.decisions.rules import Fixed
from tests.decisions.test_owner import AT

POLICIES = {"payment": delivered_policies()["payment"]}
WANTED = {"payment": tuple(name for name in POLICIES["payment"].reads if name not in GRAPH)}
SHARDS = 4


def payments(count: int) -> list[Asked]:
    chance = random.Random(11)
    at_ms, made = AT, []
    for number in range(count):
        at_ms += chance.randrange(1, 900_000)
        customer = chance.randrange(12)
        fields: dict[str, Any] = {
            "customer": f"c{customer}",
            "card": f"k{customer}",
            "device": f"d{chance.randrange(5)}",
            "terminal": f"t{chance.randrange(6)}",
            "merchant": f"m{chance.randrange(4)}",
            "amount_minor": chance.randrange(1, 90_000),
        }
        made.append(Asked(scene="payment", id=f"p{number}", at_ms=at_ms, fields=fields))
    return made


def decided(state: State | ShardedState, asked: list[Asked]) -> list[Decision]:
    engine = Engine(Fixed(POLICIES), cast("State", state))
    return [engine.decide(one, now_ms=one.at_ms) for one in asked]


def test_shards_decide_as_one_and_each_has_the_state_of_its_own_order() -> None:
    asked = payments(400)
    states = [State(WANTED) for _ in range(SHARDS)]
    apart = decided(ShardedState(states, WANTED), asked)
    together = decided(State(WANTED), asked)
    assert [one.values for one in apart] == [one.values for one in together]
    assert [(x.outcome, x.reasons) for x in apart] == [(x.outcome, x.reasons) for x in together]
    elsewhere = [one for one in apart if len(one.flags) > 1]
    assert len(elsewhere) > 200, "most events name entities of several shards"
    assert all(state.sequence < len(asked) - 1 for state in states), "none folds everything"
    for number, state in enumerate(states):
        again = State(WANTED)
        for one in asked:
            event = event_of(one, again.sequence + 1)
            if number in shards_of(event, SHARDS):
                again.fold(event)
        assert again.digest == state.digest


def test_the_record_says_where_each_shard_stood_and_a_replay_asks_none() -> None:
    asked = payments(60)
    states = [State(WANTED) for _ in range(SHARDS)]
    last = [-1] * SHARDS
    for one in decided(ShardedState(states, WANTED), asked):
        for number in range(SHARDS):
            place = one.flags.get(f"folded_in_shard_{number}")
            if place is not None:
                assert place == last[number] + 1, "as of the next place in that shard's order"
                last[number] = cast("int", place)
        assert record_of(replay(one, POLICIES["payment"])) == record_of(one)


def test_entities_are_spread_and_stay_where_they_are() -> None:
    owners = [shard_of("customer", f"c{n}", 4) for n in range(4_000)]
    assert all(900 < owners.count(shard) < 1_100 for shard in range(4))
    assert owners == [shard_of("customer", f"c{n}", 4) for n in range(4_000)]
    assert shard_of("card", "c1", 10**9) != shard_of("customer", "c1", 10**9)
