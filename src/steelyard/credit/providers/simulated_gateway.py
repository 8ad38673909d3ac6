"""A simulated message gateway, as a process of its own: `python -m ... --port 8602`.

It sends nothing to anybody: what goes out stands in its outbox. A message is accepted when it
comes and delivered when it is asked about the next time; one to an address that ends in `000`
fails. It misbehaves when told to (`POST /script`).
"""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel

from steelyard.credit.providers.misbehaving import Script, follow, scripted, serve


class Asked(BaseModel):
    """A message to send."""

    request: str
    channel: str
    to: str
    text: str


class Desk:
    """What the gateway remembers."""

    def __init__(self, path: str) -> None:
        self._store = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._store.executescript(
            "CREATE TABLE IF NOT EXISTS outbox (nr INTEGER PRIMARY KEY, request TEXT UNIQUE,"
            " channel TEXT, address TEXT, text TEXT, told TEXT, sent INTEGER DEFAULT 1);"
        )

    def send(self, asked: Asked, forced: str | None) -> dict[str, Any]:
        """Send a message, once for each request."""
        self._store.execute(
            "INSERT INTO outbox (request, channel, address, text, told) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (request) DO UPDATE SET sent = sent + 1",
            (asked.request, asked.channel, asked.to, asked.text, forced or "accepted"),
        )
        return self._answer(asked.request)

    def query(self, request: str) -> dict[str, Any]:
        """Return what became of a message; what was accepted has arrived, or failed, by now."""
        self._store.execute(
            "UPDATE outbox SET told = CASE WHEN address LIKE '%000' THEN 'failed'"
            " ELSE 'delivered' END WHERE request = ? AND told = 'accepted'",
            (request,),
        )
        return self._answer(request)

    def outbox(self, to: str) -> list[dict[str, Any]]:
        """Return what went to an address."""
        rows = self._store.execute(
            "SELECT request, channel, text, told, sent FROM outbox WHERE address = ? ORDER BY nr",
            (to,),
        )
        names = ("request", "channel", "text", "told", "sent")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _answer(self, request: str) -> dict[str, Any]:
        row = self._store.execute(
            "SELECT nr, told FROM outbox WHERE request = ?", (request,)
        ).fetchone()
        if row is None:
            return {"request": request, "told": "not_received", "reason": "no_such"}
        reason = "no_such_address" if row[1] == "failed" else row[1]
        return {"request": request, "told": row[1], "reason": reason, "reference": f"M{row[0]}"}


def _lie(done: dict[str, Any]) -> dict[str, Any]:
    return {**done, "told": "failed" if done["told"] != "failed" else "delivered"}


def create_gateway(path: str = ":memory:") -> FastAPI:
    """Return the gateway as an application that remembers in a file, or in memory."""
    desk, script = Desk(path), Script()
    app = scripted("Simulated message gateway", script)

    @app.post("/v1/messages")
    async def send(asked: Asked, request: Request) -> Response:
        rule = script.take("send")
        return await follow(rule, request, lambda: desk.send(asked, rule.force), _lie)

    @app.get("/v1/messages/{number}")
    async def what_became_of(number: str, request: Request) -> Response:
        rule = script.take("query")
        return await follow(rule, request, lambda: desk.query(number), _lie)

    @app.get("/outbox")
    async def outbox(to: Annotated[str, Query()]) -> list[dict[str, Any]]:
        return desk.outbox(to)

    return app


def main() -> None:
    """Serve until SIGTERM."""
    serve("a simulated message gateway", create_gateway)


if __name__ == "__main__":
    main()
