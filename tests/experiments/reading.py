"""Reads the tables of the experiments."""

from __future__ import annotations

import re
from pathlib import Path

TABLES = Path(__file__).parents[1] / "tables"


def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a table; columns stand two blanks or more apart, or one if so headed."""
    lines = [line for line in (TABLES / name).read_text().splitlines() if line[:1] not in ("", "#")]
    header = re.split(r"\s{2,}", lines[0].strip())
    return [dict(zip(header, re.split(r"\s{2,}", line.strip()), strict=True)) for line in lines[1:]]
