"""`steelyard up`: the whole platform on this machine, until Ctrl-C."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import Annotated

import httpx
import typer
from rich.markup import escape

from steelyard.base import Settings, read_settings
from steelyard.base.schema import migrate, revisions
from steelyard.cli.output import out
from steelyard.cli.supervisor import Child, Supervisor
from steelyard.kernel import Refusal, RefusalKind
from steelyard.web.platform import open_database_server

_PORTS_TRIED = 50
_START_SECONDS = 60.0


class NoPortIsFree(Refusal):
    """Neither the port asked for nor any of the next ones is free."""

    kind = RefusalKind.UNAVAILABLE
    en = "No port from {first} to {last} is free on {host}."
    zh = "{host} 上 {first} 到 {last} 的端口均被占用。"


class ServerDidNotStart(Refusal):
    """The HTTP workers do not answer."""

    kind = RefusalKind.UNAVAILABLE
    en = "The server did not answer within {seconds} s; the lines above say why."
    zh = "服务在 {seconds} 秒内没有响应，原因见上方输出。"


def up(
    port: Annotated[int | None, typer.Option(help="first port to try")] = None,
    workers: Annotated[int | None, typer.Option(help="HTTP processes")] = None,
    speed: Annotated[float, typer.Option(help="virtual seconds in one real second")] = 120.0,
    town: Annotated[bool, typer.Option(help="let the simulated town live")] = True,
    history: Annotated[int, typer.Option(help="days of history the first run plays")] = 60,
) -> None:
    """Run the platform: database, server, jobs, simulated town. Ctrl-C stops all of it."""
    settings = read_settings()
    with ExitStack() as stack:
        out.print(f"[bold]Steelyard 权衡[/bold]  home {escape(str(settings.home))}")
        began = time.monotonic()
        urls = stack.enter_context(open_database_server(settings))
        _tell("database", began)
        if not revisions(urls.application).is_current:
            began = time.monotonic()
            migrate(urls.owner)
            _tell("migrations", began)
        listening = stack.enter_context(_listen(settings, settings.port if port is None else port))
        address = f"http://{settings.host}:{listening.getsockname()[1]}"
        supervisor = Supervisor(lambda line: out.print(f"[yellow]![/yellow] {escape(line)}"))
        stack.callback(_stop, supervisor)
        began = time.monotonic()
        _start(supervisor, settings, listening, workers or settings.workers)
        _wait_until_it_answers(address)
        _tell(f"server, {workers or settings.workers} workers", began)
        supervisor.wait()


def _tell(what: str, began: float) -> None:
    out.print(f"  [green]✓[/green] {what} ({time.monotonic() - began:.1f} s)", highlight=False)


def _listen(settings: Settings, first: int) -> socket.socket:
    """Return a listening socket on the first free port from `first` on, and say which.

    Refusals
    --------
    no_port_is_free
    """
    last = first if first == 0 else min(first + _PORTS_TRIED, 65_535)
    for port in range(first, last + 1):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # A port in TIME_WAIT is free; one that somebody listens on is not.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, port))
            listening.listen(1024)
        except OSError:
            listening.close()
            continue
        listening.set_inheritable(True)
        if port != first:
            out.print(f"  [yellow]![/yellow] port {first} is busy; taking {port}", highlight=False)
        return listening
    raise NoPortIsFree(first=first, last=last, host=settings.host)


def _start(
    supervisor: Supervisor, settings: Settings, listening: socket.socket, workers: int
) -> None:
    descriptor = listening.fileno()
    metrics = settings.home / "metrics"
    metrics.mkdir(mode=0o700, exist_ok=True)
    for old in metrics.glob("*.db"):
        old.unlink()
    shared = {"PROMETHEUS_MULTIPROC_DIR": str(metrics), "STEELYARD_HOME": str(settings.home)}
    supervisor.start(Child("jobs", "steelyard.web.worker", environment=shared))
    for number in range(1, workers + 1):
        supervisor.start(
            Child(
                f"web {number}",
                "steelyard.web",
                ("--fd", str(descriptor)),
                environment=shared,
                passed=(descriptor,),
            )
        )


def _wait_until_it_answers(address: str) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise ServerDidNotStart(seconds=int(_START_SECONDS))


def _stop(supervisor: Supervisor) -> None:
    out.print("\nstopping ...")
    supervisor.stop()
    out.print("stopped; the data stays, `make up` goes on with it")
