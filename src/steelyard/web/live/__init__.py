"""What happens now: rates, trial balance, lag and the last movements, asked for or streamed."""

from steelyard.web.live.feed import Feed
from steelyard.web.live.http import router
from steelyard.web.live.source import DoorSource, LiveSource

__all__ = ["DoorSource", "Feed", "LiveSource", "router"]
