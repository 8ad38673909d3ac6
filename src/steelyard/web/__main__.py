"""One HTTP worker: `python -m steelyard.web --fd N` serves a listening socket it inherited."""

from __future__ import annotations

import argparse
import gc
import socket

import uvicorn

from steelyard.base import read_settings
from steelyard.base.lifeline import stop_with_parent
from steelyard.base.telemetry import configure_logs, configure_tracing
from steelyard.web.app import create_app


def main() -> None:
    """Serve until SIGTERM, or until the supervisor is gone."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--fd", type=int, help="descriptor of a listening socket")
    arguments.add_argument("--port", type=int, help="listen here instead")
    chosen = arguments.parse_args()
    stop_with_parent()
    settings = read_settings()
    configure_logs(settings)
    configure_tracing(settings)
    app = create_app(settings)
    # What is loaded now lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    if chosen.fd is not None:
        # Handed over as a socket: uvicorn takes a bare descriptor for a Unix socket, and so leaves
        # Nagle's algorithm on, which costs 40 ms a request on a kept-alive connection.
        listening = socket.socket(fileno=chosen.fd)
    else:
        listening = socket.create_server((settings.host, chosen.port or settings.port))
    config = uvicorn.Config(
        app,
        loop="auto",
        http="httptools",
        access_log=False,
        log_level="debug" if settings.log_level == "DEBUG" else "warning",
        log_config=None,
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
