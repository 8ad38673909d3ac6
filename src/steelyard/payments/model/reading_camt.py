"""ISO 20022 bank statements: camt.052 (report), camt.053 (statement), camt.054 (notification).

Every version is read by the same paths; where versions differ (`Sts` and `Sts/Cd`, `Cdtr/Nm` and
`Cdtr/Pty/Nm`, charges) both are looked for. Entries that are not booked (`PDNG`, `INFO`) are no
movements and are left out: they come again when they are booked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from steelyard.payments.model.reading_xml import Element
from steelyard.payments.model.statement_refusals import (
    StatementCurrenciesDiffer,
    StatementDoesNotAddUp,
    StatementFieldIsMalformed,
    StatementLacks,
    StatementTotalsDiffer,
)
from steelyard.payments.model.statement_text import day, exponent_of, minor_of, span, written
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

_MESSAGE: Final = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.05([234])\.\d{3}\.\d{2}")
_NUMBER: Final = re.compile(r"\d{1,18}(\.\d{1,5})?|\.\d{1,5}")
OUR_CODES: Final = "STEELYARD"
"""Issuer of the codes by which statements of our own say the kind of a line."""
_SIGNS: Final = {"CRDT": 1, "DBIT": -1}
_PARTS: Final = {
    "2": ("BkToCstmrAcctRpt", "Rpt", "RptPgntn"),
    "3": ("BkToCstmrStmt", "Stmt", "StmtPgntn"),
    "4": ("BkToCstmrDbtCdtNtfctn", "Ntfctn", "NtfctnPgntn"),
}
_FEES: Final = frozenset({"CHRG", "COMM", "FEES", "TAXE"})
_RETURNS: Final = frozenset({"RRTN", "UPDD", "UPCT", "ARET", "PRDD", "RPCR"})
_NOTHING: Final = frozenset({"", "NOTPROVIDED", "NOT PROVIDED", "NONREF"})
_OPENS: Final = ("OPBD", "PRCD")


def knows_camt(root: Element) -> bool:
    """Tell whether the document is one of the three messages, of any version."""
    return _MESSAGE.fullmatch(root.namespace) is not None


def read_camt(root: Element) -> tuple[Statement, ...]:
    """Return the statements of a message, in the order in which they stand in it.

    Returns
    -------
    tuple of Statement
        Lines are numbered by their order in the file. An entry of several transactions makes a line
        of each where these add up to it in its currency, under one `batch`; otherwise the entry is
        one line. An entry's amount is what moved on the account; charges that were taken out of it
        stand in `fee_minor`, and the line's amount is what it was before them.

    Refusals
    --------
    statement_lacks, statement_field_is_malformed, statement_amount_is_too_fine,
    statement_currencies_differ, statement_does_not_add_up, statement_totals_differ
    """
    match = _MESSAGE.fullmatch(root.namespace)
    assert match is not None
    document, part, paging = _PARTS[match[1]]
    message = root.need(document)
    found = list(message.all(part))
    if not found:
        raise StatementLacks(line=message.line, missing=part)
    made: list[Statement] = []
    numbers = 0
    for element in found:
        page = element.find(paging) or message.find("GrpHdr", "MsgPgntn")
        reading = _Reading(element, f"camt.05{match[1]}", page, numbers)
        made.append(reading.statement())
        numbers += len(made[-1].lines)
    return tuple(made)


@dataclass(frozen=True, slots=True)
class _Balance:
    kind: str
    amount_minor: int
    on: date
    line: int
    is_plain: bool
    """Whether it is written in no more decimals than its currency has."""


class _Reading:
    """One statement of a message."""

    def __init__(self, element: Element, form: str, page: Element | None, before: int) -> None:
        self.element, self.form, self.before = element, form, before
        self.page = int(page.value("PgNb") or "1") if page is not None else 1
        self.is_last = page is None or page.value("LastPgInd") in ("true", "1")
        account = element.need("Acct")
        self.account = account.value("Id", "IBAN") or account.value("Id", "Othr", "Id")
        if not self.account:
            raise StatementLacks(line=account.line, missing="Acct/Id")
        self.entries = list(element.all("Ntry"))
        self.currency = self._currency(account)

    def _currency(self, account: Element) -> str:
        stated = account.value("Ccy")
        amounts = [entry.need("Amt") for entry in self.entries]
        amounts += [balance.need("Amt") for balance in self.element.all("Bal")]
        currency = stated or (amounts[0].attributes.get("Ccy", "") if amounts else "")
        if not currency:
            raise StatementLacks(line=account.line, missing="Acct/Ccy")
        exponent_of(currency, account.line)
        return currency

    def statement(self) -> Statement:
        lines: list[StatementLine] = []
        moved, booked = 0, []
        for entry in self.entries:
            amount = _signed(entry, self.currency)
            booked.append(amount)
            if _status(entry) not in ("BOOK", ""):
                continue
            moved += amount
            lines.extend(_Entry(self, entry, amount).lines(self.before + len(lines) + 1))
        self._check_summary(booked)
        opening, closing = self._balances(moved)
        from_on, to_on = self._days(lines)
        return Statement(
            form=self.form,
            account=self.account,
            currency=self.currency,
            from_on=from_on,
            to_on=to_on,
            lines=tuple(lines),
            opening_minor=opening.amount_minor if opening else None,
            closing_minor=closing.amount_minor if closing else None,
            id=self.element.value("Id"),
            page=self.page,
            is_last_page=self.is_last,
        )

    def created_on(self) -> date:
        return _day_of(self.element.need("CreDtTm"))

    def _days(self, lines: Sequence[StatementLine]) -> tuple[date, date]:
        stated = self.element.find("FrToDt")
        if stated is not None:
            ends = [stated.find(f"{end}Tm") or stated.find(end) for end in ("FrDt", "ToDt")]
            if ends[0] is not None and ends[1] is not None:
                return _day_of(ends[0]), _day_of(ends[1])
        days = [line.booked_on for line in lines]
        days += [b.on for b in self._stated_balances() if b.kind.startswith("CL")]
        return span(days) or (self.created_on(), self.created_on())

    def _stated_balances(self) -> list[_Balance]:
        """Return the balances in the account's own currency; others are for information."""
        found = []
        for balance in self.element.all("Bal"):
            amount = balance.need("Amt")
            if amount.attributes.get("Ccy") != self.currency:
                continue
            kind = balance.value("Tp", "CdOrPrtry", "Cd")
            text = amount.text.strip()
            places = len(text.partition(".")[2])
            found.append(
                _Balance(
                    kind=kind,
                    amount_minor=_sign(balance) * _minor(amount, self.currency),
                    on=_day_of(balance.find("Dt", "DtTm") or balance.need("Dt", "Dt")),
                    line=amount.line,
                    is_plain=places <= exponent_of(self.currency, amount.line),
                )
            )
        return found

    def _balances(self, moved: int) -> tuple[_Balance | None, _Balance | None]:
        """Return opening and closing, checked against what moved.

        Interim balances (`ITBD`) count on the pages between the first and the last. ISO 20022 gives
        an amount no more decimals than its currency has: balances that are written with more, and
        contradict the movements, are no balances that anything could be checked by, and are taken
        as not stated. Any other contradiction is refused.
        """
        stated = sorted(self._stated_balances(), key=lambda balance: balance.on)
        opening = next((b for b in stated if b.kind in _OPENS), None)
        closing = next((b for b in reversed(stated) if b.kind == "CLBD"), None)
        interim = [b for b in stated if b.kind == "ITBD"]
        if opening is None and self.page > 1 and interim:
            opening = interim.pop(0)
        if closing is None and not self.is_last and interim:
            closing = interim[-1]
        if opening is None or closing is None:
            return opening, closing
        if opening.amount_minor + moved == closing.amount_minor:
            return opening, closing
        if not (opening.is_plain and closing.is_plain):
            return None, None
        raise StatementDoesNotAddUp(
            line=closing.line,
            opening=written(opening.amount_minor, self.currency),
            movements=written(moved, self.currency),
            closing=written(closing.amount_minor, self.currency),
            currency=self.currency,
        )

    def _check_summary(self, booked: Sequence[int]) -> None:
        """Compare `TxsSummry`, which counts every entry, with the entries."""
        sides = {
            "TtlNtries": list(booked),
            "TtlCdtNtries": [amount for amount in booked if amount > 0],
            "TtlDbtNtries": [amount for amount in booked if amount < 0],
        }
        for name, amounts in sides.items():
            total = self.element.find("TxsSummry", name)
            if total is None:
                continue
            self._compare(total, "NbOfNtries", Decimal(len(amounts)))
            exponent = exponent_of(self.currency, total.line)
            size = sum(abs(amount) for amount in amounts)
            self._compare(total, "Sum", Decimal(size).scaleb(-exponent))

    @staticmethod
    def _compare(total: Element, name: str, counted: Decimal) -> None:
        part = total.find(name)
        if part is None:
            return
        text = part.text.strip()
        if not _NUMBER.fullmatch(text):
            raise StatementFieldIsMalformed(line=part.line, field=name, found=text[:40])
        if Decimal(text) != counted:
            raise StatementTotalsDiffer(
                line=part.line, total=f"{total.name}/{name}", stated=text, counted=f"{counted:f}"
            )


