"""`risk.json`: scores, evidence, drift, migration, expected loss and provisions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from math import log

import numpy as np

from steelyard.credit.model.classification import Category, provision_2002
from steelyard.credit.model.ecl import expected_loss, provision_matrix
from steelyard.credit.model.migration import path, power
from steelyard.decisions.model.binning import weigh
from steelyard.decisions.model.metrics import psi
from steelyard.decisions.model.partition import Partition
from steelyard.decisions.model.scorecard import Scaling
from tests.vectors.tables import Case, NotUnderstood, Table, named, near, only, unknown


def check_scaling(case: Table) -> None:
    """Assert factor and offset of a scaling, and its points; odds are good to bad."""
    known = {
        "pdo", "base_score", "base_odds", "factor", "offset", "rate", "source", "points_at_odds",
        "note", "id",
    }  # fmt: skip
    only(case, known, "scaling")
    if case.get("rate", 2) != 2:
        raise NotUnderstood(f"points for {case['rate']} times the odds")
    scaling = Scaling(float(case["base_score"]), _odds(case["base_odds"]), float(case["pdo"]))
    near(scaling.factor, case["factor"], 5.1e-5)
    if case.get("offset") is not None:
        near(scaling.offset, case["offset"], 5.1e-5)
    for odds, points in case.get("points_at_odds", {}).items():
        near(scaling.score(log(float(odds))), points, 1e-9)


def _odds(value: object) -> float:
    """Return good to bad odds of a number, or of words such as `odds0=1/19 bad:good`."""
    if isinstance(value, int | float):
        return float(value)
    found = re.search(r"(\d+(?:\.\d+)?)\s*[/:]\s*(\d+(?:\.\d+)?)", str(value))
    if found is None:
        return float(str(value))
    ratio = float(found[1]) / float(found[2])
    return 1 / ratio if "bad:good" in str(value) else ratio


def check_woe(case: Table) -> None:
    """Assert weight of evidence, ln(good share / bad share), and information value."""
    only(case, {"good", "bad", "woe_good_over_bad", "iv_parts", "iv", "note", "id"}, "woe_iv")
    good, bad = (np.array(case[name], dtype=np.int64) for name in ("good", "bad"))
    size = len(good)
    partition = Partition("x", edges=tuple(float(edge) for edge in range(1, size)))
    index = np.repeat(np.arange(size), good + bad)
    flags = np.concatenate([np.arange(g + b) < b for g, b in zip(good, bad, strict=True)])
    made = weigh(partition, index, flags)
    for one, woe, part in zip(made.bins, case["woe_good_over_bad"], case["iv_parts"], strict=False):
        near(one.woe, woe, 5.1e-7)
        near(one.iv, part, 5.1e-7)
    near(made.iv, case["iv"], 1.1e-6)


def check_psi(case: Table) -> None:
    """Assert the population stability index, and its parts."""
    only(case, {"expected", "actual", "parts", "psi", "note", "id"}, "psi")
    near(psi(case["expected"], case["actual"]), case["psi"], 5.1e-7)
    for share, now, part in zip(
        case["expected"], case["actual"], case.get("parts", []), strict=False
    ):
        near((now - share) * log(now / share), part, 5.1e-7)


def check_markov(case: Table) -> None:
    """Assert where a book stands month by month."""
    known = {"states", "P", "start", "after_months", "roll_rate_product_C_to_WO", "note", "id"}
    only(case, known, "markov")
    months = len(case["after_months"])
    found = path(case["P"], case["start"], months)[1:]
    assert np.abs(found - np.array(case["after_months"])).max() <= 5.1e-9
    after = power(case["P"], case["start"], months)
    assert np.abs(after - np.array(case["after_months"][-1])).max() <= 5.1e-9
    product = case.get("roll_rate_product_C_to_WO")
    if product is not None:
        matrix = np.array(case["P"])
        rolled = np.prod([matrix[n, n + 1] for n in range(len(matrix) - 1)])
        near(float(rolled), product, 5.1e-9)


def check_matrix(case: Table) -> None:
    """Assert a provision matrix."""
    only(case, {"gross", "rates", "ecl", "total", "source", "note", "id"}, "provision matrix")
    parts, total = provision_matrix(case["gross"], case["rates"])
    assert (list(parts), total) == (case["ecl"], case["total"])


def check_ecl(case: Table) -> None:
    """Assert expected loss of twelve months and of the whole life."""
    known = {"marginal_pd", "ead", "lgd", "eir", "twelve_month", "lifetime", "note", "id"}
    only(case, known, "ecl")
    facts = (case["marginal_pd"], case["ead"], case["lgd"], case["eir"])
    if case.get("twelve_month") is not None:
        near(expected_loss(*facts, periods=1), case["twelve_month"], 5.1e-7)
    near(expected_loss(*facts), case["lifetime"], 5.1e-7)


def check_cn(case: Table) -> None:
    """Assert the provision rates of the Chinese guide of 2002."""
    only(case, {"source", "rates", "note", "id"}, "cn_provision")
    named_by = {category.zh: category for category in Category}
    for name, rate in case["rates"].items():
        if name not in named_by:
            raise NotUnderstood(f"category {name!r}")
        assert provision_2002(100_000_000, named_by[name]) == int(Decimal(rate) * 100_000_000)


_SECTIONS: dict[str, Callable[[Table], None]] = {
    "scaling": check_scaling,
    "woe_iv": check_woe,
    "psi": check_psi,
    "markov": check_markov,
    "ifrs9_provision_matrix": check_matrix,
    "ecl": check_ecl,
    "cn_provision_2002": check_cn,
    "cn_provision": check_cn,
}


def cases(table: Table) -> Iterator[Case]:
    """Return the cases of the table; a section is one case or a list of them."""
    for section, found in table.items():
        if section == "meta":
            continue
        check = _SECTIONS.get(section)
        if check is None:
            yield unknown(section, found)
            continue
        listed = found if isinstance(found, list) else [found]
        for label, case in named(listed, section):
            yield Case(label, partial(check, case))
