"""The use cases of imports: the bank, and its loans."""
