"""What an owner does beside answering: it hears what facts tell, and takes newer rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import sqlalchemy as sa

from steelyard.base.telemetry import get_logger
from steelyard.decisions.model.decision import Decision
from steelyard.decisions.model.guards import Guards, Stop
from steelyard.decisions.model.roster import Roster
from steelyard.decisions.service.log import OwnerIsAway, TenureIsOver
from steelyard.decisions.service.owner import Owner

HEARING_SECONDS = 0.1
RULES_SECONDS = 0.25


class RulesSource(Protocol):
    """Where the roster of the present is read; its verbs are called in a thread."""

    def version(self) -> int:
        """Return the version of the present rules."""
        ...

    def load(self) -> Roster:
        """Return the present roster."""
        ...

    def stop(self, stop: Stop) -> object:
        """Stop a rule that was found over its budget, durably."""
        ...


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
    roster: Roster,
    source: RulesSource,
    *,
    now_ms: Callable[[], int],
    gone: Callable[[], None],
) -> None:
    """Keep an owner up with facts and rules, and rules within their budgets, while it lasts.

    Parameters
    ----------
    roster : by which it decides
    now_ms : the business clock
    gone : called when another process has taken the shard over

    Notes
    -----
    A database that is away is waited for: the owner goes on with what it knows.
    """
    guarding = Guarding(owner, roster)
    try:
        await asyncio.gather(_keep_hearing(owner, now_ms), _keep_rules(owner, guarding, source))
    except TenureIsOver:
        gone()


async def _keep_hearing(owner: Owner, now_ms: Callable[[], int]) -> None:
    while True:
        try:
            told = await asyncio.to_thread(owner.untold)
            owner.hear(told, now_ms=now_ms())
        except (sa.exc.SQLAlchemyError, OwnerIsAway) as error:
            _wait_for(error)
            told = []
        if not told:
            await asyncio.sleep(HEARING_SECONDS)


async def _keep_rules(owner: Owner, guarding: Guarding, source: RulesSource) -> None:
    while True:
        due = guarding.due()
        try:
            while due:
                await asyncio.to_thread(source.stop, due[0])
                del due[0]
            if await asyncio.to_thread(source.version) != owner.rules_version:
                roster = await asyncio.to_thread(source.load)
                owner.follow(roster)
                guarding.renew(roster)
                get_logger("decisions").info("rules_changed", version=roster.version)
        except (sa.exc.SQLAlchemyError, OwnerIsAway) as error:
            _wait_for(error)
        guarding.again(due)
        await asyncio.sleep(RULES_SECONDS)


def _wait_for(error: Exception) -> None:
    get_logger("decisions").warning("database_is_away", error=type(error).__name__)
