"""Prometheus metrics of the platform, counted over all its processes.

Several HTTP workers and the job worker count into files of one folder (`PROMETHEUS_MULTIPROC_DIR`,
made by `prepare_metrics` before they start); whichever process is scraped adds the files up. What
stands in the database (job states, lag of consumers) is not counted but read when scraped, by
gauges that the rooms register. Labels are names known in code, never ids.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from steelyard.base.settings import Settings
from steelyard.base.telemetry.logs import get_logger

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
disable_created_metrics()  # type: ignore[no-untyped-call]
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0)

HTTP_REQUESTS = Counter(
    "steelyard_http_requests", "HTTP requests answered", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "steelyard_http_request_seconds", "Time to answer", ["method", "route"], buckets=_SECONDS
)
UNITS_OF_WORK = Counter(
    "steelyard_units_of_work", "Transactions ended (committed, refused, failed)", ["outcome"]
)
UNIT_SECONDS = Histogram(
    "steelyard_unit_of_work_seconds", "Time a unit of work was open", buckets=_SECONDS
)
IDEMPOTENCY = Counter(
    "steelyard_idempotent_commands",
    "Commands with a key (done, replayed, in_flight, conflict)",
    ["outcome"],
)
TRANSFERS = Counter("steelyard_ledger_transfers", "Answers of the ledger per transfer", ["answer"])
EVENTS = Counter("steelyard_events_appended", "Events appended to the log", ["kind"])
JOBS = Counter(
    "steelyard_jobs_run",
    "Tries of jobs (done, failed, handed_over, taken_over)",
    ["job", "outcome"],
)
JOB_SECONDS = Histogram(
    "steelyard_job_seconds", "Time a try of a job ran", ["job"], buckets=_LONG_SECONDS
)

Read = Callable[[], Mapping[str, float]]


class _Gauges(Collector):
    """Gauges that are read when somebody asks."""

    def __init__(self) -> None:
        self.reads: dict[str, tuple[str, str, Read]] = {}

    def describe(self) -> list[Metric]:
        """Return nothing: registering must not read anything."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read every gauge; one that cannot be read is absent and counted, never guessed."""
        failed = GaugeMetricFamily(
            "steelyard_gauge_unreadable", "1 for a gauge that could not be read", labels=["gauge"]
        )
        for name, (documentation, label, read) in sorted(self.reads.items()):
            family = GaugeMetricFamily(name, documentation, labels=[label])
            try:
                for value, number in read().items():
                    family.add_metric([value], number)
            except Exception:
                get_logger("telemetry").exception("gauge_unreadable", gauge=name)
                failed.add_metric([name], 1.0)
            else:
                yield family
        yield failed


_GAUGES = _Gauges()


def watch_gauge(name: str, documentation: str, *, label: str, read: Read) -> None:
    """Show a gauge whose values are read at every scrape.

    Parameters
    ----------
    name : `steelyard_...`, with its unit; registered again, the later one counts
    label : name of the one label
    read : label value to number, e.g. the lag of each consumer in events
    """
    _GAUGES.reads[name] = (documentation, label, read)


def prepare_metrics(settings: Settings) -> dict[str, str]:
    """Empty the folder of counts and return the environment that shares it.

    For whoever starts the processes, once, before the first of them: a process decides where it
    counts when it first imports the metrics.
    """
    folder = settings.home / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return {FOLDER: str(folder)}


def expose() -> tuple[bytes, str]:
    """Return the metrics of all processes in the text format of Prometheus, and its media type."""
    folder = os.environ.get(FOLDER)
    counted = REGISTRY
    if folder and Path(folder).is_dir():
        counted = CollectorRegistry()
        MultiProcessCollector(counted, path=folder)  # type: ignore[no-untyped-call]
    read = CollectorRegistry()
    read.register(_GAUGES)
    return generate_latest(counted) + generate_latest(read), CONTENT_TYPE_LATEST


@contextmanager
def timed(histogram: Histogram, **labels: str) -> Iterator[None]:
    """Observe how long the block took, whether it ended well or not."""
    start = time.perf_counter()
    try:
        yield
    finally:
        (histogram.labels(**labels) if labels else histogram).observe(time.perf_counter() - start)
