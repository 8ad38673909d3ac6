"""Loans: signed, paid out, repaid, read. Each verb is one transaction; see `booking`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from steelyard.base import Fact, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cashflows import (
    PayoffQuote,
    events,
    run,
)
from steelyard.cashflows import (
    quote_payoff as payoff_of,
)
from steelyard.credit.model import loan_refusals as refusals
from steelyard.credit.model.effects import Effect
from steelyard.credit.model.loan import (
    ActKind,
    Kept,
    Loan,
    LoanEvent,
    LoanState,
    NewLoan,
    Repayment,
    Route,
)
from steelyard.credit.model.shares import Shares, SharesAreInvalid
from steelyard.credit.model.statement import StatementLine
from steelyard.credit.service import books, facts
from steelyard.credit.service.booking import (
    Act,
    LoanFile,
    act_line,
    must_be,
    open_file,
    perform,
    value_date,
)
from steelyard.credit.service.loan_reading import (
    PrepayQuote,
    events_of,
    find,
    history,
    quote_payoff,
    quote_prepay,
    read,
    statement,
)
from steelyard.credit.store import lender as lenders
from steelyard.credit.store import loans as table
from steelyard.ledger import BookReader

__all__ = [
    "Effect",
    "Kept",
    "Loan",
    "LoanEvent",
    "LoanState",
    "NewLoan",
    "PayoffQuote",
    "PrepayQuote",
    "Repayment",
    "Route",
    "Shares",
    "SharesAreInvalid",
    "StatementLine",
    "cancel",
    "disburse",
    "events_of",
    "find",
    "history",
    "merchant_refund",
    "quote_payoff",
    "quote_prepay",
    "read",
    "refund_credit",
    "refusals",
    "repay",
    "reverse",
    "roll",
    "sign",
    "statement",
    "step_back",
]

DOWN_PAYMENT: Final = "down_payment"
"""Kind of the payment that is taken with the payout: down payment and fees of the first day."""
_OWES: Final = (LoanState.ACTIVE, LoanState.WRITTEN_OFF)
_PAID_OUT: Final = (LoanState.ACTIVE, LoanState.WRITTEN_OFF, LoanState.CLOSED)


def sign(unit: UnitOfWork, new: NewLoan) -> Loan:
    """Make a contract: the loan is there with its account, nothing is paid out.

    Refusals
    --------
    lender_is_unknown, wallet_is_out_of_reach, account_not_found
    """
    lender = lenders.read(unit.connection, new.terms.currency)
    if new.wallet_book != lender.wallets_book:
        raise refusals.WalletIsOutOfReach(
            wallet_book=new.wallet_book, wallets_book=lender.wallets_book
        )
    BookReader(unit.connection, new.wallet_book).account(new.wallet_account)
    id = unit.new_id()
    table.insert(unit.connection, id, new, unit.now)
    file = open_file(unit, id)
    loan = file.loan
    line = act_line(unit, file, ActKind.SIGNED, {"principal_minor": new.terms.principal_minor})
    table.insert_events(unit.connection, id, [replace(line, decision=new.decision)])
    unit.record(
        facts.LoanSigned(
            loan=id,
            nr=loan.nr,
            party=loan.party,
            product=loan.product,
            product_version=loan.product_version,
            currency=loan.currency,
            principal_minor=loan.terms.principal_minor,
            application=loan.application,
            merchant=loan.merchant,
        ),
        subject=loan.subject,
    )
    audit(unit, action="credit.sign", subject=loan.subject, detail={"nr": loan.nr})
    books.open_pool(unit, lender, new.product)
    books.open_loan_accounts(unit, lender, loan.nr, new.shares)
    return loan


def disburse(
    unit: UnitOfWork,
    loan: UUID,
    *,
    payee: str | None = None,
    subsidy_minor: int = 0,
    decision: UUID | None = None,
    dry_run: bool = False,
) -> Effect:
    """Pay a signed loan out; what falls due on its first day is taken with it.

    Where a customer accepted an offer and is paid later, no interest runs until then.

    Parameters
    ----------
    payee : account of a merchant in the book of wallets; None: the customer's wallet
    subsidy_minor : part of the amount that the merchant bears and does not get
    decision : that let the money move

    Returns
    -------
    Effect
        Of the payout; of the down payment where one was taken.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids
    loan_begins_later : the value date is the day on which the terms begin, and not in the future
    amount_is_not_positive : the subsidy takes all
    exceeds_debit_limit : the lender's balance or the wallet's does not suffice
    """
    file = open_file(unit, loan)
    must_be(file, "disburse", LoanState.SIGNED)
    found, on = file.loan, file.business_on
    amount = found.terms.principal_minor
    if found.terms.start_on > on:
        raise refusals.LoanBeginsLater(loan=loan, start_on=found.terms.start_on, business_on=on)
    if not 0 <= subsidy_minor < amount:
        raise refusals.AmountIsNotPositive(amount_minor=amount - subsidy_minor)
    route = Route.WALLET if payee is None else Route.MERCHANT
    content: dict[str, object] = {"amount_minor": amount, "payee": payee}
    content["subsidy_minor"] = subsidy_minor
    fact = facts.LoanDisbursed(
        loan=loan,
        nr=found.nr,
        party=found.party,
        product=found.product,
        currency=found.currency,
        amount_minor=amount,
        route=route.value,
        on=found.terms.start_on,
    )
    act = Act(
        name="disburse",
        cause=found.cause,
        events=_not_yet(file),
        own=(ActKind.PAID_OUT, content),
        route=route,
        other_account=payee,
        decision=decision,
        subsidy_minor=subsidy_minor,
        facts=lambda effect: [fact],
    )
    paid_out = perform(unit, file, act, dry_run=dry_run)
    first = sum(row.open_minor for row in paid_out.after.rows if row.due_on == found.terms.start_on)
    if dry_run or not first:
        return paid_out
    taken = Repayment(amount_minor=first, kind=DOWN_PAYMENT, effective_on=found.terms.start_on)
    return repay(unit, loan, taken)


def _not_yet(file: LoanFile) -> tuple[events.Any, ...]:
    """Return what keeps a customer from owing interest on money that he has not had."""
    start, on = file.loan.terms.start_on, file.business_on
    if file.loan.application is None or start >= on:
        return ()
    return (events.InterestPaused(seq=file.next_seq, on=start, until=on),)


def repay(
    unit: UnitOfWork,
    loan: UUID,
    payment: Repayment,
    *,
    cause: str | None = None,
    if_version: int | None = None,
    dry_run: bool = False,
) -> Effect:
    """Take a payment; what is more than owed is kept as a credit balance.

    After the write-off it is a recovery.

    Refusals
    --------
    loan_is_unknown, loan_has_changed, loan_is_closed, loan_state_forbids
    amount_is_not_positive, value_date_is_out_of_range, change_does_not_fit
    wallet_is_empty : `at_most`, and the wallet is empty
    exceeds_debit_limit : the wallet, or suspense, has not that much
    """
    file = open_file(unit, loan, if_version=if_version)
    must_be(file, "repay", *_OWES)
    if payment.amount_minor <= 0:
        raise refusals.AmountIsNotPositive(amount_minor=payment.amount_minor)
    if payment.at_most:
        payment = replace(payment, amount_minor=_affordable(unit, file, payment))
    is_recovery = file.loan.state is LoanState.WRITTEN_OFF
    kind = "recovery" if is_recovery else payment.kind
    event = _payment(payment, kind, file.next_seq, value_date(file, payment.effective_on))
    act = Act(
        name="repay",
        cause=cause or file.loan.cause,
        events=(event,),
        route=Route.WALLET if payment.from_wallet else Route.SUSPENSE,
        facts=lambda effect: [_repaid(file, effect, event, kind)],
    )
    return perform(unit, file, act, dry_run=dry_run)


def _affordable(unit: UnitOfWork, file: LoanFile, payment: Repayment) -> int:
    """Return how much of a payment the wallet has."""
    wallets = BookReader(unit.connection, file.loan.wallet_book)
    has = wallets.account(file.loan.wallet_account).spendable_minor
    amount = payment.amount_minor if has is None else min(payment.amount_minor, has)
    if amount <= 0:
        raise refusals.WalletIsEmpty(loan=file.loan.id)
    return amount


def _payment(
    payment: Repayment, kind: str, seq: int, on: date
) -> events.Repaid | events.PrepaidPart | events.PaidOff:
    amount = payment.amount_minor
    if kind == "prepay":
        return events.PrepaidPart(seq=seq, on=on, amount_minor=amount, plan=payment.plan)
    if kind == "payoff":
        return events.PaidOff(seq=seq, on=on, amount_minor=amount, until=payment.until)
    return events.Repaid(seq=seq, on=on, amount_minor=amount, kind=kind)


def _repaid(
    file: LoanFile,
    effect: Effect,
    event: events.Repaid | events.PrepaidPart | events.PaidOff,
    kind: str,
) -> Fact:
    loan = file.loan
    common: dict[str, Any] = {
        "loan": loan.id,
        "nr": loan.nr,
        "party": loan.party,
        "product": loan.product,
        "currency": loan.currency,
        "seq": event.seq,
        "amount_minor": event.amount_minor,
        "on": event.on,
    }
    if kind == "recovery":
        return facts.LoanRecovered(**common)
    oldest = loan.kept.oldest_due_on if loan.kept else None
    return facts.LoanRepaid(
        **common,
        repayment_kind=kind,
        days_late=0 if oldest is None else max(0, (event.on - oldest).days),
        left_minor=effect.after.principal_minor,
    )


def merchant_refund(
    unit: UnitOfWork, loan: UUID, *, amount_minor: int, dry_run: bool = False
) -> Effect:
    """Take back from the merchant what he returns of a purchase, less his part of the subsidy.

    What is due is paid, the rest comes off the principal; what is over is the customer's credit.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids, amount_is_not_positive
    change_does_not_fit : no merchant was paid, or he returns more than the purchase in all
    exceeds_debit_limit : the merchant's account has not that much
    """
    file = open_file(unit, loan)
    must_be(file, "merchant_refund", *_OWES)
    payee, lent = _payout(file).get("payee"), file.loan.terms.principal_minor
    if not isinstance(payee, str):
        raise refusals.ChangeDoesNotFit(loan=loan, why="no merchant was paid")
    if amount_minor <= 0:
        raise refusals.AmountIsNotPositive(amount_minor=amount_minor)
    returned = _returned(file)
    if returned + amount_minor > lent:
        why = f"the purchase was {lent}, {returned} of it is returned"
        raise refusals.ChangeDoesNotFit(loan=loan, why=why)
    on = file.business_on
    owed = payoff_of(file.loan.terms, file.known, on).total_minor
    seq = file.next_seq
    event: events.PaidOff | events.PrepaidPart | events.Repaid
    if file.loan.state is LoanState.WRITTEN_OFF:
        event = events.Repaid(seq=seq, on=on, amount_minor=amount_minor, kind="merchant_refund")
    elif amount_minor >= owed:
        event = events.PaidOff(seq=seq, on=on, amount_minor=amount_minor)
    else:
        event = events.PrepaidPart(seq=seq, on=on, amount_minor=amount_minor)
    act = Act(
        name="merchant_refund",
        cause=file.loan.cause,
        events=(event,),
        route=Route.MERCHANT,
        other_account=payee,
        subsidy_minor=-_subsidy_of(file, returned, amount_minor),
        facts=lambda effect: [_repaid(file, effect, event, "merchant_refund")],
    )
    return perform(unit, file, act, dry_run=dry_run)


def _payout(file: LoanFile) -> dict[str, object]:
    return next((line.content for line in file.history if line.kind == ActKind.PAID_OUT.value), {})


def _returned(file: LoanFile) -> int:
    """Return how much of the purchase the merchant gave back; none of it is ever reversed."""
    back = [line.event for line in file.history if line.route is Route.MERCHANT]
    money = events.Repaid | events.PrepaidPart | events.PaidOff
    return sum(event.amount_minor for event in back if isinstance(event, money))


def _subsidy_of(file: LoanFile, returned: int, more: int) -> int:
    """Return the merchant's subsidy for a part of the purchase; over all parts it is the whole."""
    subsidy = _whole(_payout(file).get("subsidy_minor"))
    lent = file.loan.terms.principal_minor

    def of(amount: int) -> int:
        return (2 * subsidy * amount + lent) // (2 * lent)

    return of(returned + more) - of(returned)


