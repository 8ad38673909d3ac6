"""What the routes of loans give; amounts are minor units."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path
from pydantic import BaseModel, Field, JsonValue, StringConstraints

from steelyard.base.http import BodyIn, Caller, NotEntitled, PageOut
from steelyard.cashflows import Row, form
from steelyard.credit import books, loans

LoanId = Annotated[UUID, Path(description="id of the loan")]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


def own(caller: Caller, party: UUID, verb: str) -> None:
    """Refuse a caller who is a party and asks about somebody else's loan.

    Refusals
    --------
    not_entitled
    """
    if caller.party is not None and caller.party.removeprefix("party:") != str(party):
        raise NotEntitled(actor=caller.actor, verb=verb)


class ShareIn(BodyIn):
    """An institution that funds a loan, and its parts of the whole."""

    institution: Code = Field(description="`own` is ours")
    parts: int = Field(ge=1, le=10_000)


class LenderOut(BaseModel):
    """In which book loans of a currency stand, and where wallets are."""

    currency: str
    book: str
    wallets_book: str


class DoneOut(BaseModel):
    """It was done."""

    is_done: Literal[True] = True


class RowOut(BaseModel):
    """An instalment."""

    nr: int
    kind: str
    due_on: date
    principal_minor: int
    interest_minor: int
    fee_minor: int
    penalty_minor: int
    open_minor: int
    balance_minor: int
    paid_on: date | None

    @classmethod
    def of(cls, row: Row) -> RowOut:
        """Return the wire form of a row."""
        return cls(
            nr=row.nr,
            kind=row.kind.value,
            due_on=row.due_on,
            principal_minor=row.principal_minor,
            interest_minor=row.interest_minor,
            fee_minor=row.fee_minor,
            penalty_minor=row.penalty_minor,
            open_minor=row.open_minor,
            balance_minor=row.balance_minor,
            paid_on=row.paid_on,
        )


class StandingOut(BaseModel):
    """How a loan stands at the end of a day."""

    as_of: date
    principal_minor: int
    due_minor: int
    overdue_minor: int
    days_past_due: int
    credit_minor: int
    instalment_minor: int
    rows: list[RowOut]
    totals: dict[str, int]

    @classmethod
    def of(cls, standing: Any) -> StandingOut:
        """Return the wire form of a standing."""
        totals = standing.totals
        return cls(
            as_of=standing.as_of,
            principal_minor=standing.principal_minor,
            due_minor=standing.due_minor,
            overdue_minor=standing.overdue_minor,
            days_past_due=standing.days_past_due,
            credit_minor=totals.credit_minor,
            instalment_minor=standing.instalment_minor,
            rows=[RowOut.of(row) for row in standing.rows],
            totals={name: getattr(totals, name) for name in totals.__slots__},
        )


class GradeOut(BaseModel):
    """How the last day close graded a loan."""

    as_of: date
    days_past_due: int
    bucket: int
    category: int = Field(description="0 正常, 1 关注, 2 次级, 3 可疑, 4 损失")
    stage: int
    provision_minor: int
    paused_until: date | None

    @classmethod
    def of(cls, kept: loans.Kept) -> GradeOut:
        """Return the wire form of what is stored of a standing."""
        return cls(
            as_of=kept.as_of,
            days_past_due=kept.dpd,
            bucket=kept.bucket,
            category=kept.category,
            stage=kept.position.stage,
            provision_minor=kept.position.provision_minor,
            paused_until=kept.paused_until,
        )


class LoanOut(BaseModel):
    """A loan; `standing` is null in lists and before the payout."""

    id: UUID
    nr: int
    party: UUID
    product: str
    product_version: int
    currency: str
    terms: dict[str, JsonValue]
    wallet_book: str
    wallet_account: str
    merchant: UUID | None
    application: UUID | None
    shares: list[ShareIn] | None
    state: loans.LoanState
    version: int
    signed_at: datetime
    cooling_off_until: date | None
    grade: GradeOut | None = Field(description="for staff alone")
    standing: StandingOut | None

    @classmethod
    def of(cls, loan: loans.Loan, caller: Caller) -> LoanOut:
        """Return the wire form of a loan; how it is graded is not its customer's to see."""
        kept = loan.kept if caller.party is None else None
        shares = loan.shares
        return cls(
            id=loan.id,
            nr=loan.nr,
            party=loan.party,
            product=loan.product,
            product_version=loan.product_version,
            currency=loan.currency,
            terms=form.terms_to_json(loan.terms),
            wallet_book=loan.wallet_book,
            wallet_account=loan.wallet_account,
            merchant=loan.merchant,
            application=loan.application,
            shares=[ShareIn.model_validate(one) for one in shares.to_json()]
            if shares.partners
            else None,
            state=loan.state,
            version=loan.version,
            signed_at=loan.signed_at,
            cooling_off_until=loan.cooling_off_until,
            grade=None if kept is None else GradeOut.of(kept),
            standing=None if loan.standing is None else StandingOut.of(loan.standing),
        )


