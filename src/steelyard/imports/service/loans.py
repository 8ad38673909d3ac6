"""The bank's loans: what the files prove about them, and a scorecard on their history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from steelyard.imports.model.berka import (
    LoanEvidence,
    LoanHistory,
    loan_histories,
    prove_loans,
    read_bank,
)
from steelyard.imports.store import read_folder

if TYPE_CHECKING:
    from steelyard.decisions.training import CreditTable, Interval, Trained

Progress = Callable[[str, int, int], None]

FOLDS: Final = 5
LEAST_BAD: Final = 2 * FOLDS

_PROTECTED: Final = (("age_years", "Age", "年龄"), ("sex", "Sex", "性别"))
_NUMBERS: Final = (
    ("amount", "Amount asked for", "申请金额"),
    ("duration_months", "Duration asked for", "申请期限"),
    ("payment", "Monthly payment", "每月还款额"),
    ("account_days", "Age of your account", "账户开立时长"),
    ("balance_last", "Balance on the day of asking", "申请时余额"),
    ("balance_mean_recent", "Mean balance of three months", "近三个月平均余额"),
    ("balance_lowest", "Lowest balance", "历史最低余额"),
    ("balance_lowest_recent", "Lowest balance of three months", "近三个月最低余额"),
    ("credits_monthly", "What comes in a month", "月均收入"),
    ("debits_monthly", "What goes out a month", "月均支出"),
    ("payment_share", "Payment in relation to income", "还款额占收入比例"),
    ("transferred_share", "Part of income that is transferred", "转账收入占比"),
    ("cash_share", "Part of spending in cash", "现金支出占比"),
    ("lines_monthly", "Movements a month", "月均交易笔数"),
    ("household_monthly", "Household payments a month", "月均家庭支出笔数"),
    ("below_zero_fees", "Times that the account was below zero", "账户透支次数"),
)


@dataclass(frozen=True, slots=True)
class BerkaLoans:
    """The loans of a folder.

    Attributes
    ----------
    evidence : of every loan
    histories : of those whose account has lines before the grant
    """

    evidence: tuple[LoanEvidence, ...]
    histories: tuple[LoanHistory, ...]


def read_berka_loans(folder: Path) -> BerkaLoans:
    """Return what a folder of the bank's files says about its loans.

    Refusals
    --------
    import_file_missing, import_row_malformed
    """
    bank = read_bank(read_folder(folder))
    return BerkaLoans(prove_loans(bank), loan_histories(bank))


@dataclass(frozen=True, slots=True, eq=False)
class LoanScorecard:
    """The scorecard on the loans with history.

    Attributes
    ----------
    trained : on all of them, and its figures by cross-validation
    areas : of each model, mean and interval of the AUC over all folds, cut at 0 and 1
    """

    trained: Trained
    areas: Mapping[str, Interval]


def score_loans(
    histories: Sequence[LoanHistory],
    *,
    repeats: int = 10,
    seed: int = 1,
    compare: bool = True,
    progress: Progress = lambda stage, done, total: None,
) -> LoanScorecard:
    """Make a scorecard of loans with history and cross-validate it; needs the extra `ml`.

    Bins, weights and the choice of inputs are made anew inside each fold. The rule was fixed
    before it was run: bins of a tenth of the rows at least, four at most.

    Parameters
    ----------
    repeats : how often the rows are cut into five folds
    compare : whether other models are cross-validated beside it

    Refusals
    --------
    too_few_rows : fewer than ten bad loans, or ten good ones
    """
    from steelyard.decisions import training

    rule = training.TrainingRule(
        training.ScorecardRule(
            binning=training.BinningRule(max_bins=4, min_share=0.1, min_class=3), least_iv=0.05
        ),
        folds=FOLDS,
        repeats=repeats,
        seed=seed,
        compare=compare,
        trained_by="import:berka",
    )
    made = training.train(_table(histories), rule, progress)
    areas = {}
    for name, reached in made.areas.items():
        told = training.corrected_interval(reached, FOLDS)
        areas[name] = training.Interval(told.mean, max(0.0, told.low), min(1.0, told.high))
    return LoanScorecard(made, areas)


def _table(histories: Sequence[LoanHistory]) -> CreditTable:
    """Return the histories in columns, in the form that training takes."""
    import numpy as np

    from steelyard.decisions import training

    form = training.CreditForm(
        name="berka",
        separator=";",
        outcome="is_bad",
        bad="True",
        attributes=(
            *(training.Attribute(*words) for words in _NUMBERS),
            training.Attribute("has_card", "Card before the loan", "贷前是否持卡", is_number=False),
            training.Attribute(*_PROTECTED[0], protected=True),
            training.Attribute(*_PROTECTED[1], is_number=False, protected=True),
        ),
        groups={"sex": lambda columns: columns["sex"], "age": _age_bands},
        published={},
    )
    columns: dict[str, Any] = {
        one.name: np.array([getattr(history, one.name) for history in histories], dtype=np.float64)
        if one.is_number
        else np.array([str(getattr(history, one.name)).lower() for history in histories], object)
        for one in form.attributes
    }
    bad = np.array([history.is_bad for history in histories], dtype=bool)
    digest = sha256(repr(histories).encode()).hexdigest()
    return training.CreditTable(form, columns, bad, digest)


def _age_bands(columns: Mapping[str, Any]) -> Any:
    import numpy as np

    bands = np.array(["under 30", "30 to 44", "45 and over"])
    return bands[np.searchsorted([30.0, 45.0], columns["age_years"], side="right")]
