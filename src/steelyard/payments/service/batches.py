"""Files of debits: uploaded, looked through, approved by a second person, split, submitted, told.

Every step is chunks of rows, each a transaction of its own that says how far it came: after a crash
it goes on from there. People decide between `validated` and `approved`; the rest goes by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import Page, Refusal, encode_cursor
from steelyard.parties import approvals
from steelyard.payments.model.batches import (
    WORDS,
    Amounts,
    Batch,
    BatchState,
    Head,
    Outcome,
    Part,
    RowError,
    outcome_of,
    parts_of,
    totals_differ,
)
from steelyard.payments.model.batches_file import check, read_head, read_rows
from steelyard.payments.model.batches_refusals import (
    DebitBatchIsUnknown,
    DebitBatchStateForbids,
    DebitFileIsMalformed,
    DebitFileIsTooLarge,
    DebitFileWasSeen,
    DebitResultIsMalformed,
)
from steelyard.payments.model.debits import Debit, DebitState, NewDebit
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.refusals import PaymentMerchantIsUnknown
from steelyard.payments.service import debits_facts as facts
from steelyard.payments.service.batches_results import Taken, result_of, take_result
from steelyard.payments.service.debits_scheduling import schedule, today
from steelyard.payments.service.evidence import BALANCE
from steelyard.payments.service.paying import Desk
from steelyard.payments.service.refunds import position_of
from steelyard.payments.store import batches as table
from steelyard.payments.store import institution as contracts
from steelyard.payments.store.batches import RowWithDebit

__all__ = [
    "APPROVAL",
    "WORDS",
    "Amounts",
    "Batch",
    "BatchState",
    "DebitBatchIsUnknown",
    "DebitBatchStateForbids",
    "DebitFileIsMalformed",
    "DebitFileIsTooLarge",
    "DebitFileWasSeen",
    "DebitResultIsMalformed",
    "NewBatch",
    "Outcome",
    "Part",
    "RowError",
    "RowWithDebit",
    "Taken",
    "approve",
    "check",
    "list_batches",
    "outcome_of",
    "parts",
    "progress",
    "read",
    "recall",
    "request_approval",
    "rerun",
    "result_of",
    "rows",
    "take_result",
    "upload",
    "words_of",
    "work",
    "work_due",
    "wrong_rows",
]

APPROVAL: Final = approvals.approval_kind(
    "payments.debit_batch",
    verb="payments.approve",
    en="Take money by a file of debits",
    zh="批量代扣审批",
)
_REFUSED: Final = {
    "mandate_is_not_active": WORDS[RowError.MANDATE_IS_NOT_ACTIVE],
    "debit_exceeds_mandate": WORDS[RowError.EXCEEDS_MANDATE],
    "debit_no_was_used": WORDS[RowError.DEBIT_NO_WAS_USED],
    "debit_is_too_early": ("it is too early by the mandate", "早于协议约定的扣款日"),
    "debit_is_malformed": ("the mandate does not fit the debit", "与协议约定不符"),
}
"""Words of refusals by which a row that looked good did not become a debit."""
_PARSE: Final = 5_000
_VALIDATE: Final = 10_000
_PLACE: Final = 20_000
_SUBMIT: Final = 200
_MOST_STEPS: Final = 5_000
"""Of one call of `work`: more than the largest file needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A file of debits to upload.

    Attributes
    ----------
    name : of the file, for people
    """

    id: UUID
    merchant: UUID
    mode: Mode
    name: str
    content: bytes


def upload(unit: UnitOfWork, new: NewBatch) -> Batch:
    """Take a file, once for its bytes; `work` looks through it then.

    Refusals
    --------
    payment_merchant_is_unknown, debit_file_is_malformed, debit_file_is_too_large
    debit_file_was_seen : the same bytes, whatever they were called
    """
    head = read_head(new.content)
    if new.merchant not in contracts.merchant_terms(unit.connection, [new.merchant]):
        raise PaymentMerchantIsUnknown(merchant=new.merchant)
    batch = Batch(
        id=new.id,
        merchant=new.merchant,
        mode=new.mode,
        file_no=head.file_no,
        name=new.name[:200],
        sha256=hashlib.sha256(new.content).hexdigest(),
        bytes=len(new.content),
        currency=head.currency,
        amounts=head.amounts,
        stated_rows=head.stated_rows,
        stated_minor=head.stated_minor,
        state=BatchState.UPLOADED,
        version=1,
        uploaded_at=unit.now,
        uploaded_by=unit.actor,
    )
    known = table.insert(unit.connection, batch, new.content)
    if known is not None:
        raise DebitFileWasSeen(batch=known)
    audit(
        unit,
        action="payments.upload_debits",
        subject=batch.subject_key,
        detail={"sha256": batch.sha256, "rows": batch.stated_rows},
    )
    _tell(unit, batch)
    return batch


def work(database: Database, batch: UUID, desk: Desk, *, actor: str = "system:debits") -> Batch:
    """Do with a file what goes by itself, until people have to decide or channels to answer.

    Parameters
    ----------
    desk : says what the channels take at once
    """
    steps: dict[BatchState, Callable[[Batch], bool]] = {
        BatchState.UPLOADED: lambda one: _parse(database, one, actor),
        BatchState.PARSED: lambda one: _validate(database, one, actor),
        BatchState.APPROVED: lambda one: _split(database, one, desk, actor),
        BatchState.SPLIT: lambda one: _submit(database, one, actor),
        BatchState.SUBMITTED: lambda one: _settle(database, one, actor),
        BatchState.PARTIAL: lambda one: _settle(database, one, actor),
    }
    for _ in range(_MOST_STEPS):
        with database.reading() as connection:
            now = table.read(connection, batch)
        step = steps.get(now.state)
        if step is None or not step(now):
            break
    with database.reading() as connection:
        return table.read(connection, batch)


def work_due(database: Database, desk: Desk, *, most: int = 20, actor: str) -> int:
    """Do with every file what goes by itself; return how many were looked at."""
    with database.reading() as connection:
        due = table.open_batches(connection, most)
    for one in due:
        work(database, one, desk, actor=actor)
    return len(due)


def _held(unit: UnitOfWork, seen: Batch) -> bool:
    """Lock a file; whether nobody went on with it since it was seen."""
    return table.read(unit.connection, seen.id, lock=True).version == seen.version


def _head(batch: Batch) -> Head:
    return Head(
        file_no=batch.file_no,
        currency=batch.currency,
        amounts=batch.amounts,
        stated_rows=batch.stated_rows,
        stated_minor=batch.stated_minor,
    )


def _parse(database: Database, batch: Batch, actor: str) -> bool:
    """Store the rows, chunk by chunk, then hold the control totals against them."""
    with database.reading() as connection:
        content = table.content_of(connection, batch.id)
    rows = (row for row in read_rows(content, _head(batch)) if row.line > batch.done_to)
    now = batch
    try:
        while chunk := list(islice(rows, _PARSE)):
            after = replace(
                now,
                rows=now.rows + len(chunk),
                sum_minor=now.sum_minor + sum(row.amount_minor or 0 for row in chunk),
                done_to=chunk[-1].line,
            )

            def store(unit: UnitOfWork, before: Batch = now, to: Batch = after) -> Batch | None:
                if not _held(unit, before):
                    return None
                table.copy_rows(unit.driver, to, chunk)
                return table.change(unit.connection, before, to)

            written = database.transact(store, actor=actor)
            if written is None:
                return True
            now = written
    except (DebitFileIsMalformed, DebitFileIsTooLarge) as refusal:
        return _reject(database, now, refusal.sentence("en"), actor)
    return database.transact(lambda unit: _finish_parsing(unit, now), actor=actor)


def _reject(database: Database, batch: Batch, why: str, actor: str) -> bool:
    def reject(unit: UnitOfWork) -> bool:
        if _held(unit, batch):
            _move(unit, batch, replace(batch, state=BatchState.REJECTED_FILE, why=why[:300]))
        return True

    return database.transact(reject, actor=actor)


def _finish_parsing(unit: UnitOfWork, batch: Batch) -> bool:
    if not _held(unit, batch):
        return True
    table.mark_repeated(unit.connection, batch.id)
    _, errors, unread, good = table.totals(unit.connection, batch.id)
    why = totals_differ(_head(batch), batch.rows, batch.sum_minor, unread)
    state = BatchState.REJECTED_FILE if why else BatchState.PARSED
    after = replace(batch, errors=errors, good_minor=good, done_to=0, state=state, why=why)
    _move(unit, batch, after)
    return True


def _validate(database: Database, batch: Batch, actor: str) -> bool:
    """Hold the rows against mandates and other files, chunk by chunk."""

    def chunk(unit: UnitOfWork) -> bool:
        if not _held(unit, batch):
            return True
        last, *_ = table.totals(unit.connection, batch.id)
        upto = min(batch.done_to + _VALIDATE, last)
        lines = (batch.done_to, upto)
        table.validate(unit.connection, batch, lines, today(unit, batch.mode))
        after = replace(batch, done_to=upto)
        if upto < last:
            table.change(unit.connection, batch, after)
            return True
        _, errors, _, good = table.totals(unit.connection, batch.id)
        is_empty = errors == batch.rows
        state = BatchState.REJECTED_FILE if is_empty else BatchState.VALIDATED
        why = "no row is good" if is_empty else ""
        after = replace(after, state=state, errors=errors, good_minor=good, why=why, done_to=0)
        _move(unit, batch, after)
        return True

    return database.transact(chunk, actor=actor)


def request_approval(
    unit: UnitOfWork, batch: UUID, *, merchant: UUID | None = None
) -> approvals.Approval:
    """Ask for a second person's yes to a file that was looked through.

    Refusals
    --------
    debit_batch_is_unknown, debit_batch_state_forbids
    """
    found = _read(unit.connection, batch, merchant, lock=True)
    found.must_be("approve", BatchState.VALIDATED)
    return approvals.request_approval(
        unit, kind=APPROVAL.name, subject=found.subject_key, shown=_shown(found), by=unit.actor
    )


def approve(
    unit: UnitOfWork, batch: UUID, approval: UUID, *, merchant: UUID | None = None
) -> Batch:
    """Use up a second person's yes: the file is split and submitted from here on.

    Refusals
    --------
    debit_batch_is_unknown, debit_batch_state_forbids, and those of an approval
    """
    before = _read(unit.connection, batch, merchant, lock=True)
    before.must_be("approve", BatchState.VALIDATED)
    cause = approvals.consume_approval(
        unit, approval, kind=APPROVAL.name, subject=before.subject_key, shown=_shown(before)
    )
    audit(unit, action="payments.approve_debits", subject=before.subject_key)
    return _move(unit, before, replace(before, state=BatchState.APPROVED, cause=cause))


def _shown(batch: Batch) -> dict[str, str | int]:
    return {
        "merchant": str(batch.merchant),
        "file_no": batch.file_no,
        "sha256": batch.sha256,
        "currency": batch.currency,
        "rows": batch.rows,
        "errors": batch.errors,
        "sum_minor": batch.sum_minor,
        "good_minor": batch.good_minor,
    }


def _split(database: Database, batch: Batch, desk: Desk, actor: str) -> bool:
    """Part the good rows by channels and what they take; refuse those that they never take."""
    with database.reading() as connection:
        rows = table.good_rows(connection, batch.id)
    bounds: dict[str, int | None] = {}
    limits: dict[str, tuple[int, int]] = {}
    for channel in sorted({channel for _, channel, _ in rows}):
        if channel not in ("", BALANCE):
            able = desk.capability(channel)
            bounds[channel] = able.daily_most_minor
            limits[channel] = (able.least_minor, able.most_minor)
    refused: dict[int, tuple[str, str]] = {}
    for line, channel, minor in rows:
        least, most = limits.get(channel, (1, minor))
        if not least <= minor <= most:
            refused[line] = (RowError.CHANNEL_LIMIT.value, f"{least}-{most}")
    placed, made = parts_of((row for row in rows if row[0] not in refused), bounds)
    # Placing rows again gives the same: only the last transaction says that it is done.
    for start in range(0, len(placed), _PLACE):
        chunk = placed[start : start + _PLACE]
        database.transact(
            lambda unit, part=chunk: table.place(unit.connection, batch.id, part),  # type: ignore[misc]
            actor=actor,
        )

    def finish(unit: UnitOfWork) -> bool:
        if not _held(unit, batch):
            return True
        table.refuse_rows(unit.connection, batch.id, refused)
        table.insert_parts(unit.connection, batch.id, made)
        taken = sum(minor for line, _, minor in rows if line in refused)
        after = replace(
            batch,
            state=BatchState.SPLIT,
            errors=batch.errors + len(refused),
            good_minor=batch.good_minor - taken,
        )
        _move(unit, batch, after)
        return True

    return database.transact(finish, actor=actor)


def _submit(database: Database, batch: Batch, actor: str) -> bool:
    """Make debits of rows, chunk by chunk; what a mandate does not allow is refused row by row."""

    def chunk(unit: UnitOfWork) -> bool:
        if not _held(unit, batch):
            return True
        rows = table.to_submit(unit.connection, batch.id, _SUBMIT)
        if not rows:
            _move(unit, batch, replace(batch, state=BatchState.SUBMITTED))
            return True
        news = [
            NewDebit(
                id=uuid5(batch.id, str(row.line)),
                mandate=row.mandate,
                debit_no=row.debit_no,
                amount_minor=row.amount_minor,
                currency=batch.currency,
                due_on=row.due_on,
                subject=row.subject,
            )
            for row in rows
        ]
        answers = schedule(unit, news, merchant=batch.merchant)
        made: dict[int, UUID] = {}
        refused: dict[int, tuple[str, str]] = {}
        for row, new, answer in zip(rows, news, answers, strict=True):
            if isinstance(answer, Debit) and answer.id == new.id:
                made[row.line] = answer.id
            elif isinstance(answer, Refusal):
                refused[row.line] = (answer.code, answer.sentence("en")[:200])
            else:
                refused[row.line] = (RowError.DEBIT_NO_WAS_USED.value, row.debit_no)
        table.set_debits(unit.connection, batch.id, made)
        table.refuse_rows(unit.connection, batch.id, refused)
        taken = sum(row.amount_minor for row in rows if row.line in refused)
        after = replace(
            batch,
            errors=batch.errors + len(refused),
            good_minor=batch.good_minor - taken,
            done_to=batch.done_to + len(rows),
        )
        table.change(unit.connection, batch, after)
        return True

    return database.transact(chunk, actor=actor)


def _settle(database: Database, batch: Batch, actor: str) -> bool:
    """Say how far the rows of a file came; False where that says nothing new."""

    def settle(unit: UnitOfWork) -> bool:
        if not _held(unit, batch):
            return True
        counts = table.progress(unit.connection, batch.id)
        made = {state: many for state, many in counts.items() if state is not None}
        final = sum(many for state, many in made.items() if state.is_final)
        if final == sum(made.values()):
            done = replace(batch, state=BatchState.COMPLETE, completed_at=unit.now)
            _move(unit, batch, done)
            return True
        if final and batch.state is BatchState.SUBMITTED:
            _move(unit, batch, replace(batch, state=BatchState.PARTIAL))
        return False

    return database.transact(settle, actor=actor)


def recall(database: Database, batch: UUID, *, merchant: UUID | None = None, actor: str) -> Batch:
    """Take a file back before anything of it is submitted; its rows may come in another one.

    Refusals
    --------
    debit_batch_is_unknown, debit_batch_state_forbids
    """

    def begin(unit: UnitOfWork) -> Batch:
        before = _read(unit.connection, batch, merchant, lock=True)
        if before.state is BatchState.RECALLED:
            return before
        # A part of a file that is being submitted is debits already: those are cancelled alone.
        if not before.state.is_recallable or table.progress(unit.connection, batch).keys() - {None}:
            raise DebitBatchStateForbids(batch=batch, state=before.state.value, verb="recall")
        audit(unit, action="payments.recall_debits", subject=before.subject_key)
        return _move(unit, before, replace(before, state=BatchState.RECALLED))

    recalled = database.transact(begin, actor=actor)
    free = partial(table.free_rows, batch=batch, limit=_VALIDATE)
    while database.transact(lambda unit: free(unit.connection), actor=actor):
        pass
    return recalled


def rerun(unit: UnitOfWork, batch: UUID, *, merchant: UUID | None = None) -> int:
    """Let what failed and waits for a pay-day be tried today; return how many.

    Rows that are final are not touched, nor are those that are under way.

    Refusals
    --------
    debit_batch_is_unknown, debit_batch_state_forbids
    """
    found = _read(unit.connection, batch, merchant, lock=True)
    found.must_be("rerun", BatchState.SUBMITTED, BatchState.PARTIAL)
    audit(unit, action="payments.rerun_debits", subject=found.subject_key)
    return table.hurry(unit.connection, batch, today(unit, found.mode))


def _move(unit: UnitOfWork, before: Batch, after: Batch) -> Batch:
    written = table.change(unit.connection, before, after)
    _tell(unit, written)
    return written


def _tell(unit: UnitOfWork, batch: Batch) -> None:
    unit.record(
        facts.DebitBatchMoved(
            batch=batch.id,
            merchant=batch.merchant,
            mode=batch.mode.value,
            state=batch.state.value,
            rows=batch.rows,
            errors=batch.errors,
            sum_minor=batch.sum_minor,
            currency=batch.currency,
            why=batch.why,
        ),
        subject=batch.subject_key,
    )


def _read(
    connection: sa.Connection, batch: UUID, merchant: UUID | None, *, lock: bool = False
) -> Batch:
    found = table.read(connection, batch, lock=lock)
    if merchant not in (None, found.merchant):
        raise DebitBatchIsUnknown(batch=batch)
    return found


def read(connection: sa.Connection, batch: UUID, *, merchant: UUID | None = None) -> Batch:
    """Return a file of debits.

    Refusals
    --------
    debit_batch_is_unknown
    """
    return _read(connection, batch, merchant)


def parts(connection: sa.Connection, batch: UUID) -> list[Part]:
    """Return the parts of a file."""
    return table.parts(connection, batch)


def progress(connection: sa.Connection, batch: UUID) -> dict[DebitState | None, int]:
    """Return how many rows of a file stand where; None: rows that are no debit."""
    return table.progress(connection, batch)


def wrong_rows(
    connection: sa.Connection, batch: UUID, *, after: int = 0, limit: int = 100
) -> Sequence[RowWithDebit]:
    """Return rows that are wrong, over a line of the file."""
    return table.rows_of(connection, batch, after=after, limit=limit, wrong=True)


def rows(
    connection: sa.Connection, batch: UUID, *, after: int = 0, limit: int = 100
) -> Sequence[RowWithDebit]:
    """Return rows, over a line of the file."""
    return table.rows_of(connection, batch, after=after, limit=limit)


def words_of(code: str) -> tuple[str, str]:
    """Return what an error of a row is called, in English and Chinese.

    One of a mandate or a debit, as it was refused when the row became one, is its own sentence.

    Examples
    --------
    >>> words_of("amount")[0]
    'the amount is not as the header says'
    """
    known = {one.value: words for one, words in WORDS.items()}
    return known.get(code) or _REFUSED.get(code, (code, code))


def list_batches(
    connection: sa.Connection,
    *,
    merchant: UUID | None = None,
    state: BatchState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Batch]:
    """Return a page of files, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    found = table.list_newest(
        connection,
        limit=limit + 1,
        before=position_of(cursor),
        merchant=merchant,
        state=state,
    )
    items = tuple(found[:limit])
    last = items[-1] if len(found) > limit else None
    return Page(items, encode_cursor(last.uploaded_at.isoformat(), str(last.id)) if last else None)
