"""Clearing days: opened by the channel's clock, frozen, netted per merchant, and let pass.

A day moves on in short transactions that can be cut off anywhere: lines are gathered in chunks,
each payment once; merchants are netted in chunks, each once; what is done is found done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, open_case, registry
from steelyard.ledger import BookReader, Heading, Leg, Transfer, accepted, entry, post
from steelyard.payments.model import accounts
from steelyard.payments.model.channel import Capability, Method
from steelyard.payments.model.clearing import (
    ClearingDay,
    ClearingDayIsUnknown,
    ClearingLine,
    ClearingState,
    DayClock,
    FeeCorrectionIsWrong,
    LineKind,
    Net,
    PaymentIsNotCleared,
    ReconWord,
    net_of,
)
from steelyard.payments.model.fees import FeeIsNotAgreed, FeePlan, day_of, fee_of
from steelyard.payments.model.lifecycle import ChannelIsUnknown
from steelyard.payments.model.orders import Mode, Scenario
from steelyard.payments.model.settlement import SettlementTerms, terms_of
from steelyard.payments.service import fees, institution
from steelyard.payments.service import merchants as merchants_of
from steelyard.payments.service.clearing_books import (
    earn,
    heading_of,
    meet_cost,
    open_own,
    owed_by,
)
from steelyard.payments.service.clearing_facts import (
    DayCleared,
    DaySettleable,
    FeeCorrected,
    FeesSwept,
)
from steelyard.payments.service.institution import Institution, InstitutionIsNotOpen
from steelyard.payments.store import clearing as table
from steelyard.payments.store import settlement as terms_table
from steelyard.payments.store.clearing import Candidate, Total

__all__ = [
    "BALANCE",
    "CapabilityOf",
    "ChannelIsUnknown",
    "ClearingDay",
    "ClearingDayIsUnknown",
    "ClearingState",
    "FeeCorrectionIsWrong",
    "How",
    "InstitutionIsNotOpen",
    "PaymentIsNotCleared",
    "ReconWord",
    "Total",
    "Word",
    "are_cleared",
    "clear",
    "close_due",
    "correct_fee",
    "list_days",
    "no_statement",
    "open_days",
    "pass_gate",
    "read_day",
    "totals",
]

BALANCE: Final = "balance"
"""The channel of payments within our own book: its days are the institution's own."""
CapabilityOf = Callable[[str], Capability]
Word = Callable[[sa.Connection, ClearingDay], ReconWord]
Progress = Callable[[str, int, int], None]

LINES: Final = 2_000
MERCHANTS: Final = 200
MOST_OPEN_MINOR: Final = 0
"""Amounts at risk in open breaks with which a day still settles, unless told otherwise."""
_CAUSE: Final = "rule.clearing@1"
_SWEEP: Final = "rule.fee_sweep@1"
_COST: Final = "rule.channel_cost@1"
_ENTRIES: Final = UUID("5b0c41a2-9a53-5b8e-9d4b-6c1f0f1f7a11")
_FREE: Final = "not_agreed@0"

FEE_IS_MISSING: Final = registry.register_kind(
    CaseKind(
        "payments.fee_is_missing",
        "A payment was cleared without a fee",
        "清算时缺少费率",
        registry.Sla(timedelta(hours=24)),
        (
            registry.CaseOutcome("agreed", "Terms agreed", "已补充费率"),
            registry.CaseOutcome("free", "Free of charge", "免收手续费"),
        ),
        skill="payments.clear",
    )
)


def no_statement(_: sa.Connection, day: ClearingDay) -> ReconWord:
    """Return the word about a channel that gives no statements."""
    return ReconWord(is_expected=False, is_verified=False)


def list_days(
    connection: sa.Connection,
    mode: Mode,
    *,
    channel: str | None = None,
    on: date | None = None,
    limit: int = 100,
) -> tuple[ClearingDay, ...]:
    """Return clearing days, the newest first."""
    return tuple(table.list_days(connection, mode, channel=channel, on=on, limit=limit))