class LoanPage(PageOut):
    """Loans."""

    items: list[LoanOut]


class LineOut(BaseModel):
    """A line of the lender's entry."""

    account: str
    debit_minor: int
    credit_minor: int


class EffectOut(BaseModel):
    """What an act did or would do: the loan after it, and the entry; `before` with a dry run."""

    is_done: bool
    approval: UUID | None = Field(default=None, description="that a second person decides on")
    expires_at: datetime | None = None
    events: list[int]
    entry: UUID | None
    amount_minor: int
    lines: list[LineOut] = Field(description="of the entry; for staff alone")
    before: StandingOut | None
    loan: LoanOut

    @classmethod
    def of(cls, effect: loans.Effect, caller: Caller) -> EffectOut:
        """Return the wire form of an effect; a customer sees no lines of our books."""
        lines = effect.lines if caller.party is None else ()
        return cls(
            is_done=effect.is_done,
            events=list(effect.events),
            entry=effect.entry if effect.is_done else None,
            amount_minor=effect.amount_minor,
            lines=[
                LineOut(
                    account=line.account,
                    debit_minor=max(line.amount_minor, 0),
                    credit_minor=max(-line.amount_minor, 0),
                )
                for line in lines
            ],
            before=None if effect.before is None else StandingOut.of(effect.before),
            loan=LoanOut.of(effect.loan, caller),
        )


class PayoffOut(BaseModel):
    """What repays a loan wholly on a day."""

    on: date
    total_minor: int
    principal_minor: int
    interest_minor: int
    fee_minor: int
    penalty_minor: int
    credit_minor: int


class PrepayOut(BaseModel):
    """What a part repaid early would change."""

    on: date
    amount_minor: int
    interest_saved_minor: int
    before: StandingOut
    after: StandingOut

    @classmethod
    def of(cls, quote: loans.PrepayQuote) -> PrepayOut:
        """Return the wire form of a quote."""
        return cls(
            on=quote.on,
            amount_minor=quote.amount_minor,
            interest_saved_minor=quote.interest_saved_minor,
            before=StandingOut.of(quote.before),
            after=StandingOut.of(quote.after),
        )


class EventOut(BaseModel):
    """A line of a loan's history."""

    seq: int
    kind: str
    effective_on: date
    business_on: date
    recorded_at: datetime
    content: dict[str, JsonValue]
    cause: str
    decision: UUID | None
    actor: str
    entry: UUID | None
    route: loans.Route | None

    @classmethod
    def of(cls, line: loans.LoanEvent) -> EventOut:
        """Return the wire form of a line."""
        return cls(
            seq=line.seq,
            kind=line.kind,
            effective_on=line.effective_on,
            business_on=line.business_on,
            recorded_at=line.recorded_at,
            content=dict(line.content),  # type: ignore[arg-type]
            cause=line.cause,
            decision=line.decision,
            actor=line.actor,
            entry=line.entry,
            route=line.route,
        )


class HistoryOut(BaseModel):
    """Everything that happened to a loan, in order."""

    items: list[EventOut]


class StatementLineOut(BaseModel):
    """A movement, and what it was set against."""

    seq: int
    kind: str
    on: date
    recorded_at: datetime
    amount_minor: int = Field(description="paid by the customer; less than 0: paid to him")
    principal_minor: int
    interest_minor: int
    fee_minor: int
    penalty_minor: int
    credit_minor: int
    is_reversed: bool


class StatementOut(BaseModel):
    """What the customer sees of a loan."""

    items: list[StatementLineOut]

    @classmethod
    def of(cls, lines: tuple[loans.StatementLine, ...]) -> StatementOut:
        """Return the wire form of a statement."""
        names = StatementLineOut.model_fields
        return cls(
            items=[
                StatementLineOut(**{name: getattr(line, name) for name in names}) for line in lines
            ]
        )


class DifferenceOut(BaseModel):
    """An account that is not what the loans add up to; debits less credits."""

    account: str
    expected_minor: int
    found_minor: int


class AgreementOut(BaseModel):
    """What a check of the lender's books found."""

    book: str
    checked_on: date
    holds: bool
    loans: int
    accounts: int
    differences: list[DifferenceOut]

    @classmethod
    def of(cls, found: books.Agreement) -> AgreementOut:
        """Return the wire form of an agreement."""
        return cls(
            book=found.book,
            checked_on=found.checked_on,
            holds=found.holds,
            loans=found.loans,
            accounts=found.accounts,
            differences=[
                DifferenceOut(
                    account=one.account,
                    expected_minor=one.expected_minor,
                    found_minor=one.found_minor,
                )
                for one in found.differences
            ],
        )
