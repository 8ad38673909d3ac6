"""The common case as generated code: one function per kind of event, straight through its features.

A function is made of slot numbers, window lengths and names that `checking` has let pass; constants
of conditions are handed over as values. No text of a user gets here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steelyard.features.model import formula
from steelyard.features.model.definition import Aggregate, Compare, Feature
from steelyard.features.model.event import EventKind
from steelyard.features.model.layout import (
    Ask,
    Column,
    EntityLayout,
    Slot,
    ToldTrack,
    Track,
    Window,
)
from steelyard.features.model.told import ToldWindows
from steelyard.features.model.window import ask, enter

_A = Aggregate
_SUMS = {_A.SUM: "s", _A.MEAN: "ns", _A.STD: "nsq", _A.ZSCORE: "nsq"}
"""Which totals of a column an aggregate is made of."""
_OPERATORS = {Compare.IS: "==", Compare.IS_NOT: "!=", Compare.AT_LEAST: ">=", Compare.BELOW: "<"}


_OPENED = {Slot.LIST: "[]", Slot.TOTALS: "[0]", Slot.DICT: "{}", Slot.DEQUE: "deque()"}


@dataclass(slots=True)
class Ports:
    """What the generated code calls: by entity, its states and what to do when it is rare.

    Attributes
    ----------
    states : by entity, value -> state
    born : by entity, returns the state of a value that is not there
    late : by entity and kind, (state, instant, fields, id) -> values of an event that comes late
    tidy : by entity, drops from a state what no answer looks at
    noted : instant, sequence and entities of an event that can be labelled, by kind and id
    oldest : their keys in the order in which they were noted
    """

    states: Mapping[str, dict[str, Any]]
    born: Mapping[str, Callable[[str], Any]]
    late: Callable[[str, str], Callable[..., Any]]
    tidy: Mapping[str, Callable[[Any], None]]
    noted: MutableMapping[tuple[str, str], tuple[int, int, tuple[tuple[str, str], ...]]]
    oldest: deque[tuple[str, str]]


@dataclass(slots=True)
class Writer:
    """Lines of a function, and the values they refer to."""

    lines: list[str] = field(default_factory=list)
    depth: int = 2
    constants: dict[str, Any] = field(default_factory=dict)

    def put(self, *lines: str) -> None:
        """Add lines; those that begin with blanks stand deeper."""
        self.lines += ["    " * self.depth + line for line in lines]

    def constant(self, value: Any) -> str:
        """Return the name of a value."""
        name = f"K{len(self.constants)}"
        self.constants[name] = value
        return name


@dataclass(frozen=True, slots=True)
class Plan:
    """What one kind of event does.

    Attributes
    ----------
    wanted : features that are answered, in this order
    computed : those and the parts of their ratios, by entity
    """

    kind: EventKind
    wanted: tuple[str, ...]
    computed: Mapping[str, tuple[Ask, ...]]
    layouts: Mapping[str, EntityLayout]
    features: Mapping[str, Feature]

    @property
    def entities(self) -> list[EntityLayout]:
        """Entities whose state an event of the kind reads or writes."""
        return [
            layout
            for entity, layout in self.layouts.items()
            if entity in self.kind.entities
            and (
                self.computed.get(entity)
                or any(self.kind.name in track.kinds for track in layout.tracks)
                or any(self.kind.name in told.kinds for told in layout.told)
            )
        ]


def planned(
    kind: EventKind,
    wanted: Sequence[str],
    features: Mapping[str, Feature],
    layouts: Mapping[str, EntityLayout],
) -> Plan:
    """Return the plan of a kind, whose entities the wanted features are about."""
    names: dict[str, None] = {}
    for name in wanted:
        names.update(dict.fromkeys(features[name].parts or (name,)))
    computed = {
        entity: tuple(layout.asks[name] for name in names if name in layout.asks)
        for entity, layout in layouts.items()
    }
    return Plan(kind, tuple(wanted), computed, layouts, features)


def generate(plan: Plan, ports: Ports) -> tuple[Callable[..., dict[str, Any]], str]:
    """Return the function of a kind, and its source.

    It takes (instant, fields, id, sequence), folds an event that is not too late into the state of
    its entities, and answers the wanted features as of it, by name.
    """
    writer = Writer()
    variables = {
        ask_.feature.name: f"v{i}"
        for i, ask_ in enumerate(ask_ for asks in plan.computed.values() for ask_ in asks)
    }
    writer.put("g = f.get")
    is_noted = any(plan.kind.name in told.kinds for each in plan.entities for told in each.told)
    if is_noted:
        writer.put(f"key = ({plan.kind.name!r}, id)")
    fields = sorted(_fields(plan))
    for name in fields:
        writer.put(f"x_{name} = g({name!r})")
    noted: dict[str, str] = {}
    for i, layout in enumerate(plan.entities):
        _Entity(plan, ports, writer, layout, variables).emit(i)
        if any(plan.kind.name in told.kinds for told in layout.told):
            noted[f"e{i}"] = f"({layout.entity!r}, e{i})"
    if noted:
        writer.put(f"whose = ({', '.join(noted.values())},)")
        writer.put(f"if {' or '.join(f'{e} is None' for e in noted)}:")
        writer.put("    whose = tuple([each for each in whose if each[1] is not None])")
        writer.put(f"{writer.constant(ports.noted)}[key] = (t, s, whose)")
        writer.put(f"{writer.constant(ports.oldest.append)}(key)")
    ratio = writer.constant(formula.ratio)
    for name in plan.wanted:
        parts = plan.features[name].parts
        if parts is not None:
            variables[name] = f"r{len(variables)}"
            first, second = (variables[part] for part in parts)
            writer.put(f"{variables[name]} = {ratio}({first}, {second})")
    answer = ", ".join(f"{name!r}: {variables[name]}" for name in plan.wanted)
    writer.put(f"return {{{answer}}}")
    arguments = ", ".join(writer.constants)
    head = [f"def make({arguments}):", "    def fold(t, f, id, s):"]
    source = "\n".join([*head, *writer.lines, "    return fold", ""])
    made: dict[str, Any] = {"deque": deque}
    exec(compile(source, f"<features of {plan.kind.name}>", "exec"), made)
    function: Callable[..., dict[str, Any]] = made["make"](**writer.constants)
    return function, source


def _fields(plan: Plan) -> set[str]:
    """Return the fields that the code looks at."""
    found: set[str] = set()
    for layout in plan.entities:
        for track in layout.tracks:
            if plan.kind.name in track.kinds:
                found |= set(track.columns) | {where.field for where in track.where}
        for ask_ in plan.computed.get(layout.entity, ()):
            if ask_.feature.aggregate is _A.ZSCORE and ask_.feature.field is not None:
                found.add(ask_.feature.field)
    return found


def _summed(aggregate: Aggregate, column: Column) -> list[int]:
    """Return the slots of the totals that an aggregate is made of."""
    return [slot for which in _SUMS[aggregate] if (slot := getattr(column, which)) is not None]


@dataclass(slots=True)
class _Entity:
    """Writes what happens to one entity."""

    plan: Plan
    ports: Ports
    writer: Writer
    layout: EntityLayout
    variables: Mapping[str, str]

    def emit(self, i: int) -> None:
        entity, kind, put = self.layout.entity, self.plan.kind.name, self.writer.put
        asks = self.plan.computed.get(entity, ())
        names = [self.variables[ask_.feature.name] for ask_ in asks]
        states = self.writer.constant(self.ports.states[entity])
        born = self.writer.constant(self.ports.born[entity])
        late = self.writer.constant(self.ports.late(entity, kind))
        put(f"e{i} = g({entity!r})", f"if e{i} is None:")
        put(f"    {' = '.join([*names, 'None']) if names else 'pass'}", "else:")
        self.writer.depth += 1
        put(f"st = {states}.get(e{i})", "if st is None:", f"    st = {born}(e{i})")
        target = f"{', '.join(names)}, = " if names else ""
        put("if t < st[0]:", f"    {target}{late}(st, t, f, id)", "else:")
        self.writer.depth += 1
        put("st[0] = t", "big = False")
        for track in self.layout.tracks:
            mine = [ask_ for ask_ in asks if ask_.track is track]
            if mine or kind in track.kinds:
                self._track(track, mine)
        for told in self.layout.told:
            mine = [ask_ for ask_ in asks if ask_.told is told]
            if mine or kind in told.kinds:
                self._told(told, mine)
        tidy = self.writer.constant(self.ports.tidy[entity])
        put("if big:", f"    {tidy}(st)")
        self.writer.depth -= 2

    def _track(self, track: Track, asks: Sequence[Ask]) -> None:
        put = self.writer.put
        before = [ask_ for ask_ in asks if ask_.feature.before]
        after = [ask_ for ask_ in asks if not ask_.feature.before]
        is_written = self.plan.kind.name in track.kinds
        put(f"a = st[{track.instants}]")
        if is_written:
            self._open(track)
        else:
            put("if a:")
            self.writer.depth += 1
        put("n = len(a)")
        self._columns(track, asks, is_written=is_written)
        for window in track.windows.values():
            mine = [ask_ for ask_ in before if ask_.window is window]
            if mine:
                self._window(track, window, mine, is_ended=False)
        if is_written:
            self._append(track)
        for window in track.windows.values():
            mine = [ask_ for ask_ in after if ask_.window is window]
            if mine:
                self._window(track, window, mine, is_ended=is_written and not track.where)
        if is_written:
            put(f"if n > st[{track.limit}]:", "    big = True")
            return
        self.writer.depth -= 1
        put("else:")
        self._nothing(asks)

    def _columns(self, track: Track, asks: Sequence[Ask], *, is_written: bool) -> None:
        """Take the totals that are added to or read into variables: `c` and the slot."""
        used: dict[int, None] = {}
        for column in track.columns.values() if is_written else ():
            used.update((slot, None) for slot in column.totals if slot is not None)
        for ask_ in asks:
            if ask_.feature.aggregate in _SUMS and ask_.feature.field is not None:
                column = track.columns[ask_.feature.field]
                used.update((slot, None) for slot in _summed(ask_.feature.aggregate, column))
        for slot in used:
            self.writer.put(f"c{slot} = st[{slot}]")

    def _open(self, track: Track) -> None:
        """Ask whether the event fits a track, and give the track lists of its own for it."""
        conditions = []
        for where in track.where:
            name, constant = f"x_{where.field}", self.writer.constant(where.value)
            conditions.append(
                f"{name} is not None and {name} {_OPERATORS[where.compare]} {constant}"
            )
        put = self.writer.put
        if conditions:
            put(f"fits = {' and '.join(conditions)}")
        put("if fits and not a:" if conditions else "if not a:")
        for slot, holds in track.held.items():
            target = f"a = st[{slot}]" if slot == track.instants else f"st[{slot}]"
            put(f"    {target} = {_OPENED[holds]}")

    def _append(self, track: Track) -> None:
        put, writer = self.writer.put, self.writer
        if track.where:
            put("if fits:")
            writer.depth += 1
        put("a.append(t)", "n += 1")
        if track.is_for_ever:
            put(f"if st[{track.first}] is None:", f"    st[{track.first}] = t")
        entered = [window for window in track.windows.values() if window.tail is None]
        for name, column in track.columns.items():
            if column.values is not None:
                put(f"st[{column.values}].append(x_{name})")
            mine = [window for window in entered if window.holds(name)]
            if mine or any(slot is not None for slot in column.totals):
                self._add(f"x_{name}", column)
                for window in mine:
                    self._enter(name, window)
                writer.depth -= 1
        if track.where:
            writer.depth -= 1

    def _add(self, x: str, column: Column) -> None:
        """Add a value to the totals of its field; ends where it is known to be there."""
        put = self.writer.put
        steps = zip(column.totals, ("1", x, f"{x} * {x}"), strict=True)
        totals = {f"c{slot}": step for slot, step in steps if slot is not None}
        if totals:
            put(f"if {x} is None:", *(f"    {c}.append({c}[-1])" for c in totals), "else:")
        else:
            put(f"if {x} is not None:")
        self.writer.depth += 1
        put(*(f"{c}.append({c}[-1] + {step})" for c, step in totals.items()))

    def _enter(self, name: str, window: Window) -> None:
        """Take the value just appended, which is there, into a window without a delay."""
        put, is_for_ever, x = self.writer.put, window.length is None, f"x_{name}"
        if name in window.distinct:
            put(f"d = st[{window.distinct[name]}]")
            put(f"d.setdefault({x}, t)" if is_for_ever else f"d[{x}] = d.get({x}, 0) + 1")
        if name in window.last:
            put(f"st[{window.last[name]}] = (t, {x})")
        for slots, than, hides in ((window.low, "<", ">="), (window.high, ">", "<=")):
            if name not in slots:
                continue
            put(f"d = st[{slots[name]}]")
            if is_for_ever:
                put(f"if d is None or {x} {than} d:", f"    st[{slots[name]}] = {x}")
            else:
                put(f"while d and d[-1][1] {hides} {x}:", "    d.pop()", f"d.append((t, {x}))")

    def _window(self, track: Track, window: Window, asks: Sequence[Ask], *, is_ended: bool) -> None:
        """Move a window on to the instant and read it.

        `is_ended` says that the event itself stands at the end of the track, so that looking for
        the head of a window without a delay needs no bound.
        """
        put = self.writer.put
        end, instant = "n", "t"
        if window.tail is not None:
            end, instant, is_ended = "p", "z", False
            put(f"z = t - {window.delay}", f"p = st[{window.tail}]", "if p < n and a[p] <= z:")
            put("    while p < n and a[p] <= z:")
            if window.distinct or window.low or window.high or window.last:
                constants = [self.writer.constant(each) for each in (enter, track, window)]
                put(f"        {constants[0]}(st, {constants[1]}, {constants[2]}, p)")
            put("        p += 1", f"    st[{window.tail}] = p")
        if window.length is not None:
            self._head(track, window, end, (instant, "" if is_ended else f"h < {end} and "))
        for ask_ in asks:
            self._read(ask_, track, window, end)

    def _head(self, track: Track, window: Window, end: str, place: tuple[str, str]) -> None:
        put = self.writer.put
        instant, bound = place
        put(f"b = {instant} - {window.length}", f"h = st[{window.head}]")
        put(f"if {bound}a[h] < b:", f"    while {bound}a[h] < b:")
        for name, slot in window.distinct.items():
            put(f"        u = st[{track.columns[name].values}][h]", "        if u is not None:")
            put(f"            d = st[{slot}]", "            k = d[u] - 1")
            put("            if k:", "                d[u] = k")
            put("            else:", "                del d[u]")
        put("        h += 1", f"    st[{window.head}] = h")

    def _read(self, ask_: Ask, track: Track, window: Window, end: str) -> None:
        put, feature = self.writer.put, ask_.feature
        v, name, aggregate = self.variables[feature.name], feature.field, feature.aggregate
        is_for_ever = window.length is None
        if aggregate is _A.COUNT:
            put(f"{v} = {end} + st[{track.gone}]" if is_for_ever else f"{v} = {end} - h")
        elif aggregate is _A.TIME_SINCE:
            put(f"{v} = t - a[{end} - 1] if {end} > {'0' if is_for_ever else 'h'} else None")
        elif aggregate is _A.FIRST_SEEN and is_for_ever:
            put(f"u = st[{track.first}]")
            put(f"{v} = None if u is None or u > t - {window.delay} else t - u")
        elif aggregate is _A.FIRST_SEEN:
            put(f"{v} = t - a[h] if h < {end} else None")
        elif name in window.distinct and aggregate is _A.DISTINCT:
            put(f"{v} = len(st[{window.distinct[name]}])")
        elif name in window.last and aggregate is _A.LAST:
            fits = "" if is_for_ever else " and u[0] >= b"
            put(f"u = st[{window.last[name]}]")
            put(f"{v} = u[1] if u is not None{fits} else None")
        elif name is not None and aggregate in {_A.MIN, _A.MAX}:
            slot = (window.low if aggregate is _A.MIN else window.high)[name]
            put(f"d = st[{slot}]")
            if is_for_ever:
                put(f"{v} = d")
            else:
                put("while d and d[0][0] < b:", "    d.popleft()")
                put(f"{v} = d[0][1] if d else None")
        else:
            assert name is not None, "every other aggregate has a field"
            self._sums(v, ask_, track.columns[name], (end, is_for_ever))

    def _sums(self, v: str, ask_: Ask, column: Column, place: tuple[str, bool]) -> None:
        end, is_for_ever = place
        sums = [
            f"c{slot}[{end}]" + ("" if is_for_ever else f" - c{slot}[h]")
            for slot in _summed(ask_.feature.aggregate, column)
        ]
        self._formula(v, ask_.feature, sums)

    def _formula(self, v: str, feature: Feature, sums: Sequence[str]) -> None:
        put, arguments = self.writer.put, ", ".join(sums)
        if feature.aggregate is _A.SUM:
            put(f"{v} = {arguments}")
        elif feature.aggregate is _A.MEAN:
            put(f"{v} = {self.writer.constant(formula.mean)}({arguments})")
        elif feature.aggregate is _A.STD:
            put(f"{v} = {self.writer.constant(formula.standard_deviation)}({arguments})")
        else:
            z, x = self.writer.constant(formula.z_score), f"x_{feature.field}"
            put(f"{v} = None if {x} is None else {z}({x}, {arguments})")

    def _told(self, told: ToldTrack, asks: Sequence[Ask]) -> None:
        put, is_inserted = self.writer.put, False
        if self.plan.kind.name in told.kinds:
            is_inserted = not told.is_told_only
        if not asks and not is_inserted:
            return
        put(f"w = st[{told.slot}]")
        if is_inserted:
            made = f"{self.writer.constant(ToldWindows)}({self.writer.constant(told)})"
            put("if w is None:", f"    w = st[{told.slot}] = {made}")
        else:
            put("if w is None:")
            self._nothing(asks)
            put("else:")
            self.writer.depth += 1
        put("if w.due <= t:", "    w.advance(t)")
        for ask_ in asks:
            v, aggregate = self.variables[ask_.feature.name], ask_.feature.aggregate
            window = f"w.windows[{ask_.nth}]"
            if aggregate is _A.COUNT:
                put(f"{v} = {window}[2]")
            elif aggregate in {_A.SUM, _A.MEAN, _A.STD, _A.ZSCORE}:
                counts = {_A.SUM: (3,), _A.MEAN: (2, 3)}.get(aggregate, (2, 3, 4))
                self._formula(v, ask_.feature, [f"{window}[{i}]" for i in counts])
            else:
                slow, constant = self.writer.constant(ask), self.writer.constant(ask_)
                put(f"{v} = {slow}(st, {constant}, t, None)")
        if is_inserted:
            put("if w.insert(key, (t, s), f):", "    big = True")
        else:
            self.writer.depth -= 1

    def _nothing(self, asks: Sequence[Ask]) -> None:
        """Answer what there is to say of nothing."""
        zero = {_A.COUNT, _A.SUM, _A.DISTINCT}
        for nothing in ("0", "None"):
            mine = [ask_ for ask_ in asks if (ask_.feature.aggregate in zero) == (nothing == "0")]
            if mine:
                names = " = ".join(self.variables[ask_.feature.name] for ask_ in mine)
                self.writer.put(f"    {names} = {nothing}")
