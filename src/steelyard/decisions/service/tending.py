"""What an owner does beside answering: it hears what facts tell, and takes newer rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import sqlalchemy as sa

from steelyard.base.telemetry import get_logger
from steelyard.decisions.service.engine import Rules
from steelyard.decisions.service.log import OwnerIsAway, TenureIsOver
from steelyard.decisions.service.owner import Owner

HEARING_SECONDS = 0.1
RULES_SECONDS = 0.25


class RulesSource(Protocol):
    """Where the rules of the present are read; its verbs are called in a thread."""

    def version(self) -> int:
        """Return the version of the present rules."""
        ...

    def load(self) -> Rules:
        """Return the present rules."""
        ...


async def tend(owner: Owner, source: RulesSource, *, gone: Callable[[], None]) -> None:
    """Keep an owner up with facts and rules, until its tenure is over.

    Parameters
    ----------
    gone : called when another process has taken the shard over

    Notes
    -----
    A database that is away is waited for: the owner goes on with what it knows.
    """
    try:
        await asyncio.gather(_keep_hearing(owner), _keep_rules(owner, source))
    except TenureIsOver:
        gone()


async def _keep_hearing(owner: Owner) -> None:
    while True:
        try:
            told = await asyncio.to_thread(owner.untold)
            owner.hear(told)
        except (sa.exc.SQLAlchemyError, OwnerIsAway) as error:
            _wait_for(error)
            told = []
        if not told:
            await asyncio.sleep(HEARING_SECONDS)


async def _keep_rules(owner: Owner, source: RulesSource) -> None:
    while True:
        try:
            if await asyncio.to_thread(source.version) != owner.rules_version:
                rules = await asyncio.to_thread(source.load)
                owner.follow(rules)
                get_logger("decisions").info("rules_changed", version=rules.version)
        except (sa.exc.SQLAlchemyError, OwnerIsAway) as error:
            _wait_for(error)
        await asyncio.sleep(RULES_SECONDS)


def _wait_for(error: Exception) -> None:
    get_logger("decisions").warning("database_is_away", error=type(error).__name__)
