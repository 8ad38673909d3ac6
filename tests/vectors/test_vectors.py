"""Outsiders' numbers: every case of every table, to the cent or the tolerance that it states.

The tables lie beside this module. `STEELYARD_VECTORS` names another folder with files of the same
names and form; a file, section, field or spelling that is not understood fails, it is not skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vectors import china, functions, rates, risk, schedules
from tests.vectors.tables import Case, NotUnderstood, Table, folder, load

READERS: dict[str, Callable[[Table], Iterator[Case]]] = {
    "apr.json": rates.cases,
    "china.json": china.cases,
    "excel.json": functions.cases,
    "fineract_schedules.json": schedules.cases,
    "risk.json": risk.cases,
}


def found_in(path: Path) -> list[Case]:
    """Return every case of a folder; what cannot be read is a case that fails."""
    cases: list[Case] = []
    for file in sorted(path.glob("*.json")):
        reader = READERS.get(file.name)
        if reader is None:
            cases.append(_failing(file.name, f"no reader for the table {file.name}"))
            continue
        try:
            of_file = list(reader(load(file)))
        except (ValueError, KeyError, TypeError, AttributeError, NotUnderstood) as error:
            of_file = [_failing("table", f"{file.name} cannot be read: {error!r}")]
        cases += [Case(f"{file.stem}: {label}", check) for label, check in of_file]
    return cases or [_failing("folder", f"no table in {path}")]


def _failing(label: str, why: str) -> Case:
    def check() -> None:
        raise NotUnderstood(why)

    return Case(label, check)


@pytest.mark.parametrize("case", found_in(folder()), ids=lambda case: case.id)
def test_a_case_comes_out_as_published(case: Case) -> None:
    case.check()
