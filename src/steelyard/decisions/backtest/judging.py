"""What a policy says to every event of the past: in columns, checked against the row form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter, perf_counter_ns, thread_time_ns

import numpy as np

from steelyard.decisions.backtest.past import Flags, Integers, Past, Progress
from steelyard.decisions.model.column_refusals import ColumnsAreNotCovered
from steelyard.decisions.model.column_values import Column, Kind
from steelyard.decisions.model.columns import ColumnPolicy, Decided
from steelyard.decisions.model.decision import OUTCOMES, Judgement
from steelyard.decisions.model.document import TableNode
from steelyard.decisions.model.policy import (
    FAILED,
    LARGEST_SCORE,
    REASON_NAMES,
    CompiledPolicy,
    Fails,
)

CODES: Mapping[str, int] = {outcome: code for code, outcome in enumerate(OUTCOMES)}
APPROVE, LIMIT, STEP_UP, HOLD, REVIEW, DECLINE = range(len(OUTCOMES))
NO_SCORE = -1
SAMPLE = 2_000
IN_COLUMNS = "columns"


@dataclass(frozen=True, slots=True)
class RuleHits:
    """One row of a table.

    Attributes
    ----------
    rule : `node/row`; note : why it is there, in the document's words
    hits, bad : events that hit it, and how many of them were bad
    """

    rule: str
    note: str
    hits: int
    bad: int

    @property
    def precision(self) -> float | None:
        """Share of bad among the hits."""
        return self.bad / self.hits if self.hits else None


@dataclass(frozen=True, slots=True)
class Checked:
    """The sample that was judged one by one: as many as stand here, all equal to the columns.

    Attributes
    ----------
    p50_us, p99_us : wall time of one judgement, with its trace
    cpu_p50_us, cpu_p99_us : processor time of one, which other processes do not lengthen
    """

    rows: int
    p50_us: float = 0.0
    p99_us: float = 0.0
    cpu_p50_us: float = 0.0
    cpu_p99_us: float = 0.0


_UNCHECKED = Checked(0)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a policy says to the events of a past, one place in each column for each.

    Attributes
    ----------
    cause : of the policy
    outcome : int64 (n,), place in `OUTCOMES`
    score : int64 (n,), 0 to 1000, `NO_SCORE` where there is none
    limit_minor : int64 (n,), 0 where the outcome is not `limit`
    failed : bool (n,), where the fault mode answered
    reasons : events that are given each code of rules, lists and limits, the most frequent first
    rules : hits of every row of every table, bad ones apart
    engine : `columns`, or why it was judged one by one
    by_row : events that the columns left to the row form
    seconds : wall time of judging all
    """

    cause: str
    outcome: Integers
    score: Integers
    limit_minor: Integers
    failed: Flags
    reasons: Mapping[str, int]
    rules: tuple[RuleHits, ...]
    engine: str
    by_row: int
    seconds: float
    checked: Checked

    @property
    def lets_pass(self) -> Flags:
        """Where it approves, up to a limit or whole."""
        return np.less_equal(self.outcome, LIMIT)

    @property
    def disturbs(self) -> Flags:
        """Where it says anything but `approve`."""
        return np.not_equal(self.outcome, APPROVE)


def judge(
    policy: CompiledPolicy, past: Past, *, progress: Progress, seed: int = 1, sample: int = SAMPLE
) -> Judged:
    """Return what a policy says to every event.

    A random sample is judged one by one as well, timed, and has to be equal; a difference is a
    fault of ours and ends the run.
    """
    assert past.scene == policy.scene
    chance = np.random.default_rng(seed)
    rows = np.sort(chance.choice(past.rows, min(sample, past.rows), replace=False))
    try:
        columns = ColumnPolicy(policy.compiled)
        made = _in_columns(policy, columns, past, progress)
    except ColumnsAreNotCovered as refused:
        made = _one_by_one(policy, past, progress, refused.sentence("en"))
    return replace(made, checked=_check(policy, past, made, rows))


def _in_columns(
    policy: CompiledPolicy, columns: ColumnPolicy, past: Past, progress: Progress
) -> Judged:
    reads = {name: past.columns[name] for name in policy.compiled.reads if name in past.columns}
    progress(policy.cause, 0, past.rows)
    began = perf_counter()
    decided = columns.run(reads, past.rows)
    seconds = perf_counter() - began
    outcome, score, limit, failed = _answers(policy, decided, past.rows)
    bad = past.take(np.flatnonzero(past.is_bad))
    among_bad = columns.run({name: bad.columns[name] for name in reads}, bad.rows)
    progress(policy.cause, past.rows, past.rows)
    return Judged(
        policy.cause,
        outcome,
        score,
        limit,
        failed,
        _reasons(decided, failed),
        _rules(policy, decided.hits, among_bad.hits),
        IN_COLUMNS,
        decided.by_row,
        seconds,
        _UNCHECKED,
    )


