"""Scorecards: ours beside optbinning with a logistic regression, the same rows and folds.

The peer runs in an environment of its own under the folder for benchmarks of `STEELYARD_HOME`,
made from the package index when it is first asked for: it is 640 MB and never a dependency. The
data are those of `STEELYARD_DATA`; without them, made-up rows of the same forms.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.base import read_settings
from steelyard.decisions import training
from steelyard.decisions.model.metrics import auc

PEER = "optbinning + logistic regression"
REQUIRED = ("optbinning>=1.0", "scikit-learn>=1.7")
NOT_WORSE_THAN = -0.005
_PROGRAM = Path(__file__).parent / "peers" / "optbinning_card.py"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class PeerScores:
    """What the peer reached: AUC of every fold, repeat by repeat, seconds, and its libraries."""

    areas: tuple[float, ...]
    seconds: float
    libraries: dict[str, str]


def environment(home: Path, *, make: bool) -> Path | None:
    """Return the peer's interpreter; None where it is not there and is not to be made."""
    folder = home / "benchmarks" / "optbinning"
    python = folder / "bin" / "python"
    if (folder / "ready").is_file():
        return python
    if not make:
        return None
    shutil.rmtree(folder, ignore_errors=True)
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    if uv is not None:
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "-q", "--python", str(python)]
    else:
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-q"]
    subprocess.run([*install, *REQUIRED], check=True)
    (folder / "ready").touch()
    return python


def ask_peer(
    python: Path,
    table: training.CreditTable,
    rule: training.TrainingRule,
    progress: Progress = lambda stage, done, total: None,
) -> PeerScores:
    """Return what the peer reaches on the rows and folds that `training.train` has."""
    allowed = [
        one
        for one in table.form.attributes
        if rule.scorecard.protected or not one.protected
    ]  # fmt: skip
    columns = {
        f"column_{one.name}": table.columns[one.name]
        if one.is_number
        else np.array([text or "" for text in table.columns[one.name]])
        for one in allowed
    }
    place = np.zeros((rule.repeats, table.rows), dtype=np.int64)
    for repeat in range(rule.repeats):
        cut = training.folds(table.bad, rule.folds, rule.seed + repeat)
        for fold, (_, outside) in enumerate(cut):
            place[repeat, outside] = fold
    form = {
        "names": [one.name for one in allowed],
        "categories": [one.name for one in allowed if not one.is_number],
        "least_iv": rule.scorecard.least_iv,
    }
    total = rule.repeats * rule.folds
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        np.savez(folder / "rows.npz", bad=table.bad, place=place, **columns)
        (folder / "form.json").write_text(json.dumps(form))
        began = time.perf_counter()
        with subprocess.Popen(
            [str(python), str(_PROGRAM), made],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for done, _ in enumerate(process.stdout, 1):
                progress("peer", min(done, total), total)
            told = process.stderr.read()
        if process.returncode:
            raise RuntimeError(f"the peer failed: {told[-2000:]}")
        seconds = time.perf_counter() - began
        scores = np.load(folder / "scores.npy")
        libraries = json.loads((folder / "libraries.json").read_text())
    areas = [
        auc(table.bad[place[repeat] == fold], scores[repeat, place[repeat] == fold])
        for repeat in range(rule.repeats)
        for fold in range(rule.folds)
    ]
    assert None not in areas, "every fold has goods and bads"
    return PeerScores(tuple(one for one in areas if one is not None), seconds, libraries)


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: AUC of both on each data set, the paired difference, and the seconds."""
    home = read_settings().home
    python = environment(home, make=True)
    assert python is not None, "it was to be made"
    rows: list[list[Any]] = []
    libraries: dict[str, str] = {}
    for name, table in _tables(home):
        repeats = 1 if quick or table.rows > 5_000 else 10
        for protected in (True, False):
            rule = training.TrainingRule(
                training.ScorecardRule(protected=protected), repeats=repeats, compare=False
            )
            began = time.perf_counter()
            made = training.train(table, rule)
            seconds = time.perf_counter() - began
            (ours,) = made.areas.values()
            theirs = ask_peer(python, table, rule)
            libraries = theirs.libraries
            paired = [one - other for one, other in zip(ours, theirs.areas, strict=True)]
            told = training.corrected_interval(paired, rule.folds)
            rows.append(
                [
                    name,
                    "all" if protected else "nothing protected",
                    f"{rule.folds} x {repeats}",
                    f"{np.mean(ours):.4f}",
                    f"{np.mean(theirs.areas):.4f}",
                    f"{told.mean:+.4f}",
                    f"{told.low:+.4f} to {told.high:+.4f}",
                    "yes" if told.mean >= NOT_WORSE_THAN else "NO",
                    f"{seconds:.1f} / {theirs.seconds:.1f}",
                ]
            )
    return {
        "title": f"Scorecards: ours beside {PEER}, the same rows and folds",
        "columns": ["data", "attributes", "folds x repeats", "AUC, ours", "AUC, peer",
                    "difference", "95 %", f">= {NOT_WORSE_THAN}", "seconds, ours / peer"],
        "rows": rows,
        "notes": [
            "interval of the paired difference: corrected resampled t over the folds (Nadeau and"
            " Bengio, 2003); binning inside each fold, characteristics under an information value"
            " of 0.01 left out by both",
            ", ".join(f"{name} {version}" for name, version in libraries.items()),
        ],
    }  # fmt: skip


def _tables(home: Path) -> list[tuple[str, training.CreditTable]]:
    folder = Path(os.environ.get("STEELYARD_DATA", ".")) / "credit"
    if folder.is_dir():
        return [
            (path.stem, training.read_credit(path))
            for path in sorted(folder.iterdir())
            if path.suffix in (".data", ".csv")
        ]
    made = training.write_sample(home / "samples" / "credit" / "german.data", training.GERMAN)
    return [("made-up rows", training.read_credit(made))]
