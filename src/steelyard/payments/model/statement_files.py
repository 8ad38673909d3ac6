"""Statement files: read whatever channels and banks send, written for merchants.

`read` finds the form out by the content, never by the name. A file is read whole or refused whole;
a refusal names the line and the reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from steelyard.payments.model import (
    reading_bills,
    reading_camt,
    reading_exports,
    reading_mt940,
    reading_uni,
    statement_csv,
)
from steelyard.payments.model.reading_xml import tree_of
from steelyard.payments.model.references import normalised
from steelyard.payments.model.statement_camt import write_camt053
from steelyard.payments.model.statement_csv import (
    Signature,
    Signer,
    signature_of,
)
from steelyard.payments.model.statement_csv import write_statement_csv as write_csv
from steelyard.payments.model.statement_forms import no_message, no_statement
from steelyard.payments.model.statement_mt940 import write_mt940
from steelyard.payments.model.statement_refusals import (
    FileIsNoStatement,
    StatementDoesNotAddUp,
    StatementTotalsDiffer,
)
from steelyard.payments.model.statement_text import (
    decoded,
    first_wrong,
    loosely,
    western,
    written,
)
from steelyard.payments.model.statement_unpacking import (
    MOST_BYTES,
    check_archive,
    check_size,
    gunzip,
    is_gzip,
    is_workbook,
    is_zip,
    unzip,
)
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

__all__ = [
    "MOST_BYTES",
    "FileIsNoStatement",
    "LineKind",
    "Proof",
    "Signature",
    "Signer",
    "Statement",
    "StatementDoesNotAddUp",
    "StatementLine",
    "StatementTotalsDiffer",
    "digest_of",
    "is_corrected",
    "moved",
    "normalised",
    "proof_of",
    "read",
    "signature_of",
    "write_camt053",
    "write_csv",
    "write_mt940",
    "written",
]

_XML: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|[A-Za-z_!])|\xff\xfe<\x00|\xfe\xff\x00<")
_WITH_TOTALS: Final = frozenset({"wechat_bill", "alipay_bill", "uni", "steelyard_csv", "mt942"})


class Proof(StrEnum):
    """What in a file shows that no line of it is missing or changed."""

    BALANCES = "balances"
    """Opening, movements and closing hold."""
    TOTALS = "totals"
    """Control totals of its form hold."""
    NONE = "none"
    """It states nothing that could be checked; absence in it proves nothing."""


def read(content: bytes, name: str) -> tuple[Statement, ...]:
    r"""Return the statements that a file holds.

    Parameters
    ----------
    content : as it came; gzip and zip are opened, to 256 MiB
    name : for the day of a bill without lines; the form is found out by the content

    Returns
    -------
    tuple of Statement
        At least one. With both balances, opening + amounts - fees = closing; control totals of the
        forms that have them hold.

    Refusals
    --------
    file_is_no_statement, statement_file_is_too_large, statement_archive_is_broken
    statement_is_cut_off, statement_lacks, statement_encoding_is_wrong, statement_is_unsafe
    statement_field_is_malformed, statement_amount_is_too_fine, statement_currency_is_unknown
    statement_currencies_differ, statement_does_not_add_up, statement_totals_differ
    statement_page_is_missing, statement_seal_is_broken : each with its `line`

    Examples
    --------
    >>> mt940 = b":20:1\n:25:A\n:28C:1\n:60F:C261001EUR1,00\n:62F:C261001EUR1,00\n-"
    >>> read(mt940, "")[0].closing_minor
    100
    """
    check_size(len(content))
    if is_gzip(content):
        content = gunzip(content)
    if is_zip(content):
        return _workbook(content) if is_workbook(content) else _archive(content, name)
    if _XML.match(content):
        root = tree_of(content)
        if not reading_camt.knows_camt(root):
            raise no_message(root.namespace, root.name, root.line)
        return reading_camt.read_camt(root)
    return _plain(content, name)


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of a file, by which the same file is known again."""
    return hashlib.sha256(content).hexdigest()


def moved(statement: Statement) -> int:
    """Return what the lines moved on the account, in minor units: amounts less fees."""
    return sum(line.amount_minor - (line.fee_minor or 0) for line in statement.lines)


def proof_of(statement: Statement) -> Proof:
    """Return what its reader could check a statement by."""
    if statement.opening_minor is not None and statement.closing_minor is not None:
        return Proof.BALANCES
    return Proof.TOTALS if statement.form in _WITH_TOTALS else Proof.NONE


def is_corrected(earlier: Statement, later: Statement) -> bool:
    """Tell whether two statements of files that differ are about the same account, days and page.

    The later one then replaces the earlier; with the same `digest_of` it is only a repetition.
    """
    same = ("form", "account", "currency", "from_on", "to_on", "page")
    return all(getattr(earlier, name) == getattr(later, name) for name in same)


def _plain(content: bytes, name: str) -> tuple[Statement, ...]:
    candidates = decoded(content)
    for _, text in candidates:
        reader = _reader(text)
        if reader is not None:
            return reader(text, name)
    text = western(content)
    if reading_mt940.knows_mt940(text):
        return reading_mt940.read_mt940(text)
    if not candidates:
        for encoding in ("utf-8", "gb18030"):
            if _reader(loosely(content, encoding)) is not None:
                raise first_wrong(content, encoding)
    raise no_statement(content)


def _reader(text: str) -> Callable[[str, str], tuple[Statement, ...]] | None:
    """Return who reads the text, told by its first lines."""
    if statement_csv.knows_statement_csv(text):
        return lambda text, _: (statement_csv.read_statement_csv(text),)
    if reading_uni.knows_uni(text):
        return lambda text, _: reading_uni.read_uni(text)
    if reading_bills.knows_wechat(text):
        return lambda text, name: (reading_bills.read_wechat(text, name),)
    if reading_bills.knows_alipay(text) and not reading_bills.is_alipay_summary(text):
        return lambda text, _: (reading_bills.read_alipay(text),)
    head = "\n".join(text.split("\n", 64)[:64])
    if "," in head and reading_exports.knows_export(reading_exports.csv_rows(head)):
        return lambda text, _: (reading_exports.read_export(reading_exports.csv_rows(text)),)
    return None


def _workbook(content: bytes) -> tuple[Statement, ...]:
    check_archive(content)
    sheets = reading_exports.workbook_sheets(content)
    known = [rows for rows in sheets if reading_exports.knows_export(rows)]
    if not known:
        raise FileIsNoStatement(
            line=1, what_en="a workbook of another kind", what_zh="其他用途的电子表格"
        )
    return tuple(reading_exports.read_export(rows) for rows in known)


def _archive(content: bytes, name: str) -> tuple[Statement, ...]:
    """Return the statements of an archive's files; summaries among them are checked against."""
    made: list[Statement] = []
    summaries = []
    for inner_name, inner in unzip(content):
        texts = [text for _, text in decoded(inner)]
        summary = next((t for t in texts if reading_bills.is_alipay_summary(t)), None)
        if summary is not None:
            summaries.append(summary)
        elif _XML.match(inner):
            made.extend(read(inner, inner_name))
        else:
            made.extend(_plain(inner, f"{inner_name} {name}"))
    details = [statement for statement in made if statement.form == "alipay_bill"]
    for summary, detail in zip(summaries, details, strict=False):
        reading_bills.check_alipay_summary(summary, detail)
    if not made:
        raise FileIsNoStatement(
            line=1, what_en="an archive without statements", what_zh="不含对账单的压缩包"
        )
    return tuple(made)
