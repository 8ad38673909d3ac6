"""The daily tie-out of the reserve, on one snapshot: payouts are stopped when it is off."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, open_case, registry
from steelyard.ledger import BookReader
from steelyard.parties import approvals
from steelyard.payments.model.custody import CustodyAccount, CustodyStatement
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.payouts import PayoutsAreNotStopped
from steelyard.payments.model.tieout import Holdings, TieItem, TieOut, holdings_of, judge
from steelyard.payments.service import institution
from steelyard.payments.service.clearing_books import due_to_us
from steelyard.payments.service.clearing_facts import (
    PayoutStopLifted,
    ReserveIsOff,
    ReserveTiedOut,
)
from steelyard.payments.store import custody as custody_table
from steelyard.payments.store import payouts as payout_table
from steelyard.payments.store import tieout as table
from steelyard.payments.store.tieout import Stop

__all__ = [
    "RELEASE",
    "Holdings",
    "PayoutsAreNotStopped",
    "Stop",
    "TieItem",
    "TieOut",
    "holdings",
    "latest",
    "make",
    "open_stop",
    "release",
    "request_release",
]

_LIFTED: Final = "rule.tie_out@1"

RELEASE: Final = approvals.approval_kind(
    "payments.release_payouts",
    verb="payments.approve",
    en="Let client money leave although the reserve does not tie out",
    zh="备付金勾对不符时恢复出款",
)
OFF: Final = registry.register_kind(
    CaseKind(
        "payments.reserve",
        "The reserve does not tie out",
        "备付金勾对不符",
        registry.Sla(timedelta(hours=4)),
        (
            registry.CaseOutcome("corrected", "Corrected", "已更正"),
            registry.CaseOutcome("explained", "Explained", "已查明"),
        ),
        priority=registry.Priority.URGENT,
        skill="payments.clear",
    )
)


def make(
    database: Database, account: CustodyAccount, on: date, *, actor: str = "system:tie_out"
) -> TieOut:
    """Tie the reserve out for a day against the custodian's own statement of it.

    What we owe is read from the client book, all its liabilities; what is there, from the
    custodian. A difference, a statement that cannot be believed, or an item that nobody explains
    stops payouts and opens a case; a tie-out that holds lifts the stop.

    Refusals
    --------
    institution_is_not_open
    """
    mode, currency = account.mode, account.currency
    # Books and items must be of one moment: a payout confirmed in between would be a difference.
    with database.reading() as connection:
        statement = custody_table.newest(connection, mode, currency, on)
        said = holdings(connection, mode, currency)
        items = _items(connection, account, on, statement)
    custody = None if statement is None else statement.closing_minor
    fault = None if statement is None else statement.fault
    difference, why = judge(said, custody_minor=custody, fault=fault, items=items)

    def keep(unit: UnitOfWork) -> TieOut:
        tie = TieOut(
            id=unit.new_id(),
            mode=mode,
            currency=currency,
            on=on,
            run=table.next_run(unit.connection, mode, currency, on),
            statement=None if statement is None else statement.id,
            custody_minor=custody,
            holdings=said,
            items=items,
            difference_minor=difference,
            why=why,
            made_at=unit.now,
        )
        table.insert(unit.connection, tie)
        _follow(unit, tie)
        return tie

    return database.transact(keep, actor=actor)


def holdings(connection: sa.Connection, mode: Mode, currency: str) -> Holdings:
    """Return what the client book of a mode says at present, in one currency."""
    house = institution.read(connection, mode)
    suffix = f":{currency}"
    lines = {
        line.code.removesuffix(suffix): line.debit_minor - line.credit_minor
        for line in BookReader(connection, house.client_book).trial_balance().lines
        if line.currency == currency
    }
    return holdings_of(lines, mirror=due_to_us(house, currency).removesuffix(suffix))


def _items(
    connection: sa.Connection,
    account: CustodyAccount,
    on: date,
    statement: CustodyStatement | None,
) -> tuple[TieItem, ...]:
    """Return by what our books differ from the custodian's, item by item."""
    if statement is None:
        return ()
    mode, currency = account.mode, account.currency
    items = [
        TieItem(f"{what}_after", f"payout:{payout}", amount)
        for payout, what, amount, _ in payout_table.confirmed_after(connection, mode, currency, on)
    ]
    items += [
        TieItem("deposit_after", about, amount)
        for about, amount, _ in custody_table.booked_after(connection, mode, currency, on)
    ]
    items += [
        TieItem("line_is_not_ours", f"line:{line.no}", -line.amount_minor)
        for line in custody_table.unbooked(connection, statement, limit=1_000)
    ]
    items += [
        TieItem("not_in_the_statement", f"payout:{payout}", amount)
        for payout, _, amount, _ in custody_table.unproved(connection, mode, currency, on)
    ]
    items += [
        TieItem("line_has_vanished", f"{what}:{about}", amount)
        for what, about, amount in custody_table.vanished(connection, statement)
    ]
    return tuple(items)


