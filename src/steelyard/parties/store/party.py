"""Tables of parties, their register entries, relations and account links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.party import (
    AccountLink,
    AccountRole,
    IdentityLevel,
    LegalEntity,
    Party,
    PartyIsUnknown,
    PartyKind,
    PartyState,
    Relation,
    RelationKind,
)

_COLUMNS = """
    p.id, p.kind, p.state, p.version, p.identity_level, p.cause, p.channel, p.origin, p.region,
    p.registered_at, p.erased_at, l.legal_name, l.country, l.number, l.number_is_checked,
    l.industry, l.licence_until_on
"""
_FROM = "FROM parties.party p LEFT JOIN parties.legal_entity l ON l.party = p.id"

_INSERT = sa.text(
    """
    INSERT INTO parties.party (id, kind, state, cause, decision_id, reasons, channel, origin,
        content, region, registered_at)
    SELECT id, :kind, :state, :cause, :decision, :reasons, channel, origin, content, region, :at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:channels AS text[]), CAST(:origins AS text[]),
        CAST(:contents AS bytea[]), CAST(:regions AS text[]))
        WITH ORDINALITY AS n (id, channel, origin, content, region, place)
    ORDER BY origin, place
    ON CONFLICT (origin) DO NOTHING
    RETURNING id
    """
)


@dataclass(frozen=True, slots=True)
class NewRow:
    """What differs between the parties of one batch."""

    id: UUID
    channel: str
    origin: str | None
    content: bytes | None
    region: str | None


@dataclass(frozen=True, slots=True)
class Admission:
    """What the parties of one batch have in common: who let them in, as what, when."""

    kind: PartyKind
    state: PartyState
    cause: str
    decision_id: UUID | None
    reasons: tuple[str, ...]
    at: datetime


def insert(
    connection: sa.Connection, rows: Sequence[NewRow], admission: Admission
) -> frozenset[UUID]:
    """Insert the parties whose origin is new, and return their ids."""
    found = connection.execute(
        _INSERT,
        {
            "kind": admission.kind,
            "state": admission.state,
            "cause": admission.cause,
            "decision": admission.decision_id,
            "reasons": list(admission.reasons),
            "at": admission.at,
            "ids": [r.id for r in rows],
            "channels": [r.channel for r in rows],
            "origins": [r.origin for r in rows],
            "contents": [r.content for r in rows],
            "regions": [r.region for r in rows],
        },
    )
    return frozenset(found.scalars())


def by_origin(
    connection: sa.Connection, origins: Iterable[str]
) -> dict[str, tuple[UUID, bytes | None]]:
    """Return the id and the content hash of the parties of some origins."""
    rows = connection.execute(
        sa.text("SELECT origin, id, content FROM parties.party WHERE origin = ANY(:origins)"),
        {"origins": list(origins)},
    )
    return {r.origin: (r.id, None if r.content is None else bytes(r.content)) for r in rows}


def read(connection: sa.Connection, party: UUID) -> Party:
    """Return a party.

    Refusals
    --------
    party_is_unknown
    """
    return _one(connection, f"SELECT {_COLUMNS} {_FROM} WHERE p.id = :id", party)


def lock(connection: sa.Connection, party: UUID) -> Party:
    """Return a party, its row held until the transaction ends.

    Refusals
    --------
    party_is_unknown
    """
    return _one(
        connection, f"SELECT {_COLUMNS} {_FROM} WHERE p.id = :id FOR NO KEY UPDATE OF p", party
    )


def lock_many(connection: sa.Connection, parties: Iterable[UUID]) -> dict[UUID, Party]:
    """Return parties, their rows held in the order of their ids, so that no two callers deadlock.

    Refusals
    --------
    party_is_unknown
    """
    wanted = sorted(set(parties))
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} {_FROM} WHERE p.id = ANY(:ids) ORDER BY p.id FOR NO KEY UPDATE OF p"
        ),
        {"ids": wanted},
    )
    held = {row.id: _party(row) for row in rows}
    for party in wanted:
        if party not in held:
            raise PartyIsUnknown(party=party)
    return held


def read_many(connection: sa.Connection, parties: Sequence[UUID]) -> list[Party]:
    """Return the parties of some ids, newest first; unknown ids are left out."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} {_FROM} WHERE p.id = ANY(:ids) ORDER BY p.id DESC"),
        {"ids": list(parties)},
    )
    return [_party(row) for row in rows]


