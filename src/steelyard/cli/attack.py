"""`steelyard simulate attack`: fraud in the town, and what the platform makes of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.base import Settings, read_settings
from steelyard.cli.output import AsJson, Column, bars, language, out, print_json, show
from steelyard.kernel import Refusal, RefusalKind
from steelyard.simulation import AttackKind

if TYPE_CHECKING:
    import httpx

    from steelyard.simulation import attack as attacks

_MOST_SPEED = 1_800.0
_USUAL_SPEED = {
    AttackKind.CARD_TESTING: 120.0,
    AttackKind.RING: _MOST_SPEED,
    AttackKind.TAKEOVER: 120.0,
}
_SAMPLE_CUSTOMERS = 60
_SAMPLE_DAYS = 12
_SAMPLE_BEGINS = timedelta(hours=11)
"""After midnight: when the town is about."""
_SAMPLE_SIZE = {AttackKind.CARD_TESTING: 15, AttackKind.RING: 8, AttackKind.TAKEOVER: 8}


class PlatformDoesNotAnswer(Refusal):
    """There is no running platform to attack."""

    kind = RefusalKind.UNAVAILABLE
    en = "No platform answers at {url}: start one (steelyard up), name it by --url, or --sample."
    zh = "{url} 没有平台响应：请先启动（steelyard up），或用 --url 指定地址，或使用 --sample。"


def attack(
    kind: Annotated[AttackKind, typer.Argument(help="what the fraudsters are after")],
    size: Annotated[
        int | None, typer.Option(min=1, max=500, help="cards, members or customers")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=1, help="how long it lasts, in virtual minutes")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=_MOST_SPEED,
            help="virtual seconds in one real second meanwhile; faster, payments would come too"
            " late to be looked at",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="of all chance in it; another one each time by default")
    ] = None,
    reports: Annotated[
        bool, typer.Option(help="wait until cardholders report, 1 to 2 virtual days after")
    ] = True,
    url: Annotated[
        str | None, typer.Option(help="of the platform; the one that runs in the home without it")
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="on a small platform of its own, which it starts")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start fraud in the running town, and watch decisions, reasons, cases and losses.

    It goes through the public interface, as fraudsters would: stolen cards tried out at a terminal,
    a ring of new customers, accounts taken over. The town lives on meanwhile; honest customers who
    are disturbed are counted too.
    """
    from steelyard.simulation import attack as attacks

    settings = read_settings()
    settings.refuse_in_production("an attack")
    usual_size, usual_length = attacks.USUAL[kind]
    plan = attacks.AttackPlan(
        kind=kind,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        size=size or (_SAMPLE_SIZE[kind] if sample else usual_size),
        lasts=usual_length if minutes is None else timedelta(minutes=minutes),
    )
    with ExitStack() as stack:
        client = stack.enter_context(_sample_town() if sample else _running(settings, url))
        raid = attacks.prepare(client, plan, speed=speed or _USUAL_SPEED[kind])
        if sample:
            raid.time.reach(raid.time.now() + _SAMPLE_BEGINS)
        with _watching(plan, is_quiet=as_json) as watch:
            score = attacks.carry_out(raid, watch, reports=reports)
    if as_json:
        print_json(_as_json(plan, score))
        return
    _tell(plan, score)


def _address(settings: Settings) -> str:
    """Return where the platform of this home answers, as it wrote down itself when it began."""
    from steelyard.cli.running import ADDRESS

    try:
        return (settings.home / ADDRESS).read_text(encoding="utf-8")
    except OSError:
        return f"http://{settings.host}:{settings.port}"


@contextmanager
def _running(settings: Settings, url: str | None) -> Iterator[httpx.Client]:
    """Yield a client of the platform that runs in this home, with its development key."""
    import httpx
    import msgspec

    from steelyard.parties import first_run

    address = url or _address(settings)
    keys = settings.home / "demo.json"
    try:
        httpx.get(f"{address}/readyz", timeout=5, trust_env=False).raise_for_status()
        people = msgspec.json.decode(keys.read_bytes(), type=first_run.DemoPeople)
    except (httpx.HTTPError, OSError, msgspec.MsgspecError):
        raise PlatformDoesNotAnswer(url=address) from None
    with _client(address, people.development.secret) as client:
        yield client


