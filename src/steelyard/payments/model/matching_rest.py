"""The last stages of a matching: evidence that is no number."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np

from steelyard.payments.model.breaks import Certainty, Stage
from steelyard.payments.model.matching_columns import KINDS, NOT_SAID, Bools, Ints, Numbers
from steelyard.payments.model.matching_keys import hashes
from steelyard.payments.model.matching_work import OTHER, Work
from steelyard.payments.model.statements import LineKind

_DAY: Final = 86_400
_SUMMED: Final = tuple(
    KINDS.index(kind) for kind in (LineKind.PAYMENT, LineKind.PAYOUT, LineKind.OTHER)
)


def alone_by_amount(work: Work) -> None:
    """Match by amount, party and time what is alone with it, seen from both sides.

    Whoever is free counts as a candidate, also where something speaks against it: it only makes
    fewer pairs. Whether a pair is made is decided by rows against which nothing speaks.
    """
    ours, theirs = work.ours, work.theirs
    i = np.flatnonzero(~work.ours_done)
    j = np.flatnonzero(~work.theirs_done & work.is_booked)
    if not len(i) or not len(j):
        return
    mine, lines = _sorted_keys(work, i, j)
    low, high = _ranges(work, mine, lines, j)
    size = high - low
    is_many = size > work.rules.most_candidates
    blocked = _blocked(low[is_many], high[is_many], len(i))
    few = np.flatnonzero(~is_many & (size > 0))
    if not len(few):
        return
    owner = np.repeat(few, size[few])
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(size[few]) - size[few], size[few])
    at = low[owner] + offset
    a, b = i[mine.order[at]], j[owner]
    can = _may_be(work, a, b)
    owner, at, a, b = owner[can], at[can], a[can], b[can]
    of_line = np.bincount(owner, minlength=len(j))
    of_mine = np.bincount(at, minlength=len(i))
    alone = (of_line[owner] == 1) & (of_mine[at] == 1) & ~blocked[at]
    a, b = a[alone], b[alone]
    clean = (
        work.agrees(a, b)
        & (theirs.number[b] == b"")
        & ~work.is_odd[b]
        & ((theirs.reference[b] == b"") | (ours.reference[a] == b""))
    )
    work.pair(a[clean], b[clean], Stage.AMOUNT_AND_TIME, Certainty.PROBABLE)


class _Sorted:
    """Rows by key and instant."""

    def __init__(self, key: Ints, at: Ints) -> None:
        self.order = np.lexsort((at, key))
        self.key, self.at = key[self.order], at[self.order]


def _sorted_keys(work: Work, i: Ints, j: Ints) -> tuple[_Sorted, Ints]:
    """Return ours sorted by amount, currency and instant, and the key of each line."""
    ours, theirs = work.ours, work.theirs
    money = np.concatenate([ours.amount[i], theirs.amount[j]])
    unit = np.concatenate([hashes(ours.currency[i]), hashes(theirs.currency[j])])
    key = money.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ unit
    dense = np.unique(key, return_inverse=True)[1].astype(np.int64)
    at = np.where(ours.at[i] == NOT_SAID, ours.on[i] * _DAY, ours.at[i])
    return _Sorted(dense[: len(i)], at), dense[len(i) :]


def _ranges(work: Work, mine: _Sorted, key: Ints, j: Ints) -> tuple[Ints, Ints]:
    """Return for each line where its candidates begin and end among ours, sorted."""
    theirs = work.theirs
    near = work.rules.near_seconds
    timed = theirs.at[j] != NOT_SAID
    start = theirs.on[j] * _DAY
    # A line without an instant may be anything of its day, whatever zone that day is of.
    begin = np.where(timed, theirs.at[j] - near, start - _DAY)
    end = np.where(timed, theirs.at[j] + near, start + 2 * _DAY)
    base = np.int64(min(mine.at.min(), begin.min()))
    span = np.int64(max(mine.at.max(), end.max()) - base + 2)
    place = mine.key * span + (mine.at - base)
    low = np.searchsorted(place, key * span + (begin - base), side="left")
    high = np.searchsorted(place, key * span + (end - base), side="right")
    return low.astype(np.int64), high.astype(np.int64)


def _blocked(low: Ints, high: Ints, size: int) -> Bools:
    """Return which places lie in any of the ranges."""
    change = np.zeros(size + 1, np.int64)
    np.add.at(change, low, 1)
    np.add.at(change, high, -1)
    return np.cumsum(change)[:size] > 0


def _may_be(work: Work, a: Ints, b: Ints) -> Bools:
    """Whether pairs of equal amount and close in time may be one, as far as is said."""
    ours, theirs = work.ours, work.theirs
    party = (ours.party[a] == theirs.party[b]) | (ours.party[a] == b"") | (theirs.party[b] == b"")
    untimed = theirs.at[b] == NOT_SAID
    kinds: Numbers = (ours.kind[a] == theirs.kind[b]) | (theirs.kind[b] == OTHER)
    can: Bools = party & kinds & (~untimed | (ours.on[a] == theirs.on[b]))
    return can


def sums_of_days(work: Work) -> None:
    """Match a deposit without any number with all that is left of a day, if it is their sum.

    One deposit of a day and currency only: with two of them nobody knows which is which.
    """
    ours, theirs = work.ours, work.theirs
    nameless = (theirs.number == b"") & np.isin(theirs.kind, _SUMMED) & work.is_booked
    j = work.free_lines(nameless & theirs.is_due & ~work.is_odd)
    i = np.flatnonzero(~work.ours_done & work.may_be_summed & ours.is_due & (ours.amount > 0))
    if not len(j) or len(i) < 2:
        return
    day = np.stack([ours.on[i], hashes(ours.currency[i]).view(np.int64)])
    days, which = np.unique(day, axis=1, return_inverse=True)
    which = which.ravel()
    fee = np.where(ours.fee[i] == NOT_SAID, 0, ours.fee[i])
    gross, net = np.zeros((2, days.shape[1]), np.int64)
    np.add.at(gross, which, ours.amount[i])
    np.add.at(net, which, ours.amount[i] - fee)
    several = np.bincount(which, minlength=days.shape[1]) > 1
    unit_of = hashes(theirs.currency[j]).view(np.int64)
    lines = list(zip(theirs.on[j].tolist(), unit_of.tolist(), strict=True))
    times = Counter(lines)
    taken: set[int] = set()
    for one, (on, unit) in zip(j.tolist(), lines, strict=True):
        if times[on, unit] > 1:
            continue
        amount = theirs.amount[one]
        is_it = several & (days[1] == unit) & ((gross == amount) | (net == amount))
        is_it &= (days[0] == on) | (days[0] == on - 1)
        at = np.flatnonzero(is_it)
        if len(at) != 1 or int(at[0]) in taken:
            continue
        taken.add(int(at[0]))
        members = i[which == at[0]]
        work.group(
            (members, np.zeros(len(members), np.int64)),
            (np.array([one]), np.zeros(1, np.int64)),
            np.array([Stage.MANY_TO_ONE], np.int8),
            Certainty.PROBABLE,
        )
