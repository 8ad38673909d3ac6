"""The cases room: one work queue for people."""
