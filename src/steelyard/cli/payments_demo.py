"""A payment institution for one command: temporary home, simulated channels and custodian.

Everything outside is a process of its own, as it is for a running platform; only the business clock
is moved by hand, so that a day passes in seconds.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
from stdnum.cn import uscc

from steelyard.base import (
    Database,
    NoPolicyGate,
    Outcome,
    PlainBusinessClock,
    Settings,
    UnitOfWork,
    Verdict,
)
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller
from steelyard.base.schema import migrate, revisions
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock
from steelyard.ledger import Funds, open_book, open_chart
from steelyard.parties import NewLegalPerson, approvals, registry
from steelyard.payments import (
    channel,
    channel_desk,
    custody,
    custody_http,
    day,
    institution,
    merchants,
    orders,
    paying,
    payouts_payees,
    recon,
    refunds,
    settlement_accounts,
    statements,
)
from steelyard.web.platform import open_database_server

MODE: Final = institution.Mode.LIVE
_ZONE: Final = ZoneInfo("Asia/Shanghai")
_CLIENTS, _OWN, _RESERVE, _OURS = "clients", "own", "RESERVE-CNY", "OWN-CNY"
_KINDS: Final = {"uni": 2_000, "wechat": 6_000, "alipay": 6_000}
"""Channels, and what each keeps of a payment, in millionths."""
_DRAWN: Final = ("uni", "uni", "uni", "wechat", "alipay")
_MAKER: Final = "staff:00000000-0000-7000-8000-00000000000a"
_CHECKER: Final = "staff:00000000-0000-7000-8000-00000000000b"
_ACTOR: Final = "operator:demo"
_START_SECONDS: Final = 20.0
_TROUBLED: Final = ("sim_break", "sim_late:30", "sim_garble", "sim_decline:insufficient_funds")
_PLANTED: Final = ("missing", "extra", "amount")
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Town:
    """Merchants, channels and the custodian of one demonstration."""

    database: Database
    clock: SteppingClock
    keyring: Keyring
    desk: channel_desk.ChannelDesk
    bank: custody_http.HttpCustodian
    channels_at: str
    custodian_at: str
    progress: Progress
    merchants: list[UUID] = field(default_factory=list)

    def move(self, to: datetime) -> None:
        """Let it be another instant, everywhere."""
        self.clock.advance(to - self.clock.now())
        now = self.clock.now().isoformat()
        _post(f"{self.channels_at}/clock", {"now": now, "speed": 0.0})
        _post(f"{self.custodian_at}/clock", {"at": now})

    def at(self, on: date, hour: int) -> datetime:
        """Return an hour of a day on the institution's clock."""
        return datetime.combine(on, time(hour), _ZONE)


@contextmanager
def open_town(progress: Progress, *, merchants_count: int = 5) -> Iterator[Town]:
    """Have an institution with merchants, channels and a custodian for a while."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steelyard-day-")))
        settings = Settings(home=home)
        urls = stack.enter_context(open_database_server(settings))
        if not revisions(urls.application).is_current:
            migrate(urls.owner)
        clock = SteppingClock(datetime.combine(date(2026, 3, 2), time(9), _ZONE))
        database = Database(
            urls.application, facts=PostgresFactLog(), clock=PlainBusinessClock(clock)
        )
        stack.callback(database.close)
        kept = home / "channels.json"
        channels_at = stack.enter_context(
            _process("steelyard.simulation.channel", "--credentials", str(kept))
        )
        secret = secrets.token_hex(16)
        custodian_at = stack.enter_context(
            _process("steelyard.simulation.custodian", STEELYARD_CUSTODIAN_SECRET=secret)
        )
        keyring = Keyring.open(settings)
        bank = custody_http.HttpCustodian(custodian_at, secret=secret)
        stack.callback(bank.close)
        desk = channel_desk.ChannelDesk(database, keyring)
        town = Town(database, clock, keyring, desk, bank, channels_at, custodian_at, progress)
        town.move(clock.now())
        _open_books(town)
        _open_channels(town, json.loads(kept.read_text()))
        for number in range(merchants_count):
            _sign_merchant(town, number)
            progress("merchants", number + 1, merchants_count)
        yield town


@contextmanager
def _process(module: str, *arguments: str, **environment: str) -> Iterator[str]:
    """Have a simulated outsider as a process for a while, and yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
        text=True,
    )
    try:
        assert process.stdout is not None, "it is piped"
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait(_START_SECONDS)


