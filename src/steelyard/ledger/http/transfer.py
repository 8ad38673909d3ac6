"""Routes: transfers, movements, journal entries."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    PageOut,
    Write,
    page_out,
    writing,
)
from steelyard.base.http import refusals as refused_by
from steelyard.kernel import CursorIsInvalid, Refusal, RefusalKind
from steelyard.ledger import (
    REFUSALS,
    Answer,
    BookReader,
    Item,
    Kind,
    Search,
    Transfer,
    accepted,
    entry_of,
    post,
    refusals,
    reverse,
)
from steelyard.ledger.http.wire import (
    MOST,
    NO_BOOK,
    BookId,
    Cause,
    CauseIn,
    Metadata,
    Reads,
    Ref,
    Text,
    account_ref,
)

router = APIRouter()


MAX_TRANSFERS = 2_000


class KeyIsNotTheTransferId(Refusal):
    """The hot path takes the transfer's id as idempotency key."""

    kind = RefusalKind.INVALID
    en = "The Idempotency-Key of this route is the id of the transfer, a UUID."
    zh = "该接口的 Idempotency-Key 即转账编号，须为 UUID。"


class TransferBody(BodyIn):
    """What a transfer does; see `kind`."""

    cause: Cause = Field(description="who says that the money moves, `name@version`")
    kind: Literal["single", "hold", "post", "void", "reversal"] = "single"
    debit: Ref | None = Field(None, description="code or number of the account debited")
    credit: Ref | None = Field(None, description="code or number of the account credited")
    amount_minor: Annotated[int, Field(ge=1, le=MOST)] | None = None
    currency: Annotated[str, StringConstraints(max_length=3)] | None = None
    refers_to: UUID | None = Field(None, description="hold to resolve, or transfer to reverse")
    linked: bool = Field(False, description="stands or falls with the next one of the batch")
    at_most: bool = Field(False, description="as much of the amount as the limits allow")
    entry: UUID | None = None
    effective_on: date | None = Field(None, description="value date; the book's date if null")
    expires_at: AwareDatetime | None = None
    decision_id: UUID | None = None
    metadata: Metadata | None = None

    def made(self, book: str, id: UUID) -> Transfer:
        """Return the value."""
        return Transfer(
            id=id,
            book=book,
            cause=self.cause,
            debit=self.debit and account_ref(self.debit),
            credit=self.credit and account_ref(self.credit),
            amount_minor=self.amount_minor,
            currency=self.currency,
            kind=Kind[self.kind.upper()],
            refers_to=self.refers_to,
            linked=self.linked,
            at_most=self.at_most,
            entry=self.entry,
            effective_on=self.effective_on,
            expires_at=self.expires_at,
            decision_id=self.decision_id,
            metadata=self.metadata,
        )


class TransferIn(TransferBody):
    """A transfer of a batch."""

    id: UUID = Field(description="chosen by you; a repeat carries the same id")


