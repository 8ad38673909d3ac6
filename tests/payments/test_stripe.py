"""The official client of Stripe, untouched, against a real server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import stripe

from steelyard.base import Environment
from steelyard.base.postgres import Address
from steelyard.payments.model import accounts
from steelyard.payments.model.channel import Finding, PayRequest, Said
from steelyard.payments.model.orders import Mode
from tests.payments.stripe_shop import Dropping, Shop, issue, open_stripe_shop
from tests.payments.till import balance, sum_of_postings

NUMBER = "4242424242424242"


@pytest.fixture(scope="module")
def shop(server: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_stripe_shop(server, tmp_path_factory.mktemp("stripe")) as opened:
        yield opened
        assert sum_of_postings(opened.platform.database) == 0


def test_a_payment_is_made_and_confirmed_and_read(shop: Shop) -> None:
    api = shop.client().v1
    made = api.payment_intents.create(
        {"amount": 2_000, "currency": "cny", "metadata": {"order": "7"}, "description": "Tea"}
    )
    assert (made.status, made.currency, made.metadata["order"]) == (
        "requires_payment_method",
        "cny",
        "7",
    )
    owed = accounts.pending(shop.merchant, "CNY")
    before = balance(shop.platform.database, owed)
    paid = api.payment_intents.confirm(made.id, {"payment_method": "pm_card_visa"})
    assert (paid.status, paid.amount_received) == ("succeeded", 2_000)
    assert balance(shop.platform.database, owed) == before + 2_000
    found = api.payment_intents.retrieve(
        made.id, {"expand": ["latest_charge.balance_transaction", "payment_method"]}
    )
    assert found.payment_method.card.last4 == "4242"
    assert found.latest_charge.captured
    moved = found.latest_charge.balance_transaction
    assert (moved.amount, moved.net + moved.fee, moved.type) == (2_000, 2_000, "charge")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.payment_intents.confirm(made.id, {"payment_method": "pm_card_visa"})
    assert refused.value.code == "payment_intent_unexpected_state"


def test_what_is_declined_is_a_card_error_and_may_be_tried_again(shop: Shop) -> None:
    api = shop.client().v1
    made = api.payment_intents.create({"amount": 2_000, "currency": "cny"})
    with pytest.raises(stripe.CardError) as declined:
        api.payment_intents.confirm(
            made.id, {"payment_method": "pm_card_chargeDeclinedInsufficientFunds"}
        )
    error: Any = declined.value
    assert (error.http_status, error.code) == (402, "card_declined")
    assert error.error.decline_code == "insufficient_funds"
    assert error.error.payment_intent.id == made.id
    found = api.payment_intents.retrieve(made.id)
    assert found.status == "requires_payment_method"
    assert found.last_payment_error.decline_code == "insufficient_funds"
    assert api.payment_intents.confirm(made.id, {"payment_method": "pm_card_visa"}).status == (
        "succeeded"
    )
    charges = api.charges.list({"payment_intent": made.id}).data
    assert [(one.status, one.payment_method_details.card.last4) for one in charges] == [
        ("succeeded", "4242"),
        ("failed", "9995"),
    ]


def test_a_declined_answer_is_replayed_as_it_was(shop: Shop) -> None:
    params = {
        "amount": 500,
        "currency": "cny",
        "confirm": True,
        "payment_method": "pm_card_chargeDeclined",
    }
    ids = set()
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            shop.client().v1.payment_intents.create(params, {"idempotency_key": "declined"})
        error: Any = declined.value.error
        ids.add(error.payment_intent.id)
    assert len(ids) == 1


def test_wrong_requests_name_their_parameter(shop: Shop) -> None:
    create = shop.client().v1.payment_intents.create
    wrong = [
        ({"currency": "cny"}, "amount", "parameter_missing"),
        ({"amount": 0, "currency": "cny"}, "amount", "amount_too_small"),
        ({"amount": -5, "currency": "cny"}, "amount", "amount_too_small"),
        ({"amount": 10**14, "currency": "cny"}, "amount", "amount_too_large"),
        ({"amount": "12.5", "currency": "cny"}, "amount", "parameter_invalid_integer"),
        ({"amount": 5, "currency": "eur"}, "currency", "currency_is_not_taken"),
        ({"amount": 5, "currency": "qqq"}, "currency", "unknown_currency"),
        ({"amount": 5, "currency": "cny", "colour": "red"}, "colour", "parameter_unknown"),
        (
            {"amount": 5, "currency": "cny", "customer": "cus_no"},
            "customer",
            "resource_missing",
        ),
    ]
    for params, param, code in wrong:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            create(params)
        assert (refused.value.param, refused.value.code) == (param, code), params
    with pytest.raises(stripe.InvalidRequestError) as missing:
        shop.client().v1.payment_intents.retrieve(f"pi_{uuid4().hex}")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


def test_who_may_not_is_told_so(shop: Shop) -> None:
    with pytest.raises(stripe.AuthenticationError):
        shop.client(key="sk_made_up").v1.payment_intents.list()
    reader = issue(shop.agency, shop.app, ("payments.read",))
    with pytest.raises(stripe.PermissionError):
        shop.client(key=reader).v1.payment_intents.create({"amount": 5, "currency": "cny"})
    with httpx.Client(base_url=shop.url) as http:
        # As curl sends a key: as the name of a user without a password.
        answer = http.get("/v1/payment_intents", auth=(reader, ""))
        assert answer.json()["object"] == "list"
        assert answer.headers["Request-Id"].startswith("req_")


def test_case_88_another_merchants_objects_are_not_found(shop: Shop) -> None:
    mine = shop.paid()
    other = shop.client(key=shop.other_key).v1
    customer = shop.client().v1.customers.create({"name": "Ann"})
    asks: list[Callable[[], Any]] = [
        lambda: other.payment_intents.retrieve(mine.id),
        lambda: other.payment_intents.cancel(mine.id),
        lambda: other.payment_intents.update(mine.id, {"description": "x"}),
        lambda: other.charges.retrieve(mine.latest_charge),
        lambda: other.refunds.create({"payment_intent": mine.id}),
        lambda: other.customers.retrieve(customer.id),
        lambda: other.payment_methods.retrieve(mine.payment_method),
        lambda: other.payment_intents.list({"starting_after": mine.id}),
        lambda: other.balance_transactions.retrieve(f"txn_ch{mine.latest_charge[3:]}"),
    ]
    for ask in asks:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            ask()
        assert refused.value.code == "resource_missing"
    assert other.payment_intents.list().data == []
    assert other.balance_transactions.list().data == []


def test_pages_are_walked_both_ways(shop: Shop) -> None:
    api = shop.client().v1
    customer = api.customers.create({"name": "Pages"})
    params = {"amount": 300, "currency": "cny", "customer": customer.id}
    made = [api.payment_intents.create(params).id for _ in range(7)]
    page = api.payment_intents.list({"customer": customer.id, "limit": 3})
    assert page.has_more
    assert [one.id for one in page.auto_paging_iter()] == made[::-1]
    back = api.payment_intents.list({"customer": customer.id, "limit": 3, "ending_before": made[0]})
    assert [one.id for one in back.data] == made[3:0:-1]
    at = page.data[0].created
    old = api.payment_intents.list({"customer": customer.id, "created": {"lt": at - 3_600}})
    assert old.data == []
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.payment_intents.list({"limit": 0})
    assert refused.value.param == "limit"


def test_a_payment_is_cancelled_and_its_note_changed(shop: Shop) -> None:
    api = shop.client().v1
    made = api.payment_intents.create(
        {"amount": 900, "currency": "jpy", "metadata": {"a": "1", "b": "2"}}
    )
    after = api.payment_intents.update(made.id, {"metadata": {"b": "", "c": "3"}})
    assert after.metadata.to_dict() == {"a": "1", "c": "3"}
    ended = api.payment_intents.cancel(made.id, {"cancellation_reason": "abandoned"})
    assert (ended.status, ended.cancellation_reason) == ("canceled", "abandoned")
    assert ended.canceled_at
    with pytest.raises(stripe.InvalidRequestError):
        api.payment_intents.cancel(made.id)
    with pytest.raises(stripe.InvalidRequestError):
        api.payment_intents.update(made.id, {"amount": 1_000})


def test_money_goes_back_and_never_more_than_came(shop: Shop) -> None:
    api = shop.client().v1
    paid = shop.paid(2_000)
    part = api.refunds.create(
        {"payment_intent": paid.id, "amount": 500, "reason": "requested_by_customer"}
    )
    assert (part.status, part.amount, part.reason) == ("succeeded", 500, "requested_by_customer")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.refunds.create({"payment_intent": paid.id, "amount": 1_501})
    assert (refused.value.param, refused.value.code) == ("amount", "amount_too_large")
    rest = api.refunds.create({"charge": paid.latest_charge})
    assert rest.amount == 1_500
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.refunds.create({"payment_intent": paid.id})
    assert refused.value.code == "charge_already_refunded"
    charge = api.charges.retrieve(paid.latest_charge)
    assert (charge.refunded, charge.amount_refunded) == (True, 2_000)
    listed = api.refunds.list({"payment_intent": paid.id}).data
    assert [one.id for one in listed] == [rest.id, part.id]
    assert api.refunds.update(part.id, {"metadata": {"why": "cold"}}).metadata["why"] == "cold"
    moved = api.balance_transactions.retrieve(part.balance_transaction)
    assert (moved.amount, moved.source) == (-500, part.id)


def test_case_25_parallel_refunds_never_exceed_the_payment(shop: Shop) -> None:
    paid = shop.paid(1_000)

    def back(_: int) -> bool:
        try:
            shop.client().v1.refunds.create({"payment_intent": paid.id, "amount": 300})
        except stripe.InvalidRequestError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(back, range(8))) == 3
    assert shop.client().v1.charges.retrieve(paid.latest_charge).amount_refunded == 900


def test_money_is_set_aside_and_taken_later(shop: Shop) -> None:
    api = shop.client().v1
    held = shop.paid(7_700, capture_method="manual")
    assert (held.status, held.amount_capturable) == ("requires_capture", 7_700)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.payment_intents.capture(held.id, {"amount_to_capture": 7_701})
    assert refused.value.param == "amount_to_capture"
    taken = api.payment_intents.capture(held.id, {"amount_to_capture": 7_000})
    assert (taken.status, taken.amount_received) == ("succeeded", 7_000)
    other = shop.paid(7_800, capture_method="manual")
    assert api.payment_intents.cancel(other.id).status == "canceled"


def test_what_nobody_knows_is_processing(shop: Shop) -> None:
    api = shop.client().v1
    method = api.payment_methods.create({"type": "alipay"})
    shop.channel.paid, told = _lost, shop.channel.paid
    try:
        made = api.payment_intents.create(
            {"amount": 100, "currency": "cny", "payment_method": method.id, "confirm": True}
        )
    finally:
        shop.channel.paid = told
    assert made.status == "processing"
    assert api.payment_intents.cancel(made.id).status in ("processing", "canceled")


def test_case_10_a_lost_answer_leaves_one_payment(shop: Shop) -> None:
    proxy = Dropping(shop.url, drops=1)
    before, asked = shop.orders(), len(shop.channel.verbs())
    try:
        client = shop.client(proxy.url)
        made = client.v1.payment_intents.create(
            {
                "amount": 4_200,
                "currency": "cny",
                "confirm": True,
                "payment_method": "pm_card_visa",
            }
        )
    finally:
        proxy.close()
    assert proxy.dropped == 1, "the client sent it twice"
    assert (made.status, shop.orders()) == ("succeeded", before + 1)
    assert shop.channel.verbs()[asked:] == ["pay"]


def test_case_11_a_key_with_other_parameters_is_an_idempotency_error(shop: Shop) -> None:
    create = shop.client().v1.payment_intents.create
    first = create({"amount": 100, "currency": "cny"}, {"idempotency_key": "k11"})
    again = create({"amount": 100, "currency": "cny"}, {"idempotency_key": "k11"})
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        create({"amount": 101, "currency": "cny"}, {"idempotency_key": "k11"})
    with pytest.raises(stripe.IdempotencyError):
        shop.client().v1.customers.create({"name": "x"}, {"idempotency_key": "k11"})


def test_case_12_one_key_in_parallel_pays_once(shop: Shop) -> None:
    body = "amount=600&currency=cny&confirm=true&payment_method=pm_card_visa"
    headers = {
        "Authorization": f"Bearer {shop.key}",
        "Idempotency-Key": "k12",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    before, asked = shop.orders(), len(shop.channel.verbs())

    with httpx.Client(base_url=shop.url, timeout=60) as http, ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(
                lambda _: http.post("/v1/payment_intents", content=body, headers=headers),
                range(64),
            )
        )
    assert {one.status_code for one in answers} <= {200, 409}
    for one in answers:
        if one.status_code == 409:
            assert one.json()["error"]["type"] == "idempotency_error"
    assert len({one.json()["id"] for one in answers if one.status_code == 200}) == 1
    assert shop.orders() == before + 1
    assert shop.channel.verbs()[asked:] == ["pay"]


def test_case_19_amounts_are_whole_in_every_currency(shop: Shop) -> None:
    for currency in ("jpy", "kwd", "usd"):
        paid = shop.paid(1_234, currency=currency)
        assert (paid.amount_received, paid.currency) == (1_234, currency)
    shown = shop.client().v1.balance.retrieve()
    assert {one.currency: one.amount for one in shown.pending}["kwd"] == 1_234


def test_customers_are_kept_sealed_and_forgotten(shop: Shop) -> None:
    api = shop.client().v1
    ann = api.customers.create(
        {
            "name": "Ann Tea",
            "email": "ann@example.org",
            "address": {"city": "上海", "country": "CN"},
            "payment_method": "pm_card_mastercard",
        }
    )
    assert ann.address.city == "上海"
    assert [one.id for one in api.customers.list({"email": "Ann@example.org"}).data] == [ann.id]
    rows = shop.agency.rows("SELECT t::text AS row FROM payments.facade_customer t")
    assert not any("Ann" in row.row or "ann@" in row.row for row in rows)
    changed = api.customers.update(ann.id, {"phone": "+8613800000000", "name": ""})
    assert (changed.phone, changed.name, changed.email) == (
        "+8613800000000",
        None,
        "ann@example.org",
    )
    (method,) = api.customers.payment_methods.list(ann.id).data
    assert method.card.brand == "mastercard"
    paid = api.payment_intents.create(
        {
            "amount": 150,
            "currency": "cny",
            "customer": ann.id,
            "payment_method": method.id,
            "confirm": True,
            "expand": ["customer"],
        }
    )
    assert paid.customer.email == "ann@example.org"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.paid(150, payment_method=method.id)
    assert refused.value.param == "payment_method"
    api.payment_methods.detach(method.id)
    assert api.customers.payment_methods.list(ann.id).data == []
    assert api.customers.delete(ann.id).deleted
    assert api.customers.retrieve(ann.id).deleted
    assert api.customers.list({"email": "ann@example.org"}).data == []
    with pytest.raises(stripe.InvalidRequestError):
        api.customers.update(ann.id, {"name": "again"})


def test_case_87_a_card_number_is_turned_into_a_token_and_is_nowhere(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    api = shop.client().v1
    caplog.set_level(logging.DEBUG, logger="steelyard")
    card = {"number": NUMBER, "exp_month": 5, "exp_year": 2030, "cvc": "987"}
    method = api.payment_methods.create({"type": "card", "card": card})
    again = api.payment_methods.create({"type": "card", "card": card})
    assert (method.card.last4, method.card.exp_year) == ("4242", 2030)
    assert method.card.fingerprint == again.card.fingerprint
    data = {"type": "card", "card": {**card, "number": "5555555555554444"}}
    paid = api.payment_intents.create(
        {"amount": 50, "currency": "cny", "confirm": True, "payment_method_data": data}
    )
    assert paid.status == "succeeded"
    assert all(NUMBER not in str(sent) for sent in shop.channel.sent.values())
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.payment_methods.create({"type": "card", "card": {**card, "number": "4242424242424241"}})
    assert "4242424242" not in str(refused.value)
    assert not any(NUMBER in record.getMessage() for record in caplog.records)
    tables = shop.agency.rows(
        "SELECT format('%I.%I', table_schema, table_name) AS name"
        " FROM information_schema.tables WHERE table_schema IN ('payments', 'events', 'base')"
        " AND table_type = 'BASE TABLE' AND has_table_privilege("
        " format('%I.%I', table_schema, table_name), 'SELECT')"
    )
    assert len(tables) > 30
    for table in tables:
        like = f"SELECT count(*) AS n FROM {table.name} x WHERE x::text LIKE :like"
        assert shop.agency.rows(like, like=f"%{NUMBER}%")[0].n == 0, table


def test_a_setup_lets_a_customer_keep_a_method(shop: Shop) -> None:
    api = shop.client().v1
    customer = api.customers.create({"name": "Li"})
    made = api.setup_intents.create({"customer": customer.id})
    assert made.status == "requires_payment_method"
    done = api.setup_intents.confirm(made.id, {"payment_method": "pm_card_visa"})
    assert done.status == "succeeded"
    (kept,) = api.payment_methods.list({"customer": customer.id, "type": "card"}).data
    assert kept.id == done.payment_method
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.setup_intents.cancel(made.id)
    assert refused.value.code == "setup_intent_unexpected_state"
    other = api.setup_intents.create({"payment_method": "pm_card_visa"})
    assert api.setup_intents.cancel(other.id).status == "canceled"
    assert len(api.setup_intents.list({"customer": customer.id}).data) == 1


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_the_client_works_on_asyncio(shop: Shop) -> None:
    async def run() -> None:
        client, http = shop.async_client()
        api = client.v1
        made = await asyncio.gather(
            *(
                api.payment_intents.create_async(
                    {
                        "amount": 100 + n,
                        "currency": "usd",
                        "confirm": True,
                        "payment_method": "pm_card_visa",
                    }
                )
                for n in range(5)
            )
        )
        assert {one.status for one in made} == {"succeeded"}
        page = await api.payment_intents.list_async({"limit": 2})
        seen = [one.id async for one in page.auto_paging_iter()]
        assert {one.id for one in made} <= set(seen)
        with pytest.raises(stripe.CardError):
            await api.payment_intents.create_async(
                {
                    "amount": 100,
                    "currency": "usd",
                    "confirm": True,
                    "payment_method": "pm_card_chargeDeclined",
                }
            )
        await http.close_async()

    asyncio.run(run())


def test_staff_names_the_merchant_for_whom_it_asks(shop: Shop) -> None:
    from steelyard.parties import first_run

    people = first_run.create_demo_people(
        shop.platform.database, shop.platform.keyring, shop.platform.settings
    )
    key = people.development.secret
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.client(key=key).v1.payment_intents.list()
    assert refused.value.code == "facade_account_is_missing"
    account = f"acct_{shop.merchant.hex}"
    found = shop.client(key=key, stripe_account=account).v1.payment_intents.list()
    assert found.data
    assert UUID(found.data[0].id[3:])


def _lost(request: PayRequest) -> Finding:
    return Finding(said=Said.UNKNOWN, why="timeout")


def test_many_payments_at_once_wait_for_no_connection(shop: Shop) -> None:
    """A request holds its key without a connection of its own: forty threads have twenty."""
    before = shop.orders()
    body = "amount=700&currency=cny&confirm=true&payment_method=pm_card_visa"
    with httpx.Client(base_url=shop.url, timeout=60) as http, ThreadPoolExecutor(40) as pool:

        def pay(n: int) -> int:
            headers = {
                "Authorization": f"Bearer {shop.key}",
                "Idempotency-Key": f"many-{n}",
                "Content-Type": "application/x-www-form-urlencoded",
            }
            return http.post("/v1/payment_intents", content=body, headers=headers).status_code

        assert set(pool.map(pay, range(80))) == {200}
    assert shop.orders() == before + 80


def test_a_fault_after_the_charge_leaves_one_payment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sends its key again after a 500; what was begun is found, and asked about."""
    pay, faults = shop.platform.paying.pay, iter([RuntimeError("the process dies here")])

    def dying(*given: Any, **named: Any) -> Any:
        done = pay(*given, **named)
        for fault in faults:
            raise fault
        return done

    monkeypatch.setattr(shop.platform.paying, "pay", dying)
    before, asked = shop.orders(), len(shop.channel.verbs())
    assert shop.paid(1_100).status == "succeeded"
    assert shop.orders() == before + 1
    assert shop.channel.verbs()[asked:] == ["pay"]


