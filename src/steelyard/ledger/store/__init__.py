"""Tables and queries of the ledger; what comes back are values of the model."""
