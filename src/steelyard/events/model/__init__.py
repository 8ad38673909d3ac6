"""The pure part of the room: places in the log, consumers, refusals."""
