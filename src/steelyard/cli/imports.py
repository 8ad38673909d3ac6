"""`steelyard import`: other people's books."""

from __future__ import annotations

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
    language,
    out,
    print_json,
    show,
)
from steelyard.kernel import Money, Refusal, RefusalKind

if TYPE_CHECKING:
    from steelyard.imports import BerkaReport

app = typer.Typer(help="bring other people's books in", cls=RefusingGroup, no_args_is_help=True)


class NothingToImport(Refusal):
    """Neither a folder nor the sample was asked for."""

    kind = RefusalKind.INVALID
    en = "Name the folder of the bank's files, or give --sample for a small made-up bank."
    zh = "请给出银行文件所在目录，或使用 --sample 导入一个虚构的小银行。"


@app.callback()
def imports() -> None:
    """Bring other people's books in."""


@app.command("berka")
def berka(
    folder: Annotated[Path | None, typer.Argument(help="folder of the Berka bank's files")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="a small made-up bank")] = False,
    as_json: AsJson = False,
) -> None:
    """Import the Berka bank (PKDD'99): clients, accounts, transactions; compare the balances."""
    from steelyard.base.crypto import Keyring
    from steelyard.imports import BERKA, SAMPLE, import_berka, write_sample
    from steelyard.web.platform import open_database

    settings = read_settings()
    if folder is None and not sample:
        raise NothingToImport
    chosen = folder or settings.home / "samples" / "berka"
    if sample:
        write_sample(chosen)
        err.print(f"the sample bank was written to {chosen}", highlight=False, soft_wrap=True)
    with open_database(settings) as database, bars() as progress:
        report = import_berka(
            database,
            Keyring.open(settings),
            chosen,
            book=SAMPLE if sample else BERKA,
            progress=progress,
        )
    if as_json:
        print_json(_as_data(report))
    else:
        _tell(report)
    if report.difference_minor:
        raise typer.Exit(1)


def _tell(report: BerkaReport) -> None:
    from steelyard.imports import Agreement, Way

    show(
        [
            {"what": "clients", "n": report.clients},
            {"what": "  who own an account", "n": report.owners},
            {"what": "  who dispose of one", "n": report.authorised},
            {"what": "accounts", "n": report.accounts},
            {"what": "counter-party accounts", "n": report.counterparties},
            {"what": "transfers", "n": report.transfers},
            {"what": "  written by this run", "n": report.created},
        ],
        [Column("what", "in the books"), Column("n", "", right=True)],
        as_json=False,
    )
    show(
        [
            {
                "operation": total.operation.label(language()),
                "n": total.transfers,
                "amount": _czk(total.amount_minor),
            }
            for total in report.by_operation
        ],
        [
            Column("operation", "operation"),
            Column("n", "transfers", right=True),
            Column("amount", "amount", right=True),
        ],
        as_json=False,
        title="by operation",
    )
    rows = [
        {"way": _WAYS[way.value], **{a.value: report.comparison.count(way, a) for a in Agreement}}
        for way in Way
    ]
    show(
        rows,
        [
            Column("way", "ours against the bank's"),
            Column("exact", "exact in every row", right=True),
            Column("within_rounding", "within 0.10", right=True),
            Column("differs", "differ more", right=True),
            Column("incomplete", "incomplete", right=True),
        ],
        as_json=False,
        title="accounts whose running balance agrees",
    )
    for way in Way:
        _tell_differing(report, way)
    if report.overdrawn:
        show(
            [
                {
                    "account": str(o.account_id),
                    "limit": _czk(o.limit_minor),
                    "low": _czk(o.lowest_minor),
                }
                for o in report.overdrawn
            ],
            [
                Column("account", "below zero at the bank", right=False),
                Column("limit", "overdraft limit given", right=True),
                Column("low", "lowest balance", right=True),
            ],
            as_json=False,
        )
    out.print(
        f"trial balance: debits less credits {_czk(report.difference_minor)}"
        f" of {_czk(report.turnover_minor)}\n"
        f"posted {report.transfers:,} transfers in {report.seconds:.1f} s,"
        f" {report.transfers_per_second:,.0f}/s\nhead {report.head}",
        highlight=False,
    )


_WAYS = {"cumulative": "cumulative, from zero", "row_to_row": "row to row"}


def _tell_differing(report: BerkaReport, way: Any) -> None:
    differing = report.comparison.differing(way)
    if not differing:
        return
    by_distance: dict[int, list[int]] = {}
    for account in differing:
        distance = abs(account.deviation(way).largest_minor)
        by_distance.setdefault(distance, []).append(account.account_id)
    show(
        [
            {"by": _czk(distance), "n": len(ids), "which": ", ".join(map(str, sorted(ids)))}
            for distance, ids in sorted(by_distance.items())
        ],
        [
            Column("by", f"differ more, {_WAYS[way.value]}: at most by", right=True),
            Column("n", "accounts", right=True),
            Column("which", "which"),
        ],
        as_json=False,
    )


def _czk(amount_minor: int) -> str:
    return Money(amount_minor, "CZK").format("en")


def _as_data(report: BerkaReport) -> dict[str, object]:
    from steelyard.imports import Agreement, Way

    comparison = report.comparison
    return {
        "clients": report.clients,
        "owners": report.owners,
        "authorised": report.authorised,
        "accounts": report.accounts,
        "counterparties": report.counterparties,
        "transfers": report.transfers,
        "created": report.created,
        "by_operation": [
            {
                "operation": total.operation.value,
                "transfers": total.transfers,
                "amount_minor": total.amount_minor,
            }
            for total in report.by_operation
        ],
        "trial_balance": {
            "difference_minor": report.difference_minor,
            "turnover_minor": report.turnover_minor,
        },
        "comparison": {
            way.value: {
                "accounts": {a.value: comparison.count(way, a) for a in Agreement},
                "differing": {
                    account.account_id: account.deviation(way).largest_minor
                    for account in comparison.differing(way)
                },
            }
            for way in Way
        },
        "overdrawn": [
            {"account": o.account_id, "limit_minor": o.limit_minor, "lowest_minor": o.lowest_minor}
            for o in report.overdrawn
        ],
        "seconds": round(report.seconds, 3),
        "transfers_per_second": round(report.transfers_per_second, 1),
        "head": report.head,
    }
