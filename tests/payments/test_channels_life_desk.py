"""The desk: adaptors and sheets of stored channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import cast

import pytest

from steelyard.base import Database
from steelyard.base.crypto import Keyring
from steelyard.kernel import SteppingClock
from steelyard.payments import channel_desk
from steelyard.payments.channels import KINDS
from steelyard.payments.model.agreements import Agreement
from steelyard.payments.model.channel import Capability, Channel, Method, Stage
from steelyard.payments.model.orders import Mode
from steelyard.payments.store import channel_desk as table

SHEET = Capability(methods=(Method.WALLET, Method.SCAN), most_minor=900_000)


class Made:
    """An adaptor that remembers what it was made of."""

    def __init__(self, code: str, settings: Mapping[str, str], timeout: float) -> None:
        self.code, self.settings, self.timeout = code, settings, timeout


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "made", cast("type[Channel]", Made))


def _new(code: str = "uni", **changes: object) -> channel_desk.NewChannel:
    new = channel_desk.NewChannel(
        code=code,
        mode=Mode.LIVE,
        kind="made",
        name="Union 联行",
        capability=SHEET,
        settings={"address": "http://127.0.0.1:1", "timeout_seconds": "3"},
        secrets={"key": "not to be seen"},
        stage=Stage.LIVE,
    )
    return replace(new, **changes)  # type: ignore[arg-type]


def test_a_channel_is_made_of_its_row_and_its_sealed_secrets(database: Database) -> None:
    keyring = Keyring.for_tests()
    database.transact(lambda unit: channel_desk.register_channel(unit, keyring, _new()))
    desk = channel_desk.ChannelDesk(database, keyring)
    made = cast("Made", desk.get("uni"))
    assert made.settings["key"] == "not to be seen"
    assert made.settings["address"] == "http://127.0.0.1:1"
    assert made.timeout == 3.0
    assert cast("Made", desk.get("uni")) is made
    assert desk.capability("uni") == SHEET
    assert desk.codes(Mode.LIVE) == ("uni",)
    assert desk.codes(Mode.SANDBOX) == ()
    with database.reading() as connection:
        sealed = table.sealed_secrets(connection, ["uni"])["uni"]
        assert b"not to be seen" not in sealed
        assert "key" not in table.read(connection, "uni").settings


def test_what_changes_elsewhere_counts_when_the_desk_looks_again(database: Database) -> None:
    keyring = Keyring.for_tests()
    database.transact(lambda unit: channel_desk.register_channel(unit, keyring, _new()))
    seconds = [0.0]
    desk = channel_desk.ChannelDesk(database, keyring, monotonic=lambda: seconds[0])
    first = desk.get("uni")
    database.transact(
        lambda unit: channel_desk.replace_secrets(unit, keyring, "uni", {"key": "turned"})
    )
    assert desk.get("uni") is first
    seconds[0] += channel_desk.FRESH_SECONDS
    assert cast("Made", desk.get("uni")).settings["key"] == "turned"


def test_a_supplement_counts_from_its_day_on_the_channels_own_clock(
    database: Database, clock: SteppingClock
) -> None:
    keyring = Keyring.for_tests()
    database.transact(lambda unit: channel_desk.register_channel(unit, keyring, _new()))
    main = Agreement(
        id=database.transact(lambda unit: unit.new_id()),
        channel="uni",
        number="2026-1",
        signed_on=date(2026, 1, 1),
        effective_from=date(2026, 1, 1),
        terms={},
        actor="staff:1",
        at=clock.now(),
    )
    more = replace(
        main,
        id=database.transact(lambda unit: unit.new_id()),
        number="2026-1/1",
        supplement_of=main.id,
        effective_from=date(2026, 3, 3),
        terms={"fee_rate": Decimal("0.0018"), "methods": (Method.SCAN,)},
    )
    with database.unit_of_work() as unit:
        table.insert_agreement(unit.connection, main)
        table.insert_agreement(unit.connection, more)
    desk = channel_desk.ChannelDesk(database, keyring, fresh_seconds=0)
    assert desk.capability("uni") == SHEET
    # 16:00 UTC is the next day in Shanghai.
    clock.advance(timedelta(hours=7))
    assert desk.capability("uni") == replace(
        SHEET, fee_rate=Decimal("0.0018"), methods=(Method.SCAN,)
    )


def test_unknown_channels_and_kinds_are_refused(database: Database) -> None:
    keyring = Keyring.for_tests()
    desk = channel_desk.ChannelDesk(database, keyring)
    with pytest.raises(channel_desk.ChannelIsUnknown):
        desk.get("nowhere")
    with pytest.raises(channel_desk.ChannelKindIsUnknown):
        database.transact(
            lambda unit: channel_desk.register_channel(unit, keyring, _new(kind="odd"))
        )
    database.transact(lambda unit: channel_desk.register_channel(unit, keyring, _new()))
    with pytest.raises(channel_desk.ChannelExists):
        database.transact(lambda unit: channel_desk.register_channel(unit, keyring, _new()))


def test_a_channel_of_this_process_stands_beside_the_stored_ones(database: Database) -> None:
    desk = channel_desk.ChannelDesk(database, Keyring.for_tests())
    mine = Made("mine", {}, 1.0)
    desk.add(cast("Channel", mine), SHEET, mode=Mode.SANDBOX)
    assert desk.get("mine") is cast("Channel", mine)
    assert desk.codes(Mode.SANDBOX) == ("mine",)
    assert desk.capability("mine") == SHEET
