"""The process behind the web: runs the jobs, delivers the facts, notes the business clock.

`python -m steelyard.web.worker` runs until SIGTERM, or until its supervisor is gone.
"""

from __future__ import annotations

import gc
import signal
import threading

from steelyard.base import Database, StoredBusinessClock, read_settings
from steelyard.base.jobs import run_worker
from steelyard.base.lifeline import stop_with_parent
from steelyard.base.telemetry import configure_logs, configure_tracing, get_logger
from steelyard.events import Runner
from steelyard.web.platform import open_platform
from steelyard.web.rooms import CONSUMERS

_BEAT_SECONDS = 1.0


def main() -> None:
    """Work until told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop_with_parent(stop.set)
    settings = read_settings()
    configure_logs(settings)
    configure_tracing(settings)
    with open_platform(settings) as platform, Runner(platform.database, CONSUMERS):
        beating = threading.Thread(target=_beat, args=(platform.database, stop), daemon=True)
        beating.start()
        gc.collect()
        gc.freeze()
        run_worker(platform.database, stop=stop, platform=platform)
        stop.set()
        beating.join()


def _beat(database: Database, stop: threading.Event) -> None:
    """Note how far the business clock is, so that it goes on from there after everything died."""
    if not isinstance(database.clock, StoredBusinessClock):
        return
    while not stop.wait(_BEAT_SECONDS):
        try:
            with database.unit_of_work() as unit:
                database.clock.beat(unit.connection)
        except Exception as error:  # the database went away: the next beat finds it again
            get_logger("worker").warning("clock_not_noted", error=str(error))


if __name__ == "__main__":
    main()
