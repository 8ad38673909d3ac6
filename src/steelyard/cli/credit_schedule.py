"""`steelyard credit schedule`: how a contract of a file stands on a day."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.cli.output import AsJson, Column, err, language, out, print_json, show
from steelyard.kernel import Money, Refusal, RefusalKind

if TYPE_CHECKING:
    from steelyard.cashflows import Standing, Terms, disclosure, events

_KEYS = ("terms", "events", "as_of")
_SOURCE_LIMIT_BYTES = 8_000_000


class CaseIsUnreadable(Refusal):
    """The file is not there, too large, or no JSON."""

    kind = RefusalKind.INVALID
    en = "{path} cannot be read as a case: {why}."
    zh = "无法将 {path} 读作案例：{why_zh}。"


class CaseIsInvalid(Refusal):
    """A field of the case is not what it should be."""

    kind = RefusalKind.INVALID
    en = "{path}: {field} must be {why}."
    zh = "{path}：字段 {field} 应为 {why}。"


class PlotNeedsMatplotlib(Refusal):
    """The extra `plots` is not installed."""

    kind = RefusalKind.UNAVAILABLE
    en = "A plot needs matplotlib: install steelyard[plots]."
    zh = "绘图需要 matplotlib：请安装 steelyard[plots]。"


@dataclass(frozen=True, slots=True)
class Case:
    """A contract, what happened to it, and the day it is looked at."""

    terms: Terms
    events: tuple[events.Any, ...]
    as_of: date


def schedule(
    path: Annotated[Path, typer.Argument(metavar="CASE.json", help="terms, events, as_of")],
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="day; the case's, or of the last event")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="file for a plot, .png, .svg or .pdf")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the schedule of a contract, how it stands on a day, and its annualised rate.

    The case holds `terms`, and may hold `events` (a list, each with `event` and `on`) and `as_of`.
    """
    from steelyard.cashflows import run

    case = read_case(path, as_of)
    standing = run(case.terms, case.events, case.as_of)
    if as_json:
        print_json(_as_data(standing))
    else:
        _tell(standing)
    if plot is not None:
        _plot(standing, plot)
        err.print(f"drawn to {plot}", highlight=False, soft_wrap=True)


def read_case(path: Path, as_of: str | None = None) -> Case:
    """Return the case of a file.

    Parameters
    ----------
    as_of : ISO day, before the one in the file; without either, the day of the last event, or the
        contract's first

    Refusals
    --------
    case_is_unreadable, case_is_invalid : with the field
    terms_are_invalid, allocation_is_invalid : from the terms themselves
    """
    from steelyard.cashflows import form

    content = _content(path)
    if not isinstance(content, dict):
        raise CaseIsInvalid(path=path, field="case", why="an object")
    for name in content:
        if name not in _KEYS:
            raise CaseIsInvalid(path=path, field=name, why=f"one of {', '.join(_KEYS)}")
    if "terms" not in content:
        raise CaseIsInvalid(path=path, field="terms", why="given")
    told = content.get("events", [])
    if not isinstance(told, list):
        raise CaseIsInvalid(path=path, field="events", why="a list")
    terms = _formed(path, "", form.terms_from_json, content["terms"])
    happened: list[events.Any] = []
    for n, one in enumerate(told):
        place = f"events[{n}]"
        event = _formed(path, f"{place}: ", form.event_from_json, _numbered(path, n, one))
        _check_event(path, place, event, {before.seq for before in happened})
        happened.append(event)
    day = _day(path, as_of if as_of is not None else content.get("as_of"))
    if day is None:
        day = max([terms.start_on, *(one.on for one in happened)])
    if day < terms.start_on:
        raise CaseIsInvalid(path=path, field="as_of", why=f">= start_on, {terms.start_on}")
    return Case(terms, tuple(happened), day)


def _content(path: Path) -> Any:
    try:
        raw = path.read_bytes()
    except OSError as error:
        why = error.strerror or "not there"
        raise CaseIsUnreadable(path=path, why=why, why_zh="文件无法打开") from None
    if len(raw) > _SOURCE_LIMIT_BYTES:
        raise CaseIsUnreadable(path=path, why="larger than 8 MB", why_zh="超过 8 MB")
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        where_zh = f"第 {error.lineno} 行第 {error.colno} 列不是 JSON"
        raise CaseIsUnreadable(path=path, why=where, why_zh=where_zh) from None
    except (ValueError, RecursionError):  # no text, numbers of thousands of digits, or too deep
        raise CaseIsUnreadable(path=path, why="no JSON text", why_zh="不是 JSON 文本") from None


