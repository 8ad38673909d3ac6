"""Both engines over one stream, and what they differ in."""

from __future__ import annotations

import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import copysign
from pathlib import Path
from typing import Any

import polars as pl

from steelyard.features.model.columns import Stream, compute_on
from steelyard.features.model.definition import Feature
from steelyard.features.model.event import Event
from steelyard.features.model.stream import StreamEngine
from steelyard.features.service.parity.feeding import NotFed, split
from steelyard.features.service.parity.replay import HEAD, Replay

CHUNK_ROWS = 20_000
COLUMNS_AT_ONCE = 12
SHOWN = 20
Progress = Callable[[str, int, int], None]
"""(stage, done, of)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell in which the engines differ: feature, event, and both answers."""

    feature: str
    kind: str
    id: str
    at_ms: int
    sequence: int
    stream: object
    columns: object


@dataclass(slots=True)
class Parity:
    """What came of a comparison.

    Attributes
    ----------
    rows, labels : events and labels of the stream
    late, too_late : events put in their place, and not folded
    features : names of those compared, in every row
    not_fed : the others, and why
    cells : rows times features
    differing_cells : those whose bits differ, a whole number from a float of the same size too
    differences : the first of them
    stream_seconds, columns_seconds : CPU time of either engine
    """

    rows: int
    labels: int
    features: Sequence[str]
    not_fed: Sequence[NotFed]
    late: int = 0
    too_late: int = 0
    differing_cells: int = 0
    differences: list[Difference] = field(default_factory=list)
    stream_seconds: float = 0.0
    columns_seconds: float = 0.0

    @property
    def cells(self) -> int:
        """How many answers were compared."""
        return self.rows * len(self.features)


def _silent(stage: str, done: int, of: int) -> None:
    """Tell nobody."""


def compare(
    replay: Replay, features: Mapping[str, Feature], progress: Progress = _silent
) -> Parity:
    """Ask both engines every feature at every event, and compare the answers to the bit.

    The columns are computed a few features at a time and laid on disk; the stream is folded and
    compared a chunk at a time. So beside the stream itself and the streaming engine's state, memory
    holds some 200 bytes a row and a chunk of answers, whatever the number of features.
    """
    fed, not_fed = split(replay, features)
    parity = Parity(replay.events.height, replay.labels.height, [f.name for f in fed], not_fed)
    if not fed:
        return parity
    with tempfile.TemporaryDirectory(prefix="steelyard-parity-") as folder:
        began = time.process_time()
        paths = _lay_columns(replay, fed, Path(folder), progress)
        parity.columns_seconds = time.process_time() - began
        _fold(replay, fed, paths, parity, progress)
    return parity


def _lay_columns(
    replay: Replay, features: Sequence[Feature], folder: Path, progress: Progress
) -> list[Path]:
    by_name = {feature.name: feature for feature in features}
    stream = Stream.of(replay.events, replay.labels)
    # Neighbours look at the same entity and window, and share the work of finding it.
    ordered = sorted(features, key=lambda f: (f.entity, f.kinds, f.parts is not None))
    paths = []
    progress("columns", 0, len(ordered))
    for start in range(0, len(ordered), COLUMNS_AT_ONCE):
        group = ordered[start : start + COLUMNS_AT_ONCE]
        parts = {part: by_name[part] for feature in group for part in feature.parts or ()}
        wanted = {feature.name: feature for feature in group}
        computed = compute_on(stream, list((parts | wanted).values()))
        path = folder / f"{start}.parquet"
        computed.select(wanted.keys()).write_parquet(
            path, row_group_size=CHUNK_ROWS, compression="lz4"
        )
        paths.append(path)
        progress("columns", start + len(group), len(ordered))
    return paths


def _fold(
    replay: Replay,
    features: Sequence[Feature],
    paths: Sequence[Path],
    parity: Parity,
    progress: Progress,
) -> None:
    engine = StreamEngine(features, replay.kinds)
    progress("stream", 0, parity.rows)
    for start, mixed in replay.chunks(CHUNK_ROWS):
        began = time.process_time()
        answers = [_step(engine, each) for each in mixed]
        parity.stream_seconds += time.process_time() - began
        values = [answer for answer in answers if answer is not None]
        for columns in _read(paths, start, len(values)):
            for feature in features:
                if feature.name in columns.columns:
                    ours = [answer.get(feature.name) for answer in values]
                    _compare(parity, replay, feature, (start, ours, columns[feature.name]))
        progress("stream", start + len(values), parity.rows)
    parity.late, parity.too_late = engine.late, engine.too_late


def _step(engine: StreamEngine, each: Any) -> Mapping[str, object] | None:
    if isinstance(each, Event):
        return engine.fold(each).values
    engine.label(each)
    return None


def _read(paths: Sequence[Path], start: int, rows: int) -> Iterator[pl.DataFrame]:
    for path in paths:
        yield pl.scan_parquet(path).slice(start, rows).collect()


def _compare(
    parity: Parity,
    replay: Replay,
    feature: Feature,
    answers: tuple[int, list[Any], pl.Series],
) -> None:
    start, ours, column = answers
    theirs = column.to_list()
    if _alike(ours, theirs):
        return
    for row, (mine, other) in enumerate(zip(ours, theirs, strict=True), start):
        if bits(mine) == bits(other):
            continue
        parity.differing_cells += 1
        if len(parity.differences) < SHOWN:
            kind, id_, at_ms, sequence = replay.events.select(*HEAD).row(row)
            parity.differences.append(
                Difference(feature.name, kind, id_, at_ms, sequence, stream=mine, columns=other)
            )


def _alike(ours: list[Any], theirs: list[Any]) -> bool:
    """Whether all answers are surely the same: equal, of equal types, and no zero with a sign."""
    if ours != theirs or list(map(type, ours)) != list(map(type, theirs)):
        return False
    return not any(_has_negative_zero(answers) for answers in (ours, theirs))


def _has_negative_zero(answers: list[Any]) -> bool:
    return any(isinstance(x, float) and x == 0.0 and copysign(1.0, x) < 0.0 for x in answers)


def bits(value: object) -> object:
    """Return what is the same for two values only if they are of one type and equal to the bit.

    Examples
    --------
    >>> bits(0.0) == bits(-0.0), bits(1) == bits(1.0), bits(1) == bits(True), bits("a") == bits("a")
    (False, False, False, True)
    """
    if isinstance(value, float):
        return struct.pack("<d", value)
    return type(value), value
