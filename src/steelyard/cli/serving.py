"""The platform served inside a command, for the command alone."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn
from fastapi import Request

from steelyard.base import NoPolicyGate, Settings
from steelyard.base.http import Caller, NotSignedIn
from steelyard.web.app import create_app
from steelyard.web.platform import SteelyardPlatform, open_platform

_START_SECONDS = 60.0


class _OneCaller:
    """Knows the command's own token, and nobody else."""

    def __init__(self, token: str) -> None:
        self._shown = f"Bearer {token}"

    def verify(self, request: Request, body: bytes) -> Caller:
        """Return the command as the caller, or refuse."""
        shown = request.headers.get("authorization", "")
        if not secrets.compare_digest(shown.encode(), self._shown.encode()):
            raise NotSignedIn
        return Caller("system:command", frozenset({"*"}))


@contextmanager
def serve_alone(settings: Settings, token: str, *, has_owner: bool = False) -> Iterator[str]:
    """Serve the platform on a free port of this machine's loopback; yield the address.

    Parameters
    ----------
    token : the bearer that is let in, known to this process only
    has_owner : whether a process decides beside it; without one the town meets no policy
    """

    @contextmanager
    def opener(chosen: Settings) -> Iterator[SteelyardPlatform]:
        with open_platform(chosen) as platform:
            gate = platform.gate if has_owner else NoPolicyGate()
            yield replace(platform, verifier=_OneCaller(token), gate=gate)

    app = create_app(settings, opener=opener)
    server = _Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, name="server", daemon=True)
    thread.start()
    try:
        if not server.has_started.wait(_START_SECONDS) or not server.started:
            raise RuntimeError("the server inside the command did not start")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_START_SECONDS)


class _Server(uvicorn.Server):
    """A server in a thread that says when it has started, or has given up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = threading.Event()

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Start, and say so."""
        try:
            await super().startup(sockets)  # type: ignore[arg-type]
        finally:
            self.has_started.set()
