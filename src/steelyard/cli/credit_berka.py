"""`steelyard credit replay-berka`: a real bank's loans as contracts, and what their files prove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.base import read_settings
from steelyard.cli.output import AsJson, Column, bars, err, language, out, print_json, show
from steelyard.kernel import Money, Refusal, RefusalKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from steelyard.imports import BerkaLoans, BookedLoans, LoanEvidence, LoanScorecard

_SAMPLE_ACCOUNTS = 300


class NothingToReplay(Refusal):
    """Neither a folder nor the sample was asked for."""

    kind = RefusalKind.INVALID
    en = "Name the folder of the bank's files, or give --sample for a small made-up bank."
    zh = "请给出银行文件所在目录，或使用 --sample 生成一个虚构的小银行。"


def replay_berka(
    folder: Annotated[Path | None, typer.Argument(help="folder of the Berka bank's files")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="a small made-up bank")] = False,
    repayments: Annotated[
        int,
        typer.Option(min=0, max=60, help="instalments of each loan that a simulation repays"),
    ] = 0,
    repeats: Annotated[
        int, typer.Option(min=1, max=50, help="how often the loans are cut into 5 folds")
    ] = 10,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="folder for scorecard, card and plots")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Book the Berka bank's loans (PKDD'99) as contracts; prove their terms; score their history.

    The source holds no repayment: nothing is said about ageing, and the outcome is a label only.
    Repayments, where they are asked for, are simulated and labelled so.
    """
    from steelyard.base.crypto import Keyring
    from steelyard.cli.risk import keep, need
    from steelyard.imports import (
        BERKA,
        SAMPLE,
        book_berka_loans,
        read_berka_loans,
        score_loans,
        write_sample,
    )
    from steelyard.web.platform import open_database

    need("numpy", "scipy", "sklearn", "lightgbm")
    if folder is None and not sample:
        raise NothingToReplay
    settings = read_settings()
    chosen = folder or settings.home / "samples" / "berka-loans"
    if sample:
        write_sample(chosen, accounts=_SAMPLE_ACCOUNTS)
        err.print(f"the sample bank was written to {chosen}", highlight=False, soft_wrap=True)
    found = read_berka_loans(chosen)
    with open_database(settings) as database, bars() as progress:
        booked = book_berka_loans(
            database,
            Keyring.open(settings),
            chosen,
            book=SAMPLE if sample else BERKA,
            repayments=repayments,
            progress=progress,
        )
    with bars() as progress:
        scored = score_loans(found.histories, repeats=repeats, progress=progress)
    if as_json:
        print_json(_as_data(found, booked, scored))
    else:
        _tell_evidence(found)
        _tell_booked(booked)
        _tell_outcomes(found)
        _tell_scorecard(scored, repeats)
    if out_folder is not None:
        keep(scored.trained, out_folder)
    if not all(one.is_proved for one in found.evidence) or booked.differences:
        raise typer.Exit(1)


_CLAIMS: tuple[tuple[str, str, Callable[[LoanEvidence], bool]], ...] = (
    (
        "payments x duration = amount, to the haléř",
        "月还款额 × 期数 = 金额（精确到分）",
        lambda one: one.pays_amount,
    ),
    (
        "every instalment of the contract's plan = the payment, to the haléř",
        "合同计划的每一期 = 月还款额（精确到分）",
        lambda one: one.plans_payment,
    ),
    (
        "standing order UVER = the payment, in the whole crowns of the loan file",
        "贷款定期转账（UVER）= 月还款额（按贷款文件的整克朗）",
        lambda one: one.order_equals,
    ),
    (
        "standing order UVER = the payment, to the haléř",
        "贷款定期转账（UVER）= 月还款额（精确到分）",
        lambda one: one.order_equals_exactly,
    ),
)
_NOT_PROVED = (
    (
        "interest: the payments are the amount, so that the rate is zero",
        "利息：各期之和即本金，故利率为零",
    ),
    (
        "due dates: none is named; a month after the grant, by our convention",
        "到期日：源数据未给出",
    ),
    ("repayments and ageing: the source holds no repayment", "还款与账龄：源数据没有任何还款"),
)


