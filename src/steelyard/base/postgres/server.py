"""One PostgreSQL server: its folders, its processes, and whether they live.

Whether anything of a server still lives is asked of a file lock, not of a process number. The
postmaster is started with an open descriptor of `server.lock`, locked; its children inherit it, so
the lock is free exactly when the last of them is dead: also when the postmaster was killed and a
backend outlived it, when its number was given to another process, or when it is a zombie that
nobody collects (as below a container's first process). Only then are stale files removed and a new
server started.

Callers hold the start lock of the launcher: nothing here is done by two processes at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from steelyard.base.postgres.address import SUPERUSER, Address
from steelyard.base.postgres.binaries import Binaries, find_binaries
from steelyard.base.postgres.locks import open_lock, try_lock
from steelyard.base.postgres.refusals import (
    DatabaseDidNotStart,
    DatabaseDidNotStop,
    DatabaseFilesOfAnotherVersion,
    NoPostgresFound,
    PostgresTooOld,
    SocketFolderIsNotOurs,
)
from steelyard.base.postgres.service_user import (
    ServiceUser,
    choose_service_user,
    give,
    opened,
    path_for_server,
    run_as,
    within_reach,
)

PORT = 5432
"""Only part of the socket's name."""

LONGEST_SOCKET_PATH = 103
"""Bytes; the least that the systems allow (macOS; Linux has 107)."""

SHORT_FOLDER = Path("/tmp")
"""Parent of the socket folder when the home's path is too long; the same for every process of
this machine, which `TMPDIR` is not."""

LARGEST_LOG_BYTES = 16_000_000

_PATIENCE_SECONDS = 120.0
"""Recovery after a crash replays at most `max_wal_size`."""
_ORPHANS_MAY_LINGER_SECONDS = 5.0
_PAUSE_SECONDS = 0.01
_STOPPING = (
    (signal.SIGINT, 30.0),  # fast: sessions are ended, a checkpoint is written
    (signal.SIGQUIT, 10.0),  # immediate: the next start recovers
    (signal.SIGKILL, 10.0),
)

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "max_locks_per_transaction": "256",
    "shared_buffers": "256MB",
    "min_wal_size": "80MB",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
    # Statements and details of errors quote rows: personal data stay out of the log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
_DURABLE: Mapping[str, str] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}
_NOT_DURABLE: Mapping[str, str] = dict.fromkeys(_DURABLE, "off")


