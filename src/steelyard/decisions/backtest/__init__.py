"""Backtest: what a policy would have done to labelled events of the past.

`backtest` judges a `Past` in columns beside another policy: swap set, approval, loss, recall,
precision, review load, latency, and thresholds that are chosen on earlier days than those tested.
A past is made by `read_handbook` (files, extra `columns`), `read_log` or `make_sample`.
"""

from steelyard.decisions.backtest.handbook import read_handbook
from steelyard.decisions.backtest.log import read_log
from steelyard.decisions.backtest.measures import COSTS, Assumed
from steelyard.decisions.backtest.past import LOSSES, LossRule, Past
from steelyard.decisions.backtest.plots import draw
from steelyard.decisions.backtest.policies import ScenesDiffer, delivered, find_policy
from steelyard.decisions.backtest.report import as_data, remarks, summary, tables
from steelyard.decisions.backtest.report import compare as compare_runs
from steelyard.decisions.backtest.report import read as read_run
from steelyard.decisions.backtest.report import write as write_run
from steelyard.decisions.backtest.run import NOTHING, Backtest, Plan, backtest
from steelyard.decisions.backtest.samples import SAMPLES, make_sample
from steelyard.decisions.model.policy import CompiledPolicy
from steelyard.decisions.model.tradeoff import Costs

__all__ = [
    "COSTS",
    "LOSSES",
    "NOTHING",
    "SAMPLES",
    "Assumed",
    "Backtest",
    "CompiledPolicy",
    "Costs",
    "LossRule",
    "Past",
    "Plan",
    "ScenesDiffer",
    "as_data",
    "backtest",
    "compare_runs",
    "delivered",
    "draw",
    "find_policy",
    "make_sample",
    "read_handbook",
    "read_log",
    "read_run",
    "remarks",
    "summary",
    "tables",
    "write_run",
]
