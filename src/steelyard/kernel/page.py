"""One page of a longer list, read by cursor."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from steelyard.kernel.refusal import Refusal, RefusalKind

T = TypeVar("T")
U = TypeVar("U")


class CursorIsInvalid(Refusal):
    """The cursor was not one that this list handed out."""

    kind = RefusalKind.INVALID
    en = "The cursor is not one that this list handed out; start again without it."
    zh = "分页游标无效，请去掉游标后重新查询。"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a list in its own order, and the cursor of the next page.

    Attributes
    ----------
    items : at most as many as were asked for
    next : opaque cursor, None on the last page
    """

    items: tuple[T, ...]
    next: str | None = None

    def map(self, turn: Callable[[T], U]) -> Page[U]:
        """Return the page with each item turned into another."""
        return Page(tuple(turn(item) for item in self.items), self.next)


def encode_cursor(*position: int | str) -> str:
    """Return an opaque cursor for a position (the sort key of the last item shown).

    Examples
    --------
    >>> decode_cursor(encode_cursor(17, "b"), int, str)
    (17, 'b')
    """
    text = json.dumps(position, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *shape: type) -> tuple[int | str, ...]:
    """Return the position inside a cursor.

    Refusals
    --------
    cursor_is_invalid : not made by `encode_cursor`, or of another shape
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        position = json.loads(base64.urlsafe_b64decode(padded.encode()))
    except (ValueError, binascii.Error, UnicodeError):
        raise CursorIsInvalid from None
    if not isinstance(position, list) or [type(p) for p in position] != list(shape):
        raise CursorIsInvalid
    return tuple(position)
