"""The decisions room: policies, models, the decision log."""
