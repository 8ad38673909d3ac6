"""The pure decision: the order of the answers, chains, and independence of batching."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.ledger import Kind, Transfer
from steelyard.ledger.model.accounts import AccountState, BookState
from steelyard.ledger.model.chain import genesis, seal
from steelyard.ledger.model.decide import State, decide, instant, microseconds
from steelyard.ledger.model.transfers import MAX_MINOR, Outcome
from tests.ledger.straight import StraightAccount, StraightBook
from tests.ledger.town import DAY, hold, outcomes, resolve, transfer

NOW = datetime.fromisoformat("2026-03-02T09:00:00+00:00")
AT = microseconds(NOW)


def state_of(limits: list[tuple[int | None, int | None]], currency: str = "CNY") -> State:
    town = BookState("town", DAY, None, last_at=0, head=genesis("town", "own"))
    accounts: dict[Any, AccountState] = {}
    for number, (debit, credit) in enumerate(limits, 1):
        account = AccountState(number, currency)
        account.debit_limit, account.credit_limit = debit, credit
        accounts["town", number] = accounts["town", f"a:{number}"] = account
    return State({"town": town}, accounts)


def free(accounts: int = 3) -> State:
    return state_of([(None, None)] * accounts)


def judge(state: State, *batch: Transfer, at: int = AT) -> list[str]:
    return outcomes(decide(batch, state, at=at).answers)


ids = st.integers(1, 14).map(lambda n: UUID(int=n))


@st.composite
def batches(draw: st.DrawFn) -> list[Transfer]:
    made = []
    for _ in range(draw(st.integers(1, 24))):
        kind = draw(st.sampled_from([Kind.SINGLE] * 3 + [Kind.HOLD] * 3 + list(Kind)))
        values: dict[str, Any] = {"id": draw(ids), "kind": kind}
        if kind in (Kind.SINGLE, Kind.HOLD):
            debit, credit = draw(st.permutations([1, 2, 3]))[:2]
            minor = draw(st.sampled_from([5, 5, 7, 20]))
            at_most = draw(st.sampled_from([False] * 5 + [True]))
            made.append(transfer(debit, credit, minor, at_most=at_most, **values))
        else:
            earlier = [t.id for t in made if t.id != values["id"]] or [UUID(int=99)]
            refers_to = draw(st.sampled_from(earlier))
            minor = draw(st.none() | st.just(5)) if kind is Kind.POST else None
            made.append(resolve(refers_to=refers_to, minor=minor, **values))
    links = draw(st.lists(st.booleans(), min_size=len(made), max_size=len(made)))
    return [replace(t, linked=linked) for t, linked in zip(made, links, strict=True)]


def cut(batch: list[Transfer], places: set[int]) -> Iterator[list[Transfer]]:
    """Cut a batch between its chains, at some of the places where that can be done."""
    piece: list[Transfer] = []
    for index, t in enumerate(batch):
        piece.append(t)
        if index in places and not t.linked:
            yield piece
            piece = []
    if piece:
        yield piece


@settings(max_examples=400, deadline=None)
@given(
    batch=batches(),
    places=st.sets(st.integers(0, 23)),
    limits=st.lists(
        st.tuples(st.none() | st.integers(0, 25), st.none() | st.integers(0, 25)),
        min_size=3,
        max_size=3,
    ),
)
def test_answers_are_the_straight_lines_and_the_head_does_not_depend_on_batching(
    batch: list[Transfer], places: set[int], limits: list[tuple[int | None, int | None]]
) -> None:
    straight = StraightBook(DAY)
    for number, (debit, credit) in enumerate(limits, 1):
        straight.accounts[number] = StraightAccount(number, "CNY", debit, credit)
    whole = state_of(limits)
    decision = decide(batch, whole, at=AT)
    assert outcomes(decision.answers) == straight.post(batch, NOW)
    for number in (1, 2, 3):
        assert whole.accounts["town", number].counters() == straight.counters(number)

    assert [r.id for r in decision.records] == [row["id"] for row in straight.rows]
    head = genesis("town", "own")
    for record in decision.records:
        head = seal(head, record)
        assert record.hash == head
    assert whole.books["town"].head == head

    pieces = state_of(limits)
    answers, records = [], []
    for piece in cut(batch, places):
        part = decide(piece, pieces, at=AT)
        answers += part.answers
        records += part.records
    assert answers == decision.answers
    assert records == decision.records
    assert pieces.books["town"].head == whole.books["town"].head


@settings(max_examples=100, deadline=None)
@given(batch=batches())
def test_sending_everything_again_changes_nothing(batch: list[Transfer]) -> None:
    state = free()
    first = decide(batch, state, at=AT)
    head = state.books["town"].head
    seen: set[UUID] = set()
    once = []
    for t, answer in zip(batch, first.answers, strict=True):
        if answer.outcome is Outcome.CREATED and t.id not in seen:
            seen.add(t.id)
            once.append(replace(t, linked=False))
    assert set(judge(state, *once)) <= {"exists"}
    assert state.books["town"].head == head


def test_records_continue_the_chain_and_the_clock() -> None:
    state = free()
    batch = [transfer(1, 2, 10), transfer(2, 3, 5), transfer(1, 3, 1)]
    records = decide(batch, state, at=AT).records
    assert [r.at for r in records] == [AT, AT + 1, AT + 2]
    head = genesis("town", "own")
    for record in records:
        head = seal(head, record)
        assert record.hash == head
    later = decide([transfer(1, 2, 1)], state, at=AT - 3_600_000_000).records
    assert later[0].at == AT + 3, "a clock that goes back does not take the books with it"


def test_limits_count_holds_and_end_exactly_at_the_limit() -> None:
    state = state_of([(100, None), (None, 120)])
    assert judge(state, transfer(1, 2, 60), hold(1, 2, 40)) == ["created", "created"]
    assert judge(state, transfer(1, 2, 1)) == ["exceeds_debit_limit"]
    assert judge(state_of([(None, None), (None, 120)]), transfer(1, 2, 121)) == [
        "exceeds_credit_limit"
    ]


def test_at_most_moves_what_is_there_but_not_nothing() -> None:
    state = state_of([(30, None), (None, None)])
    first = transfer(1, 2, 100, at_most=True)
    (answer,) = decide([first], state, at=AT).answers
    assert answer.record is not None
    assert answer.record.posted_minor == 30
    assert judge(state, first) == ["exists"]
    assert judge(state, transfer(1, 2, 5, at_most=True)) == ["exceeds_debit_limit"]


def test_a_hold_can_be_posted_until_it_expires_and_voided_afterwards() -> None:
    state = free()
    kept = [hold(1, 2, 10, expires_at=NOW + timedelta(hours=1)) for _ in range(2)]
    assert judge(state, *kept) == ["created", "created"]
    end = microseconds(NOW + timedelta(hours=1))
    assert judge(state, resolve(Kind.POST, kept[0].id), at=end) == ["pending_expired"]
    assert judge(state, resolve(Kind.POST, kept[0].id), at=end - 1) == ["created"]
    assert judge(state, resolve(Kind.VOID, kept[1].id), at=end) == ["created"]
    assert state.accounts["town", 1].counters() == (10, 0, 0, 0)


def test_a_part_of_a_hold_is_posted_and_the_rest_released() -> None:
    state = state_of([(10, None), (None, None)])
    kept = hold(1, 2, 10)
    answers = judge(state, kept, resolve(Kind.POST, kept.id, 4), resolve(Kind.VOID, kept.id))
    assert answers == ["created", "created", "pending_resolved"]
    assert state.accounts["town", 1].counters() == (4, 0, 0, 0)
    assert judge(state, transfer(1, 2, 6)) == ["created"]


def test_a_reversal_mirrors_once_and_is_not_reversed_itself() -> None:
    state = free()
    paid = transfer(1, 2, 10)
    back = resolve(Kind.REVERSAL, paid.id)
    assert judge(state, paid, back, resolve(Kind.REVERSAL, paid.id)) == [
        "created",
        "created",
        "already_reversed",
    ]
    assert judge(state, resolve(Kind.REVERSAL, back.id)) == ["original_not_found"]
    assert state.accounts["town", 1].counters() == (10, 0, 10, 0)


# The three faults that the random check found in the prototype.


def test_two_accounts_of_another_book_do_not_meet_in_this_one() -> None:
    state = free()
    other = BookState("other", DAY, None, last_at=0, head=genesis("other", "own"))
    state.books = {**state.books, "other": other}
    assert judge(state, transfer(1, 2, 10, book="other")) == ["account_not_found"]
    assert judge(state, transfer(1, 2, 10, book="nowhere")) == ["book_not_found"]


def test_a_repeat_of_a_success_is_not_answered_by_the_limit_it_used_up() -> None:
    state = state_of([(10, None), (None, None)])
    paid = transfer(1, 2, 10)
    assert judge(state, paid) == ["created"]
    assert judge(state, paid) == ["exists"]
    assert judge(state, replace(paid, amount_minor=9)) == ["id_conflict"]


def test_a_known_end_of_a_chain_still_ends_it() -> None:
    state = free()
    known = transfer(2, 3, 5)
    assert judge(state, known) == ["created"]
    chain = [transfer(1, 2, 1, linked=True), known]
    beside = transfer(1, 3, 7)
    assert judge(state, *chain, beside) == ["linked_failed", "exists", "created"]
    whole = [transfer(1, 2, 1, linked=True), transfer(2, 3, 1)]
    assert judge(state, *whole, beside) == ["created", "created", "exists"]
    assert judge(state, *whole, transfer(1, 2, 2)) == ["exists", "exists", "created"]


def test_a_chain_without_end_is_refused_and_leaves_no_trace() -> None:
    state = free()
    open_end = [transfer(1, 2, 1, linked=True), transfer(1, 2, 1, linked=True)]
    assert judge(state, transfer(1, 2, 3), *open_end) == ["created", *["link_is_open"] * 2]
    assert state.accounts["town", 1].counters() == (3, 0, 0, 0)


def test_what_a_failed_chain_resolved_is_open_again() -> None:
    state = free()
    kept = hold(1, 2, 10)
    failing = [resolve(Kind.POST, kept.id, linked=True), transfer(1, 9, 1)]
    assert judge(state, kept, *failing, resolve(Kind.VOID, kept.id)) == [
        "created",
        "linked_failed",
        "account_not_found",
        "created",
    ]


def test_the_causes_may_differ_in_a_repeat() -> None:
    state = free()
    paid = transfer(1, 2, 10)
    again = replace(paid, cause="policy.card@7", decision_id=UUID(int=9))
    assert judge(state, paid, again) == ["created", "exists"]


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("amount_minor", {"amount_minor": 0}),
    ("amount_minor", {"amount_minor": -5}),
    ("amount_minor", {"amount_minor": MAX_MINOR + 1}),
    ("amount_minor", {"amount_minor": True}),
    ("amount_minor", {"amount_minor": None}),
    ("debit", {"debit": None}),
    ("credit", {"credit": 1}),
    ("credit", {"credit": "a:1"}),
    ("currency", {"currency": None}),
    ("refers_to", {"refers_to": UUID(int=1)}),
    ("refers_to", {"kind": Kind.POST}),
    ("expires_at", {"expires_at": NOW + timedelta(1)}),
    ("expires_at", {"kind": Kind.HOLD, "expires_at": NOW}),
    ("cause", {"cause": ""}),
    ("cause", {"cause": "because"}),
    ("cause", {"cause": "rule@1\nrule@2"}),
    ("effective_on", {"effective_on": NOW}),
    ("metadata", {"metadata": {}}),
    ("Big", {"metadata": {"Big": 1}}),
    ("rate", {"metadata": {"rate": 1.5}}),
    ("note", {"metadata": {"note": "a\tb"}}),
]


@pytest.mark.parametrize(("about", "change"), WRONG)
def test_what_cannot_be_meant_is_invalid(about: str, change: dict[str, Any]) -> None:
    (answer,) = decide([replace(transfer(1, 2, 5), **change)], free(), at=AT).answers
    assert (answer.outcome, answer.about) == (Outcome.INVALID, about)


@pytest.mark.parametrize(
    "value",
    ["li@example.com", "13800138000", "+86 138-0013-8000", "11010519491231002X", 4111111111111111],
)
def test_what_looks_like_a_person_is_not_written(value: str | int) -> None:
    batch = [transfer(1, 2, 5, metadata={"note": value}), transfer(1, 2, 5, metadata={"phone": 1})]
    assert judge(free(), *batch) == ["personal_data", "personal_data"]
    fine = {"order": "A-17", "cart": str(UUID(int=7)), "items": 3, "gift": True}
    assert judge(free(), transfer(1, 2, 5, metadata=fine)) == ["created"]


def test_the_first_of_several_faults_is_answered() -> None:
    state = state_of([(0, None), (None, 0)])
    state.accounts["town", 2].closed = True
    both = transfer(1, 2, 5)
    assert judge(state, replace(both, credit=9)) == ["account_not_found"]
    assert judge(state, replace(both, currency="USD")) == ["account_closed"]
    state.accounts["town", 2].closed = False
    assert judge(state, replace(both, currency="USD")) == ["currency_mismatch"]
    assert judge(state, both) == ["exceeds_debit_limit"]
    state.books["town"].closed_through = date(2026, 2, 28)
    early = replace(both, effective_on=date(2026, 2, 28))
    assert judge(state, early) == ["exceeds_debit_limit"]
    state.accounts["town", 1].debit_limit = None
    assert judge(state, early) == ["exceeds_credit_limit"]
    state.accounts["town", 2].credit_limit = None
    assert judge(state, early) == ["period_closed"]
    assert judge(state, replace(early, effective_on=date(2026, 3, 1))) == ["created"]


def test_counters_end_before_they_overflow() -> None:
    state = free()
    assert judge(state, transfer(1, 2, MAX_MINOR), transfer(1, 2, 1)) == [
        "created",
        "counter_overflow",
    ]


def test_instants_are_kept_to_the_microsecond() -> None:
    at = datetime.fromisoformat("2026-03-02T09:00:00.123457+00:00")
    assert instant(microseconds(at)) == at
