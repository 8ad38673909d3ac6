"""The state of a shard: the features of its entities and their links, folded in one order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from steelyard.base import Database
from steelyard.base.telemetry import get_logger
from steelyard.decisions.model.decision import Asked, Value
from steelyard.decisions.store import folds as store
from steelyard.decisions.store.folds import Fold, Told
from steelyard.features import CATALOGUE, KINDS, Event, StreamEngine, graph, snapshots
from steelyard.features.catalogue import Feature, Label, complete

GRAPH = graph.GRAPH_FEATURES


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
    """

    def __init__(self, wanted: Mapping[str, Iterable[str]]) -> None:
        names = {kind: tuple(dict.fromkeys(found)) for kind, found in wanted.items()}
        features = features_of(name for found in names.values() for name in found)
        self.stream = StreamEngine(features.values(), KINDS, names)
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
        if folded.is_too_late:
            return Known(folded.values, {"event_is_too_late": True})
        linked = self.graph.fold(event, is_asked=event.kind in self._linked)
        values = folded.values if linked is None else {**folded.values, **linked}
        return Known(values, {"event_is_late": True} if folded.is_late else {})

    def hear(self, told: Told, sequence: int) -> None:
        """Fold what a fact told: an event that nobody asked about, or a label."""
        if told.what == "label":
            field, value = told.content["field"], told.content["value"]
            self.stream.label(Label(told.kind, told.event_id, told.at_ms, sequence, field, value))
            customer = told.content.get("customer")
            if value and customer is not None:
                self.graph.mark(customer, is_bad=True)
        else:
            self.fold(event_of(told, sequence))

    def again(self, fold: Fold) -> None:
        """Fold what was folded before, at its place."""
        if fold.told is not None:
            self.hear(fold.told, fold.fold_seq)
        else:
            assert fold.asked is not None
            self.fold(event_of(fold.asked, fold.fold_seq))


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


class Follower:
    """Keeps a state up with what a shard has committed; whoever stands by has one.

    Parameters
    ----------
    wanted : see `State`
    shard : whose log it reads

    Notes
    -----
    Made, it begins with the latest snapshot of these definitions, or with nothing.
    """

    def __init__(
        self, database: Database, wanted: Mapping[str, Iterable[str]], *, shard: int = 0
    ) -> None:
        self._database = database
        self._shard = shard
        self.state = State(wanted)
        restored = snapshots.restore(
            database, self.state.stream, shard=shard, up_to=self._progress().fold_seq
        )
        if restored is not None:
            self.state.graph = restored
        self.saved_to = self.state.sequence
        """Up to where a snapshot reaches."""

    def catch_up(self) -> store.Progress:
        """Fold what is committed and not folded yet; and return how far the shard has come."""
        with self._database.reading() as connection:
            until = store.progress(connection, self._shard)
            began = self.state.sequence
            for fold in store.read_folds(
                connection, self._shard, after=began, up_to=until.fold_seq
            ):
                self.state.again(fold)
        if self.state.sequence > began:
            get_logger("decisions").debug("state_followed", folds=self.state.sequence - began)
        return until

    def save(self) -> None:
        """Store a snapshot of what it folded, all of which is committed."""
        if self.state.sequence > self.saved_to:
            with self._database.unit_of_work(actor="system:decisions") as unit:
                self.saved_to = snapshots.save(
                    unit, self.state.stream, self.state.graph, shard=self._shard
                )

    def _progress(self) -> store.Progress:
        with self._database.reading() as connection:
            return store.progress(connection, self._shard)
