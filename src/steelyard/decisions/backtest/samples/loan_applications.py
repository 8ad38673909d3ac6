"""Loan applications: people who cannot pay, rings with borrowed names, incomes that grow."""

from __future__ import annotations

from math import exp, log
from random import Random

from steelyard.decisions.backtest.past import DAY_MS
from steelyard.decisions.backtest.samples.told import HOUR_MS, Story

DAYS, WARM_DAYS = 330, 90
A_DAY = 14
TERMS = (3, 6, 12, 12, 24, 36)
PURPOSES = ("education", "home", "car", "goods", "business", "other")
RISK = {"education": -0.3, "home": -0.3, "car": 0.0, "goods": 0.0, "business": 0.5, "other": 0.3}
TELLS_MS = 90 * DAY_MS
EMPLOYERS = 400


def tell(chance: Random) -> Story:
    """Return a story of about 5,000 applications; one of eight defaults or is a fraud."""
    story = Story("loan_application", chance, DAYS, WARM_DAYS, TELLS_MS)
    for day in range(DAYS):
        for n in range(A_DAY):
            _apply(story, day, day * A_DAY + n)
    for number in range(14):
        _ring(story, number)
    for number in range(40):
        _growing(story, number)
    return story


def _apply(story: Story, day: int, number: int) -> None:
    """Somebody applies, perhaps again later; whether they pay depends on what they carry."""
    chance = story.chance
    income = chance.lognormvariate(13.5, 0.55)
    fields = {
        "customer": f"c{number}",
        "device": f"d{number}",
        "ip": f"10.{number // 60_000}.{number // 250 % 250}.{number % 250}",
        "phone": f"p{number}",
        # Every eighth lives with somebody who applied too.
        "address": f"x{number - number % 8 if number % 8 < 2 else number}",
        "employer": f"e{int(EMPLOYERS * chance.random() ** 2)}",
        "product": "cash",
        "currency": "CNY",
        "purpose": chance.choice(PURPOSES),
        "income_minor": int(income),
        "amount_minor": int(income * chance.lognormvariate(0.9, 0.8)),
        "term_months": chance.choice(TERMS),
    }
    at_ms = story.daytime(day, 14, 4)
    _outcome(story, at_ms, fields)
    if chance.random() < 0.12:
        later = at_ms + int(chance.uniform(1, 60) * DAY_MS)
        if later < story.instant(DAYS):
            _outcome(story, later, {**fields, "amount_minor": int(income * chance.uniform(0.5, 4))})


def _outcome(story: Story, at_ms: int, fields: dict[str, object]) -> None:
    """Default by a logistic law: burden, income, term and purpose, and what nobody sees."""
    amount, income, months = (
        int(str(fields[name])) for name in ("amount_minor", "income_minor", "term_months")
    )
    burden = amount / months / income
    leaning = (
        -3.1
        + 1.1 * log(max(burden, 0.01) / 0.25)
        - 0.9 * log(income / 800_000)
        + 0.02 * (months - 12)
        + RISK[str(fields["purpose"])]
    )
    if story.chance.random() < 1 / (1 + exp(-leaning)):
        labels = (("is_default", True, story.chance.uniform(60, 150)),)
        story.add("loan_application", at_ms, fields, labels=labels, is_bad=True)
    else:
        story.add("loan_application", at_ms, fields)


def _cheat(story: Story, at_ms: int, fields: dict[str, object]) -> None:
    labels = (
        ("is_fraud", True, story.chance.uniform(15, 45)),
        ("is_default", True, story.chance.uniform(45, 75)),
    )
    story.add("loan_application", at_ms, fields, labels=labels, is_bad=True)


def _ring(story: Story, number: int) -> None:
    """Borrowed names with stated incomes, a few phones and devices, one employer."""
    chance = story.chance
    at_ms = story.instant(chance.uniform(20, DAYS - 15))
    for n in range(chance.randrange(5, 16)):
        income = chance.randrange(900_000, 2_500_000)
        fields = {
            "customer": f"r{number}-{n}",
            "device": f"rd{number}-{n % 2}",
            "ip": f"203.0.113.{number}",
            "phone": f"rp{number}-{n // 3}",
            "address": f"rx{number}-{n // 4}",
            "employer": f"re{number}",
            "product": "cash",
            "currency": "CNY",
            "purpose": chance.choice(PURPOSES),
            "income_minor": income,
            "amount_minor": int(income * chance.uniform(4, 9)),
            "term_months": chance.choice((12, 24, 36)),
        }
        _cheat(story, at_ms, fields)
        at_ms += int(chance.expovariate(1 / (14 * HOUR_MS)))


def _growing(story: Story, number: int) -> None:
    """One borrowed name, and an income that grows with each refusal."""
    chance = story.chance
    at_ms = story.instant(chance.uniform(20, DAYS - 12))
    income = chance.randrange(500_000, 900_000)
    for n in range(chance.choice((1, 2, 3, 5))):
        fields = {
            "customer": f"g{number}",
            "device": f"gd{number}",
            "ip": f"198.51.100.{number}",
            "phone": f"gp{number}",
            "address": f"gx{number}",
            "employer": f"ge{number}-{n}",
            "product": "cash",
            "currency": "CNY",
            "purpose": "business",
            "income_minor": income,
            "amount_minor": income * 6,
            "term_months": 12,
        }
        _cheat(story, at_ms, fields)
        income = int(income * chance.uniform(1.2, 1.9))
        at_ms += int(chance.uniform(0.02, 2) * DAY_MS)