def _whole(value: object) -> int:
    assert isinstance(value, int), "an amount of minor units"
    return value


def reverse(
    unit: UnitOfWork, loan: UUID, *, of: int, cause: str | None = None, dry_run: bool = False
) -> Effect:
    """Take an event back, as if it had not happened; money goes where it came from.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids
    event_is_unknown : there is none, it is no event of the schedule, or it is a reversal
    event_is_reversed
    change_does_not_fit : money of a merchant; or a later event rests on it
    """
    file = open_file(unit, loan)
    must_be(file, "reverse", *_PAID_OUT)
    found = next((line for line in file.history if line.seq == of), None)
    if found is None or found.event is None or isinstance(found.event, events.Reversed):
        raise refusals.EventIsUnknown(loan=loan, of=of)
    if any(isinstance(one, events.Reversed) and one.of == of for one in file.known):
        raise refusals.EventIsReversed(loan=loan, of=of)
    if found.route is Route.MERCHANT:
        raise refusals.ChangeDoesNotFit(loan=loan, why="the merchant is paid again by a new loan")
    event = events.Reversed(seq=file.next_seq, on=file.business_on, of=of)
    who = file.loan
    act = Act(
        name="reverse",
        cause=cause or who.cause,
        events=(event,),
        route=found.route,
        facts=lambda effect: [
            facts.LoanReversed(
                loan=loan,
                nr=who.nr,
                party=who.party,
                product=who.product,
                seq=event.seq,
                of=of,
                of_kind=found.kind,
                on=found.effective_on,
            )
        ],
    )
    return perform(unit, file, act, dry_run=dry_run)


