"""Routes of the bureau, its inquiries and reporting files, and of the messages of a customer."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID, uuid5

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base.http import BodyIn, NotEntitled, Read, Write, reading, writing
from steelyard.base.http import refusals as refused_by
from steelyard.credit import bureau, bureau_files, loans, messages
from steelyard.credit.http.wire import LoanId, own
from steelyard.parties import registry

router = APIRouter(prefix="/v1/credit", tags=["credit"])

Reads = Annotated[Read, reading("credit.read")]
Asks = Annotated[Write, writing("credit.ask_bureau")]
Reports = Annotated[Write, writing("credit.report_bureau")]
InquiryId = Annotated[UUID, Path(description="id of the inquiry")]
Period = Annotated[
    str, Path(pattern=r"^\d{4}-\d{2}$", description="month, YYYY-MM", examples=["2026-01"])
]

# Names of inquiries are made of the command's scope and key: sent again, it finds its own.
_INQUIRIES = UUID("7f0f6cbb-5d2b-5c7e-8b7a-0f5c3e0c6c11")


class InquiryIn(BodyIn):
    """Whom to ask about, and what for."""

    party: UUID
    why: bureau.Why


class ReportOut(BaseModel):
    """What a bureau knows; amounts are minor units."""

    made_on: date
    currency: str
    accounts: int
    open_accounts: int
    balance_minor: int
    limit_minor: int
    overdue_minor: int
    monthly_due_minor: int
    worst_dpd_24m: int
    inquiries_6m: int
    oldest_months: int
    score: int | None


class BureauEvidenceOut(BaseModel):
    """One answer, as it came in."""

    source: str
    found: str
    reason: str
    recorded_at: datetime


class InquiryOut(BaseModel):
    """An inquiry, with what it says while that is valid."""

    id: UUID
    party: UUID
    bureau: str
    why: str
    state: str
    started_at: datetime
    consent_version: int
    consent_at: datetime
    found: str | None = None
    valid_until: datetime | None = None
    report: ReportOut | None = None
    evidence: list[BureauEvidenceOut] = []


class InquiriesOut(BaseModel):
    """Inquiries, newest first."""

    items: list[InquiryOut]


class FileIn(BodyIn):
    """Which month to report."""

    period: str = Field(
        pattern=r"^\d{4}-\d{2}$",
        description="YYYY-MM, a month that is over",
        examples=["2026-01"],
    )


class FileOut(BaseModel):
    """A reporting file: its control totals and digest."""

    institution: str
    period: str
    as_of: date
    rows: int
    balance_minor: int
    overdue_minor: int
    sha256: str
    made_at: datetime


class FilesOut(BaseModel):
    """Reporting files, newest first."""

    items: list[FileOut]


class DeliveryOut(BaseModel):
    """What the bureau said of a file."""

    state: str
    sha256: str
    rows: int
    reason: str


class ReportedOut(BaseModel):
    """What a file said of a loan."""

    period: str
    kind: str
    state: str
    balance_minor: int
    overdue_minor: int
    dpd: int
    category: int
    history: str
    is_disputed: bool


class ReportedListOut(BaseModel):
    """What was reported about a loan, oldest first."""

    items: list[ReportedOut]


class MessageOut(BaseModel):
    """A message as it went out."""

    id: UUID
    act: str
    channel: str
    template: str
    state: str
    started_at: datetime
    text: str


class MessagesOut(BaseModel):
    """Messages, newest first."""

    items: list[MessageOut]


def _bureau(write: Write) -> bureau.CreditBureau:
    at_hand: bureau.CreditBureau | None = write.platform.credit_bureau
    if at_hand is None:
        raise bureau.BureauIsNotAtHand(bureau="")
    return at_hand


def _inquiry(inquiry: bureau.Inquiry, known: bureau.Known | None, evidence: Any = ()) -> InquiryOut:
    report = None if known is None or known.report is None else ReportOut(**asdict(known.report))
    return InquiryOut(
        id=inquiry.id,
        party=inquiry.party,
        bureau=inquiry.bureau,
        why=inquiry.why,
        state=inquiry.state,
        started_at=inquiry.started_at,
        consent_version=inquiry.consent_version,
        consent_at=inquiry.consent_at,
        found=None if known is None else known.found,
        valid_until=None if known is None else known.valid_until,
        report=report,
        evidence=[
            BureauEvidenceOut(
                source=e.source, found=e.found, reason=e.reason, recorded_at=e.recorded_at
            )
            for e in evidence
        ],
    )


def _file_out(made: bureau_files.MadeFile) -> FileOut:
    return FileOut(**asdict(made))


def _staff(read: Read | Write, verb: str) -> None:
    if read.caller.party is not None:
        raise NotEntitled(actor=read.caller.actor, verb=verb)


@router.post(
    "/bureau/inquiries",
    response_model=InquiryOut,
    responses=refused_by(
        registry.PartyIsUnknown,
        bureau.ConsentIsMissing,
        bureau.PersonalFieldIsMissing,
        bureau.InquiryIsUnderWay,
        bureau.BureauIsNotAtHand,
        write=True,
    ),
)
def inquire(body: InquiryIn, write: Asks) -> Response:
    """Ask the bureau about a customer, under his consent; unknown until there is evidence."""
    own(write.caller, body.party, write.verb)
    id = uuid5(_INQUIRIES, f"{write.scope}\0{write.key}")

    def work() -> InquiryOut:
        inquiry = bureau.inquire(
            write.database,
            write.platform.keyring,
            _bureau(write),
            bureau.Ask(body.party, body.why, id),
            actor=write.caller.actor,
        )
        with write.database.reading() as connection:
            return _inquiry(inquiry, bureau.known_of(connection, inquiry.id))

    return write.run_in_steps(work)


@router.get("/bureau/inquiries", responses=refused_by())
def list_inquiries(read: Reads, party: Annotated[UUID, Query()]) -> InquiriesOut:
    """List the inquiries about a customer, newest first."""
    own(read.caller, party, "credit.read")
    with read.database.reading() as connection:
        found = bureau.inquiries_of(connection, party)
        return InquiriesOut(
            items=[_inquiry(one, bureau.known_of(connection, one.id)) for one in found]
        )


@router.get("/bureau/inquiries/{inquiry}", responses=refused_by(bureau.InquiryIsUnknown))
def show_inquiry(inquiry: InquiryId, read: Reads) -> InquiryOut:
    """Show an inquiry with every answer that came in."""
    with read.database.reading() as connection:
        found = bureau.read_inquiry(connection, inquiry)
        own(read.caller, found.party, "credit.read")
        return _inquiry(
            found,
            bureau.known_of(connection, inquiry),
            bureau.evidence_of(connection, inquiry),
        )


@router.post(
    "/bureau/inquiries/{inquiry}/poll",
    response_model=InquiryOut,
    responses=refused_by(bureau.InquiryIsUnknown, bureau.BureauIsNotAtHand, write=True),
)
def poll_inquiry(inquiry: InquiryId, write: Asks) -> Response:
    """Ask the bureau what became of an inquiry, and record what it says."""

    def work() -> InquiryOut:
        with write.database.reading() as connection:
            own(write.caller, bureau.read_inquiry(connection, inquiry).party, write.verb)
        polled = bureau.poll(
            write.database,
            write.platform.keyring,
            _bureau(write),
            inquiry,
            actor=write.caller.actor,
        )
        with write.database.reading() as connection:
            return _inquiry(polled, bureau.known_of(connection, inquiry))

    return write.run_in_steps(work)


@router.post(
    "/bureau/files",
    response_model=FileOut,
    responses=refused_by(
        bureau_files.PeriodIsMalformed,
        bureau_files.ReportingFileExists,
        loans.refusals.LenderIsUnknown,
        write=True,
    ),
)
def make_file(body: FileIn, write: Reports) -> Response:
    """Make the reporting file of a month that is over."""
    _staff(write, write.verb)
    return write.run(lambda unit: _file_out(bureau_files.make_file(unit, body.period)))


@router.get("/bureau/files", responses=refused_by())
def list_files(read: Reads) -> FilesOut:
    """List the reporting files, newest first."""
    _staff(read, "credit.read")
    with read.database.reading() as connection:
        return FilesOut(items=[_file_out(one) for one in bureau_files.list_files(connection)])


@router.get(
    "/bureau/files/{period}",
    responses=refused_by(bureau_files.ReportingFileIsUnknown),
    response_class=Response,
)
def show_file(period: Period, read: Annotated[Read, reading("credit.report_bureau")]) -> Response:
    """Return the bytes of a file, the same as are delivered."""
    _staff(read, "credit.report_bureau")
    with read.database.reading() as connection:
        content = bureau_files.bytes_of(connection, period)
    return Response(content, media_type="text/csv")


@router.post(
    "/bureau/files/{period}/deliver",
    response_model=DeliveryOut,
    responses=refused_by(bureau_files.ReportingFileIsUnknown, bureau.BureauIsNotAtHand, write=True),
)
def deliver_file(period: Period, write: Reports) -> Response:
    """Hand a file in, and record the bureau's receipt."""
    _staff(write, write.verb)

    def work() -> DeliveryOut:
        told = bureau_files.deliver(
            write.database, _bureau(write), period, actor=write.caller.actor
        )
        return DeliveryOut(state=told.state, sha256=told.sha256, rows=told.rows, reason=told.reason)

    return write.run_in_steps(work)


