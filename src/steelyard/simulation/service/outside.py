"""Payments of the town's people over channels outside, as a cashier would have them paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final
from uuid import UUID

from steelyard.base import Database, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.decisions import asking
from steelyard.kernel import Refusal
from steelyard.parties import registry
from steelyard.payments import channel, channel_desk, institution, orders, paying, recon
from steelyard.simulation.model.cards import CardAnswer, CardOrder, CardOutcome, order_id
from steelyard.simulation.model.outside import CHANNELS, FEE_PPM
from steelyard.simulation.service import cards

__all__ = ["ACTOR", "ChannelOrder", "connect", "pay_over_channels"]

ACTOR: Final = "system:town"
ChannelOrder = tuple[CardOrder, channel.Method]
"""What is bought, and how the customer wants to pay it."""
_TIMEOUT_SECONDS: Final = "2"


def connect(
    database: Database, keyring: Keyring, credentials: Mapping[str, Mapping[str, str]]
) -> None:
    """Register the simulated channels, live from the first day, or tell where they are now.

    Parameters
    ----------
    credentials : by kind, what the merchant was given
    """

    def work(unit: UnitOfWork) -> None:
        for kind, methods in CHANNELS.items():
            secrets = {**credentials[kind], "timeout_seconds": _TIMEOUT_SECONDS}
            new = channel_desk.NewChannel(
                code=kind,
                mode=institution.Mode.LIVE,
                kind=kind,
                name=f"{kind} (simulated)",
                capability=channel.Capability(
                    methods=tuple(channel.Method(one) for one in methods),
                    fee_rate=Decimal(FEE_PPM[kind]) / 1_000_000,
                ),
                secrets=secrets,
                stage=channel.Stage.LIVE,
            )
            try:
                channel_desk.register_channel(unit, keyring, new)
            except channel_desk.ChannelExists:
                channel_desk.replace_secrets(unit, keyring, kind, secrets)
                continue
            plan = recon.Plan(
                channel=kind,
                mode=institution.Mode.LIVE,
                fee_ppm=FEE_PPM[kind],
                starts_on=unit.now.date(),
            )
            recon.set_plan(unit, plan)

    database.transact(work, actor=ACTOR)


def pay_over_channels(
    database: Database, payer: paying.Paying, wanted: Sequence[ChannelOrder]
) -> tuple[CardAnswer, ...]:
    """Create an order for each purchase and try to pay it over a channel that routing chooses.

    Each is committed before its channel hears of it; sent again, the same order is the same, and an
    attempt that was made is asked about.

    Returns
    -------
    tuple of CardAnswer
        Accepted, declined with the reason, or accepted with the reason `unknown` or `pending`
        where its channel has not said yet what became of it.
    """
    with database.reading() as connection:
        parties = registry.find_origins(connection, cards.origins_of([one for one, _ in wanted]))
    return tuple(_pay(database, payer, one, method, parties) for one, method in wanted)


def _pay(
    database: Database,
    payer: paying.Paying,
    one: CardOrder,
    method: channel.Method,
    parties: Mapping[str, UUID],
) -> CardAnswer:
    new = cards.order_of(one, parties, account=None)
    if new is None:
        return CardAnswer(one.id, CardOutcome.DECLINED, cards.CAUSE, cards.UNKNOWN_PARTY)
    (made,) = database.transact(lambda unit: orders.create(unit, [new]), actor=ACTOR)
    if isinstance(made, Refusal):
        return CardAnswer(one.id, CardOutcome.DECLINED, cards.CAUSE, made.code)
    try:
        how = paying.Pay(attempt=one.id, method=method, details=_shown(one, method))
        tried = payer.pay(order_id(one.id), how, actor=ACTOR)
    except asking.OwnerIsAway:
        raise
    except Refusal as refusal:
        return CardAnswer(one.id, CardOutcome.DECLINED, cards.CAUSE, refusal.code)
    attempt = tried.attempt
    if attempt.state.has_money:
        return CardAnswer(one.id, CardOutcome.ACCEPTED, attempt.cause)
    if attempt.state.is_under_way:
        return CardAnswer(one.id, CardOutcome.ACCEPTED, attempt.cause, attempt.state.value)
    reason = attempt.code or (attempt.decline.value if attempt.decline else attempt.state.value)
    return CardAnswer(one.id, CardOutcome.DECLINED, attempt.cause, reason.split(",")[0])


def _shown(one: CardOrder, method: channel.Method) -> Mapping[str, str]:
    """Return the code that the payer shows on his phone (付款码), for what is paid by one."""
    if method not in (channel.Method.WALLET, channel.Method.SCAN):
        return {}
    return {"auth_code": f"28{one.id.int % 10**16:016d}"}
