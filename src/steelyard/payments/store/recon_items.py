"""The table of what does not agree between statements and our books, and of what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.breaks import BreakKind
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.recon import Action, Item, ItemState, Proposal
from steelyard.payments.model.recon_refusals import ReconItemIsUnknown
from steelyard.payments.store.rows import as_json

_ITEM_NAMES: Final = tuple("on_day" if f.name == "on" else f.name for f in fields(Item))
_ITEM_TYPES: Final = (
    "id uuid, channel text, mode text, on_day date, key text, kind text, state text,"
    " version integer, run uuid, number text, of_refund boolean, file uuid, line integer,"
    " difference_minor bigint, at_risk_minor bigint, currency text, differs_in text[], held jsonb,"
    " listed jsonb, suspect_until date, suspense_minor bigint, owner text, proposal jsonb,"
    " approval uuid, cause text, opened_at timestamptz, updated_at timestamptz,"
    " closed_at timestamptz, closed_why text, case_at timestamptz"
)
_CHANGING: Final = tuple(
    name
    for name in _ITEM_NAMES
    if name not in ("id", "channel", "mode", "on_day", "key", "version", "opened_at", "updated_at")
)


def _item_row(item: Item) -> dict[str, Any]:
    values = {f.name: getattr(item, f.name) for f in fields(Item)}
    values["on_day"] = values.pop("on")
    values["kind"] = item.kind.word
    values["mode"], values["state"] = item.mode.value, item.state.value
    if item.proposal is not None:
        one = item.proposal
        values["proposal"] = {
            "action": one.action.value,
            "reason": one.reason,
            "merchant": one.merchant,
            "other": one.other,
        }
    return values


def _item(row: Any) -> Item:
    values = row._asdict()
    given = values["proposal"]
    proposal = None
    if given is not None:
        proposal = Proposal(
            action=Action(given["action"]),
            reason=given["reason"],
            merchant=UUID(given["merchant"]) if given["merchant"] else None,
            other=UUID(given["other"]) if given["other"] else None,
        )
    return Item(
        **{
            **{k: v for k, v in values.items() if k != "on_day"},
            "on": values["on_day"],
            "mode": Mode(values["mode"]),
            "kind": BreakKind[values["kind"].upper()],
            "state": ItemState(values["state"]),
            "differs_in": tuple(values["differs_in"]),
            "proposal": proposal,
        }
    )


def insert_items(connection: sa.Connection, items: Sequence[Item]) -> None:
    """Insert items."""
    if items:
        names = ", ".join(_ITEM_NAMES)
        connection.execute(
            sa.text(
                f"INSERT INTO payments.recon_item ({names}) SELECT {names}"
                f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_ITEM_TYPES})"
            ),
            {"rows": as_json([_item_row(one) for one in items])},
        )


def write_items(connection: sa.Connection, items: Sequence[Item], at: datetime) -> None:
    """Write items that were read, if nobody else changed them; their version grows by one."""
    if not items:
        return
    changed = ", ".join(f"{name} = x.{name}" for name in _CHANGING)
    done = connection.execute(
        sa.text(
            f"UPDATE payments.recon_item i SET {changed}, version = i.version + 1,"
            f" updated_at = :at FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_ITEM_TYPES})"
            " WHERE i.id = x.id AND i.version = x.version"
        ),
        {"rows": as_json([_item_row(one) for one in items]), "at": at},
    )
    assert done.rowcount == len(items), "an item changed while it was held"


_ITEM: Final = f"SELECT {', '.join(_ITEM_NAMES)} FROM payments.recon_item"


def read_item(connection: sa.Connection, item: UUID, *, lock: bool = False) -> Item:
    """Return an item, locked where that is asked for.

    Refusals
    --------
    recon_item_is_unknown
    """
    row = connection.execute(
        sa.text(f"{_ITEM} WHERE id = :id" + " FOR UPDATE" * lock), {"id": item}
    ).one_or_none()
    if row is None:
        raise ReconItemIsUnknown(item=item)
    return _item(row)


def lock_items(connection: sa.Connection, ids: Sequence[UUID]) -> list[Item]:
    """Lock items in the order of their ids."""
    rows = connection.execute(
        sa.text(f"{_ITEM} WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"), {"ids": list(ids)}
    )
    return [_item(row) for row in rows]


def items_by_key(connection: sa.Connection, channel: str, keys: Sequence[str]) -> dict[str, Item]:
    """Lock items of a channel by their keys, in the order of their ids."""
    rows = connection.execute(
        sa.text(f"{_ITEM} WHERE channel = :channel AND key = ANY(:keys) ORDER BY id FOR UPDATE"),
        {"channel": channel, "keys": list(keys)},
    )
    return {row.key: _item(row) for row in rows}


def open_items(connection: sa.Connection, channel: str, from_on: date, to_on: date) -> list[Item]:
    """Return the items of a span of days that are open."""
    rows = connection.execute(
        sa.text(
            f"{_ITEM} WHERE channel = :channel AND on_day BETWEEN :first AND :last"
            " AND state NOT IN ('closed', 'matched') ORDER BY on_day, id"
        ),
        {"channel": channel, "first": from_on, "last": to_on},
    )
    return [_item(row) for row in rows]


def has_open(connection: sa.Connection, channel: str, on: date) -> bool:
    """Whether anything of a day is open."""
    found = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT FROM payments.recon_item WHERE channel = :channel"
            " AND on_day = :on AND state NOT IN ('closed', 'matched'))"
        ),
        {"channel": channel, "on": on},
    ).scalar_one()
    return bool(found)


def items_of_day(connection: sa.Connection, channel: str, on: date) -> list[tuple[UUID, str, str]]:
    """Return id, key and state of every item of a day."""
    rows = connection.execute(
        sa.text(
            "SELECT id, key, state FROM payments.recon_item"
            " WHERE channel = :channel AND on_day = :on ORDER BY id"
        ),
        {"channel": channel, "on": on},
    )
    return [(row.id, row.key, row.state) for row in rows]


def list_items(
    connection: sa.Connection,
    *,
    channel: str | None,
    on: date | None,
    state: str | None,
    kind: str | None,
    before: UUID | None,
    limit: int,
) -> list[Item]:
    """Return items, newest first; `state` open: all that are not at their end."""
    rows = connection.execute(
        sa.text(
            f"{_ITEM} WHERE (CAST(:channel AS text) IS NULL OR channel = :channel)"
            " AND (CAST(:on AS date) IS NULL OR on_day = :on)"
            " AND (CAST(:state AS text) IS NULL OR state = :state"
            "   OR (:state = 'open' AND state NOT IN ('closed', 'matched')))"
            " AND (CAST(:kind AS text) IS NULL OR kind = :kind)"
            " AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit"
        ),
        {
            "channel": channel,
            "on": on,
            "state": state,
            "kind": kind,
            "before": before,
            "limit": limit,
        },
    )
    return [_item(row) for row in rows]


def due_suspects(connection: sa.Connection, channel: str, today: date, limit: int) -> list[Item]:
    """Lock suspected items whose time is over."""
    rows = connection.execute(
        sa.text(
            f"{_ITEM} WHERE channel = :channel AND state = 'suspect' AND suspect_until < :today"
            " ORDER BY id LIMIT :limit FOR UPDATE"
        ),
        {"channel": channel, "today": today, "limit": limit},
    )
    return [_item(row) for row in rows]


def due_cases(connection: sa.Connection, channel: str, last: date, limit: int) -> list[Item]:
    """Lock breaks of days up to one that have no case yet."""
    rows = connection.execute(
        sa.text(
            f"{_ITEM} WHERE channel = :channel AND on_day <= :last AND case_at IS NULL"
            " AND state IN ('break', 'assigned', 'proposed', 'approved', 'posted')"
            " ORDER BY id LIMIT :limit FOR UPDATE"
        ),
        {"channel": channel, "last": last, "limit": limit},
    )
    return [_item(row) for row in rows]


def open_sums(
    connection: sa.Connection, channel: str | None = None
) -> list[tuple[str, date, str, str, str, int, int, int]]:
    """Return what is open: channel, day, kind, state, currency, items, at risk, difference."""
    rows = connection.execute(
        sa.text(
            "SELECT channel, on_day, kind, state, currency, count(*),"
            " CAST(sum(at_risk_minor) AS bigint), CAST(sum(difference_minor) AS bigint)"
            " FROM payments.recon_item WHERE state NOT IN ('closed', 'matched')"
            " AND (CAST(:channel AS text) IS NULL OR channel = :channel)"
            " GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
        ),
        {"channel": channel},
    )
    return [tuple(row) for row in rows]


def insert_events(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert what was done to items."""
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO payments.recon_event (item, version, state, what, detail, actor, at)"
                " SELECT item, version, state, what, detail, actor, at"
                " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (item uuid, version integer,"
                " state text, what text, detail jsonb, actor text, at timestamptz)"
            ),
            {"rows": as_json(list(rows))},
        )


def events_of(connection: sa.Connection, item: UUID) -> list[dict[str, Any]]:
    """Return what was done to an item, first first."""
    rows = connection.execute(
        sa.text(
            "SELECT version, state, what, detail, actor, at FROM payments.recon_event"
            " WHERE item = :item ORDER BY version"
        ),
        {"item": item},
    )
    return [row._asdict() for row in rows]


def merchant_of(connection: sa.Connection, number: UUID) -> UUID | None:
    """Return whose payment or refund a number is."""
    found: UUID | None = connection.execute(
        sa.text(
            "SELECT o.merchant FROM payments.attempt a JOIN payments.order o ON o.id = a.order_id"
            " WHERE a.id = :id UNION ALL"
            " SELECT r.merchant FROM payments.refund r WHERE r.id = :id"
        ),
        {"id": number},
    ).scalar_one_or_none()
    return found
