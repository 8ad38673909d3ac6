"""Tables of merchants' contracts: applications, owners, versions, what monitoring saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.payments.model.channel import Method
from steelyard.payments.model.merchants import (
    Application,
    ApplicationState,
    Merchant,
    MerchantState,
    RiskGrade,
    RiskNote,
)
from steelyard.payments.model.merchants_refusals import MerchantApplicationIsUnknown
from steelyard.payments.model.orders import OrderState
from steelyard.payments.model.refusals import PaymentMerchantIsUnknown

_MERCHANT = """
    id, state, version, name, industry, risk_grade, currencies, methods, contract, decision,
    created_at, updated_at
"""
_APPLICATION = """
    id, merchant, state, version, industry, licence_no, licence_until_on, currency, monthly_minor,
    findings, outcome, reasons, cause, decision, risk_grade, case_id, applied_at, applied_by,
    ruled_at, ruled_by, ruling
"""
_OVER = sorted(state.value for state in OrderState if state.is_over or state.is_paid)


@dataclass(frozen=True, slots=True)
class SealedOwner:
    """An owner as he is stored."""

    kind: str
    name: bytes
    number: bytes
    number_index: bytes
    share_bp: int
    controls: bool


@dataclass(frozen=True, slots=True)
class MerchantChange:
    """One version of a merchant's contract, and why."""

    version: int
    state: MerchantState
    risk_grade: RiskGrade
    contract: Mapping[str, object]
    reason: str
    cause: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class NotedRisk:
    """A note of monitoring with its place and time."""

    id: UUID
    note: RiskNote
    case_id: UUID | None
    at: datetime
    actor: str


def insert(connection: sa.Connection, merchant: Merchant) -> bool:
    """Insert a contract; return False where the party has one."""
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.merchant (id, state, version, name, industry, risk_grade,"
            " currencies, methods, contract, decision, created_at, updated_at) VALUES (:id, :state,"
            " :version, :name, :industry, :risk_grade, :currencies, :methods,"
            " CAST(:contract AS jsonb), :decision, :at, :at) ON CONFLICT DO NOTHING"
        ),
        {
            "id": merchant.id,
            "state": merchant.state,
            "version": merchant.version,
            "name": merchant.name,
            "industry": merchant.industry,
            "risk_grade": merchant.risk_grade,
            "currencies": list(merchant.currencies),
            "methods": [method.value for method in merchant.methods],
            "contract": _json(merchant.contract),
            "decision": merchant.decision,
            "at": merchant.created_at,
        },
    )
    return done.rowcount == 1


def change(connection: sa.Connection, before: Merchant, after: Merchant) -> None:
    """Write the next version of a contract whose row is held."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.merchant SET state = :state, version = version + 1, name = :name,"
            " industry = :industry, risk_grade = :risk_grade, currencies = :currencies,"
            " methods = :methods, contract = CAST(:contract AS jsonb), decision = :decision,"
            " updated_at = :at WHERE id = :id AND version = :version AND state = :before"
        ),
        {
            "id": before.id,
            "version": before.version,
            "before": before.state,
            "state": after.state,
            "name": after.name,
            "industry": after.industry,
            "risk_grade": after.risk_grade,
            "currencies": list(after.currencies),
            "methods": [method.value for method in after.methods],
            "contract": _json(after.contract),
            "decision": after.decision,
            "at": after.updated_at,
        },
    )
    assert done.rowcount == 1, "the row is held"


def insert_change(connection: sa.Connection, merchant: UUID, change: MerchantChange) -> None:
    """Append why a version came to be."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.merchant_change (merchant, version, state, risk_grade, contract,"
            " reason, cause, actor, at) VALUES (:merchant, :version, :state, :risk_grade,"
            " CAST(:contract AS jsonb), :reason, :cause, :actor, :at)"
        ),
        {
            "merchant": merchant,
            "version": change.version,
            "state": change.state,
            "risk_grade": change.risk_grade,
            "contract": _json(change.contract),
            "reason": change.reason,
            "cause": change.cause,
            "actor": change.actor,
            "at": change.at,
        },
    )


def find(connection: sa.Connection, merchant: UUID, *, lock: bool = False) -> Merchant | None:
    """Return a contract, its row held if asked for; None: there is none."""
    row = connection.execute(
        sa.text(
            f"SELECT {_MERCHANT} FROM payments.merchant WHERE id = :id"
            f"{' FOR UPDATE' if lock else ''}"
        ),
        {"id": merchant},
    ).one_or_none()
    return None if row is None else _merchant(row)


def read(connection: sa.Connection, merchant: UUID, *, lock: bool = False) -> Merchant:
    """Return a contract; see `find`.

    Refusals
    --------
    payment_merchant_is_unknown
    """
    found = find(connection, merchant, lock=lock)
    if found is None:
        raise PaymentMerchantIsUnknown(merchant=merchant)
    return found


