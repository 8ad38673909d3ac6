"""Changes of a loan that is under way, and how a lender gives one up.

What favours a customer by discretion, at the cost of the lender (re-ageing, large waivers), and
what takes a loan out of the books, needs a second person: `request` asks for his yes to what is
shown, and the verb consumes it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Final
from uuid import UUID

from steelyard.base import Fact, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cashflows import events, form
from steelyard.cashflows import terms as cash_terms
from steelyard.credit.model import loan_refusals as refusals
from steelyard.credit.model.effects import Effect
from steelyard.credit.model.loan import ActKind, Loan, LoanState, Repayment, Route
from steelyard.credit.service import facts
from steelyard.credit.service.booking import (
    Act,
    LoanFile,
    act_line,
    must_be,
    open_file,
    perform,
    value_date,
)
from steelyard.credit.service.loans import merchant_refund, repay
from steelyard.credit.store import loans as table
from steelyard.credit.store import standing as standings
from steelyard.parties import approvals

__all__ = [
    "APPROVALS",
    "WAIVED_ALONE_MINOR",
    "change_rate",
    "charge_fee",
    "draw",
    "extend",
    "merchant_refund",
    "move_due_dates",
    "needs_approval",
    "pause_ageing",
    "pause_interest",
    "re_age",
    "recover",
    "request",
    "request_sale",
    "sell",
    "waive",
    "write_off",
]

WAIVED_ALONE_MINOR: Final = 20_000
"""Up to so much, minor units, one person waives in one act."""

_LENDER = "credit.approve"
APPROVALS: Final = MappingProxyType(
    {
        events.ReAged: approvals.approval_kind(
            "credit.re_age", verb=_LENDER, en="Re-age a loan", zh="贷款重组展期"
        ),
        events.Waived: approvals.approval_kind(
            "credit.waive", verb=_LENDER, en="Waive a large amount", zh="大额息费减免"
        ),
        events.WrittenOff: approvals.approval_kind(
            "credit.write_off", verb=_LENDER, en="Write a loan off", zh="贷款核销"
        ),
    }
)
"""Which events need a second person."""
SELL: Final = approvals.approval_kind("credit.sell", verb=_LENDER, en="Sell a loan", zh="贷款转让")
_OWES: Final = (LoanState.ACTIVE, LoanState.WRITTEN_OFF)


def move_due_dates(
    unit: UnitOfWork,
    loan: UUID,
    *,
    from_due: date,
    to_due: date,
    if_version: int | None = None,
    dry_run: bool = False,
) -> Effect:
    """Move a due date, and those after it with it.

    Refusals
    --------
    Those of `change`.
    """
    event = events.DueDatesMoved(seq=0, on=date.min, from_due=from_due, to_due=to_due)
    return change(unit, loan, event, if_version=if_version, dry_run=dry_run)


def extend(
    unit: UnitOfWork,
    loan: UUID,
    *,
    instalments: int,
    if_version: int | None = None,
    dry_run: bool = False,
) -> Effect:
    """Add instalments at the end; each becomes smaller.

    Refusals
    --------
    Those of `change`.
    """
    event = events.Extended(seq=0, on=date.min, instalments=instalments)
    return change(unit, loan, event, if_version=if_version, dry_run=dry_run)


def re_age(
    unit: UnitOfWork,
    loan: UUID,
    *,
    first_due_on: date,
    instalments: int,
    every: int = 1,
    distance: cash_terms.Unit = cash_terms.Unit.MONTH,
    approval: UUID | None = None,
    dry_run: bool = False,
) -> Effect:
    """Spread all that is owed over new instalments, as two people want it.

    Refusals
    --------
    Those of `change`.
    """
    event = events.ReAged(
        seq=0,
        on=date.min,
        first_due_on=first_due_on,
        instalments=instalments,
        every=every,
        unit=distance,
    )
    return change(unit, loan, event, approval=approval, dry_run=dry_run)


def pause_interest(
    unit: UnitOfWork,
    loan: UUID,
    *,
    until: date,
    if_version: int | None = None,
    dry_run: bool = False,
) -> Effect:
    """Let no interest run from the business date up to, and without, a day.

    Refusals
    --------
    Those of `change`.
    """
    event = events.InterestPaused(seq=0, on=date.min, until=until)
    return change(unit, loan, event, if_version=if_version, dry_run=dry_run)


def change_rate(
    unit: UnitOfWork,
    loan: UUID,
    *,
    rate: Decimal,
    effective_on: date | None = None,
    if_version: int | None = None,
    dry_run: bool = False,
) -> Effect:
    """Change the rate from a day on.

    Refusals
    --------
    Those of `change`.
    """
    event = events.RateChanged(seq=0, on=effective_on or date.min, rate=rate)
    return change(unit, loan, event, if_version=if_version, dry_run=dry_run)


def charge_fee(
    unit: UnitOfWork,
    loan: UUID,
    *,
    code: str,
    amount_minor: int,
    if_version: int | None = None,
    dry_run: bool = False,
) -> Effect:
    """Charge a fee that the contract allows.

    Refusals
    --------
    Those of `change`.
    """
    event = events.FeeCharged(seq=0, on=date.min, code=code, amount_minor=amount_minor)
    return change(unit, loan, event, if_version=if_version, dry_run=dry_run)


def waive(
    unit: UnitOfWork,
    loan: UUID,
    *,
    penalty_minor: int = 0,
    fee_minor: int = 0,
    interest_minor: int = 0,
    approval: UUID | None = None,
    dry_run: bool = False,
) -> Effect:
    """Forgive what is due, oldest first; above `WAIVED_ALONE_MINOR` as two people want it.

    Refusals
    --------
    waiver_exceeds_due, amount_is_not_positive, and those of `change`
    """
    event = events.Waived(
        seq=0,
        on=date.min,
        penalty_minor=penalty_minor,
        fee_minor=fee_minor,
        interest_minor=interest_minor,
    )
    amounts = (penalty_minor, fee_minor, interest_minor)
    if min(amounts) < 0 or sum(amounts) == 0:
        raise refusals.AmountIsNotPositive(amount_minor=min(amounts))
    try:
        return change(unit, loan, event, approval=approval, dry_run=dry_run)
    except refusals.ChangeDoesNotFit as refused:
        raise refusals.WaiverExceedsDue(loan=loan, why=refused.facts["why"]) from None


def write_off(
    unit: UnitOfWork, loan: UUID, *, approval: UUID | None = None, dry_run: bool = False
) -> Effect:
    """Give a loan up in the books, as two people want it; it is still owed.

    Refusals
    --------
    Those of `change`.
    """
    event = events.WrittenOff(seq=0, on=date.min)
    return change(unit, loan, event, approval=approval, dry_run=dry_run)


def recover(unit: UnitOfWork, loan: UUID, payment: Repayment, *, dry_run: bool = False) -> Effect:
    """Take money on a loan that was written off.

    Refusals
    --------
    loan_state_forbids : it was not written off; and those of `loans.repay`
    """
    must_be(open_file(unit, loan), "recover", LoanState.WRITTEN_OFF)
    return repay(unit, loan, payment, dry_run=dry_run)


def draw(
    unit: UnitOfWork,
    loan: UUID,
    *,
    amount_minor: int,
    decision: UUID | None = None,
    dry_run: bool = False,
) -> Effect:
    """Pay a further tranche out to the customer's wallet.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids, amount_is_not_positive,
    change_does_not_fit, exceeds_debit_limit
    """
    file = open_file(unit, loan)
    must_be(file, "draw", LoanState.ACTIVE)
    if amount_minor <= 0:
        raise refusals.AmountIsNotPositive(amount_minor=amount_minor)
    who, on = file.loan, file.business_on
    fact = facts.LoanDisbursed(
        loan=loan,
        nr=who.nr,
        party=who.party,
        product=who.product,
        currency=who.currency,
        amount_minor=amount_minor,
        route=Route.WALLET.value,
        on=on,
    )
    act = Act(
        name="draw",
        cause=who.cause,
        events=(events.Disbursed(seq=file.next_seq, on=on, amount_minor=amount_minor),),
        route=Route.WALLET,
        decision=decision,
        facts=lambda effect: [fact],
    )
    return perform(unit, file, act, dry_run=dry_run)


def needs_approval(event: events.Any) -> approvals.ApprovalKind | None:
    """Return what kind of approval an event needs, None where one person does it.

    Examples
    --------
    >>> small = events.Waived(seq=1, on=date(2026, 1, 1), penalty_minor=5)
    >>> needs_approval(small) is None
    True
    """
    if isinstance(event, events.Waived):
        waived = event.penalty_minor + event.fee_minor + event.interest_minor
        if waived <= WAIVED_ALONE_MINOR:
            return None
    return APPROVALS.get(type(event))


def request(unit: UnitOfWork, loan: UUID, event: events.Any) -> approvals.Approval:
    """Ask for a second person's yes to a change that needs it, after trying whether it fits.

    Parameters
    ----------
    event : its number and day are those of the business date, whatever it carries

    Refusals
    --------
    Those of `change`.
    """
    kind = needs_approval(event)
    assert kind is not None, "one person does it"
    file = open_file(unit, loan)
    must_be(file, kind.name, LoanState.ACTIVE)
    event = _dated(file, event)
    perform(unit, file, _act(file, event, file.loan.cause), dry_run=True)
    return approvals.request_approval(
        unit, kind=kind.name, subject=file.loan.subject, shown=_shown(file, event), by=unit.actor
    )


def change(
    unit: UnitOfWork,
    loan: UUID,
    event: events.Any,
    *,
    approval: UUID | None = None,
    if_version: int | None = None,
    dry_run: bool = False,
) -> Effect:
    """Change a loan by one event, dated on the business date unless it carries an earlier day.

    Refusals
    --------
    loan_is_unknown, loan_has_changed, loan_is_closed, loan_state_forbids
    value_date_is_out_of_range, change_does_not_fit
    approval_is_needed, and those of `consume_approval`
    """
    file = open_file(unit, loan, if_version=if_version)
    must_be(file, table.kind_of(event), LoanState.ACTIVE)
    event = _dated(file, event)
    cause = file.loan.cause
    kind = needs_approval(event)
    if kind is not None and not dry_run:
        if approval is None:
            raise approvals.ApprovalIsNeeded(name=kind.name)
        cause = approvals.consume_approval(
            unit,
            approval,
            kind=kind.name,
            subject=file.loan.subject,
            shown=_shown(file, event),
        )
    return perform(unit, file, _act(file, event, cause), dry_run=dry_run)


def _dated(file: LoanFile, event: events.Any) -> events.Any:
    asked = None if event.on == date.min else event.on
    return replace(event, seq=file.next_seq, on=value_date(file, asked))


def _shown(file: LoanFile, event: events.Any) -> dict[str, object]:
    """Return what a second person says yes to; a payment in between makes another of it."""
    kept = file.loan.kept
    content = form.event_to_json(event)
    return {
        "loan": file.loan.nr,
        "version": file.loan.version,
        "change": {name: value for name, value in content.items() if name not in ("seq", "on")},
        "principal_minor": kept.principal_minor if kept else 0,
        "overdue_minor": kept.overdue_minor if kept else 0,
        "days_past_due": kept.dpd if kept else 0,
    }


def _act(file: LoanFile, event: events.Any, cause: str) -> Act:
    loan = file.loan

    def reported(effect: Effect) -> list[Fact]:
        if isinstance(event, events.WrittenOff):
            totals = effect.after.totals
            return [
                facts.LoanWrittenOff(
                    loan=loan.id,
                    nr=loan.nr,
                    party=loan.party,
                    product=loan.product,
                    currency=loan.currency,
                    amount_minor=totals.principal_written_off_minor
                    + totals.interest_written_off_minor
                    + totals.fee_written_off_minor
                    + totals.penalty_written_off_minor,
                    on=event.on,
                    cause=cause,
                )
            ]
        return [
            facts.LoanChanged(
                loan=loan.id,
                nr=loan.nr,
                party=loan.party,
                product=loan.product,
                seq=event.seq,
                change=table.kind_of(event),
                on=event.on,
                cause=cause,
            )
        ]

    return Act(name=table.kind_of(event), cause=cause, events=(event,), facts=reported)


def request_sale(
    unit: UnitOfWork, loan: UUID, *, buyer: str, price_minor: int
) -> approvals.Approval:
    """Ask for a second person's yes to a sale.

    Refusals
    --------
    Those of `sell`.
    """
    file, act = _sale(unit, loan, buyer, price_minor)
    perform(unit, file, act, dry_run=True)
    return approvals.request_approval(
        unit,
        kind=SELL.name,
        subject=file.loan.subject,
        shown=_shown_of_sale(file, buyer, price_minor),
        by=unit.actor,
    )


def sell(
    unit: UnitOfWork,
    loan: UUID,
    *,
    buyer: str,
    price_minor: int,
    approval: UUID | None = None,
    dry_run: bool = False,
) -> Effect:
    """Sell the claim, as two people want it: book value out, price in, the difference is a result.

    Parameters
    ----------
    buyer : who bought it, a name of an institution without personal data
    price_minor : paid to our bank

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids, amount_is_not_positive
    loan_is_joint, credit_balance_stands
    approval_is_needed, and those of `consume_approval`
    """
    file, act = _sale(unit, loan, buyer, price_minor)
    if dry_run:
        return perform(unit, file, act, dry_run=True)
    if approval is None:
        raise approvals.ApprovalIsNeeded(name=SELL.name)
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=SELL.name,
        subject=file.loan.subject,
        shown=_shown_of_sale(file, buyer, price_minor),
    )
    return perform(unit, file, replace(act, cause=cause))


def _sale(unit: UnitOfWork, loan: UUID, buyer: str, price_minor: int) -> tuple[LoanFile, Act]:
    file = open_file(unit, loan)
    must_be(file, "sell", *_OWES)
    who = file.loan
    assert who.kept is not None, "it was paid out"
    if price_minor <= 0:
        raise refusals.AmountIsNotPositive(amount_minor=price_minor)
    if who.shares.partners:
        partners = ", ".join(name for name, _ in who.shares.partners)
        raise refusals.LoanIsJoint(loan=loan, partners=partners, act="sell")
    if who.kept.position.credit_minor:
        raise refusals.CreditBalanceStands(loan=loan, credit_minor=who.kept.position.credit_minor)
    worth = who.kept.position.book_minor - who.kept.position.provision_minor

    def reported(effect: Effect) -> list[Fact]:
        return [
            facts.LoanSold(
                loan=loan,
                nr=who.nr,
                party=who.party,
                product=who.product,
                currency=who.currency,
                buyer=buyer,
                price_minor=price_minor,
                book_minor=worth,
                on=file.business_on,
                cause=effect.cause,
            )
        ]

    act = Act(
        name="sell",
        cause=who.cause,
        own=(ActKind.SOLD, {"buyer": buyer, "price_minor": price_minor}),
        route=Route.BANK,
        price_minor=price_minor,
        state=LoanState.SOLD,
        facts=reported,
    )
    return file, act


def _shown_of_sale(file: LoanFile, buyer: str, price_minor: int) -> dict[str, object]:
    kept = file.loan.kept
    assert kept is not None, "it was paid out"
    return {
        "loan": file.loan.nr,
        "version": file.loan.version,
        "buyer": buyer,
        "price_minor": price_minor,
        "book_minor": kept.position.book_minor,
        "provision_minor": kept.position.provision_minor,
    }


def pause_ageing(unit: UnitOfWork, loan: UUID, *, until: date) -> Loan:
    """Let the bucket of a loan not grow worse before a day; days past due count on.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids
    change_does_not_fit : the day is not ahead
    """
    file = open_file(unit, loan)
    must_be(file, "pause_ageing", LoanState.ACTIVE)
    who, on = file.loan, file.business_on
    if until <= on:
        raise refusals.ChangeDoesNotFit(loan=loan, why=f"{until} is not ahead")
    line = act_line(unit, file, ActKind.AGEING_PAUSED, {"until": until.isoformat()})
    table.insert_events(unit.connection, loan, [line])
    table.change_state(unit.connection, who, who.state)
    standings.pause_ageing(unit.connection, who.nr, until)
    fact = facts.LoanChanged(
        loan=loan,
        nr=who.nr,
        party=who.party,
        product=who.product,
        seq=line.seq,
        change=ActKind.AGEING_PAUSED.value,
        on=on,
        cause=who.cause,
    )
    unit.record(fact, subject=who.subject)
    audit(unit, action="credit.pause_ageing", subject=who.subject, detail={"until": str(until)})
    return table.read(unit.connection, loan)