def read_day(connection: sa.Connection, channel: str, mode: Mode, on: date) -> ClearingDay:
    """Return a clearing day.

    Refusals
    --------
    clearing_day_is_unknown
    """
    return table.read_day(connection, channel, mode, on)


def totals(
    connection: sa.Connection,
    mode: Mode,
    on: date,
    *,
    channel: str | None = None,
    merchant: UUID | None = None,
) -> tuple[Total, ...]:
    """Return what a day came to, by channel, merchant and currency."""
    return tuple(table.totals(connection, mode, on, channel=channel, merchant=merchant))


def are_cleared(connection: sa.Connection, attempts: Sequence[UUID]) -> set[UUID]:
    """Return which of some paid attempts were cleared: their money left the pending account."""
    return {id for id, (amount, _) in table.lines_about(connection, attempts).items() if amount}


def clock_of(house: Institution, channel: str, capability: CapabilityOf) -> DayClock:
    """Return the clock of a channel's days."""
    if channel == BALANCE:
        return DayClock(house.timezone)
    return DayClock.of(capability(channel))


def open_days(unit: UnitOfWork, mode: Mode, capability: CapabilityOf) -> tuple[ClearingDay, ...]:
    """Open the days that are missing of every channel with payments, up to the present one.

    Returns
    -------
    tuple of ClearingDay
        Those that are open with their last instant over, the earliest first.

    Refusals
    --------
    institution_is_not_open
    """
    house = institution.read(unit.connection, mode)
    for channel in table.channels(unit.connection, mode):
        clock = clock_of(house, channel, capability)
        last = table.last_on(unit.connection, channel, mode)
        if last is None:
            began_at = table.first_end(unit.connection, channel, mode)
            if began_at is None:
                continue
            last = clock.business_on(began_at) - timedelta(days=1)
        present = clock.business_on(unit.now)
        for n in range(1, (present - last).days + 1):
            table.insert_day(unit.connection, _new_day(clock, channel, mode, last + timedelta(n)))
    unfinished = [s for s in ClearingState if s is not ClearingState.RECON_GATED]
    found = table.list_days(unit.connection, mode, states=unfinished, limit=10_000)
    over = [day for day in found if day.closes_at <= unit.now]
    return tuple(sorted(over, key=lambda day: (day.on, day.channel)))


