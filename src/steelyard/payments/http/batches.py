"""Routes of files of debits: uploaded, looked through, approved, recalled, their results."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    PageOut,
    Read,
    Write,
    page_out,
    reading,
    refusals,
    writing,
)
from steelyard.kernel import CursorIsInvalid
from steelyard.parties import approvals
from steelyard.payments import batches, exports, institution, orders
from steelyard.payments.http.wire import id_of, merchant_for, merchant_of

router = APIRouter(prefix="/v1/payments/debit-batches", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Debits = Annotated[Write, writing("payments.debit")]
BatchId = Annotated[UUID, Path(description="id of the file of debits")]
_MOST_TEXT = 32 * 1024 * 1024


class BatchIn(BodyIn):
    """A file of debits."""

    merchant: UUID | None = Field(
        None,
        description="for staff; a merchant's key has its own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    mode: orders.Mode = orders.Mode.LIVE
    name: Annotated[str, Field(min_length=1, max_length=200, examples=["rent-2026-03.csv"])]
    content: Annotated[str, Field(min_length=1, max_length=_MOST_TEXT, description="the CSV")]


class ResultIn(BodyIn):
    """A channel's file of results."""

    content: Annotated[str, Field(min_length=1, max_length=_MOST_TEXT, description="the CSV")]


class ApprovalIn(BodyIn):
    """A second person's yes."""

    approval: UUID


class BatchOut(BaseModel):
    """A file of debits as it stands."""

    id: UUID
    merchant: UUID
    mode: orders.Mode
    file_no: str
    name: str
    sha256: str
    bytes: int
    currency: str
    amounts: batches.Amounts
    stated_rows: int
    stated_minor: int
    state: batches.BatchState
    version: int
    rows: int
    sum_minor: int
    errors: int
    good_minor: int
    done_to: int = Field(description="how far the step under way came")
    why: str
    cause: str | None
    uploaded_at: datetime
    completed_at: datetime | None

    @classmethod
    def of(cls, batch: batches.Batch) -> BatchOut:
        """Return the wire form."""
        return cls(**{name: getattr(batch, name) for name in cls.model_fields})


class PartOut(BaseModel):
    """A part of a file, for one channel."""

    number: int
    channel: str = Field(description="empty: the routing chooses")
    rows: int
    sum_minor: int


class BatchDetail(BatchOut):
    """A file of debits with its parts, and how many rows stand where."""

    parts: list[PartOut]
    progress: dict[str, int] = Field(description="state -> rows; `none`: no debit")


class BatchPage(PageOut):
    """Files of debits, the newest first."""

    items: list[BatchOut]


class RowErrorOut(BaseModel):
    """What is wrong with a row."""

    line: int
    debit_no: str
    mandate_no: str
    amount_minor: int | None
    due_on: date | None
    code: str
    en: str
    zh: str
    found: str


class RowErrors(BaseModel):
    """Rows that are wrong, in the order of the file; `after` the last line for the next ones."""

    items: list[RowErrorOut]


class ApprovalOut(BaseModel):
    """What a second person is asked."""

    approval: UUID
    shown_hash: str


class RerunOut(BaseModel):
    """How many rows are tried today."""

    rows: int


class ProblemOut(BaseModel):
    """A line of a channel's file that is not believed."""

    line: int
    number: str
    what: str


class TakenOut(BaseModel):
    """What was made of a channel's file of results."""

    rows: int
    new: int
    missing: int = Field(description="debits under way that it does not name")
    problems: list[ProblemOut]
    was_seen: bool


_UNKNOWN = batches.DebitBatchIsUnknown
_STATE = batches.DebitBatchStateForbids


@router.post(
    "",
    response_model=BatchOut,
    status_code=201,
    responses=refusals(
        orders.PaymentMerchantIsUnknown,
        batches.DebitFileIsMalformed,
        batches.DebitFileIsTooLarge,
        batches.DebitFileWasSeen,
        write=True,
    ),
)
def upload_batch(body: BatchIn, write: Debits) -> Response:
    """Upload a file of debits; a job looks through it then."""
    new = batches.NewBatch(
        id=id_of(write, "batch"),
        merchant=merchant_for(write, body.merchant),
        mode=body.mode,
        name=body.name,
        content=body.content.encode(),
    )
    return write.run(lambda unit: BatchOut.of(batches.upload(unit, new)), status=201)


@router.get("", response_model=BatchPage, responses=refusals(CursorIsInvalid))
def list_batches(
    read: Reads,
    cursor: Cursor = None,
    limit: Limit = 50,
    *,
    merchant: Annotated[UUID | None, Query(description="of one merchant")] = None,
    state: Annotated[batches.BatchState | None, Query()] = None,
) -> BatchPage:
    """List files of debits, the newest first: a merchant's own, or anybody's for staff."""
    with read.database.reading() as connection:
        page = batches.list_batches(
            connection,
            merchant=merchant_of(read.caller) or merchant,
            state=state,
            cursor=cursor,
            limit=limit,
        )
    return page_out(BatchPage, page, BatchOut.of)


