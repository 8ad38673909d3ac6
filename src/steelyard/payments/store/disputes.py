"""The tables of disputes, their steps and evidence."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.disputes import (
    Dispute,
    DisputeEvidence,
    DisputeState,
    DisputeWord,
    Money,
    PaymentDisputeIsUnknown,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.refunds import Home

_FIXED = (
    *("id", "order_id", "attempt", "merchant", "mode", "channel", "reference", "reason"),
    *("amount_minor", "currency", "opened_at"),
)
_CHANGING = (
    *("state", "money", "home", "held_minor", "excess_minor", "fee_minor", "due_at"),
    *("submitted_at", "decided_at"),
)
_COLUMNS = ", ".join((*_FIXED, *_CHANGING, "version"))


class DisputeStep(NamedTuple):
    """A word about a dispute, and what it was after it.

    Attributes
    ----------
    source : `answer`, `notice`, `statement`, `operator`, `merchant` or `clock`
    """

    version: int
    said: DisputeWord
    state: DisputeState
    money: Money
    held_minor: int
    note: str
    source: str
    at: datetime
    by: str


class KeptEvidence(NamedTuple):
    """Evidence as it was given."""

    id: UUID
    evidence: DisputeEvidence
    at: datetime
    by: str


def insert(connection: sa.Connection, dispute: Dispute) -> bool:
    """Insert a dispute; False where the channel's number is there already."""
    names = _COLUMNS.split(", ")
    done = connection.execute(
        sa.text(
            f"INSERT INTO payments.dispute ({_COLUMNS})"
            f" VALUES ({', '.join(f':{name}' for name in names)}) ON CONFLICT DO NOTHING"
        ),
        _values(dispute),
    )
    return done.rowcount == 1


def write(connection: sa.Connection, dispute: Dispute) -> None:
    """Write what changed of a dispute that is locked; its version is the one that was read."""
    sets = ", ".join(f"{name} = :{name}" for name in _CHANGING)
    done = connection.execute(
        sa.text(
            f"UPDATE payments.dispute SET version = version + 1, {sets}"
            " WHERE id = :id AND version = :version"
        ),
        _values(dispute),
    )
    assert done.rowcount == 1, "a dispute changed while it was locked"


def find_reference(connection: sa.Connection, channel: str, reference: str) -> Dispute | None:
    """Return the dispute of a channel's number."""
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.dispute"
            " WHERE channel = :channel AND reference = :reference"
        ),
        {"channel": channel, "reference": reference},
    ).one_or_none()
    return None if row is None else _dispute(row)


def read(connection: sa.Connection, dispute: UUID, *, lock: bool = False) -> Dispute:
    """Return a dispute, its row held if asked for; its order is locked before.

    Refusals
    --------
    payment_dispute_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.dispute WHERE id = :id{' FOR UPDATE' if lock else ''}"
        ),
        {"id": dispute},
    ).one_or_none()
    if row is None:
        raise PaymentDisputeIsUnknown(dispute=dispute)
    return _dispute(row)


def list_newest(
    connection: sa.Connection,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    merchant: UUID | None = None,
    order: UUID | None = None,
    state: DisputeState | None = None,
) -> list[Dispute]:
    """Return disputes, the newest first."""
    wanted = ["true"]
    values: dict[str, Any] = {"limit": limit}
    if before is not None:
        wanted.append("(opened_at, id) < (:at, :id)")
        values |= {"at": before[0], "id": before[1]}
    for name, value in (("merchant", merchant), ("order_id", order)):
        if value is not None:
            wanted.append(f"{name} = :{name}")
            values[name] = value
    if state is not None:
        wanted.append("state = :state")
        values["state"] = state.value
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.dispute WHERE {' AND '.join(wanted)}"
            " ORDER BY opened_at DESC, id DESC LIMIT :limit"
        ),
        values,
    )
    return [_dispute(row) for row in rows]


def overdue(connection: sa.Connection, now: datetime, limit: int) -> list[UUID]:
    """Return disputes on which evidence was due and none was submitted."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.dispute WHERE due_at <= :now"
            " AND state IN ('opened', 'evidence_due') ORDER BY due_at, id LIMIT :limit"
        ),
        {"now": now, "limit": limit},
    )
    return list(rows.scalars())


def insert_step(connection: sa.Connection, dispute: UUID, step: DisputeStep) -> None:
    """Append a step."""
    values = {**step._asdict(), "dispute": dispute}
    values |= {name: values[name].value for name in ("said", "state", "money")}
    connection.execute(
        sa.text(
            "INSERT INTO payments.dispute_step (dispute, version, said, state, money, held_minor,"
            " note, source, at, by) VALUES (:dispute, :version, :said, :state, :money,"
            " :held_minor, :note, :source, :at, :by)"
        ),
        values,
    )


def steps_of(connection: sa.Connection, dispute: UUID) -> list[DisputeStep]:
    """Return the steps of a dispute, in their order."""
    rows = connection.execute(
        sa.text(
            "SELECT version, said, state, money, held_minor, note, source, at, by"
            " FROM payments.dispute_step WHERE dispute = :dispute ORDER BY version"
        ),
        {"dispute": dispute},
    )
    return [
        DisputeStep(r[0], DisputeWord(r[1]), DisputeState(r[2]), Money(r[3]), *r[4:]) for r in rows
    ]


def insert_evidence(connection: sa.Connection, dispute: UUID, kept: KeptEvidence) -> None:
    """Append evidence."""
    evidence = kept.evidence
    hashed = evidence.content_hash
    connection.execute(
        sa.text(
            "INSERT INTO payments.dispute_evidence (id, dispute, kind, text, reference,"
            " content_hash, at, by) VALUES (:id, :dispute, :kind, :text, :reference, :hash, :at,"
            " :by)"
        ),
        {
            "id": kept.id,
            "dispute": dispute,
            "kind": evidence.kind,
            "text": evidence.text,
            "reference": evidence.reference,
            "hash": None if hashed is None else bytes.fromhex(hashed),
            "at": kept.at,
            "by": kept.by,
        },
    )


def evidence_of(connection: sa.Connection, dispute: UUID) -> list[KeptEvidence]:
    """Return the evidence on a dispute, the oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT id, kind, text, reference, content_hash, at, by"
            " FROM payments.dispute_evidence WHERE dispute = :dispute ORDER BY at, id"
        ),
        {"dispute": dispute},
    )
    return [
        KeptEvidence(
            row.id,
            DisputeEvidence(
                row.kind,
                row.text,
                row.reference,
                None if row.content_hash is None else bytes(row.content_hash).hex(),
            ),
            row.at,
            row.by,
        )
        for row in rows
    ]


def _values(dispute: Dispute) -> dict[str, Any]:
    values = {name: getattr(dispute, name) for name in Dispute.__slots__}
    values["order_id"] = values.pop("order")
    values |= {
        "mode": dispute.mode.value,
        "state": dispute.state.value,
        "money": dispute.money.value,
        "home": None if dispute.home is None else dispute.home.value,
    }
    return values


def _dispute(row: Any) -> Dispute:
    values = dict(row._mapping)
    values["order"] = values.pop("order_id")
    values |= {
        "mode": Mode(row.mode),
        "state": DisputeState(row.state),
        "money": Money(row.money),
        "home": None if row.home is None else Home(row.home),
    }
    return Dispute(**values)
