"""The simulator itself: what it shares with nobody, its memory, its statements, its process."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steelyard.simulation.channel as simulator
from steelyard.payments.channels import KINDS
from steelyard.payments.model.channel import Said
from steelyard.simulation.channel.clock import bounds, day_of
from steelyard.simulation.channel.desk import FEE_RATES, share
from steelyard.simulation.channel.script import MAGIC_FROM_MINOR
from tests.payments.outside import (
    Outside,
    a_payment,
    a_refund,
    about,
    misbehaving,
    running_outside,
    wait_for,
)


@pytest.fixture(scope="module")
def world() -> Iterator[Outside]:
    with running_outside() as outside:
        yield outside


@pytest.fixture
def outside(world: Outside) -> Iterator[Outside]:
    world.forget()
    yield world
    world.close_adaptors()


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {one for one in found if one.startswith("steelyard")}


def test_it_shares_no_code_with_payments() -> None:
    home = Path(simulator.__file__).parent
    assert len(list(home.glob("*.py"))) > 5
    for path in home.glob("*.py"):
        own = "steelyard.simulation.channel"
        foreign = {one for one in imports_of(path) if not one.startswith(own)}
        assert foreign <= {"steelyard.base.lifeline"}, path.name


def test_adaptors_know_the_model_and_one_another_alone() -> None:
    import steelyard.payments.channels as channels

    for name in ("uni", "wechat", "alipay", "calls", "signing"):
        path = Path(channels.__file__).parent / f"{name}.py"
        allowed = ("steelyard.payments.channels", "steelyard.payments.model.", "steelyard.kernel")
        assert all(one.startswith(allowed) for one in imports_of(path)), name


DAY = date(2026, 3, 2)


def at_noon(outside: Outside, on: date = DAY) -> None:
    """Let it be noon in Beijing."""
    outside.post("/clock", now=f"{on.isoformat()}T04:00:00Z", speed=0)


def statement_of(outside: Outside, on: date = DAY) -> list[dict[str, str]]:
    """Return the rows of a statement of `uni`, after its totals and its hash were checked."""
    file = outside.channel("uni").statement(on)
    assert file is not None
    head, names, *rows, tail = file.content.decode().splitlines()
    assert head == f"H,uni.statement.1,M0000001,{on.isoformat()},Asia/Shanghai"
    found = [dict(zip(names.split(","), row.split(","), strict=True)) for row in rows]
    body = "".join(f"{line}\n" for line in (names, *rows))
    amounts: Counter[str] = Counter()
    fees: Counter[str] = Counter()
    for row in found:
        amounts[row["currency"]] += int(row["amount"])
        fees[row["currency"]] += int(row["fee"])
    told = [";".join(f"{c}:{one[c]}" for c in sorted(one)) for one in (amounts, fees)]
    digest = hashlib.sha256(body.encode()).hexdigest()
    assert tail == f"T,{len(found)},{told[0]},{told[1]},{digest}"
    return found


def test_a_statement_shows_the_day_and_adds_up(outside: Outside) -> None:
    at_noon(outside)
    channel = outside.channel("uni")
    paid = a_payment(amount_minor=10_000)
    yen = a_payment(amount_minor=777, currency="JPY")
    cancelled = a_payment()
    declined = misbehaving("uni", "sim_decline:do_not_honor")
    for request in (paid, yen, cancelled, declined):
        channel.pay(request)
    channel.cancel(about(cancelled))
    refund = a_refund(paid, 2_500)
    channel.refund(refund)
    outside.script("returned", verb="refund", seconds=86_400)
    back = a_refund(paid, 100)
    channel.refund(back)
    assert channel.statement(DAY) is None, "the day is not over"
    outside.post("/clock", now="2026-03-05T00:00:00Z")
    rows = {row["number"]: row for row in statement_of(outside)}
    kinds = {number: (row["kind"], row["amount"], row["fee"]) for number, row in rows.items()}
    assert kinds == {
        paid.number: ("payment", "10000", "20"),
        yen.number: ("payment", "777", "2"),
        refund.number: ("refund", "-2500", "0"),
        back.number: ("refund", "-100", "0"),
    }
    assert rows[refund.number]["payment_number"] == paid.number
    (returned,) = statement_of(outside, DAY + timedelta(days=1))
    assert (returned["number"], returned["kind"], returned["amount"]) == (
        back.number,
        "return",
        "100",
    )


def test_breaks_are_planted_where_they_are_asked_for(outside: Outside) -> None:
    on = DAY + timedelta(days=30)
    at_noon(outside, on)
    channel = outside.channel("uni")
    requests = [a_payment(amount_minor=10_000 + nr) for nr in range(8)]
    for request in requests:
        channel.pay(request)
    planted = {}
    for kind in ("missing", "amount", "fee", "duplicate", "status", "cut_off"):
        (one,) = outside.post("/plant", dialect="uni", on=on.isoformat(), kind=kind, by=3)
        planted[kind] = one["number"]
    assert len(set(planted.values())) == 6, "each about another row"
    (extra,) = outside.post("/plant", dialect="uni", on=on.isoformat(), kind="extra", by=55)
    outside.post("/clock", now=f"{(on + timedelta(days=3)).isoformat()}T00:00:00Z")
    rows = statement_of(outside, on)
    numbers = Counter(row["number"] for row in rows)
    by_number = {row["number"]: row for row in rows}
    truth = {request.number: request.amount_minor for request in requests}
    assert planted["missing"] not in numbers
    assert planted["cut_off"] not in numbers
    assert numbers[planted["duplicate"]] == 2
    assert int(by_number[planted["amount"]]["amount"]) == truth[planted["amount"]] + 3
    assert int(by_number[planted["fee"]]["fee"]) == 20 + 3
    assert by_number[planted["status"]]["status"] == "reversed"
    assert by_number[extra["number"]]["amount"] == "55"
    (late,) = statement_of(outside, on + timedelta(days=1))
    assert late["number"] == planted["cut_off"]
    untouched = set(truth) - set(planted.values())
    assert {int(by_number[n]["amount"]) - truth[n] for n in untouched} == {0}
    shown = httpx.get(
        f"{outside.url}/plants?dialect=uni&on={on.isoformat()}", trust_env=False
    ).json()
    assert {one["kind"]: one["number"] for one in shown} == {**planted, "extra": extra["number"]}


def test_amounts_stand_for_what_happens(outside: Outside) -> None:
    channel = outside.channel("uni", timeout=0.2)
    said = {
        nr: channel.pay(a_payment(amount_minor=MAGIC_FROM_MINOR + nr))
        for nr in (5, 51, 71, 73, 80, 81, 82, 83, 84, 85, 86, 87, 99)
    }
    assert {nr: one.said for nr, one in said.items()} == {
        5: Said.DECLINED,
        51: Said.DECLINED,
        71: Said.ACTION,
        73: Said.ACTION,
        **dict.fromkeys((80, 81, 82, 83, 84), Said.UNKNOWN),
        85: Said.DECLINED,
        86: Said.PENDING,
        87: Said.SUCCEEDED,
        99: Said.SUCCEEDED,
    }


def test_a_rule_holds_for_some_and_is_used_up(outside: Outside) -> None:
    channel = outside.channel("uni")
    outside.script("decline", verb="pay", argument="limit_exceeded", times=None, share=0.5)
    said = Counter(channel.pay(a_payment()).said for _ in range(60))
    assert said[Said.DECLINED] + said[Said.SUCCEEDED] == 60
    assert min(said.values()) >= 10
    outside.simulator.script.rules.clear()
    wanted = a_payment()
    outside.script("decline", verb="pay", number=wanted.number)
    assert channel.pay(a_payment()).said is Said.SUCCEEDED
    assert channel.pay(wanted).said is Said.DECLINED
    assert outside.simulator.script.rules == []


def test_what_is_played_wrongly_is_refused(outside: Outside) -> None:
    def answer(method: str, path: str, body: Any) -> int:
        asked = httpx.request(method, f"{outside.url}{path}", json=body, trust_env=False)
        return asked.status_code

    assert answer("POST", "/script", [{"behaviour": "sing"}]) == 400
    assert answer("POST", "/plant", {"dialect": "uni", "on": "2026-01-01", "kind": "odd"}) == 400
    assert answer("POST", "/outage", {"dialect": "swift"}) == 400
    assert answer("GET", "/nothing", None) == 404
    assert answer("POST", "/uni/v1/payments", {}) == 401
    assert answer("POST", "/v3/pay/transactions/native", {}) == 401


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=6), st.sampled_from(sorted(FEE_RATES)))
def test_fees_are_rounded_half_up_and_never_over_the_amount(
    amounts: list[int], dialect: str
) -> None:
    for amount in amounts:
        fee = share(amount, FEE_RATES[dialect])
        assert abs(Decimal(fee) - amount * FEE_RATES[dialect]) <= Decimal("0.5")
        assert 0 <= fee <= amount


@given(st.floats(0, 4e9), st.sampled_from([0.0, 3_600.0, 82_800.0]))
def test_an_instant_lies_in_its_clearing_day(at: float, cut_off: float) -> None:
    begin, end = bounds(day_of(at, cut_off), cut_off)
    assert begin <= at < end


def start(home: Path, *more: str) -> tuple[subprocess.Popen[str], str]:
    """Start the simulator as a process; return it and its address."""
    command = [
        sys.executable,
        "-m",
        "steelyard.simulation.channel",
        "--store",
        str(home / "outside.db"),
        "--credentials",
        str(home / "given.json"),
        *more,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["url"]


def test_as_a_process_it_remembers_through_a_kill_and_goes_with_its_parent(
    tmp_path: Path,
) -> None:
    process, url = start(tmp_path)
    given_file = tmp_path / "given.json"
    assert given_file.stat().st_mode & 0o777 == 0o600
    given = json.loads(given_file.read_text())
    assert sorted(given) == ["alipay", "uni", "wechat"]
    channel: Any = KINDS["uni"]("uni", given["uni"], 5.0)
    request = a_payment()
    try:
        assert channel.pay(request).said is Said.SUCCEEDED
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert channel.query(about(request)).said is Said.UNKNOWN
    finally:
        process.kill()
        process.wait(10)
        channel.close()
        process.stdout.close()  # type: ignore[union-attr]
    lifeline, parent = os.pipe()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "steelyard.simulation.channel",
            "--store",
            str(tmp_path / "outside.db"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[lifeline],
        env={**os.environ, "STEELYARD_LIFELINE": str(lifeline)},
    )
    os.close(lifeline)
    assert process.stdout is not None
    with process.stdout:
        url = json.loads(process.stdout.readline())["url"]
        again: Any = KINDS["uni"]("uni", {**given["uni"], "url": url}, 5.0)
        found = again.query(about(request))
        again.close()
        assert (found.said, found.amount_minor) == (Said.SUCCEEDED, request.amount_minor)
        os.close(parent)
        wait_for(lambda: process.poll() is not None)


def test_town_time_moves_what_is_due(outside: Outside) -> None:
    at_noon(outside)
    channel, request = outside.channel("uni"), misbehaving("uni", "sim_late:60")
    assert channel.pay(request).said is Said.PENDING
    outside.post("/clock", now="2026-03-02T04:00:59Z", speed=0)
    assert channel.query(about(request)).said is Said.PENDING
    outside.post("/clock", now="2026-03-02T04:01:00Z", speed=0)
    found = channel.query(about(request))
    assert (found.said, found.at) == (Said.SUCCEEDED, datetime(2026, 3, 2, 4, 1, tzinfo=UTC))
    waiting = misbehaving("uni", "sim_action:qr:-1", expires_at=found.at + timedelta(minutes=5))
    assert channel.pay(waiting).said is Said.ACTION
    outside.post("/clock", now="2026-03-02T04:06:00Z", speed=0)
    assert channel.query(about(waiting)).said is Said.CLOSED
