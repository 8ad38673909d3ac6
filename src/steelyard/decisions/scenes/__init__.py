"""The policies that are delivered: one document for each scene, with its test cases beside it.

`<scene>.json` is a JDM document, which the editor of the format opens; `<scene>.examples.json` says
what it has to say to which values. A changed document is another version: raise it here.
"""

from __future__ import annotations

from importlib.resources import files

from steelyard.decisions.model.policy import (
    CompiledPolicy,
    Example,
    Fails,
    make_policy,
    read_examples,
)
from steelyard.decisions.nodes import node_kinds

__all__ = ["delivered_examples", "delivered_policies", "delivered_source"]

_DELIVERED = {
    "payment": (2, Fails.OPEN),
    "log_in": (1, Fails.OPEN),
    "loan_application": (1, Fails.CLOSED),
    "withdrawal": (1, Fails.CLOSED),
    "merchant_application": (1, Fails.CLOSED),
}
"""Of each scene: version, and what is said when the policy fails."""


def delivered_policies() -> dict[str, CompiledPolicy]:
    """Return the delivered policies, by scene."""
    kinds = node_kinds()
    return {
        scene: make_policy(
            scene, version, _text(f"{scene}.json"), scene=scene, fails=fails, kinds=kinds
        )
        for scene, (version, fails) in _DELIVERED.items()
    }


def delivered_examples(scene: str) -> tuple[Example, ...]:
    """Return the test cases of the delivered policy of a scene."""
    return read_examples(_text(f"{scene}.examples.json"))


def delivered_source(scene: str) -> tuple[str, str]:
    """Return the document of the delivered policy of a scene and its test cases, as JSON texts."""
    return _text(f"{scene}.json"), _text(f"{scene}.examples.json")


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
