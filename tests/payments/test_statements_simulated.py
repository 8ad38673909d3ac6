"""The statements of the simulated channels, whose writer shares no code with their reader."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, cast

import pytest

from steelyard.kernel import Refusal
from steelyard.payments import statements
from steelyard.payments.model.statements import LineKind
from steelyard.simulation.channel.alipay import Alipay
from steelyard.simulation.channel.desk import Row
from steelyard.simulation.channel.seals import Seals
from steelyard.simulation.channel.uni import Uni
from steelyard.simulation.channel.wechat import WeChat

DAY = date(2026, 10, 1)
AT = datetime(2026, 10, 1, 15, 59, 58, tzinfo=UTC).timestamp()  # 23:59:58 in Shanghai
NO_SEALS = cast("Seals", None)  # a statement is not signed: its transport is


def row(number: str = "a1", **more: Any) -> Row:
    facts: dict[str, Any] = {
        "number": number,
        "payment_number": number,
        "reference": f"R{number}",
        "refund_reference": "",
        "kind": "payment",
        "amount": 10_000,
        "currency": "CNY",
        "fee": 60,
        "status": "succeeded",
        "created_at": AT,
        "at": AT,
        "total": 10_000,
        "method": "NATIVE",
        "subject": 'tea, "green" =1+1',
    }
    return Row(**facts | more)


def refund(**more: Any) -> Row:
    return row(
        "f1",
        payment_number="a1",
        reference="Ra1",
        refund_reference="Rf1",
        kind="refund",
        amount=4_000,
        fee=-24,
        at=AT + 3,
        **more,
    )


SPEAKERS: dict[str, Uni | WeChat | Alipay] = {
    "uni": Uni(NO_SEALS),
    "wechat": WeChat(NO_SEALS),
    "alipay": Alipay(NO_SEALS),
}
FORMS = {"uni": "uni", "wechat": "wechat_bill", "alipay": "alipay_bill"}


@pytest.mark.parametrize("dialect", list(SPEAKERS))
def test_what_a_channel_writes_is_read(dialect: str) -> None:
    content = SPEAKERS[dialect].statement(DAY, [row(), row("b2", amount=1, fee=0), refund()])
    (found,) = statements.read(content, "")
    assert (found.form, found.currency, len(found.lines)) == (FORMS[dialect], "CNY", 3)
    assert statements.proof_of(found) is statements.Proof.TOTALS
    paid, small, back = found.lines
    assert (paid.our_number, paid.reference) == ("a1", "Ra1")
    assert (paid.amount_minor, paid.fee_minor, small.amount_minor) == (10_000, 60, 1)
    assert paid.booked_at == datetime.fromtimestamp(AT, UTC)
    assert paid.booked_on == DAY
    assert back.kind is LineKind.REFUND
    assert (back.our_number, back.more["payment_number"]) == ("f1", "a1")
    assert (back.amount_minor, back.fee_minor) == (-4_000, -24)
    assert back.booked_on == date(2026, 10, 2)  # after midnight, by the channel's clock


@pytest.mark.parametrize("dialect", list(SPEAKERS))
def test_a_day_without_lines(dialect: str) -> None:
    content = SPEAKERS[dialect].statement(DAY, [])
    (found,) = statements.read(content, f"{dialect}-20261001.csv")
    assert (found.lines, found.from_on) == ((), DAY)


def test_other_currencies_and_what_came_back() -> None:
    rows = [row(), row("j1", currency="JPY", amount=7, fee=0), refund(status="reversed")]
    rows.append(row("r1", kind="return", payment_number="a1"))
    found = statements.read(SPEAKERS["uni"].statement(DAY, rows), "")
    assert [(s.currency, statements.moved(s)) for s in found] == [
        ("CNY", 10_000 - 4_000 + 10_000 - 60 + 24 - 60),
        ("JPY", 7),
    ]
    assert [line.kind for line in found[0].lines][-1] is LineKind.RETURN


@pytest.mark.parametrize("dialect", ["uni", "wechat"])
def test_case_44_a_changed_row_is_caught(dialect: str) -> None:
    content = SPEAKERS[dialect].statement(DAY, [row(), refund()])
    first = {"uni": (b",10000,", b",1000000,"), "wechat": (b"`100.00", b"`10000.00")}[dialect]
    with pytest.raises(Refusal) as refusal:
        statements.read(content.replace(*first, 1), "")
    assert refusal.value.code in ("statement_seal_is_broken", "statement_totals_differ")
