"""The features room: streaming features."""
