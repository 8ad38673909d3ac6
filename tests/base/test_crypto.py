from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from steelyard.base import Database, Environment, Settings
from steelyard.base.crypto import (
    Keyring,
    MasterKey,
    MasterKeyIsMissing,
    SealIsBroken,
    ValueIsErased,
    add_master_key,
)
from steelyard.base.settings import SettingIsInvalid


class Undone(Exception):
    """Rolls a unit of work back."""


def test_a_value_comes_back_and_only_in_its_place(database: Database) -> None:
    ring = Keyring.for_tests()
    with database.unit_of_work() as unit:
        sealed = ring.seal(unit.connection, "张三", owner="party:1", context="party.name")
        assert "张三".encode() not in sealed
        assert ring.unseal(unit.connection, sealed, context="party.name") == "张三"
        with pytest.raises(SealIsBroken):
            ring.unseal(unit.connection, sealed, context="party.address")


def test_two_seals_of_one_value_differ_but_the_blind_index_is_equal(database: Database) -> None:
    ring = Keyring.for_tests()
    with database.unit_of_work() as unit:
        one, two = (ring.seal(unit.connection, "x", owner="party:1", context="c") for _ in "ab")
        assert one != two
        index = ring.blind_index(unit.connection, "13800000000", field="phone")
        assert index == ring.blind_index(unit.connection, "13800000000", field="phone")
        assert index != ring.blind_index(unit.connection, "13800000000", field="id_number")
        assert len(index) == 32
    with database.unit_of_work() as unit:
        later = Keyring.for_tests().blind_index(unit.connection, "13800000000", field="phone")
    assert later == index


def test_a_changed_bit_breaks_the_seal(database: Database) -> None:
    ring = Keyring.for_tests()
    with database.unit_of_work() as unit:
        sealed = ring.seal(unit.connection, "x", owner="party:1", context="c")
        for place in (0, *range(9, len(sealed))):
            changed = bytearray(sealed)
            changed[place] ^= 1
            with pytest.raises(SealIsBroken):
                ring.unseal(unit.connection, bytes(changed), context="c")


def test_a_key_made_in_a_unit_that_was_rolled_back_is_not_used_again(database: Database) -> None:
    ring = Keyring.for_tests()
    with pytest.raises(Undone), database.unit_of_work() as unit:
        ring.seal(unit.connection, "x", owner="party:1", context="c")
        ring.blind_index(unit.connection, "x", field="f")
        raise Undone
    with database.unit_of_work() as unit:
        sealed = ring.seal(unit.connection, "y", owner="party:1", context="c")
        index = ring.blind_index(unit.connection, "x", field="f")
    with database.unit_of_work() as unit:
        other = Keyring.for_tests()
        assert other.unseal(unit.connection, sealed, context="c") == "y"
        assert other.blind_index(unit.connection, "x", field="f") == index


def test_destroying_the_key_erases_the_owner_and_nobody_else(database: Database) -> None:
    ring = Keyring.for_tests()
    with database.unit_of_work() as unit:
        mine = ring.seal(unit.connection, "x", owner="party:1", context="c")
        theirs = ring.seal(unit.connection, "y", owner="party:2", context="c")
        assert ring.destroy(unit.connection, "party:1")
        assert not ring.destroy(unit.connection, "party:1")
    with database.unit_of_work() as unit:
        with pytest.raises(ValueIsErased):
            ring.unseal(unit.connection, mine, context="c")
        with pytest.raises(ValueIsErased):
            ring.seal(unit.connection, "again", owner="party:1", context="c")
        assert ring.unseal(unit.connection, theirs, context="c") == "y"


def test_rotation_goes_on_where_it_was_stopped(database: Database) -> None:
    old, new = MasterKey(b"o" * 32), MasterKey(b"n" * 32)
    before = Keyring([old])
    with database.unit_of_work() as unit:
        sealed = [
            before.seal(unit.connection, str(i), owner=f"party:{i}", context="c") for i in range(25)
        ]
        index = before.blind_index(unit.connection, "v", field="f")
    both = Keyring([new, old])

    def stop(done: int, total: int) -> None:
        if done >= 10:
            raise Undone

    with pytest.raises(Undone):
        both.rotate(database, chunk=5, progress=stop)
    assert both.rotate(database, chunk=5) == 16
    assert both.rotate(database) == 0
    with database.unit_of_work() as unit:
        after = Keyring([new])
        texts = after.unseal_many(unit.connection, [(s, "c") for s in sealed])
        assert texts == [str(i) for i in range(25)]
        assert after.blind_index(unit.connection, "v", field="f") == index
        with pytest.raises(MasterKeyIsMissing):
            Keyring([old]).unseal(unit.connection, sealed[0], context="c")


def test_development_makes_its_key_once_and_production_never(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    Keyring.open(settings)
    Keyring.open(settings)
    files = list((tmp_path / "keys").iterdir())
    assert [f.name for f in files] == ["master-0001.key"]
    assert files[0].stat().st_mode & 0o777 == 0o600
    add_master_key(tmp_path / "keys")
    assert len(list((tmp_path / "keys").iterdir())) == 2
    with pytest.raises(SettingIsInvalid):
        Keyring.open(Settings(home=tmp_path, environment=Environment.PRODUCTION))
    with pytest.raises(SettingIsInvalid):
        Keyring.open(Settings(home=tmp_path, master_key="short"))
    Keyring.open(Settings(home=tmp_path, master_key=base64.b64encode(os.urandom(32)).decode()))