def refund_credit(
    unit: UnitOfWork, loan: UUID, *, amount_minor: int | None = None, dry_run: bool = False
) -> Effect:
    """Give a credit balance back to the customer's wallet, all of it unless told otherwise.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids
    refund_exceeds_credit : there is none, or not so much
    """
    file = open_file(unit, loan)
    must_be(file, "refund_credit", *_PAID_OUT)
    has = run(file.loan.terms, file.known, file.business_on).totals.credit_minor
    asked = has if amount_minor is None else amount_minor
    if not 0 < asked <= has:
        raise refusals.RefundExceedsCredit(loan=loan, credit_minor=has, asked_minor=asked)
    who = file.loan
    act = Act(
        name="refund_credit",
        cause=who.cause,
        events=(events.Refunded(seq=file.next_seq, on=file.business_on, amount_minor=asked),),
        route=Route.WALLET,
        facts=lambda effect: [
            facts.CreditBalanceRefunded(
                loan=loan, nr=who.nr, party=who.party, currency=who.currency, amount_minor=asked
            )
        ],
    )
    return perform(unit, file, act, dry_run=dry_run)


def cancel(unit: UnitOfWork, loan: UUID) -> Loan:
    """Let a signed contract go before it is paid out.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids
    """
    file = open_file(unit, loan)
    must_be(file, "cancel", LoanState.SIGNED)
    table.change_state(unit.connection, file.loan, LoanState.CANCELLED)
    line = act_line(unit, file, ActKind.CANCELLED, {})
    table.insert_events(unit.connection, loan, [line])
    fact = facts.LoanCancelled(
        loan=loan,
        nr=file.loan.nr,
        party=file.loan.party,
        product=file.loan.product,
        on=file.business_on,
    )
    unit.record(fact, subject=file.loan.subject)
    audit(unit, action="credit.cancel", subject=file.loan.subject)
    return table.read(unit.connection, loan)


