"""Which arm a unit belongs to: a hash, and a table of buckets that is part of the record.

The bucket of a unit is the same in every language:

    SHA-256 over the UTF-8 bytes of  salt ":" unit ; its first 8 bytes as a big-endian unsigned
    integer ; modulo 10,000

A salt holds no colon, so no two pairs of salt and unit give the same text. Whether a unit takes
part at all is decided by the same formula with the salt `layer/<layer>`: experiments of one layer
hold disjoint slots, so a unit is in one of them at most, and its slot says nothing about its arm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BUCKETS = 10_000
"""How many buckets a salt divides its units into; a weight of one basis point is one bucket."""


@dataclass(frozen=True, slots=True)
class Span:
    """Buckets `start` to before `stop`, all of one arm."""

    arm: str
    start: int
    stop: int


Allocation = tuple[Span, ...]
"""Spans in ascending order that cover all buckets once."""


def bucket_of(salt: str, unit: str) -> int:
    """Return the bucket of a unit, 0 to 9,999; see the head of the module.

    Examples
    --------
    >>> bucket_of("score_v2", "customer-1"), bucket_of("score_v3", "customer-1")
    (2342, 3918)
    """
    digest = hashlib.sha256(f"{salt}:{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def slot_of(layer: str, unit: str) -> int:
    """Return the slot of a unit in a layer, 0 to 9,999."""
    return bucket_of(f"layer/{layer}", unit)


def arm_in(allocation: Allocation, bucket: int) -> str:
    """Return the arm that a bucket belongs to.

    Examples
    --------
    >>> arm_in(allocate({"old": 9_000, "new": 1_000}), 9_000)
    'new'
    """
    for span in allocation:
        if bucket < span.stop:
            return span.arm
    raise AssertionError("an allocation covers all buckets")


def allocate(weights_bp: Mapping[str, int]) -> Allocation:
    """Return a first allocation: the arms side by side, in their order.

    Parameters
    ----------
    weights_bp : basis points of each arm, positive, 10,000 together
    """
    return _spans([arm for arm, weight in weights_bp.items() for _ in range(weight)])


def reallocate(present: Allocation, weights_bp: Mapping[str, int]) -> Allocation:
    """Return an allocation of other weights that moves as few buckets as there can be.

    An arm that shrinks gives its highest buckets; they go, in ascending order, to the arms that
    grow, in their order. Moved is the sum of what the arms lose, and no allocation of these
    weights moves less.

    Examples
    --------
    >>> reallocate(allocate({"a": 6_000, "b": 4_000}), {"a": 5_000, "b": 4_000, "c": 1_000})
    (Span(arm='a', start=0, stop=5000), Span(arm='c', start=5000, stop=6000), \
Span(arm='b', start=6000, stop=10000))
    """
    arms: list[str | None] = [span.arm for span in present for _ in range(span.start, span.stop)]
    held = dict.fromkeys(weights_bp, 0)
    for bucket, arm in enumerate(arms):
        assert arm is not None
        if held.get(arm, 0) < weights_bp.get(arm, 0):
            held[arm] += 1
        else:
            arms[bucket] = None
    wanted = [arm for arm, weight in weights_bp.items() for _ in range(weight - held[arm])]
    takers = iter(wanted)
    return _spans([arm if arm is not None else next(takers) for arm in arms])


def moved(before: Allocation, after: Allocation) -> int:
    """Return how many buckets changed their arm.

    Examples
    --------
    >>> even = allocate({"a": 5_000, "b": 5_000})
    >>> moved(even, reallocate(even, {"a": 7_500, "b": 2_500}))
    2500
    """
    return sum(
        max(0, min(a.stop, b.stop) - max(a.start, b.start))
        for a in before
        for b in after
        if a.arm != b.arm
    )


def _spans(arms: Sequence[str]) -> Allocation:
    assert len(arms) == BUCKETS, "weights are basis points"
    starts = [b for b in range(BUCKETS) if b == 0 or arms[b] != arms[b - 1]]
    stops = [*starts[1:], BUCKETS]
    return tuple(Span(arms[a], a, b) for a, b in zip(starts, stops, strict=True))
