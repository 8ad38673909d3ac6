"""Tables of quotes and conversions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.fx import Lock
from steelyard.payments.model.fx_refusals import ConversionIsUnknown, QuoteIsUnknown
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.quotes import Conversion, Quote, QuoteState, Side
from steelyard.payments.store.rows import one_json

_QUOTE = [one.name for one in fields(Quote)]
_QUOTES = ", ".join(_QUOTE)
_CONVERSION = [one.name for one in fields(Conversion)]
_CONVERSIONS = ", ".join(_CONVERSION)


def insert(connection: sa.Connection, quote: Quote) -> bool:
    """Insert a quote; False where its id is there."""
    values = {name: getattr(quote, name) for name in _QUOTE}
    named = ", ".join("CAST(:ticks AS jsonb)" if n == "ticks" else f":{n}" for n in _QUOTE)
    done = connection.execute(
        sa.text(
            f"INSERT INTO payments.fx_quote ({_QUOTES}) VALUES ({named}) ON CONFLICT DO NOTHING"
        ),
        {
            **values,
            "mode": quote.mode.value,
            "side": quote.side.value,
            "lock": quote.lock.value,
            "state": quote.state.value,
            "ticks": one_json(quote.ticks),
        },
    )
    return done.rowcount == 1


def read(connection: sa.Connection, quote: UUID, *, lock: bool = False) -> Quote:
    """Return a quote, its row held if asked for.

    Refusals
    --------
    quote_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_QUOTES} FROM payments.fx_quote WHERE id = :id{' FOR UPDATE' if lock else ''}"
        ),
        {"id": quote},
    ).one_or_none()
    if row is None:
        raise QuoteIsUnknown(quote=quote)
    return _quote(row)


def list_newest(
    connection: sa.Connection, *, limit: int, before: UUID | None, holder: UUID | None
) -> list[Quote]:
    """Return quotes, the newest ids first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_QUOTES} FROM payments.fx_quote"
            " WHERE (CAST(:before AS uuid) IS NULL OR id < :before)"
            " AND (CAST(:holder AS uuid) IS NULL OR holder = :holder)"
            " ORDER BY id DESC LIMIT :limit"
        ),
        {"before": before, "holder": holder, "limit": limit},
    )
    return [_quote(row) for row in rows]


def consume(connection: sa.Connection, quote: Quote, *, by: UUID, at: datetime) -> bool:
    """Use a quote once, before its end; False where somebody was faster or the time is over."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.fx_quote SET state = 'consumed', consumed_by = :by, consumed_at = :at,"
            " version = version + 1 WHERE id = :id AND version = :version AND state = 'active'"
            " AND valid_to > :at"
        ),
        {"id": quote.id, "version": quote.version, "by": by, "at": at},
    )
    return done.rowcount == 1


def reserve(connection: sa.Connection, quote: Quote, payment: UUID | None, at: datetime) -> bool:
    """Keep an active quote for a payment, or for nobody; False where it is not active any more."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.fx_quote SET reserved_for = :payment, version = version + 1"
            " WHERE id = :id AND version = :version AND state = 'active' AND valid_to > :at"
        ),
        {"id": quote.id, "version": quote.version, "payment": payment, "at": at},
    )
    return done.rowcount == 1


def cancel(connection: sa.Connection, quote: Quote) -> bool:
    """Withdraw an active quote; False where it is not active any more."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.fx_quote SET state = 'cancelled', version = version + 1"
            " WHERE id = :id AND version = :version AND state = 'active'"
        ),
        {"id": quote.id, "version": quote.version},
    )
    return done.rowcount == 1


