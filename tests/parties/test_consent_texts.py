"""Consent: granted, withdrawn, at which version of the text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.base.crypto import Keyring
from steelyard.parties import NewLegalPerson, consents, registry
from steelyard.parties.model.consent import is_in_force, text_hash
from tests.parties.conftest import APPROVED, facts_of

AT = datetime(2026, 3, 2, tzinfo=UTC)
WHO = UUID(int=1)


@pytest.fixture
def publish(database: Database) -> Callable[..., consents.ConsentText]:
    def run(zh: str, *, changes_substance: bool = False) -> consents.ConsentText:
        return database.transact(
            lambda unit: consents.publish_text(
                unit, "marketing", zh=zh, en=f"text {zh}", changes_substance=changes_substance
            )
        )

    return run


def test_texts_are_numbered_and_hashed_in_both_languages(
    database: Database, publish: Callable[..., consents.ConsentText]
) -> None:
    first, same, second = publish("甲"), publish("甲"), publish("乙")
    assert first == same
    assert [first.version, second.version] == [1, 2]
    assert first.hash == text_hash("甲", "text 甲") != text_hash("甲", "text 乙")
    with database.reading() as connection:
        assert consents.texts_of(connection, "marketing") == (first, second)


def test_granted_and_withdrawn_at_a_version(
    database: Database,
    enrol: Callable[..., UUID],
    publish: Callable[..., consents.ConsentText],
) -> None:
    party, text = enrol(), publish("甲")
    for _ in range(2):  # the same consent again is the one there is
        with database.unit_of_work(actor="staff:1") as unit:
            consent = consents.grant(unit, party, "marketing", text_version=1, channel="app")
    assert consent.text_hash == text.hash
    with database.reading() as connection:
        assert consents.has_consent(connection, party, "marketing")
        assert not consents.has_consent(connection, party, "analytics")
    with database.unit_of_work() as unit:
        consents.withdraw(unit, party, "marketing", channel="phone")
    with pytest.raises(consents.NothingToWithdraw), database.unit_of_work() as unit:
        consents.withdraw(unit, party, "marketing", channel="phone")
    with database.reading() as connection:
        (standing,) = consents.consents_of(connection, party)
    assert not standing.is_in_force
    assert [(act.act, act.channel) for act in standing.acts] == [
        ("granted", "app"),
        ("withdrawn", "phone"),
    ]
    assert facts_of(database, party)[1:] == [
        (
            kind,
            {"party": str(party), "purpose": "marketing", "text_version": 1, "channel": channel},
        )
        for kind, channel in (("ConsentGranted", "app"), ("ConsentWithdrawn", "phone"))
    ]


def test_a_change_of_substance_asks_anew(
    database: Database,
    enrol: Callable[..., UUID],
    publish: Callable[..., consents.ConsentText],
) -> None:
    party = enrol()
    publish("甲")

    def has() -> bool:
        with database.reading() as connection:
            return consents.has_consent(connection, party, "marketing")

    def grant(version: int) -> None:
        with database.unit_of_work() as unit:
            consents.grant(unit, party, "marketing", text_version=version, channel="app")

    grant(1)
    publish("甲 (a comma)")
    assert has()
    publish("乙", changes_substance=True)
    assert not has()
    with pytest.raises(consents.ConsentTextIsOutdated):
        grant(2)
    grant(3)
    assert has()
    with pytest.raises(consents.ConsentTextIsUnknown):
        grant(4)


def test_who_may_not_consent_to_what(
    database: Database,
    keyring: Keyring,
    enrol: Callable[..., UUID],
    publish: Callable[..., consents.ConsentText],
) -> None:
    party = enrol()
    publish("甲")

    def grant(who: UUID, purpose: str = "marketing") -> None:
        with database.unit_of_work() as unit:
            consents.grant(unit, who, purpose, text_version=1, channel="app")

    with pytest.raises(consents.PurposeNeedsNoConsent):
        grant(party, "identity_check")
    with pytest.raises(consents.PurposeIsUnknown):
        grant(party, "curiosity")
    with pytest.raises(registry.PartyIsUnknown):
        grant(uuid4())
    with database.unit_of_work() as unit:
        new = NewLegalPerson("青竹书店", "91110000600037341L")
        shop = registry.register_merchant(unit, keyring, new, verdict=APPROVED)
    with pytest.raises(registry.PartyIsOfAnotherKind):
        grant(shop.id)
    grant(party)
    with database.unit_of_work() as unit:
        registry.close(unit, party, reason="own_wish")
    with pytest.raises(registry.PartyIsClosed):
        grant(party)
    with database.unit_of_work() as unit:  # taking it back is always possible
        consents.withdraw(unit, party, "marketing", channel="letter")


def test_every_purpose_states_its_basis_in_both_languages() -> None:
    for name, purpose in consents.purposes().items():
        assert purpose.name == name
        assert purpose.fields
        assert purpose.en.isascii()
        assert not purpose.zh.isascii()
        assert purpose.needs_consent == (purpose.basis is consents.LegalBasis.CONSENT)


acts = st.lists(st.tuples(st.sampled_from(list(consents.ConsentAct)), st.integers(1, 4)))
changes = st.lists(st.booleans(), min_size=4, max_size=4)


@given(acts, changes)
def test_the_last_act_counts(
    told: list[tuple[consents.ConsentAct, int]], changed: list[bool]
) -> None:
    history = [consents.Consent(WHO, "p", act, v, b"", "app", AT) for act, v in told]
    texts = [
        consents.ConsentText("p", n + 1, "甲", "a", change, AT) for n, change in enumerate(changed)
    ]
    expected = False
    if told and told[-1][0] == "granted":
        expected = not any(changed[told[-1][1] :])
    assert is_in_force(history, texts) == expected
    assert not is_in_force([], texts)
    withdrawn = consents.Consent(WHO, "p", consents.ConsentAct.WITHDRAWN, 4, b"", "app", AT)
    assert not is_in_force([*history, withdrawn], texts)
