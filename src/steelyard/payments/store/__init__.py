"""Tables of payments; private to the room."""
