"""The world of channels outside, as a process of its own: `python -m steelyard.simulation.channel`.

It shares no code with `steelyard.payments`; what both know stands in `README.md`.
"""