class State(StrEnum):
    """What a look at the server can find."""

    NOT_INITIALISED = "not_initialised"
    """No data folder yet."""
    STOPPED = "stopped"
    CHANGING = "changing"
    """It lives and does not answer: starting, stopping, or recovering from a crash."""
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Status:
    """What was found; `pid` is the postmaster's, `version` the server's (`18.6`)."""

    state: State
    pid: int | None = None
    version: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether the server answers."""
        return self.state is State.RUNNING


class Server:
    """The server whose folder is given.

    Parameters
    ----------
    folder : holds `data/`, `socket/`, `server.log` and the locks
    durable : False gives up the disk's guarantees for speed, in a server that this object starts
    """

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.data = folder / "data"
        self.log = folder / "server.log"
        self._folder = folder
        self._life = folder / "server.lock"
        self._durable = durable

    @property
    def is_initialised(self) -> bool:
        """Whether there is a data folder."""
        return (self.data / "PG_VERSION").exists()

    @property
    def address(self) -> Address:
        """Where the server answers, now or when it will run."""
        natural = self._folder / "socket"
        # libpq reads a comma as the beginning of a second host.
        if _fits(natural) and "," not in str(natural):
            return Address(natural, PORT)
        return Address(SHORT_FOLDER / self._mark, PORT)

    @property
    def _mark(self) -> str:
        """A name of this server among the machine's processes and short folders.

        It is made of the lock file's inode: a home that was deleted under a running server and made
        anew is another server, as the number is not free while the old one has the file open.
        """
        facts = self._life.stat()
        text = f"{facts.st_dev}:{facts.st_ino}:{facts.st_uid}"
        return f"steelyard-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def answers(self) -> bool:
        """Return whether the server takes connections."""
        from psycopg.pq import PGconn, Ping

        conninfo = self.address.conninfo(role=SUPERUSER, database="postgres")
        return PGconn.ping(f"{conninfo} connect_timeout=5".encode()) == Ping.OK

    def is_dead(self) -> bool:
        """Return whether no process of the server lives."""
        with open_lock(self._life) as life:
            return try_lock(life)

    def postmaster(self) -> int | None:
        """Return the process number of the postmaster, or None when it is dead."""
        try:
            first_line = (self.data / "postmaster.pid").read_text().split("\n", 1)[0]
        except FileNotFoundError:
            return None
        title = _titles().get(int(first_line)) if first_line.isdecimal() else None
        return int(first_line) if title and f"cluster_name={self._mark}" in title else None

    def start(self) -> None:
        """Return when the server answers: the one that runs, or a new one.

        Processes that outlived their postmaster are ended first. A missing data folder is made.

        Refusals
        --------
        database_did_not_start, database_files_of_another_version, no_postgres_found,
        postgres_too_old, no_service_user, binaries_out_of_reach, socket_folder_is_not_ours
        """
        began = time.monotonic()
        log_size: int | None = None
        while not self.answers():
            waited = time.monotonic() - began
            with open_lock(self._life) as life:
                if try_lock(life):
                    if log_size is not None:
                        raise self._did_not_start(_last_lines(self.log, log_size))
                    log_size = self.log.stat().st_size if self.log.exists() else 0
                    self._launch(life)
                elif self.postmaster() is None:
                    late = waited > _ORPHANS_MAY_LINGER_SECONDS
                    _send(signal.SIGKILL if late else signal.SIGQUIT, self._children())
            if waited > _PATIENCE_SECONDS:
                raise self._did_not_start(f"it has not answered for {waited:.0f} seconds")
            time.sleep(_PAUSE_SECONDS)

    def stop(self) -> None:
        """Return when no process of the server lives: fast, then immediate, then by force.

        Refusals
        --------
        database_did_not_stop
        """
        for number, seconds in _STOPPING:
            signalled: set[int] = set()
            began = time.monotonic()
            while not self.is_dead():
                if time.monotonic() - began > seconds:
                    break
                targets = self._targets(by_force=number is signal.SIGKILL) - signalled
                _send(number, targets)
                signalled |= targets
                time.sleep(_PAUSE_SECONDS)
            else:
                self._remove_short_folder()
                return
        raise DatabaseDidNotStop(pids=sorted(self._children()), log=str(self.log))

    def status(self) -> Status:
        """Return what a look finds; nothing is changed."""
        import psycopg

        if not self.is_initialised:
            return Status(State.NOT_INITIALISED)
        if not self.answers():
            return Status(State.STOPPED if self.is_dead() else State.CHANGING, self.postmaster())
        conninfo = self.address.conninfo(role=SUPERUSER, database="postgres")
        with psycopg.connect(conninfo, connect_timeout=5) as connection:
            major, minor = divmod(connection.info.server_version, 10_000)
        return Status(State.RUNNING, self.postmaster(), f"{major}.{minor}")

    def trim_log(self) -> None:
        """Keep the log and the one before it below a bound each."""
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG_BYTES:
            # The server appends to the open file: it is emptied, not replaced.
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)

    def _targets(self, *, by_force: bool) -> set[int]:
        """Return whom to tell to stop: the postmaster tells its children, unless by force."""
        postmaster = self.postmaster()
        if postmaster is None:
            return self._children()
        return {postmaster, *self._children()} if by_force else {postmaster}

    def _children(self) -> set[int]:
        """Return the server's processes but for the postmaster."""
        start = f"postgres: {self._mark}: "
        return {pid for pid, title in _titles().items() if title.startswith(start)}

    def _launch(self, life: int) -> None:
        user = choose_service_user(self.data, self._folder)
        binaries = within_reach(self._binaries(), user)
        if not self.is_initialised:
            self._initialise(life, binaries, user)
        sockets = self.address.socket_dir
        _make_private(sockets, user)
        self._remove_stale_files()
        settings = {**_SETTINGS, **(_DURABLE if self._durable else _NOT_DURABLE)}
        with opened((self.data, sockets), user) as descriptors, self.log.open("ab") as log:
            quoted = path_for_server(sockets, descriptors).replace('"', '""')
            settings["unix_socket_directories"] = f'"{quoted}"'
            settings["cluster_name"] = self._mark
            command: list[str | Path] = [binaries.postgres]
            command += ["-D", path_for_server(self.data, descriptors)]
            command += [f"--{name}={value}" for name, value in settings.items()]
            # The shell leaves at once, so that the server is no child of ours: it may outlive us,
            # and when it dies it becomes nobody's zombie.
            run_as(
                user,
                ("/bin/sh", "-c", '"$@" &', "sh", *command),
                output=log.fileno(),
                keep=(life, *descriptors.values()),
            )

    def _binaries(self) -> Binaries:
        if not self.is_initialised:
            return find_binaries()
        written = (self.data / "PG_VERSION").read_text().strip()
        try:
            return find_binaries(major=int(written))
        except (NoPostgresFound, PostgresTooOld) as error:
            raise DatabaseFilesOfAnotherVersion(path=str(self.data), written=written) from error

    def _initialise(self, life: int, binaries: Binaries, user: ServiceUser | None) -> None:
        """Make the data folder under another name first: what has the right name is complete."""
        making = self._folder / "data.new"
        if making.exists():
            shutil.rmtree(making)
        making.mkdir(mode=0o700)
        give(making, user)
        # Both sort by code point; the built-in provider knows letters beyond ASCII as well.
        builtin = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        options = [
            f"--username={SUPERUSER}",
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
            "--data-checksums",
            *(builtin if binaries.version[0] >= 17 else ()),
            *(() if self._durable else ("--no-sync",)),
        ]
        with opened((making,), user) as descriptors:
            made = run_as(
                user,
                (binaries.initdb, "-D", path_for_server(making, descriptors), *options),
                output=subprocess.PIPE,
                keep=(life, *descriptors.values()),
            )
        if made.returncode != 0:
            self.log.write_bytes(made.stdout)
            raise self._did_not_start(_last_lines(self.log, 0))
        making.rename(self.data)
        descriptor = os.open(self._folder, os.O_RDONLY)
        os.fsync(descriptor)  # A rename lost with the power would lose all that follows it.
        os.close(descriptor)

    def _remove_stale_files(self) -> None:
        """Remove what a dead server left; its process number may be another process by now."""
        sockets = self.address.socket_dir
        for name in (_SOCKET_NAME, f"{_SOCKET_NAME}.lock"):
            (sockets / name).unlink(missing_ok=True)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _remove_short_folder(self) -> None:
        sockets = self.address.socket_dir
        if sockets.parent == SHORT_FOLDER and self.is_initialised:
            owners = {os.geteuid(), self.data.stat().st_uid}
            with suppress(FileNotFoundError, SocketFolderIsNotOurs):
                _check_private(sockets, owners)
                shutil.rmtree(sockets)

    def _did_not_start(self, reason: str) -> DatabaseDidNotStart:
        return DatabaseDidNotStart(reason=reason, log=str(self.log))


