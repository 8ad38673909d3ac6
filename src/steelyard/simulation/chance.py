"""Where the town's chance comes from: independent generators derived from its seed by name."""

from __future__ import annotations

import random
from functools import partial
from hashlib import blake2b

from steelyard.simulation.model import Plan, Town, build


def stream(seed: int, *names: str | int) -> random.Random:
    """Return the generator of one name under a seed, the same on every machine and at every call.

    Parameters
    ----------
    seed : any integer
    names : what the generator is for, such as ``("purchases", customer, day)``

    Returns
    -------
    random.Random
        Newly made, so that drawing from one name never moves another. Only `random()` and
        `getrandbits()` should be used: their sequences do not change between Python versions.

    Examples
    --------
    >>> stream(7, "noon", 1).random() == stream(7, "noon", 1).random()
    True
    >>> stream(7, "noon", 1).random() == stream(7, "noon", "1").random()
    False
    """
    key = blake2b(repr((seed, *names)).encode(), digest_size=16).digest()
    return random.Random(int.from_bytes(key, "big"))


def found(plan: Plan) -> Town:
    """Return the town of a plan, with the chance of its own seed.

    Refusals
    --------
    town_is_too_small : the plan has no customer or no terminal

    Examples
    --------
    >>> from datetime import date
    >>> town = found(Plan(seed=1, customers=20, terminals=40, opens_on=date(2026, 1, 5)))
    >>> len(town.customers), len(town.terminals)
    (20, 40)
    """
    return build(plan, partial(stream, plan.seed))
