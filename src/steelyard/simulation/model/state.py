"""How far the town of an installation has lived, and what can be refused about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.simulation.model.town import CURRENCY, Plan

BOOK = "town"
"""The book of the town's client funds."""
HOUSE = "house"
"""The book of the platform's own funds."""

SETTLEMENT = f"settlement:{CURRENCY}"
"""The clients' money at the custodian (备付金存管账户), against which every wallet is kept.

It is the account of `payments`, in whose client book the town lives.
"""


def customer_origin(customer: UUID) -> str:
    """Return the origin under which a customer of the town is registered as a party."""
    return f"town:customer/{customer}"


def merchant_origin(merchant: UUID) -> str:
    """Return the origin under which a merchant of the town is registered as a party."""
    return f"town:merchant/{merchant}"


def wallet_code(account: UUID) -> str:
    """Return the code of a customer's account in the town's book.

    Examples
    --------
    >>> wallet_code(UUID(int=7))
    'wallet:00000000-0000-0000-0000-000000000007'
    """
    return f"wallet:{account}"


class TownIsNotFounded(Refusal):
    """There is no town yet."""

    kind = RefusalKind.NOT_FOUND
    en = "The town is not founded yet."
    zh = "小镇尚未建立。"


class TownIsOfBefore(Refusal):
    """Its people and merchants have accounts of a kind that nothing pays over any more."""

    kind = RefusalKind.CONFLICT
    en = "This town was founded before there were payments; a new home gives a new town."
    zh = "该小镇建立于支付系统之前；请使用新的主目录建立新的小镇。"


class TownIsFoundedOtherwise(Refusal):
    """The installation has a town of another plan."""

    kind = RefusalKind.CONFLICT
    en = "The town was founded with {field} {found}, not {asked}; a new home gives a new town."
    zh = "小镇建立时 {field} 为 {found}，而非 {asked}；如需另一座小镇，请使用新的主目录。"


class TownDoesNotGoBack(Refusal):
    """Progress was noted before that lies further on."""

    kind = RefusalKind.CONFLICT
    en = "The town has lived through {played_through}; it does not go back to {asked}."
    zh = "小镇已进行到 {played_through}，不能倒回 {asked}。"


@dataclass(frozen=True, slots=True, kw_only=True)
class TownState:
    """The town as it stands.

    Attributes
    ----------
    plan : what it was founded with
    history_days : how many days of history its founder wanted
    book, house : ids of the book of client funds and of the book of own funds
    founded_at : business instant
    is_settled : whether books, merchants and their accounts are all there
    played_through : everything that happens before this instant was sent and answered
    playing_through : what is being sent reaches up to here
    history_done : whether the town lives on by the running clock
    resting : why it rests, a code; None while it lives
    """

    plan: Plan
    history_days: int
    book: str
    house: str
    founded_at: datetime
    is_settled: bool
    played_through: datetime
    playing_through: datetime
    history_done: bool
    resting: str | None

    def must_be_of(self, plan: Plan) -> TownState:
        """Return the state itself if the town is of a plan.

        Refusals
        --------
        town_is_founded_otherwise
        """
        for field in ("seed", "customers", "terminals", "opens_on"):
            found, asked = getattr(self.plan, field), getattr(plan, field)
            if found != asked:
                raise TownIsFoundedOtherwise(field=field, found=found, asked=asked)
        return self
