"""Streams in files: published card transactions, or events with their fields as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from steelyard.features.model.definition import DAY, HOUR, LARGEST
from steelyard.features.model.event import EventKind, FieldType
from steelyard.features.service.parity.replay import HEAD, LABEL, TYPES, Replay, derive
from steelyard.kernel import Refusal, RefusalKind

LABEL_DELAY_MS = 7 * DAY
"""When a published transaction's label is told: as late as the features with a delay look."""
LOCAL_OFFSET_MS = 8 * HOUR
PAYMENT = "payment"
PUBLISHED = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT_CENTS")
PUBLISHED_LABEL = "TX_FRAUD"


class StreamFileMissing(Refusal):
    """The folder has no stream. Facts: `folder`."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no .parquet file in {folder}."
    zh = "目录 {folder} 中没有 .parquet 文件。"


class StreamFileMalformed(Refusal):
    """A file is no stream of events. Facts: `file`, `reason`, `reason_zh`."""

    kind = RefusalKind.INVALID
    en = "{file} is no stream of events: {reason}."
    zh = "文件 {file} 不是事件流：{reason_zh}。"


def read_folder(folder: Path, kinds: Mapping[str, EventKind]) -> Replay:
    """Return the stream that the folder's *.parquet files make together, in order of their names.

    A file is one of three, told by its columns:

    - published card transactions (`PUBLISHED`, and `TX_FRAUD` where it is known), taken in the
      order of TRANSACTION_ID as card payments; the hour is that of TX_DATETIME as it stands, and
      the label is told `LABEL_DELAY_MS` later, as soon as the stream has got there;
    - events (`id`, `at_ms`, `kind` if they are no card payments, any fields of the kinds), taken in
      the order of `sequence`, or of the rows without one; derived fields are made; a column that
      is a label is told as that of a published transaction is, and the sequence made anew;
    - labels of such events (`kind`, `id`, `at_ms`, `sequence`, `field`, `value`).

    Other columns of a published file are ignored.

    Refusals
    --------
    stream_file_missing, stream_file_malformed
    """
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise StreamFileMissing(folder=str(folder))
    published, events, labels = [], [], []
    for path in paths:
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _malformed(path.name, "it cannot be read", "无法读取") from error
        if set(PUBLISHED) <= set(frame.columns):
            published.append(_published(path.name, frame))
        elif set(LABEL) <= set(frame.columns):
            labels.append(_typed(path.name, frame.select(*LABEL), LABEL))
        elif {"id", "at_ms"} <= set(frame.columns):
            events.append(_events(path.name, frame, kinds))
        else:
            found = ", ".join(frame.columns)
            raise _malformed(path.name, f"columns {found} are no stream", f"列 {found} 不是事件流")
    if published and (events or labels):
        raise _malformed(paths[0].name, "two forms in one folder", "目录内混有两种格式")
    if published:
        replay = _from_published(pl.concat(published), kinds)
    else:
        replay = _from_events(events, labels, kinds)
    _check(folder.name, replay)
    return replay


def _published(file: str, frame: pl.DataFrame) -> pl.DataFrame:
    instant = frame["TX_DATETIME"].dtype
    if not isinstance(instant, pl.Datetime):
        raise _malformed(file, "TX_DATETIME is no instant", "TX_DATETIME 不是时间")
    label = [PUBLISHED_LABEL] if PUBLISHED_LABEL in frame.columns else []
    frame = frame.select(
        pl.col("TX_DATETIME").dt.epoch("ms"), *(c for c in PUBLISHED if c != "TX_DATETIME"), *label
    )
    if not label:
        frame = frame.with_columns(pl.lit(None, pl.Int64).alias(PUBLISHED_LABEL))
    whole = dict.fromkeys(frame.columns, pl.Int64)
    frame = _typed(file, frame, whole)
    for name in ("TRANSACTION_ID", "TX_DATETIME"):
        if frame[name].null_count():
            raise _malformed(file, f"{name} is missing in a row", f"某行缺少 {name}")
    return frame.select(whole.keys())


def _from_published(frame: pl.DataFrame, kinds: Mapping[str, EventKind]) -> Replay:
    events = frame.sort("TRANSACTION_ID", maintain_order=True).select(
        pl.lit(PAYMENT).alias("kind"),
        pl.col("TRANSACTION_ID").cast(pl.String).alias("id"),
        pl.col("TX_DATETIME").alias("at_ms"),
        pl.col("CUSTOMER_ID").cast(pl.String).alias("customer"),
        pl.col("TERMINAL_ID").cast(pl.String).alias("terminal"),
        pl.col("TX_AMOUNT_CENTS").alias("amount_minor"),
        pl.col(PUBLISHED_LABEL).alias("is_fraud"),
    )
    events, labels = _with_labels(events, ["is_fraud"])
    events = events.select(*HEAD, pl.exclude(*HEAD))
    return Replay(derive(events, kinds, offset_ms=0), labels, kinds)


def _with_labels(events: pl.DataFrame, fields: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return events in order of arrival without these fields, and the fields as labels.

    A label is told `LABEL_DELAY_MS` after its event: it stands before the first event that brings
    the stream to that instant.
    """
    told = events.unpivot(fields, index=["kind", "id", "at_ms"], variable_name="field")
    told = told.drop_nulls("value").with_columns(pl.col("at_ms") + LABEL_DELAY_MS)
    row = events["at_ms"].cum_max().search_sorted(told["at_ms"], side="left")
    told = told.with_columns(row.cast(pl.Int64).alias("row")).sort(
        "row", "at_ms", maintain_order=True
    )
    labels = told.with_columns((pl.col("row") + pl.int_range(pl.len())).alias("sequence"))
    rows = pl.int_range(events.height, dtype=pl.Int64, eager=True)
    before = told["row"].search_sorted(rows, side="right").cast(pl.Int64)
    return (
        events.drop(fields).with_columns((rows + before).alias("sequence")),
        labels.select(pl.col(name).cast(type_) for name, type_ in LABEL.items()),
    )


