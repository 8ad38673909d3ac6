from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from steelyard.decisions.model.decision import Value
from steelyard.decisions.model.document import DocumentIsMalformed
from steelyard.decisions.model.policy import (
    FAILED,
    CompiledPolicy,
    Example,
    Fails,
    PolicyReadsAnUnknownField,
    check_policy,
    codes_of,
    make_policy,
    outcomes_of,
)
from steelyard.decisions.model.reasons import REASONS, ReasonIsUnknown, text_of
from steelyard.decisions.nodes import NODE_KINDS
from tests.decisions.jdm import document, entries, table

COUNT = "customer_payment_count_1h"
SAID = table(
    "bands",
    [COUNT, "customer"],
    ["outcome", "score", "reasons"],
    [
        ["> 3", "", "'decline'", "900", "['too_many_payments']"],
        ["", "null", "'review'", "", "['customer_is_missing']"],
        ["", "", "'approve'", "10", "[]"],
    ],
)


def policy(
    *nodes: dict[str, Any], fails: Fails = Fails.OPEN, scene: str = "payment"
) -> CompiledPolicy:
    return make_policy("p", 7, document(*nodes), scene=scene, fails=fails, kinds=NODE_KINDS)


def told(made: CompiledPolicy, values: Mapping[str, Value]) -> dict[str, Any]:
    return dict(made.judge(values).trace)


def test_a_policy_judges_what_its_document_says() -> None:
    made = policy(SAID)
    assert (made.cause, made.reads) == ("policy.p@7", (COUNT,))
    assert made.versions == {"document": made.document.hash}
    judged = made.judge({COUNT: 4, "customer": "c1"})
    assert judged[:4] == ("decline", 900, ("too_many_payments",), None)
    assert made.judge({COUNT: 1, "customer": "c1"})[:3] == ("approve", 10, ())
    assert made.judge({})[:3] == ("review", None, ("customer_is_missing",))


def test_the_trace_says_what_hit_what_failed_first_and_what_was_missing() -> None:
    trace = told(policy(SAID), {COUNT: 2})
    assert trace == {
        "hits": ["bands/bands-1"],
        "failed": ["bands/bands-0/i0"],
        "read": {"customer": None},
        "missing": ["customer"],
        "notes": [],
        "details": {},
    }


def test_what_is_not_there_and_what_is_none_are_the_same() -> None:
    made = policy(SAID)
    assert made.judge({COUNT: 2}) == made.judge({COUNT: 2, "customer": None})


@pytest.mark.parametrize(
    "name",
    [
        "shoe_size",
        "is_fraud",
        "payee_sender_distinct",
        "list_of_bad_cards",
        "phone_applicant_distinct_30d",
    ],
)
def test_what_no_event_of_the_scene_has_is_refused(name: str) -> None:
    """A label and a feature of an entity that the event does not name are as unknown."""
    with pytest.raises(PolicyReadsAnUnknownField) as refused:
        policy(entries("e", ("outcome", f"{name} > 1 ? 'review' : 'approve'")))
    assert refused.value.facts["fields"] == name
    assert refused.value.code == "policy_reads_an_unknown_field"


def test_what_a_node_gives_may_be_read_behind_it() -> None:
    nodes = (
        entries("e", ("twice", f"{COUNT} * 2")),
        entries("f", ("outcome", "twice > 4 ? 'hold' : 'approve'")),
    )
    made = policy(*nodes)
    assert made.reads == (COUNT,)
    assert made.judge({COUNT: 3}).outcome == "hold"


def test_lists_that_are_kept_are_named_with_their_field() -> None:
    lists = [{"name": "bad", "means": "block", "field": "card", "reason": "listed_as_blocked"}]
    node = {
        "id": "n",
        "name": "n",
        "type": "customNode",
        "content": {"kind": "list", "config": {"lists": lists}},
    }
    last = entries("e", ("outcome", "block ? 'decline' : 'approve'"), ("reasons", "list_reasons"))
    made = policy(node, last)
    assert made.lists == {"bad": "card"}
    assert made.judge({"list_bad": True})[:3] == ("decline", None, ("listed_as_blocked",))
    assert made.judge({"card": "k1"}).outcome == "approve"
    with pytest.raises(PolicyReadsAnUnknownField):
        policy(
            {
                **node,
                "content": {"kind": "list", "config": {"lists": [{**lists[0], "field": "x"}]}},
            },
            last,
        )


