"""Statement files made here, whole and spoilt in every way that is known."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.kernel import Refusal
from steelyard.payments import statements
from steelyard.payments.model.references import is_cut

DAY = date(2026, 10, 1)
COLUMNS_V3 = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,"
    "货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,"
    "商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
TOTALS_V3 = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
COLUMNS_V2 = (
    "交易时间,公众账号ID,商户号,子商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,"
    "货币种类,总金额,企业红包金额,微信退款单号,商户退款单号,退款金额,企业红包退款金额,退款类型,退款状态,"
    "商品名称,商户数据包,手续费,费率"
)
TOTALS_V2 = "总交易单数,总交易额,总退款金额,总企业红包退款金额,手续费总金额"


def marked(*values: str) -> str:
    return ",".join(f"`{value}" for value in values)


def wechat(
    *, amount: str = "100.00", total: str = "100.00", product: str = "书", end: str = "\n"
) -> str:
    row = marked(
        *("2026-10-01 09:00:01", "wx1", "190", "0", "", "42", "PAY1", "u", "NATIVE", "SUCCESS"),
        *("OTHERS", "CNY", amount, "0.00", "0", "0", "0.00", "0.00", "", "", product, ""),
        *("0.60000", "0.60%", amount, "0.00", ""),
    )
    sums = marked("1", total, "0.00", "0.00", "0.60000", total, "0.00")
    return end.join((COLUMNS_V3, row, TOTALS_V3, sums, ""))


def alipay(*, total: str = "50.00") -> str:
    names = (
        "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,对方账户,订单金额（元）,"
        "商家实收（元）,商家优惠（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
    )
    row = (
        "2026\t,P1\t,交易\t,书,2026-10-01 08:00:00,2026-10-01 08:00:05,*三,50.00,50.00,0.00,\t,"
        "-0.30,0.00,"
    )
    return "\r\n".join(
        (
            "#支付宝业务明细查询",
            "#账号：[2088]",
            "#起始日期：[2026年10月01日 00:00:00]   终止日期：[2026年10月02日 00:00:00]",
            "#----业务明细列表----",
            names,
            row,
            "#----业务明细列表结束----",
            f"#交易合计：1笔，商家实收共{total}元，商家优惠共0.00元",
            "#退款合计：0笔，商家实收退款共0.00元，商家优惠退款共0.00元",
            "",
        )
    )


def alipay_summary(net: str = "50.00") -> str:
    names = "门店编号,门店名称,交易订单总笔数,退款订单总笔数,商家实收（元）,服务费（元）"
    return "\r\n".join(("#支付宝业务汇总查询", names, f"合计\t,\t,1,0,{net},-0.30", ""))


def uni(*, rows: int = 2, count: int | None = None, spoil: str = "") -> str:
    body = "number,payment_number,reference,kind,amount,currency,fee,status,booked_at\n"
    for n in range(rows):
        body += f"n{n},n{n},r{n},payment,100,CNY,1,succeeded,2026-10-01T01:00:0{n}+00:00\n"
    sealed = hashlib.sha256(body.encode()).hexdigest()
    body = body.replace("payment,100", spoil or "payment,100", 1)
    totals = f"CNY:{100 * rows},CNY:{rows}" if rows else ","
    tail = f"T,{rows if count is None else count},{totals},{sealed}\n"
    return f"H,uni.statement.1,M1,2026-10-01,Asia/Shanghai\n{body}{tail}"


def mt940(*lines: str, opens: str = "100,00", closes: str = "100,00") -> str:
    return "\r\n".join(
        (
            ":20:REF",
            ":25:ACC1",
            ":28C:1/1",
            f":60F:C261001EUR{opens}",
            *lines,
            f":62F:C261001EUR{closes}",
            "-",
        )
    )


def entry(
    amount: str, side: str = "CRDT", *, more: str = "", status: str = "BOOK", currency: str = "EUR"
) -> str:
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
        f"{more}<Sts><Cd>{status}</Cd></Sts><BookgDt><Dt>2026-10-01</Dt></BookgDt></Ntry>\n"
    )


def balance(code: str, amount: str, side: str = "CRDT") -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
        "<Dt><Dt>2026-10-01</Dt></Dt></Bal>\n"
    )


def camt053(*parts: str, page: str = "") -> str:
    return (
        '<?xml version="1.0"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">\n'
        "<BkToCstmrStmt><GrpHdr><MsgId>1</MsgId></GrpHdr>\n<Stmt><Id>S1</Id>"
        f"{page}<CreDtTm>2026-10-02T01:00:00+02:00</CreDtTm>"
        "<Acct><Id><IBAN>NL1</IBAN></Id><Ccy>EUR</Ccy></Acct>\n"
        f"{''.join(parts)}</Stmt></BkToCstmrStmt></Document>"
    )


def read(text: str | bytes, name: str = "f", encoding: str = "utf-8") -> statements.Statement:
    content = text if isinstance(text, bytes) else text.encode(encoding)
    (found,) = statements.read(content, name)
    return found


def refused(text: str | bytes, name: str = "f") -> tuple[str, object]:
    with pytest.raises(Refusal) as refusal:
        read(text, name)
    assert "?" not in refusal.value.sentence("en") + refusal.value.sentence("zh")
    return refusal.value.code, refusal.value.facts["line"]


def test_case_44_fen_for_yuan_is_caught_by_the_control_totals() -> None:
    assert read(wechat()).lines[0].amount_minor == 10000
    assert refused(wechat(amount="10000.00")) == ("statement_totals_differ", 4)
    assert refused(wechat(amount="10000", total="10000")) == ("statement_field_is_malformed", 2)
    assert refused(alipay(total="5000.00")) == ("statement_totals_differ", 8)
    assert refused(uni(spoil="payment,10000")) == ("statement_seal_is_broken", 5)


@pytest.mark.parametrize(
    "made",
    [
        wechat().encode(),
        ("\ufeff" + wechat(end="\r\n")).encode(),
        wechat().encode("gb18030"),
        wechat().encode("utf-16"),
        wechat(product='a,b "c').replace('`a,b "c', '"`a,b ""c"').encode(),
        wechat(end="\r").encode(),
        gzip.compress(wechat().encode()),
    ],
)
def test_case_61_encodings_marks_and_line_ends(made: bytes) -> None:
    found = read(made)
    assert (found.form, len(found.lines), statements.moved(found)) == ("wechat_bill", 1, 9940)


@pytest.mark.parametrize(
    ("made", "code", "line"),
    [
        (b"", "file_is_no_statement", 1),
        (b"\xef\xbb\xbf \r\n", "file_is_no_statement", 1),
        (b"\x89PNG\r\n\x1a\n....", "file_is_no_statement", 1),
        (b'{"a": 1}', "file_is_no_statement", 1),
        (wechat().encode()[:-60], "statement_is_cut_off", 3),
        (b"\n".join(wechat().encode().split(b"\n")[:2]), "statement_is_cut_off", 2),
        (wechat().encode()[:400], "statement_is_cut_off", 2),
        (wechat(total="99.99").encode(), "statement_totals_differ", 4),
        (wechat().encode().replace("书".encode(), b"\xff\xff"), "statement_encoding_is_wrong", 2),
        (alipay().encode("gb18030")[:-60], "statement_is_cut_off", 8),
        (uni(count=3).encode(), "statement_totals_differ", 5),
        (uni().rsplit("T,", 1)[0].encode(), "statement_is_cut_off", 4),
        (mt940(closes="100,01").encode(), "statement_does_not_add_up", 5),
        (mt940().rsplit(":62F:", 1)[0].encode(), "statement_is_cut_off", 5),
        (mt940(":61:261001X1,00NTRF").encode(), "statement_field_is_malformed", 5),
        (mt940(":61:261301C1,00NTRF").encode(), "statement_field_is_malformed", 5),
        (mt940(":61:261001C1,001NTRF").encode(), "statement_amount_is_too_fine", 5),
        (mt940().replace("EUR", "EEE").encode(), "statement_currency_is_unknown", 4),
        (camt053(entry("1")).encode()[:-30], "statement_is_cut_off", 6),
        (
            camt053(entry("1")).replace("</Ntry>", "</Entry>").encode(),
            "statement_field_is_malformed",
            5,
        ),
        (camt053(entry("1.001")).encode(), "statement_amount_is_too_fine", 5),
        (camt053(entry("1,00")).encode(), "statement_field_is_malformed", 5),
        (camt053(entry("1", "BOTH")).encode(), "statement_field_is_malformed", 5),
        (camt053(entry("1", currency="USD")).encode(), "statement_currencies_differ", 5),
        (
            camt053(balance("OPBD", "1"), balance("CLBD", "3"), entry("1")).encode(),
            "statement_does_not_add_up",
            6,
        ),
        (b"PK\x03\x04 and nothing more", "statement_archive_is_broken", 1),
        (gzip.compress(wechat().encode())[:-20], "statement_archive_is_broken", 1),
        (gzip.compress(bytes(300 * 2**20), 9), "statement_file_is_too_large", 1),
    ],
)
def test_case_61_spoilt_files_are_refused_with_the_line(made: bytes, code: str, line: int) -> None:
    assert refused(made) == (code, line)


def test_case_61_xml_bombs_are_not_opened() -> None:
    entities = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><a>&b;</a>'
    assert refused(entities) == ("statement_is_unsafe", 1)
    assert refused("<a>" * 100_000)[0] == "statement_is_unsafe"


def packed(
    files: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None
) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if change is not None:
                change(entry)
            archive.writestr(entry, content)
    return whole.getvalue()


def test_alipays_archive_is_read_and_its_summary_compared() -> None:
    files = {
        "20260000_业务明细.csv": alipay().encode("gbk"),
        "20260000_业务明细(汇总).csv": alipay_summary().encode("gbk"),
    }
    found = read(packed(files))
    assert (found.form, found.account, len(found.lines)) == ("alipay_bill", "2088", 1)
    files["20260000_业务明细(汇总).csv"] = alipay_summary("49.99").encode("gbk")
    assert refused(packed(files)) == ("statement_totals_differ", 3)


def test_case_61_zip_bombs_are_not_opened() -> None:
    assert refused(packed({"a.csv": bytes(64 * 2**20)}))[0] == "statement_file_is_too_large"
    many = {f"{n}.csv": b"x" for n in range(100)}
    assert refused(packed(many))[0] == "statement_archive_is_broken"
    nested = packed({"inner.zip": packed({"a.csv": wechat().encode()})})
    assert refused(nested)[0] == "file_is_no_statement"
    assert refused(packed({"readme.txt": b"hello"}))[0] == "file_is_no_statement"
    # A list that promises less than is packed is not believed.
    liar = bytearray(packed({"a.csv": bytes(64 * 2**20)}))
    at = liar.rfind(b"PK\x01\x02")
    liar[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    assert refused(bytes(liar))[0] in ("statement_file_is_too_large", "statement_archive_is_broken")


def test_case_62_a_corrected_file_is_told_from_a_repeated_one() -> None:
    first, second = uni().encode(), uni(rows=3).encode()
    assert statements.digest_of(first) != statements.digest_of(second)
    assert statements.digest_of(first) == statements.digest_of(uni().encode())
    assert statements.is_corrected(read(first), read(second))
    other = uni().replace(",M1,", ",M2,").encode()
    assert not statements.is_corrected(read(first), read(other))


def test_case_63_reversals_change_the_side_once() -> None:
    found = read(
        mt940(
            ":61:2610011001C10,00NTRFA//1",
            ":61:2610011001RC10,00NTRFA//2",
            ":61:2610011001D5,00NTRFB//3",
            ":61:2610011001RDR5,00NTRFB//4",
        )
    )
    assert [line.amount_minor for line in found.lines] == [1000, -1000, -500, 500]
    assert [line.is_reversal for line in found.lines] == [False, True, False, True]
    reversal = "<RvslInd>true</RvslInd>"
    camt = read(
        camt053(
            balance("OPBD", "0"),
            balance("CLBD", "0"),
            entry("10"),
            entry("10", "DBIT", more=reversal),
        )
    )
    assert [(line.amount_minor, line.is_reversal) for line in camt.lines] == [
        (1000, False),
        (-1000, True),
    ]


def test_case_64_references_as_banks_give_them_back() -> None:
    ours = "0192f3c4a5b6478d9eab0c1d2e3f4a5b"
    assert statements.normalised(f" {ours.upper()[:16]} {ours.upper()[16:]}-") == ours.upper()
    assert statements.normalised("ＰＡＹ－１") == "PAY1"
    assert is_cut(ours.upper()[:16], ours)
    assert is_cut(ours[-20:], ours)
    assert not is_cut(ours[:8], ours)
    assert not is_cut(ours, ours)
    assert not is_cut("F" * 16, ours)


def test_wechat_of_version_two_and_without_lines() -> None:
    row = marked(
        *("2026-10-01 09:00:01", "wx1", "190", "0", "", "42", "PAY1", "u", "MICROPAY", "REVOKED"),
        *("CFT", "CNY", "0.00", "0.00", "50", "RF1", "3.00", "0.00", "ORIGINAL", "SUCCESS"),
        *("书", "", "-0.02000", "0.60%"),
    )
    sums = marked("1", "0.00", "3.00", "0.00", "-0.02000")
    found = read("\n".join((COLUMNS_V2, row, TOTALS_V2, sums)))
    (line,) = found.lines
    assert (line.our_number, line.amount_minor, line.fee_minor) == ("RF1", -300, -2)
    assert line.is_reversal
    nothing = "\n".join((COLUMNS_V3, TOTALS_V3, marked("0", *("0.00",) * 6)))
    assert read(nothing, "bill-2026-10-01.csv").from_on == DAY
    assert refused(nothing)[0] == "statement_lacks"


def test_a_fee_finer_than_a_fen_is_rounded_and_kept() -> None:
    found = read(wechat().replace("0.60000", "0.00600"))
    assert (found.lines[0].fee_minor, found.lines[0].more["fee"]) == (1, "0.00600")


def test_uni_has_one_statement_for_each_currency() -> None:
    body = "number,payment_number,reference,kind,amount,currency,fee,status,booked_at\n"
    body += "a,a,r1,payment,100,CNY,1,succeeded,2026-10-01T15:59:58+00:00\n"
    body += "b,a,r2,refund,-40,CNY,-1,succeeded,2026-10-01T16:00:01+00:00\n"
    body += "c,c,r3,payment,7,JPY,0,succeeded,2026-10-01T01:00:00+00:00\n"
    sealed = hashlib.sha256(body.encode()).hexdigest()
    trailer = f"T,3,CNY:60;JPY:7,CNY:0;JPY:0,{sealed}"
    text = f"H,uni.statement.1,M1,2026-10-01,Asia/Shanghai\n{body}{trailer}\n"
    found = statements.read(text.encode(), "")
    assert [(s.currency, len(s.lines)) for s in found] == [("CNY", 2), ("JPY", 1)]
    assert found[0].lines[1].more["payment_number"] == "a"
    assert [str(line.booked_on) for line in found[0].lines] == ["2026-10-01", "2026-10-02"]
    empty = read(uni(rows=0))
    assert (empty.lines, empty.from_on) == ((), DAY)


def test_mt940_without_line_breaks_and_with_tags_in_texts() -> None:
    glued = read(
        ":20:REF:25:ACC1:28C:1/1:60F:C261001EUR1,00:61:2610011001C2,NTRFX:86:hello:62F:C261001EUR3,"
    )
    assert (glued.closing_minor, glued.lines[0].text) == (300, "hello")
    text = mt940(
        ":61:2610011001C1,00NTRFNONREF//B1",
        ":86:106?00X?20EREF+E2E1?21SVWZ+paid at",
        ":26:37 by?32Somebody",
        ":20:15 hours",
        *(f":line {n}" for n in range(12)),
        closes="101,00",
    )
    (line,) = read(text).lines
    assert (line.our_number, line.reference) == ("E2E1", "B1")
    assert line.counterparty.startswith("Somebody")


def test_mt940_pages_follow_each_other() -> None:
    first = mt940(":61:261001C1,NTRFX", closes="101,").replace(":62F:", ":62M:")
    second = mt940(":61:261001C1,NTRFX", opens="101,", closes="102,").replace(":60F:", ":60M:")
    pages = statements.read(f"{first}\r\n{second}".encode(), "")
    assert [(page.is_last_page, page.closing_minor) for page in pages] == [
        (False, 10100),
        (True, 10200),
    ]
    lost = second.replace("101,", "102,").replace("EUR102,\r\n-", "EUR103,\r\n-")
    assert refused(f"{first}\r\n{lost}") == ("statement_page_is_missing", 11)


def test_mt940_of_chinese_and_german_banks() -> None:
    text = mt940(":61:261001C1,NTRFX", ":86:对账 结息", closes="101,")
    assert read(text, encoding="gb18030").lines[0].text == "对账 结息"
    text = mt940(":61:261001C1,NTRFX", ":86:Gebühr für März", closes="101,")
    assert read(text, encoding="cp1252").lines[0].text == "Gebühr für März"


def test_mt942_totals_are_compared() -> None:
    head = ":20:R\n:25:A\n:28C:1\n:34F:EUR0,\n:13D:2610011200+0200\n:61:261001C5,NTRFX\n"
    found = read(f"{head}:90D:0EUR0,\n:90C:1EUR5,\n-")
    assert (found.form, statements.proof_of(found)) == ("mt942", statements.Proof.TOTALS)
    assert refused(f"{head}:90D:0EUR0,\n:90C:2EUR5,\n-") == ("statement_totals_differ", 8)


def test_batches_charges_and_what_is_not_booked() -> None:
    details = "".join(
        f'<TxDtls><Refs><EndToEndId>E{n}</EndToEndId></Refs><Amt Ccy="EUR">{n}</Amt></TxDtls>'
        for n in (1, 2)
    )
    batch = f"<NtryDtls><Btch><PmtInfId>B1</PmtInfId></Btch>{details}</NtryDtls>"
    fee = (
        '<Chrgs><Rcrd><Amt Ccy="EUR">0.50</Amt><CdtDbtInd>DBIT</CdtDbtInd>'
        "<ChrgInclInd>true</ChrgInclInd></Rcrd></Chrgs>"
    )
    found = read(
        camt053(
            balance("OPBD", "0"),
            balance("CLBD", "12.50"),
            entry("3", more=batch),
            entry("9.50", more=fee),
            entry("1000", status="PDNG"),
        )
    )
    assert [(line.our_number, line.amount_minor, line.batch) for line in found.lines] == [
        ("E1", 100, "B1"),
        ("E2", 200, "B1"),
        ("", 1000, ""),
    ]
    assert found.lines[2].fee_minor == 50
    assert statements.moved(found) == 1250
    off = batch.replace(">2</Amt>", ">2.5</Amt>")
    (line,) = read(camt053(entry("3", more=off))).lines
    assert (line.amount_minor, line.batch) == (300, "B1")


def test_camt_pages_and_summaries() -> None:
    page = "<StmtPgntn><PgNb>2</PgNb><LastPgInd>false</LastPgInd></StmtPgntn>"
    found = read(camt053(balance("ITBD", "1"), balance("ITBD", "3"), entry("2"), page=page))
    assert (found.page, found.is_last_page) == (2, False)
    assert (found.opening_minor, found.closing_minor) == (100, 300)
    summary = (
        "<TxsSummry><TtlNtries><NbOfNtries>{}</NbOfNtries><Sum>2</Sum></TtlNtries></TxsSummry>"
    )
    assert read(camt053(summary.format(1), entry("2"))).lines
    assert refused(camt053(summary.format(2), entry("2")))[0] == "statement_totals_differ"


def test_five_decimals_are_exact() -> None:
    assert read(camt053(entry("8.85000"))).lines[0].amount_minor == 885
    assert refused(camt053(entry("8.85001")))[0] == "statement_amount_is_too_fine"
    exact = camt053(balance("OPBD", "1.00000"), balance("CLBD", "3.00000"), entry("2"))
    assert read(exact).closing_minor == 300


def test_running_balances_prove_a_list_or_are_none() -> None:
    head = "记账日期,货币,交易金额,联机余额,交易摘要,对手信息,客户摘要\n"
    whole = f"{head}2026-10-01,CNY,5.00,15.00,a,b,c\n2026-10-02,CNY,-2.00,13.00,a,b,c\n"
    assert (read(whole).opening_minor, read(whole).closing_minor) == (1000, 1300)
    part = whole.replace("13.00", "12.00")
    assert (read(part).opening_minor, read(part).closing_minor) == (None, None)
    assert refused(whole.replace(",a,b,c\n2026-10-02", ",a\n2026-10-02")) == (
        "statement_field_is_malformed",
        2,
    )


WHOLE = [
    wechat().encode(),
    alipay().encode("gb18030"),
    uni().encode(),
    mt940(":61:2610011001C1,00NTRFX//B", ":86:106?00X?20EREF+E", closes="101,00").encode(),
    camt053(balance("OPBD", "1"), balance("CLBD", "3"), entry("2")).encode(),
    packed({"a.csv": alipay().encode("gbk"), "b.csv": alipay_summary().encode("gbk")}),
    gzip.compress(uni().encode()),
]


@settings(max_examples=400)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 10**4), st.binary(max_size=3)), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_case_61_no_spoilt_byte_is_an_error(
    whole: bytes, changes: list[tuple[int, bytes]], cut: int
) -> None:
    made = bytearray(whole)
    for at, by in changes:
        place = at % (len(made) + 1)
        made[place : place + max(1, len(by))] = by
    if cut == 0:
        del made[len(made) // 2 :]
    try:
        found = statements.read(bytes(made), "")
    except Refusal as refusal:
        line = refusal.facts["line"]
    else:
        line = min((x.number for s in found for x in s.lines), default=1)
    assert isinstance(line, int)
    assert line >= 1
