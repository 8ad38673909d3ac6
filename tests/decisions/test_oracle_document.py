"""Random documents and values: ours answers what the reference engine answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from steelyard.decisions.model.compile import compile_document
from steelyard.decisions.model.document import DocumentIsMalformed, parse_document
from tests.decisions.jdm import document as made
from tests.decisions.jdm import documents, reference, table, values
from tests.decisions.zen_grammar import FAILED, agree

_SETTINGS = settings(
    derandomize=True,
    max_examples=120,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)


def check(content: dict[str, Any], given_values: list[dict[str, Any]]) -> None:
    """Both forms answer alike, and what the reference answers."""
    try:
        compiled = compile_document(parse_document(content))
    except DocumentIsMalformed:
        # What is no expression makes the reference pass over the row in silence.
        assume(False)
        return
    for one in given_values:
        expected = reference(content, one)
        found = compiled.run(one)
        traced = compiled.trace(one)
        note(f"{one}: reference {expected!r}, ours {found!r}")
        assert found == (traced.result, traced.hits, traced.notes)
        if expected is FAILED:
            assert found.notes
        elif not found.notes:
            assert agree(expected, found.result)


@_SETTINGS
@given(content=documents(), given_values=st.lists(values, min_size=1, max_size=4))
def test_a_document_answers_what_the_reference_says(
    content: dict[str, Any], given_values: list[dict[str, Any]]
) -> None:
    check(content, given_values)


@pytest.mark.long
@settings(parent=_SETTINGS, max_examples=10_000, derandomize=False)
@given(content=documents(), given_values=st.lists(values, min_size=1, max_size=4))
def test_many_documents_answer_what_the_reference_says(
    content: dict[str, Any], given_values: list[dict[str, Any]]
) -> None:
    check(content, given_values)


_BOUND = st.integers(-3, 12)
_RANGE = st.one_of(
    st.just(""),
    st.tuples(st.sampled_from([">", ">=", "<", "<="]), _BOUND).map(lambda t: f"{t[0]} {t[1]}"),
    st.tuples(st.sampled_from("[("), _BOUND, _BOUND, st.sampled_from("])")).map(
        lambda t: f"{t[0]}{t[1]}..{t[2]}{t[3]}"
    ),
    st.tuples(_BOUND, _BOUND).map(lambda t: f"> {t[0]} and <= {t[1]}"),
)
_EQUAL = st.sampled_from(["'A'", "'B'", "'A', 'C'", "in ['B', 'D']", "1", "'1', 1", ""])
_LONG = st.lists(
    st.tuples(_EQUAL, _EQUAL, _RANGE, _RANGE, st.integers(0, 9).map(str)),
    min_size=45,
    max_size=120,
)
_ASKED = st.fixed_dictionaries(
    {},
    optional={
        "k": st.sampled_from(["A", "B", "C", "D", "1", 1, True, None, 1.0]),
        "m": st.sampled_from(["A", "B", "C", 1, None]),
        "x": st.one_of(st.integers(-4, 13), st.sampled_from([None, 2.5, "2", True])),
        "y": st.one_of(st.integers(-4, 13), st.none()),
    },
)


@settings(parent=_SETTINGS, max_examples=25)
@given(
    rows=_LONG,
    policy=st.sampled_from(["first", "collect"]),
    asked=st.lists(_ASKED, min_size=20, max_size=20),
)
def test_a_long_table_answers_what_the_reference_says(
    rows: list[tuple[str, ...]], policy: str, asked: list[dict[str, Any]]
) -> None:
    check(made(table("t", ["k", "m", "x", "y"], ["r"], rows, policy)), asked)
