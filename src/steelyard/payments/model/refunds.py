"""Refunds: how one stands, what is known of it, and the one reducer that decides.

As with attempts, whoever learns something only reports a `Finding`. A refund that nobody answers is
asked about under the number that it was sent with, never sent again under another; no time-out ever
makes a failure; and what went out stays out until somebody proves that it came back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from steelyard.payments.model.attempts import Source
from steelyard.payments.model.channel import Capability, Decline, Finding, Said
from steelyard.payments.model.orders import Mode, Order


class RefundState(StrEnum):
    """Where a refund stands."""

    CREATED = "created"
    """Asked for; it waits until the merchant's balance bears it."""
    APPROVAL = "approval"
    """It waits for a second person's yes; nothing is set aside."""
    RESERVED = "reserved"
    """The amount is set aside, of the payment and of the merchant's money; not sent."""
    SENT = "sent"
    PROCESSING = "processing"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The channel's final no; what was set aside is back."""
    CLOSED = "closed"
    """Withdrawn before it was sent, or closed at the channel without money."""
    ABNORMAL = "abnormal"
    """异常: the account that paid cannot take it; a person finds another one of the payer's."""
    RETURNED = "returned"
    """退汇: it went out and the bank sent it back; a person finds another account."""

    @property
    def is_set_aside(self) -> bool:
        """Whether the amount lies in the account of refunds."""
        return self in _SET_ASIDE

    @property
    def is_under_way(self) -> bool:
        """Whether the channel has it, for all that is known."""
        return self in _UNDER_WAY

    @property
    def is_before(self) -> bool:
        """Whether nothing was set aside yet."""
        return self in (RefundState.CREATED, RefundState.APPROVAL)


_UNDER_WAY: Final = frozenset({RefundState.SENT, RefundState.PROCESSING, RefundState.UNKNOWN})
_SET_ASIDE: Final = _UNDER_WAY | {
    RefundState.RESERVED,
    RefundState.ABNORMAL,
    RefundState.RETURNED,
}


class Home(StrEnum):
    """Where the money of a refund was taken from."""

    PENDING = "pending"
    """The merchant's, before the day of the payment was cleared."""
    AVAILABLE = "available"
    """The merchant's, after it."""
    UNCLAIMED = "unclaimed"
    """Nobody's: late or duplicate money, given back by itself."""


class RefundMove(StrEnum):
    """What the books have to say to a ruling."""

    RESERVE = "reserve"
    """From where it is taken to the refunds under way; the cap of the payment shrinks."""
    PAY = "pay"
    """From the refunds under way to the channel (or the payer's account with us)."""
    RELEASE = "release"
    """Back from the refunds under way."""
    RETURN = "return"
    """From the channel to the refunds under way: the bank sent it back."""


