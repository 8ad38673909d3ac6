"""Who follows a shard: a state that is kept up with what is committed, and its snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from steelyard.base import Database
from steelyard.base.telemetry import get_logger
from steelyard.decisions.model.decision import Decision
from steelyard.decisions.service.history import EntityHistory, folds_of
from steelyard.decisions.service.state import MOST_ENTITIES, State
from steelyard.decisions.store import folds as store
from steelyard.decisions.store.folds import HeardFold
from steelyard.features import Event, snapshots
from steelyard.features.catalogue import Label


class Follower:
    """Keeps a state up with what a shard has committed; whoever stands by has one.

    Parameters
    ----------
    wanted : see `State`
    shard : whose log it reads
    most_entities : see `State`

    Notes
    -----
    Made, it begins with the latest snapshot of these definitions, or with nothing.
    """

    def __init__(
        self,
        database: Database,
        wanted: Mapping[str, Iterable[str]],
        *,
        shard: int = 0,
        most_entities: int = MOST_ENTITIES,
    ) -> None:
        self._database = database
        self._shard = shard
        history = EntityHistory(database, shard=shard)

        def read_back(entity: str, value: str, up_to: int) -> Iterable[Event | Label]:
            return history.up_to(entity, value, up_to, folds_of(self.waiting()))

        self.state = State(wanted, most_entities=most_entities, read_back=read_back)
        self.waiting: Callable[[], Iterable[Decision | HeardFold]] = tuple
        """What is folded and not committed yet: nothing, until it is an owner's state."""
        restored = snapshots.restore(
            database, self.state.stream, shard=shard, up_to=self._progress().fold_seq
        )
        if restored is not None:
            self.state.restored(restored)
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

    @property
    def unsaved(self) -> int:
        """Folds that no snapshot has."""
        return self.state.sequence - self.saved_to

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
