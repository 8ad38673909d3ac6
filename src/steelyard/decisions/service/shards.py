"""More than one shard: each knows its own entities whole, and reads the others' where they live.

An event is folded by every shard that owns one of its entities, each at a place of its own order.
What a decision reads about an entity comes from the shard that owns it, as of the event's instant
and of that shard's sequence; both the value and the sequence are recorded with the decision, so
that a replay asks nobody. Today one shard decides; this is the seam along which a second is added,
and `tests/decisions/test_shards.py` is its proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from steelyard.decisions.model.decision import Value
from steelyard.decisions.service.state import Known, State
from steelyard.features import CATALOGUE, KINDS, Event

_PREFIX = "folded_in_shard_"


def shard_of(entity: str, value: str, shards: int) -> int:
    """Return the shard that owns an entity: a hash of noun and value, the same for ever.

    Examples
    --------
    >>> [shard_of("customer", name, 2) for name in ("ann", "bob", "eve")]
    [1, 0, 0]
    """
    digest = blake2b(f"{entity}\0{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


def shards_of(event: Event, shards: int) -> frozenset[int]:
    """Return the shards that fold an event: the owners of its entities."""
    return frozenset(
        shard_of(entity, str(value), shards)
        for entity in KINDS[event.kind].entities
        if (value := event.fields.get(entity)) is not None
    )


class ShardedState:
    """The states of several shards, read as one; takes the place of a `State` in an engine.

    Parameters
    ----------
    states : one for each shard, in their order
    wanted : by kind of event, the features that are asked for; none of the link graph, whose
        clusters cross shards
    """

    def __init__(self, states: Sequence[State], wanted: Mapping[str, Iterable[str]]) -> None:
        self.states = tuple(states)
        self.names = {kind: tuple(names) for kind, names in wanted.items()}
        self.definitions = states[0].definitions
        self.sequence = -1

    def fold(self, event: Event) -> Known:
        """Fold an event where its entities live, and read each from its own shard.

        Returns
        -------
        Known
            Its flags say at which place each shard folded the event.
        """
        self.sequence = event.sequence
        answers: dict[int, Known] = {}
        flags: dict[str, Value] = {}
        for number in sorted(shards_of(event, len(self.states))):
            shard = self.states[number]
            answers[number] = shard.fold(event._replace(sequence=shard.sequence + 1))
            flags |= answers[number].flags
            flags[f"{_PREFIX}{number}"] = shard.sequence
        values: dict[str, Value] = {}
        for name in self.names.get(event.kind, ()):
            entity = CATALOGUE[name].entity
            owner = event.fields.get(entity)
            if owner is None:
                values[name] = None
            else:
                answer = answers[shard_of(entity, str(owner), len(self.states))]
                values[name] = answer.values.get(name)
        return Known(values, flags)
