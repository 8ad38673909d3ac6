"""Decisions: what may happen, why, by which version; durable before it is used, used once."""

from steelyard.decisions.model.decision import Answer, Decision
from steelyard.decisions.model.question import QuestionIsTooLarge
from steelyard.decisions.service.engine import Policy
from steelyard.decisions.service.log import (
    OwnerIsAway,
    TenureIsOver,
    consume,
    read_decision,
    verify_log,
)
from steelyard.decisions.service.owner import Owner

__all__ = [
    "Answer",
    "Decision",
    "Owner",
    "OwnerIsAway",
    "Policy",
    "QuestionIsTooLarge",
    "TenureIsOver",
    "consume",
    "read_decision",
    "verify_log",
]
