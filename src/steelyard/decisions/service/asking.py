"""Asking for a decision: the question, the owner as other processes know it, the answer."""

from steelyard.decisions.model.decision import Answer
from steelyard.decisions.model.question import (
    MAX_QUESTION,
    QUESTION_REFUSALS,
    QuestionIsTooLarge,
    SceneIsUnknown,
)
from steelyard.decisions.model.reasons import text_of
from steelyard.decisions.service.client import OwnerClient, Told
from steelyard.decisions.service.gate import OwnerGate
from steelyard.decisions.service.line import OwnerLine
from steelyard.decisions.service.log import OwnerIsAway

__all__ = [
    "MAX_QUESTION",
    "QUESTION_REFUSALS",
    "Answer",
    "OwnerClient",
    "OwnerGate",
    "OwnerIsAway",
    "OwnerLine",
    "QuestionIsTooLarge",
    "SceneIsUnknown",
    "Told",
    "text_of",
]