class _Entry:
    """One entry of a statement, and the transactions in it."""

    def __init__(self, reading: _Reading, entry: Element, amount: int) -> None:
        self.reading, self.entry, self.amount = reading, entry, amount
        self.currency = reading.currency
        self.details = list(entry.all("NtryDtls", "TxDtls"))
        self.batch = entry.find("NtryDtls", "Btch")
        at = entry.find("BookgDt", "DtTm") or entry.find("BookgDt", "Dt")
        value = entry.find("ValDt", "Dt") or entry.find("ValDt", "DtTm")
        self.value_on = _day_of(value) if value is not None else None
        self.booked_on = _day_of(at) if at is not None else self.value_on or reading.created_on()
        self.booked_at = _instant_of(at) if at is not None and at.name == "DtTm" else None

    def lines(self, first: int) -> Iterator[StatementLine]:
        parts = self._parts()
        if parts is None:
            detail = self.details[0] if len(self.details) == 1 else None
            fee = _charges(self.entry, self.currency)
            if fee is None and detail is not None:
                fee = _charges(detail, self.currency)
            yield self._line(first, detail, amount=self.amount + (fee or 0), fee=fee)
            return
        for place, (detail, amount, fee) in enumerate(parts):
            yield self._line(first + place, detail, amount=amount, fee=fee)

    def _parts(self) -> list[tuple[Element, int, int | None]] | None:
        """Return what the transactions moved; None unless several make the entry exactly."""
        if len(self.details) < 2:
            return None
        parts = []
        for detail in self.details:
            amount = (
                detail.find("Amt")
                or detail.find("AmtDtls", "TxAmt", "Amt")
                or detail.find("AmtDtls", "InstdAmt", "Amt")
            )
            if amount is None or amount.attributes.get("Ccy") != self.currency:
                return None
            marked = detail if detail.find("CdtDbtInd") is not None else self.entry
            size = _sign(marked) * _minor(amount, self.currency)
            parts.append((detail, size, _charges(detail, self.currency)))
        moved = sum(size - (fee or 0) for _, size, fee in parts)
        return parts if moved == self.amount else None

    def _line(
        self, number: int, detail: Element | None, *, amount: int, fee: int | None
    ) -> StatementLine:
        empty = Element("TxDtls", "", self.entry.line, {})
        facts = detail or empty
        refs = facts.find("Refs") or empty
        our = _given(refs, "EndToEndId", "InstrId", "TxId")
        more = {
            "end_to_end_id": _given(refs, "EndToEndId"),
            "mandate": _given(refs, "MndtId"),
            "account_of_other": _other_account(facts, amount),
            "return_reason": facts.value("RtrInf", "Rsn", "Cd"),
            "code": self._code(facts),
        }
        if detail is None and self.details:
            more["details"] = str(len(self.details))
            more["end_to_end_ids"] = " ".join(
                filter(None, (_given(d, "Refs/EndToEndId") for d in self.details))
            )
        return StatementLine(
            number=number,
            kind=self._kind(facts, amount),
            amount_minor=amount,
            currency=self.currency,
            booked_on=self.booked_on,
            reference=(
                _given(refs, "AcctSvcrRef")
                or _given(self.entry, "AcctSvcrRef", "NtryRef")
                or _given(refs, "TxId")
            ),
            our_number=our or _given(self.batch or empty, "PmtInfId", "MsgId"),
            fee_minor=fee,
            booked_at=self.booked_at,
            value_on=self.value_on,
            is_reversal=self.entry.value("RvslInd") in ("true", "1"),
            batch=self._batch_id() if self.batch is not None or len(self.details) > 1 else "",
            status=_status(self.entry),
            counterparty=_other(facts, amount),
            text=_remittance(facts) or self.entry.value("AddtlNtryInf"),
            more={name: value for name, value in more.items() if value},
        )

    def _batch_id(self) -> str:
        named = _given(self.batch, "PmtInfId", "MsgId") if self.batch is not None else ""
        return named or _given(self.entry, "AcctSvcrRef", "NtryRef") or f"line-{self.entry.line}"

    def _code(self, facts: Element) -> str:
        for element in (facts, self.entry):
            domain = element.find("BkTxCd", "Domn")
            if domain is not None:
                family = (domain.value("Fmly", "Cd"), domain.value("Fmly", "SubFmlyCd"))
                return "-".join((domain.value("Cd"), *family))
            if element.value("BkTxCd", "Prtry", "Cd"):
                return element.value("BkTxCd", "Prtry", "Cd")
        return ""

    def _kind(self, facts: Element, amount: int) -> LineKind:
        if self.entry.value("BkTxCd", "Prtry", "Issr") == OUR_CODES:
            return LineKind(self.entry.value("BkTxCd", "Prtry", "Cd").lower())
        code = self._code(facts).rpartition("-")[2]
        if facts.find("RtrInf") is not None or code in _RETURNS:
            return LineKind.RETURN
        if code in _FEES:
            return LineKind.FEE
        return LineKind.PAYMENT if amount >= 0 else LineKind.PAYOUT