_SOCKET_NAME = f".s.PGSQL.{PORT}"


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / _SOCKET_NAME)) <= LONGEST_SOCKET_PATH


def _make_private(folder: Path, user: ServiceUser | None) -> None:
    """Make a folder that only the server's user can enter, or check that it is one."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _check_private(folder, {os.geteuid(), user.uid if user else os.geteuid()})
    give(folder, user)


def _check_private(folder: Path, owners: set[int]) -> None:
    facts = folder.lstat()
    private = stat.S_ISDIR(facts.st_mode) and not facts.st_mode & 0o077
    if not private or facts.st_uid not in owners:
        raise SocketFolderIsNotOurs(path=str(folder))


def _last_lines(log: Path, since: int) -> str:
    with log.open("rb") as content:
        content.seek(since)
        lines = content.read().decode(errors="replace").split("\n")
    return " | ".join([line.strip() for line in lines if line.strip()][-4:]) or "it said nothing"


def _send(number: int, pids: set[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _titles() -> dict[int, str]:
    """Return the command line of every process; a zombie has none."""
    if not Path("/proc/self/cmdline").exists():
        listing = subprocess.run(
            ["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=True
        )
        rows = (line.split(None, 1) for line in listing.stdout.splitlines())
        return {int(row[0]): row[1] for row in rows if len(row) == 2}
    titles: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                line = Path("/proc", entry, "cmdline").read_bytes()
            except OSError:
                continue
            titles[int(entry)] = line.replace(b"\0", b" ").decode(errors="replace")
    return titles