class RefundFollow(StrEnum):
    """What has to be done after the transaction."""

    RESEND = "resend"
    """The channel never had it: the same number is sent again."""
    FIND_ACCOUNT = "find_account"
    """A person finds another account of the payer."""
    LOOK_TWICE = "look_twice"
    """It went through after it had failed; people look whether a second one went out."""
    ALARM_INTEGRITY = "alarm_integrity"
    """The channel says another amount or currency than was asked."""
    STILL_OWED = "still_owed"
    """Money that is nobody's could not be given back; people look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRefund:
    """A refund to ask for.

    Attributes
    ----------
    refund_no : the merchant's own number; unique for the merchant for ever
    amount_minor : None: all that may still be refunded
    waits : where the merchant's balance is short, the refund waits for it instead of being refused
    """

    id: UUID
    order: UUID
    refund_no: str
    amount_minor: int | None = None
    reason: str = ""
    waits: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund as it stands.

    Attributes
    ----------
    id : its hex form is the number that the channel knows
    attempt : whose money goes back; channel : of that attempt, or of where it was re-routed
    is_automatic : late or duplicate money, not counted on the order
    home : where the money was taken from; None: nothing was taken yet
    parts : split -> minor units of the amount that its receiver bore
    coupon_minor : of the amount, what goes back to a coupon and not to the payer
    asked_by : actor
    sends : how often it was sent; queries : how often the channel was asked about it
    wait_until_at : when people look, because the channel took longer than its agreement says
    fee_returned_minor : given back to the merchant of the fee of the payment
    excess_minor : what went out beyond what the payment had left
    destination : reference of another account of the payer; None: back to where it came from
    """

    id: UUID
    order: UUID
    attempt: UUID
    merchant: UUID
    mode: Mode
    refund_no: str
    amount_minor: int
    currency: str
    channel: str
    state: RefundState
    version: int
    asked_at: datetime
    asked_by: str
    reason: str = ""
    is_automatic: bool = False
    home: Home | None = None
    parts: Mapping[str, int] = field(default_factory=dict)
    coupon_minor: int = 0
    approval: UUID | None = None
    reference: str | None = None
    decline: Decline | None = None
    code: str | None = None
    sends: int = 0
    sent_at: datetime | None = None
    queries: int = 0
    next_query_at: datetime | None = None
    visibility_seconds: int = 60
    wait_until_at: datetime | None = None
    final_at: datetime | None = None
    fee_returned_minor: int = 0
    excess_minor: int = 0
    destination: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def number(self) -> str:
        """What the channel knows it by, 32 hex digits."""
        return self.id.hex


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRuling:
    """What follows from a piece of evidence about a refund.

    Attributes
    ----------
    moves : what is posted, in this order
    excess_minor : of a `PAY`, what the payment had not left any more: a loss, posted openly
    is_new : whether anything changed
    note : a short word for the log
    """

    state: RefundState
    moves: tuple[RefundMove, ...] = ()
    follow: tuple[RefundFollow, ...] = ()
    excess_minor: int = 0
    is_new: bool = True
    note: str = ""


NO_ACCOUNT: Final = frozenset(
    {
        Decline.ACCOUNT_CLOSED,
        Decline.INVALID_CARD,
        Decline.EXPIRED_CARD,
        Decline.STOLEN_CARD,
    }
)
"""Declines that say: this account will never take it, and another one of the payer's may."""
RETURN_CODE: Final = "returned"
"""How a finding says that the bank sent a refund back."""


def reduce(
    refund: Refund, order: Order, finding: Finding, source: Source, now: datetime
) -> RefundRuling:
    """Return what follows for a refund from a finding.

    Parameters
    ----------
    order : of the refund; what it still has bounds a success that comes after a failure
    now : instant at which it is looked at; matters for the visibility window only

    Returns
    -------
    RefundRuling
        Applied again with the state that it gave, the same finding gives `is_new` False.

    Examples
    --------
    >>> from steelyard.payments.model.examples import AT, an_order
    >>> refund = Refund(id=UUID(int=9), order=UUID(int=1), attempt=UUID(int=3),
    ...                 merchant=UUID(int=2), mode=Mode.LIVE, refund_no="R-1", amount_minor=500,
    ...                 currency="CNY", channel="uni", state=RefundState.SENT, version=2,
    ...                 asked_at=AT, asked_by="key:k", sent_at=AT, sends=1)
    >>> reduce(refund, an_order(), Finding(said=Said.UNKNOWN), Source.ANSWER, AT).state.value
    'unknown'
    """
    said = finding.said
    if refund.state.is_before:
        return _old(refund, "was_not_sent")
    if said is Said.SUCCEEDED:
        return _on_success(refund, order, finding)
    if said in (Said.DECLINED, Said.CLOSED):
        return _on_no(refund, finding, source)
    if not refund.state.is_under_way:
        return _old(refund, "repeat")
    if said is Said.NOT_SENT:
        if refund.sends == 1 and not refund.queries and refund.state is RefundState.SENT:
            return RefundRuling(state=RefundState.RESERVED, note="never_left")
        return _still(refund, RefundState.UNKNOWN)
    if said is Said.NOT_FOUND:
        return _on_not_found(refund, source, now)
    if said in (Said.PENDING, Said.ACTION):
        return _still(refund, RefundState.PROCESSING)
    if refund.state is RefundState.SENT:
        return _still(refund, RefundState.UNKNOWN)
    return _old(refund, "nothing_learnt")


