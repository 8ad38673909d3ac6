"""The whole platform in processes of its own: started, hurt, stopped, started again."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

PATIENCE = 120.0
LOOK = 0.1
"""Seconds between two looks at processes that nobody can be told of."""
NEVER = Event()


class Platform:
    """`steelyard up` in a home of its own, and what it has printed so far."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.log = home.parent / "up.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STEELYARD_")}
        self.environment = {**environment, "STEELYARD_HOME": str(home), "COLUMNS": "200"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "steelyard.cli", "up", *options],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, what: Callable[[], Any]) -> Any:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(httpx.HTTPError):
                if found := what():
                    return found
            assert self.process.poll() is None, self.log.read_text()
            NEVER.wait(LOOK)
        raise AssertionError(self.log.read_text())

    @property
    def address(self) -> str:
        pattern = r"(?m)^(http://127\.0\.0\.1:\d+)  ·  docs"
        found = self.wait_for(lambda: re.search(pattern, self.log.read_text()))
        return str(found.group(1))

    def get(self, path: str) -> Any:
        demo = json.loads((self.home / "demo.json").read_text())
        bearer = {"Authorization": f"Bearer {demo['development']['secret']}"}
        with httpx.Client(base_url=self.address, headers=bearer, trust_env=False) as client:
            answer = client.get(path, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def run(self, *command: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "steelyard.cli", *command, "--json"],
            env=self.environment,
            capture_output=True,
            check=True,
            timeout=PATIENCE,
        )
        return json.loads(done.stdout)

    def refusal(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "steelyard.cli", *command, "--json"],
            env=self.environment,
            capture_output=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 1, done.stderr
        code: str = json.loads(done.stderr)["code"]
        return code

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def processes_of(home: Path) -> dict[int, str]:
    """Every live process that was started for a home, by its environment or command line."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(home).encode() in environment and command:
            found[int(folder.name)] = command
    return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    folder.mkdir()
    yield folder
    for pid in processes_of(folder):
        os.kill(pid, signal.SIGKILL)


SMALL = ("--history", "2", "--customers", "20", "--speed", "600", "--workers", "1")


def test_it_lives_survives_and_goes_on(home: Path) -> None:
    busy = socket.create_server(("127.0.0.1", 0))
    port = busy.getsockname()[1]
    up = Platform(home, *SMALL, "--port", str(port))
    try:
        assert up.address != f"http://127.0.0.1:{port}"
        assert f"port {port} is busy" in up.log.read_text()
        assert up.wait_for(lambda: up.get("/readyz")["ok"])
        before = up.get("/v1/ledger/books/town")["transfers"]
        assert before > 0
        up.wait_for(lambda: up.get("/v1/ledger/books/town")["transfers"] > before)
        _kill(home, "steelyard.web --fd")
        up.wait_for(lambda: "web 1 ended with status -9" in up.log.read_text())
        up.wait_for(lambda: up.get("/readyz")["ok"])
        consumers = up.wait_for(lambda: up.get("/v1/events/consumers")["items"])
        assert consumers[0]["dead_letters"] == 0
        books = {row["book"]: row for row in up.run("ledger", "verify")}
        assert all(row["sound"] for row in books.values())
        (day,) = up.run("payments", "day")
        assert [tie["why"] for tie in day["tie_outs"]] == ["ties_out"]
        assert len(up.run("parties", "code", "maker")["code"]) == 6
        assert up.refusal("parties", "rotate-keys", "--new") == "platform_is_running"
    finally:
        status = up.stop()
        busy.close()
    assert status == 0, up.log.read_text()
    assert processes_of(home) == {}
    assert up.run("parties", "rotate-keys", "--new")[0]["rewrapped"] > 0

    again = Platform(home, *SMALL)
    try:
        assert again.get("/v1/ledger/books/town")["transfers"] >= books["town"]["transfers"]
        again.process.kill()
        again.process.wait(30)
        until = time.monotonic() + 40
        while processes_of(home) and time.monotonic() < until:
            NEVER.wait(LOOK)
        assert processes_of(home) == {}, "children outlive a supervisor that was killed"
    finally:
        again.stop()


def _kill(home: Path, what: str) -> None:
    (victim, *_) = [pid for pid, command in processes_of(home).items() if what in command]
    os.kill(victim, signal.SIGKILL)


def test_demo_people_are_refused_in_production(home: Path) -> None:
    environment = {**os.environ, "STEELYARD_HOME": str(home), "STEELYARD_ENV": "production"}
    for command in (["parties", "code", "maker"], ["parties", "reset", "maker"]):
        done = subprocess.run(
            [sys.executable, "-m", "steelyard.cli", *command],
            env={**environment, "STEELYARD_MASTER_KEY": "A" * 43 + "="},
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 1
        assert b"refused_in_production" in done.stderr
