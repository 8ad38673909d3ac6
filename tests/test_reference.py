"""The reference pages say what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


@pytest.mark.parametrize("name", sorted(GENERATOR.PAGES))
def test_the_page_is_the_one_that_the_code_makes(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == GENERATOR.PAGES[name](), "run: python scripts/reference.py"


def test_every_page_of_the_folder_is_made() -> None:
    found = {page.name for page in FOLDER.glob("*.md")}
    assert found == set(GENERATOR.PAGES)


def test_every_entitlement_that_a_route_requires_is_shown() -> None:
    """The generator looks into the routes' dependencies; a look that found nothing would pass."""
    page = (FOLDER / "http.md").read_text(encoding="utf-8")
    assert "| `GET /v1/ledger/books` | `ledger.read` |" in page
    assert page.count("` | `") > 40
