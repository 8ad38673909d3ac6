"""A shop with everybody it deals with: our side through its doors, theirs as it really is.

Every action is something that can happen to us. What is refused is counted and changes nothing;
after each action `check` holds our books against what the others really have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid4

import sqlalchemy as sa

from steelyard.base import Database, NoPolicyGate, UnitOfWork
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments.model.attempts import Source
from steelyard.payments.model.channel import Capability, Finding, Method, Said
from steelyard.payments.model.clearing import ReconWord
from steelyard.payments.model.disputes import DisputeWord
from steelyard.payments.model.orders import Mode, Order, Payer
from steelyard.payments.model.refunds import NewRefund
from steelyard.payments.service import (
    clearing,
    custody,
    disputes,
    evidence,
    orders,
    payouts,
    refunds,
    refunds_upkeep,
    reversal,
    settlement,
    tieout,
)
from steelyard.payments.service.paying import Pay, Paying, Routed
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import refunds as refunds_table
from tests.payments.refunding import sign
from tests.payments.till import EVERYTHING, OTHER_SHOP, SHOP, WALLET, an_order, open_shop
from tests.payments.vault import KnownPayees
from tests.payments.world import books as our_books
from tests.payments.world import holds
from tests.payments.world.bank import ZONE, TrueBank
from tests.payments.world.channel import (
    CLOSED,
    DECLINED,
    NO_ACCOUNT,
    NOT_FOUND,
    PENDING,
    RETURNED,
    UNKNOWN,
    Charge,
    Give,
    TrueChannel,
)

ACTOR = "test:world"
CODES = ("east", "west")
WALLET_MINOR = 1_000_000
MERCHANTS = (SHOP, OTHER_SHOP)
LIVE, CNY = Mode.LIVE, "CNY"
SAID: Mapping[str, Finding] = {
    "unknown": UNKNOWN,
    "pending": PENDING,
    "declined": DECLINED,
    "closed": CLOSED,
    "not_found": NOT_FOUND,
    "action": Finding(said=Said.ACTION, action={"kind": "qr"}),
}
_FINAL = {
    "attempt": ("succeeded",),
    "refund": ("succeeded",),
    "payout": ("paid",),
    "order": ("succeeded",),
}
_MAY_FOLLOW = {
    "attempt": ("reversed",),
    "refund": ("returned", "closed", "succeeded"),
    "payout": ("returned",),
    "order": ("cancelled",),
}
T = TypeVar("T")


@dataclass(slots=True)
class World:
    """Everybody.

    Attributes
    ----------
    orders, attempts, refunds, disputes : ids in the order in which they were made
    refused : code of a refusal -> how often
    done : what was done -> how often
    """

    database: Database
    clock: SteppingClock
    channels: dict[str, TrueChannel] = field(default_factory=dict)
    payees: KnownPayees = field(default_factory=KnownPayees)
    orders: list[UUID] = field(default_factory=list)
    attempts: list[UUID] = field(default_factory=list)
    refunds: list[UUID] = field(default_factory=list)
    disputes: list[UUID] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    finals: dict[tuple[str, str], str] = field(default_factory=dict)
    bank: TrueBank = field(init=False)
    paying: Paying = field(init=False)
    books: our_books.Books = field(init=False)
    fetched: date = field(init=False)

    def __post_init__(self) -> None:
        self.channels = {code: TrueChannel(code) for code in CODES}
        self.bank = TrueBank("RESERVE", self.clock)
        now = self.clock.now()
        self.clock.advance(timedelta(days=-1))
        self.bank.move("deposit", WALLET_MINOR, "opening")
        self.clock.advance(now - self.clock.now())
        self.bank.told_movements.add(0)
        self.fetched = self.bank.today() - timedelta(days=1)
        open_shop(self.database, wallet_minor=WALLET_MINOR)
        sign(self.database, SHOP, settlement_cycle="D1", refund_advance_minor=500_000)
        sign(
            self.database,
            OTHER_SHOP,
            settlement_cycle="D1",
            reserve_rate="0.1",
            reserve_days=2,
            dispute_fee_minor=150,
            returns_dispute_fee=True,
        )
        self.database.transact(
            lambda unit: custody.open_account(
                unit, LIVE, CNY, account="RESERVE", own_account="OURS"
            )
        )
        self.paying = Paying(self.database, NoPolicyGate(), self, self)
        self.check()

    def close(self) -> None:
        self.paying.close()
        self.database.close()

    # The desk and the routing of `Paying`.

    def get(self, code: str) -> TrueChannel:
        return self.channels[code]

    def capability(self, code: str) -> Capability:
        return EVERYTHING

    def route(self, order: Order, how: Pay, now: datetime) -> Routed:
        return Routed("balance" if how.method is Method.BALANCE else CODES[0])

    def write(self, unit: UnitOfWork, attempts: Sequence[UUID]) -> None:
        """Keep nothing."""

    # What happens.

    def create(self, merchant: int, amount: int, late: str, most: int, *, own: bool) -> None:
        new = an_order(
            merchant=MERCHANTS[merchant],
            amount_minor=amount,
            late_success=late,
            most_attempts=most,
            expires_at=self.clock.now() + timedelta(hours=2),
            payer=Payer(account=WALLET if own else None),
        )
        (made,) = self._unit(lambda unit: orders.create(unit, [new]))
        assert isinstance(made, Order)
        self.orders.append(made.id)

    def pay(self, order: UUID, code: str, mood: str) -> None:
        channel = self.channels[code]
        channel.moods["pay"] = mood
        attempt = uuid4()
        how = Pay(attempt=attempt, method=Method.WALLET, channel=code)
        self._try(lambda: self.paying.pay(order, how, actor=ACTOR))
        channel.moods.pop("pay", None)
        self.attempts.append(attempt)

    def pay_out_of_wallet(self, order: UUID) -> None:
        how = Pay(attempt=uuid4(), method=Method.BALANCE, payer=Payer(account=WALLET))
        self._try(lambda: self.paying.pay(order, how, actor=ACTOR))

    def tell(self, attempt: UUID, source: Source, what: str, times: int) -> None:
        """Let somebody say something about an attempt, true or stale or wrong, some times over."""
        known = self._row("attempt", attempt)
        if known is None or known["channel"] == holds.BALANCE:
            return
        channel = self.channels[known["channel"]]
        finding = channel.truth(attempt.hex) if what == "truth" else SAID[what]
        if finding.said is Said.CLOSED and known["is_reversing"]:
            # It would be believed: then it must be so.
            charge = channel.charges[attempt.hex]
            if charge.state != "reversed":
                return
            channel.told.discard(attempt.hex)
        reports = [evidence.Report(attempt, source, finding)] * times
        self._try(lambda: self._unit(lambda unit: evidence.report(unit, reports)))

    def channel_takes(self, attempt: UUID) -> None:
        """Let the payer pay after all, whatever was said before; nobody is told."""
        known = self._row("attempt", attempt)
        if known is None or known["channel"] == holds.BALANCE:
            return
        charges = self.channels[known["channel"]].charges
        charge = charges.get(attempt.hex)
        if charge is None or charge.amount_minor == 0 or charge.state not in ("taken", "reversed"):
            charges[attempt.hex] = Charge(known["amount_minor"], CNY, "taken")

    def channel_ends(self, attempt: UUID, state: str) -> None:
        """Let a waiting payment be denied or closed at the channel; nobody is told."""
        for channel in self.channels.values():
            charge = channel.charges.get(attempt.hex)
            if charge is not None and charge.state == "waiting":
                charge.state = state

    def cancel(self, order: UUID) -> None:
        self._try(lambda: self._unit(lambda unit: orders.cancel(unit, order)))

    def pass_time(self, by: timedelta) -> None:
        """Let time pass; orders whose time is over begin to end."""
        self.clock.advance(by)
        self._unit(lambda unit: orders.end_due(unit))

    def poll(self, ask: str, close: str) -> None:
        for channel in self.channels.values():
            channel.moods |= {"query": ask, "cancel": close}
        self.paying.poll(actor=ACTOR)
        for channel in self.channels.values():
            channel.moods.clear()

    def refund(self, order: UUID, amount: int | None, mood: str, *, waits: bool) -> None:
        id = uuid4()
        new = NewRefund(id=id, order=order, refund_no=id.hex, amount_minor=amount, waits=waits)
        asked = self._try(lambda: self._unit(lambda unit: refunds.ask(unit, [new], desk=self))[0])
        if isinstance(asked, Refusal):
            self.refused[asked.code] += 1
        elif asked is not None:
            self.send_refund(id, mood)

    def part_of(self, order: UUID, eighths: int) -> int:
        """Return a part of an order's amount."""
        known = self._row("order", order)
        assert known is not None
        return int(known["amount_minor"]) * eighths // 8

    def refund_twice_at_once(self, order: UUID, amounts: tuple[int, int], mood: str) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda minor: self.refund(order, minor, mood, waits=False), amounts))

    def send_refund(self, refund: UUID, mood: str) -> None:
        for channel in self.channels.values():
            channel.moods["refund"] = mood
        self._try(lambda: refunds.send(self.database, self, [refund]))
        for channel in self.channels.values():
            channel.moods.pop("refund", None)

    def tell_refund(self, refund: UUID, source: Source, what: str) -> None:
        known = self._row("refund", refund)
        if known is None or known["channel"] == holds.BALANCE:
            return
        channel = self.channels[known["channel"]]
        give = channel.gives.get(refund.hex)
        if what == "returned":
            if give is None or give.state != "given" or refund.hex not in channel.told:
                return
            give.state = "returned"
            channel.told_back.add(refund.hex)
            finding = RETURNED
        else:
            finding = channel.truth(refund.hex) if what == "truth" else SAID[what]
            if finding is not RETURNED and known["state"] == "succeeded":
                # From these it would be believed that the money came back.
                source = Source.NOTICE
        report = refunds.RefundReport(refund, source, finding)
        self._try(lambda: self._unit(lambda unit: refunds.report(unit, [report])))

    def channel_gives(self, refund: UUID) -> None:
        """Let a refund go out after all, whatever was said before; nobody is told."""
        known = self._row("refund", refund)
        if known is None or known["channel"] == holds.BALANCE or known["state"] == "created":
            return
        channel = self.channels[known["channel"]]
        give = channel.gives.get(refund.hex)
        payment = UUID(known["attempt"]).hex
        if channel.charges[payment].state != "taken" or known["state"] == "reserved":
            return
        if give is None or give.state in ("waiting", "denied"):
            channel.gives[refund.hex] = Give(payment, known["amount_minor"], "given")

    def end_refund(self, refund: UUID, verb: Callable[[UnitOfWork, UUID], object]) -> None:
        self._try(lambda: self._unit(lambda unit: verb(unit, refund)))

    def move_refunds(self, ask: str, mood: str) -> None:
        """Run the jobs of refunds."""
        refunds_upkeep.give_back_unclaimed(self.database, actor=ACTOR)
        for channel in self.channels.values():
            channel.moods |= {"query": ask, "refund": mood}
        refunds_upkeep.send_waiting(self.database, self, actor=ACTOR)
        for channel in self.channels.values():
            channel.moods.clear()
        refunds_upkeep.take_up_waiting(self.database, self, actor=ACTOR)
        self._unit(refunds_upkeep.watch_overdue)

    def dispute(self, order: UUID, amount: int, *, is_inquiry: bool) -> None:
        id = uuid4()
        new = disputes.NewDispute(
            id=id,
            order=order,
            reference=id.hex,
            amount_minor=amount,
            currency=CNY,
            is_inquiry=is_inquiry,
            due_at=self.clock.now() + timedelta(days=2),
        )
        if self._try(lambda: self._unit(lambda unit: disputes.take(unit, new))) is not None:
            self.disputes.append(id)

    def tell_dispute(self, dispute: UUID, word: DisputeWord) -> None:
        ruling = self._try(lambda: self._unit(lambda unit: disputes.tell(unit, dispute, word)))
        known = self._row("dispute", dispute)
        assert known is not None
        if known["channel"] == holds.BALANCE or ruling is None or not ruling.is_new:
            return
        taken = self.channels[known["channel"]].taken_back
        if word in (DisputeWord.LOST, DisputeWord.ACCEPTED):
            taken[dispute.hex] = known["amount_minor"]
        elif word is DisputeWord.WON:
            taken.pop(dispute.hex, None)

    def expire_disputes(self) -> None:
        self._unit(disputes.expire_due)

    def take_back(self, order: UUID, mood: str) -> None:
        for channel in self.channels.values():
            channel.moods["cancel"] = mood
        self._try(lambda: reversal.cancel_paid(self.database, self, order, actor=ACTOR))
        for channel in self.channels.values():
            channel.moods.clear()

    def take_back_again(self) -> None:
        reversal.ask_again(self.database, self, actor=ACTOR)

    def reverse_unknown(self, attempt: UUID, mood: str) -> None:
        for channel in self.channels.values():
            channel.moods["cancel"] = mood
        self._try(lambda: reversal.reverse_unknown(self.database, self, attempt, actor=ACTOR))
        for channel in self.channels.values():
            channel.moods.clear()

    def clear(self) -> None:
        """Close the days that are over, and let them be settled."""
        for day in clearing.close_due(self.database, LIVE, self.capability):
            said = ReconWord(is_expected=True, is_verified=True)
            self._unit(partial(_pass, day=day, said=said))

    def pay_in(self, code: str, share: int) -> None:
        """Let a channel pay in what it owes, or a part of it (of 4)."""
        channel = self.channels[code]
        amount = channel.owes_minor * share // 4
        if amount > 0:
            self.bank.move("deposit", amount, f"channel:{code}")
            channel.paid_in_minor += amount

    def settle(self, mood: str, first: str) -> None:
        settlement.calculate(self.database, LIVE, self.bank.today(), self.payees)
        self.bank.moods["pay"] = first
        self._try(lambda: payouts.pay_ready(self.database, self.bank, LIVE, self.payees))
        self.bank.moods["pay"] = mood
        self._try(self._sweep)
        self.bank.moods.clear()

    def _sweep(self) -> None:
        begun = self._unit(lambda unit: payouts.begin_sweep(unit, LIVE, CNY))
        if begun is not None:
            payouts.send(self.database, self.bank, begun.id, self.payees, actor=ACTOR)

    def poll_payouts(self, mood: str, ask: str) -> None:
        self.bank.moods |= {"pay": mood, "query": ask}
        payouts.poll(self.database, self.bank, self.payees)
        self.bank.moods.clear()

    def bank_sends_back(self, which: int) -> None:
        """Let the bank of a payee send a payout back; our own bank sends none."""
        paid = [
            n
            for n, state in self.bank.payouts.items()
            if state == "paid" and self.bank.orders[n].payee.reference != "own"
        ]
        if paid:
            self.bank.send_back(paid[which % len(paid)])

    def after_return(self, which: int, *, again: bool) -> None:
        with self.database.reading() as connection:
            found = settlement.list_settlements(connection, LIVE)
        back = [one for one in found if one.state.value == "returned"]
        if not back:
            return
        one = back[which % len(back)].id
        if again:
            self._try(lambda: self._unit(lambda unit: payouts.reissue(unit, one, self.payees)))
        else:
            self._try(lambda: self._unit(lambda unit: payouts.release_returned(unit, one)))

    def tie_out(self) -> None:
        """Fetch the custodian's statements of the days that are over, and tie out the last."""
        with self.database.reading() as connection:
            (account,) = custody.accounts_of(connection, LIVE)
        yesterday = self.bank.today() - timedelta(days=1)
        while self.fetched < yesterday:
            self.fetched += timedelta(days=1)
            custody.fetch(self.database, self.bank, account, self.fetched)
        if self.fetched == self.bank.today() - timedelta(days=1) and self.bank.told_movements:
            tie = tieout.make(self.database, account, self.fetched)
            if tie.why != "statement_is_missing":
                assert tie.difference_minor == 0, f"the reserve is off: {tie}"
                assert tie.why in ("ties_out", "own_funds_owe_clients"), tie
                if tie.why == "own_funds_owe_clients":
                    self.bank.move("deposit", tie.holdings.own_owes_minor, "OURS")

    # What holds.

    def check(self) -> None:
        """Assert that our books and theirs agree, and that no final success was left."""
        self.books = our_books.read(self.database)
        holds.check(self.books, self.channels, self.bank, wallet_minor=WALLET_MINOR)
        for code, channel in self.channels.items():
            listed = {
                UUID(one["id"]).hex
                for table in ("attempt", "refund")
                for one in self.books[table]
                if one["channel"] == code
            }
            assert channel.unknown.keys() <= listed, f"{code}: unknown, and not listed"
        self._check_finals()
        place = {str(id): at for at, id in enumerate(self.attempts)}
        for one in sorted(self.books["refund"], key=lambda row: place.get(row["attempt"], -1)):
            if UUID(one["id"]) not in self.refunds:
                self.refunds.append(UUID(one["id"]))

    def _told_of(self, channel: TrueChannel) -> list[object]:
        """Return what is known of everything of which a channel has more than it told."""
        return [
            (channel.charges.get(n) or channel.gives[n], one)
            for n in channel.unknown
            for table in ("attempt", "refund")
            for one in self.books[table]
            if UUID(one["id"]).hex == n
        ]

    def _check_finals(self) -> None:
        for table, states in _FINAL.items():
            for one in self.books["paid" if table == "payout" else table]:
                key = (table, one["id"])
                was = self.finals.get(key)
                if was is not None:
                    is_kept = one["state"] == was or one["state"] in _MAY_FOLLOW[table]
                    assert is_kept or was != states[0], f"{key} was {was} and is {one['state']}"
                    if was != one["state"]:
                        self._check_left(table, one)
                if one["state"] in states or key in self.finals:
                    self.finals[key] = one["state"]

    def _check_left(self, table: str, one: our_books.Row) -> None:
        """A success is left only because the channel or the bank really gave the money back."""
        n = UUID(one["id"]).hex
        if table == "attempt" and one["channel"] != holds.BALANCE:
            assert self.channels[one["channel"]].charges[n].state == "reversed"
        if table == "refund" and one["state"] == "returned":
            assert self.channels[one["channel"]].gives[n].state == "returned"
        if table == "payout":
            assert self.bank.payouts[n] == "returned"

    def come_to_rest(self) -> None:
        """Let everybody tell the truth until nothing is under way; then nothing may be open."""
        for channel in self.channels.values():
            channel.moods.clear()
            for charge in channel.charges.values():
                charge.state = "closed" if charge.state == "waiting" else charge.state
            for give in channel.gives.values():
                give.state = "given" if give.state == "waiting" else give.state
        self.pass_time(timedelta(hours=3))
        for _ in range(4):
            self._ask_everybody()
        self.check()
        on_way = ("sent", "pending_user", "pending", "unknown")
        assert not [one for one in self.books["attempt"] if one["state"] in on_way]
        on_way = ("reserved", "sent", "processing", "unknown")
        assert not [one for one in self.books["refund"] if one["state"] in on_way]
        for code, channel in self.channels.items():
            assert channel.unknown == {}, (
                f"{code} has what nobody knows of: {self._told_of(channel)}"
            )
        self.clear()
        self.pass_time(timedelta(days=1))
        self.tie_out()
        self.check()

    def _ask_everybody(self) -> None:
        """Ask about whatever may have money that was not told, and do what follows."""
        self.clock.advance(timedelta(minutes=2))
        with self.database.reading() as connection:
            found = attempts_table.find(connection, self.attempts)
        for one in found.values():
            hidden = self.channels[one.channel].charges.get(one.number)
            is_hidden = hidden is not None and hidden.state == "taken"
            if one.state.is_under_way or (is_hidden and not one.state.has_money):
                self.paying.ask([one], actor=ACTOR)
        self.take_back_again()
        refunds_upkeep.give_back_unclaimed(self.database, actor=ACTOR)
        refunds_upkeep.send_waiting(self.database, self, actor=ACTOR)
        with self.database.reading() as connection:
            known = refunds_table.find(connection, self.refunds)
        for refund in known.values():
            give = self.channels.get(refund.channel, self.channels["east"]).gives.get(refund.number)
            is_hidden = give is not None and give.state == "given"
            if refund.state.is_under_way or (is_hidden and refund.state.value != "succeeded"):
                refunds.ask_about(self.database, self, [refund])
        payouts.poll(self.database, self.bank, self.payees)
        self.books = our_books.read(self.database)
        for row in self.books["refund"]:
            if UUID(row["id"]) not in self.refunds:
                self.refunds.append(UUID(row["id"]))

    def _row(self, table: str, id: UUID) -> our_books.Row | None:
        text = str(id)
        return next((one for one in self.books[table] if one["id"] == text), None)

    def _unit(self, work: Callable[[UnitOfWork], T]) -> T:
        return self.database.transact(work, actor=ACTOR)

    def _try(self, work: Callable[[], T]) -> T | None:
        """Do something that may be refused; what is refused has changed nothing."""
        with suppress(sa.exc.ResourceClosedError):
            try:
                return work()
            except Refusal as refusal:
                self.refused[refusal.code] += 1
        return None


def _pass(unit: UnitOfWork, day: clearing.ClearingDay, said: ReconWord) -> clearing.ClearingDay:
    return clearing.pass_gate(unit, day, said)


__all__ = ["ACTOR", "CODES", "NO_ACCOUNT", "ZONE", "World"]
