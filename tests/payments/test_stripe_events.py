"""Events, webhooks, disputes, payouts and what the description says, by the official client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
import stripe

from steelyard.base import UnitOfWork
from steelyard.base.postgres import Address
from steelyard.events import drain
from steelyard.payments import disputes, webhooks, webhooks_sending, webhooks_telling
from steelyard.payments.model.channel import Decline
from steelyard.payments.model.stripe_cards import DECLINES
from steelyard.payments.model.stripe_forms import Params, read_form
from steelyard.payments.model.stripe_refusals import FacadeParameterIsWrong
from tests.payments.hooks import Shop as Server
from tests.payments.hooks import shop as listener
from tests.payments.stripe_shop import Shop, open_stripe_shop

__all__ = ["listener"]


@pytest.fixture(scope="module")
def shop(server: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_stripe_shop(server, tmp_path_factory.mktemp("stripe")) as opened:
        yield opened


def deliver(shop: Shop) -> None:
    """Tell what happened, and send it, also to this very machine."""
    drain(shop.platform.database, [webhooks_telling.tellers])
    sender = webhooks_sending.Sender(webhooks.Reach(plain=True, loopback=True))
    courier = webhooks_sending.Courier(
        shop.platform.database, shop.platform.keyring, sender, actor="job:test"
    )
    courier.deliver_due()


def test_the_official_verifier_takes_our_deliveries(shop: Shop, listener: Server) -> None:
    api = shop.client().v1
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.webhook_endpoints.create({"url": listener.url, "enabled_events": ["no.such"]})
    assert refused.value.param == "enabled_events"
    made = api.webhook_endpoints.create(
        {
            "url": listener.url.replace("127.0.0.1", "localhost"),
            "enabled_events": ["payment_intent.succeeded", "charge.refunded"],
            "metadata": {"a": "1"},
        }
    )
    assert made.secret.startswith("whsec_")
    assert api.webhook_endpoints.retrieve(made.id).metadata["a"] == "1"
    assert [one.id for one in api.webhook_endpoints.list().data] == [made.id]
    paid = shop.paid(1_500, metadata={"order": "A-7"})
    api.refunds.create({"payment_intent": paid.id, "amount": 400})
    deliver(shop)
    told = [
        stripe.Webhook.construct_event(
            got.body, got.headers["stripe-signature"], made.secret, tolerance=600
        )
        for got in listener.got
    ]
    by_type = {one.type: one.data.object for one in told}
    assert set(by_type) == {"payment_intent.succeeded", "charge.refunded"}
    assert by_type["payment_intent.succeeded"].id == paid.id
    assert by_type["payment_intent.succeeded"].metadata["order"] == "A-7"
    assert by_type["charge.refunded"].id == paid.latest_charge
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(
            listener.got[0].body + b" ",
            listener.got[0].headers["stripe-signature"],
            made.secret,
        )
    listed = api.events.list({"type": "payment_intent.succeeded", "limit": 1}).data[0]
    assert api.events.retrieve(listed.id).data.object.id == paid.id
    other = shop.client(key=shop.other_key).v1
    with pytest.raises(stripe.InvalidRequestError):
        other.events.retrieve(listed.id)
    with pytest.raises(stripe.InvalidRequestError):
        other.webhook_endpoints.retrieve(made.id)
    after = api.webhook_endpoints.update(made.id, {"enabled_events": ["*"]})
    assert after.enabled_events == ["*"]
    assert api.webhook_endpoints.delete(made.id).deleted
    with pytest.raises(stripe.InvalidRequestError):
        api.webhook_endpoints.retrieve(made.id)


def test_every_kind_of_event_is_written(shop: Shop, listener: Server) -> None:
    api = shop.client().v1
    made = api.webhook_endpoints.create(
        {"url": listener.url.replace("127.0.0.1", "localhost"), "enabled_events": ["*"]}
    )
    with pytest.raises(stripe.CardError):
        shop.paid(payment_method="pm_card_chargeDeclined")
    api.payment_intents.cancel(api.payment_intents.create({"amount": 9, "currency": "cny"}).id)
    drain(shop.platform.database, [webhooks_telling.tellers])
    types = [one.type for one in api.events.list({"limit": 100}).auto_paging_iter()]
    assert {"payment_intent.payment_failed", "payment_intent.canceled"} <= set(types)
    page = api.events.list({"limit": 2})
    back = api.events.list({"limit": 2, "ending_before": page.data[1].id})
    assert [one.id for one in back.data] == [page.data[0].id]
    api.webhook_endpoints.delete(made.id)


def test_our_own_events_stand_at_the_same_address(shop: Shop) -> None:
    """Clients of Stripe state their version; everybody else is asked who may read the log."""
    headers = {"authorization": f"Bearer {shop.key}"}
    with httpx.Client(base_url=shop.url, headers=headers) as http:
        ours = http.get("/v1/events")
        assert (ours.status_code, ours.json()["code"]) == (403, "not_entitled")
        theirs = http.get("/v1/events", headers={"Stripe-Version": "2026-10-28.endive"})
        assert theirs.json()["object"] == "list"
        assert theirs.headers["Stripe-Version"] == "2026-10-28.endive"


def test_a_dispute_is_answered_and_another_accepted(shop: Shop) -> None:
    api = shop.client().v1
    taken = []
    for _ in range(2):
        paid = shop.paid(3_000)

        order = UUID(paid.id[3:])

        def work(unit: UnitOfWork, order: UUID = order) -> disputes.Dispute:
            return disputes.take(
                unit,
                disputes.NewDispute(
                    id=uuid4(),
                    order=order,
                    reference=f"D-{order.hex[:8]}",
                    amount_minor=1_000,
                    currency="CNY",
                    reason="fraudulent",
                    due_at=unit.now + timedelta(days=7),
                ),
            )

        taken.append(shop.agency.run(work))
    first, second = (f"dp_{one.id.hex}" for one in taken)
    assert [one.id for one in api.disputes.list().data] == [second, first]
    found = api.disputes.retrieve(first, {"expand": ["charge"]})
    assert (found.status, found.amount, found.charge.disputed) == ("needs_response", 1_000, True)
    said = {"uncategorized_text": "He drank it."}
    after = api.disputes.update(first, {"evidence": said, "submit": True})
    assert (after.status, after.evidence["uncategorized_text"]) == ("under_review", "He drank it.")
    assert api.disputes.close(second).status == "lost"
    moved = api.balance_transactions.list({"type": "adjustment"}).data
    assert {one.amount for one in moved} == {-1_000}
    with pytest.raises(stripe.InvalidRequestError):
        shop.client(key=shop.other_key).v1.disputes.retrieve(first)


def test_settlements_that_are_paid_are_payouts(shop: Shop) -> None:
    api = shop.client().v1
    settlement = uuid4()

    def work(unit: UnitOfWork, state: str = "paid") -> None:
        unit.execute(
            "INSERT INTO payments.settlement (id, merchant, mode, currency, on_day, state,"
            " balance_minor, not_due_minor, amount_minor, carried_minor, calculated_at, changed_at)"
            " VALUES (:id, :merchant, 'live', 'CNY', :on, :state, 900, 0, 900, 0, :at, :at)",
            id=settlement if state == "paid" else uuid4(),
            merchant=shop.merchant,
            on=unit.now.date() - timedelta(days=1 if state == "paid" else 2),
            state=state,
            at=unit.now,
        )

    shop.agency.run(work)
    shop.agency.run(lambda unit: work(unit, "calculated"))
    (found,) = api.payouts.list().data
    assert (found.id, found.amount, found.status) == (f"po_{settlement.hex}", 900, "paid")
    assert api.payouts.update(found.id, {"metadata": {"b": "2"}}).metadata["b"] == "2"
    moved = api.balance_transactions.retrieve(found.balance_transaction)
    assert (moved.amount, moved.type, moved.source) == (-900, "payout", found.id)
    with pytest.raises(stripe.InvalidRequestError):
        shop.client(key=shop.other_key).v1.payouts.retrieve(found.id)


def test_what_cannot_be_expanded_is_refused(shop: Shop) -> None:
    api = shop.client().v1
    paid = shop.paid()
    for path in ("colour", "amount", "latest_charge.payment_intent.latest_charge.a.b"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            api.payment_intents.retrieve(paid.id, {"expand": [path]})
        assert refused.value.param == "expand"
    listed = api.payment_intents.list({"limit": 1, "expand": ["data.latest_charge"]})
    assert listed.data[0].latest_charge.amount == 2_000


def test_every_decline_has_its_words() -> None:
    assert set(DECLINES) == set(Decline)


@pytest.mark.parametrize(
    "text", ["a[b=1", "a]=1", "a=1&a[b]=2", "a[b]=1&a=2", "a=%ff", "a=%00", "&".join(["a=1"] * 501)]
)
def test_what_is_no_form_is_refused(text: str) -> None:
    with pytest.raises(FacadeParameterIsWrong):
        read_form(text)


def test_what_nobody_asked_for_is_refused_by_its_name() -> None:
    inner = Params(read_form("card[number]=1&card[x]=2")).inner("card")
    assert inner is not None
    inner.ignore("number")
    with pytest.raises(FacadeParameterIsWrong) as refused:
        inner.done()
    assert refused.value.facts["param"] == "card[x]"
