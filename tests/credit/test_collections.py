"""Collections: strategies within hours and caps, the run of a day, promises, plans, the board."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from steelyard.base import Database
from steelyard.base.audit import read_audit
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller
from steelyard.cases import CaseState
from steelyard.cases import reading as case_reading
from steelyard.cashflows import events
from steelyard.cli.main import app as cli
from steelyard.credit import loans
from steelyard.credit.model.promise import Promise, PromiseState, judge, paid_for
from steelyard.credit.model.strategy import (
    RULES,
    STRATEGIES,
    Made,
    Situation,
    Step,
    Stop,
    check_contact,
    forbidden,
    next_acts,
    rules_on,
    strategy_of,
    wants_case,
)
from steelyard.credit.providers.gateway_http import HttpMessageGateway
from steelyard.credit.service import (
    collecting,
    collections,
    complaints,
    hardship,
    messages,
    notices,
    promises,
)
from steelyard.experiments import designs, observations
from steelyard.kernel import Refusal
from steelyard.parties import approvals
from tests.conftest import Store
from tests.credit.lender import ANN, BOB, House, open_house
from tests.credit.outside import PHONE, Outside
from tests.credit.outside import enrol as enrol
from tests.credit.outside import gateway_process as gateway_process
from tests.credit.outside import keyring as keyring
from tests.credit.outside import the_gateway as the_gateway

CHANNEL = messages.Channel
RESULT = collections.ContactResult


@pytest.fixture
def house(store: Store) -> Iterator[House]:
    opened = open_house(store)
    yield opened
    opened.database.close()


@pytest.fixture
def database(house: House) -> Database:
    """The database of the house, for the customers that are enrolled."""
    return house.database


@dataclass(slots=True)
class Desk:
    """Where one late loan is collected."""

    house: House
    keyring: Keyring
    gateway: HttpMessageGateway
    party: UUID
    loan: UUID

    def late(self, days: int) -> None:
        """Let the loan be so many days past due, at ten in the morning of the customer."""
        due = self.house.read(self.loan).standing.rows[0].due_on  # type: ignore[union-attr]
        self.house.to(due + timedelta(days=days))
        self.house.do(loans.roll, self.loan)
        self.at(10)

    def at(self, hour: int) -> None:
        """Let the business clock show an hour of the business date, in Shanghai."""
        on = self.house.today
        wanted = datetime(on.year, on.month, on.day, hour, tzinfo=ZoneInfo("Asia/Shanghai"))
        self.house.clock.advance(wanted.astimezone(UTC) - self.house.clock.now())

    def collect(self) -> collecting.Collected:
        return collecting.collect(self.house.database, self.keyring, self.gateway)

    def contact(self, **more: Any) -> collections.Contact:
        new = collections.NewContact(**{"loan": self.loan, "channel": CHANNEL.CALL} | more)
        return collections.contact(self.house.database, self.keyring, self.gateway, new, actor=ANN)

    def contacts(self) -> list[collections.Contact]:
        with self.house.database.reading() as connection:
            return list(collections.contacts_of(connection, self.nr))

    def board(self) -> list[collections.OnBoard]:
        with self.house.database.reading() as connection:
            return list(collections.board(connection))

    @property
    def nr(self) -> int:
        return self.house.read(self.loan).nr

    @property
    def overdue(self) -> int:
        kept = self.house.read(self.loan).kept
        assert kept is not None
        return kept.overdue_minor


@pytest.fixture
def desk(
    house: House, keyring: Keyring, the_gateway: HttpMessageGateway, enrol: Callable[..., UUID]
) -> Desk:
    party = enrol()
    return Desk(house, keyring, the_gateway, party, house.lend(party=party))


def _refused(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refusal:
        call()
    refusal.value.sentence("en").index(" ")
    return refusal.value.code


# The pure part

SHANGHAI = ZoneInfo("Asia/Shanghai")


def _now(hour: int, minute: int = 0, day: int = 2) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=SHANGHAI).astimezone(UTC)


def _late(dpd: int = 4, **more: Any) -> Situation:
    given: dict[str, Any] = {"overdue_minor": 100, "zone": "Asia/Shanghai"}
    return Situation(loan=7, dpd=dpd, **given | more)


_MADE = st.lists(
    st.builds(
        Made,
        st.datetimes(datetime(2026, 2, 20), datetime(2026, 3, 2)).map(
            lambda at: at.replace(tzinfo=UTC)
        ),
        st.sampled_from(list(CHANNEL)),
    ),
    max_size=12,
).map(tuple)
_SITUATIONS = st.builds(
    Situation,
    loan=st.just(7),
    dpd=st.integers(0, 120),
    overdue_minor=st.integers(0, 10**6),
    zone=st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    made=_MADE,
    stops=st.frozensets(st.sampled_from(list(Stop)), max_size=1),
    promised_until=st.none() | st.dates(date(2026, 2, 20), date(2026, 3, 10)),
)


@given(
    _SITUATIONS,
    st.sampled_from(sorted(STRATEGIES)),
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 3)).map(lambda at: at.replace(tzinfo=UTC)),
)
def test_a_strategy_never_plans_what_would_be_refused(
    situation: Situation, name: str, now: datetime
) -> None:
    acts = next_acts(situation, strategy_of(name), now)
    law = rules_on(now.astimezone(ZoneInfo(situation.zone)).date())
    local = now.astimezone(ZoneInfo(situation.zone))
    for act in acts:
        assert forbidden(situation, act.channel, now) is None
        assert law.opens <= local.time() < law.closes
    if situation.stops or situation.dpd == 0 or situation.overdue_minor == 0:
        assert acts == ()
    today = [m for m in situation.made if m.at.astimezone(local.tzinfo).date() == local.date()]
    assert not acts or len(today) + len(acts) <= law.all_channels.day
    assert len({act.key for act in acts}) == len(acts)
    # What was planned counts as taken: planned again it is empty.
    after = Situation(
        loan=7,
        dpd=situation.dpd,
        overdue_minor=situation.overdue_minor,
        zone=situation.zone,
        made=(*situation.made, *(Made(now, act.channel) for act in acts)),
        done=frozenset(act.key for act in acts),
        stops=situation.stops,
        promised_until=situation.promised_until,
    )
    assert next_acts(after, strategy_of(name), now) == ()


@pytest.mark.parametrize(
    ("hour", "minute", "allowed"),
    [(7, 59, False), (8, 0, True), (20, 59, True), (21, 0, False), (0, 0, False)],
)
def test_hours_are_those_of_the_customers_clock(hour: int, minute: int, allowed: bool) -> None:
    now = _now(hour, minute)
    assert (forbidden(_late(), CHANNEL.SMS, now) is None) is allowed
    if not allowed:
        assert _refused(lambda: check_contact(_late(), CHANNEL.SMS, now)) == (
            "contact_is_outside_hours"
        )
    # The same instant is another hour elsewhere.
    berlin = forbidden(_late(zone="Europe/Berlin"), CHANNEL.SMS, _now(8))
    assert berlin is not None
    assert berlin.facts["local"] == "01:00"


def test_caps_count_the_day_and_seven_days_of_all_loans() -> None:
    now = _now(10)
    today = (Made(_now(9), CHANNEL.CALL), Made(_now(9, 30), CHANNEL.CALL))
    assert forbidden(_late(made=today[:1]), CHANNEL.CALL, now) is None
    third = forbidden(_late(made=today), CHANNEL.CALL, now)
    assert third is not None
    assert (third.code, third.facts["period"]) == ("contact_is_too_often", "day")
    assert forbidden(_late(made=today), CHANNEL.SMS, now) is None
    days = tuple(Made(now - timedelta(days=n, hours=1), CHANNEL.CALL) for n in range(1, 6))
    week = forbidden(_late(made=days), CHANNEL.CALL, now)
    assert week is not None
    assert week.facts["period"] == "week"
    # The oldest of them is seven days old a moment later.
    later = now + timedelta(days=2, hours=-1)
    assert forbidden(_late(made=days), CHANNEL.CALL, later) is None


def test_the_law_of_the_day_holds_not_todays() -> None:
    assert [one.name for one in RULES] == ["house@1", "house@2"]
    assert all(a.from_on < b.from_on for a, b in pairwise(RULES))
    made = (Made(datetime(2024, 5, 6, 1, tzinfo=UTC), CHANNEL.SMS),)
    in_2024 = datetime(2024, 5, 6, 2, tzinfo=UTC)
    assert forbidden(_late(made=made), CHANNEL.SMS, in_2024) is None
    in_2026 = datetime(2026, 5, 6, 2, tzinfo=UTC)
    made = (Made(datetime(2026, 5, 6, 1, tzinfo=UTC), CHANNEL.SMS),)
    assert forbidden(_late(made=made), CHANNEL.SMS, in_2026) is not None


@pytest.mark.parametrize("stop", list(Stop))
def test_a_stop_stands_above_hours_and_caps(stop: Stop) -> None:
    situation = _late(40, stops=frozenset({stop}))
    assert _refused(lambda: check_contact(situation, CHANNEL.SMS, _now(3))) == "contact_is_stopped"
    assert next_acts(situation, strategy_of("steady"), _now(10)) == ()
    people = wants_case(situation, strategy_of("steady"))
    assert people is (stop in (Stop.HARDSHIP, Stop.DISPUTE))


def test_a_missed_day_is_not_made_up_for() -> None:
    step = Step("sms", 4, 30, CHANNEL.SMS, "overdue", 7)
    assert [step.key(dpd) for dpd in (3, 4, 10, 11, 18)] == [
        None, "sms#0", "sms#0", "sms#1", "sms#2",
    ]  # fmt: skip
    with pytest.raises(AssertionError):
        collections.Strategy(name="twice", version=1, en="", zh="", steps=(step, step))
    assert _refused(lambda: strategy_of("nothing")) == "strategy_is_unknown"


GIVEN = Promise(
    id=UUID(int=1), nr=7, party=UUID(int=2), amount_minor=100, made_on=date(2026, 3, 1),
    by_on=date(2026, 3, 5), events=3,
)  # fmt: skip


def test_payments_alone_decide_what_became_of_a_promise() -> None:
    def paid(seq: int, day: int, amount: int) -> events.Repaid:
        return events.Repaid(seq=seq, on=date(2026, 3, day), amount_minor=amount)

    before, inside, late = paid(3, 2, 50), paid(4, 5, 60), paid(5, 6, 70)
    assert paid_for(GIVEN, [before, inside, late]) == 60
    undone = events.Reversed(seq=6, on=date(2026, 3, 6), of=4)
    assert paid_for(GIVEN, [undone, late, inside, before]) == 0
    waived = events.Waived(seq=4, on=date(2026, 3, 2), interest_minor=100)
    assert paid_for(GIVEN, [waived]) == 0


@given(st.integers(0, 200), st.integers(0, 200), st.dates(date(2026, 3, 1), date(2026, 3, 9)))
def test_more_paid_never_makes_a_promise_worse(less: int, more: int, on: date) -> None:
    rank = [PromiseState.BROKEN, PromiseState.PARTLY, PromiseState.OPEN, PromiseState.KEPT]
    low, high = sorted((less, more))
    assert rank.index(judge(GIVEN, low, on)) <= rank.index(judge(GIVEN, high, on))


# The run


def test_a_late_loan_is_reminded_once_and_cured(desk: Desk, gateway_process: Outside) -> None:
    assert desk.collect() == collecting.Collected()
    desk.late(1)
    assert desk.collect() == collecting.Collected(started=1, planned=1, sent=1)
    assert desk.collect() == collecting.Collected()
    (made,) = desk.contacts()
    assert (made.channel, made.step, made.result) == (CHANNEL.APP, "first_app#0", None)
    sent: Any = gateway_process.get("/outbox", to=f"party:{desk.party}")
    assert "已逾期 1 天" in sent[-1]["text"]
    with desk.house.database.reading() as connection:
        (message,) = messages.messages_of(connection, desk.party)
    messages.poll(desk.house.database, desk.gateway, message.id, actor="system:test")
    assert desk.contacts()[0].result is RESULT.DELIVERED
    (shown,) = desk.board()
    assert (shown.dpd, shown.contacts, shown.episode.strategy) == (1, 1, "steady")
    desk.house.give(50_000)
    desk.house.pay(desk.loan, desk.overdue)
    assert desk.collect().ended == 1
    assert desk.board() == []


def test_nothing_goes_out_at_night_and_a_planned_one_is_void_by_then(desk: Desk) -> None:
    desk.late(4)
    desk.at(22)
    assert desk.collect() == collecting.Collected(started=1)
    desk.at(20)
    planned = collecting.collect(desk.house.database, desk.keyring, None)
    assert (planned.planned, planned.sent) == (1, 0)
    desk.at(23)
    assert desk.collect().sent == 0
    assert [one.result for one in desk.contacts()] == [RESULT.VOID]


def test_two_loans_of_one_customer_share_the_caps(desk: Desk, gateway_process: Outside) -> None:
    other = desk.house.lend(party=desk.party)
    desk.late(4)
    desk.house.do(loans.roll, other)
    done = desk.collect()
    # One text message a day, whichever loan it is about.
    assert (done.started, done.planned) == (2, 1)
    assert len(desk.board()) == 2


def test_whoever_has_no_address_is_not_reached_and_the_run_goes_on(
    desk: Desk, enrol: Callable[..., UUID]
) -> None:
    nameless = enrol(phone=None, id_number=None)
    other = desk.house.lend(party=nameless)
    desk.late(4)
    desk.house.do(loans.roll, other)
    done = desk.collect()
    assert (done.planned, done.sent) == (2, 1)
    with desk.house.database.reading() as connection:
        (made,) = collections.contacts_of(connection, desk.house.read(other).nr)
    assert made.result is RESULT.FAILED


def test_from_a_month_on_people_work_it_until_it_is_cured(desk: Desk) -> None:
    desk.late(31)
    done = desk.collect()
    assert (done.cases, done.planned) == (1, 2)
    assert desk.collect().cases == 0
    (shown,) = desk.board()
    assert shown.episode.case_id is not None
    with desk.house.database.reading() as connection:
        case = case_reading.read_case(connection, shown.episode.case_id)
    assert (case.kind, case.state) == ("credit.collection", CaseState.OPEN)
    desk.house.give(100_000)
    desk.house.pay(desk.loan, desk.overdue)
    desk.collect()
    with desk.house.database.reading() as connection:
        closed = case_reading.read_case(connection, shown.episode.case_id)
    assert closed.closing is not None
    assert closed.closing.outcome == "cured"


def test_the_arm_of_an_experiment_is_the_strategy_and_it_is_told(
    desk: Desk, enrol: Callable[..., UUID]
) -> None:
    house = desk.house
    house.run(lambda unit: designs.draft_experiment(unit, collecting.draft_strategy_test()), ANN)
    asked = house.run(lambda unit: designs.request_start(unit, collecting.STRATEGY_TEST, 1), ANN)
    checker = Caller(BOB, frozenset({"experiments.*"}))
    house.run(
        lambda unit: approvals.approve(unit, asked.id, by=checker, shown_hash=asked.shown_hash),
        BOB,
    )
    house.run(
        lambda unit: designs.start_experiment(unit, collecting.STRATEGY_TEST, 1, approval=asked.id),
        ANN,
    )
    parties = [desk.party, *(enrol(id_number=None) for _ in range(7))]
    others = [house.lend(party=party) for party in parties[1:]]
    desk.late(1)
    for one in others:
        house.do(loans.roll, one)
    assert desk.collect().started == 8
    strategies = {one.episode.party: one.episode.strategy for one in desk.board()}
    with house.database.reading() as connection:
        arms = observations.assign(
            connection, collecting.STRATEGY_TEST, map(str, parties), now=house.clock.now()
        )
    assert {UUID(a.unit): a.arm for a in arms} == strategies
    assert set(strategies.values()) == {"steady", "early_call"}
    # One pays within the month, the others do not.
    house.give(50_000)
    house.pay(desk.loan, desk.overdue)
    assert (desk.collect().ended, desk.collect().told) == (1, 0)
    desk.late(32)
    for one in others:
        house.do(loans.roll, one)
    assert desk.collect().told == 7
    with house.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT value FROM experiments.outcome").scalars().all()
    assert sorted(rows) == [0] * 7 + [1]


def test_an_outage_of_the_gateway_loses_no_contact(desk: Desk, gateway_process: Outside) -> None:
    desk.late(4)
    gateway_process.script({"verb": "send", "behaviour": "reject"})
    assert desk.collect().sent == 1
    with desk.house.database.reading() as connection:
        (message,) = messages.messages_of(connection, desk.party)
    assert message.state.value == "unknown"
    again = messages.poll(desk.house.database, desk.gateway, message.id, actor="system:test")
    assert again.state.value == "void"
    assert desk.contacts()[0].result is RESULT.VOID


# Contacts of people


def test_a_contact_is_refused_in_the_open(desk: Desk) -> None:
    desk.late(4)
    desk.collect()
    desk.at(22)
    assert _refused(desk.contact) == "contact_is_outside_hours"
    (refused, _) = desk.contacts()
    assert (refused.refused, refused.actor) == ("contact_is_outside_hours", ANN)
    with desk.house.database.reading() as connection:
        trail = read_audit(connection, subject=f"party:{desk.party}").items
    assert any('"refused":"contact_is_outside_hours"' in line.detail for line in trail)
    # What was refused uses up no cap, and the customer may call at any hour.
    came = desk.contact(is_ours=False, result=RESULT.REACHED)
    assert came.result is RESULT.REACHED
    desk.at(11)
    assert desk.contact(result=RESULT.NO_ANSWER).result is RESULT.NO_ANSWER
    assert desk.contact(template="overdue").result is None
    assert _refused(desk.contact) == "contact_is_too_often"


def test_nobody_is_contacted_about_a_loan_that_is_not_late(desk: Desk) -> None:
    assert _refused(desk.contact) == "episode_is_unknown"
    desk.loan = uuid4()
    assert _refused(desk.contact) == "loan_is_unknown"


@pytest.mark.parametrize(
    ("result", "stop"),
    [(RESULT.HARDSHIP, Stop.HARDSHIP), (RESULT.DISPUTES, Stop.DISPUTE),
     (RESULT.DECEASED, Stop.DECEASED)],
)  # fmt: skip
def test_what_is_said_on_the_phone_stops_the_contacts(
    desk: Desk, result: RESULT, stop: Stop
) -> None:
    desk.late(15)
    desk.collect()
    made = desk.contact(is_ours=False)
    desk.house.do(collections.record_result, made.id, result)
    assert _refused(desk.contact) == "contact_is_stopped"
    assert desk.house.refused(collections.record_result, made.id, result) == "contact_has_a_result"
    refused = desk.house.refused(collections.record_result, uuid4(), result)
    assert refused == "collection_contact_is_unknown"
    desk.late(22)
    assert desk.collect().planned == 0
    with desk.house.database.reading() as connection:
        (mark,) = collections.stops_of(connection, desk.party)
    assert mark.kind is stop
    assert (mark.nr is None) is (stop is not Stop.DISPUTE)
    desk.house.do(collections.lift, mark.id, reason="mistake")
    assert desk.house.refused(collections.lift, mark.id, reason="again") == "stop_is_unknown"
    assert desk.collect().planned > 0


# Promises


def test_a_promise_is_waited_for_and_judged_by_what_was_paid(desk: Desk) -> None:
    house = desk.house
    desk.late(5)
    desk.collect()
    half = desk.overdue // 2
    by_on = house.today + timedelta(days=6)
    late = {"amount_minor": half, "by_on": by_on + timedelta(days=60)}
    assert house.refused(promises.promise, desk.loan, **late) == "promise_is_out_of_range"
    given = house.do(promises.promise, desk.loan, amount_minor=half, by_on=by_on)
    assert (
        house.refused(promises.promise, desk.loan, amount_minor=1, by_on=by_on) == "promise_is_open"
    )
    desk.late(11)
    assert desk.collect().planned == 0
    assert desk.board()[0].promised_minor == half
    house.give(50_000)
    house.pay(desk.loan, half - 1)
    assert desk.collect().judged == 0
    house.pay(desk.loan, 1)
    assert desk.collect().judged == 1
    with house.database.reading() as connection:
        kept = promises.read_promise(connection, given.id)
        assert promises.promises_of(connection, desk.nr) == (kept,)
    assert (kept.state.value, kept.paid_minor, kept.judged_on) == ("kept", half, house.today)


@pytest.mark.parametrize(("paid", "state"), [(0, "broken"), (100, "partly")])
def test_a_promise_that_is_not_kept_is_known_the_day_after(
    desk: Desk, paid: int, state: str
) -> None:
    house = desk.house
    desk.late(5)
    desk.collect()
    given = house.do(promises.promise, desk.loan, amount_minor=1_000, by_on=house.today)
    house.give(50_000)
    if paid:
        house.pay(desk.loan, paid)
    assert desk.collect().judged == 0
    desk.late(6)
    assert desk.collect().judged == 1
    with house.database.reading() as connection:
        assert promises.read_promise(connection, given.id).state.value == state
    assert house.refused(promises.withdraw, given.id) == "promise_is_unknown"
    again = house.do(promises.promise, desk.loan, amount_minor=500, by_on=house.today)
    assert house.do(promises.withdraw, again.id).state.value == "withdrawn"


# Plans


def _approve(house: House, approval: UUID) -> None:
    with house.database.reading() as connection:
        asked = approvals.read_approval(connection, approval)
    checker = Caller(BOB, frozenset({"credit.*"}))
    house.run(
        lambda unit: approvals.approve(unit, approval, by=checker, shown_hash=asked.shown_hash),
        BOB,
    )


PLAN = hardship.PlanKind


@pytest.mark.parametrize("kind", list(PLAN))
def test_a_plan_is_proposed_granted_by_another_and_ends_the_lateness(
    desk: Desk, kind: PLAN
) -> None:
    house = desk.house
    desk.late(20)
    desk.collect()
    soon = house.today + timedelta(days=30)
    plan = {
        PLAN.RE_AGE: hardship.Plan(kind=PLAN.RE_AGE, instalments=18, first_due_on=soon),
        PLAN.EXTEND: hardship.Plan(kind=PLAN.EXTEND, instalments=6),
        PLAN.PAUSE: hardship.Plan(kind=PLAN.PAUSE, until=soon),
    }[kind]
    shown = house.do(hardship.preview, desk.loan, plan)
    assert not shown.is_done
    proposed = house.run(
        lambda unit: hardship.propose(unit, desk.loan, plan, reason="lost_work"), ANN
    )
    assert house.refused(hardship.propose, desk.loan, plan, reason="again") == "plan_is_proposed"
    assert _refused(desk.contact) == "contact_is_stopped"
    assert house.refused(hardship.grant, proposed.id) == "approval_is_not_open"
    _approve(house, proposed.approval)
    effect = house.do(hardship.grant, proposed.id)
    assert effect.is_done
    assert effect.after.rows == shown.after.rows
    assert house.refused(hardship.grant, proposed.id) == "plan_is_settled"
    with house.database.reading() as connection:
        assert collections.stops_of(connection, desk.party) == ()
        (kept,) = hardship.plans_of(connection, desk.nr)
    assert (kept.state.value, kept.plan) == ("granted", plan)
    if kind is PLAN.RE_AGE:
        assert desk.overdue == 0
        assert desk.collect().ended == 1
    house.agree()


def test_a_payment_in_between_makes_another_plan_of_it(desk: Desk) -> None:
    house = desk.house
    desk.late(20)
    desk.collect()
    plan = hardship.Plan(kind=PLAN.EXTEND, instalments=6)
    proposed = house.run(lambda unit: hardship.propose(unit, desk.loan, plan, reason="ill"), ANN)
    _approve(house, proposed.approval)
    house.give(50_000)
    house.pay(desk.loan, 100)
    assert house.refused(hardship.grant, proposed.id) == "approval_is_for_something_else"
    assert house.do(hardship.drop, proposed.id).state.value == "dropped"
    assert house.refused(hardship.drop, uuid4()) == "plan_is_unknown"
    assert desk.contact(result=RESULT.REACHED).result is RESULT.REACHED
    assert _refused(lambda: hardship.Plan(kind=PLAN.PAUSE, instalments=3)) == "plan_is_malformed"


def test_the_phone_number_stands_in_no_table_of_ours(desk: Desk) -> None:
    desk.late(4)
    desk.collect()
    with desk.house.database.reading() as connection:
        for table in ("contact", "message", "message_receipt", "collection_episode"):
            rows = connection.exec_driver_sql(f"SELECT t::text FROM credit.{table} t").scalars()
            assert all(PHONE not in row for row in rows)


# Notices, and what happens when things happen at once or not to the end


def test_customers_are_told_of_their_own_matters_once(desk: Desk) -> None:
    house = desk.house

    def tell() -> int:
        return notices.send_notices(house.database, desk.keyring, desk.gateway)

    def told() -> list[str]:
        with house.database.reading() as connection:
            found = messages.messages_of(connection, desk.party)
        return sorted(one.template for one in found)

    assert tell() == 0
    desk.late(-3)
    assert (tell(), tell(), told()) == (1, 0, ["due_soon"])
    desk.late(5)
    desk.collect()
    house.do(promises.promise, desk.loan, amount_minor=500, by_on=house.today)
    kind = complaints.MatterKind.COMPLAINT
    new = complaints.NewMatter(desk.loan, kind, "rude_call")
    matter = house.do(complaints.receive, new)
    desk.at(23)
    assert tell() == 0
    desk.at(12)
    assert (tell(), tell()) == (2, 0)
    answer = complaints.MatterAnswer(outcome=complaints.MatterOutcome.REFUSED, reasons=("no",))
    house.do(complaints.answer, matter.id, answer)
    desk.late(6)
    desk.collect()
    assert (tell(), tell()) == (2, 0)
    assert {"complaint_received", "complaint_answered", "promise_noted", "promise_broken"} <= {
        *told()
    }
    soon = house.today + timedelta(days=30)
    plan = hardship.Plan(kind=PLAN.RE_AGE, instalments=12, first_due_on=soon)
    proposed = house.run(lambda unit: hardship.propose(unit, desk.loan, plan, reason="ill"), ANN)
    _approve(house, proposed.approval)
    house.do(hardship.grant, proposed.id)
    assert (tell(), tell()) == (1, 0)
    assert "plan_granted" in told()


def test_two_runs_at_once_contact_nobody_twice(desk: Desk, gateway_process: Outside) -> None:
    others = [desk.house.lend(party=desk.party) for _ in range(3)]
    desk.late(16)
    for one in others:
        desk.house.do(loans.roll, one)
    with ThreadPoolExecutor(3) as pool:
        done = [one.result() for one in [pool.submit(desk.collect) for _ in range(3)]]
    assert sum(one.started for one in done) == 4
    with desk.house.database.reading() as connection:
        made = connection.exec_driver_sql(
            "SELECT channel, count(*) FROM credit.contact GROUP BY channel"
        ).all()
        sent = connection.exec_driver_sql("SELECT count(*) FROM credit.message").scalar_one()
    counts = dict(made)  # type: ignore[arg-type]
    # One text, two calls a day at most, three in all, whichever loan they are about.
    assert counts == {"sms": 1, "call": 2}
    assert sent == 3


def test_a_contact_whose_sender_died_is_sent_by_the_next_run(
    desk: Desk, gateway_process: Outside
) -> None:
    desk.late(4)
    planned = collecting.collect(desk.house.database, desk.keyring, None)
    assert planned.planned == 1
    (made,) = desk.contacts()
    sending = messages.Sending(
        act=made.act, party=desk.party, channel=made.channel, template="overdue",
        values={"loan": "1", "amount": "x", "days": "4"},
    )  # fmt: skip
    # The intent is committed and its sender gone: asked, the gateway knows of nothing.
    desk.house.run(
        lambda unit: messages.begin(unit, desk.keyring, sending, gateway=desk.gateway.name)
    )
    first = messages.send(
        desk.house.database, desk.keyring, desk.gateway, sending, actor="system:test"
    )
    assert first.state.value == "void"
    again = messages.send(
        desk.house.database, desk.keyring, desk.gateway, sending, actor="system:test"
    )
    assert (again.id, again.state.value) == (first.id, "accepted")
    outbox: Any = gateway_process.get("/outbox", to=PHONE)
    assert [one["sent"] for one in outbox if one["request"] == str(first.id)] == [1]


def test_the_command_shows_what_a_strategy_would_do() -> None:
    runner = CliRunner()
    shown = runner.invoke(cli, ["credit", "next-acts", "15", "--json"])
    assert shown.exit_code == 0, shown.output
    assert [one["turn"] for one in json.loads(shown.stdout)] == ["sms#1", "call#0"]
    night = ["credit", "next-acts", "15", "--at", "2026-03-02T21:00", "--json"]
    assert json.loads(runner.invoke(cli, night).stdout) == []
    wrong = runner.invoke(cli, ["credit", "next-acts", "15", "--strategy", "hammer"])
    assert wrong.exit_code == 1
    assert runner.invoke(cli, ["credit", "next-acts", "15", "--zone", "Mars"]).exit_code == 2