@router.get("/loans/{loan}/reported", responses=refused_by(loans.refusals.LoanIsUnknown))
def list_reported(loan: LoanId, read: Reads) -> ReportedListOut:
    """List what was reported to the bureau about a loan, oldest first."""
    with read.database.reading() as connection:
        found = loans.read(connection, loan)
        own(read.caller, found.party, "credit.read")
        rows = bureau_files.reported_of(connection, found.nr)
    return ReportedListOut(
        items=[
            ReportedOut(
                period=period,
                kind=row.kind,
                state=row.state,
                balance_minor=row.balance_minor,
                overdue_minor=row.overdue_minor,
                dpd=row.dpd,
                category=row.category,
                history=row.history,
                is_disputed=row.is_disputed,
            )
            for period, row in rows
        ]
    )


@router.get("/messages", responses=refused_by())
def list_messages(read: Reads, party: Annotated[UUID, Query()]) -> MessagesOut:
    """List the messages to a customer, newest first."""
    own(read.caller, party, "credit.read")
    with read.database.reading() as connection:
        found = messages.messages_of(connection, party)
    return MessagesOut(
        items=[
            MessageOut(
                id=one.id,
                act=one.act,
                channel=one.channel,
                template=one.template,
                state=one.state,
                started_at=one.started_at,
                text=messages.text_of(one, read.language),
            )
            for one in found
        ]
    )
