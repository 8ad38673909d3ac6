"""The bench on which a matching is done: who is matched already, and what is found about pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from steelyard.payments.model.breaks import (
    PRECEDENCE,
    BreakKind,
    Certainty,
    Difference,
    Stage,
)
from steelyard.payments.model.matching_columns import (
    KINDS,
    NOT_SAID,
    Bools,
    Held,
    Ints,
    Listed,
    Numbers,
    Ours,
    Texts,
    Theirs,
)
from steelyard.payments.model.matching_keys import NONE, counts, hashes, places
from steelyard.payments.model.statements import LineKind

OTHER: Final = KINDS.index(LineKind.OTHER)
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is taken as the same, by the agreement with a channel.

    Attributes
    ----------
    tolerance_minor : difference of an amount or a fee that one pair may have
    budget_minor : what the tolerated differences of one day may add up to, signs left out; above
        it none of that day is tolerated: a small difference everywhere is a large one
    cut_off_seconds : so close to the border of a day, a neighbouring business date is the same
    near_seconds : so close in time two rows without a number may be one payment
    most_candidates : more candidates than that are ambiguous without being looked at
    """

    tolerance_minor: int = 0
    budget_minor: int = 0
    cut_off_seconds: int = 1_800
    near_seconds: int = 120
    most_candidates: int = 64


@dataclass(frozen=True, slots=True)
class Found:
    """For each line, the place with us that its evidence leads to; by what, and how sure."""

    place: Ints
    stage: Numbers
    certainty: Certainty


@dataclass(frozen=True, slots=True)
class Batches:
    """Payments that were sent as one.

    Attributes
    ----------
    names : number of each batch; table : each as one payment
    members : places of the payments, batch after batch; starts : where each batch begins there
    """

    names: Texts
    table: Ours
    members: Ints
    starts: Ints

    def of(self, batch: Ints) -> tuple[Ints, Ints]:
        """Return the members of batches, and for each member which of the given it belongs to."""
        ends = np.append(self.starts[1:], len(self.members))
        size = ends[batch] - self.starts[batch]
        owner = np.repeat(np.arange(len(batch)), size)
        offset = np.arange(len(owner)) - np.repeat(np.cumsum(size) - size, size)
        return self.members[self.starts[batch][owner] + offset], owner


def batches(work: Work, rows: Bools) -> Batches:
    """Return rows of ours by their batch, each batch summed up."""
    ours = work.ours
    place = np.flatnonzero(rows)
    number = places(ours.batch[place])
    order = np.argsort(number, kind="stable")
    place, number = place[order], number[order]
    starts = np.flatnonzero(np.append(True, number[1:] != number[:-1])).astype(np.int64)
    first = place[starts]
    fee = np.where(ours.fee == NOT_SAID, 0, ours.fee)
    # A batch of several currencies or directions is not one sum: it has a currency that fits none.
    mixed = np.maximum.reduceat(hashes(ours.currency[place]), starts) != np.minimum.reduceat(
        hashes(ours.currency[place]), starts
    )
    columns: dict[str, Any] = {
        name: getattr(ours, name)[first] for name in Ours.__dataclass_fields__
    }
    columns["number"] = ours.batch[first]
    columns["amount"] = np.add.reduceat(ours.amount[place], starts)
    columns["fee"] = np.add.reduceat(fee[place], starts)
    columns["currency"] = np.where(mixed, b"", columns["currency"])
    return Batches(ours.batch[first], Ours(**columns), place, starts)


@dataclass(frozen=True, slots=True)
class _Several:
    """Lines of which several are led to one place, sorted by place.

    Attributes
    ----------
    place, line : of each row; owner : running number of its place; starts : where each one begins
    """

    place: Ints
    line: Ints
    owner: Ints
    starts: Ints
    made: Batches | None

    def mine(self, place: Ints) -> Ints:
        """Return the row of ours that stands for a place: of a batch, its first."""
        return place if self.made is None else self.made.members[self.made.starts[place]]


