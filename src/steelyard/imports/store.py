"""The folder a source lies in: its files read, a sample written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from steelyard.imports.model.refusals import ImportFileMissing, ImportRowMalformed

_ENDINGS = {".csv", ".asc"}


def read_folder(folder: Path) -> dict[str, str]:
    """Return the text of each `.csv` and `.asc` file of a folder, by its name in small letters.

    Refusals
    --------
    import_file_missing : no such folder, or none of these files in it
    import_row_malformed : a file that is not UTF-8 text
    """
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    files = {
        path.name.lower(): _text(path)
        for path in paths
        if path.suffix.lower() in _ENDINGS and path.is_file()
    }
    if not files:
        raise ImportFileMissing(file="*.csv", folder=str(folder))
    return files


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write each file into a folder, made where it is not there; files of the same names go."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = content.count(b";", content.rfind(b"\n", 0, error.start) + 1, error.start) + 1
        raise ImportRowMalformed(
            file=path.name,
            line=line,
            column=column,
            reason="not UTF-8 text",
            reason_zh="不是 UTF-8 文本",
        ) from None
