"""The facts of policies; the subject is the scene."""

from __future__ import annotations

from steelyard.base import Fact


class PolicyCommitted(Fact, kind="decisions.PolicyCommitted", version=1):
    """A version was written down for ever; it judges nobody yet."""

    scene: str
    policy_version: int
    hash: str


class PolicyPromoted(Fact, kind="decisions.PolicyPromoted", version=1):
    """A version judges its scene from now on.

    Attributes
    ----------
    before : the version that did until now; missing where none did
    how : `install`, `promote` or `roll_back`
    cause : the approval, or that it was delivered
    """

    scene: str
    policy_version: int
    before: int | None
    how: str
    cause: str


class RuleStopped(Fact, kind="decisions.RuleStopped", version=1):
    """A rule takes no effect from now on, because it turned too many down or somebody said so."""

    scene: str
    rule: str


class RuleResumed(Fact, kind="decisions.RuleResumed", version=1):
    """A stopped rule takes effect again."""

    scene: str
    rule: str


class KillSwitchThrown(Fact, kind="decisions.KillSwitchThrown", version=1):
    """A scene or a policy is not asked from now on: its fault mode answers."""

    switch: str


class KillSwitchLifted(Fact, kind="decisions.KillSwitchLifted", version=1):
    """A scene or a policy is asked again."""

    switch: str
