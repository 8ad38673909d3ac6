"""People for the tests, and a real provider process that can be told to misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx
import pytest
from stdnum.cn import ric

from steelyard.base import Database, Outcome, Verdict
from steelyard.base.crypto import Keyring
from steelyard.parties import HttpIdentityProvider, NewCustomer, PersonalField, registry
from tests.parties.office import office as office

APPROVED = Verdict(Outcome.APPROVE, "no_policy@0")


def id_number(body: str = "99000119900228001") -> str:
    return body + str(ric.calc_check_digit(body + "0"))


PERSON = {
    PersonalField.NAME: "张三丰",
    PersonalField.ID_NUMBER: id_number(),
    PersonalField.PHONE: "154 0000 1234",
    PersonalField.EMAIL: "San.Feng@Example.com",
    PersonalField.ADDRESS: "湖北省十堰市丹江口市武当山路1号",
    PersonalField.BIRTH_ON: "1990-02-28",
    PersonalField.SEX: "male",
}


@dataclass(frozen=True, slots=True)
class Simulated:
    """The provider process, and the adapter that asks it."""

    url: str
    provider: HttpIdentityProvider

    def script(self, *rules: dict[str, object]) -> None:
        httpx.post(f"{self.url}/script", json=list(rules), trust_env=False).raise_for_status()

    def codes(self, phone: str) -> list[str]:
        answer = httpx.get(f"{self.url}/outbox", params={"phone": phone}, trust_env=False)
        return [sent["code"] for sent in answer.json()]


@pytest.fixture
def keyring() -> Keyring:
    return Keyring.for_tests()


@pytest.fixture
def enrol(database: Database, keyring: Keyring) -> Callable[..., UUID]:
    """Register a customer with everything; keyword arguments replace fields."""

    def register(**changes: str | None) -> UUID:
        fields = {**PERSON, **{PersonalField(k): v for k, v in changes.items()}}
        told = {field: value for field, value in fields.items() if value is not None}
        party = database.transact(
            lambda unit: registry.register_customer(
                unit, keyring, NewCustomer(told), verdict=APPROVED
            )
        )
        return party.id

    return register


@pytest.fixture(scope="session")
def simulated_url() -> Iterator[str]:
    """One process for the run of this worker; its requests do not meet, their ids are random."""
    process = subprocess.Popen(
        [sys.executable, "-m", "steelyard.parties.providers.simulated", "--port", "0"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


@pytest.fixture
def simulated(simulated_url: str) -> Iterator[Simulated]:
    provider = HttpIdentityProvider(simulated_url, timeout_seconds=5.0)
    yield Simulated(simulated_url, provider)
    httpx.delete(f"{simulated_url}/script", trust_env=False)
    provider.close()


@pytest.fixture
def hasty(simulated: Simulated) -> Iterator[HttpIdentityProvider]:
    """An adapter that gives up soon, for requests that are never answered."""
    provider = HttpIdentityProvider(simulated.url, timeout_seconds=0.2)
    yield provider
    provider.close()


def facts_of(database: Database, party: UUID) -> list[tuple[str, dict[str, object]]]:
    with database.unit_of_work() as unit:
        rows = unit.execute(
            "SELECT kind, payload FROM events.log WHERE subject = :s ORDER BY sequence",
            s=f"party:{party}",
        )
        return [(row.kind.removeprefix("parties."), row.payload) for row in rows]


def new_id() -> UUID:
    return uuid4()
