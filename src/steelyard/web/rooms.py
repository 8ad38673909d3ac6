"""What the rooms bring along: importing this module enters their facts and jobs."""

from __future__ import annotations

from steelyard import events, imports, ledger, parties, simulation

ROOMS = (events, ledger, parties, simulation, imports)
CONSUMERS: tuple[events.Consumer, ...] = (parties.account_owners,)
