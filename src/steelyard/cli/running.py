"""The whole platform on one machine: what `steelyard up` does."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import msgspec
from rich.markup import escape

from steelyard.base import RealClock, Settings, StoredBusinessClock, read_settings
from steelyard.base.crypto import Keyring
from steelyard.base.postgres import EmbeddedPostgres
from steelyard.base.schema import SchemaIsBehind, migrate, revisions
from steelyard.base.telemetry.metrics import prepare_metrics
from steelyard.cli.output import Column, bars, out, show
from steelyard.cli.supervisor import Child, Stopped, Supervisor
from steelyard.credit import catalogue, origination
from steelyard.decisions import policies
from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties import RequestSigner, first_run, roles
from steelyard.simulation import OPENS_ON, Plan, custody, outside, play_history
from steelyard.web.platform import open_database, open_database_server

_PORTS_TRIED = 50
_START_SECONDS = 60.0
_WATCH_SECONDS = 2.0
ADDRESS = "address"
"""Name of the file in the home that says where the platform answers."""
RUNNING = "running.json"
"""Name of the file in the home that says who was started beside it, for our eyes only."""
_TRIM_SECONDS = 3600.0
_BEFORE_THE_TOWN = datetime.fromisoformat(f"{OPENS_ON}T00:00Z") - timedelta(days=1)


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


class Running(msgspec.Struct, frozen=True):
    """What a running platform started beside itself, and another command may use.

    Attributes
    ----------
    custodian : address of the simulated custodian; custodian_secret : shared with it
    """

    custodian: str
    custodian_secret: str


def settings_of_running(settings: Settings) -> Settings:
    """Return the settings with what the platform of this home started where nobody named it."""
    file = settings.home / RUNNING
    if settings.custodian is not None or settings.in_production or not file.exists():
        return settings
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Running)
    except msgspec.MsgspecError:
        return settings
    return replace(settings, custodian=found.custodian, custodian_secret=found.custodian_secret)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the one who runs the platform asked for (see the options of `steelyard up`)."""

    port: int | None
    workers: int | None
    town: bool
    history: int
    speed: float
    customers: int


def run(wishes: Wishes) -> None:
    """Run the platform until somebody wishes to stop.

    Refusals
    --------
    schema_is_behind, no_port_is_free, server_did_not_start, and those of the embedded database
    """
    settings = read_settings()
    processes = settings.workers if wishes.workers is None else wishes.workers
    out.print(f"[bold]Steelyard 权衡[/bold]  home {escape(str(settings.home))}")
    with contextlib.suppress(Stopped), ExitStack() as stack:
        supervisor = Supervisor(lambda line: out.print(f"[yellow]![/yellow] {escape(line)}"))
        supervisor.heed_signals()
        (settings.home / RUNNING).unlink(missing_ok=True)
        stack.callback((settings.home / RUNNING).unlink, missing_ok=True)
        urls = stack.enter_context(open_database_server(settings))
        _prepare(settings, urls.application, urls.owner, town=wishes.town)
        people = None if settings.in_production else _first_run(settings)
        first = settings.port if wishes.port is None else wishes.port
        listening = stack.enter_context(_listen(settings, first))
        address = f"http://{settings.host}:{listening.getsockname()[1]}"
        write_private(settings.home / ADDRESS, address.encode())
        stack.callback(_stop, supervisor)
        began = time.monotonic()
        _start(supervisor, settings, listening, processes)
        _wait_until_it_answers(supervisor, address)
        _tell(f"server, {processes} workers", began)
        if people is not None:
            if wishes.town:
                _let_the_town_live(supervisor, settings, address, people, wishes)
            show_people(people, address)
        out.print(
            f"[bold]{address}[/bold]  ·  docs {address}/docs  ·  Ctrl-C stops", soft_wrap=True
        )
        supervisor.wait(_WATCH_SECONDS, _DatabaseWatch(settings).look)


class _DatabaseWatch:
    """Starts the embedded database again when it was killed, and keeps its log small."""

    def __init__(self, settings: Settings) -> None:
        self._embedded = None if settings.database_url else EmbeddedPostgres(settings.home)
        self._trimmed = time.monotonic()

    def look(self) -> None:
        """Look once."""
        if self._embedded is None:
            return
        if not self._embedded.status().is_running:
            out.print("[yellow]![/yellow] the database was gone; starting it again")
            self._embedded.acquire()
            self._embedded.release()
        if time.monotonic() - self._trimmed > _TRIM_SECONDS:
            self._embedded.trim_log()
            self._trimmed = time.monotonic()


