"""Payouts: begun with their postings, sent outside of any transaction, decided by evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, open_case, registry
from steelyard.ledger import Heading, Leg, Transfer, accepted, entry, post
from steelyard.payments.model import accounts
from steelyard.payments.model.custody import (
    Custodian,
    CustodianAnswer,
    ListedAccount,
    Payee,
    PayoutOrder,
    PayoutSaid,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.payouts import (
    LOOK_AT,
    SETTLED_AS,
    BalanceIsShort,
    PayeeIsNotListed,
    Payout,
    PayoutIsUnknown,
    PayoutKind,
    PayoutMove,
    PayoutRuling,
    PayoutsAreNotStopped,
    PayoutsAreStopped,
    PayoutSource,
    PayoutState,
    ask_next,
    rule,
)
from steelyard.payments.model.settlement import Settlement, SettlementState, SettlementStateForbids
from steelyard.payments.service import institution
from steelyard.payments.service import settlement as settlements
from steelyard.payments.service.clearing_books import (
    due_to_us,
    heading_of,
    open_own,
    owed_by,
    sweep_out,
)
from steelyard.payments.service.clearing_facts import PayoutChanged
from steelyard.payments.service.institution import Institution
from steelyard.payments.service.settlement import Payees
from steelyard.payments.store import custody as custody_table
from steelyard.payments.store import payouts as table
from steelyard.payments.store import settlement as settlement_table
from steelyard.payments.store import tieout as stops

__all__ = [
    "BalanceIsShort",
    "Custodian",
    "CustodianAnswer",
    "How",
    "Payee",
    "PayeeIsNotListed",
    "Payout",
    "PayoutIsUnknown",
    "PayoutOrder",
    "PayoutSaid",
    "PayoutSource",
    "PayoutState",
    "PayoutsAreNotStopped",
    "PayoutsAreStopped",
    "begin",
    "begin_sweep",
    "find",
    "learn",
    "list_payouts",
    "pay_ready",
    "poll",
    "read",
    "reissue",
    "release_returned",
    "report",
    "send",
]

OWN: Final = "own"
_SWEEP: Final = "rule.fee_sweep@1"
_RETURNED: Final = "rule.payout_returned@1"

LOOK: Final = registry.register_kind(
    CaseKind(
        "payments.payout",
        "A payout that people look at",
        "异常出款",
        registry.Sla(timedelta(hours=8)),
        (
            registry.CaseOutcome("reissued", "Sent to another account", "已改账户重付"),
            registry.CaseOutcome("released", "Back in the balance", "已退回商户余额"),
            registry.CaseOutcome("explained", "Explained", "已查明"),
        ),
        priority=registry.Priority.URGENT,
        skill="payments.clear",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How payouts are sent."""

    actor: str = "system:payouts"
    limit: int = 1_000
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None
    should_stop: Callable[[], bool] = lambda: False


def must_not_be_stopped(connection: sa.Connection, mode: Mode, currency: str) -> None:
    """Refuse while the reserve is off.

    Refusals
    --------
    payouts_are_stopped
    """
    found = stops.open_stop(connection, mode, currency)
    if found is not None:
        raise PayoutsAreStopped(currency=currency, why=found.why)


def begin(unit: UnitOfWork, settlement: UUID, payees: Payees) -> Payout | None:
    """Begin the payout of an approved settlement: the intent, with its posting.

    Returns
    -------
    Payout or None
        None where it is held now instead: the merchant, its account, or its balance.

    Refusals
    --------
    settlement_is_unknown, settlement_state_forbids, payouts_are_stopped,
    custody_account_is_unknown
    """
    connection = unit.connection
    found = settlement_table.lock(connection, settlement)
    if found.state is not SettlementState.APPROVED:
        raise SettlementStateForbids(settlement=settlement, state=found.state.value, verb="paid")
    must_not_be_stopped(connection, found.mode, found.currency)
    custody_table.account(connection, found.mode, found.currency)
    payee = _listed(unit, payees, found.merchant, found.currency)
    why = _against(connection, found, payee)
    if why is not None:
        settlements.change(unit, found, SettlementState.HELD, held_for=why)
        return None
    assert payee is not None, "it was approved for a listed account"
    payout = _made(unit, found, payee, no=1)
    table.insert(connection, payout)
    _record(unit, payout, before=None)
    settlements.change(unit, found, SettlementState.PAYING)
    house = institution.read(connection, found.mode)
    owed = accounts.available(found.merchant, found.currency)
    way = accounts.payouts(found.currency)
    accepted(post(unit, _moved(house, payout, "reserve", (owed, way))))
    return payout


