"""The form in which a policy judges says what its trace says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.decisions.model.compile import Compiled, TracedEvaluation, compile_document
from steelyard.decisions.model.document import DocumentIsMalformed, parse_document
from steelyard.decisions.scenes import delivered_examples, delivered_policies
from tests.decisions.jdm import documents, values

POLICIES = delivered_policies()


def from_trace(traced: TracedEvaluation, recorded: frozenset[str]) -> tuple[Any, ...]:
    """Return a trace in the form of a record, the slow way."""
    read = {
        name: value
        for node in traced.nodes
        for name, value in node.read.items()
        if name not in recorded
    }
    return (
        traced.result,
        ["/".join(hit) for hit in traced.hits],
        ["/".join(failure) for failure in traced.failures],
        read,
        list(traced.missing),
        list(traced.notes),
        {node.node: node.detail for node in traced.nodes if node.detail is not None},
    )


def check(compiled: Compiled, recorded: frozenset[str], asked: dict[str, Any]) -> None:
    expected = from_trace(compiled.trace(asked), recorded)
    assert repr(tuple(compiled.telling(recorded)(asked))) == repr(expected)


@pytest.mark.parametrize("scene", POLICIES)
def test_delivered_policies_tell_their_trace(scene: str) -> None:
    policy = POLICIES[scene]
    for example in delivered_examples(scene):
        check(policy.compiled, frozenset(policy.reads), dict(example.values))


@settings(derandomize=True, max_examples=60)
@given(content=documents(), asked=values, recorded=st.frozensets(st.sampled_from("abcdxyz")))
def test_random_documents_tell_their_trace(
    content: dict[str, Any], asked: dict[str, Any], recorded: frozenset[str]
) -> None:
    try:
        compiled = compile_document(parse_document(content))
    except DocumentIsMalformed:
        return
    check(compiled, recorded, asked)