def _new_day(clock: DayClock, channel: str, mode: Mode, on: date) -> ClearingDay:
    opens_at, closes_at = clock.bounds(on)
    return ClearingDay(
        channel=channel,
        mode=mode,
        on=on,
        state=ClearingState.OPEN,
        version=1,
        timezone=clock.timezone,
        opens_at=opens_at,
        closes_at=closes_at,
        cost_minor={},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How days are closed.

    Attributes
    ----------
    lines, merchants : how many one transaction takes
    most_open_minor : amounts at risk in open breaks with which a day still settles
    """

    lines: int = LINES
    merchants: int = MERCHANTS
    most_open_minor: int = MOST_OPEN_MINOR
    actor: str = "system:clearing"
    progress: Progress = lambda stage, done, total: None
    should_stop: Callable[[], bool] = lambda: False


def close_due(
    database: Database, mode: Mode, capability: CapabilityOf, how: How | None = None
) -> tuple[ClearingDay, ...]:
    """Freeze and clear every day whose last instant is over, the earliest first.

    Returns
    -------
    tuple of ClearingDay
        As they stand afterwards; cut off and called again, it goes on where it was.

    Refusals
    --------
    institution_is_not_open, channel_is_unknown
    """
    how = how or How()
    due = database.transact(lambda unit: open_days(unit, mode, capability), actor=how.actor)
    closed = []
    for done, day in enumerate(due, start=1):
        if how.should_stop():
            break
        closed.append(clear(database, day, how))
        how.progress("clearing (days)", done, len(due))
    return tuple(closed)


def clear(database: Database, day: ClearingDay, how: How | None = None) -> ClearingDay:
    """Bring a day whose last instant is over to `cleared`, from wherever it stands."""
    how = how or How()
    day = _move(database, day, ClearingState.OPEN, ClearingState.CUT_OFF, actor=how.actor)
    if day.state is ClearingState.CUT_OFF:
        while database.transact(lambda unit: _gather(unit, day, how.lines), actor=how.actor):
            pass
        day = _move(database, day, ClearingState.CUT_OFF, ClearingState.FROZEN, actor=how.actor)
    if day.state is ClearingState.FROZEN:
        while database.transact(lambda unit: _net(unit, day, how.merchants), actor=how.actor):
            pass
        day = database.transact(lambda unit: _finish(unit, day), actor=how.actor)
    return day


def _move(
    database: Database,
    day: ClearingDay,
    before: ClearingState,
    after: ClearingState,
    *,
    actor: str,
) -> ClearingDay:
    """Move a day on if it stands at `before`; what somebody else did meanwhile stands."""

    def work(unit: UnitOfWork) -> ClearingDay:
        found = table.read_day(unit.connection, day.channel, day.mode, day.on, lock=True)
        if found.state is before and found.closes_at <= unit.now:
            table.move_day(unit.connection, found, after, at=unit.now)
            return table.read_day(unit.connection, day.channel, day.mode, day.on)
        return found

    return database.transact(work, actor=actor)


def _held(unit: UnitOfWork, day: ClearingDay, state: ClearingState) -> ClearingDay | None:
    """Hold a day's row while it stands at a state: one worker at a time writes to a day."""
    found = table.read_day(unit.connection, day.channel, day.mode, day.on, lock=True)
    return found if found.state is state else None


def _gather(unit: UnitOfWork, day: ClearingDay, limit: int) -> int:
    """Write the lines of a chunk, and return how many there were."""
    if _held(unit, day, ClearingState.CUT_OFF) is None:
        return 0
    found = table.candidates(unit.connection, day, limit=limit)
    if found:
        prices = _Prices(unit, day, found)
        table.insert_lines(unit.connection, day, [prices.line(one) for one in found])
    return len(found)


class _Prices:
    """The fees of a chunk: plans by day and merchant read at once, equal payments priced once."""

    def __init__(self, unit: UnitOfWork, day: ClearingDay, found: Sequence[Candidate]) -> None:
        self._unit = unit
        payments = [one for one in found if one.kind is LineKind.PAYMENT]
        merchants = sorted({one.merchant for one in payments})
        self._zones = merchants_of.timezones(unit.connection, merchants)
        by_day: dict[date, set[UUID]] = {}
        for one in payments:
            by_day.setdefault(self._day(one), set()).add(one.merchant)
        self._plans: dict[tuple[date, UUID], FeePlan] = {
            (on, merchant): plan
            for on, of in by_day.items()
            for merchant, plan in fees.plans_on(unit.connection, sorted(of), on).items()
        }
        self._volumes = table.volumes(unit.connection, merchants, day.mode, day.on)
        self._known: dict[tuple[object, ...], int] = {}

    def line(self, one: Candidate) -> ClearingLine:
        """Return the line by which something comes to what it is worth."""
        fee, plan = 0, _CAUSE
        if one.kind is LineKind.PAYMENT:
            fee, plan = self._fee(one)
        elif one.kind is LineKind.FEE_RETURN:
            fee = one.fee_minor
        return ClearingLine(
            about=one.about,
            kind=one.kind,
            part=one.parts + 1,
            merchant=one.merchant,
            currency=one.currency,
            method=one.method,
            amount_minor=one.amount_minor,
            pending_minor=one.pending_minor,
            fee_minor=fee,
            plan=plan,
            at=one.at,
        )

    def _day(self, one: Candidate) -> date:
        """Return the day whose plan prices a payment, on the merchant's clock."""
        return day_of(one.at, self._zones[one.merchant])

    def _fee(self, one: Candidate) -> tuple[int, str]:
        """Return what is charged beyond the lines before, and by which plan."""
        if one.total_minor == 0:
            return -one.fee_minor, _CAUSE
        plan = self._plans[self._day(one), one.merchant]
        key = (plan.id, one.merchant, one.method, one.scenario, one.currency, one.total_minor)
        fee = self._known.get(key)
        if fee is None:
            fee = self._known[key] = self._priced(plan, one)
        if fee < 0:
            return -one.fee_minor, _FREE
        return fee - one.fee_minor, plan.cause

    def _priced(self, plan: FeePlan, one: Candidate) -> int:
        """Return the fee of a payment; -1 where no term is about it, which people then see."""
        try:
            return fee_of(
                plan,
                method=Method(one.method),
                amount_minor=one.total_minor,
                currency=one.currency,
                scenario=Scenario(one.scenario),
                volume_minor=self._volumes.get((one.merchant, one.currency), 0),
            )
        except FeeIsNotAgreed:
            open_case(self._unit, FEE_IS_MISSING.name, f"party:{one.merchant}")
            return -1


def _net(unit: UnitOfWork, day: ClearingDay, limit: int) -> int:
    """Net and post a chunk of merchants, and return how many there were."""
    if _held(unit, day, ClearingState.FROZEN) is None:
        return 0
    merchants = table.merchants_to_clear(unit.connection, day, limit=limit)
    if not merchants:
        return 0
    house = institution.read(unit.connection, day.mode)
    contracts = terms_table.contracts(unit.connection, merchants)
    made: list[Total] = []
    transfers: list[Transfer] = []
    for sums in table.sums(unit.connection, day, merchants):
        terms = terms_of(contracts.get(sums.merchant, {}))
        net = net_of(sums, reserve_rate=terms.reserve_rate)
        name = f"{day.channel}/{day.mode.value}/{day.on}/{sums.merchant}/{sums.currency}"
        made.append(_total(day, net, terms, uuid5(_ENTRIES, name)))
        transfers += _postings(house, made[-1])
    table.insert_totals(unit.connection, made)
    codes = [(code, one.net.sums.currency) for one in made for code in _codes(one.net)]
    institution.have_accounts(unit, house.client_book, codes)
    accepted(post(unit, transfers))
    return len(merchants)


def _total(day: ClearingDay, net: Net, terms: SettlementTerms, entry_id: UUID) -> Total:
    return Total(
        day.channel,
        day.mode,
        day.on,
        net,
        terms.due_on(day.on),
        terms.release_on(day.on),
        entry_id,
    )


def _codes(net: Net) -> tuple[str, ...]:
    merchant, currency = net.sums.merchant, net.sums.currency
    return (
        accounts.pending(merchant, currency),
        accounts.available(merchant, currency),
        accounts.fees_due(currency),
        accounts.rolling_reserve(merchant, currency),
    )


def _postings(house: Institution, total: Total) -> tuple[Transfer, ...]:
    """Return what a merchant's day moves within the client book; nothing where all is level."""
    net = total.net
    parts = (net.sums.pending_minor, -net.posted_minor, -net.sums.fee_minor, -net.reserve_minor)
    legs = [
        Leg(code, debit_minor=max(amount, 0), credit_minor=max(-amount, 0))
        for code, amount in zip(_codes(net), parts, strict=True)
        if amount
    ]
    if not legs:
        return ()
    heading = Heading(
        entry=total.entry,
        book=house.client_book,
        currency=net.sums.currency,
        cause=_CAUSE,
        metadata={"channel": total.channel, "clearing_day": str(total.on)},
    )
    return entry(heading, legs)


def _finish(unit: UnitOfWork, day: ClearingDay) -> ClearingDay:
    """Note that the day is cleared, and what the channel kept of it."""
    held = _held(unit, day, ClearingState.FROZEN)
    if held is None:
        return table.read_day(unit.connection, day.channel, day.mode, day.on)
    costs = table.channel_costs(unit.connection, day)
    table.move_day(unit.connection, held, ClearingState.CLEARED, at=unit.now, cost_minor=costs)
    made = table.totals(unit.connection, day.mode, day.on, channel=day.channel, limit=1_000_000)
    gross: dict[str, int] = {}
    charged: dict[str, int] = {}
    for one in made:
        sums = one.net.sums
        gross[sums.currency] = gross.get(sums.currency, 0) + sums.gross_minor
        charged[sums.currency] = charged.get(sums.currency, 0) + sums.fee_minor
    fact = DayCleared(
        channel=day.channel,
        mode=day.mode.value,
        on=day.on,
        merchants=len({one.net.sums.merchant for one in made}),
        payments=sum(one.net.sums.payments for one in made),
        gross_minor=gross,
        fee_minor=charged,
    )
    unit.record(fact, subject=subject_of(day))
    return table.read_day(unit.connection, day.channel, day.mode, day.on)


def subject_of(day: ClearingDay) -> str:
    """Return whose history a day's facts are."""
    return f"clearing_day:{day.channel}.{day.mode.value}.{day.on}"


def pass_gate(
    unit: UnitOfWork, day: ClearingDay, word: ReconWord, *, most_open_minor: int = MOST_OPEN_MINOR
) -> ClearingDay:
    """Let a cleared day be settled if reconciliation has nothing against it; then fees are earned.

    What reconciliation said is kept either way. A day that was let pass stays so.
    """
    found = table.read_day(unit.connection, day.channel, day.mode, day.on, lock=True)
    if found.state is not ClearingState.CLEARED:
        return found
    is_open = word.opens(most_open_minor)
    gate = {
        "is_expected": word.is_expected,
        "is_verified": word.is_verified,
        "breaks": word.breaks,
        "open_minor": word.open_minor,
        "why": word.why,
    }
    state = ClearingState.RECON_GATED if is_open else ClearingState.CLEARED
    if is_open:
        table.move_day(unit.connection, found, state, at=unit.now, gate=gate)
        fact = DaySettleable(channel=day.channel, mode=day.mode.value, on=day.on)
        unit.record(fact, subject=subject_of(day))
        _settle_with_us(unit, found)
    else:
        table.note_gate(unit.connection, found, gate)
    return table.read_day(unit.connection, day.channel, day.mode, day.on)


def _settle_with_us(unit: UnitOfWork, day: ClearingDay) -> None:
    """Let our own book have the fees that are earned, and meet what the channel kept.

    Earned is all that is due but the fees of days that were not let pass.
    """
    house = institution.read(unit.connection, day.mode)
    name = f"{day.channel}/{day.mode.value}/{day.on}"
    transfers: list[Transfer] = []
    for currency in sorted({*table.fees_of_day(unit.connection, day), *day.cost_minor}):
        due = owed_by(unit.connection, house, accounts.fees_due(currency))
        earned = due - table.fees_not_earned(unit.connection, day.mode, currency)
        cost = day.cost_minor.get(currency, 0)
        if earned or cost:
            open_own(unit, house, currency)
        if earned:
            key = uuid5(_ENTRIES, f"fees/{name}/{currency}")
            transfers += earn(house, heading_of(house, key, currency, _SWEEP), earned)
            unit.record(
                FeesSwept(mode=day.mode.value, currency=currency, amount_minor=earned),
                subject=f"book:{house.own_book}",
            )
        if cost:
            key = uuid5(_ENTRIES, f"cost/{name}/{currency}")
            heading = heading_of(house, key, currency, _COST)
            transfers += meet_cost(house, heading, day.channel, cost)
    accepted(post(unit, transfers))


def correct_fee(
    unit: UnitOfWork, payment: UUID, *, fee_minor: int, reason: str, cause: str
) -> UUID:
    """Correct the fee of a payment whose day was cleared, and return the id of the new entry.

    The day that was cleared stays as it was. What was charged is reversed by one entry and charged
    anew by another, both value-dated on the day of the payment where its period is still open.

    Parameters
    ----------
    payment : the attempt that paid
    fee_minor : what should have been charged; cause : of the second person's approval

    Refusals
    --------
    payment_is_not_cleared, fee_correction_is_wrong
    """
    line = table.first_line(unit.connection, payment)
    if line is None:
        raise PaymentIsNotCleared(payment=payment)
    mode, currency, merchant = Mode(line.mode), line.currency, line.merchant
    table.read_day(unit.connection, line.channel, mode, line.on_day, lock=True)
    amount, charged = table.lines_about(unit.connection, [payment])[payment]
    was = charged + table.corrected(unit.connection, payment)
    if fee_minor == was or not 0 <= fee_minor <= amount:
        raise FeeCorrectionIsWrong(fee_minor=fee_minor, was_minor=was, amount_minor=amount)
    house = institution.read(unit.connection, mode)
    correction = unit.new_id()
    ids, transfers = _corrected(unit, house, line, correction, (was, fee_minor, cause))
    values: Mapping[str, object] = {
        "id": correction,
        "payment": payment,
        "merchant": merchant,
        "mode": mode.value,
        "currency": currency,
        "was_minor": was,
        "is_minor": fee_minor,
        "of_day": line.on_day,
        "made_on": day_of(unit.now, house.timezone),
        "reason": reason,
        "cause": cause,
        **ids,
        "made_at": unit.now,
        "made_by": unit.actor,
    }
    table.insert_correction(unit.connection, values)
    fact = FeeCorrected(
        payment=payment,
        merchant=merchant,
        of_day=line.on_day,
        currency=currency,
        was_minor=was,
        is_minor=fee_minor,
    )
    unit.record(fact, subject=f"payment_fee:{payment}")
    detail = {"was_minor": was, "is_minor": fee_minor, "reason": reason, "cause": cause}
    audit(unit, action="payments.correct_fee", subject=f"payment_fee:{payment}", detail=detail)
    accepted(post(unit, transfers))
    return ids["entry"]


def _corrected(
    unit: UnitOfWork,
    house: Institution,
    line: sa.Row[Any],
    correction: UUID,
    fees_of: tuple[int, int, str],
) -> tuple[dict[str, UUID], list[Transfer]]:
    """Return the ids of a reversal and of a new entry, and their postings."""
    was, fee_minor, cause = fees_of
    currency = line.currency
    on = _value_date(unit.connection, house, line.on_day)
    codes = accounts.available(line.merchant, currency), accounts.fees_due(currency)
    institution.have_accounts(unit, house.client_book, [(code, currency) for code in codes])
    transfers: list[Transfer] = []
    ids = {name: uuid5(correction, name) for name in ("reversal", "entry")}
    for name, fee, (debit, credit) in (
        ("reversal", was, codes[::-1]),
        ("entry", fee_minor, codes),
    ):
        if fee == 0:
            continue
        heading = Heading(
            entry=ids[name],
            book=house.client_book,
            currency=currency,
            cause=cause,
            effective_on=on,
            metadata={"correction": str(correction), "of_day": str(line.on_day)},
        )
        transfers += entry(heading, [Leg(debit, debit_minor=fee), Leg(credit, credit_minor=fee)])
    return ids, transfers


def _value_date(connection: sa.Connection, house: Institution, on: date) -> date | None:
    """Return the value date of a correction: its own day, unless the books of it are closed."""
    closed = BookReader(connection, house.client_book).book.closed_through
    return on if closed is None or on > closed else None