def _formed(path: Path, place: str, read: Any, told: Any) -> Any:
    from steelyard.cashflows import refusals

    try:
        return read(told)
    except refusals.FormIsInvalid as refusal:
        field, why = refusal.facts["field"], refusal.facts["why"]
        raise CaseIsInvalid(path=path, field=f"{place}{field}", why=why) from None


def _numbered(path: Path, n: int, told: Any) -> dict[str, Any]:
    """Return an event's form; one without a number gets that of its place."""
    from steelyard.cashflows import form

    if not isinstance(told, dict):
        raise CaseIsInvalid(path=path, field=f"events[{n}]", why="an object")
    if told.get("event") not in form.EVENTS:
        why = f"one of {', '.join(form.EVENTS)}"
        raise CaseIsInvalid(path=path, field=f"events[{n}].event", why=why)
    return {"seq": n + 1, **told}


def _check_event(path: Path, place: str, event: events.Any, known: set[int]) -> None:
    """Refuse what no book would take down: amounts below zero, numbers that come twice."""
    from steelyard.cashflows import events, terms

    most = terms.MAX_PRINCIPAL_MINOR
    for one in fields(event):
        if one.name.endswith("_minor") and not 0 <= getattr(event, one.name) <= most:
            raise CaseIsInvalid(path=path, field=f"{place}.{one.name}", why=f"0..{most}")
    if event.seq in known:
        raise CaseIsInvalid(path=path, field=f"{place}.seq", why="of this event only")
    if isinstance(event, events.Reversed) and event.of not in known:
        raise CaseIsInvalid(path=path, field=f"{place}.of", why="the seq of an event before it")


def _day(path: Path, told: Any) -> date | None:
    if told is None:
        return None
    try:
        return date.fromisoformat(told)
    except (TypeError, ValueError):
        raise CaseIsInvalid(path=path, field="as_of", why="a day, YYYY-MM-DD") from None


def _cost(terms: Terms) -> disclosure.CostDisclosure | Refusal:
    """Return what the plan costs, or why no rate can be said."""
    from steelyard.cashflows import disclosure

    try:
        return disclosure.disclose(terms)
    except Refusal as refusal:
        return refusal


_AMOUNTS = (
    ("principal", "principal", "本金"),
    ("interest", "interest", "利息"),
    ("fee", "fee", "费用"),
    ("penalty", "penalty", "罚息"),
    ("total", "to pay", "应还"),
    ("open", "open", "未还"),
    ("balance", "balance", "剩余本金"),
)


def _tell(standing: Standing) -> None:
    is_chinese = language().startswith("zh")
    rows = [{**row, **_formatted(standing, row)} for row in _rows(standing)]
    used = [
        (name, zh if is_chinese else en)
        for name, en, zh in _AMOUNTS
        if name not in ("fee", "penalty", "open")
        or any(
            row[f"{name}_minor"] != (row["total_minor"] if name == "open" else 0) for row in rows
        )
    ]
    terms = standing.terms
    show(
        rows,
        [
            Column("nr", "期" if is_chinese else "nr", right=True),
            Column("due_on", "到期日" if is_chinese else "due"),
            *(Column(name, heading, right=True) for name, heading in used),
        ],
        as_json=False,
        title=f"{terms.method.value}, {_money(terms, terms.principal_minor)},"
        f" {terms.instalments} x {terms.every} {terms.unit.value}, as of {standing.as_of}",
    )
    _tell_standing(standing, is_chinese=is_chinese)


