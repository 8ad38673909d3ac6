"""Use cases of the log: consumers, their operation, following, export."""
