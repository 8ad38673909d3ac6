"""Balance, payouts and disputes, as clients of Stripe ask for them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from steelyard.payments import disputes, stripe_ids, stripe_payments
from steelyard.payments.http.stripe.asking import Ask, StripeRoute, asking
from steelyard.payments.http.stripe.form import describes

router = APIRouter(prefix="/v1", tags=["stripe"], route_class=StripeRoute)

Reads = Annotated[Ask, asking("payments.read")]
Disputes = Annotated[Ask, asking("payments.dispute")]
Manages = Annotated[Ask, asking("payments.manage")]
MovedId = Annotated[str, Path(description="txn_...", examples=["txn_ch" + 31 * "0" + "7"])]
PayoutId = Annotated[str, Path(description="po_...", examples=["po_" + 31 * "0" + "7"])]
DisputeId = Annotated[str, Path(description="dp_...", examples=["dp_" + 31 * "0" + "7"])]
_NOUNS = {"charge": "charge", "refund": "refund", "adjustment": "dispute", "payout": "payout"}


@router.get("/balance", **describes("balance"))
def read_balance(ask: Reads) -> Response:
    """Show what the merchant is owed, after clearing and before it."""
    return ask.read(lambda reader: reader.balance())


@router.get("/balance_transactions", **describes("list"))
def list_moved(ask: Reads) -> Response:
    """List what changed the merchant's balance, the newest first."""
    kind = ask.params.choice("type", _NOUNS)
    currency, payout = ask.params.text("currency"), ask.params.text("payout")
    if payout:
        raise ask.params.wrong("payout", "what a payout consists of is not listed here")
    noun = None if kind is None else _NOUNS[kind]
    upper = currency.upper() if currency else None
    wanted = ask.wanted("balance_transaction", noun=noun, currency=upper)
    url = "/v1/balance_transactions"
    return ask.read(lambda reader: reader.page("balance_transaction", wanted, url))


@router.get("/balance_transactions/{moved}", **describes("balance_transaction"))
def read_moved(moved: MovedId, ask: Reads) -> Response:
    """Show what an object did to the merchant's balance."""
    return ask.read(lambda reader: reader.balance_transaction(moved))


@router.get("/payouts", **describes("list"))
def list_payouts(ask: Reads) -> Response:
    """List settlements that are or were paid, the newest first."""
    wanted = ask.wanted("payout")
    return ask.read(lambda reader: reader.page("payout", wanted, "/v1/payouts"))


@router.get("/payouts/{payout}", **describes("payout"))
def read_payout(payout: PayoutId, ask: Reads) -> Response:
    """Show a settlement that is or was paid."""
    id = stripe_ids.from_id("payout", payout)
    return ask.read(lambda reader: reader.one("payout", id))


@router.post("/payouts/{payout}", **describes("payout", fields="metadata[a]=1", writes=True))
def change_payout(payout: PayoutId, ask: Manages) -> Response:
    """Change what is kept with a payout."""
    id, metadata = stripe_ids.from_id("payout", payout), ask.params.metadata()

    def change(desk: Any) -> None:
        desk.reader.one("payout", id)
        stripe_payments.keep(desk, payout, {}, metadata)

    return ask.write(lambda: ask.transact(change), lambda reader: reader.one("payout", id))


@router.get("/disputes", **describes("list"))
def list_disputes(ask: Reads) -> Response:
    """List disputes, the newest first."""
    intent, charge = ask.params.text("payment_intent"), ask.params.text("charge")
    of = stripe_ids.from_id("payment_intent", intent, param="payment_intent") if intent else None
    by = stripe_ids.from_id("charge", charge, param="charge") if charge else None
    wanted = ask.wanted("dispute", order_id=of, attempt=by)
    return ask.read(lambda reader: reader.page("dispute", wanted, "/v1/disputes"))


@router.get("/disputes/{dispute}", **describes("dispute"))
def read_dispute(dispute: DisputeId, ask: Reads) -> Response:
    """Show a dispute."""
    id = stripe_ids.from_id("dispute", dispute)
    return ask.read(lambda reader: reader.one("dispute", id))


@router.post("/disputes/{dispute}", **describes("dispute", fields="submit=true", writes=True))
def change_dispute(dispute: DisputeId, ask: Disputes) -> Response:
    """Say something for the merchant, and with `submit` put it before the bank."""
    id, metadata = stripe_ids.from_id("dispute", dispute), ask.params.metadata()
    is_submitted, said = ask.params.flag("submit"), ask.params.inner("evidence")
    texts = {} if said is None else {key: said.text(key, most=20_000) for key in said.tree}

    def change(desk: Any) -> None:
        standing = desk.reader.one("dispute", id)["evidence"]
        if metadata is not None:
            stripe_payments.keep(desk, dispute, {}, metadata)
        for kind, text in texts.items():
            if text and standing.get(kind) != text:
                evidence = disputes.DisputeEvidence(kind, text=text)
                disputes.add_evidence(desk.unit, id, evidence, merchant=ask.owner.merchant)
        if is_submitted is not False and texts:
            disputes.submit(desk.unit, id, merchant=ask.owner.merchant)

    return ask.write(lambda: ask.transact(change), lambda reader: reader.one("dispute", id))


@router.post("/disputes/{dispute}/close", **describes("dispute", writes=True))
def close_dispute(dispute: DisputeId, ask: Disputes) -> Response:
    """Not contest a dispute: its money goes to the payer."""
    id = stripe_ids.from_id("dispute", dispute)

    def accept(desk: Any) -> None:
        if desk.reader.one("dispute", id)["status"] != "lost":
            disputes.accept(desk.unit, id, merchant=ask.owner.merchant)

    return ask.write(lambda: ask.transact(accept), lambda reader: reader.one("dispute", id))
