"""Draws from the usual distributions, out of a generator that is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, exp, log, pi, sqrt
from typing import Protocol, TypeVar

T = TypeVar("T")

_ENTROPY_BITS = 80


class Chance(Protocol):
    """A generator of numbers; `random.Random` is one.

    Only these two methods are used, because the standard library promises their sequences and not
    those of its other draws: the same seed has to give the same books under every Python version.
    """

    def random(self) -> float:
        """Return the next number of [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """Return an integer of `k` random bits."""
        ...


class Streams(Protocol):
    """Hands out independent generators by name; the same names always start the same sequence."""

    def __call__(self, *names: str | int) -> Chance:
        """Return the generator of these names, at its beginning."""
        ...


def uniform(chance: Chance, low: float, high: float) -> float:
    """Return a number of [low, high)."""
    return low + (high - low) * chance.random()


def below(chance: Chance, n: int) -> int:
    """Return an integer of [0, n)."""
    return int(chance.random() * n)


def pick(chance: Chance, items: Sequence[T]) -> T:
    """Return one of the items, each as likely as any other."""
    return items[below(chance, len(items))]


def normal(chance: Chance, mean: float, std: float) -> float:
    """Return a normal draw.

    The cosine half of Box and Muller (1958): two uniforms a draw and no state kept between draws,
    so that a sequence of draws can be read from its beginning alone.
    """
    radius = sqrt(-2.0 * log(1.0 - chance.random()))
    return mean + std * radius * cos(2.0 * pi * chance.random())


def poisson(chance: Chance, mean: float) -> int:
    """Return a Poisson draw, for means up to some tens.

    By multiplication of uniforms (Knuth, The Art of Computer Programming 2, section 3.4.1): about
    `mean` + 1 uniforms a draw.
    """
    floor = exp(-mean)
    count, product = 0, chance.random()
    while product > floor:
        count += 1
        product *= chance.random()
    return count


def distinct(chance: Chance, n: int, k: int) -> tuple[int, ...]:
    """Return `k` different integers of [0, n), in the order drawn; all of them when k >= n."""
    wanted = min(n, k)
    drawn: dict[int, None] = {}
    while len(drawn) < wanted:
        drawn[below(chance, n)] = None
    return tuple(drawn)


def about(chance: Chance, expected: float) -> int:
    """Return a whole number whose mean is `expected`: one of the two integers around it."""
    whole = int(expected)
    return whole + (chance.random() < expected - whole)


def entropy(chance: Chance) -> bytes:
    """Return ten random bytes, what `kernel.uuid7` asks for."""
    return chance.getrandbits(_ENTROPY_BITS).to_bytes(_ENTROPY_BITS // 8, "big")
