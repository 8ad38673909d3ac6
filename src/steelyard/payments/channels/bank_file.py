"""A bank that takes files: pain.001 and pain.008 out, camt, MT940 and pain.002 back.

`pay` collects by direct debit, or sends a transfer where the method is `transfer`; both wait in the
queue of a folder until `make_files` puts them into the next file. What became of an order is read
from the files that came back: a booked line is a success, a line that takes it back makes it
closed, and a report that refuses it makes it declined. Until then it is pending. The inbox is kept:
it is the evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from steelyard.kernel import Refusal, calendar
from steelyard.payments.channels.bank_folder import BankFolder, Record
from steelyard.payments.channels.pain import Order, Ourselves, write_debits, write_transfers
from steelyard.payments.model.channel import (
    Decline,
    Finding,
    Method,
    Notice,
    PayRequest,
    Query,
    RawNotice,
    RefundRequest,
    Said,
    StatementFile,
)
from steelyard.payments.model.notices_in import NoticeIsNotBelieved
from steelyard.payments.model.reading_pain002 import OrderStatus, knows_pain002, read_pain002
from steelyard.payments.model.reading_xml import tree_of
from steelyard.payments.model.references import normalised
from steelyard.payments.model.statement_files import read
from steelyard.payments.model.statement_text import latin
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

_DEBIT: Final = "debit"
_TRANSFER: Final = "transfer"
_MANDATE: Final = re.compile(r"[A-Za-z0-9+?/:().,'\- ]{1,35}")
_SEQUENCES: Final = frozenset({"FRST", "RCUR", "OOFF", "FNAL"})
_LONGEST_NUMBER: Final = 35
_BOOKED_FORMS: Final = ("camt.053", "mt940")
_SETTLED: Final = frozenset({"ACSC", "ACCC"})
# Reasons of ISO 20022 in our list; another is OTHER.
_DECLINES: Final = {
    "AC01": Decline.INVALID_CARD,
    "AC04": Decline.ACCOUNT_CLOSED,
    "AC06": Decline.NOT_PERMITTED,
    "AG01": Decline.NOT_PERMITTED,
    "AM04": Decline.INSUFFICIENT_FUNDS,
    "AM05": Decline.DUPLICATE,
    "FF01": Decline.INVALID_REQUEST,
    "MD01": Decline.MANDATE_INVALID,
    "MD06": Decline.PAYER_CANCELLED,
    "MD07": Decline.ACCOUNT_CLOSED,
    "MS02": Decline.DO_NOT_HONOR,
    "MS03": Decline.DO_NOT_HONOR,
}


@dataclass(slots=True)
class _Arrived:
    """What one file of the inbox says, read once."""

    stamp: tuple[int, int]
    statements: tuple[Statement, ...] = ()
    statuses: tuple[OrderStatus, ...] = ()
    refusal: Refusal | None = None


class BankFileChannel:
    """A bank that takes files.

    Parameters
    ----------
    code : name of the channel
    settings : `folder`, `name`, `iban`, `bic`; and, where wanted, `creditor` (for direct debits),
        `account` (its name in MT940, where that is no IBAN), `currency` (EUR), `timezone`
        (Europe/Berlin), `calendar` (TARGET2), `lead_days` (1), `most_rows` (10000)
    timeout : not used; a folder does not answer late
    """

    def __init__(self, code: str, settings: Mapping[str, str], timeout: float = 0.0) -> None:
        self._code = code
        self._folder = BankFolder(Path(settings["folder"]))
        self._us = Ourselves(
            name=settings["name"],
            iban=settings["iban"].replace(" ", ""),
            bic=settings["bic"],
            currency=settings.get("currency", "EUR"),
            creditor=settings.get("creditor", ""),
        )
        self._zone = ZoneInfo(settings.get("timezone", "Europe/Berlin"))
        self._calendar = calendar(settings.get("calendar", "TARGET2"))
        self._lead_days = int(settings.get("lead_days", "1"))
        self._most_rows = int(settings.get("most_rows", "10000"))
        accounts = (self._us.iban, settings.get("account", ""))
        self._accounts = frozenset(normalised(account) for account in accounts if account)
        self._arrived: dict[str, _Arrived] = {}

    @property
    def code(self) -> str:
        """Its name with us."""
        return self._code

    def pay(self, request: PayRequest) -> Finding:
        """Let a debit, or a transfer, wait for the next file.

        `details` name the other side: `name`, `iban`, perhaps `bic`; of a debit `mandate` and
        `mandate_on` (a date), perhaps `sequence` (RCUR).
        """
        is_transfer = request.method is Method.TRANSFER
        record = {
            "kind": _TRANSFER if is_transfer else _DEBIT,
            "amount_minor": request.amount_minor,
            "currency": request.currency,
            "text": request.subject,
            **{name: request.details.get(name, "") for name in ("name", "iban", "bic")},
        }
        if not is_transfer:
            record |= {
                "mandate": request.details.get("mandate", ""),
                "mandate_on": request.details.get("mandate_on", ""),
                "sequence": request.details.get("sequence", "RCUR"),
            }
        return self._put(request.number, record)

    def refund(self, request: RefundRequest) -> Finding:
        """Let a transfer back to the payer of a debit wait for the next file."""
        paid = self._folder.find(request.payment_number)
        if paid is None or paid["kind"] != _DEBIT:
            return _declined("payment_not_found", Decline.INVALID_REQUEST)
        record = {
            "kind": _TRANSFER,
            "amount_minor": request.amount_minor,
            "currency": request.currency,
            "text": request.reason or f"refund of {request.payment_number}",
            **{name: paid[name] for name in ("name", "iban", "bic")},
        }
        return self._put(request.number, record)

    def query(self, query: Query) -> Finding:
        """Say what the files that came back say about an order."""
        record = self._folder.find(query.number)
        if record is None:
            return Finding(said=Said.NOT_FOUND)
        if self._folder.is_closed(query.number):
            return Finding(said=Said.CLOSED)
        self._look()
        return (
            self._booked(query.number, record)
            or self._reported(query.number, record)
            or Finding(said=Said.PENDING)
        )

    def cancel(self, query: Query) -> Finding:
        """Take an order back while it waits; one that is in a file is only asked about."""
        if self._folder.close(query.number):
            return Finding(said=Said.CLOSED)
        return self.query(query)

    def parse_notice(self, raw: RawNotice, now: datetime) -> Notice:
        """Refuse: a bank of files sends none."""
        raise NoticeIsNotBelieved(channel=self._code, why="no_notices")

    def statement(self, on: date) -> StatementFile | None:
        """Return the statement of our account that ends on a day; of several the newest."""
        self._look()
        found = [
            (arrived.stamp, name, arrived.statements[0].form)
            for name, arrived in self._arrived.items()
            if any(
                s.to_on == on and s.form in _BOOKED_FORMS and self._is_ours(s.account)
                for s in arrived.statements
            )
        ]
        if not found:
            return None
        _, name, form = max(found)
        with suppress(FileNotFoundError):
            content = (self._folder.inbox / name).read_bytes()
            return StatementFile(name=name, content=content, form=form)
        return None

    def make_files(self, at: datetime) -> tuple[Path, ...]:
        """Put what waits into files in the outbox, each order into one file and each file once.

        Parameters
        ----------
        at : now; execution is `lead_days` business days later on the bank's calendar
        """
        local = at.astimezone(self._zone)
        on = self._calendar.add_business_days(local.date(), self._lead_days)
        made: list[Path] = []
        for kind, write in ((_TRANSFER, write_transfers), (_DEBIT, write_debits)):

            def whole(name: str, records: Sequence[Record], write: Any = write) -> bytes:
                content: bytes = write(_orders(records, on), self._us, message=name, at=local)
                return content

            while (file := self._folder.make_file(kind, whole, most=self._most_rows)) is not None:
                made.append(file)
        return tuple(made)

    def refused_files(self) -> dict[str, Refusal]:
        """Return the files of the inbox that cannot be read, and why: people have to look."""
        self._look()
        return {name: a.refusal for name, a in self._arrived.items() if a.refusal is not None}

    def _put(self, number: str, record: dict[str, Any]) -> Finding:
        wrong = self._wrong(number, record)
        if wrong:
            return _declined(wrong, Decline.INVALID_REQUEST)
        record["number"] = number
        try:
            stored = self._folder.put(number, record)
        except OSError:
            return Finding(said=Said.NOT_SENT, why="folder")
        if dict(stored) != record:
            # What stands under the number is another order; nothing is known about this one.
            return Finding(said=Said.UNKNOWN, why="number_used")
        return Finding(said=Said.CLOSED if self._folder.is_closed(number) else Said.PENDING)

    def _wrong(self, number: str, record: Mapping[str, Any]) -> str:
        """Return what is wrong with an order; empty where nothing is."""
        from schwifty import BIC, IBAN
        from schwifty.exceptions import SchwiftyException

        if not number.isalnum() or len(number) > _LONGEST_NUMBER:
            return "number"
        if record["currency"] != self._us.currency:
            return "currency"
        if not 0 < record["amount_minor"] < 10**11:
            return "amount"
        if not latin(record["name"]):
            return "name"
        try:
            IBAN(record["iban"])
            if record["bic"]:
                BIC(record["bic"])
            if record["kind"] == _DEBIT:
                date.fromisoformat(record["mandate_on"])
        except SchwiftyException:
            return "iban"
        except ValueError:
            return "mandate_on"
        if record["kind"] == _DEBIT and not (
            self._us.creditor
            and _MANDATE.fullmatch(record["mandate"])
            and record["sequence"] in _SEQUENCES
        ):
            return "mandate"
        return ""

    def _booked(self, number: str, record: Record) -> Finding | None:
        """Return what the booked lines of an order say; None where there are none."""
        lines = self._lines(number)
        sign = 1 if record["kind"] == _DEBIT else -1
        there = [x for x in lines if x.amount_minor * sign > 0 and not _takes_back(x)]
        back = [x for x in lines if _takes_back(x) or x.amount_minor * sign < 0]
        if not there and not back:
            return None
        last = (back or there)[-1]
        if back:
            code = last.more.get("return_reason", "")
            return Finding(
                said=Said.CLOSED,
                amount_minor=abs(last.amount_minor),
                currency=last.currency,
                reference=last.reference or None,
                code=code or None,
                decline=_DECLINES.get(code, Decline.OTHER) if code else None,
                at=last.booked_at,
            )
        return Finding(
            said=Said.SUCCEEDED,
            amount_minor=abs(sum(x.amount_minor for x in there)),
            currency=last.currency,
            reference=last.reference or None,
            fee_minor=last.fee_minor,
            at=last.booked_at,
        )

    def _lines(self, number: str) -> list[StatementLine]:
        """Return the lines of an order: from statements, else from notifications; each once.

        A bank notifies during the day what it states at the end of it, and a corrected statement
        repeats the first: the same booking is counted once.
        """
        wanted = normalised(number)
        found: dict[bool, dict[tuple[object, ...], StatementLine]] = {True: {}, False: {}}
        for _, arrived in sorted(self._arrived.items(), key=lambda item: (item[1].stamp, item[0])):
            for statement in arrived.statements:
                if not self._is_ours(statement.account):
                    continue
                is_final = statement.form in _BOOKED_FORMS
                for line in statement.lines:
                    if normalised(line.our_number) == wanted:
                        key = (line.amount_minor, line.booked_on, line.reference, line.is_reversal)
                        found[is_final][key] = line
        return list((found[True] or found[False]).values())

    def _reported(self, number: str, record: Record) -> Finding | None:
        """Return what status reports say of an order; the most exact word counts."""
        message = self._folder.file_of(number)
        if message is None:
            return None
        about = [
            (arrived.stamp, status)
            for arrived in self._arrived.values()
            for status in arrived.statuses
            if status.number == number
            or (not status.number and status.message == message and status.status == "RJCT")
        ]
        if not about:
            return None
        last = max(about, key=lambda found: (bool(found[1].number), bool(found[1].part), found[0]))[
            1
        ]
        if last.status == "RJCT":
            return _declined(last.reason or last.status, _DECLINES.get(last.reason, Decline.OTHER))
        # That a debit was taken is believed when it is booked, not before.
        is_through = last.status in _SETTLED and record["kind"] == _TRANSFER
        return Finding(said=Said.SUCCEEDED if is_through else Said.PENDING)

    def _is_ours(self, account: str) -> bool:
        return normalised(account) in self._accounts

    def _look(self) -> None:
        """Read what came into the inbox since the last look."""
        for file in _files(self._folder.inbox):
            with suppress(FileNotFoundError):  # somebody tidied up meanwhile
                stat = file.stat()
                stamp = (stat.st_mtime_ns, stat.st_size)
                known = self._arrived.get(file.name)
                if known is None or known.stamp != stamp:
                    self._arrived[file.name] = _read(file, stamp)


def _files(folder: Path) -> Iterable[Path]:
    return sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))


def _read(file: Path, stamp: tuple[int, int]) -> _Arrived:
    content = file.read_bytes()
    try:
        if b":pain.002." in content[:1000]:
            root = tree_of(content)
            if knows_pain002(root):
                return _Arrived(stamp, statuses=read_pain002(root))
        return _Arrived(stamp, statements=read(content, file.name))
    except Refusal as refusal:
        return _Arrived(stamp, refusal=refusal)


def _takes_back(line: StatementLine) -> bool:
    return line.is_reversal or line.kind is LineKind.RETURN


def _declined(code: str, decline: Decline) -> Finding:
    return Finding(said=Said.DECLINED, code=code, decline=decline)


def _orders(records: Sequence[Record], on: date) -> list[Order]:
    return [
        Order(
            number=record["number"],
            amount_minor=record["amount_minor"],
            name=record["name"],
            iban=record["iban"],
            bic=record["bic"],
            on=on,
            text=record["text"],
            mandate=record.get("mandate", ""),
            mandate_on=(
                date.fromisoformat(record["mandate_on"]) if record.get("mandate_on") else None
            ),
            sequence=record.get("sequence", "RCUR"),
        )
        for record in records
    ]
