"""The card switch: messages over TCP, what is not answered is reversed until a 0410 comes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.payments.channels import KINDS
from steelyard.payments.channels.iso8583 import (
    Iso8583Channel,
    Unreadable,
    opened,
    sealed,
)
from steelyard.payments.model.channel import (
    Decline,
    Finding,
    Method,
    PayRequest,
    Query,
    RefundRequest,
    Said,
)

AT = datetime(2026, 3, 2, 9, 0, 7, tzinfo=UTC)
KEY = "11" * 32


@dataclass
class Outside:
    """The switch as a process, and its own list of what it booked."""

    address: dict[str, str]
    store: Path
    opened: list[Iso8583Channel] = field(default_factory=list)

    def channel(self, **changes: str) -> Iso8583Channel:
        made = KINDS["iso8583"]("switch", {**self.address, "key": KEY, **changes}, 0.3)
        assert isinstance(made, Iso8583Channel)
        self.opened.append(made)
        return made

    def close(self) -> None:
        while self.opened:
            self.opened.pop().close()

    def state(self, number: str) -> str | None:
        with sqlite3.connect(self.store) as kept:
            row = kept.execute("SELECT state FROM booked WHERE number = ?", (number,)).fetchone()
        return None if row is None else str(row[0])


@pytest.fixture
def outside(switch: Outside) -> Iterator[Outside]:
    yield switch
    switch.close()


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    store = tmp_path_factory.mktemp("switch") / "booked.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-m", "steelyard.simulation.switch", "--store", str(store)],
        stdout=subprocess.PIPE,
        env={**os.environ, "STEELYARD_SWITCH_KEY": KEY},
    )
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    yield Outside({"host": told["host"], "port": str(told["port"])}, store)
    process.terminate()
    process.wait(10)
    process.stdout.close()


def purchase(token: str | None = None, number: str | None = None) -> PayRequest:
    return PayRequest(
        number=number or uuid4().hex,
        amount_minor=10_025,
        currency="CNY",
        method=Method.CARD,
        subject="Tea",
        merchant="m",
        sent_at=AT,
        instrument=token,
    )


def about(request: PayRequest) -> Query:
    return Query(number=request.number, reference=None, sent_at=request.sent_at)


def test_a_purchase_is_answered_and_the_same_number_is_the_same_purchase(outside: Outside) -> None:
    channel, request = outside.channel(), purchase()
    first = channel.pay(request)
    assert first == channel.pay(request)
    assert (first.said, first.amount_minor, first.currency) == (Said.SUCCEEDED, 10_025, "CNY")
    assert outside.state(request.number) == "booked"


@pytest.mark.parametrize(
    ("code", "decline"),
    [
        ("51", Decline.INSUFFICIENT_FUNDS),
        ("54", Decline.EXPIRED_CARD),
        ("91", Decline.ISSUER_UNAVAILABLE),
        ("77", Decline.OTHER),
    ],
)
def test_a_decline_has_its_reason(outside: Outside, code: str, decline: Decline) -> None:
    found = outside.channel().pay(purchase(f"sim_decline:{code}"))
    assert (found.said, found.code, found.decline) == (Said.DECLINED, code, decline)


@pytest.mark.parametrize(
    "token", ["sim_timeout", "sim_lose", "sim_garble", "sim_forge", "sim_other", "sim_decline:96"]
)
def test_what_is_not_answered_is_unknown_and_is_reversed(outside: Outside, token: str) -> None:
    channel, request = outside.channel(), purchase(token)
    assert channel.pay(request).said is Said.UNKNOWN
    assert channel.query(about(request)).said is Said.NOT_FOUND
    assert channel.cancel(about(request)).said is Said.CLOSED
    assert outside.state(request.number) in (None, "reversed")


def test_a_reversal_is_repeated_until_it_is_answered(outside: Outside) -> None:
    channel, request = outside.channel(), purchase("sim_deaf:2")
    assert channel.pay(request).said is Said.UNKNOWN
    assert channel.cancel(about(request)).said is Said.CLOSED
    assert outside.state(request.number) == "reversed"
    deaf = purchase("sim_deaf:3")
    channel.pay(deaf)
    assert channel.cancel(about(deaf)) == Finding(said=Said.UNKNOWN, why="no_0410")
    assert outside.state(deaf.number) == "booked"
    assert channel.cancel(about(deaf)).said is Said.CLOSED


def test_another_amount_in_the_answer_is_passed_on(outside: Outside) -> None:
    found = outside.channel().pay(purchase("sim_amount:9999"))
    assert (found.said, found.amount_minor) == (Said.SUCCEEDED, 9_999)


def test_refunds_up_to_what_was_paid(outside: Outside) -> None:
    channel, request = outside.channel(), purchase()
    channel.pay(request)

    def refund(amount: int) -> Finding:
        return channel.refund(
            RefundRequest(
                number=uuid4().hex,
                payment_number=request.number,
                payment_reference=None,
                amount_minor=amount,
                total_minor=10_025,
                currency="CNY",
                sent_at=AT,
            )
        )

    assert refund(10_000).said is Said.SUCCEEDED
    assert refund(26).said is Said.DECLINED
    assert refund(25).said is Said.SUCCEEDED


def test_nobody_listens_and_a_wrong_key(outside: Outside) -> None:
    closed = outside.channel(port="1")
    assert closed.pay(purchase()) == Finding(said=Said.NOT_SENT, why="connect")
    wrong, request = outside.channel(key="22" * 32), purchase()
    assert wrong.pay(request).said is Said.UNKNOWN
    assert outside.state(request.number) is None
    yen = PayRequest(**{**_values(purchase()), "currency": "XXX"})
    assert outside.channel().pay(yen).said is Said.DECLINED


def _values(request: PayRequest) -> dict[str, object]:
    return {name: getattr(request, name) for name in PayRequest.__slots__}


@given(st.binary(max_size=80))
def test_whatever_comes_is_no_message_or_no_error(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        opened(bytes.fromhex(KEY), raw)


@given(st.integers(0, 10**12 - 1), st.text("abcdef0123456789", min_size=12, max_size=12))
def test_a_message_is_read_as_it_was_written(amount: int, reference: str) -> None:
    fields = {"4": f"{amount:012d}", "11": "000001", "37": reference.upper(), "90": "0" * 42}
    raw = sealed(bytes.fromhex(KEY), "0400", fields)
    found = opened(bytes.fromhex(KEY), raw[2:])
    assert {name: found[name] for name in fields} == fields
    spoilt = raw[2:-20] + bytes([raw[-20] ^ 1]) + raw[-19:]
    with pytest.raises(Unreadable):
        opened(bytes.fromhex(KEY), spoilt)
