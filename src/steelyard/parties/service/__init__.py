"""Use cases of the parties: one function, one transaction."""
