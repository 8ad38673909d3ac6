"""Transfers: money between merchants of one platform."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from steelyard.payments.model.orders import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTransfer:
    """A transfer to make.

    Attributes
    ----------
    platform : merchant whose platform it is
    transfer_no : the platform's own number; unique for the platform for ever
    """

    id: UUID
    mode: Mode
    platform: UUID
    transfer_no: str
    from_merchant: UUID
    to_merchant: UUID
    amount_minor: int
    currency: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantTransfer(NewTransfer):
    """A transfer that was made.

    Attributes
    ----------
    returned_minor : what came back of it
    """

    at: datetime
    by: str
    version: int = 1
    returned_minor: int = 0

    @property
    def left_minor(self) -> int:
        """What may still come back."""
        return self.amount_minor - self.returned_minor