def _prepare(settings: Settings, url: str, owner_url: str, *, town: bool) -> None:
    """Bring schema and roles to this release, and let the business clock go on where it was."""
    began = time.monotonic()
    if not revisions(url).is_current:
        if settings.database_url is not None and settings.owner_url is None:
            raise SchemaIsBehind
        migrate(owner_url)
    with open_database(settings) as database, database.unit_of_work() as unit:
        roles.settle_built_in_roles(unit)
        policies.install_delivered(unit)
        catalogue.install_delivered(unit)
        origination.publish_texts(unit)
        if not settings.in_production:
            clock = StoredBusinessClock(RealClock())
            if clock.resume(unit.connection, speed=0) is None and town:
                # Nothing may happen today in a house whose history is yet to be played.
                clock.set(unit.connection, _BEFORE_THE_TOWN, speed=0)
    _tell("database", began)


def _first_run(settings: Settings) -> first_run.DemoPeople:
    """Have demo people and keys; what signs them in is kept in a file that only we can read."""
    file = settings.home / "demo.json"
    known = None
    if file.exists():
        with contextlib.suppress(msgspec.MsgspecError):
            known = msgspec.json.decode(file.read_bytes(), type=first_run.DemoPeople)
    began = time.monotonic()
    with open_database(settings) as database:
        people = first_run.create_demo_people(
            database, Keyring.open(settings), settings, known=known
        )
    write_private(file, msgspec.json.encode(people))
    write_private(settings.home / "town.key", msgspec.json.encode(people.town))
    _tell("demo people and keys", began)
    return people


def write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody else can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)


def show_people(people: first_run.DemoPeople, address: str) -> None:
    """Print how to sign in, and a line that works."""
    show(
        [
            {"who": p.user_name, "password": p.password, "roles": ", ".join(p.roles)}
            for p in people.staff
        ]
        + [{"who": people.customer.phone, "password": "a code", "roles": "customer"}],
        [Column("who", "sign in as"), Column("password", "password"), Column("roles", "roles")],
        as_json=False,
        title=f"demo people: {address}/sign-in",
    )
    out.print(
        "one-time code: steelyard parties code maker\n"
        "lost password: steelyard parties reset maker\n"
        f'curl -H "Authorization: Bearer {people.development.secret}" {address}/v1/ledger/books',
        highlight=False,
        soft_wrap=True,
    )


def _let_the_town_live(
    supervisor: Supervisor,
    settings: Settings,
    address: str,
    people: first_run.DemoPeople,
    wishes: Wishes,
) -> None:
    """Play the history that is missing, with a bar, and then start the town's own process."""
    plan = Plan(1, wishes.customers, 2 * wishes.customers, OPENS_ON)
    signer = RequestSigner(people.town.key, people.town.secret)
    began = time.monotonic()
    with (
        httpx.Client(base_url=address, auth=signer, trust_env=False, timeout=60) as client,
        bars() as progress,
    ):

        def told(done: int, total: int) -> None:
            supervisor.check()
            progress("history (days)", done, total)

        play_history(client, plan, days=wishes.history, progress=told)
    _tell(f"{wishes.history} days of history", began)
    arguments: tuple[str, ...] = (
        "--url",
        address,
        "--key-file",
        str(settings.home / "town.key"),
        "--history",
        str(wishes.history),
        "--speed",
        str(wishes.speed),
        "--customers",
        str(wishes.customers),
        "--terminals",
        str(2 * wishes.customers),
    )
    channels = _connect_channels(supervisor, settings)
    arguments = (*arguments, "--channels", channels)
    custodian = _connect_custodian(supervisor, settings)
    if custodian is not None:
        arguments = (*arguments, "--custodian", custodian)
    supervisor.start(Child("town", "steelyard.simulation", arguments))
    _tell(f"town of {wishes.customers} customers, at {wishes.speed:g} times our speed", began)


def _connect_channels(supervisor: Supervisor, settings: Settings) -> str:
    """Start the simulated channels, have the platform know them, and return their address.

    Refusals
    --------
    server_did_not_start
    """
    port = _free_port(settings.host)
    address = f"http://{settings.host}:{port}"
    credentials = settings.home / "channels.json"
    arguments = (
        *("--host", settings.host, "--port", str(port)),
        *("--store", str(settings.home / "channels.sqlite")),
        *("--credentials", str(credentials)),
    )
    child = Child("channels", "steelyard.simulation.channel", arguments, is_quiet=True)
    supervisor.start(child)
    _wait_until_it_answers(supervisor, address, "/clock")
    with open_database(settings) as database:
        given = msgspec.json.decode(credentials.read_bytes())
        outside.connect(database, Keyring.open(settings), given)
    return address


