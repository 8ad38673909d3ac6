"""One HTTP worker: `python -m steelyard.web --fd N` serves a listening socket it inherited."""

from __future__ import annotations

import argparse
import gc

import uvicorn

from steelyard.base import read_settings
from steelyard.base.lifeline import stop_with_parent
from steelyard.web.app import create_app


def main() -> None:
    """Serve until SIGTERM, or until the supervisor is gone."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--fd", type=int, help="descriptor of a listening socket")
    arguments.add_argument("--port", type=int, help="listen here instead")
    chosen = arguments.parse_args()
    stop_with_parent()
    settings = read_settings()
    app = create_app(settings)
    # What is loaded now lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        fd=chosen.fd,
        host=settings.host,
        port=chosen.port or settings.port,
        loop="auto",
        http="httptools",
        access_log=False,
        log_level=settings.log_level.lower(),
        log_config=None,
        timeout_graceful_shutdown=3,
        server_header=False,
    )


if __name__ == "__main__":
    main()