def step_back(unit: UnitOfWork, loan: UUID) -> Effect:
    """Undo a loan within its cooling-off: the principal goes back, no interest and no fee is owed.

    A merchant who was paid pays back what he was paid; whatever the customer paid is his again.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids, cooling_off_is_over
    exceeds_debit_limit : the wallet, or the merchant's account, has not that much
    """
    file = open_file(unit, loan)
    must_be(file, "step_back", LoanState.ACTIVE)
    found, on = file.loan, file.business_on
    if found.cooling_off_until is None or on > found.cooling_off_until:
        raise refusals.CoolingOffIsOver(loan=loan, until=found.cooling_off_until)
    act = Act(
        name="free_of_cost",
        cause=found.cause,
        events=_freed(file),
        route=Route.WALLET,
        state=LoanState.ACTIVE,
    )
    perform(unit, file, act)
    file = _paid_back(unit, open_file(unit, loan))
    act = Act(
        name="step_back",
        cause=found.cause,
        events=_settled(file),
        own=(ActKind.CANCELLED, {}),
        route=Route.WALLET,
        state=LoanState.CANCELLED,
    )
    return perform(unit, file, act)


def _paid_back(unit: UnitOfWork, file: LoanFile) -> LoanFile:
    """Let the merchant, if one was paid, return what is left of the purchase."""
    payee, returned = _payout(file).get("payee"), _returned(file)
    amount = file.loan.terms.principal_minor - returned
    if not isinstance(payee, str) or not amount:
        return file
    seq, on = file.next_seq, file.business_on
    event: events.PaidOff | events.PrepaidPart = events.PaidOff(seq=seq, on=on, amount_minor=amount)
    if amount < payoff_of(file.loan.terms, file.known, on).total_minor:
        event = events.PrepaidPart(seq=seq, on=on, amount_minor=amount)
    act = Act(
        name="step_back",
        cause=file.loan.cause,
        events=(event,),
        route=Route.MERCHANT,
        other_account=payee,
        subsidy_minor=-_subsidy_of(file, returned, amount),
        state=LoanState.ACTIVE,
    )
    perform(unit, file, act)
    return open_file(unit, file.loan.id)


