"""Parity: one stream through both engines, every answer compared to the bit."""

from steelyard.features.service.parity.comparison import Difference, Parity, compare
from steelyard.features.service.parity.feeding import NotFed
from steelyard.features.service.parity.reading import read_folder
from steelyard.features.service.parity.replay import Replay
from steelyard.features.service.parity.sample import sample_replay

__all__ = [
    "Difference",
    "NotFed",
    "Parity",
    "Replay",
    "compare",
    "read_folder",
    "sample_replay",
]
