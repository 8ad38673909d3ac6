"""Writing items: each change with its line of history and its fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from steelyard.base import UnitOfWork
from steelyard.payments.model.recon import Item, ItemState
from steelyard.payments.service.recon_facts import ReconItemMoved, ReconItemOpened
from steelyard.payments.store import recon_items as table


def open_items(unit: UnitOfWork, items: Sequence[Item]) -> None:
    """Insert items that are new."""
    table.insert_items(unit.connection, items)
    table.insert_events(unit.connection, [_event(unit, one, "open", {}) for one in items])
    for one in items:
        fact = ReconItemOpened(
            item=one.id,
            channel=one.channel,
            on=one.on,
            break_kind=one.kind.word,
            state=one.state.value,
            difference_minor=one.difference_minor,
            currency=one.currency,
        )
        unit.record(fact, subject=one.subject)


def change_items(
    unit: UnitOfWork, changes: Sequence[tuple[Item, str, Mapping[str, Any]]]
) -> list[Item]:
    """Write items that are locked, with what was done to each; return them as they stand."""
    table.write_items(unit.connection, [one for one, _, _ in changes], unit.now)
    after = [replace(one, version=one.version + 1) for one, _, _ in changes]
    rows = [
        _event(unit, one, what, detail)
        for one, (_, what, detail) in zip(after, changes, strict=True)
    ]
    table.insert_events(unit.connection, rows)
    for one, (_, what, _) in zip(after, changes, strict=True):
        fact = ReconItemMoved(
            item=one.id,
            channel=one.channel,
            break_kind=one.kind.word,
            state=one.state.value,
            what=what,
            action=None if one.proposal is None else one.proposal.action.value,
            cause=one.cause,
        )
        unit.record(fact, subject=one.subject)
    return after


def closed(unit: UnitOfWork, item: Item, why: str, *, is_matched: bool = True) -> Item:
    """Return an item at its end."""
    state = ItemState.MATCHED if is_matched else ItemState.CLOSED
    return replace(item, state=state, closed_at=unit.now, closed_why=why)


def _event(unit: UnitOfWork, item: Item, what: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "item": item.id,
        "version": item.version,
        "state": item.state.value,
        "what": what,
        "detail": dict(detail),
        "actor": unit.actor,
        "at": unit.now,
    }
