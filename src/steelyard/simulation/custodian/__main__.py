"""The custodian as a process: `python -m steelyard.simulation.custodian --port 8612`."""

from __future__ import annotations

import argparse
import json
import os
import socket
from pathlib import Path

import uvicorn

from steelyard.simulation.custodian.app import create_custodian


def main() -> None:
    """Serve until SIGTERM, or until the supervisor is gone; the address is printed when it can.

    The secret comes by the environment (`STEELYARD_CUSTODIAN_SECRET`): arguments can be read.
    """
    parser = argparse.ArgumentParser(description="a simulated custodian bank")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--store", type=Path, help="file that it remembers in; none: memory")
    chosen = parser.parse_args()
    listening = socket.create_server((chosen.host, chosen.port))
    app = create_custodian(
        ":memory:" if chosen.store is None else str(chosen.store),
        secret=os.environ.get("STEELYARD_CUSTODIAN_SECRET", "custodian"),
    )
    print(json.dumps({"url": f"http://{chosen.host}:{listening.getsockname()[1]}"}), flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
