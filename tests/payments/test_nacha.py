"""ACH files: widths, hash, blocks, and the sample that another program wrote."""

from __future__ import annotations

import os
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.kernel import Refusal
from steelyard.payments.channels.nacha import (
    AchCode,
    AchOrder,
    AchOrigin,
    check_digit,
    write_nacha,
)

ORIGIN = AchOrigin(
    routing="123456780",
    bank="YOUR BANK",
    company="1234567890",
    name="YOUR COMPANY",
    purpose="PAYROLL",
)
ON, AT = date(2026, 11, 23), datetime(2026, 11, 22, 2, 25)
SAMPLE = (
    Path(os.environ.get("STEELYARD_VECTORS", Path(__file__).parents[3] / "shared" / "vectors"))
    / "statements"
    / "generated"
    / "nacha.ach"
)


def order(**more: object) -> AchOrder:
    facts: dict[str, object] = {
        "code": AchCode.DEBIT_CHECKING,
        "routing": "123456780",
        "account": "11232132",
        "amount_minor": 1_000,
        "name": "ALICE WANDERDUST",
        "number": "A1",
    }
    return AchOrder(**facts | more)  # type: ignore[arg-type]


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the sample is not here: set STEELYARD_VECTORS")
def test_fields_stand_where_another_program_puts_them() -> None:
    theirs = SAMPLE.read_text().split("\n")
    made = write_nacha([order(text="TEST")], ORIGIN, on=ON, at=AT).decode().split("\n")
    assert made[0] == theirs[0]
    # They announce debits and credits (200), we what there is: debits (225).
    assert made[1] == theirs[1].replace("5200", "5225", 1)
    # They give the entry no number.
    assert made[2].replace(f"{'A1':15}", f"{'':15}") == theirs[2]
    assert made[3] == theirs[3]
    assert made[4] == theirs[4].replace("8200", "8225", 1)
    assert made[5:10] == theirs[5:10]


routings = st.integers(0, 10**8 - 1).map(lambda n: f"{n:08d}{check_digit(f'{n:08d}')}")
orders = st.builds(
    AchOrder,
    code=st.sampled_from(AchCode),
    routing=routings,
    account=st.from_regex(r"[0-9A-Z]{1,17}", fullmatch=True),
    amount_minor=st.integers(1, 10**9),
    name=st.text(max_size=40),
    number=st.from_regex(r"[0-9a-f]{1,32}", fullmatch=True),
    text=st.text(max_size=40),
)


@settings(max_examples=60)
@given(st.lists(orders, min_size=1, max_size=25))
def test_widths_blocks_hash_and_totals(made: list[AchOrder]) -> None:
    lines = write_nacha(made, ORIGIN, on=ON, at=AT).decode("ascii").split("\n")
    assert lines.pop() == ""
    assert {len(line) for line in lines} == {94}
    assert len(lines) % 10 == 0
    entries = [line for line in lines if line[0] == "6"]
    addenda = [line for line in lines if line[0] == "7"]
    end = next(line for line in lines if line[0] == "9" and line.strip("9"))
    assert int(end[7:13]) == len(lines) // 10
    assert int(end[13:21]) == len(entries) + len(addenda)
    assert int(end[21:31]) == sum(int(line[3:11]) for line in entries) % 10**10
    debits = sum(int(line[29:39]) for line in entries if line[1:3] in ("27", "37"))
    credits_ = sum(int(line[29:39]) for line in entries if line[1:3] in ("22", "32"))
    assert (int(end[31:43]), int(end[43:55])) == (debits, credits_)
    assert [int(line[29:39]) for line in entries] == [o.amount_minor for o in made]
    assert [line[79:] for line in entries] == [f"12345678{n + 1:07d}" for n in range(len(made))]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"routing": "123456789"}, "routing number"),
        ({"routing": "12345678"}, "routing number"),
        ({"account": "1" * 18}, "account"),
        ({"amount_minor": 0}, "amount"),
        ({"amount_minor": 10**10}, "amount"),
        ({"number": "a b"}, "number"),
        ({"text": "x" * 80}, "addendum"),
    ],
)
def test_what_does_not_fit_is_refused_by_row(wrong: dict[str, object], field: str) -> None:
    with pytest.raises(Refusal) as refusal:
        write_nacha([order(), order(**wrong)], ORIGIN, on=ON, at=AT)
    assert refusal.value.code == "ach_order_is_malformed"
    assert (refusal.value.facts["row"], refusal.value.facts["field"]) == (2, field)
