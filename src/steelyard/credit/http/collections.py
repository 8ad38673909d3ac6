"""Routes of collections, of promises and plans, and of what customers bring up."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID, uuid5

from fastapi import APIRouter, Path, Query, Response

from steelyard.base import UnitOfWork
from steelyard.base.http import NotEntitled, Read, Write, reading, writing
from steelyard.base.http import refusals as refused_by
from steelyard.credit import (
    bureau_files,
    collecting,
    collections,
    complaints,
    hardship,
    loans,
    messages,
    promises,
)
from steelyard.credit.http.collection_wire import (
    AnswerIn,
    ApprovalOut,
    BoardOut,
    ContactIn,
    ContactOut,
    ContactsOut,
    EvidenceIn,
    ExtensionIn,
    MatterIn,
    MatterOut,
    MattersOut,
    OnBoardOut,
    PlanIn,
    PlanOut,
    PlansOut,
    PromiseIn,
    PromiseOut,
    PromisesOut,
    ProposedPlanOut,
    ReasonIn,
    ResultIn,
    RunOut,
    StopIn,
    StopOut,
)
from steelyard.credit.http.wire import LoanId, own
from steelyard.decisions import lifecycle
from steelyard.parties import approvals

router = APIRouter(prefix="/v1/credit", tags=["credit"])

Reads = Annotated[Read, reading("credit.read")]
Collects = Annotated[Write, writing("credit.collect")]
Answers = Annotated[Write, writing("credit.answer")]
BringsUp = Annotated[Write, writing("credit.bring_up")]
MatterId = Annotated[UUID, Path(description="id of the matter")]
PlanId = Annotated[UUID, Path(description="id of the plan")]

# Names of contacts are made of the command's scope and key: sent again, it finds its own.
_CONTACTS = UUID("1c9d7d6e-1d7b-5a0e-9a57-7a1f9a1f4e22")
_NONE = (loans.refusals.LoanIsUnknown,)
_LATE = (*_NONE, collections.EpisodeIsUnknown)
_YES = (approvals.ApprovalIsNeeded, *approvals.CONSUME_REFUSALS)
_MATTER = (complaints.MatterIsUnknown, complaints.MatterIsAnswered)


def _staff(read: Read | Write, verb: str) -> None:
    if read.caller.party is not None:
        raise NotEntitled(actor=read.caller.actor, verb=verb)


@router.get("/collections", responses=refused_by())
def show_board(
    read: Reads,
    least_dpd: Annotated[int, Query(ge=1, le=3_650)] = 1,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> BoardOut:
    """Show the loans that are collected: how late, by which strategy, what was promised."""
    _staff(read, "credit.read")
    with read.database.reading() as connection:
        found = collections.board(connection, least_dpd=least_dpd, after=after, limit=limit)
    last = found[-1].episode.nr if len(found) == limit else None
    return BoardOut(items=[OnBoardOut.of(one) for one in found], after=last)


@router.post(
    "/collections/run",
    response_model=RunOut,
    responses=refused_by(loans.refusals.LenderIsUnknown, write=True),
)
def run_collections(write: Collects) -> Response:
    """Run collections once, as the job does every ten minutes."""
    _staff(write, write.verb)
    return write.run_in_steps(
        lambda: RunOut.of(
            collecting.collect(
                write.database,
                write.platform.keyring,
                write.platform.message_gateway,
                actor=write.caller.actor,
            )
        )
    )


@router.get("/loans/{loan}/contacts", responses=refused_by(*_NONE))
def list_contacts(loan: LoanId, read: Reads) -> ContactsOut:
    """List the contacts about a loan, those that were refused too, newest first."""
    with read.database.reading() as connection:
        found = loans.read(connection, loan)
        own(read.caller, found.party, "credit.read")
        items = collections.contacts_of(connection, found.nr)
    return ContactsOut(items=[ContactOut.of(one) for one in items])


@router.post(
    "/loans/{loan}/contacts",
    response_model=ContactOut,
    responses=refused_by(
        *_LATE,
        *collections.CONTACT_REFUSALS,
        messages.GatewayIsNotAtHand,
        messages.TemplateIsUnknown,
        messages.TemplateDoesNotFit,
        messages.AddressIsMissing,
        write=True,
    ),
)
def make_contact(loan: LoanId, body: ContactIn, write: Collects) -> Response:
    """Make a contact about a late loan, or note one that the customer made."""
    _staff(write, write.verb)
    new = collections.NewContact(
        loan=loan,
        channel=body.channel,
        is_ours=body.is_ours,
        template=body.template,
        result=body.result,
        id=uuid5(_CONTACTS, f"{write.scope}\0{write.key}"),
    )
    return write.run_in_steps(
        lambda: ContactOut.of(
            collections.contact(
                write.database,
                write.platform.keyring,
                write.platform.message_gateway,
                new,
                actor=write.caller.actor,
            )
        )
    )


@router.post(
    "/contacts/{contact}/result",
    response_model=ContactOut,
    responses=refused_by(
        collections.CollectionContactIsUnknown, collections.ContactHasAResult, write=True
    ),
)
def record_result(contact: UUID, body: ResultIn, write: Collects) -> Response:
    """Say what came of a contact; what the customer said may stop all further ones."""
    _staff(write, write.verb)
    return write.run(
        lambda unit: ContactOut.of(collections.record_result(unit, contact, body.result))
    )


@router.post(
    "/loans/{loan}/stops", response_model=StopOut, responses=refused_by(*_NONE, write=True)
)
def stop_collection(loan: LoanId, body: StopIn, write: Collects) -> Response:
    """Stop all contacts of ours about a loan; hardship and death stop those about any."""
    _staff(write, write.verb)

    def work(unit: UnitOfWork) -> StopOut:
        found = loans.read(unit.connection, loan)
        mark = collections.stop(unit, found.party, body.kind, source=body.source, nr=found.nr)
        return StopOut(
            id=None if mark is None else mark.id, kind=body.kind, is_set=mark is not None
        )

    return write.run(work)


@router.post(
    "/stops/{stop}/lift",
    response_model=StopOut,
    responses=refused_by(collections.StopIsUnknown, write=True),
)
def lift_stop(stop: UUID, body: ReasonIn, write: Collects) -> Response:
    """Lift a stop, for a reason."""
    _staff(write, write.verb)

    def work(unit: UnitOfWork) -> StopOut:
        mark = collections.lift(unit, stop, reason=body.reason)
        return StopOut(id=mark.id, kind=mark.kind, is_set=False)

    return write.run(work)


@router.get("/loans/{loan}/promises", responses=refused_by(*_NONE))
def list_promises(loan: LoanId, read: Reads) -> PromisesOut:
    """List the promises about a loan, newest first."""
    with read.database.reading() as connection:
        found = loans.read(connection, loan)
        own(read.caller, found.party, "credit.read")
        items = promises.promises_of(connection, found.nr)
    return PromisesOut(items=[PromiseOut.of(one) for one in items])


@router.post(
    "/loans/{loan}/promises",
    response_model=PromiseOut,
    responses=refused_by(*_LATE, promises.PromiseIsOpen, promises.PromiseIsOutOfRange, write=True),
)
def take_promise(loan: LoanId, body: PromiseIn, write: BringsUp) -> Response:
    """Take a customer's promise to pay what is late, or a part of it, by a day."""

    def work(unit: UnitOfWork) -> PromiseOut:
        own(write.caller, loans.read(unit.connection, loan).party, write.verb)
        given = promises.promise(unit, loan, amount_minor=body.amount_minor, by_on=body.by_on)
        return PromiseOut.of(given)

    return write.run(work)


