"""What the custodian remembers: accounts, movements, payouts; and how it states a day."""

from __future__ import annotations

import csv
import io
import sqlite3
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from steelyard.simulation.channel.clock import Clock, day_of, instant

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS account (no TEXT PRIMARY KEY, currency TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS movement (
    seq INTEGER PRIMARY KEY, account TEXT NOT NULL, kind TEXT NOT NULL, amount INTEGER NOT NULL,
    reference TEXT NOT NULL, our_number TEXT NOT NULL, counterparty TEXT NOT NULL,
    at REAL NOT NULL, on_day TEXT NOT NULL, UNIQUE (account, kind, reference));
CREATE INDEX IF NOT EXISTS movement_by_day ON movement (account, on_day, seq);
CREATE TABLE IF NOT EXISTS payout (
    number TEXT PRIMARY KEY, account TEXT NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, payee TEXT NOT NULL, holder TEXT NOT NULL, state TEXT NOT NULL,
    pays_at REAL, returns_at REAL, executed_on TEXT, returned_on TEXT, why TEXT);
CREATE TABLE IF NOT EXISTS told_time (one INTEGER PRIMARY KEY CHECK (one = 1), at REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """A payout as it was asked for."""

    number: str
    account: str
    amount: int
    currency: str
    payee: str
    holder: str


class Desk:
    """The books of the custodian, in a file or in memory."""

    def __init__(self, path: str = ":memory:", clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self._store = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._store.row_factory = sqlite3.Row
        self._store.executescript(_SCHEMA)
        told = self._store.execute("SELECT at FROM told_time").fetchone()
        if told is not None:
            # Its days are those of a town: until somebody tells the time again, it is still then.
            self.clock.set(float(told["at"]), 0.0)

    def set_clock(self, at: float, speed: float) -> None:
        """Let it be an instant (seconds since 1970) now, and go on from it; remembered."""
        self.clock.set(at, speed)
        self._store.execute("INSERT OR REPLACE INTO told_time (one, at) VALUES (1, ?)", (at,))

    def today(self) -> date:
        """Return the custodian's business date."""
        return day_of(self.clock.now())

    def open(self, no: str, currency: str, balance: int) -> None:
        """Open an account with what lies on it; opening it again changes nothing."""
        done = self._store.execute(
            "INSERT INTO account (no, currency) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (no, currency),
        )
        if done.rowcount and balance:
            self.move(no, "deposit", balance, reference="opening", counterparty="opening")

    def balance(self, account: str) -> int:
        """Return what lies on an account."""
        row = self._store.execute(
            "SELECT COALESCE(sum(amount), 0) FROM movement WHERE account = ?", (account,)
        ).fetchone()
        return int(row[0])

    def move(
        self,
        account: str,
        kind: str,
        amount: int,
        *,
        reference: str,
        our_number: str = "",
        counterparty: str = "",
    ) -> bool:
        """Book a movement now, once for its kind and reference; False when it was booked."""
        at = self.clock.now()
        done = self._store.execute(
            "INSERT INTO movement (account, kind, amount, reference, our_number, counterparty, at,"
            " on_day) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                account,
                kind,
                amount,
                reference,
                our_number,
                counterparty,
                at,
                day_of(at).isoformat(),
            ),
        )
        return done.rowcount == 1

    def pay(self, wish: Wish, *, pays_after: float, returns_after: float | None) -> dict[str, Any]:
        """Take a payout, once for its number; it is paid now or after some seconds."""
        known = self._payout(wish.number)
        if known is None:
            now = self.clock.now()
            returns_at = None if returns_after is None else now + pays_after + returns_after
            self._insert(wish, "pending", now + pays_after, returns_at)
            if self._account(wish.account) != wish.currency:
                self._fail(wish.number, "account_is_unknown")
            elif self.balance(wish.account) < wish.amount:
                self._fail(wish.number, "account_is_short")
        return self.query(wish.number)

    def fail(self, wish: Wish, why: str) -> dict[str, Any]:
        """Take a payout and refuse it for good."""
        if self._payout(wish.number) is None:
            self._insert(wish, "failed", None, None)
            self._fail(wish.number, why)
        return self.query(wish.number)

    def query(self, number: str) -> dict[str, Any]:
        """Return what became of a payout by now."""
        found = self._payout(number)
        if found is None:
            return {"number": number, "state": "not_found"}
        now = self.clock.now()
        if found["state"] == "pending" and found["pays_at"] <= now:
            self._execute(found)
            found = self._payout(number)
        if found["state"] == "paid" and (found["returns_at"] or now + 1) <= now:
            self.send_back(number)
            found = self._payout(number)
        return {
            "number": number,
            "state": found["state"],
            "amount_minor": found["amount"],
            "currency": found["currency"],
            "reference": f"C{number[:12]}",
            "executed_on": found["executed_on"],
            "returned_on": found["returned_on"],
            "why": found["why"],
        }

    def send_back(self, number: str) -> bool:
        """Let the payee's bank send a paid payout back now; False where it was not paid."""
        found = self._payout(number)
        if found is None or found["state"] != "paid":
            return False
        self.move(
            found["account"],
            "return",
            found["amount"],
            reference=f"R{number[:12]}",
            our_number=number,
            counterparty="return",
        )
        self._store.execute(
            "UPDATE payout SET state = 'returned', returned_on = ?, why = 'account_is_closed'"
            " WHERE number = ?",
            (self.today().isoformat(), number),
        )
        return True

    def statement(self, account: str, on: date, *, closing_off: int = 0) -> bytes | None:
        """Return the statement of a day that is over, as CSV; None before."""
        currency = self._account(account)
        if currency is None or on >= self.today():
            return None
        for row in self._store.execute("SELECT number FROM payout WHERE state = 'pending'"):
            self.query(row["number"])
        opening = self._store.execute(
            "SELECT COALESCE(sum(amount), 0) FROM movement WHERE account = ? AND on_day < ?",
            (account, on.isoformat()),
        ).fetchone()[0]
        rows = self._store.execute(
            "SELECT * FROM movement WHERE account = ? AND on_day = ? ORDER BY seq",
            (account, on.isoformat()),
        ).fetchall()
        closing = opening + sum(row["amount"] for row in rows) + closing_off
        out = io.StringIO()
        write = csv.writer(out, lineterminator="\n").writerow
        write(("H", account, currency, on.isoformat(), opening, closing, len(rows)))
        for no, row in enumerate(rows, start=1):
            at = instant(row["at"]).isoformat()
            told = (row["kind"], row["amount"], row["reference"], row["our_number"])
            write(("L", no, *told, row["counterparty"], at))
        return out.getvalue().encode()

    def _insert(
        self, wish: Wish, state: str, pays_at: float | None, returns_at: float | None
    ) -> None:
        self._store.execute(
            "INSERT INTO payout (number, account, amount, currency, payee, holder, state, pays_at,"
            " returns_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                wish.number,
                wish.account,
                wish.amount,
                wish.currency,
                wish.payee,
                wish.holder,
                state,
                pays_at,
                returns_at,
            ),
        )

    def _execute(self, found: Any) -> None:
        self.move(
            found["account"],
            "payout",
            -found["amount"],
            reference=f"C{found['number'][:12]}",
            our_number=found["number"],
            counterparty=f"account ending {found['payee'][-4:]}",
        )
        self._store.execute(
            "UPDATE payout SET state = 'paid', executed_on = ? WHERE number = ?",
            (self.today().isoformat(), found["number"]),
        )

    def _fail(self, number: str, why: str) -> None:
        self._store.execute(
            "UPDATE payout SET state = 'failed', why = ? WHERE number = ?", (why, number)
        )

    def _payout(self, number: str) -> Any:
        return self._store.execute("SELECT * FROM payout WHERE number = ?", (number,)).fetchone()

    def _account(self, no: str) -> str | None:
        row = self._store.execute("SELECT currency FROM account WHERE no = ?", (no,)).fetchone()
        return None if row is None else str(row["currency"])