def list_newest(
    connection: sa.Connection,
    *,
    kind: PartyKind | None,
    before: UUID | None,
    limit: int,
) -> list[Party]:
    """Return parties, newest first, of a kind if given, before an id if given."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} {_FROM} WHERE (CAST(:kind AS text) IS NULL OR p.kind = :kind)"
            " AND (CAST(:before AS uuid) IS NULL OR p.id < :before)"
            " ORDER BY p.id DESC LIMIT :limit"
        ),
        {"kind": kind, "before": before, "limit": limit},
    )
    return [_party(row) for row in rows]


def count(connection: sa.Connection) -> dict[PartyKind, int]:
    """Return how many parties there are of each kind."""
    rows = connection.execute(
        sa.text("SELECT kind, count(*) AS n FROM parties.party GROUP BY kind")
    ).all()
    return {kind: next((r.n for r in rows if r.kind == kind), 0) for kind in PartyKind}


def update(connection: sa.Connection, party: Party, **changes: Any) -> None:
    """Change columns of a party that is at the version read, and raise its version by one.

    The caller holds the row, so another version is a fault and not a refusal.
    """
    columns = ", ".join(f"{name} = :{name}" for name in changes)
    done = connection.execute(
        sa.text(
            f"UPDATE parties.party SET version = version + 1, {columns}"
            " WHERE id = :id AND state = :present AND version = :seen"
        ),
        {**changes, "id": party.id, "present": party.state, "seen": party.version},
    )
    assert done.rowcount == 1, "the party's row is held"


def insert_legal_entity(connection: sa.Connection, party: UUID, entity: LegalEntity) -> UUID:
    """Insert the register entry of a party; return the party that holds the number now."""
    connection.execute(
        sa.text(
            "INSERT INTO parties.legal_entity"
            " (party, legal_name, country, number, number_is_checked, industry, licence_until_on)"
            " VALUES (:party, :name, :country, :number, :checked, :industry, :until)"
            " ON CONFLICT (country, number) DO NOTHING"
        ),
        {
            "party": party,
            "name": entity.legal_name,
            "country": entity.country,
            "number": entity.number,
            "checked": entity.number_is_checked,
            "industry": entity.industry,
            "until": entity.licence_until_on,
        },
    )
    holder: UUID = connection.execute(
        sa.text("SELECT party FROM parties.legal_entity WHERE country = :c AND number = :n"),
        {"c": entity.country, "n": entity.number},
    ).scalar_one()
    return holder


def insert_relation(connection: sa.Connection, relation: Relation) -> None:
    """Insert a relation."""
    connection.execute(
        sa.text(
            "INSERT INTO parties.relation (id, party, kind, of, share_bp, since_at)"
            " VALUES (:id, :party, :kind, :of, :share, :since)"
        ),
        {
            "id": relation.id,
            "party": relation.party,
            "kind": relation.kind,
            "of": relation.of,
            "share": relation.share_bp,
            "since": relation.since_at,
        },
    )


def relations(connection: sa.Connection, party: UUID) -> list[Relation]:
    """Return the relations in force that a party has or is the object of, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM parties.relation WHERE (party = :party OR of = :party)"
            " AND ended_at IS NULL ORDER BY since_at, id"
        ),
        {"party": party},
    )
    return [_relation(row) for row in rows]


def read_relation(connection: sa.Connection, relation: UUID) -> Relation | None:
    """Return a relation in force, None if there is none of the id."""
    row = connection.execute(
        sa.text("SELECT * FROM parties.relation WHERE id = :id AND ended_at IS NULL"),
        {"id": relation},
    ).one_or_none()
    return None if row is None else _relation(row)


def end_relation(connection: sa.Connection, relation: UUID, at: datetime) -> bool:
    """End a relation; return whether it was in force."""
    done = connection.execute(
        sa.text("UPDATE parties.relation SET ended_at = :at WHERE id = :id AND ended_at IS NULL"),
        {"id": relation, "at": at},
    )
    return done.rowcount == 1


def insert_account_links(
    connection: sa.Connection, links: Sequence[AccountLink], at: datetime
) -> frozenset[AccountLink]:
    """Insert the links that are new, and return them."""
    rows = connection.execute(
        sa.text(
            """
            INSERT INTO parties.account_link (party, account, role, linked_at)
            SELECT party, account, role, :at FROM unnest(CAST(:parties AS uuid[]),
                CAST(:accounts AS text[]), CAST(:roles AS text[])) AS n (party, account, role)
            ON CONFLICT DO NOTHING RETURNING party, account, role
            """
        ),
        {
            "at": at,
            "parties": [link.party for link in links],
            "accounts": [link.account for link in links],
            "roles": [link.role.value for link in links],
        },
    )
    return frozenset(_link(row) for row in rows)


def account_links(
    connection: sa.Connection, *, party: UUID | None = None, account: str | None = None
) -> list[AccountLink]:
    """Return the links of a party, or of an account."""
    rows = connection.execute(
        sa.text(
            "SELECT party, account, role FROM parties.account_link"
            " WHERE party = :party OR account = :account ORDER BY account, role, party"
        ),
        {"party": party, "account": account},
    )
    return [_link(row) for row in rows]


def _one(connection: sa.Connection, sql: str, party: UUID) -> Party:
    row = connection.execute(sa.text(sql), {"id": party}).one_or_none()
    if row is None:
        raise PartyIsUnknown(party=party)
    return _party(row)


def _party(row: sa.Row[Any]) -> Party:
    legal = None
    if row.legal_name is not None:
        legal = LegalEntity(
            row.legal_name,
            row.country,
            row.number,
            row.number_is_checked,
            row.industry,
            row.licence_until_on,
        )
    return Party(
        id=row.id,
        kind=PartyKind(row.kind),
        state=PartyState(row.state),
        version=row.version,
        level=IdentityLevel(row.identity_level),
        cause=row.cause,
        channel=row.channel,
        origin=row.origin,
        region=row.region,
        registered_at=row.registered_at.astimezone(UTC),
        erased_at=None if row.erased_at is None else row.erased_at.astimezone(UTC),
        legal=legal,
    )


def _relation(row: sa.Row[Any]) -> Relation:
    return Relation(
        row.id,
        row.party,
        RelationKind(row.kind),
        row.of,
        row.share_bp,
        row.since_at.astimezone(UTC),
        None if row.ended_at is None else row.ended_at.astimezone(UTC),
    )


def _link(row: sa.Row[Any]) -> AccountLink:
    return AccountLink(row.party, row.account, AccountRole(row.role))
