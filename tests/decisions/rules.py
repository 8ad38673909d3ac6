"""Rules that never change: one policy for a scene, no lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steelyard.decisions.service.engine import Policy


@dataclass(frozen=True)
class Always:
    """What chooses one policy whoever asks."""

    policy: Policy
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Fixed:
    """The rules of a test."""

    policies: Mapping[str, Policy]
    version: int = 0

    @property
    def scenes(self) -> tuple[str, ...]:
        return tuple(self.policies)

    def choose(self, scene: str, subject: str, now_ms: int) -> Always:
        return Always(self.policies[scene], {})

    def flags(self, policy: Any, fields: Mapping[str, Any], now_ms: int) -> Mapping[str, bool]:
        return {}

    def reads(self, scene: str) -> tuple[str, ...]:
        return self.policies[scene].reads