@contextmanager
def _client(address: str, bearer: str) -> Iterator[httpx.Client]:
    import httpx

    headers = {"authorization": f"Bearer {bearer}", "accept-language": language()}
    with httpx.Client(base_url=address, headers=headers, trust_env=False) as client:
        yield client


@contextmanager
def _sample_town() -> Iterator[httpx.Client]:
    """Have a platform with a small town that has lived for a while, in a home of its own."""
    from steelyard.base.schema import migrate
    from steelyard.cli.serving import serve_alone
    from steelyard.cli.supervisor import Child, Supervisor
    from steelyard.simulation import OPENS_ON, Plan, play_history
    from steelyard.web.platform import open_database_server

    token = secrets.token_urlsafe(32)
    with ExitStack() as stack:
        home = stack.enter_context(TemporaryDirectory(prefix="steelyard-sample-"))
        settings = replace(
            read_settings(), home=Path(home), database_url=None, owner_url=None, log_level="ERROR"
        )
        progress = stack.enter_context(bars())
        urls = stack.enter_context(open_database_server(settings))
        migrate(urls.owner)
        supervisor = Supervisor(lambda line: typer.echo(line, err=True))
        stack.callback(supervisor.stop)
        environment = {
            "STEELYARD_HOME": home,
            "STEELYARD_DATABASE_URL": "",
            "STEELYARD_OWNER_URL": "",
            "STEELYARD_LOG_LEVEL": "ERROR",
        }
        for name, module in (
            ("decisions", "steelyard.web.owner"),
            ("jobs", "steelyard.web.worker"),
        ):
            supervisor.start(Child(name, module, environment=environment, is_quiet=True))
        address = stack.enter_context(serve_alone(settings, token, has_owner=True))
        client = stack.enter_context(_client(address, token))
        plan = Plan(1, _SAMPLE_CUSTOMERS, 2 * _SAMPLE_CUSTOMERS, OPENS_ON)
        play_history(
            client,
            plan,
            days=_SAMPLE_DAYS,
            progress=lambda done, total: progress("history (days)", done, total),
        )
        yield client


@contextmanager
def _watching(plan: attacks.AttackPlan, *, is_quiet: bool) -> Iterator[attacks.Watch]:
    """Show the table while it fills: in place on a terminal, bars on the error stream else."""
    from rich.live import Live

    if is_quiet or not out.is_terminal:
        with bars() as progress:

            def step(score: attacks.Score) -> None:
                progress("attempts", score.attempts + score.skipped, score.attack.tries)
                if score.reported:
                    progress("reports", score.reported, score.asked)

            yield step
        return
    with Live(console=out, refresh_per_second=4, transient=True) as live:
        yield lambda score: live.update(_table(plan, score))


_OUTCOMES = ("approve", "limit", "step_up", "hold", "review", "decline", "not_asked", "unfunded")
_REASONS = [
    Column("reason", "reason"),
    Column("times", "times", right=True),
    Column("text", "what a customer is told"),
]
_FACTS = [Column("what", ""), Column("is", "", right=True)]


def _stretch_rows(score: attacks.Score) -> list[dict[str, Any]]:
    """Return a row for each stretch of time in which something was tried, and their sum."""
    rows = [
        {
            "after": _clock(stretch.after),
            "attempts": stretch.attempts,
            **{name: stretch.outcomes[name] for name in stretch.outcomes},
            "unfunded": stretch.unfunded,
            "passed_minor": stretch.passed_minor,
            "stopped_minor": stretch.stopped_minor,
        }
        for stretch in score.stretches
        if stretch.attempts
    ]
    total = {
        "after": "in all",
        "attempts": score.attempts,
        **score.outcomes,
        "unfunded": sum(stretch.unfunded for stretch in score.stretches),
        "passed_minor": score.passed_minor,
        "stopped_minor": score.stopped_minor,
    }
    return [*rows, total]


def _columns(rows: list[dict[str, Any]]) -> list[Column]:
    """Return the columns of the table: outcomes that never came are left out."""
    told = [name for name in _OUTCOMES if any(row.get(name) for row in rows)]
    return [
        Column("after", "after"),
        Column("attempts", "tried", right=True),
        *(Column(name, name.replace("_", " "), right=True) for name in told),
        Column("passed_minor", "passed", right=True),
        Column("stopped_minor", "stopped", right=True),
    ]


