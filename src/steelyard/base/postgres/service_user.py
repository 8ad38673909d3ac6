"""Running PostgreSQL for root: as which user, and from which binaries.

PostgreSQL refuses to run as root, and the data may lie below folders that only root can enter
(`/root/clone/.steelyard`). No user is created and no permission outside the home is changed:

- The server runs as an account that exists: the owner of the data, or of the home, where that is
  an ordinary user; otherwise `postgres`, otherwise `nobody`.
- Folders are opened by root and handed over as file descriptors. The server is told that its data
  lies in `/proc/self/fd/7`: following that link enters the folder itself and none of those above
  it, so the data stay in the home, whoever may enter the home. PostgreSQL keeps the path as it is
  given, enters the folder once and uses relative names from there on; its children are forks and
  have the same descriptors.
- Programs cannot be run that way, because PostgreSQL resolves its own path to find its libraries.
  Where the service user cannot run them (an environment below a 0700 home) they are copied to
  `/var/cache/steelyard`, owned by root, one folder for each version; it may be deleted at any time
  when no server runs.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from steelyard.base.postgres.binaries import Binaries
from steelyard.base.postgres.locks import open_lock, wait_for_lock
from steelyard.base.postgres.refusals import BinariesOutOfReach, NoServiceUser

CACHE = Path("/var/cache/steelyard")

_ACCOUNTS = ("postgres", "nobody")
_DESCRIPTORS = Path("/proc/self/fd")
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")
"""All that the server sees of our environment: it may hold keys, and PG* would mislead it."""


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """The account as which PostgreSQL runs when this process is root."""

    name: str
    uid: int
    gid: int


def choose_service_user(*folders: Path) -> ServiceUser | None:
    """Return the account to run the server as, or None when this process is not root.

    Parameters
    ----------
    folders : whose owners come first, where they exist and have an ordinary owner

    Refusals
    --------
    no_service_user
    """
    if os.geteuid() != 0:
        return None
    if not _DESCRIPTORS.is_dir():
        raise NoServiceUser(
            reason="folders cannot be handed to another user without /proc",
            reason_zh="没有 /proc 就无法把文件夹交给其他用户",
        )
    for folder in folders:
        if folder.exists() and (owner := folder.stat().st_uid) != 0:
            try:
                return _service_user(pwd.getpwuid(owner))
            except KeyError:
                continue
    for account in _ACCOUNTS:
        try:
            return _service_user(pwd.getpwnam(account))
        except KeyError:
            continue
    raise NoServiceUser(
        reason="neither the account postgres nor nobody exists",
        reason_zh="既没有 postgres 账户也没有 nobody 账户",
    )


def _service_user(entry: pwd.struct_passwd) -> ServiceUser:
    return ServiceUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


@contextmanager
def opened(folders: Sequence[Path], user: ServiceUser | None) -> Iterator[dict[Path, int]]:
    """Open the folders that a service user may be unable to reach; nothing without such a user."""
    descriptors: dict[Path, int] = {}
    try:
        for folder in folders if user else ():
            descriptors[folder] = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        yield descriptors
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def path_for_server(folder: Path, descriptors: dict[Path, int]) -> str:
    """Return the path under which the server reaches a folder."""
    return str(_DESCRIPTORS / str(descriptors[folder]) if folder in descriptors else folder)


def run_as(
    user: ServiceUser | None,
    command: Sequence[str | Path],
    *,
    output: int,
    keep: Sequence[int] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run a command as the service user (or as ourselves) and wait for its end.

    It gets a session of its own, so that Ctrl-C in a terminal is not its signal.

    Parameters
    ----------
    output : file descriptor, or `subprocess.PIPE`, for what it prints
    keep : file descriptors that stay open in it

    Refusals
    --------
    no_service_user : the account may not be assumed here
    """
    environment = {k: os.environ[k] for k in _KEPT_ENVIRONMENT if k in os.environ}
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment | {"LC_ALL": "C"},
            umask=0o077,
            start_new_session=True,
            pass_fds=keep,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            check=False,
        )
    except OSError as error:
        if user is None:
            raise
        raise NoServiceUser(
            reason=f"the account {user.name} cannot be assumed: {error}",
            reason_zh=f"无法切换到账户 {user.name}：{error}",
        ) from error


