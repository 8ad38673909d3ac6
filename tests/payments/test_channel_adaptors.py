"""Adaptors of channels over HTTP, in front of a channel that misbehaves."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import httpx
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base.telemetry.masking import mask_text
from steelyard.payments.model.attempts import AttemptState, Source, reduce
from steelyard.payments.model.channel import Decline, Finding, Method, RawNotice, Said
from steelyard.payments.model.examples import an_attempt, an_order
from steelyard.payments.model.notices_in import NoticeIsNotBelieved
from tests.payments.outside import (
    DIALECTS,
    Outside,
    a_payment,
    a_refund,
    about,
    mailbox,
    misbehaving,
    running_outside,
    wait_for,
)


@pytest.fixture(scope="module")
def world() -> Iterator[Outside]:
    with running_outside() as outside:
        yield outside


@pytest.fixture
def outside(world: Outside) -> Iterator[Outside]:
    world.forget()
    yield world
    world.close_adaptors()


def ruled(finding: Finding, **changes: Any) -> AttemptState:
    """Return the state of a fresh attempt of 100.25 after a finding."""
    order, attempt = an_order(amount_minor=10_025), an_attempt(amount_minor=10_025, **changes)
    return reduce(order, attempt, finding, Source.ANSWER, attempt.sent_at).attempt


@pytest.mark.parametrize("kind", DIALECTS)
def test_what_breaks_after_the_charge_is_unknown_and_the_query_tells(
    outside: Outside, kind: str
) -> None:
    channel = outside.channel(kind, timeout=0.15)
    for behaviour, why in (
        ("hang", "timed_out"),
        ("break", "status_500"),
        ("garble", None),
        ("forge", None),
    ):
        request = misbehaving(kind, f"sim_{behaviour}")
        finding = channel.pay(request)
        assert finding.said is Said.UNKNOWN
        assert finding.why in ((why,) if why else ("bad_signature", "answer_unreadable"))
        assert ruled(finding) is AttemptState.UNKNOWN
        after = channel.query(about(request))
        assert (after.said, after.amount_minor, after.currency) == (Said.SUCCEEDED, 10_025, "CNY")


@pytest.mark.parametrize("kind", DIALECTS)
def test_what_is_lost_on_the_way_is_unknown_and_the_query_finds_nothing(
    outside: Outside, kind: str
) -> None:
    channel = outside.channel(kind, timeout=0.15)
    for behaviour, why in (("lose", "timed_out"), ("reject", "status_503")):
        request = misbehaving(kind, f"sim_{behaviour}")
        assert channel.pay(request) == Finding(said=Said.UNKNOWN, why=why)
        assert channel.query(about(request)).said is Said.NOT_FOUND


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_refused_connection_means_not_sent_for_what_the_channel_first_hears(
    outside: Outside, kind: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    channel = outside.channel(kind, url=f"http://127.0.0.1:{port}")
    request = a_payment(kind)
    assert channel.pay(request).said is Said.NOT_SENT
    assert channel.refund(a_refund(request)).said is Said.NOT_SENT
    # The payment itself was sent before: that a question did not get through says nothing of it.
    assert channel.query(about(request)) == Finding(said=Said.UNKNOWN, why="not_sent")
    assert channel.cancel(about(request)) == Finding(said=Said.UNKNOWN, why="not_sent")
    assert channel.statement(datetime.now(UTC).date()) is None


@pytest.mark.parametrize("kind", DIALECTS)
def test_an_answer_about_another_number_is_unknown(outside: Outside, kind: str) -> None:
    channel, request = outside.channel(kind), misbehaving(kind, "sim_confuse")
    assert channel.pay(request) == Finding(said=Said.UNKNOWN, why="another_number")
    outside.script("confuse", verb="query")
    assert channel.query(about(request)) == Finding(said=Said.UNKNOWN, why="another_number")
    outside.script("confuse", verb="refund_query")
    refund = a_refund(request)
    assert channel.refund(refund).said is Said.SUCCEEDED
    assert channel.query(about(refund)) == Finding(said=Said.UNKNOWN, why="another_number")


@pytest.mark.parametrize("kind", DIALECTS)
def test_another_amount_is_passed_on_and_held(outside: Outside, kind: str) -> None:
    finding = outside.channel(kind).pay(misbehaving(kind, "sim_other_amount"))
    assert (finding.said, finding.amount_minor) == (Said.SUCCEEDED, 10_026)
    assert ruled(finding) is AttemptState.INTEGRITY_HOLD


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_lie_is_found_out_by_asking(outside: Outside, kind: str) -> None:
    channel, request = outside.channel(kind), misbehaving(kind, "sim_lie")
    assert channel.pay(request).said is Said.DECLINED
    assert channel.query(about(request)).said is Said.SUCCEEDED


DECLINES = (
    ("insufficient_funds", Decline.INSUFFICIENT_FUNDS),
    ("limit_exceeded", Decline.LIMIT_EXCEEDED),
    ("do_not_honor", Decline.DO_NOT_HONOR),
)


@pytest.mark.parametrize("kind", DIALECTS)
def test_codes_of_declines_are_told_in_our_list(outside: Outside, kind: str) -> None:
    channel = outside.channel(kind)
    for word, decline in DECLINES:
        request = misbehaving(kind, f"sim_decline:{word}")
        finding = channel.pay(request)
        assert (finding.said, finding.decline) == (Said.DECLINED, decline)
        assert finding.code
        assert ruled(finding) is AttemptState.DECLINED


def test_every_decline_of_uni_is_in_our_list(outside: Outside) -> None:
    channel = outside.channel("uni")
    for decline in Decline:
        found = channel.pay(misbehaving("uni", f"sim_decline:{decline.value}"))
        assert found.decline is decline
    assert channel.pay(misbehaving("uni", "sim_decline:moon_phase")).decline is Decline.OTHER


@pytest.mark.parametrize("kind", DIALECTS)
def test_the_payer_acts_and_the_order_is_paid(outside: Outside, kind: str) -> None:
    channel = outside.channel(kind)
    request = a_payment(kind, details={}, instrument="sim_action:qr:-1" if kind == "uni" else None)
    finding = channel.pay(request)
    assert finding.said is Said.ACTION
    assert finding.action is not None
    assert finding.action["kind"] == "qr"
    assert channel.query(about(request)).said is Said.ACTION
    outside.post("/payers", dialect=kind, number=request.number)
    assert channel.query(about(request)).said is Said.SUCCEEDED


def test_a_one_time_code_is_asked_for_and_three_wrong_ones_end_it(outside: Outside) -> None:
    channel = outside.channel("uni")
    request = a_payment(instrument="sim_action:code:-1")
    first = channel.pay(request)
    assert first.action == {"kind": "code", "sent_to": "138****0000"}
    right = dataclasses.replace(request, details={"code": "123456"})
    assert channel.pay(right).said is Said.SUCCEEDED
    other = a_payment(instrument="sim_action:code:-1")
    wrong = dataclasses.replace(other, details={"code": "000000"})
    said = [channel.pay(one).said for one in (other, wrong, wrong, wrong)]
    assert said == [Said.ACTION, Said.ACTION, Said.ACTION, Said.DECLINED]


def test_orders_of_wechat_say_where_the_payer_pays(outside: Outside) -> None:
    channel = outside.channel("wechat")
    by_app = channel.pay(a_payment("wechat", details={}, method=Method.WALLET, instrument="oUser"))
    assert by_app.action["kind"] == "wait"
    assert by_app.action["package"].startswith("prepay_id=wx")
    page = channel.pay(a_payment("wechat", details={"page": "h5", "client_ip": "203.0.113.7"}))
    assert page.action["kind"] == "redirect"
    dollars = channel.pay(a_payment("wechat", currency="USD"))
    assert (dollars.said, dollars.decline) == (Said.DECLINED, Decline.NOT_PERMITTED)


def test_an_agreement_of_alipay_is_debited_at_once(outside: Outside) -> None:
    channel = outside.channel("alipay")
    request = a_payment("alipay", details={}, instrument="2026000000000001")
    outside.simulator.script.rules.clear()
    assert channel.pay(request).said in (Said.SUCCEEDED, Said.DECLINED)


@pytest.mark.parametrize("kind", DIALECTS)
def test_the_same_number_with_another_amount_proves_nothing(outside: Outside, kind: str) -> None:
    channel, request = outside.channel(kind), a_payment(kind)
    assert channel.pay(request).said is Said.SUCCEEDED
    finding = channel.pay(dataclasses.replace(request, amount_minor=99))
    assert finding.said is Said.UNKNOWN


@pytest.mark.parametrize("kind", DIALECTS)
def test_an_outage_and_a_maintenance_window(outside: Outside, kind: str) -> None:
    channel = outside.channel(kind, timeout=0.15)
    outside.post("/outage", dialect=kind)
    assert channel.pay(a_payment(kind)).why == "status_503"
    outside.post("/outage", dialect=kind, silent=True)
    assert channel.pay(a_payment(kind)).why == "timed_out"
    outside.post("/outage", dialect=kind, on=False)
    now = datetime.now(UTC)
    outside.post(
        "/maintenance",
        dialect=kind,
        begins_at=(now - timedelta(hours=1)).isoformat(),
        ends_at=(now + timedelta(hours=1)).isoformat(),
    )
    finding = channel.pay(a_payment(kind))
    if kind == "uni":
        assert (finding.said, finding.decline) == (Said.DECLINED, Decline.CHANNEL_CLOSED)
    else:
        assert finding.said is Said.UNKNOWN
    outside.post("/maintenance", dialect=kind)
    assert channel.pay(a_payment(kind)).said is Said.SUCCEEDED


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_close_counts_only_with_the_word_of_the_channel(outside: Outside, kind: str) -> None:
    channel = outside.channel(kind)
    waiting = a_payment(kind, details={}, instrument="sim_action:qr:-1" if kind == "uni" else None)
    channel.pay(waiting)
    outside.script("refuse", verb="close")
    assert channel.cancel(about(waiting)) == Finding(said=Said.UNKNOWN, why="close_refused")
    assert channel.cancel(about(waiting)).said is Said.CLOSED
    assert channel.query(about(waiting)).said is Said.CLOSED
    never_seen = a_payment(kind)
    said = channel.cancel(about(never_seen)).said
    assert said is (Said.CLOSED if kind == "uni" else Said.NOT_FOUND)


def test_uni_keeps_a_number_closed_that_it_never_saw(outside: Outside) -> None:
    channel, late = outside.channel("uni"), a_payment()
    assert channel.cancel(about(late)).said is Said.CLOSED
    assert channel.pay(late).said is Said.CLOSED


def test_what_was_paid_is_taken_back_on_its_day_or_shown_as_paid(outside: Outside) -> None:
    for kind in DIALECTS:
        channel, request = outside.channel(kind), a_payment(kind)
        channel.pay(request)
        said = channel.cancel(about(request)).said
        # WeChat's close takes no money back.
        assert said is (Said.SUCCEEDED if kind == "wechat" else Said.CLOSED)
    channel, request = outside.channel("uni"), a_payment()
    channel.pay(request)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    outside.post("/clock", now=tomorrow.isoformat())
    assert channel.cancel(about(request)).said is Said.SUCCEEDED


@pytest.mark.parametrize("kind", DIALECTS)
def test_refunds_in_all_their_ways(outside: Outside, kind: str) -> None:
    channel, request = outside.channel(kind), a_payment(kind)
    channel.pay(request)
    part = a_refund(request, 25)
    done = channel.refund(part)
    assert done.said is Said.SUCCEEDED
    assert channel.refund(part).said is Said.SUCCEEDED, "the same number is the same refund"
    too_much = channel.refund(a_refund(request))
    assert (too_much.said, too_much.decline) == (Said.DECLINED, Decline.INVALID_REQUEST)
    outside.script("slow", verb="refund", seconds=3_600)
    slow = a_refund(request, 100)
    assert channel.refund(slow).said is Said.PENDING
    assert channel.query(about(slow)).said is Said.PENDING
    outside.script("abnormal", verb="refund")
    abnormal = a_refund(request, 100)
    if kind != "alipay":
        finding = channel.refund(abnormal)
        assert (finding.said, finding.decline) == (Said.DECLINED, Decline.ACCOUNT_CLOSED)
    outside.simulator.script.rules.clear()
    outside.script("returned", verb="refund", seconds=60)
    back = a_refund(request, 100)
    assert channel.refund(back).said is Said.SUCCEEDED
    outside.post("/clock", now=(datetime.now(UTC) + timedelta(minutes=2)).isoformat())
    returned = channel.query(about(back))
    assert (returned.said, returned.decline) == (Said.DECLINED, Decline.ACCOUNT_CLOSED)
    if kind == "uni":
        assert returned.code == "returned"
    assert channel.refund(a_refund(a_payment(kind))).said is Said.NOT_FOUND


@pytest.mark.parametrize("kind", DIALECTS)
def test_case_15_channel_answers_200_with_html(outside: Outside, kind: str) -> None:
    channel, request = outside.channel(kind), misbehaving(kind, "sim_garble")
    finding = channel.pay(request)
    assert finding.said is Said.UNKNOWN
    assert finding.why in ("bad_signature", "answer_unreadable")
    assert ruled(finding) is AttemptState.UNKNOWN
    outside.script("garble", verb="query")
    again = channel.query(about(request))
    assert ruled(again, state=AttemptState.UNKNOWN, queries=1) is AttemptState.UNKNOWN
    assert ruled(channel.query(about(request)), state=AttemptState.UNKNOWN) is (
        AttemptState.SUCCEEDED
    )
    for verb, ask in (("refund", channel.refund), ("close", channel.cancel)):
        outside.script("garble", verb=verb)
        told = a_refund(request) if verb == "refund" else about(request)
        assert ask(told).said is Said.UNKNOWN


@pytest.mark.parametrize("kind", DIALECTS)
def test_case_16_query_says_not_found_though_paid(outside: Outside, kind: str) -> None:
    channel, request = outside.channel(kind, timeout=0.15), a_payment(kind)
    outside.script("not_found", verb="pay", seconds=30)
    channel.pay(request)
    finding = channel.query(about(request))
    assert finding == Finding(said=Said.NOT_FOUND)
    order, attempt = an_order(), an_attempt(state=AttemptState.UNKNOWN)
    within = attempt.sent_at + timedelta(seconds=attempt.visibility_seconds - 1)
    ruling = reduce(order, attempt, finding, Source.QUERY, within)
    assert (ruling.attempt, ruling.follow) == (AttemptState.UNKNOWN, ())
    outside.post("/clock", now=(datetime.now(UTC) + timedelta(seconds=31)).isoformat())
    found = channel.query(about(request))
    assert found.said is Said.SUCCEEDED
    assert ruled(found, state=AttemptState.UNKNOWN) is AttemptState.SUCCEEDED


def _altered(kind: str, raw: RawNotice) -> RawNotice:
    if kind == "alipay":
        told = dict(parse_qsl(raw.body.decode()))
        return RawNotice(raw.headers, urlencode({**told, "total_amount": "1.00"}).encode())
    if kind == "wechat":
        told = json.loads(raw.body)
        return RawNotice(raw.headers, json.dumps({**told, "summary": "!"}).encode())
    return RawNotice(raw.headers, raw.body.replace(b"10025", b"10026"))


@pytest.mark.parametrize("kind", DIALECTS)
def test_case_08_forged_altered_or_old_notices_are_not_believed(
    outside: Outside, kind: str
) -> None:
    channel = outside.channel(kind)
    with mailbox() as box:
        request = a_payment(kind, notify_url=box.url)
        if kind == "wechat":
            request = dataclasses.replace(request, details={})
        channel.pay(request)
        if kind == "wechat":
            outside.post("/payers", dialect=kind, number=request.number)
        raw, now = box.take(), datetime.now(UTC)
        notice = channel.parse_notice(raw, now)
        assert (notice.number, notice.of_refund) == (request.number, False)
        assert (notice.finding.said, notice.finding.amount_minor) == (Said.SUCCEEDED, 10_025)
        # Replayed within its age it is the same notice, with the same id; the reducer knows it.
        assert channel.parse_notice(raw, now).id == notice.id
        for skew in (timedelta(seconds=295), timedelta(seconds=-295)):
            assert channel.parse_notice(raw, now + skew).id == notice.id
        for skew in (timedelta(seconds=305), timedelta(seconds=-305)):
            with pytest.raises(NoticeIsNotBelieved) as old:
                channel.parse_notice(raw, now + skew)
            assert old.value.facts["why"] == "too_old"
        nothing = RawNotice({}, b"")
        bad = (_altered(kind, raw), nothing, RawNotice(raw.headers, b"\xff\xfe{"))
        for one in bad:
            with pytest.raises(NoticeIsNotBelieved):
                channel.parse_notice(one, now)
        false = outside.notice(box, kind, request.number, forged=True)
        with pytest.raises(NoticeIsNotBelieved) as forged:
            channel.parse_notice(false, datetime.now(UTC))
        assert forged.value.facts["why"] == "signature"


@pytest.mark.parametrize("kind", DIALECTS)
def test_case_08_a_key_is_rotated_mid_flight(outside: Outside, kind: str) -> None:
    before, old = outside.channel(kind), outside.settings(kind)
    with mailbox() as box:
        request = a_payment(kind, notify_url=box.url)
        before.pay(request)
        signed_before = outside.notice(box, kind, request.number)
        outside.quiet()
        outside.post("/keys", dialect=kind)
        signed_after, now = outside.notice(box, kind, request.number), datetime.now(UTC)
        after = outside.channel(kind)
        assert after.parse_notice(signed_before, now).number == request.number
        assert after.parse_notice(signed_after, now).number == request.number
        assert after.query(about(request)).said is Said.SUCCEEDED
        # Who was not told of the new key: WeChat's certificates are fetched, others do not believe.
        if kind == "wechat":
            assert before.parse_notice(signed_after, now).number == request.number
            outside.post("/keys", dialect=kind)
            assert before.query(about(request)) == Finding(said=Said.UNKNOWN, why="bad_signature")
        else:
            with pytest.raises(NoticeIsNotBelieved):
                before.parse_notice(signed_after, now)
    assert old != outside.settings(kind)


def test_a_notice_in_the_name_of_another_merchant_is_not_believed(outside: Outside) -> None:
    with mailbox() as box:
        for kind, change in (
            ("uni", {"merchant": "M0000002"}),
            ("wechat", {"mchid": "1900000002"}),
            ("alipay", {"app_id": "2021000000000002"}),
        ):
            request = a_payment(kind, details={} if kind == "wechat" else a_payment(kind).details)
            outside.channel(kind).pay(request)
            raw = outside.notice(box, kind, request.number)
            with pytest.raises(NoticeIsNotBelieved) as other:
                outside.channel(kind, **change).parse_notice(raw, datetime.now(UTC))
            assert (kind, other.value.facts["why"]) == (kind, "another_merchant")


@pytest.mark.parametrize("kind", DIALECTS)
def test_notices_of_refunds(outside: Outside, kind: str) -> None:
    channel = outside.channel(kind)
    with mailbox() as box:
        request = a_payment(kind)
        channel.pay(request)
        refund = a_refund(request, 25)
        channel.refund(refund)
        raw = outside.notice(box, kind, refund.number, state="succeeded", of_refund=True)
        notice = channel.parse_notice(raw, datetime.now(UTC))
        assert (notice.number, notice.of_refund) == (refund.number, True)
        assert notice.finding.said is Said.SUCCEEDED
        assert notice.finding.amount_minor in (25, None)


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_notice_comes_again_until_the_right_words_are_said(outside: Outside, kind: str) -> None:
    channel, simulator = outside.channel(kind), outside.simulator
    with mailbox() as box:
        box.answer = (200, b"OK")
        request = a_payment(kind, notify_url=box.url)
        channel.pay(request)
        outside.quiet(box)
        taken = simulator.notices.taken
        outside.post("/notices", dialect=kind, number=request.number, state="paid", url=box.url)
        first = channel.parse_notice(box.take(), datetime.now(UTC))
        box.answer = (200, first.reply)
        again = channel.parse_notice(box.take(), datetime.now(UTC))
        assert again.id == first.id
        wait_for(lambda: simulator.notices.taken == taken + 1)
        assert simulator.notices._due == []


def test_case_87_no_secret_in_logs_reprs_or_refusals(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    card = "4111111111111111"
    said = ""
    secrets: list[str] = []
    for kind in DIALECTS:
        settings = outside.settings(kind)
        # Of a PEM, a line of its inside.
        for name in ("keys", "merchant_private_key", "apiv3_key", "app_private_key"):
            if name in settings:
                lines = settings[name].split()
                secrets += [lines[len(lines) // 2].rpartition(":")[2]]
        channel = outside.channel(kind, timeout=0.15)
        request = misbehaving(kind, "sim_garble", merchant=card)
        said += repr(channel) + repr(channel.pay(request))
        said += repr(channel.pay(misbehaving(kind, "sim_forge")))
        said += repr(channel.query(about(request)))
        with pytest.raises(NoticeIsNotBelieved) as refused:
            channel.parse_notice(RawNotice({"uni-key": "k"}, card.encode()), datetime.now(UTC))
        said += str(refused.value) + repr(refused.value.facts) + refused.value.sentence("zh")
    said += caplog.text
    assert len(secrets) == 4
    for secret in (*secrets, card):
        assert len(secret) >= 16
        assert secret not in said
    assert mask_text(f"card {card}") == "card ***"


def test_a_replayed_request_is_not_taken_twice(outside: Outside) -> None:
    """The channel's side of case 8: a nonce counts once, old and foreign signatures never."""
    channel, uni = outside.channel("uni"), outside.simulator.dialects["uni"]
    kept: list[httpx.Request] = []
    send = channel._caller._transport.handle_request

    def keep(request: httpx.Request) -> httpx.Response:
        kept.append(request)
        answer: httpx.Response = send(request)
        return answer

    channel._caller._transport.handle_request = keep
    request = a_payment()
    assert channel.pay(request).said is Said.SUCCEEDED
    again = httpx.post(
        str(kept[0].url), content=kept[0].read(), headers=kept[0].headers, trust_env=False
    )
    assert (again.status_code, again.json()["code"]) == (401, "not_signed")
    assert uni.name == "uni"
    stranger = outside.channel("uni", keys=f"uni-1:{uuid4().hex}")
    assert stranger.pay(a_payment()).why == "bad_signature"


