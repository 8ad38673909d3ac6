"""The one way in which something happens to a loan.

Row held, event appended, `run` on the business date, counters compared, entry posted by template,
standing written, facts and audit recorded: payments, changes, write-offs and what the day brings
all go through `perform`. The books are locked last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Final
from uuid import UUID

from steelyard.base import Fact, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cashflows import Totals, events, form, refusals, run
from steelyard.credit.model.effects import Effect
from steelyard.credit.model.loan import ActKind, Loan, LoanEvent, LoanState, Route, state_of
from steelyard.credit.model.loan_refusals import (
    ChangeDoesNotFit,
    LoanHasChanged,
    LoanIsClosed,
    LoanStateForbids,
    ValueDateIsOutOfRange,
)
from steelyard.credit.model.postings import (
    Accounts,
    Position,
    legs,
    moved,
    position,
    with_suspense,
)
from steelyard.credit.service import facts
from steelyard.credit.service.books import open_pool
from steelyard.credit.store import lender as lenders
from steelyard.credit.store import loans as table
from steelyard.credit.store import standing as standings
from steelyard.credit.store.lender import Lender
from steelyard.ledger import (
    AccountKind,
    BookReader,
    Heading,
    Leg,
    NewAccount,
    Transfer,
    accepted,
    entry,
    post,
)
from steelyard.payments import wallets

OVER: Final = frozenset({LoanState.CLOSED, LoanState.SOLD, LoanState.CANCELLED})
_COUNTERS: Final = frozenset(one.name for one in fields(Totals))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanFile:
    """A loan whose row is held, with everything that happened to it."""

    loan: Loan
    lender: Lender
    business_on: date
    history: tuple[LoanEvent, ...]

    @property
    def known(self) -> tuple[events.Any, ...]:
        """Return the events that the schedule depends on."""
        return tuple(line.event for line in self.history if line.event is not None)

    @property
    def next_seq(self) -> int:
        """Return the number of what happens next."""
        return len(self.history) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What is to happen to a loan.

    Attributes
    ----------
    name : for the audit trail
    events : numbered from `next_seq` on
    own : an act that changes no schedule, with what is kept of it
    route : where its money comes from or goes to
    other_account : account in the book of wallets instead of the customer's
    subsidy_minor, price_minor : see `Flow`
    state : where the act sets it; None: as the standing says
    facts : what it reports, of the effect
    """

    name: str
    cause: str
    events: tuple[events.Any, ...] = ()
    own: tuple[ActKind, dict[str, object]] | None = None
    route: Route | None = None
    other_account: str | None = None
    decision: UUID | None = None
    subsidy_minor: int = 0
    price_minor: int | None = None
    state: LoanState | None = None
    facts: Callable[[Effect], Sequence[Fact]] = lambda effect: ()


def open_file(unit: UnitOfWork, loan: UUID, *, if_version: int | None = None) -> LoanFile:
    """Hold a loan's row, and read what happened to it.

    Refusals
    --------
    loan_is_unknown, loan_has_changed
    """
    found = table.lock(unit.connection, loan)
    if if_version is not None and found.version != if_version:
        raise LoanHasChanged(loan=loan, present=found.version, asked=if_version)
    lender = lenders.read(unit.connection, found.currency)
    return LoanFile(
        loan=found,
        lender=lender,
        business_on=BookReader(unit.connection, lender.book).book.business_on,
        history=table.history(unit.connection, loan),
    )


def must_be(file: LoanFile, act: str, *states: LoanState) -> None:
    """Refuse an act that the state of the loan is against.

    Refusals
    --------
    loan_is_closed, loan_state_forbids
    """
    present = file.loan.state
    if present in states:
        return
    refusal = LoanIsClosed if present in OVER else LoanStateForbids
    raise refusal(loan=file.loan.id, present=present.value, act=act)


def value_date(file: LoanFile, asked: date | None) -> date:
    """Return a value date, the business date where none was asked for.

    Refusals
    --------
    value_date_is_out_of_range
    """
    on = file.business_on if asked is None else asked
    first = file.loan.terms.start_on
    if not first <= on <= file.business_on:
        raise ValueDateIsOutOfRange(asked=on, first_on=first, last_on=file.business_on)
    return on


