"""A made-up platform for the tests of the web: a caller by bearer, and a town that is replayed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI, Request

from steelyard.base import Environment, Settings
from steelyard.base.http import Caller, NotSignedIn
from steelyard.kernel import Refusal, RefusalKind
from steelyard.web.app import create_app
from steelyard.web.live.pulse import Sample
from steelyard.web.live.source import Glance
from steelyard.web.live.wire import (
    ApplicationsOut,
    BalanceOut,
    ChannelNowOut,
    ConsumerOut,
    CreditOut,
    DecisionOut,
    EntryOut,
    FactOut,
    MovementDetailOut,
    MovementOut,
    OutcomeOut,
    OwedOut,
    PaymentsNowOut,
    ReasonOut,
    TieOutNowOut,
    decimal_text,
)
from steelyard.web.platform import SteelyardPlatform, open_platform
from tests.conftest import Store

BEARER = "Bearer development-key-of-the-tests"


OUTCOMES = tuple(
    OutcomeOut(outcome=outcome, times=times)
    for outcome, times in (("approve", 462), ("step_up", 21), ("review", 11), ("decline", 6))
)
REASONS = (
    ReasonOut(code="device_is_new", en="The device is new to us.", zh="设备首次使用。"),
    ReasonOut(
        code="many_places", en="Many different places in one day.", zh="一天内涉及商户过多。"
    ),
)


class MovementIsUnknown(Refusal):
    """The made-up town has no such movement."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no movement {id}."
    zh = "没有编号为 {id} 的变动。"


class BearerVerifier:
    """Knows one bearer, who may do everything, and one who may do nothing."""

    def verify(self, request: Request, body: bytes) -> Caller:
        shown = request.headers.get("authorization")
        if shown == BEARER:
            return Caller("key:tests", frozenset({"*"}))
        if shown == "Bearer nobody":
            return Caller("key:nobody", frozenset())
        raise NotSignedIn


@dataclass
class FakePlatform:
    settings: Settings
    verifier: BearerVerifier = field(default_factory=BearerVerifier)
    database: Any = None
    keyring: Any = None
    gate: Any = None


