"""Who applies for credit in the tests: customers, a policy that judges, a bureau that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from steelyard.base import Database, Outcome, Question, UnitOfWork, Verdict
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller
from steelyard.cashflows import terms
from steelyard.credit import catalogue, origination, underwriting
from steelyard.credit.model.bureau import (
    BureauAnswer,
    Delivery,
    DeliveryState,
    Found,
    Report,
    Why,
)
from steelyard.decisions.model.decision import Asked
from steelyard.decisions.model.roster import Roster
from steelyard.decisions.service.engine import Engine
from steelyard.decisions.service.log import DecisionLog
from steelyard.decisions.service.owner import wanted_of
from steelyard.decisions.service.state import State
from steelyard.kernel import Refusal
from steelyard.ledger import AccountKind, NewAccount, open_accounts
from steelyard.parties import NewCustomer, PersonalField, consents, registry
from tests.conftest import Store
from tests.credit.lender import ANN, BOB, TOWN, House, open_house
from tests.credit.outside import id_number

T = TypeVar("T")
METHOD = terms.Method.EQUAL_INSTALMENT
CLEAN = Report(made_on=date(2026, 3, 1), accounts=4, score=700)


class PolicyGate:
    """The delivered policies in this process; every decision is written down before it is told."""

    def __init__(self, database: Database) -> None:
        roster = Roster.delivered()
        self._engine = Engine(roster, State(wanted_of(roster)))
        self._log = DecisionLog(database, holder="test")
        self._known: dict[tuple[str, str], Verdict] = {}
        self.asked = 0

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        (verdict,) = self.ask_all(scene, [Question(str(uuid4()), now, facts)])
        return verdict

    def ask_all(self, scene: str, questions: Sequence[Question]) -> tuple[Verdict, ...]:
        return tuple(self._verdict(scene, one) for one in questions)

    def _verdict(self, scene: str, question: Question) -> Verdict:
        known = self._known.get((scene, question.id))
        if known is not None:
            return known
        self.asked += 1
        at_ms = int(question.at.timestamp() * 1000)
        asked = Asked(scene=scene, id=question.id, at_ms=at_ms, fields=dict(question.facts))
        decision = self._engine.decide(asked, now_ms=at_ms)
        self._log.write([decision])
        verdict = self._known[scene, question.id] = Verdict(
            Outcome(decision.outcome),
            decision.cause,
            decision.reasons,
            decision.id,
            decision.limit_minor,
        )
        return verdict


@dataclass
class StubBureau:
    """A bureau in this process that says what it is told to."""

    found: Found = Found.HIT
    report: Report | None = CLEAN
    name: str = "stub"
    inquiries: int = 0

    def inquire(self, request: str, *, name: str, id_number: str, why: Why) -> BureauAnswer:
        self.inquiries += 1
        return BureauAnswer(
            request, self.found, "", "B1", name=name, id_number=id_number, report=self.report
        )

    def query(self, request: str) -> BureauAnswer:
        return BureauAnswer(request, Found.NOT_RECEIVED)

    def deliver(self, period: str, content: bytes) -> Delivery:
        return Delivery(DeliveryState.UNKNOWN)


@dataclass
class Counter:
    """Where customers apply: a lender's house with products, policies, a bureau."""

    house: House
    keyring: Keyring
    gate: PolicyGate
    bureau: StubBureau = field(default_factory=StubBureau)
    customers: int = 0

    @property
    def database(self) -> Database:
        return self.house.database

    def run(self, work: Callable[[UnitOfWork], T], actor: str = "system:test") -> T:
        return self.database.transact(work, actor=actor)

    def customer(self, *, level: int = 3, consented: bool = True) -> UUID:
        """Register a customer of an identity level, who consents to being assessed."""
        self.customers += 1
        told = {
            PersonalField.NAME: "张三丰",
            PersonalField.ID_NUMBER: id_number(self.customers),
            PersonalField.PHONE: f"+861540000{self.customers:04d}",
        }

        def register(unit: UnitOfWork) -> UUID:
            verdict = Verdict(Outcome.APPROVE, "no_policy@0")
            party = registry.register_customer(
                unit, self.keyring, NewCustomer(told), verdict=verdict
            ).id
            # What was proved is shortened here; the ladder itself is tested with the parties.
            unit.execute(
                "UPDATE parties.party SET identity_level = :level WHERE id = :id",
                level=level,
                id=party,
            )
            open_accounts(
                unit,
                TOWN,
                [wallet_of(party, f"wallet:{party}")],
                cause="rule.town@1",
            )
            if consented:
                consents.grant(unit, party, "credit_assessment", text_version=1, channel="app")
            return party

        return self.run(register)

    def facts(self, **more: Any) -> origination.Facts:
        return origination.Facts(
            **{
                "amount_minor": 1_000_000,
                "tenor": "12m",
                "method": METHOD,
                "purpose": "education",
                "income_minor": 1_500_000,
            }
            | more
        )

    def draft(
        self, party: UUID | None = None, product: str = "quick_cash", **more: Any
    ) -> origination.Application:
        new = origination.NewApplication(
            party=party or self.customer(),
            product=product,
            facts=self.facts(**more),
            origin=origination.Origin(device=f"d{self.customers}", ip=f"10.0.0.{self.customers}"),
        )
        return self.run(lambda unit: origination.draft(unit, new))

    def submitted(self, *args: Any, **more: Any) -> origination.Application:
        drafted = self.draft(*args, **more)
        self.run(
            lambda unit: origination.consent(
                unit, drafted.id, {"credit_assessment": 1}, channel="app"
            )
        )
        return self.run(lambda unit: origination.submit(unit, drafted.id))

    def checked(self, *args: Any, **more: Any) -> origination.Application:
        return self.check(self.submitted(*args, **more).id)

    def check(self, application: UUID) -> origination.Application:
        return underwriting.check(
            self.database, self.keyring, self.bureau, application, actor="system:test"
        )

    def decide(self, application: UUID) -> origination.Application:
        return underwriting.decide(self.database, self.gate, application, actor="system:test")

    def decided(self, *args: Any, **more: Any) -> origination.Application:
        return self.decide(self.checked(*args, **more).id)

    def offer(self, application: UUID) -> origination.Offer:
        with self.database.reading() as connection:
            return origination.offer_of(connection, application)

    def acceptance(self, application: UUID, **more: Any) -> origination.Acceptance:
        offer = self.offer(application)
        return origination.Acceptance(
            **{
                "offer": offer.id,
                "terms_hash": offer.hash,
                "text_version": offer.content["contract_text"]["version"],
                "wallet_account": f"wallet:{self.read(application).party}",
                "device": "d1",
                "ip": "10.0.0.1",
            }
            | more
        )

    def accept(self, application: UUID, **more: Any) -> origination.Application:
        acceptance = self.acceptance(application, **more)
        return self.run(
            lambda unit: origination.accept(unit, application, acceptance), f"party:{application}"
        )

    def wallet(self, party: UUID) -> int:
        return self.house.wallet(f"wallet:{party}")

    def read(self, application: UUID) -> origination.Application:
        with self.database.reading() as connection:
            return origination.read(connection, application)

    def steps(self, application: UUID) -> list[str]:
        with self.database.reading() as connection:
            return [str(one.after) for one in origination.steps_of(connection, application)]

    def recorded(self, subject: str) -> list[str]:
        with self.database.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT kind FROM events.log WHERE subject = %s ORDER BY sequence", (subject,)
            )
            return [row.kind.removeprefix("credit.") for row in rows]

    def refused(self, verb: Callable[..., Any], *args: Any, by: str = ANN, **more: Any) -> str:
        """Run a verb in a unit of work, and return the code by which it is refused."""
        with pytest.raises(Refusal) as refusal:
            self.run(lambda unit: verb(unit, *args, **more), by)
        refusal.value.sentence("en").index(" ")
        assert "?" not in refusal.value.sentence("zh").replace("？", "")
        return refusal.value.code

    def clock_days(self, days: int) -> None:
        """Let days pass on the clock and in the books."""
        self.house.clock.advance(timedelta(days=days))
        self.house.later(days)

    def approve(self, ask: Callable[[UnitOfWork], Any]) -> UUID:
        """Ask as Ann, say yes as Bob, and return the approval."""
        return self.house.approve(ask)


def wallet_of(party: UUID, code: str) -> NewAccount:
    return NewAccount(
        code=code,
        currency="CNY",
        kind=AccountKind.LIABILITY,
        owner=f"party:{party}",
        debit_limit=0,
    )


def staff(actor: str = BOB) -> Caller:
    return Caller(actor, frozenset({"credit.*"}))


def open_counter(store: Store) -> Counter:
    house = open_house(store)
    keyring = Keyring.for_tests()
    house.do(catalogue.install_delivered)
    house.do(origination.publish_texts)
    return Counter(house, keyring, PolicyGate(house.database))


@pytest.fixture
def counter(store: Store) -> Iterator[Counter]:
    opened = open_counter(store)
    yield opened
    opened.database.close()