@router.post(
    "/promises/{promise}/withdraw",
    response_model=PromiseOut,
    responses=refused_by(promises.PromiseIsUnknown, write=True),
)
def withdraw_promise(promise: UUID, write: Collects) -> Response:
    """Take back a promise that was noted by mistake."""
    _staff(write, write.verb)
    return write.run(lambda unit: PromiseOut.of(promises.withdraw(unit, promise)))


@router.post(
    "/loans/{loan}/plans",
    response_model=PlanOut,
    responses=refused_by(
        *_NONE,
        loans.refusals.LoanIsClosed,
        loans.refusals.LoanStateForbids,
        loans.refusals.ChangeDoesNotFit,
        hardship.PlanIsMalformed,
        hardship.PlanIsProposed,
        write=True,
    ),
)
def propose_plan(loan: LoanId, body: PlanIn, write: Collects) -> Response:
    """Propose a plan for a customer in hardship, or show what it would do."""
    _staff(write, write.verb)

    def work(unit: UnitOfWork) -> PlanOut:
        effect = hardship.preview(unit, loan, body.plan())
        if body.dry_run:
            return PlanOut.of(effect, plan=None, state="tried")
        proposed = hardship.propose(unit, loan, body.plan(), reason=body.reason)
        return PlanOut.of(effect, plan=proposed, state=proposed.state.value)

    return write.run(work)


