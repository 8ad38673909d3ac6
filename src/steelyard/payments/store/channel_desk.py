"""Tables of channels, of their sheets and of their agreements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from steelyard.payments.model.agreements import TERMS, Agreement, TermDoesNotFit
from steelyard.payments.model.channel import Capability, Stage
from steelyard.payments.model.lifecycle import (
    ChannelHasChanged,
    ChannelIsUnknown,
    ChannelRecord,
    NewChannel,
    ProbeSetting,
    Trial,
)
from steelyard.payments.model.orders import Mode

_NAMES = (
    "code",
    "mode",
    "kind",
    "name",
    "stage",
    "version",
    "sheet",
    "capability",
    "settings",
    "trial",
    "probe",
    "owner",
    "runbook",
    "created_at",
    "updated_at",
)
_COLUMNS = ", ".join(_NAMES)


def plain(value: Any) -> Any:
    """Return a value of the model as JSON holds it."""
    return msgspec.to_builtins(value)


def capability_of(raw: Mapping[str, Any]) -> Capability:
    """Return a sheet from its JSON."""
    return msgspec.convert(raw, Capability, strict=False)


def terms_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terms of an agreement, typed as the fields of the sheet.

    Refusals
    --------
    term_does_not_fit
    """
    typed = {}
    for term, value in raw.items():
        if term not in TERMS:
            raise TermDoesNotFit(term=term)
        try:
            whole = capability_of({"methods": (), term: value})
        except msgspec.ValidationError:
            raise TermDoesNotFit(term=term) from None
        typed[term] = getattr(whole, term)
    return typed


def versions(connection: sa.Connection) -> dict[str, int]:
    """Return the version of every channel."""
    rows = connection.execute(sa.text("SELECT code, version FROM payments.channel")).all()
    return {row.code: row.version for row in rows}


def insert(
    connection: sa.Connection, new: NewChannel, *, secrets: bytes | None, at: datetime
) -> bool:
    """Insert a channel; return False where its code is taken."""
    made = connection.execute(
        sa.text(
            "INSERT INTO payments.channel (code, mode, kind, name, stage, capability, settings,"
            " secrets, trial, probe, owner, runbook, created_at, updated_at)"
            " VALUES (:code, :mode, :kind, :name, :stage, :capability, :settings, :secrets, :trial,"
            " :probe, :owner, :runbook, :at, :at) ON CONFLICT (code) DO NOTHING RETURNING code"
        ).bindparams(*_json("capability", "settings", "trial", "probe")),
        {
            "code": new.code,
            "mode": new.mode.value,
            "kind": new.kind,
            "name": new.name,
            "stage": new.stage.value,
            "capability": plain(new.capability),
            "settings": dict(new.settings),
            "secrets": secrets,
            "trial": plain(new.trial),
            "probe": plain(new.probe),
            "owner": new.owner,
            "runbook": new.runbook,
            "at": at,
        },
    ).scalar()
    return made is not None


def _json(*names: str) -> list[sa.BindParameter[Any]]:
    return [sa.bindparam(name, type_=JSONB(none_as_null=True)) for name in names]


def insert_sheet(
    connection: sa.Connection, channel: ChannelRecord, *, reason: str, actor: str
) -> None:
    """Keep a version of a sheet."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.channel_sheet (channel, version, capability, reason, actor, at)"
            " VALUES (:channel, :version, :capability, :reason, :actor, :at)"
        ).bindparams(*_json("capability")),
        {
            "channel": channel.code,
            "version": channel.sheet,
            "capability": plain(channel.capability),
            "reason": reason,
            "actor": actor,
            "at": channel.updated_at,
        },
    )


def read(connection: sa.Connection, code: str) -> ChannelRecord:
    """Return a channel.

    Refusals
    --------
    channel_is_unknown
    """
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.channel WHERE code = :code"), {"code": code}
    ).one_or_none()
    if row is None:
        raise ChannelIsUnknown(channel=code)
    return _record(row)


def lock(connection: sa.Connection, code: str) -> ChannelRecord:
    """Return a channel, its row held.

    Refusals
    --------
    channel_is_unknown
    """
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.channel WHERE code = :code FOR UPDATE"),
        {"code": code},
    ).one_or_none()
    if row is None:
        raise ChannelIsUnknown(channel=code)
    return _record(row)


def read_all(connection: sa.Connection, codes: Sequence[str] | None = None) -> list[ChannelRecord]:
    """Return channels, all or those named, by code."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.channel"
            " WHERE CAST(:codes AS text[]) IS NULL OR code = ANY(:codes) ORDER BY code"
        ),
        {"codes": None if codes is None else list(codes)},
    ).all()
    return [_record(row) for row in rows]


