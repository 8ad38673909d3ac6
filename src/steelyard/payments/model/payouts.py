"""Payouts: orders to the custodian, and the one reducer that decides what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.custody import CustodianAnswer, PayoutSaid
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.settlement import SettlementState


class PayoutsAreStopped(Refusal):
    """The reserve is off, or was not tied out: no client money leaves."""

    kind = RefusalKind.CONFLICT
    en = "Payouts in {currency} are stopped: {why}."
    zh = "{currency} 出款已停止：{why}。"


class PayoutsAreNotStopped(Refusal):
    """There is no stop to lift."""

    kind = RefusalKind.CONFLICT
    en = "Payouts in {currency} are not stopped."
    zh = "{currency} 出款未被停止。"


class PayoutIsUnknown(Refusal):
    """There is no such payout."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no payout {payout}."
    zh = "出款 {payout} 不存在。"


class PayeeIsNotListed(Refusal):
    """Client money goes to named, verified accounts of its owner only."""

    kind = RefusalKind.CONFLICT
    en = "Merchant {merchant} has no verified settlement account in {currency}."
    zh = "商户 {merchant} 没有已核验的 {currency} 结算账户。"


class BalanceIsShort(Refusal):
    """What was calculated is not there any more."""

    kind = RefusalKind.CONFLICT
    en = "Settlement {settlement} pays {amount_minor}, and {balance_minor} are there."
    zh = "结算单 {settlement} 应付 {amount_minor}，可用余额仅 {balance_minor}。"


class PayoutKind(StrEnum):
    """Whom it pays."""

    SETTLEMENT = "settlement"
    SWEEP = "sweep"
    """Our own funds account: fees that were earned."""


class PayoutState(StrEnum):
    """Where a payout stands."""

    INTENDED = "intended"
    SENT = "sent"
    PENDING = "pending"
    UNKNOWN = "unknown"
    PAID = "paid"
    FAILED = "failed"
    RETURNED = "returned"

    @property
    def is_under_way(self) -> bool:
        """Whether money may still leave, for all that is known."""
        return self in _UNDER_WAY


_UNDER_WAY: Final = frozenset(
    {PayoutState.INTENDED, PayoutState.SENT, PayoutState.PENDING, PayoutState.UNKNOWN}
)


class PayoutSource(StrEnum):
    """Where evidence about a payout came from."""

    ANSWER = "answer"
    QUERY = "query"
    STATEMENT = "statement"
    OPERATOR = "operator"