def _old(refund: Refund, note: str) -> RefundRuling:
    return RefundRuling(state=refund.state, is_new=False, note=note)


def _still(refund: Refund, state: RefundState) -> RefundRuling:
    is_new = state is not refund.state
    return RefundRuling(state=state, is_new=is_new, note="" if is_new else "repeat")


def _on_success(refund: Refund, order: Order, finding: Finding) -> RefundRuling:
    """Return what follows from money that went out, whatever was thought before."""
    if refund.state in (RefundState.SUCCEEDED, RefundState.RETURNED):
        return _old(refund, "repeat")
    amount = refund.amount_minor if finding.amount_minor is None else finding.amount_minor
    currency = refund.currency if finding.currency is None else finding.currency
    # A channel states what it gives back in all, or what of it the payer gets in money.
    right = (refund.amount_minor, refund.amount_minor - refund.coupon_minor)
    if abs(amount) not in right or currency != refund.currency:
        return RefundRuling(
            state=refund.state,
            follow=(RefundFollow.ALARM_INTEGRITY,),
            is_new=False,
            note="amount_or_currency_differs",
        )
    if refund.state.is_set_aside:
        return RefundRuling(state=RefundState.SUCCEEDED, moves=(RefundMove.PAY,))
    left = refund.amount_minor if refund.is_automatic else order.refundable_minor
    return RefundRuling(
        state=RefundState.SUCCEEDED,
        moves=(RefundMove.RESERVE, RefundMove.PAY),
        follow=(RefundFollow.LOOK_TWICE,),
        excess_minor=max(0, refund.amount_minor - left),
        note="success_after_failure",
    )


def _on_no(refund: Refund, finding: Finding, source: Source) -> RefundRuling:
    """Return what follows from a final no."""
    if refund.state is RefundState.SUCCEEDED:
        if is_return(finding, source):
            return RefundRuling(
                state=RefundState.RETURNED,
                moves=(RefundMove.RETURN,),
                follow=(RefundFollow.FIND_ACCOUNT,),
            )
        return _old(refund, "ignored_after_success")
    if not refund.state.is_under_way:
        return _old(refund, "repeat")
    if finding.decline in NO_ACCOUNT:
        return RefundRuling(
            state=RefundState.ABNORMAL, follow=(RefundFollow.FIND_ACCOUNT,), note="no_account"
        )
    state = RefundState.FAILED if finding.said is Said.DECLINED else RefundState.CLOSED
    return _released(refund, state)


def _released(refund: Refund, state: RefundState) -> RefundRuling:
    owed = (RefundFollow.STILL_OWED,) if refund.is_automatic else ()
    return RefundRuling(state=state, moves=(RefundMove.RELEASE,), follow=owed)


def _on_not_found(refund: Refund, source: Source, now: datetime) -> RefundRuling:
    if source is Source.STATEMENT:
        return _released(refund, RefundState.FAILED)
    still = _still(refund, RefundState.UNKNOWN)
    assert refund.sent_at is not None, "it was sent"
    if (now - refund.sent_at).total_seconds() < refund.visibility_seconds:
        return still
    return RefundRuling(
        state=still.state,
        follow=(RefundFollow.RESEND,),
        is_new=still.is_new,
        note="not_found_after_its_window",
    )


