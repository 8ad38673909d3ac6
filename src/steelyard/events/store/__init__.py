"""Tables and queries of the log of facts."""
