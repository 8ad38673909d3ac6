"""Routes of credit."""
