"""The facts of the models in the registry; no personal data is in them."""

from __future__ import annotations

from steelyard.base import Fact


class ModelRegistered(Fact, kind="decisions.ModelRegistered", version=1):
    """A model was entered with its card; subject is the model."""

    name: str
    model_version: int
    model_kind: str
    digest: str


class ModelApproved(Fact, kind="decisions.ModelApproved", version=1):
    """New policies may name the model, as two people wanted it; subject is the model."""

    name: str
    model_version: int
    cause: str


class ModelRetired(Fact, kind="decisions.ModelRetired", version=1):
    """No new policy may name the model any more; subject is the model."""

    name: str
    model_version: int
    reason: str
