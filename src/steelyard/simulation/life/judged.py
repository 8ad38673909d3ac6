"""What was decided about payments, as the platform tells it; and which of them were honest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from steelyard.simulation.life.client import TownClient
from steelyard.simulation.model import BEIJING, Town, Truth, truth

_PAGE = 100


class DecisionLog:
    """The decisions about card payments, each read once.

    Attributes
    ----------
    of_attack : those about payments of the attack that nobody has fetched yet, by payment
    """

    def __init__(self, caller: TownClient) -> None:
        self._caller = caller
        self._seen = 0
        self.of_attack: dict[str, Mapping[str, Any]] = {}

    def last(self, most: int) -> list[Mapping[str, Any]]:
        """Return the newest decisions, so many at most; later ones are new."""
        found: list[Mapping[str, Any]] = []
        for decision in self._newest():
            if len(found) == most:
                break
            found.append(decision)
        self._seen = found[0]["number"] if found else 0
        return found

    def new(self, ours: Collection[str]) -> list[Mapping[str, Any]]:
        """Return what was decided since about others; what is about us is kept in `of_attack`."""
        others: list[Mapping[str, Any]] = []
        newest = self._seen
        for decision in self._newest():
            if decision["number"] <= self._seen:
                break
            newest = max(newest, decision["number"])
            if decision["event"]["id"] in ours:
                self.of_attack[decision["event"]["id"]] = decision
            else:
                others.append(decision)
        self._seen = newest
        return others

    def _newest(self) -> Iterator[Mapping[str, Any]]:
        cursor: str | None = None
        while True:
            query = f"scene=payment&limit={_PAGE}" + (f"&cursor={cursor}" if cursor else "")
            page = self._caller.get(f"/v1/decisions?{query}")
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return


class Honesty:
    """Tells the payments of honest people: what the town knows, and no policy does."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._days: dict[int, Truth] = {}

    def of(self, decision: Mapping[str, Any]) -> bool:
        """Return whether a decision was about an honest payment of the town's people."""
        event = decision["event"]
        try:
            payment = UUID(event["id"])
        except ValueError:  # somebody tried the endpoint by hand
            return False
        on = datetime.fromtimestamp(event["at_ms"] / 1_000, UTC).astimezone(BEIJING).date()
        day = on.toordinal()
        if day not in self._days:
            self._days[day] = truth(self._town, on)
        return self._days[day].of(payment) is None