def _status(entry: Element) -> str:
    return entry.value("Sts", "Cd") or entry.value("Sts")


def _sign(element: Element) -> int:
    side = element.need("CdtDbtInd")
    if side.text.strip() not in _SIGNS:
        raise StatementFieldIsMalformed(
            line=side.line, field="CdtDbtInd", found=side.text.strip()[:40]
        )
    return _SIGNS[side.text.strip()]


def _minor(amount: Element, currency: str) -> int:
    text = amount.text.strip()
    if not _NUMBER.fullmatch(text):
        raise StatementFieldIsMalformed(line=amount.line, field="Amt", found=text[:40])
    return minor_of(Decimal(text), currency, amount.line)


def _signed(entry: Element, currency: str) -> int:
    """Return what an entry moved; `RvslInd` does not turn it round, `CdtDbtInd` says it already."""
    amount = entry.need("Amt")
    found = amount.attributes.get("Ccy", "")
    if found != currency:
        raise StatementCurrenciesDiffer(line=amount.line, currency=currency, found=found)
    return _sign(entry) * _minor(amount, currency)


def _charges(element: Element, currency: str) -> int | None:
    """Return the charges that were taken out of an amount; None where none were."""
    total, is_charged = 0, False
    for charge in (*element.all("Chrgs"), *element.all("Chrgs", "Rcrd")):
        if charge.value("ChrgInclInd") not in ("true", "1"):
            continue
        amount = charge.need("Amt")
        if amount.attributes.get("Ccy") != currency:
            continue
        side = charge.value("CdtDbtInd") or "DBIT"
        total -= _SIGNS.get(side, -1) * _minor(amount, currency)
        is_charged = True
    return total if is_charged else None


