"""The simulator as a process: `python -m steelyard.simulation.channel --port 8611`."""

from __future__ import annotations

import argparse
import json
import os
import socket
from pathlib import Path

import uvicorn

from steelyard.simulation.channel.app import Simulator


def main() -> None:
    """Serve until SIGTERM, or until the supervisor is gone; the address is printed when it can."""
    parser = argparse.ArgumentParser(description="simulated channels: uni, wechat, alipay")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--store", type=Path, help="file that it remembers in; none: memory")
    parser.add_argument(
        "--credentials", type=Path, help="file it writes what the merchant is given to, as JSON"
    )
    parser.add_argument(
        "--notice-scale", type=float, default=1.0, help="what a second between notices lasts"
    )
    parser.add_argument("--seed", type=int, default=1, help="of rules that hold now and then")
    parser.add_argument(
        "--cut-off", type=float, default=0.0, help="end of a clearing day, hours after midnight"
    )
    chosen = parser.parse_args()
    listening = socket.create_server((chosen.host, chosen.port))
    simulator = Simulator(
        ":memory:" if chosen.store is None else str(chosen.store),
        scale=chosen.notice_scale,
        seed=chosen.seed,
        cut_off_seconds=chosen.cut_off * 3_600,
    )
    url = f"http://{chosen.host}:{listening.getsockname()[1]}"
    if chosen.credentials is not None:
        write_private(chosen.credentials, json.dumps(simulator.seals.credentials(url), indent=1))
    config = uvicorn.Config(simulator, log_level="warning", access_log=False)
    print(json.dumps({"url": url}), flush=True)
    uvicorn.Server(config).run(sockets=[listening])


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
