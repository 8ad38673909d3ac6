"""What happens is told to those who hear it: once, numbered, with nothing that is not theirs."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from steelyard.events import operation
from steelyard.kernel import Refusal
from steelyard.payments import apps, merchants, webhooks, webhooks_telling
from steelyard.payments.model.orders import Mode
from tests.payments.hooks import Office, Shop
from tests.payments.hooks import desk as desk
from tests.payments.hooks import shop as shop

URL = "https://shop.example/hooks"


def events(desk: Office) -> list[Any]:
    return desk.rows("SELECT * FROM payments.webhook_event ORDER BY fact")


def test_facts_become_events_numbered_within_their_object(desk: Office) -> None:
    merchant = desk.taken_on()
    app = desk.app(merchant, Mode.LIVE).id
    endpoint = desk.hear(merchant, URL, app=app).endpoint
    one, two = desk.pay(merchant, 2, app=app), desk.pay(merchant, 2, app=app)
    desk.tell()
    made = [(e.kind, e.object, e.sequence) for e in events(desk) if e.kind.startswith("pay")]
    assert made == [
        ("payment.created", f"payment:{one}", 1),
        ("payment.succeeded", f"payment:{one}", 2),
        ("payment.created", f"payment:{two}", 1),
        ("payment.succeeded", f"payment:{two}", 2),
    ]
    assert len(desk.deliveries(endpoint.id)) == len(events(desk))


def test_an_event_shows_nothing_of_the_payer(desk: Office, shop: Shop) -> None:
    merchant = desk.taken_on()
    app = desk.app(merchant, Mode.LIVE).id
    desk.hear(merchant, shop.url, "payment.succeeded", app=app)
    payment = desk.pay(merchant, app=app)
    desk.tell()
    assert desk.deliver() == 1
    told = json.loads(shop.got[0].body)
    assert told["data"] == {
        "payment": str(payment),
        "order_no": f"T-{payment.hex[:8]}",
        "amount_minor": 100,
        "currency": "CNY",
        "scenario": "online",
    }
    assert b"card_secret" not in shop.got[0].body


def test_a_fact_is_heard_once_though_the_log_is_read_again(desk: Office) -> None:
    merchant = desk.taken_on()
    app = desk.app(merchant, Mode.LIVE).id
    desk.hear(merchant, URL, app=app)
    desk.pay(merchant, app=app)
    desk.tell()
    before = events(desk), len(desk.deliveries())
    consumer = webhooks_telling.tellers
    desk.run(lambda unit: operation.replay(unit, consumer.name, consumer.version))
    assert desk.tell() > 0, "it was read again"
    assert (events(desk), len(desk.deliveries())) == before
    payment = desk.pay(merchant, 2, app=app)
    desk.tell()
    assert [e.sequence for e in events(desk) if e.object == f"payment:{payment}"] == [1, 2]


def test_what_is_rolled_back_is_never_told(desk: Office) -> None:
    """The event is made of the log, and the log has what was committed."""
    merchant = desk.taken_on()
    app = desk.app(merchant, Mode.LIVE).id
    desk.hear(merchant, URL, app=app)
    desk.tell()
    before = len(events(desk))
    with pytest.raises(ZeroDivisionError), desk.database.unit_of_work() as unit:
        apps.rename(unit, app, "x")
        _ = 1 // 0
    assert desk.tell() == 0
    assert len(events(desk)) == before


def test_case_88_only_those_hear_whom_it_is_about(desk: Office) -> None:
    mine, others = desk.taken_on(), desk.taken_on(1)
    app, second = desk.app(mine, Mode.LIVE).id, desk.app(mine, Mode.LIVE).id
    kinds = ("payment.succeeded", "merchant.suspended")
    hearing = {
        "mine": desk.hear(mine, URL, *kinds, app=app),
        "another app": desk.hear(mine, URL, *kinds, app=second),
        "sandbox": desk.hear(mine, URL, *kinds, mode=Mode.SANDBOX),
        "another kind": desk.hear(mine, URL, "refund.succeeded", app=app),
        "somebody else": desk.hear(others, URL, "*"),
    }
    desk.tell()
    before = {one.id for one in desk.deliveries()}
    desk.pay(mine, app=app)
    desk.tell()
    fresh = [one.endpoint for one in desk.deliveries() if one.id not in before]
    assert fresh == [hearing["mine"].endpoint.id]
    # What is about the merchant itself, every app of the mode hears.
    desk.run(lambda unit: merchants.suspend(unit, mine, reason="x"))
    desk.tell()
    suspended = desk.rows(
        "SELECT d.endpoint FROM payments.webhook_delivery d JOIN payments.webhook_event v"
        " ON v.id = d.event WHERE v.kind = 'merchant.suspended'"
    )
    assert {row.endpoint for row in suspended} == {
        hearing["mine"].endpoint.id,
        hearing["another app"].endpoint.id,
    }


def test_a_merchant_without_a_program_costs_nothing(desk: Office) -> None:
    merchant = desk.taken_on()
    desk.pay(merchant, 2)
    desk.tell()
    assert events(desk) == []


def test_events_are_read_in_both_directions(desk: Office) -> None:
    merchant = desk.taken_on()
    app = desk.app(merchant, Mode.LIVE).id
    for _ in range(3):
        desk.pay(merchant, 2, app=app)
    desk.tell()
    with desk.database.reading() as connection:
        every = webhooks.list_events(
            connection, merchant, Mode.LIVE, kinds=("payment.succeeded",), app=app
        )
        newest, middle, oldest = every
        before = webhooks.list_events(
            connection, merchant, Mode.LIVE, kinds=("payment.succeeded",), before=newest.id
        )
        after = webhooks.list_events(
            connection, merchant, Mode.LIVE, kinds=("payment.succeeded",), after=oldest.id
        )
        assert webhooks.list_events(connection, uuid4(), Mode.LIVE) == []
        assert webhooks.list_events(connection, merchant, Mode.SANDBOX) == []
        assert webhooks.read_event(connection, oldest.id) == oldest
        with pytest.raises(Refusal, match="webhook_event_is_unknown"):
            webhooks.read_event(connection, uuid4())
    assert before == [middle, oldest]
    assert after == [middle, newest]


# --- endpoints -----------------------------------------------------------------------------------


def test_an_endpoint_is_opened_changed_and_closed(desk: Office) -> None:
    merchant = desk.taken_on()
    opened = desk.hear(merchant, URL, "payment.succeeded")
    assert opened.secret.startswith("whsec_")
    assert opened.secret not in repr(opened)
    stored = desk.rows("SELECT sealed FROM payments.webhook_secret")
    assert all(opened.secret.encode() not in bytes(row.sealed) for row in stored)
    id = opened.endpoint.id
    changed = desk.run(
        lambda unit: webhooks.change_endpoint(unit, desk.settings, id, url=URL + "2", kinds=("*",))
    )
    assert (changed.url, changed.kinds) == (URL + "2", ("*",))
    for verb, code in (
        (lambda u: webhooks.enable_endpoint(u, id), "webhook_endpoint_state_forbids"),
        (
            lambda u: webhooks.change_endpoint(u, desk.settings, id, kinds=("x",)),
            "webhook_endpoint_is_malformed",
        ),
        (
            lambda u: webhooks.change_endpoint(u, desk.settings, id, url="https://10.0.0.1/"),
            "webhook_address_is_forbidden",
        ),
        (
            lambda u: webhooks.rotate_secret(u, desk.keyring, id, overlap=timedelta(days=8)),
            "overlap_is_too_long",
        ),
        (lambda u: webhooks.close_endpoint(u, "we_none"), "webhook_endpoint_is_unknown"),
    ):
        with pytest.raises(Refusal, match=code):
            desk.run(verb)
    desk.run(lambda unit: webhooks.close_endpoint(unit, id))
    assert desk.rows("SELECT 1 FROM payments.webhook_secret") == []
    with pytest.raises(Refusal, match="webhook_endpoint_state_forbids"):
        desk.run(lambda unit: webhooks.close_endpoint(unit, id))


def test_case_86_an_address_of_ones_own_network_is_refused_when_it_is_named(
    desk: Office,
) -> None:
    merchant = desk.taken_on()
    app = desk.app(merchant).id
    for url in ("http://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/", "http://[::]/"):
        with pytest.raises(Refusal, match="webhook_address_is_forbidden"):
            desk.hear(merchant, url, app=app)
    desk.hear(merchant, "http://127.0.0.1:9000/", app=app)


def test_an_app_has_so_many_endpoints_and_no_more(desk: Office) -> None:
    merchant = desk.taken_on()
    app = desk.app(merchant).id
    for _ in range(16):
        desk.hear(merchant, URL, app=app)
    with pytest.raises(Refusal, match="webhook_endpoints_are_too_many"):
        desk.hear(merchant, URL, app=app)


def test_the_endpoints_of_a_closed_app_are_closed(desk: Office) -> None:
    merchant = desk.taken_on()
    app = desk.app(merchant, Mode.LIVE).id
    endpoint = desk.hear(merchant, URL, app=app).endpoint.id
    desk.pay(merchant, app=app)
    desk.tell()
    desk.run(lambda unit: apps.close(unit, app))
    assert desk.endpoint(endpoint).state is webhooks.EndpointState.CLOSED
    assert {one.state for one in desk.deliveries(endpoint)} == {webhooks.DeliveryState.DEAD}
    assert desk.deliver() == 0