def _post(url: str, body: Any) -> Any:
    answer = httpx.post(url, json=body, trust_env=False, timeout=_START_SECONDS)
    answer.raise_for_status()
    return answer.json()


def _open_books(town: Town) -> None:
    def work(unit: UnitOfWork) -> None:
        on = unit.now.astimezone(_ZONE).date()
        for book, funds in ((_CLIENTS, Funds.CLIENT), (_OWN, Funds.OWN)):
            open_book(unit, book, name=book, funds=funds, business_on=on, timezone=_ZONE.key)
        open_chart(unit, _OWN, "platform", currencies=["CNY"])
        institution.open_books(unit, MODE, client_book=_CLIENTS, own_book=_OWN)
        custody.open_account(unit, MODE, "CNY", account=_RESERVE, own_account=_OURS)

    town.database.transact(work, actor=_ACTOR)
    _post(f"{town.custodian_at}/accounts", {"no": _RESERVE, "currency": "CNY"})


def _open_channels(town: Town, credentials: Mapping[str, Mapping[str, str]]) -> None:
    """Found the house with channels that live already, and expect their statements."""
    able = channel.Capability(
        methods=(channel.Method.WALLET, channel.Method.SCAN, channel.Method.QUICK_PAY),
        fee_rate=Decimal("0.002"),
    )
    today = town.clock.now().astimezone(_ZONE).date()

    def work(unit: UnitOfWork) -> None:
        for kind, fee_ppm in _KINDS.items():
            new = channel_desk.NewChannel(
                code=kind,
                mode=MODE,
                kind=kind,
                name=kind,
                capability=able,
                secrets=credentials[kind],
                stage=channel.Stage.LIVE,
            )
            channel_desk.register_channel(unit, town.keyring, new)
            plan = recon.Plan(channel=kind, mode=MODE, fee_ppm=fee_ppm, starts_on=today)
            recon.set_plan(unit, plan)

    town.database.transact(work, actor=_ACTOR)
    town.desk.forget()


def _sign_merchant(town: Town, number: int) -> None:
    """Sign a merchant with an account that two people listed."""
    name = f"茶叶（上海）有限公司{number}"
    body = f"91310000{number:09d}"
    new = NewLegalPerson(name, body + uscc.calc_check_digit(body))
    contract = {"settlement_cycle": "D1", "reserve_rate": "0.05" if number % 2 else "0"}
    account = settlement_accounts.NewSettlementAccount(
        holder=name, number=f"62220200{number:011d}", bank="102290000014"
    )

    def take_on(unit: UnitOfWork) -> UUID:
        party = registry.register_merchant(
            unit, town.keyring, new, verdict=Verdict(Outcome.APPROVE, "no_policy@0")
        )
        merchants.admit(
            unit, party.id, name=f"Tea {number}", cause="rule.demo@1", contract=contract
        )
        return party.id

    merchant = town.database.transact(take_on, actor=_MAKER)
    town.merchants.append(merchant)
    listed = town.database.transact(
        lambda unit: settlement_accounts.propose(unit, town.keyring, merchant, account),
        actor=_MAKER,
    )
    town.database.transact(
        lambda unit: settlement_accounts.verify(unit, listed.id, evidence="letter:1"),
        actor=_CHECKER,
    )
    asked = town.database.transact(
        lambda unit: settlement_accounts.request_approval(unit, listed.id), actor=_MAKER
    )
    by = Caller(_CHECKER, frozenset({"payments.approve"}))
    town.database.transact(
        lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash),
        actor=_CHECKER,
    )
    town.database.transact(
        lambda unit: settlement_accounts.approve(unit, listed.id, asked.id), actor=_MAKER
    )


class _Drawn:
    """The channel of each payment is drawn by the demonstration, so nothing is routed."""

    def route(self, order: orders.Order, how: paying.Pay, now: datetime) -> paying.Routed:
        assert how.channel is not None, "it was drawn"
        return paying.Routed(how.channel)

    def write(self, unit: UnitOfWork, attempts: Sequence[UUID]) -> None:
        """Write nothing: nothing was chosen."""


