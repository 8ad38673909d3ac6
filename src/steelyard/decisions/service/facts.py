"""The facts of policies and models, entered where the room is loaded."""

from __future__ import annotations

from steelyard.decisions.service.model_facts import ModelApproved, ModelRegistered, ModelRetired
from steelyard.decisions.service.policy_facts import (
    KillSwitchLifted,
    KillSwitchThrown,
    PolicyCommitted,
    PolicyPromoted,
    RuleResumed,
    RuleStopped,
)

__all__ = [
    "KillSwitchLifted",
    "KillSwitchThrown",
    "ModelApproved",
    "ModelRegistered",
    "ModelRetired",
    "PolicyCommitted",
    "PolicyPromoted",
    "RuleResumed",
    "RuleStopped",
]
