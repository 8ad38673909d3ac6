"""Tables of outsiders' numbers: where they lie, and how a case is read or refused."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

DELIVERED = Path(__file__).parent / "data"

Table = Mapping[str, Any]


class NotUnderstood(AssertionError):
    """A case, a field or a spelling that the runner has no meaning for; never passed over."""


class Case(NamedTuple):
    """A case of a table, and what proves it."""

    id: str
    check: Callable[[], None]


def folder() -> Path:
    """Return the folder of tables: `STEELYARD_VECTORS`, else the one delivered."""
    named = os.environ.get("STEELYARD_VECTORS")
    return Path(named) if named else DELIVERED


def load(path: Path) -> Any:
    """Return what a table holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def named(found: Any, prefix: str) -> Iterator[tuple[str, Table]]:
    """Return the cases of a list, each with the name it goes by."""
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise NotUnderstood(f"{prefix}: a list of cases is expected, not {type(found).__name__}")
    for nr, case in enumerate(found, 1):
        label = case.get("id", nr) if isinstance(case, Mapping) else nr
        yield f"{prefix}[{label}]", case


_SAYS_WHENCE = re.compile(
    r"(note|comment|remark|url|link|title|label|source|origin|confidence|licen[cs]e|method|doc"
    r"|library|curo|ffiec|author|ref|page|extracted|covers|group|published_answer)(_|$)"
)
"""Fields that say where a case comes from, and change nothing of it."""


def only(case: Table, known: set[str], where: str) -> None:
    """Refuse a case with a field that says something the runner would pass over."""
    extra = {
        key: value
        for key, value in case.items()
        if key not in known and not _empty(value) and not _SAYS_WHENCE.match(key)
    }
    if extra:
        raise NotUnderstood(f"{where}: no meaning is known for {extra}")


def _empty(value: object) -> bool:
    return value is None or value in (0, False, "", "0", [], {})


def unknown(section: str, found: object) -> Case:
    """Return a case that fails because nobody knows its section."""

    def check() -> None:
        raise NotUnderstood(f"section {section!r} is not understood: {str(found)[:200]}")

    return Case(section, check)


def minor(amount: object, exponent: int = 2) -> int:
    """Return an amount of a table, a decimal in words, in minor units."""
    scaled = Decimal(str(amount).replace(",", "")).scaleb(exponent)
    if scaled != scaled.to_integral_value():
        raise NotUnderstood(f"{amount} has more than {exponent} decimals")
    return int(scaled)


def day(text: object) -> date:
    """Return a date of a table."""
    return date.fromisoformat(str(text))


def is_day(value: object) -> bool:
    """Return whether a value is a date in words."""
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None


def tolerance_of(case: Table) -> float | None:
    """Return the tolerance that a case asks for, in a field of its own or in words."""
    for name in ("tolerance", "abs_tol", "tolerance_percent"):
        if case.get(name) is not None:
            return float(case[name])
    words = f"{case.get('published_answer_confidence', '')} {case.get('note', '')}"
    found = re.search(r"tolerance (?:of )?(\d*\.\d+)", words)
    return float(found[1]) if found else None


def digits(published: object) -> int:
    """Return the digits after the point of a published number."""
    text = str(published)
    return len(text.partition(".")[2])


def near(found: float | Decimal, published: object, tolerance: float | None = None) -> None:
    """Assert that a number rounds to the published one, or is within a given tolerance."""
    within = 0.5 * 10.0 ** -digits(published) * (1 + 1e-9) if tolerance is None else tolerance
    gap = abs(float(found) - float(str(published)))
    assert gap <= within + 1e-15, f"{found} for {published}, {gap} apart"
