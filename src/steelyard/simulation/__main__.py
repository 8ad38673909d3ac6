"""The town as a process: `python -m steelyard.simulation --url ... --key-file ...`."""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import threading
from datetime import date
from pathlib import Path
from types import FrameType

import httpx
import msgspec

from steelyard.base import read_settings
from steelyard.base.lifeline import stop_with_parent
from steelyard.base.telemetry import configure_logs
from steelyard.parties import RequestSigner
from steelyard.simulation.life import Pace, Stopped, TownClient, live, play_history
from steelyard.simulation.life.custody import Custody
from steelyard.simulation.life.outside import Outside
from steelyard.simulation.model import OPENS_ON, Plan


def main() -> None:
    """Play the history that is missing, then live on until SIGTERM."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", required=True, help="address of the platform")
    arguments.add_argument("--key-file", required=True, type=Path, help='JSON: {"key", "secret"}')
    arguments.add_argument("--history", type=int, default=60, help="days of history")
    arguments.add_argument("--speed", type=float, default=120.0, help="virtual s in a real one")
    arguments.add_argument("--customers", type=int, default=300)
    arguments.add_argument("--terminals", type=int, default=600)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--opens-on", type=date.fromisoformat, default=OPENS_ON)
    arguments.add_argument("--channels", help="address of the simulated channels; none: no channel")
    arguments.add_argument("--custodian", help="address of the simulated custodian; none: none")
    arguments.add_argument("--disk-limit-mb", type=int, default=2_000)
    chosen = arguments.parse_args()
    # The town can be stopped anywhere, also while it waits for an answer: what it was about to do
    # was announced, and is done again.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    stop_with_parent()
    configure_logs(read_settings())
    plan = Plan(chosen.seed, chosen.customers, chosen.terminals, chosen.opens_on)
    pace = Pace(disk_limit_bytes=chosen.disk_limit_mb * 1_000_000)
    stop = threading.Event()
    signer = _signer(chosen.key_file)
    with httpx.Client(base_url=chosen.url, auth=signer, trust_env=False) as http:
        client = TownClient(http, stop=stop)
        try:
            play_history(client, plan, days=chosen.history)
            gc.collect()
            gc.freeze()
            with (
                httpx.Client(base_url=chosen.channels or "", trust_env=False) as channels,
                httpx.Client(base_url=chosen.custodian or "", trust_env=False) as bank,
            ):
                custody = Custody(bank, channels) if chosen.custodian else None
                outside = Outside(channels, plan.seed, custody) if chosen.channels else None
                live(client, plan, speed=chosen.speed, stop=stop, pace=pace, outside=outside)
        except Stopped:
            pass


class _Key(msgspec.Struct):
    """What the key file holds, as JSON."""

    key: str
    secret: str


def _signer(path: Path) -> RequestSigner:
    found = msgspec.json.decode(path.read_bytes(), type=_Key)
    return RequestSigner(found.key, found.secret)


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
