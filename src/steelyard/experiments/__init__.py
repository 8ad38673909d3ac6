"""The experiments room: assignment and statistics."""
