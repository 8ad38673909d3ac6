"""Matching of what we hold with what a statement lists, in columns.

Evidence goes first to last: a whole number, the number after what banks do to it, the channel's own
number, a cut-off number, sums under one batch number, then amount, party and time where they stand
alone in both directions. Evidence that contradicts itself, or fits twice, matches nothing: two
equal amounts in the same minute are left for people.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np

from steelyard.payments.model.breaks import BreakKind, Certainty, Difference, Stage
from steelyard.payments.model.matching_columns import Ints, Numbers, Ours, Theirs
from steelyard.payments.model.matching_keys import (
    MANY,
    NONE,
    Index,
    among,
    counts,
    heads,
    lengths,
    normalised,
    tails,
)
from steelyard.payments.model.matching_rest import alone_by_amount, sums_of_days
from steelyard.payments.model.matching_work import Found, Rules, Work, batches

__all__ = ["STRICT", "Breaks", "Outcome", "Rules", "differences_of", "digest", "match"]

STRICT: Final = Rules()
"""Nothing is tolerated."""
SHORTEST: Final = 12
"""A number that was cut off below so many characters says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaks:
    """The breaks, one row each, in the order of theirs, then of ours.

    Attributes
    ----------
    ours, theirs : places in the two tables, -1 where there is none; the first of several
    difference : what they have more than we, minor units: negative is money we miss
    """

    kind: Numbers
    ours: Ints
    theirs: Ints
    difference: Ints
    differs_in: Numbers

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a matching found.

    Attributes
    ----------
    ours_group, theirs_group : the group that a row belongs to, -1: none
    stage, certainty : of each group
    Invariant: a row is in one group, or in one break, or (not due, or without money) in neither
    """

    ours_group: Ints
    theirs_group: Ints
    stage: Numbers
    certainty: Numbers
    breaks: Breaks

    def stages(self) -> dict[str, int]:
        """Return how many groups each stage found, by its word."""
        times = np.bincount(self.stage, minlength=len(Stage) + 1)
        return {one.word: int(times[one]) for one in Stage if times[one]}

    def kinds(self) -> dict[str, int]:
        """Return how many breaks there are of each kind, by its word."""
        times = np.bincount(self.breaks.kind, minlength=len(BreakKind) + 1)
        return {one.word: int(times[one]) for one in BreakKind if times[one]}


def match(ours: Ours, theirs: Theirs, rules: Rules = STRICT) -> Outcome:
    """Match what we hold with what they list.

    Parameters
    ----------
    ours : numbers are unique; theirs : of one channel, in the order of its files

    Returns
    -------
    Outcome
        Depends on the rows and rules only. Costs about n log n.

    Examples
    --------
    >>> from steelyard.payments.model.matching_columns import columns
    >>> ours = columns(Ours, {"number": ["a1", "a2"], "amount": [500, 700]})
    >>> theirs = columns(Theirs, {"number": ["A1", "a9"], "amount": [500, 90], "line": [1, 2]})
    >>> found = match(ours, theirs)
    >>> found.stages(), found.kinds()
    ({'normalised': 1}, {'short': 1, 'bank_only': 1})
    """
    work = Work(ours, theirs, rules)
    by_number = Index(ours.number)
    found = by_number.find(theirs.number)
    stage = np.full(len(found), Stage.EXACT, np.int8)
    found = _without_conflicts(work, found)
    rest = np.flatnonzero((found == NONE) & (theirs.number != b"") & ~work.is_odd)
    whole: Numbers | None = None
    if len(rest):
        whole = normalised(ours.number)
        found[rest] = Index(whole).find(normalised(theirs.number[rest]))
        stage[rest] = Stage.NORMALISED
    work.judge(Found(found, stage, Certainty.CERTAIN))
    work.drop_repeats()
    _by_reference(work)
    if whole is not None:
        _by_parts(work, "number", Stage.NORMALISED)
    _by_parts(work, "reference", Stage.REFERENCE)
    _by_batch(work)
    alone_by_amount(work)
    sums_of_days(work)
    work.settle()
    return _outcome(work)


def _without_conflicts(work: Work, found: Ints) -> Ints:
    """Leave out lines whose number is of one payment and whose reference is of another."""
    ours, theirs = work.ours, work.theirs
    line = np.flatnonzero((found >= 0) & (theirs.reference != b""))
    place = found[line]
    differs = (ours.reference[place] != theirs.reference[line]) & (ours.reference[place] != b"")
    line = line[differs]
    if not len(line):
        return found
    other = Index(ours.reference).find(theirs.reference[line])
    is_odd = (other != NONE) & (other != found[line])
    work.is_odd[line[is_odd]] = True
    kept = found.copy()
    kept[line[is_odd]] = NONE
    return kept


def _by_reference(work: Work) -> None:
    """Match lines without a number of ours by the channel's own number, whole or normalised."""
    line = work.free_lines(work.theirs.number == b"")
    if not len(line):
        return
    found = np.full(len(work.theirs.amount), NONE, np.int64)
    texts = work.theirs.reference[line]
    found[line] = Index(work.ours.reference).find(texts)
    rest = line[(found[line] == NONE) & (texts != b"")]
    if len(rest):
        whole = Index(normalised(work.ours.reference))
        found[rest] = whole.find(normalised(work.theirs.reference[rest]))
    stage = np.full(len(found), Stage.REFERENCE, np.int8)
    work.judge(Found(found, stage, Certainty.CERTAIN))
    # Several lines of one payment may be told apart by nothing but what they belong to.
    line = work.free_lines((work.theirs.number == b"") & (work.theirs.batch != b""))
    if len(line):
        found[:] = NONE
        found[line] = Index(normalised(work.ours.number)).find(normalised(work.theirs.batch[line]))
        stage[:] = Stage.ONE_TO_MANY
        work.judge(Found(found, stage, Certainty.STRONG))


