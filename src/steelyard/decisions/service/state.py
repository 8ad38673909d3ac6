"""The state of a shard: the features of its entities and their links, folded in one order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from steelyard.decisions.model.decision import Asked, Value
from steelyard.decisions.store.folds import Fold, Told
from steelyard.features import CATALOGUE, KINDS, Event, StreamEngine, graph, snapshots
from steelyard.features.catalogue import Feature, Label, complete

GRAPH = graph.GRAPH_FEATURES
MOST_ENTITIES = 1_000_000
"""States that an owner holds unless told otherwise: some gigabytes."""
ReadBack = Callable[[str, str, int], Iterable[Event | Label]]


class Known(NamedTuple):
    """What a state answers to an event.

    Attributes
    ----------
    values : the features that were asked for; None is missing
    flags : what its lateness adds
    """

    values: Mapping[str, Value]
    flags: dict[str, Value]


class State:
    """The features of entities and the graph of their links; what is folded, and in which order.

    Parameters
    ----------
    wanted : by kind of event, the names of features that are asked for
    most_entities : how many states are held; the others are read back when they are asked for
    read_back : (entity, value, up to which fold) -> what was folded of an entity; None where all
        states are held
    """

    def __init__(
        self,
        wanted: Mapping[str, Iterable[str]],
        *,
        most_entities: int = MOST_ENTITIES,
        read_back: ReadBack | None = None,
    ) -> None:
        names = {kind: tuple(dict.fromkeys(found)) for kind, found in wanted.items()}
        features = features_of(name for found in names.values() for name in found)
        self.read_back = read_back
        self.stream = StreamEngine(
            features.values(),
            KINDS,
            names,
            most_entities=None if read_back is None else most_entities,
            reload=self._reload,
        )
        self.folded_to = -1
        """Up to which place everything is folded; the one behind it may be about to be."""
        self.graph = graph.LinkGraph()
        self.names = names
        """By kind of event, the features that are asked for."""
        self.definitions = snapshots.definitions(self.stream)[:16]
        """Names the definitions of its features, as a decision records it."""
        self._linked = frozenset(k for k, found in names.items() if GRAPH.keys() & set(found))

    @property
    def sequence(self) -> int:
        """Place of what was folded last; -1 before the first."""
        return self.stream.sequence

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of all that can still have an effect on an answer."""
        return snapshots.digest(self.stream, self.graph)

    def fold(self, event: Event) -> Known:
        """Fold an event and return the features of its entities as of itself."""
        folded = self.stream.fold(event)
        self.folded_to = event.sequence
        if folded.is_too_late:
            return Known(folded.values, {"event_is_too_late": True})
        linked = self.graph.fold(event, is_asked=event.kind in self._linked)
        values = folded.values if linked is None else {**folded.values, **linked}
        return Known(values, {"event_is_late": True} if folded.is_late else {})

    def hear(self, told: Told, sequence: int) -> bool:
        """Fold what a fact told, an event or a label; return whether it was an event too late."""
        if told.what == "label":
            field, value = told.content["field"], told.content["value"]
            self.stream.label(Label(told.kind, told.event_id, told.at_ms, sequence, field, value))
            customer = told.content.get("customer")
            if value and customer is not None:
                self.graph.mark(customer, is_bad=True)
            self.folded_to = sequence
            return False
        return "event_is_too_late" in self.fold(event_of(told, sequence)).flags

    def again(self, fold: Fold) -> None:
        """Fold what was folded before, at its place."""
        if fold.told is not None:
            self.hear(fold.told, fold.fold_seq)
        else:
            assert fold.asked is not None
            self.fold(event_of(fold.asked, fold.fold_seq))

    def restored(self, links: graph.LinkGraph) -> None:
        """Go on from a snapshot that the stream has taken over, with the graph beside it."""
        self.graph = links
        self.folded_to = self.stream.sequence

    def _reload(self, entity: str, value: str) -> Iterable[Event | Label]:
        assert self.read_back is not None
        return self.read_back(entity, value, self.folded_to)


def event_of(it: Asked | Told, sequence: int) -> Event:
    """Return the event of a question or of a fact, with what follows from its fields."""
    if isinstance(it, Asked):
        fields = complete(it.scene, it.at_ms, it.fields)
        return Event(it.scene, it.id, it.at_ms, sequence, fields)
    return Event(it.kind, it.event_id, it.at_ms, sequence, complete(it.kind, it.at_ms, it.content))


def features_of(reads: Iterable[str]) -> dict[str, Feature]:
    """Return the features of some names, and the parts of those that are ratios."""
    wanted: dict[str, Feature] = {}
    left = [name for name in reads if name not in GRAPH]
    while left:
        name = left.pop()
        if name not in wanted:
            wanted[name] = CATALOGUE[name]
            left += wanted[name].parts or ()
    return wanted