def read_many(connection: sa.Connection, merchants: Sequence[UUID]) -> dict[UUID, Merchant]:
    """Return those contracts that there are, by party."""
    rows = connection.execute(
        sa.text(f"SELECT {_MERCHANT} FROM payments.merchant WHERE id = ANY(:ids)"),
        {"ids": list(merchants)},
    )
    return {row.id: _merchant(row) for row in rows}


def list_by_id(
    connection: sa.Connection, *, state: MerchantState | None, after: UUID | None, limit: int
) -> list[Merchant]:
    """Return contracts in the order of their parties' ids."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_MERCHANT} FROM payments.merchant"
            " WHERE (CAST(:state AS text) IS NULL OR state = :state)"
            " AND (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT :limit"
        ),
        {"state": state, "after": after, "limit": limit},
    )
    return [_merchant(row) for row in rows]


def changes(connection: sa.Connection, merchant: UUID) -> list[MerchantChange]:
    """Return the versions of a contract, the oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT version, state, risk_grade, contract, reason, cause, actor, at"
            " FROM payments.merchant_change WHERE merchant = :merchant ORDER BY version"
        ),
        {"merchant": merchant},
    )
    return [
        MerchantChange(
            row.version,
            MerchantState(row.state),
            RiskGrade(row.risk_grade),
            row.contract,
            row.reason,
            row.cause,
            row.actor,
            row.at.astimezone(UTC),
        )
        for row in rows
    ]


def open_payments(connection: sa.Connection, merchant: UUID) -> int:
    """Return how many payments of a merchant are not over."""
    count: int = connection.execute(
        sa.text(
            "SELECT count(*) FROM payments.order WHERE merchant = :merchant AND state <> ALL(:over)"
        ),
        {"merchant": merchant, "over": _OVER},
    ).scalar_one()
    return count


def insert_application(
    connection: sa.Connection, application: Application, owners: Sequence[SealedOwner]
) -> None:
    """Insert an application with its owners."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.merchant_application (id, merchant, state, industry, licence_no,"
            " licence_until_on, currency, monthly_minor, findings, outcome, reasons, cause,"
            " decision, risk_grade, case_id, applied_at, applied_by, ruled_at, ruled_by, ruling)"
            " VALUES (:id, :merchant, :state, :industry, :licence_no, :licence_until_on, :currency,"
            " :monthly_minor, :findings, :outcome, :reasons, :cause, :decision, :risk_grade,"
            " :case_id, :applied_at, :applied_by, :ruled_at, :ruled_by, :ruling)"
        ),
        {
            "id": application.id,
            "merchant": application.merchant,
            "state": application.state,
            "industry": application.industry,
            "licence_no": application.licence_no,
            "licence_until_on": application.licence_until_on,
            "currency": application.currency,
            "monthly_minor": application.monthly_minor,
            "findings": list(application.findings),
            "outcome": application.outcome,
            "reasons": list(application.reasons),
            "cause": application.cause,
            "decision": application.decision,
            "risk_grade": application.risk_grade,
            "case_id": application.case_id,
            "applied_at": application.applied_at,
            "applied_by": application.applied_by,
            "ruled_at": application.ruled_at,
            "ruled_by": application.ruled_by,
            "ruling": application.ruling,
        },
    )
    connection.execute(
        sa.text(
            "INSERT INTO payments.merchant_owner (application, position, kind, name, number,"
            " number_index, share_bp, controls) VALUES (:application, :position, :kind, :name,"
            " :number, :number_index, :share_bp, :controls)"
        ),
        [
            {
                "application": application.id,
                "position": position,
                "kind": owner.kind,
                "name": owner.name,
                "number": owner.number,
                "number_index": owner.number_index,
                "share_bp": owner.share_bp,
                "controls": owner.controls,
            }
            for position, owner in enumerate(owners, 1)
        ],
    )


def rule(connection: sa.Connection, before: Application, after: Application) -> None:
    """Write the ruling on an application whose row is held."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.merchant_application SET state = :state, version = version + 1,"
            " risk_grade = :grade, ruled_at = :at, ruled_by = :by, ruling = :ruling"
            " WHERE id = :id AND version = :version AND state = 'review'"
        ),
        {
            "id": before.id,
            "version": before.version,
            "state": after.state,
            "grade": after.risk_grade,
            "at": after.ruled_at,
            "by": after.ruled_by,
            "ruling": after.ruling,
        },
    )
    assert done.rowcount == 1, "the row is held"


