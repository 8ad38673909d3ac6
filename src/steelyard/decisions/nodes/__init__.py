"""Extension point: kinds of nodes a policy document may use, one file per kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from steelyard.decisions.model.compile import Kinds, NodeKind
from steelyard.decisions.model.document import Document
from steelyard.decisions.nodes.limit import LimitKind
from steelyard.decisions.nodes.listed import ListKind
from steelyard.decisions.nodes.model import ModelKind
from steelyard.decisions.nodes.scorecard import ScorecardKind
from steelyard.decisions.nodes.settings import Models, no_models
from steelyard.decisions.nodes.sub_policy import SubPolicyKind

__all__ = ["NODE_KINDS", "node_kinds"]

NODE_KINDS: Mapping[str, NodeKind] = MappingProxyType(
    {"limit": LimitKind(), "list": ListKind(), "model": ModelKind(), "scorecard": ScorecardKind()}
)
"""The kinds that need nothing but their settings, by the name a document calls them by."""


def node_kinds(
    documents: Mapping[str, Document] | None = None, models: Models = no_models
) -> Kinds:
    """Return every kind.

    Parameters
    ----------
    documents : by key; `decision` asks one of them
    models : gives the flat form of a registered model by `name@version`
    """
    plain = {**NODE_KINDS, "model": ModelKind(models), "scorecard": ScorecardKind(models)}
    return {**plain, "decision": SubPolicyKind(documents or {}, plain)}
