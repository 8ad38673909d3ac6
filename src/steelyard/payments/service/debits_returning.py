"""Returns: a debit that went through, taken back by the payer or his bank, up to 13 months later.

The money is taken from the merchant as a lost dispute is: from what is available to him, below zero
where he has no more, and what he sells next makes it good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.payments.model.channel import Query, Said
from steelyard.payments.model.debits import Debit, DebitState, is_in_time
from steelyard.payments.model.debits_codes import CODES, After, rule_of
from steelyard.payments.model.debits_refusals import DebitIsUnknown, DebitStateForbids
from steelyard.payments.model.disputes import DisputeWord
from steelyard.payments.service import debits_facts as facts
from steelyard.payments.service import disputes, mandates
from steelyard.payments.service.debits_scheduling import date_of, today
from steelyard.payments.service.evidence import BALANCE
from steelyard.payments.service.paying import Desk
from steelyard.payments.store import debits as table
from steelyard.payments.store import mandates as mandates_table
from steelyard.payments.store import orders as orders_table

_CLAIMED_FOR: Final = timedelta(days=400)
"""Over 13 months: how long a bank that takes files is looked at for returns."""
_NO_REASON: Final = "MS03"
"""What a bank says that says no reason."""


@dataclass(frozen=True, slots=True)
class Return:
    """A debit that was taken back.

    Attributes
    ----------
    code : of the bank, AM04, MD06, R10 ...
    reference : the channel's own number of the return; the same again is the same return
    source : who told: `statement`, `notice`, `query`, `operator`
    """

    debit: UUID
    code: str
    reference: str
    source: str = "operator"


def give_back(unit: UnitOfWork, one: Return) -> Debit:
    """Take the money of a debit back from the merchant; told again, nothing more happens.

    A return that comes when the payer's time is over is withheld, and people contest it; it is not
    lost yet.

    Refusals
    --------
    debit_is_unknown, debit_state_forbids
    """
    found = table.find(unit.connection, [one.debit]).get(one.debit)
    if found is None:
        raise DebitIsUnknown(debit=one.debit)
    held = mandates_table.lock(unit.connection, [found.mandate])[found.mandate]
    before = table.lock(unit.connection, [one.debit])[one.debit]
    if before.state in (DebitState.RETURNED, DebitState.REFUND_CLAIMED):
        return before
    if before.state is not DebitState.SUCCEEDED or before.order is None:
        raise DebitStateForbids(debit=one.debit, state=before.state.value, verb="give_back")
    rule = rule_of(one.code, None)
    claims = DebitState.REFUND_CLAIMED if rule.claims else DebitState.RETURNED
    after = replace(before, state=claims, code=one.code, decline=rule.decline, returned_at=unit.now)
    table.write(unit.connection, [after])
    unit.record(facts.DebitReturned(**facts.about_debit(after)), subject=after.subject_key)
    audit(
        unit,
        action="payments.return_debit",
        subject=after.subject_key,
        detail={"code": one.code, "reference": one.reference, "source": one.source},
    )
    if rule.after is After.SUSPEND:
        mandates.suspend_for(unit, held, one.code)
    _take_money(unit, before, one)
    return replace(after, version=before.version + 1)


def _take_money(unit: UnitOfWork, debit: Debit, one: Return) -> None:
    assert debit.order is not None, "it was paid by an order"
    order = orders_table.find(unit.connection, [debit.order])[debit.order]
    assert order.paid_at is not None, "it was paid"
    taken = disputes.take(
        unit,
        disputes.NewDispute(
            id=uuid5(debit.id, "return"),
            order=order.id,
            reference=one.reference,
            amount_minor=debit.amount_minor,
            currency=debit.currency,
            reason=one.code,
        ),
        source=one.source,
    )
    paid_on = date_of(unit.connection, debit.mode, order.paid_at)
    if is_in_time(paid_on, today(unit, debit.mode), one.code):
        disputes.tell(unit, taken.id, DisputeWord.LOST, source=one.source)


def look_for_returns(
    database: Database, desk: Desk, *, most: int = 20_000, actor: str = "system:debits"
) -> int:
    """Ask banks that take files whether debits that went through came back; return how many did.

    A bank of files says nothing by itself: what it returned stands in a statement of its own, and
    its channel answers from there.
    """
    with database.reading() as connection:
        since = database.clock.read(connection) - _CLAIMED_FOR
        paid = table.paid_by_channel(connection, since)
    found = 0
    for channel, debits in paid.items():
        if channel == BALANCE or not desk.capability(channel).batch:
            continue
        found += _look(database, desk, channel, debits[:most], actor=actor)
    return found


def _look(
    database: Database,
    desk: Desk,
    channel: str,
    debits: Sequence[table.PaidDebit],
    *,
    actor: str,
) -> int:
    asked = desk.get(channel)
    found = 0
    for one in debits:
        query = Query(number=one.attempt.hex, reference=one.reference, sent_at=one.sent_at)
        finding = asked.query(query)
        if finding.said is not Said.CLOSED:
            continue
        if one.is_refunded and finding.code not in CODES:
            # What we gave back ourselves is closed as well.
            continue
        code = finding.code or _NO_REASON
        number = finding.reference or f"return-{one.attempt.hex}"
        back = Return(one.debit, code, number, "query")
        database.transact(lambda unit, b=back: give_back(unit, b), actor=actor)  # type: ignore[misc]
        found += 1
    return found
