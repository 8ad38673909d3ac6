"""Opening what statements are packed in, without being buried under it."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from typing import Final

from steelyard.payments.model.statement_refusals import (
    StatementArchiveIsBroken,
    StatementFileIsTooLarge,
)

MOST_BYTES: Final = 256 * 2**20
"""Of one file, unpacked: about a million lines of a bill."""
_MOST_FILES: Final = 64
_MOST_RATIO: Final = 200
_SMALL: Final = 2**20
"""Whatever its ratio, this much is no bomb."""
# What zipfile lets out when a spoilt archive leads it astray.
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
_UTF8_FLAG: Final = 0x800
_LOCKED_FLAG: Final = 0x1


def check_size(size: int, *, packed: int | None = None) -> None:
    """Refuse what is too large, or too large for what it was packed in.

    Refusals
    --------
    statement_file_is_too_large
    """
    is_dense = packed is not None and size > _SMALL and size > packed * _MOST_RATIO
    if size > MOST_BYTES or is_dense:
        raise StatementFileIsTooLarge(line=1, most_mib=MOST_BYTES // 2**20)


def is_gzip(content: bytes) -> bool:
    """Tell by the first bytes whether it is packed by gzip."""
    return content.startswith(b"\x1f\x8b")


def is_zip(content: bytes) -> bool:
    """Tell by the first bytes whether it is an archive of the zip form."""
    return content.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def gunzip(content: bytes) -> bytes:
    """Return what a file packed by gzip holds, every member of it.

    Refusals
    --------
    statement_file_is_too_large, statement_archive_is_broken
    """
    whole, rest = bytearray(), content
    while rest:
        unpacking = zlib.decompressobj(wbits=31)
        try:
            while not unpacking.eof:
                part = unpacking.decompress(rest, _SMALL)
                whole += part
                check_size(len(whole), packed=len(content))
                rest = unpacking.unconsumed_tail
                if not part and not rest and not unpacking.eof:
                    raise StatementArchiveIsBroken(line=1, found="cut off")
        except zlib.error as wrong:
            raise StatementArchiveIsBroken(line=1, found=str(wrong)[:60]) from None
        rest = unpacking.unused_data.lstrip(b"\x00")
    return bytes(whole)


def is_workbook(content: bytes) -> bool:
    """Tell whether a zip archive is a workbook of Excel."""
    return "xl/workbook.xml" in _opened(content).namelist()


def check_archive(content: bytes) -> None:
    """Refuse an archive whose own list of files is too long or promises too much.

    Refusals
    --------
    statement_file_is_too_large, statement_archive_is_broken
    """
    entries = _opened(content).infolist()
    if len(entries) > _MOST_FILES:
        raise StatementArchiveIsBroken(line=1, found=f"{len(entries)} files")
    if any(entry.flag_bits & _LOCKED_FLAG for entry in entries):
        raise StatementArchiveIsBroken(line=1, found="password")
    check_size(sum(entry.file_size for entry in entries), packed=len(content))


def unzip(content: bytes) -> list[tuple[str, bytes]]:
    """Return the files of a zip archive; their names in GBK where they are no Unicode.

    Refusals
    --------
    statement_file_is_too_large, statement_archive_is_broken
    """
    check_archive(content)
    archive, files, whole = _opened(content), [], 0
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        try:
            with archive.open(entry) as packed:
                # What the list promises is not believed: reading stops by itself.
                unpacked = packed.read(min(MOST_BYTES - whole, _MOST_RATIO * len(content)) + 1)
        except _BROKEN as wrong:
            raise StatementArchiveIsBroken(line=1, found=str(wrong)[:60]) from None
        whole += len(unpacked)
        check_size(whole, packed=len(content))
        files.append((_name(entry), unpacked))
    return files


def _opened(content: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except _BROKEN as wrong:
        raise StatementArchiveIsBroken(line=1, found=str(wrong)[:60]) from None


def _name(entry: zipfile.ZipInfo) -> str:
    if entry.flag_bits & _UTF8_FLAG:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("gb18030")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return entry.filename
