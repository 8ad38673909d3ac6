"""What the routes of the ledger share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import Field, StringConstraints

from steelyard.base.http import (
    BodyIn,
    Read,
    reading,
)
from steelyard.ledger import (
    refusals,
)

Reads = Annotated[Read, reading("ledger.read")]
BookId = Annotated[str, Path(description="id of the book", max_length=40)]
Ref = Annotated[str, StringConstraints(max_length=120, min_length=1)]
MOST = 2**62 - 1
Minor = Annotated[int, Field(description="minor units of the currency", ge=0, le=MOST)]
Cause = Annotated[str, StringConstraints(max_length=120)]
Text = Annotated[str, StringConstraints(max_length=200, min_length=1)]
Metadata = dict[str, bool | int | str]


class CauseIn(BodyIn):
    """Who says so, `name@version`."""

    cause: Cause


def account_ref(reference: str) -> int | str:
    """Return a reference as the ledger takes it: digits are a number, anything else is a code."""
    if reference.isascii() and reference.isdecimal():
        return int(reference)
    return reference


NO_BOOK = (refusals.BookNotFound,)
