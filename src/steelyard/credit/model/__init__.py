"""Pure values and rules of credit."""
