"""Pure: policies, scorecards, models, their mathematics."""
