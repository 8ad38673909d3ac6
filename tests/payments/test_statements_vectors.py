"""Every sample statement of the outside world: taken or refused, and what others read in it."""

from __future__ import annotations

import json
import os
import re
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steelyard.cli import app
from steelyard.kernel import Refusal
from steelyard.payments import statements

FOLDER = (
    Path(os.environ.get("STEELYARD_VECTORS", Path(__file__).parents[3] / "shared" / "vectors"))
    / "statements"
)
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the sample statements are not here: set STEELYARD_VECTORS"
)

# SOURCES.md: "invalid on purpose" and "negative cases".
NEGATIVE = {
    "camt053.v2.wrong.xml",
    "self-provided_february_30.sta",
    "self-provided_invalid_statement.sta",
    "self-provided_malformed_details.sta",
    "self-provided_overly_long_details.sta",
    "self-provided_sparkassen.sta",
}
NO_STATEMENTS = {"pain.001.xml", "pain.008.xml", "nacha.ach", "iso8583_0200.bin"}
FORMS = {"camt": 7, "mt940": 9, "china": 7, "generated": 2}


def is_statement(file: Path) -> bool:
    about = ("SOURCES", "LICENSE")
    return (
        file.name not in NO_STATEMENTS | NEGATIVE
        and not file.name.startswith(about)
        and file.suffix != ".yml"
    )


def every_file() -> list[Path]:
    return sorted(file for file in FOLDER.rglob("*") if file.is_file())


def read(name: str) -> tuple[statements.Statement, ...]:
    file = next(FOLDER.rglob(name))
    return statements.read(file.read_bytes(), file.name)


def amount(found: statements.Statement, minor: int | None = None) -> Decimal:
    size = statements.moved(found) if minor is None else minor
    return Decimal(statements.written(size, found.currency))


def answer(file: Path) -> tuple[statements.Statement, ...] | Refusal:
    try:
        return statements.read(file.read_bytes(), file.name)
    except Refusal as refusal:
        return refusal


def test_only_negative_files_and_no_statements_are_refused() -> None:
    taken = 0
    for file in every_file():
        found = answer(file)
        if isinstance(found, Refusal):
            assert not is_statement(file), f"{file.name}: {found}"
            assert isinstance(found.facts["line"], int)
            assert "?" not in found.sentence("en") + found.sentence("zh")
            continue
        taken += 1
        for statement in found:
            if statements.proof_of(statement) is statements.Proof.BALANCES:
                assert statement.opening_minor is not None
                ends = statement.opening_minor + statements.moved(statement)
                assert ends == statement.closing_minor, file.name
    assert taken >= sum(FORMS.values())


def test_the_command_answers_for_every_file() -> None:
    files = [str(file) for file in every_file()]
    made = CliRunner().invoke(app, ["recon", "import", *files, "--json"])
    assert made.exit_code == 0, made.output
    rows = {Path(row["file"]).name: row for row in json.loads(made.output)}
    assert len(rows) == len({Path(file).name for file in files})
    refused = {name for name, row in rows.items() if row["outcome"] == "refused"}
    assert {"pain.001.xml", "camt053.v2.wrong.xml"} <= refused
    assert all(
        rows[name]["code"] and rows[name]["line"] and rows[name]["reason"] for name in refused
    )
    asn = rows["ASNB_mt940.txt"]
    assert (asn["opening_minor"], asn["movements_minor"], asn["closing_minor"]) == (
        44429,
        5694,
        50123,
    )
    strict = CliRunner().invoke(app, ["recon", "import", *files, "--strict"])
    assert strict.exit_code == 1
    taken = [file for file in files if is_statement(Path(file))]
    assert CliRunner().invoke(app, ["recon", "import", *taken, "--strict"]).exit_code == 0


@pytest.mark.parametrize(
    "name",
    [
        "citi_mt940.txt",
        "cmxl_mt940.sta",
        "mBank_mt940.sta",
        "mBank_mt942.sta",
        "sberbank_171011_01234945.sta",
        "self-provided_february_30.sta",
        "self-provided_long_statement_number.sta",
        "self-provided_multiline.sta",
        "self-provided_raphaelm.sta",
        "self-provided_wrapped_timestamp.sta",
        "ASNB_mt940.txt",
    ],
)
def test_mt940_agrees_with_the_library(name: str) -> None:
    import mt940

    tags = mt940.tags.StatementASNB
    text = next(FOLDER.rglob(name)).read_text()
    theirs = mt940.parse(text, tags={tags.id: tags()} if name.startswith("ASNB") else None)
    booked = [t.data["amount"].amount for t in theirs.transactions if "amount" in t.data]
    ours = [line.amount_minor for found in read(name) for line in found.lines]
    assert [Decimal(minor).scaleb(-2) for minor in ours] == booked


@pytest.mark.parametrize("name", ["cmxl_mt940", "mBank_mt940"])
def test_mt940_agrees_with_the_golden_files(name: str) -> None:
    golden = next(FOLDER.rglob(f"{name}.yml")).read_text()  # as text: its tags would build objects
    found = read(f"{name}.sta")
    transactions = golden.count("- !!python/object:mt940.models.Transaction\n")
    assert sum(len(statement.lines) for statement in found) == transactions
    part = golden.split("final_closing_balance", 1)[1]
    stated = re.search(r"- '(-?[\d.]+)'\s+currency: (\w{3})", part)
    assert stated is not None
    last = found[-1]
    assert (str(amount(last, last.closing_minor)), last.currency) == stated.groups()


