"""Tables of applications, their steps, offers and evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.credit.model.application import (
    Application,
    ApplicationHasChanged,
    ApplicationIsUnknown,
    ApplicationState,
    Consented,
    Facts,
    Origin,
    Step,
)
from steelyard.credit.model.evidence import Piece
from steelyard.credit.model.offer import Offer, content_bytes

_COLUMNS = """
    id, party, product, product_version, channel, state, version, facts, origin, consent, checks,
    decision, assessment, offer, loan, line, drafted_at, changed_at, expires_at
"""
_EXPIRING = tuple(
    str(one)
    for one in (
        ApplicationState.DRAFTED,
        ApplicationState.CONSENTED,
        ApplicationState.SUBMITTED,
        ApplicationState.CHECKED,
        ApplicationState.DECIDED,
        ApplicationState.OFFERED,
    )
)


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _values(application: Application) -> dict[str, Any]:
    return {
        "id": application.id,
        "party": application.party,
        "product": application.product,
        "product_version": application.product_version,
        "channel": application.channel,
        "state": application.state,
        "facts": _json(application.facts),
        "origin": _json(application.origin),
        "consent": _json(application.consents) if application.consents else None,
        "checks": _json(application.checks),
        "decision": application.decision,
        "assessment": _json(application.assessment),
        "offer": application.offer,
        "loan": application.loan,
        "line": application.line,
        "drafted_at": application.drafted_at,
        "changed_at": application.changed_at,
        "expires_at": application.expires_at,
    }


def insert(connection: sa.Connection, application: Application) -> bool:
    """Insert a new application; return False where the id is there already."""
    done = connection.execute(
        sa.text(
            "INSERT INTO credit.application (id, party, product, product_version, channel, state,"
            " facts, origin, drafted_at, changed_at, expires_at) VALUES (:id, :party, :product,"
            " :product_version, :channel, :state, CAST(:facts AS jsonb), CAST(:origin AS jsonb),"
            " :drafted_at, :changed_at, :expires_at) ON CONFLICT (id) DO NOTHING"
        ),
        _values(application),
    )
    return done.rowcount == 1


def change(connection: sa.Connection, before: Application, after: Application) -> None:
    """Move an application, if nobody else did since it was read.

    Refusals
    --------
    application_has_changed
    """
    done = connection.execute(
        sa.text(
            "UPDATE credit.application SET state = :state, version = version + 1,"
            " facts = CAST(:facts AS jsonb), consent = CAST(:consent AS jsonb),"
            " checks = CAST(:checks AS jsonb), decision = :decision,"
            " assessment = CAST(:assessment AS jsonb), offer = :offer, loan = :loan,"
            " line = :line, changed_at = :changed_at, expires_at = :expires_at"
            " WHERE id = :id AND state = :before AND version = :version"
        ),
        {**_values(after), "before": before.state, "version": before.version},
    )
    if done.rowcount != 1:
        raise ApplicationHasChanged(application=before.id)


def read(connection: sa.Connection, application: UUID, *, lock: bool = False) -> Application:
    """Return an application, its row locked for the transaction if asked for.

    Refusals
    --------
    application_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM credit.application WHERE id = :id"
            + (" FOR UPDATE" if lock else "")
        ),
        {"id": application},
    ).one_or_none()
    if row is None:
        raise ApplicationIsUnknown(application=application)
    return _application(row)


def hold_all_of_its_party(connection: sa.Connection, application: UUID) -> None:
    """Lock the rows of all applications of the customer who made one, the oldest first."""
    connection.execute(
        sa.text(
            "SELECT id FROM credit.application WHERE party ="
            " (SELECT party FROM credit.application WHERE id = :id) ORDER BY id FOR UPDATE"
        ),
        {"id": application},
    )


def find(
    connection: sa.Connection,
    *,
    party: UUID | None,
    state: ApplicationState | None,
    before: UUID | None,
    limit: int,
) -> list[Application]:
    """Return applications, the newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM credit.application"
            " WHERE (CAST(:party AS uuid) IS NULL OR party = :party)"
            " AND (CAST(:state AS text) IS NULL OR state = :state)"
            " AND (CAST(:before AS uuid) IS NULL OR id < :before)"
            " ORDER BY id DESC LIMIT :limit"
        ),
        {"party": party, "state": state, "before": before, "limit": limit},
    )
    return [_application(row) for row in rows]


def overdue(connection: sa.Connection, now: datetime, *, limit: int) -> list[Application]:
    """Return applications whose time is over, their rows locked; those others hold are left."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM credit.application WHERE expires_at <= :now"
            " AND state = ANY(:states) ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED"
        ),
        {"now": now, "states": list(_EXPIRING), "limit": limit},
    )
    return [_application(row) for row in rows]


