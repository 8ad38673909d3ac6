"""What the log of facts is made of, and how a reader's place in it moves; pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from steelyard.kernel import CursorIsInvalid, Refusal, RefusalKind, decode_cursor, encode_cursor

MAX_FACTS = 10_000
"""Facts in one append; a longer list is several transactions' work."""
FIRST_RETRY = timedelta(milliseconds=200)
LONGEST_RETRY = timedelta(minutes=1)
_LARGEST = 2**63


class ConsumerNotFound(Refusal):
    """No consumer of this name and version ever ran on this database."""

    kind = RefusalKind.NOT_FOUND
    en = "No consumer {name}@{version} has run on this database."
    zh = "数据库中没有运行过消费者 {name}@{version}。"


class ConsumerIsRunning(Refusal):
    """A process holds the consumer's lease, so it cannot be retired."""

    kind = RefusalKind.CONFLICT
    en = "A process runs the consumer {name}@{version}; stop it first."
    zh = "消费者 {name}@{version} 正在运行，请先停止。"


class DeadLetterNotFound(Refusal):
    """No dead letter has this id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no dead letter {letter}."
    zh = "死信 {letter} 不存在。"


class DeadLetterIsSettled(Refusal):
    """The dead letter was replayed or discarded already, or is being replayed."""

    kind = RefusalKind.CONFLICT
    en = "The dead letter {letter} is {state} already."
    zh = "死信 {letter} 已处理（{state}）。"


class DayIsNotClosed(Refusal):
    """The day may still receive facts, so its file would not be complete."""

    kind = RefusalKind.CONFLICT
    en = "The day {on} is not closed: {why}."
    zh = "{on} 尚未关账，不能导出：{why}。"


class ExportIsRunning(Refusal):
    """Another process writes into the same folder."""

    kind = RefusalKind.CONFLICT
    en = "Another export is writing into {folder}."
    zh = "另一个导出任务正在写入 {folder}。"


class ColumnsExtraIsMissing(Refusal):
    """Parquet needs pyarrow, which the extra `columns` installs."""

    kind = RefusalKind.UNAVAILABLE
    en = "Export to Parquet needs the extra: pip install 'steelyard[columns]'."
    zh = "导出 Parquet 需要安装附加组件：pip install 'steelyard[columns]'。"


class TooManyFollowers(Refusal):
    """The process follows the log for as many clients as it can."""

    kind = RefusalKind.UNAVAILABLE
    en = "This server streams to {limit} clients already; try again later."
    zh = "本服务器的事件流连接已达上限 {limit}，请稍后再试。"


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


class OnFailure(StrEnum):
    """What becomes of a consumer when a handler has failed on a fact for the last time."""

    STOP = "stop"
    """It waits until somebody settles the dead letter: for handlers that need every fact."""
    GO_ON = "go_on"
    """It goes on with the next fact; the letter waits."""


class LetterState(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"
    REPLAYING = "replaying"
    """Somebody asked for it; the process that runs the consumer will take it next."""
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A fact that a consumer could not handle.

    Attributes
    ----------
    attempts : how often it was tried
    error : class and message of the last failure
    settled_by, settled_because : who said what to do with it, and why
    """

    id: int
    consumer: str
    consumer_version: int
    sequence: int
    kind: str
    subject: str
    handler: str
    attempts: int
    error: str
    state: LetterState
    died_at: datetime
    settled_at: datetime | None
    settled_by: str | None
    settled_because: str | None


class Activity(StrEnum):
    """What a consumer is doing."""

    RUNNING = "running"
    """A process holds its lease."""
    IDLE = "idle"
    """No process runs it."""
    RETRYING = "retrying"
    """A fact has failed and will be tried again."""
    STOPPED = "stopped"
    """A dead letter must be settled first."""


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """How far a consumer is.

    Attributes
    ----------
    hears : `kind@version` of its handlers
    delivered_sequence : last fact delivered; 0 before the first
    facts_behind : facts it will still be given; above `COUNTED` it is the distance in sequence
        numbers, an upper bound
    seconds_behind : real age of the oldest of them, 0 when there is none
    trouble : what it waits for, None when nothing is wrong
    dead_letters : how many are not settled
    """

    name: str
    version: int
    hears: tuple[str, ...]
    activity: Activity
    delivered_sequence: int
    facts_behind: int
    seconds_behind: float
    trouble: str | None
    retry_at: datetime | None
    dead_letters: int
    moved_at: datetime


COUNTED = 10_000
"""Facts behind are counted one by one up to here."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long work is: `done` of `total`, in facts (or sequence numbers, for a replay)."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class DayExport:
    """One day of the log as a file.

    Attributes
    ----------
    file : name inside the folder
    facts : rows in it
    written : False when a complete file was there already
    """

    file: str
    facts: int
    written: bool


def retry_delay(attempts: int) -> timedelta:
    """Return how long to wait after the n-th failure: four times longer each time, up to a minute.

    Examples
    --------
    >>> [retry_delay(n).total_seconds() for n in (1, 2, 3, 9)]
    [0.2, 0.8, 3.2, 60.0]
    """
    assert attempts > 0, "after a failure"
    factor: int = 4 ** min(attempts - 1, 10)
    return min(LONGEST_RETRY, FIRST_RETRY * factor)
