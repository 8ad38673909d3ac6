"""A simulated credit bureau, as a process of its own: `python -m ... --port 8601`.

It knows no real person: a file is made from the digest of a number, so that the same number has
the same file in every run. It keeps what it was asked and what was reported to it in a store of
its own, and misbehaves when told to (`POST /script`).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request, Response
from pydantic import BaseModel

from steelyard.credit.providers.misbehaving import Script, follow, scripted, serve

STRANGER = ("陌生人", "110101199001010010")
_MADE_ON = "2026-01-01"


class Asked(BaseModel):
    """A request for a file."""

    request: str
    name: str
    id_number: str
    why: str
    made_on: str | None = None


class Desk:
    """What the bureau remembers."""

    def __init__(self, path: str) -> None:
        self._store = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._store.executescript(
            "CREATE TABLE IF NOT EXISTS inquiry (request TEXT PRIMARY KEY, answer TEXT NOT NULL,"
            " id_number TEXT NOT NULL, why TEXT NOT NULL);"
            "CREATE TABLE IF NOT EXISTS record (institution TEXT, account TEXT, month TEXT,"
            " line TEXT NOT NULL, PRIMARY KEY (institution, account, month));"
            "CREATE TABLE IF NOT EXISTS file (period TEXT, sha256 TEXT, rows INTEGER,"
            " PRIMARY KEY (period, sha256));"
        )

    def answer(self, asked: Asked, forced: str | None) -> dict[str, Any]:
        """Return what is found about a person, once for each request."""
        known = self.find(asked.request)
        if known is not None:
            return known
        found, file = _file_of(asked, forced)
        number = self._store.execute("SELECT count(*) FROM inquiry").fetchone()[0] + 1
        made: dict[str, Any] = {
            "request": asked.request,
            "found": found,
            "reason": "scripted" if forced else "searched",
            "reference": f"B{number}",
            "name": asked.name,
            "id_number": asked.id_number,
            "file": file,
        }
        self._store.execute(
            "INSERT INTO inquiry VALUES (?, ?, ?, ?)",
            (asked.request, json.dumps(made), asked.id_number, asked.why),
        )
        return made

    def find(self, request: str) -> dict[str, Any] | None:
        """Return what was answered to a request."""
        row = self._store.execute(
            "SELECT answer FROM inquiry WHERE request = ?", (request,)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def count(self, id_number: str) -> int:
        """Return how many inquiries left a trace with a person."""
        row = self._store.execute("SELECT count(*) FROM inquiry WHERE id_number = ?", (id_number,))
        return int(row.fetchone()[0])

    def take_in(self, period: str, content: bytes) -> dict[str, Any]:
        """Check a reporting file against its own totals, and take its rows in."""
        digest = hashlib.sha256(content).hexdigest()
        lines = content.decode("utf-8", "replace").splitlines()
        reason = _wrong(period, lines)
        if reason:
            return {"state": "rejected", "sha256": digest, "rows": 0, "reason": reason}
        institution = lines[0].split(",")[2]
        for line in lines[2:-1]:
            cells = line.split(",")
            key = (institution, cells[1], period)
            if cells[2] == "delete":
                self._store.execute("DELETE FROM record WHERE account = ?", (cells[1],))
            else:
                self._store.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)",
                                    (*key, line))  # fmt: skip
        rows = len(lines) - 3
        self._store.execute("INSERT OR IGNORE INTO file VALUES (?, ?, ?)", (period, digest, rows))
        return {"state": "accepted", "sha256": digest, "rows": rows, "reason": ""}

    def records(self, account: str) -> list[dict[str, str]]:
        """Return what was reported about an account, by month."""
        rows = self._store.execute(
            "SELECT month, line FROM record WHERE account = ? ORDER BY month", (account,)
        )
        return [{"month": month, "line": line} for month, line in rows]


def _file_of(asked: Asked, forced: str | None) -> tuple[str, dict[str, Any] | None]:
    """Return what the digest of a number says: one in ten is thin, one in twelve has no file."""
    digest = hashlib.sha256(asked.id_number.encode()).digest()
    found = forced or ("no_file" if digest[0] < 21 else "thin_file" if digest[0] < 47 else "hit")
    if found not in ("hit", "thin_file"):
        return found, None
    thin = found == "thin_file"
    accounts = 1 if thin else 2 + digest[1] % 8
    late = 0 if thin or digest[2] < 190 else (5, 15, 40, 95)[digest[2] % 4]
    balance = accounts * 300_000 + int.from_bytes(digest[4:7], "big") % 4_000_000
    return found, {
        "made_on": asked.made_on or _MADE_ON,
        "currency": "CNY",
        "accounts": accounts,
        "open_accounts": max(1, accounts - digest[3] % 3),
        "balance_minor": balance,
        "limit_minor": 2 * balance,
        "overdue_minor": balance // 20 if late > 30 else 0,
        "monthly_due_minor": balance // 24,
        "worst_dpd_24m": late,
        "inquiries_6m": digest[7] % 7,
        "oldest_months": 5 if thin else 12 + digest[8] % 120,
        "score": None if thin else 780 - 2 * late - 8 * (digest[7] % 7) - digest[9] % 40,
    }


def _wrong(period: str, lines: list[str]) -> str:
    """Return what is wrong with a file, by the bureau's own reading of it."""
    if len(lines) < 3 or not lines[0].startswith("H,") or not lines[-1].startswith("T,"):
        return "no_header_or_trailer"
    header, names = lines[0].split(","), lines[1].split(",")
    if header[3] != period:
        return "another_period"
    rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[2:-1]]
    if any(row.get("record") != "D" for row in rows):
        return "row_malformed"
    body = "".join(f"{line}\n" for line in lines[1:-1]).encode()
    totals = (
        len(rows),
        sum(int(row["balance_minor"]) for row in rows),
        sum(int(row["overdue_minor"]) for row in rows),
        hashlib.sha256(body).hexdigest(),
    )
    said = lines[-1].split(",")
    return "" if [str(one) for one in totals] == said[1:] else "totals_differ"


def _lie(done: dict[str, Any]) -> dict[str, Any]:
    name, number = STRANGER
    return {**done, "name": name, "id_number": number}


def create_bureau(path: str = ":memory:") -> FastAPI:
    """Return the bureau as an application that remembers in a file, or in memory."""
    desk, script = Desk(path), Script()
    app = scripted("Simulated credit bureau", script)

    @app.post("/v1/inquiries")
    async def inquire(asked: Asked, request: Request) -> Response:
        rule = script.take("inquire")
        return await follow(rule, request, lambda: desk.answer(asked, rule.force), _lie)

    @app.get("/v1/inquiries/{number}")
    async def what_became_of(number: str, request: Request) -> Response:
        unknown = {"request": number, "found": "not_received", "reason": "no_such"}
        rule = script.take("query")
        return await follow(rule, request, lambda: desk.find(number) or unknown, _lie)

    @app.get("/v1/persons/{id_number}/inquiries")
    async def count(id_number: str) -> dict[str, int]:
        return {"inquiries": desk.count(id_number)}

    @app.put("/v1/files/{period}")
    async def take_in(
        period: str, content: Annotated[bytes, Body(media_type="text/csv")], request: Request
    ) -> Response:
        rule = script.take("deliver")
        return await follow(rule, request, lambda: desk.take_in(period, content), dict)

    @app.get("/v1/accounts/{account}")
    async def records(account: str) -> list[dict[str, str]]:
        return desk.records(account)

    return app


def main() -> None:
    """Serve until SIGTERM."""
    serve("a simulated credit bureau", create_bureau)


if __name__ == "__main__":
    main()
