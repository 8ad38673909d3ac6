"""The desk of channels: adaptors and sheets at hand, made of the stored channels.

A desk belongs to a process. It looks at the versions of the channels once in a while, not at every
payment; what was changed elsewhere counts here after `FRESH_SECONDS` at the latest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.payments.channels import KINDS
from steelyard.payments.model.agreements import Agreement, capability_on
from steelyard.payments.model.channel import Capability, Channel, Stage
from steelyard.payments.model.lifecycle import (
    ChannelExists,
    ChannelIsUnknown,
    ChannelKindIsUnknown,
    ChannelRecord,
    NewChannel,
    ProbeSetting,
    Trial,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.service.channel_facts import ChannelRegistered
from steelyard.payments.store import channel_desk as table
from steelyard.payments.store import channel_life as life_table

__all__ = [
    "FRESH_SECONDS",
    "TIMEOUT_SECONDS",
    "ChannelDesk",
    "ChannelExists",
    "ChannelIsUnknown",
    "ChannelKindIsUnknown",
    "ChannelRecord",
    "Listed",
    "NewChannel",
    "ProbeSetting",
    "Trial",
    "register_channel",
    "replace_secrets",
]

FRESH_SECONDS = 2.0
TIMEOUT_SECONDS = 10.0
"""Of one call of a channel, unless its settings say `timeout_seconds`."""
_SECRETS = "payments.channel.secrets"
_TYPED = "in_process"


@dataclass(frozen=True, slots=True)
class Listed:
    """A channel as a desk holds it: its record, its agreements, and what it can do today."""

    record: ChannelRecord
    agreements: tuple[Agreement, ...]
    capability: Capability


class ChannelDesk:
    """Channels by their codes, for one process.

    Parameters
    ----------
    fresh_seconds : real seconds for which what was read counts
    """

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        *,
        fresh_seconds: float = FRESH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._fresh = fresh_seconds
        self._monotonic = monotonic
        self._lock = Lock()
        self._looked_at = float("-inf")
        self._listed: dict[str, Listed] = {}
        self._adaptors: dict[str, tuple[int, Channel]] = {}
        self._in_process: dict[str, tuple[Channel, Listed]] = {}

    def get(self, code: str) -> Channel:
        """Return the adaptor of a channel.

        Refusals
        --------
        channel_is_unknown, channel_kind_is_unknown
        """
        added = self._in_process.get(code)
        if added is not None:
            return added[0]
        version = self.listed(code).record.version
        known = self._adaptors.get(code)
        if known is None or known[0] != version:
            known = (version, self._make(code))
            self._adaptors[code] = known
        return known[1]

    def capability(self, code: str) -> Capability:
        """Return what a channel can do today, by its sheet and its agreements.

        Refusals
        --------
        channel_is_unknown
        """
        return self.listed(code).capability

    def listed(self, code: str) -> Listed:
        """Return what is known of a channel.

        Refusals
        --------
        channel_is_unknown
        """
        added = self._in_process.get(code)
        if added is not None:
            return added[1]
        self._look()
        found = self._listed.get(code)
        if found is None:
            raise ChannelIsUnknown(channel=code)
        return found

    def codes(self, mode: Mode) -> tuple[str, ...]:
        """Return the channels of a mode that take payments, by name."""
        return tuple(one.record.code for one in self.all(mode) if one.record.stage.takes_payments)

    def all(self, mode: Mode) -> tuple[Listed, ...]:
        """Return every channel of a mode, at whatever stage, by code."""
        self._look()
        found = {**self._listed, **{code: one for code, (_, one) in self._in_process.items()}}
        return tuple(found[code] for code in sorted(found) if found[code].record.mode is mode)

    def add(
        self,
        channel: Channel,
        capability: Capability,
        *,
        mode: Mode = Mode.LIVE,
        stage: Stage = Stage.LIVE,
        trial: Trial | None = None,
    ) -> None:
        """Put in a channel of this process, which no row stands for; for tests and simulations."""
        at = self._database.now()
        record = ChannelRecord(
            code=channel.code,
            mode=mode,
            kind=_TYPED,
            name=channel.code,
            stage=stage,
            version=1,
            sheet=1,
            capability=capability,
            settings={},
            created_at=at,
            updated_at=at,
            trial=trial,
        )
        self._in_process[channel.code] = (channel, Listed(record, (), capability))

    def forget(self) -> None:
        """Look at the stored channels again at the next question."""
        self._looked_at = float("-inf")

    def _look(self) -> None:
        if self._monotonic() - self._looked_at < self._fresh:
            return
        with self._lock:
            if self._monotonic() - self._looked_at < self._fresh:
                return
            now = self._database.now()
            with self._database.reading() as connection:
                self._listed = self._read(connection, now)
            self._looked_at = self._monotonic()

    def _read(self, connection: sa.Connection, now: datetime) -> dict[str, Listed]:
        there = table.versions(connection)
        kept = {
            code: one for code, one in self._listed.items() if there.get(code) == one.record.version
        }
        codes = [code for code in there if code not in kept]
        if codes:
            agreements = table.agreements_of(connection, codes)
            for record in table.read_all(connection, codes):
                of_it = tuple(agreements[record.code])
                kept[record.code] = Listed(record, of_it, record.capability)
        return {code: _as_of(one, now) for code, one in kept.items()}

    def _make(self, code: str) -> Channel:
        with self._database.reading() as connection:
            record = table.read(connection, code)
            settings = dict(record.settings)
            sealed = table.sealed_secrets(connection, [code]).get(code)
            if sealed is not None:
                settings |= json.loads(
                    self._keyring.unseal(connection, sealed, context=f"{_SECRETS}:{code}")
                )
        factory = KINDS.get(record.kind)
        if factory is None:
            raise ChannelKindIsUnknown(name=record.kind)
        timeout = float(settings.get("timeout_seconds", TIMEOUT_SECONDS))
        return factory(code, settings, timeout)


def _as_of(listed: Listed, now: datetime) -> Listed:
    record = listed.record
    on = now.astimezone(ZoneInfo(record.capability.timezone)).date()
    effective = capability_on(record.capability, listed.agreements, on)
    return listed if effective == listed.capability else replace(listed, capability=effective)


def register_channel(unit: UnitOfWork, keyring: Keyring, new: NewChannel) -> ChannelRecord:
    """Register a channel, surveyed unless a house is founded with it.

    Refusals
    --------
    channel_kind_is_unknown, channel_exists
    """
    if new.kind not in KINDS:
        raise ChannelKindIsUnknown(name=new.kind)
    sealed = _seal(unit, keyring, new.code, new.secrets) if new.secrets else None
    if not table.insert(unit.connection, new, secrets=sealed, at=unit.now):
        raise ChannelExists(channel=new.code)
    record = table.read(unit.connection, new.code)
    table.insert_sheet(unit.connection, record, reason="registered", actor=unit.actor)
    life_table.insert_stage(
        unit.connection,
        record,
        before=None,
        cause="payments.register_channel@1",
        detail={},
        actor=unit.actor,
    )
    unit.record(
        ChannelRegistered(
            channel=record.code,
            mode=record.mode.value,
            channel_kind=record.kind,
            stage=record.stage.value,
        ),
        subject=record.subject,
    )
    audit(
        unit,
        action="payments.register_channel",
        subject=record.subject,
        detail={"kind": record.kind, "mode": record.mode.value, "stage": record.stage.value},
    )
    return record


def replace_secrets(
    unit: UnitOfWork, keyring: Keyring, code: str, secrets: Mapping[str, str]
) -> ChannelRecord:
    """Replace what a channel's adaptor needs and nobody reads.

    Refusals
    --------
    channel_is_unknown
    """
    before = table.lock(unit.connection, code)
    table.set_secrets(unit.connection, code, _seal(unit, keyring, code, secrets))
    after = table.change(unit.connection, before, before, unit.now)
    audit(
        unit,
        action="payments.replace_channel_secrets",
        subject=before.subject,
        detail={"names": sorted(secrets)},
    )
    return after


def _seal(unit: UnitOfWork, keyring: Keyring, code: str, secrets: Mapping[str, str]) -> bytes:
    return keyring.seal(
        unit.connection,
        json.dumps(dict(secrets), sort_keys=True),
        owner=f"channel:{code}",
        context=f"{_SECRETS}:{code}",
    )
