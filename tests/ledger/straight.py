"""The straight-line model: the rules of the ledger, said once more without any care for speed.

It keeps a list of accepted rows and computes every sum from that list whenever it is asked.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from steelyard.ledger import Kind, Transfer

GREATEST = 2**62 - 1


@dataclass
class StraightAccount:
    id: int
    currency: str
    debit_limit: int | None = None
    credit_limit: int | None = None
    closed: bool = False


@dataclass
class StraightBook:
    business_on: date
    closed_through: date | None = None
    accounts: dict[int, StraightAccount] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    last_at: datetime | None = None

    def row(self, id: UUID | None) -> dict[str, Any] | None:
        return next((row for row in self.rows if row["id"] == id), None)

    def resolver(self, id: UUID | None) -> dict[str, Any] | None:
        return next((row for row in self.rows if row["refers_to"] == id), None)

    def moved(self, account: int, side: str) -> int:
        return sum(
            row["amount"]
            for row in self.rows
            if row[side] == account and row["kind"] in (Kind.SINGLE, Kind.POST, Kind.REVERSAL)
        )

    def held(self, account: int, side: str) -> int:
        return sum(
            row["amount"]
            for row in self.rows
            if row[side] == account
            and row["kind"] == Kind.HOLD
            and self.resolver(row["id"]) is None
        )

    def counters(self, account: int) -> tuple[int, int, int, int]:
        return (
            self.moved(account, "debit"),
            self.held(account, "debit"),
            self.moved(account, "credit"),
            self.held(account, "credit"),
        )

    def post(self, batch: list[Transfer], now: datetime) -> list[str]:
        answers: list[str] = []
        chain: list[Transfer] = []
        for t in batch:
            chain.append(t)
            if not t.linked:
                answers += self.chain(chain, now)
                chain = []
        return answers + ["link_is_open"] * len(chain)

    def chain(self, chain: list[Transfer], now: datetime) -> list[str]:
        before = deepcopy(self.rows)
        answers: list[str] = []
        for t in chain:
            answers.append(self.one(t, now))
            if answers[-1] not in ("created", "exists"):
                break
        if set(answers) in ({"created"}, {"exists"}) and len(answers) == len(chain):
            return answers
        if len(chain) == 1:
            return answers
        self.rows = before
        answers = ["linked_failed" if a == "created" else a for a in answers]
        return answers + ["linked_failed"] * (len(chain) - len(answers))

    def one(self, t: Transfer, now: datetime) -> str:
        known = self.row(t.id)
        if known is not None:
            return "exists" if self.same(t, known) else "id_conflict"
        wants = t.kind in (Kind.SINGLE, Kind.HOLD)
        if t.amount_minor is not None and not 0 < t.amount_minor <= GREATEST:
            return "invalid"
        if wants and (t.amount_minor is None or t.debit == t.credit):
            return "invalid"
        if t.kind in (Kind.VOID, Kind.REVERSAL) and t.amount_minor is not None:
            return "invalid"
        if wants:
            return self.move(t, t.debit, t.credit, t.amount_minor)
        target = self.row(t.refers_to)
        taken = self.resolver(t.refers_to) is not None
        if t.kind == Kind.REVERSAL:
            if target is None or target["kind"] not in (Kind.SINGLE, Kind.POST):
                return "original_not_found"
            if taken:
                return "already_reversed"
            return self.move(t, target["credit"], target["debit"], target["amount"])
        if target is None or target["kind"] != Kind.HOLD:
            return "pending_not_found"
        if taken:
            return "pending_resolved"
        amount = target["amount"]
        if t.kind == Kind.POST:
            if target["expires_at"] is not None and now >= target["expires_at"]:
                return "pending_expired"
            amount = amount if t.amount_minor is None else t.amount_minor
            if amount > target["amount"]:
                return "exceeds_pending"
        return self.accept(t, target["debit"], target["credit"], amount)

    def move(self, t: Transfer, debit: Any, credit: Any, amount: Any) -> str:
        pair = (self.accounts.get(debit), self.accounts.get(credit))
        if pair[0] is None or pair[1] is None:
            return "account_not_found"
        if pair[0].closed or pair[1].closed:
            return "account_closed"
        if t.currency is not None and {pair[0].currency, pair[1].currency} != {t.currency}:
            return "currency_mismatch"
        used = self.moved(debit, "debit") + self.held(debit, "debit") - self.moved(debit, "credit")
        given = (
            self.moved(credit, "credit") + self.held(credit, "credit") - self.moved(credit, "debit")
        )
        for limit, use, name in (
            (pair[0].debit_limit, used, "exceeds_debit_limit"),
            (pair[1].credit_limit, given, "exceeds_credit_limit"),
        ):
            if limit is None:
                continue
            if t.at_most and limit - use > 0:
                amount = min(amount, limit - use)
            if use + amount > limit:
                return name
        return self.accept(t, debit, credit, amount)

    def accept(self, t: Transfer, debit: int, credit: int, amount: int) -> str:
        on = t.effective_on or self.business_on
        if self.closed_through is not None and on <= self.closed_through:
            return "period_closed"
        self.rows.append(
            {
                "id": t.id,
                "kind": t.kind,
                "debit": debit,
                "credit": credit,
                "amount": amount,
                "refers_to": t.refers_to,
                "expires_at": t.expires_at,
                "effective_on": on,
                "day": self.business_on,
            }
        )
        return "created"

    def same(self, t: Transfer, known: dict[str, Any]) -> bool:
        if (t.kind, t.refers_to) != (known["kind"], known["refers_to"]):
            return False
        if t.debit is not None and (t.debit, t.credit) != (known["debit"], known["credit"]):
            return False
        if t.effective_on is not None and t.effective_on != known["effective_on"]:
            return False
        if t.currency is not None and t.currency != self.accounts[known["debit"]].currency:
            return False
        if t.amount_minor is None:
            held = self.row(t.refers_to)
            return t.kind != Kind.POST or (held is not None and held["amount"] == known["amount"])
        if t.at_most:
            return bool(known["amount"] <= t.amount_minor)
        return bool(known["amount"] == t.amount_minor)

    def balance(self, account: int, *, rows: int | None = None, on: date | None = None) -> int:
        """Debits less credits of the first rows, with value dates up to a day."""
        net = 0
        for row in self.rows[:rows]:
            if row["kind"] in (Kind.HOLD, Kind.VOID) or (on and row["effective_on"] > on):
                continue
            net += row["amount"] * ((row["debit"] == account) - (row["credit"] == account))
        return net
