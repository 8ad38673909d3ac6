"""Splits and transfers: what goes to others of a payment, and what they bear of its refunds."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.payments.model import accounts
from steelyard.payments.model.channel import Finding, Said
from steelyard.payments.model.examples import AT
from steelyard.payments.model.examples import an_order as a_model_order
from steelyard.payments.model.orders import Mode, Order
from steelyard.payments.model.splits import Split, SplitState, parts_of
from steelyard.payments.service import refunds, splits, transfers
from tests.payments.refunding import (
    AVAILABLE,
    PENDING,
    THEIRS,
    ask,
    clear,
    drain,
    holds,
    order_of,
    paid,
    refund_of,
    sign,
    tell,
)
from tests.payments.till import OTHER_SHOP, SHOP, WALLET, ScriptedDesk, balance, open_shop


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """Two shops whose books add up after every test."""
    open_shop(database)
    yield database
    holds(database)


@pytest.fixture
def desk() -> ScriptedDesk:
    return ScriptedDesk()


def share(database: Database, order: Order, **more: object) -> list[Split]:
    return database.transact(
        lambda unit: splits.share(unit, order.id, **more)  # type: ignore[arg-type]
    )


def test_a_split_waits_for_clearing_and_goes_to_its_receivers(
    shop: Database, desk: ScriptedDesk
) -> None:
    before = balance(shop, WALLET)
    order = paid(shop, desk, splits={OTHER_SHOP.hex: 3_000, WALLET: 500})
    planned = share(shop, order)
    assert {one.state for one in planned} == {SplitState.PLANNED}
    assert share(shop, order) == planned
    assert shop.transact(lambda unit: splits.post_planned(unit, order.id)) == 0
    assert balance(shop, PENDING) == 10_000
    clear(shop, [order])
    assert shop.transact(lambda unit: splits.post_planned(unit, order.id)) == 2
    assert shop.transact(lambda unit: splits.post_planned(unit, order.id)) == 0
    assert (balance(shop, AVAILABLE), balance(shop, THEIRS)) == (6_500, 3_000)
    assert balance(shop, WALLET) == before + 500


def test_shares_never_exceed_what_the_payment_has(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk)
    clear(shop, [order])
    ask(shop, order, 2_000)
    with pytest.raises(splits.SplitExceedsPayment) as refused:
        share(shop, order, shares={OTHER_SHOP.hex: 8_001}, share_no="S-1")
    assert refused.value.facts["left_minor"] == 8_000

    def one(number: int) -> bool:
        try:
            share(shop, order, shares={OTHER_SHOP.hex: 3_000}, share_no=f"S-{number}")
        except splits.SplitExceedsPayment:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(one, range(4))) == [False, False, True, True]
    assert balance(shop, THEIRS) == 6_000
    known = next(n for n in range(4) if _has(shop, order, f"S-{n}"))
    with pytest.raises(splits.ShareNoWasUsed):
        share(shop, order, shares={OTHER_SHOP.hex: 1}, share_no=f"S-{known}")


def _has(database: Database, order: Order, share_no: str) -> bool:
    with database.reading() as connection:
        return any(one.share_no == share_no for one in splits.of_order(connection, order.id))


@pytest.mark.parametrize(
    "receiver",
    [SHOP.hex, UUID(int=0xFEE).hex, "fees_due:CNY", "settlement:CNY", "wallet:nobody", "?", ""],
)
def test_money_is_shared_with_somebody_only(
    shop: Database, desk: ScriptedDesk, receiver: str
) -> None:
    order = paid(shop, desk)
    with pytest.raises(splits.SplitIsMalformed):
        share(shop, order, shares={receiver: 1}, share_no="S-1")


def test_receivers_bear_refunds_in_proportion(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk, splits={OTHER_SHOP.hex: 3_000})
    clear(shop, [order])
    share(shop, order)
    refund = ask(shop, order, 5_000)
    assert (balance(shop, AVAILABLE), balance(shop, THEIRS)) == (3_500, 1_500)
    # The second one is of what is left, so that all of it together is exact.
    second = ask(shop, order, 3_333)
    assert (balance(shop, AVAILABLE), balance(shop, THEIRS)) == (1_167, 500)
    refunds.send(shop, desk, [refund.id])
    desk.channel.refunded = lambda _: Finding(said=Said.DECLINED)
    refunds.send(shop, desk, [second.id])
    assert (balance(shop, AVAILABLE), balance(shop, THEIRS)) == (3_500, 1_500)
    desk.channel.refunded = lambda _: Finding(said=Said.SUCCEEDED)
    refunds.send(shop, desk, [ask(shop, order, 5_000).id])
    assert (balance(shop, AVAILABLE), balance(shop, THEIRS)) == (0, 0)


def test_a_refund_before_clearing_lessens_what_is_planned(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk, splits={OTHER_SHOP.hex: 4_000})
    share(shop, order)
    desk.channel.refunded = lambda _: Finding(said=Said.PENDING)
    refund = ask(shop, order, 5_000)
    refunds.send(shop, desk, [refund.id])
    clear(shop, [order_of(shop, order.id)], captured_minor=5_000)
    shop.transact(lambda unit: splits.post_planned(unit, order.id))
    assert (balance(shop, AVAILABLE), balance(shop, THEIRS)) == (3_000, 2_000)
    # It fails after all: what the receiver had borne is his again, though it was planned then.
    tell(shop, refund.id, Said.DECLINED)
    assert balance(shop, THEIRS) == 4_000
    assert balance(shop, PENDING) + balance(shop, AVAILABLE) == 6_000
    assert refund_of(shop, refund.id).parts != {}


@given(
    st.lists(st.integers(1, 4_000), max_size=5),
    st.lists(st.integers(1, 5_000), min_size=1, max_size=8),
)
def test_parts_of_refunds_add_up_for_every_receiver(
    amounts: list[int], refunded: list[int]
) -> None:
    order = a_model_order(amount_minor=20_000, captured_minor=20_000)
    made = [
        Split(
            id=UUID(int=n + 1),
            order=order.id,
            receiver="a" * 32,
            amount_minor=amount,
            currency="CNY",
            state=SplitState.POSTED,
            version=1,
            share_no=str(n),
            planned_at=AT,
        )
        for n, amount in enumerate(amounts)
    ]
    for wanted in [*refunded, 20_000]:
        amount = min(wanted, order.refundable_minor)
        if amount == 0:
            continue
        parts = parts_of(order, made, amount)
        assert sum(parts.values()) <= amount
        assert all(parts.get(one.id, 0) <= one.left_minor for one in made)
        made = [
            replace(one, returned_minor=one.returned_minor + parts.get(one.id, 0)) for one in made
        ]
        order = replace(order, refunded_minor=order.refunded_minor + amount)
    assert all(one.left_minor == 0 for one in made)


def a_transfer(amount_minor: int, **changes: object) -> transfers.NewTransfer:
    values: dict[str, object] = {
        "id": uuid4(),
        "mode": Mode.LIVE,
        "platform": SHOP,
        "transfer_no": uuid4().hex,
        "from_merchant": SHOP,
        "to_merchant": OTHER_SHOP,
        "amount_minor": amount_minor,
        "currency": "CNY",
    }
    return transfers.NewTransfer(**{**values, **changes})  # type: ignore[arg-type]


def test_money_moves_between_merchants_of_one_platform(shop: Database, desk: ScriptedDesk) -> None:
    clear(shop, [paid(shop, desk)])
    new = a_transfer(4_000)
    with pytest.raises(transfers.MerchantIsOutOfPlatform):
        shop.transact(lambda unit: transfers.make(unit, new))
    sign(shop, OTHER_SHOP, platform=str(SHOP))
    made = shop.transact(lambda unit: transfers.make(unit, new))
    assert shop.transact(lambda unit: transfers.make(unit, new)) == made
    other = a_transfer(3_999, transfer_no=new.transfer_no)
    with pytest.raises(transfers.TransferNoWasUsed):
        shop.transact(lambda unit: transfers.make(unit, other))
    with pytest.raises(transfers.MerchantBalanceIsShort):
        shop.transact(lambda unit: transfers.make(unit, a_transfer(6_001)))
    assert (balance(shop, AVAILABLE), balance(shop, THEIRS)) == (6_000, 4_000)
    shop.transact(lambda unit: transfers.give_back(unit, made.id, 1_000))
    with pytest.raises(transfers.TransferReturnExceeds):
        shop.transact(lambda unit: transfers.give_back(unit, made.id, 3_001))
    drain(shop, THEIRS, 1_000)
    with pytest.raises(transfers.MerchantBalanceIsShort):
        shop.transact(lambda unit: transfers.give_back(unit, made.id, 3_000))
    assert (balance(shop, AVAILABLE), balance(shop, THEIRS)) == (7_000, 2_000)
    with pytest.raises(transfers.MerchantTransferIsUnknown), shop.reading() as connection:
        transfers.read(connection, made.id, merchant=uuid4())


def test_transfers_at_once_never_go_below_zero(shop: Database, desk: ScriptedDesk) -> None:
    clear(shop, [paid(shop, desk)])
    sign(shop, OTHER_SHOP, platform=str(SHOP))

    def one(_: int) -> bool:
        try:
            shop.transact(lambda unit: transfers.make(unit, a_transfer(3_000)))
        except transfers.MerchantBalanceIsShort:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 3
    assert balance(shop, accounts.available(SHOP, "CNY")) == 1_000