class Work:
    """What is known so far."""

    def __init__(self, ours: Ours, theirs: Theirs, rules: Rules) -> None:
        self.ours, self.theirs, self.rules = ours, theirs, rules
        n, m = len(ours.amount), len(theirs.amount)
        self.ours_group = np.full(n, NONE, np.int64)
        self.theirs_group = np.full(m, NONE, np.int64)
        self.ours_done = np.zeros(n, np.bool_)
        self.theirs_done = np.zeros(m, np.bool_)
        self.is_odd = np.zeros(m, np.bool_)
        self.is_booked: Bools = theirs.status == Listed.DONE
        self.has_money: Bools = ours.held == Held.MONEY
        self.is_open: Bools = ours.held == Held.OPEN
        self.may_be_summed: Bools = self.has_money & ~ours.is_taken
        self._groups = 0
        self._stage: list[Numbers] = []
        self._certainty: list[Numbers] = []
        self._breaks: list[tuple[Numbers, ...]] = []
        self._small: list[tuple[Ints, Ints, Ints, Numbers, Numbers]] = []

    # --- what is free, and what is written down ---------------------------------------------------

    def free_lines(self, which: Bools) -> Ints:
        """Return the lines not matched yet, of those given by a mask."""
        return np.flatnonzero(which & ~self.theirs_done)

    def pair(self, i: Ints, j: Ints, stage: Stage | Numbers, certainty: Certainty) -> None:
        """Write down pairs."""
        if not len(i):
            return
        group = self._groups + np.arange(len(i))
        self._groups += len(i)
        self.ours_group[i], self.theirs_group[j] = group, group
        self.ours_done[i], self.theirs_done[j] = True, True
        self._stage.append(np.broadcast_to(np.asarray(stage, np.int8), len(i)))
        self._certainty.append(np.full(len(i), certainty, np.int8))

    def group(
        self,
        mine: tuple[Ints, Ints],
        lines: tuple[Ints, Ints],
        stage: Numbers,
        certainty: Certainty,
    ) -> None:
        """Write down groups: rows, and for each which of the groups it belongs to."""
        if not len(stage):
            return
        self.ours_group[mine[0]] = self._groups + mine[1]
        self.theirs_group[lines[0]] = self._groups + lines[1]
        self.ours_done[mine[0]], self.theirs_done[lines[0]] = True, True
        self._groups += len(stage)
        self._stage.append(stage.astype(np.int8))
        self._certainty.append(np.full(len(stage), certainty, np.int8))

    def add_breaks(
        self,
        kind: BreakKind | Numbers,
        i: Ints | int,
        j: Ints | int,
        difference: Ints,
        bits: Numbers | int = 0,
    ) -> None:
        """Write down breaks; their rows are matched with nothing else."""
        size = len(difference)
        at_ours = np.broadcast_to(np.asarray(i, np.int64), size)
        at_theirs = np.broadcast_to(np.asarray(j, np.int64), size)
        self.ours_done[at_ours[at_ours >= 0]] = True
        self.theirs_done[at_theirs[at_theirs >= 0]] = True
        self._breaks.append(
            (
                np.broadcast_to(np.asarray(kind, np.int8), size),
                at_ours,
                at_theirs,
                difference,
                np.broadcast_to(np.asarray(bits, np.int16), size),
            )
        )

    def all_breaks(self) -> tuple[Numbers, ...]:
        """Return the columns of all breaks."""
        return tuple(np.concatenate(one) for one in zip(*self._breaks, strict=True))

    def stages(self) -> Numbers:
        """Return the stage of each group."""
        return np.concatenate([np.zeros(0, np.int8), *self._stage])

    def certainties(self) -> Numbers:
        """Return the certainty of each group."""
        return np.concatenate([np.zeros(0, np.int8), *self._certainty])

    # --- judging pairs ----------------------------------------------------------------------------

    def same_kind(self, ours: Ours, i: Ints, j: Ints) -> Bools:
        """Whether pairs are of one kind and direction."""
        theirs = self.theirs
        kinds = (ours.kind[i] == theirs.kind[j]) | (theirs.kind[j] == OTHER)
        is_same: Bools = kinds & (np.sign(ours.amount[i]) == np.sign(theirs.amount[j]))
        return is_same

    def is_cut_off(self, ours: Ours, i: Ints, j: Ints) -> Bools:
        """Whether the dates of pairs are neighbours and the instants close to the border."""
        theirs, near = self.theirs, self.rules.cut_off_seconds
        days = theirs.on[j] - ours.on[i]
        at_end = (days == 1) & (ours.clock[i] >= _DAY - near)
        at_start = (days == -1) & (ours.clock[i] <= near)
        at, there = ours.at[i], theirs.at[j]
        is_known = (at != NOT_SAID) & (there != NOT_SAID)
        apart = np.abs(np.where(is_known, there, 0) - np.where(is_known, at, 0))
        is_near: Bools = (at_end | at_start) & (apart <= near)
        return is_near

    def agrees(self, i: Ints, j: Ints) -> Bools:
        """Whether pairs agree in all but what identifies them."""
        ours, theirs = self.ours, self.theirs
        date = (ours.on[i] == theirs.on[j]) | self.is_cut_off(ours, i, j)
        same: Bools = (
            (ours.amount[i] == theirs.amount[j])
            & (ours.currency[i] == theirs.currency[j])
            & self.same_kind(ours, i, j)
            & (ours.held[i] == Held.MONEY)
            & (theirs.status[j] == Listed.DONE)
            & ~ours.is_taken[i]
            & date
        )
        return same

    def judge(self, found: Found, made: Batches | None = None) -> None:
        """Decide about every line that is free and led to a place that is free."""
        parents = self.ours if made is None else made.table
        is_led = (found.place >= 0) & ~self.theirs_done
        line = np.flatnonzero(is_led)
        place = found.place[line]
        if made is None:
            gone = self.ours_done[place] | self.ours.is_taken[place]
            self._once_more(place[gone], line[gone])
            line, place = line[~gone], place[~gone]
        times = counts(place, len(parents.amount))
        is_single = times[place] == 1 if len(place) else np.zeros(0, np.bool_)
        self._judge_singles(found, parents, place[is_single], line[is_single], made)
        self._judge_several(found, parents, place[~is_single], line[~is_single], made)

    def _once_more(self, i: Ints, j: Ints) -> None:
        """Lines of payments that are matched already are duplicates, or take them back."""
        ours, theirs = self.ours, self.theirs
        back = theirs.is_reversal[j] & (theirs.amount[j] == -ours.amount[i])
        self.add_breaks(BreakKind.STATUS, i[back], j[back], theirs.amount[j[back]])
        more = ~back & (theirs.amount[j] == ours.amount[i]) & self.is_booked[j]
        self.add_breaks(BreakKind.DUPLICATE, i[more], j[more], theirs.amount[j[more]])

    def _judge_singles(
        self, found: Found, parents: Ours, i: Ints, j: Ints, made: Batches | None
    ) -> None:
        if not len(i):
            return
        theirs = self.theirs
        fee = np.where(parents.fee[i] == NOT_SAID, 0, parents.fee[i])
        is_net = (theirs.amount[j] == parents.amount[i] - fee) & (fee != 0)
        cut_off = self.is_cut_off(parents, i, j)
        bits = self._differences(parents, i, j, is_net)
        if made is None:
            # A batch has no date, kind or direction of its own: its sum has.
            bits[(theirs.on[j] != parents.on[i]) & ~cut_off] |= Difference.DATE
        else:
            bits &= ~Difference.DIRECTION
        stage = found.stage[j].copy()
        if made is None:
            stage[cut_off & (stage == Stage.EXACT)] = Stage.CUT_OFF
            stage[is_net] = Stage.FEE_NET
        small = (bits & ~(Difference.AMOUNT | Difference.FEE) == 0) & (bits != 0)
        delta = self._deltas(parents, i, j, bits)
        small &= np.abs(delta) <= self.rules.tolerance_minor
        good = bits == 0
        if made is not None:
            self._write_batches(made, i, j, bits, found.certainty)
            return
        self.pair(i[good], j[good], stage[good], found.certainty)
        if small.any():
            # Whether it is tolerated is known when the whole day has been seen.
            kept = (i[small], j[small], delta[small], bits[small], stage[small])
            self._small.append(kept)
            self.ours_done[i[small]], self.theirs_done[j[small]] = True, True
        bad = ~good & ~small
        self._break_pairs(parents, i[bad], j[bad], bits[bad])

    def _differences(self, ours: Ours, i: Ints, j: Ints, is_net: Bools) -> Numbers:
        theirs = self.theirs
        held, status = ours.held[i], theirs.status[j]
        is_done = status == Listed.DONE
        back = theirs.is_reversal[j] & (theirs.amount[j] == -ours.amount[i])
        broken = ((held == Held.MONEY) & ~is_done) | back | ((held == Held.REVERSED) & is_done)
        bits = np.zeros(len(i), np.int16)
        bits[ours.currency[i] != theirs.currency[j]] |= Difference.CURRENCY
        bits[broken & ~(back & (held == Held.REVERSED))] |= Difference.STATUS
        is_long = ((held == Held.OPEN) | (held == Held.NO_MONEY)) & is_done
        bits[is_long] |= Difference.LONG
        # What has no money on either side agrees, whatever amount a refused line repeats.
        quiet = (held != Held.MONEY) & ~is_done
        bits[~self.same_kind(ours, i, j) & ~back & ~quiet] |= Difference.DIRECTION
        bits[(theirs.amount[j] != ours.amount[i]) & ~is_net & ~back & ~quiet] |= Difference.AMOUNT
        said = (theirs.fee[j] != NOT_SAID) & (ours.fee[i] != NOT_SAID)
        bits[said & (theirs.fee[j] != ours.fee[i]) & ~quiet & ~back] |= Difference.FEE
        return bits

    def _deltas(self, ours: Ours, i: Ints, j: Ints, bits: Numbers) -> Ints:
        """Return by how much amount, or else fee, differs: what they have more than we."""
        theirs = self.theirs
        amount = theirs.amount[j] - ours.amount[i]
        is_fee = (bits & (Difference.FEE | Difference.AMOUNT)) == Difference.FEE
        fee = np.where(is_fee, ours.fee[i] - theirs.fee[j], 0)
        return np.where(is_fee, fee, amount)

    def _break_pairs(self, ours: Ours, i: Ints, j: Ints, bits: Numbers) -> None:
        if not len(i):
            return
        theirs = self.theirs
        kind = np.zeros(len(i), np.int8)
        for bit, one in reversed(PRECEDENCE):
            kind[(bits & bit) != 0] = one
        difference = self._deltas(ours, i, j, bits)
        is_missed = (kind == BreakKind.STATUS) & (ours.held[i] == Held.MONEY)
        difference = np.where(is_missed, -ours.amount[i], difference)
        theirs_whole = (kind == BreakKind.LONG) | (kind == BreakKind.CURRENCY)
        theirs_whole |= (kind == BreakKind.STATUS) & ~is_missed
        difference = np.where(theirs_whole, theirs.amount[j], difference)
        difference = np.where(kind == BreakKind.DATE, 0, difference)
        self.add_breaks(kind, i, j, difference, bits)

    def _judge_several(
        self, found: Found, parents: Ours, place: Ints, line: Ints, made: Batches | None
    ) -> None:
        """Decide about payments that several lines are led to: parts of it, or one too many."""
        if not len(line):
            return
        theirs = self.theirs
        order = np.argsort(place, kind="stable")
        place, line = place[order], line[order]
        is_first = np.append(True, place[1:] != place[:-1])
        lines = _Several(place, line, np.cumsum(is_first) - 1, np.flatnonzero(is_first), made)
        starts, parent = lines.starts, place[is_first]
        total = np.add.reduceat(np.where(self.is_booked[line], theirs.amount[line], 0), starts)
        same_money = parents.currency[place] == theirs.currency[line]
        fee = np.where(parents.fee[parent] == NOT_SAID, 0, parents.fee[parent])
        has_money = parents.held[parent] == Held.MONEY
        due = np.where(has_money, parents.amount[parent], 0)
        good = (total == due) | (has_money & (fee != 0) & (total == due - fee))
        good &= np.logical_and.reduceat(same_money, starts)
        is_equal = same_money & (theirs.amount[line] == parents.amount[place])
        is_equal &= self.is_booked[line]
        repeats = np.logical_and.reduceat(is_equal, starts) & ~good & has_money
        self._write_split(found.certainty, lines, good)
        if repeats.any():
            self._write_repeats(found, parents, lines, repeats)
        bad = ~good & ~repeats
        if not bad.any():
            return
        back = np.logical_or.reduceat(theirs.is_reversal[line], starts)[bad] & (total[bad] == 0)
        kind = np.where(has_money[bad], BreakKind.SPLIT, BreakKind.LONG).astype(np.int8)
        kind[back] = BreakKind.STATUS
        self.add_breaks(kind, lines.mine(parent[bad]), line[starts[bad]], (total - due)[bad])
        self.theirs_done[line[bad[lines.owner]]] = True
        if made is not None:
            self.ours_done[made.of(parent[bad])[0]] = True

    def _write_split(self, certainty: Certainty, lines: _Several, good: Bools) -> None:
        number = np.cumsum(good) - 1
        is_in = good[lines.owner]
        theirs = (lines.line[is_in], number[lines.owner[is_in]])
        parent, size = lines.place[lines.starts[good]], int(good.sum())
        if lines.made is None:
            stage = np.full(size, Stage.ONE_TO_MANY, np.int8)
            self.group((parent, np.arange(size)), theirs, stage, certainty)
        else:
            stage = np.full(size, Stage.MANY_TO_ONE, np.int8)
            self.group(lines.made.of(parent), theirs, stage, certainty)

    def _write_repeats(self, found: Found, parents: Ours, lines: _Several, repeats: Bools) -> None:
        """Judge the first of equal lines like any other; what comes after it is a repeat."""
        first = np.zeros(len(lines.line), np.bool_)
        first[lines.starts] = True
        chosen = repeats[lines.owner]
        head, more = chosen & first, chosen & ~first
        self._judge_singles(found, parents, lines.place[head], lines.line[head], lines.made)
        again = lines.line[more]
        mine = lines.mine(lines.place[more])
        self.add_breaks(BreakKind.DUPLICATE, mine, again, self.theirs.amount[again])

    def _write_batches(
        self, made: Batches, batch: Ints, j: Ints, bits: Numbers, certainty: Certainty
    ) -> None:
        good = bits == 0
        stage = np.full(int(good.sum()), Stage.MANY_TO_ONE, np.int8)
        self.group(made.of(batch[good]), (j[good], np.arange(len(stage))), stage, certainty)
        bad = batch[~good]
        if not len(bad):
            return
        delta = self.theirs.amount[j[~good]] - made.table.amount[bad]
        first = made.members[made.starts[bad]]
        self.add_breaks(BreakKind.SPLIT, first, j[~good], delta, bits[~good])
        self.ours_done[made.of(bad)[0]] = True

    # --- what is left to decide at the end --------------------------------------------------------

    def drop_repeats(self) -> None:
        """Write down lines that repeat an earlier one under the channel's own number."""
        theirs = self.theirs
        line = self.free_lines(theirs.reference != b"")
        if len(line) < 2:
            return
        keys = (
            hashes(theirs.number[line]),
            hashes(theirs.batch[line]),
            hashes(theirs.currency[line]),
            theirs.at[line],
            theirs.kind[line],
            theirs.amount[line],
            hashes(theirs.reference[line]),
        )
        order = np.lexsort(keys)
        again = np.ones(len(order), np.bool_)
        again[0] = False
        for key in keys:
            again[1:] &= key[order][1:] == key[order][:-1]
        repeat = line[order][again]
        self.add_breaks(BreakKind.DUPLICATE, NONE, repeat, theirs.amount[repeat])

    def settle(self) -> None:
        """Tolerate small differences, day by day, as far as their sum is tolerated."""
        if not self._small:
            return
        i, j, delta, bits, _ = (np.concatenate(one) for one in zip(*self._small, strict=True))
        day = np.stack([self.theirs.on[j], hashes(self.theirs.currency[j]).view(np.int64)])
        _, which = np.unique(day, axis=1, return_inverse=True)
        used = np.zeros(int(which.max()) + 1, np.int64)
        np.add.at(used, which.ravel(), np.abs(delta))
        good = used[which.ravel()] <= self.rules.budget_minor
        self.pair(i[good], j[good], Stage.TOLERANCE, Certainty.CERTAIN)
        self._break_pairs(self.ours, i[~good], j[~good], bits[~good])
