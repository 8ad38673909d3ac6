"""Messages through a real gateway process that fails, delays, repeats and lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.base.crypto import Keyring
from steelyard.credit.model.message import (
    TEMPLATES,
    Channel,
    MessageGateway,
    MessageState,
    Sending,
    Told,
    settle,
)
from steelyard.credit.providers.gateway_http import HttpMessageGateway
from steelyard.credit.service import messages
from steelyard.kernel import Refusal
from tests.credit.outside import PHONE, Outside
from tests.credit.outside import enrol as enrol
from tests.credit.outside import gateway_process as gateway_process
from tests.credit.outside import keyring as keyring
from tests.credit.outside import the_gateway as the_gateway

STATE = MessageState
VALUES = {"loan": "7", "amount": "CNY 100.00", "days": "3"}


class Desk:
    """A customer, and the gateway by which he is reached."""

    def __init__(
        self, database: Database, keyring: Keyring, party: UUID, gateway: MessageGateway
    ) -> None:
        self.database, self.keyring, self.gateway = database, keyring, gateway
        self.sending = Sending(
            act=f"contact:{uuid4()}",
            party=party,
            channel=Channel.SMS,
            template="overdue",
            values=VALUES,
        )

    def send(self, **changes: Any) -> messages.Message:
        sending = replace(self.sending, **changes)
        return messages.send(
            self.database, self.keyring, self.gateway, sending, actor="system:test"
        )

    def poll(self, message: UUID) -> messages.Message:
        return messages.poll(self.database, self.gateway, message, actor="system:test")

    def receipts(self, message: UUID) -> list[tuple[str, str]]:
        with self.database.reading() as connection:
            found = messages.receipts_of(connection, message)
        return [(told.value, reason) for told, reason in found]


@pytest.fixture
def desk(
    database: Database,
    keyring: Keyring,
    enrol: Callable[..., UUID],
    the_gateway: HttpMessageGateway,
) -> Desk:
    return Desk(database, keyring, enrol(), the_gateway)


@pytest.fixture
def hasty(gateway_process: Outside) -> Iterator[HttpMessageGateway]:
    opened = HttpMessageGateway(gateway_process.url, timeout_seconds=0.2)
    yield opened
    opened.close()


def _refused(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refusal:
        call()
    return refusal.value.code


def _outbox(process: Outside, message: messages.Message) -> list[dict[str, Any]]:
    sent: Any = process.get("/outbox", to=PHONE)
    return [one for one in sent if one["request"] == str(message.id)]


def test_a_message_is_accepted_then_delivered(desk: Desk, gateway_process: Outside) -> None:
    message = desk.send()
    assert message.state is STATE.ACCEPTED
    assert desk.poll(message.id).state is STATE.DELIVERED
    (sent,) = _outbox(gateway_process, message)
    assert sent["text"] == messages.text_of(message)
    assert "已逾期 3 天" in sent["text"]
    assert messages.text_of(message, "en").startswith("CNY 100.00 of your loan 7 is 3 days")
    with desk.database.reading() as connection:
        log = connection.exec_driver_sql(
            "SELECT kind, payload FROM events.log WHERE subject = %s ORDER BY sequence",
            (f"message:{message.id}",),
        ).all()
    assert [row.payload.get("state") for row in log] == [None, "accepted", "delivered"]
    assert PHONE not in str(log)


def test_an_act_sends_one_message_ever(desk: Desk, gateway_process: Outside) -> None:
    first = desk.send()
    assert desk.send().id == first.id
    assert desk.send().id == first.id
    assert [one["sent"] for one in _outbox(gateway_process, first)] == [1]
    assert _refused(lambda: desk.send(channel=Channel.CALL)) == "act_has_another_message"


def test_many_who_send_for_one_act_at_once_send_one(desk: Desk, gateway_process: Outside) -> None:
    with ThreadPoolExecutor(6) as pool:
        sent = [job.result() for job in [pool.submit(desk.send) for _ in range(6)]]
    assert len({one.id for one in sent}) == 1
    assert len(_outbox(gateway_process, sent[0])) == 1


def test_a_time_out_is_unknown_and_not_sent_again(
    desk: Desk, the_gateway: HttpMessageGateway, hasty: HttpMessageGateway,
    gateway_process: Outside,
) -> None:  # fmt: skip
    desk.gateway = hasty
    gateway_process.script({"verb": "send", "behaviour": "hang"})
    message = desk.send()
    assert message.state is STATE.UNKNOWN
    desk.gateway = the_gateway
    assert desk.send().state is STATE.DELIVERED
    assert [one["sent"] for one in _outbox(gateway_process, message)] == [1]


def test_what_never_left_is_sent_again_under_its_own_number(
    desk: Desk, the_gateway: HttpMessageGateway, hasty: HttpMessageGateway,
    gateway_process: Outside,
) -> None:  # fmt: skip
    desk.gateway = hasty
    gateway_process.script({"verb": "send", "behaviour": "lose"})
    message = desk.send()
    assert message.state is STATE.UNKNOWN
    desk.gateway = the_gateway
    assert desk.send().state is STATE.VOID
    assert _outbox(gateway_process, message) == []
    again = desk.send()
    assert (again.id, again.state) == (message.id, STATE.ACCEPTED)
    assert [one["sent"] for one in _outbox(gateway_process, message)] == [1]


@pytest.mark.parametrize("behaviour", ["reject", "break", "garble", "confuse"])
def test_what_cannot_be_read_is_unknown(
    desk: Desk, gateway_process: Outside, behaviour: str
) -> None:
    gateway_process.script({"verb": "send", "behaviour": behaviour})
    assert desk.send().state is STATE.UNKNOWN


def test_a_lie_found_out_is_a_dispute(desk: Desk, gateway_process: Outside) -> None:
    gateway_process.script({"verb": "send", "behaviour": "lie"})
    message = desk.send()
    assert message.state is STATE.FAILED
    assert desk.poll(message.id).state is STATE.DISPUTED


def test_a_repeated_receipt_is_one(desk: Desk) -> None:
    message = desk.send()
    for _ in range(3):
        desk.poll(message.id)
    assert desk.receipts(message.id) == [("accepted", "accepted"), ("delivered", "delivered")]


def test_an_address_that_does_not_exist_fails(desk: Desk, enrol: Callable[..., UUID]) -> None:
    message = desk.send(party=enrol(phone="+8615400001000"))
    assert desk.poll(message.id).state is STATE.FAILED


def test_who_left_no_address_is_not_reached_by_it(desk: Desk, enrol: Callable[..., UUID]) -> None:
    party = enrol(phone=None)
    assert _refused(lambda: desk.send(party=party)) == "address_is_missing"
    assert desk.send(party=party, channel=Channel.LETTER).state is STATE.ACCEPTED
    in_app = desk.send(act=f"contact:{uuid4()}", party=party, channel=Channel.APP)
    assert in_app.state is STATE.ACCEPTED


def test_values_are_those_of_the_template(desk: Desk) -> None:
    assert _refused(lambda: desk.send(values={"loan": "7"})) == "template_does_not_fit"
    assert _refused(lambda: desk.send(template="nothing")) == "template_is_unknown"
    assert _refused(lambda: desk.poll(uuid4())) == "message_is_unknown"
    other = HttpMessageGateway("http://127.0.0.1:1", name="other")
    message = desk.send()
    desk.gateway = other
    assert _refused(lambda: desk.poll(message.id)) == "gateway_is_not_at_hand"
    other.close()


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_template_says_the_same_in_both_languages(name: str) -> None:
    template = TEMPLATES[name]
    values = {value: f"<{value}>" for value in template.values}
    for language in ("en", "zh-CN"):
        text = template.text(language, values)
        assert all(value in text for value in values.values())
        assert len(text) <= 200


@given(st.lists(st.sampled_from(list(Told)), max_size=6), st.randoms())
def test_neither_order_nor_repetition_of_receipts_matters(told: list[Told], chance: Any) -> None:
    shuffled = [*told, *told]
    chance.shuffle(shuffled)
    assert settle(shuffled) is settle(told)
