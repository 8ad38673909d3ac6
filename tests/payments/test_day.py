"""A whole day: each step once, cut off anywhere and run again, and told of in three tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from steelyard.base import Database
from steelyard.base.http import Caller, problem_of
from steelyard.kernel import Refusal, SteppingClock
from steelyard.parties import approvals
from steelyard.payments import clearing, day, invoices, tieout
from steelyard.payments.http import clearing_router, settlement_router, tie_out_router
from steelyard.payments.model.channel import Channel
from tests.house import House
from tests.payments.till import EVERYTHING, OTHER_SHOP, SHOP, sum_of_postings
from tests.payments.vault import CNY, LIVE, InProcess, Vault

DAY = date(2026, 3, 2)
NEXT_MORNING = datetime(2026, 3, 3, 1, 0, tzinfo=UTC)
MAKER = "staff:00000000-0000-7000-8000-00000000000a"
CHECKER = "staff:00000000-0000-7000-8000-00000000000b"


@pytest.fixture
def vault(database: Database, clock: SteppingClock) -> Iterator[Vault]:
    """A shop whose books add up after every test, whatever happened (case 45)."""
    opened = Vault(database, clock)
    yield opened
    assert sum_of_postings(database) == 0


class Channels:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def get(self, code: str) -> Channel:
        return self._vault.desk.channel

    def capability(self, code: str) -> Any:
        return EVERYTHING


def hands(vault: Vault, trade: day.Trade | None = None) -> day.Hands:
    return day.Hands(
        channels=Channels(vault), payees=vault.payees, custodian=vault.bank, trade=trade
    )


def sells(vault: Vault) -> day.Trade:
    def trade(on: date) -> Mapping[str, object]:
        vault.pay(10_000)
        vault.pay(4_000, merchant=OTHER_SHOP)
        vault.at(NEXT_MORNING)
        vault.deposit(14_000, f"D-{on}")
        return {"payments": 2}

    return trade


def test_a_day_is_run_from_trade_to_tie_out_and_told_of(vault: Vault) -> None:
    told = day.run(vault.database, LIVE, DAY, hands(vault, sells(vault)))
    assert [step.step.value for step in told.steps] == [step.value for step in day.DayStep]
    assert all(step.done_at is not None for step in told.steps)
    (channel,) = told.channels
    assert (channel.payments, channel.gross_minor, channel.fee_minor) == (2, 14_000, 84)
    assert channel.statement == "none_expected"
    first = next(one for one in told.merchants if one.merchant == SHOP)
    assert (first.gross_minor, first.fee_minor, first.net_minor) == (10_000, 60, 9_940)
    assert (first.paid_minor, first.payout) == (9_940, "paid")
    (tie,) = told.tie_outs
    assert (tie.why, tie.difference_minor) == ("ties_out", 0)


def test_a_day_run_again_sells_and_pays_nothing_twice(vault: Vault) -> None:
    ours = hands(vault, sells(vault))
    first = day.run(vault.database, LIVE, DAY, ours)
    again = day.run(vault.database, LIVE, DAY, ours)
    assert again.merchants == first.merchants
    assert again.channels == first.channels
    assert [tie.run for tie in again.tie_outs] == [2]
    assert vault.at_the_bank() == 0


def test_a_day_that_is_cut_off_at_any_commit_is_run_to_the_same_end(vault: Vault) -> None:
    """A crash is a transaction that did not commit, with all that came after it."""
    sells(vault)(DAY)
    real = vault.database.transact
    limit, told = 0, None
    while told is None:
        limit += 1
        left = iter(range(limit))

        def dies(work: Any, *, actor: str, left: Iterator[int] = left) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return real(work, actor=actor)

        vault.database.transact = dies  # type: ignore[method-assign]
        try:
            told = day.run(vault.database, LIVE, DAY, hands(vault))
        except KeyboardInterrupt:
            continue
        finally:
            vault.database.transact = real  # type: ignore[method-assign]
    assert limit > 10
    first = next(one for one in told.merchants if one.merchant == SHOP)
    assert (first.net_minor, first.paid_minor) == (9_940, 9_940)
    assert told.tie_outs[0].why == "ties_out"


def test_a_day_that_is_not_over_is_not_closed(vault: Vault) -> None:
    vault.pay(10_000)
    vault.tick(timedelta(hours=1))
    with vault.database.reading() as connection:
        assert clearing.list_days(connection, LIVE) == ()
    with pytest.raises(day.PaymentDayIsNotOver):
        day.run(vault.database, LIVE, DAY, hands(vault))


def test_an_invoice_of_fees_adds_up_to_what_was_charged(vault: Vault) -> None:
    order = vault.pay(10_000)
    vault.pay(5_000)
    vault.at(NEXT_MORNING)
    vault.close()
    payment = order.paid_by
    assert payment is not None
    vault.database.transact(
        lambda unit: clearing.correct_fee(
            unit, payment, fee_minor=50, reason="wrong plan", cause="approval:a@1"
        )
    )
    with vault.database.reading() as connection:
        made = invoices.invoice(connection, SHOP, LIVE, "2026-03")
        with pytest.raises(invoices.MonthIsMalformed):
            invoices.invoice(connection, SHOP, LIVE, "2026-13")
    assert made.fee_minor == {CNY: 80}
    assert [line.channel for line in made.lines] == ["scripted", "correction"]
    assert invoices.to_csv(made).splitlines()[-1] == "total,,,,CNY,,,80"


class Desk:
    """The routes of clearing, settlement and the reserve, as somebody sees them."""

    def __init__(self, vault: Vault) -> None:
        self.house = House(vault.database, Caller(MAKER, frozenset({"*"})))
        self.app = FastAPI()
        for router in (clearing_router, settlement_router, tie_out_router):
            self.app.include_router(router)
        self.app.state.platform = self.house

        @self.app.exception_handler(Refusal)
        async def told(_: Any, refusal: Refusal) -> Any:
            from fastapi.responses import JSONResponse

            problem = problem_of(refusal, "en")
            return JSONResponse(problem, int(str(problem["status"])))

        self.client = httpx.Client(transport=InProcess(self.app), base_url="http://desk")

    def as_(self, actor: str, party: str | None = None) -> None:
        self.house.caller = Caller(actor, frozenset({"*"}), party)

    def get(self, path: str, **values: object) -> httpx.Response:
        return self.client.get(f"/v1/payments{path}", params=values)  # type: ignore[arg-type]

    def post(self, path: str, **body: object) -> httpx.Response:
        return self.client.post(
            f"/v1/payments{path}", json=body, headers={"Idempotency-Key": uuid4().hex}
        )


def test_routes_show_a_merchant_its_own_and_nothing_else(vault: Vault) -> None:
    day.run(vault.database, LIVE, DAY, hands(vault, sells(vault)))
    desk = Desk(vault)
    everything = desk.get(f"/clearing-days/{DAY}/totals").json()["items"]
    assert len(everything) == 2
    found = desk.get("/settlements").json()["items"]
    assert {one["state"] for one in found} == {"paid"}
    other = next(one["id"] for one in found if one["merchant"] == str(OTHER_SHOP))
    payout = desk.get("/payouts", merchant=str(OTHER_SHOP)).json()["items"][0]["id"]
    desk.as_(f"party:{SHOP}", str(SHOP))
    assert [one["merchant"] for one in desk.get("/settlements").json()["items"]] == [str(SHOP)]
    assert len(desk.get(f"/clearing-days/{DAY}/totals").json()["items"]) == 1
    assert desk.get(f"/settlements/{other}").status_code == 404
    assert desk.get(f"/payouts/{payout}").status_code == 404
    assert desk.get("/fee-invoices/2026-03").text.startswith("day,channel")
    for closed in ("/clearing-days", "/tie-outs", "/custody"):
        assert desk.get(closed).json()["code"] == "not_entitled"
    assert desk.post("/settlements/run").json()["code"] == "not_entitled"


def test_payouts_are_released_over_http_by_two_people(vault: Vault) -> None:
    vault.pay(10_000)
    told = {"account": "RESERVE-CNY", "kind": "fee", "amount_minor": -1, "reference": "F-1"}
    vault.client.post("/movements", json=told)
    vault.at(NEXT_MORNING)
    assert vault.tie_out(DAY).difference_minor == 1
    desk = Desk(vault)
    (account,) = desk.get("/custody").json()["items"]
    assert account["stopped_for"] == "reserve_is_off"
    assert desk.get("/tie-outs").json()["items"][0]["difference_minor"] == 1
    body = {"currency": CNY, "reason": "the bank's letter"}
    asked = desk.post("/custody/release", **body).json()
    assert asked["is_done"] is False
    approval = asked["waits_for"]["approval"]
    early = desk.post("/custody/release", **body, approval=approval)
    assert early.json()["code"] == "approval_is_not_open"
    by = Caller(CHECKER, frozenset({"*"}))
    with vault.database.reading() as connection:
        shown = approvals.read_approval(connection, approval).shown_hash
    vault.database.transact(
        lambda unit: approvals.approve(unit, approval, by=by, shown_hash=shown), actor=CHECKER
    )
    assert desk.post("/custody/release", **body, approval=approval).json()["is_done"]
    with vault.database.reading() as connection:
        assert tieout.open_stop(connection, LIVE, CNY) is None


@pytest.mark.long
def test_the_demonstration_ties_out_over_real_processes() -> None:
    from steelyard.cli import payments_demo

    with payments_demo.open_town(lambda *_: None, merchants_count=2) as town:
        first, second = payments_demo.play(town, days=2, payments=12, seed=3)
    for told in (first, second):
        assert [tie.why for tie in told.tie_outs] == ["ties_out"]
        assert sum(line.breaks or 0 for line in told.channels if line.channel == "uni") == 0
        assert sum(line.gross_minor for line in told.channels) == sum(
            line.gross_minor for line in told.merchants
        )
