"""What the channel does with money: its own rules, the same in all three dialects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final
from uuid import uuid4

from steelyard.simulation.channel.clock import Clock, bounds, day_of, local
from steelyard.simulation.channel.script import Behaviour, Rule
from steelyard.simulation.channel.store import Payment, Plant, Refund, Store

ONE_TIME_CODE: Final = "123456"
_MOST_TRIES: Final = 3
FEE_RATES: Final = {"uni": Decimal("0.002"), "wechat": Decimal("0.006"), "alipay": Decimal("0.006")}
FEE_COMES_BACK: Final = frozenset({"wechat", "alipay"})
PLANTS: Final = ("missing", "extra", "amount", "fee", "duplicate", "status", "cut_off")


@dataclass(slots=True, kw_only=True)
class Asked:
    """What a request asks for, whatever dialect it came in.

    Attributes
    ----------
    verb : pay, query, close, reverse, refund, refund_query, statement
    way : direct: it is paid at once; qr, redirect, wait: an order that the payer pays later
    code : one-time code that the payer typed
    """

    verb: str
    number: str = ""
    reference: str = ""
    amount: int = 0
    currency: str = "CNY"
    way: str = "direct"
    method: str = ""
    subject: str = ""
    instrument: str = ""
    notify_url: str = ""
    expires_at: float = 0.0
    code: str = ""
    payment_number: str = ""
    on: date | None = None
    details: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Told:
    """What came of it: a payment, a refund, or what is wrong, in a word."""

    payment: Payment | None = None
    refund: Refund | None = None
    wrong: str = ""


@dataclass(slots=True, kw_only=True)
class Row:
    """A line of a statement; amounts are over zero, what goes back is a matter of `kind`."""

    number: str
    payment_number: str
    reference: str
    refund_reference: str
    kind: str
    amount: int
    currency: str
    fee: int
    status: str
    created_at: float
    at: float
    total: int
    method: str = ""
    subject: str = ""
    instrument: str = ""


Tell = Callable[[Payment | Refund], None]


class Desk:
    """Takes payments and refunds; asks nobody."""

    def __init__(self, store: Store, clock: Clock, *, cut_off_seconds: float = 0.0) -> None:
        self.store = store
        self.clock = clock
        self.cut_off_seconds = cut_off_seconds
        self.payer_seconds = 2.0
        self.closed_between: dict[str, tuple[float, float]] = {}
        self.tell: Tell = lambda _: None

    def do(self, dialect: str, asked: Asked, rule: Rule) -> Told:
        """Do what is asked; the same number again finds what was done."""
        doing = {
            "pay": self._pay,
            "query": self._query,
            "close": self._close,
            "reverse": self._close,
            "refund": self._refund,
            "refund_query": self._query_refund,
        }
        return doing[asked.verb](dialect, asked, rule)

    def _pay(self, dialect: str, asked: Asked, rule: Rule) -> Told:
        known = self.payment(dialect, asked.number)
        if known is not None:
            if known.currency and (known.amount, known.currency) != (asked.amount, asked.currency):
                return Told(wrong="number_used")
            if known.state == "waiting" and known.way == "code" and asked.code:
                self._try_code(known, asked.code)
            return Told(payment=known)
        now = self.clock.now()
        begin, end = self.closed_between.get(dialect, (0.0, 0.0))
        if begin <= now < end:
            return Told(wrong="channel_closed")
        payment = Payment(
            dialect=dialect,
            number=asked.number,
            reference=self._reference(dialect, now),
            amount=asked.amount,
            currency=asked.currency,
            way=asked.way,
            state="waiting",
            created_at=now,
            method=asked.method,
            subject=asked.subject,
            instrument=asked.instrument,
            notify_url=asked.notify_url,
        )
        self._begin(payment, asked, rule, now)
        self.store.put(payment)
        if payment.state in ("paid", "declined"):
            self.tell(payment)
        return Told(payment=payment)

    def _begin(self, payment: Payment, asked: Asked, rule: Rule, now: float) -> None:
        """Let the payer and his bank act as the rule says, or as they usually do."""
        if rule.behaviour is Behaviour.DECLINE:
            payment.code = rule.argument or "do_not_honor"
            self._end(payment, "declined", now)
            return
        if rule.behaviour is Behaviour.NOT_FOUND:
            payment.visible_at = now + rule.seconds
        if rule.behaviour is Behaviour.ACTION:
            payment.way = rule.argument or "qr"
            self._due(payment, now, rule.seconds, "paid")
        elif rule.behaviour is Behaviour.LATE:
            payment.state = "processing"
            self._due(payment, now, rule.seconds, "paid")
        elif payment.way == "direct":
            self._end(payment, "paid", now)
        else:
            self._due(payment, now, self.payer_seconds, "paid")
        ends = asked.expires_at
        if payment.state == "waiting" and ends and (not payment.due_at or payment.due_at > ends):
            payment.due_at, payment.due_state = max(ends, now), "closed"

    @staticmethod
    def _due(row: Payment | Refund, now: float, seconds: float, state: str) -> None:
        """Say what becomes of it by itself; of under zero seconds, nothing does."""
        if seconds >= 0:
            row.due_at, row.due_state = now + seconds, state

    def _try_code(self, payment: Payment, code: str) -> None:
        now = self.clock.now()
        payment.tries += 1
        if code == ONE_TIME_CODE:
            self._end(payment, "paid", now)
        elif payment.tries >= _MOST_TRIES:
            payment.code = "invalid_pin"
            self._end(payment, "declined", now)
        self.store.put(payment)
        if payment.state != "waiting":
            self.tell(payment)

    def _end(self, payment: Payment, state: str, at: float) -> None:
        payment.state, payment.done_at = state, at
        payment.due_at, payment.due_state = 0.0, ""
        if state == "paid":
            payment.fee = share(payment.amount, FEE_RATES[payment.dialect])

    def act(self, dialect: str, number: str, *, pays: bool) -> Payment | None:
        """Let the payer pay now, or give up; None if he cannot."""
        payment = self.payment(dialect, number)
        if payment is None or payment.state not in ("waiting", "processing"):
            return None
        payment.code = "" if pays else "payer_cancelled"
        self._end(payment, "paid" if pays else "declined", self.clock.now())
        self.store.put(payment)
        self.tell(payment)
        return payment

    def pass_time(self) -> None:
        """Do everything that is due by now."""
        now = self.clock.now()
        for payment in self.store.due_payments(now):
            self._settle(payment)
        for refund in self.store.due_refunds(now):
            self._settle_refund(refund)

    def payment(self, dialect: str, number: str) -> Payment | None:
        """Return a payment as it stands now."""
        payment = self.store.payment(dialect, number)
        if payment is not None and 0 < payment.due_at <= self.clock.now():
            self._settle(payment)
        return payment

    def refund(self, dialect: str, number: str) -> Refund | None:
        """Return a refund as it stands now."""
        refund = self.store.refund(dialect, number)
        if refund is not None and 0 < refund.due_at <= self.clock.now():
            self._settle_refund(refund)
        return refund

    def _settle(self, payment: Payment) -> None:
        self._end(payment, payment.due_state, payment.due_at)
        self.store.put(payment)
        self.tell(payment)

    def _query(self, dialect: str, asked: Asked, rule: Rule) -> Told:
        if not asked.number:
            found = self.store.payment_by_reference(dialect, asked.reference)
            asked = replace(asked, number=found.number if found else "")
        payment = self.payment(dialect, asked.number)
        is_hidden = payment is not None and self.clock.now() < payment.visible_at
        if payment is None or is_hidden or rule.behaviour is Behaviour.NOT_FOUND:
            return Told(wrong="not_found")
        return Told(payment=payment)

    def _close(self, dialect: str, asked: Asked, rule: Rule) -> Told:
        """Close what is not paid; take back what was paid on the same clearing day.

        Of the dialects, `uni` alone takes note of a number that it never saw, so that a request
        which is still on its way finds it closed. WeChat's close never takes money back.
        """
        payment = self.payment(dialect, asked.number)
        if rule.behaviour is Behaviour.REFUSE:
            return Told(payment=payment, wrong="close_refused")
        now = self.clock.now()
        if payment is None:
            if dialect != "uni":
                return Told(wrong="not_found")
            payment = Payment(
                dialect=dialect,
                number=asked.number,
                reference=self._reference(dialect, now),
                amount=0,
                currency="",
                way="direct",
                state="closed",
                created_at=now,
                done_at=now,
            )
            self.store.put(payment)
            return Told(payment=payment)
        if payment.state in ("waiting", "processing"):
            self._end(payment, "closed", now)
        elif payment.state == "paid":
            is_today = self.day_of(payment.done_at) == self.day_of(now)
            takes_back = dialect != "wechat" or asked.verb == "reverse"
            if payment.refunded or not is_today or not takes_back:
                return Told(payment=payment, wrong="paid")
            self._end(payment, "reversed", now)
        else:
            return Told(payment=payment)
        self.store.put(payment)
        self.tell(payment)
        return Told(payment=payment)

    def _refund(self, dialect: str, asked: Asked, rule: Rule) -> Told:
        known = self.refund(dialect, asked.number)
        if known is not None:
            same = asked.payment_number in ("", known.payment_number)
            if not same or asked.amount != known.amount:
                return Told(wrong="number_used")
            return self._with_payment(known)
        payment = self.payment(dialect, asked.payment_number)
        if payment is None and asked.reference:
            payment = self.store.payment_by_reference(dialect, asked.reference)
        if payment is None:
            return Told(wrong="payment_not_found")
        if payment.state != "paid":
            return Told(payment=payment, wrong="payment_not_paid")
        if asked.currency and asked.currency != payment.currency:
            return Told(payment=payment, wrong="currency_differs")
        if asked.amount <= 0 or payment.refunded + asked.amount > payment.amount:
            return Told(payment=payment, wrong="exceeds")
        if rule.behaviour is Behaviour.DECLINE:
            return Told(payment=payment, wrong=rule.argument or "refund_refused")
        now = self.clock.now()
        refund = Refund(
            dialect=dialect,
            number=asked.number,
            payment_number=payment.number,
            reference=self._reference(dialect, now, is_refund=True),
            amount=asked.amount,
            currency=payment.currency,
            state="processing",
            created_at=now,
            notify_url=asked.notify_url or payment.notify_url,
        )
        payment.refunded += asked.amount
        if rule.behaviour is Behaviour.NOT_FOUND:
            refund.visible_at = now + rule.seconds
        if rule.behaviour in (Behaviour.SLOW, Behaviour.LATE):
            self._due(refund, now, rule.seconds, rule.argument or "succeeded")
        elif rule.behaviour is Behaviour.ABNORMAL:
            refund.state, refund.code = "abnormal", "account_closed"
        else:
            self._refunded(refund, payment, now)
            if rule.behaviour is Behaviour.RETURNED:
                self._due(refund, now, rule.seconds, "returned")
        self.store.put(payment)
        self.store.put(refund)
        if refund.state != "processing":
            self.tell(refund)
        return Told(payment=payment, refund=refund)

    def _refunded(self, refund: Refund, payment: Payment, at: float) -> None:
        refund.state, refund.done_at = "succeeded", at
        refund.due_at, refund.due_state = 0.0, ""
        if refund.dialect in FEE_COMES_BACK:
            done = sum(
                one.amount
                for one in self.store.refunds_of(payment.dialect, payment.number)
                if one.done_at and one.number != refund.number
            )
            kept = share(payment.amount - done - refund.amount, FEE_RATES[payment.dialect])
            refund.fee = payment.fee - payment.fee_back - kept
            payment.fee_back += refund.fee

    def _settle_refund(self, refund: Refund) -> None:
        payment = self.store.payment(refund.dialect, refund.payment_number)
        assert payment is not None
        if refund.due_state == "succeeded":
            self._refunded(refund, payment, refund.due_at)
        elif refund.due_state == "returned":
            refund.state, refund.code = "returned", "account_closed"
            refund.returned_at, refund.due_at = refund.due_at, 0.0
        else:
            refund.state, refund.due_at = refund.due_state, 0.0
            refund.code = "account_closed"
            if refund.state == "failed":
                payment.refunded -= refund.amount
        self.store.put(payment)
        self.store.put(refund)
        self.tell(refund)

    def _query_refund(self, dialect: str, asked: Asked, rule: Rule) -> Told:
        refund = self.refund(dialect, asked.number)
        is_hidden = refund is not None and self.clock.now() < refund.visible_at
        if refund is None or is_hidden or rule.behaviour is Behaviour.NOT_FOUND:
            return Told(wrong="not_found")
        return self._with_payment(refund)

    def _with_payment(self, refund: Refund) -> Told:
        payment = self.store.payment(refund.dialect, refund.payment_number)
        return Told(payment=payment, refund=refund)

    def _reference(self, dialect: str, now: float, *, is_refund: bool = False) -> str:
        """Return the channel's own number: 28 digits at WeChat and Alipay."""
        day, nr = f"{local(now):%Y%m%d}", self.store.next_number()
        if dialect == "uni":
            return f"{'V' if is_refund else 'U'}{day}{nr:010d}"
        if dialect == "wechat":
            return f"{'50300000' if is_refund else '42000000'}{day}{nr:012d}"
        return f"{day}22001400{nr:012d}"

    def day_of(self, at: float) -> date:
        """Return the clearing day of an instant."""
        return day_of(at, self.cut_off_seconds)

    def is_over(self, on: date) -> bool:
        """Whether a clearing day is over, so that its statement can be written."""
        return self.clock.now() >= bounds(on, self.cut_off_seconds)[1]

    def rows(self, dialect: str, on: date) -> list[Row]:
        """Return what truly happened on a clearing day, by time; cancelled the same day: nothing.

        What a bank sent back is a row of its own, on the day when it came.
        """
        begin, end = bounds(on, self.cut_off_seconds)
        rows = [_row_of(one) for one in self.store.payments_done(dialect, begin, end)]
        for refund in self.store.refunds_done(dialect, begin, end):
            payment = self.store.payment(dialect, refund.payment_number)
            assert payment is not None
            if begin <= refund.done_at < end:
                rows.append(_row_of_refund(refund, payment))
            if begin <= refund.returned_at < end:
                back = replace(
                    _row_of_refund(refund, payment), kind="return", at=refund.returned_at, fee=0
                )
                rows.append(back)
        return sorted(rows, key=lambda row: (row.at, row.number))

    def plant(self, dialect: str, on: date, *, kind: str, number: str, by: int) -> Plant | None:
        """Plant a break into a statement; without a number, about the first row that has none."""
        taken = {one.number for one in self.store.plants(dialect, on.isoformat())}
        if kind == "extra":
            number = number or uuid4().hex
        else:
            free = [r.number for r in self.rows(dialect, on) if r.number not in taken]
            if number and number not in free:
                return None
            number = number or next(iter(free), "")
            if not number:
                return None
        nr = self.store.next_number()
        plant = Plant(
            id=f"{nr:012d}", dialect=dialect, on=on.isoformat(), kind=kind, number=number, by=by
        )
        self.store.put(plant)
        return plant

    def statement_rows(self, dialect: str, on: date) -> list[Row]:
        """Return the rows that the statement of a day shows, with what was planted into it."""
        day = on.isoformat()
        yesterday = date.fromordinal(on.toordinal() - 1)
        late = {
            one.number
            for one in self.store.plants(dialect, yesterday.isoformat())
            if one.kind == "cut_off"
        }
        begin = bounds(on, self.cut_off_seconds)[0]
        shifted = (
            [
                replace(row, at=begin + 1.0)
                for row in self.rows(dialect, yesterday)
                if row.number in late
            ]
            if late
            else []
        )
        rows = [*shifted, *self.rows(dialect, on)]
        for plant in self.store.plants(dialect, day):
            rows = _spoil(rows, plant, begin)
        return rows


