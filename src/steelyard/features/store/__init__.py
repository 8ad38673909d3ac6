"""Storage of the features: snapshots of the streaming state."""
