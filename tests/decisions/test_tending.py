"""What an owner does beside answering: it hears, takes newer rules, and stops a rule in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from steelyard.base import Database
from steelyard.decisions.model.guards import Stop
from steelyard.decisions.service import guards, policies
from steelyard.decisions.service.log import TenureIsOver
from steelyard.decisions.service.owner import Owner, Place
from steelyard.decisions.service.tending import StoredRules, tend
from tests.decisions.test_owner import AT, body
from tests.decisions.test_state import fraud, tell

RULE = "rules/P16"
NOW = AT + 10**9


@pytest.fixture
def rules(database: Database) -> StoredRules:
    with database.unit_of_work(actor="system:test") as unit:
        policies.install_delivered(unit)
    return StoredRules(database)


async def once(owner: Owner, verb: str, do: Callable[[], Any], tending: asyncio.Task[None]) -> None:
    """Do something, and return when the owner has used a verb of its own because of it."""
    used = asyncio.Event()
    real = getattr(owner, verb)

    def noting(*args: Any, **kwargs: Any) -> Any:
        done = real(*args, **kwargs)
        if verb != "hear" or args[0]:
            used.set()
        return done

    setattr(owner, verb, noting)
    await asyncio.to_thread(do)
    waiting = asyncio.create_task(used.wait())
    await asyncio.wait([waiting, tending], timeout=60, return_when=asyncio.FIRST_COMPLETED)
    setattr(owner, verb, real)
    assert used.is_set()


def test_it_hears_follows_newer_rules_and_stops_what_is_over_budget(
    database: Database, rules: StoredRules
) -> None:
    owner = Owner(database, rules.present, Place("one"))

    def stop() -> None:
        with database.unit_of_work(actor="system:test") as unit:
            guards.stop_rule(unit, "payment", RULE, "too many")

    async def run() -> None:
        tending = asyncio.create_task(tend(owner, rules, now_ms=lambda: NOW, gone=lambda: None))
        await owner.ask("payment", body(1), now_ms=NOW)
        await once(owner, "hear", lambda: tell(database, fraud(1, 1, at_ms=AT + 10**6)), tending)
        assert owner.engine.state.sequence == 1
        before = owner.rules_version
        await once(owner, "follow", stop, tending)
        assert owner.rules_version > before
        made = await owner.ask("payment", body(2), now_ms=NOW)
        assert made.versions["without"] == RULE
        tending.cancel()

    asyncio.run(run())
    owner.close()


def test_a_rule_over_its_budget_is_stopped_durably(database: Database, rules: StoredRules) -> None:
    stop = Stop("payment", RULE, hits=300, seen=1_000, most_bp=2_500)
    assert rules.stop(stop)
    assert not rules.stop(stop), "it is stopped already"
    assert rules.have_changed()
    assert rules.load().standings["payment"].stopped == {RULE}
    with database.reading() as connection:
        cases = connection.execute(sa.text("SELECT count(*) FROM cases.case_file")).scalar_one()
    assert cases == 1


def test_when_another_took_over_it_says_so(database: Database, rules: StoredRules) -> None:
    owner = Owner(database, rules.present, Place("one"))
    Owner(database, rules.present, Place("two")).close()
    over: list[str] = []

    async def run() -> None:
        tell(database, fraud(1, 1, at_ms=AT))
        with pytest.raises(TenureIsOver):
            await owner.ask("payment", body(1), now_ms=NOW)
        await tend(owner, rules, now_ms=lambda: NOW, gone=lambda: over.append("gone"))

    asyncio.run(run())
    assert over == ["gone"]
    owner.close()
