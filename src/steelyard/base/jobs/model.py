"""What a job is: its name, its function, when it runs, how often it is tried again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, get_type_hints
from zoneinfo import ZoneInfo

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _every_day(on: date) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Daily:
    """A schedule of the business clock: at a local time, on the days that a calendar names.

    No day is left out: when the platform stood still, or the business clock runs fast, each missed
    day has its own tick, in order.

    Attributes
    ----------
    at : local wall time
    zone : IANA name of the time zone
    on : whether the business date is a day of the schedule; every day by default

    Examples
    --------
    >>> close = Daily(time(23, 30), "Asia/Shanghai", on=lambda on: on.weekday() < 5)
    >>> friday = datetime(2026, 3, 6, 16, 0, tzinfo=UTC)
    >>> [t.isoformat() for t in close.ticks(friday, friday + timedelta(days=3))]
    ['2026-03-09T15:30:00+00:00']
    """

    at: time
    zone: str
    on: Callable[[date], bool] = _every_day

    def __post_init__(self) -> None:
        assert self.at.tzinfo is None, "the zone is an argument of its own"
        ZoneInfo(self.zone)

    def ticks(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the instants of the schedule in (after, until], in order, in UTC.

        A local time that summer time skips is taken as if the clocks had not been moved; one that
        comes twice is taken the first time: a date has one tick, never none or two.
        """
        zone = ZoneInfo(self.zone)
        on = after.astimezone(zone).date()
        last = until.astimezone(zone).date()
        while on <= last:
            tick = datetime.combine(on, self.at, zone).astimezone(UTC)
            if after < tick <= until and self.on(on):
                yield tick
            on += timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Every:
    """A schedule of the real clock, for technical work: once a period, missed ones are left out.

    Examples
    --------
    >>> noon = datetime(2026, 3, 6, 12, 0, tzinfo=UTC)
    >>> minutely = Every(timedelta(minutes=1))
    >>> [t.isoformat() for t in minutely.ticks(noon, noon + timedelta(minutes=3.5))]
    ['2026-03-06T12:03:00+00:00']
    """

    period: timedelta

    def __post_init__(self) -> None:
        assert self.period >= timedelta(seconds=1), "jobs are looked for about once a second"

    def ticks(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the last instant of the schedule in (after, until], if there is one."""
        tick = _EPOCH + (until - _EPOCH) // self.period * self.period
        if tick > after:
            yield tick


Schedule = Daily | Every


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a failing job is tried, and how long it waits in between (real time).

    Attributes
    ----------
    attempts : tries in all; the job is dead after the last one
    first, factor, most : the wait after the first try, how it grows, where it stops growing

    Examples
    --------
    >>> [Retry().wait(failed).total_seconds() for failed in (1, 2, 3, 20)]
    [2.0, 8.0, 32.0, 600.0]
    """

    attempts: int = 5
    first: timedelta = timedelta(seconds=2)
    factor: int = 4
    most: timedelta = timedelta(minutes=10)

    def __post_init__(self) -> None:
        assert self.attempts >= 1
        assert self.factor >= 1

    def wait(self, failed: int) -> timedelta:
        """Return the wait after `failed` tries."""
        wait = self.first
        for _ in range(failed - 1):
            if wait >= self.most:
                break
            wait *= self.factor
        return min(wait, self.most)


@dataclass(frozen=True, slots=True)
class Job:
    """A function that workers run, registered under a name.

    Attributes
    ----------
    name : `room.verb`, stable: jobs that wait in the database are found by it
    work : `work(context, **args)`; it may run more than once, so it is idempotent or works in steps
    """

    name: str
    work: Callable[..., object]
    queue: str
    schedule: Schedule | None
    retry: Retry
    _hints: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def pack(self, args: Mapping[str, object]) -> dict[str, Any]:
        """Return the arguments as JSON values; arguments that `work` does not take are a fault."""
        inspect.signature(self.work).bind(None, **args)
        packed: dict[str, Any] = msgspec.to_builtins(dict(args))
        return packed

    def unpack(self, packed: Mapping[str, Any]) -> dict[str, Any]:
        """Return stored arguments in the types that `work` is annotated with."""
        if not self._hints:
            self._hints.update(get_type_hints(self.work))
        return {
            name: msgspec.convert(value, self._hints.get(name, Any))
            for name, value in packed.items()
        }


_JOBS: dict[str, Job] = {}


def job(
    name: str,
    *,
    queue: str = "default",
    schedule: Schedule | None = None,
    retry: Retry | None = None,
) -> Callable[[Callable[..., object]], Job]:
    """Register a function as a job.

    Parameters
    ----------
    name : `room.verb`
    queue : which workers take it; all do unless told otherwise
    schedule : when it is deferred by itself, once a tick over all processes; its function takes
        no arguments then and finds the instant in `context.tick`
    retry : five tries over about three minutes unless told otherwise

    Examples
    --------
    >>> @job("lamps.light")
    ... def light(context, *, lamp: str) -> None: ...
    >>> light.pack({"lamp": "a"})
    {'lamp': 'a'}
    """

    def register(work: Callable[..., object]) -> Job:
        made = Job(name, work, queue, schedule, retry or Retry())
        known = _JOBS.get(name)
        assert known is None or _place(known.work) == _place(work), f"two jobs are named {name}"
        if schedule is not None:
            made.pack({})
        _JOBS[name] = made
        return made

    return register


def _place(work: Callable[..., object]) -> tuple[str, str]:
    return work.__module__, work.__qualname__


def jobs() -> Mapping[str, Job]:
    """Return the registry: every job of the modules that are loaded, by name."""
    return _JOBS
