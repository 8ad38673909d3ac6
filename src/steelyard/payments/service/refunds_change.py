"""What a batch makes of refunds, their orders and splits, before it is written and posted.

The orders are locked by the caller: that orders everything that is done to one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Fact, UnitOfWork
from steelyard.ledger import Transfer, accepted, post
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import Attempt
from steelyard.payments.model.orders import Order
from steelyard.payments.model.refunds import (
    Home,
    Refund,
    RefundMove,
    RefundState,
    RefundTerms,
)
from steelyard.payments.model.refunds_refusals import MerchantBalanceIsShort, RefundNoWasUsed
from steelyard.payments.model.splits import Split, SplitState, parts_of
from steelyard.payments.service import fees, institution, refunds_facts
from steelyard.payments.service.evidence import BALANCE
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import orders as orders_table
from steelyard.payments.store import refunds as table
from steelyard.payments.store import splits as splits_table
from steelyard.payments.store.attempts import EvidenceRow
from steelyard.payments.store.refunds import Loss

CAUSE: Final = "rule.refund@1"
EXCESS_CAUSE: Final = "rule.refund_excess@1"
AUTOMATIC_CAUSE: Final = "rule.refund_unclaimed@1"


Leg = tuple[str, str, int, str]
"""Debit, credit, minor units, cause."""


@dataclass(slots=True)
class Change:
    """Orders, refunds and splits as a batch leaves them, and what it posts and tells.

    Attributes
    ----------
    read : orders as they were read, to find those that changed
    lowest : account -> how far below zero refunds may bring it
    """

    unit: UnitOfWork
    read: dict[UUID, Order]
    attempts: dict[UUID, Attempt]
    terms: dict[UUID, RefundTerms]
    orders: dict[UUID, Order] = field(default_factory=dict)
    refunds: dict[UUID, Refund] = field(default_factory=dict)
    touched: set[UUID] = field(default_factory=set)
    fresh: set[UUID] = field(default_factory=set)
    splits: dict[UUID, list[Split]] = field(default_factory=dict)
    moved_splits: set[UUID] = field(default_factory=set)
    evidence: list[EvidenceRow] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    wanted: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    lowest: dict[UUID, tuple[UUID, int, int]] = field(default_factory=dict)
    told: list[tuple[Fact, str]] = field(default_factory=list)
    cleared: set[UUID] = field(default_factory=set)

    def write(self) -> None:
        """Write everything, and post last.

        Refusals
        --------
        merchant_balance_is_short, refund_no_was_used : another transaction came first; all of the
            batch is rolled back
        """
        unit = self.unit
        fresh = [self.refunds[id] for id in sorted(self.fresh)]
        inserted = table.insert(unit.connection, fresh)
        for one in fresh:
            if one.id not in inserted:
                # Of another payment, asked for in the same moment.
                raise RefundNoWasUsed(refund_no=one.refund_no, refund="")
        known = sorted(self.touched - self.fresh)
        table.write(unit.connection, [self.refunds[id] for id in known])
        changed = [one for id, one in self.orders.items() if one != self.read[id]]
        orders_table.write(unit.connection, changed)
        every = [one for splits in self.splits.values() for one in splits]
        splits_table.write(unit.connection, [one for one in every if one.id in self.moved_splits])
        attempts_table.insert_evidence(unit.connection, self.evidence)
        table.insert_losses(unit.connection, self.losses)
        for fact, subject in self.told:
            unit.record(fact, subject=subject)
        for book, wanted in self.wanted.items():
            institution.have_accounts(unit, book, wanted)
        for answer in accepted(post(unit, self.transfers)):
            bound = self.lowest.get(answer.id)
            if bound is None or answer.record is None:
                continue
            merchant, lowest, amount = bound
            balance = -answer.record.debit_balance
            if balance < -lowest:
                raise MerchantBalanceIsShort(
                    merchant=merchant, balance_minor=balance + amount, amount_minor=amount
                )

    def set(self, refund: Refund) -> None:
        """Keep a refund that is there already, as it is to be written."""
        self.refunds[refund.id] = refund
        self.touched.add(refund.id)

    def tell(self, refund: Refund) -> None:
        """Tell of the state that a refund came to."""
        order = self.orders[refund.order]
        fact = refunds_facts.of_state(order, self.attempts.get(refund.attempt), refund)
        if fact is not None:
            self.told.append((fact, refunds_facts.subject_of(order.id)))

    def home_of(self, order: Order) -> Home:
        """Return where the money of an order lies now."""
        return Home.AVAILABLE if order.paid_by in self.cleared else Home.PENDING

    def parts(self, order: Order, amount_minor: int) -> dict[str, int]:
        """Return what receivers of splits bear of a refund."""
        found = parts_of(order, self.splits.get(order.id, []), amount_minor)
        return {str(split): amount for split, amount in found.items()}

    def move(self, refund: Refund, move: RefundMove, *, of_excess_minor: int = 0) -> None:
        """Do a move of a refund: overlays of its order, its splits, and postings."""
        counted = refund.amount_minor - of_excess_minor
        if not refund.is_automatic:
            self.orders[refund.order] = _overlaid(self.orders[refund.order], move, counted)
        legs = {
            RefundMove.RESERVE: self._reserve,
            RefundMove.RELEASE: self._release,
            RefundMove.PAY: self._pay,
            RefundMove.RETURN: self._return,
        }[move](refund, of_excess_minor)
        self._post(refund, move, legs)

    def _reserve(self, refund: Refund, excess_minor: int) -> list[Leg]:
        refunds = accounts.refunds(refund.currency)
        parts = self._turn_parts(refund, sign=1)
        rest = refund.amount_minor - excess_minor - sum(minor for _, minor in parts)
        cause = AUTOMATIC_CAUSE if refund.is_automatic else cause_of(refund)
        legs = [(home_account(refund), refunds, rest, cause)]
        legs += [(account, refunds, minor, cause) for account, minor in parts]
        if excess_minor:
            bearer, account = self.bearer(refund.merchant, refund.currency)
            because = f"refund:{refund.id}"
            self.lose(self.orders[refund.order], because, bearer, excess_minor)
            legs.append((account, refunds, excess_minor, EXCESS_CAUSE))
        return legs

    def _release(self, refund: Refund, excess_minor: int) -> list[Leg]:
        refunds = accounts.refunds(refund.currency)
        parts = self._turn_parts(refund, sign=-1)
        rest = refund.amount_minor - excess_minor - sum(minor for _, minor in parts)
        legs = [(refunds, home_account(refund), rest, CAUSE)]
        legs += [(refunds, account, minor, CAUSE) for account, minor in parts]
        if excess_minor:
            bearer, account = self.bearer(refund.merchant, refund.currency)
            because = f"refund:{refund.id}"
            self.lose(self.orders[refund.order], because, bearer, -excess_minor)
            legs.append((refunds, account, excess_minor, EXCESS_CAUSE))
        return legs

    def _pay(self, refund: Refund, _: int) -> list[Leg]:
        refunds = accounts.refunds(refund.currency)
        return [(refunds, self._outside(refund), refund.amount_minor, cause_of(refund))]

    def _return(self, refund: Refund, _: int) -> list[Leg]:
        refunds = accounts.refunds(refund.currency)
        return [(self._outside(refund), refunds, refund.amount_minor, cause_of(refund))]

    def _outside(self, refund: Refund) -> str:
        """Return the account that faces the payer: his own with us, or what the channel owes.

        What people send to another account of his goes by bank, from the reserve.
        """
        if refund.destination is not None:
            return accounts.settlement(refund.currency)
        if refund.channel == BALANCE:
            account = self.orders[refund.order].payer.account
            assert account is not None, "it was paid from an account"
            return account
        return accounts.in_transit(refund.channel, refund.currency)

    def _turn_parts(self, refund: Refund, *, sign: int) -> list[tuple[str, int]]:
        """Let receivers bear their parts, or have them back; return those that are posted."""
        splits = self.splits.get(refund.order, [])
        borne: list[tuple[str, int]] = []
        for at, split in enumerate(splits):
            minor = refund.parts.get(str(split.id), 0)
            if not minor:
                continue
            splits[at] = replace(split, returned_minor=split.returned_minor + sign * minor)
            self.moved_splits.add(split.id)
            if split.state is SplitState.POSTED:
                borne.append((split.account, minor))
        return borne

    def bearer(self, merchant: UUID, currency: str) -> tuple[str, str]:
        """Return who bears what goes out beyond a payment, and the account it is taken from.

        Ours is taken from fees that are earned and not swept: client money never bears it.
        """
        if self.terms[merchant].platform_bears_excess:
            return "platform", accounts.fees_due(currency)
        return "merchant", accounts.available(merchant, currency)

    def lose(self, order: Order, because: str, bearer: str, amount_minor: int) -> None:
        """Note a loss, or below zero that it came back."""
        loss = Loss(
            self.unit.new_id(),
            order.id,
            order.merchant,
            order.mode.value,
            because,
            bearer,
            amount_minor,
            order.currency,
            self.unit.now,
        )
        self.losses.append(loss)

    def post(self, order: Order, id: UUID, leg: Leg, about: str) -> None:
        """Add a posting to what is posted in the end, and the accounts that it needs.

        Parameters
        ----------
        about : `noun:id` of what it is about besides the payment
        """
        debit, credit, minor, cause = leg
        if not minor:
            return
        book = institution.read_known(self.unit.connection, order.mode).client_book
        self.wanted.setdefault(book, []).extend(
            (code, order.currency)
            for code in (debit, credit)
            if is_ours(code, order, self.splits.get(order.id, []))
        )
        noun, _, what = about.partition(":")
        self.transfers.append(
            Transfer(
                id=id,
                book=book,
                cause=cause,
                debit=debit,
                credit=credit,
                amount_minor=minor,
                currency=order.currency,
                metadata={"payment": str(order.id), noun: what},
            )
        )

    def _post(self, refund: Refund, move: RefundMove, legs: Sequence[Leg]) -> None:
        order = self.orders[refund.order]
        # Money that went out went out: only what is yet to go has to be borne by the balance.
        is_new = move is RefundMove.RESERVE and refund.state is RefundState.RESERVED
        for number, leg in enumerate(legs):
            # A transition happens once for a version, whatever it is called.
            id = uuid5(refund.id, f"{refund.version}/{move.value}/{number}")
            self.post(order, id, leg, f"refund:{refund.id}")
            if is_new and refund.home is Home.AVAILABLE and number == 0:
                advance = self.terms[refund.merchant].advance_minor
                self.lowest[id] = (refund.merchant, advance, leg[2])


def is_ours(code: str, order: Order, splits: Sequence[Split]) -> bool:
    """Return whether payments opens an account itself: those of payers and agents are theirs."""
    if code == order.payer.account:
        return False
    return code.startswith("merchant/") or code not in {one.account for one in splits}


def home_account(refund: Refund) -> str:
    """Return the account that a refund is taken from."""
    if refund.home is Home.UNCLAIMED:
        return accounts.unclaimed(refund.currency)
    if refund.home is Home.PENDING:
        return accounts.pending(refund.merchant, refund.currency)
    return accounts.available(refund.merchant, refund.currency)


def cause_of(refund: Refund) -> str:
    """Return who says that the money of a refund moves."""
    return CAUSE if refund.approval is None else f"approval:{refund.approval}@1"


def _overlaid(order: Order, move: RefundMove, minor: int) -> Order:
    """Return the order with what a move counts on it."""
    reserved, refunded = order.refund_reserved_minor, order.refunded_minor
    if move is RefundMove.RESERVE:
        return replace(order, refund_reserved_minor=reserved + minor)
    if move is RefundMove.RELEASE:
        return replace(order, refund_reserved_minor=reserved - minor)
    if move is RefundMove.PAY:
        return replace(
            order, refund_reserved_minor=reserved - minor, refunded_minor=refunded + minor
        )
    return replace(order, refund_reserved_minor=reserved + minor, refunded_minor=refunded - minor)


def open_change(unit: UnitOfWork, orders: Sequence[UUID]) -> Change:
    """Lock orders, and return an empty change of them.

    Other verbs that lock more than one room's rows keep to the same order: orders, attempts,
    refunds, books.
    """
    connection = unit.connection
    held = orders_table.lock(connection, orders)
    attempts = [one.paid_by for one in held.values() if one.paid_by is not None]
    change = Change(
        unit=unit,
        read=held,
        attempts=attempts_table.find(connection, attempts),
        terms=table.terms_of_merchants(connection, [one.merchant for one in held.values()]),
        orders=dict(held),
        splits=splits_table.of_orders(connection, list(held)),
        cleared=table.cleared(connection, attempts),
    )
    return change


def fee_back(connection: sa.Connection, order: Order, attempt: Attempt, amount_minor: int) -> int:
    """Return what a refund gives back of the fee, as things stand; clearing posts it.

    Parameters
    ----------
    order : before the refund
    """
    assert order.paid_at is not None, "it was paid"
    timezone = institution.read_known(connection, order.mode).timezone
    plan = fees.plan_on(connection, order.merchant, fees.day_of(order.paid_at, timezone))
    charged = table.fee_charged(connection, attempt.id)
    if charged is None:
        charged = fees.fee_of(
            plan,
            method=attempt.method,
            amount_minor=order.captured_minor,
            currency=order.currency,
            scenario=order.scenario,
        )
    before = table.fees_returned(connection, [order.id]).get(order.id, 0)
    return fees.fee_returned(
        plan.returns,
        fee_minor=max(charged, before),
        captured_minor=order.captured_minor,
        refund_minor=amount_minor,
        refunded_minor=order.refunded_minor,
        returned_minor=before,
    )
