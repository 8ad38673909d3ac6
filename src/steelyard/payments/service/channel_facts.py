"""Facts of channels and of routing."""

from __future__ import annotations

from steelyard.base import Fact

__all__ = [
    "ChannelBreakerMoved",
    "ChannelRegistered",
    "ChannelStageChanged",
    "ChannelWindowAnnounced",
    "RoutingPolicyChanged",
]


class ChannelRegistered(Fact, kind="payments.ChannelRegistered", version=1):
    """A channel was entered."""

    channel: str
    mode: str
    channel_kind: str
    stage: str


class ChannelStageChanged(Fact, kind="payments.ChannelStageChanged", version=1):
    """A channel came to another stage of its life."""

    channel: str
    before: str
    after: str
    cause: str


class ChannelWindowAnnounced(Fact, kind="payments.ChannelWindowAnnounced", version=1):
    """Maintenance of a channel was announced, or withdrawn."""

    channel: str
    window: str
    is_withdrawn: bool


class ChannelBreakerMoved(Fact, kind="payments.ChannelBreakerMoved", version=1):
    """A channel was cut off for a method, put on trial again, or taken back."""

    channel: str
    method: str
    before: str
    after: str
    by: str


class RoutingPolicyChanged(Fact, kind="payments.RoutingPolicyChanged", version=1):
    """A version of the rules of routing came into force."""

    policy: int
    cause: str