@router.get("/{id}", response_model=BatchDetail, responses=refusals(_UNKNOWN))
def read_batch(id: BatchId, read: Reads) -> BatchDetail:
    """Show a file of debits with its parts and its progress."""
    with read.database.reading() as connection:
        found = batches.read(connection, id, merchant=merchant_of(read.caller))
        parts = batches.parts(connection, id)
        counts = batches.progress(connection, id)
    return BatchDetail(
        **BatchOut.of(found).model_dump(),
        parts=[
            PartOut(number=one.number, channel=one.channel, rows=one.rows, sum_minor=one.sum_minor)
            for one in parts
        ],
        progress={"none" if state is None else state.value: many for state, many in counts.items()},
    )


@router.get("/{id}/errors", response_model=RowErrors, responses=refusals(_UNKNOWN))
def list_batch_errors(
    id: BatchId,
    read: Reads,
    limit: Limit = 50,
    *,
    after: Annotated[int, Query(ge=0, description="line of the last one seen")] = 0,
) -> RowErrors:
    """List the rows that are wrong, each with its line, code and words."""
    with read.database.reading() as connection:
        batches.read(connection, id, merchant=merchant_of(read.caller))
        found = batches.wrong_rows(connection, id, after=after, limit=limit)
    return RowErrors(items=[_error(row) for row in found])


def _error(row: batches.RowWithDebit) -> RowErrorOut:
    code = row.error or ""
    en, zh = batches.words_of(code)
    return RowErrorOut(
        line=row.line,
        debit_no=row.debit_no,
        mandate_no=row.mandate_no,
        amount_minor=row.amount_minor,
        due_on=row.due_on,
        code=code,
        en=en,
        zh=zh,
        found=row.found,
    )


@router.get(
    "/{id}/result",
    response_class=Response,
    responses={
        **refusals(_UNKNOWN, exports.ExportIsTooLong),
        200: {"content": {"text/csv": {}}},
    },
)
def read_batch_result(id: BatchId, read: Reads) -> Response:
    """Give the result file: every row of the input once, and what became of it."""
    with read.database.reading() as connection:
        content = batches.result_of(connection, id, merchant=merchant_of(read.caller))
    exports.note(
        read.database,
        what="debit_result",
        subject=f"debit_batch:{id}",
        rows=len(content.splitlines()) - 3,
        actor=read.caller.actor,
    )
    return Response(
        content,
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="result-{id}.csv"'},
    )


@router.post(
    "/{id}/approval",
    response_model=ApprovalOut,
    status_code=201,
    responses=refusals(_UNKNOWN, _STATE, write=True),
)
def request_batch_approval(id: BatchId, write: Debits) -> Response:
    """Ask for a second person's yes to a file that was looked through."""
    merchant = merchant_of(write.caller)

    def work(unit: UnitOfWork) -> ApprovalOut:
        asked = batches.request_approval(unit, id, merchant=merchant)
        return ApprovalOut(approval=asked.id, shown_hash=asked.shown_hash)

    return write.run(work, status=201)


@router.post(
    "/{id}/approve",
    response_model=BatchOut,
    responses=refusals(_UNKNOWN, _STATE, *approvals.CONSUME_REFUSALS, write=True),
)
def approve_batch(id: BatchId, body: ApprovalIn, write: Debits) -> Response:
    """Use up a second person's yes; the rows are debits from here on."""
    merchant = merchant_of(write.caller)
    return write.run(
        lambda unit: BatchOut.of(batches.approve(unit, id, body.approval, merchant=merchant))
    )


@router.post(
    "/{id}/recall", response_model=BatchOut, responses=refusals(_UNKNOWN, _STATE, write=True)
)
def recall_batch(id: BatchId, write: Debits) -> Response:
    """Take a file back before anything of it is submitted."""
    merchant = merchant_of(write.caller)
    return write.run_in_steps(
        lambda: BatchOut.of(
            batches.recall(write.database, id, merchant=merchant, actor=write.caller.actor)
        )
    )


@router.post(
    "/{id}/rerun",
    response_model=RerunOut,
    responses=refusals(_UNKNOWN, _STATE, institution.InstitutionIsNotOpen, write=True),
)
def rerun_batch(id: BatchId, write: Debits) -> Response:
    """Let rows that failed and wait for a pay-day be tried today; final rows are not touched."""
    merchant = merchant_of(write.caller)
    return write.run(lambda unit: RerunOut(rows=batches.rerun(unit, id, merchant=merchant)))


@router.post(
    "/{id}/results",
    response_model=TakenOut,
    responses=refusals(
        _UNKNOWN,
        batches.DebitResultIsMalformed,
        batches.DebitFileIsMalformed,
        batches.DebitFileIsTooLarge,
        write=True,
    ),
)
def take_batch_results(
    id: BatchId,
    body: ResultIn,
    write: Annotated[Write, writing("payments.reconcile")],
) -> Response:
    """Take a channel's file of results, once; for staff."""
    if merchant_of(write.caller) is not None:
        raise batches.DebitBatchIsUnknown(batch=id)

    def work() -> TakenOut:
        taken = batches.take_result(
            write.database, id, body.content.encode(), actor=write.caller.actor
        )
        return TakenOut(
            rows=taken.rows,
            new=taken.new,
            missing=taken.missing,
            problems=[ProblemOut(line=n, number=no, what=what) for n, no, what in taken.problems],
            was_seen=taken.was_seen,
        )

    return write.run_in_steps(work)
