"""Withdrawals: accounts taken over and emptied, people talked into paying; and new flats."""

from __future__ import annotations

from random import Random

from steelyard.decisions.backtest.past import DAY_MS
from steelyard.decisions.backtest.samples.told import HOUR_MS, MINUTE_MS, Story

DAYS, WARM_DAYS = 120, 60
CUSTOMERS = 360
TELLS_MS = 15 * DAY_MS


def tell(chance: Random) -> Story:
    """Return a story of about 12,000 withdrawals and as many log-ins, one of a hundred bad."""
    story = Story("withdrawal", chance, DAYS, WARM_DAYS, TELLS_MS)
    means = [chance.lognormvariate(11.6, 0.7) for _ in range(CUSTOMERS)]
    for number, mean in enumerate(means):
        _live(story, number, mean)
    for _ in range(45):
        number = chance.randrange(CUSTOMERS)
        _taken(story, number, means[number])
    for mule in range(11):
        _talked_into(story, mule, means)
    for _ in range(14):
        number = chance.randrange(CUSTOMERS)
        _unseen(story, number, means[number])
    return story


def _fields(number: int, payee: str, amount: float, device: str) -> dict[str, object]:
    return {
        "customer": f"c{number}",
        "account": f"a{number}",
        "payee": payee,
        "device": device,
        "ip": f"10.2.{number // 250}.{number % 250}",
        "currency": "CNY",
        "amount_minor": max(1_000, int(amount)),
    }


def _log_in(story: Story, at_ms: int, number: int, device: str, **what: object) -> None:
    fields = {"customer": f"c{number}", "device": device, "country": "CN", "succeeded": True}
    labels = (("is_takeover", True, 6.0),) if what.pop("taken", False) else ()
    story.add("log_in", at_ms, {**fields, **what}, labels=labels)


def _live(story: Story, number: int, mean: float) -> None:
    chance = story.chance
    payees = [f"p{number}-{n}" for n in range(chance.randrange(2, 6))]
    shared = [f"s{n}" for n in range(25)]  # landlords and clubs, whom many pay
    device, hour = f"d{number}", chance.uniform(9, 21)
    new_device_on = chance.randrange(DAYS) if chance.random() < 0.3 else DAYS
    for day in range(DAYS):
        if day == new_device_on:
            device = f"d{number}b"
        if chance.random() > 0.27:
            continue
        at_ms = story.daytime(day, hour)
        if chance.random() < 0.04:
            _log_in(story, at_ms - 3 * MINUTE_MS, number, device, succeeded=False)
        _log_in(story, at_ms - 2 * MINUTE_MS, number, device)
        amount = mean * chance.lognormvariate(-0.15, 0.55)
        payee = chance.choice(payees)
        drawn = chance.random()
        if drawn < 0.05:
            payee = f"n{number}-{day}"  # somebody new
        elif drawn < 0.12:
            payee = chance.choice(shared)
        if chance.random() < 0.01:
            amount *= chance.uniform(4, 9)  # a deposit, a car
        story.add("withdrawal", at_ms, _fields(number, payee, amount, device))


def _steal(story: Story, at_ms: int, fields: dict[str, object]) -> None:
    labels = (("is_fraud", True, story.chance.uniform(1, 12)),)
    story.add("withdrawal", at_ms, fields, labels=labels, is_bad=True)


def _taken(story: Story, number: int, mean: float) -> None:
    """Signed in from elsewhere, sometimes after guessing; then out with what is there."""
    chance = story.chance
    at_ms = story.instant(chance.uniform(10, DAYS - 1))
    device, payee = f"x{chance.randrange(10**6)}", f"q{chance.randrange(60)}"
    for _ in range(chance.choice((0, 0, 2, 4, 6))):
        _log_in(story, at_ms, number, device, succeeded=False)
        at_ms += chance.randrange(20, 120) * 1_000
    _log_in(story, at_ms, number, device, taken=True)
    for _ in range(chance.choice((1, 2, 3, 6))):
        at_ms += chance.randrange(2, 40) * MINUTE_MS
        _steal(story, at_ms, _fields(number, payee, mean * chance.uniform(1.5, 8), device))


def _talked_into(story: Story, mule: int, means: list[float]) -> None:
    """Let many pay into one account, from their own phones, in a week."""
    chance = story.chance
    first = story.instant(chance.uniform(10, DAYS - 8))
    for number in chance.sample(range(len(means)), chance.randrange(4, 13)):
        at_ms = first + int(chance.uniform(0, 6 * 24) * HOUR_MS)
        _log_in(story, at_ms - MINUTE_MS, number, f"d{number}")
        amount = means[number] * chance.uniform(1.5, 10)
        _steal(story, at_ms, _fields(number, f"mule{mule}", amount, f"d{number}"))


def _unseen(story: Story, number: int, mean: float) -> None:
    """Somebody close, the usual payee, the usual amount."""
    chance = story.chance
    at_ms = story.daytime(chance.randrange(10, DAYS - 1), 20)
    amount = mean * chance.uniform(0.6, 1.6)
    _steal(story, at_ms, _fields(number, f"p{number}-0", amount, f"d{number}"))
