"""A platform that is nothing but a database and whoever sends the requests."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from steelyard.base import Database
from steelyard.base.http import Caller


@dataclass
class House:
    """The platform as the routes see it; whoever `caller` is sends the requests."""

    database: Database
    caller: Caller

    @property
    def verifier(self) -> House:
        return self

    def verify(self, request: Request, body: bytes) -> Caller:
        return self.caller