def test_a_payment_that_is_refused_leaves_nothing_behind(shop: Shop) -> None:
    before = shop.orders()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.client().v1.payment_intents.create({"amount": 5, "currency": "cny", "confirm": True})
    assert refused.value.param == "payment_method"
    with httpx.Client(base_url=shop.url, auth=(shop.key, "")) as http:
        answer = http.post("/v1/payment_intents", content=b"amount=5&currency=cny&description=\xff")
        assert answer.json()["error"]["param"] == "body"
    assert shop.orders() == before


def test_a_sandbox_has_payments_of_its_own(shop: Shop) -> None:
    app = shop.agency.app(shop.merchant, Mode.SANDBOX).id
    sandbox = shop.client(key=issue(shop.agency, app)).v1
    live = shop.paid()
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.payment_intents.retrieve(live.id)
    made = sandbox.payment_intents.create({"amount": 5, "currency": "cny"})
    assert not made.livemode
    with pytest.raises(stripe.InvalidRequestError):
        shop.client().v1.payment_intents.retrieve(made.id)
    assert [one.id for one in sandbox.payment_intents.list().data] == [made.id]


def test_card_numbers_are_not_taken_where_money_is_real(shop: Shop) -> None:
    settings = replace(shop.platform.settings, environment=Environment.PRODUCTION)
    card = {"number": NUMBER, "exp_month": 5, "exp_year": 2030}
    before, shop.platform.settings = shop.platform.settings, settings
    try:
        asks: list[Callable[[], Any]] = [
            lambda: shop.client().v1.payment_methods.create({"type": "card", "card": card}),
            shop.paid,
        ]
        for ask in asks:
            with pytest.raises(stripe.InvalidRequestError) as refused:
                ask()
            assert refused.value.code == "card_numbers_are_not_taken"
    finally:
        shop.platform.settings = before
