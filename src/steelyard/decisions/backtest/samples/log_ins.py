"""Log-ins: leaked secrets tried on many, one customer guessed at, phished; and new phones."""

from __future__ import annotations

from random import Random

from steelyard.decisions.backtest.past import DAY_MS
from steelyard.decisions.backtest.samples.told import MINUTE_MS, Story

DAYS, WARM_DAYS = 72, 31
CUSTOMERS = 300
COUNTRIES = ("JP", "TH", "SG", "FR", "BR")
MOBILE = 40
"""Addresses of mobile networks, which many share."""
TELLS_MS = 12 * DAY_MS


def tell(chance: Random) -> Story:
    """Return a story of about 15,000 log-ins; of the takeovers tried, one of six succeeds."""
    story = Story("log_in", chance, DAYS, WARM_DAYS, TELLS_MS)
    for number in range(CUSTOMERS):
        _live(story, number)
    for _ in range(8):
        _leaked(story)
    for _ in range(26):
        _guessed(story, chance.randrange(CUSTOMERS))
    for _ in range(48):
        _phished(story, chance.randrange(CUSTOMERS))
    for _ in range(7):
        _unseen(story, chance.randrange(CUSTOMERS))
    return story


def _fields(number: int, device: str, ip: str, *, succeeded: bool) -> dict[str, object]:
    return {
        "customer": f"c{number}",
        "device": device,
        "ip": ip,
        "phone": f"p{number}",
        "country": "CN",
        "method": "password",
        "succeeded": succeeded,
    }


def _home(number: int) -> str:
    return f"10.1.{number // 250}.{number % 250}"


def _live(story: Story, number: int) -> None:
    chance = story.chance
    hour = chance.uniform(9, 21)
    device = f"d{number}"
    new_device_on = chance.randrange(DAYS) if chance.random() < 0.3 else DAYS
    trip = chance.randrange(DAYS) if chance.random() < 0.2 else DAYS
    abroad = chance.choice(COUNTRIES)
    story.add(
        "sign_up",
        story.instant(-chance.uniform(1, 300)),
        {"customer": f"c{number}", "device": device, "ip": _home(number), "phone": f"p{number}"},
    )
    for day in range(DAYS):
        if day == new_device_on:
            device = f"d{number}b"
        if chance.random() > 0.6:
            continue
        at_ms = story.daytime(day, hour)
        ip = _home(number) if chance.random() < 0.6 else f"100.64.0.{chance.randrange(MOBILE)}"
        fields = _fields(number, device, ip, succeeded=True)
        if trip <= day < trip + 6:
            fields |= {"country": abroad, "ip": f"192.0.2.{number % 250}"}
        for _ in range(chance.choice((1, 1, 2, 4)) if chance.random() < 0.05 else 0):
            story.add("log_in", at_ms, {**fields, "succeeded": False})  # mistyped
            at_ms += chance.randrange(10, 60) * 1_000
        story.add("log_in", at_ms, fields)


def _takeover(story: Story, at_ms: int, fields: dict[str, object]) -> None:
    """Try to take an account over; only an attempt that succeeds loses anything, and is told of."""
    succeeded = bool(fields["succeeded"])
    labels = (("is_takeover", True, story.chance.uniform(1, 10)),) if succeeded else ()
    story.add("log_in", at_ms, fields, labels=labels, is_bad=True, loses=succeeded)


def _leaked(story: Story) -> None:
    """Secrets leaked elsewhere, tried on many customers from one address; a few fit."""
    chance = story.chance
    at_ms = story.instant(chance.uniform(5, DAYS - 1))
    ip, device = f"203.0.113.{chance.randrange(250)}", f"x{chance.randrange(10**6)}"
    for number in chance.sample(range(CUSTOMERS), chance.randrange(30, 110)):
        _takeover(story, at_ms, _fields(number, device, ip, succeeded=chance.random() < 0.04))
        at_ms += chance.randrange(2, 45) * 1_000


def _guessed(story: Story, number: int) -> None:
    """One customer's secret guessed, from somewhere, until it fits or nobody answers."""
    chance = story.chance
    at_ms = story.instant(chance.uniform(5, DAYS - 1))
    ip, device = f"198.51.100.{chance.randrange(250)}", f"x{chance.randrange(10**6)}"
    for _ in range(chance.randrange(3, 10)):
        _takeover(story, at_ms, _fields(number, device, ip, succeeded=False))
        at_ms += chance.randrange(20, 200) * 1_000
    if chance.random() < 0.6:
        _takeover(story, at_ms, _fields(number, device, ip, succeeded=True))


def _phished(story: Story, number: int) -> None:
    """Know the secret at the first try, from a device and often a country never seen."""
    chance = story.chance
    at_ms = story.instant(chance.uniform(5, DAYS - 1))
    ip, device = f"198.51.100.{chance.randrange(250)}", f"x{chance.randrange(10**6)}"
    fields = _fields(number, device, ip, succeeded=True)
    if chance.random() < 0.5:
        fields["country"] = chance.choice(COUNTRIES)
    _takeover(story, at_ms, fields)
    if chance.random() < 0.4:
        _takeover(story, at_ms + chance.randrange(1, 300) * MINUTE_MS, dict(fields))


def _unseen(story: Story, number: int) -> None:
    """Somebody with the customer's own phone in their hands."""
    chance = story.chance
    at_ms = story.daytime(chance.randrange(5, DAYS - 1), 20)
    _takeover(story, at_ms, _fields(number, f"d{number}", _home(number), succeeded=True))
