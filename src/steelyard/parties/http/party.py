"""Routes: registering, showing and changing parties, their relations and accounts."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    Cursor,
    Limit,
    Read,
    Write,
    page_out,
    reading,
    refusals,
    writing,
)
from steelyard.kernel import CursorIsInvalid
from steelyard.parties import NewCustomer, NewLegalPerson, Party, PartyKind, personal, registry
from steelyard.parties.http.wire import (
    AccountLinkIn,
    AccountLinks,
    CustomerIn,
    LegalPersonIn,
    PartyOut,
    PartyPage,
    RelationIn,
    RelationOut,
    Relations,
    StateChangeIn,
    anybody,
    own,
)

router = APIRouter(prefix="/v1/parties", tags=["parties"])

Registers = Annotated[Write, writing("parties.register")]
Reads = Annotated[Read, reading("parties.read")]

_REGISTER = (
    registry.RegistrationIsDeclined,
    registry.OriginIsInvalid,
    registry.OriginWasUsed,
)
_PERSONAL = (personal.PersonalFieldIsInvalid, personal.PersonalFieldsDisagree)
_LEGAL = (registry.RegistrationNumberIsInvalid, registry.RegistrationNumberIsTaken)
_CHANGE = (
    registry.PartyIsUnknown,
    registry.PartyHasChanged,
    registry.StateChangeIsNotAllowed,
    registry.ReasonIsInvalid,
)


@router.post(
    "/customers",
    status_code=201,
    response_model=PartyOut,
    responses=refusals(*_REGISTER, *_PERSONAL, write=True),
)
def register_customer(body: CustomerIn, write: Registers) -> Response:
    """Register a natural person."""
    anybody(write.caller, write.verb)
    new = NewCustomer(body.personal, body.origin, body.region, body.channel)
    keyring = write.platform.keyring
    verdict = registry.ask_to_register(
        write.platform.gate, PartyKind.CUSTOMER, new, now=write.database.now()
    )

    def work(unit: UnitOfWork) -> PartyOut:
        party = registry.register_customer(unit, keyring, new, verdict=verdict)
        return _shown(unit, write, party)

    return write.run(work, status=201)


@router.post(
    "/merchants",
    status_code=201,
    response_model=PartyOut,
    responses=refusals(*_REGISTER, *_LEGAL, write=True),
)
def register_merchant(body: LegalPersonIn, write: Registers) -> Response:
    """Register a merchant; the form of its registration number is checked."""
    return _register_legal(body, write, PartyKind.MERCHANT)


@router.post(
    "/institutions",
    status_code=201,
    response_model=PartyOut,
    responses=refusals(*_REGISTER, *_LEGAL, write=True),
)
def register_institution(body: LegalPersonIn, write: Registers) -> Response:
    """Register an institution; the form of its registration number is checked."""
    return _register_legal(body, write, PartyKind.INSTITUTION)


def _register_legal(body: LegalPersonIn, write: Write, kind: PartyKind) -> Response:
    anybody(write.caller, write.verb)
    new = NewLegalPerson(**body.model_dump())
    register = (
        registry.register_merchant if kind is PartyKind.MERCHANT else registry.register_institution
    )
    verdict = registry.ask_to_register(write.platform.gate, kind, new, now=write.database.now())

    def work(unit: UnitOfWork) -> PartyOut:
        party = register(unit, write.platform.keyring, new, verdict=verdict)
        return PartyOut.of(party, {})

    return write.run(work, status=201)


@router.get("", responses=refusals(CursorIsInvalid))
def list_parties(
    read: Reads, kind: PartyKind | None = None, cursor: Cursor = None, limit: Limit = 50
) -> PartyPage:
    """List parties, newest first."""
    anybody(read.caller, "parties.read")
    with read.database.reading() as connection:
        page = registry.list_parties(connection, kind=kind, cursor=cursor, limit=limit)
        masked = personal.masked_many(
            connection, read.platform.keyring, [party.id for party in page.items]
        )
    return page_out(PartyPage, page, lambda p: PartyOut.of(p, masked.get(p.id, {})))


@router.get("/{party}", responses=refusals(registry.PartyIsUnknown))
def read_party(party: UUID, read: Reads) -> PartyOut:
    """Show a party, its personal fields masked."""
    own(read.caller, party, "parties.read")
    with read.database.reading() as connection:
        found = registry.read_party(connection, party)
        masked = personal.masked(connection, read.platform.keyring, party)
    return PartyOut.of(found, masked)


@router.post("/{party}/activate", response_model=PartyOut, responses=refusals(*_CHANGE, write=True))
def activate(
    party: UUID, body: StateChangeIn, write: Annotated[Write, writing("parties.activate")]
) -> Response:
    """Let a party that has applied or is restricted do business."""
    anybody(write.caller, write.verb)
    return write.run(
        lambda unit: _shown(
            unit,
            write,
            registry.activate(unit, party, reason=body.reason, version=body.version),
        )
    )


@router.post("/{party}/restrict", response_model=PartyOut, responses=refusals(*_CHANGE, write=True))
def restrict(
    party: UUID, body: StateChangeIn, write: Annotated[Write, writing("parties.restrict")]
) -> Response:
    """Let an active party do less than others."""
    anybody(write.caller, write.verb)
    return write.run(
        lambda unit: _shown(
            unit,
            write,
            registry.restrict(unit, party, reason=body.reason, version=body.version),
        )
    )


@router.post("/{party}/close", response_model=PartyOut, responses=refusals(*_CHANGE, write=True))
def close(
    party: UUID, body: StateChangeIn, write: Annotated[Write, writing("parties.close")]
) -> Response:
    """End the relation with a party for good."""
    anybody(write.caller, write.verb)
    return write.run(
        lambda unit: _shown(
            unit, write, registry.close(unit, party, reason=body.reason, version=body.version)
        )
    )


@router.get("/{party}/relations", responses=refusals(registry.PartyIsUnknown))
def list_relations(party: UUID, read: Reads) -> Relations:
    """List the relations in force that a party has or is the object of."""
    own(read.caller, party, "parties.read")
    with read.database.reading() as connection:
        registry.read_party(connection, party)
        found = registry.relations_of(connection, party)
    return Relations(items=[RelationOut.from_relation(relation) for relation in found])


@router.post(
    "/{party}/relations",
    status_code=201,
    response_model=RelationOut,
    responses=refusals(
        registry.PartyIsUnknown,
        registry.PartyIsClosed,
        registry.RelationIsNotMeaningful,
        registry.SharesExceedTheWhole,
        write=True,
    ),
)
def relate(
    party: UUID, body: RelationIn, write: Annotated[Write, writing("parties.relate")]
) -> Response:
    """State what another party is to this legal person."""
    anybody(write.caller, write.verb)
    return write.run(
        lambda unit: RelationOut.from_relation(
            registry.relate(unit, body.party, body.kind, party, share_bp=body.share_bp)
        ),
        status=201,
    )


@router.post(
    "/relations/{relation}/end",
    response_model=RelationOut,
    responses=refusals(registry.RelationIsUnknown, write=True),
)
def end_relation(relation: UUID, write: Annotated[Write, writing("parties.relate")]) -> Response:
    """End a relation in force."""
    anybody(write.caller, write.verb)
    return write.run(lambda unit: RelationOut.from_relation(registry.end_relation(unit, relation)))


@router.get("/{party}/accounts", responses=refusals(registry.PartyIsUnknown))
def list_accounts(party: UUID, read: Reads) -> AccountLinks:
    """List the accounts a party owns or disposes of, by reference."""
    own(read.caller, party, "parties.read")
    with read.database.reading() as connection:
        registry.read_party(connection, party)
        return AccountLinks.of(registry.accounts_of(connection, party))


@router.post(
    "/{party}/accounts",
    response_model=AccountLinks,
    responses=refusals(registry.PartyIsUnknown, write=True),
)
def link_account(
    party: UUID, body: AccountLinkIn, write: Annotated[Write, writing("parties.link_account")]
) -> Response:
    """Note that a party owns or disposes of an account."""
    anybody(write.caller, write.verb)

    def work(unit: UnitOfWork) -> AccountLinks:
        registry.link_accounts(unit, [registry.AccountLink(party, body.account, body.role)])
        return AccountLinks.of(registry.accounts_of(unit.connection, party))

    return write.run(work)


def _shown(unit: UnitOfWork, write: Write, party: Party) -> PartyOut:
    masked = personal.masked(unit.connection, write.platform.keyring, party.id)
    return PartyOut.of(party, masked)