def _events(file: str, frame: pl.DataFrame, kinds: Mapping[str, EventKind]) -> pl.DataFrame:
    if "kind" not in frame.columns:
        frame = frame.with_columns(pl.lit(PAYMENT).alias("kind"))
    names = frame["kind"].unique().to_list()
    unknown = sorted(str(name) for name in names if name not in kinds)
    if unknown:
        raise _malformed(
            file, f"no kind {', '.join(unknown)}", f"没有事件类型 {'、'.join(unknown)}"
        )
    types: dict[str, pl.DataType | type[pl.DataType]] = {}
    for column in frame.columns:
        if column in HEAD:
            types[column] = HEAD[column]
            continue
        having = [name for name in names if column in kinds[name].fields]
        if not having:
            raise _malformed(file, f"no event has a field {column}", f"事件没有字段 {column}")
        is_label = column in kinds[having[0]].labels
        types[column] = pl.Int64 if is_label else TYPES[kinds[having[0]].fields[column]]
        lacking = ", ".join(name for name in names if name not in having)
        if not frame.filter(~pl.col("kind").is_in(having))[column].is_null().all():
            raise _malformed(
                file, f"{lacking} has no field {column}", f"{lacking} 没有字段 {column}"
            )
    return _typed(file, frame, types)


def _from_events(
    events: Sequence[pl.DataFrame], labels: Sequence[pl.DataFrame], kinds: Mapping[str, EventKind]
) -> Replay:
    if not events:
        raise _malformed("*.parquet", "labels without events", "只有标签没有事件")
    frame = pl.concat(events, how="diagonal")
    if "sequence" in frame.columns:
        frame = frame.sort("sequence")
    else:
        frame = frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("sequence"))
        if labels:
            reason = "labels need events with a sequence", "有标签文件时事件须有序号"
            raise _malformed("*.parquet", *reason)
    names = {label for name in frame["kind"].unique() for label in kinds[name].labels}
    own = [name for name in frame.columns if name in names]
    if own and labels:
        raise _malformed("*.parquet", "labels in two places", "标签出现在两处")
    told = pl.concat(labels) if labels else pl.DataFrame(schema=LABEL)
    if own:
        frame, told = _with_labels(frame, own)
    frame = frame.select(*HEAD, pl.exclude(*HEAD))
    return Replay(derive(frame, kinds, offset_ms=LOCAL_OFFSET_MS), told.sort("sequence"), kinds)


def _typed(
    file: str, frame: pl.DataFrame, types: Mapping[str, pl.DataType | type[pl.DataType]]
) -> pl.DataFrame:
    for name, wanted in types.items():
        have = frame[name].dtype
        # A number may name an entity or an event; a label may be a flag.
        whole = have.is_integer() and wanted in (pl.Int64, pl.String)
        flag = have == pl.Boolean and wanted == pl.Int64
        if not (have == wanted or whole or flag or have == pl.Null):
            raise _malformed(
                file, f"{name} is {have}, not {wanted}", f"{name} 的类型是 {have}，应为 {wanted}"
            )
    return frame.with_columns(pl.col(name).cast(type_) for name, type_ in types.items())


def _check(folder: str, replay: Replay) -> None:
    """Refuse what the edge would refuse, so that both engines are fed the same."""
    events, labels = replay.events, replay.labels
    for name in HEAD:
        if events[name].null_count() or labels[name].null_count():
            raise _malformed(folder, f"{name} is missing in a row", f"某行缺少 {name}")
    if events.select(pl.struct("kind", "id").is_duplicated().any()).item():
        raise _malformed(folder, "an event is there twice", "事件重复")
    sequence = pl.concat([events["sequence"], labels["sequence"]])
    if sequence.is_duplicated().any():
        raise _malformed(folder, "a sequence is there twice", "序号重复")
    for name, type_ in _types(replay).items():
        if type_ is FieldType.INTEGER and (events[name].abs() > LARGEST).any():
            raise _malformed(folder, f"{name} is too large", f"{name} 过大")
    if (labels["value"].abs() > LARGEST).any() or labels["value"].null_count():
        raise _malformed(folder, "the value of a label is missing or too large", "标签值缺失或过大")
    for kind, field in labels.select("kind", "field").unique().rows():
        if kind not in replay.kinds or field not in replay.kinds[kind].labels:
            raise _malformed(folder, f"{kind} has no label {field}", f"{kind} 没有标签 {field}")


def _types(replay: Replay) -> dict[str, FieldType]:
    """Return the types of the fields that the events have."""
    return {
        name: type_
        for kind in replay.kinds.values()
        for name, type_ in kind.fields.items()
        if name in replay.events.columns
    }


def _malformed(file: str, reason: str, reason_zh: str) -> StreamFileMalformed:
    return StreamFileMalformed(file=file, reason=reason, reason_zh=reason_zh)