def is_return(finding: Finding, source: Source) -> bool:
    """Return whether a no after a success says that the money came back.

    A channel that merely closes its books on a refund says so too: only a statement, a person, or
    a word about the account is believed.

    Examples
    --------
    >>> is_return(Finding(said=Said.CLOSED), Source.NOTICE)
    False
    >>> is_return(Finding(said=Said.DECLINED, code="returned"), Source.NOTICE)
    True
    """
    told = finding.code == RETURN_CODE or finding.decline in NO_ACCOUNT
    return told or source in (Source.STATEMENT, Source.OPERATOR)


def is_too_old(paid_at: datetime, capability: Capability, now: datetime) -> bool:
    """Return whether a channel takes no refund of a payment any more, on its own clock.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> from steelyard.payments.model.channel import Method
    >>> able = Capability(methods=(Method.SCAN,), refund_days=365)
    >>> paid = datetime(2026, 1, 1, tzinfo=UTC)
    >>> is_too_old(paid, able, paid + timedelta(days=365)), is_too_old(
    ...     paid, able, paid + timedelta(days=366))
    (False, True)
    """
    zone = ZoneInfo(capability.timezone)
    age = now.astimezone(zone).date() - paid_at.astimezone(zone).date()
    return capability.refund_days == 0 or age.days > capability.refund_days


def coupon_share(total_minor: int, coupon_minor: int, amounts: tuple[int, ...]) -> tuple[int, ...]:
    """Return what of each partial refund goes back to a coupon and not to the payer.

    Parameters
    ----------
    total_minor : price of the goods; coupon_minor : of it, paid by a coupon
    amounts : refunds of the price, in their order

    Returns
    -------
    tuple of int
        Each within one minor unit of its exact share; over refunds of the whole price exactly
        `coupon_minor`.

    Examples
    --------
    >>> coupon_share(10_000, 3_333, (3_333, 3_333, 3_334))
    (1110, 1111, 1112)
    """
    assert 0 <= coupon_minor < total_minor, "something is paid in money"
    assert sum(amounts) <= total_minor, "no more than the price"
    shares: list[int] = []
    refunded = given = 0
    for amount in amounts:
        refunded += amount
        share = coupon_minor * refunded // total_minor - given
        given += share
        shares.append(share)
    return tuple(shares)


@dataclass(frozen=True, slots=True)
class RefundTerms:
    """What a merchant's contract says of refunds and disputes.

    Attributes
    ----------
    alone_minor : up to so much one person refunds; above it a second one approves; None: any
    advance_minor : how far below zero refunds may bring the merchant's balance
    platform_bears_excess : whether we, not the merchant, bear what goes out beyond a payment
    dispute_fee_minor : charged for an opened dispute
    returns_dispute_fee : whether a dispute that is won gives it back
    platform : merchant of whom this one is a part; None: of itself
    """

    alone_minor: int | None = None
    advance_minor: int = 0
    platform_bears_excess: bool = False
    dispute_fee_minor: int = 0
    returns_dispute_fee: bool = False
    platform: UUID | None = None


def terms_of(contract: Mapping[str, object]) -> RefundTerms:
    """Return the terms in a merchant's contract; what it does not say is the house's.

    Examples
    --------
    >>> terms_of({"refund_advance_minor": 500}).advance_minor
    500
    """
    alone, platform = contract.get("refund_alone_minor"), contract.get("platform")
    return RefundTerms(
        alone_minor=alone if isinstance(alone, int) else None,
        advance_minor=_whole(contract, "refund_advance_minor"),
        platform_bears_excess=contract.get("platform_bears_excess") is True,
        dispute_fee_minor=_whole(contract, "dispute_fee_minor"),
        returns_dispute_fee=contract.get("returns_dispute_fee") is True,
        platform=UUID(platform) if isinstance(platform, str) else None,
    )


def _whole(contract: Mapping[str, object], name: str) -> int:
    value = contract.get(name, 0)
    return value if isinstance(value, int) and value > 0 else 0
