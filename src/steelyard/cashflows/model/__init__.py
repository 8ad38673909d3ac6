"""Cash flows as mathematics: terms and events in, schedules, balances and rates out."""
