"""Backtest: what a policy would have done to labelled events of the past.

`backtest` judges a `Past` in columns beside another policy: swap set, approval, loss, recall,
precision, review load, latency, and thresholds that are chosen on earlier days than those tested.
"""

from steelyard.decisions.backtest.handbook import read_handbook
from steelyard.decisions.backtest.measures import Assumed
from steelyard.decisions.backtest.past import LOSSES, LossRule, Past
from steelyard.decisions.backtest.policies import find_policy
from steelyard.decisions.backtest.run import NOTHING, Backtest, Plan, backtest
from steelyard.decisions.backtest.samples import SAMPLES, make_sample
from steelyard.decisions.model.tradeoff import Costs

__all__ = [
    "LOSSES",
    "NOTHING",
    "SAMPLES",
    "Assumed",
    "Backtest",
    "Costs",
    "LossRule",
    "Past",
    "Plan",
    "backtest",
    "find_policy",
    "make_sample",
    "read_handbook",
]
