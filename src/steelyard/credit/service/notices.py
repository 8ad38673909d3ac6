"""Notices: what a customer is told of his own matters, promises, plans and due dates, in the app.

Each is sent once, by the act it tells of, within the hours in which anybody may be contacted.
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from steelyard.base import Database
from steelyard.base.crypto import Keyring
from steelyard.base.jobs import Every, JobContext, job
from steelyard.credit.model.collection import zone_of
from steelyard.credit.model.message import Channel, MessageGateway, Sending
from steelyard.credit.model.strategy import Stop, rules_on
from steelyard.credit.service import books, messages
from steelyard.credit.store import collections as stops
from steelyard.credit.store import notices as table
from steelyard.kernel import Currency, Money
from steelyard.parties import registry

__all__ = ["DUE_SOON_DAYS", "send_notices", "tell_customers"]

DUE_SOON_DAYS = 3
_FRESH = timedelta(days=3)
"""What is older was told by other means, or is not news any more."""
_LANGUAGE = "zh-CN"


def send_notices(
    database: Database, keyring: Keyring, gateway: MessageGateway, *, limit: int = 500
) -> int:
    """Send what customers are to be told and were not, and return how many went out.

    Refusals
    --------
    lender_is_unknown
    """
    now = database.now()
    with database.reading() as connection:
        on = books.business_on(connection)
        waiting = table.waiting(
            connection,
            since=now - _FRESH,
            from_on=on - _FRESH,
            on=on,
            soon_on=on + timedelta(days=DUE_SOON_DAYS),
            limit=limit,
        )
        parties = {one.party for one in waiting}
        awake = set()
        for party in parties:
            local = now.astimezone(ZoneInfo(zone_of(registry.read_party(connection, party).region)))
            rules = rules_on(local.date())
            if rules.opens <= local.time() < rules.closes:
                awake.add(party)
        marks = stops.stops_of(connection, list(parties))
    gone = {p for p, all_ in marks.items() if any(m.kind is Stop.DECEASED for m in all_)}
    sent = 0
    for one in waiting:
        if one.party not in awake or one.party in gone:
            continue
        amounts = {
            name: Money(minor, Currency.of(one.currency)).format(_LANGUAGE)
            for name, minor in one.amounts.items()
        }
        sending = Sending(
            act=one.act,
            party=one.party,
            channel=Channel.APP,
            template=one.template,
            values=one.texts | amounts,
            language=_LANGUAGE,
        )
        messages.send(database, keyring, gateway, sending, actor="system:notices")
        sent += 1
    return sent


@job("credit.tell_customers", schedule=Every(timedelta(minutes=10)))
def tell_customers(context: JobContext) -> None:
    """Send what customers are to be told."""
    gateway = getattr(context.platform, "message_gateway", None)
    with context.database.reading() as connection:
        if gateway is None or not books.lenders(connection):
            return
    send_notices(context.database, context.platform.keyring, gateway)
