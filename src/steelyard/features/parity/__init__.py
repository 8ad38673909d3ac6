"""Parity: one stream through both engines, every answer compared to the bit."""

from steelyard.features.parity.comparison import Difference, Parity, compare
from steelyard.features.parity.feeding import NotFed
from steelyard.features.parity.reading import read_folder
from steelyard.features.parity.replay import Replay
from steelyard.features.parity.sample import sample_replay

__all__ = [
    "Difference",
    "NotFed",
    "Parity",
    "Replay",
    "compare",
    "read_folder",
    "sample_replay",
]
