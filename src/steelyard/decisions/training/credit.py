"""Credit data sets: what their columns mean, how they are read, and made-up data of their form."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.kernel import Refusal, RefusalKind

Columns = Mapping[str, NDArray[Any]]


class DataIsMissing(Refusal):
    """There is no such file."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no file {path}; --sample makes a small made-up one of the same form."
    zh = "文件 {path} 不存在；可使用 --sample 生成同格式的虚构小样本。"


class DataIsUnknown(Refusal):
    """The head of the file is that of no known data set."""

    kind = RefusalKind.INVALID
    en = "{path} is none of the known data sets ({known}): {why}."
    zh = "{path} 不是已知的数据集（{known}）：{why}。"


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column of a data set.

    Attributes
    ----------
    name : in the file, and of the characteristic
    en, zh : as a customer is told it
    is_number : otherwise a category
    protected : a person may not be judged by it (15 U.S.C. 1691; Chinese law on personal
        information, article 24): it serves fairness cuts, and comparison with published figures
    """

    name: str
    en: str
    zh: str
    is_number: bool = True
    protected: bool = False


@dataclass(frozen=True, slots=True)
class CreditForm:
    """The form of a file.

    Attributes
    ----------
    name : of the data set
    separator, outcome, bad : of the file, of the outcome's column, and its value for bad
    attributes : in the order of the file
    groups : how people are cut for fairness: from the columns to a name for each row
    published : cross-validated AUC by the name of the model, from the data's own page
    """

    name: str
    separator: str
    outcome: str
    bad: str
    attributes: tuple[Attribute, ...]
    groups: Mapping[str, Callable[[Columns], NDArray[Any]]]
    published: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class CreditTable:
    """A data set in columns.

    Attributes
    ----------
    form : what it is
    columns : by name; numbers as float64, categories as texts; NaN and None are missing
    bad : whether each row turned out bad
    digest : SHA-256 of the file
    """

    form: CreditForm
    columns: Columns
    bad: NDArray[np.bool_]
    digest: str

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.bad)

    def take(self, rows: NDArray[np.int64]) -> CreditTable:
        """Return some of the rows."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return CreditTable(self.form, columns, self.bad[rows], self.digest)


def read_credit(path: Path) -> CreditTable:
    """Return a data set, recognised by the names in its first line.

    Raises
    ------
    DataIsMissing, DataIsUnknown
    """
    if not path.is_file():
        raise DataIsMissing(path=path)
    raw = path.read_bytes()
    try:
        lines = raw.decode().splitlines()
    except UnicodeDecodeError:
        raise _unknown(path, "it is no text") from None
    for form in FORMS:
        names = lines[0].split(form.separator) if lines else []
        if form.outcome in names and all(one.name in names for one in form.attributes):
            return _read(path, form, [line.split(form.separator) for line in lines], raw)
    raise _unknown(path, "the first line names other columns")


def _unknown(path: Path, why: str) -> DataIsUnknown:
    return DataIsUnknown(path=path, known=", ".join(form.name for form in FORMS), why=why)


def _read(path: Path, form: CreditForm, cells: list[list[str]], raw: bytes) -> CreditTable:
    head, *rows = cells
    for number, row in enumerate(rows, start=2):
        if len(row) != len(head):
            raise _unknown(path, f"line {number} has {len(row)} columns of {len(head)}")
    by_name = dict(zip(head, zip(*rows, strict=True), strict=True)) if rows else {}
    if not by_name:
        raise _unknown(path, "it has no rows")
    columns: dict[str, NDArray[Any]] = {}
    for one in form.attributes:
        texts = by_name[one.name]
        if not one.is_number:
            columns[one.name] = np.array([text or None for text in texts], dtype=object)
            continue
        try:
            columns[one.name] = np.array([float(text) if text else np.nan for text in texts])
        except ValueError as error:
            raise _unknown(path, f"{one.name}: {error}") from None
    bad = np.array(by_name[form.outcome]) == form.bad
    return CreditTable(form, columns, bad, hashlib.sha256(raw).hexdigest())