def insert_steps(connection: sa.Connection, steps: Sequence[Step]) -> None:
    """Append steps."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.application_step (application, version, at, actor, before, after,"
            " detail) SELECT * FROM unnest(CAST(:applications AS uuid[]),"
            " CAST(:versions AS integer[]), CAST(:ats AS timestamptz[]), CAST(:actors AS text[]),"
            " CAST(:befores AS text[]), CAST(:afters AS text[]), CAST(:details AS jsonb[]))"
        ),
        {
            "applications": [one.application for one in steps],
            "versions": [one.version for one in steps],
            "ats": [one.at for one in steps],
            "actors": [one.actor for one in steps],
            "befores": [one.before for one in steps],
            "afters": [one.after for one in steps],
            "details": [_json(one.detail) for one in steps],
        },
    )


def steps(connection: sa.Connection, application: UUID) -> list[Step]:
    """Return the steps of an application, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT application, version, at, actor, before, after, detail"
            " FROM credit.application_step WHERE application = :id ORDER BY version"
        ),
        {"id": application},
    )
    return [
        Step(
            row.application,
            row.version,
            row.at.astimezone(UTC),
            row.actor,
            None if row.before is None else ApplicationState(row.before),
            ApplicationState(row.after),
            row.detail,
        )
        for row in rows
    ]


def insert_offer(connection: sa.Connection, offer: Offer) -> None:
    """Insert an offer."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.offer (id, application, content, content_hash, cause, decision,"
            " made_by, made_at, expires_at) VALUES (:id, :application, CAST(:content AS jsonb),"
            " :hash, :cause, :decision, :made_by, :made_at, :expires_at)"
        ),
        {
            "id": offer.id,
            "application": offer.application,
            "content": content_bytes(offer.content).decode(),
            "hash": bytes.fromhex(offer.hash),
            "cause": offer.cause,
            "decision": offer.decision,
            "made_by": offer.made_by,
            "made_at": offer.made_at,
            "expires_at": offer.expires_at,
        },
    )


def read_offer(connection: sa.Connection, offer: UUID) -> Offer:
    """Return an offer that an application names."""
    row = connection.execute(
        sa.text(
            "SELECT id, application, content, cause, decision, made_by, made_at, expires_at"
            " FROM credit.offer WHERE id = :id"
        ),
        {"id": offer},
    ).one()
    return Offer(
        row.id,
        row.application,
        row.content,
        row.cause,
        row.decision,
        row.made_by,
        row.made_at.astimezone(UTC),
        row.expires_at.astimezone(UTC),
    )


def insert_pieces(connection: sa.Connection, application: UUID, pieces: Sequence[Piece]) -> None:
    """Append pieces of evidence."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.evidence (application, name, content, content_hash, at, actor)"
            " SELECT :application, n.* FROM unnest(CAST(:names AS text[]),"
            " CAST(:contents AS bytea[]), CAST(:hashes AS bytea[]), CAST(:ats AS timestamptz[]),"
            " CAST(:actors AS text[])) AS n"
        ),
        {
            "application": application,
            "names": [one.name for one in pieces],
            "contents": [one.content for one in pieces],
            "hashes": [one.hash for one in pieces],
            "ats": [one.at for one in pieces],
            "actors": [one.actor for one in pieces],
        },
    )


def pieces(connection: sa.Connection, application: UUID) -> list[Piece]:
    """Return the evidence of an application, by name."""
    rows = connection.execute(
        sa.text(
            "SELECT name, content, at, actor FROM credit.evidence WHERE application = :id"
            " ORDER BY name"
        ),
        {"id": application},
    )
    return [Piece(row.name, bytes(row.content), row.at.astimezone(UTC), row.actor) for row in rows]


def owed_by(connection: sa.Connection, party: UUID) -> tuple[int, int]:
    """Return the principal that a party owes us, and what its loans ask for in a month.

    Returns
    -------
    tuple
        Minor units; of each open loan its next instalment that is not paid counts.
    """
    row = connection.execute(
        sa.text(
            """
            SELECT coalesce(sum(s.principal_minor), 0)::bigint AS principal,
                coalesce(sum(n.asked), 0)::bigint AS monthly
            FROM credit.loan l JOIN credit.standing s ON s.nr = l.nr
            LEFT JOIN LATERAL (
                SELECT i.principal_minor + i.interest_minor + i.fee_minor AS asked
                FROM credit.instalment i WHERE i.nr = l.nr AND i.paid_on IS NULL
                ORDER BY i.no LIMIT 1
            ) n ON true
            WHERE l.party = :party AND l.state = 'active'
            """
        ),
        {"party": party},
    ).one()
    return row.principal, row.monthly


def _application(row: sa.Row[Any]) -> Application:
    facts: Mapping[str, Any] = row.facts
    return Application(
        id=row.id,
        party=row.party,
        product=row.product,
        product_version=row.product_version,
        channel=row.channel,
        state=ApplicationState(row.state),
        version=row.version,
        facts=msgspec.convert(facts, Facts),
        origin=msgspec.convert(row.origin, Origin),
        consents=() if row.consent is None else msgspec.convert(row.consent, tuple[Consented, ...]),
        checks=row.checks,
        decision=row.decision,
        assessment=row.assessment,
        offer=row.offer,
        loan=row.loan,
        line=row.line,
        drafted_at=row.drafted_at.astimezone(UTC),
        changed_at=row.changed_at.astimezone(UTC),
        expires_at=row.expires_at.astimezone(UTC),
    )