@router.get("/loans/{loan}/plans", responses=refused_by(*_NONE))
def list_plans(loan: LoanId, read: Reads) -> PlansOut:
    """List the plans for a loan, newest first."""
    with read.database.reading() as connection:
        found = loans.read(connection, loan)
        own(read.caller, found.party, "credit.read")
        items = hardship.plans_of(connection, found.nr)
    return PlansOut(items=[ProposedPlanOut.of(one) for one in items])


@router.post(
    "/plans/{plan}/drop",
    response_model=ProposedPlanOut,
    responses=refused_by(hardship.PlanIsUnknown, hardship.PlanIsSettled, write=True),
)
def drop_plan(plan: PlanId, write: Collects) -> Response:
    """Give a proposed plan up, as when a second person said no; contacts may go on."""
    _staff(write, write.verb)
    return write.run(lambda unit: ProposedPlanOut.of(hardship.drop(unit, plan)))


@router.post(
    "/plans/{plan}/grant",
    response_model=PlanOut,
    responses=refused_by(
        hardship.PlanIsUnknown,
        hardship.PlanIsSettled,
        loans.refusals.ChangeDoesNotFit,
        *_YES,
        write=True,
    ),
)
def grant_plan(plan: PlanId, write: Collects) -> Response:
    """Bring an approved plan into force."""
    _staff(write, write.verb)

    def work(unit: UnitOfWork) -> PlanOut:
        effect = hardship.grant(unit, plan)
        granted = hardship.read_plan(unit.connection, plan)
        return PlanOut.of(effect, plan=granted, state=granted.state.value)

    return write.run(work)


@router.post(
    "/loans/{loan}/matters", response_model=MatterOut, responses=refused_by(*_NONE, write=True)
)
def bring_up(loan: LoanId, body: MatterIn, write: BringsUp) -> Response:
    """Bring a complaint, a repudiation or a dispute up; its day is set by a dated rule."""

    def work(unit: UnitOfWork) -> MatterOut:
        own(write.caller, loans.read(unit.connection, loan).party, write.verb)
        new = complaints.NewMatter(loan, body.kind, body.about)
        return MatterOut.of(complaints.receive(unit, new))

    return write.run(work)


@router.get("/loans/{loan}/matters", responses=refused_by(*_NONE))
def list_matters_of_loan(loan: LoanId, read: Reads) -> MattersOut:
    """List what was brought up about a loan, newest first."""
    with read.database.reading() as connection:
        found = loans.read(connection, loan)
        own(read.caller, found.party, "credit.read")
        items = complaints.matters_of(connection, found.nr)
    return MattersOut(items=[MatterOut.of(one) for one in items])


@router.get("/matters", responses=refused_by())
def list_matters(read: Reads) -> MattersOut:
    """List what waits for an answer, the nearest deadline first."""
    _staff(read, "credit.read")
    with read.database.reading() as connection:
        return MattersOut(items=[MatterOut.of(one) for one in complaints.open_matters(connection)])


