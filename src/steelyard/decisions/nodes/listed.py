"""Lists: whether a field of the event stands on a list, in the document or kept elsewhere.

A list in the document has its entries there and changes with its version. A kept list changes from
hour to hour; who keeps it says `list_<name>` of the event, which is recorded with the decision, so
that a replay sees the list as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.decisions.model.column_values import Column
from steelyard.decisions.model.compile import Answer
from steelyard.decisions.model.document import CustomNode
from steelyard.decisions.model.policy import LISTED
from steelyard.decisions.nodes.over_columns import codes, flags, is_among, is_true
from steelyard.decisions.nodes.settings import Settings

_MEANINGS = ("block", "allow", "watch")


@dataclass(frozen=True, slots=True)
class Entries:
    """One list as it is asked.

    Attributes
    ----------
    name : of the list
    field : of the event, which is looked for
    means : `block`, `allow` or `watch`
    reads : the field that is looked for in `entries`, or the flag that says it all
    entries : None for a kept list
    reason : the code that is given when it is found
    """

    name: str
    field: str
    means: str
    reads: str
    entries: frozenset[str] | None
    reason: str

    def holds(self, value: Any) -> bool:
        """Return whether a value that was read stands on it."""
        return value is True if self.entries is None else value in self.entries


@dataclass(frozen=True, slots=True)
class PreparedLists:
    """Lists, ready to be asked; what is found blocks, allows or is watched."""

    lists: tuple[Entries, ...]
    reads: tuple[str, ...]
    codes: tuple[str, ...]
    writes: Mapping[str, str]
    versions: Mapping[str, str]
    asks: Mapping[str, str]

    def answer(self, values: Mapping[str, Any]) -> Answer:
        """Return `block`, `allow`, `watch` (flags) and `list_reasons`; missing is not found."""
        found = [one for one in self.lists if one.holds(values.get(one.reads))]
        made: dict[str, Any] = dict.fromkeys(_MEANINGS, False)
        made["list_reasons"] = [one.reason for one in found]
        for one in found:
            made[one.means] = True
        return Answer(made, tuple(one.name for one in found))

    def answer_columns(self, columns: Mapping[str, Column], rows: int) -> dict[str, Column]:
        """Return the same for many events."""
        masks = []
        for one in self.lists:
            column = columns.get(one.reads)
            entries = one.entries
            masks.append(
                is_true(column, rows) if entries is None else is_among(column, entries, rows)
            )
        made: dict[str, Column] = {}
        for means in _MEANINGS:
            held = np.zeros(rows, np.bool_)
            for one, mask in zip(self.lists, masks, strict=True):
                if one.means == means:
                    held |= mask
            made[means] = flags(held)
        made["list_reasons"] = codes(masks, [one.reason for one in self.lists], rows)
        return made


class ListKind:
    """Kind `list`: `{"lists": [{"name", "means", "field", "reason", "entries"?}]}`.

    Examples
    --------
    >>> from steelyard.decisions.model.document import Shaping
    >>> node = CustomNode("l", "l", "list", '{"lists":[{"name":"bad_payees","means":"block",'
    ...     '"field":"payee","reason":"payee_is_blocked","entries":["p1"]}]}', Shaping())
    >>> ListKind().prepare(node).answer({"payee": "p1"}).hits
    ('bad_payees',)
    """

    def prepare(self, node: CustomNode) -> PreparedLists:
        """Return the lists of a node; a list without entries is a kept one."""
        made = []
        objects = Settings.of(node, "lists").objects(
            "lists", "name", "means", "field", "reason", "entries"
        )
        for one in objects:
            name, means = one.get("name", str), one.get("means", str)
            if means not in _MEANINGS:
                raise one.refused(f"means has to be one of {', '.join(_MEANINGS)}")
            kept = not one.has("entries")
            field = one.get("field", str)
            reads = LISTED + name if kept else field
            entries = None if kept else frozenset(one.texts("entries"))
            made.append(Entries(name, field, means, reads, entries, one.get("reason", str)))
        return PreparedLists(
            lists=tuple(made),
            reads=tuple(dict.fromkeys(one.reads for one in made)),
            codes=tuple(dict.fromkeys(one.reason for one in made)),
            writes={**dict.fromkeys(_MEANINGS, "flag"), "list_reasons": "any"},
            versions={},
            asks={one.name: one.field for one in made if one.entries is None},
        )
