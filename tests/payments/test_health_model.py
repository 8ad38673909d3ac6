"""Breakers, calendars and retry rules."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.payments.model.attempts import AttemptState
from steelyard.payments.model.breaker import Breaker, BreakerState, OpenedBy, Paid
from steelyard.payments.model.channel import Capability, Decline, Hours, Method
from steelyard.payments.model.channel_calendar import (
    MAINTENANCE,
    OUTSIDE_HOURS,
    Window,
    WindowDoesNotFit,
    check_window,
    closed_between,
)
from steelyard.payments.model.retries import (
    RULES,
    NextStep,
    RetryBudget,
    next_step,
    wait_before,
)

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
CLOSED, OPEN, HALF = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def note(breaker: Breaker, now: float, goods: Iterable[bool], merchant: object = 1) -> float:
    for good in goods:
        now += 1
        breaker.note(now, Paid(good, 0.9, merchant))
    return now


def opened(now: float = 1_000.0) -> tuple[Breaker, float]:
    breaker = Breaker(since=now)
    now = note(breaker, now, [False] * 5)
    assert breaker.state is OPEN
    assert breaker.opened_by is OpenedBy.TRAFFIC
    return breaker, now


def test_a_breaker_opens_half_opens_and_closes() -> None:
    breaker, now = opened()
    assert breaker.stands(now + 119) is OPEN
    now = breaker.until
    assert breaker.stands(now) is HALF
    now = note(breaker, now, [True] * 3)
    assert breaker.state is HALF
    note(breaker, now, [True])
    assert breaker.state is CLOSED


def test_a_half_open_breaker_opens_again_for_longer() -> None:
    breaker, _ = opened()
    note(breaker, breaker.until, [False, False])
    assert breaker.state is OPEN
    assert breaker.trips == 2
    assert breaker.until - breaker.since == 240


def test_a_usual_day_opens_next_to_nothing() -> None:
    """At least 22,000 payments lie between false alarms, as its threshold promises."""
    trips = 0
    for seed in range(20):
        chance, breaker = Random(seed), Breaker(since=0.0)
        for n in range(3_000):
            moved = breaker.note(float(n), Paid(chance.random() < 0.9, 0.9, 1))
            trips += moved is not None and moved.after is OPEN
    assert trips <= 3


def test_case_23_a_flapping_channel_is_left_alone_for_longer_each_time() -> None:
    breaker, now, waits = Breaker(since=0.0), 1_000.0, []
    for _ in range(6):
        now = note(breaker, now, [False] * 12)
        assert breaker.stands(now) is OPEN
        waits.append(breaker.until - breaker.since)
        now = breaker.until
        # It is well for just long enough to be taken back, and falls again.
        for _ in range(40):
            if breaker.state is CLOSED:
                break
            now = note(breaker, now, [True])
        assert breaker.state is CLOSED
    assert waits == [120, 240, 480, 960, 1_800, 1_800]
    # An hour of calm forgets one trip.
    before = breaker.trips
    note(breaker, now + 3_601, [True])
    assert breaker.trips == before - 1


def test_case_24_good_probes_never_close_what_real_traffic_opened() -> None:
    breaker, now = opened()
    for _ in range(200):
        now += 30
        assert breaker.probe(now, is_good=True) is None
    assert breaker.stands(now) is HALF
    assert breaker.state is not CLOSED
    # Real payments fail still: it opens again, whatever probes say.
    now = note(breaker, now, [False] * 2)
    assert breaker.stands(now) is OPEN
    now = note(breaker, breaker.until, [True] * 8)
    assert breaker.state is CLOSED


def test_probes_open_and_close_what_probes_opened() -> None:
    breaker, now = Breaker(since=0.0), 100.0
    for _ in range(2):
        assert breaker.probe(now, is_good=False) is None
    moved = breaker.probe(now, is_good=False)
    assert moved is not None
    assert (moved.after, moved.by) == (OPEN, OpenedBy.PROBES)
    until = breaker.until
    breaker.probe(now + 60, is_good=False)
    assert breaker.until == until + 60
    steps = [breaker.probe(now + 61 + n, is_good=True) for n in range(9)]
    assert [step.after for step in steps if step] == [HALF, CLOSED]


def test_a_person_cuts_a_channel_off_until_a_person_takes_it_back() -> None:
    breaker = Breaker(since=0.0)
    breaker.force(10.0, state=OPEN)
    assert breaker.stands(10.0**9) is OPEN
    for n in range(20):
        breaker.probe(20.0 + n, is_good=True)
    note(breaker, 50.0, [True] * 50)
    assert breaker.stands(10.0**9) is OPEN
    breaker.force(60.0, state=CLOSED)
    assert breaker.stands(60.0) is CLOSED


def test_one_merchant_of_several_cannot_open_a_breaker_alone() -> None:
    breaker, now = Breaker(since=0.0), 0.0
    for _ in range(30):
        now = note(breaker, now, [True], merchant=2)
        now = note(breaker, now, [False] * 3, merchant=1)
    assert breaker.trips == 0
    now = note(breaker, now, [False] * 6, merchant=2)
    assert breaker.state is OPEN


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0.1, 600)), max_size=120))
def test_a_breaker_is_never_open_without_an_end_but_by_a_person(
    steps: list[tuple[bool, bool, float]],
) -> None:
    breaker, now = Breaker(since=0.0), 0.0
    for is_probe, is_good, wait in steps:
        now += wait
        if is_probe:
            breaker.probe(now, is_good=is_good)
        else:
            breaker.note(now, Paid(is_good, 0.9, 1))
        assert breaker.stands(now + 1_801) is not OPEN
        assert (breaker.opened_by is OpenedBy.NOTHING) == (breaker.state is CLOSED)


def window(**changes: object) -> Window:
    return Window(id=UUID(int=1), channel="uni", reason="upgrade", **changes)  # type: ignore[arg-type]


ALL_DAY = Capability(methods=(Method.SCAN,))


def test_recurring_maintenance_follows_the_channels_own_clock() -> None:
    nights = window(
        weekdays=(6,),
        opens=time(23),
        closes=time(1, 30),
        from_on=date(2026, 3, 1),
        until_on=date(2026, 3, 8),
    )
    start = datetime(2026, 2, 25, tzinfo=UTC)
    found = closed_between(ALL_DAY, [nights], start, start + timedelta(days=30))
    assert [datetime.fromtimestamp(one.start, UTC) for one in found] == [
        datetime(2026, 3, 1, 15, tzinfo=UTC),
        datetime(2026, 3, 8, 15, tzinfo=UTC),
    ]
    assert {one.end - one.start for one in found} == {2.5 * 3_600}
    assert {one.why for one in found} == {MAINTENANCE}


def test_hours_over_midnight_and_summer_time() -> None:
    late = Capability(
        methods=(Method.SCAN,), timezone="Europe/Berlin", hours=Hours(time(22), time(4))
    )
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    found = closed_between(late, (), start, start + timedelta(days=1))
    # 04:00 to 22:00 local: on the day that begins in winter time and ends in summer's too.
    assert [(one.end - one.start) / 3_600 for one in found] == [18.0, 18.0]
    assert {one.why for one in found} == {OUTSIDE_HOURS}
    assert datetime.fromtimestamp(found[1].start, UTC).hour == 2


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"starts_at": AT, "ends_at": AT},
        {"starts_at": AT - timedelta(hours=2), "ends_at": AT - timedelta(hours=1)},
        {"opens": time(1), "closes": time(2)},
        {"opens": time(1), "closes": time(2), "from_on": date(2026, 3, 2), "weekdays": (7,)},
        {
            "opens": time(1),
            "closes": time(2),
            "from_on": date(2026, 3, 2),
            "until_on": date(2026, 3, 1),
        },
    ],
)
def test_windows_that_cannot_be_meant_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(WindowDoesNotFit):
        check_window(window(**changes), AT)


def test_every_reason_has_a_rule() -> None:
    assert set(RULES) == set(Decline)


@pytest.mark.parametrize("state", list(AttemptState))
def test_nothing_follows_an_attempt_whose_end_is_unknown(state: AttemptState) -> None:
    for decline in (None, *Decline):
        step = next_step(state, decline)
        assert (step is not None) == (state in (AttemptState.DECLINED, AttemptState.CLOSED))


def test_the_same_channel_is_asked_again_once() -> None:
    state = AttemptState.DECLINED
    assert next_step(state, Decline.CHANNEL_BUSY) is NextStep.RETRY_SAME
    assert next_step(state, Decline.CHANNEL_BUSY, same_before=1) is NextStep.RETRY_OTHER
    assert next_step(state, Decline.STOLEN_CARD) is NextStep.STOP
    assert next_step(state, Decline.INSUFFICIENT_FUNDS) is NextStep.ASK_PAYER


def test_case_85_a_retry_storm_after_an_outage_is_spread_and_kept_under_its_budget() -> None:
    budget, now = RetryBudget(), AT
    for n in range(1_200):
        now = AT + timedelta(seconds=n / 10)
        budget.note_first(now)
    # All that failed in the outage come back in the same second.
    made = sum(budget.take(now) for _ in range(1_000))
    assert made <= 0.1 * 1_200
    assert made > 50
    waits = [wait_before(1, seed).total_seconds() for seed in range(2_000)]
    spread = [sum(low / 10 <= wait < (low + 1) / 10 for wait in waits) for low in range(10)]
    assert min(spread) > 100
    assert max(wait_before(retry, 3).total_seconds() for retry in range(1, 50)) <= 30
    # In a quiet hour a few are allowed whatever the share says.
    assert [RetryBudget().take(now) for _ in range(1)] == [True]
    quiet = RetryBudget()
    assert sum(quiet.take(now) for _ in range(10)) == 3
