"""A channel as it really is: what it took and gave back, whatever it says of it.

It stands for somebody else's books, in plain Python, so that ours can be held against them: `told`
is what it ever said of its money, and only that can be in our books.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime

from steelyard.payments.model.channel import (
    Decline,
    Finding,
    Notice,
    PayRequest,
    Query,
    RawNotice,
    RefundRequest,
    Said,
    StatementFile,
)

CNY = "CNY"
UNKNOWN = Finding(said=Said.UNKNOWN, why="timeout")
NOT_FOUND = Finding(said=Said.NOT_FOUND)
CLOSED = Finding(said=Said.CLOSED)
PENDING = Finding(said=Said.PENDING)
DECLINED = Finding(said=Said.DECLINED, decline=Decline.DO_NOT_HONOR)
NO_ACCOUNT = Finding(said=Said.DECLINED, decline=Decline.ACCOUNT_CLOSED)
RETURNED = Finding(said=Said.DECLINED, code="returned")
NOT_SENT = Finding(said=Said.NOT_SENT, why="no_connection")
ACTION = Finding(said=Said.ACTION, action={"kind": "qr"})

PAY_MOODS = (
    "takes",
    "takes_says_little",
    "declines",
    "takes_and_is_silent",
    "is_silent",
    "was_not_reached",
    "wants_action",
    "waits",
    "takes_and_denies",
    "takes_more",
    "takes_foreign",
)
ASK_MOODS = ("truth", "truth", "truth", "silent", "blind", "stale")
CLOSE_MOODS = ("does", "does", "refuses", "silent", "does_and_is_silent")
REFUND_MOODS = (
    "gives",
    "gives",
    "gives_says_little",
    "declines",
    "has_no_account",
    "gives_and_is_silent",
    "is_silent",
    "was_not_reached",
    "waits",
    "gives_and_denies",
)


@dataclass(slots=True)
class Charge:
    """A payment at the channel: `waiting`, `taken`, `denied`, `closed` or `reversed`."""

    amount_minor: int
    currency: str
    state: str


@dataclass(slots=True)
class Give:
    """A refund at the channel: `waiting`, `given`, `denied` or `returned`."""

    payment: str
    amount_minor: int
    state: str


@dataclass(slots=True)
class TrueChannel:
    """Somebody else's channel.

    Attributes
    ----------
    moods : by verb, how it behaves at the next call; without one it does its work and says so
    charges, gives : by our numbers, its own books
    taken_back : by dispute, what it took for it
    paid_in_minor : what it paid to the custodian
    told : numbers of which it ever said that money moved; told_back: refunds that came back
    """

    code: str
    moods: dict[str, str] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    gives: dict[str, Give] = field(default_factory=dict)
    taken_back: dict[str, int] = field(default_factory=dict)
    paid_in_minor: int = 0
    told: set[str] = field(default_factory=set)
    told_back: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def owes_minor(self) -> int:
        """What it owes us of what it really took."""
        taken = sum(
            one.amount_minor
            for one in self.charges.values()
            if one.state == "taken" and one.currency == CNY
        )
        given = sum(one.amount_minor for one in self.gives.values() if one.state == "given")
        return taken - given - sum(self.taken_back.values()) - self.paid_in_minor

    @property
    def unknown(self) -> dict[str, int]:
        """By number, what it has more than it ever told: what nobody can have booked."""
        hidden: dict[str, int] = {}
        for number, charge in self.charges.items():
            if charge.currency == CNY:
                there = charge.amount_minor if charge.state == "taken" else 0
                hidden[number] = there - (charge.amount_minor if number in self.told else 0)
        for number, give in self.gives.items():
            gone = give.amount_minor if give.state == "given" else 0
            is_told = number in self.told and number not in self.told_back
            hidden[number] = (give.amount_minor if is_told else 0) - gone
        return {number: minor for number, minor in hidden.items() if minor}

    def mood(self, verb: str, usual: str) -> str:
        self.calls[verb] += 1
        return self.moods.pop(verb, usual)

    def pay(self, request: PayRequest) -> Finding:
        mood = self.mood("pay", "takes")
        number, amount = request.number, request.amount_minor
        assert number not in self.charges or self.charges[number].state == "closed", "sent twice"
        if mood in ("is_silent", "was_not_reached"):
            return UNKNOWN if mood == "is_silent" else NOT_SENT
        if mood == "declines":
            self.charges[number] = Charge(amount, request.currency, "denied")
            return DECLINED
        if mood in ("wants_action", "waits"):
            self.charges[number] = Charge(amount, request.currency, "waiting")
            return ACTION if mood == "wants_action" else PENDING
        amount += mood == "takes_more"
        currency = "USD" if mood == "takes_foreign" else request.currency
        self.charges[number] = Charge(amount, currency, "taken")
        if mood == "takes_and_is_silent":
            return UNKNOWN
        if mood == "takes_and_denies":
            return DECLINED
        return self.success(number, says_little=mood == "takes_says_little")

    def success(self, number: str, *, says_little: bool = False) -> Finding:
        """Tell of money that it took, or gave back."""
        self.told.add(number)
        if number in self.gives:
            amount, currency = self.gives[number].amount_minor, CNY
        else:
            amount, currency = self.charges[number].amount_minor, self.charges[number].currency
        if says_little:
            return Finding(said=Said.SUCCEEDED)
        return Finding(
            said=Said.SUCCEEDED,
            amount_minor=amount,
            currency=currency,
            reference=f"{self.code}-{number[:8]}",
        )

    def query(self, query: Query) -> Finding:
        mood = self.mood("query", "truth")
        if mood == "truth":
            return self.truth(query.number)
        return {"silent": UNKNOWN, "blind": NOT_FOUND, "stale": PENDING}[mood]

    def truth(self, number: str) -> Finding:
        """Say of a payment or refund what is so."""
        known = self.gives.get(number) or self.charges.get(number)
        if known is None:
            return NOT_FOUND
        if known.state in ("taken", "given"):
            return self.success(number)
        if known.state == "returned":
            self.told_back.add(number)
            return RETURNED
        return {"waiting": PENDING, "denied": DECLINED}.get(known.state, self._closed(number))

    def _closed(self, number: str) -> Finding:
        """Tell that no money stays: of what it said before to have taken, it is gone now."""
        self.told.discard(number)
        return CLOSED

    def cancel(self, query: Query) -> Finding:
        mood = self.mood("cancel", "does")
        if mood in ("refuses", "silent"):
            return DECLINED if mood == "refuses" else UNKNOWN
        charge = self.charges.setdefault(query.number, Charge(0, CNY, "closed"))
        if charge.state == "taken" and any(
            one.payment == query.number and one.state != "denied" for one in self.gives.values()
        ):
            return DECLINED
        charge.state = "reversed" if charge.state in ("taken", "reversed") else "closed"
        return self._closed(query.number) if mood == "does" else UNKNOWN

    def refund(self, request: RefundRequest) -> Finding:
        mood = self.mood("refund", "gives")
        number = request.number
        known = self.gives.get(number)
        if known is not None:
            assert known.amount_minor == request.amount_minor, "one number, two amounts"
            return self.truth(number)
        if mood in ("is_silent", "was_not_reached"):
            return UNKNOWN if mood == "is_silent" else NOT_SENT
        charge = self.charges.get(request.payment_number)
        assert charge is not None, "refunded what was never sent"
        assert charge.state == "taken", f"refunded what is {charge.state}"
        state = {"declines": "denied", "has_no_account": "denied", "waits": "waiting"}
        give = Give(request.payment_number, request.amount_minor, state.get(mood, "given"))
        self.gives[number] = give
        if give.state != "given":
            return {"declines": DECLINED, "has_no_account": NO_ACCOUNT}.get(mood, PENDING)
        if mood in ("gives_and_is_silent", "gives_and_denies"):
            return UNKNOWN if mood == "gives_and_is_silent" else DECLINED
        return self.success(number, says_little=mood == "gives_says_little")

    def parse_notice(self, raw: RawNotice, now: datetime) -> Notice:
        raise AssertionError("its notices are told by the test")

    def statement(self, on: date) -> StatementFile | None:
        return None