def read_application(
    connection: sa.Connection, application: UUID, *, lock: bool = False
) -> Application:
    """Return an application, its row held if asked for.

    Refusals
    --------
    merchant_application_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_APPLICATION} FROM payments.merchant_application WHERE id = :id"
            f"{' FOR UPDATE' if lock else ''}"
        ),
        {"id": application},
    ).one_or_none()
    if row is None:
        raise MerchantApplicationIsUnknown(application=application)
    return _application(row)


def applications_of(connection: sa.Connection, merchant: UUID) -> list[Application]:
    """Return the applications of a merchant, newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_APPLICATION} FROM payments.merchant_application WHERE merchant = :merchant"
            " ORDER BY applied_at DESC, id DESC"
        ),
        {"merchant": merchant},
    )
    return [_application(row) for row in rows]


def owners_of(connection: sa.Connection, application: UUID) -> list[SealedOwner]:
    """Return the owners that an application names, in its order."""
    rows = connection.execute(
        sa.text(
            "SELECT kind, name, number, number_index, share_bp, controls"
            " FROM payments.merchant_owner WHERE application = :application ORDER BY position"
        ),
        {"application": application},
    )
    return [
        SealedOwner(
            row.kind,
            bytes(row.name),
            bytes(row.number),
            bytes(row.number_index),
            row.share_bp,
            row.controls,
        )
        for row in rows
    ]


def has_note(connection: sa.Connection, merchant: UUID, note: RiskNote) -> bool:
    """Return whether the source has told it before."""
    found = connection.execute(
        sa.text(
            "SELECT 1 FROM payments.merchant_risk_note"
            " WHERE merchant = :merchant AND code = :code AND source = :source"
        ),
        {"merchant": merchant, "code": note.code, "source": note.source},
    )
    return found.scalar() is not None


def insert_note(connection: sa.Connection, merchant: UUID, noted: NotedRisk) -> None:
    """Append a note."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.merchant_risk_note (id, merchant, code, source, weight, detail,"
            " case_id, at, actor) VALUES (:id, :merchant, :code, :source, :weight,"
            " CAST(:detail AS jsonb), :case_id, :at, :actor)"
        ),
        {
            "id": noted.id,
            "merchant": merchant,
            "code": noted.note.code,
            "source": noted.note.source,
            "weight": noted.note.weight,
            "detail": _json(noted.note.detail),
            "case_id": noted.case_id,
            "at": noted.at,
            "actor": noted.actor,
        },
    )


def weight_since(connection: sa.Connection, merchant: UUID, since: datetime) -> int:
    """Return the sum of the weights of what was noted since an instant."""
    weight: int = connection.execute(
        sa.text(
            "SELECT coalesce(sum(weight), 0) FROM payments.merchant_risk_note"
            " WHERE merchant = :merchant AND at >= :since"
        ),
        {"merchant": merchant, "since": since},
    ).scalar_one()
    return weight


def notes_of(connection: sa.Connection, merchant: UUID, limit: int) -> list[NotedRisk]:
    """Return what was noted of a merchant, newest first."""
    rows = connection.execute(
        sa.text(
            "SELECT id, code, source, weight, detail, case_id, at, actor"
            " FROM payments.merchant_risk_note WHERE merchant = :merchant"
            " ORDER BY at DESC, id DESC LIMIT :limit"
        ),
        {"merchant": merchant, "limit": limit},
    )
    return [
        NotedRisk(
            row.id,
            RiskNote(row.code, row.source, row.weight, row.detail),
            row.case_id,
            row.at.astimezone(UTC),
            row.actor,
        )
        for row in rows
    ]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _merchant(row: sa.Row[Any]) -> Merchant:
    return Merchant(
        id=row.id,
        state=MerchantState(row.state),
        version=row.version,
        name=row.name,
        industry=row.industry,
        risk_grade=RiskGrade(row.risk_grade),
        currencies=tuple(row.currencies),
        methods=tuple(Method(method) for method in row.methods),
        contract=row.contract,
        decision=row.decision,
        created_at=row.created_at.astimezone(UTC),
        updated_at=row.updated_at.astimezone(UTC),
    )


def _application(row: sa.Row[Any]) -> Application:
    return Application(
        id=row.id,
        merchant=row.merchant,
        state=ApplicationState(row.state),
        version=row.version,
        industry=row.industry,
        licence_no=row.licence_no,
        licence_until_on=row.licence_until_on,
        currency=row.currency,
        monthly_minor=row.monthly_minor,
        findings=tuple(row.findings),
        outcome=row.outcome,
        reasons=tuple(row.reasons),
        cause=row.cause,
        decision=row.decision,
        risk_grade=RiskGrade(row.risk_grade),
        case_id=row.case_id,
        applied_at=row.applied_at.astimezone(UTC),
        applied_by=row.applied_by,
        ruled_at=row.ruled_at and row.ruled_at.astimezone(UTC),
        ruled_by=row.ruled_by,
        ruling=row.ruling,
    )
