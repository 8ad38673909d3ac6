"""The facts of bound cards; subject is `party:<customer>`. No number of a card is in them."""

from __future__ import annotations

from uuid import UUID

from steelyard.base import Fact


class CardBound(Fact, kind="payments.CardBound", version=1):
    """A customer bound a card for quick pay."""

    customer: UUID
    binding: UUID
    bank: str


class CardUnbound(Fact, kind="payments.CardUnbound", version=1):
    """A card is paid with no more."""

    customer: UUID
    binding: UUID
    bank: str