def _by_parts(work: Work, column: str, stage: Stage) -> None:
    """Match by the head or tail of a number, where it fits once in both directions.

    Only what agrees in everything else is matched: half a number and another amount is no evidence.
    """
    # The two columns stand in for each other: a line with a number is not sought by its reference.
    free = work.theirs.number == b"" if column == "reference" else work.theirs.number != b""
    line = work.free_lines(free & ~work.is_odd)
    theirs = normalised(getattr(work.theirs, column)[line])
    size = lengths(theirs)
    line, theirs, size = line[size >= SHORTEST], theirs[size >= SHORTEST], size[size >= SHORTEST]
    if not len(line) or work.ours_done.all():
        return
    # Ends of all numbers, also of those matched before, decide whether an end is alone.
    whole = normalised(getattr(work.ours, column))
    for length in np.unique(size).tolist():
        at = np.flatnonzero(size == length)
        texts = theirs[at].astype(f"S{length}")
        hit = np.full(len(at), NONE, np.int64)
        is_odd = np.zeros(len(at), np.bool_)
        for end in (heads, tails):
            ends = end(whole, length)
            place = np.flatnonzero(among(ends, texts))
            found = Index(ends[place]).find(texts)
            fits = np.where(found >= 0, place[np.maximum(found, 0)] if len(place) else NONE, found)
            # Head of one and tail of another is a contradiction, and so is one that fits twice.
            is_odd |= (fits == MANY) | ((fits >= 0) & (hit >= 0) & (hit != fits))
            hit = np.where(fits >= 0, fits, hit)
        once = counts(hit, len(whole))
        good = ~is_odd & (hit >= 0) & (once[np.maximum(hit, 0)] == 1)
        good &= ~work.ours_done[np.maximum(hit, 0)]
        i, j = hit[good], line[at[good]]
        same = work.agrees(i, j)
        work.pair(i[same], j[same], stage, Certainty.STRONG)


def _by_batch(work: Work) -> None:
    """Match bulk deposits with the payments of one batch."""
    has_batch = (work.ours.batch != b"") & ~work.ours_done & work.may_be_summed
    if not has_batch.any():
        return
    made = batches(work, has_batch)
    index = Index(normalised(made.names))
    theirs = work.theirs
    found = np.full(len(theirs.amount), NONE, np.int64)
    for column in (theirs.batch, theirs.number, theirs.reference):
        line = work.free_lines((found == NONE) & (column != b""))
        if len(line):
            found[line] = index.find(normalised(column[line]))
    stage = np.full(len(found), Stage.MANY_TO_ONE, np.int8)
    work.judge(Found(found, stage, Certainty.STRONG), made)


