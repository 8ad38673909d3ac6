"""Training: from data to frozen scorecards and models with their cards; needs the extra `ml`.

`train` cross-validates on a credit data set and freezes what it made; `run_handbook` runs the
published protocol of the Fraud Detection Handbook through the streaming engine.
"""

from steelyard.decisions.model.binning import BinningRule
from steelyard.decisions.model.scorecard import Scaling
from steelyard.decisions.training.champion import Champion
from steelyard.decisions.training.credit import (
    GERMAN,
    TAIWAN,
    Attribute,
    CreditForm,
    CreditTable,
    read_credit,
    write_sample,
)
from steelyard.decisions.training.fit import ScorecardRule
from steelyard.decisions.training.handbook import write_sample as write_handbook_sample
from steelyard.decisions.training.pipeline import (
    FAIR,
    FAIR_GBM,
    GBM,
    SCORECARD,
    TooFewRows,
    Trained,
    TrainingRule,
    folds,
    train,
)
from steelyard.decisions.training.plots import draw, plots_can_be_drawn
from steelyard.decisions.training.resampled import Interval, corrected_interval
from steelyard.decisions.training.trial import Line, Trial, run_handbook
from steelyard.decisions.training.trial_card import trial_card

__all__ = [
    "FAIR",
    "FAIR_GBM",
    "GBM",
    "GERMAN",
    "SCORECARD",
    "TAIWAN",
    "Attribute",
    "BinningRule",
    "Champion",
    "CreditForm",
    "CreditTable",
    "Interval",
    "Line",
    "Scaling",
    "ScorecardRule",
    "TooFewRows",
    "Trained",
    "TrainingRule",
    "Trial",
    "corrected_interval",
    "draw",
    "folds",
    "plots_can_be_drawn",
    "read_credit",
    "run_handbook",
    "train",
    "trial_card",
    "write_handbook_sample",
    "write_sample",
]