def _tell_evidence(found: BerkaLoans) -> None:
    is_chinese = language().startswith("zh")
    rows: list[dict[str, Any]] = [
        {
            "claim": zh if is_chinese else en,
            "held": sum(holds(one) for one in found.evidence),
            "of": len(found.evidence),
        }
        for en, zh, holds in _CLAIMS
    ]
    rows += [{"claim": zh if is_chinese else en} for en, zh in _NOT_PROVED]
    show(
        rows,
        [
            Column("claim", "of the loans"),
            Column("held", "proved", right=True),
            Column("of", "of", right=True),
        ],
        as_json=False,
        title="what the files prove",
    )
    failed = [one.loan.loan_id for one in found.evidence if not one.is_proved]
    if failed:
        out.print(f"not proved: loans {', '.join(map(str, failed[:20]))}", highlight=False)


def _tell_booked(booked: BookedLoans) -> None:
    rows: list[dict[str, Any]] = [
        {"what": "contracts", "is": f"{booked.loans:,}"},
        {"what": "  made by this run", "is": f"{booked.created:,}"},
        {"what": "  whose stored terms are the source's", "is": f"{booked.terms_kept:,}"},
        {"what": "paid out", "is": _czk(booked.lent_minor)},
        {"what": "repayments: SIMULATED, none is of the source", "is": f"{booked.repayments:,}"},
        {"what": "  amount", "is": _czk(booked.repaid_minor)},
        {"what": "principal owed", "is": _czk(booked.outstanding_minor)},
        {"what": "accounts on which loans and ledger disagree", "is": f"{booked.differences:,}"},
    ]
    show(
        rows,
        [
            Column("what", f"books {booked.book}, {booked.wallets_book}"),
            Column("is", str(booked.as_of), right=True),
        ],
        as_json=False,
    )
    out.print(f"head {booked.head}", highlight=False)


def _tell_outcomes(found: BerkaLoans) -> None:
    from steelyard.imports import LoanOutcome

    with_history = {one.loan_id for one in found.histories}
    rows = []
    for outcome in LoanOutcome:
        loans = [one.loan for one in found.evidence if one.loan.outcome is outcome]
        amount_minor = sum(loan.amount_minor for loan in loans)
        rows.append(
            {
                "outcome": outcome.value,
                "loans": len(loans),
                "amount": _czk(amount_minor),
                "history": sum(loan.loan_id in with_history for loan in loans),
            }
        )
    show(
        rows,
        [
            Column("outcome", "outcome (a label only)"),
            Column("loans", "loans", right=True),
            Column("amount", "lent", right=True),
            Column("history", "with lines before the grant", right=True),
        ],
        as_json=False,
    )


def _tell_scorecard(scored: LoanScorecard, repeats: int) -> None:
    card = scored.trained.cards["scorecard"]
    show(
        [
            {
                "model": name,
                "auc": f"{one.mean:.3f}",
                "interval": f"{one.low:.3f} to {one.high:.3f}",
            }
            for name, one in scored.areas.items()
        ],
        [
            Column("model", "model"),
            Column("auc", "AUC, held out", right=True),
            Column("interval", "95 %", right=True),
        ],
        as_json=False,
        title=f"{card.data.rows} loans with history, {card.data.bad} bad (B or D);"
        f" 5 folds x {repeats}, bins made inside each",
    )
    out.print(
        f"scorecard: {card.kind}; reads {', '.join(card.data.inputs)}\n"
        f"all inputs lie before the day of the grant; calibration error"
        f" {card.calibration.expected_error:.3f}, PSI {card.score_psi:.3f}\n"
        "interval: corrected resampled t over the folds (Nadeau and Bengio, 2003)",
        highlight=False,
        soft_wrap=True,
    )


def _czk(amount_minor: int) -> str:
    return Money(amount_minor, "CZK").format("en")


def _as_data(found: BerkaLoans, booked: BookedLoans, scored: LoanScorecard) -> dict[str, Any]:
    import json
    from dataclasses import asdict

    return {
        "loans": len(found.evidence),
        "proved": {en: sum(holds(one) for one in found.evidence) for en, _, holds in _CLAIMS},
        "not_proved": [en for en, _ in _NOT_PROVED],
        "booked": {**asdict(booked), "repayments_are": "simulated"},
        "with_history": len(found.histories),
        "bad": sum(one.is_bad for one in found.histories),
        "areas": {name: asdict(one) for name, one in scored.areas.items()},
        "interval": "corrected resampled t, 95 %",
        "card": json.loads(scored.trained.cards["scorecard"].to_json()),
    }
