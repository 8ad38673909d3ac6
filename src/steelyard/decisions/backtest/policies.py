"""Which policy is meant: a delivered one by its name, or a document in a file."""

from __future__ import annotations

from pathlib import Path

from steelyard.decisions.model.policy import CompiledPolicy, Fails, make_policy
from steelyard.decisions.nodes import node_kinds
from steelyard.decisions.scenes import delivered_policies
from steelyard.features import KINDS
from steelyard.kernel import Refusal, RefusalKind

DRAFT = 0
"""Version of a document that has none yet."""


class PolicyIsNowhere(Refusal):
    """Neither a policy nor a file has this name."""

    kind = RefusalKind.NOT_FOUND
    en = "{name} is neither a delivered policy ({known}) nor a file."
    zh = "{name} 既不是内置策略（{known}），也不是文件。"


class SceneIsNotNamed(Refusal):
    """A document does not say whose events it judges."""

    kind = RefusalKind.INVALID
    en = "Name the scene of {name} with --scene: {known}."
    zh = "请用 --scene 指明 {name} 所属场景：{known}。"


class ScenesDiffer(Refusal):
    """A policy judges the events of another scene."""

    kind = RefusalKind.CONFLICT
    en = "{cause} judges {scene}, not {wanted}."
    zh = "{cause} 适用于场景 {scene}，而非 {wanted}。"


def delivered(name: str) -> bool:
    """Return whether a name means a delivered policy."""
    return any(name in (scene, one.cause) for scene, one in delivered_policies().items())


def find_policy(name: str, scene: str | None = None) -> CompiledPolicy:
    """Return the policy of a name (`payment`, `policy.payment@1`) or of a file.

    Parameters
    ----------
    scene : whose events it has to judge; of a file that is not named after its scene

    Refusals
    --------
    policy_is_nowhere, scene_is_not_named, scenes_differ, and what `make_policy` refuses
    """
    delivered = delivered_policies()
    by_name = {**delivered, **{one.cause: one for one in delivered.values()}}
    if name in by_name:
        found = by_name[name]
        if scene not in (None, found.scene):
            raise ScenesDiffer(cause=found.cause, scene=found.scene, wanted=scene)
        return found
    path = Path(name)
    if not path.is_file():
        raise PolicyIsNowhere(name=name, known=", ".join(delivered))
    chosen = scene or path.stem
    if chosen not in KINDS or chosen not in delivered:
        raise SceneIsNotNamed(name=name, known=", ".join(delivered))
    return make_policy(
        path.stem,
        DRAFT,
        path.read_bytes(),
        scene=chosen,
        # Of a draft the fault mode of the policy it would follow.
        fails=Fails(delivered[chosen].fails),
        kinds=node_kinds(),
    )
