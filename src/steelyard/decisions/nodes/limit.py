"""Limits: how much of an amount still fits under ceilings on what was used before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.decisions.model.column_values import Column, Kind
from steelyard.decisions.model.compile import Answer
from steelyard.decisions.model.document import CustomNode
from steelyard.decisions.nodes.over_columns import codes, flags, whole
from steelyard.decisions.nodes.settings import Settings


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that may be used, amount asked for included.

    Attributes
    ----------
    used : the name that holds what is used, the amount asked for included; None where the amount
        alone counts
    most_minor : the most it may be
    reason : the code that is given when it is more
    """

    id: str
    used: str | None
    most_minor: int
    reason: str


@dataclass(frozen=True, slots=True)
class PreparedLimit:
    """Ceilings, ready to be asked."""

    amount: str
    ceilings: tuple[Ceiling, ...]
    reads: tuple[str, ...]
    codes: tuple[str, ...]
    writes: Mapping[str, str]
    versions: Mapping[str, str]
    asks: Mapping[str, str]

    def answer(self, values: Mapping[str, Any]) -> Answer:
        """Return `room_minor`, `is_over`, `limit_is_known` and `limit_reasons`.

        Returns
        -------
        Answer
            `room_minor` is the least that the ceilings leave to this amount, never below zero; it
            is missing, and `limit_is_known` false, when the amount or what is used is missing.
        """
        amount = values.get(self.amount)
        rooms: dict[str, int | None] = {}
        reasons = []
        for one in self.ceilings:
            used = amount if one.used is None else values.get(one.used)
            if type(amount) is not int or type(used) is not int:
                rooms[one.id] = None
                continue
            rooms[one.id] = max(0, one.most_minor - (used - amount))
            if used > one.most_minor:
                reasons.append(one)
        known = [room for room in rooms.values() if room is not None]
        complete = len(known) == len(rooms)
        made = {
            "room_minor": min(known) if complete else None,
            "is_over": bool(reasons),
            "limit_is_known": complete,
            "limit_reasons": [one.reason for one in reasons],
        }
        return Answer(made, tuple(one.id for one in reasons), {"rooms": rooms})

    def answer_columns(self, columns: Mapping[str, Column], rows: int) -> dict[str, Column]:
        """Return the same for many events."""
        amount, unknown = whole(columns, self.amount, rows)
        room = np.full(rows, np.iinfo(np.int64).max)
        missing = unknown.copy()
        over = []
        for one in self.ceilings:
            used, absent = whole(columns, one.used or self.amount, rows)
            absent = absent | unknown
            room = np.minimum(room, np.maximum(0, one.most_minor - (used - amount)))
            over.append(~absent & (used > one.most_minor))
            missing |= absent
        return {
            "room_minor": Column(Kind.NUMBER, room, missing if missing.any() else None),
            "is_over": flags(np.any(over, axis=0)),
            "limit_is_known": flags(~missing),
            "limit_reasons": codes(over, [one.reason for one in self.ceilings], rows),
        }


class LimitKind:
    """Kind `limit`: `{"amount", "ceilings": [{"id", "used"?, "most_minor", "reason"}]}`.

    Examples
    --------
    >>> from steelyard.decisions.model.document import Shaping
    >>> node = CustomNode("l", "l", "limit", '{"amount":"amount_minor","ceilings":[{"id":"day",'
    ...     '"used":"sum_1d","most_minor":500,"reason":"day_is_used_up"}]}', Shaping())
    >>> LimitKind().prepare(node).answer({"amount_minor": 200, "sum_1d": 600}).values["room_minor"]
    100
    """

    def prepare(self, node: CustomNode) -> PreparedLimit:
        """Return the ceilings of a node."""
        settings = Settings.of(node, "amount", "ceilings")
        amount = settings.get("amount", str)
        ceilings = tuple(
            Ceiling(
                one.get("id", str),
                one.get("used", str) if one.has("used") else None,
                one.whole("most_minor"),
                one.get("reason", str),
            )
            for one in settings.objects("ceilings", "id", "used", "most_minor", "reason")
        )
        if len({one.id for one in ceilings}) != len(ceilings):
            raise settings.refused("two ceilings have the same id")
        used = (one.used for one in ceilings if one.used is not None)
        return PreparedLimit(
            amount=amount,
            ceilings=ceilings,
            reads=tuple(dict.fromkeys((amount, *used))),
            codes=tuple(dict.fromkeys(one.reason for one in ceilings)),
            writes={
                "room_minor": "number",
                "is_over": "flag",
                "limit_is_known": "flag",
                "limit_reasons": "any",
            },
            versions={},
            asks={},
        )
