"""Cards confirmed over HTTP by the simulated bank: signed, lost, forged, out of order."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from steelyard.payments.channels.uni_cards import UniCardVerifier
from steelyard.payments.model.bindings import CardSaid
from tests.payments.counter import CARD, factors
from tests.payments.outside import Outside, running_outside


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with running_outside() as opened:
        yield opened


@pytest.fixture
def bank(outside: Outside) -> Iterator[UniCardVerifier]:
    outside.forget()
    yield outside.adopt(UniCardVerifier("uni", outside.settings("uni"), 1.0))  # type: ignore[arg-type, misc]
    outside.close_adaptors()


def test_a_card_is_confirmed_once_and_known_by_a_token(bank: UniCardVerifier) -> None:
    first, other = uuid4().hex, uuid4().hex
    said = bank.verify(first, factors())
    assert (said.said, said.bank, said.request) == (CardSaid.PASSED, "ICBC", first)
    assert said.token.startswith("ct_")
    assert CARD not in said.token
    assert bank.verify(first, factors()) == bank.query(first) == said
    assert bank.verify(other, factors()).token == said.token


def test_factors_that_disagree_are_refused(bank: UniCardVerifier) -> None:
    said = bank.verify(uuid4().hex, factors(name="不符"))
    assert (said.said, said.reason, said.token) == (CardSaid.FAILED, "factors_disagree", "")


def test_an_answer_that_got_lost_is_unknown_and_found_afterwards(bank: UniCardVerifier) -> None:
    request = uuid4().hex
    assert bank.verify(request, factors(phone="13812300000")).said is CardSaid.UNKNOWN
    assert bank.query(request).said is CardSaid.PASSED


def test_what_was_never_asked_was_not_received(bank: UniCardVerifier) -> None:
    assert bank.query(uuid4().hex).said is CardSaid.NOT_RECEIVED


def test_out_of_order_says_nothing_and_nobody_there_was_not_received(
    bank: UniCardVerifier, outside: Outside
) -> None:
    outside.post("/outage", dialect="uni")
    assert bank.verify(uuid4().hex, factors()).said is CardSaid.UNKNOWN
    nobody = UniCardVerifier("uni", {**outside.settings("uni"), "url": "http://127.0.0.1:9"}, 1.0)
    assert nobody.verify(uuid4().hex, factors()).said is CardSaid.NOT_RECEIVED
    assert nobody.query(uuid4().hex).said is CardSaid.UNKNOWN
    nobody.close()


def test_another_key_is_believed_by_neither_side(outside: Outside) -> None:
    outside.forget()
    settings = outside.settings("uni")
    name = settings["keys"].split()[-1].partition(":")[0]
    stranger = UniCardVerifier("uni", {**settings, "keys": f"{name}:guessed"}, 1.0)
    assert stranger.verify(uuid4().hex, factors()).said is CardSaid.UNKNOWN
    stranger.close()
