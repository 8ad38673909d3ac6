"""Degraded mode: who pays while nobody decides, how much of it, and what is said afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database, Outcome, Question, Verdict
from steelyard.base.http import Caller
from steelyard.decisions import asking
from steelyard.kernel import Refusal, SteppingClock
from steelyard.parties import approvals
from steelyard.payments import degraded
from steelyard.payments.http import degraded_router
from steelyard.payments.model.attempts import AttemptState
from steelyard.payments.model.channel import Method
from steelyard.payments.model.degraded import Allowance, DegradedSetting, Small
from steelyard.payments.model.orders import Payer
from steelyard.payments.service import orders
from steelyard.payments.service.lanes import PaymentsAreBusy
from steelyard.payments.service.paying import Pay, Paying
from tests.house import House
from tests.payments.till import SHOP, ScriptedDesk, an_order, open_shop, paying, sum_of_postings
from tests.payments.wiring import STAFF, Wire

MAKER = "staff:00000000-0000-7000-8000-00000000000a"
CHECKER = "staff:00000000-0000-7000-8000-00000000000b"
ANN, BEN = (UUID(f"00000000-0000-7000-8000-00000000000{n}") for n in (1, 2))
ON = DegradedSetting(
    is_on=True, most_minor=5_000, customer_payments=2, customer_minor=8_000, sum_minor=12_000
)


@dataclass
class MoodyGate:
    """Decides, or is away; remembers what it was asked."""

    is_away: bool = False
    outcome: Outcome = Outcome.APPROVE
    asked: list[Question] = field(default_factory=list)
    calls: int = 0

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        return self.ask_all(scene, [Question("1", now, facts)])[0]

    def ask_all(self, scene: str, questions: Sequence[Question]) -> tuple[Verdict, ...]:
        self.calls += 1
        if self.is_away:
            raise asking.OwnerIsAway
        self.asked += questions
        return tuple(Verdict(self.outcome, "pay@1", ("because",)) for _ in questions)


@dataclass
class Till:
    """A shop whose gate can go away; what it answers is the verdict of degraded mode."""

    database: Database
    moody: MoodyGate
    gate: degraded.DegradedGate
    is_slow: bool = False

    def pay(self, opened: Paying, amount: int = 1_000, customer: UUID | None = ANN) -> str:
        """Pay an order, and return the attempt's cause, or the code of what was refused."""
        new = an_order(amount_minor=amount, payer=Payer(customer=customer))
        self.database.transact(lambda unit: orders.create(unit, [new]))
        try:
            how = Pay(attempt=uuid4(), method=Method.WALLET)
            result = opened.pay(new.id, how, actor="party:test")
        except Refusal as refusal:
            return refusal.code
        assert result.attempt.state in (AttemptState.SUCCEEDED, AttemptState.INIT)
        return result.attempt.cause

    def rows(self, sql: str) -> list[Any]:
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.execute(sa.text(sql))]

    def facts(self) -> list[str]:
        kinds = self.rows(
            "SELECT kind FROM events.log WHERE kind LIKE 'payments.Degraded%' ORDER BY sequence"
        )
        return [kind.removeprefix("payments.Degraded") for (kind,) in kinds]


@pytest.fixture
def till(database: Database, clock: SteppingClock) -> Till:
    """Ann paid yesterday, Ben never."""
    open_shop(database)
    moody = MoodyGate()
    made = Till(database, moody, None)  # type: ignore[arg-type]
    made.gate = degraded.DegradedGate(
        database, moody, sender_is_slow=lambda: made.is_slow, hold_seconds=0
    )
    with paying(database, ScriptedDesk(), moody) as opened:
        assert made.pay(opened) == "pay@1"
    clock.advance(timedelta(days=2))
    return made


def switch(database: Database, setting: DegradedSetting = ON) -> int:
    asked = database.transact(lambda unit: degraded.request_change(unit, setting), actor=MAKER)
    by = Caller(CHECKER, frozenset({"*"}))
    database.transact(
        lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash),
        actor=CHECKER,
    )
    return database.transact(lambda unit: degraded.change(unit, setting, asked.id), actor=MAKER)


def test_without_a_setting_nobody_decides_is_nobody_pays(till: Till) -> None:
    till.moody.is_away = True
    with paying(till.database, ScriptedDesk(), till.gate) as opened:
        assert till.pay(opened) == "owner_is_away"
        switch(till.database)
        assert till.pay(opened) == "rule.degraded@1"


def test_small_payments_of_known_customers_pass_up_to_their_caps(till: Till) -> None:
    switch(till.database)
    till.moody.is_away = True
    with paying(till.database, ScriptedDesk(), till.gate) as opened:
        said = [till.pay(opened, amount) for amount in (5_001, 5_000, 3_001, 3_000, 1)]
        busy, passed = "payments_are_busy", "rule.degraded@1"
        assert said == [busy, passed, busy, passed, busy]
        assert till.pay(opened, 1, BEN) == busy
        assert till.pay(opened, 1, None) == busy
        till.moody.is_away = False
        assert till.pay(opened, 9_000, BEN) == "pay@1"
    assert till.facts() == ["SettingChanged", "Began", "Ended"]
    with till.database.reading() as connection:
        state = degraded.read_state(connection, till.database.now())
    assert [(one.why, one.is_on) for one in state.standings] == [
        (degraded.Why.OWNER_IS_AWAY, False)
    ]
    assert state.passes == {degraded.PassState.PASSED: (2, 8_000)}
    assert sum_of_postings(till.database) == 0


