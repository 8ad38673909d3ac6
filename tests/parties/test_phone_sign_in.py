"""Customers sign in by a code to their phone."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from steelyard.base import Environment, RefusedInProduction
from steelyard.parties import (
    NewCustomer,
    PersonalField,
    first_run,
    phone_sign_in,
    registry,
    sessions,
    staff,
)
from tests.parties.conftest import APPROVED
from tests.parties.office import CLIENT, Office


class Messages:
    """A messages service that keeps what it was told."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.sent: list[tuple[str, str]] = []

    def send(self, request: str, *, phone: str, code: str) -> bool:
        self.sent.append((phone, code))
        return self.works


def _customer(office: Office, phone: str = "154 0000 1234") -> UUID:
    new = NewCustomer({PersonalField.PHONE: phone})
    return office.run(
        lambda unit: registry.register_customer(unit, office.keyring, new, verdict=APPROVED)
    ).id


def _ask(office: Office, messages: Messages, phone: str = "15400001234") -> str:
    return phone_sign_in.request_phone_code(
        office.database, office.keyring, messages, phone=phone, client=CLIENT
    )


def _answer(office: Office, request: str, code: str) -> sessions.OpenedSession:
    return phone_sign_in.sign_in_with_phone(
        office.database, office.keyring, request=request, code=code, client=CLIENT
    )


def test_a_customer_signs_in_by_phone_once_for_a_code(office: Office) -> None:
    party, messages = _customer(office), Messages()
    request = _ask(office, messages)
    phone, code = messages.sent[0]
    assert phone == "+8615400001234"
    assert first_run.current_code(office.database, office.keyring, office.settings, phone) == code
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    with pytest.raises(phone_sign_in.SignInFailed):
        _answer(office, request, wrong)
    assert _answer(office, request, code).session.actor == f"party:{party}"
    with pytest.raises(phone_sign_in.SignInFailed):
        _answer(office, request, code)
    _ask(office, messages)


def test_codes_to_a_phone_are_slowed_down_and_lapse(office: Office) -> None:
    _customer(office)
    messages = Messages()
    first = _ask(office, messages)
    _ask(office, messages)
    with pytest.raises(phone_sign_in.SignInIsLocked):
        _ask(office, messages)
    office.later(minutes=6)
    with pytest.raises(phone_sign_in.SignInFailed):
        _answer(office, first, messages.sent[0][1])
    last = _ask(office, messages)
    code = messages.sent[-1][1]
    for _ in range(5):
        with pytest.raises(phone_sign_in.SignInFailed):
            _answer(office, last, f"{(int(code) + 7) % 1_000_000:06}")
    with pytest.raises(phone_sign_in.SignInFailed):
        _answer(office, last, code)


def test_a_phone_of_nobody_or_of_two_gets_no_code_and_is_not_told(office: Office) -> None:
    messages = Messages()
    assert len(_ask(office, messages)) == len(_ask(office, messages, "15400009999"))
    _customer(office, "15400005555")
    _customer(office, "15400005555")
    _ask(office, messages, "15400005555")
    assert messages.sent == []


def test_a_code_that_was_not_sent_is_void(office: Office) -> None:
    _customer(office)
    messages = Messages(works=False)
    with pytest.raises(phone_sign_in.CodeWasNotSentNow):
        _ask(office, messages)
    with pytest.raises(staff.StaffIsUnknown):
        first_run.current_code(office.database, office.keyring, office.settings, "15400001234")


def test_without_a_messages_service_production_refuses(office: Office) -> None:
    _customer(office)
    production = replace(office.settings, environment=Environment.PRODUCTION)
    with pytest.raises(RefusedInProduction):
        phone_sign_in.request_phone_code(
            office.database,
            office.keyring,
            phone_sign_in.DevelopmentCodeSender(production),
            phone="15400001234",
            client=CLIENT,
        )
