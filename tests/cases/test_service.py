"""The queue over PostgreSQL: who gets which case, how it ends, and what is kept of it."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from steelyard.base import Database
from steelyard.base.audit import read_audit, verify_audit
from steelyard.base.http import Caller
from steelyard.cases import (
    CaseState,
    EventRef,
    closing,
    open_case,
    reading,
    refusals,
    upkeep,
    working,
)
from steelyard.cases.service.registry import Colour, Priority
from steelyard.parties import approvals
from tests.cases.conftest import ALL, ANN, BOB, CAY, EVENT, LEAD, WORKS, Queue, caller
from tests.conftest import START, Store

HASH = "ab" * 32


# --- opening -------------------------------------------------------------------------------------


def test_a_second_signal_joins_the_open_case_and_raises_it(queue: Queue) -> None:
    first = queue.run(lambda unit: open_case(unit, "toys.review", "payment:1", source="alert:1"))
    assert (first.how.value, first.case.priority) == ("opened", Priority.NORMAL)
    again = queue.run(lambda unit: open_case(unit, "toys.review", "payment:1", source="alert:1"))
    assert (again.how.value, again.case) == ("known", first.case)
    for n, priority in ((2, Priority.NORMAL), (3, Priority.HIGH), (4, Priority.HIGH)):
        joined = queue.run(
            lambda unit, n=n: open_case(unit, "toys.review", "payment:1", source=f"alert:{n}")
        )
        assert (joined.how.value, joined.case.id) == ("joined", first.case.id)
        assert (joined.case.signals, joined.case.priority) == (n, priority)
    urgent = queue.open(priority=Priority.URGENT)
    assert urgent.priority is Priority.URGENT
    lower = queue.open(priority=Priority.LOW)
    assert lower.priority is Priority.URGENT
    assert lower == queue.read(first.case.id)
    assert [kind for kind, _ in queue.facts(first.case.id)] == ["CaseOpened"] + [
        "CaseSignalled"
    ] * 5
    assert queue.actions(first.case.id) == ["open"] + ["join"] * 5


def test_what_is_another_matter_is_another_case(queue: Queue) -> None:
    one = queue.open(dedup_key="rule:7")
    assert queue.open("payment:2", dedup_key="rule:7").id == one.id
    assert queue.open(dedup_key="rule:8").id != one.id
    assert queue.open(kind="toys.difference", dedup_key="rule:7").id != one.id


def test_a_source_sent_again_opens_nothing_after_the_closing(queue: Queue) -> None:
    case = queue.claimed(source="alert:1")
    queue.closed(case.id)
    known = queue.open(source="alert:1")
    assert (known.id, known.state) == (case.id, CaseState.CLOSED)
    assert queue.open(source="alert:2").id != case.id


def test_what_cannot_be_opened(queue: Queue) -> None:
    with pytest.raises(refusals.CaseKindIsUnknown):
        queue.open(kind="toys.nothing")
    for more in ({"subject": "payment"}, {"source": "13812345678"}, {"links": ("no one",)}):
        with pytest.raises(refusals.ReferenceIsMalformed):
            queue.open(**more)


def test_many_at_once_open_one_case(queue: Queue) -> None:
    ready = threading.Barrier(4)
    found: list[UUID] = []

    def signal(n: int) -> None:
        ready.wait(20)
        for m in range(5):
            found.append(queue.open(source=f"alert:{n}-{m}").id)

    threads = [threading.Thread(target=signal, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 20
    assert len(set(found)) == 1
    assert queue.read(found[0]).signals == 20


# --- claiming ------------------------------------------------------------------------------------


def test_a_claim_keeps_others_out_until_it_expires(queue: Queue) -> None:
    case = queue.claimed()
    assert case.claim is not None
    assert case.claim.until_wall_at == queue.wall.now() + timedelta(minutes=30)
    assert queue.refused(working.claim, case.id, by=caller(BOB)) == "case_is_claimed"
    queue.later(minutes=20)
    renewed = queue.act(working.claim, case.id)
    assert renewed.claim is not None
    assert renewed.claim.until_wall_at == queue.wall.now() + timedelta(minutes=30)
    queue.later(minutes=29)
    assert queue.refused(working.claim, case.id, by=caller(BOB)) == "case_is_claimed"
    queue.later(minutes=1)
    taken = queue.act(working.claim, case.id, by=caller(BOB))
    assert taken.claim is not None
    assert taken.claim.by == BOB
    assert queue.refused(closing.close, case.id, "good") == "case_is_not_yours"
    assert queue.refused(working.release, case.id, by=caller(ANN, WORKS)) == "case_is_not_yours"
    assert queue.act(working.release, case.id, by=caller(BOB)).state is CaseState.OPEN


def test_an_expired_claim_does_not_close(queue: Queue) -> None:
    case = queue.claimed()
    queue.later(minutes=30)
    assert queue.refused(closing.close, case.id, "good") == "case_is_not_yours"


def test_of_two_who_claim_at_once_one_wins(queue: Queue) -> None:
    case = queue.open()
    with queue.database.unit_of_work(actor=ANN) as unit:
        working.claim(unit, case.id, by=caller(ANN))
        # While the row is held nobody else is offered the case, and who asks for it waits.
        assert queue.act(working.claim_next, by=caller(BOB)) is None
        told: list[str] = []
        waits = threading.Thread(
            target=lambda: told.append(queue.refused(working.claim, case.id, by=caller(BOB)))
        )
        waits.start()
    waits.join(30)
    assert told == ["case_is_claimed"]
    assert queue.actions(case.id) == ["open", "claim"]


def test_nobody_shares_a_case(queue: Queue) -> None:
    for n in range(24):
        queue.open(f"payment:{n}")
    taken: dict[str, list[UUID]] = {}
    ready = threading.Barrier(4)

    def work(name: str) -> None:
        mine = taken.setdefault(name, [])
        ready.wait(20)
        while (case := queue.act(working.claim_next, by=caller(name))) is not None:
            mine.append(case.id)

    threads = [threading.Thread(target=work, args=(f"staff:{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    every = [case for mine in taken.values() for case in mine]
    assert len(every) == len(set(every)) == 24


def test_next_goes_by_priority_then_colour_then_age(queue: Queue) -> None:
    old = queue.open("payment:1")
    queue.later(hours=1)
    hasty = queue.open("payment:2", "toys.difference", priority=Priority.NORMAL)
    urgent = queue.open("payment:3", priority=Priority.URGENT)
    low = queue.open("payment:4", "toys.difference")
    queue.later(minutes=40)  # the difference has used up more than half of its hour
    got = [queue.act(working.claim_next) for _ in range(4)]
    assert [case.id for case in got if case] == [urgent.id, hasty.id, old.id, low.id]
    assert queue.act(working.claim_next) is None


def test_next_offers_what_one_has_the_skill_for(queue: Queue) -> None:
    dispute = queue.open("payment:1", "toys.dispute")
    review = queue.open("payment:2")
    own = queue.open("payment:3", kept_from=(ANN,))
    simple = caller(ANN, WORKS)
    assert queue.refused(working.claim, dispute.id, by=simple) == "not_entitled"
    assert queue.refused(working.claim, own.id, by=simple) == "case_is_kept_from_you"
    first = queue.act(working.claim_next, by=simple)
    assert first is not None
    assert first.id == review.id
    assert queue.act(working.claim_next, by=simple) is None
    judge = caller(ANN, WORKS | {"toys.judge"})
    second = queue.act(working.claim_next, by=judge)
    assert second is not None
    assert second.id == dispute.id
    other = queue.act(working.claim_next, by=caller(BOB, frozenset({"*"})), kinds=["toys.review"])
    assert other is not None
    assert other.id == own.id
    assert queue.refused(working.claim_next, kinds=["toys.no"]) == "case_kind_is_unknown"
    machine = caller("key:7")
    assert queue.refused(working.claim_next, by=machine) == "case_needs_a_person"
    free = queue.open("payment:9")
    assert queue.refused(working.claim, free.id, by=machine) == "case_needs_a_person"


# --- working -------------------------------------------------------------------------------------


def test_notes_evidence_and_links_are_kept(queue: Queue) -> None:
    case, other = queue.claimed(links=("party:7",)), queue.open("payment:2")
    queue.act(working.add_note, case.id, "The customer does not answer.", by=caller(BOB))
    for _ in range(2):
        queue.act(
            working.add_evidence,
            case.id,
            kind="statement",
            reference="document:9",
            content_hash=HASH,
        )
        queue.act(working.link, case.id, f"case:{other.id}")
        queue.act(working.link, case.id, "transfer:client/7")
    with queue.database.reading() as connection:
        file = reading.read_file(connection, case.id)
        back = reading.read_file(connection, other.id)
        now = queue.clock.now()
        wanted = reading.CaseFilter(subject="transfer:client/7")
        about = reading.list_cases(connection, wanted, now=now)
    assert [(n.by, n.text) for n in file.notes] == [(BOB, "The customer does not answer.")]
    assert [(e.kind, e.reference, e.content_hash, e.by) for e in file.evidence] == [
        ("statement", "document:9", HASH, ANN)
    ]
    assert {one.target for one in file.links} == {
        "party:7",
        f"case:{other.id}",
        "transfer:client/7",
    }
    assert [one.target for one in back.links] == [f"case:{case.id}"]
    assert [one.id for one in about.items] == [case.id]
    assert queue.actions(case.id) == ["open", "claim", "note", "evidence", "link", "link"]
    assert queue.actions(other.id) == ["open", "link"]
    assert queue.refused(working.link, case.id, f"case:{case.id}") == "reference_is_malformed"
    assert queue.refused(working.link, case.id, f"case:{uuid4()}") == "case_is_unknown"
    assert queue.refused(working.link, case.id, "case:7") == "case_is_unknown"


@pytest.mark.parametrize(
    "text",
    ["call 13812345678", "she is san.feng@example.com", "id 11010519491231002X", "姓名：张三"],
)
def test_what_looks_personal_is_not_written_down(queue: Queue, text: str) -> None:
    case = queue.claimed()
    assert queue.refused(working.add_note, case.id, text) == "text_holds_personal_data"
    refused = queue.refused(working.escalate, case.id, "leads", reason=text)
    assert refused == "text_holds_personal_data"
    queue.act(working.add_note, case.id, f"see case {case.id} and transfer 7")


def test_evidence_is_for_who_has_the_case(queue: Queue) -> None:
    case = queue.open()
    put = {"kind": "statement", "reference": "document:9", "content_hash": HASH}
    assert queue.refused(working.add_evidence, case.id, **put) == "case_state_forbids"
    queue.act(working.claim, case.id, by=caller(BOB))
    assert queue.refused(working.add_evidence, case.id, **put) == "case_is_not_yours"
    personal = {**put, "reference": "phone:13812345678"}
    by = caller(BOB)
    refused = queue.refused(working.add_evidence, case.id, by=by, **personal)
    assert refused == "text_holds_personal_data"


def test_an_escalated_case_goes_to_its_group(queue: Queue) -> None:
    case = queue.claimed(kind="toys.dispute")
    assert queue.refused(working.escalate, case.id, "leads", reason="big") == "group_is_unknown"
    assert queue.refused(working.escalate, case.id, "nobody", reason="x") == "group_is_unknown"
    bob = caller(BOB, frozenset({"cases.work", "cases.escalate", "toys.judge"}))
    refused = queue.refused(working.escalate, case.id, "toys_experts", reason="x", by=bob)
    assert refused == "case_is_not_yours"
    gone = queue.act(working.escalate, case.id, "toys_experts", reason="three banks")
    assert (gone.state, gone.group, gone.skill) == (CaseState.OPEN, "toys_experts", "toys.expert")
    assert (gone.priority, gone.marks) == (Priority.URGENT, case.marks)
    assert queue.refused(working.claim, case.id, by=bob) == "not_entitled"
    expert = caller(CAY, frozenset({"cases.work", "toys.expert"}))
    assert queue.act(working.claim_next, by=expert) is not None
    with queue.database.reading() as connection:
        line = reading.history(connection, case.id).items[2]
    assert line.detail == {"group": "toys_experts", "reason": "three banks", "priority": 4}


def test_a_lead_gives_frees_and_raises(queue: Queue) -> None:
    case = queue.claimed()
    lead = caller(LEAD)
    freed = queue.act(working.release, case.id, by=lead)
    assert freed.state is CaseState.OPEN
    raised = queue.act(working.prioritise, case.id, Priority.URGENT, by=lead)
    assert raised.priority is Priority.URGENT
    assert queue.refused(working.release, case.id, by=lead) == "case_state_forbids"


# --- closing -------------------------------------------------------------------------------------


def test_an_outcome_feeds_its_label_back(queue: Queue) -> None:
    case = queue.claimed(event=EVENT)
    queue.later(minutes=25)
    done = queue.closed(case.id, "fraud")
    assert done.closing is not None
    assert (done.closing.by, done.closing.outcome, done.is_within_sla) == (ANN, "fraud", True)
    kind, payload = queue.facts(case.id)[-1]
    assert kind == "CaseClosed"
    assert payload == {
        "case": str(case.id),
        "case_kind": "toys.review",
        "about": "payment:1",
        "outcome": "fraud",
        "label_field": "is_fraud",
        "label_value": 1,
        "event_kind": "payment",
        "event_id": "p-1",
        "known_at_ms": round((START + timedelta(minutes=25)).timestamp() * 1000),
    }


@pytest.mark.parametrize(("event", "outcome"), [(EVENT, "unclear"), (None, "fraud")])
def test_without_an_event_or_a_proof_there_is_no_label(
    queue: Queue, event: EventRef | None, outcome: str
) -> None:
    case = queue.claimed(event=event)
    queue.closed(case.id, outcome)
    payload = queue.facts(case.id)[-1][1]
    for name in ("label_field", "label_value", "event_kind", "event_id", "known_at_ms"):
        assert payload[name] is None


def test_a_reopened_case_takes_its_label_back(queue: Queue) -> None:
    case = queue.claimed(event=EVENT)
    queue.closed(case.id, "fraud")
    queue.later(hours=30)
    again = queue.act(closing.reopen, case.id, reason="the customer objects", by=caller(LEAD))
    assert (again.state, again.reopened, again.closing) == (CaseState.OPEN, 1, None)
    assert again.marks.due_at == queue.clock.now() + timedelta(hours=10)
    kind, payload = queue.facts(case.id)[-1]
    assert (kind, payload["label_field"], payload["event_id"]) == (
        "CaseReopened",
        "is_fraud",
        "p-1",
    )
    queue.act(working.claim, case.id)
    queue.closed(case.id, "good")
    assert queue.facts(case.id)[-1][1]["label_value"] == 0
    other = queue.open()
    assert other.id != case.id
    refused = queue.refused(closing.reopen, case.id, reason="x")
    assert refused == "another_case_is_open"
    assert queue.refused(closing.reopen, other.id, reason="x") == "case_state_forbids"


def test_four_eyes_close_a_case_that_demands_them(queue: Queue) -> None:
    case = queue.claimed(kind="toys.dispute", event=EVENT)
    assert queue.refused(closing.close, case.id, "maybe") == "outcome_is_unknown"
    assert queue.refused(closing.close, case.id, "fraud") == "evidence_is_missing"
    for kind in ("statement", "receipt"):
        put = {"kind": kind, "reference": f"document:{kind}", "content_hash": HASH}
        queue.act(working.add_evidence, case.id, **put)
    waits = queue.closed(case.id, "fraud")
    assert waits.state is CaseState.AWAITING_APPROVAL
    assert waits.proposal is not None
    with queue.database.reading() as connection:
        asked = approvals.read_approval(connection, waits.proposal.approval)
    shown = {"shown_hash": asked.shown_hash}
    assert queue.refused(closing.approve, case.id, **shown) == "maker_is_checker"
    weak = caller(BOB, frozenset({"toys.judge"}))
    assert queue.refused(closing.approve, case.id, by=weak, **shown) == "not_entitled"
    wrong = {"shown_hash": "0" * 64}
    assert queue.refused(closing.approve, case.id, by=caller(BOB), **wrong) == "shown_differs"
    done = queue.act(closing.approve, case.id, by=caller(BOB), **shown)
    assert done.closing is not None
    assert (done.closing.by, done.closing.approved_by) == (ANN, BOB)
    assert queue.facts(case.id)[-1][1]["label_value"] == 1
    queue.hear()
    assert queue.read(case.id) == done


def four_eyes(queue: Queue) -> tuple[UUID, approvals.Approval]:
    case = queue.claimed(kind="toys.dispute", event=EVENT)
    for kind in ("statement", "receipt"):
        put = {"kind": kind, "reference": f"document:{kind}", "content_hash": HASH}
        queue.act(working.add_evidence, case.id, **put)
    proposal = queue.closed(case.id, "fraud").proposal
    assert proposal is not None
    with queue.database.reading() as connection:
        return case.id, approvals.read_approval(connection, proposal.approval)


def test_an_approval_given_elsewhere_closes_the_case(queue: Queue) -> None:
    case, asked = four_eyes(queue)
    queue.hear()
    with queue.database.reading() as connection:
        wanted = reading.CaseFilter(kind="cases.approval")
        (queued,) = reading.list_cases(connection, wanted, now=queue.clock.now()).items
    assert (queued.skill, queued.kept_from) == ("cases.approve", (ANN,))
    assert queue.act(working.claim_next, by=caller(ANN)) is None
    mine = queue.act(working.claim_next, by=caller(BOB))
    assert mine is not None
    assert mine.id == queued.id
    refused = queue.refused(closing.close, queued.id, "approved", by=caller(BOB))
    assert refused == "case_is_settled_elsewhere"
    queue.act(approvals.approve, asked.id, by=caller(BOB), shown_hash=asked.shown_hash)
    queue.hear()
    done = queue.read(case)
    assert done.closing is not None
    assert (done.state, done.closing.approved_by) == (CaseState.CLOSED, BOB)
    assert queue.read(queued.id).closing is not None
    assert queue.read(queued.id).state is CaseState.CLOSED
    refused = queue.refused(closing.reopen, queued.id, reason="x", by=caller(LEAD))
    assert refused in ("case_is_settled_elsewhere", "not_entitled")


@pytest.mark.parametrize("ending", ["rejected", "withdrawn", "expired"])
@pytest.mark.parametrize("by_way", ["case", "approval"])
def test_without_a_yes_the_case_is_open_again(queue: Queue, ending: str, by_way: str) -> None:
    case, asked = four_eyes(queue)
    no = {"shown_hash": asked.shown_hash, "reason": "too thin"}
    if ending == "rejected":
        if by_way == "case":
            queue.act(closing.reject, case, by=caller(BOB), **no)
        else:
            queue.act(approvals.reject, asked.id, by=caller(BOB), **no)
    elif ending == "withdrawn":
        if by_way == "case":
            assert queue.refused(closing.withdraw, case, by=caller(BOB)) == "approval_is_not_yours"
            queue.act(closing.withdraw, case)
        else:
            queue.run(lambda unit: approvals.withdraw(unit, asked.id, by=ANN), ANN)
    else:
        queue.later(days=3)
        refused = queue.refused(closing.approve, case, by=caller(BOB), shown_hash=asked.shown_hash)
        assert refused == "approval_has_expired"
        queue.run(approvals.expire_approvals)
    queue.hear()
    again = queue.read(case)
    assert (again.state, again.proposal, again.claim) == (CaseState.OPEN, None, None)
    assert queue.facts(case)[-1][1]["reason"] == ending
    queue.hear()
    assert queue.read(case) == again


def test_a_room_concludes_its_own_matter(queue: Queue) -> None:
    case = queue.open("book:1", "toys.difference")

    def conclude() -> object:
        return queue.run(
            lambda unit: closing.conclude(unit, "toys.difference", "book:1", "explained")
        )

    assert conclude() is not None
    assert conclude() is None
    assert queue.read(case.id).state is CaseState.CLOSED
    waiting, asked = four_eyes(queue)
    queue.run(lambda unit: closing.conclude(unit, "toys.dispute", "payment:1", "good"))
    assert queue.read(waiting).state is CaseState.CLOSED
    with queue.database.reading() as connection:
        assert approvals.read_approval(connection, asked.id).state == "withdrawn"
    queue.hear()


# --- time ----------------------------------------------------------------------------------------


def test_time_turns_colours_and_writes_breaches_once(queue: Queue) -> None:
    case = queue.open()
    assert queue.run(upkeep.sweep) == upkeep.Swept(0, 0, 0)
    for hours, colour, breached in ((5, Colour.AMBER, 0), (3, Colour.RED, 0), (2, Colour.RED, 1)):
        queue.later(hours=hours)
        assert queue.run(upkeep.sweep) == upkeep.Swept(0, 1, breached)
        assert queue.run(upkeep.sweep) == upkeep.Swept(0, 0, 0)
        assert queue.read(case.id).colour is colour
    assert queue.read(case.id).breached_at == case.marks.due_at
    assert [k for k, _ in queue.facts(case.id)][1:] == ["CaseTurned", "CaseTurned", "CaseBreached"]
    assert queue.actions(case.id) == ["open", "turn", "turn", "turn"]
    queue.act(working.claim, case.id)
    assert not queue.closed(case.id).is_within_sla
    queue.later(days=30)
    assert queue.run(upkeep.sweep) == upkeep.Swept(0, 0, 0)


def test_a_long_standstill_is_one_turn(queue: Queue) -> None:
    cases = [queue.open(f"payment:{n}") for n in range(5)]
    queue.act(working.claim, cases[0].id)
    queue.later(days=1)
    swept = queue.run(lambda unit: upkeep.sweep(unit, limit=3))
    assert swept == upkeep.Swept(1, 3, 3)
    assert queue.run(upkeep.sweep) == upkeep.Swept(0, 2, 2)
    kinds = [k for k, _ in queue.facts(cases[1].id)]
    assert kinds == ["CaseOpened", "CaseTurned", "CaseBreached"]
    assert queue.actions(cases[0].id) == ["open", "claim", "lapse", "turn"]


def test_how_the_queue_stands(queue: Queue) -> None:
    for n in range(4):
        case = queue.claimed(f"payment:{n}")
        if n:
            queue.later(minutes=20)
        queue.closed(case.id)
    late = queue.open("payment:7")
    queue.later(hours=9)
    queue.open("payment:8", "toys.difference")
    queue.later(hours=2)
    queue.act(working.claim, late.id)
    queue.closed(late.id)
    waiting = queue.open("payment:9")
    with queue.database.reading() as connection:
        found = reading.statistics(connection, queue.clock.now(), days=2)
        with pytest.raises(refusals.TimeZoneIsUnknown):
            reading.statistics(connection, queue.clock.now(), zone="Mars/Olympus")
    counted = {(one.kind, one.colour.value): one.cases for one in found.open_cases}
    assert counted == {("toys.difference", "red"): 1, ("toys.review", "green"): 1}
    assert found.oldest is not None
    assert found.oldest.subject == "payment:8"
    assert found.ages_s == (0, 7200, 7200)
    assert found.sla_met_bp == 8_000
    assert sum(one.cases for one in found.closed) == 5
    assert sum(one.within_sla for one in found.closed) == 4
    assert len({one.on for one in found.closed}) == 2, "the late one fell on the next local date"
    assert waiting.id != found.oldest.id


def test_pages_hold_every_case_once(queue: Queue) -> None:
    for n in range(11):
        queue.open(f"payment:{n}", priority=Priority(1 + n % 4))
        queue.later(minutes=30)
    for order in ("newest", "queue"):
        seen: list[UUID] = []
        cursor = None
        with queue.database.reading() as connection:
            whole = reading.list_cases(
                connection, reading.CaseFilter(), now=queue.clock.now(), order=order, limit=50
            )
            while True:
                # Time passes while somebody turns the pages.
                page = reading.list_cases(
                    connection,
                    reading.CaseFilter(),
                    now=queue.clock.now() + timedelta(hours=len(seen)),
                    order=order,
                    cursor=cursor,
                    limit=3,
                )
                seen += [case.id for case in page.items]
                cursor = page.next
                if cursor is None:
                    break
        assert seen == [case.id for case in whole.items]
        assert len(set(seen)) == 11


# --- what is kept --------------------------------------------------------------------------------


def test_the_trail_is_append_only(queue: Queue, store: Store) -> None:
    case = queue.claimed(source="alert:1", links=("party:7",))
    queue.act(working.add_note, case.id, "a note")
    put = {"kind": "statement", "reference": "document:9", "content_hash": HASH}
    queue.act(working.add_evidence, case.id, **put)
    queue.closed(case.id)
    for role in ("steelyard_app", "steelyard_owner"):
        expected: type[Exception] = psycopg.errors.RestrictViolation
        if role == "steelyard_app":
            expected = psycopg.errors.InsufficientPrivilege
        with psycopg.connect(store.conninfo(role), autocommit=True) as connection:
            for table in ("history", "signal", "note", "evidence", "link", "closing"):
                for statement in (
                    f"UPDATE cases.{table} SET at = at",
                    f"DELETE FROM cases.{table}",
                ):
                    text = statement.replace("at = at", "closed_at = closed_at")
                    asked = text if table == "closing" else statement
                    with pytest.raises(expected):
                        connection.execute(asked)  # type: ignore[call-overload]


def test_the_database_keeps_the_machine(queue: Queue, store: Store) -> None:
    case = queue.open()
    tries = (
        ("version = version + 2", psycopg.errors.RestrictViolation),
        ("state = 'claimed', version = version + 1", psycopg.errors.CheckViolation),
        ("subject = 'payment:2', version = version + 1", psycopg.errors.InsufficientPrivilege),
        (
            "state = 'awaiting_approval', approval = gen_random_uuid(), proposed_by = 'x',"
            " proposed_outcome = 'good', version = version + 1",
            psycopg.errors.RestrictViolation,
        ),
        (
            "state = 'claimed', claimed_by = 'key:7', claimed_at = now(),"
            " claimed_until_wall_at = now(), version = version + 1",
            psycopg.errors.CheckViolation,
        ),
    )
    with psycopg.connect(store.conninfo(), autocommit=True) as app:
        for change, error in tries:
            with pytest.raises(error):
                app.execute(f"UPDATE cases.case_file SET {change} WHERE id = %s", (case.id,))  # type: ignore[arg-type]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("DELETE FROM cases.case_file")


def test_every_act_is_in_the_audit_trail(queue: Queue) -> None:
    case = queue.claimed()
    queue.closed(case.id)
    with queue.database.reading() as connection:
        lines = read_audit(connection, subject=f"case:{case.id}").items
        assert verify_audit(connection).holds
    assert [(line.action, line.actor) for line in reversed(lines)] == [
        ("cases.open", "system:test"),
        ("cases.claim", ANN),
        ("cases.close", ANN),
    ]


def test_what_a_refusal_wrote_is_gone(queue: Queue) -> None:
    case = queue.open()
    before = queue.read(case.id)

    def half(database: Database) -> None:
        with database.unit_of_work(actor=ANN) as unit:
            working.claim(unit, case.id, by=Caller(ANN, ALL))
            closing.close(unit, case.id, "maybe", by=Caller(ANN, ALL))

    with pytest.raises(refusals.OutcomeIsUnknown):
        half(queue.database)
    assert queue.read(case.id) == before
    assert queue.actions(case.id) == ["open"]
