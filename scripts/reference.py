"""Writes the reference pages from the registries: `python scripts/reference.py`.

A page says what the code declares and nothing else, so it is never edited by hand. A test compares
the pages with what this writes.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import msgspec
import typer
from fastapi.routing import iter_route_contexts

import steelyard
from steelyard.base import Settings, fact_classes, read_settings
from steelyard.base.http import PROBLEM, STATUS, refusals
from steelyard.base.settings import SettingIsInvalid
from steelyard.decisions.model.expression.reference import expressions_page
from steelyard.kernel import Refusal

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
_MADE = "<!-- Made by scripts/reference.py from the code: do not edit. -->"
_FLOORS = (
    "kernel", "base", "ledger", "events", "cashflows", "parties", "features", "cases",
    "experiments", "decisions", "payments", "credit", "imports", "simulation", "web", "cli"
)  # fmt: skip
# Importing these runs a program or a migration.
_PROGRAMS = frozenset({"__main__", "worker", "migrations"})


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


def refusals_page() -> str:
    """Return the page of all refusals, room by room."""
    _load("steelyard")
    kinds = sorted(_below(Refusal), key=lambda kind: (_floor(kind), kind.code))
    rows = (
        (_room(k), (f"`{k.code}`", str(STATUS[k.kind]), _sentence(k.en), _sentence(k.zh)))
        for k in kinds
    )
    return _page(
        "Refusals",
        f"Every expected *no*, {len(kinds)} in all. Over HTTP a refusal is a problem document (RFC"
        " 9457) with this `code` and status, and the sentence in the language that"
        " `Accept-Language` asks for; the facts that the sentence names stand under `facts` too."
        " Commands print code and sentence, and exit with 1. The rooms' refusals are also served"
        " at `/problems`.",
        _by_room(rows, ("code", "status", "en", "zh-CN")),
    )


def facts_page() -> str:
    """Return the page of all events, room by room."""
    _load("steelyard")
    classes = [made for made in fact_classes().values() if _is_ours(made)]
    classes.sort(key=lambda made: (_floor(made), made.kind, made.version))
    rows = (
        (
            _room(made),
            (f"`{made.kind}@{made.version}`", _first_sentence(made), _payload(made)),
        )
        for made in classes
    )
    return _page(
        "Events",
        f"Every fact that this release writes into the log, {len(classes)} in all: kind and"
        " version, when it is recorded, and the fields of its payload. Payloads hold ids, codes,"
        " amounts in minor units, dates and instants, never personal data."
        " `steelyard events kinds` prints the same.",
        _by_room(rows, ("event", "meaning", "payload")),
    )


def settings_page() -> str:
    """Return the page of the environment variables."""
    rows = [
        (_code(variable), _default(name), _accepted(variable), meaning)
        for name, variable, meaning in _settings()
    ]
    return _page(
        "Settings",
        "Settings are environment variables, read once when a process starts. An empty variable"
        " counts as absent. A value that cannot be meant is refused (`setting_is_invalid`).",
        [_table(("variable", "default", "accepted", "meaning"), rows)],
        "Traces are sent where the variable `OTEL_EXPORTER_OTLP_ENDPOINT` of OpenTelemetry points,"
        " if the extra `steelyard[otel]` is installed.",
    )


def commands_page() -> str:
    """Return the page of the command line."""
    from steelyard.cli import app

    sections = [
        section
        for path, command in _commands(typer.main.get_command(app), "steelyard")
        for section in _command(path, command)
    ]
    return _page(
        "Commands",
        "Every command works alone (it starts the embedded database, brings it to this release,"
        " and stops it again) and beside a running `make up`. A refusal is told in one sentence,"
        " and the exit status is 1.",
        sections,
    )


def http_page() -> str:
    """Return the page of the HTTP routes, by tag."""
    from steelyard.web.app import create_app
    from steelyard.web.openapi import operations

    with tempfile.TemporaryDirectory() as home:
        app = create_app(Settings(home=Path(home)))
    schema = app.openapi()
    entitlements = _entitlements(app.routes)
    common = _codes(refusals(write=True)) | {"request_is_too_large", "too_many_requests"}
    described = {tag["name"]: tag["description"] for tag in schema["tags"]}
    rows: dict[str, list[tuple[str, ...]]] = {name: [] for name in described}
    for path, method, operation in operations(schema):
        codes = sorted(_codes(operation["responses"]) - common)
        row = (
            _code(f"{method.upper()} {path}"),
            _code(entitlements.get((method.upper(), path), "")),
            _told(operation),
            ", ".join(_code(code) for code in codes),
        )
        for tag in operation.get("tags", ("other",)):
            rows.setdefault(tag, []).append(row)
    heads = ("route", "entitlement", "what it does", "refusals of its own")
    sections = [
        "\n\n".join(part for part in (f"## {tag}", described.get(tag), _table(heads, own)) if part)
        for tag, own in rows.items()
    ]
    return _page(
        "HTTP",
        "The routes, by tag. The whole contract, with the form of every request and answer, is"
        " `/openapi.json` of a running platform; `/docs` shows it with examples. A route with an"
        " entitlement wants a caller who holds it: a session, a signed request"
        " ([how](../howto/sign-requests.md)) or, in development, a bearer key. Every such route"
        f" can refuse with {_codes_of(refusals())}, and those that write, which take an"
        f" `Idempotency-Key`, also with {_codes_of(refusals(write=True), but=refusals())}. Every"
        " route can refuse with `request_is_too_large` and `too_many_requests`.",
        sections,
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "expressions.md": expressions_page,
    "commands.md": commands_page,
    "facts.md": facts_page,
    "http.md": http_page,
    "refusals.md": refusals_page,
    "settings.md": settings_page,
}


def _page(title: str, about: str, sections: Iterable[str], end: str = "") -> str:
    parts = [f"# {title}", _MADE, _prose(about), *sections, *([_prose(end)] if end else [])]
    return "\n\n".join(parts) + "\n"


def _prose(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _by_room(rows: Iterable[tuple[str, tuple[str, ...]]], heads: tuple[str, ...]) -> Iterator[str]:
    rooms: dict[str, list[tuple[str, ...]]] = {}
    for room, row in rows:
        rooms.setdefault(room, []).append(row)
    for room, own in rooms.items():
        yield f"## {room}\n\n{_table(heads, own)}"


def _load(name: str) -> None:
    """Import everything, so that the registries are whole."""
    package = importlib.import_module(name)
    for found in pkgutil.iter_modules(getattr(package, "__path__", ())):
        if found.name not in _PROGRAMS:
            _load(f"{name}.{found.name}")


def _below(kind: type[Refusal]) -> set[type[Refusal]]:
    found: set[type[Refusal]] = set()
    for child in kind.__subclasses__():
        found |= _below(child)
        if _is_ours(child):
            found.add(child)
    return found


def _is_ours(made: type) -> bool:
    return made.__module__.startswith(f"{steelyard.__name__}.")


def _room(made: type) -> str:
    return made.__module__.split(".")[1]


def _floor(made: type) -> int:
    return _FLOORS.index(_room(made))


def _sentence(template: str) -> str:
    """Return a template with its facts set off: `{limit}` becomes *limit*."""
    return re.sub(r"\{(\w+)\}", r"*\1*", template)


def _first_sentence(made: type) -> str:
    return " ".join(inspect.cleandoc(made.__doc__ or "").split("\n\n")[0].split())


def _payload(made: type) -> str:
    return ", ".join(f"{f.name}: {_type(f.type)}" for f in msgspec.structs.fields(made))


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b[a-z_]\w*\.", "", text)


def _settings() -> Iterator[tuple[str, str, str]]:
    """Yield field, variable and meaning of every setting, as its class describes them."""
    text = inspect.cleandoc(Settings.__doc__ or "").split("----------\n", 1)[1]
    for entry in re.split(r"\n(?=\S)", text.strip()):
        names, _, described = entry.partition(":")
        variables = re.findall(r"STEELYARD_[A-Z_]+", described)
        parts = re.split(r"; (?=`STEELYARD_)", " ".join(described.split()))
        for name, variable in zip(names.split(","), variables, strict=True):
            (part,) = (p for p in parts if variable in p)
            # What stands in a column of its own is left out.
            meaning = re.sub(r"\s*\((`[^`]*`(, )?)+\)|`STEELYARD_[A-Z_]+`", "", part)
            yield name.strip(), variable, meaning.strip()


def _default(name: str) -> str:
    (default,) = (f.default for f in fields(Settings) if f.name == name)
    if name == "home":
        default = ".steelyard"  # the field is absolute and has none
    return "" if default in (None, MISSING) else _code(str(default))


def _accepted(variable: str) -> str:
    """Return what a variable takes, as its refusal says."""
    try:
        read_settings({variable: "?"})
    except SettingIsInvalid as refusal:
        return str(refusal.facts["expected"])
    return ""


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            yield from _commands(inner, f"{path} {name}")
        else:
            yield f"{path} {name}", inner


def _command(path: str, command: Any) -> Iterator[str]:
    shown = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    words = [a.name.upper() if a.required else f"[{a.name.upper()}]" for a in arguments]
    options = " [OPTIONS]" if len(shown) > len(arguments) else ""
    yield f"## {' '.join([path, *words])}{options}".replace("[", "\\[")
    yield " ".join((command.help or "").split())
    rows = [
        (_code(_spelled(p)), _must_or_default(p), getattr(p, "help", None) or "") for p in shown
    ]
    if rows:
        yield _table(("argument or option", "default", "meaning"), rows)


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name: str = parameter.name.upper()
        return name
    return " / ".join([*parameter.opts, *parameter.secondary_opts])


def _must_or_default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default is None or default is False or default == ():
        return ""
    return "yes" if default is True else _code(str(default))


def _entitlements(routes: Sequence[Any]) -> dict[tuple[str, str], str]:
    """Return the verb that each route requires, from the dependency `reading` or `writing`."""
    found: dict[tuple[str, str], str] = {}
    for route in iter_route_contexts(routes):
        dependant = getattr(route, "dependant", None)
        for inner in getattr(dependant, "dependencies", ()):
            held = inspect.getclosurevars(inner.call).nonlocals.get("verb")
            if held is not None:
                found.update({(m, str(route.path)): held for m in route.methods or ()})
    return found


def _codes_of(responses: Mapping[Any, Any], but: Mapping[Any, Any] | None = None) -> str:
    return ", ".join(_code(code) for code in sorted(_codes(responses) - _codes(but or {})))


def _codes(responses: Mapping[Any, Any]) -> set[str]:
    return {
        code
        for response in responses.values()
        for code in response.get("content", {})
        .get(PROBLEM, {})
        .get("schema", {})
        .get("properties", {})
        .get("code", {})
        .get("enum", ())
    }


def _told(operation: Mapping[str, Any]) -> str:
    return str(operation.get("description") or operation["summary"]).split("\n\n")[0]


if __name__ == "__main__":
    main()
