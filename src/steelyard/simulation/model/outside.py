"""How the town's people pay over channels outside, and what goes wrong on the way there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from steelyard.simulation.model.draws import Chance
from steelyard.simulation.model.town import midnight

CHANNELS: Final = {
    "uni": ("quick_pay",),
    "wechat": ("wallet", "scan"),
    "alipay": ("wallet", "scan"),
}
"""The channels of the town, and what is paid over each; what each keeps is of its sheet."""
FEE_PPM: Final = {"uni": 2_000, "wechat": 6_000, "alipay": 6_000}
"""What a channel keeps of a payment, in millionths."""
_OUTSIDE_SHARE: Final = 0.35
_METHODS: Final = ("wallet", "wallet", "scan", "quick_pay")
_TROUBLE_SHARE: Final = 0.08
_TROUBLES: Final = (
    ("hang", "", 0.0),
    ("late", "", 600.0),
    ("break", "", 0.0),
    ("garble", "", 0.0),
    ("not_found", "", 30.0),
    ("decline", "insufficient_funds", 0.0),
    ("decline", "do_not_honor", 0.0),
    ("decline", "issuer_unavailable", 0.0),
)
_OUTAGE: Final = timedelta(minutes=40)


@dataclass(frozen=True, slots=True)
class Way:
    """How one payment goes.

    Attributes
    ----------
    method : None: from the customer's wallet in our own book
    trouble : how the channel behaves, an argument, and seconds on its clock; None: as it should
    """

    method: str | None
    trouble: tuple[str, str, float] | None = None


def way_of(chance: Chance) -> Way:
    """Draw how a payment goes.

    Parameters
    ----------
    chance : the generator of this payment
    """
    if chance.random() >= _OUTSIDE_SHARE:
        return Way(None)
    method = _METHODS[int(chance.random() * len(_METHODS))]
    if chance.random() >= _TROUBLE_SHARE:
        return Way(method)
    return Way(method, _TROUBLES[int(chance.random() * len(_TROUBLES))])


@dataclass(frozen=True, slots=True)
class Outage:
    """When a channel does not answer at all."""

    channel: str
    start_at: datetime
    end_at: datetime

    def is_on(self, at: datetime) -> bool:
        """Whether the channel is out at an instant."""
        return self.start_at <= at < self.end_at


def outage_of(chance: Chance, on: date) -> Outage:
    """Draw the outage of a day: one channel, forty minutes of the daytime.

    Parameters
    ----------
    chance : the generator of the day
    """
    channels = sorted(CHANNELS)
    channel = channels[int(chance.random() * len(channels))]
    start_at = midnight(on) + timedelta(hours=9 + 9 * chance.random())
    return Outage(channel, start_at, start_at + _OUTAGE)
