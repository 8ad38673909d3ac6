"""Credit lines as a funding source of payments: drawn at a merchant, repaid by his refunds."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.credit.model.line import Line, LineIsUnknown
from steelyard.credit.service import lines, loans
from steelyard.credit.service.catalogue import product_of
from steelyard.credit.store import lender as lenders
from steelyard.credit.store import lines as table
from steelyard.kernel import Refusal, RefusalKind
from steelyard.ledger import accounts_of
from steelyard.payments import funding

__all__ = ["CreditLines", "LineHasNoWallet"]

_CODE: Final = funding.CREDIT


class LineHasNoWallet(Refusal):
    """There is no account from which a draw at a merchant would be repaid."""

    kind = RefusalKind.CONFLICT
    en = "The customer of line {line} has no account in {book} to repay from."
    zh = "额度 {line} 的客户在账簿 {book} 中没有还款账户。"


class CreditLines:
    """Lends what a customer pays under his credit line; the token is the id of the line."""

    @property
    def code(self) -> str:
        """Name of the source and of its channel."""
        return _CODE

    def offer(
        self, connection: sa.Connection, wanted: funding.FundingRequest
    ) -> funding.FundingOffer | Refusal:
        """Return what a draw would cost by the first tenor and method of the product."""
        try:
            line = self._line(connection, wanted)
            quote = lines.quote_draw(connection, line.id, self._draw(connection, line, wanted))
        except Refusal as refusal:
            return refusal
        periods: list[dict[str, Any]] = list(quote["costs"]["periods"])
        total = sum(int(period["total_minor"]) for period in periods)
        return funding.FundingOffer(
            source=self.code,
            instrument=wanted.instrument,
            amount_minor=wanted.amount_minor,
            currency=wanted.currency,
            cost_minor=total - wanted.amount_minor,
            payments=len(periods),
        )

    def fund(self, unit: UnitOfWork, wanted: funding.FundingRequest) -> str:
        """Draw under the line, paid to the payee; return the id of the loan.

        Refusals
        --------
        line_is_unknown, line_has_no_wallet, and those of `lines.draw`
        """
        line = self._line(unit.connection, wanted)
        draw = self._draw(unit.connection, line, wanted)
        return str(lines.draw(unit, line.id, draw, payee=wanted.payee).id)

    def give_back(self, unit: UnitOfWork, reference: str, *, amount_minor: int) -> None:
        """Take what a merchant returns off the loan; refusals as of `loans.merchant_refund`."""
        loans.merchant_refund(unit, UUID(reference), amount_minor=amount_minor)

    def _line(self, connection: sa.Connection, wanted: funding.FundingRequest) -> Line:
        """Return the payer's own line; somebody else's is answered as not found."""
        try:
            id = UUID(wanted.instrument)
        except ValueError:
            raise LineIsUnknown(line=wanted.instrument) from None
        line = table.read(connection, id)
        if line.party != wanted.party or line.currency != wanted.currency:
            raise LineIsUnknown(line=id)
        return line

    def _draw(
        self, connection: sa.Connection, line: Line, wanted: funding.FundingRequest
    ) -> lines.Draw:
        book = lenders.read(connection, line.currency).wallets_book
        wallets = [
            account.code
            for account in accounts_of(connection, f"party:{line.party}")
            if (account.book, account.currency) == (book, line.currency)
        ]
        if not wallets or book != wanted.book:
            raise LineHasNoWallet(line=line.id, book=wanted.book)
        product = product_of(connection, line.product, line.product_version)
        return lines.Draw(
            amount_minor=wanted.amount_minor,
            tenor=product.tenors[0],
            method=product.methods[0],
            wallet_account=wallets[0],
        )
