"""Plain forms of terms and events: what is refused, and where it stands."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from steelyard.cashflows import form
from steelyard.cashflows.model.allocation import Advance
from steelyard.cashflows.model.refusals import FormIsInvalid, TermsAreInvalid

TERMS: dict[str, Any] = {
    "principal_minor": 100_000,
    "start_on": "2026-01-31",
    "instalments": 12,
    "rate": "0.12",
}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"principal": 5}, "terms.principal"),
        ({"rate": 0.12}, "terms.rate"),
        ({"rate": "twelve"}, "terms.rate"),
        ({"instalments": "12"}, "terms.instalments"),
        ({"instalments": True}, "terms.instalments"),
        ({"start_on": "31.01.2026"}, "terms.start_on"),
        ({"method": "annuity"}, "terms.method"),
        ({"fees": {}}, "terms.fees"),
        ({"fees": [{"code": "x", "when": "sometimes"}]}, "terms.fees[0].when"),
        ({"fees": [{"when": "each"}]}, "terms.fees[0].code"),
        ({"penalty": 3}, "terms.penalty"),
        ({"allocation": {"order": ["past_due"]}}, "terms.allocation"),
        ({"allocations": []}, "terms.allocations"),
    ],
    ids=str,
)
def test_the_field_at_fault_is_named(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(FormIsInvalid) as refused:
        form.terms_from_json(TERMS | wrong)
    assert refused.value.facts["field"] == field


@pytest.mark.parametrize("missing", sorted(TERMS))
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(FormIsInvalid) as refused:
        form.terms_from_json({name: TERMS[name] for name in TERMS if name != missing})
    assert refused.value.facts["field"] == f"terms.{missing}"


def test_terms_that_contradict_themselves_are_refused_as_terms() -> None:
    with pytest.raises(TermsAreInvalid):
        form.terms_from_json(TERMS | {"grace_principal": 12})


@pytest.mark.parametrize(
    "wrong",
    [{}, {"event": "Paid"}, {"event": "Repaid", "seq": 1}, {"event": "Reversed", "of": 1}],
    ids=str,
)
def test_events_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(FormIsInvalid):
        form.event_from_json(wrong)


def test_orders_of_allocation_by_kind() -> None:
    parts = ("penalty", "fee", "interest", "principal")
    order = [f"{when}/{part}" for when in ("past_due", "due", "in_advance") for part in parts]
    given = TERMS | {"allocations": {"goodwill": {"order": order[::-1], "advance": "last"}}}
    terms = form.terms_from_json(given)
    assert terms.allocations["goodwill"].advance is Advance.LAST
    assert form.terms_from_json(form.terms_to_json(terms)) == terms
    assert terms.rate == Decimal("0.12")
