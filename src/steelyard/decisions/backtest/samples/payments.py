"""Card payments: stolen cards, cards tried out, copied at a terminal; and people on journeys."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from steelyard.decisions.backtest.past import DAY_MS
from steelyard.decisions.backtest.samples.told import HOUR_MS, MINUTE_MS, Story

DAYS, WARM_DAYS = 90, 37
CUSTOMERS, MERCHANTS = 280, 90
COUNTRIES = ("JP", "TH", "SG", "FR")
TELLS_MS = 15 * DAY_MS


@dataclass(slots=True)
class _Holder:
    """Somebody with a card and habits."""

    number: int
    mean_minor: float
    hour: float
    merchants: list[int]
    device: str
    trip: range
    abroad: str
    new_device_on: int

    def fields(self, merchant: int, amount: float, *, online: bool) -> dict[str, object]:
        """Return a payment of theirs."""
        return {
            "customer": f"c{self.number}",
            "card": f"k{self.number}",
            "account": f"a{self.number}",
            "device": self.device if online else None,
            "ip": f"10.0.{self.number // 250}.{self.number % 250}" if online else None,
            "merchant": f"m{merchant}",
            "terminal": None if online else f"t{merchant}",
            "payee": f"p{merchant}",
            "currency": "CNY",
            "country": "CN",
            "amount_minor": max(100, int(amount)),
            "is_online": online,
        }


def tell(chance: Random) -> Story:
    """Return a story of about 17,000 payments, one of sixty a fraud."""
    story = Story("payment", chance, DAYS, WARM_DAYS, TELLS_MS)
    holders = [_holder(chance, number) for number in range(CUSTOMERS)]
    for holder in holders:
        _live(story, holder)
    for _ in range(45):
        _stolen(story, chance.choice(holders))
    for _ in range(5):
        _tried_out(story, chance.sample(holders, 15))
    for _ in range(3):
        _copied(story, holders)
    for _ in range(25):
        _unseen(story, chance.choice(holders))
    return story


def _holder(chance: Random, number: int) -> _Holder:
    trip = chance.randrange(DAYS)
    return _Holder(
        number,
        chance.lognormvariate(9.4, 0.7),
        chance.uniform(10, 19),
        chance.sample(range(MERCHANTS), 12),
        f"d{number}",
        range(trip, trip + 6 if chance.random() < 0.3 else trip),
        chance.choice(COUNTRIES),
        chance.randrange(DAYS) if chance.random() < 0.4 else DAYS,
    )


def _live(story: Story, holder: _Holder) -> None:
    chance = story.chance
    for day in range(DAYS):
        if day == holder.new_device_on:
            holder.device = f"d{holder.number}b"
        for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
            known = chance.random() < 0.8
            merchant = chance.choice(holder.merchants) if known else chance.randrange(MERCHANTS)
            amount = holder.mean_minor * chance.lognormvariate(-0.15, 0.55)
            if chance.random() < 0.006:
                amount *= chance.uniform(3, 7)  # furniture, a flight
            fields = holder.fields(merchant, amount, online=chance.random() < 0.45)
            if day in holder.trip and not fields["is_online"]:
                fields["country"] = holder.abroad
            story.add("payment", story.daytime(day, holder.hour), fields)


def _steal(story: Story, at_ms: int, fields: dict[str, object], after: float) -> None:
    labels = (("is_fraud", True, after),)
    story.add("payment", at_ms, fields, labels=labels, is_bad=True)


def _stolen(story: Story, holder: _Holder) -> None:
    """Details of a card, used from elsewhere as long as it goes, after a try or two."""
    chance = story.chance
    at_ms = story.instant(chance.uniform(8, DAYS - 1))
    device, ip = f"x{chance.randrange(10**6)}", f"203.0.113.{chance.randrange(250)}"
    for _ in range(chance.choice((0, 0, 1, 3))):
        fields = holder.fields(chance.randrange(MERCHANTS), holder.mean_minor, online=True)
        names = ("customer", "card", "account", "merchant", "amount_minor", "currency")
        declined = {name: fields[name] for name in names}
        story.add(
            "payment_decline", at_ms, {**declined, "device": device, "ip": ip, "reason": "cvv"}
        )
        at_ms += chance.randrange(3) * MINUTE_MS
    for _ in range(chance.choice((1, 2, 3, 5))):
        amount = holder.mean_minor * chance.uniform(2, 9)
        fields = holder.fields(chance.randrange(MERCHANTS), amount, online=True)
        fields |= {"device": device, "ip": ip}
        if chance.random() < 0.5:
            fields["country"] = chance.choice(COUNTRIES)
        _steal(story, at_ms, fields, chance.uniform(2, 12))
        at_ms += int(chance.expovariate(1 / (40 * MINUTE_MS)))


def _tried_out(story: Story, holders: list[_Holder]) -> None:
    """Many cards with tiny amounts at one merchant, to see which of them live."""
    chance = story.chance
    at_ms = story.instant(chance.uniform(8, DAYS - 1))
    merchant, device = chance.randrange(MERCHANTS), f"x{chance.randrange(10**6)}"
    ip = f"198.51.100.{chance.randrange(250)}"
    for holder in holders:
        fields = holder.fields(merchant, chance.randrange(100, 400), online=True)
        _steal(story, at_ms, {**fields, "device": device, "ip": ip}, chance.uniform(1, 9))
        at_ms += chance.randrange(3, 90) * 1_000


def _copied(story: Story, holders: list[_Holder]) -> None:
    """Copy cards at a terminal: for three weeks payments there are not their holders'."""
    chance = story.chance
    merchant, first = chance.randrange(MERCHANTS), chance.randrange(5, DAYS - 22)
    for day in range(first, first + 21):
        for _ in range(chance.choice((0, 1, 1, 2))):
            holder = chance.choice(holders)
            amount = holder.mean_minor * chance.uniform(0.8, 3)
            fields = holder.fields(merchant, amount, online=False)
            _steal(story, story.daytime(day, 15), fields, chance.uniform(2, 7))


def _unseen(story: Story, holder: _Holder) -> None:
    """Somebody of the household: the same phone, the same shops, the usual amount."""
    chance = story.chance
    at_ms = story.daytime(chance.randrange(8, DAYS - 1), holder.hour) + HOUR_MS
    amount = holder.mean_minor * chance.uniform(0.6, 1.8)
    fields = holder.fields(chance.choice(holder.merchants), amount, online=True)
    _steal(story, at_ms, fields, chance.uniform(5, 14))
