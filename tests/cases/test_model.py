"""The states of a case as a table, its service level, and its kinds."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard import cases
from steelyard.base import fact_classes
from steelyard.cases import (
    Case,
    CaseKind,
    CaseState,
    refusals,
)
from steelyard.cases.model.case import MOVES, CaseAction, Claim
from steelyard.cases.model.kind import CaseOutcome, Priority
from steelyard.cases.model.sla import Colour, Sla, WorkingHours
from steelyard.kernel import Refusal, calendar
from tests.cases.conftest import ANN, BOB, REVIEW

TABLE = Path(__file__).parents[1] / "tables" / "cases_states.txt"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MODULES = [m.name for m in pkgutil.walk_packages(cases.__path__, "steelyard.cases.")]


def table() -> Mapping[tuple[str, str], str]:
    """What the table says: (state, action) to the next state, "-" where it is refused."""
    lines = [x for x in TABLE.read_text(encoding="utf-8").splitlines() if x and x[0] != "#"]
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    states = rows[0][1:]
    return {
        (state, row[0]): after
        for row in rows[1:]
        for state, after in zip(states, row[1:], strict=True)
    }


def a_case(state: CaseState) -> Case:
    marks = REVIEW.sla.marks(NOW)
    claim = Claim(ANN, NOW, NOW + timedelta(hours=1)) if state is CaseState.CLAIMED else None
    return Case(
        id=UUID(int=7),
        kind=REVIEW.name,
        subject="payment:1",
        dedup_key="payment:1",
        state=state,
        version=3,
        priority=Priority.NORMAL,
        skill="cases.work",
        marks=marks,
        colour=Colour.GREEN,
        opened_at=NOW,
        opened_by="system:test",
        claim=claim,
    )


@pytest.mark.parametrize("action", list(CaseAction))
@pytest.mark.parametrize("state", list(CaseState))
def test_the_machine_is_the_one_of_the_table(state: CaseState, action: CaseAction) -> None:
    expected = table()[state.value, action.value]
    case = a_case(state)
    if expected == "-":
        with pytest.raises(refusals.CaseStateForbids):
            case.moved(action)
    else:
        assert case.moved(action) == CaseState(expected)


def test_the_table_leaves_nothing_out() -> None:
    assert set(table()) == {(s.value, a.value) for s in CaseState for a in CaseAction}
    assert set(table().values()) == {"-", *(s.value for s in CaseState)}
    reached = {MOVES[pair] for pair in MOVES}
    assert reached == set(CaseState), "every state is reached and left"
    assert {state for state, _ in MOVES} == set(CaseState)


def test_a_claim_is_renewed_taken_over_when_expired_and_not_before() -> None:
    case = a_case(CaseState.CLAIMED)
    assert case.claim is not None
    until = case.claim.until_wall_at
    theirs = Claim(BOB, NOW, until + timedelta(hours=1))
    with pytest.raises(refusals.CaseIsClaimed):
        case.claimed(theirs, wall_at=until - timedelta(microseconds=1))
    assert case.claimed(theirs, wall_at=until).claim == theirs
    mine = Claim(ANN, NOW, until + timedelta(hours=1))
    assert case.claimed(mine, wall_at=NOW).claim == mine


def test_what_time_does_next() -> None:
    case = a_case(CaseState.OPEN)
    seen = []
    while case.next_mark_at is not None:
        seen.append(case.next_mark_at)
        case = case.turned(case.next_mark_at)
    assert seen == [case.marks.amber_at, case.marks.red_at, case.marks.due_at]
    assert case.breached_at == case.marks.due_at
    assert a_case(CaseState.CLOSED).next_mark_at is None


# --- the service level ---------------------------------------------------------------------------

SHANGHAI = ZoneInfo("Asia/Shanghai")
OFFICE = WorkingHours("CN", "Asia/Shanghai")
instants = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1)).map(
    lambda at: at.replace(tzinfo=UTC)
)
spans = st.timedeltas(timedelta(seconds=1), timedelta(hours=60))


def test_working_hours_pass_over_feasts_nights_and_weekends() -> None:
    # 30 September 2026 is the last working day before the National Day holidays, back on the 8th.
    eve = datetime(2026, 9, 30, 17, 30, tzinfo=SHANGHAI)
    due = OFFICE.after(eve, timedelta(hours=2)).astimezone(SHANGHAI)
    assert due.isoformat() == "2026-10-08T10:30:00+08:00"
    night = datetime(2026, 3, 4, 2, 0, tzinfo=SHANGHAI)
    assert OFFICE.after(night, timedelta(hours=9)).astimezone(SHANGHAI).hour == 18
    # Five days of nine hours end at the hour at which they began, five business days later.
    tuesday = datetime(2026, 3, 3, 10, 0, tzinfo=SHANGHAI)
    week = OFFICE.after(tuesday, 5 * timedelta(hours=9)).astimezone(SHANGHAI)
    assert week.isoformat() == "2026-03-10T10:00:00+08:00"


def test_a_night_in_which_the_clocks_move_has_its_real_hours() -> None:
    always = WorkingHours("WEEKENDS", "Europe/Berlin", time(1), time(4))
    # The last Friday before summer time, and the Monday after it.
    friday = datetime(2026, 3, 27, 1, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    due = always.after(friday, timedelta(hours=4))
    assert due == datetime(2026, 3, 30, 0, 0, tzinfo=UTC)


@given(at=instants, span=spans, more=spans)
def test_working_time_adds_up(at: datetime, span: timedelta, more: timedelta) -> None:
    first = OFFICE.after(at, span)
    assert OFFICE.after(first, more) == OFFICE.after(at, span + more)
    assert first >= at + span
    local = first.astimezone(SHANGHAI)
    assert calendar("CN").is_business_day(local.date())
    assert time(9) < local.time() <= time(18)
    later = OFFICE.after(at + more, span)
    assert later >= first


@given(
    at=instants,
    within=spans,
    shares=st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)).map(sorted),
    hours=st.sampled_from([None, OFFICE]),
    now=instants,
)
def test_marks_are_in_order_and_colours_follow(
    at: datetime, within: timedelta, shares: list[int], hours: WorkingHours | None, now: datetime
) -> None:
    marks = Sla(within, hours, *shares).marks(at)
    assert at < marks.amber_at <= marks.red_at <= marks.due_at
    colour = marks.colour(now)
    assert (colour is Colour.GREEN) == (now < marks.amber_at)
    assert (colour is Colour.RED) == (now >= marks.red_at)


# --- kinds, refusals, facts ----------------------------------------------------------------------


def test_a_kind_is_checked_when_it_is_made() -> None:
    good = (CaseOutcome("good", "Good", "好"),)
    sla = Sla(timedelta(hours=1))
    for name, outcomes in (("review", good), ("toys.a", ()), ("toys.a", good * 2)):
        with pytest.raises(AssertionError):
            CaseKind(name, "A", "甲", sla, outcomes)
    for within in (timedelta(0), timedelta(days=400)):
        with pytest.raises(AssertionError):
            Sla(within)
    with pytest.raises(AssertionError):
        Sla(timedelta(hours=1), None, 9_000, 8_000)


def test_a_name_stands_for_one_kind() -> None:
    assert cases.registry.register_kind(REVIEW) is REVIEW
    other = CaseKind("toys.review", "Other", "其他", REVIEW.sla, REVIEW.outcomes)
    with pytest.raises(AssertionError):
        cases.registry.register_kind(other)


def test_refusals_speak_both_languages() -> None:
    named = [r for r in vars(refusals).values() if isinstance(r, type)]
    found = [r for r in named if issubclass(r, Refusal) and r is not Refusal]
    assert len(found) >= 15
    facts = {"case": "c", "name": "n", "outcome": "o", "kind": "k", "known": "x", "group": "g"}
    for one in found:
        assert one(**facts).sentence("en") != one(**facts).sentence("zh-CN")


def test_facts_are_registered() -> None:
    told = {kind for kind, _ in fact_classes() if kind.startswith("cases.")}
    assert {
        "cases.CaseOpened",
        "cases.CaseClaimed",
        "cases.CaseClosed",
        "cases.CaseReopened",
    } <= told


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for name in MODULES for t in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) >= 5


def test_the_door_opens() -> None:
    for name in cases.__all__:
        assert getattr(cases, name) is not None
    with pytest.raises(AttributeError):
        _ = cases.nothing_of_the_kind
