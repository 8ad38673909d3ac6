"""Ports to the world outside, and its simulated processes."""
