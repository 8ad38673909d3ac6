"""A load generator in a process of its own: prepared requests, closed loop or at a steady pace.

In a closed loop each connection sends its next request when the answer to the one before is there:
the most that a server does. At a pace, request n is due at n / rate seconds whatever the server
does, and its latency counts from that instant: a server that stalls is not spared what would have
come meanwhile. Protocols on bare sockets, some twenty microseconds of CPU a request.
"""

from __future__ import annotations

import asyncio
import gc
import pickle
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop


@dataclass(frozen=True, slots=True)
class Run:
    """What a run showed, in the order of the requests.

    Attributes
    ----------
    latencies_ms : of each request
    statuses, bodies : of each answer
    cpu_seconds : that the generator took
    """

    seconds: float
    cpu_seconds: float
    latencies_ms: tuple[float, ...]
    statuses: tuple[int, ...]
    bodies: tuple[bytes, ...]

    @property
    def rate(self) -> float:
        return len(self.statuses) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run_paced(
    port: int, requests: Sequence[bytes], *, connections: int, rate: float | None = None
) -> Run:
    """Send every request once from another process; at `rate` a second, or as fast as answered."""
    with TemporaryDirectory() as folder:
        job, told = Path(folder, "job"), Path(folder, "told")
        job.write_bytes(pickle.dumps((port, list(requests), connections, rate)))
        subprocess.run([sys.executable, __file__, str(job), str(told)], check=True, timeout=600)
        return Run(**pickle.loads(told.read_bytes()))


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self.load = load
        self.held = b""
        self.number = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.load.free(self)

    def send(self, number: int) -> None:
        self.number = number
        self.transport.write(self.load.requests[number])  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        held = self.held + data if self.held else data
        end = held.find(b"\r\n\r\n")
        if end >= 0:
            at = held.lower().find(b"content-length:", 0, end)
            stop = held.find(b"\r\n", at)
            if len(held) >= end + 4 + int(held[at + 15 : stop]):
                self.held = b""
                self.load.answered(self, int(held[9:12]), held[end + 4 :])
                return
        self.held = held


class _Load:
    def __init__(self, requests: list[bytes], rate: float | None) -> None:
        self.requests, self.rate = requests, rate
        self.due = [0.0] * len(requests)
        self.latencies = [0.0] * len(requests)
        self.statuses = [0] * len(requests)
        self.bodies = [b""] * len(requests)
        self.next, self.left = 0, len(requests)
        self.idle: deque[_Connection] = deque()
        self.late: deque[int] = deque()
        self.done = asyncio.get_running_loop().create_future()

    def free(self, connection: _Connection) -> None:
        """Give a connection its next request: the next of all, or the oldest that is due."""
        if self.rate is None and self.next < len(self.requests) and self.began:
            self.due[self.next] = time.perf_counter()
            connection.send(self.next)
            self.next += 1
        elif self.late:
            connection.send(self.late.popleft())
        else:
            self.idle.append(connection)

    began = 0.0

    def begin(self) -> None:
        self.began = time.perf_counter()
        if self.rate is None:
            for connection in [self.idle.popleft() for _ in range(len(self.idle))]:
                self.free(connection)
        else:
            self.tick()

    def tick(self) -> None:
        """Send what is due."""
        assert self.rate is not None
        now = time.perf_counter()
        due = min(len(self.requests), int((now - self.began) * self.rate) + 1)
        for number in range(self.next, due):
            self.due[number] = self.began + number / self.rate
            if self.idle:
                self.idle.popleft().send(number)  # in turn: a server hangs up on who is idle
            else:
                self.late.append(number)
        self.next = due
        if due < len(self.requests):
            pause = self.began + due / self.rate - time.perf_counter()
            asyncio.get_running_loop().call_later(max(0.0, pause), self.tick)

    def answered(self, connection: _Connection, status: int, body: bytes) -> None:
        number = connection.number
        self.latencies[number] = (time.perf_counter() - self.due[number]) * 1_000
        self.statuses[number], self.bodies[number] = status, body
        self.left -= 1
        if self.left:
            self.free(connection)
        else:
            self.done.set_result(None)


async def _drive(
    port: int, requests: list[bytes], connections: int, rate: float | None
) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    load = _Load(requests, rate)
    made = [
        await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port)
        for _ in range(connections)
    ]
    gc.collect()
    gc.freeze()
    gc.disable()
    spent = time.process_time()
    load.begin()
    await load.done
    seconds = time.perf_counter() - load.began
    for transport, _ in made:
        transport.close()
    return {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - spent,
        "latencies_ms": tuple(load.latencies),
        "statuses": tuple(load.statuses),
        "bodies": tuple(load.bodies),
    }


if __name__ == "__main__":
    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    Path(sys.argv[2]).write_bytes(pickle.dumps(uvloop.run(_drive(*job))))