def _against(
    connection: sa.Connection, found: Settlement, payee: ListedAccount | None
) -> str | None:
    """Return why an approved settlement is not paid now."""
    standing = settlement_table.standings(connection, [found.merchant])[found.merchant]
    if standing.is_held:
        return "risk"
    if standing.state == "suspended":
        return "merchant_is_suspended"
    if payee is None:
        return "account_is_not_verified"
    house = institution.read(connection, found.mode)
    there = owed_by(connection, house, accounts.available(found.merchant, found.currency))
    return "balance_is_short" if there < found.payable.amount_minor else None


def _made(unit: UnitOfWork, found: Settlement, payee: ListedAccount, *, no: int) -> Payout:
    assert found.cause is not None, "it was approved"
    return Payout(
        id=uuid5(found.id, str(no)),
        kind=PayoutKind.SETTLEMENT,
        settlement=found.id,
        no=no,
        merchant=found.merchant,
        mode=found.mode,
        currency=found.currency,
        amount_minor=found.payable.amount_minor,
        payee=payee.reference,
        payee_tail=payee.tail,
        state=PayoutState.INTENDED,
        version=1,
        cause=found.cause,
        began_at=unit.now,
        next_query_at=ask_next(0, unit.now),
    )


def _moved(
    house: Institution, payout: Payout, name: str, way: tuple[str, str]
) -> tuple[Transfer, ...]:
    """Return a movement of a payout's amount within the client book, each name once."""
    legs = [
        Leg(way[0], debit_minor=payout.amount_minor),
        Leg(way[1], credit_minor=payout.amount_minor),
    ]
    return entry(_heading(house, payout, name), legs)


def _heading(house: Institution, payout: Payout, name: str) -> Heading:
    base = heading_of(house, uuid5(payout.id, name), payout.currency, payout.cause)
    return replace(base, metadata={"payout": str(payout.id)})


def begin_sweep(unit: UnitOfWork, mode: Mode, currency: str) -> Payout | None:
    """Begin to pay our own funds account the fees that are earned; None where there are none.

    Refusals
    --------
    payouts_are_stopped, custody_account_is_unknown, institution_is_not_open
    """
    connection = unit.connection
    must_not_be_stopped(connection, mode, currency)
    account = custody_table.account(connection, mode, currency, lock=True)
    house = institution.read(connection, mode)
    amount = owed_by(connection, house, due_to_us(house, currency))
    if amount <= 0 or table.sweep_under_way(connection, mode, currency):
        return None
    payout = Payout(
        id=unit.new_id(),
        kind=PayoutKind.SWEEP,
        settlement=None,
        no=1,
        merchant=None,
        mode=mode,
        currency=currency,
        amount_minor=amount,
        payee=OWN,
        payee_tail=account.own_account[-4:],
        state=PayoutState.INTENDED,
        version=1,
        cause=_SWEEP,
        began_at=unit.now,
        next_query_at=ask_next(0, unit.now),
    )
    table.insert(connection, payout)
    _record(unit, payout, before=None)
    return payout


def _listed(
    unit: UnitOfWork, payees: Payees, merchant: UUID, currency: str
) -> ListedAccount | None:
    return payees.listed(unit.connection, [merchant], currency, unit.now).get(merchant)


