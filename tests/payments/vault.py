"""The custodian in memory, and whom it may pay: what tests of settlement begin with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import SteppingClock
from steelyard.payments import clearing, custody, payouts, settlement, tieout
from steelyard.payments.model import accounts
from steelyard.payments.model.channel import Capability
from steelyard.payments.model.custody import CustodyAccount, ListedAccount, Payee
from steelyard.payments.model.orders import Mode, Order
from steelyard.payments.service.custody_http import HttpCustodian
from steelyard.simulation.custodian import create_custodian
from tests.payments.refunding import paid
from tests.payments.till import EVERYTHING, SHOP, ScriptedDesk, balance, open_shop

RESERVE, OURS, CNY = "RESERVE-CNY", "OWN-CNY", "CNY"
LIVE = Mode.LIVE
PENDING, AVAILABLE = accounts.pending(SHOP, CNY), accounts.available(SHOP, CNY)
KEPT = accounts.rolling_reserve(SHOP, CNY)
SETTLEMENT, WAY = accounts.settlement(CNY), accounts.payouts(CNY)
FEES, TRANSIT = accounts.fees_due(CNY), accounts.in_transit("scripted", CNY)


@dataclass(slots=True)
class KnownPayees:
    """Merchants' accounts as a test lists them."""

    unlisted: set[UUID] = field(default_factory=set)
    edition: int = 1

    def listed(
        self, connection: sa.Connection, merchants: Sequence[UUID], currency: str, at: datetime
    ) -> Mapping[UUID, ListedAccount]:
        return {
            one: ListedAccount(f"account:{one}.{self.edition}", "1234")
            for one in merchants
            if one not in self.unlisted
        }

    def reveal(self, unit: UnitOfWork, account: ListedAccount, *, purpose: str) -> Payee:
        return Payee(account.reference, "6222021234", "Tea 茶", account.tail)


class InProcess(httpx.BaseTransport):
    """Sends a request to an application of this process, each in a loop of its own."""

    def __init__(self, app: Any) -> None:
        self._inner = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def ask() -> httpx.Response:
            told = httpx.Request(
                request.method, request.url, headers=request.headers, content=request.read()
            )
            answer = await self._inner.handle_async_request(told)
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=await answer.aread()
            )

        return asyncio.run(ask())


class Vault:
    """A shop, its channel, and the custodian; all on one stepping clock."""

    def __init__(self, database: Database, clock: SteppingClock, **contract: object) -> None:
        self.database, self.clock = database, clock
        self.desk = ScriptedDesk()
        self.payees = KnownPayees()
        app = create_custodian(wall=lambda: clock.now().timestamp())
        self.client = httpx.Client(transport=InProcess(app), base_url="http://custodian")
        self.bank = HttpCustodian("", secret="custodian", client=self.client, wall=clock.now)
        open_shop(database, wallet_minor=0)
        self.sign(SHOP, settlement_cycle="D1", **contract)
        self.account: CustodyAccount = database.transact(
            lambda unit: custody.open_account(unit, LIVE, CNY, account=RESERVE, own_account=OURS)
        )
        self.tick(timedelta(0))
        self.client.post("/accounts", json={"no": RESERVE, "currency": CNY})

    def sign(self, merchant: UUID, **contract: object) -> None:
        text = msgspec.json.encode(contract).decode()
        self.database.transact(
            lambda unit: unit.execute(
                "UPDATE payments.merchant SET contract = CAST(:contract AS jsonb) WHERE id = :id",
                contract=text,
                id=merchant,
            )
        )

    def tick(self, by: timedelta) -> None:
        """Let time pass, for us and for the custodian."""
        self.clock.advance(by)
        self.client.post("/clock", json={"at": self.clock.now().isoformat()})

    def at(self, when: datetime) -> None:
        self.tick(when - self.clock.now())

    def pay(self, amount_minor: int = 10_000, **changes: object) -> Order:
        return paid(self.database, self.desk, amount_minor=amount_minor, **changes)

    def capability(self, code: str) -> Capability:
        return EVERYTHING

    def close(self, word: clearing.ReconWord | None = None) -> tuple[clearing.ClearingDay, ...]:
        """Close the days that are over, and let them pass."""
        closed = clearing.close_due(self.database, LIVE, self.capability)
        said = word or clearing.ReconWord(is_expected=True, is_verified=True)
        return tuple(
            self.database.transact(lambda unit, d=day: clearing.pass_gate(unit, d, said))
            for day in closed
        )

    def deposit(self, amount_minor: int, reference: str, channel: str = "scripted") -> None:
        """Let a channel pay in at the custodian."""
        told = {
            "account": RESERVE,
            "amount_minor": amount_minor,
            "reference": reference,
            "counterparty": f"channel:{channel}",
        }
        assert self.client.post("/movements", json=told).json()["is_new"]

    def script(self, verb: str, behaviour: str, **more: object) -> None:
        self.client.post("/script", json=[{"verb": verb, "behaviour": behaviour, **more}])

    def settle(self, on: date) -> tuple[settlement.Settlement, ...]:
        """Calculate a day's settlements, and return them."""
        settlement.calculate(self.database, LIVE, on, self.payees)
        with self.database.reading() as connection:
            return settlement.list_settlements(connection, LIVE, on=on)

    def pay_out(self) -> tuple[payouts.Payout, ...]:
        return payouts.pay_ready(self.database, self.bank, LIVE, self.payees)

    def poll(self) -> int:
        return payouts.poll(self.database, self.bank, self.payees)

    def settled(self, id: UUID) -> settlement.Settlement:
        with self.database.reading() as connection:
            return settlement.read(connection, id)

    def tie_out(self, on: date) -> tieout.TieOut:
        """Fetch the custodian's statement of a day, book it, and tie out."""
        custody.fetch(self.database, self.bank, self.account, on)
        return tieout.make(self.database, self.account, on)

    def has(self, code: str) -> int:
        return balance(self.database, code)

    def at_the_bank(self) -> int:
        found: int = self.client.get(f"/accounts/{RESERVE}").json()["balance_minor"]
        return found
