"""Passwords: hashed by Argon2id, verified at the same cost whether the account exists or not."""

from __future__ import annotations

import secrets
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

# The first of the equal settings that OWASP's password storage cheat sheet recommends: 19 MiB, two
# passes, one lane. A few at a time: memory is bounded however many people sign in at once.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_AT_ONCE = BoundedSemaphore(4)
_NOBODY = HASHER.hash(secrets.token_urlsafe(16))


def hash_password(password: str) -> str:
    """Return the hash to store, with its salt and parameters."""
    with _AT_ONCE:
        return HASHER.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Return whether the password is that of a stored hash; False, as slowly, without one."""
    with _AT_ONCE:
        try:
            HASHER.verify(stored or _NOBODY, password)
        except VerificationError:
            return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(stored)


def new_password() -> str:
    """Return a random password of 96 bits, 16 characters."""
    return secrets.token_urlsafe(12)