def write_sample(path: Path, form: CreditForm, rows: int = 800, seed: int = 1) -> Path:
    """Write made-up data of a form, a third of it bad at most, and return the path.

    The outcome leans on every third attribute, so that there is something to find.
    """
    rng = np.random.default_rng(seed)
    leaning = np.zeros(rows)
    texts: list[list[str]] = []
    for n, one in enumerate(form.attributes):
        if one.name in _AGES:
            values = rng.integers(20, 70, rows)
        elif one.is_number:
            values = np.round(np.exp(rng.normal(3, 1, rows))).astype(np.int64)
        else:
            values = rng.integers(1, 5, rows)
        if n % 3 == 0:
            ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable") / rows
            leaning += (ranks - 0.5) * (2 if n % 2 else -2)
        texts.append([str(value) if one.is_number else f"A{n + 1}{value}" for value in values])
    bad = leaning + rng.logistic(0, 0.7, rows) > 1
    good = "1" if form.bad == "0" else "0"
    texts.append([form.bad if flag else good for flag in bad])
    out = StringIO()
    out.write(form.separator.join([*(one.name for one in form.attributes), form.outcome]) + "\n")
    for row in zip(*texts, strict=True):
        out.write(form.separator.join(row) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(out.getvalue())
    return path


_AGES = ("AGE",)


def _age_bands(columns: Columns) -> NDArray[Any]:
    bands = np.array(["under 25", "25 to 39", "40 to 59", "60 and over"])
    return np.asarray(bands[np.searchsorted([25.0, 40.0, 60.0], columns["AGE"], side="right")])


def _german_sex(columns: Columns) -> NDArray[Any]:
    return np.where(np.isin(columns["PERSONAL_STATUS_AND_SEX"], ["A92", "A95"]), "female", "male")


def _taiwan_sex(columns: Columns) -> NDArray[Any]:
    return np.where(columns["SEX"] == 2, "female", "male")


def _category(name: str, en: str, zh: str, *, protected: bool = False) -> Attribute:
    return Attribute(name, en, zh, is_number=False, protected=protected)


GERMAN = CreditForm(
    name="german",
    separator=" ",
    outcome="CLASSIFICATION",
    bad="0",
    attributes=(
        _category("STATUS_ACCOUNT", "Balance of your current account", "活期账户余额"),
        Attribute("DURATION_MONTHS", "Duration asked for", "申请期限"),
        _category("CREDIT_HISTORY", "Your credit history", "信用历史"),
        _category("PURPOSE", "Purpose of the loan", "贷款用途"),
        Attribute("AMOUNT", "Amount asked for", "申请金额"),
        _category("BONDS", "Your savings", "储蓄状况"),
        _category("EMPLOYMENT", "Length of your employment", "现职工作年限"),
        Attribute("INSTALLMENT_RATE", "Instalment in relation to income", "还款额占收入比例"),
        _category(
            "PERSONAL_STATUS_AND_SEX", "Personal status and sex", "婚姻状况与性别", protected=True
        ),
        _category("OTHER_DEBTORS", "Co-applicants and guarantors", "共同申请人或担保人"),
        Attribute("PRESENT_RESIDENCE_SINCE", "Time at your address", "现住址居住年限"),
        _category("PROPERTY", "Property as security", "可作担保的财产"),
        Attribute("AGE", "Age", "年龄", protected=True),
        _category("INSTALLMENT_PLANS", "Other instalment plans", "其他分期计划"),
        _category("HOUSING", "Housing", "住房情况"),
        Attribute("NUMBER_OF_CREDIT_CARDS", "Number of existing credits", "现有信贷笔数"),
        _category("JOB", "Occupation", "职业"),
        Attribute("LIABLE_PEOPLE", "Dependants", "需赡养人数"),
        _category("TELEPHONE", "Registered telephone", "登记电话"),
        _category("FOREIGN", "Foreign worker", "外籍劳工", protected=True),
    ),
    groups={"sex": _german_sex, "age": _age_bands},
    published={
        "logistic regression": 0.786,
        "WoE scorecard": 0.795,
        "random forest": 0.795,
        "LightGBM": 0.787,
    },
)

_MONTHS = (("1", 0), ("2", 2), ("3", 3), ("4", 4), ("5", 5), ("6", 6))
TAIWAN = CreditForm(
    name="taiwan",
    separator=",",
    outcome="class",
    bad="1",
    attributes=(
        Attribute("LIMIT_BAL", "Your credit limit", "授信额度"),
        Attribute("SEX", "Sex", "性别", protected=True),
        Attribute("EDUCATION", "Education", "教育程度"),
        Attribute("MARRIAGE", "Marital status", "婚姻状况", protected=True),
        Attribute("AGE", "Age", "年龄", protected=True),
        *(
            Attribute(f"PAY_{column}", f"Delay of payment, month {month}", f"第{month}月还款逾期")
            for month, column in _MONTHS
        ),
        *(
            Attribute(f"BILL_AMT{month}", f"Bill of month {month}", f"第{month}月账单金额")
            for month, _ in _MONTHS
        ),
        *(
            Attribute(f"PAY_AMT{month}", f"Amount paid in month {month}", f"第{month}月还款金额")
            for month, _ in _MONTHS
        ),
    ),
    groups={"sex": _taiwan_sex, "age": _age_bands},
    published={
        "logistic regression": 0.724,
        "WoE scorecard": 0.769,
        "random forest": 0.781,
        "LightGBM": 0.786,
    },
)
FORMS = (GERMAN, TAIWAN)
