"""The columnar engine: every feature of a whole stream at once, for training and backtests."""

from steelyard.features.model.columns.compute import compute, compute_on
from steelyard.features.model.columns.stream import Stream

__all__ = ["Stream", "compute", "compute_on"]
