"""Routes: identity steps and devices."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated
from uuid import UUID, uuid5

from fastapi import APIRouter, Response

from steelyard.base.http import Read, RequestIsMalformed, Write, reading, refusals, writing
from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties import IdentityProvider, devices, identity, registry
from steelyard.parties.http.wire import (
    AttemptOut,
    Attempts,
    DeviceIn,
    DeviceLinkOut,
    DeviceLinks,
    DeviceOut,
    IdentityOut,
    ReasonIn,
    RulingIn,
    StepIn,
    anybody,
    own,
)

router = APIRouter(prefix="/v1/parties", tags=["parties"])

Reads = Annotated[Read, reading("parties.read")]
Identifies = Annotated[Write, writing("parties.identify")]
DeviceWrite = Annotated[Write, writing("parties.device")]

# Names of attempts are made of the command's scope and key: sent again, it finds its own.
_ATTEMPTS = UUID("6d5b0a53-8a5e-5c0d-9d0a-2f0f6f1f8f11")

_CUSTOMER = (registry.PartyIsUnknown, registry.PartyIsOfAnotherKind, registry.PartyIsClosed)
_POLL = (identity.AttemptIsUnknown, identity.ProviderIsNotAtHand)


class NoIdentityProvider(Refusal):
    """The platform runs without an identity provider."""

    kind = RefusalKind.UNAVAILABLE
    en = "There is no identity provider at hand."
    zh = "当前没有可用的身份认证服务方。"


@router.get("/identity/disputes", responses=refusals())
def list_disputes(read: Annotated[Read, reading("parties.rule")]) -> Attempts:
    """List the attempts with evidence for both, which wait for a person's ruling."""
    anybody(read.caller, "parties.rule")
    with read.database.reading() as connection:
        found = identity.disputed_attempts(connection)
    return Attempts(items=[AttemptOut.of(attempt) for attempt in found])


@router.get("/{party}/identity", responses=refusals(registry.PartyIsUnknown))
def read_identity(party: UUID, read: Reads) -> IdentityOut:
    """Show the identity level of a customer, and every attempt that led there."""
    own(read.caller, party, "parties.read")
    with read.database.reading() as connection:
        found = registry.read_party(connection, party)
        attempts = identity.attempts_of(connection, party)
    return IdentityOut(level=found.level, attempts=[AttemptOut.of(a) for a in attempts])


@router.post(
    "/{party}/identity/{step}",
    response_model=AttemptOut,
    responses=refusals(
        *_CUSTOMER,
        *_POLL,
        NoIdentityProvider,
        identity.PersonalFieldIsMissing,
        identity.ConsentIsMissing,
        identity.LevelIsTooLow,
        identity.IdNumberIsMalformed,
        identity.StepIsUnderWay,
        identity.IdentityBelongsToAnother,
        identity.CodeWasNotSent,
        identity.CodeHasExpired,
        identity.TooManyTries,
        write=True,
    ),
)
def take_identity_step(
    party: UUID, step: identity.Step, body: StepIn, write: Identifies
) -> Response:
    """Ask the identity provider once; the attempt is unknown until there is evidence."""
    own(write.caller, party, write.verb)
    ask = identity.Ask(
        party,
        step,
        uuid5(_ATTEMPTS, f"{write.scope}\0{write.key}\0{party}\0{step}"),
        sent=body.sent,
        code=body.code,
        portrait=_portrait(body),
    )

    def work() -> AttemptOut:
        attempt = identity.take_step(
            write.database,
            write.platform.keyring,
            _provider(write),
            ask,
            actor=write.caller.actor,
        )
        return AttemptOut.of(attempt)

    return write.run_in_steps(work)


@router.post(
    "/identity/attempts/{attempt}/poll",
    response_model=AttemptOut,
    responses=refusals(*_POLL, NoIdentityProvider, write=True),
)
def poll_identity_attempt(attempt: UUID, write: Identifies) -> Response:
    """Ask the provider what became of an attempt, and record what it says."""
    with write.database.reading() as connection:
        own(write.caller, identity.read_attempt(connection, attempt).party, write.verb)
    return write.run_in_steps(
        lambda: AttemptOut.of(
            identity.poll(write.database, _provider(write), attempt, actor=write.caller.actor)
        )
    )


