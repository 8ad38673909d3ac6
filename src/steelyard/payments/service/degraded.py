"""Degraded mode: a gate around the gate, its setting by two people, and judging afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, Fact, Gate, Outcome, Question, UnitOfWork, Verdict
from steelyard.base.audit import audit
from steelyard.base.jobs import Every, JobContext, job
from steelyard.cases import CaseKind, open_case, registry
from steelyard.decisions import asking
from steelyard.parties import approvals
from steelyard.payments.model.degraded import (
    CAUSE,
    OFF,
    REASON,
    Allowance,
    DegradedSetting,
    DegradedSettingIsMalformed,
    PassState,
    Slowness,
    Why,
    check_setting,
    small_of,
)
from steelyard.payments.service.at_once import SCENE
from steelyard.payments.service.lanes import PaymentsAreBusy
from steelyard.payments.store import degraded as table
from steelyard.payments.store.degraded import Passed, Standing

__all__ = [
    "APPROVAL",
    "CAUSE",
    "OFF",
    "DegradedGate",
    "DegradedSetting",
    "DegradedSettingIsMalformed",
    "PassState",
    "Slowness",
    "State",
    "Why",
    "change",
    "judge_again",
    "judge_degraded_payments",
    "read_state",
    "request_change",
]

APPROVAL: Final = approvals.approval_kind(
    "payments.degraded",
    verb="payments.approve",
    en="Change what is paid while nobody decides",
    zh="变更降级模式设置",
)
CASE: Final = registry.register_kind(
    CaseKind(
        "payments.degraded_payment",
        "Paid while nobody decided, and declined afterwards",
        "降级放行后复核拒绝",
        registry.Sla(timedelta(hours=24)),
        (
            registry.CaseOutcome("genuine", "Genuine", "正常交易"),
            registry.CaseOutcome("fraud", "Fraud", "欺诈"),
        ),
        priority=registry.Priority.HIGH,
    )
)
_HOLD_SECONDS: Final = 1.0
_DAY: Final = timedelta(days=1)
_JUDGED_AFTER: Final = timedelta(minutes=1)
_MOST_SAID: Final = 10_000
_SUBJECT: Final = "house:payments"


class DegradedBegan(Fact, kind="payments.DegradedBegan", version=1):
    """Small payments of known customers pass, the others are refused as busy."""

    why: str


class DegradedEnded(Fact, kind="payments.DegradedEnded", version=1):
    """Payments are decided as ever."""

    why: str


class DegradedSettingChanged(Fact, kind="payments.DegradedSettingChanged", version=1):
    """Something else may be paid while nobody decides."""

    setting: int
    is_on: bool
    most_minor: int
    sum_minor: int
    cause: str


class DegradedPaymentJudged(Fact, kind="payments.DegradedPaymentJudged", version=1):
    """What had passed while nobody decided was decided afterwards."""

    payment: UUID
    attempt: UUID
    outcome: str
    agrees: bool


@dataclass(frozen=True, slots=True)
class State:
    """How degraded mode stands.

    Attributes
    ----------
    passes : of the last day, payments and minor units by what was said of them afterwards
    """

    version: int
    setting: DegradedSetting
    standings: tuple[Standing, ...]
    passes: Mapping[PassState, tuple[int, int]]


class DegradedGate:
    """Asks a gate; where it does not answer, small payments of known customers pass.

    What passes is durable before the verdict is given, and counted against the day of its customer
    and of all. Everything else is refused as busy, at once: for a second after the process that
    decides was away it is not asked.

    Parameters
    ----------
    gate : the one that decides
    sender_is_slow : whether codes for a further proof come too late now
    """

    def __init__(
        self,
        database: Database,
        gate: Gate,
        *,
        sender_is_slow: Callable[[], bool] = lambda: False,
        hold_seconds: float = _HOLD_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._gate = gate
        self._sender_is_slow = sender_is_slow
        self._hold = hold_seconds
        self._monotonic = monotonic
        self._away_until = float("-inf")
        self._stands: dict[Why, bool] = {}
        self._said: dict[str, Verdict | None] = {}
        self._lock = Lock()

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        """Return the verdict on a scene; only payments with an id can pass by the small rule."""
        return self._gate.ask(scene, facts, now)

    def ask_all(self, scene: str, questions: Sequence[Question]) -> tuple[Verdict, ...]:
        """Return the verdicts on many questions, in their order.

        Refusals
        --------
        owner_is_away : degraded mode is off; payments_are_busy : one of them does not pass, asked
        about alone the others do
        """
        if scene != SCENE:
            return self._gate.ask_all(scene, questions)
        if self._monotonic() < self._away_until:
            return self._pass(questions, Why.OWNER_IS_AWAY, None)
        try:
            verdicts = self._gate.ask_all(scene, questions)
        except asking.OwnerIsAway as away:
            self._said.clear()
            return self._pass(questions, Why.OWNER_IS_AWAY, away)
        self._stand(Why.OWNER_IS_AWAY, is_on=False)
        return self._unproved(questions, verdicts)

    def _unproved(
        self, questions: Sequence[Question], verdicts: tuple[Verdict, ...]
    ) -> tuple[Verdict, ...]:
        """Let small payments pass of which no further proof can be had now."""
        if not self._sender_is_slow():
            self._stand(Why.SENDER_IS_SLOW, is_on=False)
            return verdicts
        waiting = [
            question
            for question, verdict in zip(questions, verdicts, strict=True)
            if verdict.outcome is Outcome.STEP_UP
        ]
        with self._database.reading() as connection:
            is_on = table.setting(connection)[1].is_on
        if not waiting or not is_on:
            return verdicts
        passed = dict(
            zip(
                (question.id for question in waiting),
                self._pass(waiting, Why.SENDER_IS_SLOW, None),
                strict=True,
            )
        )
        return tuple(
            passed.get(question.id, verdict)
            for question, verdict in zip(questions, verdicts, strict=True)
        )

    def _pass(
        self, questions: Sequence[Question], why: Why, away: asking.OwnerIsAway | None
    ) -> tuple[Verdict, ...]:
        new = [one for one in questions if one.id not in self._said]
        if new:
            passed = self._database.transact(lambda unit: _take(unit, new, why))
            if passed is None:
                raise away or asking.OwnerIsAway
            if away is not None:
                self._away_until = self._monotonic() + self._hold
            self._stand(why, is_on=True)
            if len(self._said) > _MOST_SAID:
                self._said.clear()
            verdict = Verdict(Outcome.APPROVE, CAUSE, (REASON,))
            self._said |= {one.id: verdict if one.id in passed else None for one in new}
        said = [self._said.get(one.id) for one in questions]
        if None in said:
            raise PaymentsAreBusy(waiting=said.count(None))
        return tuple(one for one in said if one is not None)

    def _stand(self, why: Why, *, is_on: bool) -> None:
        """Tell when it begins and ends; what this process knows it has told is not told again."""
        with self._lock:
            if self._stands.get(why) is is_on:
                return
            self._stands[why] = is_on
        if not is_on:
            self._said.clear()
        self._database.transact(lambda unit: _switch(unit, why, is_on=is_on))


def _take(unit: UnitOfWork, questions: Sequence[Question], why: Why) -> set[str] | None:
    """Let pass what may, and return the ids of those; None where degraded mode is off."""
    _, setting = table.setting(unit.connection)
    if not setting.is_on:
        return None
    asked = [small_of(one.id, one.at, one.facts) for one in questions]
    smalls = [one for one in asked if one is not None]
    if not smalls:
        return set()
    table.lock(unit.connection)
    before = table.passed_before(unit.connection, [one.attempt for one in smalls])
    customers = {one.customer for one in smalls}
    sum_minor, used = table.used_since(
        unit.connection, customers, unit.now - _DAY, setting.currency
    )
    known = table.known(
        unit.connection, customers, before=unit.now - _DAY, payments=setting.known_payments
    )
    allowance = Allowance(setting, sum_minor, used)
    fresh = [
        one
        for one in smalls
        if one.attempt not in before and allowance.take(one, is_known=one.customer in known)
    ]
    if fresh:
        table.insert(unit.connection, fresh, why, unit.now)
    return {str(id) for id in before} | {str(one.attempt) for one in fresh}


def _switch(unit: UnitOfWork, why: Why, *, is_on: bool) -> None:
    if table.switch(unit.connection, why, unit.now, is_on=is_on):
        kind = DegradedBegan if is_on else DegradedEnded
        unit.record(kind(why=why.value), subject=_SUBJECT)


def read_state(connection: sa.Connection, now: datetime) -> State:
    """Return how degraded mode stands, and what passed by it within a day."""
    version, setting = table.setting(connection)
    return State(
        version, setting, tuple(table.standings(connection)), table.counts(connection, now)
    )


def request_change(unit: UnitOfWork, setting: DegradedSetting) -> approvals.Approval:
    """Ask for a second person's yes to another setting.

    Refusals
    --------
    degraded_setting_is_malformed
    """
    check_setting(setting)
    version, _ = table.setting(unit.connection)
    return approvals.request_approval(
        unit,
        kind=APPROVAL.name,
        subject=f"degraded_setting:{version + 1}",
        shown=asdict(setting),
        by=unit.actor,
    )


def change(unit: UnitOfWork, setting: DegradedSetting, approval: UUID) -> int:
    """Let another setting hold from now on; return its version.

    Refusals
    --------
    degraded_setting_is_malformed, and those of an approval
    """
    check_setting(setting)
    table.lock(unit.connection)
    version = table.setting(unit.connection)[0] + 1
    subject = f"degraded_setting:{version}"
    cause = approvals.consume_approval(
        unit, approval, kind=APPROVAL.name, subject=subject, shown=asdict(setting)
    )
    table.insert_setting(
        unit.connection,
        version,
        setting,
        made_by=approvals.answerable_for(unit.connection, unit.actor),
        made_at=unit.now,
        approval=approval,
        cause=cause,
    )
    fact = DegradedSettingChanged(
        setting=version,
        is_on=setting.is_on,
        most_minor=setting.most_minor,
        sum_minor=setting.sum_minor,
        cause=cause,
    )
    unit.record(fact, subject=_SUBJECT)
    audit(unit, action="payments.change_degraded", subject=subject)
    return version


def judge_again(
    database: Database, gate: Gate, *, limit: int = 200, actor: str = "system:payments"
) -> int:
    """Ask the gate about what passed without it, as of then; return how many were judged.

    What it would have stopped opens a case; the money stays where it is until a person has looked.
    While the process that decides is away nothing is judged.
    """
    with database.reading() as connection:
        due = table.due(connection, database.now() - _JUDGED_AFTER, limit)
    begun = [one for one in due if one.order is not None]
    questions = [Question(str(one.attempt), one.passed_at, one.facts) for one in begun]
    try:
        verdicts = gate.ask_all(SCENE, questions) if questions else ()
    except asking.OwnerIsAway:
        return 0
    said = {one.attempt: verdict for one, verdict in zip(begun, verdicts, strict=True)}
    for one in due:
        verdict = said.get(one.attempt)
        database.transact(lambda unit, o=one, v=verdict: _judge(unit, o, v), actor=actor)  # type: ignore[misc]
    return len(due)


def _judged(outcome: Outcome) -> PassState:
    """Return what a verdict says of a payment that passed: a further proof wanted is no no."""
    good = (Outcome.APPROVE, Outcome.LIMIT, Outcome.STEP_UP)
    return PassState.AGREED if outcome in good else PassState.DISAGREED


def _judge(unit: UnitOfWork, one: Passed, verdict: Verdict | None) -> None:
    state = PassState.UNUSED if verdict is None else _judged(verdict.outcome)
    case = None
    if state is PassState.DISAGREED:
        source = f"degraded_pass:{one.attempt}"
        case = open_case(unit, CASE.name, f"payment:{one.order}", source=source).case.id
    done = table.write_judged(
        unit.connection, one.attempt, state, at=unit.now, verdict=verdict, case=case
    )
    if done and verdict is not None and one.order is not None:
        fact = DegradedPaymentJudged(
            payment=one.order,
            attempt=one.attempt,
            outcome=verdict.outcome.value,
            agrees=state is PassState.AGREED,
        )
        unit.record(fact, subject=f"payment:{one.order}")


@job("payments.judge_degraded_payments", schedule=Every(timedelta(minutes=1)))
def judge_degraded_payments(context: JobContext) -> None:
    """Judge what passed while nobody decided."""
    gate = getattr(context.platform, "gate", None)
    if gate is not None:
        judge_again(context.database, gate, actor=context.actor)