def perform(unit: UnitOfWork, file: LoanFile, act: Act, *, dry_run: bool = False) -> Effect:
    """Let something happen to a loan, or show what would.

    Refusals
    --------
    change_does_not_fit : an event cannot happen, or makes a later one impossible
    Any of the ledger's; all of it is then rolled back.
    """
    effect = foresee(unit, file, act, with_before=dry_run)
    if dry_run:
        return effect
    lines = _history_lines(unit, file, act, effect.entry)
    if lines:
        table.insert_events(unit.connection, file.loan.id, lines)
    after = effect.loan
    table.change_state(unit.connection, file.loan, after.state)
    standings.write(
        unit.connection,
        after,
        effect.after,
        effect.position_after,
        pool=open_pool(unit, file.lender, after.product),
        state=after.state,
        events=len(file.history) + len(lines),
    )
    for fact in (*act.facts(effect), *_turns(file, effect)):
        unit.record(fact, subject=after.subject)
    audit(
        unit,
        action=f"credit.{act.name}",
        subject=after.subject,
        detail={
            "events": [line.seq for line in lines],
            "version": after.version,
            "cause": act.cause,
            "entry": effect.entry and str(effect.entry),
            "amount_minor": effect.amount_minor,
        },
    )
    if effect.entry is not None:
        accepted(post(unit, _transfers(unit, file, act, effect)))
    return replace(effect, is_done=True)


def foresee(unit: UnitOfWork, file: LoanFile, act: Act, *, with_before: bool = True) -> Effect:
    """Return what an act does, and write nothing."""
    loan, on = file.loan, file.business_on
    try:
        after = run(loan.terms, (*file.known, *act.events), on)
    except refusals.EventIsInvalid as refused:
        raise ChangeDoesNotFit(loan=loan.id, why=refused.facts["why"]) from None
    state = act.state or state_of(after)
    was = _position_before(loan)
    totals = _totals_before(loan)
    flow = replace(
        moved(totals, after.totals, loan.shares),
        subsidy_minor=act.subsidy_minor,
        price_minor=act.price_minor,
    )
    now = with_suspense(was, position(after.totals, loan.shares, before=was), flow)
    now = _provided(loan.state, state, now)
    if act.price_minor is not None:
        now = Position(stage=was.stage)
    accounts = Accounts(
        loan.product,
        loan.currency,
        cash=_cash(file, act.route),
        loan=loan.nr,
        partners=tuple(name for name, _ in loan.shares.partners),
    )
    lines = legs(accounts, was, now, flow)
    return Effect(
        loan=replace(loan, state=state, version=loan.version + 1, standing=after),
        is_done=False,
        state_before=loan.state,
        before=_standing_before(file) if with_before else None,
        after=after,
        position_before=was,
        position_after=now,
        flow=flow,
        lines=lines,
        entry=unit.new_id() if lines else None,
        events=tuple(event.seq for event in act.events),
        cause=act.cause,
    )


def _standing_before(file: LoanFile) -> Any:
    if file.loan.kept is None:
        return None
    return run(file.loan.terms, file.known, file.business_on)


def _position_before(loan: Loan) -> Position:
    return Position() if loan.kept is None else loan.kept.position


def _totals_before(loan: Loan) -> Totals:
    """Return the counters that are in the books: those of the last event, accrued since."""
    kept = loan.kept
    if kept is None:
        return Totals()
    stored = Totals(**{name: kept.totals[name] for name in _COUNTERS})
    totals = replace(
        stored,
        interest_earned_minor=kept.interest_earned_minor,
        penalty_earned_minor=kept.penalty_earned_minor,
        fee_earned_minor=kept.fee_earned_minor,
    )
    if loan.state is not LoanState.SOLD:
        derived = position(totals, loan.shares, before=kept.position)
        held = replace(kept.position, interest_suspended_minor=0, penalty_suspended_minor=0)
        assert derived == held, f"loan {loan.nr}: {derived} is not {held}"
    return totals


def _provided(before: LoanState, after: LoanState, position: Position) -> Position:
    """Return the position with the provision that it has between two day closes."""
    if after is not LoanState.ACTIVE:
        return replace(position, provision_minor=0)
    if before is LoanState.WRITTEN_OFF:
        # Taken back into the books it is worth nothing until the next day close says otherwise.
        return replace(position, provision_minor=max(0, position.book_minor))
    return position


