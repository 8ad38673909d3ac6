"""What the routes of payments have in common: who may see what, and the words of the wire."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import Path
from pydantic import Field

from steelyard.base.http import Caller, NotEntitled, Read, RequestIsMalformed, Write

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["CNY"])]
Amount = Annotated[
    int,
    Field(gt=0, lt=2**53, description="minor units: fen, cents, whole yen", examples=[10_000]),
]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,120}$", examples=["town-17"])]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", examples=["uni"])]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Metadata = Annotated[dict[str, Annotated[str, Field(max_length=500)]], Field(max_length=50)]
PaymentId = Annotated[UUID, Path(description="id of the payment")]


def merchant_of(caller: Caller) -> UUID | None:
    """Return whose payments a caller sees: a merchant's own, or all for staff."""
    return None if caller.party is None else UUID(caller.party)


def merchant_for(command: Write | Read, stated: UUID | None) -> UUID:
    """Return for which merchant a command is given: its own, or the one that staff names.

    Refusals
    --------
    not_entitled : for somebody else's; request_is_malformed : staff names none
    """
    own = merchant_of(command.caller)
    if own is not None and stated not in (None, own):
        raise NotEntitled(actor=command.caller.actor, verb="payments for another merchant")
    found = own or stated
    if found is None:
        raise RequestIsMalformed(where="merchant", what="missing")
    return found


def id_of(write: Write, *names: str) -> UUID:
    """Return the id of what a command makes: sent again with its key, it is the same.

    Parameters
    ----------
    names : what tells several ids of one command apart
    """
    return uuid5(NAMESPACE_URL, "\0".join((write.scope, write.key, *names)))


def shown(value: Any) -> Any:
    """Return a mapping as it is shown, an empty one as nothing."""
    return dict(value) if value else {}
