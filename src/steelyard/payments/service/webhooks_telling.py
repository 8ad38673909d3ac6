"""Hearing what happens in payments: merchants with a program are told, once it is committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import msgspec

from steelyard.base import UnitOfWork
from steelyard.events import Consumer, Heard, hears
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.webhooks import TOLD, Event, snapshot_of
from steelyard.payments.service import clearing_facts, facts, merchants_facts, refunds_facts
from steelyard.payments.store import deliveries as table
from steelyard.payments.store.deliveries import NewEvent
from steelyard.payments.store.stripe_lists import metadata_of

__all__ = ["DECLARED", "tell", "tellers"]

DECLARED: Final = (facts, refunds_facts, clearing_facts, merchants_facts)
"""Where the facts are declared that are heard here: whoever runs the consumer has to know them."""


@hears(*(f"{kind}@1" for kind in TOLD), many=True)
def tell(unit: UnitOfWork, heard: Sequence[Heard]) -> None:
    """Turn facts into events, and put each on its way to the endpoints that hear its kind.

    An event is numbered within its object in the order of the log. A fact that was heard before
    is left out; whether anything was *delivered* is another matter, which the deliveries know.
    """
    told = [(one, msgspec.to_builtins(one.fact)) for one in heard]
    merchants = [UUID(fact["merchant"]) for _, fact in told]
    with_apps = table.merchants_with_apps(unit.connection, merchants)
    known = table.known_facts(unit.connection, [one.stored.sequence for one in heard])
    wanted = [
        (one, fact)
        for one, fact in told
        if UUID(fact["merchant"]) in with_apps and one.stored.sequence not in known
    ]
    if not wanted:
        return
    objects = {_object(one, fact) for one, fact in wanted}
    last = table.last_sequences(unit.connection, sorted(objects))
    kept = metadata_of(
        unit.connection, [UUID(fact["payment"]) for _, fact in wanted if "payment" in fact]
    )
    fresh = []
    for one, fact in wanted:
        object = _object(one, fact)
        last[object] = last.get(object, 0) + 1
        event = _event(unit, one, fact, last[object])
        if fact.get("payment") in kept:
            # What the merchant keeps with a payment is his own word for what he sold.
            shown = {**event.snapshot, "metadata": kept[fact["payment"]]}
            event = replace(event, snapshot=shown)
        fresh.append(NewEvent(one.stored.sequence, event))
    table.insert_events(unit.connection, fresh)
    table.spread(unit.connection, [new.fact for new in fresh], now=unit.now, wall_at=unit.wall_at)


def _event(unit: UnitOfWork, heard: Heard, fact: dict[str, Any], sequence: int) -> Event:
    told = TOLD[heard.stored.kind]
    return Event(
        id=unit.new_id(),
        merchant=UUID(fact["merchant"]),
        app=fact.get("app"),
        mode=Mode(fact.get("mode", Mode.LIVE)),
        kind=told.kind,
        object=_object(heard, fact),
        sequence=sequence,
        snapshot=snapshot_of(told, fact),
        occurred_at=heard.stored.occurred_at,
    )


def _object(heard: Heard, fact: dict[str, Any]) -> str:
    told = TOLD[heard.stored.kind]
    return f"{told.noun}:{fact[told.key]}"


tellers = Consumer("payments.webhooks", (tell,))
