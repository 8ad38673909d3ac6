"""Settlements: calculated once for a merchant and day, held, approved; `payouts` pays them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Final, Protocol
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.ledger import Leg, Transfer, accepted, entry, post
from steelyard.parties import approvals
from steelyard.payments.model import accounts
from steelyard.payments.model.custody import ListedAccount, Payee
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.settlement import (
    Cycle,
    MerchantIsHeld,
    MerchantIsNotHeld,
    Payable,
    Settlement,
    SettlementIsUnknown,
    SettlementState,
    SettlementStateForbids,
    SettlementTerms,
    SettlementTermsAreMalformed,
    payable,
    terms_of,
)
from steelyard.payments.service import institution
from steelyard.payments.service.clearing_books import heading_of, owed_by_many
from steelyard.payments.service.clearing_facts import (
    MerchantHeld,
    MerchantHoldLifted,
    SettlementChanged,
)
from steelyard.payments.store import settlement as table

__all__ = [
    "LIFT",
    "PAY",
    "Cycle",
    "MerchantIsHeld",
    "MerchantIsNotHeld",
    "Payable",
    "Payees",
    "Settlement",
    "SettlementIsUnknown",
    "SettlementState",
    "SettlementStateForbids",
    "SettlementTerms",
    "SettlementTermsAreMalformed",
    "approve",
    "calculate",
    "change",
    "hold_merchant",
    "lift_hold",
    "list_settlements",
    "read",
    "request_approval",
    "request_lift",
    "terms_of",
]

CHUNK: Final = 200
RULE: Final = "rule.settlement@1"
_RESERVE: Final = "rule.rolling_reserve@1"
_ENTRIES: Final = UUID("0f9a5b52-6f0e-5f7c-8b0b-5a57b5a8a0c3")

PAY: Final = approvals.approval_kind(
    "payments.settle", verb="payments.approve", en="Pay a settlement", zh="结算付款"
)
LIFT: Final = approvals.approval_kind(
    "payments.lift_hold",
    verb="payments.approve",
    en="Pay a merchant again whose settlements are held",
    zh="解除商户结算暂停",
)


class Payees(Protocol):
    """Which account of a merchant client money may go to: named, verified and in force."""

    def listed(
        self, connection: sa.Connection, merchants: Sequence[UUID], currency: str, at: datetime
    ) -> Mapping[UUID, ListedAccount]:
        """Return the listed account of each merchant that has one at an instant."""
        ...

    def reveal(self, unit: UnitOfWork, account: ListedAccount, *, purpose: str) -> Payee:
        """Return an account in the clear; `purpose` (`noun:id`) goes into the trail."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How settlements are calculated."""

    chunk: int = CHUNK
    actor: str = "system:settlement"
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None
    should_stop: Callable[[], bool] = lambda: False


def calculate(
    database: Database, mode: Mode, on: date, payees: Payees, how: How | None = None
) -> int:
    """Calculate the settlements of a day, each merchant and currency once; return how many.

    Reserves whose time is over are released before. What waited from earlier days is taken up: it
    is `superseded`, and its amount is part of the new one. Called again, it makes none anew.

    Refusals
    --------
    institution_is_not_open, settlement_terms_are_malformed
    """
    how = how or How()
    made = 0
    after: UUID | None = None
    while not how.should_stop():
        last, count = database.transact(
            partial(_chunk, mode=mode, on=on, payees=payees, page=(after, how.chunk)),
            actor=how.actor,
        )
        made += count
        if last is None:
            break
        after = last
        how.progress("settlement", made, made)
    return made


def _chunk(
    unit: UnitOfWork, mode: Mode, on: date, payees: Payees, page: tuple[UUID | None, int]
) -> tuple[UUID | None, int]:
    """Calculate a chunk of merchants; return the last of them, and how many settlements came."""
    connection, (after, size) = unit.connection, page
    table.hold_run(connection, mode)
    last = table.last_of_chunk(connection, after, size)
    wanted = table.merchants_after(connection, mode, on, after=after, limit=size)
    if not wanted:
        return last, 0
    merchants = sorted({merchant for merchant, _ in wanted})
    contracts = table.contracts(connection, merchants)
    terms = {merchant: terms_of(contracts[merchant]) for merchant in merchants}
    wanted = [pair for pair in wanted if terms[pair[0]].pays_on(on)]
    if not wanted:
        return last, 0
    paid = sorted({merchant for merchant, _ in wanted})
    freed, transfers = _release(unit, mode, on, paid)
    for old in table.supersede(connection, mode, on, paid, unit.now):
        _tell(unit, old, SettlementState.SUPERSEDED)
    house = institution.read(connection, mode)
    codes = [accounts.available(*pair) for pair in wanted]
    balances = owed_by_many(connection, house, codes)
    waiting = table.not_due(connection, mode, on, paid)
    listed = {
        currency: payees.listed(connection, paid, currency, unit.now)
        for currency in sorted({currency for _, currency in wanted})
    }
    standings = table.standings(connection, paid)
    made = []
    for pair, code in zip(wanted, codes, strict=True):
        merchant, currency = pair
        found = payable(
            terms[merchant],
            balance_minor=balances.get(code, 0) + freed.get(pair, 0),
            not_due_minor=waiting.get(pair, 0),
        )
        if found.balance_minor == found.not_due_minor == 0:
            continue
        why = _held_for(standings[merchant], has_account=merchant in listed[currency])
        made.append(_settlement(unit, (mode, on), pair, found, _state(found, why, terms[merchant])))
    for one in made:
        _tell_new(unit, one)
    table.insert(connection, made)
    accepted(post(unit, transfers))
    return last, len(made)


