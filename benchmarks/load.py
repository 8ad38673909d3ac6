"""A load generator that costs little: prepared HTTP/1.1 requests over kept-alive connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of requests showed: rate, and latencies in milliseconds."""

    requests: int
    seconds: float
    latencies_ms: tuple[float, ...]
    statuses: dict[int, int]
    bodies: tuple[bytes, ...]

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> tuple:
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return int(head[9:12]), await reader.readexactly(length)


async def _run(port: int, requests: Sequence[bytes], connections: int) -> Load:
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    bodies: list[bytes] = []
    waiting = iter(requests)

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for sent in waiting:
            began = time.perf_counter()
            status, body = await _one(reader, writer, sent)
            latencies.append((time.perf_counter() - began) * 1000)
            statuses[status] = statuses.get(status, 0) + 1
            bodies.append(body)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(connections)))
    seconds = time.perf_counter() - began
    return Load(len(requests), seconds, tuple(latencies), statuses, tuple(bodies))


def run_load(port: int, requests: Sequence[bytes], *, connections: int) -> Load:
    """Send every request once, over some connections, each waiting for its answer."""
    return asyncio.run(_run(port, requests, connections))
