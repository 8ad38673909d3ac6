"""Tables and queries of the experiments."""
