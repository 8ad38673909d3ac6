"""The life of the town: a client of the public HTTP interface, and of nothing else."""

from steelyard.simulation.life.client import Stopped, TownClient
from steelyard.simulation.life.history import play_history
from steelyard.simulation.life.present import Pace, live

__all__ = ["Pace", "Stopped", "TownClient", "live", "play_history"]
