from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.kernel import CursorIsInvalid, Page, decode_cursor, encode_cursor


@given(st.integers(), st.text())
def test_a_cursor_comes_back(number: int, text: str) -> None:
    assert decode_cursor(encode_cursor(number, text), int, str) == (number, text)


@given(st.text())
def test_any_other_text_is_refused_and_never_a_fault(text: str) -> None:
    try:
        position = decode_cursor(text, int)
    except CursorIsInvalid:
        return
    assert len(position) == 1
    assert type(position[0]) is int


@pytest.mark.parametrize("cursor", ["", "!", encode_cursor("a"), encode_cursor(1, 2), "bnVsbA"])
def test_a_cursor_of_another_shape_is_refused(cursor: str) -> None:
    with pytest.raises(CursorIsInvalid):
        decode_cursor(cursor, int)


def test_a_page_is_mapped_and_keeps_its_cursor() -> None:
    assert Page((1, 2), "x").map(str) == Page(("1", "2"), "x")
