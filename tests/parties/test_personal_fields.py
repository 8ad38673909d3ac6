"""Personal fields: normalised, masked, sealed, found, disclosed, erased."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.base.audit import read_audit, verify_audit
from steelyard.base.crypto import Keyring, ValueIsErased
from steelyard.parties import NewCustomer, PersonalField, consents, contacts, personal, registry
from steelyard.parties.model.personal import (
    RULES,
    check_personal,
    is_resident_number,
    mask,
    normalise,
)
from tests.conftest import Store
from tests.parties.conftest import APPROVED, PERSON, facts_of, id_number

F = PersonalField
TODAY = date(2026, 3, 2)

MASKS = [
    (F.NAME, "张三", "张*"),
    (F.NAME, "张三丰", "张**"),
    (F.NAME, "欧阳锋", "欧阳*"),
    (F.NAME, "张", "*"),
    (F.NAME, "Alice  Ashdown", "A*** A***"),
    (F.ID_NUMBER, "99000119900228001X", "990***********001X"),
    (F.ID_NUMBER, "e12345678", "E*******8"),
    (F.PHONE, "138 0013-8000", "138****8000"),
    (F.PHONE, "0086 138 0013 8000", "138****8000"),
    (F.PHONE, "+44 20 7946 0958", "+44********58"),
    (F.EMAIL, "San.Feng@Example.com", "s***@example.com"),
    (F.ADDRESS, "湖北省十堰市丹江口市武当山路1号", "湖北省十堰****"),
    (F.ADDRESS, "1 Low Road", "1 L****"),
    (F.BIRTH_ON, "1990-02-28", "1990-**-**"),
    (F.SEX, "Male", "*"),
]


@pytest.mark.parametrize(("field", "value", "shown"), MASKS)
def test_what_is_shown(field: PersonalField, value: str, shown: str) -> None:
    assert mask(field, normalise(field, value)) == shown


def values(field: PersonalField) -> st.SearchStrategy[str]:
    return {
        F.NAME: st.text("张三丰欧阳锋李abcXYZ '", min_size=1, max_size=20).filter(str.strip),
        F.ID_NUMBER: st.text("0123456789X", min_size=5, max_size=32),
        F.PHONE: st.integers(10**7, 10**14 - 1).map(lambda n: f"+{n}"),
        F.EMAIL: st.tuples(
            st.text("abcXYZ.", min_size=1, max_size=20), st.sampled_from(["a.cn", "Example.com"])
        ).map("@".join),
        F.ADDRESS: st.text("湖北省十堰市12 Road", min_size=1, max_size=60).filter(str.strip),
        F.BIRTH_ON: st.dates(date(1850, 1, 1), TODAY).map(date.isoformat),
        F.SEX: st.sampled_from(["female", "male"]),
    }[field]


@given(st.sampled_from(list(F)).flatmap(lambda f: st.tuples(st.just(f), values(f))))
def test_normalising_twice_changes_nothing_and_a_mask_always_hides(
    case: tuple[PersonalField, str],
) -> None:
    field, value = case
    clean = normalise(field, value)
    assert normalise(field, clean) == clean
    shown = mask(field, clean)
    assert shown != clean
    assert "*" in shown
    kept = len(shown.replace("*", ""))
    if field is not F.EMAIL:  # the domain is shown whole
        assert kept < len(clean)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (F.NAME, "  "),
        (F.ID_NUMBER, "12"),
        (F.ID_NUMBER, "99/1"),
        (F.PHONE, "12345"),
        (F.PHONE, "+0123456789"),
        (F.PHONE, "+٨٦١٣٨٠٠١٣٨٠٠٠"),
        (F.EMAIL, "nobody"),
        (F.EMAIL, "a@b"),
        (F.BIRTH_ON, "1990-02-30"),
        (F.BIRTH_ON, "0001-01-01"),
        (F.BIRTH_ON, "2026-03-03"),
        (F.SEX, "none"),
        (F.ADDRESS, ""),
    ],
)
def test_a_refusal_names_the_field_and_never_the_value(field: PersonalField, value: str) -> None:
    with pytest.raises(personal.PersonalFieldIsInvalid) as refused:
        check_personal({field: value}, today_on=TODAY)
    assert refused.value.facts["field"] == field
    if value.strip():
        assert value not in str(refused.value.facts)


def test_birth_date_and_sex_agree_with_the_number() -> None:
    number = id_number("99000119900228001")
    assert is_resident_number(number)
    check_personal({F.ID_NUMBER: number, F.BIRTH_ON: "1990-02-28", F.SEX: "male"}, today_on=TODAY)
    for field, other in ((F.BIRTH_ON, "1990-02-27"), (F.SEX, "female")):
        with pytest.raises(personal.PersonalFieldsDisagree):
            check_personal({F.ID_NUMBER: number, field: other}, today_on=TODAY)


@given(st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_is_always_found(place: int, step: int) -> None:
    number = id_number("99000119900228001")
    wrong = str((int(number[place]) + step) % 10)
    assert not is_resident_number(number[:place] + wrong + number[place + 1 :])


def test_nothing_personal_lies_in_the_database_in_clear(
    database: Database, store: Store, keyring: Keyring, enrol: Callable[..., UUID]
) -> None:
    party = enrol()
    with database.unit_of_work() as unit:
        personal.find(unit, keyring, F.PHONE, PERSON[F.PHONE])
        contacts.add(unit, keyring, party, F.EMAIL, "second@example.net")
    with psycopg.connect(store.conninfo("steelyard_owner")) as owner:
        tables = owner.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('parties', 'events', 'base')"
        ).fetchall()
        dump = "".join(
            str(row)
            for (table,) in tables
            for row in owner.execute(f"SELECT t::text FROM {table} t")
        )
    assert str(party) in dump
    for field, value in PERSON.items():
        if field is F.SEX:
            continue
        clean = normalise(field, value)
        assert clean not in dump
        assert clean.encode().hex() not in dump
        assert mask(field, clean) not in dump
    assert "second@example.net" not in dump


def test_masked_by_default(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID]
) -> None:
    party, bare = enrol(), enrol(**dict.fromkeys(F, None))  # type: ignore[arg-type]
    with database.unit_of_work() as unit:
        shown = personal.masked(unit.connection, keyring, party)
        assert personal.masked(unit.connection, keyring, bare) == {}
    assert shown[F.NAME] == "张**"
    assert shown[F.PHONE] == "154****1234"
    assert set(shown) == set(F)


def test_a_clear_reading_needs_entitlement_purpose_and_consent(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID]
) -> None:
    party = enrol()
    may = frozenset({"parties.unmask"})

    def read(purpose: str, *fields: PersonalField, entitlements: frozenset[str] = may) -> object:
        reading = personal.Reading(party, fields, purpose)
        return personal.read(database, keyring, reading, actor="staff:7", entitlements=entitlements)

    with pytest.raises(personal.UnmaskingIsNotAllowed):
        read("contract_notice", F.PHONE, entitlements=frozenset({"parties.read"}))
    with pytest.raises(personal.PurposeIsUnknown):
        read("curiosity", F.PHONE)
    with pytest.raises(personal.FieldIsNotOfThePurpose):
        read("contract_notice", F.ID_NUMBER)
    with pytest.raises(personal.ConsentIsMissing):
        read("marketing", F.PHONE)
    assert read("contract_notice", F.PHONE, F.NAME) == {
        F.PHONE: "+8615400001234",
        F.NAME: "张三丰",
    }
    with database.unit_of_work() as unit:
        consents.publish_text(unit, "marketing", zh="同意", en="yes", changes_substance=False)
        consents.grant(unit, party, "marketing", text_version=1, channel="app")
    assert read("marketing", F.PHONE) == {F.PHONE: "+8615400001234"}
    with database.unit_of_work() as unit:
        consents.withdraw(unit, party, "marketing", channel="app")
    with pytest.raises(personal.ConsentIsMissing):
        read("marketing", F.PHONE)
    with database.reading() as connection:
        trail = read_audit(connection, subject=f"party:{party}").items
        assert verify_audit(connection).holds
    outcomes = [entry.detail.split('"outcome":"')[1].split('"')[0] for entry in reversed(trail)]
    assert outcomes == [
        "unmasking_is_not_allowed",
        "purpose_is_unknown",
        "field_is_not_of_the_purpose",
        "consent_is_missing",
        "disclosed",
        "disclosed",
        "consent_is_missing",
    ]
    assert {entry.actor for entry in trail} == {"staff:7"}
    assert "154" not in "".join(entry.detail for entry in trail)


def test_found_by_any_spelling_of_an_exact_value(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID]
) -> None:
    party = enrol()
    other = enrol(phone="+8615400001235", id_number=None, email=None, name="Rose Quill")

    def find(field: PersonalField, value: str) -> list[UUID]:
        with database.unit_of_work(actor="staff:7") as unit:
            return [found.id for found in personal.find(unit, keyring, field, value)]

    assert find(F.PHONE, "1540000-1234") == [party]
    assert find(F.PHONE, "+86 154 0000 1235") == [other]
    assert find(F.EMAIL, "SAN.FENG@example.com") == [party]
    assert find(F.ID_NUMBER, id_number().lower()) == [party]
    assert find(F.NAME, "rose  quill") == [other]
    assert find(F.PHONE, "15400001236") == []
    assert find(F.ID_NUMBER, "15400001234") == []
    with pytest.raises(personal.FieldIsNotSearchable):
        find(F.SEX, "male")
    with database.reading() as connection:
        trail = read_audit(connection, actor="staff:7").items
    assert [entry.action for entry in trail] == ["parties.search"] * 7
    assert "1540" not in "".join(entry.detail + entry.subject for entry in trail)


def test_correcting(database: Database, keyring: Keyring, enrol: Callable[..., UUID]) -> None:
    party = enrol()
    with database.unit_of_work() as unit:
        personal.correct(
            unit, keyring, party, {F.NAME: "张三疯", F.PHONE: "15400007777", F.SEX: "male"}
        )
    with database.unit_of_work() as unit:
        assert personal.find(unit, keyring, F.PHONE, PERSON[F.PHONE]) == ()
        assert [p.id for p in personal.find(unit, keyring, F.PHONE, "15400007777")] == [party]
        with pytest.raises(personal.PersonalFieldsDisagree):
            personal.correct(unit, keyring, party, {F.SEX: "female"})
    changed = [payload for kind, payload in facts_of(database, party) if kind.startswith("Pers")]
    assert [payload["field"] for payload in changed] == ["name", "phone"]


def test_a_sealed_value_does_not_open_for_another_field_or_party(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID]
) -> None:
    party, other = enrol(), enrol(phone="+8615400009999")
    with database.unit_of_work() as unit:
        unit.execute(
            "UPDATE parties.personal_field f SET sealed = g.sealed FROM parties.personal_field g"
            " WHERE f.party = :p AND f.field = 'email' AND g.party = :p AND g.field = 'name'",
            p=party,
        )
    with pytest.raises(Exception, match="seal_is_broken"), database.unit_of_work() as unit:
        personal.masked(unit.connection, keyring, party)
    with database.unit_of_work() as unit:
        assert personal.masked(unit.connection, keyring, other)[F.PHONE] == "154****9999"


def test_erasure_is_for_good(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID]
) -> None:
    party = enrol()
    with pytest.raises(registry.PartyIsNotClosed), database.unit_of_work() as unit:
        personal.erase(unit, keyring, party, reason="own_wish")
    with database.unit_of_work() as unit:
        kept = unit.execute(
            "SELECT sealed FROM parties.personal_field WHERE party = :p AND field = 'phone'",
            p=party,
        ).scalar_one()
        registry.close(unit, party, reason="own_wish")
    with database.unit_of_work() as unit:
        erased = personal.erase(unit, keyring, party, reason="own_wish")
        assert personal.erase(unit, keyring, party, reason="own_wish") == erased
    assert erased.erased_at is not None
    other_process = Keyring.for_tests()
    with database.unit_of_work() as unit:
        assert personal.masked(unit.connection, other_process, party) == {}
        assert personal.find(unit, other_process, F.PHONE, PERSON[F.PHONE]) == ()
        with pytest.raises(ValueIsErased):  # from a copy of the row, too
            other_process.unseal(unit.connection, bytes(kept), context="party.phone.0")
    assert [k for k, _ in facts_of(database, party)][-2:] == ["PartyClosed", "PartyErased"]


def test_only_open_customers_are_corrected(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID]
) -> None:
    party = enrol()
    with database.unit_of_work() as unit:
        registry.close(unit, party, reason="own_wish")
    with pytest.raises(registry.PartyIsClosed), database.unit_of_work() as unit:
        personal.correct(unit, keyring, party, {F.NAME: "李四"})
    with pytest.raises(registry.PartyIsUnknown), database.unit_of_work() as unit:
        personal.correct(unit, keyring, uuid4(), {F.NAME: "李四"})


def test_every_field_has_a_rule_and_registering_takes_each_alone(
    database: Database, keyring: Keyring
) -> None:
    assert set(RULES) == set(F)
    with database.unit_of_work() as unit:
        for field, value in PERSON.items():
            party = registry.register_customer(
                unit, keyring, NewCustomer({field: value}), verdict=APPROVED
            )
            assert set(personal.masked(unit.connection, keyring, party.id)) == {field}
