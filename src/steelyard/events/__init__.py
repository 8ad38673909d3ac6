"""The log of facts: appended in the writer's transaction, read from snapshot to snapshot."""

from steelyard.events.store.log import PostgresFactLog

__all__ = ["PostgresFactLog"]
