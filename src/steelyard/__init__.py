"""Steelyard: risk weighed against value."""