def order_of(unit: UnitOfWork, payout: Payout, payees: Payees) -> PayoutOrder:
    """Return a payout as the custodian is asked for it, to the account that was listed for it.

    Refusals
    --------
    payee_is_not_listed : the account was withdrawn meanwhile; nothing is sent
    """
    account = custody_table.account(unit.connection, payout.mode, payout.currency)
    if payout.kind is PayoutKind.SWEEP:
        payee = Payee(OWN, account.own_account, OWN, payout.payee_tail)
    else:
        assert payout.merchant is not None, "it pays a settlement"
        found = _listed(unit, payees, payout.merchant, payout.currency)
        if found is None or found.reference != payout.payee:
            raise PayeeIsNotListed(merchant=payout.merchant, currency=payout.currency)
        payee = payees.reveal(unit, found, purpose=payout.subject)
    return PayoutOrder(
        number=payout.number,
        account=account.account,
        amount_minor=payout.amount_minor,
        currency=payout.currency,
        payee=payee,
        text=f"settlement {payout.number[:8]}",
    )


def send(
    database: Database, custodian: Custodian, payout: UUID, payees: Payees, *, actor: str
) -> Payout:
    """Send a payout that was begun, under its own number, and record what is answered.

    One that is known already is asked about, not sent. While payouts are stopped nothing is sent.

    Refusals
    --------
    payout_is_unknown, payouts_are_stopped
    """

    def take(unit: UnitOfWork) -> PayoutOrder | None:
        found = table.lock(unit.connection, payout)
        if found.state is not PayoutState.INTENDED:
            return None
        must_not_be_stopped(unit.connection, found.mode, found.currency)
        order = order_of(unit, found, payees)
        sent = replace(
            found, state=PayoutState.SENT, next_query_at=ask_next(found.queries, unit.now)
        )
        _record(unit, sent, before=found.state)
        table.write(unit.connection, sent)
        return order

    try:
        order = database.transact(take, actor=actor)
    except PayeeIsNotListed:
        gone = CustodianAnswer(said=PayoutSaid.FAILED, why="payee_is_not_listed")
        return _reported(database, payout, gone, PayoutSource.OPERATOR, actor=actor)
    if order is None:
        return ask(database, custodian, payout, actor=actor)
    answer = custodian.pay_out(order)
    return _reported(database, payout, answer, PayoutSource.ANSWER, actor=actor)


def ask(database: Database, custodian: Custodian, payout: UUID, *, actor: str) -> Payout:
    """Ask the custodian what became of a payout, and record what it says.

    Refusals
    --------
    payout_is_unknown
    """
    with database.engine.connect() as connection:
        found = table.find(connection, [payout]).get(payout)
    if found is None:
        raise PayoutIsUnknown(payout=payout)
    if not found.state.is_under_way:
        return found
    answer = custodian.query(found.number)
    return _reported(database, payout, answer, PayoutSource.QUERY, actor=actor)


def _reported(
    database: Database,
    payout: UUID,
    answer: CustodianAnswer,
    source: PayoutSource,
    *,
    actor: str,
) -> Payout:
    return database.transact(lambda unit: report(unit, payout, answer, source), actor=actor)


def report(
    unit: UnitOfWork,
    payout: UUID,
    answer: CustodianAnswer,
    source: PayoutSource,
) -> Payout:
    """Record evidence about a payout, and let what follows from it happen.

    Refusals
    --------
    payout_is_unknown
    """
    after, transfers = learn(unit, payout, answer, source)
    accepted(post(unit, transfers))
    return after


def learn(
    unit: UnitOfWork, payout: UUID, answer: CustodianAnswer, source: PayoutSource
) -> tuple[Payout, list[Transfer]]:
    """Do the work of `report` but for the posting, which comes last in the unit."""
    connection = unit.connection
    known = table.find(connection, [payout]).get(payout)
    if known is None:
        raise PayoutIsUnknown(payout=payout)
    settlement = None
    if known.settlement is not None:
        settlement = settlement_table.lock(connection, known.settlement)
    present = table.lock(connection, payout)
    ruling = rule(present, answer, source)
    table.insert_evidence(
        connection,
        unit.new_id(),
        payout,
        source,
        answer,
        is_new=ruling.is_new,
        at=unit.now,
        actor=unit.actor,
    )
    after = table.write(connection, _after(present, ruling, answer, source, unit))
    if ruling.note in LOOK_AT:
        open_case(unit, LOOK.name, present.subject)
    if not ruling.is_new:
        return after, []
    _record(unit, after, before=present.state)
    if settlement is not None:
        _follow(unit, settlement, after)
    if after.state is PayoutState.RETURNED:
        open_case(unit, LOOK.name, present.subject)
    return after, _postings(unit, after, ruling)