def _state(
    found: Payable, why: str | None, terms: SettlementTerms
) -> tuple[SettlementState, str | None]:
    if found.amount_minor == 0:
        return SettlementState.CARRIED, None
    if why is not None:
        return SettlementState.HELD, why
    if found.amount_minor > terms.alone_minor:
        return SettlementState.CALCULATED, None
    return SettlementState.APPROVED, None


def _held_for(standing: table.Standing, *, has_account: bool) -> str | None:
    if standing.is_held:
        return "risk"
    if standing.state not in ("active", "suspended", "closed"):
        return "merchant_is_not_active"
    if standing.state == "suspended":
        return "merchant_is_suspended"
    return None if has_account else "account_is_not_verified"


def _settlement(
    unit: UnitOfWork,
    when: tuple[Mode, date],
    whose: tuple[UUID, str],
    found: Payable,
    stands: tuple[SettlementState, str | None],
) -> Settlement:
    (mode, on), (merchant, currency), (state, held_for) = when, whose, stands
    return Settlement(
        id=uuid5(_ENTRIES, f"{mode.value}/{merchant}/{currency}/{on}"),
        merchant=merchant,
        mode=mode,
        currency=currency,
        on=on,
        state=state,
        version=1,
        payable=found,
        calculated_at=unit.now,
        held_for=held_for,
        cause=RULE if state is SettlementState.APPROVED else None,
    )


def _release(
    unit: UnitOfWork, mode: Mode, on: date, merchants: Sequence[UUID]
) -> tuple[dict[tuple[UUID, str], int], list[Transfer]]:
    """Set reserves free whose time is over: what they are, and their postings for the end."""
    free = table.reserves_due(unit.connection, mode, on, merchants)
    house = institution.read(unit.connection, mode)
    rows: list[Mapping[str, object]] = []
    transfers: list[Transfer] = []
    for (merchant, currency), amount in sorted(free.items()):
        key = uuid5(_ENTRIES, f"release/{mode.value}/{merchant}/{currency}/{on}")
        rows.append(
            {
                "merchant": merchant,
                "mode": mode,
                "currency": currency,
                "on_day": on,
                "amount_minor": amount,
                "entry": key,
            }
        )
        legs = [
            Leg(accounts.rolling_reserve(merchant, currency), debit_minor=amount),
            Leg(accounts.available(merchant, currency), credit_minor=amount),
        ]
        transfers += entry(heading_of(house, key, currency, _RESERVE), legs)
    table.insert_releases(unit.connection, rows)
    return free, transfers


def _tell_new(unit: UnitOfWork, settlement: Settlement) -> None:
    _record(unit, settlement, before=None, after=settlement.state)


def _tell(unit: UnitOfWork, settlement: Settlement, after: SettlementState) -> None:
    _record(unit, settlement, before=settlement.state, after=after)


def _record(
    unit: UnitOfWork,
    settlement: Settlement,
    *,
    before: SettlementState | None,
    after: SettlementState,
) -> None:
    fact = SettlementChanged(
        settlement=settlement.id,
        merchant=settlement.merchant,
        mode=settlement.mode.value,
        currency=settlement.currency,
        amount_minor=settlement.payable.amount_minor,
        before=None if before is None else before.value,
        after=after.value,
    )
    unit.record(fact, subject=settlement.subject)


def change(
    unit: UnitOfWork,
    settlement: Settlement,
    state: SettlementState,
    *,
    held_for: str | None = None,
    cause: str | None = None,
) -> Settlement:
    """Move a settlement whose row the caller holds on, and tell of it; nothing if it is there."""
    if settlement.state is state:
        return settlement
    moved = table.move(
        unit.connection, settlement, state, at=unit.now, held_for=held_for, cause=cause
    )
    _tell(unit, settlement, state)
    return moved


