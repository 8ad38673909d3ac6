"""Tables and queries of credit."""
