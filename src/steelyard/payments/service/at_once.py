"""Payments out of our own book: asked, posted, counted and told in one transaction.

Where the payer's money lies in our client book there is no channel to wait for: the ledger's answer
is the evidence, and it is final. Up to a thousand payments are one transaction, each written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from steelyard.base import Gate, Question, UnitOfWork, Verdict
from steelyard.decisions import Use, consume_all, records
from steelyard.kernel import Refusal, RefusalKind
from steelyard.ledger import Answer, Transfer, post
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import Attempt, AttemptState, Move, Source, reduce
from steelyard.payments.model.channel import Decline, Finding, Method, Said
from steelyard.payments.model.checks import check_order, same_order
from steelyard.payments.model.orders import Mode, NewOrder, Order
from steelyard.payments.model.refusals import OrderNoWasUsed
from steelyard.payments.service import facts, institution, limits
from steelyard.payments.service.evidence import BALANCE, Report, facts_of, order_after, settle
from steelyard.payments.service.orders import Begin, Begun, begin, begun, made, order_begun
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import institution as contracts
from steelyard.payments.store import orders as table

__all__ = [
    "BATCH",
    "SCENE",
    "AccountIsMissing",
    "Paid",
    "Purchase",
    "TooManyPayments",
    "ask",
    "pay",
    "pay_begun",
    "told_of",
]

BATCH: Final = 1_000
SCENE: Final = "payment"


class TooManyPayments(Refusal):
    """A batch would hold its transaction open for too long."""

    kind = RefusalKind.TOO_LARGE
    en = "A batch holds at most {most} payments; this one holds {found}."
    zh = "每批最多 {most} 笔支付，本批为 {found} 笔。"


class AccountIsMissing(Refusal):
    """A payment out of our own book does not say out of which account."""

    kind = RefusalKind.INVALID
    en = "Payment {payment} does not name the account that pays."
    zh = "支付 {payment} 未指明付款账户。"


@dataclass(frozen=True, slots=True)
class Purchase:
    """A payment out of our own book that is asked for.

    Attributes
    ----------
    order : its payer names the account that pays
    attempt : id of the attempt, which the gate is asked about and the channel number is made of
    at : when it happened, for the gate and for the facts; at or before the present
    """

    order: NewOrder
    attempt: UUID
    at: datetime
    method: Method = Method.BALANCE


@dataclass(frozen=True, slots=True)
class Paid:
    """What became of a purchase.

    Attributes
    ----------
    reason : why it was declined, a code of the gate or of the ledger; None when it was paid
    cause : what the movement rests on, or what said no
    """

    order: UUID
    is_paid: bool
    cause: str
    reason: str | None = None


def ask(gate: Gate, purchases: Sequence[Purchase]) -> tuple[Verdict, ...]:
    """Ask the gate about each purchase, as of its instant; before the unit of work opens.

    Refusals
    --------
    too_many_payments, owner_is_away
    """
    _check(purchases)
    return gate.ask_all(
        SCENE,
        [Question(str(one.attempt), one.at, told_of(one.order, one.method)) for one in purchases],
    )


def told_of(order: NewOrder | Order, method: Method) -> dict[str, object]:
    """Return what the gate is told of a payment; what is not known is left out."""
    payer = order.payer
    known: dict[str, object] = {
        "customer": payer.customer,
        "card": payer.instrument,
        "account": payer.account,
        "merchant": order.merchant,
        "terminal": payer.terminal,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "method": method.value,
        "scenario": order.scenario.value,
        "device": payer.device,
        "ip": payer.ip,
        "country": payer.country,
        "is_online": payer.is_online,
    }
    return {name: value for name, value in known.items() if value is not None}


def pay(
    unit: UnitOfWork, purchases: Sequence[Purchase], verdicts: Sequence[Verdict]
) -> list[Paid | Refusal]:
    """Create, begin and pay orders out of our own book.

    Parameters
    ----------
    purchases : at most 1,000, in the order in which they happened
    verdicts : what the gate said to each

    Returns
    -------
    list of Paid or Refusal
        One for each. A purchase that was made before is answered as it was, and neither moves money
        nor tells its fact a second time.

    Refusals
    --------
    too_many_payments, institution_is_not_open; for one item those of `check_order`,
    order_no_was_used, limit_is_reached
    """
    _check(purchases)
    terms = contracts.merchant_terms(unit.connection, [one.order.merchant for one in purchases])
    present = table.find(unit.connection, [one.order.id for one in purchases])
    numbers = table.numbers_taken(unit.connection, [_number(one) for one in purchases])
    expired = _consume(unit, purchases, verdicts)
    tries: list[_Try | Paid | Refusal] = []
    for one, verdict in zip(purchases, verdicts, strict=True):
        known = present.get(one.order.id)
        refusal = check_order(one.order, terms.get(one.order.merchant), unit.now)
        taken = numbers.setdefault(_number(one), one.order.id)
        if known is not None and same_order(one.order, known):
            tries.append(_as_it_was(unit, known))
        elif known is not None or taken != one.order.id:
            tries.append(OrderNoWasUsed(order_no=one.order.order_no, payment=taken))
        elif refusal is not None:
            tries.append(refusal)
        else:
            tries.append(_try(one, verdict, unit.now, is_expired=verdict.decision_id in expired))
    if any(one.has_limits for one in terms.values()):
        tries = _within_limits(unit, tries)
    _post(unit, [one for one in tries if isinstance(one, _Try)])
    return [_finish(unit, one) if isinstance(one, _Try) else one for one in _written(unit, tries)]


def pay_begun(unit: UnitOfWork, begins: Sequence[Begin]) -> list[Begun | Refusal]:
    """Begin attempts on orders that were created before, and pay them out of our own book.

    Refusals
    --------
    those of `orders.begin`, account_is_missing
    """
    answers = begin(unit, begins)
    sent = [
        one.attempt
        for one in answers
        if isinstance(one, Begun) and one.is_new and one.attempt.state is AttemptState.SENT
    ]
    orders = table.lock(unit.connection, [one.order for one in sent])
    for one in sent:
        if orders[one.order].payer.account is None:
            raise AccountIsMissing(payment=one.order)
    transfers = [_transfer(unit, orders[one.order], one) for one in sent]
    reports = [
        Report(one.id, Source.ANSWER, _finding(answer))
        for one, answer in zip(sent, post(unit, transfers), strict=True)
    ]
    ids = [one.id for one in sent]
    held = attempts_table.lock(unit.connection, ids)
    after = settle(unit, orders, held, reports).attempts
    return [
        Begun(after.get(one.attempt.id, one.attempt), one.is_new) if isinstance(one, Begun) else one
        for one in answers
    ]


@dataclass(slots=True)
class _Try:
    """A purchase on its way: its rows before and after the ledger has answered."""

    purchase: Purchase
    order: Order
    attempt: Attempt
    before: Order
    finding: Finding | None = None
    reason: str | None = None


def _number(one: Purchase) -> tuple[UUID, Mode, str]:
    return one.order.merchant, one.order.mode, one.order.order_no


def _check(purchases: Sequence[Purchase]) -> None:
    if len(purchases) > BATCH:
        raise TooManyPayments(most=BATCH, found=len(purchases))


def _try(one: Purchase, verdict: Verdict, now: datetime, *, is_expired: bool) -> _Try:
    order = replace(made(one.order, now), created_at=one.at)
    start = Begin(
        order=order.id,
        attempt=one.attempt,
        method=one.method,
        channel=BALANCE,
        verdict=verdict,
    )
    attempt = replace(begun(order, start, now), sent_at=one.at, next_query_at=None)
    reason = None
    if is_expired:
        reason = records.DecisionIsExpired.code
        attempt = replace(
            attempt, state=AttemptState.DECLINED, decline=Decline.OTHER, code=reason, final_at=now
        )
    elif attempt.state is not AttemptState.SENT:
        # Nobody stands beside a batch to prove more: whatever is not let pass is declined.
        reason = attempt.code or (verdict.reasons[0] if verdict.reasons else verdict.outcome.value)
        attempt = replace(
            attempt,
            state=AttemptState.DECLINED,
            decline=Decline.SUSPECTED_FRAUD,
            code=reason,
            action=None,
            final_at=now,
        )
        reason = reason.split(",")[0]
    return _Try(one, order_begun(order, start, attempt), attempt, order, None, reason)


def _consume(
    unit: UnitOfWork, purchases: Sequence[Purchase], verdicts: Sequence[Verdict]
) -> set[UUID]:
    """Use up the decisions that let pass; return those whose time was over."""
    uses = [
        Use(verdict.decision_id, f"transfer:{one.attempt}", one.order.amount_minor)
        for one, verdict in zip(purchases, verdicts, strict=True)
        if verdict.decision_id is not None
        and verdict.outcome.value in ("approve", "limit")
        and (verdict.limit_minor is None or one.order.amount_minor <= verdict.limit_minor)
    ]
    try:
        consume_all(unit, uses)
    except records.DecisionIsExpired:
        return {use.id for use in uses if _is_expired(unit, use)}
    return set()


def _is_expired(unit: UnitOfWork, use: Use) -> bool:
    try:
        consume_all(unit, [use])
    except records.DecisionIsExpired:
        return True
    return False


def _within_limits(
    unit: UnitOfWork, tries: Sequence[_Try | Paid | Refusal]
) -> list[_Try | Paid | Refusal]:
    """Count what the gate let pass; what a limit refuses is a refusal in its place."""
    passing = [
        one for one in tries if isinstance(one, _Try) and one.attempt.state is AttemptState.SENT
    ]
    counted = [limits.spending_of(one.order, one.attempt) for one in passing]
    taken = zip(passing, limits.take(unit, counted), strict=True)
    full = {one.attempt.id: refusal for one, refusal in taken if refusal is not None}
    return [full.get(one.attempt.id, one) if isinstance(one, _Try) else one for one in tries]


def _post(unit: UnitOfWork, tries: Sequence[_Try]) -> None:
    """Ask the ledger for what the gate let pass, and keep its answers."""
    passing = [one for one in tries if one.attempt.state is AttemptState.SENT]
    transfers = [_transfer(unit, one.order, one.attempt) for one in passing]
    for one, answer in zip(passing, post(unit, transfers), strict=True):
        one.finding = _finding(answer)
        if not answer.outcome.is_accepted:
            one.reason = answer.outcome.value
    refused = [replace(one.attempt, state=AttemptState.DECLINED) for one in passing if one.reason]
    limits.give_back(unit, refused)


def _transfer(unit: UnitOfWork, order: Order, attempt: Attempt) -> Transfer:
    """Return what moves a payer's money to what is owed to the merchant."""
    book = institution.read_known(unit.connection, order.mode).client_book
    owed = accounts.pending(order.merchant, order.currency)
    institution.have_accounts(unit, book, [(owed, order.currency)])
    return Transfer(
        id=uuid5(attempt.id, Move.CAPTURE.value),
        book=book,
        cause=attempt.cause,
        debit=order.payer.account or "",
        credit=owed,
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        decision_id=attempt.decision,
        metadata={"payment": str(order.id), "attempt": str(attempt.id)},
    )


