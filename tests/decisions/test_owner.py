"""The owner: durable before it answers, one answer to a question, rebuilt from the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from steelyard.base import Database
from steelyard.decisions import Decision
from steelyard.decisions.model.decision import Judgement, Value, record_of
from steelyard.decisions.model.question import (
    EventIdWasUsed,
    QuestionIsMalformed,
    SceneIsUnknown,
)
from steelyard.decisions.service.engine import replay
from steelyard.decisions.service.log import OwnerIsAway, TenureIsOver, verify_log
from steelyard.decisions.service.owner import Owner, Place
from steelyard.decisions.store import log as kept
from steelyard.features import refusals
from tests.decisions.rules import Fixed

AT = 1_772_442_000_000


class FewAnHour:
    """Declines the fourth payment of an hour, and what it knows nothing of it reviews."""

    cause = "policy.few_an_hour@1"
    versions: Mapping[str, str] = {"document": "0011"}
    reads = ("customer_payment_count_1h", "customer_payment_sum_1d")

    def judge(self, values: Mapping[str, Value]) -> Judgement:
        count = values["customer_payment_count_1h"]
        if values.get("customer") is None or count is None:
            return Judgement("review", None, ("customer_is_missing",))
        assert isinstance(count, int)
        if count > 3:
            return Judgement("decline", 900, ("too_many_payments",), None, (("count", count),))
        return Judgement("approve", 10 * count, ())


def own(database: Database, holder: str = "one") -> Owner:
    return Owner(database, Fixed({"payment": FewAnHour()}), Place(holder))


def body(number: int, at_ms: int | None = None, **fields: Any) -> bytes:
    told = {"customer": "c1", "amount_minor": 100, "currency": "CNY", **fields}
    at = AT + number * 60_000 if at_ms is None else at_ms
    return json.dumps({"id": f"p{number}", "at_ms": at, "fields": told}).encode()


def ask(owner: Owner, *bodies: bytes) -> list[Decision]:
    async def run() -> list[Decision]:
        return await asyncio.gather(
            *(owner.ask("payment", one, now_ms=AT + 10**9) for one in bodies)
        )

    return asyncio.run(run())


def test_it_counts_and_every_answer_is_in_the_log(database: Database) -> None:
    owner = own(database)
    made = ask(owner, *(body(n) for n in range(6)))
    assert [d.outcome for d in made] == ["approve"] * 3 + ["decline"] * 3
    assert [d.values["customer_payment_count_1h"] for d in made] == [1, 2, 3, 4, 5, 6]
    with database.reading() as connection:
        lines = list(kept.read_lines(connection, 0))
        assert [line.record for line in lines] == [record_of(d) for d in made]
        assert verify_log(connection).first_bad is None
    for line in lines:
        assert record_of(replay(line.decision, FewAnHour())) == line.record
    owner.close()


def test_the_same_question_gets_the_same_answer_and_another_one_is_refused(
    database: Database,
) -> None:
    owner = own(database)
    first, again = ask(owner, body(1), body(1))
    assert first == again
    assert ask(owner, body(1)) == [first]
    with pytest.raises(EventIdWasUsed):
        ask(owner, body(1, amount_minor=101))
    owner.close()
    after = own(database, "two")
    assert ask(after, body(1)) == [first]
    assert ask(after, body(2))[0].values["customer_payment_count_1h"] == 2
    with database.reading() as connection:
        assert verify_log(connection).decisions == 2
    after.close()


def test_what_was_forgotten_is_asked_of_the_log(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.decisions.service.engine.REMEMBERED", 2)
    owner = own(database)
    made = ask(owner, *(body(n) for n in range(5)))
    assert ask(owner, body(0)) == [made[0]]
    with pytest.raises(EventIdWasUsed):
        ask(owner, body(1, amount_minor=7))
    owner.close()


BAD = (
    ("tea", body(1), SceneIsUnknown),
    ("payment", b"{", QuestionIsMalformed),
    ("payment", b'{"id": "1", "at_ms": NaN, "fields": {}}', QuestionIsMalformed),
    ("payment", b'{"id": "1", "at_ms": 1, "fields": {}, "x": 1}', QuestionIsMalformed),
    ("payment", b"[" * 60_000, QuestionIsMalformed),
    ("payment", body(1, shoe_size=1), refusals.EventFieldIsUnknown),
    ("payment", body(1, is_fraud=True), refusals.EventFieldIsUnknown),
    ("payment", body(1, amount_minor="5"), refusals.EventFieldIsInvalid),
    ("payment", body(1, amount_minor=True), refusals.EventFieldIsInvalid),
    ("payment", body(1, amount_minor=2**40 + 1), refusals.EventFieldIsInvalid),
    ("payment", body(1, customer="a\0b"), refusals.EventFieldIsInvalid),
    ("payment", b'{"id": "", "at_ms": 1, "fields": {}}', QuestionIsMalformed),
    ("payment", b'{"id": "1", "at_ms": -1, "fields": {}}', QuestionIsMalformed),
    ("payment", b'{"id": "\\ud800", "at_ms": 1, "fields": {}}', QuestionIsMalformed),
    ("payment", body(1, customer=""), refusals.EventFieldIsInvalid),
    ("payment", body(1, customer="c" * 201), refusals.EventFieldIsInvalid),
    ("payment", body(1, at_ms=AT + 10**9 + 10_000), refusals.EventIsFromTheFuture),
)


def test_bad_questions_are_refused_and_leave_nothing(database: Database) -> None:
    owner = own(database)
    untouched = owner.engine.state.digest
    for scene, text, refusal in BAD:
        with pytest.raises(refusal):
            asyncio.run(owner.ask(scene, text, now_ms=AT + 10**9))
        assert owner.engine.state.digest == untouched, text[:80]
    assert ask(owner, body(1))[0].values["customer_payment_count_1h"] == 1
    with database.reading() as connection:
        assert verify_log(connection).decisions == 1
    owner.close()


def test_a_missing_value_is_missing_and_a_late_event_is_flagged(database: Database) -> None:
    owner = own(database)
    (nobody,) = ask(owner, body(1, customer=None))
    assert (nobody.outcome, nobody.values["customer_payment_count_1h"]) == ("review", None)
    ask(owner, body(2, at_ms=AT + 5 * 3_600_000))
    (late,) = ask(owner, body(3, at_ms=AT + 4 * 3_600_000 + 1))
    assert late.flags == {"event_is_late": True}
    (too_late,) = ask(owner, body(4, at_ms=AT))
    assert too_late.flags == {"event_is_too_late": True}
    assert too_late.outcome == "review"
    owner.close()


def test_who_was_taken_over_from_answers_nobody(database: Database) -> None:
    first = own(database, "first")
    ask(first, body(1))
    second = own(database, "second")
    for number in (2, 3):
        with pytest.raises(TenureIsOver):
            ask(first, body(number))
    assert ask(second, body(2))[0].values["customer_payment_count_1h"] == 2
    first.close()
    second.close()


def test_after_a_failed_batch_the_state_is_that_of_the_log(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = own(database)
    ask(owner, body(1))
    real = kept.append_soon

    async def fail(*_: Any, **__: Any) -> bool:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(kept, "append_soon", fail)
    with pytest.raises(OwnerIsAway):
        ask(owner, body(2))
    monkeypatch.setattr(kept, "append_soon", real)
    assert ask(owner, body(3))[0].values["customer_payment_count_1h"] == 2
    assert ask(owner, body(2))[0].flags == {"event_is_late": True}
    digest = owner.engine.state.digest
    owner.close()
    again = own(database, "again")
    assert again.engine.state.digest == digest
    again.close()


def test_after_a_fault_in_a_policy_nobody_is_answered_from_the_wrong_state(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = own(database)
    ask(owner, body(1))

    def fail(*_: Any) -> Judgement:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(FewAnHour, "judge", fail)
        with pytest.raises(ZeroDivisionError):
            ask(owner, body(2))
    with pytest.raises(TenureIsOver):
        ask(owner, body(3))
    owner.close()
    after = own(database, "after")
    assert ask(after, body(3))[0].values["customer_payment_count_1h"] == 2
    after.close()
