"""The history of an entity: what was put out comes back as it was; profiles of any instant."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

from steelyard.base import Database
from steelyard.decisions import Decision
from steelyard.decisions.model.decision import Value
from steelyard.decisions.service.follower import Follower
from steelyard.decisions.service.history import EntityHistory, extend_trail
from steelyard.decisions.service.owner import Owner, Place, wanted_of
from steelyard.decisions.service.state import State, event_of
from steelyard.decisions.store import folds
from steelyard.features import Event, profiles
from tests.decisions.rules import Fixed
from tests.decisions.test_owner import AT, FewAnHour, body
from tests.decisions.test_state import fraud, paid, tell

READS = (
    "customer_payment_count_1h",
    "customer_payment_sum_1d",
    "customer_payment_mean_7d",
    "customer_fraud_sum_90d",
    "card_payment_count_1d",
    "device_payment_count_1h",
)


class Wide(FewAnHour):
    """Reads about several entities."""

    reads = READS  # type: ignore[assignment]


RULES = Fixed({"payment": Wide()})


def write_trail(database: Database, limit: int) -> int:
    with database.unit_of_work(actor="system:test") as unit:
        return extend_trail(unit, limit=limit)


def live(database: Database, owner: Owner) -> list[Decision]:
    """Two hundred payments of twenty customers, labels and facts between them."""
    chance = random.Random(7)

    async def run() -> list[Decision]:
        made: list[Decision] = []
        for n in range(200):
            customer = f"c{chance.randrange(20)}"
            late = chance.randrange(100) if chance.random() < 0.2 else 0
            question = body(
                n,
                AT + (n - late) * 60_000,
                customer=customer,
                card=f"k{customer}",
                device=f"d{chance.randrange(6)}",
                amount_minor=chance.randrange(1, 900),
            )
            made.append(await owner.ask("payment", question, now_ms=AT + 10**9))
            if n % 17 == 3:
                unasked = paid(1_000 + n, n, customer=customer, card="other")
                label = fraud(n, n - 1, at_ms=AT + n * 60_000, customer=customer)
                tell(database, label, unasked._replace(event_id=f"unasked{n}"))
                owner.hear(owner.untold(), now_ms=AT + 10**9)
            if n % 50 == 20:
                write_trail(database, 30)
        return made

    return asyncio.run(run())


def straight(database: Database) -> dict[int, dict[str, Value]]:
    """The values of every question, from a state that holds everything."""
    state = State(wanted_of(RULES))
    found = {}
    with database.reading() as connection:
        for fold in folds.read_folds(connection, 0, after=-1, up_to=10**9):
            if fold.asked is None:
                state.again(fold)
            else:
                known, _ = state.fold(event_of(fold.asked, fold.fold_seq))
                found[fold.fold_seq] = {name: known.get(name) for name in READS}
    return found


def test_what_was_put_out_comes_back_as_it_was(database: Database) -> None:
    owner = Owner(database, RULES, Place("one"), most_entities=5)
    made = live(database, owner)
    assert owner.engine.state.stream.entities <= 8
    owner.close()
    expected = straight(database)
    assert [one.values for one in made] == [expected[one.sequence] for one in made]
    assert any(one.values["customer_fraud_sum_90d"] for one in made)
    assert any(one.flags.get("event_is_too_late") for one in made)
    follower = Follower(database, wanted_of(RULES), most_entities=5)
    follower.catch_up()
    after = Owner(database, RULES, Place("two"), follower=follower, most_entities=5)
    question = body(300, AT + 200 * 60_000, customer="c3", card="kc3", device="d1")
    (last,) = asyncio.run(after.ask_all("payment", [question], now_ms=AT + 10**9))
    after.close()
    assert last.values == straight(database)[last.sequence]


def test_a_history_is_the_same_however_far_the_trail_is_written(database: Database) -> None:
    owner = Owner(database, RULES, Place("one"))
    live(database, owner)
    owner.close()
    history = EntityHistory(database)
    asked = [("customer", "c3"), ("card", "kc4"), ("device", "d1"), ("customer_device", "c3|d1")]
    before = [list(history.of(*one)) for one in asked]
    while write_trail(database, 70):
        assert [list(history.of(*one)) for one in asked] == before
    for (entity, value), found in zip(asked, before, strict=True):
        events = [one for one in found if isinstance(one, Event)]
        assert events
        assert all(one.fields[entity] == value for one in events)
        assert [one.sequence for one in found] == sorted(one.sequence for one in found)


def test_a_profile_of_a_past_instant_is_what_was_decided_by(database: Database) -> None:
    owner = Owner(database, RULES, Place("one"))
    made = asyncio.run(
        owner.ask_all("payment", [body(n, card="k") for n in range(9)], now_ms=AT + 10**9)
    )
    owner.close()
    for one in made:
        at = datetime.fromtimestamp(one.asked.at_ms / 1_000, UTC)
        for entity, value in (("customer", "c1"), ("card", "k")):
            known = profiles.profile(EntityHistory(database), entity, value, at)
            found = {each.feature.name: each.value for each in known.features}
            wanted = {n: v for n, v in one.values.items() if n.startswith(f"{entity}_")}
            assert {name: found[name] for name in wanted} == wanted
            assert max(e.fresh_at for e in known.features if e.fresh_at is not None) == at
    empty = profiles.profile(EntityHistory(database), "card", "nobody", at + timedelta(days=1))
    assert all(each.fresh_at is None for each in empty.features)
