"""A simulated custodian bank: a process of its own, with its own store, clock and script.

It keeps the reserve of a payment institution: channels pay in, the institution orders payouts, and
each day it states by itself what it holds. It shares no code with `payments`.
"""

from steelyard.simulation.custodian.app import create_custodian
from steelyard.simulation.custodian.desk import Desk

__all__ = ["Desk", "create_custodian"]
