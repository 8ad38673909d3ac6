"""What an owner does beside answering: it hears what facts tell, and takes newer rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import sqlalchemy as sa

from steelyard.base import Database
from steelyard.base.telemetry import get_logger
from steelyard.decisions.model.decision import Decision
from steelyard.decisions.model.guards import Guards, Stop
from steelyard.decisions.model.roster import Roster
from steelyard.decisions.service.guards import stop_guarded
from steelyard.decisions.service.log import OwnerIsAway, TenureIsOver
from steelyard.decisions.service.owner import Owner
from steelyard.decisions.service.policies import load_roster, roster_version
from steelyard.decisions.store import folds

NEWS_SECONDS = 0.1


class StoredRules:
    """The rules as people have decided them, read from the database.

    Attributes
    ----------
    present : the roster that was read last
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.present = self.load()

    def have_changed(self) -> bool:
        """Return whether there is a newer roster than `present`."""
        with self._database.reading() as connection:
            return roster_version(connection) != self.present.version

    def load(self) -> Roster:
        """Read the roster of the present."""
        with self._database.reading() as connection:
            self.present = load_roster(connection)
        return self.present

    def stop(self, stop: Stop) -> bool:
        """Stop a rule that was found over its budget, durably."""
        return stop_guarded(self._database, stop)


class Guarding:
    """Watches the rules of a roster while an owner decides by it."""

    def __init__(self, owner: Owner, roster: Roster) -> None:
        self._guards = Guards(roster)
        self._due: list[Stop] = []
        owner.decided = self._observe

    def renew(self, roster: Roster) -> None:
        """Watch by another roster."""
        self._guards.renew(roster)

    def due(self) -> list[Stop]:
        """Return the rules that are to be stopped and that nobody was told of yet."""
        due, self._due = self._due, []
        return due

    def again(self, due: Sequence[Stop]) -> None:
        """Tell of rules again, because they could not be stopped."""
        self._due = [*due, *self._due]

    def _observe(self, decision: Decision) -> None:
        self._due += self._guards.observe(decision)


async def tend(
    owner: Owner,
    rules: StoredRules,
    *,
    now_ms: Callable[[], int],
    gone: Callable[[], None],
) -> None:
    """Keep an owner up with facts and rules, and rules within their budgets, while it lasts.

    Parameters
    ----------
    rules : by which it decides
    now_ms : the business clock
    gone : called when another process has taken the shard over

    Notes
    -----
    A database that is away is waited for: the owner goes on with what it knows.
    """
    guarding = Guarding(owner, rules.present)
    try:
        await asyncio.gather(
            _keep_up(owner, rules, guarding, now_ms), _keep_within_budgets(guarding, rules)
        )
    except TenureIsOver:
        gone()


async def _keep_up(
    owner: Owner, rules: StoredRules, guarding: Guarding, now_ms: Callable[[], int]
) -> None:
    """Look for news often, in the loop, where it costs little; fetch them in a thread."""
    while True:
        line: psycopg.AsyncConnection[Any] | None = None
        try:
            line = await owner.open_line()
            while True:
                there = await folds.news(line)
                told = []
                if there.last_arrival > owner.read_to:
                    told = await asyncio.to_thread(owner.untold)
                owner.hear(told, now_ms=now_ms())
                if there.roster_version != owner.rules_version:
                    roster = await asyncio.to_thread(rules.load)
                    await owner.follow(roster)
                    guarding.renew(roster)
                    get_logger("decisions").info("rules_changed", version=roster.version)
                await asyncio.sleep(NEWS_SECONDS)
        except (sa.exc.SQLAlchemyError, psycopg.Error, OwnerIsAway) as error:
            _wait_for(error)
            await asyncio.sleep(NEWS_SECONDS)
        finally:
            if line is not None:
                await line.close()


async def _keep_within_budgets(guarding: Guarding, rules: StoredRules) -> None:
    while True:
        due = guarding.due()
        try:
            while due:
                await asyncio.to_thread(rules.stop, due[0])
                del due[0]
        except sa.exc.SQLAlchemyError as error:
            _wait_for(error)
        guarding.again(due)
        await asyncio.sleep(NEWS_SECONDS)


def _wait_for(error: Exception) -> None:
    get_logger("decisions").warning("database_is_away", error=type(error).__name__)