def _given(element: Element, *names: str) -> str:
    for name in names:
        value = element.value(*name.split("/"))
        if value.upper() not in _NOTHING:
            return value
    return ""


def _other(facts: Element, amount: int) -> str:
    side = "Dbtr" if amount >= 0 else "Cdtr"
    parties = ("RltdPties", side)
    return facts.value(*parties, "Pty", "Nm") or facts.value(*parties, "Nm")


def _other_account(facts: Element, amount: int) -> str:
    place = ("RltdPties", "DbtrAcct" if amount >= 0 else "CdtrAcct", "Id")
    return facts.value(*place, "IBAN") or facts.value(*place, "Othr", "Id")


def _remittance(facts: Element) -> str:
    texts = [e.text.strip() for e in facts.all("RmtInf", "Ustrd")]
    texts += [e.text.strip() for e in facts.all("RmtInf", "Strd", "CdtrRefInf", "Ref")]
    return " ".join(text for text in texts if text)


def _instant_of(element: Element) -> datetime | None:
    """Return an instant; None of a time without a zone, which nobody can place."""
    try:
        found = datetime.fromisoformat(element.text.strip())
    except ValueError:
        text = element.text.strip()[:40]
        raise StatementFieldIsMalformed(line=element.line, field="DtTm", found=text) from None
    return found.astimezone(UTC) if found.tzinfo else None


def _day_of(element: Element) -> date:
    """Return the date on the bank's own clock: what is written, whatever its distance to UTC."""
    return day(element.text.strip()[:10], element.line)
