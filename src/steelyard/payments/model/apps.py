"""Apps: the programs of a merchant, each in one mode, each with keys of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.payments.model.merchants_refusals import AppIsClosed, EntitlementIsNotForApps
from steelyard.payments.model.orders import Mode

ENTITLEMENTS: Final = (
    "payments.read",
    "payments.pay",
    "payments.refund",
    "payments.dispute",
    "payments.debit",
    "payments.exchange",
    "payments.manage",
)
"""What a key of an app may be given: a merchant's business with itself."""


class AppState(StrEnum):
    """Whether an app is used."""

    ACTIVE = "active"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A program of a merchant.

    Attributes
    ----------
    mode : what its keys see and move; it never changes
    """

    id: str
    merchant: UUID
    mode: Mode
    name: str
    state: AppState
    version: int
    created_at: datetime
    created_by: str

    @property
    def subject(self) -> str:
        """The name under which what is done to it is audited."""
        return f"app:{self.id}"

    def must_be_active(self) -> App:
        """Return the app itself unless it is closed.

        Refusals
        --------
        app_is_closed
        """
        if self.state is AppState.CLOSED:
            raise AppIsClosed(app=self.id)
        return self


def check_entitlements(entitlements: tuple[str, ...]) -> tuple[str, ...]:
    """Return entitlements that an app's key may have, each once.

    Refusals
    --------
    entitlement_is_not_for_apps

    Examples
    --------
    >>> check_entitlements(("payments.pay", "payments.pay"))
    ('payments.pay',)
    """
    for entitlement in entitlements:
        if entitlement not in ENTITLEMENTS:
            raise EntitlementIsNotForApps(
                entitlement=entitlement[:60], known=", ".join(ENTITLEMENTS)
            )
    return tuple(dict.fromkeys(entitlements))
