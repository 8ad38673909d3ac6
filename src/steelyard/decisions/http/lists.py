"""Routes of the kept lists: who stands on them, adding, importing, taking off."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

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
    writing,
)
from steelyard.base.http import refusals as refused_by
from steelyard.decisions import lifecycle, lists
from steelyard.decisions.http.policy_wire import Reason, Word, utc
from steelyard.kernel import CursorIsInvalid

router = APIRouter(prefix="/v1/lists", tags=["lists"])

Reads = Annotated[Read, reading("decisions.read")]
Keeps = Annotated[Write, writing("decisions.list")]
Name = Annotated[
    str, Path(pattern=r"^[a-z][a-z0-9_]{0,59}$", description="list", examples=["blocked_cards"])
]


class ListOut(BaseModel):
    """A list that policies ask."""

    name: str
    means: str = Field(description="block, allow or watch")
    field: str = Field(description="of the event, which is looked for")
    entries: int


class ListsOut(BaseModel):
    """Every list."""

    items: list[ListOut]


class EntryOut(BaseModel):
    """A value on a list."""

    value: str
    until_at: datetime | None
    reason: str
    added_by: str
    added_at: datetime

    @classmethod
    def of(cls, one: lists.Listed) -> EntryOut:
        """Return the wire form of an entry."""
        return cls(
            value=one.value,
            until_at=one.until_at,
            reason=one.reason,
            added_by=one.added_by,
            added_at=one.added_at,
        )


class EntryPage(PageOut):
    """Values in their order."""

    items: list[EntryOut]


class EntriesIn(BodyIn):
    """Values to put on a list; one that stands there has its end and reason replaced."""

    values: Annotated[list[Word], Field(min_length=1, max_length=1_000)]
    reason: Reason
    until_at: AwareDatetime | None = Field(None, description="null: until it is taken off")


class ImportIn(BodyIn):
    """A CSV file with the columns value, reason and, maybe, until."""

    csv: Annotated[str, StringConstraints(min_length=1, max_length=1_900_000)] = Field(
        examples=["value,reason,until\nk7,stolen,2026-12-31T00:00:00Z\n"]
    )


class TakeOffIn(BodyIn):
    """A value to take off a list, and why."""

    value: Word
    reason: Reason


class AddedOut(BaseModel):
    """How many values were not on the list before."""

    added: int


class TakenOut(BaseModel):
    """What was taken off."""

    value: str


@router.get("", response_model=ListsOut, responses=refused_by())
def list_lists(read: Reads) -> ListsOut:
    """List the lists that committed policies ask."""
    with read.database.reading() as connection:
        found = lists.counted_lists(connection, now=read.database.clock.read(connection))
    items = [
        ListOut(name=one.list.name, means=one.list.means, field=one.list.field, entries=one.entries)
        for one in found
    ]
    return ListsOut(items=items)


@router.get(
    "/{name}",
    response_model=EntryPage,
    responses=refused_by(lifecycle.ListIsUnknown, CursorIsInvalid),
)
def list_entries(name: Name, read: Reads, cursor: Cursor = None, limit: Limit = 50) -> EntryPage:
    """List the values that stand on a list now, in their order."""
    with read.database.reading() as connection:
        at = read.database.clock.read(connection)
        page = lists.list_entries(connection, name, now=at, cursor=cursor, limit=limit)
    return page_out(EntryPage, page, EntryOut.of)


@router.post(
    "/{name}/entries",
    response_model=AddedOut,
    responses=refused_by(lifecycle.ListIsUnknown, lifecycle.EntryIsMalformed, write=True),
)
def add_to_a_list(name: Name, body: EntriesIn, write: Keeps) -> Response:
    """Put values on a list; the owner asks it within a second."""
    until_at = utc(body.until_at)
    return write.run(
        lambda unit: AddedOut(
            added=lists.add_to_list(unit, name, body.values, reason=body.reason, until_at=until_at)
        )
    )


@router.post(
    "/{name}/import",
    response_model=AddedOut,
    responses=refused_by(lifecycle.ListIsUnknown, lifecycle.EntryIsMalformed, write=True),
)
def import_a_list(name: Name, body: ImportIn, write: Keeps) -> Response:
    """Put the entries of a CSV file on a list, all or none."""
    return write.run(lambda unit: AddedOut(added=lists.import_list(unit, name, body.csv)))


@router.post(
    "/{name}/remove",
    response_model=TakenOut,
    responses=refused_by(lifecycle.ListIsUnknown, lifecycle.EntryIsUnknown, write=True),
)
def take_off_a_list(name: Name, body: TakeOffIn, write: Keeps) -> Response:
    """Take a value off a list."""

    def work(unit: UnitOfWork) -> BaseModel:
        lists.take_off_list(unit, name, body.value, reason=body.reason)
        return TakenOut(value=body.value)

    return write.run(work)
