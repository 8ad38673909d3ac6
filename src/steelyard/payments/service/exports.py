"""Exports: what leaves as a file has a bounded number of rows, and who took it is in the trail."""

from __future__ import annotations

from typing import Final

from steelyard.base import Database
from steelyard.base.audit import audit
from steelyard.kernel import Refusal, RefusalKind

__all__ = ["MOST_ROWS", "ExportIsTooLong", "note"]

MOST_ROWS: Final = 200_000
"""Twice what the longest file of debits has."""


class ExportIsTooLong(Refusal):
    """The file would have more rows than one export may have."""

    kind = RefusalKind.TOO_LARGE
    en = "An export holds at most {most} rows; this one would hold {found}."
    zh = "单次导出最多 {most} 行，本次为 {found} 行。"


def note(database: Database, *, what: str, subject: str, rows: int, actor: str) -> None:
    """Enter an export into the audit trail, before it is handed over.

    Parameters
    ----------
    what : is exported, a short word; subject : `noun:id` of what it is about

    Refusals
    --------
    export_is_too_long
    """
    if rows > MOST_ROWS:
        raise ExportIsTooLong(most=MOST_ROWS, found=rows)
    detail = {"what": what, "rows": rows}
    database.transact(
        lambda unit: audit(unit, action="payments.export", subject=subject, detail=detail),
        actor=actor,
    )
