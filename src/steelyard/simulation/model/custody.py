"""Where the money of the town's people lies, and by which way it gets there."""

from __future__ import annotations

from typing import Final

from steelyard.simulation.model.town import CURRENCY

RESERVE: Final = f"TOWN-RESERVE-{CURRENCY}"
"""The account of clients' funds at the custodian."""
OWN: Final = f"HOUSE-OWN-{CURRENCY}"
"""The account of the house that fees are paid to."""
TOP_UP: Final = "top_up"
"""What brings in money that people put on their wallets: owed to us until the custodian has it."""
ON_THE_WAY: Final = f"in_transit/{TOP_UP}:{CURRENCY}"
"""Its account in the book of the town, as `payments` names what a channel owes."""
