"""Payments that a funding source of ours lends: its port, and the channel that it is to the rest.

To orders, attempts and refunds a source is a channel that answers at once: the intent is committed,
the source lends in a transaction of its own, and what came of it is evidence. So a crash in between
is asked about like any other, and nothing is lent twice.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Final, Protocol
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model import accounts
from steelyard.payments.model.channel import (
    Capability,
    Decline,
    Finding,
    Method,
    Notice,
    PayRequest,
    Query,
    RawNotice,
    RefundRequest,
    Said,
    StatementFile,
)
from steelyard.payments.model.funding import FundingOffer, FundingRequest
from steelyard.payments.model.orders import Order
from steelyard.payments.service import institution
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import funding as table
from steelyard.payments.store import orders as orders_table

__all__ = [
    "CREDIT",
    "FundingChannel",
    "FundingOffer",
    "FundingRequest",
    "FundingSource",
    "SourceTellsNothing",
    "capability_of",
]

CREDIT: Final = "credit"
"""Code of the channel that the lender's credit lines are."""
_ACTOR: Final = "system:funding"


class SourceTellsNothing(Refusal):
    """A funding source is asked; it sends no notices of its own."""

    kind = RefusalKind.INVALID
    en = "The funding source {source} sends no notices."
    zh = "资金来源 {source} 不发送通知。"


class FundingSource(Protocol):
    """Who lends a payer what he pays; `credit` does, and is introduced where all is composed."""

    @property
    def code(self) -> str:
        """Its name, which is its channel's."""
        ...

    def offer(self, connection: sa.Connection, wanted: FundingRequest) -> FundingOffer | Refusal:
        """Return what paying so would cost, or why it cannot be."""
        ...

    def fund(self, unit: UnitOfWork, wanted: FundingRequest) -> str:
        """Lend, and pay the payee; return what the source knows the loan by.

        Refusals
        --------
        whatever the source refuses for; nothing is then lent
        """
        ...

    def give_back(self, unit: UnitOfWork, reference: str, *, amount_minor: int) -> None:
        """Take an amount back from the account that was paid, off what is owed."""
        ...


def capability_of(currency: str = "CNY") -> Capability:
    """Return what a funding source can do: pay at once, and take back whole or in part."""
    return Capability(
        methods=(Method.CREDIT,),
        currencies=(currency,),
        visibility_seconds=0,
        fee_rate=Decimal(0),
        settles_after_days=0,
    )


class FundingChannel:
    """A funding source behind the six verbs.

    Parameters
    ----------
    source : lends
    """

    def __init__(self, database: Database, source: FundingSource) -> None:
        self._database = database
        self._source = source

    @property
    def code(self) -> str:
        """The source's name."""
        return self._source.code

    def pay(self, request: PayRequest) -> Finding:
        """Let the source lend; what it refuses for is a decline."""
        number = UUID(hex=request.number)

        def work(unit: UnitOfWork) -> Finding:
            known = table.find(unit.connection, number, lock=True)
            if known is None:
                order = self._order_of(unit.connection, number)
                wanted = self._wanted(unit, order, request)
                if wanted is None:
                    return Finding(said=Said.DECLINED, decline=Decline.INVALID_REQUEST)
                reference = self._source.fund(unit, wanted)
                known = table.Funding(
                    number, False, number, self.code, reference, wanted.amount_minor,
                    wanted.currency,
                )  # fmt: skip
                table.insert(unit.connection, known, unit.now)
            return _succeeded(known)

        try:
            return self._database.transact(work, actor=_ACTOR)
        except Refusal as refusal:
            decline = Decline.LIMIT_EXCEEDED if "limit" in refusal.code else Decline.NOT_PERMITTED
            return Finding(said=Said.DECLINED, decline=decline, code=refusal.code)

    def query(self, query: Query) -> Finding:
        """Say what was lent or taken back under a number."""
        with self._database.reading() as connection:
            known = table.find(connection, UUID(hex=query.number))
        return Finding(said=Said.NOT_FOUND) if known is None else _succeeded(known)

    def refund(self, request: RefundRequest) -> Finding:
        """Let the source take an amount back, off what the payer owes."""
        number, payment = UUID(hex=request.number), UUID(hex=request.payment_number)

        def work(unit: UnitOfWork) -> Finding:
            lent = table.find(unit.connection, payment, lock=True)
            known = table.find(unit.connection, number)
            if known is not None:
                return _succeeded(known)
            if lent is None:
                return Finding(said=Said.DECLINED, decline=Decline.INVALID_REQUEST)
            self._source.give_back(unit, lent.reference, amount_minor=request.amount_minor)
            back = table.Funding(
                number, True, payment, self.code, lent.reference, request.amount_minor,
                lent.currency,
            )  # fmt: skip
            table.insert(unit.connection, back, unit.now)
            return _succeeded(back)

        try:
            return self._database.transact(work, actor=_ACTOR)
        except Refusal as refusal:
            return Finding(said=Said.DECLINED, decline=Decline.NOT_PERMITTED, code=refusal.code)

    def cancel(self, query: Query) -> Finding:
        """Say that nothing was lent, which then stays so; what was lent goes back by a refund."""
        found = self.query(query)
        return Finding(said=Said.CLOSED) if found.said is Said.NOT_FOUND else found

    def parse_notice(self, raw: RawNotice, now: datetime) -> Notice:
        """Refuse: it is asked, and tells nothing by itself.

        Refusals
        --------
        source_tells_nothing
        """
        raise SourceTellsNothing(source=self.code)

    def statement(self, on: date) -> StatementFile | None:
        """Return none: both halves of what it moves are in our own books."""
        return None

    def _order_of(self, connection: sa.Connection, attempt: UUID) -> Order | None:
        of = attempts_table.orders_of(connection, [attempt]).get(attempt)
        return None if of is None else orders_table.find(connection, [of]).get(of)

    def _wanted(
        self, unit: UnitOfWork, order: Order | None, request: PayRequest
    ) -> FundingRequest | None:
        if order is None or order.payer.customer is None or request.instrument is None:
            return None
        book = institution.read_known(unit.connection, order.mode).client_book
        payee = accounts.in_transit(self.code, request.currency)
        institution.have_accounts(unit, book, [(payee, request.currency)])
        return FundingRequest(
            number=UUID(hex=request.number),
            party=order.payer.customer,
            instrument=request.instrument,
            merchant=order.merchant,
            amount_minor=request.amount_minor,
            currency=request.currency,
            book=book,
            payee=payee,
        )


def _succeeded(known: table.Funding) -> Finding:
    return Finding(
        said=Said.SUCCEEDED,
        amount_minor=known.amount_minor,
        currency=known.currency,
        reference=known.reference,
        fee_minor=0,
    )
