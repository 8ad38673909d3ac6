"""`steelyard models`: the registry of models, their cards, their approval."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from steelyard.base import read_settings
from steelyard.cli.output import (
    AsJson,
    Column,
    RefusingGroup,
    err,
    language,
    out,
    print_json,
    show,
)
from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    from steelyard.decisions import registry as models
    from steelyard.decisions.training import Champion

app = typer.Typer(
    help="the registry of models and their cards", cls=RefusingGroup, no_args_is_help=True
)

ACTOR = "operator:cli"
Reference = Annotated[str, typer.Argument(help="name@version; the newest version of a bare name")]
Out = Annotated[Path | None, typer.Option("--out", help="file to write to")]


class FileCannotBeRead(Refusal):
    """There is no such file, or it is no text."""

    kind = RefusalKind.NOT_FOUND
    en = "{path} cannot be read: {why}."
    zh = "无法读取 {path}：{why}。"


@app.callback()
def models_() -> None:
    """Enter trained models with their cards, look at them, let policies use them."""


@app.command("list")
def list_models(
    name: Annotated[str | None, typer.Option(help="of this name only")] = None,
    state: Annotated[str | None, typer.Option(help="registered, approved or retired")] = None,
    limit: Annotated[int, typer.Option(help="how many", min=1, max=1_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the models by name, the newest version of each name first."""
    from steelyard.decisions import registry
    from steelyard.web.platform import open_database

    try:
        wanted = None if state is None else registry.ModelState(state)
    except ValueError:
        raise typer.BadParameter(f"one of {', '.join(registry.ModelState)}") from None
    with open_database(read_settings()) as database, database.reading() as connection:
        page = registry.list_models(connection, name=name, state=wanted, limit=limit)
    columns = [
        Column("model", "model"),
        Column("kind", "kind"),
        Column("state", "state"),
        Column("inputs", "inputs", right=True),
        Column("digest", "digest"),
        Column("registered_at", "registered"),
    ]
    rows = [_row(model) for model in page.items]
    if not as_json:
        for row in rows:
            row["digest"] = row["digest"][:12]
            row["registered_at"] = row["registered_at"].date()
    show(rows, columns, as_json=as_json)


@app.command("show")
def show_model(reference: Reference) -> None:
    """Print what is known of a model, and which policies use it, as JSON."""
    from steelyard.decisions import registry
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        model = registry.read_registered(connection, *_named(reference))
        uses = registry.uses_of(connection, model.name, model.version)
    print_json(
        {
            **asdict(model),
            "inputs": model.inputs.as_data(),
            "used_by": [{"policy": use.cause, "standing": use.standing} for use in uses],
        }
    )


@app.command("card")
def card(reference: Reference, out_file: Out = None, as_json: AsJson = False) -> None:
    """Print a model's card as Markdown, or as JSON."""
    from steelyard.decisions import registry
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        model = registry.read_registered(connection, *_named(reference))
        found = registry.read_card(connection, model.name, model.version)
    _write(found.to_json() if as_json else found.to_markdown(), out_file)


@app.command("export")
def export(reference: Reference, out_file: Out = None) -> None:
    """Print a model's flat form, of which its digest is the SHA-256."""
    from steelyard.decisions import registry
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        model = registry.read_registered(connection, *_named(reference))
        form = registry.read_form(connection, model.name, model.version)
    _write(form, out_file)


@app.command("register")
def register(
    form: Annotated[Path, typer.Argument(help="flat form of the model, in JSON")],
    card_file: Annotated[Path, typer.Option("--card", help="its card, in JSON")],
    name: Annotated[str, typer.Option("--name", help="under which it is entered")],
    as_json: AsJson = False,
) -> None:
    """Enter a model as the next version of a name; it is never changed afterwards."""
    enter(name, _text(form).removesuffix("\n"), _text(card_file), as_json=as_json)


@app.command("approve")
def approve(
    reference: Reference,
    approval: Annotated[UUID | None, typer.Option(help="that another person gave")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask another person to let policies use a model; with the approval, let them."""
    from steelyard.decisions import registry
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        with database.reading() as connection:
            model = registry.read_registered(connection, *_named(reference))
        place = (model.name, model.version)
        if approval is not None:
            model = database.transact(
                lambda unit: registry.approve_model(unit, *place, approval=approval), actor=ACTOR
            )
            _tell(model, as_json=as_json)
            return
        asked = database.transact(
            lambda unit: registry.request_model_approval(unit, *place), actor=ACTOR
        )
    if as_json:
        print_json({"approval": asked.id, "subject": asked.subject, "shown": asked.shown})
    else:
        out.print(f"approval {asked.id} waits for another person", highlight=False)


@app.command("retire")
def retire(
    reference: Reference,
    reason: Annotated[str, typer.Option(help="why")],
    as_json: AsJson = False,
) -> None:
    """Let no new policy use a model any more; decisions made with it are still computed again."""
    from steelyard.decisions import registry
    from steelyard.web.platform import open_database

    if not 0 < len(reason) <= registry.MOST_REASON:
        raise typer.BadParameter(f"1 to {registry.MOST_REASON} characters", param_hint="--reason")
    with open_database(read_settings()) as database:
        with database.reading() as connection:
            model = registry.read_registered(connection, *_named(reference))
        place = (model.name, model.version)
        model = database.transact(
            lambda unit: registry.retire_model(unit, *place, reason=reason), actor=ACTOR
        )
    _tell(model, as_json=as_json)


def champion(name: str) -> Champion | None:
    """Return the model of a name that policies may use now; None where there is none to ask.

    Refusals
    --------
    model_name_is_invalid
    """
    from steelyard.decisions import registry
    from steelyard.decisions.training import Champion
    from steelyard.web.platform import open_database

    registry.check_name(name)
    with open_database(read_settings()) as database, database.reading() as connection:
        found = registry.champion_of(connection, name)
        if found is None:
            return None
        card = registry.read_card(connection, found.name, found.version)
        try:
            model = registry.load_registered(connection, found.reference)
        except registry.FeatureDefinitionDiffers as refused:
            err.print(refused.sentence(language()), highlight=False, soft_wrap=True)
            return None
    return Champion(found.reference, model, card.data.digest)


def enter(name: str, form: str, card_text: str, *, as_json: bool) -> None:
    """Enter a model and tell which version it became, on the error stream beside JSON."""
    from steelyard.decisions import registry
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        model = database.transact(
            lambda unit: registry.register_model(unit, name, form, card_text), actor=ACTOR
        )
    _tell(model, as_json=as_json)


def _tell(model: models.RegisteredModel, *, as_json: bool) -> None:
    if as_json:
        print_json(_row(model))
    else:
        text = f"{model.reference} is {model.state}, digest {model.digest}"
        err.print(text, highlight=False, soft_wrap=True)


def _row(model: models.RegisteredModel) -> dict[str, Any]:
    return {
        "model": model.reference,
        "kind": model.kind.value,
        "state": model.state.value,
        "inputs": len(model.inputs.names),
        "digest": model.digest,
        "registered_at": model.registered_at,
        "registered_by": model.registered_by,
    }


def _named(reference: str) -> tuple[str, int | None]:
    """Return name and version; None for the newest one."""
    from steelyard.decisions import registry

    return registry.read_reference(reference) if "@" in reference else (reference, None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileCannotBeRead(path=path, why=error) from None


def _write(text: str, path: Path | None) -> None:
    if path is None:
        typer.echo(text.removesuffix("\n"))
    else:
        path.write_text(text, encoding="utf-8")
        err.print(f"written to {path}", highlight=False, soft_wrap=True)
