"""The room `parties`."""
