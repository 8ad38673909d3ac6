"""Settlement accounts: in the merchant's name, seen by two, cooled off, never shown."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments import settlement_accounts
from steelyard.payments.model.settlement_accounts import check_account, is_theirs, same_name
from tests.payments.agency import CHECKER, MAKER, NUMBER, Agency, an_account
from tests.payments.agency import agency as agency

OTHER_NUMBER = "6228480402564890018"


def propose(
    agency: Agency, merchant: UUID, **changes: Any
) -> settlement_accounts.SettlementAccount:
    made: settlement_accounts.SettlementAccount = agency.run(
        lambda unit: settlement_accounts.propose(
            unit, agency.keyring, merchant, an_account(**changes)
        )
    )
    return made


def put_in_force(
    agency: Agency, merchant: UUID, **changes: Any
) -> settlement_accounts.SettlementAccount:
    account = propose(agency, merchant, **changes).id
    agency.run(lambda unit: settlement_accounts.verify(unit, account, evidence="letter:7"), CHECKER)
    yes = agency.approved(lambda unit: settlement_accounts.request_approval(unit, account))
    approved: settlement_accounts.SettlementAccount = agency.run(
        lambda unit: settlement_accounts.approve(unit, account, yes)
    )
    return approved


def in_force(agency: Agency, merchant: UUID) -> settlement_accounts.SettlementAccount | None:
    with agency.database.reading() as connection:
        found = settlement_accounts.in_force(connection, [merchant], "CNY", agency.database.now())
    return found.get(merchant)


@pytest.mark.parametrize(
    "change",
    [
        {"number": "1234567"},
        {"number": "6222x02001234567"},
        {"number": "DE00370400440532013000"},
        {"bank": "123"},
        {"currency": "XXX"},
        {"holder": " "},
    ],
)
def test_accounts_that_cannot_be_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(Refusal, match="settlement_account_is_malformed"):
        check_account(an_account(**change))


def test_an_iban_at_a_bic_is_an_account() -> None:
    given = an_account(number="DE89 3704 0044 0532 0130 00", bank="COBADEFF", currency="EUR")
    assert check_account(given).number == "DE89370400440532013000"


def test_names_are_the_same_whatever_their_width() -> None:
    assert same_name("Ｔｅａ（上海） Co.", "tea(上海)co.")
    assert not same_name("茶叶一", "茶叶二")
    assert not is_theirs(an_account(), legal_name="别家", number="91", owners=("茶叶",))


def test_the_first_account_holds_at_once_and_a_change_after_a_day(
    agency: Agency, clock: SteppingClock
) -> None:
    merchant = agency.taken_on()
    assert in_force(agency, merchant) is None
    first = put_in_force(agency, merchant)
    assert in_force(agency, merchant) == first
    second = put_in_force(agency, merchant, number=OTHER_NUMBER)
    assert second.active_from == agency.database.now() + timedelta(hours=24)
    clock.advance(timedelta(hours=23, minutes=59))
    assert in_force(agency, merchant) == first
    clock.advance(timedelta(minutes=1))
    assert in_force(agency, merchant) == second


def test_who_proposed_an_account_does_not_verify_it(agency: Agency) -> None:
    merchant = agency.taken_on()
    account = propose(agency, merchant).id
    with pytest.raises(Refusal, match="verifier_proposed"):
        agency.run(lambda unit: settlement_accounts.verify(unit, account, evidence="letter:7"))
    with pytest.raises(Refusal, match="settlement_account_is_malformed"):
        agency.run(lambda unit: settlement_accounts.verify(unit, account, evidence="seen"), CHECKER)
    with pytest.raises(Refusal, match="settlement_account_state_forbids"):
        agency.run(lambda unit: settlement_accounts.request_approval(unit, account))
    agency.run(lambda unit: settlement_accounts.withdraw(unit, account))
    with pytest.raises(Refusal, match="settlement_account_state_forbids"):
        agency.run(
            lambda unit: settlement_accounts.verify(unit, account, evidence="letter:7"), CHECKER
        )


def test_an_account_that_was_swapped_after_the_yes_is_not_approved(agency: Agency) -> None:
    """The checker saw a fingerprint of the number: another number is something else."""
    merchant = agency.taken_on()
    one, other = propose(agency, merchant), propose(agency, merchant, number=OTHER_NUMBER)
    for account in (one, other):
        agency.run(
            lambda unit, id=account.id: settlement_accounts.verify(unit, id, evidence="letter:7"),
            CHECKER,
        )
    yes = agency.approved(lambda unit: settlement_accounts.request_approval(unit, one.id))
    with pytest.raises(Refusal, match="approval_is_for_something_else"):
        agency.run(lambda unit: settlement_accounts.approve(unit, other.id, yes))


def test_case_87_the_number_of_an_account_is_nowhere_in_the_clear(
    agency: Agency, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        merchant = agency.taken_on()
        account = put_in_force(agency, merchant)
        revealed = agency.run(
            lambda unit: settlement_accounts.reveal(
                unit, agency.keyring, account.id, purpose="payout:9"
            )
        )
    assert (revealed.number, revealed.holder) == (NUMBER, "茶叶(上海)有限公司0")
    said = [caplog.text, repr(account), repr(revealed), repr(an_account())]
    assert not any(NUMBER in text or "茶叶(" in text for text in said)
    assert account.hint == NUMBER[-4:]
    everything = _all_rows(agency)
    assert "SettlementAccountApproved" in everything, "it is the whole database that was looked at"
    assert NUMBER not in everything
    assert "茶叶(上海)" not in everything
    (line,) = agency.rows(
        "SELECT detail FROM base.audit WHERE action = 'payments.reveal_settlement_account'"
    )
    assert "payout:9" in str(line.detail)
    assert account.proposed_by == MAKER


def _all_rows(agency: Agency) -> str:
    """Every row of every table that we may read, as text; bytes as they would be read."""
    texts = []
    with agency.database.reading() as connection:
        tables = connection.execute(
            sa.text(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN"
                " ('payments', 'parties', 'events', 'base', 'cases') AND"
                " has_table_privilege(schemaname || '.' || quote_ident(tablename), 'SELECT')"
            )
        ).all()
        for schema, table in tables:
            rows = connection.execute(sa.text(f'SELECT * FROM {schema}."{table}"'))
            for row in rows:
                for value in row:
                    text = bytes(value).decode("latin-1") if isinstance(value, bytes) else value
                    texts.append(str(text))
    return "\n".join(texts)


def test_the_fingerprint_is_of_the_number_alone(agency: Agency) -> None:
    merchant = agency.taken_on()
    one = propose(agency, merchant)
    same = propose(agency, merchant, bank="COBADEFF")
    other = propose(agency, merchant, number=OTHER_NUMBER)
    assert one.fingerprint == same.fingerprint != other.fingerprint
    with agency.database.reading() as connection:
        listed = settlement_accounts.of_merchant(connection, merchant)
    assert {account.id for account in listed} == {one.id, same.id, other.id}
    assert replace(one, id=same.id, bank=same.bank) == replace(same, id=same.id)