def _after(
    present: Payout,
    ruling: PayoutRuling,
    answer: CustodianAnswer,
    source: PayoutSource,
    unit: UnitOfWork,
) -> Payout:
    queries = present.queries + (source is PayoutSource.QUERY)
    on_way = ruling.state.is_under_way
    return replace(
        present,
        state=ruling.state,
        queries=queries,
        next_query_at=ask_next(queries, unit.now) if on_way else None,
        reference=present.reference or answer.reference,
        why=answer.why or present.why,
        executed_on=present.executed_on or answer.executed_on,
        returned_on=present.returned_on or answer.returned_on,
        final_at=present.final_at if on_way else present.final_at or unit.now,
    )


def _follow(unit: UnitOfWork, settlement: Settlement, payout: Payout) -> None:
    """Let the settlement stand where its payout stands."""
    state = SETTLED_AS[payout.state]
    if state is SettlementState.PAYING and payout.no > 1:
        state = SettlementState.REISSUED
    settlements.change(unit, settlement, state)


def _postings(unit: UnitOfWork, payout: Payout, ruling: PayoutRuling) -> list[Transfer]:
    """Return what a ruling posts; a payout is confirmed, returned or released once."""
    house = institution.read(unit.connection, payout.mode)
    currency = payout.currency
    if payout.kind is PayoutKind.SWEEP:
        return _sweep_postings(unit, house, payout, ruling)
    assert payout.merchant is not None, "it pays a settlement"
    way, reserve = accounts.payouts(currency), accounts.settlement(currency)
    ways = {
        PayoutMove.CONFIRM: (way, reserve),
        PayoutMove.RETURN: (reserve, way),
        PayoutMove.RELEASE: (way, accounts.available(payout.merchant, currency)),
    }
    made: list[Transfer] = []
    for move in ruling.moves:
        made += _moved(house, payout, move.value, ways[move])
    return made


def _sweep_postings(
    unit: UnitOfWork, house: Institution, payout: Payout, ruling: PayoutRuling
) -> list[Transfer]:
    """Return what the payout of fees posts: nothing was set aside, so only what left counts."""
    open_own(unit, house, payout.currency)
    made: list[Transfer] = []
    for move in ruling.moves:
        heading = _heading(house, payout, move.value)
        if move is PayoutMove.CONFIRM:
            made += sweep_out(house, heading, payout.amount_minor)
        elif move is PayoutMove.RETURN:
            made += sweep_out(house, heading, -payout.amount_minor)
    return made


def reissue(unit: UnitOfWork, settlement: UUID, payees: Payees) -> Payout:
    """Send what a bank sent back to the account that is listed now, under a new number.

    Refusals
    --------
    settlement_is_unknown, settlement_state_forbids, payouts_are_stopped, payee_is_not_listed
    """
    connection = unit.connection
    found, last = _returned(unit, settlement, "reissued")
    must_not_be_stopped(connection, found.mode, found.currency)
    payee = _listed(unit, payees, found.merchant, found.currency)
    if payee is None:
        raise PayeeIsNotListed(merchant=found.merchant, currency=found.currency)
    payout = _made(unit, found, payee, no=last.no + 1)
    table.insert(connection, payout)
    _record(unit, payout, before=None)
    settlements.change(unit, found, SettlementState.REISSUED)
    audit(unit, action="payments.reissue", subject=found.subject, detail={"payout": str(payout.id)})
    return payout


def release_returned(unit: UnitOfWork, settlement: UUID) -> Settlement:
    """Put what a bank sent back into the merchant's balance, for a later settlement.

    Refusals
    --------
    settlement_is_unknown, settlement_state_forbids
    """
    found, last = _returned(unit, settlement, "released")
    moved = settlements.change(unit, found, SettlementState.RELEASED)
    audit(unit, action="payments.release_returned", subject=found.subject)
    house = institution.read(unit.connection, found.mode)
    way = accounts.payouts(found.currency), accounts.available(found.merchant, found.currency)
    accepted(post(unit, _moved(house, replace(last, cause=_RETURNED), "release", way)))
    return moved