@router.post(
    "/identity/attempts/{attempt}/rule",
    response_model=AttemptOut,
    responses=refusals(
        identity.AttemptIsUnknown,
        identity.RulingIsNotMeaningful,
        registry.ReasonIsInvalid,
        write=True,
    ),
)
def rule_on_attempt(
    attempt: UUID, body: RulingIn, write: Annotated[Write, writing("parties.rule")]
) -> Response:
    """Let a person rule on an attempt; the ruling stands above all other evidence."""
    anybody(write.caller, write.verb)
    return write.run(
        lambda unit: AttemptOut.of(identity.rule(unit, attempt, body.finding, reason=body.reason))
    )


@router.get("/{party}/devices", responses=refusals(registry.PartyIsUnknown))
def list_devices(party: UUID, read: Reads) -> DeviceLinks:
    """List the devices a party came in with, oldest first."""
    own(read.caller, party, "parties.read")
    with read.database.reading() as connection:
        found = devices.devices_of(connection, party)
    return DeviceLinks(items=[DeviceLinkOut.of(link) for link in found])


@router.get("/devices/{device}/parties", responses=refusals())
def list_parties_on_device(device: UUID, read: Reads) -> DeviceLinks:
    """List who came in with a device, oldest first."""
    anybody(read.caller, "parties.read")
    with read.database.reading() as connection:
        found = devices.parties_on(connection, device)
    return DeviceLinks(items=[DeviceLinkOut.of(link) for link in found])


@router.post(
    "/{party}/devices",
    response_model=DeviceLinkOut,
    responses=refusals(
        registry.PartyIsUnknown,
        registry.PartyIsClosed,
        devices.FingerprintIsInvalid,
        write=True,
    ),
)
def see_device(party: UUID, body: DeviceIn, write: DeviceWrite) -> Response:
    """Note that a party came in with a device, and show what the device is to it."""
    own(write.caller, party, write.verb)
    return write.run(
        lambda unit: DeviceLinkOut.of(
            devices.see(
                unit,
                write.platform.keyring,
                party,
                fingerprint=body.fingerprint,
                kind=body.kind,
            )
        )
    )


@router.post(
    "/{party}/devices/{device}/trust",
    response_model=DeviceLinkOut,
    responses=refusals(
        registry.PartyIsUnknown,
        registry.PartyIsClosed,
        devices.DeviceIsUnknown,
        devices.DeviceIsBlocked,
        write=True,
    ),
)
def trust_device(party: UUID, device: UUID, write: DeviceWrite) -> Response:
    """Let a party vouch for a device it came in with."""
    own(write.caller, party, write.verb)
    return write.run(lambda unit: DeviceLinkOut.of(devices.trust(unit, party, device)))


@router.post(
    "/{party}/devices/{device}/distrust",
    response_model=DeviceLinkOut,
    responses=refusals(
        registry.PartyIsUnknown,
        registry.PartyIsClosed,
        devices.DeviceIsUnknown,
        write=True,
    ),
)
def distrust_device(party: UUID, device: UUID, write: DeviceWrite) -> Response:
    """Take back that a party vouches for a device."""
    own(write.caller, party, write.verb)
    return write.run(lambda unit: DeviceLinkOut.of(devices.distrust(unit, party, device)))


@router.post(
    "/devices/{device}/block",
    response_model=DeviceOut,
    responses=refusals(devices.DeviceIsUnknown, registry.ReasonIsInvalid, write=True),
)
def block_device(
    device: UUID, body: ReasonIn, write: Annotated[Write, writing("parties.block_device")]
) -> Response:
    """Block a device for everybody."""
    anybody(write.caller, write.verb)
    return write.run(lambda unit: DeviceOut.of(devices.block(unit, device, reason=body.reason)))


@router.post(
    "/devices/{device}/unblock",
    response_model=DeviceOut,
    responses=refusals(devices.DeviceIsUnknown, registry.ReasonIsInvalid, write=True),
)
def unblock_device(
    device: UUID, body: ReasonIn, write: Annotated[Write, writing("parties.block_device")]
) -> Response:
    """Let a blocked device in again."""
    anybody(write.caller, write.verb)
    return write.run(lambda unit: DeviceOut.of(devices.unblock(unit, device, reason=body.reason)))


def _provider(write: Write) -> IdentityProvider:
    provider: IdentityProvider | None = getattr(write.platform, "identity_provider", None)
    if provider is None:
        raise NoIdentityProvider
    return provider


def _portrait(body: StepIn) -> bytes | None:
    if body.portrait is None:
        return None
    try:
        return base64.b64decode(body.portrait, validate=True)
    except binascii.Error:
        raise RequestIsMalformed(where="body.portrait", what="base64 is needed") from None