class PayoutMove(StrEnum):
    """What the books have to say to a ruling."""

    CONFIRM = "confirm"
    """Out of payouts under way, from the reserve."""
    RELEASE = "release"
    """Back to the merchant's balance: nothing left."""
    RETURN = "return"
    """Into the reserve again, and owed as a payout until it is sent anew or released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """An order to the custodian.

    Attributes
    ----------
    id : its hex form is the number outside; no : 1, 2, ... of the settlement
    payee : which listed account; payee_tail : its last digits
    """

    id: UUID
    kind: PayoutKind
    settlement: UUID | None
    no: int
    merchant: UUID | None
    mode: Mode
    currency: str
    amount_minor: int
    payee: str
    payee_tail: str
    state: PayoutState
    version: int
    cause: str
    began_at: datetime
    queries: int = 0
    next_query_at: datetime | None = None
    reference: str | None = None
    why: str | None = None
    executed_on: date | None = None
    returned_on: date | None = None
    final_at: datetime | None = None

    @property
    def number(self) -> str:
        """What the custodian knows it by."""
        return self.id.hex

    @property
    def subject(self) -> str:
        """Whose history it is."""
        return f"payout:{self.id}"


@dataclass(frozen=True, slots=True)
class PayoutRuling:
    """What follows from a piece of evidence.

    Attributes
    ----------
    note : why nothing followed, or what people should look at
    """

    state: PayoutState
    moves: tuple[PayoutMove, ...] = ()
    is_new: bool = True
    note: str = ""


ASK_AFTER: Final = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1_800, 7_200, 21_600))
ASK_THEN: Final = timedelta(hours=12)
"""After the last of the schedule it is asked twice a day, until somebody knows."""


def ask_next(queries: int, now: datetime) -> datetime:
    """Return when a payout is asked about after so many questions."""
    return now + (ASK_AFTER[queries] if queries < len(ASK_AFTER) else ASK_THEN)


def rule(payout: Payout, answer: CustodianAnswer, source: PayoutSource) -> PayoutRuling:
    """Return what follows for a payout from what the custodian said.

    A payout is failed only by the custodian's own final no; `not_found` proves that it was never
    taken where it was never answered, and even then the same number is sent again, no other.

    Examples
    --------
    >>> from datetime import UTC
    >>> sent = Payout(id=UUID(int=1), kind=PayoutKind.SWEEP, settlement=None, no=1, merchant=None,
    ...               mode=Mode.LIVE, currency="CNY", amount_minor=5, payee="own", payee_tail="",
    ...               state=PayoutState.UNKNOWN, version=1, cause="rule.x@1",
    ...               began_at=datetime(2026, 3, 2, tzinfo=UTC))
    >>> ruling = rule(sent, CustodianAnswer(said=PayoutSaid.RETURNED), PayoutSource.QUERY)
    >>> [move.value for move in ruling.moves]
    ['confirm', 'return']
    """
    said = answer.said
    amounts = (answer.amount_minor, payout.amount_minor), (answer.currency, payout.currency)
    if any(theirs is not None and theirs != ours for theirs, ours in amounts):
        return _old(payout, "amount_or_currency_differs")
    if said in (PayoutSaid.PAID, PayoutSaid.RETURNED):
        return _on_money(payout, said)
    if not payout.state.is_under_way:
        if payout.state is PayoutState.PAID and said is PayoutSaid.FAILED:
            return _old(payout, "failed_after_paid")
        return _old(payout, "repeat")
    if said is PayoutSaid.FAILED:
        return PayoutRuling(PayoutState.FAILED, (PayoutMove.RELEASE,))
    if said is PayoutSaid.PENDING:
        return _still(payout, PayoutState.PENDING)
    if said is PayoutSaid.NOT_SENT and source is PayoutSource.ANSWER:
        is_first = payout.state in (PayoutState.INTENDED, PayoutState.SENT)
        return _still(payout, PayoutState.INTENDED if is_first else payout.state)
    if said is PayoutSaid.NOT_FOUND and payout.state is not PayoutState.PENDING:
        return _still(payout, PayoutState.INTENDED)
    if payout.state in (PayoutState.INTENDED, PayoutState.SENT):
        return _still(payout, PayoutState.UNKNOWN)
    return _old(payout, "nothing_learnt")


def _on_money(payout: Payout, said: PayoutSaid) -> PayoutRuling:
    is_return = said is PayoutSaid.RETURNED
    if payout.state is PayoutState.RETURNED or (payout.state is PayoutState.PAID and not is_return):
        return _old(payout, "repeat")
    if payout.state is PayoutState.FAILED:
        # It was released to the merchant: people look before anything is taken from him.
        return _old(payout, "money_left_after_failure")
    moves = () if payout.state is PayoutState.PAID else (PayoutMove.CONFIRM,)
    if is_return:
        return PayoutRuling(PayoutState.RETURNED, (*moves, PayoutMove.RETURN))
    return PayoutRuling(PayoutState.PAID, moves)


def _old(payout: Payout, note: str) -> PayoutRuling:
    return PayoutRuling(payout.state, is_new=False, note=note)


def _still(payout: Payout, state: PayoutState) -> PayoutRuling:
    is_new = state is not payout.state
    return PayoutRuling(state, is_new=is_new, note="" if is_new else "repeat")


SETTLED_AS: Final = {
    PayoutState.INTENDED: SettlementState.PAYING,
    PayoutState.SENT: SettlementState.PAYING,
    PayoutState.PENDING: SettlementState.PAYING,
    PayoutState.UNKNOWN: SettlementState.PAY_UNKNOWN,
    PayoutState.PAID: SettlementState.PAID,
    PayoutState.FAILED: SettlementState.PAY_FAILED,
    PayoutState.RETURNED: SettlementState.RETURNED,
}
"""Where a settlement stands while its newest payout stands somewhere."""
LOOK_AT: Final = frozenset(
    {"amount_or_currency_differs", "failed_after_paid", "money_left_after_failure"}
)
"""Notes that people look at."""