def test_in_one_batch_some_pass_and_the_others_are_busy(till: Till) -> None:
    switch(till.database)
    till.moody.is_away = True
    now = till.database.now()
    told = {"merchant": str(SHOP), "currency": "CNY"}
    questions = [
        Question(str(uuid4()), now, {**told, "customer": who, "amount_minor": amount})
        for who, amount in ((ANN, 100), (BEN, 100), (ANN, 200))
    ]
    with pytest.raises(PaymentsAreBusy):
        till.gate.ask_all("payment", questions)
    assert till.gate.ask_all("payment", questions[:1])[0].cause == "rule.degraded@1"
    with pytest.raises(PaymentsAreBusy):
        till.gate.ask_all("payment", questions[1:2])
    assert till.gate.ask_all("payment", questions[2:])[0].reasons == ("degraded",)
    # Asked again, what passed passes and is counted once.
    assert till.rows("SELECT count(*) FROM payments.degraded_pass") == [(2,)]
    with pytest.raises(asking.OwnerIsAway):
        till.gate.ask_all("loan_application", questions)


def test_what_passed_is_judged_as_of_then_and_a_no_opens_a_case(
    till: Till, clock: SteppingClock
) -> None:
    switch(till.database)
    till.moody.is_away = True
    with paying(till.database, ScriptedDesk(), till.gate) as opened:
        assert till.pay(opened) == "rule.degraded@1"
    passed_at = till.database.now()
    never_begun = {"customer": ANN, "merchant": SHOP, "currency": "CNY", "amount_minor": 5}
    till.gate.ask_all("payment", [Question(str(uuid4()), passed_at, never_begun)])
    clock.advance(timedelta(minutes=5))
    assert degraded.judge_again(till.database, till.moody) == 0
    till.moody.is_away, till.moody.outcome = False, Outcome.DECLINE
    before = len(till.moody.asked)
    assert degraded.judge_again(till.database, till.moody) == 2
    assert degraded.judge_again(till.database, till.moody) == 0
    (asked,) = till.moody.asked[before:]
    assert asked.at == passed_at
    assert asked.facts["amount_minor"] == 1_000
    rows = till.rows("SELECT state, case_id IS NOT NULL FROM payments.degraded_pass ORDER BY 1")
    assert rows == [("disagreed", True), ("unused", False)]
    assert till.facts()[-1] == "PaymentJudged"


def test_a_slow_sender_lets_small_payments_pass_without_a_proof(till: Till) -> None:
    till.moody.outcome = Outcome.STEP_UP
    till.is_slow = True
    with paying(till.database, ScriptedDesk(), till.gate) as opened:
        assert till.pay(opened) == "pay@1"  # off: it waits for its proof
        switch(till.database)
        assert till.pay(opened) == "rule.degraded@1"
        assert till.pay(opened, 6_000) == "payments_are_busy"
        till.is_slow = False
        assert till.pay(opened) == "pay@1"
    assert till.facts() == ["SettingChanged", "Began", "Ended"]


def test_while_it_is_away_the_owner_is_left_alone_for_a_moment(till: Till) -> None:
    switch(till.database)
    seconds = [0.0]
    till.moody.is_away = True
    gate = degraded.DegradedGate(till.database, till.moody, monotonic=lambda: seconds[0])
    question = Question(str(uuid4()), till.database.now(), {})
    till.moody.calls = 0
    for now in (0.0, 0.5, 0.9, 1.1):
        seconds[0] = now
        with pytest.raises(PaymentsAreBusy):
            gate.ask_all("payment", [question])
    assert till.moody.calls == 2


def test_over_the_wire_it_is_changed_by_two_and_shown(till: Till) -> None:
    house = House(till.database, STAFF)
    wire = Wire(house, degraded_router)
    assert wire.get("/degraded")["version"] == 0
    body = asdict(ON)
    asked = wire.post("/degraded/change/request", body)
    assert asked.status_code == 200, asked.text
    early = wire.post("/degraded/change", body | {"approval": asked.json()["approval"]})
    assert early.status_code == 409, early.text
    by = Caller(CHECKER, frozenset({"*"}))
    id, shown = UUID(asked.json()["approval"]), asked.json()["shown_hash"]
    till.database.transact(
        lambda unit: approvals.approve(unit, id, by=by, shown_hash=shown), actor=CHECKER
    )
    done = wire.post("/degraded/change", body | {"approval": str(id)}).json()
    assert (done["version"], done["setting"]["is_on"]) == (1, True)
    house.caller = Caller("key:shop", frozenset({"payments.read"}), str(SHOP))
    assert wire.get("/degraded")["code"] == "not_entitled"
    with pytest.raises(degraded.DegradedSettingIsMalformed):
        switch(till.database, DegradedSetting(is_on=True, most_minor=5))


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from([ANN, BEN]), st.booleans())),
    st.integers(0, 50),
    st.integers(0, 5),
    st.integers(0, 200),
)
def test_no_allowance_is_ever_exceeded(
    asked: list[tuple[int, UUID, bool]], most: int, many: int, sum_minor: int
) -> None:
    setting = DegradedSetting(
        is_on=True, most_minor=most, customer_payments=many, customer_minor=100, sum_minor=sum_minor
    )
    allowance = Allowance(setting, 0)
    passed: list[tuple[int, UUID]] = []
    for amount, customer, is_known in asked:
        small = Small(
            attempt=uuid4(),
            customer=customer,
            merchant=SHOP,
            amount_minor=amount,
            currency="CNY",
            at=datetime(2026, 1, 1, tzinfo=UTC),
            facts={},
        )
        if allowance.take(small, is_known=is_known):
            assert is_known
            assert amount <= most
            passed.append((amount, customer))
    assert sum(amount for amount, _ in passed) <= sum_minor
    for customer in (ANN, BEN):
        own = [amount for amount, who in passed if who == customer]
        assert len(own) <= many
        assert sum(own) <= 100
