"""A counter where payers prove who they are: a gate, a phone and a bank as a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from steelyard.base import Database, Outcome, Question, Verdict
from steelyard.base.crypto import Keyring
from steelyard.kernel import SteppingClock
from steelyard.payments import bindings, orders, proofs
from steelyard.payments.service.paying import Pay, Paying, Result
from tests.payments.till import ScriptedDesk, ScriptedRouting, an_order, open_shop, paying

ANN = UUID("00000000-0000-7000-8000-0000000000a1")
BOB = UUID("00000000-0000-7000-8000-0000000000b0")
CARD = "6222020000000000000"
PHONE = "13812345678"
ID_NUMBER = "990001199002280015"
APPROVES = Verdict(Outcome.APPROVE, "house@1")
WANTS_PROOF = Verdict(Outcome.STEP_UP, "house@1", ("new_device",))


@dataclass(slots=True)
class ScriptedGate:
    """Says what a test wants; remembers what it was told.

    Attributes
    ----------
    first, proved : what it says without, and with the fact `proof`
    """

    first: Verdict = APPROVES
    proved: Verdict = WANTS_PROOF
    asked: list[Mapping[str, object]] = field(default_factory=list)

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        self.asked.append(facts)
        return self.proved if facts.get("proof") else self.first

    def ask_all(self, scene: str, questions: Sequence[Question]) -> tuple[Verdict, ...]:
        return tuple(self.ask(scene, one.facts, one.at) for one in questions)


@dataclass(slots=True)
class ScriptedPhone:
    """Takes the codes that are sent."""

    codes: list[tuple[str, str]] = field(default_factory=list, repr=False)
    takes: bool = True

    def send(self, request: str, *, phone: str, code: str) -> bool:
        if self.takes:
            self.codes.append((phone, code))
        return self.takes

    @property
    def code(self) -> str:
        return self.codes[-1][1]

    @property
    def wrong(self) -> str:
        return "000000" if self.code != "000000" else "111111"


def _passes(request: str) -> bindings.CardAnswer:
    said = bindings.CardSaid.PASSED
    return bindings.CardAnswer(request, said, token=f"card-{request[:8]}", bank="ICBC")


@dataclass(slots=True)
class ScriptedBank:
    """Confirms cards as a test wants; it alone sees their numbers."""

    answers: Callable[[str], bindings.CardAnswer] = _passes
    later: Callable[[str], bindings.CardAnswer] = _passes
    verified: list[tuple[str, bindings.FourFactors]] = field(default_factory=list)

    def verify(self, request: str, factors: bindings.FourFactors) -> bindings.CardAnswer:
        self.verified.append((request, factors))
        return self.answers(request)

    def query(self, request: str) -> bindings.CardAnswer:
        return self.later(request)


@dataclass(slots=True)
class Counter:
    """A shop whose payers are asked for proofs."""

    database: Database
    desk: ScriptedDesk
    gate: ScriptedGate
    phone: ScriptedPhone
    bank: ScriptedBank
    paying: Paying
    till: proofs.Till
    wall: SteppingClock

    def order(self, **changes: object) -> orders.Order:
        payer = orders.Payer(customer=ANN)
        new = an_order(**{"payer": payer, **changes})
        (made,) = self.database.transact(lambda unit: orders.create(unit, [new]))
        assert isinstance(made, orders.Order), made
        return made

    def bound(self, customer: UUID = ANN) -> bindings.Binding:
        """Bind a card to its end."""
        one = bindings.bind(
            self.till.codes, self.bank, customer, factors(), id=uuid4(), actor=f"party:{customer}"
        )
        actor = f"party:{customer}"
        bindings.send_bind_code(self.till.codes, one.id, customer, actor=actor)
        return bindings.confirm(self.till.codes, one.id, customer, self.phone.code, actor=actor)

    def pay_by(self, order: orders.Order, token: str, customer: UUID = ANN) -> Result:
        """Pay an order with a bound card, as far as that goes by itself."""
        payer = orders.Payer(customer=customer, instrument=token)
        how = Pay(attempt=uuid4(), method=orders.Method.QUICK_PAY)
        with self.database.reading() as connection:
            how = bindings.pay_by_token(
                connection,
                how,
                payer,
                amount_minor=order.amount_minor,
                currency=order.currency,
            )
        return self.paying.pay(order.id, how, actor="key:shop")

    def read(self, order: orders.Order) -> orders.History:
        with self.database.reading() as connection:
            return orders.read(connection, order.id)


def factors(**changes: str) -> bindings.FourFactors:
    """Return the four factors of Ann's card."""
    values = {"name": "安妮", "id_number": ID_NUMBER, "card_number": CARD, "phone": PHONE}
    return bindings.FourFactors(**{**values, **changes})


@contextmanager
def open_counter(database: Database, wall: SteppingClock) -> Iterator[Counter]:
    """Have a counter for a while; codes grow old by `wall`."""
    database.wall = wall
    open_shop(database)
    desk, gate, phone = ScriptedDesk(), ScriptedGate(), ScriptedPhone()
    with paying(database, desk, gate) as opened:
        codes = proofs.Codes(database, Keyring.for_tests(), phone)
        till = proofs.Till(codes, gate, opened, desk, ScriptedRouting(desk.channel.code))
        yield Counter(database, desk, gate, phone, ScriptedBank(), opened, till, wall)
