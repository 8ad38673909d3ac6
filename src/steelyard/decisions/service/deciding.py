"""Deciding: the owner of a shard, who stands by, what both fold and by which rules."""

from steelyard.decisions.service.engine import Policy
from steelyard.decisions.service.follower import Follower
from steelyard.decisions.service.history import EntityHistory
from steelyard.decisions.service.log import TenureIsOver
from steelyard.decisions.service.owner import Owner, Place, wanted_of
from steelyard.decisions.service.state import State
from steelyard.decisions.service.tending import StoredRules, tend

__all__ = [
    "EntityHistory",
    "Follower",
    "Owner",
    "Place",
    "Policy",
    "State",
    "StoredRules",
    "TenureIsOver",
    "tend",
    "wanted_of",
]
