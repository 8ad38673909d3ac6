"""Tables and queries of decisions; private to the room."""
