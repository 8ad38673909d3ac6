"""Reads the tables that a finance reader can check."""

from __future__ import annotations

from pathlib import Path

TABLES = Path(__file__).parents[1] / "tables"


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table of columns separated by blanks, by the words of its first line."""
    lines = [
        line.split()
        for line in (TABLES / name).read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    head, *body = lines
    return [dict(zip(head, line, strict=True)) for line in body]
