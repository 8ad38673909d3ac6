"""Finding texts in columns of texts, and what banks do to a number."""

from __future__ import annotations

from typing import Final

import numpy as np

from steelyard.payments.model.matching_columns import Bools, Ints, Numbers, Texts

NONE: Final = -1
"""Not found."""
MANY: Final = -2
"""Found more than once."""

_ODD: Final = (
    0x9E3779B97F4A7C15,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0xD6E8FEB86659FD93,
    0xA0761D6478BD642F,
    0xE7037ED1A0B428DB,
    0x8EBC6AF09C88C6E3,
    0x589965CC75374CC3,
)
_CAPITALS: Final = np.zeros(256, np.uint8)
"""What a byte becomes: letters capitals, separators nothing, bytes of other scripts themselves."""
for _byte in (*b"0123456789", *b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *range(128, 256)):
    _CAPITALS[_byte] = _byte
for _byte in b"abcdefghijklmnopqrstuvwxyz":
    _CAPITALS[_byte] = _byte - 32


def hashes(texts: Texts) -> Numbers:
    """Return 64 bits of each text, the same for columns of any width.

    Returns
    -------
    array of uint64
        Equal texts are equal; whoever joins by them compares the texts themselves afterwards.
    """
    width = -(-texts.dtype.itemsize // 8) * 8
    words = np.ascontiguousarray(texts.astype(f"S{width}")).view(np.uint64)
    words = words.reshape(len(texts), width // 8)
    mixed = np.zeros(len(texts), np.uint64)
    for place in range(words.shape[1]):
        word = words[:, place] * np.uint64(_ODD[place % len(_ODD)])
        mixed += (word ^ (word >> np.uint64(29))) * np.uint64(_ODD[(place + 3) % len(_ODD)])
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(_ODD[1])
    return mixed ^ (mixed >> np.uint64(29))


class Index:
    """A column of texts that others are looked up in.

    Parameters
    ----------
    texts : the column; empty texts are never found
    """

    def __init__(self, texts: Texts) -> None:
        keys = hashes(texts)
        self._texts = texts
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        same = self._keys[1:] == self._keys[:-1]
        self._is_many = np.zeros(len(texts), np.bool_)
        self._is_many[1:] |= same
        self._is_many[:-1] |= same

    def find(self, texts: Texts) -> Ints:
        """Return where each text stands: its place, `NONE`, or `MANY`."""
        found = np.full(len(texts), NONE, np.int64)
        if not len(self._keys) or not len(texts):
            return found
        keys = hashes(texts)
        # Sorted queries walk through the index once instead of jumping about in it.
        order = np.argsort(keys, kind="stable")
        at = np.empty(len(keys), np.int64)
        at[order] = np.searchsorted(self._keys, keys[order])
        at = np.minimum(at, len(self._keys) - 1)
        place = self._order[at]
        is_same = (self._texts[place] == texts) & (texts != b"")
        found[is_same] = np.where(self._is_many[at], MANY, place)[is_same]
        return found


def places(texts: Texts) -> Ints:
    """Return a running number for each distinct text, the same for the same text."""
    return np.unique(hashes(texts), return_inverse=True)[1].astype(np.int64)


def counts(found: Ints, size: int) -> Ints:
    """Return how often each place was found."""
    return np.bincount(found[found >= 0], minlength=size).astype(np.int64)


def normalised(texts: Texts) -> Texts:
    """Return texts in capitals and without separators, which banks drop or add.

    Examples
    --------
    >>> normalised(np.array([b"ab-12 c"])).tolist()
    [b'AB12C']
    """
    if not len(texts):
        return texts
    width = texts.dtype.itemsize
    raw = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), width)
    made = _CAPITALS[raw]
    # Only where something falls out have the others to move up.
    gap = np.flatnonzero(((made == 0) & (raw != 0)).any(axis=1))
    if len(gap):
        order = np.argsort(made[gap] == 0, axis=1, kind="stable")
        made[gap] = np.take_along_axis(made[gap], order, axis=1)
    whole: Texts = made.view(f"S{width}").ravel()
    return whole


def lengths(texts: Texts) -> Ints:
    """Return how many bytes each text has."""
    return np.strings.str_len(texts).astype(np.int64)


def heads(texts: Texts, length: int) -> Texts:
    """Return the first bytes of each text; empty where it is not longer than that."""
    cut = texts.astype(f"S{length}")
    cut[lengths(texts) <= length] = b""
    return cut


def tails(texts: Texts, length: int) -> Texts:
    """Return the last bytes of each text; empty where it is not longer than that."""
    width = texts.dtype.itemsize
    raw = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), width)
    size = lengths(texts)
    cut = np.zeros((len(texts), length), np.uint8)
    for one in np.unique(size[size > length]).tolist():
        rows = size == one
        cut[rows] = raw[rows, one - length : one]
    made: Texts = cut.view(f"S{length}").ravel()
    return made


def among(texts: Texts, few: Texts) -> Bools:
    """Return which texts are, for all that their hashes tell, among a few others."""
    known = np.unique(hashes(few))
    keys = hashes(texts)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: Bools = known[at] == keys
    return found