def _follow(unit: UnitOfWork, tie: TieOut) -> None:
    subject = f"custody:{tie.mode.value}.{tie.currency}"
    if tie.holds:
        unit.record(
            ReserveTiedOut(
                mode=tie.mode.value,
                currency=tie.currency,
                on=tie.on,
                owed_minor=tie.holdings.owed_minor,
            ),
            subject=subject,
        )
        _lift(unit, tie.mode, tie.currency, cause=_LIFTED)
        return
    unit.record(
        ReserveIsOff(
            mode=tie.mode.value,
            currency=tie.currency,
            on=tie.on,
            difference_minor=tie.difference_minor,
            why=tie.why,
        ),
        subject=subject,
    )
    open_case(unit, OFF.name, subject, source=f"tie_out:{tie.id}")
    if tie.stops:
        table.insert_stop(unit.connection, unit.new_id(), tie)
        detail = {"on": str(tie.on), "difference_minor": tie.difference_minor, "why": tie.why}
        audit(unit, action="payments.stop_payouts", subject=subject, detail=detail)


def _lift(unit: UnitOfWork, mode: Mode, currency: str, *, cause: str) -> None:
    if not table.lift_stop(
        unit.connection, mode, currency, by=unit.actor, cause=cause, at=unit.now
    ):
        return
    subject = f"custody:{mode.value}.{currency}"
    fact = PayoutStopLifted(mode=mode.value, currency=currency, cause=cause)
    unit.record(fact, subject=subject)
    audit(unit, action="payments.lift_stop", subject=subject, detail={"cause": cause})


def _shown(stop: Stop, reason: str) -> dict[str, object]:
    return {
        "stop": str(stop.id),
        "currency": stop.currency,
        "difference_minor": stop.difference_minor,
        "why": stop.why,
        "reason": reason,
    }


def _stop(connection: sa.Connection, mode: Mode, currency: str) -> Stop:
    found = table.open_stop(connection, mode, currency)
    if found is None:
        raise PayoutsAreNotStopped(currency=currency)
    return found


def request_release(
    unit: UnitOfWork, mode: Mode, currency: str, *, reason: str
) -> approvals.Approval:
    """Ask for a second person's yes to pay although the reserve does not tie out.

    Refusals
    --------
    payouts_are_not_stopped
    """
    stop = _stop(unit.connection, mode, currency)
    return approvals.request_approval(
        unit,
        kind=RELEASE.name,
        subject=f"custody:{mode.value}.{currency}",
        shown=_shown(stop, reason),
        by=unit.actor,
    )


def release(unit: UnitOfWork, mode: Mode, currency: str, *, reason: str, approval: UUID) -> None:
    """Let payouts go out again, as two people want it for a reason.

    Refusals
    --------
    payouts_are_not_stopped, and those of `consume_approval`
    """
    stop = _stop(unit.connection, mode, currency)
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=RELEASE.name,
        subject=f"custody:{mode.value}.{currency}",
        shown=_shown(stop, reason),
    )
    _lift(unit, mode, currency, cause=cause)


def open_stop(connection: sa.Connection, mode: Mode, currency: str) -> Stop | None:
    """Return the stop that is open for a currency; None where payouts may go out."""
    return table.open_stop(connection, mode, currency)


def latest(
    connection: sa.Connection, mode: Mode, *, currency: str | None = None, limit: int = 50
) -> tuple[TieOut, ...]:
    """Return the newest tie-out of each day and currency, the newest day first."""
    return tuple(table.newest(connection, mode, currency=currency, limit=limit))
