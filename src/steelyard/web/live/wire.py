"""What the live page is told. Amounts are minor units beside an exact decimal text."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field

_ID = "0195556e-7a00-7cc3-98c4-dc0c0c07398f"


def decimal_text(amount_minor: int, exponent: int) -> str:
    """Return minor units as a decimal text with the currency's own number of places.

    Examples
    --------
    >>> decimal_text(-5, 2), decimal_text(1200, 0), decimal_text(1234567, 3)
    ('-0.05', '1200', '1234.567')
    """
    sign = "-" if amount_minor < 0 else ""
    digits = str(abs(amount_minor)).rjust(exponent + 1, "0")
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}" if exponent else sign + digits


class RateOut(BaseModel):
    """How many per second of real time; null where nothing was counted yet."""

    per_second_1m: float | None = Field(examples=[41.7])
    per_second_5m: float | None = Field(examples=[39.2])
    observed_seconds: float = Field(
        examples=[300.0], description="real time that the longer rate was counted over"
    )


class ClockOut(BaseModel):
    """The business clock, by which the books are kept."""

    business_at: datetime = Field(examples=["2026-04-30T06:22:05Z"])
    speed: float = Field(examples=[120.0], description="business seconds in a real second")


class ConsumerOut(BaseModel):
    """How far a consumer of events is behind."""

    name: str = Field(examples=["balances"])
    version: int = Field(examples=[1])
    events: int = Field(examples=[12])
    seconds: float = Field(examples=[0.04], description="real age of the oldest it has not heard")
    is_stopped: bool = Field(examples=[False])


class LagOut(BaseModel):
    """The lag of the consumers; `events` is that of the one most behind."""

    events: int = Field(examples=[12])
    consumers: list[ConsumerOut]


class BalanceOut(BaseModel):
    """The trial balance of a book in a currency: debits are credits, or the books are broken."""

    book: str = Field(examples=["client"])
    funds: str = Field(examples=["client"])
    currency: str = Field(examples=["CNY"])
    exponent: int = Field(examples=[2])
    debits_minor: int = Field(examples=[81_234_500])
    credits_minor: int = Field(examples=[81_234_500])
    difference_minor: int = Field(examples=[0])
    debits: str = Field(examples=["812345.00"])
    credits: str = Field(examples=["812345.00"])
    difference: str = Field(examples=["0.00"])


class TrialBalanceOut(BaseModel):
    """Debits and credits of every book and currency."""

    is_balanced: bool = Field(examples=[True])
    rows: list[BalanceOut]


class ReasonOut(BaseModel):
    """A reason of a decision with what a customer is told of it."""

    code: str = Field(examples=["device_is_new"])
    en: str = Field(examples=["The device is new to us."])
    zh: str = Field(examples=["设备首次使用。"])


class DecisionOut(BaseModel):
    """A decision that was made just now."""

    id: str = Field(examples=[_ID])
    at: datetime = Field(examples=["2026-03-02T09:00:00Z"], description="of the event")
    scene: str = Field(examples=["payment"])
    outcome: str = Field(examples=["step_up"])
    score: int | None = Field(examples=[320])
    reasons: list[ReasonOut] = Field(description="the weightiest three")


class OutcomeOut(BaseModel):
    """How often an outcome is among the last decisions."""

    outcome: str = Field(examples=["approve"])
    times: int = Field(examples=[471])


class DecisionsOut(BaseModel):
    """What is decided at present."""

    rate: RateOut
    made: int = Field(examples=[81_220], description="since the beginning")
    outcomes: list[OutcomeOut] = Field(
        description="of the last 500 at most, in the order of severity"
    )
    newest: list[DecisionOut] = Field(description="the last ten, the newest first")


class OwedOut(BaseModel):
    """What is lent in a currency, as the last event or day close of each loan left it."""

    currency: str = Field(examples=["CNY"])
    exponent: int = Field(examples=[2])
    outstanding_minor: int = Field(examples=[30_054_148], description="principal")
    outstanding: str = Field(examples=["300541.48"])
    loans: int = Field(examples=[39], description="open")
    late: int = Field(examples=[4], description="of them with something past due")
    late_share: float = Field(examples=[0.1026])


class ApplicationsOut(BaseModel):
    """How many applications stand in a state."""

    state: str = Field(examples=["signed"])
    times: int = Field(examples=[3])


class CreditOut(BaseModel):
    """Loans and applications for them; a few seconds old."""

    owed: list[OwedOut] = Field(description="one row for each currency")
    applications_today: list[ApplicationsOut] = Field(
        description="written down since midnight in Beijing, by the business clock"
    )


class ChannelNowOut(BaseModel):
    """A channel: how it went in the last hour by the business clock, and how it stands."""

    channel: str = Field(examples=["uni"], description="`balance`: from balances in our own book")
    stage: str | None = Field(examples=["live"], description="null: it has no life of its own")
    breaker: str = Field(examples=["closed"], description="closed, open or half_open")
    tried: int = Field(examples=[57])
    succeeded: int = Field(examples=[55])
    unknown: int = Field(examples=[1], description="of any time, with nobody knowing the end")


class TieOutNowOut(BaseModel):
    """The last tie-out of the reserve in a currency."""

    currency: str = Field(examples=["CNY"])
    on: date = Field(examples=["2026-03-02"])
    holds: bool = Field(examples=[True])
    why: str = Field(examples=["ties_out"], description="a code")
    exponent: int = Field(examples=[2])
    difference_minor: int | None = Field(examples=[0], description="null: there was no statement")
    difference: str | None = Field(examples=["0.00"])


class PaymentsNowOut(BaseModel):
    """Payments over channels and from balances; a few seconds old."""

    tried: int = Field(examples=[212], description="in the last hour by the business clock")
    success_share: float | None = Field(
        examples=[0.981], description="of those that ended; null where none did"
    )
    unknown: int = Field(examples=[2], description="of any time, with nobody knowing the end")
    channels: list[ChannelNowOut]
    tie_outs: list[TieOutNowOut] = Field(description="the last of each currency")


class CountsOut(BaseModel):
    """How many there are; null where it is not counted."""

    parties: int | None = Field(examples=[5_369])
    accounts: int = Field(examples=[4_500])
    transfers: int = Field(examples=[1_056_320])
    facts: int = Field(examples=[1_204_411], description="number of the newest event")


class PointOut(BaseModel):
    """Ten seconds of real time; null where nobody counted."""

    at: datetime = Field(examples=["2026-03-02T09:00:10Z"])
    payments_per_second: float | None = Field(examples=[40.1])
    events_per_second: float | None = Field(examples=[81.0])
    lag_events: int | None = Field(examples=[12])


class SummaryOut(BaseModel):
    """The platform at one instant of real time."""

    at: datetime = Field(examples=["2026-03-02T09:00:14Z"])
    clock: ClockOut
    payments: RateOut
    events: RateOut
    decisions: DecisionsOut
    lag: LagOut
    trial_balance: TrialBalanceOut
    credit: CreditOut | None = Field(description="null where nobody lends")
    paying: PaymentsNowOut | None = Field(description="null where no institution is open")
    counts: CountsOut
    points: list[PointOut] = Field(description="the last two points of the chart")


class MovementOut(BaseModel):
    """A movement of money: what was debited, what was credited, how much, and why."""

    id: str = Field(examples=[_ID])
    book: str = Field(examples=["client"])
    at: datetime = Field(examples=["2026-03-02T09:00:00.000123Z"], description="recorded at")
    effective_on: date = Field(examples=["2026-03-02"])
    from_: str = Field(
        serialization_alias="from", examples=["wallet:7"], description="account that is debited"
    )
    to: str = Field(examples=["merchant:noodles"], description="account that is credited")
    currency: str = Field(examples=["CNY"])
    exponent: int = Field(examples=[2])
    amount_minor: int = Field(examples=[12_800])
    amount: str = Field(examples=["128.00"])
    kind: str = Field(examples=["single"], description="single, hold, post, void or reversal")
    cause: str = Field(examples=["no_policy@0"])


class MovementsOut(BaseModel):
    """The newest movements, the newest first."""

    items: list[MovementOut]


class EntryOut(BaseModel):
    """One side of a movement, and the account's balance after it, on its natural side."""

    side: str = Field(examples=["debit"])
    account: str = Field(examples=["wallet:7"])
    kind: str = Field(examples=["liability"])
    amount_minor: int = Field(examples=[12_800], description="0 for what moves nothing")
    amount: str = Field(examples=["128.00"])
    balance_minor: int = Field(examples=[46_020])
    balance: str = Field(examples=["460.20"])


class FactOut(BaseModel):
    """An event that names the movement."""

    sequence: int = Field(examples=[1_204_411])
    kind: str = Field(examples=["ledger.TransferPosted"])
    version: int = Field(examples=[1])
    subject: str = Field(examples=["account:client/7"])
    occurred_at: datetime = Field(examples=["2026-03-02T09:00:00Z"])
    actor: str = Field(examples=["key:town"])
    payload: dict[str, Any] = Field(examples=[{"book": "client", "id": _ID, "amount_minor": 12800}])


class MovementDetailOut(BaseModel):
    """A movement with its entries and what belongs to it."""

    movement: MovementOut
    entries: list[EntryOut]
    entry: str | None = Field(examples=[None], description="journal entry that it is a part of")
    refers_to: str | None = Field(examples=[None], description="hold or transfer it resolves")
    decision_id: str | None = Field(examples=[None])
    hash: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
    linked: list[MovementOut]
    events: list[FactOut]


class SnapshotOut(BaseModel):
    """All that the live page shows, for somebody who has just come."""

    summary: SummaryOut
    points: list[PointOut] = Field(description="fifteen minutes, ten seconds a point")
    movements: list[MovementOut]
