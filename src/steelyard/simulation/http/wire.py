"""What the routes of the town share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from steelyard.base.http import Read, Write, reading, writing

Reads = Annotated[Read, reading("simulation.read")]
Lives = Annotated[Write, writing("simulation.live")]
Code = Annotated[str, Field(min_length=1, max_length=120)]


def refuse_in_production(write: Write) -> None:
    """Refuse where the platform serves real people.

    Refusals
    --------
    refused_in_production
    """
    write.platform.settings.refuse_in_production("the simulated town")
