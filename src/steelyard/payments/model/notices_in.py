"""What can be refused about a notice that a channel sends."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class NoticeIsNotBelieved(Refusal):
    """A notice is not signed by the channel, is too old, or speaks of somebody else's business."""

    kind = RefusalKind.UNAUTHENTICATED
    en = "The notice of channel {channel} is not believed: {why}."
    zh = "渠道 {channel} 的通知不可信：{why}。"


class NoticeIsAboutNothing(Refusal):
    """A notice is signed well, and names a payment or refund that was never sent by this channel.

    It is answered with a no, so that the channel sends it again: of a payment that is being written
    just now, the next try finds it.
    """

    kind = RefusalKind.NOT_FOUND
    en = "Channel {channel} speaks of {number}, which was not sent by it."
    zh = "渠道 {channel} 通知的 {number} 并非经其发出。"