class Town:
    """A town whose time is a number: at second `s`, `rate * s` payments have been made."""

    began = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __init__(self, *, rate: int = 3, now: Callable[[], float] = lambda: 0.0) -> None:
        self.rate = rate
        self.now = now
        self.looks = 0
        self.counts = 0
        self.is_away = False
        self.difference = 0
        self.is_empty = False

    def count(self) -> Sample:
        self._check()
        self.counts += 1
        return self._sample()

    def look(self, after: Mapping[str, int]) -> Glance:
        self._check()
        self.looks += 1
        made = self._made()
        newest = [self._movement(n) for n in range(made, max(made - 20, 0), -1)]
        new = [m for m in newest if self._micros(m) > after.get("client", 0)]
        return Glance(
            sample=self._sample(),
            business_at=self.began + timedelta(seconds=120 * self.now()),
            speed=120.0,
            consumers=(
                ConsumerOut(name="balances", version=1, events=0, seconds=0.0, is_stopped=False),
                ConsumerOut(
                    name="party-profile", version=2, events=4, seconds=0.2, is_stopped=False
                ),
            ),
            balances=() if self.is_empty else self._balances(),
            parties=None if self.is_empty else 5369,
            accounts=0 if self.is_empty else 4500,
            movements=tuple(new),
            positions={"client": self._micros(newest[0])} if newest else {},
            outcomes=() if self.is_empty else OUTCOMES,
            decided=tuple(self._decision(n) for n in range(made, max(made - 10, 0), -1)),
            credit=None if self.is_empty else self._credit(),
            paying=None if self.is_empty else self._paying(),
        )

    def movement(self, book: str, id: UUID) -> MovementDetailOut:
        n = id.int & 0xFFFFFFFF
        if book != "client" or not 0 < n <= self._made():
            raise MovementIsUnknown(id=id)
        found = self._movement(n)
        sides = (("debit", found.from_, 1_204_455), ("credit", found.to, 88_000))
        return MovementDetailOut(
            movement=found,
            entries=[
                EntryOut(
                    side=side,
                    account=account,
                    kind="liability",
                    amount_minor=found.amount_minor,
                    amount=found.amount,
                    balance_minor=balance,
                    balance=decimal_text(balance, found.exponent),
                )
                for side, account, balance in sides
            ],
            entry=str(self._id(900_000 + n)) if n % 3 == 0 else None,
            refers_to=str(self._id(n - 1)) if found.kind in ("post", "void") else None,
            decision_id=None,
            hash="5b41362bc82b7f3d56edc5a306db22105707d01ff4819e26faef9724a2d406c9",
            linked=[self._movement(n - 1)] if n > 1 and n % 3 == 0 else [],
            events=[
                FactOut(
                    sequence=7 * n,
                    kind="ledger.TransferPosted",
                    version=1,
                    subject="account:client/7",
                    occurred_at=found.at,
                    actor="key:town",
                    payload={
                        "book": "client",
                        "id": found.id,
                        "amount_minor": found.amount_minor,
                        "currency": found.currency,
                    },
                )
            ],
        )

    def _check(self) -> None:
        if self.is_away:
            raise ConnectionError("the database is away")

    def _made(self) -> int:
        return 0 if self.is_empty else int(self.rate * self.now())

    def _sample(self) -> Sample:
        made = self._made()
        return Sample(self.now(), made, 2 * made, 4, made)

    def _id(self, n: int) -> UUID:
        return UUID(int=0x0195556E7A007CC398C400000000_0000 + n)

    def _decision(self, n: int) -> DecisionOut:
        outcome = OUTCOMES[n % 7 % len(OUTCOMES)].outcome
        return DecisionOut(
            id=str(self._id(500_000 + n)),
            at=self.began + timedelta(seconds=40 * n),
            scene=("payment", "payment", "log_in", "withdrawal")[n % 4],
            outcome=outcome,
            score=n * 37 % 1000 if n % 9 else None,
            reasons=[] if outcome == "approve" else list(REASONS[: 1 + n % 2]),
        )

    def _credit(self) -> CreditOut:
        owed = OwedOut(
            currency="CNY",
            exponent=2,
            outstanding_minor=30_054_148,
            outstanding="300541.48",
            loans=39,
            late=4,
            late_share=0.1026,
        )
        today = (("accepted", 1), ("declined", 2), ("expired", 1), ("in_review", 1), ("signed", 3))
        return CreditOut(
            owed=[owed],
            applications_today=[ApplicationsOut(state=one, times=n) for one, n in today],
        )

    def _paying(self) -> PaymentsNowOut:
        rows = (
            ("balance", None, "closed", 140, 139, 0),
            ("alipay", "live", "closed", 40, 38, 1),
            ("uni", "live", "open", 12, 3, 2),
            ("wechat", "live", "half_open", 20, 19, 0),
        )
        names = ("channel", "stage", "breaker", "tried", "succeeded", "unknown")
        tie = TieOutNowOut(
            currency="CNY",
            on=date(2026, 3, 1),
            holds=True,
            why="ties_out",
            exponent=2,
            difference_minor=0,
            difference="0.00",
        )
        return PaymentsNowOut(
            tried=212,
            success_share=0.9476,
            unknown=3,
            channels=[ChannelNowOut(**dict(zip(names, row, strict=True))) for row in rows],
            tie_outs=[tie],
        )

    def _micros(self, movement: MovementOut) -> int:
        whole = int(movement.at.replace(microsecond=0).timestamp())
        return whole * 1_000_000 + movement.at.microsecond

    def _movement(self, n: int) -> MovementOut:
        kind = {0: "hold", 1: "post", 5: "reversal", 8: "void"}.get(n % 12, "single")
        currency, exponent = {4: ("JPY", 0), 7: ("KWD", 3)}.get(n % 17, ("CNY", 2))
        amount = (n * 7919) % 250_000 + 99
        return MovementOut(
            id=str(self._id(n)),
            book="client",
            at=self.began + timedelta(seconds=40 * n, microseconds=n % 1000),
            effective_on=date(2026, 3, 2),
            from_=f"customer:{n % 977:05d}/wallet",
            to=f"merchant:{('noodles', 'bookshop', 'metro', 'pharmacy')[n % 4]}/settlement",
            currency=currency,
            exponent=exponent,
            amount_minor=amount,
            amount=decimal_text(amount, exponent),
            kind=kind,
            cause=("no_policy@0", "contract.payment@3")[n % 5 == 0],
        )

    def _balances(self) -> tuple[BalanceOut, ...]:
        total = 4_215_330_000 + 997 * self._made()
        rows = (("client", "client", "CNY", 2, 1), ("client", "client", "JPY", 0, 40))
        return tuple(
            BalanceOut(
                book=book,
                funds=funds,
                currency=currency,
                exponent=exponent,
                debits_minor=total // part,
                credits_minor=total // part - self.difference,
                difference_minor=self.difference,
                debits=decimal_text(total // part, exponent),
                credits=decimal_text(total // part - self.difference, exponent),
                difference=decimal_text(self.difference, exponent),
            )
            for book, funds, currency, exponent, part in (*rows, ("own", "own", "CNY", 2, 300))
        )


def settings_of(environment: Environment = Environment.DEVELOPMENT) -> Settings:
    return Settings(home=Path("no-home-is-needed"), environment=environment)


def compose(
    town: Town | None = None,
    *,
    environment: Environment = Environment.DEVELOPMENT,
    rooms: tuple[Any, ...] = (),
) -> FastAPI:
    """The application over a made-up platform: its edge, its pages, the live page of a town."""

    @contextmanager
    def opener(settings: Settings) -> Iterator[Any]:
        yield FakePlatform(settings)

    return create_app(
        settings_of(environment),
        opener=opener,
        rooms=rooms,
        watching=lambda _: town or Town(),
    )


@contextmanager
def serve(app: FastAPI, *, port: int = 0) -> Iterator[str]:
    """The application behind a real server on a port of its own; yields its address."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=port,
            log_level="error",
            timeout_graceful_shutdown=1,
            server_header=False,
        )
    )
    started = threading.Event()
    startup = server.startup

    async def noting(*arguments: Any, **keywords: Any) -> None:
        await startup(*arguments, **keywords)
        started.set()

    server.startup = noting  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(30), "the server did not start"
    bound = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{bound}"
    finally:
        # As a signal does it, which only the main thread of a process hears.
        server.servers[0].get_loop().call_soon_threadsafe(app.state.stop.set)
        server.should_exit = True
        thread.join(10)


@contextmanager
def serve_platform(store: Store, home: Path) -> Iterator[tuple[str, SteelyardPlatform]]:
    """The whole application, its rooms and verifier included, over a database of the tests."""
    settings = Settings(home=home, database_url=store.url, owner_url=store.owner_url)
    opened: list[SteelyardPlatform] = []

    @contextmanager
    def opener(chosen: Settings) -> Iterator[SteelyardPlatform]:
        with open_platform(chosen) as platform:
            opened.append(platform)
            yield platform

    with serve(create_app(settings, opener=opener)) as url:
        yield url, opened[0]
