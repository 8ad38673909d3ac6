"""The documents are true where a machine can tell: links, commands, dependencies, the picture."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from steelyard.cli import app
from steelyard.parties.model.signature import signature_of

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/README.md")])
FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SHELLS = ("", "sh", "bash", "console")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<(?:img|a)[^>]+(?:src|href)=\"([^\"]+)\"")
ADDRESS = re.compile(r"\w+://([^/\s:\"'`)>@]+(?::[^/\s@]*@[^/\s:\"'`)>]+)?)")
OUR_HOSTS = re.compile(r"(127\.0\.0\.1|localhost|(.+\.)?example(\.(com|org))?)")
SOMEBODYS_FOLDER = re.compile(r"(?<![\w.~$}-])/(work|root|home|Users)/\w")
CLI = typer.main.get_command(app)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _prose(text: str) -> str:
    return FENCE.sub("", text)


def _anchors(path: Path) -> set[str]:
    """The names that headings get: small letters, no punctuation, hyphens for blanks."""
    heads = re.findall(r"^#+ (.+)$", _prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for found in LINK.findall(_prose(path.read_text(encoding="utf-8"))):
        target = found[0] or found[1]
        if ADDRESS.match(target) or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        is_there = there.is_relative_to(ROOT) and there.exists()
        if not is_there or (anchor and anchor not in _anchors(there)):
            broken.append(target)
    assert broken == []


def _lines(text: str) -> Iterator[str]:
    """The command lines of the fenced blocks; continued lines are one."""
    for language, block in FENCE.findall(text):
        if language in SHELLS:
            for line in block.replace("\\\n", " ").splitlines():
                yield line.strip().removeprefix("$ ")


def _commands(text: str) -> Iterator[list[str]]:
    """The words of each `steelyard ...` that a reader is told to type."""
    for line in _lines(text):
        for part in re.split(r"\s(?:\||>|&&|;)\s", line):
            found = re.match(r"(?:[A-Z_]+=\S+ )*(?:\S+/)?steelyard (.+)", part)
            if found:
                yield shlex.split(found[1], comments=True)


def _parse(words: list[str]) -> str | None:
    """Parse a command as the program would, without running it; return what is wrong."""
    command, rest = CLI, words
    while hasattr(command, "commands"):
        if rest[:1] in (["--help"], []):
            return None
        if rest[0] not in command.commands:
            return f"no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    if rest == ["--help"]:
        return None
    try:
        command.make_context(command.name, rest)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_commands_that_are_printed_can_be_typed(path: Path) -> None:
    wrong = {}
    for words in _commands(path.read_text(encoding="utf-8")):
        trouble = _parse(words)
        if trouble is not None:
            wrong[" ".join(words)] = trouble
    assert wrong == {}


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_commands_that_are_named_exist(path: Path) -> None:
    """Of `steelyard ...` in the text only the command is looked at: it may be cut short."""
    wrong = []
    for words in re.findall(r"`steelyard ([^`]+)`", _prose(path.read_text(encoding="utf-8"))):
        command: Any = CLI
        for word in words.split():
            inner = getattr(command, "commands", {})
            if not inner or word.startswith("-"):
                break
            if word not in inner and re.fullmatch(r"[a-z][a-z-]*", word):
                wrong.append(words)
                break
            command = inner.get(word)
    assert wrong == []


def test_the_parser_of_this_test_finds_mistakes() -> None:
    assert _parse(["ledger", "verify"]) is None
    assert _parse(["ledger", "verify", "--agianst", "x"]) is not None
    assert _parse(["ledger", "weigh"]) is not None
    assert _parse(["events", "settle", "7"]) is not None, "--because is required"
    block = (
        "```sh\nSTEELYARD_PORT=1 .venv/bin/steelyard ledger head town \\\n --json > head.json\n```"
    )
    assert list(_commands(block)) == [["ledger", "head", "town", "--json"]]


def test_make_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    wrong = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"`make ([a-z-]+)", text)
        named += [m[1] for line in _lines(text) if (m := re.match(r"make ([a-z-]+)", line))]
        wrong += [f"{_name(path)}: {target}" for target in named if target not in targets]
    assert wrong == []


def test_no_document_names_a_strange_host_or_somebodys_folder() -> None:
    files = [*DOCUMENTS, ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "requirements.lock"]
    files += [*ROOT.glob("docs/**/*.json"), *ROOT.glob(".ci/*")]
    wrong = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        wrong += [
            f"{_name(path)}: {host}"
            for host in ADDRESS.findall(text)
            if not OUR_HOSTS.fullmatch(host.rpartition("@")[2])
        ]
        wrong += [f"{_name(path)}: {m[0]}" for m in SOMEBODYS_FOLDER.finditer(text)]
    assert wrong == []


def _required(text: str) -> str:
    found = re.match(r"[A-Za-z0-9-]+", text)
    assert found is not None
    return found[0]


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {
        *map(_required, project["build-system"]["requires"]),
        *map(_required, project["project"]["dependencies"]),
        *(_required(r) for rs in project["project"]["optional-dependencies"].values() for r in rs),
        *(_required(r) for rs in project["dependency-groups"].values() for r in rs),
    }
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line] for line in lines if "`" in line[1]]
    taken = [name for row in rows for name in re.findall(r"`([^`]+)`", row[1])]
    assert sorted(taken) == sorted(wanted)
    assert all(len(row) == 5 and all(row) for row in rows)


def test_the_picture_shows_the_rooms_that_are_there() -> None:
    picture = (ROOT / "docs" / "picture" / "house.svg").read_text(encoding="utf-8")
    found = re.findall(r'class="room (here|later)" id="(\w+)"', picture)
    there = {path.parent.name for path in (ROOT / "src" / "steelyard").glob("*/__init__.py")}
    assert {name for state, name in found if state == "here"} == there
    assert not {name for state, name in found if state == "later"} & there


def test_the_worked_signature_is_right() -> None:
    text = (ROOT / "docs" / "howto" / "sign-requests.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"<!-- example: (\w+) -->\n```\w*\n(.*?)\n```", text, re.DOTALL))
    request = json.loads(blocks["request"])
    expected = signature_of(
        request["secret"],
        request["method"],
        request["path"],
        blocks["body"].encode(),
        timestamp=request["timestamp"],
        nonce=request["nonce"],
    )
    assert blocks["signature"] == expected
    lines = blocks["canonical"].splitlines()
    assert lines[:5] == [
        "STEELYARD-HMAC-SHA256",
        request["method"],
        request["path"],
        str(request["timestamp"]),
        request["nonce"],
    ]


def test_the_changelog_knows_this_release() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{version('steelyard')}]" in text