def _answers(
    policy: CompiledPolicy, decided: Decided, rows: int
) -> tuple[Integers, Integers, Integers, Flags]:
    """Return outcome, score, limit and where the fault mode answers, as `judge` decides them."""
    failed = np.zeros(rows, np.bool_)
    said = decided.columns.get("outcome")
    if said is None or said.kind is not Kind.TEXT or said.words is None:
        outcome = np.zeros(rows, np.int64)
        failed[:] = True
    else:
        known = np.array([CODES.get(word, -1) for word in said.words.words], np.int64)
        outcome = known[said.values]
        failed |= outcome < 0
        failed |= _missing(said, rows)
    score = np.full(rows, NO_SCORE, np.int64)
    column = decided.columns.get("score")
    if column is not None and column.kind is not Kind.NOTHING:
        there = ~_missing(column, rows)
        fits = there & (column.kind is Kind.NUMBER)
        if column.kind is Kind.NUMBER:
            fits &= (column.values >= 0) & (column.values <= LARGEST_SCORE)
            score = np.where(fits, np.rint(np.where(fits, column.values, 0)), NO_SCORE).astype(
                np.int64
            )
        failed |= there & ~fits
    limit = np.zeros(rows, np.int64)
    limited = outcome == LIMIT
    column = decided.columns.get("limit_minor")
    if column is None or column.kind is not Kind.NUMBER or column.values.dtype.kind != "i":
        failed |= limited
    else:
        limit = np.where(limited & ~_missing(column, rows), column.values, 0)
        failed |= limited & (_missing(column, rows) | (column.values < 0))
    outcome = np.where(failed, _fault(policy), outcome)
    return outcome, np.where(failed, NO_SCORE, score), np.where(failed, 0, limit), failed


def _fault(policy: CompiledPolicy) -> int:
    return APPROVE if policy.fails is Fails.OPEN else DECLINE


def _missing(column: Column, rows: int) -> Flags:
    return np.zeros(rows, np.bool_) if column.missing is None else column.missing


def _reasons(decided: Decided, failed: Flags) -> dict[str, int]:
    """Return how many events are given each code; each event counts a code once."""
    given: dict[str, Flags] = {}
    for name in REASON_NAMES:
        column = decided.columns.get(name)
        if column is None or column.kind is not Kind.ARRAY or column.words is None:
            continue
        absent = _missing(column, len(failed)) | failed
        for n, code in enumerate(column.words.words):
            if isinstance(code, str):
                held = column.values[:, n] & ~absent
                given[code] = given[code] | held if code in given else held
    given[FAILED] = failed
    counts = {code: int(np.count_nonzero(held)) for code, held in given.items()}
    return _ranked(counts)


def _ranked(counts: Mapping[str, int]) -> dict[str, int]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {code: count for code, count in ranked if count}


def _rules(
    policy: CompiledPolicy, hits: Mapping[str, Integers], bad: Mapping[str, Integers]
) -> tuple[RuleHits, ...]:
    made = []
    for node in policy.document.nodes:
        if isinstance(node, TableNode):
            nothing = np.zeros(len(node.rows), np.int64)
            among = bad.get(node.id, nothing).tolist(), hits.get(node.id, nothing).tolist()
            for row, found, all_ in zip(node.rows, *among, strict=True):
                made.append(RuleHits(f"{node.id}/{row.id}", row.note, all_, found))
    return tuple(made)


def _one_by_one(policy: CompiledPolicy, past: Past, progress: Progress, why: str) -> Judged:
    """Judge every event by the row form; a policy without a columnar form is as right, slower."""
    outcome = np.zeros(past.rows, np.int64)
    score = np.full(past.rows, NO_SCORE, np.int64)
    limit = np.zeros(past.rows, np.int64)
    failed = np.zeros(past.rows, np.bool_)
    reasons: dict[str, int] = {}
    hits: dict[str, list[int]] = {}
    began = perf_counter()
    for row, is_bad in enumerate(past.is_bad.tolist()):
        judged = policy.judge(past.values(row))
        outcome[row], score[row], limit[row] = _plain(judged)
        failed[row] = bool(judged.degraded)
        for code in judged.reasons:
            reasons[code] = reasons.get(code, 0) + 1
        for name in dict(judged.trace).get("hits", ()):
            counts = hits.setdefault(name, [0, 0])
            counts[0] += 1
            counts[1] += is_bad
        if row % 5_000 == 0:
            progress(policy.cause, row, past.rows)
    progress(policy.cause, past.rows, past.rows)
    rules = tuple(
        RuleHits(f"{node.id}/{row.id}", row.note, *hits.get(f"{node.id}/{row.id}", (0, 0)))
        for node in policy.document.nodes
        if isinstance(node, TableNode)
        for row in node.rows
    )
    seconds = perf_counter() - began
    return Judged(
        policy.cause,
        outcome,
        score,
        limit,
        failed,
        _ranked(reasons),
        rules,
        why,
        past.rows,
        seconds,
        _UNCHECKED,
    )


def _plain(judged: Judgement) -> tuple[int, int, int]:
    return (
        CODES[judged.outcome],
        NO_SCORE if judged.score is None else judged.score,
        judged.limit_minor or 0,
    )


def _check(policy: CompiledPolicy, past: Past, made: Judged, rows: Integers) -> Checked:
    spent = np.zeros((len(rows), 2), np.int64)
    for n, row in enumerate(rows.tolist()):
        values = past.values(row)
        began, cpu = perf_counter_ns(), thread_time_ns()
        judged = policy.judge(values)
        spent[n] = perf_counter_ns() - began, thread_time_ns() - cpu
        found = (int(made.outcome[row]), int(made.score[row]), int(made.limit_minor[row]))
        assert found == _plain(judged), (policy.cause, found, judged, values)
    if not len(rows):
        return _UNCHECKED
    wall, of_cpu = (np.quantile(spent[:, n], (0.5, 0.99)).tolist() for n in (0, 1))
    return Checked(len(rows), *(one / 1_000 for one in (*wall, *of_cpu)))
