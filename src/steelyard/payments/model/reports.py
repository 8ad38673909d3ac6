"""Reports: what is asked for, tables as they are shown, and how long a breaker stood open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.orders import Mode

Cell = str | int | float | None
MOST_ROWS: Final = 2_000
MOST_DAYS: Final = 366


class ReportName(StrEnum):
    """What there is a report of."""

    SUCCESS_BY_CHANNEL = "success_by_channel"
    SUCCESS_BY_METHOD = "success_by_method"
    SUCCESS_BY_MERCHANT = "success_by_merchant"
    SUCCESS_BY_HOUR = "success_by_hour"
    DECLINES = "declines"
    CHANNEL_HEALTH = "channel_health"
    FEES = "fees"
    SETTLEMENT = "settlement"
    BREAK_AGEING = "break_ageing"
    REFUNDS_DISPUTES = "refunds_disputes"

    @property
    def is_for_merchants(self) -> bool:
        """Whether a merchant may see it of himself; costs and breaks are the house's own."""
        return self not in _OF_THE_HOUSE


_OF_THE_HOUSE: Final = frozenset(
    {ReportName.CHANNEL_HEALTH, ReportName.FEES, ReportName.BREAK_AGEING}
)
TITLES: Final = {
    ReportName.SUCCESS_BY_CHANNEL: "Success by channel",
    ReportName.SUCCESS_BY_METHOD: "Success by method",
    ReportName.SUCCESS_BY_MERCHANT: "Success by merchant",
    ReportName.SUCCESS_BY_HOUR: "Success by hour of the day",
    ReportName.DECLINES: "Declines by channel and reason",
    ReportName.CHANNEL_HEALTH: "Health of channels",
    ReportName.FEES: "Fees earned, what channels cost, margin",
    ReportName.SETTLEMENT: "Settlement by merchant",
    ReportName.BREAK_AGEING: "Ageing of open breaks",
    ReportName.REFUNDS_DISPUTES: "Refunds and disputes by merchant",
}


class ReportPeriodIsMalformed(Refusal):
    """A report of no time, or of too much."""

    kind = RefusalKind.INVALID
    en = "A report covers more than nothing and at most {days} days, not {since} to {until}."
    zh = "报表区间须大于零且不超过 {days} 天，不能为 {since} 至 {until}。"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a report is about.

    Attributes
    ----------
    since, until : instants; the first is in it, the last is not
    merchant : whose; None: of all
    timezone : by whose clock days and hours are told
    """

    since: datetime
    until: datetime
    mode: Mode = Mode.LIVE
    merchant: UUID | None = None
    timezone: str = "Asia/Shanghai"

    def check(self) -> None:
        """Refuse what cannot be reported.

        Refusals
        --------
        report_period_is_malformed
        """
        if not timedelta(0) < self.until - self.since <= timedelta(days=MOST_DAYS):
            raise ReportPeriodIsMalformed(
                days=MOST_DAYS, since=self.since.isoformat(), until=self.until.isoformat()
            )


@dataclass(frozen=True, slots=True)
class Table:
    """A report.

    Attributes
    ----------
    heads : amounts end in `_minor`, shares in `_rate` (of one), instants in `_at`
    is_cut : whether there are more rows than are shown
    """

    name: ReportName
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_cut: bool = False

    @property
    def title(self) -> str:
        """What stands above it."""
        return TITLES[self.name]

    def as_json(self) -> list[dict[str, Cell]]:
        """Return a mapping from head to cell for each row."""
        return [dict(zip(self.heads, row, strict=True)) for row in self.rows]


class Moved(NamedTuple):
    """A breaker that moved."""

    channel: str
    method: str
    at: datetime
    is_open: bool


def open_seconds(
    moves: Iterable[Moved], since: datetime, until: datetime
) -> dict[tuple[str, str], tuple[float, int]]:
    """Return for how many seconds of a period breakers were not closed, and how often they opened.

    Parameters
    ----------
    moves : in any order; those before the period say how it began

    Returns
    -------
    dict
        By channel and method: seconds within the period, openings within it.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> moves = [Moved("uni", "card", at - timedelta(hours=1), True)]
    >>> open_seconds(moves, at, at + timedelta(minutes=1))
    {('uni', 'card'): (60.0, 0)}
    """
    by_key: dict[tuple[str, str], list[Moved]] = {}
    for move in sorted(moves, key=lambda one: one.at):
        if move.at < until:
            by_key.setdefault((move.channel, move.method), []).append(move)
    found = {}
    for key, told in by_key.items():
        seconds, openings = 0.0, 0
        ends = [move.at for move in told[1:]] + [until]
        was_open = False
        for move, end in zip(told, ends, strict=True):
            if move.is_open:
                begin = max(move.at, since)
                seconds += max((end - begin).total_seconds(), 0.0)
                openings += not was_open and move.at >= since
            was_open = move.is_open
        found[key] = (seconds, openings)
    return found


def with_columns(table: Table, heads: Sequence[str], cells: Sequence[Sequence[Cell]]) -> Table:
    """Return a table with more columns on its right."""
    rows = tuple((*row, *more) for row, more in zip(table.rows, cells, strict=True))
    return Table(table.name, (*table.heads, *heads), rows, table.is_cut)
