"""The use cases of the ledger: one function is one part of one transaction."""
