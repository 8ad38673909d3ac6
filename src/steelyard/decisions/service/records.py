"""The records of decisions: listed, read, proved and computed again."""

from steelyard.decisions.service.log import (
    DecisionDoesNotLetPass,
    DecisionIsExpired,
    DecisionIsUnknown,
    DecisionIsUsed,
    read_decision,
    verify_log,
)
from steelyard.decisions.service.present import Present, count_decisions, present_decisions
from steelyard.decisions.service.proof import PolicyIsUnknown, replay_decision
from steelyard.decisions.store.log import Line
from steelyard.decisions.store.log import newest as newest_decisions

__all__ = [
    "DecisionDoesNotLetPass",
    "DecisionIsExpired",
    "DecisionIsUnknown",
    "DecisionIsUsed",
    "Line",
    "PolicyIsUnknown",
    "Present",
    "count_decisions",
    "newest_decisions",
    "present_decisions",
    "read_decision",
    "replay_decision",
    "verify_log",
]
