from __future__ import annotations

import pytest

from steelyard.kernel import Refusal, RefusalKind


class CreditLineIsSpent(Refusal):
    kind = RefusalKind.CONFLICT
    en = "{left} is left, {asked} was asked for."
    zh = "剩余 {left}，申请 {asked}。"


def test_the_code_is_the_name_in_small_letters() -> None:
    assert CreditLineIsSpent.code == "credit_line_is_spent"
    words = {"kind": RefusalKind.CONFLICT, "en": "No.", "zh": "不。"}
    assert type("ThisNeedsAPerson", (Refusal,), words).code == "this_needs_a_person"


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "1 is left, 2 was asked for."),
        ("zh-CN", "剩余 1，申请 2。"),
        ("ZH", "剩余 1，申请 2。"),
        ("fr", "1 is left, 2 was asked for."),
    ],
)
def test_it_speaks_both_languages(language: str, sentence: str) -> None:
    assert CreditLineIsSpent(left=1, asked=2).sentence(language) == sentence


def test_a_fact_that_was_not_given_is_no_second_error() -> None:
    assert str(CreditLineIsSpent(left=1)) == "credit_line_is_spent: 1 is left, ? was asked for."


def test_a_class_without_its_sentences_cannot_be_defined() -> None:
    with pytest.raises((AssertionError, AttributeError)):
        type("Speechless", (Refusal,), {"kind": RefusalKind.CONFLICT, "en": "x", "zh": ""})
