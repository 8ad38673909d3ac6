"""Use cases of the experiments."""
