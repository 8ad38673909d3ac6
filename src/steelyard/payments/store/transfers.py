"""The table of transfers between merchants."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.orders import Mode
from steelyard.payments.model.refunds_refusals import MerchantTransferIsUnknown
from steelyard.payments.model.transfers import MerchantTransfer

_NAMES = [one.name for one in fields(MerchantTransfer)]
_COLUMNS = ", ".join(_NAMES)


def insert(connection: sa.Connection, transfer: MerchantTransfer) -> bool:
    """Insert a transfer; False where its id or number is there already."""
    done = connection.execute(
        sa.text(
            f"INSERT INTO payments.transfer ({_COLUMNS})"
            f" VALUES ({', '.join(f':{name}' for name in _NAMES)}) ON CONFLICT DO NOTHING"
        ),
        {**{name: getattr(transfer, name) for name in _NAMES}, "mode": transfer.mode.value},
    )
    return done.rowcount == 1


def find_number(
    connection: sa.Connection, platform: UUID, mode: Mode, transfer_no: str
) -> MerchantTransfer | None:
    """Return the transfer of a platform's number."""
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.transfer WHERE platform = :platform"
            " AND mode = :mode AND transfer_no = :number"
        ),
        {"platform": platform, "mode": mode.value, "number": transfer_no},
    ).one_or_none()
    return None if row is None else _transfer(row)


def read(connection: sa.Connection, transfer: UUID, *, lock: bool = False) -> MerchantTransfer:
    """Return a transfer, its row held if asked for.

    Refusals
    --------
    merchant_transfer_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.transfer WHERE id = :id"
            f"{' FOR UPDATE' if lock else ''}"
        ),
        {"id": transfer},
    ).one_or_none()
    if row is None:
        raise MerchantTransferIsUnknown(transfer=transfer)
    return _transfer(row)


def set_returned(connection: sa.Connection, transfer: MerchantTransfer) -> None:
    """Write what came back of a transfer that is locked; the version is the one read."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.transfer SET returned_minor = :returned_minor, version = version + 1"
            " WHERE id = :id AND version = :version"
        ),
        {
            "id": transfer.id,
            "version": transfer.version,
            "returned_minor": transfer.returned_minor,
        },
    )
    assert done.rowcount == 1, "a transfer changed while it was locked"


def list_newest(
    connection: sa.Connection,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    merchant: UUID | None = None,
) -> list[MerchantTransfer]:
    """Return transfers, the newest first; of a merchant those that it sees."""
    wanted = ["true"]
    values: dict[str, Any] = {"limit": limit}
    if before is not None:
        wanted.append("(at, id) < (:before, :id)")
        values |= {"before": before[0], "id": before[1]}
    if merchant is not None:
        wanted.append(":merchant IN (platform, from_merchant, to_merchant)")
        values["merchant"] = merchant
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.transfer WHERE {' AND '.join(wanted)}"
            " ORDER BY at DESC, id DESC LIMIT :limit"
        ),
        values,
    )
    return [_transfer(row) for row in rows]


def _transfer(row: Any) -> MerchantTransfer:
    return MerchantTransfer(**{**row._mapping, "mode": Mode(row.mode)})
