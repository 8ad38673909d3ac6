"""What tests of refunds, disputes and splits begin with: a shop, a channel, paid orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID, uuid4

import msgspec
import sqlalchemy as sa

from steelyard.base import Database, NoPolicyGate, UnitOfWork
from steelyard.kernel import Refusal
from steelyard.ledger import Transfer, accepted, post
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import Source
from steelyard.payments.model.channel import Finding, Method, Said
from steelyard.payments.model.orders import Order, Payer
from steelyard.payments.model.refunds import NewRefund, Refund, RefundRuling
from steelyard.payments.service import at_once, institution, orders, refunds
from steelyard.payments.service.paying import Pay
from tests.payments.till import (
    OTHER_SHOP,
    SHOP,
    ScriptedDesk,
    an_order,
    balance,
    paying,
    sum_of_postings,
)

PENDING = accounts.pending(SHOP, "CNY")
AVAILABLE = accounts.available(SHOP, "CNY")
THEIRS = accounts.available(OTHER_SHOP, "CNY")
REFUNDS = accounts.refunds("CNY")
DISPUTES = accounts.disputes("CNY")
UNCLAIMED = accounts.unclaimed("CNY")
FEES = accounts.fees_due("CNY")
CHANNEL = accounts.in_transit("scripted", "CNY")


def paid(
    database: Database,
    desk: ScriptedDesk,
    *,
    account: str | None = None,
    details: dict[str, str] | None = None,
    **changes: object,
) -> Order:
    """Return an order that is paid through the scripted channel, or from an account of ours."""
    payer = Payer(account=account)
    new = an_order(payer=payer, **changes)
    if account:
        bought = at_once.Purchase(new, uuid4(), database.now())
        verdicts = at_once.ask(NoPolicyGate(), [bought])
        (done,) = database.transact(lambda unit: at_once.pay(unit, [bought], verdicts))
        assert not isinstance(done, Refusal)
        return order_of(database, new.id)
    (order,) = database.transact(lambda unit: orders.create(unit, [new]))
    assert isinstance(order, Order)
    how = Pay(attempt=uuid4(), method=Method.WALLET, details=details or {})
    with paying(database, desk) as opened:
        opened.pay(order.id, how, actor="test:shop")
    return order_of(database, order.id)


def order_of(database: Database, order: UUID) -> Order:
    with database.reading() as connection:
        return orders.read(connection, order).order


def refund_of(database: Database, refund: UUID) -> Refund:
    with database.reading() as connection:
        return refunds.read(connection, refund)


def ask(
    database: Database,
    order: Order,
    amount_minor: int | None = None,
    *,
    refund_no: str | None = None,
    desk: ScriptedDesk | None = None,
    **changes: object,
) -> Refund:
    """Ask for a refund, or raise its refusal."""
    id = uuid4()
    new = NewRefund(
        id=id,
        order=order.id,
        refund_no=refund_no or f"R-{id.hex[:12]}",
        amount_minor=amount_minor,
        **changes,  # type: ignore[arg-type]
    )
    (answer,) = database.transact(lambda unit: refunds.ask(unit, [new], desk=desk))
    if isinstance(answer, Refusal):
        raise answer
    return answer


def tell(
    database: Database, refund: UUID, said: Said, source: Source = Source.NOTICE, **more: object
) -> RefundRuling:
    """Report something about a refund."""
    finding = Finding(said=said, **more)  # type: ignore[arg-type]
    one = refunds.RefundReport(refund, source, finding)
    (ruling,) = database.transact(lambda unit: refunds.report(unit, [one]))
    return ruling


def sign(database: Database, merchant: UUID, **contract: object) -> None:
    """Write what a merchant's contract says."""
    text = msgspec.json.encode(contract).decode()
    database.transact(
        lambda unit: unit.execute(
            "UPDATE payments.merchant SET contract = CAST(:contract AS jsonb) WHERE id = :id",
            contract=text,
            id=merchant,
        )
    )


