"""The use cases of the town; each function is one part of one transaction."""
