"""Disputes (拒付、争议): how one stands, where its money lies, and the one reducer that decides.

A state says who has to act; `Money` says where the disputed amount lies. The books follow from the
money before and after, whichever way a dispute goes: won and reversed later, lost and won back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.orders import Mode, Order
from steelyard.payments.model.refunds import Home


class PaymentDisputeIsUnknown(Refusal):
    """No dispute has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no dispute {dispute}."
    zh = "争议 {dispute} 不存在。"


class PaymentIsNotDisputable(Refusal):
    """Nothing of it was ever captured."""

    kind = RefusalKind.CONFLICT
    en = "Payment {payment} is {state}: nothing of it can be disputed."
    zh = "支付 {payment} 的状态为 {state}，不能发起争议。"


class DisputeStateForbids(Refusal):
    """The verb does not go with the state."""

    kind = RefusalKind.CONFLICT
    en = "Dispute {dispute} is {state}: it cannot be {verb}."
    zh = "争议 {dispute} 的状态为 {state}，不能执行 {verb}。"


class DisputeReferenceWasUsed(Refusal):
    """The channel's number stands on a dispute of another payment or amount."""

    kind = RefusalKind.CONFLICT
    en = "The channel's number {reference} is that of another dispute, {dispute}."
    zh = "渠道争议编号 {reference} 已用于另一争议 {dispute}。"


class EvidenceIsTooLate(Refusal):
    """The day until which evidence was taken is over."""

    kind = RefusalKind.CONFLICT
    en = "Evidence on dispute {dispute} was due at {due_at}."
    zh = "争议 {dispute} 的举证期限为 {due_at}，已过期。"


class DisputeEvidenceIsMissing(Refusal):
    """Nothing was said for the merchant yet."""

    kind = RefusalKind.CONFLICT
    en = "There is no evidence on dispute {dispute} to submit."
    zh = "争议 {dispute} 尚无可提交的举证材料。"


class DisputeEvidenceIsMalformed(Refusal):
    """It has neither a text nor a file, or a file without its hash."""

    kind = RefusalKind.INVALID
    en = "The evidence cannot be: {reason}."
    zh = "举证材料无效：{reason}。"


class DisputeAmountIsWrong(Refusal):
    """A dispute is of something, and of the payment's currency and amount at most."""

    kind = RefusalKind.INVALID
    en = "A dispute of {amount_minor} {currency} cannot be about a payment of {total_minor}."
    zh = "金额为 {total_minor} 的支付不能有 {amount_minor} {currency} 的争议。"


class DisputeState(StrEnum):
    """Where a dispute stands."""

    INQUIRY = "inquiry"
    """调单: the bank asks; no money is withheld."""
    OPENED = "opened"
    EVIDENCE_DUE = "evidence_due"
    """The merchant has until `due_at`."""
    SUBMITTED = "submitted"
    WON = "won"
    LOST = "lost"
    ACCEPTED = "accepted"
    """The merchant does not contest it."""
    EXPIRED = "expired"
    """No evidence came in time; the money stays withheld until the channel says who has it."""
    PRE_ARBITRATION = "pre_arbitration"
    ARBITRATION = "arbitration"

    @property
    def takes_evidence(self) -> bool:
        """Whether the merchant may say something for himself."""
        return self in (
            DisputeState.INQUIRY,
            DisputeState.OPENED,
            DisputeState.EVIDENCE_DUE,
            DisputeState.PRE_ARBITRATION,
        )

    @property
    def is_decided(self) -> bool:
        """Whether it has an outcome, for now."""
        return self in (DisputeState.WON, DisputeState.LOST, DisputeState.ACCEPTED)


class Money(StrEnum):
    """Where the disputed amount lies."""

    NONE = "none"
    """With the merchant, or it was never more than asked about."""
    WITHHELD = "withheld"
    TAKEN = "taken"
    """The channel has it."""


class DisputeWord(StrEnum):
    """What is said about a dispute, by the channel, the merchant, people or the clock."""

    INQUIRED = "inquired"
    OPENED = "opened"
    EVIDENCE_ASKED = "evidence_asked"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    OVERDUE = "overdue"
    WON = "won"
    LOST = "lost"
    PRE_ARBITRATED = "pre_arbitrated"
    """Somebody did not take the outcome; the case is put before both banks again."""
    ARBITRATED = "arbitrated"
    """The card scheme decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A dispute as it stands.

    Attributes
    ----------
    reference : the channel's own number, unique for the channel
    amount_minor : what the payer claims
    held_minor : of the payment, withheld or taken; excess_minor : claimed beyond what the payment
        had left when it was withheld: a loss if it is taken
    home : where the merchant's part was taken from; None while nothing ever was
    fee_minor : what the merchant was charged for it
    due_at : until when evidence is taken
    Invariant: money is `none` exactly where held + excess = 0
    """

    id: UUID
    order: UUID
    attempt: UUID
    merchant: UUID
    mode: Mode
    channel: str
    reference: str
    reason: str
    state: DisputeState
    version: int
    amount_minor: int
    currency: str
    opened_at: datetime
    money: Money = Money.NONE
    home: Home | None = None
    held_minor: int = 0
    excess_minor: int = 0
    fee_minor: int = 0
    due_at: datetime | None = None
    submitted_at: datetime | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DisputeEvidence:
    """Something that a merchant says for himself: a text, or a file by reference and hash."""

    kind: str
    text: str = ""
    reference: str = ""
    content_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeRuling:
    """What follows from a word about a dispute.

    Attributes
    ----------
    held_minor, excess_minor : where money is withheld or taken from now on
    fee_minor : charged anew over zero, given back below
    """

    state: DisputeState
    money: Money
    held_minor: int
    excess_minor: int
    fee_minor: int = 0
    is_new: bool = True
    note: str = ""