def _cash(file: LoanFile, route: Route | None) -> str:
    currency = file.loan.currency
    if route in (Route.SUSPENSE, Route.BANK):
        return f"{route.value}:{currency}"
    return _mirror(file.lender.wallets_book, currency)


def _mirror(book: str, currency: str) -> str:
    return NewAccount.mirror(book, currency=currency, kind=AccountKind.ASSET).code


def _transfers(unit: UnitOfWork, file: LoanFile, act: Act, effect: Effect) -> tuple[Transfer, ...]:
    """Return the entry in the lender's book, and its other half, which payments has written."""
    loan, lender, lines = file.loan, file.lender, effect.lines
    assert effect.entry is not None, "there is something to post"
    heading = Heading(
        entry=effect.entry,
        book=lender.book,
        currency=loan.currency,
        cause=act.cause,
        decision_id=act.decision,
        metadata={"loan": loan.nr},
    )
    found = list(
        entry(
            heading,
            [
                Leg(one.account, max(one.amount_minor, 0), max(-one.amount_minor, 0))
                for one in lines
            ],
        )
    )
    facing = _mirror(lender.wallets_book, loan.currency)
    amount = sum(one.amount_minor for one in lines if one.account == facing)
    if amount:
        move = wallets.debit if amount > 0 else wallets.pay_out
        new = wallets.NewMovement(
            entry=effect.entry,
            own_book=lender.book,
            book=loan.wallet_book,
            account=act.other_account or loan.wallet_account,
            amount_minor=abs(amount),
            currency=loan.currency,
            cause=act.cause,
            about=loan.subject,
            decision=act.decision,
            note={"loan": loan.nr},
        )
        found[-1] = replace(found[-1], linked=True)
        found.append(move(unit, new))
    return tuple(found)


def _history_lines(unit: UnitOfWork, file: LoanFile, act: Act, id: UUID | None) -> list[LoanEvent]:
    """Return the lines that the act adds to the loan's history."""
    common: dict[str, Any] = {
        "cause": act.cause,
        "decision": act.decision,
        "actor": unit.actor,
        "recorded_at": unit.now,
        "business_on": file.business_on,
        "entry": id,
        "route": act.route,
    }
    lines = [
        LoanEvent(
            seq=event.seq,
            kind=table.kind_of(event),
            effective_on=event.on,
            content=form.event_to_json(event),
            event=event,
            **common,
        )
        for event in act.events
    ]
    if act.own is not None:
        kind, content = act.own
        own = act_line(unit, file, kind, content)
        lines.append(replace(own, seq=file.next_seq + len(lines), **common))
    assert [line.seq for line in lines] == list(range(file.next_seq, file.next_seq + len(lines))), (
        "events are numbered as they are recorded"
    )
    return lines


def act_line(
    unit: UnitOfWork, file: LoanFile, kind: ActKind, content: dict[str, object]
) -> LoanEvent:
    """Return the line of an act that changes no schedule and moves no money."""
    return LoanEvent(
        seq=file.next_seq,
        kind=kind.value,
        effective_on=file.business_on,
        content=content,
        event=None,
        cause=file.loan.cause,
        decision=None,
        actor=unit.actor,
        recorded_at=unit.now,
        business_on=file.business_on,
        entry=None,
        route=None,
    )


def _turns(file: LoanFile, effect: Effect) -> list[Fact]:
    """Return what is reported of a change of state, whatever led to it."""
    before, loan = effect.state_before, effect.loan
    if before is loan.state:
        return []
    who: dict[str, Any] = {
        "loan": loan.id,
        "nr": loan.nr,
        "party": loan.party,
        "product": loan.product,
        "on": file.business_on,
    }
    if loan.state is LoanState.CLOSED:
        return [facts.LoanClosed(**who)]
    if loan.state is LoanState.CANCELLED:
        return [facts.LoanCancelled(**who)]
    if loan.state is LoanState.ACTIVE and before is not LoanState.SIGNED:
        return [facts.LoanReopened(**who, state_before=before.value)]
    return []
