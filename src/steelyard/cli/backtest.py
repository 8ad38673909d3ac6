"""`steelyard backtest`: what a policy would have done to labelled events of the past."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.base import read_settings
from steelyard.cli.output import (
    AsJson,
    Column,
    RefusingGroup,
    bars,
    err,
    out,
    print_json,
    show,
)
from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from steelyard.decisions.backtest import Backtest, CompiledPolicy, LossRule, Past

    Progress = Callable[[str, int, int], None]

ACTIVE = "active"


class NothingToTestOn(Refusal):
    """No source of history was named, or several."""

    kind = RefusalKind.INVALID
    en = "Name one history: --data DIR, --log, or --sample for a small made-up one."
    zh = "请指定一种历史数据：--data 目录、--log，或使用 --sample 生成虚构小样本。"


class NoPolicyToTest(Refusal):
    """Neither a policy nor a scene was named."""

    kind = RefusalKind.INVALID
    en = "Name a policy or a document, or a scene with --scene; --sample alone tests every scene."
    zh = "请给出策略或文档，或用 --scene 指明场景；单独使用 --sample 将回测所有场景。"


class DataIsOfAnotherScene(Refusal):
    """The files hold card payments only."""

    kind = RefusalKind.CONFLICT
    en = "--data reads card payments; {scene} is tested with --log or --sample."
    zh = "--data 仅支持刷卡付款；{scene} 请使用 --log 或 --sample 回测。"


class ColumnsAreMissing(Refusal):
    """The files are read in columns."""

    kind = RefusalKind.UNAVAILABLE
    en = "Reading files needs the extra `columns`: pip install 'steelyard[columns]'."
    zh = "读取文件需要额外依赖 columns：pip install 'steelyard[columns]'。"


class _DefaultGroup(RefusingGroup):
    """A group whose `run` may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` before what names no command."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="what a policy would have done to the past; `run` may be left out", cls=_DefaultGroup
)

Day = ["%Y-%m-%d"]
Share = typer.Option(min=0.0, max=100.0)
Name = Annotated[
    str | None, typer.Argument(help="scene, policy.<scene>@<version>, or file of a JDM document")
]
Against = Annotated[
    str | None,
    typer.Option(
        help="`active`, `nothing`, or a policy as above; of a document `active`, else `nothing`"
    ),
]
Data = Annotated[Path | None, typer.Option(help="folder of the Handbook's .parquet")]
Log = Annotated[bool, typer.Option("--log", help="the log of decisions and its labels")]
Sample = Annotated[bool, typer.Option("--sample", help="a small made-up history")]
Scene = Annotated[str | None, typer.Option(help="whose events a document judges")]
Since = Annotated[
    datetime | None, typer.Option(formats=Day, help="first day used; once windows are full")
]
Until = Annotated[
    datetime | None, typer.Option(formats=Day, help="day after the last one used; the end")
]
TestFrom = Annotated[
    datetime | None, typer.Option(formats=Day, help="first day tested; two thirds of the way")
]
Out = Annotated[Path | None, typer.Option("--out", help="folder for data, report and plots")]
Seed = Annotated[int, typer.Option(min=0, help="of the made-up history and the checked sample")]
Rows = Annotated[int, typer.Option(min=1, help="events judged one by one as well")]


@app.callback()
def backtest() -> None:
    """Try a policy on labelled events of the past, beside another one or none."""


@app.command("run")
def run(
    policy: Name = None,
    against: Against = None,
    data: Data = None,
    log: Log = False,
    sample: Sample = False,
    scene: Scene = None,
    since: Since = None,
    until: Until = None,
    test_from: TestFrom = None,
    out_folder: Out = None,
    seed: Seed = 1,
    checked: Rows = 2_000,
    mature_days: Annotated[
        int, typer.Option(min=0, help="of --log: silence that long after passing counts as good")
    ] = 14,
    most_disturbed: Annotated[
        float, typer.Option(min=0, max=100, help="% of the good that chosen thresholds may disturb")
    ] = 2.0,
    loss_each: Annotated[
        int | None, typer.Option(min=0, help="what a bad event loses, minor units")
    ] = None,
    loss_share: Annotated[
        float | None, typer.Option(min=0, max=100, help="% of its amount that it loses")
    ] = None,
    review_finds: Annotated[
        float | None, typer.Option(min=0, max=100, help="% of the loss that people find")
    ] = None,
    step_up_stops: Annotated[
        float, typer.Option(min=0, max=100, help="% of the loss that a second factor stops")
    ] = 90.0,
    as_json: AsJson = False,
) -> None:
    """Judge the past in columns: loss, approval, swap set, thresholds, rules, drift."""
    if (data is not None) + log + sample != 1:
        raise NothingToTestOn
    from steelyard.decisions import backtest as tests

    names = [policy or scene]
    if names == [None]:
        if not sample or against not in (None, "nothing"):
            raise NoPolicyToTest
        names = list(tests.SAMPLES)
    window = {"since": _utc(since), "until": _utc(until), "test_from": _utc(test_from)}
    made = []
    for name in names:
        assert name is not None
        tested, other = _policies(name, against, scene, log=log)
        loss = _loss(tested.scene, loss_each, loss_share)
        costs = tests.COSTS[tested.scene]
        if review_finds is not None:
            costs = replace(costs, review_finds_bp=round(review_finds * 100))
        plan = tests.Plan(
            tests.Assumed(costs, round(step_up_stops * 100)),
            **window,
            most_disturbed=most_disturbed / 100,
            sample=checked,
            seed=seed,
        )
        with bars() as progress:
            past = _past(tested, other, (data, log), (loss, seed, mature_days), progress)
            found = tests.backtest(past, tested, other, plan, progress)
        told = tests.as_data(found)
        made.append(told)
        if out_folder is not None:
            _keep(found, told, out_folder / tested.scene if len(names) > 1 else out_folder)
    if as_json:
        print_json(made[0] if len(made) == 1 else made)
    elif len(made) == 1:
        _tell(made[0])
    else:
        _table(*tests.summary(made), made[0]["source"])
        out.print(made[0]["notes"][0], highlight=False, soft_wrap=True)


@app.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(help="folder or backtest.json of a run")],
    second: Annotated[Path, typer.Argument(help="another run on the same events")],
    as_json: AsJson = False,
) -> None:
    """Put the policies of two runs side by side; they have to have tested the same events."""
    from steelyard.decisions import backtest as tests

    heads, rows = tests.compare_runs(tests.read_run(first), tests.read_run(second))
    if as_json:
        print_json([dict(zip(("figure", "first", "second"), row, strict=True)) for row in rows])
    else:
        _table(heads, rows, "two runs on the same events")


# -- what is tested ------------------------------------------------------------------------------


def _policies(
    name: str, against: str | None, scene: str | None, *, log: bool
) -> tuple[CompiledPolicy, CompiledPolicy | None]:
    """Return the tested policy and the one beside it; None is approving everything."""
    from steelyard.decisions.backtest import find_policy

    tested = _committed(name) if _is_in_database(name, log=log) else find_policy(name, scene)
    wanted = against or (ACTIVE if Path(name).is_file() else "nothing")
    if wanted == "nothing":
        return tested, None
    if wanted == ACTIVE:
        wanted = tested.scene
    if _is_in_database(wanted, log=log):
        return tested, _committed(wanted, tested.scene)
    return tested, find_policy(wanted, tested.scene)


def _is_in_database(name: str, *, log: bool) -> bool:
    """Whether a name means what stands in the database: a version, or with --log a scene."""
    from steelyard.decisions.backtest import SAMPLES, delivered

    return (name.startswith("policy.") and not delivered(name)) or (log and name in SAMPLES)


def _committed(name: str, scene: str | None = None) -> CompiledPolicy:
    """Return a committed policy by its cause, or the one in force in a scene."""
    from steelyard.decisions import policies
    from steelyard.decisions.backtest import ScenesDiffer
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        if name.startswith("policy."):
            found = policies.policy_of(connection, name)
        else:
            found = policies.load_roster(connection).standings[name].active
    if scene not in (None, found.scene):
        raise ScenesDiffer(cause=found.cause, scene=found.scene, wanted=scene)
    return found


def _past(
    tested: CompiledPolicy,
    other: CompiledPolicy | None,
    source: tuple[Path | None, bool],
    how: tuple[LossRule, int, int],
    progress: Progress,
) -> Past:
    from importlib.util import find_spec

    from steelyard.decisions import backtest as tests

    data, log = source
    loss, seed, mature_days = how
    reads = {*tested.reads, *(other.reads if other is not None else ())}
    if data is not None:
        if tested.scene != "payment":
            raise DataIsOfAnotherScene(scene=tested.scene)
        if find_spec("polars") is None:
            raise ColumnsAreMissing
        return tests.read_handbook(data, reads, progress, loss)
    if not log:
        return tests.make_sample(tested.scene, reads, progress, seed=seed, loss=loss)
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        now_ms = round(database.now().timestamp() * 1_000)
        with database.reading() as connection:
            return tests.read_log(
                connection,
                tested.scene,
                reads,
                progress,
                as_of_ms=now_ms,
                mature_days=mature_days,
                loss=loss,
            )


def _loss(scene: str, each: int | None, share: float | None) -> LossRule:
    from steelyard.decisions.backtest import LOSSES

    rule = LOSSES[scene]
    if each is not None:
        rule = replace(rule, each_minor=each)
    return rule if share is None else replace(rule, share_bp=round(share * 100))


def _utc(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC)


# -- what is shown -------------------------------------------------------------------------------


def _keep(found: Backtest, told: dict[str, Any], folder: Path) -> None:
    from steelyard.decisions import backtest as tests

    tests.write_run(told, folder)
    drawn = tests.draw(found, folder)
    without = "" if drawn else ", without plots: matplotlib is not installed"
    err.print(f"kept in {folder}{without}", highlight=False, soft_wrap=True)


def _tell(told: dict[str, Any]) -> None:
    from steelyard.decisions import backtest as tests

    for title, (heads, rows) in tests.tables(told):
        _table(heads, rows, title)
    for one in tests.remarks(told):
        out.print(one, highlight=False, soft_wrap=True)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    keys = [str(n) for n in range(len(heads))]
    show(
        [dict(zip(keys, row, strict=True)) for row in rows],
        [
            Column(key, head, right=n > 0 and heads[0] != "rule")
            for n, (key, head) in enumerate(zip(keys, heads, strict=True))
        ],
        as_json=False,
        title=title,
    )
