"""The kernel: values without storage, clock or chance, on which every room stands."""

from steelyard.kernel.clock import Clock, FixedClock, SteppingClock, VirtualClock
from steelyard.kernel.ids import uuid7
from steelyard.kernel.page import CursorIsInvalid, Page, decode_cursor, encode_cursor
from steelyard.kernel.refusal import Refusal, RefusalKind

__all__ = [
    "Clock",
    "CursorIsInvalid",
    "FixedClock",
    "Page",
    "Refusal",
    "RefusalKind",
    "SteppingClock",
    "VirtualClock",
    "decode_cursor",
    "encode_cursor",
    "uuid7",
]
