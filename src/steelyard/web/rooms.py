"""What the rooms bring along: importing this module enters their facts and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard import events, imports, ledger, parties, simulation
from steelyard.web import upkeep

if TYPE_CHECKING:
    from fastapi import APIRouter

ROOMS = (events, ledger, parties, simulation, imports)
JOBS = (upkeep.forget_old_answers, upkeep.expire_holds, upkeep.verify_books)
CONSUMERS: tuple[events.Consumer, ...] = (parties.account_owners,)


def routers() -> tuple[APIRouter, ...]:
    """Return the routes of every room."""
    from steelyard.events.http import router as of_events
    from steelyard.ledger.http import router as of_ledger
    from steelyard.parties.http import router as of_parties
    from steelyard.simulation.http import router as of_simulation

    return (of_parties, of_ledger, of_events, of_simulation)
