"""Quick pay: cards bound by four factors and a code, paid by token; proofs that a gate wants."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from steelyard.base import Database, Outcome, Verdict
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments import bindings, orders, proofs
from steelyard.payments.model.channel import Finding, PayRequest, Said
from steelyard.payments.model.proofs import AGAIN_AFTER, CODE_LIVES, MOST_CODES, PROVED
from steelyard.payments.service.paying import Pay
from tests.payments.counter import (
    ANN,
    BOB,
    CARD,
    ID_NUMBER,
    PHONE,
    WANTS_PROOF,
    Counter,
    factors,
    open_counter,
)

WALL = datetime(2026, 3, 2, 9, tzinfo=UTC)
ME = f"party:{ANN}"


@pytest.fixture
def counter(database: Database) -> Iterator[Counter]:
    with open_counter(database, SteppingClock(WALL)) as opened:
        yield opened


def test_a_card_is_bound_by_four_factors_and_a_code(counter: Counter) -> None:
    one = counter.bound()
    assert (one.state, one.bin, one.last4, one.bank) == (
        bindings.BindingState.ACTIVE,
        CARD[:6],
        CARD[-4:],
        "ICBC",
    )
    assert counter.phone.codes == [(PHONE, counter.phone.code)]
    with counter.database.reading() as connection:
        assert [b.id for b in bindings.list_bindings(connection, ANN)] == [one.id]
        assert list(bindings.list_bindings(connection, BOB)) == []


def test_a_small_payment_by_token_needs_no_code(counter: Counter) -> None:
    one = counter.bound()
    done = counter.pay_by(counter.order(amount_minor=100_000), one.token)
    assert done.order.state is orders.OrderState.SUCCEEDED
    sent = counter.desk.channel.sent[done.attempt.number]
    assert (sent.instrument, sent.details["card_token"]) == (one.reference, one.card_token)
    # Whoever sees the order, or a fact about it, has nothing that he could pay with.
    assert one.token not in repr(counter.read(done.order))
    for stolen in (one.reference, one.id.hex):
        with pytest.raises(bindings.BindingIsUnknown):
            counter.pay_by(counter.order(), stolen)


def test_a_large_payment_by_token_waits_for_a_code(counter: Counter) -> None:
    one = counter.bound()
    order = counter.order(amount_minor=100_001)
    waiting = counter.pay_by(order, one.token)
    assert waiting.order.state is orders.OrderState.REQUIRES_ACTION
    assert dict(waiting.attempt.action or {}) == {"kind": "proof"}
    assert counter.desk.channel.asked == []
    sent = proofs.send(counter.till, waiting.attempt.id, actor=ME)
    assert sent.to == "138****5678"
    with pytest.raises(proofs.ProofIsWrong):
        proofs.answer(counter.till, waiting.attempt.id, counter.phone.wrong, actor=ME)
    done = proofs.answer(counter.till, waiting.attempt.id, counter.phone.code, actor=ME)
    assert done.order.state is orders.OrderState.SUCCEEDED
    assert done.attempt.cause == PROVED
    with pytest.raises(proofs.ProofIsNotAsked):
        proofs.answer(counter.till, waiting.attempt.id, counter.phone.code, actor=ME)
    assert counter.desk.channel.verbs() == ["pay"]


def test_a_token_of_somebody_else_or_of_a_card_bound_no_more_is_not_found(
    counter: Counter,
) -> None:
    one = counter.bound()
    order = counter.order()
    for token, customer in ((one.token, BOB), ("qp_" + "0" * 32, ANN)):
        with pytest.raises(bindings.BindingIsUnknown):
            counter.pay_by(order, token, customer)
    for verb in (
        lambda: bindings.send_bind_code(counter.till.codes, one.id, BOB, actor=ME),
        lambda: bindings.confirm(counter.till.codes, one.id, BOB, "1", actor=ME),
        lambda: counter.database.transact(lambda unit: bindings.unbind(unit, one.id, BOB)),
    ):
        with pytest.raises(bindings.BindingIsUnknown):
            verb()
    counter.database.transact(lambda unit: bindings.unbind(unit, one.id, ANN))
    with pytest.raises(bindings.BindingIsUnknown):
        counter.pay_by(order, one.token)
    assert counter.desk.channel.asked == []


def test_what_the_bank_does_not_confirm_is_not_bound(counter: Counter) -> None:
    said = bindings.CardSaid.FAILED
    counter.bank.answers = lambda r: bindings.CardAnswer(r, said, "factors_disagree")
    one = bindings.bind(counter.till.codes, counter.bank, ANN, factors(), id=uuid4(), actor=ME)
    assert one.state is bindings.BindingState.REFUSED
    with pytest.raises(bindings.CardIsRefused):
        bindings.send_bind_code(counter.till.codes, one.id, ANN, actor=ME)
    assert counter.phone.codes == []


def test_an_answer_that_did_not_come_is_asked_for_and_the_bank_asked_once(
    counter: Counter,
) -> None:
    counter.bank.answers = lambda r: bindings.CardAnswer(r, bindings.CardSaid.UNKNOWN)
    id = uuid4()
    one = bindings.bind(counter.till.codes, counter.bank, ANN, factors(), id=id, actor=ME)
    assert one.state is bindings.BindingState.VERIFYING
    with pytest.raises(bindings.BindingStateForbids):
        bindings.confirm(counter.till.codes, id, ANN, "123456", actor=ME)
    again = bindings.bind(counter.till.codes, counter.bank, ANN, factors(), id=id, actor=ME)
    assert again.state is bindings.BindingState.CODE_NEEDED
    assert len(counter.bank.verified) == 1


def test_an_answer_about_another_request_says_nothing(counter: Counter) -> None:
    other = uuid4().hex
    counter.bank.answers = lambda _: bindings.CardAnswer(other, bindings.CardSaid.PASSED, "", "t")
    one = bindings.bind(counter.till.codes, counter.bank, ANN, factors(), id=uuid4(), actor=ME)
    assert one.state is bindings.BindingState.VERIFYING


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"card_number": CARD[:-1] + "1"}, "card_number_is_malformed"),
        ({"card_number": "４" * 16}, "card_number_is_malformed"),
        ({"name": " "}, "card_factor_is_malformed"),
        ({"phone": "call me"}, "card_factor_is_malformed"),
        ({"id_number": "?"}, "card_factor_is_malformed"),
    ],
)
def test_factors_without_their_form_go_to_no_bank(
    counter: Counter, changes: dict[str, str], code: str
) -> None:
    with pytest.raises(Refusal) as caught:
        bindings.bind(
            counter.till.codes, counter.bank, ANN, factors(**changes), id=uuid4(), actor=ME
        )
    assert caught.value.code == code
    assert counter.bank.verified == []


def test_nobody_tries_cards_by_the_dozen(counter: Counter) -> None:
    for _ in range(10):
        bindings.bind(counter.till.codes, counter.bank, ANN, factors(), id=uuid4(), actor=ME)
    with pytest.raises(bindings.TooManyCards):
        bindings.bind(counter.till.codes, counter.bank, ANN, factors(), id=uuid4(), actor=ME)


def test_case_87_the_card_number_is_in_no_row_no_fact_no_log_and_no_traceback(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []

    def breaks(request: str) -> bindings.CardAnswer:
        raise RuntimeError(request)

    one = counter.bound()
    counter.pay_by(counter.order(), one.token)
    counter.bank.answers = breaks
    try:
        bindings.bind(counter.till.codes, counter.bank, ANN, factors(), id=uuid4(), actor=ME)
    except RuntimeError as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True)
        seen += list(lines.format())
    with pytest.raises(Refusal) as caught:
        bindings.bind(
            counter.till.codes, counter.bank, ANN, factors(phone="x"), id=uuid4(), actor=ME
        )
    seen += [repr(one), repr(factors()), str(caught.value), json.dumps(caught.value.facts)]
    seen += [record.getMessage() for record in caplog.records]
    seen += _everything_stored(counter.database)
    whole = "\n".join(seen)
    for secret in (CARD, ID_NUMBER, PHONE, "安妮"):
        assert secret not in whole
    assert one.token in whole, "something was looked at"


def _everything_stored(database: Database) -> list[str]:
    found: list[str] = []
    with database.reading() as connection:
        tables = connection.execute(
            sa.text(
                "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables"
                " WHERE table_schema IN ('payments', 'events', 'ledger')"
                " AND table_type = 'BASE TABLE'"
                " UNION SELECT 'base.audit' WHERE to_regclass('base.audit') IS NOT NULL"
            )
        ).scalars()
        for name in list(tables):
            rows = connection.execute(sa.text(f"SELECT t::text FROM {name} t")).scalars()
            found += list(rows)
    return found


# -- proofs ---------------------------------------------------------------------------------------


def _stopped(counter: Counter) -> tuple[orders.Order, orders.Attempt]:
    """Have an order whose payer is asked for a proof by the gate."""
    one = counter.bound()
    counter.gate.first = WANTS_PROOF
    order = counter.order()
    waiting = counter.pay_by(order, one.token)
    assert waiting.order.state is orders.OrderState.REQUIRES_ACTION
    return order, waiting.attempt


def _proved(counter: Counter, attempt: orders.Attempt) -> orders.OrderState:
    proofs.send(counter.till, attempt.id, actor=ME)
    return proofs.answer(counter.till, attempt.id, counter.phone.code, actor=ME).order.state


def test_after_the_proof_the_gate_is_asked_again_with_it(counter: Counter) -> None:
    _, attempt = _stopped(counter)
    counter.gate.proved = Verdict(Outcome.APPROVE, "house@2")
    assert _proved(counter, attempt) is orders.OrderState.SUCCEEDED
    assert [facts.get("proof") for facts in counter.gate.asked] == [None, True]


def test_a_gate_that_declines_in_spite_of_the_proof_has_the_last_word(counter: Counter) -> None:
    order, attempt = _stopped(counter)
    counter.gate.proved = Verdict(Outcome.DECLINE, "house@2", ("stolen_card",))
    assert _proved(counter, attempt) is orders.OrderState.OPEN
    tried = counter.read(order).attempts[0]
    assert (tried.state, tried.code) == (orders.AttemptState.DECLINED, "stolen_card")
    assert counter.desk.channel.asked == []


def test_a_limit_below_the_amount_is_no_approval(counter: Counter) -> None:
    _, attempt = _stopped(counter)
    counter.gate.proved = Verdict(Outcome.LIMIT, "house@2", limit_minor=9_999)
    assert _proved(counter, attempt) is orders.OrderState.OPEN
    assert counter.desk.channel.asked == []


def test_a_code_is_good_for_five_minutes_and_five_tries(counter: Counter) -> None:
    _, attempt = _stopped(counter)
    proofs.send(counter.till, attempt.id, actor=ME)
    right, wrong = counter.phone.code, counter.phone.wrong
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(proofs.ProofIsWrong) as caught:
            proofs.answer(counter.till, attempt.id, wrong, actor=ME)
        assert caught.value.facts["left"] == left
    with pytest.raises(proofs.ProofHasLapsed):
        proofs.answer(counter.till, attempt.id, right, actor=ME)
    counter.wall.advance(AGAIN_AFTER)
    proofs.send(counter.till, attempt.id, actor=ME)
    counter.wall.advance(CODE_LIVES)
    with pytest.raises(proofs.ProofHasLapsed):
        proofs.answer(counter.till, attempt.id, counter.phone.code, actor=ME)
    assert counter.desk.channel.asked == []


def test_codes_are_sent_with_a_pause_and_not_for_ever(counter: Counter) -> None:
    order, attempt = _stopped(counter)
    proofs.send(counter.till, attempt.id, actor=ME)
    first = counter.phone.code
    counter.wall.advance(timedelta(seconds=59))
    with pytest.raises(proofs.ProofWasJustSent):
        proofs.send(counter.till, attempt.id, actor=ME)
    for _ in range(MOST_CODES - 1):
        counter.wall.advance(AGAIN_AFTER)
        proofs.send(counter.till, attempt.id, actor=ME)
    if first != counter.phone.code:
        with pytest.raises(proofs.ProofIsWrong):
            proofs.answer(counter.till, attempt.id, first, actor=ME)
    counter.wall.advance(AGAIN_AFTER)
    with pytest.raises(proofs.ProofTriesAreUsedUp):
        proofs.send(counter.till, attempt.id, actor=ME)
    history = counter.read(order)
    assert history.attempts[0].state is orders.AttemptState.DECLINED
    assert history.order.state is orders.OrderState.OPEN


def test_a_code_that_could_not_be_sent_is_void_and_may_be_asked_for_at_once(
    counter: Counter,
) -> None:
    _, attempt = _stopped(counter)
    counter.phone.takes = False
    with pytest.raises(proofs.ProofCannotBeSent):
        proofs.send(counter.till, attempt.id, actor=ME)
    with pytest.raises(proofs.ProofHasLapsed):
        proofs.answer(counter.till, attempt.id, "123456", actor=ME)
    counter.phone.takes = True
    assert _proved(counter, attempt) is orders.OrderState.SUCCEEDED


def test_a_payer_without_a_phone_cannot_prove_himself(counter: Counter) -> None:
    counter.gate.first = WANTS_PROOF
    order = counter.order(payer=orders.Payer())
    how = Pay(attempt=uuid4(), method=orders.Method.WALLET)
    waiting = counter.paying.pay(order.id, how, actor="key:shop")
    with pytest.raises(proofs.PayerHasNoPhone):
        proofs.send(counter.till, waiting.attempt.id, actor=ME)


def test_an_attempt_that_ended_meanwhile_is_not_sent(counter: Counter) -> None:
    order, attempt = _stopped(counter)
    proofs.send(counter.till, attempt.id, actor=ME)
    counter.database.transact(lambda unit: orders.cancel(unit, order.id))
    with pytest.raises(proofs.ProofIsNotAsked):
        proofs.answer(counter.till, attempt.id, counter.phone.code, actor=ME)
    assert counter.desk.channel.asked == []


def test_a_payers_action_at_the_channel_is_no_proof_of_ours(counter: Counter) -> None:
    def waits(request: PayRequest) -> Finding:
        return Finding(said=Said.ACTION, action={"kind": "proof"})

    counter.desk.channel.paid = waits
    one = counter.bound()
    waiting = counter.pay_by(counter.order(), one.token)
    assert waiting.attempt.state is orders.AttemptState.PENDING_USER
    with pytest.raises(proofs.ProofIsNotAsked):
        proofs.send(counter.till, waiting.attempt.id, actor=ME)
