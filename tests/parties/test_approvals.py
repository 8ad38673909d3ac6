"""Approvals: a state machine against a straight-line model, races, and what the database keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import hypothesis
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from steelyard.base import UnitOfWork
from steelyard.base.http import Caller, NotEntitled
from steelyard.kernel import Refusal
from steelyard.parties import access_upkeep, approvals
from steelyard.parties.model.approval import hash_of
from tests.conftest import Store
from tests.parties.office import Office

CAUSE = re.compile(r"^[a-z][A-Za-z0-9_.:-]*@[0-9A-Za-z.]+$")
PAY = approvals.approval_kind(
    "tests.pay",
    verb="tests.approve_payment",
    en="Pay",
    zh="付款",
    lives=timedelta(hours=2),
    version=7,
)
SHOWN = {"to": "account:7", "amount_minor": 500}
ANN, BOB, CAY = (f"staff:{UUID(int=n)}" for n in (1, 2, 3))
WATCHER = f"staff:{UUID(int=4)}"


def caller(actor: str) -> Caller:
    verbs = frozenset[str]() if actor == WATCHER else frozenset({PAY.verb})
    return Caller(actor, verbs)


@dataclass
class Desk:
    """Verbs of the approvals, each a transaction."""

    office: Office

    def request(self, by: str = ANN, **more: Any) -> approvals.Approval:
        told = {"kind": PAY.name, "subject": "payment:1", "shown": SHOWN, **more}
        return self.office.run(lambda unit: approvals.request_approval(unit, by=by, **told), by)

    def approve(self, asked: approvals.Approval, by: str = BOB, shown: str | None = None) -> Any:
        digest = asked.shown_hash if shown is None else shown
        return self.office.run(
            lambda unit: approvals.approve(unit, asked.id, by=caller(by), shown_hash=digest), by
        )

    def reject(self, asked: approvals.Approval, by: str = BOB) -> Any:
        return self.office.run(
            lambda unit: approvals.reject(
                unit, asked.id, by=caller(by), shown_hash=asked.shown_hash, reason="no"
            ),
            by,
        )

    def withdraw(self, asked: approvals.Approval, by: str = ANN) -> Any:
        return self.office.run(lambda unit: approvals.withdraw(unit, asked.id, by=by), by)

    def consume(self, asked: approvals.Approval, **more: Any) -> str:
        told = {"kind": PAY.name, "subject": "payment:1", "shown": SHOWN, **more}
        return self.office.run(
            lambda unit: approvals.consume_approval(unit, asked.id, **told), "system:payer"
        )

    def sweep(self) -> int:
        return self.office.run(approvals.expire_approvals)

    def state(self, asked: approvals.Approval) -> str:
        with self.office.database.reading() as connection:
            found = approvals.read_approval(connection, asked.id)
        return found.at(self.office.wall.now())


@pytest.fixture
def desk(office: Office) -> Desk:
    return Desk(office)


# --- the ordinary way ----------------------------------------------------------------------------


def test_an_approval_is_requested_given_and_consumed(desk: Desk) -> None:
    asked = desk.request()
    assert json.loads(asked.shown) == SHOWN
    given_ = desk.approve(asked)
    assert (given_.state, given_.decided_by, given_.version) == ("approved", BOB, 2)
    cause = desk.consume(asked)
    assert cause == f"approval:{asked.id}@7"
    assert CAUSE.match(cause)
    facts = desk.office.facts(f"approval:{asked.id}")
    assert [kind for kind, _ in facts] == ["ApprovalRequested", "ApprovalGiven", "ApprovalConsumed"]
    assert facts[-1][1]["cause"] == cause
    assert "amount_minor" not in json.dumps([payload for _, payload in facts])
    assert desk.office.audited()[-3:] == ["request_approval", "approve", "consume_approval"]


@pytest.mark.parametrize(
    ("by", "refusal"),
    [
        (ANN, approvals.MakerIsChecker),
        (WATCHER, NotEntitled),
        ("key:ak_x", approvals.ApprovalNeedsAPerson),
        (f"party:{UUID(int=5)}", approvals.ApprovalNeedsAPerson),
        ("system:steelyard", approvals.ApprovalNeedsAPerson),
    ],
)
def test_who_may_not_decide(desk: Desk, by: str, refusal: type[Refusal]) -> None:
    asked = desk.request()
    for decide in (desk.approve, desk.reject):
        with pytest.raises(refusal):
            decide(asked, by)
    assert desk.state(asked) == "requested"


def test_what_was_shown_is_what_is_confirmed_and_done(desk: Desk) -> None:
    asked = desk.request()
    _, other = hash_of(PAY.name, "payment:1", {**SHOWN, "amount_minor": 501})
    with pytest.raises(approvals.ShownDiffers):
        desk.approve(asked, shown=other)
    desk.approve(asked)
    for change in (
        {"shown": {**SHOWN, "amount_minor": 501}},
        {"shown": {}},
        {"subject": "payment:2"},
        {"kind": "access.grant_role"},
    ):
        with pytest.raises(approvals.ApprovalIsForSomethingElse):
            desk.consume(asked, **change)
    desk.consume(asked, shown=dict(reversed(SHOWN.items())))


def test_what_rolls_back_leaves_the_approval_open(desk: Desk) -> None:
    asked = desk.request()
    desk.approve(asked)

    def fail(unit: UnitOfWork) -> None:
        approvals.consume_approval(unit, asked.id, kind=PAY.name, subject="payment:1", shown=SHOWN)
        raise KeyError

    with pytest.raises(KeyError):
        desk.office.run(fail)
    assert desk.state(asked) == "approved"
    desk.consume(asked)


def test_time_runs_out_before_and_after_the_decision(desk: Desk) -> None:
    waiting, given_ = desk.request(), desk.request()
    desk.approve(given_)
    desk.office.later(hours=2)
    for attempt in (desk.approve, desk.reject, desk.withdraw):
        with pytest.raises(approvals.ApprovalHasExpired):
            attempt(waiting)
    with pytest.raises(approvals.ApprovalHasExpired):
        desk.consume(given_)
    assert [desk.state(a) for a in (waiting, given_)] == ["expired", "expired"]
    assert desk.sweep() == 2
    assert desk.sweep() == 0
    assert [k for k, _ in desk.office.facts("approval:%")][-2:] == ["ApprovalExpired"] * 2
    short = desk.request(expires_in=timedelta(minutes=1))
    desk.office.later(seconds=59)
    desk.approve(short)
    desk.office.later(seconds=1)
    assert desk.office.run(access_upkeep.keep_access_up)["approvals"] == 1
    with pytest.raises(approvals.WaitIsTooLong):
        desk.request(expires_in=timedelta(days=31))


def test_unknown_approvals_and_kinds(desk: Desk) -> None:
    with pytest.raises(approvals.ApprovalKindIsUnknown):
        desk.request(kind="nobody.knows")
    asked = desk.request()
    ghost = approvals.Approval(**{**_fields(asked), "id": uuid4()})
    for attempt in (desk.approve, desk.reject, desk.withdraw, desk.consume):
        with pytest.raises(approvals.ApprovalIsUnknown):
            attempt(ghost)
    with pytest.raises(approvals.ApprovalIsNotYours):
        desk.withdraw(asked, CAY)


def _fields(approval: approvals.Approval) -> dict[str, Any]:
    return {name: getattr(approval, name) for name in approval.__dataclass_fields__}


# --- what is shown -------------------------------------------------------------------------------

_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_SHOWN = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        _LEAVES,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@given(_SHOWN, _SHOWN, st.sampled_from(["a.b", "a.c"]), st.sampled_from(["x:1", "x:2"]))
def test_equal_things_hash_alike_and_others_do_not(
    one: dict[str, Any], two: dict[str, Any], kind: str, subject: str
) -> None:
    text, digest = hash_of("a.b", "x:1", one)
    assert json.loads(text) == one
    again = hash_of("a.b", "x:1", json.loads(text))
    assert again == (text, digest)
    shuffled = dict(reversed(one.items()))
    assert hash_of("a.b", "x:1", shuffled)[1] == digest
    is_same = (text, "a.b", "x:1") == (hash_of("a.b", "x:1", two)[0], kind, subject)
    assert (hash_of(kind, subject, two)[1] == digest) == is_same


@pytest.mark.parametrize("value", [0.5, b"x", {1: "x"}, [0.5], {"a": {"b": object()}}, {1, 2}])
def test_what_has_no_one_spelling_is_not_shown(value: Any) -> None:
    with pytest.raises(approvals.ShownIsMalformed):
        hash_of("a.b", "x:1", {"v": value})


# --- at once -------------------------------------------------------------------------------------


def _at_once(attempts: list[Callable[[], Any]]) -> list[Any]:
    def run(attempt: Callable[[], Any]) -> Any:
        try:
            return attempt()
        except Refusal as refusal:
            return type(refusal)

    with ThreadPoolExecutor(len(attempts)) as threads:
        return list(threads.map(run, attempts))


def test_of_many_who_consume_one_does(desk: Desk) -> None:
    asked = desk.request()
    desk.approve(asked)
    told = _at_once([lambda: desk.consume(asked)] * 8)
    assert told.count(asked.cause) == 1
    assert told.count(approvals.ApprovalIsNotOpen) == 7
    assert [k for k, _ in desk.office.facts("approval:%")].count("ApprovalConsumed") == 1


def test_of_many_who_decide_one_does(desk: Desk) -> None:
    for _ in range(5):
        asked = desk.request()
        told = _at_once(
            [
                lambda: desk.approve(asked, BOB).state,  # noqa: B023
                lambda: desk.reject(asked, CAY).state,  # noqa: B023
                lambda: desk.withdraw(asked, ANN).state,  # noqa: B023
            ]
        )
        assert told.count(approvals.ApprovalIsNotOpen) == 2
        assert desk.state(asked) in told


# --- the database --------------------------------------------------------------------------------


def test_the_database_refuses_what_a_wrong_caller_tries(desk: Desk, store: Store) -> None:
    asked = desk.request()
    done = desk.request()
    desk.approve(done)
    desk.consume(done)
    tries: list[tuple[str, UUID, type[Exception]]] = [
        ("SET shown = '{}'", asked.id, psycopg.errors.InsufficientPrivilege),
        ("SET requested_by = 'staff:x'", asked.id, psycopg.errors.InsufficientPrivilege),
        ("SET state = 'consumed'", asked.id, psycopg.errors.RestrictViolation),
        ("SET state = 'approved'", asked.id, psycopg.errors.CheckViolation),
        (
            "SET state = 'approved', decided_by = requested_by, decided_at = now()",
            asked.id,
            psycopg.errors.CheckViolation,
        ),
        (
            "SET state = 'approved', decided_by = 'key:x', decided_at = now()",
            asked.id,
            psycopg.errors.CheckViolation,
        ),
        ("SET state = 'approved', closed_at = NULL", done.id, psycopg.errors.RestrictViolation),
        ("SET state = 'requested'", done.id, psycopg.errors.RestrictViolation),
    ]
    with psycopg.connect(store.conninfo(), autocommit=True) as app:
        for change, approval, error in tries:
            with pytest.raises(error):
                app.execute(f"UPDATE parties.approval {change} WHERE id = %s", (approval,))  # type: ignore[arg-type]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("DELETE FROM parties.approval")


# --- against a model -----------------------------------------------------------------------------


@dataclass
class Expected:
    """One approval, as the rules in words say it should stand."""

    asked: approvals.Approval
    by: str
    shown: dict[str, Any]
    until: Any
    state: str = "requested"
    consumed: int = 0

    def now(self, at: Any) -> str:
        is_open = self.state in ("requested", "approved")
        return "expired" if is_open and at >= self.until else self.state


class ApprovalMachine(RuleBasedStateMachine):
    """Random people do random things at random times; the model knows what may happen."""

    desk: Desk
    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Expected] = []

    people = st.sampled_from([ANN, BOB, CAY, WATCHER])

    @rule(target=made, by=people, minutes=st.integers(1, 90), amount=st.integers(1, 3))
    def request(self, by: str, minutes: int, amount: int) -> Expected:
        shown = {"amount_minor": amount}
        asked = self.desk.request(by, shown=shown, expires_in=timedelta(minutes=minutes))
        until = self.desk.office.wall.now() + timedelta(minutes=minutes)
        one = Expected(asked, by, shown, until)
        self.all.append(one)
        return one

    @rule(minutes=st.integers(1, 60))
    def wait(self, minutes: int) -> None:
        self.desk.office.later(minutes=minutes)

    @rule(one=made, by=people, right=st.booleans())
    def approve(self, one: Expected, by: str, right: bool) -> None:
        may = self._may_decide(one, by) and right
        digest = one.asked.shown_hash if right else "0" * 64
        self._try(lambda: self.desk.approve(one.asked, by, digest), one, may, "approved")

    @rule(one=made, by=people)
    def reject(self, one: Expected, by: str) -> None:
        may = self._may_decide(one, by)
        self._try(lambda: self.desk.reject(one.asked, by), one, may, "rejected")

    @rule(one=made, by=people)
    def withdraw(self, one: Expected, by: str) -> None:
        may = by == one.by and self._state(one) == "requested"
        self._try(lambda: self.desk.withdraw(one.asked, by), one, may, "withdrawn")

    @rule(one=made, right=st.booleans())
    def consume(self, one: Expected, right: bool) -> None:
        may = right and self._state(one) == "approved"
        shown = one.shown if right else {"amount_minor": 99}
        if self._try(lambda: self.desk.consume(one.asked, shown=shown), one, may, "consumed"):
            one.consumed += 1

    @rule()
    def sweep(self) -> None:
        at = self.desk.office.wall.now()
        due = [one for one in self.all if one.now(at) == "expired" and one.state != "expired"]
        assert self.desk.sweep() == len(due)
        for one in due:
            one.state = "expired"

    @invariant()
    def states_agree(self) -> None:
        for one in self.all[-4:]:
            assert self.desk.state(one.asked) == self._state(one)
            assert one.consumed <= 1

    def teardown(self) -> None:
        names = {
            "requested": [],
            "approved": ["ApprovalGiven"],
            "rejected": ["ApprovalRejected"],
            "withdrawn": ["ApprovalWithdrawn"],
            "consumed": ["ApprovalGiven", "ApprovalConsumed"],
        }
        for one in self.all:
            told = [k for k, _ in self.desk.office.facts(f"approval:{one.asked.id}")]
            assert told[0] == "ApprovalRequested"
            if one.state == "expired":
                assert told[-1] == "ApprovalExpired"
            else:
                assert told[1:] == names[one.state]
        # The next example shares the database: nothing open is left to it.
        self.desk.office.later(days=40)
        self.desk.sweep()

    def _state(self, one: Expected) -> str:
        return one.now(self.desk.office.wall.now())

    def _may_decide(self, one: Expected, by: str) -> bool:
        return by not in (one.by, WATCHER) and self._state(one) == "requested"

    def _try(self, attempt: Callable[[], Any], one: Expected, may: bool, state: str) -> bool:
        try:
            attempt()
        except Refusal:
            assert not may
            return False
        assert may
        one.state = state
        return True


def _run(desk: Desk, examples: int, steps: int) -> None:
    machine = type("Machine", (ApprovalMachine,), {"desk": desk})
    run_machine(
        machine,
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )


def test_approvals_do_what_the_model_says(desk: Desk) -> None:
    _run(desk, 15, 25)


@pytest.mark.long
def test_approvals_do_what_the_model_says_for_long(desk: Desk) -> None:
    _run(desk, 200, 60)
