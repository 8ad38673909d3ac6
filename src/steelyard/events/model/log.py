"""What the log of facts is made of, and how a reader's place in it moves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from steelyard.kernel import CursorIsInvalid, decode_cursor, encode_cursor

MAX_FACTS = 10_000
"""Facts in one append; a longer list takes several."""
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A consistent cut through the transactions of a server: what is visible, what is not yet.

    Two snapshots of one server are always one inside the other, and if a writer saw another's
    commit, no snapshot shows the second without the first. This is why a reader that goes from
    snapshot to snapshot meets a subject's facts in order.

    Attributes
    ----------
    xmin : every transaction below it has ended
    xmax : no transaction from it on had begun
    running : transactions in between that were in progress

    Examples
    --------
    >>> cut = Snapshot.parse("10:20:12,15")
    >>> [cut.shows(xid) for xid in (9, 12, 13, 20)]
    [True, False, True, False]
    >>> str(cut.hiding(13))
    '10:20:12,13,15'
    """

    xmin: int
    xmax: int
    running: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Return the snapshot of PostgreSQL's text form, `xmin:xmax:xip,...`.

        Raises
        ------
        ValueError
            The text is no snapshot.
        """
        low, high, running = text.split(":")
        cut = cls(int(low), int(high), frozenset(int(x) for x in running.split(",") if x))
        inside_out = any(not cut.xmin <= xid < cut.xmax for xid in cut.running)
        if inside_out or not 0 < cut.xmin <= cut.xmax < _LARGEST:
            raise ValueError(text)
        return cut

    def shows(self, position: int) -> bool:
        """Whether what a transaction wrote is visible, if it committed."""
        return position < self.xmax and position not in self.running

    def hiding(self, xid: int | None) -> Snapshot:
        """Return the snapshot without one transaction.

        PostgreSQL leaves the asking transaction out of its own list of running ones: a reader that
        writes must hide itself, or facts of its own would count as seen before they are.
        """
        if xid is None or not self.shows(xid):
            return self
        return Snapshot(min(self.xmin, xid), self.xmax, self.running | {xid})

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(str(xid) for xid in sorted(self.running))}"


NOTHING = Snapshot(1, 1)
"""Shows no transaction."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A reader's place in the log.

    Attributes
    ----------
    epoch : positions are transaction ids of one server's life; a restored database begins anew
    seen : every fact that it shows has been taken
    taking : the window being read holds the facts that `taking` shows and `seen` does not, by
        sequence; None between two windows
    after, last : the window has been taken up to sequence `after`; it ends at `last`

    Examples
    --------
    >>> place = Cursor(0, Snapshot(5, 5), taking=Snapshot(9, 9), after=100, last=120)
    >>> place.covers(0, 4, 99), place.covers(0, 7, 100), place.covers(0, 7, 101)
    (True, True, False)
    >>> Cursor.parse(place.text()) == place
    True
    """

    epoch: int
    seen: Snapshot
    taking: Snapshot | None = None
    after: int = 0
    last: int = 0

    def covers(self, epoch: int, position: int, sequence: int) -> bool:
        """Whether a fact has been taken."""
        if epoch != self.epoch:
            return epoch < self.epoch
        if self.seen.shows(position):
            return True
        taken = self.taking is not None and self.taking.shows(position)
        return taken and sequence <= self.after

    def opening(self, taking: Snapshot, *, first: int, last: int) -> Cursor:
        """Return the cursor at the head of a new window."""
        assert self.taking is None, "one window at a time"
        return replace(self, taking=taking, after=first - 1, last=last)

    def moved(self, after: int) -> Cursor:
        """Return the cursor behind one fact of its window."""
        assert self.taking is not None, "inside a window"
        assert self.after <= after <= self.last, "forwards and inside the window"
        return replace(self, after=after)

    def closed(self) -> Cursor:
        """Return the cursor behind its window."""
        assert self.taking is not None, "inside a window"
        return Cursor(self.epoch, self.taking)

    def text(self) -> str:
        """Return the cursor as an opaque text, for clients."""
        taking = "" if self.taking is None else str(self.taking)
        return encode_cursor(self.epoch, str(self.seen), taking, self.after, self.last)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor in a text.

        Refusals
        --------
        cursor_is_invalid
        """
        epoch, seen, taking, after, last = decode_cursor(text, int, str, str, int, int)
        try:
            cursor = cls(
                int(epoch),
                Snapshot.parse(str(seen)),
                Snapshot.parse(str(taking)) if taking else None,
                int(after),
                int(last),
            )
        except ValueError:
            raise CursorIsInvalid from None
        if not (0 <= cursor.epoch < 2**31 and 0 <= cursor.after < _LARGEST > cursor.last >= 0):
            raise CursorIsInvalid
        return cursor


def sequence_in(cursor: str) -> int:
    """Return the number inside the cursor of a list that goes by one number.

    Refusals
    --------
    cursor_is_invalid
    """
    number = int(decode_cursor(cursor, int)[0])
    if not 0 <= number < _LARGEST:
        raise CursorIsInvalid
    return number


@dataclass(frozen=True, slots=True)
class StoredFact:
    """One fact in the log.

    Attributes
    ----------
    sequence : its number; numbers of rolled-back facts are missing
    position : transaction that wrote it, in its epoch
    kind, version : which class its payload is of
    subject : whose history it belongs to, `noun:id`; a subject's facts are ordered by sequence
    occurred_at : when it happened; recorded_at : the business instant of its unit of work
    written_at : the real instant
    actor : who caused it, `noun:id`
    payload : JSON object, as text
    """

    sequence: int
    position: int
    epoch: int
    kind: str
    version: int
    subject: str
    occurred_at: datetime
    recorded_at: datetime
    written_at: datetime
    actor: str
    payload: str


@dataclass(frozen=True, slots=True)
class FactFilter:
    """Which facts are asked for; an empty field asks for all.

    Examples
    --------
    >>> FactFilter(kinds=frozenset({"lamps.LampLit"})).accepts("lamps.LampLit", "lamp:1")
    True
    """

    kinds: Collection[str] = frozenset()
    subject: str | None = None
    since: datetime | None = None

    def accepts(self, kind: str, subject: str) -> bool:
        """Whether a new fact is asked for (`since` is about old ones)."""
        return (not self.kinds or kind in self.kinds) and self.subject in (None, subject)


@dataclass(frozen=True, slots=True)
class FactPage:
    """Some facts, and the cursor behind them, from which the next ones can be asked for later.

    Attributes
    ----------
    next : always there: a client polls by asking again with it
    has_more : False when there was nothing more at the time
    """

    items: tuple[StoredFact, ...]
    next: str
    has_more: bool


@dataclass(frozen=True, slots=True)
class Followed:
    """A fact of a stream, and the cursor behind it."""

    fact: StoredFact
    cursor: str
