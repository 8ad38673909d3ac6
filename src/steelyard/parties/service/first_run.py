"""The first people of an installation, and what a person forgot: passwords and codes."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from steelyard.base import Database, Outcome, Settings, UnitOfWork, Verdict
from steelyard.base.crypto import Keyring
from steelyard.parties.model.api_key import ApiKeyKind, NewApiKey
from steelyard.parties.model.party import NewCustomer
from steelyard.parties.model.personal import PersonalField, PersonalFieldIsInvalid
from steelyard.parties.model.role import ADMINISTRATOR
from steelyard.parties.model.second_factor import totp_code, totp_step, usable_totp
from steelyard.parties.model.staff import NewStaff, StaffExists, StaffIsUnknown
from steelyard.parties.service.api_key import create_api_key, hash_secret, secret_context
from steelyard.parties.service.party import find_origins, register_customer
from steelyard.parties.service.passwords import hash_password, new_password, verify_password
from steelyard.parties.service.phone_sign_in import open_phone_code
from steelyard.parties.service.role import grant_first_role, settle_built_in_roles
from steelyard.parties.service.second_factor import begin_totp, confirm_totp
from steelyard.parties.service.sign_in import totp_context
from steelyard.parties.service.staff import FEWEST_ADMINISTRATORS, hire, put_password
from steelyard.parties.store import api_key as key_table
from steelyard.parties.store import staff as table

__all__ = [
    "DemoCustomer",
    "DemoKey",
    "DemoPeople",
    "DemoPerson",
    "FirstPerson",
    "StaffExists",
    "StaffIsUnknown",
    "create_administrator",
    "create_demo_people",
    "current_code",
    "reset_password",
]

_FIRST_RUN = 7_311_002
_ACTOR = "system:first_run"
_WHAT = "creating demo people and keys"

# Who is who in the demonstration. Maker and checker are administrators too, so that hiring people
# and giving them roles can be tried: each needs the other.
_CAST: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("maker", "马可", ("maker", ADMINISTRATOR)),
    ("checker", "程可", ("checker", ADMINISTRATOR)),
    ("analyst", "安娜", ("analyst",)),
)
_CUSTOMER = "demo:customer"
_PHONE = "+8619900001234"


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """A member of the demonstration's staff, and how to sign in."""

    user_name: str
    password: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """The demonstration's customer: signs in by a code to the phone."""

    party: UUID
    phone: str


@dataclass(frozen=True, slots=True)
class DemoKey:
    """An API key of the demonstration with its secret."""

    key: str
    secret: str


@dataclass(frozen=True, slots=True)
class DemoPeople:
    """Everything that is printed after the first start; no installation keeps it but in a file.

    Attributes
    ----------
    town : key of the simulated town, which signs its requests
    development : bearer key for trying things with curl
    """

    staff: tuple[DemoPerson, ...]
    customer: DemoCustomer
    town: DemoKey
    development: DemoKey


@dataclass(frozen=True, slots=True)
class FirstPerson:
    """An administrator of a new installation: everything is shown once."""

    user_name: str
    password: str
    authenticator_uri: str
    recovery_codes: tuple[str, ...]


def create_demo_people(
    database: Database,
    keyring: Keyring,
    settings: Settings,
    *,
    known: DemoPeople | None = None,
) -> DemoPeople:
    """Have the demonstration's people and keys; run again, nobody is made twice.

    Parameters
    ----------
    known : what an earlier call returned; passwords and keys in it that still work are kept,
        others are made anew

    Refusals
    --------
    refused_in_production
    """
    settings.refuse_in_production(_WHAT)
    passwords = {person.user_name: person.password for person in known.staff} if known else {}

    def create(unit: UnitOfWork) -> DemoPeople:
        _one_at_a_time(unit)
        settle_built_in_roles(unit)
        return DemoPeople(
            staff=tuple(
                _demo_person(unit, keyring, who, name, roles, password=passwords.get(who))
                for who, name, roles in _CAST
            ),
            customer=_demo_customer(unit, keyring),
            town=_demo_key(unit, keyring, settings, known.town if known else None, _TOWN),
            development=_demo_key(
                unit, keyring, settings, known.development if known else None, _DEVELOPMENT
            ),
        )

    return database.transact(create, actor=_ACTOR)


def create_administrator(database: Database, keyring: Keyring, new: NewStaff) -> FirstPerson:
    """Make an administrator of an installation that has fewer than two, in production too.

    Two, because roles are given by two people: the first alone could give none.

    Refusals
    --------
    staff_exists : there are two; and those of `hire`
    """

    def create(unit: UnitOfWork) -> FirstPerson:
        _one_at_a_time(unit)
        settle_built_in_roles(unit)
        if table.count_active_with(unit.connection, ADMINISTRATOR) >= FEWEST_ADMINISTRATORS:
            raise StaffExists
        hired = hire(unit, keyring, new)
        grant_first_role(unit, hired.staff.id, ADMINISTRATOR)
        authenticator = begin_totp(unit, keyring, hired.staff.id)
        codes = _confirm(unit, keyring, hired.staff.id, authenticator.secret)
        return FirstPerson(hired.staff.user_name, hired.password, authenticator.uri, tuple(codes))

    return database.transact(create, actor=_ACTOR)