def clear(
    database: Database,
    made: Sequence[Order],
    *,
    fee_minor: int = 0,
    captured_minor: int | None = None,
) -> None:
    """Let a day be cleared: what is pending of the orders becomes available, less a fee each.

    Parameters
    ----------
    captured_minor : of each, less what refunds took of it before
    """

    def work(unit: UnitOfWork) -> None:
        on = date(2026, 3, 2)
        unit.execute(
            "INSERT INTO payments.clearing_day (channel, mode, on_day, state, timezone, opens_at,"
            " closes_at, cleared_at) VALUES ('scripted', 'live', :on, 'cleared', 'Asia/Shanghai',"
            " :at, :at + interval '1 day', :at) ON CONFLICT DO NOTHING",
            on=on,
            at=unit.now,
        )
        moved = []
        for order in made:
            net = order.captured_minor if captured_minor is None else captured_minor
            unit.execute(
                "INSERT INTO payments.clearing_line (about, kind, channel, mode, on_day, merchant,"
                " currency, method, amount_minor, pending_minor, fee_minor, plan, happened_at)"
                " VALUES (:about, 'payment', 'scripted', 'live', :on, :merchant, :currency,"
                " 'wallet', :minor, :minor, :fee, 'fee_plan:test@1', :at)",
                about=order.paid_by,
                on=on,
                merchant=order.merchant,
                currency=order.currency,
                minor=order.captured_minor,
                fee=fee_minor,
                at=unit.now,
            )
            pending = accounts.pending(order.merchant, order.currency)
            for credit, minor in (
                (accounts.available(order.merchant, order.currency), net),
                (FEES, fee_minor),
            ):
                source = pending if credit != FEES else accounts.available(order.merchant, "CNY")
                if minor:
                    moved.append(
                        Transfer(
                            id=unit.new_id(),
                            book="clients",
                            cause="rule.test@1",
                            debit=source,
                            credit=credit,
                            amount_minor=minor,
                            currency=order.currency,
                        )
                    )
            codes = [accounts.available(order.merchant, order.currency), FEES]
            institution.have_accounts(unit, "clients", [(c, order.currency) for c in codes])
        accepted(post(unit, moved))

    database.transact(work)


def drain(database: Database, account: str, minor: int) -> None:
    """Pay something out of an account, as a settlement would."""

    def work(unit: UnitOfWork) -> None:
        one = Transfer(
            id=unit.new_id(),
            book="clients",
            cause="rule.test@1",
            debit=account,
            credit=accounts.settlement("CNY"),
            amount_minor=minor,
            currency="CNY",
        )
        accepted(post(unit, [one]))

    database.transact(work)


def under_way(database: Database) -> int:
    """Return the sum of the refunds that are set aside."""
    with database.reading() as connection:
        found = connection.execute(
            sa.text(
                "SELECT coalesce(sum(amount_minor), 0) FROM payments.refund WHERE state IN"
                " ('reserved', 'sent', 'processing', 'unknown', 'abnormal', 'returned')"
            )
        )
        return int(found.scalar_one())


def holds(database: Database) -> None:
    """Check what always holds: nothing is lost, and what is set aside lies in its account."""
    assert sum_of_postings(database) == 0
    assert balance(database, REFUNDS) == under_way(database)
    with database.reading() as connection:
        bad = connection.execute(
            sa.text(
                "SELECT count(*) FROM payments.order o LEFT JOIN LATERAL (SELECT"
                " coalesce(sum(amount_minor - excess_minor) FILTER (WHERE state IN ('reserved',"
                " 'sent', 'processing', 'unknown', 'abnormal', 'returned')), 0) AS aside,"
                " coalesce(sum(amount_minor - excess_minor) FILTER (WHERE state = 'succeeded'), 0)"
                " AS done FROM payments.refund r WHERE r.order_id = o.id AND NOT is_automatic) r"
                " ON true WHERE o.refund_reserved_minor <> r.aside OR o.refunded_minor <> r.done"
            )
        ).scalar_one()
    assert bad == 0