def share(amount: int, rate: Decimal) -> int:
    """Return the fee of an amount, rounded half up to the minor unit.

    Examples
    --------
    >>> share(10_025, Decimal("0.002")), share(1, Decimal("0.002"))
    (20, 0)
    """
    return int((amount * rate).quantize(Decimal(1), ROUND_HALF_UP))


def _row_of(payment: Payment) -> Row:
    return Row(
        number=payment.number,
        payment_number=payment.number,
        reference=payment.reference,
        refund_reference="",
        kind="payment",
        amount=payment.amount,
        currency=payment.currency,
        fee=payment.fee,
        status="succeeded",
        created_at=payment.created_at,
        at=payment.done_at,
        total=payment.amount,
        method=payment.method,
        subject=payment.subject,
        instrument=payment.instrument,
    )


def _row_of_refund(refund: Refund, payment: Payment) -> Row:
    return Row(
        number=refund.number,
        payment_number=payment.number,
        reference=payment.reference,
        refund_reference=refund.reference,
        kind="refund",
        amount=refund.amount,
        currency=refund.currency,
        fee=-refund.fee,
        status="succeeded",
        created_at=refund.created_at,
        at=refund.done_at,
        total=payment.amount,
        method=payment.method,
        subject=payment.subject,
        instrument=payment.instrument,
    )


def _spoil(rows: list[Row], plant: Plant, begin: float) -> list[Row]:
    """Return the rows with one break planted."""
    if plant.kind == "extra":
        extra = Row(
            number=plant.number,
            payment_number=plant.number,
            reference=f"X{plant.id}",
            refund_reference="",
            kind="payment",
            amount=plant.by or 100,
            currency="CNY",
            fee=0,
            status="succeeded",
            created_at=begin + 60.0,
            at=begin + 60.0,
            total=plant.by or 100,
        )
        return [*rows, extra]
    spoilt: list[Row] = []
    for row in rows:
        if row.number != plant.number:
            spoilt.append(row)
        elif plant.kind == "duplicate":
            spoilt += [row, row]
        elif plant.kind == "amount":
            by = plant.by or 1
            spoilt.append(replace(row, amount=row.amount + by, total=row.total + by))
        elif plant.kind == "fee":
            spoilt.append(replace(row, fee=row.fee + (plant.by or 1)))
        elif plant.kind == "status":
            spoilt.append(replace(row, status="reversed"))
        # What is missing, or past the cut-off, is not shown.
    return spoilt