@pytest.mark.parametrize(
    "name",
    [
        "camt052.v8.xml",
        "camt053.v2.five.decimals.xml",
        "camt053.v2.multi.statement.xml",
        "camt053.v8.xml",
        "camt054.v4.xml",
        "camt054.v8.xml",
    ],
)
def test_camt_agrees_with_two_libraries(name: str) -> None:
    from importlib import import_module

    from bankstatementparser import Camt052Parser
    from xsdata.formats.dataclass.parsers import XmlParser

    file = next(FOLDER.rglob(name))
    ours = [
        (Decimal(statements.written(line.amount_minor, line.currency)), line.currency)
        for found in read(name)
        for line in found.lines
    ]
    table = Camt052Parser(str(file)).parse()
    assert ours == [(row["amount"], row["currency"]) for row in table.to_dict("records")]

    kind, version = re.search(r"camt\.(05\d)\.001\.(\d\d)", file.read_text()).groups()  # type: ignore[union-attr]
    module = import_module(f"pyiso20022.camt.camt_{kind}_001_{version}")
    document = XmlParser().from_bytes(file.read_bytes(), module.Document)
    message = next(value for name, value in vars(document).items() if value is not None)
    parts = getattr(message, {"052": "rpt", "053": "stmt", "054": "ntfctn"}[kind])
    signs = {"CRDT": 1, "DBIT": -1}
    entries = [e for part in parts for e in part.ntry]
    theirs = [(signs[e.cdt_dbt_ind.value] * e.amt.value, e.amt.ccy) for e in entries]
    assert ours == theirs


def test_merchant_bills_hold_what_was_planted_in_them() -> None:
    (wechat,) = read("wechat_tradebill_ALL_20261001.csv")
    lines = {line.our_number: line for line in wechat.lines}
    assert wechat.account == "1900000001"
    assert lines["RF0001"].more["payment_number"] == "PAY0001"
    assert (lines["RF0001"].amount_minor, lines["RF0001"].fee_minor) == (-4000, -24)
    assert lines["PAY0003"].amount_minor == 8880
    assert lines["PAY0003"].more["order_amount"] == "98.80"
    assert lines["PAY0002"].fee_minor == 0
    assert lines["PAY9999"].kind is statements.LineKind.PAYMENT
    assert statements.proof_of(wechat) is statements.Proof.TOTALS

    (alipay,) = read("alipay_trade_detail_20261001_gb18030.csv")
    lines = {line.our_number: line for line in alipay.lines}
    assert set(lines) == {"PAY1001", "PAY1002", "RF1001", "UNKNOWN1"}
    assert (lines["RF1001"].amount_minor, lines["RF1001"].fee_minor) == (-2000, -12)
    assert alipay.to_on.isoformat() == "2026-10-01"


def test_case_54_business_date_is_of_the_channels_clock() -> None:
    (alipay,) = read("alipay_trade_detail_20261001_gb18030.csv")
    late = next(line for line in alipay.lines if line.our_number == "UNKNOWN1")
    assert late.booked_at is not None
    assert late.booked_at.isoformat() == "2026-10-01T16:00:01+00:00"
    assert late.booked_on.isoformat() == "2026-10-02"
    assert late.more["created_at"] == "2026-10-01T15:59:58+00:00"


def test_personal_exports() -> None:
    (boc,) = read("boc_debit_example-boc-records.csv")
    assert (boc.opening_minor, boc.closing_minor, len(boc.lines)) == (281358, 324028, 17)
    (jd,) = read("jd_example-jd-records.csv")
    # "支出：16笔(含4笔部分退款)，1648.43元": what it says of its own outlays, refunds taken off.
    assert statements.moved(jd) == -164843
    first, second = read("wechat_example-wechat-records.xlsx")
    (csv,) = read("wechat_example-wechat-records.csv")
    amounts = [line.amount_minor for line in csv.lines]
    assert [line.amount_minor for line in first.lines] == amounts
    assert [line.amount_minor for line in second.lines] == amounts
    (alipay,) = read("alipay_example-alipay-records.csv")
    closed = next(line for line in alipay.lines if line.status == "交易关闭")
    assert (closed.amount_minor, closed.more["neutral_amount"]) == (0, "82.00")


def test_balances_that_are_no_balances_prove_nothing() -> None:
    # 18.150 + 8.850 is not 27.050, and three decimals are none of the euro's.
    (five,) = read("camt053.v2.five.decimals.xml")
    assert (five.opening_minor, five.closing_minor) == (None, None)
    assert five.lines[0].amount_minor == 885
    # Opens in EUR, closes in SEK.
    (v8,) = read("camt053.v8.xml")
    assert (v8.opening_minor, v8.closing_minor) == (1815, None)
    assert {statements.proof_of(five), statements.proof_of(v8)} == {statements.Proof.NONE}


def test_a_batch_that_contradicts_its_entry_stays_one_line() -> None:
    (found,) = read("camt054.v8.xml")
    (line,) = found.lines
    assert (line.amount_minor, line.currency, line.more["details"]) == (-20_000_000, "SEK", "3")
    assert line.batch == "UXC06170000006PI00001"