def _clock(after: timedelta) -> str:
    """Return a stretch of time as days, hours and minutes."""
    minutes = int(after.total_seconds()) // 60
    days, rest = divmod(minutes, 1_440)
    return (f"{days} d " if days else "") + f"{rest // 60:02d}:{rest % 60:02d}"


def _reason_rows(score: attacks.Score) -> list[dict[str, Any]]:
    return [
        {"reason": code, "times": times, "text": score.texts[code]}
        for code, times in score.reasons.most_common()
    ]


def _cell(value: object) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _disturbed(good: attacks.Disturbed) -> str:
    return f"{_share(good.share)} of {good.payments:,}"


def _facts(plan: attacks.AttackPlan, score: attacks.Score) -> dict[str, Any]:
    tried_minor = score.passed_minor + score.stopped_minor
    stopped = score.stopped_minor / tried_minor if tried_minor else None
    first = score.first_stop
    return {
        "seed": plan.seed,
        "steps given up, because others were stopped": score.skipped,
        "first stopped after (h:min)": "never" if first is None else _clock(first[0]),
        "attempts before that": None if first is None else first[1],
        "loss let through (minor units)": score.passed_minor,
        "loss stopped (minor units)": score.stopped_minor,
        "share of the loss stopped": _share(stopped),
        "good payments disturbed before": _disturbed(score.before),
        "good payments disturbed during": _disturbed(score.during),
        "good payments disturbed after": _disturbed(score.after),
        "cases opened": ", ".join(f"{kind} {n}" for kind, n in score.cases.items()) or "none",
        "payments reported as fraud": score.reported,
    }


def _table(plan: attacks.AttackPlan, score: attacks.Score) -> Any:
    """Return what happened so far, to be drawn in place."""
    from rich.console import Group
    from rich.table import Table

    def table(rows: list[dict[str, Any]], columns: list[Column], title: str) -> Table:
        drawn = Table(title=title, title_justify="left", header_style="bold")
        for column in columns:
            drawn.add_column(column.heading, justify="right" if column.right else "left")
        for row in rows:
            drawn.add_row(*(_cell(row.get(column.key)) for column in columns))
        return drawn

    rows = _stretch_rows(score)
    return Group(
        table(rows, _columns(rows), f"{plan.kind.value}, seed {plan.seed}"),
        table(_reason_rows(score)[:8], _REASONS, "reasons"),
        f"reported as fraud: {score.reported:,} of {score.asked:,}" if score.reported else "",
    )


def _tell(plan: attacks.AttackPlan, score: attacks.Score) -> None:
    title = f"{plan.kind.value}: what was tried, and what was decided"
    rows = _stretch_rows(score)
    show(rows, _columns(rows), as_json=False, title=title)
    show(_reason_rows(score), _REASONS, as_json=False, title="reasons given")
    facts = [{"what": what, "is": value} for what, value in _facts(plan, score).items()]
    show(facts, _FACTS, as_json=False, title="what came of it")


def _as_json(plan: attacks.AttackPlan, score: attacks.Score) -> dict[str, Any]:
    first = score.first_stop
    return {
        "attack": plan.kind.value,
        "seed": plan.seed,
        "size": plan.size,
        "minutes": plan.lasts.total_seconds() / 60,
        "began_at": score.began_at,
        "attempts": score.attempts,
        "skipped": score.skipped,
        "outcomes": dict(score.outcomes),
        "over_time": _stretch_rows(score)[:-1],
        "reasons": _reason_rows(score),
        "loss_passed_minor": score.passed_minor,
        "loss_stopped_minor": score.stopped_minor,
        "first_stop_seconds": None if first is None else first[0].total_seconds(),
        "attempts_before_first_stop": None if first is None else first[1],
        "good_before": {"payments": score.before.payments, "disturbed": score.before.disturbed},
        "good_during": {"payments": score.during.payments, "disturbed": score.during.disturbed},
        "good_after": {"payments": score.after.payments, "disturbed": score.after.disturbed},
        "cases": dict(score.cases),
        "reported": score.reported,
    }