def _connect_custodian(supervisor: Supervisor, settings: Settings) -> str | None:
    """Have the town's reserve lie at the simulated custodian, and return its address.

    Returns
    -------
    str or None
        None where somebody named a real one: nobody pays in there but real people.

    Refusals
    --------
    server_did_not_start
    """
    if settings.custodian is not None:
        return None
    address = settings_of_running(settings).custodian
    assert address is not None, "it was started with the jobs"
    _wait_until_it_answers(supervisor, address, "/health")

    def tell(path: str, body: Mapping[str, object]) -> None:
        httpx.post(f"{address}{path}", json=body, trust_env=False).raise_for_status()

    with open_database(settings) as database:
        custody.open_reserve(database, tell)
    return address


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
    environment = {**prepare_metrics(settings), "STEELYARD_HOME": str(settings.home)}
    if settings.identity_provider is None and not settings.in_production:
        port = _free_port(settings.host)
        environment["STEELYARD_IDENTITY_PROVIDER"] = f"http://{settings.host}:{port}"
        arguments = ("--host", settings.host, "--port", str(port))
        module = "steelyard.parties.providers.simulated"
        supervisor.start(Child("identity provider", module, arguments, is_quiet=True))
    _start_outside(supervisor, settings, environment)
    supervisor.start(Child("jobs", "steelyard.web.worker", environment=environment))
    for number in (1, 2):  # the owner, and who stands by to take over
        supervisor.start(
            Child(f"decisions {number}", "steelyard.web.owner", environment=environment)
        )
    descriptor = listening.fileno()
    for number in range(1, workers + 1):
        supervisor.start(
            Child(
                f"web {number}",
                "steelyard.web",
                ("--fd", str(descriptor)),
                environment=environment,
                passed=(descriptor,),
            )
        )


def _start_outside(supervisor: Supervisor, settings: Settings, environment: dict[str, str]) -> None:
    """Start the simulated bureau and gateway where nobody named real ones."""
    outside = (
        ("credit bureau", "STEELYARD_CREDIT_BUREAU", settings.credit_bureau, "bureau"),
        ("message gateway", "STEELYARD_MESSAGE_GATEWAY", settings.message_gateway, "gateway"),
    )
    for name, variable, known, module in outside:
        if known is not None or settings.in_production:
            continue
        port = _free_port(settings.host)
        environment[variable] = f"http://{settings.host}:{port}"
        arguments = (
            *("--host", settings.host, "--port", str(port)),
            *("--store", str(settings.home / f"{module}.sqlite")),
        )
        child = Child(
            name, f"steelyard.credit.providers.simulated_{module}", arguments, is_quiet=True
        )
        supervisor.start(child)
    if settings.custodian is None and not settings.in_production:
        _start_custodian(supervisor, settings, environment)


def _start_custodian(
    supervisor: Supervisor, settings: Settings, environment: dict[str, str]
) -> None:
    """Start the simulated custodian; the secret is of this run, and read by nobody else."""
    port, secret = _free_port(settings.host), secrets.token_hex(32)
    known = Running(f"http://{settings.host}:{port}", secret)
    environment["STEELYARD_CUSTODIAN"] = known.custodian
    environment["STEELYARD_CUSTODIAN_SECRET"] = secret
    write_private(settings.home / RUNNING, msgspec.json.encode(known))
    arguments = (
        *("--host", settings.host, "--port", str(port)),
        *("--store", str(settings.home / "custodian.sqlite")),
    )
    supervisor.start(
        Child(
            "custodian",
            "steelyard.simulation.custodian",
            arguments,
            environment={"STEELYARD_CUSTODIAN_SECRET": secret},
            is_quiet=True,
        )
    )


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_it_answers(supervisor: Supervisor, address: str, path: str = "/readyz") -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        supervisor.check()
        try:
            if httpx.get(f"{address}{path}", timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise ServerDidNotStart(seconds=int(_START_SECONDS))


def _stop(supervisor: Supervisor) -> None:
    out.print("\nstopping ...")
    supervisor.stop()
    out.print("stopped; the data stays, `make up` goes on with it")
