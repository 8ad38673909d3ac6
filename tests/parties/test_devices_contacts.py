"""Devices and contacts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.base.crypto import Keyring
from steelyard.kernel import SteppingClock
from steelyard.parties import PersonalField, contacts, devices, personal, registry
from tests.parties.conftest import facts_of

F = PersonalField


@pytest.fixture
def see(database: Database, keyring: Keyring) -> Callable[..., devices.DeviceLink]:
    def run(party: UUID, fingerprint: str = "fp-000001") -> devices.DeviceLink:
        return database.transact(
            lambda unit: devices.see(
                unit, keyring, party, fingerprint=fingerprint, kind=devices.DeviceKind.IOS
            )
        )

    return run


def test_one_device_of_several_parties(
    database: Database,
    enrol: Callable[..., UUID],
    see: Callable[..., devices.DeviceLink],
    clock: SteppingClock,
) -> None:
    ann, bob = enrol(), enrol(phone="+8615400009999")
    first = see(ann)
    later = clock.advance(timedelta(days=1))
    again, other, second = see(ann), see(bob), see(ann, "fp-000002")
    assert first.device.id == again.device.id == other.device.id != second.device.id
    assert (again.sightings, again.first_seen_at, again.last_seen_at) == (
        2,
        first.first_seen_at,
        later,
    )
    assert other.device.parties == 2
    with database.reading() as connection:
        assert len(devices.devices_of(connection, ann)) == 2
        assert {link.party for link in devices.parties_on(connection, first.device.id)} == {
            ann,
            bob,
        }
    linked = [p for kind, p in facts_of(database, ann) if kind == "DeviceLinked"]
    assert [p["parties_on_device"] for p in linked] == [1, 1]
    with database.unit_of_work() as unit:
        assert "fp-0" not in str(unit.execute("SELECT d::text FROM parties.device d").all())


def test_trust_and_block(
    database: Database, enrol: Callable[..., UUID], see: Callable[..., devices.DeviceLink]
) -> None:
    ann, bob = enrol(), enrol(phone="+8615400009999")
    device = see(ann).device.id
    see(bob)
    with database.unit_of_work() as unit:
        assert devices.trust(unit, ann, device).is_trusted
        assert devices.trust(unit, ann, device).is_trusted
    with database.unit_of_work() as unit:
        assert devices.block(unit, device, reason="fraud_ring").blocked_at is not None
        devices.block(unit, device, reason="fraud_ring")
    assert not see(ann).is_trusted
    with pytest.raises(devices.DeviceIsBlocked), database.unit_of_work() as unit:
        devices.trust(unit, bob, device)
    with database.unit_of_work() as unit:
        assert devices.unblock(unit, device, reason="cleared").blocked_at is None
    assert see(ann).is_trusted
    with database.unit_of_work() as unit:
        assert not devices.distrust(unit, ann, device).is_trusted
        facts = unit.execute(
            "SELECT kind FROM events.log WHERE subject = :s ORDER BY sequence",
            s=f"device:{device}",
        ).scalars()
        assert list(facts) == ["parties.DeviceBlocked", "parties.DeviceUnblocked"]
    assert [k for k, _ in facts_of(database, ann)].count("DeviceTrusted") == 2


def test_unknown_devices_and_closed_parties_are_refused(
    database: Database, enrol: Callable[..., UUID], see: Callable[..., devices.DeviceLink]
) -> None:
    ann, bob = enrol(), enrol(phone="+8615400009999")
    device = see(ann).device.id
    with pytest.raises(devices.DeviceIsUnknown), database.unit_of_work() as unit:
        devices.trust(unit, bob, device)
    with pytest.raises(devices.DeviceIsUnknown), database.unit_of_work() as unit:
        devices.block(unit, uuid4(), reason="fraud_ring")
    with pytest.raises(devices.FingerprintIsInvalid):
        see(ann, "short")
    with database.unit_of_work() as unit:
        registry.close(unit, bob, reason="own_wish")
    with pytest.raises(registry.PartyIsClosed):
        see(bob)


def test_contacts_of_a_customer(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID]
) -> None:
    party = enrol()

    def shown() -> list[tuple[str, int, str, bool]]:
        with database.unit_of_work() as unit:
            found = contacts.contacts_of(unit.connection, keyring, party)
        return [(c.kind.value, c.ordinal, c.masked, c.is_preferred) for c in found]

    assert [entry[:2] for entry in shown()] == [("phone", 0), ("email", 0), ("address", 0)]
    with database.unit_of_work() as unit:
        second = contacts.add(unit, keyring, party, F.PHONE, "154 0000 7777")
        assert contacts.add(unit, keyring, party, F.PHONE, "+8615400007777") == second
        contacts.prefer(unit, contacts.Place(party, F.PHONE, 1))
        contacts.prefer(unit, contacts.Place(party, F.EMAIL, 0))
    assert ("phone", 1, "154****7777", False) in shown()
    assert ("email", 0, "s***@example.com", True) in shown()
    with database.unit_of_work() as unit:
        assert [p.id for p in personal.find(unit, keyring, F.PHONE, "15400007777")] == [party]
        contacts.remove(unit, contacts.Place(party, F.PHONE, 1))
    assert len(shown()) == 3
    with database.unit_of_work() as unit:
        assert personal.find(unit, keyring, F.PHONE, "15400007777") == ()
        with pytest.raises(contacts.ContactIsPrimary):
            contacts.remove(unit, contacts.Place(party, F.PHONE, 0))
    for verb in (contacts.remove, contacts.prefer, contacts.verify):
        with pytest.raises(contacts.ContactIsUnknown), database.unit_of_work() as unit:
            verb(unit, contacts.Place(party, F.PHONE, 5))
    with pytest.raises(contacts.FieldIsNoContact), database.unit_of_work() as unit:
        contacts.add(unit, keyring, party, F.NAME, "李四")
    with pytest.raises(contacts.TooManyContacts), database.unit_of_work() as unit:
        for n in range(10):
            contacts.add(unit, keyring, party, F.EMAIL, f"mail{n}@example.com")
    changes = [p["change"] for k, p in facts_of(database, party) if k == "ContactChanged"]
    assert changes == ["added", "preferred", "preferred", "removed"]


def test_a_replaced_contact_is_no_longer_verified(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID]
) -> None:
    party = enrol()
    place = contacts.Place(party, F.EMAIL, 0)
    with database.unit_of_work() as unit:
        contacts.verify(unit, place)
        contacts.verify(unit, place)

    def verified() -> bool:
        with database.unit_of_work() as unit:
            found = contacts.contacts_of(unit.connection, keyring, party)
        return next(c for c in found if c.kind is F.EMAIL).verified_at is not None

    assert verified()
    with database.unit_of_work() as unit:
        personal.correct(unit, keyring, party, {F.EMAIL: "other@example.com"})
    assert not verified()


def test_quiet_hours(database: Database, keyring: Keyring, enrol: Callable[..., UUID]) -> None:
    party = enrol()
    place = contacts.Place(party, F.PHONE, 0)
    night = contacts.QuietHours(time(22), time(8), "Asia/Shanghai")
    with database.unit_of_work() as unit:
        contacts.set_quiet(unit, place, night)
        phone = contacts.contacts_of(unit.connection, keyring, party)[0]
        assert phone.quiet == night
        assert phone.is_quiet(datetime(2026, 3, 2, 14, 0, tzinfo=UTC))
        assert not phone.is_quiet(datetime(2026, 3, 2, 13, 59, tzinfo=UTC))
        contacts.set_quiet(unit, place, None)
        assert contacts.contacts_of(unit.connection, keyring, party)[0].quiet is None
    for wrong in (
        contacts.QuietHours(time(8), time(8), "UTC"),
        contacts.QuietHours(time(8), time(9), "Middle/Earth"),
        contacts.QuietHours(time(8), time(9), ""),
    ):
        with pytest.raises(contacts.QuietHoursAreInvalid), database.unit_of_work() as unit:
            contacts.set_quiet(unit, place, wrong)


@given(st.times(), st.times(), st.datetimes(timezones=st.just(UTC)))
def test_a_day_is_quiet_or_its_complement_is(start: time, end: time, at: datetime) -> None:
    if start == end:
        return
    one = contacts.QuietHours(start, end, "UTC").covers(at)
    other = contacts.QuietHours(end, start, "UTC").covers(at)
    assert one != other
