"""Pure: definitions, events, formulas, engines."""