def reset_password(database: Database, settings: Settings, user_name: str) -> str:
    """Give a person a new password, for development; return it. All sessions end.

    In production two people do it: `reset_password_of` consumes an approval.

    Refusals
    --------
    refused_in_production, staff_is_unknown
    """
    settings.refuse_in_production("resetting a password without an approval")

    def reset(unit: UnitOfWork) -> str:
        staff = table.by_user_name(unit.connection, user_name.strip().lower())
        password = new_password()
        put_password(
            unit, table.lock(unit.connection, staff.id), hash_password(password), was_reset=True
        )
        return password

    return database.transact(reset, actor=_ACTOR)


def current_code(database: Database, keyring: Keyring, settings: Settings, name: str) -> str:
    """Return the one-time code that somebody needs now, for development.

    Parameters
    ----------
    name : user name of a member of staff with an authenticator app, or a customer's phone number
        for which a code was asked

    Returns
    -------
    str
        Six digits; for staff the next code, where the present one was used.

    Refusals
    --------
    refused_in_production
    staff_is_unknown : neither of both, or no code is due
    """
    settings.refuse_in_production("reading a one-time code")

    def read(unit: UnitOfWork) -> str:
        known = table.credentials(unit.connection, name.strip().lower())
        if known is not None and known.totp_secret is not None:
            secret = keyring.unseal(
                unit.connection, known.totp_secret, context=totp_context(known.staff.id)
            )
            return usable_totp(secret, unit.wall_at, known.totp_last_step)
        try:
            code = open_phone_code(unit, keyring, name)
        except PersonalFieldIsInvalid:
            code = None
        if code is None:
            raise StaffIsUnknown(staff=name)
        return code

    return database.transact(read, actor=_ACTOR)


_TOWN = NewApiKey("simulated town", ApiKeyKind.SIGNED, role="town")
_DEVELOPMENT = NewApiKey("development", ApiKeyKind.DEVELOPMENT, entitlements=("*",))


def _one_at_a_time(unit: UnitOfWork) -> None:
    unit.execute("SELECT pg_advisory_xact_lock(:lock)", lock=_FIRST_RUN)


def _demo_person(
    unit: UnitOfWork,
    keyring: Keyring,
    user_name: str,
    name: str,
    roles: Sequence[str],
    *,
    password: str | None,
) -> DemoPerson:
    """Have a person with a password that is known, an authenticator and roles."""
    present = table.credentials(unit.connection, user_name)
    if present is None:
        new = NewStaff(user_name, name, f"{user_name}@example.com")
        hired = hire(unit, keyring, new, password)
        authenticator = begin_totp(unit, keyring, hired.staff.id)
        _confirm(unit, keyring, hired.staff.id, authenticator.secret)
        for role in roles:
            grant_first_role(unit, hired.staff.id, role)
        return DemoPerson(user_name, hired.password, tuple(roles))
    if password is None or not verify_password(present.password_hash, password):
        password = new_password()
        put_password(unit, present.staff, hash_password(password), was_reset=True)
    return DemoPerson(user_name, password, present.staff.roles)


def _confirm(unit: UnitOfWork, keyring: Keyring, staff: UUID, secret: str) -> tuple[str, ...]:
    """Confirm an authenticator in the owner's place, by a code that is not needed any more."""
    code = totp_code(secret, totp_step(unit.wall_at) - 1)
    return confirm_totp(unit, keyring, staff, code)


def _demo_customer(unit: UnitOfWork, keyring: Keyring) -> DemoCustomer:
    present = find_origins(unit.connection, [_CUSTOMER])
    if present:
        return DemoCustomer(present[_CUSTOMER], _PHONE)
    new = NewCustomer(
        {PersonalField.NAME: "张三", PersonalField.PHONE: _PHONE},
        origin=_CUSTOMER,
        channel="demo",
    )
    verdict = Verdict(Outcome.APPROVE, "first_run@1")
    party = register_customer(unit, keyring, new, verdict=verdict)
    return DemoCustomer(party.id, _PHONE)


def _demo_key(
    unit: UnitOfWork,
    keyring: Keyring,
    settings: Settings,
    known: DemoKey | None,
    new: NewApiKey,
) -> DemoKey:
    """Have a key whose secret is known."""
    if known is not None and _still_works(unit, keyring, known):
        return known
    issued = create_api_key(unit, keyring, settings, new)
    return DemoKey(issued.key.id, issued.secret)


def _still_works(unit: UnitOfWork, keyring: Keyring, known: DemoKey) -> bool:
    found = key_table.find(unit.connection, known.key)
    if found is None or found.revoked_at is not None:
        return False
    context = secret_context(found.id)
    opened = keyring.unseal_many(unit.connection, [(text, context) for text, _ in found.sealed])
    hashes = [stored for stored, _ in found.hashed]
    return any(secrets.compare_digest(text, known.secret) for text in opened) or (
        hash_secret(known.secret) in hashes
    )