def _tell_standing(standing: Standing, *, is_chinese: bool) -> None:
    terms, totals = standing.terms, standing.totals
    amounts = (
        ("principal owed", "未还本金", standing.principal_minor),
        ("due", "当日应还", standing.due_minor),
        ("overdue", "逾期金额", standing.overdue_minor),
        ("interest earned", "已计利息", totals.interest_earned_minor),
        ("interest paid", "已还利息", totals.interest_paid_minor),
        ("penalty earned", "已计罚息", totals.penalty_earned_minor),
        ("credit balance", "溢缴款", totals.credit_minor),
    )
    rows: list[dict[str, Any]] = [
        {"what": zh if is_chinese else en, "is": _money(terms, amount)}
        for en, zh, amount in amounts
    ]
    past = "逾期天数" if is_chinese else "days past due"
    rows.append({"what": past, "is": str(standing.days_past_due)})
    cost = _cost(terms)
    if isinstance(cost, Refusal):
        name = "年化综合利率" if is_chinese else "annualised rate of all costs"
        rows.append({"what": name, "is": cost.sentence(language())})
    else:
        rows += [{"what": one.zh if is_chinese else one.en, "is": _money(terms, one.amount_minor)}
                 for one in cost.lines]  # fmt: skip
        rows += [{"what": one.zh if is_chinese else one.en, "is": one.percent}
                 for one in cost.rates]  # fmt: skip
    show(
        rows,
        [
            Column("what", str(standing.as_of)),
            Column("is", "", right=True),
        ],
        as_json=False,
    )
    if standing.closed_on is not None:
        out.print(f"{'结清于' if is_chinese else 'closed on'} {standing.closed_on}")


def _rows(standing: Standing) -> list[dict[str, Any]]:
    return [
        {
            "nr": row.nr,
            "kind": row.kind.value,
            "from_on": row.from_on,
            "due_on": row.due_on,
            "principal_minor": row.principal_minor,
            "interest_minor": row.interest_minor,
            "fee_minor": row.fee_minor,
            "penalty_minor": row.penalty_minor,
            "total_minor": row.total_minor + row.penalty_minor,
            "paid_minor": row.paid_principal_minor + row.paid_interest_minor
            + row.paid_fee_minor + row.paid_penalty_minor,
            "open_minor": row.open_minor,
            "balance_minor": row.balance_minor,
            "paid_on": row.paid_on,
        }
        for row in standing.rows
    ]  # fmt: skip


def _formatted(standing: Standing, row: dict[str, Any]) -> dict[str, str]:
    return {name: _plain(standing.terms, row[f"{name}_minor"]) for name, _, _ in _AMOUNTS}


def _plain(terms: Terms, amount_minor: int) -> str:
    """Return an amount without its currency."""
    return _money(terms, amount_minor).removeprefix(terms.currency).strip()


def _money(terms: Terms, amount_minor: int) -> str:
    return Money(amount_minor, terms.currency).format("en")


def _as_data(standing: Standing) -> dict[str, Any]:
    from steelyard.cashflows import form

    cost = _cost(standing.terms)
    return {
        "terms": form.terms_to_json(standing.terms),
        "as_of": standing.as_of,
        "rows": _rows(standing),
        "instalment_minor": standing.instalment_minor,
        "principal_minor": standing.principal_minor,
        "due_minor": standing.due_minor,
        "overdue_minor": standing.overdue_minor,
        "days_past_due": standing.days_past_due,
        "written_off_on": standing.written_off_on,
        "closed_on": standing.closed_on,
        "totals": asdict(standing.totals),
        "cost": {"refused": cost.code}
        if isinstance(cost, Refusal)
        else {
            **{f"{one.code}_minor": one.amount_minor for one in cost.lines},
            "rates": [
                {"method": one.method.value, "per_one": str(one.per_one), "percent": one.percent}
                for one in cost.rates
            ],
        },
    }


_COLOURS = {"principal": "tab:blue", "interest": "tab:orange", "fee": "tab:green",
            "penalty": "tab:red"}  # fmt: skip


def _plot(standing: Standing, path: Path) -> None:
    """Draw what each instalment asks for, and the balance after it."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise PlotNeedsMatplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scale = 10 ** -Money(0, standing.terms.currency).currency.exponent
    rows = standing.rows
    places = [row.nr for row in rows]
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    floor = [0.0] * len(rows)
    for part, colour in _COLOURS.items():
        heights = [getattr(row, f"{part}_minor") * scale for row in rows]
        if any(heights):
            axes.bar(places, heights, bottom=floor, color=colour, label=part)
            floor = [one + more for one, more in zip(floor, heights, strict=True)]
    axes.set(title=f"{standing.terms.method.value}, as of {standing.as_of}", xlabel="instalment",
             ylabel=f"to pay, {standing.terms.currency}")  # fmt: skip
    beside = axes.twinx()
    beside.plot(places, [row.balance_minor * scale for row in rows], color="black", lw=1.2,
                marker=".", label="balance")  # fmt: skip
    beside.set_ylabel(f"balance, {standing.terms.currency}")
    beside.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure.savefig(path, dpi=120)
    except ValueError:
        raise CaseIsInvalid(path=path, field="--plot", why=".png, .svg, .pdf") from None
