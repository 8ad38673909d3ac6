"""An office for the tests of access: a real clock moved by hand, people, roles, phones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest

from steelyard.base import Database, Environment, PlainBusinessClock, Settings, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock
from steelyard.parties import RequestVerifier, roles, second_factors, sessions, sign_in, staff
from steelyard.parties.model.second_factor import totp_code, totp_step
from steelyard.parties.model.session import Client, OpenedSession
from tests.conftest import START, Store

T = TypeVar("T")
REAL_START = datetime(2026, 11, 20, 8, 0, 7, tzinfo=UTC)
CLIENT = Client("203.0.113.7", "pytest")


@dataclass(slots=True)
class Person:
    """A member of staff with what he knows and has."""

    id: UUID
    user_name: str
    password: str
    secret: str | None = None
    recovery: tuple[str, ...] = ()

    @property
    def actor(self) -> str:
        return f"staff:{self.id}"

    def caller(self, *verbs: str) -> Caller:
        return Caller(self.actor, frozenset(verbs))


@dataclass(slots=True)
class Office:
    database: Database
    keyring: Keyring
    settings: Settings
    wall: SteppingClock
    people: dict[str, Person] = field(default_factory=dict)

    def run(self, work: Callable[[UnitOfWork], T], actor: str = "system:test") -> T:
        return self.database.transact(work, actor=actor)

    def later(self, **by: float) -> None:
        self.wall.advance(timedelta(**by))

    def hire(self, user_name: str, *roles_given: str, totp: bool = True) -> Person:
        def work(unit: UnitOfWork) -> Person:
            new = staff.NewStaff(user_name, "李雷", f"{user_name}@example.com")
            hired = staff.hire(unit, self.keyring, new)
            for role in roles_given:
                roles.grant_first_role(unit, hired.staff.id, role)
            return Person(hired.staff.id, user_name, hired.password)

        person = self.run(work)
        if totp:
            self.give_phone(person)
        self.people[user_name] = person
        return person

    def give_phone(self, person: Person) -> None:
        def work(unit: UnitOfWork) -> tuple[str, tuple[str, ...]]:
            authenticator = second_factors.begin_totp(unit, self.keyring, person.id)
            code = totp_code(authenticator.secret, totp_step(unit.wall_at) - 1)
            codes = second_factors.confirm_totp(unit, self.keyring, person.id, code)
            return authenticator.secret, codes

        person.secret, person.recovery = self.run(work)

    def code(self, person: Person) -> str:
        assert person.secret is not None
        return totp_code(person.secret, totp_step(self.wall.now()))

    def password(self, person: Person, password: str | None = None) -> sign_in.SignInStep:
        return sign_in.sign_in_with_password(
            self.database,
            self.keyring,
            user_name=person.user_name,
            password=person.password if password is None else password,
            client=CLIENT,
        )

    def sign_in(self, person: Person) -> OpenedSession:
        step = self.password(person)
        if step.opened is not None:
            return step.opened
        assert step.pending is not None
        opened = sign_in.sign_in_with_code(
            self.database,
            self.keyring,
            pending=step.pending,
            code=self.code(person),
            client=CLIENT,
        )
        self.later(seconds=30)
        return opened

    def renewed(self, opened: OpenedSession) -> OpenedSession:
        """The session as it stands now."""
        session = self.run(
            lambda unit: sessions.read_session(
                unit.connection, opened.session.owner, opened.session.id
            )
        )
        return replace(opened, session=session)

    def verifier(self, **changes: Any) -> RequestVerifier:
        return RequestVerifier(self.database, self.keyring, replace(self.settings, **changes))

    def facts(self, like: str = "%") -> list[tuple[str, dict[str, Any]]]:
        with self.database.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT kind, payload FROM events.log WHERE subject LIKE %s ORDER BY sequence",
                (like,),
            )
            return [(row.kind.removeprefix("parties."), row.payload) for row in rows]

    def audited(self) -> list[str]:
        with self.database.reading() as connection:
            rows = connection.exec_driver_sql("SELECT action FROM base.audit ORDER BY sequence")
            return [row.action.removeprefix("access.") for row in rows]


@pytest.fixture
def office(store: Store, tmp_path: Path) -> Iterator[Office]:
    """A database whose real clock is moved by hand, with the built-in roles."""
    wall = SteppingClock(REAL_START)
    database = Database(
        store.url,
        facts=PostgresFactLog(),
        clock=PlainBusinessClock(SteppingClock(START)),
        wall=wall,
    )
    settings = Settings(home=tmp_path, environment=Environment.TEST)
    office = Office(database, Keyring.for_tests(), settings, wall)
    office.run(roles.settle_built_in_roles)
    yield office
    database.close()
