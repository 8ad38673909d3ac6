"""Tables and queries of the parties."""
