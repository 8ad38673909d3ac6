"""Channels: one file for each way in which money is moved outside, behind the six verbs."""
