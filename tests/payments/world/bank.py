"""The custodian as it really is: its own movements, and its statement of a day."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from steelyard.kernel import SteppingClock
from steelyard.payments.model.channel import StatementFile
from steelyard.payments.model.custody import CustodianAnswer, PayoutOrder, PayoutSaid

ZONE = ZoneInfo("Asia/Shanghai")
PAY_MOODS = ("pays", "pays", "fails", "pays_and_is_silent", "is_silent", "was_not_reached", "waits")
_UNKNOWN = CustodianAnswer(said=PayoutSaid.UNKNOWN, why="timed_out")


@dataclass(slots=True)
class Movement:
    """A line of the account."""

    kind: str
    amount_minor: int
    reference: str
    our_number: str
    counterparty: str
    at: datetime


@dataclass(slots=True)
class TrueBank:
    """Somebody else's bank.

    Attributes
    ----------
    payouts : by our numbers, `pending`, `paid`, `failed` or `returned`
    moods : by verb, how it behaves at the next call
    told : what it ever said of payouts, `(number, "payout" or "return")`
    told_movements : lines that stood in a statement of a day that was fetched
    """

    account: str
    clock: SteppingClock
    movements: list[Movement] = field(default_factory=list)
    payouts: dict[str, str] = field(default_factory=dict)
    orders: dict[str, PayoutOrder] = field(default_factory=dict)
    moods: dict[str, str] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    told_movements: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        return "true"

    @property
    def balance_minor(self) -> int:
        return sum(one.amount_minor for one in self.movements)

    @property
    def unknown_minor(self) -> int:
        """What lies there more than it ever told."""
        return sum(
            one.amount_minor
            for no, one in enumerate(self.movements)
            if no not in self.told_movements and (one.our_number, one.kind) not in self.told
        )

    def paid_in_untold(self, channel: str) -> int:
        """What a channel paid in that stands in no statement yet."""
        return sum(
            one.amount_minor
            for no, one in enumerate(self.movements)
            if one.counterparty == f"channel:{channel}" and no not in self.told_movements
        )

    def today(self) -> date:
        return self.clock.now().astimezone(ZONE).date()

    def move(self, kind: str, amount: int, counterparty: str, number: str = "") -> None:
        reference = f"{kind}-{len(self.movements)}"
        self.movements.append(
            Movement(kind, amount, reference, number, counterparty, self.clock.now())
        )

    def pay_out(self, order: PayoutOrder) -> CustodianAnswer:
        mood = self.moods.pop("pay", "pays")
        if mood in ("is_silent", "was_not_reached"):
            said = PayoutSaid.UNKNOWN if mood == "is_silent" else PayoutSaid.NOT_SENT
            return CustodianAnswer(said=said, why=mood)
        if order.number not in self.payouts:
            self.orders[order.number] = order
            self.payouts[order.number] = "pending"
            if mood == "fails" or self.balance_minor < order.amount_minor:
                self.payouts[order.number] = "failed"
            elif mood != "waits":
                self.execute(order.number)
        return _UNKNOWN if mood == "pays_and_is_silent" else self._answer(order.number)

    def execute(self, number: str) -> None:
        order = self.orders[number]
        self.move("payout", -order.amount_minor, order.payee.number, number)
        self.payouts[number] = "paid"

    def send_back(self, number: str) -> None:
        self.move("return", self.orders[number].amount_minor, "return", number)
        self.payouts[number] = "returned"

    def query(self, number: str) -> CustodianAnswer:
        if self.moods.pop("query", "answers") == "silent":
            return _UNKNOWN
        if self.payouts.get(number) == "pending":
            self.execute(number)
        return self._answer(number)

    def _answer(self, number: str) -> CustodianAnswer:
        state = self.payouts.get(number)
        if state is None:
            return CustodianAnswer(said=PayoutSaid.NOT_FOUND)
        days = {
            one.kind: one.at.astimezone(ZONE).date()
            for one in self.movements
            if one.our_number == number
        }
        self.told |= {(number, kind) for kind in days}
        return CustodianAnswer(
            said=PayoutSaid(state),
            amount_minor=self.orders[number].amount_minor,
            currency="CNY",
            executed_on=days.get("payout"),
            returned_on=days.get("return"),
        )

    def statement(self, account: str, on: date) -> StatementFile | None:
        if on >= self.today():
            return None
        days = [one.at.astimezone(ZONE).date() for one in self.movements]
        pairs = list(zip(days, self.movements, strict=True))
        opening = sum(one.amount_minor for day, one in pairs if day < on)
        lines = [one for day, one in pairs if day == on]
        self.told |= {(one.our_number, one.kind) for one in lines if one.our_number}
        closing = opening + sum(one.amount_minor for one in lines)
        self.told_movements |= {no for no, (day, _) in enumerate(pairs) if day <= on}
        out = io.StringIO()
        write = csv.writer(out, lineterminator="\n").writerow
        write(("H", account, "CNY", on.isoformat(), opening, closing, len(lines)))
        for no, one in enumerate(lines, start=1):
            told = (one.kind, one.amount_minor, one.reference, one.our_number, one.counterparty)
            write(("L", no, *told, one.at.isoformat()))
        return StatementFile(name=f"{account}-{on}.csv", content=out.getvalue().encode())
