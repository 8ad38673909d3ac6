"""Those who take merchants on: staff who make and check, a gate that says what it is told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID

import pytest
import sqlalchemy as sa
from stdnum.cn import uscc

from steelyard.base import Database, Outcome, Question, Settings, UnitOfWork, Verdict
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller
from steelyard.parties import NewLegalPerson, approvals, registry
from steelyard.payments import applications, apps, merchants, settlement_accounts
from steelyard.payments.model.channel import Method
from steelyard.payments.model.orders import Mode

T = TypeVar("T")
MAKER = "staff:00000000-0000-7000-8000-00000000000a"
CHECKER = "staff:00000000-0000-7000-8000-00000000000b"
ALL = frozenset({"*"})
NUMBER = "6222020012345678912"


def credit_code(n: int = 0, kind: str = "91") -> str:
    body = f"{kind}310000{n:09d}"
    return body + uscc.calc_check_digit(body)


def a_merchant(n: int = 0, **changes: Any) -> applications.NewMerchant:
    """A tea shop as it applies, with nothing wanting."""
    owner = applications.Owner(name="陆羽", number=f"E{n:08d}", share_bp=10_000, controls=True)
    given: dict[str, Any] = {
        "legal_name": f"茶叶（上海）有限公司{n}",
        "number": credit_code(n),
        "industry": "5499",
        "licence_no": f"SH-{n}",
        "owners": (owner,),
        "monthly_minor": 30_000_000,
        "methods": tuple(Method),
        "phone": "13800000000",
    }
    return applications.NewMerchant(**{**given, **changes})


def an_account(n: int = 0, **changes: Any) -> settlement_accounts.NewSettlementAccount:
    given: dict[str, Any] = {
        "holder": f"茶叶(上海)有限公司{n}",
        "number": NUMBER,
        "bank": "102290000014",
    }
    return settlement_accounts.NewSettlementAccount(**{**given, **changes})


@dataclass(slots=True)
class ToldGate:
    """A gate that says what a test wants, and remembers what it was asked."""

    says: Mapping[str, Verdict] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        self.asked.append((scene, facts))
        return self.says.get(scene, Verdict(Outcome.APPROVE, "no_policy@0"))

    def ask_all(self, scene: str, questions: Sequence[Question]) -> tuple[Verdict, ...]:
        return tuple(self.ask(scene, q.facts, q.at) for q in questions)

    def tell(self, outcome: Outcome, *reasons: str) -> None:
        self.says = {"merchant_application": Verdict(outcome, "merchants@3", reasons)}


@dataclass(slots=True)
class Agency:
    database: Database
    settings: Settings
    keyring: Keyring = field(default_factory=Keyring.for_tests)
    gate: ToldGate = field(default_factory=ToldGate)

    def run(self, work: Any, actor: str = MAKER) -> Any:
        return self.database.transact(work, actor=actor)

    def apply(
        self,
        new: applications.NewMerchant | None = None,
        account: settlement_accounts.NewSettlementAccount | None = None,
        actor: str = MAKER,
    ) -> applications.Application:
        return applications.apply(
            self.database,
            self.keyring,
            self.gate,
            new or a_merchant(),
            account or an_account(),
            actor=actor,
        )

    def merchant(self, id: UUID) -> merchants.Merchant:
        with self.database.reading() as connection:
            return merchants.read(connection, id)

    def taken_on(self, n: int = 0, **changes: Any) -> UUID:
        """A merchant with a contract in force, without the questions."""

        def work(unit: UnitOfWork) -> UUID:
            new = NewLegalPerson(f"茶叶（上海）有限公司{n}", credit_code(n))
            party = registry.register_merchant(
                unit, self.keyring, new, verdict=Verdict(Outcome.APPROVE, "no_policy@0")
            )
            merchants.admit(unit, party.id, name=f"Tea {n}", cause="rule.test@1", **changes)
            return party.id

        return self.run(work)  # type: ignore[no-any-return]

    def app(self, merchant: UUID, mode: Mode = Mode.SANDBOX) -> apps.App:
        return self.run(  # type: ignore[no-any-return]
            lambda unit: apps.open_app(unit, merchant, mode=mode, name="Till")
        )

    def approved(self, request: Any) -> UUID:
        """What `request` asks for, with the yes of a second person."""
        asked: approvals.Approval = self.run(request)
        by = Caller(CHECKER, ALL)
        self.run(
            lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash),
            CHECKER,
        )
        return asked.id

    def rows(self, sql: str, **values: Any) -> list[Any]:

        with self.database.reading() as connection:
            return list(connection.execute(sa.text(sql), values).all())

    def facts(self, merchant: UUID) -> list[str]:
        found = self.rows(
            "SELECT kind FROM events.log WHERE subject = :subject ORDER BY sequence",
            subject=f"merchant:{merchant}",
        )
        return [row.kind.removeprefix("payments.") for row in found]


@pytest.fixture
def agency(database: Database, tmp_path: Any) -> Agency:
    return Agency(database, Settings(home=tmp_path))


def on(text: str) -> date:
    return date.fromisoformat(text)
