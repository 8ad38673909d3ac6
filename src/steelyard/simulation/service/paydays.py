"""The close of a day of payments: cleared, charged, and what merchants get worked out.

Only payments within the town's own book are let pass here: there is nobody outside whose statement
could contradict them. Days of channels wait for their statements, and money leaves by the desk of
payouts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Final

from steelyard.base import Database, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.payments import (
    channel_desk,
    clearing,
    funding,
    institution,
    payouts_payees,
    settlement,
)
from steelyard.simulation import store
from steelyard.simulation.model.state import TownIsNotFounded

__all__ = ["ON_PAYDAY", "PaydayReport", "close_payday"]

ON_PAYDAY: Final = (institution.InstitutionIsNotOpen, channel_desk.ChannelIsUnknown)


@dataclass(frozen=True, slots=True)
class PaydayReport:
    """What came of a day.

    Attributes
    ----------
    days : clearing days that were let pass; settlements : worked out
    """

    on: date
    days: int
    settlements: int


def close_payday(
    database: Database, keyring: Keyring, capability: clearing.CapabilityOf, on: date
) -> PaydayReport:
    """Clear a day of the town, and work out what merchants get the day after.

    In short transactions; cut off and called again, it goes on.

    Refusals
    --------
    town_is_not_founded, institution_is_not_open, channel_is_unknown
    """
    with database.reading() as connection:
        if store.read(connection) is None:
            raise TownIsNotFounded
    days = clearing.close_due(database, institution.Mode.LIVE, capability)
    own = [day for day in days if day.channel in (clearing.BALANCE, funding.CREDIT)]
    for day in own:
        database.transact(partial(_pass, day=day), actor="system:clearing")
    payees = payouts_payees.SettlementPayees(keyring)
    next_on = on + timedelta(days=1)
    made = settlement.calculate(database, institution.Mode.LIVE, next_on, payees)
    return PaydayReport(on, len(own), made)


def _pass(unit: UnitOfWork, day: clearing.ClearingDay) -> None:
    clearing.pass_gate(unit, day, clearing.no_statement(unit.connection, day))