def sealed_secrets(connection: sa.Connection, codes: Sequence[str]) -> dict[str, bytes]:
    """Return the sealed secrets of those channels that have any."""
    rows = connection.execute(
        sa.text(
            "SELECT code, secrets FROM payments.channel"
            " WHERE code = ANY(:codes) AND secrets IS NOT NULL"
        ),
        {"codes": list(codes)},
    ).all()
    return {row.code: bytes(row.secrets) for row in rows}


def set_secrets(connection: sa.Connection, code: str, secrets: bytes) -> None:
    """Replace the sealed secrets of a channel whose row is held."""
    connection.execute(
        sa.text("UPDATE payments.channel SET secrets = :secrets WHERE code = :code"),
        {"code": code, "secrets": secrets},
    )


def change(
    connection: sa.Connection, before: ChannelRecord, after: ChannelRecord, at: datetime
) -> ChannelRecord:
    """Write a channel as it is after a change, and return it.

    Refusals
    --------
    channel_has_changed
    """
    done = connection.execute(
        sa.text(
            "UPDATE payments.channel SET name = :name, stage = :stage, version = version + 1,"
            " sheet = :sheet, capability = :capability, settings = :settings, trial = :trial,"
            " probe = :probe, owner = :owner, runbook = :runbook, updated_at = :at"
            " WHERE code = :code AND version = :version AND stage = :from_stage"
        ).bindparams(*_json("capability", "settings", "trial", "probe")),
        {
            "code": before.code,
            "version": before.version,
            "from_stage": before.stage.value,
            "name": after.name,
            "stage": after.stage.value,
            "sheet": after.sheet,
            "capability": plain(after.capability),
            "settings": dict(after.settings),
            "trial": plain(after.trial),
            "probe": plain(after.probe),
            "owner": after.owner,
            "runbook": after.runbook,
            "at": at,
        },
    )
    if done.rowcount != 1:
        raise ChannelHasChanged(channel=before.code)
    return replace(after, version=before.version + 1, updated_at=at)


def touch(connection: sa.Connection, code: str, at: datetime) -> None:
    """Let a channel's version grow: something that belongs to it was changed."""
    connection.execute(
        sa.text(
            "UPDATE payments.channel SET version = version + 1, updated_at = :at WHERE code = :code"
        ),
        {"code": code, "at": at},
    )


def _record(row: Any) -> ChannelRecord:
    given = dict(row._mapping)
    return ChannelRecord(
        **{
            **given,
            "mode": Mode(row.mode),
            "stage": Stage(row.stage),
            "capability": capability_of(row.capability),
            "trial": None if row.trial is None else msgspec.convert(row.trial, Trial),
            "probe": None if row.probe is None else msgspec.convert(row.probe, ProbeSetting),
        }
    )


def insert_agreement(connection: sa.Connection, agreement: Agreement) -> None:
    """Insert an agreement or a supplement."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.channel_agreement (id, channel, number, supplement_of,"
            " signed_on, effective_from, effective_to, terms, actor, at)"
            " VALUES (:id, :channel, :number, :supplement_of, :signed_on, :effective_from,"
            " :effective_to, :terms, :actor, :at)"
        ).bindparams(*_json("terms")),
        {
            "id": agreement.id,
            "channel": agreement.channel,
            "number": agreement.number,
            "supplement_of": agreement.supplement_of,
            "signed_on": agreement.signed_on,
            "effective_from": agreement.effective_from,
            "effective_to": agreement.effective_to,
            "terms": plain(dict(agreement.terms)),
            "actor": agreement.actor,
            "at": agreement.at,
        },
    )


def agreements_of(connection: sa.Connection, codes: Sequence[str]) -> dict[str, list[Agreement]]:
    """Return the agreements of each channel, by the day from which they count."""
    rows = connection.execute(
        sa.text(
            "SELECT id, channel, number, supplement_of, signed_on, effective_from, effective_to,"
            " terms, actor, at FROM payments.channel_agreement WHERE channel = ANY(:codes)"
            " ORDER BY effective_from, number"
        ),
        {"codes": list(codes)},
    ).all()
    found: dict[str, list[Agreement]] = {code: [] for code in codes}
    for row in rows:
        found[row.channel].append(Agreement(**{**row._mapping, "terms": terms_of(row.terms)}))
    return found


def sheets_of(connection: sa.Connection, code: str) -> list[tuple[int, Capability, str, str, date]]:
    """Return the versions of a sheet: number, sheet, reason, who, when; newest first."""
    rows = connection.execute(
        sa.text(
            "SELECT version, capability, reason, actor, at FROM payments.channel_sheet"
            " WHERE channel = :code ORDER BY version DESC"
        ),
        {"code": code},
    ).all()
    return [(r.version, capability_of(r.capability), r.reason, r.actor, r.at) for r in rows]
