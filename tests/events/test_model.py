"""Snapshots and cursors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.events.model.consumption import LONGEST_RETRY, retry_delay
from steelyard.events.model.log import NOTHING, Cursor, FactFilter, Snapshot
from steelyard.kernel import CursorIsInvalid, encode_cursor


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    xmin = draw(st.integers(1, 40))
    xmax = draw(st.integers(xmin, 60))
    inside = range(xmin, xmax)
    running = draw(st.frozensets(st.sampled_from(inside))) if inside else frozenset()
    return Snapshot(xmin, xmax, running)


def test_nothing_shows_nothing() -> None:
    assert not any(NOTHING.shows(xid) for xid in range(1, 100))


@given(snapshots())
def test_text_form_is_kept(snapshot: Snapshot) -> None:
    assert Snapshot.parse(str(snapshot)) == snapshot


@given(snapshots(), st.integers(1, 70))
def test_hiding_takes_away_one_transaction_and_no_other(snapshot: Snapshot, xid: int) -> None:
    hidden = snapshot.hiding(xid)
    assert not hidden.shows(xid)
    assert Snapshot.parse(str(hidden)) == hidden
    for other in range(1, 70):
        if other != xid:
            assert hidden.shows(other) == snapshot.shows(other)
    assert snapshot.hiding(None) == snapshot


@pytest.mark.parametrize(
    "text", ["", "1:2", "0:5:", "7:5:", "5:9:4", "5:9:9", "a:b:c", f"1:{2**64}:"]
)
def test_what_is_no_snapshot(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Snapshot.parse(text)


@given(snapshots(), st.none() | snapshots(), st.integers(0, 9), st.integers(0, 9))
def test_cursors_survive_as_text(
    seen: Snapshot, taking: Snapshot | None, after: int, last: int
) -> None:
    cursor = Cursor(3, seen, taking, after, last)
    assert Cursor.parse(cursor.text()) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        encode_cursor(1),
        encode_cursor(-1, "1:1:", "", 0, 0),
        encode_cursor(0, "9:1:", "", 0, 0),
        encode_cursor(0, "1:1:", "2", 0, 0),
        encode_cursor(0, "1:1:", "", 2**63, 0),
        encode_cursor(2**31, "1:1:", "", 0, 0),
    ],
)
def test_foreign_cursors_are_refused(text: str) -> None:
    with pytest.raises(CursorIsInvalid):
        Cursor.parse(text)


@given(snapshots(), snapshots(), st.integers(1, 60), st.integers(1, 20), st.integers(0, 20))
def test_closing_a_window_covers_what_its_end_covered(
    seen: Snapshot, taking: Snapshot, position: int, sequence: int, after: int
) -> None:
    window = Cursor(0, seen).opening(taking, first=1, last=20)
    covered = window.moved(after).covers(0, position, sequence)
    assert covered == (seen.shows(position) or (taking.shows(position) and sequence <= after))
    assert window.moved(20).covers(0, position, sequence) == (
        seen.shows(position) or window.closed().covers(0, position, sequence)
    )


def test_epochs_come_before_positions() -> None:
    cursor = Cursor(1, Snapshot(10, 10))
    assert cursor.covers(0, 10**9, 5)
    assert cursor.covers(1, 9, 5)
    assert not cursor.covers(1, 10, 5)
    assert not cursor.covers(2, 1, 5)


def test_a_cursor_only_moves_forwards() -> None:
    window = Cursor(0, NOTHING).opening(Snapshot(5, 5), first=3, last=9)
    with pytest.raises(AssertionError):
        window.moved(7).moved(6)
    with pytest.raises(AssertionError):
        window.moved(10)
    with pytest.raises(AssertionError):
        window.opening(Snapshot(6, 6), first=3, last=9)


def test_filters() -> None:
    assert FactFilter().accepts("a.B", "c:1")
    assert not FactFilter(frozenset({"a.B"})).accepts("a.C", "c:1")
    assert not FactFilter(subject="c:1").accepts("a.B", "c:2")


@given(st.integers(1, 100))
def test_retries_wait_longer_and_longer(attempts: int) -> None:
    assert retry_delay(attempts) <= retry_delay(attempts + 1) <= LONGEST_RETRY