WRONG = [
    (("outcome", "'maybe'"),),
    (("score", "5"),),
    (("outcome", "7"),),
    (("outcome", "'approve'"), ("score", "1001")),
    (("outcome", "'approve'"), ("score", "-1")),
    (("outcome", "'approve'"), ("score", "'high'")),
    (("outcome", "'approve'"), ("reasons", "'because'")),
    (("outcome", "'approve'"), ("reasons", "[1]")),
    (("outcome", "'limit'"),),
    (("outcome", "'limit'"), ("limit_minor", "-5")),
    (("outcome", "'limit'"), ("limit_minor", "1.5")),
    (("outcome", f"{COUNT} + 1"),),
]


@pytest.mark.parametrize("pairs", WRONG)
@pytest.mark.parametrize("fails", list(Fails))
def test_an_answer_that_is_none_is_the_fault_mode(
    pairs: tuple[tuple[str, str], ...], fails: Fails
) -> None:
    judged = policy(entries("e", *pairs), fails=fails).judge({})
    expected = "approve" if fails is Fails.OPEN else "decline"
    assert judged[:4] == (expected, None, (FAILED,), None)
    assert judged.trace[0][0] == "degraded"


def test_a_document_that_crashes_is_the_fault_mode() -> None:
    class Crashes:
        reads = ()
        writes: Mapping[str, str] = {}

        def prepare(self, node: object) -> Crashes:
            return self

        def answer(self, values: object) -> Any:
            raise ZeroDivisionError("by a bug")

    node = {"id": "n", "name": "n", "type": "customNode", "content": {"kind": "bug", "config": {}}}
    made = make_policy("p", 1, document(node), scene="log_in", fails=Fails.CLOSED,
                       kinds={"bug": Crashes()})  # fmt: skip
    judged = made.judge({})
    assert (judged.outcome, judged.reasons) == ("decline", (FAILED,))
    assert judged.trace == (["degraded", "ZeroDivisionError: by a bug"],)


def test_a_limit_is_said_only_where_the_outcome_is_limit() -> None:
    pairs = (("outcome", "amount_minor > 5 ? 'limit' : 'approve'"), ("limit_minor", "5"))
    made = policy(entries("e", *pairs))
    assert made.judge({"amount_minor": 9})[:4] == ("limit", None, (), 5)
    assert made.judge({"amount_minor": 1})[:4] == ("approve", None, (), None)


def test_a_reason_is_given_once_and_a_broken_score_is_rounded() -> None:
    pairs = (
        ("outcome", "'review'"),
        ("score", "10.6"),
        ("reasons", "['device_is_new', 'hour_is_unusual', 'device_is_new']"),
    )
    assert policy(entries("e", *pairs)).judge({})[:3] == (
        "review",
        11,
        ("device_is_new", "hour_is_unusual"),
    )


GOOD = [
    Example("many", {COUNT: 4, "customer": "c"}, "decline", ("too_many_payments",)),
    Example("few", {COUNT: 1, "customer": "c"}, "approve", ()),
]


def test_the_battery_finds_nothing_in_a_good_policy() -> None:
    made = policy(SAID)
    assert check_policy(made, GOOD) == ()
    assert outcomes_of(made) == {"approve", "review", "decline"}
    assert codes_of(made) == {"too_many_payments", "customer_is_missing"}


@pytest.mark.parametrize(
    ("nodes", "examples", "word"),
    [
        ((SAID,), [], "there is no example"),
        ((SAID,), [Example("x", {COUNT: 4}, "approve", ())], "x: "),
        ((SAID,), [Example("x", {COUNT: 4, "hat": 1}, "decline", ("too_many_payments",))], "hat"),
        ((entries("e", ("outcome", "customer == 'x' ? 'allow' : 'approve'")),), GOOD[1:], "allow"),
        ((entries("e", ("outcome", "'approve'"), ("reasons", "customer == null ? ['why'] : []")),),
         [Example("x", {"customer": "c"}, "approve", ())], "no text for why"),
        ((entries("e", ("score", "1")),), GOOD[1:], "gives no outcome"),
        ((entries("e", ("outcome", "customer == null ? 1 : 'approve'")),), GOOD[1:], "fails"),
    ],
)  # fmt: skip
def test_the_battery_finds_what_was_planted(
    nodes: tuple[dict[str, Any], ...], examples: list[Example], word: str
) -> None:
    assert any(word in one for one in check_policy(policy(*nodes), examples))


def test_a_malformed_document_is_refused() -> None:
    with pytest.raises(DocumentIsMalformed):
        make_policy("p", 1, "{", scene="log_in", fails=Fails.OPEN)


def test_every_reason_has_two_texts_that_differ() -> None:
    for code, text in REASONS.items():
        assert text.en.endswith(".")
        assert text.zh.endswith("。")
        assert text_of(code, "zh-CN") == text.zh != text_of(code, "en")
    assert len(set(REASONS.values())) == len(REASONS)
    with pytest.raises(ReasonIsUnknown):
        text_of("because", "en")
