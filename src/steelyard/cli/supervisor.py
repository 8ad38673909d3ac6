"""The processes of a running platform: started together, kept alive, stopped in order.

Each child is a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone. It
inherits the reading end of a pipe that only the supervisor can write to: when the supervisor is
gone, however it went, the pipe ends and the child stops by itself (`base.stop_with_parent`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from steelyard.base.lifeline import LIFELINE

_STOP_SECONDS = 15.0
_STEADY_SECONDS = 30.0
_LONGEST_PAUSE = 15.0


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive.

    Attributes
    ----------
    name : as people see it
    module : run as `python -m module`
    arguments, environment : added to those of the supervisor
    passed : file descriptors that it inherits
    is_quiet : whether what it prints is of no interest; what it logs still is
    is_finished_by : exit status that means "done, do not start again"; None keeps it alive always
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    passed: tuple[int, ...] = ()
    is_quiet: bool = False
    is_finished_by: int | None = None


class Stopped(Exception):
    """Somebody wishes to stop before everything was started."""


class Supervisor:
    """Starts children and keeps them alive until it is told to stop.

    Parameters
    ----------
    say : tells a person one line
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._read, self._write = os.pipe()
        self._stopping = threading.Event()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._watchers: list[threading.Thread] = []
        self._order: list[str] = []

    def start(self, child: Child) -> None:
        """Start a child and watch over it from now on."""
        self._order.append(child.name)
        self._spawn(child)
        watcher = threading.Thread(target=self._watch, args=(child,), daemon=True)
        watcher.start()
        self._watchers.append(watcher)

    def heed_signals(self) -> None:
        """Take SIGINT, SIGTERM and SIGHUP as the wish to stop, from now on."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stopping.set())

    def check(self) -> None:
        """Raise `Stopped` if somebody wishes to stop; called in the midst of long work."""
        if self._stopping.is_set():
            raise Stopped

    def wait(self, every: float, duty: Callable[[], None]) -> None:
        """Do a duty every so many seconds, until somebody wishes to stop."""
        while not self._stopping.wait(every):
            duty()

    def pids(self) -> dict[str, int]:
        """Return the process id of each child that runs."""
        return {n: p.pid for n, p in self._processes.items() if p.poll() is None}

    def stop(self) -> None:
        """Stop the children, the last one started first; kill what does not stop."""
        self._stopping.set()
        for name in reversed(self._order):
            process = self._processes[name]
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    self._say(f"{name} did not stop within {_STOP_SECONDS:.0f} s and was killed")
                    process.kill()
                    process.wait()
        for watcher in self._watchers:
            watcher.join(1)
        os.close(self._write)
        os.close(self._read)

    def _spawn(self, child: Child) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", child.module, *child.arguments],
            env={**os.environ, **child.environment, LIFELINE: str(self._read)},
            pass_fds=(self._read, *child.passed),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if child.is_quiet else None,
            start_new_session=True,
        )
        self._processes[child.name] = process
        return process

    def _watch(self, child: Child) -> None:
        pause = 0.5
        while True:
            process = self._processes[child.name]
            began = time.monotonic()
            status = process.wait()
            if self._stopping.is_set() or status == child.is_finished_by:
                return
            pause = (
                0.5
                if time.monotonic() - began > _STEADY_SECONDS
                else min(pause * 2, _LONGEST_PAUSE)
            )
            self._say(f"{child.name} ended with status {status}; starting it again in {pause:g} s")
            if self._stopping.wait(pause):
                return
            self._spawn(child)
