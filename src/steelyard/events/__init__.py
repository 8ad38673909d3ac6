"""The log of facts: appended in the writer's transaction, read by transaction horizon."""

from steelyard.events.store import PostgresFactLog

__all__ = ["PostgresFactLog"]
