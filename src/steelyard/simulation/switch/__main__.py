"""A simulated card switch as a process: `python -m steelyard.simulation.switch --port 8583`.

It speaks ISO 8583 (ASCII, two bytes of length, HMAC in field 64 or 128) and keeps what it booked in
a file of its own. It behaves as tokens in field 48 tell it (`token=sim_...`):

    sim_decline:51      declines with that response code
    sim_timeout         charges, and does not answer
    sim_lose            neither charges nor answers
    sim_garble          charges, and answers what cannot be read
    sim_forge           charges, and answers with a wrong code of authenticity
    sim_amount:9999     charges, and answers with another amount
    sim_other           charges, and answers another message
    sim_deaf:2          charges, does not answer, and does not answer the first two reversals
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import sqlite3
import struct
from typing import Any

import iso8583
from iso8583.specs import default_ascii

from steelyard.base.lifeline import stop_with_parent

_TABLE = """
CREATE TABLE IF NOT EXISTS booked (
    reference TEXT PRIMARY KEY, number TEXT, processing TEXT, amount INTEGER, currency TEXT,
    state TEXT, approval TEXT, deaf INTEGER NOT NULL DEFAULT 0
)
"""


class Switch:
    """What the switch remembers, and how it answers."""

    def __init__(self, key: bytes, store: str) -> None:
        self._key = key
        self._kept = sqlite3.connect(store, isolation_level=None)
        self._kept.execute(_TABLE)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the messages of one connection, one after the other."""
        try:
            while True:
                (length,) = struct.unpack(">H", await reader.readexactly(2))
                answer = self.answer(await reader.readexactly(length))
                if answer is not None:
                    writer.write(struct.pack(">H", len(answer)) + answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, raw: bytes) -> bytes | None:
        """Return the answer to a message; None where it gets none."""
        fields, _ = iso8583.decode(raw, default_ascii)
        shown = fields.get("128") or fields.get("64") or ""
        if shown != self._code(raw[:-16]):
            return self._told(fields, "96")
        kind = fields["t"]
        if kind == "0800":
            return self._told(fields, "00")
        if kind in ("0400", "0401"):
            return self._reverse(fields)
        return self._book(fields) if kind == "0200" else self._told(fields, "12")

    def _book(self, fields: dict[str, str]) -> bytes | None:
        private = _pairs(fields.get("48", ""))
        token, _, value = private.get("token", "").partition(":")
        if token == "sim_lose":
            return None
        if token == "sim_decline":
            return self._told(fields, value)
        if fields["3"] == "200000" and not self._can_refund(fields, private):
            return self._told(fields, "12")
        approval = hashlib.sha256(fields["37"].encode()).hexdigest()[:6].upper()
        self._kept.execute(
            "INSERT OR IGNORE INTO booked (reference, number, processing, amount, currency, state,"
            " approval, deaf) VALUES (?, ?, ?, ?, ?, 'booked', ?, ?)",
            (
                fields["37"],
                private.get("number", ""),
                fields["3"],
                int(fields["4"]),
                fields["49"],
                approval,
                int(value) if token == "sim_deaf" else 0,
            ),
        )
        more = {"4": fields["4"], "49": fields["49"], "38": approval}
        if token in ("sim_timeout", "sim_deaf"):
            return None
        if token == "sim_garble":
            return b"<html>busy</html>"
        if token == "sim_amount":
            more["4"] = f"{int(value):012d}"
        if token == "sim_other":
            more["37"] = "0" * 12
        told = self._told(fields, "00", **more)
        return told[:-16] + b"0" * 16 if token == "sim_forge" else told

    def _can_refund(self, fields: dict[str, str], private: dict[str, str]) -> bool:
        """Whether what was paid, less what was given back, covers a refund."""
        original = private.get("original", "")
        paid = self._kept.execute(
            "SELECT coalesce(sum(amount), 0) FROM booked WHERE number = ? AND state = 'booked'"
            " AND processing = '000000'",
            (original,),
        ).fetchone()[0]
        given = self._kept.execute(
            "SELECT coalesce(sum(amount), 0) FROM booked WHERE state = 'booked'"
            " AND processing = ? AND reference <> ?",
            (f"refund of {original}", fields["37"]),
        ).fetchone()[0]
        fields["3"] = f"refund of {original}"
        return bool(int(fields["4"]) <= paid - given)

    def _reverse(self, fields: dict[str, str]) -> bytes | None:
        row = self._kept.execute(
            "SELECT state, deaf FROM booked WHERE reference = ?", (fields["37"],)
        ).fetchone()
        if row is None:
            return self._told(fields, "25")
        if row[1] > 0:
            self._kept.execute(
                "UPDATE booked SET deaf = deaf - 1 WHERE reference = ?", (fields["37"],)
            )
            return None
        self._kept.execute(
            "UPDATE booked SET state = 'reversed' WHERE reference = ?", (fields["37"],)
        )
        return self._told(fields, "00")

    def _told(self, fields: dict[str, str], code: str, **more: str) -> bytes:
        kind = fields["t"][:2] + "10"
        kept: dict[str, Any] = {
            name: fields[name] for name in ("7", "11", "37", "41", "42") if name in fields
        }
        told: dict[str, Any] = {"t": kind, **kept, "39": code, **more, "64": "0" * 16}
        raw, _ = iso8583.encode(told, default_ascii)
        told["64"] = self._code(bytes(raw[:-16]))
        raw, _ = iso8583.encode(told, default_ascii)
        return bytes(raw)

    def _code(self, raw: bytes) -> str:
        return hmac.digest(self._key, raw, hashlib.sha256)[:8].hex().upper()

    def holds(self) -> dict[str, int]:
        """Return what was booked and not reversed, by currency; refunds below zero."""
        rows = self._kept.execute(
            "SELECT currency, sum(CASE WHEN processing = '000000' THEN amount ELSE -amount END)"
            " FROM booked WHERE state = 'booked' GROUP BY currency"
        )
        return dict(rows.fetchall())


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(";") if "=" in pair)


async def _run(host: str, port: int, switch: Switch) -> None:
    server = await asyncio.start_server(switch.serve, host, port)
    found = server.sockets[0].getsockname()
    print(json.dumps({"host": found[0], "port": found[1]}), flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until SIGTERM, or until the supervisor is gone; the address is printed when it can."""
    parser = argparse.ArgumentParser(description="a simulated card switch, ISO 8583 over TCP")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--store", default=":memory:", help="file that it remembers in")
    chosen = parser.parse_args()
    stop_with_parent()
    key = bytes.fromhex(os.environ.get("STEELYARD_SWITCH_KEY", "00" * 32))
    asyncio.run(_run(chosen.host, chosen.port, Switch(key, chosen.store)))


if __name__ == "__main__":
    main()
