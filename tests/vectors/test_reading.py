"""What the runner of the tables does not understand fails with a word, and is never passed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.tables import DELIVERED, NotUnderstood
from tests.vectors.test_vectors import READERS, found_in

Change = Callable[[Any], None]


def tables() -> dict[str, Any]:
    return {name: json.loads((DELIVERED / name).read_text("utf-8")) for name in READERS}


def run(folder: Path) -> list[str]:
    """Return what each failing case of a folder says."""
    said = []
    for case in found_in(folder):
        try:
            case.check()
        except (AssertionError, KeyError, ValueError, TypeError) as error:
            said.append(f"{case.id}: {error}")
    return said


def test_another_folder_of_the_same_form_runs_as_it_is(tmp_path: Path) -> None:
    for name, table in tables().items():
        (tmp_path / name).write_text(json.dumps(table, ensure_ascii=False), "utf-8")
    assert run(tmp_path) == []
    assert len(found_in(tmp_path)) == len(found_in(DELIVERED))


@pytest.mark.parametrize("name", ["notes.json", "apr.json"])
def test_a_table_that_cannot_be_read_fails(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[", "utf-8")
    assert len(run(tmp_path)) == 1


def test_an_empty_folder_fails(tmp_path: Path) -> None:
    assert "no table" in run(tmp_path)[0]


def fineract(change: Change) -> tuple[str, Change]:
    return "fineract_schedules.json", lambda table: change(table["cases"][0])


CHANGES: dict[str, tuple[str, Change]] = {
    "section": ("risk.json", lambda table: table.update(duration=[{"x": 1}])),
    "function": ("excel.json", lambda table: table["cases"][0].update(function="ODDFPRICE")),
    "argument": ("excel.json", lambda table: table["cases"][0]["args"].__setitem__(0, "A1")),
    "field": ("apr.json", lambda table: table["regz"][0].update(balloon="7")),
    "unit": ("apr.json", lambda table: table["regz"][0].update(unit_period="1 moon")),
    "kind": ("china.json", lambda table: table["schedules"][0].update(kind="等比递增")),
    "figure": ("china.json", lambda table: table["knowns"][0]["computed"].update(fee="1")),
    "ticket": (
        "fineract_schedules.json",
        lambda table: table["issue_vectors"][0].update(id="FINERACT-1"),
    ),
    "input": fineract(lambda case: case["input"].update(capitalised_income="5")),
    "day count": fineract(lambda case: case["input"].update(day_count="ACT/366")),
    "amortisation": fineract(lambda case: case["input"].update(amortisation="sum_of_digits")),
    "multiple": fineract(lambda case: case["input"].update(installment_multiple_of="5 (cows)")),
    "event": fineract(
        lambda case: case["input"].update(events=[{"type": "pray", "on": "2024-01-01"}])
    ),
    "expected": fineract(lambda case: case["expected"].update(overdue="5")),
    "row": fineract(lambda case: case["expected"]["rows"][0].update(chargeback="5")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_has_no_meaning_fails_with_a_word(tmp_path: Path, change: tuple[str, Change]) -> None:
    name, apply = change
    table = deepcopy(tables()[name])
    apply(table)
    (tmp_path / name).write_text(json.dumps(table, ensure_ascii=False), "utf-8")
    failing = [case for case in found_in(tmp_path) if _fails(case.check)]
    assert len(failing) == 1


def _fails(check: Callable[[], None]) -> bool:
    try:
        check()
    except NotUnderstood:
        return True
    return False


WRONG: dict[str, tuple[str, Change]] = {
    "a cent of a row": fineract(lambda case: case["expected"]["rows"][2].update(interest="64.06")),
    "a row too few": fineract(lambda case: case["expected"]["rows"].pop()),
    "the interest": fineract(lambda case: case["expected"].update(total_interest="353.38")),
    "an APR": ("apr.json", lambda table: table["regz"][0].update(published_apr_percent="9.70")),
    "a function": ("excel.json", lambda table: table["cases"][0].update(expected=-1037.04)),
    "a matrix": ("risk.json", lambda table: table["markov"]["after_months"][5].__setitem__(0, 0.9)),
    "a category": (
        "china.json",
        lambda table: table["five_category"]["boundary_cases"].append([91, "关注"]),
    ),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_wrong_number_fails(tmp_path: Path, change: tuple[str, Change]) -> None:
    name, apply = change
    table = deepcopy(tables()[name])
    apply(table)
    (tmp_path / name).write_text(json.dumps(table, ensure_ascii=False), "utf-8")
    assert len(run(tmp_path)) == 1