_S = DisputeState
_W = DisputeWord
_CLAIMED: Final = frozenset({_S.OPENED, _S.EVIDENCE_DUE, _S.SUBMITTED, _S.EXPIRED})
_LATER: Final = frozenset({_S.PRE_ARBITRATION, _S.ARBITRATION})
_NEXT: Final[dict[DisputeWord, dict[DisputeState, DisputeState]]] = {
    _W.INQUIRED: {},
    _W.OPENED: {_S.INQUIRY: _S.OPENED},
    _W.EVIDENCE_ASKED: {
        _S.INQUIRY: _S.INQUIRY,
        _S.OPENED: _S.EVIDENCE_DUE,
        _S.EVIDENCE_DUE: _S.EVIDENCE_DUE,
        _S.PRE_ARBITRATION: _S.PRE_ARBITRATION,
    },
    _W.SUBMITTED: {
        _S.INQUIRY: _S.INQUIRY,
        _S.OPENED: _S.SUBMITTED,
        _S.EVIDENCE_DUE: _S.SUBMITTED,
        _S.PRE_ARBITRATION: _S.PRE_ARBITRATION,
    },
    _W.ACCEPTED: dict.fromkeys(_CLAIMED | _LATER | {_S.INQUIRY}, _S.ACCEPTED),
    _W.OVERDUE: {_S.OPENED: _S.EXPIRED, _S.EVIDENCE_DUE: _S.EXPIRED},
    _W.WON: dict.fromkeys(_CLAIMED | _LATER | {_S.INQUIRY, _S.LOST, _S.ACCEPTED}, _S.WON),
    _W.LOST: dict.fromkeys(_CLAIMED | _LATER | {_S.WON}, _S.LOST),
    _W.PRE_ARBITRATED: dict.fromkeys({_S.WON, _S.LOST, _S.EXPIRED}, _S.PRE_ARBITRATION),
    _W.ARBITRATED: {_S.PRE_ARBITRATION: _S.ARBITRATION},
}
"""Which state a word leads to; from any other state it changes nothing."""
_AGAIN: Final = frozenset({_W.SUBMITTED, _W.EVIDENCE_ASKED})
"""Words that may come again in a state: more evidence, another day."""


def reduce(
    dispute: Dispute,
    order: Order,
    word: DisputeWord,
    *,
    fee_minor: int = 0,
    returns_fee: bool = False,
) -> DisputeRuling:
    """Return what follows for a dispute from a word about it.

    Parameters
    ----------
    order : bounds what is withheld: captured, less refunded, reserved and disputed otherwise
    fee_minor : charged when money is claimed first; returns_fee : whether winning gives it back

    Returns
    -------
    DisputeRuling
        What was said before changes nothing (`is_new` False). What is withheld and what goes beyond
        add up to the claim.

    Examples
    --------
    >>> from steelyard.payments.model.examples import AT, an_order
    >>> order = an_order(captured_minor=10_000, refunded_minor=7_000)
    >>> claim = Dispute(id=UUID(int=8), order=order.id, attempt=UUID(int=3), merchant=UUID(int=2),
    ...                 mode=Mode.LIVE, channel="uni", reference="D-1", reason="fraud",
    ...                 state=DisputeState.INQUIRY, version=1, amount_minor=10_000, currency="CNY",
    ...                 opened_at=AT)
    >>> ruling = reduce(claim, order, DisputeWord.OPENED)
    >>> ruling.money.value, ruling.held_minor, ruling.excess_minor
    ('withheld', 3000, 7000)
    """
    state = _NEXT[word].get(dispute.state)
    if state is None or (state is dispute.state and word not in _AGAIN):
        note = "repeat" if state is not None else "out_of_turn"
        return _ruling(dispute, dispute.state, dispute.money, is_new=False, note=note)
    money = _money_after(dispute, state)
    if money is Money.NONE:
        fee = -dispute.fee_minor if returns_fee and state is DisputeState.WON else 0
        return DisputeRuling(state=state, money=money, held_minor=0, excess_minor=0, fee_minor=fee)
    if dispute.money is not Money.NONE:
        return _ruling(dispute, state, money)
    held = min(dispute.amount_minor, max(0, order.refundable_minor))
    return DisputeRuling(
        state=state,
        money=money,
        held_minor=held,
        excess_minor=dispute.amount_minor - held,
        fee_minor=0 if dispute.fee_minor else fee_minor,
    )


def _ruling(
    dispute: Dispute,
    state: DisputeState,
    money: Money,
    *,
    is_new: bool = True,
    note: str = "",
) -> DisputeRuling:
    return DisputeRuling(
        state=state,
        money=money,
        held_minor=dispute.held_minor,
        excess_minor=dispute.excess_minor,
        is_new=is_new,
        note=note,
    )


def _money_after(dispute: Dispute, state: DisputeState) -> Money:
    """Return where the money lies in a state, coming from another."""
    if state in (DisputeState.INQUIRY, DisputeState.WON):
        return Money.NONE
    if state in (DisputeState.LOST, DisputeState.ACCEPTED):
        return Money.TAKEN
    # What the channel took it keeps until it says otherwise.
    return Money.TAKEN if dispute.money is Money.TAKEN else Money.WITHHELD


def check_evidence(evidence: DisputeEvidence) -> DisputeEvidence:
    """Return evidence that can be kept.

    Refusals
    --------
    dispute_evidence_is_malformed
    """
    if not evidence.text and not evidence.reference:
        raise DisputeEvidenceIsMalformed(reason="it has neither a text nor a reference")
    if bool(evidence.reference) != (evidence.content_hash is not None):
        raise DisputeEvidenceIsMalformed(reason="a file is named with its SHA-256")
    return evidence
