"""The columnar engine: every feature of a whole stream at once, for training and backtests."""

from steelyard.features.model.columns.compute import compute

__all__ = ["compute"]