@router.get("/matters/{matter}", responses=refused_by(complaints.MatterIsUnknown))
def show_matter(matter: MatterId, read: Reads) -> MatterOut:
    """Show a matter with its answer."""
    with read.database.reading() as connection:
        found = complaints.read_matter(connection, matter)
    own(read.caller, found.party, "credit.read")
    return MatterOut.of(found)


@router.post(
    "/matters/{matter}/evidence",
    response_model=MatterOut,
    responses=refused_by(*_MATTER, write=True),
)
def attach_evidence(matter: MatterId, body: EvidenceIn, write: Answers) -> Response:
    """Put evidence to a matter: where it is kept, and its hash; never the thing itself."""
    _staff(write, write.verb)

    def work(unit: UnitOfWork) -> MatterOut:
        complaints.attach(
            unit,
            matter,
            kind=body.kind,
            reference=body.reference,
            content_hash=body.content_hash,
        )
        return MatterOut.of(complaints.read_matter(unit.connection, matter))

    return write.run(work)


@router.post(
    "/matters/{matter}/evidence/contract",
    response_model=MatterOut,
    responses=refused_by(*_MATTER, complaints.EvidenceIsNeeded, write=True),
)
def attach_contract(matter: MatterId, write: Answers) -> Response:
    """Put the evidence of the contract itself to a matter."""
    _staff(write, write.verb)

    def work(unit: UnitOfWork) -> MatterOut:
        complaints.attach_contract(unit, matter)
        return MatterOut.of(complaints.read_matter(unit.connection, matter))

    return write.run(work)


@router.post(
    "/matters/{matter}/extension",
    response_model=ApprovalOut,
    responses=refused_by(*_MATTER, complaints.MatterHasNoExtension, write=True),
)
def request_extension(matter: MatterId, write: Answers) -> Response:
    """Ask for a second person's yes to a later day."""
    _staff(write, write.verb)

    def work(unit: UnitOfWork) -> ApprovalOut:
        asked = complaints.request_extension(unit, matter)
        return ApprovalOut(approval=asked.id, shown_hash=asked.shown_hash)

    return write.run(work)


@router.post(
    "/matters/{matter}/extend",
    response_model=MatterOut,
    responses=refused_by(*_MATTER, complaints.MatterHasNoExtension, *_YES, write=True),
)
def extend_matter(matter: MatterId, body: ExtensionIn, write: Answers) -> Response:
    """Move the day of a matter, as two people want it."""
    _staff(write, write.verb)
    return write.run(
        lambda unit: MatterOut.of(complaints.extend(unit, matter, approval=body.approval))
    )


_ANSWER = (
    *_MATTER,
    complaints.AnswerIsMalformed,
    complaints.EvidenceIsNeeded,
    bureau_files.CorrectionIsMalformed,
    lifecycle.ListIsUnknown,
    lifecycle.EntryIsMalformed,
    loans.refusals.WaiverExceedsDue,
    loans.refusals.ChangeDoesNotFit,
)


@router.post(
    "/matters/{matter}/proposal",
    response_model=ApprovalOut,
    responses=refused_by(*_ANSWER, complaints.NoApprovalIsNeeded, write=True),
)
def propose_answer(matter: MatterId, body: AnswerIn, write: Answers) -> Response:
    """Ask for a second person's yes to an answer, with everything that follows from it."""
    _staff(write, write.verb)

    def work(unit: UnitOfWork) -> ApprovalOut:
        asked = complaints.propose(unit, matter, body.answer())
        return ApprovalOut(approval=asked.id, shown_hash=asked.shown_hash)

    return write.run(work)


@router.post(
    "/matters/{matter}/answer",
    response_model=MatterOut,
    responses=refused_by(*_ANSWER, *_YES, write=True),
)
def answer_matter(matter: MatterId, body: AnswerIn, write: Answers) -> Response:
    """Answer a matter; what follows from the answer is done at once."""
    _staff(write, write.verb)
    return write.run(
        lambda unit: MatterOut.of(
            complaints.answer(unit, matter, body.answer(), approval=body.approval)
        )
    )
