"""A folder in which orders for a bank wait, become files, and are handed over exactly once.

`queue` holds orders that wait, `filed` those that are in a file, `closed` those that were taken
back; `manifests` says which orders a file has, `ready` holds a file that is not handed over yet,
`outbox` is emptied and `inbox` filled by whatever carries files to the bank and back.

A file is handed over by one rename, from `ready` to `outbox`, and only after its manifest stands:
what a crash leaves behind is either finished or made anew, and never handed over a second time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

Record = Mapping[str, Any]

_PLACES: Final = ("queue", "filed", "closed", "manifests", "ready", "outbox", "inbox")


class BankFolder:
    """The folder of one bank; several processes may use it at the same time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for place in _PLACES:
            (root / place).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._members: dict[str, frozenset[str]] = {}

    @property
    def inbox(self) -> Path:
        """Where the bank's files arrive."""
        return self._root / "inbox"

    @property
    def outbox(self) -> Path:
        """Where files for the bank are taken from."""
        return self._root / "outbox"

    def put(self, number: str, record: Record) -> Record:
        """Let an order wait for the next file, once; return what stands under its number.

        Returns
        -------
        mapping
            The record given, or the earlier one of that number, which stays as it was.
        """
        with self._locked():
            earlier = self.find(number)
            if earlier is not None:
                return earlier
            _write(self._root / "queue" / f"{number}.json", _bytes(record))
            return record

    def find(self, number: str) -> Record | None:
        """Return the record of an order, wherever it is; None: there is none."""
        # Orders only ever leave the queue: whoever is gone from it stands in one of the others.
        for place in ("queue", "filed", "closed"):
            with suppress(FileNotFoundError):
                return _record(self._root / place / f"{number}.json")
        return None

    def is_queued(self, number: str) -> bool:
        """Whether the order waits for a file."""
        return (self._root / "queue" / f"{number}.json").exists()

    def is_closed(self, number: str) -> bool:
        """Whether the order was taken back before it was in a file."""
        return (self._root / "closed" / f"{number}.json").exists()

    def close(self, number: str) -> bool:
        """Take an order back that is in no file yet; whether it was."""
        with self._locked():
            if self._file_of(number) is not None or not self.is_queued(number):
                return False
            os.replace(
                self._root / "queue" / f"{number}.json", self._root / "closed" / f"{number}.json"
            )
            return True

    def file_of(self, number: str) -> str | None:
        """Return the number of the file that an order is in; None: in none."""
        return self._file_of(number)

    def make_file(
        self, kind: str, write: Callable[[str, Sequence[Record]], bytes], *, most: int
    ) -> Path | None:
        """Make one file of orders that wait and hand it over.

        Parameters
        ----------
        kind : of the records that go into it
        write : returns the file of a number and records
        most : orders in one file

        Returns
        -------
        Path or None
            In the outbox; None where nothing waits.
        """
        with self._locked():
            self._recover()
            waiting = sorted((self._root / "queue").glob("*.json"))
            chosen = [
                (path.stem, record) for path in waiting if (record := _record(path))["kind"] == kind
            ]
            chosen = chosen[:most]
            if not chosen:
                return None
            numbers = [number for number, _ in chosen]
            name = hashlib.sha256("\n".join((kind, *numbers)).encode()).hexdigest()[:28]
            content = write(name, [record for _, record in chosen])
            _write(self._root / "ready" / f"{name}.xml", content)
            manifest = {
                "kind": kind,
                "numbers": numbers,
                "total_minor": sum(record["amount_minor"] for _, record in chosen),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            _write(self._root / "manifests" / f"{name}.json", _bytes(manifest))
            self._recover()
        return self.outbox / f"{name}.xml"

    def _recover(self) -> None:
        """Finish what has a manifest; throw away what has none."""
        for manifest in (self._root / "manifests").glob("*.json"):
            ready = self._root / "ready" / f"{manifest.stem}.xml"
            if not ready.exists():
                continue
            for number in _record(manifest)["numbers"]:
                with suppress(FileNotFoundError):
                    os.replace(
                        self._root / "queue" / f"{number}.json",
                        self._root / "filed" / f"{number}.json",
                    )
            os.replace(ready, self.outbox / ready.name)
            _sync(self.outbox)
        for left in (self._root / "ready").glob("*.xml"):
            left.unlink()

    def _file_of(self, number: str) -> str | None:
        for manifest in (self._root / "manifests").glob("*.json"):
            if manifest.stem not in self._members:
                self._members[manifest.stem] = frozenset(_record(manifest)["numbers"])
            if number in self._members[manifest.stem]:
                return manifest.stem
        return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _bytes(record: Record) -> bytes:
    return json.dumps(dict(record), ensure_ascii=False, sort_keys=True).encode()


def _record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _write(path: Path, content: bytes) -> None:
    """Write a file whole: nobody ever sees a part of it under its name."""
    beside = path.with_name(f".{path.name}.part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(beside, path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
