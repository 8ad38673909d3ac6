"""The evidence of a contract as one package: a zip with a manifest that proves every piece."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from steelyard.kernel import Refusal, RefusalKind

FORM: Final = 1
MANIFEST: Final = "manifest.json"
MOST_BYTES: Final = 16 * 1024 * 1024
# The same evidence gives the same bytes: a zip keeps instants of files, and these say nothing.
_NO_INSTANT = (1980, 1, 1, 0, 0, 0)
_ENCODER = msgspec.json.Encoder(order="sorted")


class ContractEvidenceIsMissing(Refusal):
    """No contract was signed from the application."""

    kind = RefusalKind.NOT_FOUND
    en = "Application {application} has no contract, so that there is no evidence of one."
    zh = "申请 {application} 未签署合同，没有合同证据。"


class PackageIsUnreadable(Refusal):
    """It is no package of evidence."""

    kind = RefusalKind.INVALID
    en = "This is no package of evidence: {why}."
    zh = "该文件不是证据包：{why}。"


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of evidence as it was kept.

    Attributes
    ----------
    name : `offer`, `consents`, ...; content : bytes as they were kept
    """

    name: str
    content: bytes
    at: datetime
    actor: str

    @property
    def hash(self) -> bytes:
        """Return the SHA-256 of the content."""
        return hashlib.sha256(self.content).digest()


class _Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    file: str
    sha256: str
    bytes: int
    at: str
    actor: str


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    form: int
    application: str
    digest: str
    pieces: list[_Listed]


@dataclass(frozen=True, slots=True)
class PackageReport:
    """What reading a package found.

    Attributes
    ----------
    pieces : names, in order
    digest : of all pieces, hex; the one that the lender keeps is to be the same
    wrong : what does not fit, in words; empty where all does
    """

    application: str
    digest: str
    pieces: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every piece is there and as it was."""
        return not self.wrong


def digest_of(application: UUID | str, pieces: Sequence[Piece]) -> str:
    """Return one hash over all pieces: SHA-256 of the application, names, instants and hashes."""
    return _digest(
        str(application),
        [(one.name, one.at.isoformat(), one.actor, one.hash.hex()) for one in pieces],
    )


def _digest(application: str, lines: Sequence[tuple[str, str, str, str]]) -> str:
    return hashlib.sha256(_ENCODER.encode([application, [list(one) for one in lines]])).hexdigest()


def build_package(application: UUID, pieces: Sequence[Piece]) -> bytes:
    """Return the package of some pieces; the same pieces give the same bytes.

    Examples
    --------
    >>> from datetime import UTC
    >>> made = build_package(UUID(int=1), [Piece("offer", b"{}", datetime(2026, 1, 1, tzinfo=UTC),
    ...                                          "party:1")])
    >>> verify_package(made).holds, verify_package(made).pieces
    (True, ('offer',))
    """
    listed = [
        _Listed(
            one.name, f"{one.name}.json", one.hash.hex(), len(one.content), one.at.isoformat(),
            one.actor,
        )
        for one in pieces
    ]  # fmt: skip
    manifest = _Manifest(FORM, str(application), digest_of(application, pieces), listed)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(_entry(MANIFEST), msgspec.json.format(_ENCODER.encode(manifest)))
        for one, line in zip(pieces, listed, strict=True):
            package.writestr(_entry(line.file), one.content)
    return made.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _NO_INSTANT)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def verify_package(package: bytes) -> PackageReport:
    """Return whether every piece of a package is as its manifest says; nothing else is needed.

    Refusals
    --------
    package_is_unreadable : no zip, no manifest, or larger than any package
    """
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as opened:
            if sum(one.file_size for one in opened.infolist()) > MOST_BYTES:
                raise PackageIsUnreadable(why="too large")
            files = {name: opened.read(name) for name in opened.namelist()}
        manifest = msgspec.json.decode(files.pop(MANIFEST), type=_Manifest)
    except KeyError:
        raise PackageIsUnreadable(why=f"no {MANIFEST}") from None
    except (zipfile.BadZipFile, msgspec.MsgspecError, OSError, ValueError) as error:
        raise PackageIsUnreadable(why=str(error)[:100]) from None
    return PackageReport(
        manifest.application,
        manifest.digest,
        tuple(one.name for one in manifest.pieces),
        tuple(_wrong(manifest, files)),
    )


def _wrong(manifest: _Manifest, files: dict[str, Any]) -> list[str]:
    wrong = [f"form {manifest.form} is unknown"] if manifest.form != FORM else []
    listed = {one.file for one in manifest.pieces}
    wrong += [f"{name} is not in the manifest" for name in sorted(files.keys() - listed)]
    for one in manifest.pieces:
        content = files.get(one.file)
        if content is None:
            wrong.append(f"{one.file} is missing")
        elif hashlib.sha256(content).hexdigest() != one.sha256 or len(content) != one.bytes:
            wrong.append(f"{one.file} was changed")
    lines = [(one.name, one.at, one.actor, one.sha256) for one in manifest.pieces]
    if _digest(manifest.application, lines) != manifest.digest:
        wrong.append("the digest does not fit the manifest")
    return wrong
