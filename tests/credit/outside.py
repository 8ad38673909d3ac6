"""The world outside for the tests: real processes that can be told to misbehave, and a customer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest
from stdnum.cn import ric

from steelyard.base import Database, Outcome, Verdict
from steelyard.base.crypto import Keyring
from steelyard.credit.providers.bureau_http import HttpCreditBureau
from steelyard.credit.providers.gateway_http import HttpMessageGateway
from steelyard.parties import NewCustomer, PersonalField, consents, registry

_APPROVED = Verdict(Outcome.APPROVE, "no_policy@0")
PHONE = "+8615400001234"


@contextmanager
def process(module: str, *more: str) -> Iterator[str]:
    """Run a simulated service; yield its address."""
    running = subprocess.Popen(
        [sys.executable, "-m", f"steelyard.credit.providers.{module}", "--port", "0", *more],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    assert running.stdout is not None
    try:
        yield running.stdout.readline().strip()
    finally:
        running.terminate()
        running.wait(timeout=20)
        running.stdout.close()


@dataclass(frozen=True, slots=True)
class Outside:
    """A simulated process."""

    url: str

    def script(self, *rules: dict[str, object]) -> None:
        httpx.post(f"{self.url}/script", json=list(rules), trust_env=False).raise_for_status()

    def forget(self) -> None:
        httpx.delete(f"{self.url}/script", trust_env=False).raise_for_status()

    def get(self, path: str, **query: str) -> object:
        return httpx.get(f"{self.url}{path}", params=query, trust_env=False).json()


@pytest.fixture(scope="session")
def bureau_url() -> Iterator[str]:
    with process("simulated_bureau") as url:
        yield url


@pytest.fixture(scope="session")
def gateway_url() -> Iterator[str]:
    with process("simulated_gateway") as url:
        yield url


@pytest.fixture
def bureau_process(bureau_url: str) -> Iterator[Outside]:
    yield Outside(bureau_url)
    Outside(bureau_url).forget()


@pytest.fixture
def gateway_process(gateway_url: str) -> Iterator[Outside]:
    yield Outside(gateway_url)
    Outside(gateway_url).forget()


@pytest.fixture
def the_bureau(bureau_process: Outside) -> Iterator[HttpCreditBureau]:
    opened = HttpCreditBureau(bureau_process.url)
    yield opened
    opened.close()


@pytest.fixture
def the_gateway(gateway_process: Outside) -> Iterator[HttpMessageGateway]:
    opened = HttpMessageGateway(gateway_process.url)
    yield opened
    opened.close()


@pytest.fixture
def keyring() -> Keyring:
    return Keyring.for_tests()


def id_number(sequence: int = 0) -> str:
    body = f"99000119900228{sequence:03d}"
    return body + str(ric.calc_check_digit(body + "0"))


@pytest.fixture
def enrol(database: Database, keyring: Keyring) -> Callable[..., UUID]:
    """Register a customer; keyword arguments replace fields, and None leaves one out."""

    def register(*, consented: bool = True, **changes: str | None) -> UUID:
        fields: dict[PersonalField, str | None] = {
            PersonalField.NAME: "张三丰",
            PersonalField.ID_NUMBER: id_number(1),
            PersonalField.PHONE: PHONE,
            PersonalField.ADDRESS: "湖北省十堰市丹江口市武当山路1号",
            **{PersonalField(k): v for k, v in changes.items()},
        }
        told = {field: value for field, value in fields.items() if value is not None}
        with database.unit_of_work() as unit:
            party = registry.register_customer(
                unit, keyring, NewCustomer(told), verdict=_APPROVED
            ).id
            if consented:
                consents.publish_text(
                    unit, "credit_assessment", zh="查询征信", en="ask", changes_substance=False
                )
                consents.grant(unit, party, "credit_assessment", text_version=1, channel="app")
        return party

    return register