class TransfersIn(BodyIn):
    """Transfers of one book in one transaction; each is answered by itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "transfers": [
                    {
                        "id": "0198f6f0-7d1a-7c3e-9a55-1f6f2b1c0d11",
                        "cause": "no_policy@0",
                        "debit": "wallet:7",
                        "credit": "shop:3",
                        "amount_minor": 1990,
                        "currency": "CNY",
                    }
                ]
            }
        },
    )

    transfers: list[TransferIn] = Field(min_length=1, max_length=MAX_TRANSFERS)


class AnswerOut(BaseModel):
    """The answer to one transfer."""

    id: UUID
    outcome: str = Field(description="`created`, `exists`, or the code of a refusal")
    about: str = Field(description="field or account that a refusal is about")
    title: str | None = Field(description="the sentence of a refusal, in the reader's language")
    at: int | None = Field(description="recording instant, microseconds since 1970")
    amount_minor: int | None
    debit_balance: int | None = Field(description="debits less credits of the debited account")
    credit_balance: int | None
    hash: str | None

    @classmethod
    def of(cls, answer: Answer, language: str) -> AnswerOut:
        """Return the wire form of an answer."""
        refused = REFUSALS.get(answer.outcome)
        record = answer.record
        shown = record if answer.outcome.is_accepted else None
        sentence = refused(id=answer.id, about=answer.about).sentence(language) if refused else None
        return cls(
            id=answer.id,
            outcome=answer.outcome.value,
            about=answer.about,
            title=sentence,
            at=shown.at if shown else None,
            amount_minor=shown.amount_minor if shown else None,
            debit_balance=shown.debit_balance if shown else None,
            credit_balance=shown.credit_balance if shown else None,
            hash=shown.hash.hex() if shown else None,
        )


class AnswersOut(BaseModel):
    """One answer for each transfer, in their order."""

    items: list[AnswerOut]


class MovementOut(BaseModel):
    """A recorded transfer."""

    id: UUID
    book: str
    at: int
    recorded_at: datetime
    effective_on: date
    kind: Literal["single", "hold", "post", "void", "reversal"]
    debit: int
    debit_code: str
    credit: int
    credit_code: str
    amount_minor: int
    currency: str
    cause: str
    refers_to: UUID | None
    entry: UUID | None
    decision_id: UUID | None
    hash: str

    @classmethod
    def of(cls, movement: Any) -> MovementOut:
        """Return the wire form of a movement."""
        fields = {name: getattr(movement, name) for name in cls.model_fields if name != "kind"}
        return cls(kind=movement.kind.word, **fields)


class MovementPage(PageOut):
    """Movements, the newest first."""

    items: list[MovementOut]


class EntryOut(BaseModel):
    """The movements of a journal entry, in all the books that it touches."""

    items: list[MovementOut]


@router.post(
    "/books/{book}/transfers",
    response_model=AnswersOut,
    responses=refused_by(write=True),
)
def post_transfers(
    book: BookId, body: TransfersIn, write: Annotated[Write, writing("ledger.post")]
) -> Response:
    """Post transfers in one transaction; a refusal is the answer to its own transfer alone."""

    def work(unit: UnitOfWork) -> AnswersOut:
        answers = post(unit, [t.made(book, t.id) for t in body.transfers])
        return AnswersOut(items=[AnswerOut.of(answer, write.language) for answer in answers])

    return write.run(work)


@router.post(
    "/books/{book}/transfer",
    response_model=AnswerOut,
    responses=refused_by(
        KeyIsNotTheTransferId,
        refusals.LedgerIsBusy,
        refusals.PostingIsUnknown,
        *REFUSALS.values(),
        write=True,
    ),
)
async def post_one_transfer(
    book: BookId, body: TransferBody, write: Annotated[Write, writing("ledger.post")]
) -> AnswerOut:
    """Post one transfer by group commit; the Idempotency-Key is its id.

    The answer comes when the transfer is durable. Sent again with the same key, the same transfer
    is answered `exists`; another one is refused.
    """
    try:
        id = UUID(write.key)
    except ValueError:
        raise KeyIsNotTheTransferId from None
    answers = await write.platform.ledger_queue.post_async(
        Item((body.made(book, id),), actor=write.caller.actor)
    )
    return AnswerOut.of(accepted(answers)[0], write.language)


@router.post(
    "/books/{book}/transfers/{id}/reverse",
    response_model=AnswersOut,
    responses=refused_by(*REFUSALS.values(), write=True),
)
def reverse_transfer(
    book: BookId, id: UUID, body: CauseIn, write: Annotated[Write, writing("ledger.reverse")]
) -> Response:
    """Reverse a transfer, or all of a journal entry, by mirrors in the open period."""

    def work(unit: UnitOfWork) -> AnswersOut:
        answers = reverse(unit, book, id, cause=body.cause)
        return AnswersOut(items=[AnswerOut.of(answer, write.language) for answer in answers])

    return write.run(work)


@router.get(
    "/books/{book}/movements",
    response_model=MovementPage,
    responses=refused_by(*NO_BOOK, CursorIsInvalid),
)
def list_movements(  # noqa: PLR0917  (query parameters)
    book: BookId,
    read: Reads,
    account: Annotated[int | None, Query(ge=1, lt=2**63, description="on either side")] = None,
    cause: Annotated[Cause | None, Query()] = None,
    entry: Annotated[UUID | None, Query()] = None,
    metadata: Annotated[
        list[Text] | None, Query(description="`key=value` that the metadata contain, all of them")
    ] = None,
    effective_from: date | None = None,
    effective_to: date | None = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> MovementPage:
    """List the newest movements of a book, or the newest of those that a search finds."""
    search = Search(
        account=account,
        cause=cause,
        entry=entry,
        metadata=_metadata(metadata),
        effective_from=effective_from,
        effective_to=effective_to,
    )
    with read.database.reading() as connection:
        page = BookReader(connection, book).movements(search, cursor=cursor, limit=limit)
    return page_out(MovementPage, page, MovementOut.of)


@router.get(
    "/books/{book}/movements/{id}",
    response_model=MovementOut,
    responses=refused_by(*NO_BOOK, refusals.OriginalNotFound),
)
def read_movement(book: BookId, id: UUID, read: Reads) -> MovementOut:
    """Show one movement."""
    with read.database.reading() as connection:
        return MovementOut.of(BookReader(connection, book).movement(id))


@router.get("/entries/{entry}", response_model=EntryOut, responses=refused_by())
def read_entry(entry: UUID, read: Reads) -> EntryOut:
    """Show the movements of a journal entry; none if there is no such entry."""
    with read.database.reading() as connection:
        return EntryOut(items=[MovementOut.of(m) for m in entry_of(connection, entry)])


def _metadata(pairs: list[str] | None) -> dict[str, str | int | bool] | None:
    """Return `key=value` pairs as a search; whole numbers are numbers, as they were posted."""
    if not pairs:
        return None
    split = (pair.partition("=") for pair in pairs)
    return {key: int(value) if value.isdecimal() else value for key, _, value in split}
