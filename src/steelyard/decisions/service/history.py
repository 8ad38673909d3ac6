"""The history of one entity: what was folded of it and its labels, read back from the log.

Behind the owner a job keeps a trail: which fold touched which entity. What the trail does not reach
yet is looked through. So a state that was put out, and a profile of any past instant, come from the
log itself and are never approximated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from hashlib import blake2b

from steelyard.base import Database, UnitOfWork
from steelyard.base.jobs import Every, JobContext, job
from steelyard.decisions.model.decision import Decision
from steelyard.decisions.service.state import event_of
from steelyard.decisions.store import folds as store
from steelyard.decisions.store.folds import Fold, HeardFold
from steelyard.features import KINDS, Event
from steelyard.features.catalogue import Label

_TRAIL_STEP = 2_000
_END = 2**62


def key_of(entity: str, value: str) -> int:
    """Return the 64 bits under which the trail knows an entity: others may share them."""
    digest = blake2b(f"{entity}\0{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class EntityHistory:
    """Reads what a shard folded of an entity; implements `features.profiles.History`.

    Parameters
    ----------
    shard : whose log is read
    """

    def __init__(self, database: Database, *, shard: int = 0) -> None:
        self._database = database
        self._shard = shard

    def of(self, entity: str, value: str) -> Iterable[Event | Label]:
        """Return all that is committed of an entity, in the order of folding."""
        return self.up_to(entity, value, _END)

    def up_to(
        self, entity: str, value: str, fold_seq: int, waiting: Sequence[Fold] = ()
    ) -> Iterator[Event | Label]:
        """Yield what was folded of an entity up to a place; what came too late is not among it.

        Parameters
        ----------
        waiting : folded already and not committed yet
        """
        with self._database.reading() as connection:
            head = store.trail_head(connection, self._shard)
            base, known = _written_under(entity, value)
            places = store.touched(connection, self._shard, key_of(base, known), up_to=fold_seq)
            found = store.read_some(connection, self._shard, places)
            until = min(store.progress(connection, self._shard).fold_seq, fold_seq)
            found += store.read_folds(connection, self._shard, after=head, up_to=until)
            events = [
                (fold, event)
                for fold in (*found, *(one for one in waiting if one.fold_seq > until))
                if not _is_label(fold) and not fold.is_too_late
                for event in (_event(fold),)
                if event.fields.get(entity) == value
            ]
            ids = [(event.kind, event.id) for _, event in events]
            labels = store.labels_of(connection, self._shard, ids, up_to=fold_seq)
        labels += [
            one
            for one in waiting
            if one.fold_seq > until
            and one.told is not None
            and _is_label(one)
            and (one.told.kind, one.told.event_id) in set(ids)
        ]
        parts: list[tuple[int, Event | Label]] = [(fold.fold_seq, event) for fold, event in events]
        parts += [(fold.fold_seq, _label(fold)) for fold in labels]
        for _, part in sorted(parts, key=lambda one: one[0]):
            yield part


def folds_of(waiting: Iterable[Decision | HeardFold]) -> list[Fold]:
    """Return what waits to be committed, as it will be read."""
    found = []
    for one in waiting:
        if isinstance(one, Decision):
            late = "event_is_too_late" in one.flags
            found.append(Fold(one.sequence, one.asked, None, late))
        elif one.fold_seq is not None:
            found.append(Fold(one.fold_seq, None, one.told, one.is_too_late))
    return found


def _written_under(entity: str, value: str) -> tuple[str, str]:
    """Return under which entity the trail has an entity: a pair under its first part."""
    if "_" not in entity:
        return entity, value
    return entity.partition("_")[0], value.partition("|")[0]


def _touches(fold: Fold) -> Iterator[tuple[int, int]]:
    fields: Mapping[str, object]
    if fold.asked is not None:
        kind, fields = fold.asked.scene, fold.asked.fields
    else:
        assert fold.told is not None
        kind, fields = fold.told.kind, fold.told.content
    for entity in KINDS[kind].entities:
        value = fields.get(entity)
        if isinstance(value, str) and "_" not in entity:
            yield key_of(entity, value), fold.fold_seq


def _is_label(fold: Fold) -> bool:
    return fold.told is not None and fold.told.what == "label"


def _event(fold: Fold) -> Event:
    it = fold.asked if fold.asked is not None else fold.told
    assert it is not None
    return event_of(it, fold.fold_seq)


def _label(fold: Fold) -> Label:
    told = fold.told
    assert told is not None
    field, value = told.content["field"], told.content["value"]
    return Label(told.kind, told.event_id, told.at_ms, fold.fold_seq, field, value)


def extend_trail(unit: UnitOfWork, *, shard: int = 0, limit: int = _TRAIL_STEP) -> int:
    """Write the trail of a shard some folds further; return how many folds."""
    head = store.hold_trail(unit.connection, shard)
    until = store.progress(unit.connection, shard).fold_seq
    up_to = min(until, head + limit)
    touches: list[tuple[int, int]] = []
    for fold in store.read_folds(unit.connection, shard, after=head, up_to=up_to):
        if not _is_label(fold):
            touches += _touches(fold)
    if up_to > head:
        store.extend_trail(unit.connection, shard, touches, to=up_to)
    return up_to - head


@job("decisions.extend_trail", schedule=Every(timedelta(seconds=10)))
def keep_trail(context: JobContext) -> None:
    """Keep the trail of the first shard up with its log."""
    while not context.should_stop and context.transact(extend_trail):
        pass
