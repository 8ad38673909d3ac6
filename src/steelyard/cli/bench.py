"""`steelyard bench`: measure this machine, beside peers on the same work."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from steelyard.cli.output import AsJson, Column, err, print_json, show
from steelyard.kernel import Refusal, RefusalKind

_FOLDER = Path(__file__).parents[3] / "benchmarks"
_FSYNC_SECONDS = 1.0


class BenchmarksAreMissing(Refusal):
    """The command runs in a checkout only, where the benchmarks are."""

    kind = RefusalKind.NOT_FOUND
    en = "The benchmarks are in the repository, not in the installed package: run this in a clone."
    zh = "基准测试仅随源码仓库提供，请在克隆的仓库中运行。"


class BenchmarkIsUnknown(Refusal):
    """No benchmark has the name."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no benchmark {name}; there are: {names}."
    zh = "没有名为 {name} 的基准测试；现有：{names}。"


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="which ones; all of them")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="a minute instead of a quarter")] = False,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="folder to write the results into")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure: same work beside a peer, outputs asserted equal first, medians and ratios."""
    found = _benchmarks()
    for name in names or ():
        if name not in found:
            raise BenchmarkIsUnknown(name=name, names=", ".join(found))
    machine = describe_machine()
    results = []
    for name in names or found:
        err.print(f"{name} ...", highlight=False)
        began = time.monotonic()
        made = load_benchmark(name).run(quick=quick)
        results.append({"name": name, "seconds": round(time.monotonic() - began, 1), **made})
        if not as_json:
            show(
                [{str(n): cell for n, cell in enumerate(row)} for row in made["rows"]],
                [Column(str(n), text, right=n > 0) for n, text in enumerate(made["columns"])],
                as_json=False,
                title=made["title"],
            )
    report = {"machine": machine, "quick": quick, "results": results}
    if as_json:
        print_json(report)
    else:
        show([machine], [Column(key, key) for key in machine], as_json=False, title="machine")
    if keep is not None:
        _keep(keep, report)


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on; the disk's flushes a second are measured."""
    from steelyard.base.postgres import find_binaries

    binaries = find_binaries()
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "postgresql": ".".join(str(part) for part in binaries.version),
        "load_1m": round(os.getloadavg()[0], 2),
        "fsync_per_second": round(_flushes()),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _flushes() -> float:
    """Return how often a second 8 kB are written and flushed to the disk of the home."""
    block = os.urandom(8192)
    with tempfile.TemporaryFile(dir=Path.cwd()) as file:
        began, count = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < _FSYNC_SECONDS:
            os.pwrite(file.fileno(), block, 0)
            os.fdatasync(file.fileno())
            count += 1
    return count / spent


def _benchmarks() -> dict[str, Path]:
    """Return the modules of the folder that can be run, by name."""
    paths = sorted(_FOLDER.glob("*.py"))
    found = {path.stem: path for path in paths if "\ndef run(" in path.read_text()}
    if not found:
        raise BenchmarksAreMissing
    return found


def load_benchmark(name: str) -> Any:
    """Return the module of a benchmark.

    Refusals
    --------
    benchmarks_are_missing : not in a clone
    """
    path = _benchmarks()[name]
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _keep(folder: Path, report: dict[str, Any]) -> None:
    """Write the results as JSON, and as a page for people."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = report["machine"]["at"][:10]
    (folder / f"{stem}.json").write_text(json.dumps(report, indent=1, default=str) + "\n")
    lines = [f"# Benchmarks of {stem}", ""]
    lines += [f"- {key}: {value}" for key, value in report["machine"].items()]
    for result in report["results"]:
        lines += ["", f"## {result['title']}", "", f"`{result['name']}`, {result['seconds']} s", ""]
        lines.append("| " + " | ".join(map(str, result["columns"])) + " |")
        lines.append("|" + " --- |" * len(result["columns"]))
        lines += ["| " + " | ".join(map(str, row)) + " |" for row in result["rows"]]
        lines += [f"\n{note}" for note in result.get("notes", ())]
    (folder / f"{stem}.md").write_text("\n".join(lines) + "\n")
    err.print(f"kept in {folder}/{stem}.md", highlight=False)
