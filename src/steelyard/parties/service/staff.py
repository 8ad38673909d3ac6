"""Staff: hiring, states, passwords."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring, Plain
from steelyard.kernel import Page, Refusal, decode_cursor, encode_cursor
from steelyard.parties.model.personal import (
    PersonalField,
    PersonalFieldIsInvalid,
    mask,
    normalise,
)
from steelyard.parties.model.role import ADMINISTRATOR, LastAdministrator
from steelyard.parties.model.session import Client, Session, Whose
from steelyard.parties.model.staff import (
    NewStaff,
    PasswordIsWeak,
    SignInFailed,
    SignInIsLocked,
    Staff,
    StaffIsNotActive,
    StaffIsUnknown,
    StaffState,
    StaffStateDoesNotAllow,
    UserNameIsInvalid,
    UserNameIsTaken,
    check_password,
    check_user_name,
)
from steelyard.parties.service.access_facts import (
    PasswordChanged,
    StaffHired,
    StaffLeft,
    StaffReinstated,
    StaffSuspended,
)
from steelyard.parties.service.approval import approval_kind, consume_approval
from steelyard.parties.service.passwords import hash_password, new_password, verify_password
from steelyard.parties.service.session import end_all_sessions
from steelyard.parties.service.sign_in import told
from steelyard.parties.service.throttle import absolve, charge_guess, guess_at
from steelyard.parties.store import session as session_table
from steelyard.parties.store import staff as table

__all__ = [
    "RESET_PASSWORD",
    "Hired",
    "LastAdministrator",
    "NewStaff",
    "PasswordIsWeak",
    "PersonalFieldIsInvalid",
    "SignInFailed",
    "SignInIsLocked",
    "Staff",
    "StaffIsNotActive",
    "StaffIsUnknown",
    "StaffState",
    "StaffStateDoesNotAllow",
    "UserNameIsInvalid",
    "UserNameIsTaken",
    "change_password",
    "dismiss",
    "find_staff",
    "hire",
    "list_staff",
    "masked_person",
    "put_password",
    "read_staff",
    "reinstate",
    "reset_password_of",
    "shown_of_reset",
    "suspend",
]

FEWEST_ADMINISTRATORS = 2

RESET_PASSWORD = approval_kind(
    "access.reset_password",
    verb="access.approve",
    en="Give a person a new password",
    zh="重置员工密码",
)


@dataclass(frozen=True, slots=True)
class Hired:
    """A person and the first password, which is handed out once."""

    staff: Staff
    password: str


def hire(unit: UnitOfWork, keyring: Keyring, new: NewStaff, password: str | None = None) -> Hired:
    """Take a person on, without any role: such a one can sign in and see what is his own.

    Parameters
    ----------
    password : None makes one

    Refusals
    --------
    user_name_is_invalid, user_name_is_taken, personal_field_is_invalid, password_is_weak
    """
    user_name = check_user_name(new.user_name)
    name = normalise(PersonalField.NAME, new.name)
    email = normalise(PersonalField.EMAIL, new.email)
    secret = check_password(password or new_password(), user_name)
    staff = Staff(unit.new_id(), user_name, StaffState.ACTIVE, 1, unit.now)
    sealed = keyring.seal_many(
        unit.connection,
        [Plain(staff.actor, "staff.name", name), Plain(staff.actor, "staff.email", email)],
    )
    row = table.SealedStaff(staff, sealed[0], sealed[1], hash_password(secret))
    if not table.insert(unit.connection, row):
        raise UserNameIsTaken(user_name=user_name)
    unit.record(StaffHired(staff=staff.id, user_name=user_name), subject=staff.actor)
    audit(unit, action="access.hire", subject=staff.actor, detail={"user_name": user_name})
    return Hired(staff, secret)


def read_staff(connection: sa.Connection, staff: UUID) -> Staff:
    """Return a member of staff.

    Refusals
    --------
    staff_is_unknown
    """
    return table.read(connection, staff)


def find_staff(connection: sa.Connection, user_name: str) -> Staff:
    """Return the member of staff of a user name.

    Refusals
    --------
    staff_is_unknown
    """
    return table.by_user_name(connection, user_name.strip().lower())


def list_staff(
    connection: sa.Connection, *, cursor: str | None = None, limit: int = 50
) -> Page[Staff]:
    """Return a page of the staff, by user name.

    Refusals
    --------
    cursor_is_invalid
    """
    after = str(decode_cursor(cursor, str)[0]) if cursor else ""
    found = table.list_by_name(connection, after=after, limit=limit + 1)
    items = tuple(found[:limit])
    return Page(items, encode_cursor(items[-1].user_name) if len(found) > limit else None)


def masked_person(connection: sa.Connection, keyring: Keyring, staff: UUID) -> tuple[str, str]:
    """Return the name and e-mail of a person as they are shown: masked."""
    name, email = table.sealed_person(connection, staff)
    plain = keyring.unseal_many(connection, [(name, "staff.name"), (email, "staff.email")])
    return mask(PersonalField.NAME, plain[0]), mask(PersonalField.EMAIL, plain[1])


def suspend(unit: UnitOfWork, staff: UUID, *, reason: str) -> Staff:
    """Keep a person out, at once: all sessions end.

    Refusals
    --------
    staff_is_unknown, staff_state_does_not_allow, last_administrator
    """
    person = _set_state(unit, staff, StaffState.SUSPENDED, reason)
    unit.record(StaffSuspended(staff=staff, reason=reason), subject=person.actor)
    return person


def reinstate(unit: UnitOfWork, staff: UUID, *, reason: str) -> Staff:
    """Let a suspended person in again, with the roles as they stand.

    Refusals
    --------
    staff_is_unknown, staff_state_does_not_allow
    """
    person = _set_state(unit, staff, StaffState.ACTIVE, reason)
    unit.record(StaffReinstated(staff=staff, reason=reason), subject=person.actor)
    return person


def dismiss(unit: UnitOfWork, staff: UUID, *, reason: str) -> Staff:
    """Close a person's access for good.

    Refusals
    --------
    staff_is_unknown, staff_state_does_not_allow, last_administrator
    """
    person = _set_state(unit, staff, StaffState.LEFT, reason)
    unit.record(StaffLeft(staff=staff, reason=reason), subject=person.actor)
    return person


def change_password(
    database: Database,
    keyring: Keyring,
    session: Session,
    *,
    old: str,
    new: str,
    client: Client,
) -> None:
    """Change one's own password; all other sessions end.

    Refusals
    --------
    sign_in_is_locked, sign_in_failed : the old one is wrong, which is charged as a guess
    password_is_weak
    """
    staff_id = session.owner

    def begin(unit: UnitOfWork) -> table.Credentials | Refusal:
        known = table.lock_credentials(unit.connection, staff_id)
        check_password(new, known.staff.user_name)
        guess = guess_at(unit.connection, keyring, f"staff:{known.staff.user_name}", client)
        return charge_guess(unit, guess) or known

    known = told(database.transact(begin, actor=session.actor))
    if not verify_password(known.password_hash, old):
        raise SignInFailed
    hashed = hash_password(new)

    def change(unit: UnitOfWork) -> None:
        guess = guess_at(unit.connection, keyring, f"staff:{known.staff.user_name}", client)
        absolve(unit, guess)
        put_password(unit, known.staff, hashed, was_reset=False, but=session.id)

    database.transact(change, actor=session.actor)


def shown_of_reset(user_name: str) -> dict[str, object]:
    """Return what a checker is shown of a reset."""
    return {"user_name": user_name}


def reset_password_of(unit: UnitOfWork, staff: UUID, *, approval: UUID) -> str:
    """Give a person a new password, which is returned once; all sessions end.

    Refusals
    --------
    staff_is_unknown, and those of `consume_approval`
    """
    person = table.lock(unit.connection, staff)
    consume_approval(
        unit,
        approval,
        kind=RESET_PASSWORD.name,
        subject=person.actor,
        shown=shown_of_reset(person.user_name),
    )
    password = new_password()
    put_password(unit, person, hash_password(password), was_reset=True)
    return password


def put_password(
    unit: UnitOfWork, staff: Staff, hashed: str, *, was_reset: bool, but: UUID | None = None
) -> None:
    """Store the hash of a new password and end what the old one opened."""
    table.update(unit.connection, staff.id, password_hash=hashed)
    session_table.drop_challenges_of(unit.connection, staff.id)
    why = "password_reset" if was_reset else "password_changed"
    end_all_sessions(unit, Whose.STAFF, staff.id, why=why, but=but)
    unit.record(PasswordChanged(staff=staff.id, was_reset=was_reset), subject=staff.actor)
    action = "access.reset_password" if was_reset else "access.change_password"
    audit(unit, action=action, subject=staff.actor)


def _set_state(unit: UnitOfWork, staff: UUID, state: StaffState, reason: str) -> Staff:
    person = table.lock(unit.connection, staff)
    person.must_go_to(state)
    is_leaving = person.state is StaffState.ACTIVE
    if is_leaving and ADMINISTRATOR in person.roles:
        left = table.count_active_with(unit.connection, ADMINISTRATOR) - 1
        if left < FEWEST_ADMINISTRATORS:
            raise LastAdministrator
    table.set_state(unit.connection, person, state)
    if is_leaving:
        session_table.drop_challenges_of(unit.connection, staff)
        end_all_sessions(unit, Whose.STAFF, staff, why=state)
    action = {
        StaffState.SUSPENDED: "access.suspend",
        StaffState.ACTIVE: "access.reinstate",
        StaffState.LEFT: "access.dismiss",
    }[state]
    audit(unit, action=action, subject=person.actor, detail={"reason": reason})
    return table.read(unit.connection, staff)
