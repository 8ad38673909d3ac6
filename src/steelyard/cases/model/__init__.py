"""The pure part of the room: service levels, kinds, and the states of a case."""
