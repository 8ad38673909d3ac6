"""Merchant statements that we write: read back by us, and by programs that are not ours."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import re
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.kernel import Refusal
from steelyard.payments import statements
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

AT = datetime(2026, 10, 2, 1, tzinfo=UTC)
DAY = date(2026, 10, 1)


def statement(*lines: StatementLine, opening: int = 10_000, currency: str = "CNY") -> Statement:
    moved = sum(line.amount_minor - (line.fee_minor or 0) for line in lines)
    return Statement(
        form="steelyard_csv",
        account="m1",
        currency=currency,
        from_on=DAY,
        to_on=DAY,
        lines=lines,
        opening_minor=opening,
        closing_minor=opening + moved,
        id="m1-20261001",
    )


def line(number: int = 1, amount: int = 5_000, fee: int | None = 30, **more: Any) -> StatementLine:
    facts: dict[str, Any] = {
        "kind": LineKind.PAYMENT,
        "currency": "CNY",
        "booked_on": DAY,
        "booked_at": datetime(2026, 10, 1, 9, tzinfo=UTC),
        "our_number": f"{number:032x}",
        "reference": f"R{number}",
        "counterparty": "张三",
        "text": "coffee, milk",
    }
    return StatementLine(number=number, amount_minor=amount, fee_minor=fee, **facts | more)


SAMPLE = statement(
    line(),
    line(2, -2_000, -12, kind=LineKind.REFUND, more={"payment_number": f"{1:032x}"}),
    line(3, -100, None, kind=LineKind.FEE, is_reversal=True, value_on=DAY),
)

texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30)
lines = st.builds(
    StatementLine,
    number=st.integers(1, 10**6),
    kind=st.sampled_from(LineKind),
    amount_minor=st.integers(-(10**12), 10**12),
    currency=st.just("KWD"),
    booked_on=st.dates(date(2000, 1, 1), date(2099, 1, 1)),
    reference=texts,
    our_number=texts,
    fee_minor=st.none() | st.integers(-(10**6), 10**6),
    booked_at=st.none() | st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC)),
    value_on=st.none() | st.just(DAY),
    is_reversal=st.booleans(),
    batch=texts,
    status=texts,
    counterparty=texts,
    text=texts,
    more=st.dictionaries(texts, st.text(st.characters(exclude_categories=["Cs"]), max_size=9)),
)


@settings(max_examples=60)
@given(st.lists(lines, max_size=4), st.integers(-(10**12), 10**12), st.booleans())
def test_csv_comes_back_as_it_was(made: list[StatementLine], opening: int, has_mark: bool) -> None:
    whole = statement(*made, opening=opening, currency="KWD")
    content = statements.write_csv(whole, has_mark=has_mark)
    (found,) = statements.read(content, "")
    numbered = tuple(replace(x, number=y.number) for x, y in zip(made, found.lines, strict=True))
    assert replace(found, lines=numbered) == whole


def test_csv_keeps_the_line_numbers_and_the_mark() -> None:
    (found,) = statements.read(statements.write_csv(SAMPLE, has_mark=True), "")
    assert found == SAMPLE
    assert statements.write_csv(SAMPLE, has_mark=True).startswith(b"\xef\xbb\xbf")
    assert statements.write_csv(SAMPLE) == statements.write_csv(SAMPLE)


def test_signed_with_ed25519_and_with_hmac() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    signer = statements.Signer("ed25519", "k1", key.sign)
    content = statements.write_csv(SAMPLE, signer=signer, has_mark=True)
    found = statements.signature_of(content)
    assert found is not None
    assert (found.algorithm, found.key) == ("ed25519", "k1")
    key.public_key().verify(found.signature, found.signed)
    spoilt = statements.signature_of(content.replace(b"50.00", b"51.00"))
    assert spoilt is not None
    with pytest.raises(InvalidSignature):
        key.public_key().verify(spoilt.signature, spoilt.signed)
    # The mark, and line ends that a mail program changed, are not part of what is signed.
    changed = statements.signature_of(content.removeprefix(b"\xef\xbb\xbf").replace(b"\n", b"\r\n"))
    assert changed == found

    def sign(content: bytes) -> bytes:
        return hmac.digest(b"secret", content, "sha256")

    content = statements.write_csv(SAMPLE, signer=statements.Signer("hmac-sha256", "k2", sign))
    found = statements.signature_of(content)
    assert found is not None
    assert hmac.compare_digest(found.signature, sign(found.signed))
    assert statements.read(content, "")[0] == SAMPLE
    assert statements.signature_of(statements.write_csv(SAMPLE)) is None


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ((b"50.00", b"51.00"), "statement_seal_is_broken"),
        ((b"\nT,3", b"\nT,2"), "statement_seal_is_broken"),
        ((b"\nS,", b"\nX,"), "statement_is_cut_off"),
    ],
)
def test_changed_csv_is_refused(spoil: tuple[bytes, bytes], code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        statements.read(statements.write_csv(SAMPLE).replace(*spoil), "")
    assert refusal.value.code == code


def test_totals_are_counted_even_where_the_hash_was_made_anew() -> None:
    body = statements.write_csv(SAMPLE).rsplit(b"S,", 1)[0].replace(b"50.00", b"51.00")
    forged = body + b"S," + hashlib.sha256(body).hexdigest().encode() + b"\n"
    with pytest.raises(Refusal) as refusal:
        statements.read(forged, "")
    assert refusal.value.code == "statement_totals_differ"


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", "'=1", "＝1", "\r=1\n=2"]
)
def test_case_61_no_cell_is_a_formula(text: str) -> None:
    made = statement(line(text=text, counterparty=text, our_number=text), line(2, -5, 0))
    content = statements.write_csv(made)
    for row in csv.reader(io.StringIO(content.decode())):
        for cell in row:
            is_number = cell.replace(".", "", 1).lstrip("-").isdigit()
            assert is_number or not cell.startswith(tuple("=+-@＝\t\r\n")), cell
    plain = text.replace("\r", " ").replace("\n", " ")
    assert statements.read(content, "")[0].lines[0].text == plain


def test_what_does_not_add_up_is_not_written() -> None:
    wrong = replace(SAMPLE, closing_minor=1)
    with pytest.raises(Refusal) as refusal:
        statements.write_csv(wrong)
    assert refusal.value.code == "statement_does_not_add_up"
    with pytest.raises(Refusal) as refusal:
        statements.write_camt053(wrong, at=AT)
    assert refusal.value.code == "statement_does_not_add_up"
    with pytest.raises(Refusal) as refusal:
        statements.write_camt053(replace(SAMPLE, opening_minor=None), at=AT)
    assert refusal.value.code == "statement_lacks"
    with pytest.raises(Refusal) as refusal:
        statements.write_camt053(statement(line(reference="R" * 36)), at=AT)
    assert refusal.value.code == "statement_field_is_malformed"


def test_camt053_comes_back_as_it_was() -> None:
    (found,) = statements.read(statements.write_camt053(SAMPLE, at=AT), "")
    assert found.form == "camt.053"
    assert (found.opening_minor, found.closing_minor) == (10_000, SAMPLE.closing_minor)
    assert (found.account, found.from_on, found.to_on) == ("m1", DAY, DAY)
    same = ("number", "kind", "amount_minor", "fee_minor", "booked_on", "booked_at", "value_on")
    more = ("reference", "our_number", "is_reversal", "counterparty", "text")
    for ours, theirs in zip(SAMPLE.lines, found.lines, strict=True):
        for name in same + more:
            assert getattr(theirs, name) == getattr(ours, name), name


def test_camt053_is_read_by_a_foreign_program(tmp_path: Path) -> None:
    from bankstatementparser import CamtParser

    file = tmp_path / "statement.xml"
    file.write_bytes(statements.write_camt053(SAMPLE, at=AT))
    rows = CamtParser(str(file)).parse().to_dict("records")
    moved = [x.amount_minor - (x.fee_minor or 0) for x in SAMPLE.lines]
    assert [row["Amount"] for row in rows] == [Decimal(m).scaleb(-2) for m in moved]
    assert {row["AccountId"] for row in rows} == {"m1"}
    assert [row["EndToEndId"] for row in rows] == [x.our_number for x in SAMPLE.lines]


def test_camt053_obeys_the_schema_that_the_library_was_made_of() -> None:
    from pyiso20022.camt.camt_053_001_08 import Document
    from xsdata.formats.dataclass.parsers import XmlParser

    long = statement(*(line(n, text="長" * 500, counterparty="名" * 200) for n in range(1, 30)))
    document = XmlParser().from_bytes(statements.write_camt053(long, at=AT), Document)
    assert document.bk_to_cstmr_stmt is not None
    check_facets(document)


def check_facets(element: Any) -> None:
    """Compare every value with length, pattern and number that the XSD prescribes."""
    for part in fields(element):
        value, facets = getattr(element, part.name), part.metadata
        values = value if isinstance(value, list) else [value] if value is not None else []
        assert values or not facets.get("required"), part.name
        assert len(values) >= facets.get("min_occurs", 0), part.name
        for one in values:
            if is_dataclass(one):
                check_facets(one)
            elif isinstance(one, str):
                assert len(one) <= facets.get("max_length", 10_000), part.name
                assert len(one) >= facets.get("min_length", 0), part.name
                assert re.fullmatch(facets.get("pattern", "(?s).*"), one), part.name


def test_camt053_of_other_clocks_keeps_the_business_date() -> None:
    midnight = datetime(2026, 9, 30, 16, tzinfo=UTC)  # 00:00 of 1 October in Shanghai
    made = statement(line(booked_at=midnight), line(2, booked_at=midnight - timedelta(hours=9)))
    (found,) = statements.read(statements.write_camt053(made, at=AT), "")
    assert [x.booked_on for x in found.lines] == [DAY, DAY]
    assert [x.booked_at for x in found.lines] == [midnight, None]


def test_mt940_is_read_by_us_and_by_a_foreign_program() -> None:
    import mt940

    text = "- :62F:C261001 = coffee? " * 20
    made = statement(
        *SAMPLE.lines,
        line(4, 77, None, reference="R" * 30, text=text, counterparty="株式会社 Müller & Söhne"),
        line(5, 50, None, is_reversal=True, booked_on=date(2026, 10, 2), value_on=DAY),
    )
    content = statements.write_mt940(made)
    rows = content.decode("ascii").split("\r\n")
    assert max(len(row.removeprefix(":86:")) for row in rows) <= 65
    (found,) = statements.read(content, "")
    assert (found.opening_minor, found.closing_minor) == (made.opening_minor, made.closing_minor)
    assert statements.moved(found) == statements.moved(made)
    ours = list(made.lines)
    theirs = [x for x in found.lines if not x.text.startswith("EREF+")]
    same = ("amount_minor", "our_number", "reference", "booked_on", "is_reversal")
    assert len(theirs) == len(ours)
    for one, other in zip(ours, theirs, strict=True):
        for name in same:
            assert getattr(other, name) == getattr(one, name), name
    options = mt940.Options(reversal_sign=True)
    library = mt940.parse(content.decode(), options=options)
    amounts = [t.data["amount"].amount for t in library.transactions]
    assert amounts == [Decimal(x.amount_minor).scaleb(-2) for x in found.lines]
    assert library.data["final_closing_balance"].amount.amount == Decimal("130.09")


@settings(max_examples=60)
@given(st.lists(lines, max_size=4), st.integers(-(10**9), 10**9))
def test_mt940_of_anything_is_refused_or_adds_up(made: list[StatementLine], opening: int) -> None:
    whole = statement(*made, opening=opening, currency="KWD")
    has_room = all(
        x.our_number.isascii() and x.reference.isascii() and len(x.our_number + x.reference) < 60
        for x in made
    )
    try:
        content = statements.write_mt940(whole)
    except Refusal:
        has_odd = any(re.search(r"[^\w ]|_", x.our_number + x.reference) for x in made)
        assert has_odd or not has_room
        return
    (found,) = statements.read(content, "")
    assert found.closing_minor == whole.closing_minor