def _rude(
    answer: bytes, *, every_seconds: float = 0.0
) -> tuple[str, threading.Thread, list[bytes]]:
    """Return the address of a server that answers one connection with just these bytes."""
    listening, heard = socket.create_server(("127.0.0.1", 0)), []

    def serve() -> None:
        with listening, listening.accept()[0] as connection:
            heard.append(connection.recv(65_536))
            pause, step = threading.Event(), 8 if every_seconds else 65_536
            with contextlib.suppress(OSError):
                for at in range(0, len(answer), step):
                    connection.sendall(answer[at : at + step])
                    pause.wait(every_seconds)

    serving = threading.Thread(target=serve)
    serving.start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}", serving, heard


@pytest.mark.parametrize(
    ("answer", "every_seconds", "why"),
    [
        (b"", 0.0, "broken_off"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", 0.0, "broken_off"),
        (b"220 mail.example ready\r\n", 0.0, "broken_off"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n" + b"." * 900, 0.02, "timed_out"),
        (b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", 0.0, "bad_signature"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 0.0, "bad_signature"),
        (b"HTTP/1.1 429 Slow down\r\ncontent-length: 0\r\n\r\n", 0.0, "status_429"),
    ],
)
def test_whatever_a_server_does_no_verb_raises(
    outside: Outside, answer: bytes, every_seconds: float, why: str
) -> None:
    url, serving, heard = _rude(answer, every_seconds=every_seconds)
    channel = outside.channel("uni", url=url, timeout=0.2)
    assert channel.pay(a_payment()) == Finding(said=Said.UNKNOWN, why=why)
    channel.close()
    serving.join(10)
    assert len(heard) == 1, "it is sent once"


@pytest.mark.parametrize("kind", DIALECTS)
def test_nothing_that_can_be_sent_here_breaks_the_reading_of_notices(
    outside: Outside, kind: str
) -> None:
    channel, now = outside.channel(kind), datetime.now(UTC)
    uni = [f"uni-{name}" for name in ("key", "timestamp", "nonce", "signature")]
    wechat = [f"Wechatpay-{name}" for name in ("Serial", "Timestamp", "Nonce", "Signature")]
    names = st.sampled_from([*uni, *wechat])
    values = st.text(max_size=40) | st.sampled_from(["uni-1", "1", "9" * 5_000, "é", "="])
    forms = st.builds(
        lambda told: urlencode(told).encode(),
        st.dictionaries(
            st.sampled_from(["sign", "sign_type", "app_id", "notify_time", "out_trade_no"]),
            st.text(max_size=20) | st.just("RSA2"),
        ),
    )
    bodies = st.binary(max_size=200) | forms | st.sampled_from([b"{}", b"[]", b'{"id":1}'])

    @given(st.dictionaries(names, values), bodies)
    @hypothesis.settings(max_examples=60)
    def check(headers: dict[str, str], body: bytes) -> None:
        with pytest.raises(NoticeIsNotBelieved):
            channel.parse_notice(RawNotice(headers, body), now)

    check()
    with pytest.raises(NoticeIsNotBelieved) as long:
        channel.parse_notice(RawNotice({}, b" " * 200_000), now)
    assert long.value.facts["why"] == "too_long"
