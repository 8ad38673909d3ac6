"""The battery that every channel over HTTP goes through: `check_channel`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from steelyard.payments import statements
from steelyard.payments.channels import KINDS
from steelyard.payments.model.channel import Channel, Finding, RawNotice, RefundRequest, Said
from steelyard.payments.model.notices_in import NoticeIsNotBelieved
from steelyard.payments.model.statements import LineKind
from tests.payments.outside import (
    DIALECTS,
    Outside,
    a_payment,
    a_refund,
    about,
    mailbox,
    misbehaving,
    running_outside,
)


@pytest.fixture(scope="module")
def world() -> Iterator[Outside]:
    with running_outside() as outside:
        yield outside
        outside.close_adaptors()


def check_channel(kind: str, channel: Channel, outside: Outside) -> None:
    """Check that a channel keeps the six verbs' word, whatever happens on the way."""
    assert channel.code == kind
    request = a_payment(kind)
    assert channel.query(about(request)) == Finding(said=Said.NOT_FOUND)
    _check_pay(kind, channel)
    refund = _check_refund(kind, channel)
    _check_misbehaviour(kind, channel)
    _check_notices(kind, channel, outside)
    _check_statement(kind, channel, outside, refund)


def _check_pay(kind: str, channel: Channel) -> None:
    """The same number again is the same payment; what is asked is what was answered."""
    request = a_payment(kind)
    first, again = channel.pay(request), channel.pay(request)
    assert first == again
    assert (first.said, first.amount_minor, first.currency) == (Said.SUCCEEDED, 10_025, "CNY")
    assert first.reference
    assert first.at is not None
    assert first.at.tzinfo is UTC
    asked = channel.query(about(request))
    assert (asked.said, asked.amount_minor, asked.reference) == (
        Said.SUCCEEDED,
        10_025,
        first.reference,
    )
    declined = channel.pay(misbehaving(kind, "sim_decline:insufficient_funds"))
    assert declined.said is Said.DECLINED
    assert declined.said.is_final
    assert declined.decline is not None
    assert declined.code
    waiting = a_payment(kind, details={}, instrument="sim_action:qr:-1" if kind == "uni" else None)
    asks = channel.pay(waiting)
    assert asks.said is Said.ACTION
    assert asks.action is not None
    assert asks.action["kind"] in ("redirect", "qr", "code", "wait")
    assert channel.cancel(about(waiting)).said is Said.CLOSED
    assert channel.cancel(about(waiting)).said is Said.CLOSED


def _check_refund(kind: str, channel: Channel) -> RefundRequest:
    """The same number again is the same refund; together never more than was paid."""
    request = a_payment(kind, amount_minor=10_000)
    channel.pay(request)
    refund = a_refund(request, 4_000)
    assert channel.query(about(refund)).said is Said.NOT_FOUND
    first, again = channel.refund(refund), channel.refund(refund)
    assert first.said is again.said is Said.SUCCEEDED
    assert first.amount_minor == again.amount_minor == 4_000
    assert channel.query(about(refund)).said is Said.SUCCEEDED
    assert channel.refund(a_refund(request, 6_001)).said is Said.DECLINED
    assert channel.refund(a_refund(request, 6_000)).said is Said.SUCCEEDED
    # That all was given back is no failure of the payment.
    assert channel.query(about(request)).said in (Said.SUCCEEDED, Said.CLOSED)
    return refund


def _check_misbehaviour(kind: str, channel: Channel) -> None:
    """No verb raises, and nothing but the channel's own signed word is more than unknown."""
    for token in ("reject", "break", "garble", "forge", "confuse"):
        request = misbehaving(kind, f"sim_{token}")
        finding = channel.pay(request)
        assert finding.said is Said.UNKNOWN
        assert finding.why
        then = channel.query(about(request)).said
        assert then is (Said.NOT_FOUND if token == "reject" else Said.SUCCEEDED)


def _check_notices(kind: str, channel: Channel, outside: Outside) -> None:
    with mailbox() as box:
        request = a_payment(kind)
        channel.pay(request)
        raw, now = outside.notice(box, kind, request.number), datetime.now(UTC)
        outside.quiet(box)
        notice = channel.parse_notice(raw, now)
        assert (notice.number, notice.finding.said) == (request.number, Said.SUCCEEDED)
        assert notice.id
        assert notice.reply
        assert notice.reply_type
        # Names of headers are written in many ways.
        loud = RawNotice({name.upper(): text for name, text in raw.headers.items()}, raw.body)
        assert channel.parse_notice(loud, now) == notice
        for at in range(0, len(raw.body), 37):
            body = raw.body[:at] + bytes([raw.body[at] ^ 1]) + raw.body[at + 1 :]
            with pytest.raises(NoticeIsNotBelieved):
                channel.parse_notice(dataclasses.replace(raw, body=body), now)


def _check_statement(kind: str, channel: Channel, outside: Outside, refund: RefundRequest) -> None:
    """A day's statement is there when the day is over, and can be read by our own readers."""
    now = datetime.now(UTC)
    today = (now + timedelta(hours=8)).date()
    assert channel.statement(today) is None
    outside.post("/clock", now=(now + timedelta(days=1)).isoformat())
    file = channel.statement(today)
    assert file is not None
    (statement,) = statements.read(file.content, file.name)
    assert statement.form == file.form
    refunds = [one for one in statement.lines if one.kind is LineKind.REFUND]
    mine = [
        one
        for one in refunds
        if refund.number in (one.our_number, one.reference, *one.more.values())
    ]
    assert [one.amount_minor for one in mine] == [-4_000]
    assert len([one for one in statement.lines if one.kind is LineKind.PAYMENT]) >= 7
    outside.forget()


@pytest.mark.parametrize("kind", DIALECTS)
def test_every_channel_over_http_keeps_its_word(world: Outside, kind: str) -> None:
    assert kind in KINDS
    world.forget()
    check_channel(kind, world.channel(kind), world)
