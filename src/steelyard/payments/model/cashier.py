"""The cashier (收银台): what a payer is shown of an order, and which ways to pay are open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.attempts import Attempt, AttemptState
from steelyard.payments.model.channel import Decline, Method
from steelyard.payments.model.orders import Order, OrderState

SHOWS_AFTER: Final = timedelta(days=1)
"""How long after an order's expiry its page still says what became of it."""
SIGNED_IN: Final = frozenset({Method.BALANCE, Method.CREDIT, Method.DIRECT_DEBIT})
"""Methods that take from somebody's account with us: not for whoever has the page."""


_WHY: Final[dict[str, str]] = {
    "daily_limit_is_reached": "limit",
    "trial_cap_is_reached": "limit",
    "maintenance": "maintenance",
    "outside_its_hours": "maintenance",
    "breaker_is_open": "down",
    "amount_is_outside_its_limits": "amount",
    "amount_is_over_the_trial_cap": "amount",
    "currency_is_not_offered": "currency",
}
"""What routing says of a channel, and what a payer is told; the first that holds."""


class CashierPageIsUnknown(Refusal):
    """No page has the address, or the order has been over for a while."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no such page to pay on."
    zh = "支付页面不存在或已失效。"


class MethodWantsSignIn(Refusal):
    """The method takes from an account of the payer: he has to be signed in."""

    kind = RefusalKind.FORBIDDEN
    en = "Sign in to pay by {method}."
    zh = "使用 {method} 支付请先登录。"


class PageState(StrEnum):
    """What a page shows."""

    OPEN = "open"
    ACTION = "action"
    """The payer has to do something; `action` says what."""
    PROCESSING = "processing"
    PAID = "paid"
    EXPIRED = "expired"
    CLOSED = "closed"
    """Cancelled by the merchant, or tried too often."""


class Why(StrEnum):
    """Why a method cannot be used now."""

    SIGN_IN = "sign_in"
    NO_CARD = "no_card"
    """No card is bound."""
    CURRENCY = "currency"
    AMOUNT = "amount"
    """Too little or too much for every channel."""
    LIMIT = "limit"
    """A limit of the trade scenario, the payer, the merchant or the channel is reached."""
    MAINTENANCE = "maintenance"
    DOWN = "down"
    NO_CHANNEL = "no_channel"


@dataclass(frozen=True, slots=True)
class Offer:
    """A way to pay.

    Attributes
    ----------
    why : why it cannot be used now; None: it can
    chance : of success, as routing expects it; cost : what it costs us, per one of the amount
    """

    method: Method
    why: Why | None = None
    chance: float = 0.0
    cost: float = 0.0

    @property
    def worth(self) -> float:
        """What it is worth to offer: the chance that it succeeds, less what it costs."""
        return self.chance * (1 - self.cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class CashierView:
    """What a payer sees of an order; nothing in it tells who he or anybody else is.

    Attributes
    ----------
    attempt : the last one, if one was made
    action : what he has to do, with its `kind`
    declined : why the last attempt failed, where that is told to payers
    poll_after_seconds : when to look again; None: nothing will change by itself
    """

    merchant_name: str
    subject: str
    amount_minor: int
    currency: str
    state: PageState
    expires_at: datetime
    offers: tuple[Offer, ...] = ()
    attempt: UUID | None = None
    action: Mapping[str, str] | None = None
    declined: Decline | None = None
    poll_after_seconds: int | None = None
    return_url: str | None = field(default=None)


def ranked(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Return offers, the best first, those that cannot be used last.

    Examples
    --------
    >>> found = ranked([Offer(Method.CARD, Why.DOWN), Offer(Method.SCAN, None, 0.9, 0.001),
    ...                 Offer(Method.WALLET, None, 0.95, 0.006)])
    >>> [one.method.value for one in found]
    ['wallet', 'scan', 'card']
    """
    return tuple(
        sorted(offers, key=lambda one: (one.why is not None, -one.worth, one.method.value))
    )


def page_state(order: Order, now: datetime) -> PageState:
    """Return what the page of an order shows."""
    state = order.state
    if order.paid_by is not None:
        return PageState.PAID
    if state is OrderState.EXPIRED:
        return PageState.EXPIRED
    if state.is_over:
        return PageState.CLOSED
    if state.takes_attempts:
        return PageState.OPEN if now < order.expires_at else PageState.EXPIRED
    if state is OrderState.REQUIRES_ACTION:
        return PageState.ACTION if now < order.expires_at else PageState.PROCESSING
    return PageState.PROCESSING


def poll_after(state: PageState, last: Attempt | None, now: datetime) -> int | None:
    """Return after how many seconds a page looks again: often at first, seldom later."""
    if state not in (PageState.ACTION, PageState.PROCESSING) or last is None:
        return None
    age = (now - last.sent_at).total_seconds()
    if age < 30:
        return 2
    return 5 if age < 300 else 30


def told_decline(last: Attempt | None) -> Decline | None:
    """Return why an attempt failed as it is told to a payer: a suspicion is not."""
    if last is None or last.state is not AttemptState.DECLINED:
        return None
    if last.decline in (Decline.SUSPECTED_FRAUD, Decline.STOLEN_CARD):
        return Decline.NOT_PERMITTED
    return last.decline


def why_of(reasons: Iterable[str]) -> Why:
    """Return why no channel takes a method, of what routing says about each channel."""
    found = set(reasons)
    for word, why in _WHY.items():
        if word in found:
            return Why(why)
    return Why.NO_CHANNEL
