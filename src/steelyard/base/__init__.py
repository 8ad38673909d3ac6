"""The ground: database, unit of work, facts, gate, settings, clocks."""

from steelyard.base.clock import (
    BusinessClock,
    ClockGoesBackwards,
    PlainBusinessClock,
    RealClock,
    StoredBusinessClock,
    new_id,
)
from steelyard.base.database import Database, UnitOfWork
from steelyard.base.facts import Fact, FactLog, Recorded, fact_classes, read_fact
from steelyard.base.gate import Gate, NoPolicyGate, Outcome, Question, Verdict
from steelyard.base.settings import Environment, RefusedInProduction, Settings, read_settings

__all__ = [
    "BusinessClock",
    "ClockGoesBackwards",
    "Database",
    "Environment",
    "Fact",
    "FactLog",
    "Gate",
    "NoPolicyGate",
    "Outcome",
    "PlainBusinessClock",
    "Question",
    "RealClock",
    "Recorded",
    "RefusedInProduction",
    "Settings",
    "StoredBusinessClock",
    "UnitOfWork",
    "Verdict",
    "fact_classes",
    "new_id",
    "read_fact",
    "read_settings",
]