def expire(connection: sa.Connection, *, now: datetime, limit: int) -> int:
    """Write down the end of quotes whose time is over; return how many."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.fx_quote SET state = 'expired', version = version + 1 WHERE id IN"
            " (SELECT id FROM payments.fx_quote WHERE state = 'active' AND valid_to <= :now"
            " ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)"
        ),
        {"now": now, "limit": limit},
    )
    return done.rowcount


def insert_conversion(connection: sa.Connection, conversion: Conversion) -> None:
    """Insert a conversion."""
    connection.execute(
        sa.text(
            f"INSERT INTO payments.fx_conversion ({_CONVERSIONS})"
            f" VALUES ({', '.join(f':{name}' for name in _CONVERSION)})"
        ),
        {
            **{name: getattr(conversion, name) for name in _CONVERSION},
            "mode": conversion.mode.value,
        },
    )


def read_conversion(
    connection: sa.Connection, conversion: UUID, *, lock: bool = False
) -> Conversion:
    """Return a conversion, its row held if asked for.

    Refusals
    --------
    conversion_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_CONVERSIONS} FROM payments.fx_conversion WHERE id = :id"
            f"{' FOR UPDATE' if lock else ''}"
        ),
        {"id": conversion},
    ).one_or_none()
    if row is None:
        raise ConversionIsUnknown(conversion=conversion)
    return _conversion(row)


def conversion_of(connection: sa.Connection, payment: UUID) -> Conversion | None:
    """Return the conversion of a cross-border payment."""
    row = connection.execute(
        sa.text(f"SELECT {_CONVERSIONS} FROM payments.fx_conversion WHERE payment = :payment"),
        {"payment": payment},
    ).one_or_none()
    return None if row is None else _conversion(row)


def list_conversions(
    connection: sa.Connection,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None,
    holder: UUID | None,
) -> list[Conversion]:
    """Return conversions, the newest first."""
    wanted = ["true"]
    values: dict[str, Any] = {"limit": limit}
    if before is not None:
        wanted.append("(booked_at, id) < (:before, :id)")
        values |= {"before": before[0], "id": before[1]}
    if holder is not None:
        wanted.append("holder = :holder")
        values["holder"] = holder
    rows = connection.execute(
        sa.text(
            f"SELECT {_CONVERSIONS} FROM payments.fx_conversion WHERE {' AND '.join(wanted)}"
            " ORDER BY booked_at DESC, id DESC LIMIT :limit"
        ),
        values,
    )
    return [_conversion(row) for row in rows]


def set_back(connection: sa.Connection, conversion: Conversion, back_minor: int) -> None:
    """Write how much of a conversion that is locked was converted back."""
    connection.execute(
        sa.text("UPDATE payments.fx_conversion SET back_minor = :back WHERE id = :id"),
        {"id": conversion.id, "back": back_minor},
    )


def insert_return(connection: sa.Connection, row: dict[str, Any]) -> None:
    """Insert what was converted back."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.fx_return (id, conversion, buy_minor, sell_minor, at_rate, rate,"
            " at, by) VALUES (:id, :conversion, :buy_minor, :sell_minor, :at_rate, :rate, :at, :by)"
        ),
        row,
    )


def by_pair(connection: sa.Connection, mode: Mode) -> Sequence[Any]:
    """Return of each pair: how many conversions, and what was sold and bought, returns taken off.

    Rows: sell, buy, conversions, sold_minor, bought_minor.
    """
    return connection.execute(
        sa.text(
            "SELECT c.sell, c.buy, count(*) AS conversions,"
            " sum(c.sell_minor - coalesce(r.sold, 0))::bigint AS sold_minor,"
            " sum(c.buy_minor - coalesce(r.bought, 0))::bigint AS bought_minor"
            " FROM payments.fx_conversion c LEFT JOIN (SELECT conversion, sum(sell_minor) AS sold,"
            " sum(buy_minor) AS bought FROM payments.fx_return GROUP BY 1) r ON r.conversion = c.id"
            " WHERE c.mode = :mode GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        {"mode": mode.value},
    ).all()


def _quote(row: Any) -> Quote:
    return Quote(
        **{
            **row._mapping,
            "mode": Mode(row.mode),
            "side": Side(row.side),
            "lock": Lock(row.lock),
            "state": QuoteState(row.state),
        }
    )


def _conversion(row: Any) -> Conversion:
    return Conversion(**{**row._mapping, "mode": Mode(row.mode)})