def _outcome(work: Work) -> Outcome:
    ours, theirs = work.ours, work.theirs
    is_listed = ~work.theirs_done & theirs.is_due & work.is_booked
    line = np.flatnonzero(is_listed)
    work.add_breaks(BreakKind.BANK_ONLY, NONE, line, theirs.amount[line])
    is_missed = ~work.ours_done & ours.is_due & ~ours.is_taken
    place = np.flatnonzero(is_missed & work.has_money)
    work.add_breaks(BreakKind.SHORT, place, NONE, -ours.amount[place])
    place = np.flatnonzero(is_missed & work.is_open)
    work.add_breaks(BreakKind.PLATFORM_ONLY, place, NONE, np.zeros(len(place), np.int64))
    kind, at_ours, at_theirs, difference, differs_in = work.all_breaks()
    # Places as unsigned: those without one (-1) come last.
    order = np.lexsort((at_ours.astype(np.uint64), at_theirs.astype(np.uint64)))
    return Outcome(
        ours_group=work.ours_group,
        theirs_group=work.theirs_group,
        stage=work.stages(),
        certainty=work.certainties(),
        breaks=Breaks(
            kind=kind[order],
            ours=at_ours[order],
            theirs=at_theirs[order],
            difference=difference[order],
            differs_in=differs_in[order],
        ),
    )


def digest(ours: Ours, theirs: Theirs, outcome: Outcome) -> str:
    """Return what tells two results apart, over numbers and lines, not over their places.

    Returns
    -------
    str
        64 hex digits. A run again over the same rows, in whatever order they were read, gives the
        same.
    """
    made = hashlib.sha256()
    group = outcome.ours_group
    is_in = group >= 0
    # A group is named by the first line that it has: places do not outlive a run.
    first = _first_lines(theirs, outcome)
    mine = np.lexsort((ours.number[is_in],))
    made.update(_wide(ours.number[is_in][mine]))
    made.update(np.ascontiguousarray(first[group[is_in]][mine]).tobytes())
    made.update(np.ascontiguousarray(outcome.stage[group[is_in]][mine]).tobytes())
    there = outcome.theirs_group >= 0
    key = theirs.file[there] << 32 | theirs.line[there]
    order = np.argsort(key, kind="stable")
    made.update(np.ascontiguousarray(key[order]).tobytes())
    made.update(np.ascontiguousarray(first[outcome.theirs_group[there]][order]).tobytes())
    breaks = outcome.breaks
    rows = sorted(
        (
            int(breaks.kind[k]),
            bytes(ours.number[breaks.ours[k]]) if breaks.ours[k] >= 0 else b"",
            int(theirs.file[breaks.theirs[k]] << 32 | theirs.line[breaks.theirs[k]])
            if breaks.theirs[k] >= 0
            else -1,
            int(breaks.difference[k]),
        )
        for k in range(len(breaks))
    )
    made.update(repr(rows).encode())
    return made.hexdigest()


def _first_lines(theirs: Theirs, outcome: Outcome) -> Ints:
    first = np.full(len(outcome.stage), np.iinfo(np.int64).max, np.int64)
    there = np.flatnonzero(outcome.theirs_group >= 0)
    np.minimum.at(first, outcome.theirs_group[there], theirs.file[there] << 32 | theirs.line[there])
    return first


def _wide(texts: Numbers) -> bytes:
    return np.ascontiguousarray(texts.astype("S64")).tobytes()


def differences_of(bits: int) -> tuple[str, ...]:
    """Return the words of what a pair differs in.

    Examples
    --------
    >>> differences_of(int(Difference.AMOUNT | Difference.DATE))
    ('amount', 'date')
    """
    return tuple(one.name.lower() for one in Difference if one and bits & one and one.name)