def trade(town: Town, on: date, *, payments: int, seed: int) -> Mapping[str, object]:
    """Let customers pay and ask for refunds through a day; some channels misbehave."""
    chance = random.Random(f"{seed}/{on}")
    payer = paying.Paying(town.database, NoPolicyGate(), town.desk, _Drawn())
    paid: list[UUID] = []
    began = town.at(on, 10)
    town.move(began)
    for number in range(payments):
        town.move(began + timedelta(seconds=number * 36_000 // payments))
        order = _an_order(town, chance)
        (made,) = town.database.transact(
            lambda unit, o=order: orders.create(unit, [o]),  # type: ignore[misc]
            actor=_ACTOR,
        )
        assert isinstance(made, orders.Order), made
        how = paying.Pay(
            attempt=uuid4(), method=channel.Method.WALLET, channel=chance.choice(_DRAWN)
        )
        if payer.pay(made.id, how, actor=_ACTOR).order.paid_by is not None:
            paid.append(made.id)
        town.progress("trade", number + 1, payments)
    for hours in (21, 22, 23):
        town.move(town.at(on, hours))
        payer.poll(limit=1_000, actor=_ACTOR)
    back = _refund(town, chance.sample(paid, len(paid) // 20))
    payer.close()
    planted = _plant(town, on) if payments else 0
    return {"payments": payments, "paid": len(paid), "refunds": back, "planted": planted}


def _an_order(town: Town, chance: random.Random) -> orders.NewOrder:
    id = uuid4()
    trouble = chance.choice(_TROUBLED) if chance.random() < 0.08 else None
    return orders.NewOrder(
        id=id,
        merchant=chance.choice(town.merchants),
        app="app_demo",
        mode=MODE,
        order_no=f"D-{id.hex[:16]}",
        amount_minor=chance.randint(500, 60_000),
        currency="CNY",
        subject="Tea 茶叶",
        payer=orders.Payer(instrument=trouble),
    )


def _refund(town: Town, chosen: list[UUID]) -> int:
    """Ask for refunds of some payments, whole ones and halves."""
    with town.database.reading() as connection:
        found = [orders.read(connection, one).order for one in chosen]
    news = [
        refunds.NewRefund(
            id=uuid4(),
            order=order.id,
            refund_no=f"R-{order.order_no}",
            amount_minor=order.captured_minor // (1 + place % 2),
        )
        for place, order in enumerate(found)
    ]
    asked = town.database.transact(
        lambda unit: refunds.ask(unit, news, desk=town.desk), actor=_ACTOR
    )
    ids = [one.id for one in asked if isinstance(one, refunds.Refund)]
    refunds.send(town.database, town.desk, ids)
    return len(ids)


def _plant(town: Town, on: date) -> int:
    """Plant breaks into the statement of one channel."""
    for kind in _PLANTED:
        by = 100 if kind == "amount" else 0
        told = {"dialect": "wechat", "on": str(on), "kind": kind, "by": by}
        _post(f"{town.channels_at}/plant", told)
    return len(_PLANTED)


def pay_in(town: Town, on: date) -> dict[str, int]:
    """Let each channel pay the custodian what its own statement of a day comes to."""
    paid: dict[str, int] = {}
    for kind in _KINDS:
        file = town.desk.get(kind).statement(on)
        if file is None:
            continue
        told = statements.read(file.content, file.name)
        net = sum(line.amount_minor - (line.fee_minor or 0) for one in told for line in one.lines)
        if net > 0:
            deposit = {
                "account": _RESERVE,
                "amount_minor": net,
                "reference": f"{kind}-{on}",
                "counterparty": f"channel:{kind}",
            }
            _post(f"{town.custodian_at}/movements", deposit)
            paid[kind] = net
    return paid


def play(town: Town, *, days: int, payments: int, seed: int) -> list[day.DayReport]:
    """Play some days from trade to tie-out, and return what each came to."""
    first = town.clock.now().astimezone(_ZONE).date()
    reports = []
    for n in range(days):
        on = first + timedelta(days=n)

        def sell(of: date) -> Mapping[str, object]:
            told = trade(town, of, payments=payments, seed=seed)
            # The day is run on the next morning, when statements are there and channels pay in.
            town.move(town.at(of + timedelta(days=1), 8))
            return {**told, "paid_in": pay_in(town, of)}

        hands = day.Hands(
            channels=town.desk,
            payees=payouts_payees.SettlementPayees(town.keyring),
            custodian=town.bank,
            trade=sell,
        )
        how = day.How(actor=_ACTOR, progress=town.progress, most_open_minor=10_000_000)
        reports.append(day.run(town.database, MODE, on, hands, how))
    return reports
