"""What the routes of loans take; amounts are minor units."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints

from steelyard.base.http import BodyIn
from steelyard.cashflows import events, form
from steelyard.cashflows import terms as cash_terms
from steelyard.credit import books, loans
from steelyard.credit.http.wire import Code, ShareIn

Amount = Annotated[int, Field(ge=1, le=10**15, description="minor units")]
Account = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"^[^\x00]+$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Version = Annotated[int | None, Field(ge=1, description="of the loan, as it was looked at")]
_LATER = date.min
"""An event that carries no day of its own happens on the business date."""


class SignIn(BodyIn):
    """A contract."""

    party: UUID
    product: Code
    product_version: int = Field(ge=1, lt=2**31)
    terms: dict[str, JsonValue] = Field(
        description="terms of the cash flows, as plain data",
        examples=[
            {
                "principal_minor": 1_200_000,
                "start_on": "2026-03-02",
                "instalments": 12,
                "rate": "0.12",
            }
        ],
    )
    wallet_book: Code
    wallet_account: Account
    merchant: UUID | None = None
    application: UUID | None = None
    shares: list[ShareIn] | None = Field(None, max_length=20)
    cooling_off_until: date | None = None

    def new_loan(self) -> loans.NewLoan:
        """Return the contract.

        Refusals
        --------
        form_is_invalid, terms_are_invalid, shares_are_invalid
        """
        shares = None if self.shares is None else [one.model_dump() for one in self.shares]
        return loans.NewLoan(
            party=self.party,
            product=self.product,
            product_version=self.product_version,
            terms=form.terms_from_json(self.terms),
            wallet_book=self.wallet_book,
            wallet_account=self.wallet_account,
            merchant=self.merchant,
            application=self.application,
            shares=loans.Shares.from_json(shares),
            cooling_off_until=self.cooling_off_until,
        )


class DisburseIn(BodyIn):
    """To whom a loan is paid out."""

    payee: Account | None = Field(None, description="account of a merchant; null: the customer")
    subsidy_minor: int = Field(0, ge=0, description="part that the merchant bears")
    dry_run: bool = False


class RepayIn(BodyIn):
    """A payment."""

    amount_minor: Amount
    kind: Literal["repayment", "debit", "prepay", "payoff", "goodwill"] = "repayment"
    effective_on: date | None = None
    from_wallet: bool = Field(True, description="false: out of suspense")
    at_most: bool = Field(False, description="take what the wallet has, if it has less")
    plan: cash_terms.Prepay | None = None
    if_version: Version = None
    dry_run: bool = False

    def repayment(self) -> loans.Repayment:
        """Return the payment."""
        return loans.Repayment(
            amount_minor=self.amount_minor,
            kind=self.kind,
            effective_on=self.effective_on,
            from_wallet=self.from_wallet,
            at_most=self.at_most,
            plan=self.plan,
        )


class ReverseIn(BodyIn):
    """Which event is taken back."""

    of: int = Field(ge=1, description="its number in the history")
    dry_run: bool = False


class RefundIn(BodyIn):
    """How much is given back."""

    amount_minor: Amount | None = Field(None, description="null: all of the credit balance")
    dry_run: bool = False


class MerchantRefundIn(BodyIn):
    """What the merchant returns of a purchase."""

    amount_minor: Amount
    dry_run: bool = False


class DrawIn(BodyIn):
    """A further tranche."""

    amount_minor: Amount
    dry_run: bool = False


class MoveDueDates(BodyIn):
    """A due date moves, and those after it with it."""

    kind: Literal["move_due_dates"]
    from_due: date
    to_due: date

    def event(self) -> events.Any:
        """Return the event."""
        return events.DueDatesMoved(seq=0, on=_LATER, from_due=self.from_due, to_due=self.to_due)


class Extend(BodyIn):
    """Instalments are added at the end."""

    kind: Literal["extend"]
    instalments: int = Field(ge=1, le=1_200)

    def event(self) -> events.Any:
        """Return the event."""
        return events.Extended(seq=0, on=_LATER, instalments=self.instalments)


class ReAge(BodyIn):
    """All that is owed is spread over new instalments."""

    kind: Literal["re_age"]
    first_due_on: date
    instalments: int = Field(ge=1, le=1_200)
    every: int = Field(1, ge=1, le=366)
    unit: cash_terms.Unit = cash_terms.Unit.MONTH

    def event(self) -> events.Any:
        """Return the event."""
        return events.ReAged(
            seq=0,
            on=_LATER,
            first_due_on=self.first_due_on,
            instalments=self.instalments,
            every=self.every,
            unit=self.unit,
        )


class PauseInterest(BodyIn):
    """No interest runs up to, and without, a day."""

    kind: Literal["pause_interest"]
    until: date

    def event(self) -> events.Any:
        """Return the event."""
        return events.InterestPaused(seq=0, on=_LATER, until=self.until)


class ChangeRate(BodyIn):
    """The rate changes from a day on."""

    kind: Literal["change_rate"]
    rate: Decimal = Field(ge=0, le=100, description="per one and the terms' `rate_per`")
    effective_on: date | None = None

    def event(self) -> events.Any:
        """Return the event."""
        return events.RateChanged(seq=0, on=self.effective_on or _LATER, rate=self.rate)


class ChargeFee(BodyIn):
    """A fee that the contract allows is charged."""

    kind: Literal["charge_fee"]
    code: Code
    amount_minor: Amount

    def event(self) -> events.Any:
        """Return the event."""
        return events.FeeCharged(seq=0, on=_LATER, code=self.code, amount_minor=self.amount_minor)


class Waive(BodyIn):
    """What is due is forgiven, oldest first."""

    kind: Literal["waive"]
    penalty_minor: int = Field(0, ge=0)
    fee_minor: int = Field(0, ge=0)
    interest_minor: int = Field(0, ge=0)

    def event(self) -> events.Any:
        """Return the event."""
        return events.Waived(
            seq=0,
            on=_LATER,
            penalty_minor=self.penalty_minor,
            fee_minor=self.fee_minor,
            interest_minor=self.interest_minor,
        )


class WriteOff(BodyIn):
    """The lender gives the loan up in its books."""

    kind: Literal["write_off"]

    def event(self) -> events.Any:
        """Return the event."""
        return events.WrittenOff(seq=0, on=_LATER)


Change = Annotated[
    MoveDueDates | Extend | ReAge | PauseInterest | ChangeRate | ChargeFee | Waive | WriteOff,
    Field(discriminator="kind"),
]


class ChangeIn(BodyIn):
    """A change; where a second person has to say yes, it is sent again with his approval."""

    change: Change
    approval: UUID | None = None
    if_version: Version = None
    dry_run: bool = False


class SaleIn(BodyIn):
    """A sale; it is sent again with the approval of a second person."""

    buyer: Code
    price_minor: Amount
    approval: UUID | None = None
    dry_run: bool = False


class AgeingPauseIn(BodyIn):
    """Until when the bucket does not grow worse."""

    until: date


class LenderIn(BodyIn):
    """A lender's book to open."""

    wallets_book: Code
    settlement_account: Account
    funding_minor: Amount
    book: Code = books.BOOK
    currency: Currency = "CNY"


class FundIn(BodyIn):
    """Money from the lender's bank to its balance at the wallets."""

    settlement_account: Account
    amount_minor: Amount
    currency: Currency = "CNY"


class ReceiptIn(BodyIn):
    """Money that came to the lender's bank from outside; the same reference is taken once."""

    amount_minor: Amount
    currency: Currency = "CNY"
    reference: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9:/_.-]{0,119}$")]
