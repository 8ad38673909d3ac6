"""The adaptor of a card switch: ISO 8583 messages over TCP.

A purchase is a 0200, its answer a 0210; a refund is a 0200 of another processing code. The standard
has no question about an earlier message: what was not answered is reversed (冲正). So `query` says
`not_found`, which proves nothing, and `cancel` sends a 0400, and 0401 again, until a 0410 says that
no money stays there. A message is two bytes of length and the message; it ends with a code of
authenticity (field 64 or 128), eight bytes of HMAC-SHA256 over everything before it.

Sources: ISO 8583:1987 (fields, message types); 90 holds the original data elements.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import struct
import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from steelyard.payments.model.channel import (
    Decline,
    Finding,
    Notice,
    PayRequest,
    Query,
    RawNotice,
    RefundRequest,
    Said,
    StatementFile,
)
from steelyard.payments.model.notices_in import NoticeIsNotBelieved

PURCHASE: Final = "000000"
REFUND: Final = "200000"
_ACQUIRER: Final = "00000000156"
_NUMERIC: Final = {"CNY": "156", "USD": "840", "EUR": "978", "JPY": "392", "HKD": "344"}
_ALPHA: Final = {number: code for code, number in _NUMERIC.items()}
_DECLINES: Final = {
    "05": Decline.DO_NOT_HONOR,
    "13": Decline.INVALID_REQUEST,
    "14": Decline.INVALID_CARD,
    "30": Decline.INVALID_REQUEST,
    "41": Decline.STOLEN_CARD,
    "43": Decline.STOLEN_CARD,
    "51": Decline.INSUFFICIENT_FUNDS,
    "54": Decline.EXPIRED_CARD,
    "55": Decline.INVALID_PIN,
    "57": Decline.NOT_PERMITTED,
    "59": Decline.SUSPECTED_FRAUD,
    "61": Decline.LIMIT_EXCEEDED,
    "62": Decline.NOT_PERMITTED,
    "78": Decline.ACCOUNT_CLOSED,
    "91": Decline.ISSUER_UNAVAILABLE,
}
# The switch did not do it, or cannot say: none of them is a final word about the money.
_PROVES_NOTHING: Final = frozenset({"68", "94", "96", "98"})
_NOT_THERE: Final = "25"
"""Of a reversal: the switch cannot find the original; nothing of it stays there."""
_TRIES: Final = 3


class Iso8583Channel:
    """A card switch.

    Parameters
    ----------
    settings : `host`, `port`, `key` (of the code of authenticity, hex), `terminal` (at most 8
        characters), `merchant` (at most 15); `statements`, a folder into which the switch's daily
        files are delivered as `YYYY-MM-DD.csv`, where there is one
    timeout : seconds, for connecting and for an answer
    """

    def __init__(self, code: str, settings: Mapping[str, str], timeout: float) -> None:
        self._code = code
        self._address = (settings["host"], int(settings["port"]))
        self._key = bytes.fromhex(settings["key"])
        self._terminal = settings.get("terminal", "00000001").ljust(8)[:8]
        self._merchant = settings.get("merchant", "000000000000001").ljust(15)[:15]
        self._folder = settings.get("statements")
        self._timeout = timeout
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()

    @property
    def code(self) -> str:
        """Its name with us."""
        return self._code

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def pay(self, request: PayRequest) -> Finding:
        """Send a 0200; the same number again is found by its retrieval reference."""
        fields = {
            **self._head(request.number, request.sent_at, PURCHASE),
            "4": f"{request.amount_minor:012d}",
            "48": _private(number=request.number, token=request.instrument or ""),
            "49": _NUMERIC.get(request.currency, "999"),
        }
        if len(fields["4"]) > 12 or fields["49"] == "999":
            return Finding(
                said=Said.DECLINED, decline=Decline.INVALID_REQUEST, code="local", why="field"
            )
        return self._financial(fields)

    def query(self, query: Query) -> Finding:
        """Say that the standard has no question: what is unknown is reversed."""
        return Finding(said=Said.NOT_FOUND, why="reversed_instead")

    def refund(self, request: RefundRequest) -> Finding:
        """Send a 0200 that gives back, with the original's reference in it."""
        fields = {
            **self._head(request.number, request.sent_at, REFUND),
            "4": f"{request.amount_minor:012d}",
            "48": _private(number=request.number, original=request.payment_number),
            "49": _NUMERIC.get(request.currency, "999"),
        }
        return self._financial(fields)

    def cancel(self, query: Query) -> Finding:
        """Reverse (冲正): a 0400, then 0401, until a 0410 says that no money stays there."""
        processing = REFUND if query.of_refund else PURCHASE
        fields = self._head(query.number, query.sent_at, processing)
        original = f"0200{fields['11']}{fields['7']}{_ACQUIRER}{'0' * 11}"
        fields |= {"90": original, "48": _private(number=query.number)}
        for again in range(_TRIES):
            answer = self._exchange("0401" if again else "0400", fields)
            if isinstance(answer, Finding):
                continue
            code = answer.get("39", "")
            if code in ("00", _NOT_THERE):
                return Finding(said=Said.CLOSED, code=code, reference=answer.get("38"))
            return Finding(said=Said.UNKNOWN, code=code, why="reversal_refused")
        return Finding(said=Said.UNKNOWN, why="no_0410")

    def parse_notice(self, raw: RawNotice, now: datetime) -> Notice:
        """Refuse: a switch of this kind sends none.

        Refusals
        --------
        notice_is_not_believed
        """
        raise NoticeIsNotBelieved(channel=self._code, why="no_notices")

    def statement(self, on: date) -> StatementFile | None:
        """Return the file that was delivered for a day; None while there is none."""
        if self._folder is None:
            return None
        path = Path(self._folder, f"{on.isoformat()}.csv")
        return StatementFile(name=path.name, content=path.read_bytes()) if path.exists() else None

    def echo(self) -> bool:
        """Whether the switch answers a 0800 (echo test)."""
        fields = {"7": _stamp(datetime.now(UTC)), "11": "000001", "37": "0" * 12, "70": "301"}
        answer = self._exchange("0800", fields)
        return not isinstance(answer, Finding) and answer.get("39") == "00"

    def _head(self, number: str, sent_at: datetime, processing: str) -> dict[str, str]:
        """Return the fields by which a message is known: all follow from number and instant."""
        local = sent_at.astimezone(UTC)
        return {
            "3": processing,
            "7": _stamp(local),
            "11": trace_of(number),
            "12": local.strftime("%H%M%S"),
            "13": local.strftime("%m%d"),
            "32": _ACQUIRER,
            "37": reference_of(number),
            "41": self._terminal,
            "42": self._merchant,
        }

    def _financial(self, fields: Mapping[str, str]) -> Finding:
        answer = self._exchange("0200", fields)
        if isinstance(answer, Finding):
            return answer
        code = answer.get("39", "")
        if code == "00":
            amount = answer.get("4", "")
            return Finding(
                said=Said.SUCCEEDED,
                amount_minor=int(amount) if amount.isdigit() else None,
                currency=_ALPHA.get(answer.get("49", "")),
                reference=answer.get("38"),
                code=code,
            )
        if code in _PROVES_NOTHING or not code:
            return Finding(said=Said.UNKNOWN, code=code, why=f"response_{code}")
        return Finding(said=Said.DECLINED, code=code, decline=_DECLINES.get(code, Decline.OTHER))

    def _exchange(self, kind: str, fields: Mapping[str, str]) -> dict[str, str] | Finding:
        """Send a message and return the fields of its answer, or what is known without one."""
        try:
            connection = self._take()
        except OSError:
            return Finding(said=Said.NOT_SENT, why="connect")
        try:
            connection.sendall(sealed(self._key, kind, fields))
            answer = self._answer_to(connection, kind, fields["37"])
        except (OSError, TimeoutError, Unreadable) as error:
            # A late answer must not be taken for the answer to the next message.
            connection.close()
            return Finding(said=Said.UNKNOWN, why=type(error).__name__.lower())
        with self._lock:
            self._idle.append(connection)
        return answer

    def _answer_to(self, connection: socket.socket, kind: str, reference: str) -> dict[str, str]:
        answer = opened(self._key, _framed(connection))
        wanted = kind[:2] + "10" if kind != "0401" else "0410"
        if answer["t"] != wanted or answer.get("37") != reference:
            raise Unreadable("it answers another message")
        return answer

    def _take(self) -> socket.socket:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        connection = socket.create_connection(self._address, self._timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class Unreadable(Exception):
    """What came is no message, is not authentic, or answers something else."""


def reference_of(number: str) -> str:
    """Return the retrieval reference (field 37) of a number of ours.

    Examples
    --------
    >>> reference_of("019a0000000070008000abcdef012345")
    'ABCDEF012345'
    """
    return number[-12:].upper()


def trace_of(number: str) -> str:
    """Return the trace number (field 11) of a number of ours.

    Examples
    --------
    >>> trace_of("019a0000000070008000abcdef012345")
    '614213'
    """
    return f"{int(number[-8:], 16) % 1_000_000:06d}"


def sealed(key: bytes, kind: str, fields: Mapping[str, str]) -> bytes:
    """Return a message with its length before it and its code of authenticity in it."""
    import iso8583
    from iso8583.specs import default_ascii

    told: dict[str, Any] = {"t": kind, **fields}
    place = "128" if any(int(name) > 64 for name in fields) else "64"
    told[place] = "0" * 16
    raw, _ = iso8583.encode(told, default_ascii)
    told[place] = hmac.digest(key, bytes(raw[:-16]), hashlib.sha256)[:8].hex().upper()
    raw, _ = iso8583.encode(told, default_ascii)
    return struct.pack(">H", len(raw)) + bytes(raw)


def opened(key: bytes, raw: bytes) -> dict[str, str]:
    """Return the fields of a message whose code of authenticity is right.

    Raises
    ------
    Unreadable
    """
    import iso8583
    from iso8583.specs import default_ascii

    try:
        fields, _ = iso8583.decode(raw, default_ascii)
    except (iso8583.DecodeError, ValueError) as error:
        raise Unreadable(str(error)) from error
    shown = fields.get("128") or fields.get("64") or ""
    right = hmac.digest(key, raw[:-16], hashlib.sha256)[:8].hex().upper()
    if not hmac.compare_digest(shown.encode(), right.encode()):
        raise Unreadable("its code of authenticity is wrong")
    return dict(fields)


def _framed(connection: socket.socket) -> bytes:
    (length,) = struct.unpack(">H", _exactly(connection, 2))
    return _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    held = b""
    while len(held) < count:
        more = connection.recv(count - len(held))
        if not more:
            raise ConnectionError("closed")
        held += more
    return held


def _private(**told: str) -> str:
    """Return field 48: names and values, in pairs."""
    return ";".join(f"{name}={value}" for name, value in told.items() if value)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%m%d%H%M%S")
