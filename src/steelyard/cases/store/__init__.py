"""Tables and queries of the room."""
