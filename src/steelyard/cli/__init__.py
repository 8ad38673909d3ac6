"""The command line."""

from steelyard.cli.main import app

__all__ = ["app"]
