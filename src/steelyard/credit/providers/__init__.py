"""The world outside: one file for each way of reaching it, one process for each simulation."""