def _shown(settlement: Settlement) -> dict[str, object]:
    return {
        "merchant": str(settlement.merchant),
        "on": str(settlement.on),
        "currency": settlement.currency,
        "amount_minor": settlement.payable.amount_minor,
        "version": settlement.version,
    }


def request_approval(unit: UnitOfWork, settlement: UUID) -> approvals.Approval:
    """Ask for a second person's yes to a settlement above the limit.

    Refusals
    --------
    settlement_is_unknown, settlement_state_forbids
    """
    found = _calculated(unit, settlement)
    return approvals.request_approval(
        unit, kind=PAY.name, subject=found.subject, shown=_shown(found), by=unit.actor
    )


def approve(unit: UnitOfWork, settlement: UUID, *, approval: UUID) -> Settlement:
    """Let a settlement above the limit be paid, as two people want it.

    Refusals
    --------
    settlement_is_unknown, settlement_state_forbids, and those of `consume_approval`
    """
    found = _calculated(unit, settlement)
    cause = approvals.consume_approval(
        unit, approval, kind=PAY.name, subject=found.subject, shown=_shown(found)
    )
    audit(unit, action="payments.settle", subject=found.subject, detail=_shown(found))
    return change(unit, found, SettlementState.APPROVED, cause=cause)


def _calculated(unit: UnitOfWork, settlement: UUID) -> Settlement:
    found = table.lock(unit.connection, settlement)
    if found.state is not SettlementState.CALCULATED:
        raise SettlementStateForbids(
            settlement=settlement, state=found.state.value, verb="approved"
        )
    return found


def hold_merchant(unit: UnitOfWork, merchant: UUID, *, reason: str) -> None:
    """Hold a merchant's settlements from now on; what waits is held, what was sent is not.

    Refusals
    --------
    merchant_is_held
    """
    if not table.insert_hold(
        unit.connection, unit.new_id(), merchant, reason, by=unit.actor, at=unit.now
    ):
        raise MerchantIsHeld(merchant=merchant)
    for mode in Mode:
        waiting = [
            one
            for one in table.list_settlements(unit.connection, mode, merchant=merchant)
            if one.state in (SettlementState.CALCULATED, SettlementState.APPROVED)
        ]
        for one in sorted(waiting, key=lambda each: each.id):
            change(unit, table.lock(unit.connection, one.id), SettlementState.HELD, held_for="risk")
    unit.record(MerchantHeld(merchant=merchant, reason=reason), subject=f"party:{merchant}")
    detail = {"reason": reason}
    audit(unit, action="payments.hold_merchant", subject=f"party:{merchant}", detail=detail)


def request_lift(unit: UnitOfWork, merchant: UUID) -> approvals.Approval:
    """Ask for a second person's yes to pay a held merchant again.

    Refusals
    --------
    merchant_is_not_held
    """
    return approvals.request_approval(
        unit,
        kind=LIFT.name,
        subject=f"party:{merchant}",
        shown=_shown_of_hold(unit.connection, merchant),
        by=unit.actor,
    )


def _shown_of_hold(connection: sa.Connection, merchant: UUID) -> dict[str, object]:
    reason = table.open_hold(connection, merchant)
    if reason is None:
        raise MerchantIsNotHeld(merchant=merchant)
    return {"merchant": str(merchant), "reason": reason}


def lift_hold(unit: UnitOfWork, merchant: UUID, *, approval: UUID) -> None:
    """Pay a merchant again, as two people want it; the next day takes up what was held.

    Refusals
    --------
    merchant_is_not_held, and those of `consume_approval`
    """
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=LIFT.name,
        subject=f"party:{merchant}",
        shown=_shown_of_hold(unit.connection, merchant),
    )
    table.lift_hold(unit.connection, merchant, by=unit.actor, at=unit.now, cause=cause)
    unit.record(MerchantHoldLifted(merchant=merchant), subject=f"party:{merchant}")
    audit(unit, action="payments.lift_hold", subject=f"party:{merchant}", detail={"cause": cause})


def read(
    connection: sa.Connection, settlement: UUID, *, merchant: UUID | None = None
) -> Settlement:
    """Return a settlement.

    Parameters
    ----------
    merchant : whose it must be; None sees all

    Refusals
    --------
    settlement_is_unknown
    """
    found = table.find(connection, settlement)
    if found is None or merchant not in (None, found.merchant):
        raise SettlementIsUnknown(settlement=settlement)
    return found


def list_settlements(
    connection: sa.Connection,
    mode: Mode,
    *,
    on: date | None = None,
    merchant: UUID | None = None,
    limit: int = 200,
) -> tuple[Settlement, ...]:
    """Return settlements, the newest day first."""
    return tuple(table.list_settlements(connection, mode, on=on, merchant=merchant, limit=limit))
