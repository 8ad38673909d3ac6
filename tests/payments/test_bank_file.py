"""The bank that takes files: what goes out once, and what is believed of what comes back."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from steelyard.payments import statements
from steelyard.payments.channels import KINDS
from steelyard.payments.channels.bank_file import BankFileChannel
from steelyard.payments.channels.pain import Order, Ourselves, control_totals, write_transfers
from steelyard.payments.model.channel import (
    Decline,
    Method,
    PayRequest,
    Query,
    RawNotice,
    RefundRequest,
    Said,
)
from steelyard.payments.model.notices_in import NoticeIsNotBelieved
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

AT = datetime(2026, 10, 1, 9, tzinfo=UTC)
IBAN = "DE89370400440532013000"
OTHER = "NL91ABNA0417164300"


@pytest.fixture
def bank(tmp_path: Path) -> BankFileChannel:
    return make(tmp_path)


def make(folder: Path) -> BankFileChannel:
    settings = {
        "folder": str(folder),
        "name": "权衡支付 GmbH",
        "iban": IBAN,
        "bic": "COBADEFFXXX",
        "creditor": "DE98ZZZ09999999999",
    }
    channel = KINDS["bank_file"]("bank", settings, 1.0)
    assert isinstance(channel, BankFileChannel)
    return channel


def debit(n: int = 1, amount: int = 1_000, **details: str) -> PayRequest:
    return PayRequest(
        number=f"{n:032x}",
        amount_minor=amount,
        currency="EUR",
        method=Method.DIRECT_DEBIT,
        subject=f"order {n}",
        merchant="m",
        sent_at=AT,
        details={
            "name": "张三 Müller",
            "iban": OTHER,
            "mandate": f"M{n}",
            "mandate_on": "2026-01-01",
        }
        | details,
    )


def transfer(n: int = 1, amount: int = 1_000, **details: str) -> PayRequest:
    return replace(debit(n, amount, **details), method=Method.TRANSFER)


def asked(n: int = 1) -> Query:
    return Query(number=f"{n:032x}", reference=None, sent_at=AT)


def arrive(bank: BankFileChannel, folder: Path, name: str, content: bytes) -> None:
    (folder / "inbox" / name).write_bytes(content)


def statement(*moves: tuple[int, int], **more: Any) -> bytes:
    """Return a statement of the bank with (order, amount) lines."""
    lines = tuple(
        StatementLine(
            number=place,
            kind=more.get("kind", LineKind.PAYMENT),
            amount_minor=amount,
            currency="EUR",
            booked_on=date(2026, 10, 5),
            reference=f"B{n}{'R' if more.get('is_reversal') else ''}",
            our_number=f"{n:032x}".upper(),
            is_reversal=more.get("is_reversal", False),
        )
        for place, (n, amount) in enumerate(moves, start=1)
    )
    return statements.write_camt053(
        Statement(
            form="camt.053",
            account=more.get("account", IBAN),
            currency="EUR",
            from_on=date(2026, 10, 5),
            to_on=date(2026, 10, 5),
            lines=lines,
            opening_minor=0,
            closing_minor=sum(amount for _, amount in moves),
        ),
        at=AT,
    )


def report(
    message: str, *, group: str = "", orders: dict[int, tuple[str, str]] | None = None
) -> bytes:
    single = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{n:032x}</OrgnlEndToEndId><TxSts>{status}</TxSts>"
        + (f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else "")
        + "</TxInfAndSts>"
        for n, (status, reason) in (orders or {}).items()
    )
    whole = f"<GrpSts>{group}</GrpSts>" if group else ""
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.03"><CstmrPmtStsRpt>'
        "<GrpHdr><MsgId>1</MsgId></GrpHdr><OrgnlGrpInfAndSts>"
        f"<OrgnlMsgId>{message}</OrgnlMsgId><OrgnlMsgNmId>pain.008</OrgnlMsgNmId>{whole}"
        f"</OrgnlGrpInfAndSts><OrgnlPmtInfAndSts><OrgnlPmtInfId>{message}-1</OrgnlPmtInfId>{single}"
        "</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>"
    ).encode()


def test_orders_wait_and_go_out_with_control_sums(bank: BankFileChannel, tmp_path: Path) -> None:
    from bankstatementparser import Pain001Parser
    from pyiso20022.pain.pain_001_001_03 import Document as Transfers
    from pyiso20022.pain.pain_008_001_02 import Document as Debits
    from xsdata.formats.dataclass.parsers import XmlParser

    assert bank.pay(debit(1)).said is Said.PENDING
    assert bank.pay(debit(2, 250)).said is Said.PENDING
    assert bank.pay(transfer(3, 99_999)).said is Said.PENDING
    assert bank.query(asked(1)).said is Said.PENDING
    transfers, debits = bank.make_files(AT)
    assert {file.parent for file in (transfers, debits)} == {tmp_path / "outbox"}

    out = XmlParser().from_bytes(transfers.read_bytes(), Transfers).cstmr_cdt_trf_initn
    assert (out.grp_hdr.nb_of_txs, out.grp_hdr.ctrl_sum) == ("1", Decimal("999.99"))
    assert out.pmt_inf[0].cdt_trf_tx_inf[0].pmt_id.end_to_end_id == f"{3:032x}"
    assert str(out.pmt_inf[0].reqd_exctn_dt) == "2026-10-02"
    inn = XmlParser().from_bytes(debits.read_bytes(), Debits).cstmr_drct_dbt_initn
    assert (inn.grp_hdr.nb_of_txs, inn.grp_hdr.ctrl_sum) == ("2", Decimal("12.50"))
    assert [x.drct_dbt_tx.mndt_rltd_inf.mndt_id for x in inn.pmt_inf[0].drct_dbt_tx_inf] == [
        "M1",
        "M2",
    ]
    rows = Pain001Parser(str(transfers)).parse().to_dict("records")
    assert [Decimal(str(row["InstdAmt"])) for row in rows] == [Decimal("999.99")], rows
    # Nothing is left, and what is asked again is not sent again.
    assert bank.make_files(AT) == ()
    assert bank.pay(debit(1)).said is Said.PENDING
    assert bank.make_files(AT) == ()


def test_the_same_orders_give_the_same_bytes() -> None:
    us = Ourselves(name="We", iban=IBAN, bic="COBADEFFXXX")
    on = date(2026, 10, 5)
    orders = [Order(number="A1", amount_minor=5, name="B", iban=OTHER, on=on, text="x")]
    first = write_transfers(orders, us, message="F1", at=AT)
    assert first == write_transfers(orders, us, message="F1", at=AT)
    assert re.findall(rb"<(?:MsgId|PmtInfId)>([^<]+)", first) == [b"F1", b"F1-1"]
    assert control_totals(orders) == (1, Decimal("0.05"))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (debit(amount=0), "amount"),
        (replace(debit(), currency="JPY"), "currency"),
        (debit(iban="NL50BANK1234567890"), "iban"),
        (debit(bic="NOBANK"), "iban"),
        (debit(name="😀"), "name"),
        (debit(mandate=""), "mandate"),
        (debit(mandate="M\x00"), "mandate"),
        (debit(sequence="ONCE"), "mandate"),
        (debit(mandate_on="1.1.2026"), "mandate_on"),
        (replace(debit(), number="../../etc"), "number"),
    ],
)
def test_what_a_file_would_not_take_is_declined_at_once(
    bank: BankFileChannel, request_: PayRequest, code: str
) -> None:
    found = bank.pay(request_)
    assert (found.said, found.code, found.decline) == (
        Said.DECLINED,
        code,
        Decline.INVALID_REQUEST,
    )
    assert bank.make_files(AT) == ()


def test_a_number_is_one_order(bank: BankFileChannel) -> None:
    bank.pay(debit(1, 100))
    found = bank.pay(debit(1, 101))
    assert (found.said, found.why) == (Said.UNKNOWN, "number_used")
    (file,) = bank.make_files(AT)
    assert b'Ccy="EUR">1.00<' in file.read_bytes()


def test_an_odd_name_or_text_spoils_no_file(bank: BankFileChannel) -> None:
    odd = replace(debit(1, name="Ünïcode <&> \x07 株式会社"), subject="😀\x00")
    assert bank.pay(odd).said is Said.PENDING
    (file,) = bank.make_files(AT)
    assert b"<Ustrd>00000000" in file.read_bytes()


def test_booked_is_success_and_returned_is_closed(bank: BankFileChannel, tmp_path: Path) -> None:
    bank.pay(debit(1))
    bank.pay(transfer(2))
    bank.make_files(AT)
    arrive(bank, tmp_path, "a.xml", statement((1, 1_000), (2, -1_000)))
    for n in (1, 2):
        found = bank.query(asked(n))
        assert (found.said, found.amount_minor, found.currency) == (Said.SUCCEEDED, 1_000, "EUR")
        assert found.reference == f"B{n}"
    # The same booking in a corrected file is counted once.
    arrive(bank, tmp_path, "b.xml", statement((1, 1_000), (2, -1_000)))
    assert bank.query(asked(1)).amount_minor == 1_000
    # Sixty days later it comes back.
    arrive(bank, tmp_path, "c.xml", statement((1, -1_000), kind=LineKind.RETURN))
    assert bank.query(asked(1)).said is Said.CLOSED
    arrive(bank, tmp_path, "d.xml", statement((2, 1_000), is_reversal=True))
    assert bank.query(asked(2)).said is Said.CLOSED


def test_another_amount_is_told_as_it_is(bank: BankFileChannel, tmp_path: Path) -> None:
    bank.pay(debit(1, 1_000))
    bank.make_files(AT)
    arrive(bank, tmp_path, "a.xml", statement((1, 999)))
    assert bank.query(asked(1)).amount_minor == 999


def test_somebody_elses_account_proves_nothing(bank: BankFileChannel, tmp_path: Path) -> None:
    bank.pay(debit(1))
    bank.make_files(AT)
    arrive(bank, tmp_path, "a.xml", statement((1, 1_000), account=OTHER))
    assert bank.query(asked(1)).said is Said.PENDING


@pytest.mark.parametrize(
    ("reason", "decline"),
    [
        ("AM04", Decline.INSUFFICIENT_FUNDS),
        ("AC04", Decline.ACCOUNT_CLOSED),
        ("MD01", Decline.MANDATE_INVALID),
        ("XX99", Decline.OTHER),
    ],
)
def test_a_report_declines(
    bank: BankFileChannel, tmp_path: Path, reason: str, decline: Decline
) -> None:
    bank.pay(debit(1))
    bank.pay(debit(2))
    (file,) = bank.make_files(AT)
    arrive(bank, tmp_path, "a.xml", report(file.stem, orders={1: ("RJCT", reason)}))
    found = bank.query(asked(1))
    assert (found.said, found.code, found.decline) == (Said.DECLINED, reason, decline)
    assert bank.query(asked(2)).said is Said.PENDING


def test_a_refused_file_declines_all_of_it_and_a_taken_one_none(
    bank: BankFileChannel, tmp_path: Path
) -> None:
    bank.pay(debit(1))
    (first,) = bank.make_files(AT)
    bank.pay(transfer(2))
    (second,) = bank.make_files(AT)
    arrive(bank, tmp_path, "a.xml", report(first.stem, group="RJCT"))
    arrive(bank, tmp_path, "b.xml", report(second.stem, group="ACTC"))
    assert bank.query(asked(1)).said is Said.DECLINED
    assert bank.query(asked(2)).said is Said.PENDING
    arrive(bank, tmp_path, "c.xml", report(second.stem, orders={2: ("ACSC", "")}))
    assert bank.query(asked(2)).said is Said.SUCCEEDED


def test_cancel_before_the_file_and_after_it(bank: BankFileChannel) -> None:
    bank.pay(debit(1))
    bank.pay(debit(2))
    assert bank.cancel(asked(1)).said is Said.CLOSED
    (file,) = bank.make_files(AT)
    assert f"{1:032x}".encode() not in file.read_bytes()
    assert bank.cancel(asked(2)).said is Said.PENDING
    assert bank.pay(debit(1)).said is Said.CLOSED
    assert bank.query(asked(1)).said is Said.CLOSED
    assert bank.make_files(AT) == ()
    assert bank.query(asked(9)).said is Said.NOT_FOUND


def test_a_refund_is_a_transfer_to_the_payer(bank: BankFileChannel) -> None:
    bank.pay(debit(1))
    bank.make_files(AT)
    wanted = RefundRequest(
        number=f"{7:032x}",
        payment_number=f"{1:032x}",
        payment_reference=None,
        amount_minor=400,
        total_minor=1_000,
        currency="EUR",
        sent_at=AT,
    )
    assert bank.refund(wanted).said is Said.PENDING
    (file,) = bank.make_files(AT)
    assert f"<IBAN>{OTHER}</IBAN>".encode() in file.read_bytes()
    assert b'Ccy="EUR">4.00<' in file.read_bytes()
    unknown = replace(wanted, number=f"{8:032x}", payment_number=f"{5:032x}")
    assert bank.refund(unknown).said is Said.DECLINED


def test_the_statement_of_a_day_is_the_newest(bank: BankFileChannel, tmp_path: Path) -> None:
    assert bank.statement(date(2026, 10, 5)) is None
    arrive(bank, tmp_path, "a.xml", statement((1, 1)))
    os.utime(tmp_path / "inbox" / "a.xml", ns=(0, 0))
    arrive(bank, tmp_path, "b.xml", statement((1, 2)))
    found = bank.statement(date(2026, 10, 5))
    assert found is not None
    assert (found.name, found.form) == ("b.xml", "camt.053")
    assert bank.statement(date(2026, 10, 6)) is None


def test_a_file_that_cannot_be_read_is_shown_and_read_again_when_it_is_whole(
    bank: BankFileChannel, tmp_path: Path
) -> None:
    bank.pay(debit(1))
    bank.make_files(AT)
    whole = statement((1, 1_000))
    arrive(bank, tmp_path, "a.xml", whole[:-20])
    assert bank.query(asked(1)).said is Said.PENDING
    assert [r.code for r in bank.refused_files().values()] == ["statement_is_cut_off"]
    arrive(bank, tmp_path, "a.xml", whole)
    assert bank.query(asked(1)).said is Said.SUCCEEDED
    assert bank.refused_files() == {}


def test_no_notices(bank: BankFileChannel) -> None:
    with pytest.raises(NoticeIsNotBelieved):
        bank.parse_notice(RawNotice({}, b""), AT)


def test_a_crash_at_any_step_hands_every_order_over_exactly_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies before each of its renames in turn; the next one goes on."""
    steps = 0
    while True:
        folder = tmp_path / str(steps)
        bank = make(folder)
        for n in (1, 2, 3):
            bank.pay(debit(n))
        left, real = steps, os.replace

        def dies(*names: Any, real: Any = real) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            real(*names)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", dies)
            try:
                bank.make_files(AT)
                survived = True
            except KeyboardInterrupt:
                survived = False
        # What was handed over is carried away before the next process starts.
        carried = [file.read_bytes() for file in (folder / "outbox").glob("*.xml")]
        for file in (folder / "outbox").glob("*.xml"):
            file.unlink()
        again = make(folder)
        again.pay(debit(4))
        carried += [file.read_bytes() for file in again.make_files(AT)]
        carried += [
            file.read_bytes()
            for file in (folder / "outbox").glob("*.xml")
            if file.read_bytes() not in carried
        ]
        numbers = [n for content in carried for n in re.findall(rb"<EndToEndId>(\w+)", content)]
        assert sorted(numbers) == [f"{n:032x}".encode() for n in (1, 2, 3, 4)], steps
        if survived:
            break
        steps += 1
    assert steps >= 6


def test_many_at_once_make_one_file_of_each_order(tmp_path: Path) -> None:
    made: list[Path] = []

    def work(n: int) -> None:
        bank = make(tmp_path)
        bank.pay(debit(n % 4))
        made.extend(bank.make_files(AT))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    make(tmp_path).make_files(AT)
    contents = [file.read_bytes() for file in (tmp_path / "outbox").glob("*.xml")]
    numbers = [n for content in contents for n in re.findall(rb"<EndToEndId>(\w+)", content)]
    assert sorted(numbers) == [f"{n:032x}".encode() for n in range(4)]
    assert len(made) == len(set(made))
