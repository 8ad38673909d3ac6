"""What does not agree is resolved by two people, in the books; and the routes to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database, UnitOfWork
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.kernel import Refusal, SteppingClock
from steelyard.parties import approvals
from steelyard.payments.http import recon_router
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import AttemptState
from steelyard.payments.model.breaks import BreakKind
from steelyard.payments.model.channel import Said
from steelyard.payments.model.recon import Action, ItemState, Proposal, age_bucket
from steelyard.payments.service import recon
from steelyard.payments.service.recon_posting import GAINS, LOSSES
from steelyard.payments.store import attempts as attempt_table
from tests.house import House
from tests.payments.test_recon_days import (
    CHANNEL,
    NEXT,
    ON,
    TRANSIT,
    items,
    line,
    local,
    pay,
    run,
    take,
)
from tests.payments.test_recon_days import shop as shop
from tests.payments.till import OWN, SHOP, balance, sum_of_postings

MAKER = Caller("staff:00000000-0000-0000-0000-00000000000a", frozenset({"payments.*"}))
CHECKER = Caller("staff:00000000-0000-0000-0000-00000000000b", frozenset({"payments.*"}))
MERCHANT = accounts.available(SHOP, "CNY")
UNCLAIMED, SHORTAGE = accounts.unclaimed("CNY"), accounts.shortage("CNY")


def by(database: Database, caller: Caller, work: Callable[[UnitOfWork], Any]) -> Any:
    return database.transact(work, actor=caller.actor)


def resolve(database: Database, item: UUID, action: Action, **more: Any) -> recon.Item:
    """Let one person propose, another approve, and the first post."""
    proposal = Proposal(action=action, reason="looked at it", **more)
    made = by(database, MAKER, lambda unit: recon.propose(unit, item, proposal))
    approve(database, made)
    return by(database, MAKER, lambda unit: recon.post(unit, item))


def approve(database: Database, made: recon.Item, who: Caller = CHECKER) -> recon.Item:
    with database.reading() as connection:
        asked = approvals.read_approval(connection, made.approval)
    return by(
        database,
        who,
        lambda unit: recon.approve(unit, made.id, by=who, shown_hash=asked.shown_hash),
    )


def books(database: Database) -> dict[str, int]:
    codes = {"transit": TRANSIT, "unclaimed": UNCLAIMED, "shortage": SHORTAGE, "merchant": MERCHANT}
    found = {name: balance(database, code) for name, code in codes.items()}
    return {name: amount for name, amount in found.items() if amount}


@pytest.fixture
def bank_only(shop: Database) -> recon.Item:
    """A line of 3.00 that nobody has heard of."""
    take(shop, [line(amount_minor=300, reference="R-strange")])
    run(shop)
    return items(shop)[0]


@pytest.fixture
def short(shop: Database) -> recon.Item:
    """A payment of 4.00 that they do not list."""
    pay(shop, at=local(ON, 10), amount_minor=400)
    take(shop, [])
    run(shop)
    return items(shop)[0]


def test_case_60_a_bank_only_row_goes_to_suspense_and_then_to_the_merchant(
    shop: Database, bank_only: recon.Item
) -> None:
    assert (bank_only.kind, bank_only.difference_minor) == (BreakKind.BANK_ONLY, 300)
    waiting = resolve(shop, bank_only.id, Action.SUSPENSE)
    assert (waiting.state, waiting.suspense_minor) == (ItemState.POSTED, 300)
    assert books(shop) == {"transit": -300, "unclaimed": 300}
    with pytest.raises(recon.ReconMerchantIsNeeded):
        resolve(shop, bank_only.id, Action.SUPPLEMENT)
    done = resolve(shop, bank_only.id, Action.SUPPLEMENT, merchant=SHOP)
    assert (done.state, done.closed_why, done.suspense_minor) == (ItemState.CLOSED, "posted", 0)
    assert done.cause is not None
    assert done.cause.startswith("approval:")
    assert books(shop) == {"transit": -300, "merchant": 300}
    assert sum_of_postings(shop) == 0
    # A rerun finds the same break, and knows that it is settled.
    assert run(shop).breaks == {"bank_only": 1}
    assert items(shop, state="open") == []
    with shop.reading() as connection:
        steps = [one["what"] for one in recon.history(connection, bank_only.id)]
    once = ["propose", "approve", "post"]
    assert steps == ["open", *once, *once, "close"]


def test_case_68_nobody_matches_by_force_alone(shop: Database, short: recon.Item) -> None:
    take(shop, [line(at=local(NEXT, 15), amount_minor=400)], NEXT)
    run(shop, NEXT)
    [theirs] = items(shop, kind="bank_only")
    forced = Proposal(action=Action.MATCH, reason="it is the same", other=theirs.id)
    made = by(shop, MAKER, lambda unit: recon.propose(unit, short.id, forced))
    with pytest.raises(approvals.ApprovalIsNotOpen):
        by(shop, MAKER, lambda unit: recon.post(unit, short.id))
    with pytest.raises(approvals.MakerIsChecker):
        approve(shop, made, MAKER)
    nobody = Caller("staff:00000000-0000-0000-0000-00000000000c", frozenset({"payments.read"}))
    with pytest.raises(Refusal, match="not_entitled"):
        approve(shop, made, nobody)
    assert {one.state for one in items(shop)} == {ItemState.PROPOSED, ItemState.SUSPECT}
    approve(shop, made)
    by(shop, MAKER, lambda unit: recon.post(unit, short.id))
    assert {one.state for one in items(shop)} == {ItemState.CLOSED}
    assert items(shop, kind="short")[0].closed_why == f"by hand with {theirs.id}"
    with pytest.raises(recon.ReconItemStateForbids):
        by(shop, MAKER, lambda unit: recon.post(unit, short.id))


def test_items_that_do_not_cancel_out_are_no_pair(shop: Database, short: recon.Item) -> None:
    take(shop, [line(at=local(NEXT, 15), amount_minor=401)], NEXT)
    run(shop, NEXT)
    [theirs] = items(shop, kind="bank_only")
    for other in (theirs.id, short.id, None):
        with pytest.raises(recon.ReconPairDoesNotFit):
            resolve(shop, short.id, Action.MATCH, other=other)


@pytest.mark.parametrize(
    ("action", "after", "own"),
    [
        (Action.REVERSE, {"merchant": -400}, {}),
        (Action.RECOVER, {"merchant": -400}, {}),
        (Action.ADJUST, {"merchant": -400}, {}),
        (Action.SUSPENSE, {"shortage": -400}, {}),
        (Action.WRITE_OFF, {}, {LOSSES: -400}),
    ],
)
def test_what_they_lack_is_posted(
    shop: Database,
    short: recon.Item,
    action: Action,
    after: dict[str, int],
    own: dict[str, int],
) -> None:
    assert books(shop) == {"transit": -400}
    resolve(shop, short.id, action)
    assert books(shop) == after
    for line_of, amount in own.items():
        assert balance(shop, f"{line_of}:CNY", OWN) == amount
    assert sum_of_postings(shop) == 0


@pytest.mark.parametrize(
    ("action", "after", "own"),
    [
        (Action.REFUND, {}, {}),
        (Action.ADJUST, {"transit": -300, "merchant": 300}, {}),
        (Action.WRITE_OFF, {"transit": -300}, {GAINS: 300}),
    ],
)
@pytest.mark.parametrize("by_suspense", [False, True])
def test_what_they_have_more_is_posted(
    shop: Database,
    bank_only: recon.Item,
    by_suspense: bool,
    action: Action,
    after: dict[str, int],
    own: dict[str, int],
) -> None:
    if by_suspense:
        resolve(shop, bank_only.id, Action.SUSPENSE)
    resolve(shop, bank_only.id, action, merchant=SHOP)
    assert books(shop) == after
    for line_of, amount in own.items():
        assert balance(shop, f"{line_of}:CNY", OWN) == amount
    assert sum_of_postings(shop) == 0


def test_an_action_has_to_fit_and_a_write_off_has_a_limit(
    shop: Database, short: recon.Item
) -> None:
    with pytest.raises(recon.ReconActionDoesNotFit):
        resolve(shop, short.id, Action.SUPPLEMENT)
    pay(shop, at=local(ON, 11), amount_minor=501)
    run(shop)
    big = next(one for one in items(shop) if one.difference_minor == -501)
    with pytest.raises(recon.WriteOffIsTooLarge):
        resolve(shop, big.id, Action.WRITE_OFF)
    with pytest.raises(recon.ReconItemIsUnknown):
        resolve(shop, uuid4(), Action.WRITE_OFF)


def test_a_payment_that_was_declined_is_supplemented_by_evidence(shop: Database) -> None:
    declined = pay(shop, at=local(ON, 10), said=Said.DECLINED)
    take(shop, [line(declined, reference="R5")])
    assert run(shop).breaks == {"long": 1}
    [one] = items(shop)
    assert one.state is ItemState.SUSPECT
    resolve(shop, one.id, Action.SUSPENSE)
    assert books(shop) == {"transit": -10_000, "unclaimed": 10_000}
    done = resolve(shop, one.id, Action.SUPPLEMENT)
    assert (done.state, done.closed_why) == (ItemState.CLOSED, "evidence")
    with shop.reading() as connection:
        after = attempt_table.find(connection, [declined.id])[declined.id]
    assert after.state is AttemptState.SUCCEEDED
    assert books(shop) == {"transit": -10_000}
    assert balance(shop, accounts.pending(SHOP, "CNY")) == 10_000
    assert run(shop).breaks == {}


def test_a_late_file_takes_an_item_out_of_suspense(shop: Database, short: recon.Item) -> None:
    resolve(shop, short.id, Action.SUSPENSE)
    assert books(shop) == {"shortage": -400}
    pair = take(shop, [line(amount_minor=400, our_number=short.number, at=local(ON, 10))])
    assert pair.how is recon.Arrival.CORRECTED
    run(shop)
    [after] = items(shop)
    assert (after.state, after.suspense_minor) == (ItemState.MATCHED, 0)
    assert books(shop) == {"transit": -400}


def test_money_that_comes_after_a_write_off_opens_the_item_again(
    shop: Database, short: recon.Item
) -> None:
    resolve(shop, short.id, Action.WRITE_OFF)
    take(shop, [line(amount_minor=400, our_number=short.number, at=local(ON, 10))])
    run(shop)
    [again] = items(shop)
    assert (again.state, again.difference_minor) == (ItemState.BREAK, 400)
    assert "late_arrival" in again.differs_in
    assert run(shop).breaks == {}
    assert items(shop)[0].version == again.version
    resolve(shop, short.id, Action.WRITE_OFF)
    assert books(shop) == {"transit": -400}
    assert balance(shop, f"{LOSSES}:CNY", OWN) + balance(shop, f"{GAINS}:CNY", OWN) == 0
    assert items(shop, state="open") == []


def test_a_run_that_changes_an_item_voids_its_proposal(shop: Database) -> None:
    paid = pay(shop, at=local(ON, 10))
    take(shop, [line(paid, amount_minor=9_900)])
    run(shop)
    [one] = items(shop)
    proposal = Proposal(action=Action.WRITE_OFF, reason="a yuan")
    made = by(shop, MAKER, lambda unit: recon.propose(unit, one.id, proposal))
    approve(shop, made)
    take(shop, [line(paid, amount_minor=9_700)])
    run(shop)
    [after] = items(shop)
    assert (after.state, after.proposal, after.difference_minor) == (ItemState.BREAK, None, -300)
    with pytest.raises(recon.ReconItemStateForbids):
        by(shop, MAKER, lambda unit: recon.post(unit, one.id))
    assert balance(shop, f"{LOSSES}:CNY", OWN) == 0


def test_old_breaks_become_cases_once(
    shop: Database, short: recon.Item, clock: SteppingClock
) -> None:
    assert recon.age(shop) == {"aged": 0, "cases": 0}
    clock.advance(timedelta(days=4))
    assert recon.age(shop) == {"aged": 1, "cases": 1}
    assert recon.age(shop) == {"aged": 0, "cases": 0}
    with shop.reading() as connection:
        lines = recon.ageing(connection, ON + timedelta(days=4))
        found = connection.exec_driver_sql("SELECT kind, subject FROM cases.case_file").all()
    assert [tuple(row) for row in found] == [("payments.recon_break", short.subject)]
    assert [(one.kind, one.days, one.at_risk_minor) for one in lines] == [("short", "3-6", 400)]
    assert recon.plot_of_ageing(lines)["at_risk_minor"] == {"CNY": [0, 0, 0, 400, 0, 0, 0, 0]}
    assert age_bucket(-1) == "0"


def test_a_proposal_can_be_taken_back(shop: Database, short: recon.Item) -> None:
    by(shop, MAKER, lambda unit: recon.assign(unit, short.id, MAKER.actor))
    proposal = Proposal(action=Action.SUSPENSE, reason="wait")
    by(shop, MAKER, lambda unit: recon.propose(unit, short.id, proposal))
    with pytest.raises(approvals.ApprovalIsNotYours):
        by(shop, CHECKER, lambda unit: recon.withdraw(unit, short.id, by=CHECKER.actor))
    back = by(shop, MAKER, lambda unit: recon.withdraw(unit, short.id, by=MAKER.actor))
    assert (back.state, back.owner, back.proposal) == (ItemState.BREAK, MAKER.actor, None)


class Client:
    def __init__(self, database: Database) -> None:
        self.house = House(database, MAKER)
        self.app = FastAPI()
        self.app.include_router(recon_router)
        self.app.state.platform = self.house

        @self.app.exception_handler(Refusal)
        def refused(request: Request, refusal: Refusal) -> JSONResponse:
            problem = problem_of(refusal, language_of(request))
            return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    def ask(self, method: str, path: str, expect: int = 200, **more: Any) -> Any:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                headers = {"Idempotency-Key": uuid4().hex, **more.pop("headers", {})}
                return await http.request(
                    method, f"/v1/payments/recon{path}", headers=headers, **more
                )

        answer = asyncio.run(send())
        assert answer.status_code == expect, answer.text
        return json.loads(answer.text)


CSV = "交易时间,商户订单号,金额\n"  # no form that anybody reads: refused with its reason


def test_the_routes_from_a_file_to_a_closed_item(shop: Database) -> None:
    client = Client(shop)
    plan = {"mode": "live", "starts_on": str(ON), "write_off_minor": 500}
    assert client.ask("PUT", f"/plans/{CHANNEL}", json=plan)["due_days"] == 1
    assert [one["channel"] for one in client.ask("GET", "/plans")] == [CHANNEL]
    client.ask("PUT", "/plans/uni", 422, json={**plan, "timezone": "Mars/Base"})
    refused = client.ask("POST", f"/files?channel={CHANNEL}", 422, content=CSV.encode())
    assert refused["code"] == "file_is_no_statement"
    mt940 = (
        b":20:1\n:25:ACME\n:28C:1\n:60F:C260302CNY1,00\n"
        b":61:2603020302C3,00NMSCREF1//BANK1\n:62F:C260302CNY4,00\n-"
    )
    path = f"/files?channel={CHANNEL}&on={ON}&name=a.sta"
    taken = client.ask("POST", path, content=mt940)["items"]
    assert [(one["how"], one["file"]["form"], one["file"]["proof"]) for one in taken] == [
        ("first", "mt940", "balances")
    ]
    assert client.ask("POST", path, content=mt940)["items"][0]["how"] == "duplicate"
    done = client.ask("POST", f"/days/{CHANNEL}/{ON}/run")
    assert done["breaks"] == {"bank_only": 1}
    assert client.ask("POST", f"/days/{CHANNEL}/{NEXT}/run", 409)["code"] == "statement_is_missing"
    days = client.ask("GET", f"/days?from_on={ON}&to_on={ON}")["items"]
    assert [(one["state"], one["open_minor"]) for one in days] == [("matched", {"CNY": 300})]
    assert len(client.ask("GET", f"/days/{CHANNEL}/{ON}/runs")["items"]) == 1
    assert len(client.ask("GET", f"/days/{CHANNEL}/{ON}/files")["items"]) == 1
    page = client.ask("GET", "/items?state=open&limit=1")
    assert page["next"] is None
    [item] = page["items"]
    one = f"/items/{item['id']}"
    assert client.ask("POST", f"{one}/assign", json={"owner": MAKER.actor})["owner"] == MAKER.actor
    wish = {"action": "write_off", "reason": "nobody claims it"}
    proposed = client.ask("POST", f"{one}/propose", json=wish)
    assert client.ask("POST", f"{one}/post", 409)["code"] == "approval_is_not_open"
    with shop.reading() as connection:
        asked = approvals.read_approval(connection, UUID(proposed["approval"]))
    yes = {"shown_hash": asked.shown_hash}
    assert client.ask("POST", f"{one}/approve", 403, json=yes)["code"] == "maker_is_checker"
    client.house.caller = CHECKER
    client.ask("POST", f"{one}/approve", json=yes)
    assert client.ask("POST", f"{one}/post")["state"] == "closed"
    steps = [step["what"] for step in client.ask("GET", one)["steps"]]
    assert steps == ["open", "assign", "propose", "approve", "post", "close"]
    assert client.ask("GET", f"/ageing?today={NEXT}")["lines"] == []
    assert client.ask("GET", f"/items/{uuid4()}", 404)["code"] == "recon_item_is_unknown"
    client.house.caller = Caller("party:x", frozenset({"payments.*"}), party=str(SHOP))
    assert client.ask("GET", "/items", 403)["code"] == "not_entitled"


def test_pages_of_items_follow_each_other(shop: Database) -> None:
    take(shop, [line(at=local(ON, 9 + k), amount_minor=10 + k) for k in range(5)])
    run(shop)
    client = Client(shop)
    first = client.ask("GET", "/items?limit=3")
    second = client.ask("GET", f"/items?limit=3&cursor={first['next']}")
    ids = [one["id"] for one in first["items"] + second["items"]]
    assert len(set(ids)) == 5
    assert second["next"] is None
    assert client.ask("GET", "/items?cursor=x", 422)["code"] == "cursor_is_invalid"
