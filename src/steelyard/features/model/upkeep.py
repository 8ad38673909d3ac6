"""New states, and what there is to do about old ones, as generated code: one function each.

Both are asked for every entity that comes in, for a state and two old ones. They are made of slot
numbers and lengths only.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from steelyard.features.model.layout import FIRST_TRIM, LONG_AGO, EntityLayout, Slot
from steelyard.features.model.window import CLOSED

State = list[Any]

_CONTENT = {
    Slot.POSITION: f"{LONG_AGO}",
    Slot.LIST: "()",
    Slot.TOTALS: "zero",
    Slot.ZERO: "0",
    Slot.LIMIT: f"{FIRST_TRIM}",
    Slot.NONE: "None",
    Slot.DICT: "nothing",
    Slot.DEQUE: "()",
    Slot.TOLD: "None",
}


def generate_empty(layout: EntityLayout) -> Callable[[], State]:
    """Return what makes the state of an entity that nothing is known about."""
    source = f"lambda: [{', '.join(_CONTENT[slot] for slot in layout.slots)}]"
    code = compile(source, f"<state of {layout.entity}>", "eval")
    shared = {"zero": CLOSED[Slot.TOTALS], "nothing": CLOSED[Slot.DICT]}
    made: Callable[[], State] = eval(code, shared)
    return made


class Upkeep(Enum):
    """What there is to do about a state that is looked at."""

    NOTHING = auto()
    TIDY = auto()
    """Half of a track, or more, is out of the reach of every answer."""
    FORGET = auto()
    """All of it is."""


def generate_upkeep(layout: EntityLayout) -> Callable[[State, int], Upkeep]:
    """Return what says of a state, by the earliest instant an event may come with, what to do."""
    lines = ["def upkeep(st, oldest):", "    held = due = False"]
    tracks = [(f"st[{one.instants}]", one.is_for_ever, one.span) for one in layout.tracks]
    tracks += [
        (f"st[{one.slot}] and st[{one.slot}].instants", False, one.span) for one in layout.told
    ]
    for instants, is_for_ever, span in tracks:
        lines += [f"    a = {instants}", "    if a:"]
        if is_for_ever:
            # Its last event always stays.
            lines += ["        held = True", "        n = len(a)"]
            lines += [f"        if n > 1 and a[(n + 1) // 2] < oldest - {span}:"]
            lines += ["            due = True"]
        else:
            lines += [f"        b = oldest - {span}", "        if a[-1] >= b:"]
            lines += ["            held = True", "            if a[len(a) // 2] < b:"]
            lines += ["                due = True", "        else:", "            due = True"]
    lines += ["    return (tidy if due else nothing) if held else forget"]
    made: dict[str, Any] = {
        "nothing": Upkeep.NOTHING, "tidy": Upkeep.TIDY, "forget": Upkeep.FORGET}  # fmt: skip
    exec(compile("\n".join(lines), f"<upkeep of {layout.entity}>", "exec"), made)
    function: Callable[[State, int], Upkeep] = made["upkeep"]
    return function