def _settled(file: LoanFile) -> tuple[events.Any, ...]:
    """Return the events that give a credit balance back and repay what is still owed."""
    terms, on, seq = file.loan.terms, file.business_on, file.next_seq
    made: list[events.Any] = []
    held = run(terms, file.known, on).totals.credit_minor
    if held:
        made.append(events.Refunded(seq=seq, on=on, amount_minor=held))
    owed = payoff_of(terms, (*file.known, *made), on).total_minor
    if owed:
        made.append(events.PaidOff(seq=seq + len(made), on=on, amount_minor=owed))
    return tuple(made)


def _freed(file: LoanFile) -> tuple[events.Any, ...]:
    """Return the events after which a loan has cost nothing since its beginning."""
    terms, on, seq = file.loan.terms, file.business_on, file.next_seq
    gone = {one.of for one in file.known if isinstance(one, events.Reversed)}
    made: list[events.Any] = []
    for one in file.known:
        is_first = isinstance(one, events.Repaid) and one.kind == DOWN_PAYMENT
        if is_first and one.seq not in gone:
            made.append(events.Reversed(seq=seq + len(made), on=on, of=one.seq))
    free = events.RateChanged(seq=seq + len(made), on=terms.start_on, rate=Decimal(0))
    made.append(free)
    standing = run(terms, (*file.known, *made), on)
    due = [row for row in standing.rows if row.due_on <= on]
    fees = sum(row.fee_minor - row.paid_fee_minor - row.waived_fee_minor for row in due)
    # A down payment that is given back makes its row late, in the books: nobody was late.
    penalty = sum(
        row.penalty_minor - row.paid_penalty_minor - row.waived_penalty_minor for row in due
    )
    if fees or penalty:
        number = seq + len(made)
        made.append(events.Waived(seq=number, on=on, fee_minor=fees, penalty_minor=penalty))
    return tuple(made)


def roll(unit: UnitOfWork, loan: UUID) -> Effect:
    """Bring a loan to the business date though nothing happened but time.

    The day close does it for loans whose held credit is set against what falls due; whatever the
    days brought is posted as an event would post it.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids
    """
    file = open_file(unit, loan)
    must_be(file, "roll", *_OWES)
    return perform(unit, file, Act(name="roll", cause=file.loan.cause))
