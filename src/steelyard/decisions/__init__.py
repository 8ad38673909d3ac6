"""Decisions: what may happen, why, by which version; durable before it is used, used once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.decisions.model.decision import Answer, Decision
from steelyard.decisions.model.question import (
    MAX_QUESTION,
    QUESTION_REFUSALS,
    QuestionIsTooLarge,
    SceneIsUnknown,
)
from steelyard.decisions.model.reasons import text_of
from steelyard.decisions.service import facts
from steelyard.decisions.service.client import OwnerClient, Told
from steelyard.decisions.service.engine import Policy
from steelyard.decisions.service.follower import Follower
from steelyard.decisions.service.gate import OwnerGate
from steelyard.decisions.service.hearing import told_owners
from steelyard.decisions.service.history import EntityHistory, keep_trail
from steelyard.decisions.service.line import OwnerLine
from steelyard.decisions.service.log import (
    DecisionDoesNotLetPass,
    DecisionIsExpired,
    DecisionIsUnknown,
    DecisionIsUsed,
    OwnerIsAway,
    TenureIsOver,
    Use,
    consume,
    consume_all,
    read_decision,
    verify_log,
)
from steelyard.decisions.service.owner import Owner, Place, wanted_of
from steelyard.decisions.service.present import Present, count_decisions, present_decisions
from steelyard.decisions.service.proof import PolicyIsUnknown, replay_decision
from steelyard.decisions.service.state import State
from steelyard.decisions.service.tending import StoredRules, tend
from steelyard.decisions.store.log import Line
from steelyard.decisions.store.log import newest as newest_decisions
from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.decisions.model import lifecycle
    from steelyard.decisions.service import (
        behind,
        challenges,
        guards,
        lists,
        policies,
        registry,
        reviews,
        shadows,
        upkeep,
        watch,
    )

__all__ = [
    "MAX_QUESTION",
    "QUESTION_REFUSALS",
    "Answer",
    "Decision",
    "DecisionDoesNotLetPass",
    "DecisionIsExpired",
    "DecisionIsUnknown",
    "DecisionIsUsed",
    "EntityHistory",
    "Follower",
    "Line",
    "Owner",
    "OwnerClient",
    "OwnerGate",
    "OwnerIsAway",
    "OwnerLine",
    "Place",
    "Policy",
    "PolicyIsUnknown",
    "Present",
    "QuestionIsTooLarge",
    "SceneIsUnknown",
    "State",
    "StoredRules",
    "TenureIsOver",
    "Told",
    "Use",
    "behind",
    "challenges",
    "consume",
    "consume_all",
    "count_decisions",
    "facts",
    "guards",
    "keep_trail",
    "lifecycle",
    "lists",
    "newest_decisions",
    "policies",
    "present_decisions",
    "read_decision",
    "registry",
    "replay_decision",
    "reviews",
    "shadows",
    "tend",
    "text_of",
    "told_owners",
    "upkeep",
    "verify_log",
    "wanted_of",
    "watch",
]

_GROUPS = {
    "behind": "service.behind",
    "challenges": "service.challenges",
    "guards": "service.guards",
    "lifecycle": "model.lifecycle",
    "lists": "service.lists",
    "policies": "service.policies",
    "registry": "service.registry",
    "reviews": "service.reviews",
    "shadows": "service.shadows",
    "upkeep": "service.upkeep",
    "watch": "service.watch",
}

__getattr__ = door(__name__, _GROUPS)
