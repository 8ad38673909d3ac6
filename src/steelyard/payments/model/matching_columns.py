"""The two tables that are matched, as columns: what we hold, and what a statement lists.

Texts are bytes of a fixed width in UTF-8, amounts signed minor units (in is over zero), instants
seconds since 1970 in UTC, dates days since 1970.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from steelyard.payments.model.statements import LineKind, StatementLine

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.bytes_]
Numbers = npt.NDArray[Any]

NOT_SAID: Final = np.iinfo(np.int64).min
"""In a column of fees or instants: they do not say."""
MAX_TEXT: Final = 64
"""Longer numbers and references are cut off, on both sides alike."""
KINDS: Final = tuple(LineKind)
"""A kind is stored as its place in this row."""


class Held(IntEnum):
    """How we hold a payment or refund."""

    OPEN = 0
    """Under way, or nobody knows."""
    MONEY = 1
    NO_MONEY = 2
    """Declined, or closed without money."""
    REVERSED = 3
    """It had money, and was taken back whole."""


class Listed(IntEnum):
    """How they list it."""

    PENDING = 0
    DONE = 1
    FAILED = 2


_FAILED: Final = frozenset(
    {"fail", "failed", "failure", "rejected", "rjct", "declined", "closed", "revoked"}
    | {"cancelled", "canceled", "canc", "void", "voided"}
    | {"失败", "已关闭", "交易关闭", "支付失败", "退款失败", "已撤销", "拒绝"}
)
_PENDING: Final = frozenset(
    {"pending", "pdng", "processing", "info", "future", "notpay", "userpaying"}
    | {"处理中", "待处理", "支付中", "未支付"}
)


def listed(status: str) -> Listed:
    """Return what a status means, as they put it; a line without one is booked.

    Examples
    --------
    >>> listed("SUCCESS").name, listed("交易关闭").name, listed("PDNG").name
    ('DONE', 'FAILED', 'PENDING')
    """
    word = status.strip().lower()
    if word in _FAILED:
        return Listed.FAILED
    return Listed.PENDING if word in _PENDING else Listed.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What we hold, one row for a payment or refund; all columns are of one length.

    Attributes
    ----------
    number : as it is known outside; unique
    reference : the channel's own number, where it told us; empty: not
    batch : number of a batch that it was sent in; empty: none
    party : by what the statement may name the other side; empty: unknown
    kind : place in `KINDS`; held : of `Held`
    amount : fee: `NOT_SAID` where we do not know it
    on : business date by the channel's clock; clock : seconds since that date began there
    is_due : whether it has to be in this statement; others may be, and make no break if not
    is_taken : whether it was matched with a line of another day
    """

    number: Texts
    reference: Texts
    batch: Texts
    party: Texts
    kind: Numbers
    held: Numbers
    amount: Ints
    fee: Ints
    currency: Texts
    at: Ints
    on: Ints
    clock: Ints
    is_due: Bools
    is_taken: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """What a statement lists, one row for a line; all columns are of one length.

    Attributes
    ----------
    line : its number in the file; file : which file, a running number of the caller
    number : ours, as they give it back
    fee, at : `NOT_SAID` where they do not say
    status : of `Listed`
    is_due : whether it has to be found with us in this run
    """

    file: Ints
    line: Ints
    number: Texts
    reference: Texts
    batch: Texts
    party: Texts
    kind: Numbers
    status: Numbers
    amount: Ints
    fee: Ints
    currency: Texts
    at: Ints
    on: Ints
    is_reversal: Bools
    is_due: Bools


T = TypeVar("T", Ours, Theirs)

_TEXTS: Final = frozenset({"number", "reference", "batch", "party", "currency"})
_SMALL: Final = frozenset({"kind", "held", "status"})
_FLAGS: Final = frozenset({"is_due", "is_taken", "is_reversal"})


def columns(kind: type[T], rows: Mapping[str, Any]) -> T:
    """Return the columns of what is given by name.

    Parameters
    ----------
    rows : name of a column to its values; texts as str or bytes. A column that is missing is empty,
        `NOT_SAID` (fee, at), true (`is_due`) or zero
    """
    count = len(rows["amount"])
    made: dict[str, Any] = {}
    for one in fields(kind):
        name = one.name
        given = rows.get(name)
        if name in _TEXTS:
            made[name] = texts(given) if given is not None else np.zeros(count, "S1")
        elif name in _FLAGS:
            made[name] = _filled(given, count, np.bool_, name == "is_due")
        elif name in _SMALL:
            made[name] = _filled(given, count, np.int8, 1 if name != "kind" else 0)
        else:
            empty = NOT_SAID if name in ("fee", "at") else 0
            made[name] = _filled(given, count, np.int64, empty)
        assert len(made[name]) == count, f"column {name} is of another length"
    return kind(**made)


def _filled(given: Any, count: int, dtype: Any, empty: Any) -> Any:
    return np.full(count, empty, dtype) if given is None else np.asarray(given, dtype)


def texts(values: Any) -> Texts:
    """Return texts as bytes of the width of the longest, at most `MAX_TEXT`."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "S":
        return values
    raw = [v.encode() if isinstance(v, str) else v for v in values]
    width = max(1, min(MAX_TEXT, max(map(len, raw), default=1)))
    return np.array(raw, f"S{width}")


def of_lines(lines: Iterable[StatementLine], *, file: int = 0) -> Theirs:
    """Return the lines of a statement as columns."""
    rows = list(lines)
    place = {kind: i for i, kind in enumerate(KINDS)}
    return columns(
        Theirs,
        {
            "file": [file] * len(rows),
            "line": [r.number for r in rows],
            "number": [r.our_number for r in rows],
            "reference": [r.reference for r in rows],
            "batch": [r.batch for r in rows],
            "party": [r.counterparty for r in rows],
            "kind": [place[r.kind] for r in rows],
            "status": [listed(r.status) for r in rows],
            "amount": [r.amount_minor for r in rows],
            "fee": [NOT_SAID if r.fee_minor is None else r.fee_minor for r in rows],
            "currency": [r.currency for r in rows],
            "at": [NOT_SAID if r.booked_at is None else int(r.booked_at.timestamp()) for r in rows],
            "on": [r.booked_on.toordinal() - _EPOCH for r in rows],
            "is_reversal": [r.is_reversal for r in rows],
        },
    )


_EPOCH: Final = 719_163
"""Ordinal of 1970-01-01."""


def take(table: T, rows: Numbers) -> T:
    """Return some rows of a table, by places or by a mask."""
    return type(table)(**{f.name: getattr(table, f.name)[rows] for f in fields(table)})


def join(tables: Sequence[T]) -> T:
    """Return tables one after the other; at least one is given."""
    kind = type(tables[0])
    return kind(
        **{f.name: np.concatenate([getattr(t, f.name) for t in tables]) for f in fields(kind)}
    )


def pack(arrays: Mapping[str, Numbers]) -> bytes:
    """Return columns as compressed bytes."""
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **dict(arrays))
    return out.getvalue()


def unpack(packed: bytes) -> dict[str, Numbers]:
    """Return columns that were packed."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def arrays_of(table: Ours | Theirs) -> dict[str, Numbers]:
    """Return the columns of a table by name."""
    return {f.name: getattr(table, f.name) for f in fields(table)}
