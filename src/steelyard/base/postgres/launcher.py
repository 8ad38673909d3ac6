"""The embedded server shared by every process of one home: the last user stops it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from steelyard.base.postgres.address import Address
from steelyard.base.postgres.locks import (
    drop_lock,
    open_lock,
    share_lock,
    try_lock,
    wait_for_lock,
)
from steelyard.base.postgres.refusals import HomeIsNotOurs
from steelyard.base.postgres.server import Server, Status


class EmbeddedPostgres:
    """A PostgreSQL server of one home, started by its first user and stopped by its last.

    Users are counted by a file lock that each of them shares: a process that is killed is no user
    any more, at that instant. Starting and stopping happen under a second lock. Commands that run
    alone so start and stop the server, and commands beside a running platform share it. When every
    user was killed the server lives on, and the next one takes it over.

    It listens on a Unix socket only, in a folder that nobody else can enter, and trusts whoever can
    (the home's user and root). It has a session of its own: Ctrl-C in the terminal does not reach
    it before its users have let go. How it runs for root is told in `service_user`.

    Parameters
    ----------
    home : `STEELYARD_HOME`; everything lies in `home/postgres` (a socket whose path would be too
        long lies in a private folder in `/tmp`)
    durable : False for tests: a crash of the machine may lose everything, commits are faster.
        It counts where this object starts the server

    Examples
    --------
    ::

        with EmbeddedPostgres(Path(".steelyard")) as address:
            bootstrap(address)
            engine = create_engine(address.url(role="steelyard_app", database="steelyard"))
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self._home = home.resolve()
        self._folder = self._home / "postgres"
        self._server = Server(self._folder, durable=durable)
        self._threads = threading.Lock()
        self._held = 0
        self._users: int | None = None
        self._process = os.getpid()

    def acquire(self) -> Address:
        """Return the address of the server, which answers; this process is now a user of it.

        The data folder is made on first use, the server started if it does not run: also when it
        was killed while this process was a user, so that acquiring once more mends it. Each call
        needs one `release`.

        Refusals
        --------
        home_is_not_ours, database_did_not_start, database_files_of_another_version,
        no_postgres_found, postgres_too_old, no_service_user, binaries_out_of_reach,
        socket_folder_is_not_ours
        """
        with self._threads, _refusing(self._folder):
            self._forget_parent()
            self._make_folder()
            with self._alone():
                self._server.trim_log()
                self._join()
                try:
                    self._server.start()
                    return self._server.address
                except BaseException:
                    self._leave()
                    raise

    def release(self) -> None:
        """Stop being a user; the last one stops the server and returns when it is dead.

        Refusals
        --------
        database_did_not_stop
        """
        with self._threads:
            self._forget_parent()
            assert self._held, "release without acquire"
            if self._folder.exists():
                with self._alone():
                    self._leave()
                    self._server.trim_log()
            else:
                self._drop_lease()  # The home was deleted; the server notices and ends itself.

    def status(self) -> Status:
        """Return what the server does now; changes nothing and does not wait.

        Refusals
        --------
        home_is_not_ours
        """
        with _refusing(self._folder):
            return self._server.status()

    def trim_log(self) -> None:
        """Bound the server's log; `acquire` and `release` do so too, long lives call it hourly."""
        if self._folder.exists():
            with self._alone():
                self._server.trim_log()

    def __enter__(self) -> Address:
        """Acquire."""
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release."""
        self.release()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep every other process of this home from starting, stopping and counting."""
        with open_lock(self._folder / "start.lock") as start:
            wait_for_lock(start)
            yield

    def _make_folder(self) -> None:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for name in ("start.lock", "users.lock", "server.lock", "server.log"):
            with open_lock(self._folder / name):
                pass
        if os.geteuid() == 0:
            # Root in somebody's home: the owner shall be able to go on alone.
            owner = self._home.stat()
            for path in (
                self._folder,
                *self._folder.glob("server.*"),
                *self._folder.glob("*.lock"),
            ):
                os.chown(path, owner.st_uid, owner.st_gid)

    def _join(self) -> None:
        if self._users is None:
            self._users = os.open(self._folder / "users.lock", os.O_RDWR)
            share_lock(self._users)
        self._held += 1

    def _leave(self) -> None:
        self._held -= 1
        if self._held:
            return
        self._drop_lease()
        with open_lock(self._folder / "users.lock") as users:
            if try_lock(users):
                self._server.stop()

    def _drop_lease(self) -> None:
        self._held = 0
        if self._users is not None:
            drop_lock(self._users)
            os.close(self._users)
            self._users = None

    def _forget_parent(self) -> None:
        """After a fork the lease is the parent's: the child may not let go of it."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._held = 0
            if self._users is not None:
                os.close(self._users)
                self._users = None


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise HomeIsNotOurs(path=str(folder)) from error