def _returned(unit: UnitOfWork, settlement: UUID, verb: str) -> tuple[Settlement, Payout]:
    found = settlement_table.lock(unit.connection, settlement)
    if found.state is not SettlementState.RETURNED:
        raise SettlementStateForbids(settlement=settlement, state=found.state.value, verb=verb)
    last = table.newest_of(unit.connection, settlement)
    assert last is not None, "a returned settlement was paid"
    return found, last


def pay_ready(
    database: Database, custodian: Custodian, mode: Mode, payees: Payees, how: How | None = None
) -> tuple[Payout, ...]:
    """Pay every approved settlement, each once, and return the payouts.

    Refusals
    --------
    payouts_are_stopped : before the first one, and as soon as somebody stops them
    """
    how = how or How()
    with database.engine.connect() as connection:
        ready = settlement_table.ready(connection, mode, how.limit)
    paid = []
    for done, one in enumerate(ready, start=1):
        if how.should_stop():
            break
        begun = database.transact(partial(_begun, settlement=one, payees=payees), actor=how.actor)
        if begun is not None:
            paid.append(send(database, custodian, begun.id, payees, actor=how.actor))
        how.progress("payouts", done, len(ready))
    return tuple(paid)


def _begun(unit: UnitOfWork, settlement: UUID, payees: Payees) -> Payout | None:
    """Begin a payout unless somebody else did meanwhile."""
    try:
        return begin(unit, settlement, payees)
    except SettlementStateForbids:
        return None


def poll(database: Database, custodian: Custodian, payees: Payees, how: How | None = None) -> int:
    """Ask about payouts that are due, send those again that never arrived; return how many ended.

    What is stopped is asked about all the same: asking moves no money.
    """
    how = how or How(limit=100)
    now = database.now()
    with database.engine.connect() as connection:
        due = table.due(connection, now, how.limit)
        found: Mapping[UUID, Payout] = table.find(connection, due)
    ended = 0
    for one in due:
        if how.should_stop():
            break
        payout = found[one]
        if payout.state is not PayoutState.INTENDED:
            payout = ask(database, custodian, one, actor=how.actor)
        if payout.state is PayoutState.INTENDED:
            try:
                payout = send(database, custodian, one, payees, actor=how.actor)
            except PayoutsAreStopped:
                continue
        ended += not payout.state.is_under_way
    return ended


def _record(unit: UnitOfWork, payout: Payout, *, before: PayoutState | None) -> None:
    fact = PayoutChanged(
        payout=payout.id,
        payout_kind=payout.kind.value,
        merchant=payout.merchant,
        mode=payout.mode.value,
        currency=payout.currency,
        amount_minor=payout.amount_minor,
        before=None if before is None else before.value,
        after=payout.state.value,
    )
    unit.record(fact, subject=payout.subject)


def read(
    connection: sa.Connection, payout: UUID, *, merchant: UUID | None = None
) -> tuple[Payout, tuple[sa.Row[tuple[object, ...]], ...]]:
    """Return a payout with the evidence about it.

    Parameters
    ----------
    merchant : whose it must be; None sees all

    Refusals
    --------
    payout_is_unknown
    """
    found = table.find(connection, [payout]).get(payout)
    if found is None or merchant not in (None, found.merchant):
        raise PayoutIsUnknown(payout=payout)
    return found, tuple(table.evidence_about(connection, payout))


def find(connection: sa.Connection, payout: UUID) -> Payout | None:
    """Return a payout; None where there is none."""
    return table.find(connection, [payout]).get(payout)


def list_payouts(
    connection: sa.Connection, mode: Mode, *, merchant: UUID | None = None, limit: int = 200
) -> tuple[Payout, ...]:
    """Return payouts, the newest first."""
    return tuple(table.list_payouts(connection, mode, merchant=merchant, limit=limit))
