"""Use cases of payments: one function is one transaction, or joins its caller's."""