def give(path: Path, user: ServiceUser | None) -> None:
    """Make the service user the owner of a path that root has just made; nothing otherwise."""
    if user:
        os.chown(path, user.uid, user.gid)


def within_reach(binaries: Binaries, user: ServiceUser | None) -> Binaries:
    """Return binaries that the service user can run: the same ones, or a copy made for it.

    Refusals
    --------
    binaries_out_of_reach
    """
    if user is None or _runs(binaries, user):
        return binaries
    try:
        copy = _copy(binaries)
    except OSError as error:
        raise _out_of_reach(binaries, user, str(error)) from error
    if not _runs(copy, user):
        raise _out_of_reach(binaries, user, "the copy does not run either")
    return copy


def _out_of_reach(binaries: Binaries, user: ServiceUser, reason: str) -> BinariesOutOfReach:
    return BinariesOutOfReach(
        user=user.name, path=str(binaries.bin_dir), cache=str(CACHE), reason=reason
    )


def _runs(binaries: Binaries, user: ServiceUser) -> bool:
    # The shell asks, so that a program out of reach and an account out of reach look different.
    script = 'test -r "$3" && "$1" --version && "$2" --version'
    share = binaries.bin_dir.parent / "share"
    command = ("/bin/sh", "-c", script, "sh", binaries.postgres, binaries.initdb)
    readable = share if share.exists() else binaries.bin_dir
    return run_as(user, (*command, readable), output=subprocess.PIPE).returncode == 0


def _copy(binaries: Binaries) -> Binaries:
    """Copy what a server needs, keeping the relative places by which it finds its libraries."""
    install = binaries.bin_dir.parent
    package = install.parent
    digest = hashlib.sha256(f"{package.name}/{install.name}".encode())
    for program in (binaries.postgres, binaries.initdb):
        with program.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    major, minor = binaries.version
    target = CACHE / f"postgres-{major}.{minor}-{digest.hexdigest()[:12]}"
    bin_dir = target / package.name / install.name / "bin"
    if not CACHE.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        CACHE.chmod(0o755)  # whatever our umask is
    _check_only_root_writes(CACHE)
    with open_lock(CACHE / "copying.lock") as lock:
        wait_for_lock(lock)
        for left_over in CACHE.glob("copying-*.part"):
            shutil.rmtree(left_over)
        if not target.exists():
            part = Path(tempfile.mkdtemp(dir=CACHE, prefix="copying-", suffix=".part"))
            _copy_tree(install, part / package.name / install.name)
            libraries = package.parent / f"{package.name}.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, part / libraries.name, symlinks=True)
            _make_readable(part)
            part.rename(target)
    _check_only_root_writes(target)
    return replace(binaries, bin_dir=bin_dir)


def _copy_tree(install: Path, target: Path) -> None:
    (target / "bin").mkdir(parents=True)
    for program in ("postgres", "initdb"):
        shutil.copy2(install / "bin" / program, target / "bin" / program)
    for folder in ("lib", "lib64", "share"):
        if (install / folder).is_dir():
            unused = shutil.ignore_patterns("bitcode", "pgxs", "pkgconfig", "*.a")
            shutil.copytree(install / folder, target / folder, symlinks=True, ignore=unused)


def _make_readable(tree: Path) -> None:
    tree.chmod(0o755)
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode):
                os.lchown(path, 0, 0)
                path.chmod(0o755 if stat.S_ISDIR(mode) or mode & 0o100 else 0o644)


def _check_only_root_writes(folder: Path) -> None:
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != 0 or facts.st_mode & 0o022:
        raise OSError(f"{folder} can be written by others than root")
