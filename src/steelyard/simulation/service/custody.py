"""The town's reserve at a custodian, opened with what its people have when their history ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from steelyard.base import Database, UnitOfWork
from steelyard.ledger import BookReader
from steelyard.payments import custody, institution
from steelyard.simulation import store
from steelyard.simulation.model import CURRENCY, midnight
from steelyard.simulation.model.custody import ON_THE_WAY, OWN, RESERVE
from steelyard.simulation.model.state import BOOK, SETTLEMENT, TownIsNotFounded

__all__ = ["Tell", "open_reserve"]

_ACTOR: Final = "system:town"
_BEFORE: Final = timedelta(days=30)


Tell = Callable[[str, Mapping[str, object]], None]
"""Moves a lever of the simulated custodian: path and body; raises where it was not heard."""


def open_reserve(database: Database, tell: Tell) -> None:
    """Have the town's reserve lie at the simulated custodian, with what the book holds by now.

    It lies there since before the town's first day: what was there before is stated as an opening
    balance, and as a movement of no day of the town. Done again it changes nothing, and cut off it
    is done again whole.

    Parameters
    ----------
    tell : called outside of any transaction

    Refusals
    --------
    town_is_not_founded, institution_is_not_open, custody_account_is_another
    """
    with database.reading() as connection:
        state = store.read(connection)
        if state is None:
            raise TownIsNotFounded
        known = custody.accounts_of(connection, institution.Mode.LIVE)
        if any(one.currency == CURRENCY for one in known):
            return
        held = BookReader(connection, BOOK).balances([SETTLEMENT]).get(SETTLEMENT, 0)
        at = database.clock.read(connection)
    before = midnight(state.plan.opens_on) - _BEFORE
    tell("/clock", {"at": before.isoformat(), "speed": 0})
    tell("/accounts", {"no": RESERVE, "currency": CURRENCY, "balance_minor": held})
    tell("/clock", {"at": at.isoformat(), "speed": 0})

    def work(unit: UnitOfWork) -> None:
        institution.have_accounts(unit, BOOK, [(ON_THE_WAY, CURRENCY)])
        custody.open_account(
            unit, institution.Mode.LIVE, CURRENCY, account=RESERVE, own_account=OWN
        )

    database.transact(work, actor=_ACTOR)
