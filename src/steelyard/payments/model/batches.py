"""Files of debits (批量代扣): from the upload to the last row, and what can be wrong with a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from steelyard.payments.model.batches_refusals import DebitBatchStateForbids
from steelyard.payments.model.debits import DebitState
from steelyard.payments.model.orders import Mode

MOST_BYTES: Final = 32 * 1024 * 1024
MOST_ROWS: Final = 200_000
PART_ROWS: Final = 10_000
"""Rows of one part of a file, where the channel sets no other bound."""


class BatchState(StrEnum):
    """Where a file of debits stands."""

    UPLOADED = "uploaded"
    PARSED = "parsed"
    """Every row is stored, and the control totals hold."""
    VALIDATED = "validated"
    """What is wrong with each row is known; a second person decides about the rest."""
    REJECTED_FILE = "rejected_file"
    APPROVED = "approved"
    SPLIT = "split"
    """Parted by channels and what they take at once."""
    SUBMITTED = "submitted"
    """Every good row is a debit."""
    PARTIAL = "partial"
    """Some rows are final."""
    COMPLETE = "complete"
    RECALLED = "recalled"

    @property
    def is_recallable(self) -> bool:
        """Whether nothing of it was submitted."""
        return self in _BEFORE


_S = BatchState
_BEFORE: Final = frozenset({_S.UPLOADED, _S.PARSED, _S.VALIDATED, _S.APPROVED, _S.SPLIT})


class Amounts(StrEnum):
    """How the amounts of a file's rows are written; its control total is always in decimals."""

    MINOR = "minor"
    """分: whole minor units."""
    DECIMAL = "decimal"
    """元: with as many decimals as the currency has."""


class RowError(StrEnum):
    """What is wrong with a row; the others go on without it."""

    COLUMNS = "columns"
    DEBIT_NO = "debit_no"
    AMOUNT = "amount"
    DUE_ON = "due_on"
    DEBIT_NO_REPEATED = "debit_no_repeated"
    ROW_REPEATED = "row_repeated"
    DEBIT_NO_WAS_USED = "debit_no_was_used"
    ROW_WAS_IN_ANOTHER_FILE = "row_was_in_another_file"
    MANDATE_IS_UNKNOWN = "mandate_is_unknown"
    MANDATE_IS_NOT_ACTIVE = "mandate_is_not_active"
    CURRENCY_DIFFERS = "currency_differs"
    EXCEEDS_MANDATE = "exceeds_mandate"
    DUE_IN_THE_PAST = "due_in_the_past"
    CHANNEL_LIMIT = "channel_limit"


WORDS: Final[Mapping[RowError, tuple[str, str]]] = MappingProxyType(
    {
        RowError.COLUMNS: ("it has not five columns", "列数不是五列"),
        RowError.DEBIT_NO: ("the debit number is malformed", "代扣单号格式有误"),
        RowError.AMOUNT: ("the amount is not as the header says", "金额格式与文件头声明不符"),
        RowError.DUE_ON: ("the date is not YYYY-MM-DD", "日期不是 YYYY-MM-DD"),
        RowError.DEBIT_NO_REPEATED: ("the number came before in the file", "单号在文件内重复"),
        RowError.ROW_REPEATED: ("the same row came before in the file", "文件内有相同的行"),
        RowError.DEBIT_NO_WAS_USED: ("the number was used before", "单号已使用过"),
        RowError.ROW_WAS_IN_ANOTHER_FILE: ("it stood in another file", "相同的行已在其他文件中"),
        RowError.MANDATE_IS_UNKNOWN: ("there is no such mandate", "代扣协议不存在"),
        RowError.MANDATE_IS_NOT_ACTIVE: ("the mandate is not active", "代扣协议未生效"),
        RowError.CURRENCY_DIFFERS: ("the mandate is in another currency", "协议币种不同"),
        RowError.EXCEEDS_MANDATE: ("the mandate allows less", "超过协议限额"),
        RowError.DUE_IN_THE_PAST: ("the date is over", "扣款日已过"),
        RowError.CHANNEL_LIMIT: ("the channel takes no such amount", "超出渠道单笔限额"),
    }
)
"""What each error is called, in English and Chinese."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a file says about itself.

    Attributes
    ----------
    stated_rows, stated_minor : control totals; the sum stands in the file in decimals, whatever
        form the rows have, so that fen taken for yuan do not add up
    """

    file_no: str
    currency: str
    amounts: Amounts
    stated_rows: int
    stated_minor: int


