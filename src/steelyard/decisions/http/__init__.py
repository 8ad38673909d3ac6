"""The HTTP side of decisions."""
