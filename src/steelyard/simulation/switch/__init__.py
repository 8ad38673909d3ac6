"""A simulated card switch: ISO 8583 over TCP, with its own store; no code of payments in it."""
