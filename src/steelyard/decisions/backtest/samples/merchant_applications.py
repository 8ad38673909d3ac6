"""Merchant applications: rings that feed one account, shops that vanish; and honest chains."""

from __future__ import annotations

from random import Random

from steelyard.decisions.backtest.past import DAY_MS
from steelyard.decisions.backtest.samples.told import HOUR_MS, Story

DAYS, WARM_DAYS = 300, 90
A_DAY = 11
TELLS_MS = 60 * DAY_MS
PLAIN = ("grocery", "food", "clothing", "services", "electronics", "travel")
WATCHED = ("gambling", "crypto", "adult", "pawn", "money_transfer")


def tell(chance: Random) -> Story:
    """Return a story of about 3,500 applications, one of twenty a fraud."""
    story = Story("merchant_application", chance, DAYS, WARM_DAYS, TELLS_MS)
    for day in range(DAYS):
        for n in range(A_DAY):
            _apply(story, day, day * A_DAY + n)
    for number in range(20):
        _chain(story, number)
    for number in range(22):
        _ring(story, number)
    return story


def _fields(name: str, owner: str, chance: Random) -> dict[str, object]:
    return {
        "merchant": f"m{name}",
        "owner": f"o{owner}",
        "device": f"d{owner}",
        "ip": f"10.3.{hash_of(owner) // 250 % 250}.{hash_of(owner) % 250}",
        "phone": f"p{owner}",
        "address": f"x{name}",
        "payee": f"a{owner}",
        "country": "CN",
        "industry": chance.choice(PLAIN),
        "monthly_minor": int(chance.lognormvariate(16.5, 1.0)),
    }


def hash_of(text: str) -> int:
    """Return a number of a text, the same in every process."""
    return sum(place * ord(letter) for place, letter in enumerate(text, start=1))


def _cheat(story: Story, at_ms: int, fields: dict[str, object]) -> None:
    labels = (("is_fraud", True, story.chance.uniform(15, 60)),)
    story.add("merchant_application", at_ms, fields, labels=labels, is_bad=True)


def _apply(story: Story, day: int, number: int) -> None:
    """Let a shop apply. Some industries cheat more often; some of each look like any other."""
    chance = story.chance
    fields = _fields(f"{number}", f"{number}", chance)
    if chance.random() < 0.02:
        fields["industry"] = chance.choice(WATCHED)
    if chance.random() < 0.01:
        fields["industry"] = None
    if chance.random() < 0.1:
        fields["device"] = f"agent{chance.randrange(40)}"  # an agent who signs shops up
    at_ms = story.daytime(day, 14, 3)
    share = 0.25 if fields["industry"] in WATCHED else 0.006
    if chance.random() < share:
        _cheat(story, at_ms, fields)
    else:
        story.add("merchant_application", at_ms, fields)


def _chain(story: Story, number: int) -> None:
    """Open several shops of an honest owner within weeks, paid to one account."""
    chance = story.chance
    at_ms = story.instant(chance.uniform(5, DAYS - 30))
    for n in range(chance.choice((2, 2, 3, 5))):
        fields = _fields(f"h{number}-{n}", f"h{number}", chance)
        story.add("merchant_application", at_ms, {**fields, "industry": "food"})
        at_ms += int(chance.uniform(1, 8) * DAY_MS)


def _ring(story: Story, number: int) -> None:
    """Straw men as owners; what they share is the account, the phones or the device."""
    chance = story.chance
    at_ms = story.instant(chance.uniform(10, DAYS - 20))
    shares = chance.choice((("payee", "device"), ("device", "phone"), ("payee",), ("phone", "ip")))
    for n in range(chance.randrange(4, 10)):
        fields = _fields(f"r{number}-{n}", f"r{number}-{n}", chance)
        fields |= {name: f"ring{number}-{name}" for name in shares}
        fields["monthly_minor"] = int(chance.lognormvariate(17.5, 0.7))
        _cheat(story, at_ms, fields)
        at_ms += int(chance.expovariate(1 / (40 * HOUR_MS)))
