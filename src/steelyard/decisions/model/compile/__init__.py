"""The compiler of policies: a document becomes generated Python.

`compile_document` makes the functions; `kinds` has the port for nodes of our own; `answer` says
what comes back.
"""

from steelyard.decisions.model.compile.answer import (
    Evaluation,
    Failure,
    Hit,
    NodeTrace,
    Note,
    ToldEvaluation,
    TracedEvaluation,
)
from steelyard.decisions.model.compile.kinds import Answer, Kinds, NodeKind, Prepared
from steelyard.decisions.model.compile.policy import (
    Compiled,
    NodeKindIsUnknown,
    compile_document,
)

__all__ = [
    "Answer",
    "Compiled",
    "Evaluation",
    "Failure",
    "Hit",
    "Kinds",
    "NodeKind",
    "NodeKindIsUnknown",
    "NodeTrace",
    "Note",
    "Prepared",
    "ToldEvaluation",
    "TracedEvaluation",
    "compile_document",
]