def _finding(answer: Answer) -> Finding:
    if answer.outcome.is_accepted:
        return Finding(said=Said.SUCCEEDED)
    code = answer.outcome.value
    short = code == "exceeds_debit_limit"
    decline = Decline.INSUFFICIENT_FUNDS if short else Decline.OTHER
    return Finding(said=Said.DECLINED, decline=decline, code=code)


def _written(
    unit: UnitOfWork, tries: Sequence[_Try | Paid | Refusal]
) -> Sequence[_Try | Paid | Refusal]:
    """Insert orders and attempts as they end up, each once."""
    own = [one for one in tries if isinstance(one, _Try)]
    for one in own:
        if one.finding is None:
            continue
        ruling = reduce(one.order, one.attempt, one.finding, Source.ANSWER, unit.now)
        one.attempt = replace(
            one.attempt,
            state=ruling.attempt,
            final_at=unit.now,
            decline=one.finding.decline,
            code=one.finding.code,
        )
        one.order = order_after(one.order, one.attempt, ruling, one.purchase.at)
    inserted = table.insert(unit.connection, [one.order for one in own])
    attempts_table.insert(unit.connection, [one.attempt for one in own if one.order.id in inserted])
    assert len(inserted) == len(own), "a merchant's order number came twice in one batch"
    return tries


def _finish(unit: UnitOfWork, one: _Try) -> Paid:
    order, attempt, at = one.order, one.attempt, one.purchase.at
    finding = one.finding or Finding(said=Said.DECLINED)
    for fact in facts_of(one.before, order, attempt, finding, reason=one.reason):
        unit.record(fact, subject=facts.subject_of(order), occurred_at=at)
    return Paid(order.id, order.state.is_paid, attempt.cause, one.reason)


def _as_it_was(unit: UnitOfWork, order: Order) -> Paid:
    (*_, last) = attempts_table.of_order(unit.connection, order.id)
    reason = None if order.state.is_paid else (last.code or "").split(",")[0] or None
    return Paid(order.id, order.state.is_paid, last.cause, reason)