class Row(NamedTuple):
    """A row as it was read.

    Attributes
    ----------
    line : in the file; due_on : ISO; None where it cannot be read
    fingerprint : 32 hex digits of what is taken from whom, when and for what
    found : what was found where something is wrong
    """

    line: int
    debit_no: str
    mandate_no: str
    amount_minor: int | None
    due_on: str | None
    subject: str
    fingerprint: str
    error: RowError | None
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A file of debits as it stands.

    Attributes
    ----------
    sum_minor : of all rows whose amount can be read; good_minor : of the rows without an error
    done_to : line up to which the step under way is done
    why : it was rejected
    """

    id: UUID
    merchant: UUID
    mode: Mode
    file_no: str
    name: str
    sha256: str
    bytes: int
    currency: str
    amounts: Amounts
    stated_rows: int
    stated_minor: int
    state: BatchState
    version: int
    uploaded_at: datetime
    uploaded_by: str
    rows: int = 0
    sum_minor: int = 0
    errors: int = 0
    good_minor: int = 0
    done_to: int = 0
    why: str = ""
    cause: str | None = None
    completed_at: datetime | None = None

    @property
    def subject_key(self) -> str:
        """Subject of its facts."""
        return f"debit_batch:{self.id}"

    def must_be(self, verb: str, *states: BatchState) -> Batch:
        """Refuse unless it is in one of some states.

        Refusals
        --------
        debit_batch_state_forbids
        """
        if self.state not in states:
            raise DebitBatchStateForbids(batch=self.id, state=self.state.value, verb=verb)
        return self


def totals_differ(head: Head, rows: int, sum_minor: int, unread: int) -> str:
    """Return why a file does not fit its control totals; empty where it does.

    Parameters
    ----------
    unread : rows whose amount cannot be read: nothing is known of the sum then

    Examples
    --------
    >>> head = Head(file_no="F", currency="CNY", amounts=Amounts.DECIMAL, stated_rows=1,
    ...             stated_minor=10_000)
    >>> totals_differ(head, 1, 1_000_000, 0)
    'sum 1000000 is 100 times the stated 10000: fen and yuan are mixed up'
    """
    if rows != head.stated_rows:
        return f"rows {rows} are not the stated {head.stated_rows}"
    if unread:
        return f"the amounts of {unread} rows cannot be read, so the sum is not known"
    if sum_minor == head.stated_minor:
        return ""
    for large, small, of in (
        (sum_minor, head.stated_minor, "100 times"),
        (head.stated_minor, sum_minor, "a 100th of"),
    ):
        if small and large == 100 * small:
            return (
                f"sum {sum_minor} is {of} the stated {head.stated_minor}: fen and yuan are mixed up"
            )
    return f"sum {sum_minor} is not the stated {head.stated_minor}"


class Outcome(StrEnum):
    """What became of a row, as its merchant is told."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    """It was never a debit: something is wrong with it."""
    RETURNED = "returned"
    CANCELLED = "cancelled"
    WAITING = "waiting"
    UNDER_WAY = "under_way"


def outcome_of(state: DebitState | None, error: str | None, batch: BatchState) -> Outcome:
    """Return what became of a row by its debit, or by what is wrong with it.

    Examples
    --------
    >>> outcome_of(None, "amount", BatchState.COMPLETE).value
    'refused'
    """
    if state is None:
        is_out = error is not None or batch in (BatchState.REJECTED_FILE, BatchState.RECALLED)
        return Outcome.REFUSED if is_out else Outcome.WAITING
    if state is DebitState.SUCCEEDED:
        return Outcome.SUCCEEDED
    if state in (DebitState.RETURNED, DebitState.REFUND_CLAIMED):
        return Outcome.RETURNED
    if state is DebitState.FAILED_FINAL:
        return Outcome.FAILED
    if state is DebitState.CANCELLED:
        return Outcome.CANCELLED
    return Outcome.UNDER_WAY if state.is_under_way else Outcome.WAITING


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file: rows for one channel, as many as it takes at once."""

    number: int
    channel: str
    rows: int
    sum_minor: int


def parts_of(
    rows: Iterable[tuple[int, str, int]], most_minor: Mapping[str, int | None]
) -> tuple[list[tuple[int, int]], list[Part]]:
    """Return which part each row belongs to, and the parts.

    Parameters
    ----------
    rows : line, channel and minor units of each
    most_minor : what a channel takes in one part; None, or no entry: no bound

    Returns
    -------
    list of (line, part), list of Part
        Every row once; no part has more than `PART_ROWS` rows, or more money than its channel takes
        unless it is a single row.

    Examples
    --------
    >>> placed, parts = parts_of([(3, "a", 60), (4, "b", 1), (5, "a", 60)], {"a": 100})
    >>> placed, [(one.channel, one.sum_minor) for one in parts]
    ([(3, 1), (4, 2), (5, 3)], [('a', 60), ('b', 1), ('a', 60)])
    """
    placed: list[tuple[int, int]] = []
    open_part: dict[str, int] = {}
    counts: list[list[int]] = []
    channels: list[str] = []
    for line, channel, minor in rows:
        index = open_part.get(channel)
        bound = most_minor.get(channel)
        is_full = index is not None and (
            counts[index][0] >= PART_ROWS
            or (bound is not None and counts[index][1] + minor > bound)
        )
        if index is None or is_full:
            index = len(counts)
            counts.append([0, 0])
            channels.append(channel)
            open_part[channel] = index
        counts[index][0] += 1
        counts[index][1] += minor
        placed.append((line, index + 1))
    parts = [
        Part(index + 1, channels[index], rows, minor) for index, (rows, minor) in enumerate(counts)
    ]
    return placed, parts
