"""The one function: what holds for every contract, whatever happens to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.cashflows import Standing, Terms, form, plan, quote_payoff, run
from steelyard.cashflows.model.allocation import Advance, Allocation, Direction, Part
from steelyard.cashflows.model.daycount import DayCount
from steelyard.cashflows.model.events import Any as AnyEvent
from steelyard.cashflows.model.events import (
    Disbursed,
    DueDatesMoved,
    Extended,
    FeeCharged,
    InterestPaused,
    PaidOff,
    PayoffUntil,
    PrepaidPart,
    RateChanged,
    ReAged,
    Refunded,
    Repaid,
    Reversed,
    Waived,
    WrittenOff,
)
from steelyard.cashflows.model.refusals import EventIsInvalid
from steelyard.cashflows.model.terms import (
    Accrues,
    Fee,
    FeeOf,
    FeeWhen,
    InterestOn,
    Method,
    Penalty,
    Prepay,
    Unit,
)

START = date(2024, 1, 31)
PARTS = [Part.PENALTY, Part.FEE, Part.INTEREST, Part.PRINCIPAL]


@st.composite
def terms_of(draw: st.DrawFn) -> Terms:
    """Return the terms of some contract."""
    method = draw(st.sampled_from(Method))
    n = draw(st.integers(1, 14))
    flat = method in (Method.EQUAL_PRINCIPAL, Method.FIXED_PRINCIPAL) and draw(st.booleans())
    outstanding = not flat and draw(st.booleans())
    return Terms(
        principal_minor=draw(st.integers(1, 5_000_000)),
        start_on=START + timedelta(days=draw(st.integers(0, 40))),
        instalments=n,
        every=draw(st.integers(1, 3)),
        unit=draw(st.sampled_from(Unit)),
        rate=Decimal(draw(st.integers(0, 3_600))) / 10_000,
        method=method,
        interest_on=InterestOn.ORIGINAL if flat else InterestOn.BALANCE,
        accrues=Accrues.OUTSTANDING if outstanding else Accrues.PLANNED,
        day_count=draw(
            st.sampled_from(
                [DayCount.PERIODS, DayCount.ACT_365F, DayCount.THIRTY_E_360, DayCount.ACT_ACT_ISDA]
            )
        ),
        principal_share=Decimal("0.05") if method is Method.FIXED_PRINCIPAL else None,
        down_payment=draw(st.sampled_from([None, None, Decimal("0.2")])),
        grace_principal=draw(st.integers(0, min(2, n - 1))),
        grace_interest=draw(st.integers(0, min(2, n - 1))),
        interest_free=draw(st.integers(0, min(1, n))),
        fees=draw(
            st.sampled_from(
                [
                    (),
                    (Fee(code="service", when=FeeWhen.EACH, rate=Decimal("0.005")),),
                    (
                        Fee(code="opening", when=FeeWhen.UPFRONT, amount_minor=500),
                        Fee(
                            code="account",
                            when=FeeWhen.EACH,
                            rate=Decimal("0.001"),
                            of=FeeOf.BALANCE,
                        ),
                    ),
                ]
            )
        ),
        penalty=draw(
            st.sampled_from(
                [None, Penalty(rate=Decimal("0.36")), Penalty(rate=Decimal("0.2"), grace_days=3)]
            )
        ),
        allocation=Allocation.of(
            draw(st.permutations(PARTS)),
            direction=draw(st.sampled_from(Direction)),
            advance=draw(st.sampled_from(Advance)),
        ),
        prepay=draw(st.sampled_from(Prepay)),
    )


@st.composite
def lives(draw: st.DrawFn) -> tuple[Terms, list[AnyEvent], date]:
    """Return a contract, what happened to it, and a day on which to look."""
    terms = draw(terms_of())
    ends = plan(terms).rows[-1].due_on
    days = (ends - terms.start_on).days
    count = draw(st.integers(0, 7))
    events: list[AnyEvent] = []
    for seq in range(1, count + 1):
        on = terms.start_on + timedelta(days=draw(st.integers(0, days + 40)))
        amount = draw(st.integers(1, terms.principal_minor * 2))
        kind = draw(st.integers(0, 9))
        made: AnyEvent
        if kind <= 3:
            made = Repaid(seq=seq, on=on, amount_minor=min(amount, terms.principal_minor // 3 + 1))
        elif kind == 4:
            made = PrepaidPart(
                seq=seq, on=on, amount_minor=amount, plan=draw(st.sampled_from([None, *Prepay]))
            )
        elif kind == 5:
            made = PaidOff(
                seq=seq, on=on, amount_minor=amount * 2, until=draw(st.sampled_from(PayoffUntil))
            )
        elif kind == 6:
            made = RateChanged(seq=seq, on=on, rate=Decimal(draw(st.integers(0, 40))) / 100)
        elif kind == 7:
            made = InterestPaused(seq=seq, on=on, until=on + timedelta(days=20))
        elif kind == 8:
            made = ReAged(
                seq=seq,
                on=on,
                first_due_on=on + timedelta(days=draw(st.integers(1, 40))),
                instalments=draw(st.integers(1, 6)),
            )
        else:
            made = FeeCharged(seq=seq, on=on, code="letter", amount_minor=1_000)
        events.append(made)
    if draw(st.booleans()) and draw(st.booleans()):
        on = ends + timedelta(days=10)
        events.append(WrittenOff(seq=count + 1, on=on))
        events.append(Repaid(seq=count + 2, on=on + timedelta(days=5), amount_minor=777))
    as_of = terms.start_on + timedelta(days=draw(st.integers(0, days + 80)))
    return terms, events, as_of


def standing_of(life: tuple[Terms, list[AnyEvent], date]) -> Standing | None:
    """Return where a life leads, None where one of its events cannot be."""
    try:
        return run(*life)
    except EventIsInvalid:
        return None


def check(standing: Standing) -> None:
    """Check what holds of every standing."""
    rows, totals = standing.rows, standing.totals
    asked = sum(row.principal_minor for row in rows)
    early = sum(one.principal_minor for one in standing.prepaid)
    assert asked + early == totals.disbursed_minor, "principal adds up"
    for row in rows:
        assert min(row.principal_minor, row.interest_minor, row.fee_minor, row.penalty_minor) >= 0
        assert row.balance_minor >= 0
        assert row.open_minor >= 0
        assert row.paid_principal_minor <= row.principal_minor
        assert row.paid_interest_minor + row.waived_interest_minor <= row.interest_minor
    dates = [row.due_on for row in rows]
    assert dates == sorted(dates)
    assert [row.nr for row in rows] == list(range(1, len(rows) + 1))
    applied = sum(one.taken.amount_minor for one in standing.applied)
    paid = applied + early
    assert totals.received_minor == paid + totals.credit_minor + totals.refunded_minor
    assert totals.credit_minor >= 0
    by_part = (
        totals.down_payment_minor
        + totals.principal_paid_minor
        + totals.interest_paid_minor
        + totals.fee_paid_minor
        + totals.penalty_paid_minor
        + totals.recovered_minor
    )
    assert by_part == paid
    if standing.written_off_on is None:
        owed = totals.disbursed_minor - totals.down_payment_minor - totals.principal_paid_minor
        assert standing.principal_minor == owed >= 0
    assert totals.interest_earned_minor >= 0
    if standing.closed_on is not None and standing.written_off_on is None:
        assert standing.principal_minor == 0
        assert totals.interest_earned_minor == totals.interest_paid_minor + (
            totals.interest_waived_minor
        )
        assert totals.fee_earned_minor == totals.fee_paid_minor + totals.fee_waived_minor


@settings(max_examples=600, deadline=None)
@given(lives())
def test_whatever_happens_adds_up(life: tuple[Terms, list[AnyEvent], date]) -> None:
    standing = standing_of(life)
    if standing is not None:
        check(standing)


@settings(max_examples=200, deadline=None)
@given(terms_of())
def test_nothing_happened_is_the_plan(terms: Terms) -> None:
    made = plan(terms)
    standing = run(terms, [], terms.start_on)
    bare = [row[:11] for row in standing.rows]
    assert bare == [row[:11] for row in made.rows]
    assert made.rows[-1].balance_minor == 0
    assert sum(row.accrues_minor for row in made.rows) == sum(r.interest_minor for r in made.rows)
    check(standing)


@settings(max_examples=200, deadline=None)
@given(lives(), st.randoms(use_true_random=False))
def test_the_order_of_recording_events_of_several_days_does_not_matter(
    life: tuple[Terms, list[AnyEvent], date], random: object
) -> None:
    terms, events, as_of = life
    standing = standing_of(life)
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert standing_of((terms, shuffled, as_of)) == standing


@settings(max_examples=200, deadline=None)
@given(lives())
def test_replay_is_what_was_booked_step_by_step(
    life: tuple[Terms, list[AnyEvent], date],
) -> None:
    """On each day, all that ever happened says what was said with what had happened by then."""
    terms, events, as_of = life
    if standing_of((terms, events, date(2100, 1, 1))) is None:
        return
    for day in sorted({as_of, *(one.on for one in events)}):
        then = [one for one in events if one.on <= day]
        assert run(terms, events, day) == run(terms, then, day)


@settings(max_examples=200, deadline=None)
@given(terms_of(), st.data())
def test_of_one_day_payouts_come_first_then_changes_then_money(
    terms: Terms, data: st.DataObject
) -> None:
    on = terms.start_on + timedelta(days=data.draw(st.integers(0, 70)))
    amounts = st.integers(1, terms.principal_minor)
    ordered: list[AnyEvent] = [
        Disbursed(seq=1, on=on, amount_minor=data.draw(amounts)),
        RateChanged(seq=2, on=on, rate=Decimal(data.draw(st.integers(0, 40))) / 100),
        FeeCharged(seq=3, on=on, code="letter", amount_minor=500),
        PrepaidPart(seq=4, on=on, amount_minor=data.draw(amounts)),
        Repaid(seq=5, on=on, amount_minor=data.draw(amounts)),
    ]
    rank = {1: 0, 2: 1, 3: 1, 4: 2, 5: 2}
    numbers = data.draw(st.permutations(range(1, 6)))
    recorded: list[AnyEvent] = []
    for one in range(3):
        kind = [event for event in ordered if rank[event.seq] == one]
        free = sorted(numbers[event.seq - 1] for event in kind)
        recorded += [replace(event, seq=n) for event, n in zip(kind, free, strict=True)]
    later = on + timedelta(days=data.draw(st.integers(0, 90)))
    known, found = (standing_of((terms, given, later)) for given in (ordered, recorded))
    assert (known is None) == (found is None)
    if known is not None and found is not None:
        assert found.rows == known.rows
        assert found.totals == known.totals


@settings(max_examples=200, deadline=None)
@given(lives(), st.integers(1, 5_000))
def test_an_event_and_its_reversal_leave_no_trace(
    life: tuple[Terms, list[AnyEvent], date], amount: int
) -> None:
    terms, events, as_of = life
    seq = max((one.seq for one in events), default=0) + 1
    on = max([as_of, *(one.on for one in events)])
    undone = [
        *events,
        Repaid(seq=seq, on=as_of, amount_minor=amount),
        Reversed(seq=seq + 1, on=on, of=seq),
    ]
    assert standing_of((terms, undone, on)) == standing_of((terms, events, on))


@settings(max_examples=200, deadline=None)
@given(lives())
def test_the_line_of_accrual_tells_the_next_days(
    life: tuple[Terms, list[AnyEvent], date],
) -> None:
    """Without events in between, tomorrow's counters follow from today's line alone."""
    standing = standing_of(life)
    if standing is None or standing.accrual is None:
        return
    terms, events, as_of = life
    line = standing.accrual
    until = min([line.to_on, *(one.on for one in events if one.on > as_of)])
    settled = standing.totals.interest_earned_minor - line.earned_minor(as_of)
    for days in range(0, max(0, (until - as_of).days), 7):
        day = as_of + timedelta(days=days)
        later = run(terms, events, day)
        assert later.totals.interest_earned_minor == settled + line.earned_minor(day)


@settings(max_examples=150, deadline=None)
@given(lives())
def test_what_is_quoted_pays_it_off(life: tuple[Terms, list[AnyEvent], date]) -> None:
    terms, events, as_of = life
    before = [one for one in events if one.on <= as_of]
    standing = standing_of((terms, before, as_of))
    if standing is None:
        return
    quote = quote_payoff(terms, before, as_of)
    seq = max((one.seq for one in before), default=0) + 1
    paid = run(terms, [*before, PaidOff(seq=seq, on=as_of, amount_minor=quote.total_minor)], as_of)
    assert all(row.open_minor == 0 for row in paid.rows)
    assert paid.closed_on is not None
    check(paid)
    held = terms.allocation.advance is Advance.HOLD
    if held and quote.total_minor > quote.interest_minor > 0 and standing.written_off_on is None:
        short = PaidOff(seq=seq, on=as_of, amount_minor=quote.total_minor - 1)
        left = run(terms, [*before, short], as_of)
        assert any(row.open_minor for row in left.rows), "a cent short does not pay it off"


@settings(max_examples=150, deadline=None)
@given(lives())
def test_plain_forms_lead_back(life: tuple[Terms, list[AnyEvent], date]) -> None:
    terms, events, _ = life
    assert form.terms_from_json(form.terms_to_json(terms)) == terms
    assert [form.event_from_json(form.event_to_json(one)) for one in events] == events


def quick(**changes: object) -> Terms:
    """Return a cash loan of twelve months."""
    terms = Terms(principal_minor=1_200_000, start_on=START, instalments=12, rate=Decimal("0.12"))
    return replace(terms, **changes)  # type: ignore[arg-type]


def test_too_much_is_held_and_taken_when_the_next_instalment_falls_due() -> None:
    paid = Repaid(seq=1, on=date(2024, 2, 29), amount_minor=150_000)
    held = run(quick(), [paid], date(2024, 3, 1))
    assert held.totals.credit_minor == 150_000 - 106_619
    later = run(quick(), [paid], date(2024, 3, 31))
    assert later.totals.credit_minor == 0
    assert later.due_minor == 2 * 106_619 - 150_000
    assert later.applied[-1].seq == 0, "taken from what was held"


def test_a_cent_short_is_late() -> None:
    paid = Repaid(seq=1, on=date(2024, 2, 29), amount_minor=106_618)
    standing = run(quick(), [paid], date(2024, 3, 5))
    assert (standing.overdue_minor, standing.days_past_due) == (1, 5)


def test_an_early_part_makes_the_instalment_smaller_or_the_term_shorter() -> None:
    on = date(2024, 2, 29)
    smaller = PrepaidPart(seq=1, on=on, amount_minor=506_619, plan=Prepay.REDUCE_INSTALMENT)
    shorter = PrepaidPart(seq=1, on=on, amount_minor=506_619, plan=Prepay.REDUCE_TERM)
    first, second = run(quick(), [smaller], on), run(quick(), [shorter], on)
    assert first.principal_minor == second.principal_minor == 1_105_381 - 400_000
    assert first.instalment_minor < 106_619
    assert second.instalment_minor == 106_619
    assert len(first.rows) == 12
    assert len(second.rows) == 8
    assert sum(row.interest_minor for row in second.rows) < sum(
        row.interest_minor for row in first.rows
    )


def test_re_age_empties_old_rows_and_keeps_what_was_earned() -> None:
    on = date(2024, 5, 15)
    event = ReAged(seq=1, on=on, first_due_on=date(2024, 6, 15), instalments=6)
    before, after = run(quick(), [], on), run(quick(), [event], on)
    assert before.days_past_due > 0
    assert after.days_past_due == 0
    assert [row.principal_minor for row in after.rows[:3]] == [0, 0, 0]
    assert after.totals.interest_earned_minor == before.totals.interest_earned_minor
    end = run(quick(), [event], date(2024, 12, 1))
    assert sum(row.interest_minor for row in end.rows) == end.totals.interest_earned_minor
    back: list[AnyEvent] = [event, Reversed(seq=2, on=on, of=1)]
    assert run(quick(), back, on) == before


def test_written_off_it_no_longer_accrues_and_money_counts_as_recovered() -> None:
    on = date(2024, 8, 1)
    events: list[AnyEvent] = [
        WrittenOff(seq=1, on=on),
        Repaid(seq=2, on=date(2024, 9, 1), amount_minor=50_000),
    ]
    standing = run(quick(penalty=Penalty(rate=Decimal("0.18"))), events, date(2024, 12, 1))
    assert standing.principal_minor == 0
    assert standing.totals.principal_written_off_minor == 1_200_000
    assert standing.totals.recovered_minor == 50_000
    assert standing.totals.principal_paid_minor == 0
    assert standing.accrual is None


def test_penalty_runs_by_days_on_late_principal() -> None:
    terms = quick(penalty=Penalty(rate=Decimal("0.18"), grace_days=3))
    assert run(terms, [], date(2024, 3, 3)).rows[0].penalty_minor == 0, "within the days of grace"
    row = run(terms, [], date(2024, 3, 10)).rows[0]
    # 94,619 fen of principal, 10 days at 18 % over 365.
    assert row.penalty_minor == round(94_619 * 0.18 * 10 / 365)
    paid = Repaid(seq=1, on=date(2024, 3, 10), amount_minor=50_000)
    later = run(terms, [paid], date(2024, 3, 20)).rows[0]
    assert later.paid_penalty_minor == row.penalty_minor
    assert later.penalty_minor > later.paid_penalty_minor


def test_paid_within_the_days_of_grace_costs_nothing_more() -> None:
    terms = quick(penalty=Penalty(rate=Decimal("0.18"), grace_days=3))
    paid = Repaid(seq=1, on=date(2024, 3, 2), amount_minor=106_619)
    assert run(terms, [paid], date(2024, 3, 20)).rows[0].penalty_minor == 0


def test_a_fee_falls_due_with_the_next_instalment() -> None:
    charged = FeeCharged(seq=1, on=date(2024, 2, 10), code="letter", amount_minor=2_500)
    standing = run(quick(), [charged], date(2024, 3, 1))
    assert [row.fee_minor for row in standing.rows[:2]] == [2_500, 0]
    assert standing.overdue_minor == 106_619 + 2_500


def test_more_instalments_make_each_smaller_and_keep_the_day() -> None:
    extended = Extended(seq=1, on=date(2024, 3, 15), instalments=3)
    standing = run(quick(), [extended], date(2024, 3, 15))
    assert len(standing.rows) == 15
    assert standing.instalment_minor < 106_619
    assert [row.due_on.day for row in standing.rows[-3:]] == [28, 31, 30]


def test_a_pause_costs_no_interest() -> None:
    paused = InterestPaused(seq=1, on=date(2024, 2, 29), until=date(2024, 3, 31))
    standing = run(quick(), [paused], date(2024, 3, 1))
    assert standing.rows[1].interest_minor == 0
    assert standing.rows[2].interest_minor > 0


IMPOSSIBLE: list[AnyEvent] = [
    Refunded(seq=1, on=START, amount_minor=1),
    Waived(seq=1, on=START, interest_minor=1),
    DueDatesMoved(seq=1, on=START, from_due=date(2024, 3, 1), to_due=date(2024, 3, 9)),
    Disbursed(seq=1, on=date(2025, 6, 1), amount_minor=1),
    Repaid(seq=1, on=date(2023, 1, 1), amount_minor=1),
    RateChanged(seq=1, on=START, rate=Decimal(-1)),
    FeeCharged(seq=1, on=START, code="x", amount_minor=0),
    ReAged(seq=1, on=START, first_due_on=START, instalments=1),
    Extended(seq=1, on=START, instalments=0),
    InterestPaused(seq=1, on=START, until=START),
    Repaid(seq=1, on=START, amount_minor=-5),
    PaidOff(seq=1, on=START, amount_minor=-1),
    Repaid(seq=1, on=START, amount_minor=10**30),
    InterestPaused(seq=1, on=START, until=date.max),
    ReAged(seq=1, on=START, first_due_on=date.max, instalments=3),
    DueDatesMoved(seq=1, on=START, from_due=date(2024, 2, 29), to_due=date.max),
    Extended(seq=1, on=START, instalments=10**9),
    Disbursed(seq=1, on=START, amount_minor=-1),
    ReAged(seq=1, on=START, first_due_on=date(2025, 1, 1), instalments=3, every=0),
    ReAged(seq=1, on=START, first_due_on=date(2025, 1, 1), instalments=1_200, every=366),
    RateChanged(seq=1, on=START, rate=Decimal("sNaN")),
    RateChanged(seq=1, on=START, rate=Decimal("1e-999999")),
    Reversed(seq=1, on=START, of=1),
    Reversed(seq=2, on=START, of=1),
]


def test_two_events_do_not_share_a_number() -> None:
    twice: list[AnyEvent] = [
        Repaid(seq=1, on=START, amount_minor=5),
        Repaid(seq=1, on=START, amount_minor=5),
    ]
    with pytest.raises(EventIsInvalid):
        run(quick(), twice, START)


@pytest.mark.parametrize("event", IMPOSSIBLE, ids=lambda event: type(event).__name__)
def test_what_cannot_be_is_refused(event: AnyEvent) -> None:
    with pytest.raises(EventIsInvalid):
        run(quick(), [event], date(2025, 7, 1))
