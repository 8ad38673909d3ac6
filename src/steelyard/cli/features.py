"""`steelyard features`: the catalogue, its definitions as data, and the parity of the engines."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.cli.output import (
    AsJson,
    Column,
    RefusingGroup,
    bars,
    err,
    language,
    out,
    print_json,
    show,
)
from steelyard.features import CATALOGUE, KINDS
from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    from steelyard.features import parity as engines

app = typer.Typer(help="what is known about entities", cls=RefusingGroup, no_args_is_help=True)
_MICRO = 1_000_000


class NothingToCompare(Refusal):
    """Neither a folder nor the sample was asked for."""

    kind = RefusalKind.INVALID
    en = "Name the folder of a stream's .parquet files, or give --sample for a small made-up one."
    zh = "请给出事件流 .parquet 文件所在目录，或使用 --sample 生成一个小型虚构事件流。"


class ColumnsAreNotInstalled(Refusal):
    """The columnar engine's libraries are not there."""

    kind = RefusalKind.UNAVAILABLE
    en = "The columnar engine needs the extra `columns`: pip install 'steelyard[columns]'."
    zh = "列式引擎需要额外依赖 columns：pip install 'steelyard[columns]'。"


@app.callback()
def features() -> None:
    """Read what is known about entities, and prove that it is computed right."""


@app.command("list")
def list_(
    entity: Annotated[str | None, typer.Option("--entity", help="only of this entity")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the catalogue: every feature, what it says, and over which events."""
    chinese = language().startswith("zh")
    rows = [
        {
            "name": feature.name,
            "says": feature.zh if chinese else feature.en,
            "entity": feature.entity,
            "kinds": ", ".join(feature.kinds),
            "aggregate": feature.aggregate.value,
            "field": feature.field,
            "version": feature.version,
            "en": feature.en,
            "zh": feature.zh,
        }
        for feature in CATALOGUE.values()
        if entity in (None, feature.entity)
    ]
    headings = (
        ("特征", "含义", "实体", "事件") if chinese else ("feature", "says", "entity", "events")
    )
    keys = ("name", "says", "entity", "kinds")
    show(
        [row if as_json else {key: row[key] for key in keys} for row in rows],
        [Column(key, heading) for key, heading in zip(keys, headings, strict=True)],
        as_json=as_json,
        title=None if as_json else f"{len(rows)} {'个特征' if chinese else 'features'}",
    )


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="where to; the output if not named")] = None,
) -> None:
    """Write the definitions as data (JSON), for an engine elsewhere to compute the same."""
    from steelyard.features.catalogue import export

    told = export(CATALOGUE, KINDS)
    if file is None:
        print_json(told)
        return
    file.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    err.print(
        f"{len(told['features'])} features, {len(told['kinds'])} kinds: {told['sha256']}",
        highlight=False,
    )


@app.command()
def parity(
    folder: Annotated[Path | None, typer.Argument(help="folder of the stream's .parquet")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="a small made-up stream")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a stream through both engines; every answer must be the same to the bit.

    The exit status is 1 if a cell differs.
    """
    if folder is None and not sample:
        raise NothingToCompare
    if any(find_spec(name) is None for name in ("numpy", "polars")):
        raise ColumnsAreNotInstalled
    from steelyard.features import parity as engines

    stream = engines.read_folder(folder, KINDS) if folder else engines.sample_replay(KINDS)
    with bars() as progress:
        found = engines.compare(stream, CATALOGUE, progress)
    if as_json:
        print_json(_as_data(found))
    else:
        _tell(found)
    if found.differing_cells:
        raise typer.Exit(1)


def _tell(found: engines.Parity) -> None:
    if found.not_fed:
        chinese = language().startswith("zh")
        show(
            [{"name": x.name, "why": x.zh if chinese else x.en} for x in found.not_fed],
            [Column("name", "not fed by this stream"), Column("why", "what it lacks")],
            as_json=False,
        )
    out.print(f"compared: {', '.join(found.features)}", highlight=False)
    if found.differences:
        show(
            [
                {
                    "feature": x.feature,
                    "event": f"{x.kind} {x.id}",
                    "at": x.at_ms,
                    "stream": repr(x.stream),
                    "columns": repr(x.columns),
                }
                for x in found.differences
            ],
            [
                Column("feature", "differs"),
                Column("event", "event"),
                Column("at", "at_ms", right=True),
                Column("stream", "stream", right=True),
                Column("columns", "columns", right=True),
            ],
            as_json=False,
            title=f"the first {len(found.differences)} of {found.differing_cells:,}",
        )
    answers = {
        "rows": found.rows,
        "late": found.late,
        "too late": found.too_late,
        "labels": found.labels,
        "features": len(found.features),
        "not fed": len(found.not_fed),
        "cells": found.cells,
        "differing_cells": found.differing_cells,
        "stream, us CPU per event": _per_event(found, found.stream_seconds),
        "columns, us CPU per event": _per_event(found, found.columns_seconds),
    }
    show(
        [{"what": what, "n": n} for what, n in answers.items()],
        [Column("what", "parity"), Column("n", "", right=True)],
        as_json=False,
    )


def _per_event(found: engines.Parity, seconds: float) -> float | None:
    return round(seconds / found.rows * _MICRO, 2) if found.rows else None


def _as_data(found: engines.Parity) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "cells": found.cells,
        "differing_cells": found.differing_cells,
        "late": found.late,
        "too_late": found.too_late,
        "labels": found.labels,
        "features": list(found.features),
        "not_fed": {x.name: {"en": x.en, "zh": x.zh} for x in found.not_fed},
        "differences": [
            {
                "feature": x.feature,
                "kind": x.kind,
                "id": x.id,
                "at_ms": x.at_ms,
                "sequence": x.sequence,
                "stream": x.stream,
                "columns": x.columns,
            }
            for x in found.differences
        ],
        "stream_us_cpu_per_event": _per_event(found, found.stream_seconds),
        "columns_us_cpu_per_event": _per_event(found, found.columns_seconds),
    }
