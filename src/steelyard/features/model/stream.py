"""The streaming engine: events one by one, every feature exact as of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from steelyard.features.model import dump
from steelyard.features.model.definition import LATENESS_MS, Aggregate, Feature
from steelyard.features.model.event import Event, EventKind, Label, Value
from steelyard.features.model.layout import LONG_AGO, POSITION, Ask, plan
from steelyard.features.model.profile import Reading, hears, place, readings, tell
from steelyard.features.model.source import Ports, generate, planned
from steelyard.features.model.upkeep import Upkeep, generate_empty, generate_upkeep
from steelyard.features.model.window import Number, State, ask, tidy

Reload = Callable[[str, str], Iterable[Event | Label]]
"""(entity, value) -> everything folded so far that names it, in the order of sequence: events that
carry the value and the labels of those events. What was too late is not among it, what is folded
and not yet committed is."""
Owners = tuple[tuple[str, str], ...]
"""(entity, value) of those an event belongs to."""
CANDIDATES = 8
"""Entities looked at when one of them must go; the one that was longest untouched does."""


class Folded(NamedTuple):
    """What the engine answers to an event.

    Attributes
    ----------
    values : every wanted feature of the event's entities by name; None is missing
    is_late : its instant lies before the watermark
    is_too_late : it was not folded, and every value is missing
    """

    values: dict[str, Number]
    is_late: bool = False
    is_too_late: bool = False


class StreamEngine:
    """Features of many entities, exact as of every event, by the meaning fixed in `definition`.

    Work per event is O(1) amortised in the length of every window for events that come in order,
    and O(window) for late ones. An event is folded and answered in one call; nothing else moves.

    Memory: of an entity is kept what a window can still reach, for `LATENESS_MS` longer. When a new
    entity comes two old ones are looked at: what no window reaches is dropped where it is half of
    what is kept; an entity of which nothing is left, and that no feature remembers for ever, is
    forgotten. With
    `most_entities` those longest untouched are put out besides and are read back by `reload` when
    they are asked for; only their names are kept.

    Parameters
    ----------
    features : the parts of every ratio among them
    kinds : by name; at least those that the features look at
    wanted : by kind, the features answered to an event of it, in this order, as far as they are
        about its entities; without it all of those
    most_entities : how many states are held; None is any number
    reload : reads back the history of an entity that was put out

    Examples
    --------
    >>> from steelyard.features.model.definition import HOUR
    >>> from steelyard.features.model.event import FieldType
    >>> pay = EventKind("pay", {"card": FieldType.TEXT}, ("card",), "A payment.", "付款。")
    >>> count = Feature("card_pay_count_1h", "card", ("pay",), Aggregate.COUNT, "-", "-",
    ...                 window_ms=HOUR)
    >>> engine = StreamEngine([count], {"pay": pay})
    >>> [engine.fold(Event("pay", str(s), s * HOUR // 2, s, {"card": "a"})).values
    ...  for s in range(4)]  # doctest: +NORMALIZE_WHITESPACE
    [{'card_pay_count_1h': 1}, {'card_pay_count_1h': 2}, {'card_pay_count_1h': 3},
     {'card_pay_count_1h': 3}]
    """

    def __init__(
        self,
        features: Iterable[Feature],
        kinds: Mapping[str, EventKind],
        wanted: Mapping[str, Sequence[str]] | None = None,
        *,
        most_entities: int | None = None,
        reload: Reload | None = None,
    ) -> None:
        if most_entities is not None and reload is None:
            raise ValueError("states that are put out must be read back")
        self.features, self.layouts = plan(features, kinds)
        self.kinds = dict(kinds)
        self.wanted = {
            kind: tuple(
                name
                for name in (self.features if wanted is None else wanted.get(kind, ()))
                if name in self.features and self.features[name].entity in kinds[kind].entities
            )
            for kind in kinds
        }
        self.watermark = LONG_AGO
        self.sequence = -1
        self.late = self.too_late = self.labels_unheard = 0
        self._most, self._reload = most_entities, reload
        self._states: dict[str, dict[str, State]] = {entity: {} for entity in self.layouts}
        self._put_out: dict[str, set[str]] = {entity: set() for entity in self.layouts}
        self._round: deque[tuple[str, str]] = deque()
        self._born = 0
        self._noted: dict[tuple[str, str], tuple[int, int, Owners]] = {}
        # Its keys, the oldest first: a dict would have to search for its first.
        self._oldest: deque[tuple[str, str]] = deque()
        self._note_span = max(
            (told.span for layout in self.layouts.values() for told in layout.told), default=0
        )
        self._empty = {name: generate_empty(layout) for name, layout in self.layouts.items()}
        self._upkeep = {name: generate_upkeep(layout) for name, layout in self.layouts.items()}
        self._births = {entity: self._birth(entity) for entity in self.layouts}
        ports = Ports(
            self._states,
            self._births,
            self._late_fold,
            {entity: self._tidying(entity) for entity in self.layouts},
            self._noted,
            self._oldest,
        )
        self._asks: dict[tuple[str, str], tuple[Ask, ...]] = {}
        self._folds: dict[str, Callable[..., dict[str, Any]]] = {}
        self.sources: dict[str, str] = {}
        for name, kind in kinds.items():
            made = planned(kind, self.wanted[name], self.features, self.layouts)
            for entity, asks in made.computed.items():
                self._asks[entity, name] = asks
            self._folds[name], self.sources[name] = generate(made, ports)

    # Folding

    def fold(self, event: Event) -> Folded:
        """Fold an event and return its features as of itself.

        Sequences rise from call to call. An event that comes more than `LATENESS_MS` late is only
        counted.
        """
        kind, id_, at_ms, sequence, fields = event
        if sequence <= self.sequence:
            raise ValueError(f"sequence {sequence} is not above {self.sequence}")
        fold = self._folds.get(kind)
        if fold is None:
            raise ValueError(f"there is no kind {kind}")
        self.sequence = sequence
        behind = self.watermark - at_ms
        if behind > LATENESS_MS:
            self.too_late += 1
            return Folded(dict.fromkeys(self.wanted[kind]), is_late=True, is_too_late=True)
        values = fold(at_ms, fields, id_, sequence)
        if behind > 0:
            self.late += 1
        else:
            self.watermark = at_ms
        if self._born:
            self._look_around()
        return Folded(values, behind > 0) if behind > 0 else Folded(values)

    def label(self, label: Label) -> bool:
        """Take what was told about an event; whether some window can still reach the event.

        False is counted: the event is unknown, came too late or is out of every window that looks
        at its labels, or the label is told for an instant before the event.
        """
        if label.sequence <= self.sequence:
            raise ValueError(f"sequence {label.sequence} is not above {self.sequence}")
        if label.field not in self.kinds[label.kind].labels:
            raise ValueError(f"{label.kind} has no label {label.field}")
        self.sequence = label.sequence
        key = (label.kind, label.id)
        noted = self._noted.get(key)
        reach = self.watermark - LATENESS_MS - self._note_span
        if noted is None or not reach <= noted[0] <= label.at_ms:
            self.labels_unheard += 1
            return False
        for entity, value in noted[2]:
            # One that was put out hears the label when it is read back; one that was forgotten,
            # because nothing but this can be seen of it, is remembered.
            if hears(self.layouts[entity], label) and value not in self._put_out[entity]:
                states = self._states[entity]
                state = states[value] if value in states else self._births[entity](value)
                tell(self.layouts[entity], state, label, noted[:2])
        if self._born:
            self._look_around()
        return True

    def _late_fold(self, entity: str, kind: str) -> Callable[..., tuple[Number, ...]]:
        """Return what folds an event that stands before the position of an entity."""
        layout = self.layouts[entity]

        def fold(
            state: State, at_ms: int, fields: Mapping[str, Value], id_: str
        ) -> tuple[Number, ...]:
            asks = self._asks[entity, kind]
            values: dict[str, Number] = {}
            for ask_ in asks:
                if ask_.feature.before:
                    values[ask_.feature.name] = _asked(state, ask_, at_ms, fields)
            place(layout, state, Event(kind, id_, at_ms, self.sequence, fields))
            for ask_ in asks:
                if not ask_.feature.before:
                    values[ask_.feature.name] = _asked(state, ask_, at_ms, fields)
            return tuple(values[ask_.feature.name] for ask_ in asks)

        return fold

    # Memory

    def _birth(self, entity: str) -> Callable[[str], State]:
        states, put_out = self._states[entity], self._put_out[entity]
        empty = self._empty[entity]

        def born(value: str) -> State:
            state = states[value] = empty()
            self._round.append((entity, value))
            self._born += 1
            if value in put_out:
                put_out.discard(value)
                self._read_back(entity, value, state)
            return state

        return born

    def _read_back(self, entity: str, value: str, state: State) -> None:
        assert self._reload is not None, "nothing is put out without it"
        for each in self._reload(entity, value):
            if isinstance(each, Label):
                noted = self._noted.get((each.kind, each.id))
                # Without it, the event is out of every window's reach.
                if noted is not None:
                    tell(self.layouts[entity], state, each, noted[:2])
            else:
                place(self.layouts[entity], state, each)
                state[POSITION] = max(state[POSITION], each.at_ms)

    def _tidying(self, entity: str) -> Callable[[State], None]:
        layout = self.layouts[entity]

        def dropping(state: State) -> None:
            tidy(state, layout, self.watermark - LATENESS_MS)

        return dropping

    def _look_around(self) -> None:
        """Look at two old entities for each new one; put some out if there are too many."""
        oldest = self.watermark - LATENESS_MS
        for _ in range(min(2 * self._born, len(self._round))):
            named = self._round.popleft()
            entity, value = named
            state = self._states[entity][value]
            upkeep = self._upkeep[entity](state, oldest)
            if upkeep is Upkeep.FORGET:
                del self._states[entity][value]
                continue
            if upkeep is Upkeep.TIDY:
                tidy(state, self.layouts[entity], oldest)
            self._round.append(named)
        self._born = 0
        while self._most is not None and len(self._round) > self._most:
            self._put_one_out()
        reach = oldest - self._note_span
        while self._oldest:
            noted = self._noted.get(self._oldest[0])
            if noted is not None and noted[0] >= reach:
                break
            self._noted.pop(self._oldest.popleft(), None)

    def _put_one_out(self) -> None:
        candidates = [self._round.popleft() for _ in range(min(CANDIDATES, len(self._round)))]
        gone = min(candidates, key=lambda each: self._states[each[0]][each[1]][POSITION])
        candidates.remove(gone)
        self._round.extend(candidates)
        entity, value = gone
        del self._states[entity][value]
        self._put_out[entity].add(value)

    @property
    def entities(self) -> int:
        """How many states are held."""
        return len(self._round)

    # Reading

    def read(self, entity: str, value: str, at_ms: int) -> dict[str, Reading]:
        """Return every feature of an entity as of an instant, without an event; nothing moves.

        A z-score is missing, for there is no own value. The instant is not further back than an
        event may be late; for those before see `profile.replayed`.
        """
        if at_ms < self.watermark - LATENESS_MS:
            raise ValueError("what was known earlier is recomputed from the events")
        state = self._states[entity].get(value)
        if state is None:
            state = self._empty[entity]()
            if value in self._put_out[entity]:
                self._read_back(entity, value, state)
        return readings(self.layouts[entity], self.features, state, at_ms)

    # Snapshot and digest

    def snapshot(self) -> bytes:
        """Return the whole state; `restore` on an engine of the same definitions continues it."""
        return dump.pack(self._known(None), self.features, self.kinds)

    def digest(self) -> str:
        """Return the SHA-256, in hex, of all that can still have an effect on an answer.

        It is the same after a restart from a snapshot and after a replay from the beginning.
        """
        return dump.digest(self._known(self.watermark - LATENESS_MS))

    def _known(self, oldest: int | None) -> dict[str, Any]:
        """Return the state as plain values; with `oldest` only what an answer can depend on."""
        whole = oldest is None
        return {
            "watermark": self.watermark,
            "sequence": self.sequence,
            "counts": (self.late, self.too_late, self.labels_unheard),
            "put_out": {entity: sorted(names) for entity, names in self._put_out.items()},
            "round": list(self._round) if whole else None,
            "states": {
                entity: dump.states(states, self.layouts[entity], oldest)
                for entity, states in self._states.items()
            },
            "noted": dump.noted(self._noted, None if whole else (oldest or 0) - self._note_span),
        }

    def restore(self, snapshot: bytes) -> None:
        """Take over a state, in place of the own.

        Raises
        ------
        ValueError
            The bytes are no snapshot, or one of other definitions: replay the events instead.
        """
        known = dump.unpack(snapshot, self.features, self.kinds)
        self.watermark, self.sequence = known["watermark"], known["sequence"]
        self.late, self.too_late, self.labels_unheard = known["counts"]
        self._round = deque(tuple(each) for each in known["round"])
        self._born = 0
        self._noted.clear()
        self._noted.update(known["noted"])
        self._oldest.clear()
        self._oldest.extend(known["noted"])
        for entity, states in self._states.items():
            self._put_out[entity].clear()
            self._put_out[entity].update(known["put_out"][entity])
            states.clear()
            layout = self.layouts[entity]
            for value, dumped in known["states"][entity].items():
                states[value] = dump.load_state(layout, dumped)


def _asked(state: State, ask_: Ask, at_ms: int, fields: Mapping[str, Value]) -> Number:
    own = None
    if ask_.feature.aggregate is Aggregate.ZSCORE and ask_.feature.field is not None:
        own = fields.get(ask_.feature.field)
    return ask(state, ask_, at_ms, own)
