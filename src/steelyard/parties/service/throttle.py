"""Slowing down guesses: an attempt is charged before it is judged."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.parties.model.session import Client
from steelyard.parties.model.staff import (
    ACCOUNT_LOCK,
    ADDRESS_LOCK,
    LockPolicy,
    SignInIsLocked,
    charge,
)
from steelyard.parties.store import staff as table


@dataclass(frozen=True, slots=True)
class Throttled:
    """Something whose failures are counted, known by a keyed hash only."""

    subject: bytes
    policy: LockPolicy


@dataclass(frozen=True, slots=True)
class Guess:
    """What one attempt is charged to: the account it is for, and where it came from."""

    account: Throttled
    address: Throttled


def guess_at(
    connection: sa.Connection,
    keyring: Keyring,
    account: str,
    client: Client,
    *,
    policy: LockPolicy = ACCOUNT_LOCK,
) -> Guess:
    """Return what an attempt on an account is charged to."""

    def throttled(name: str, rule: LockPolicy) -> Throttled:
        return Throttled(keyring.blind_index(connection, name, field="access.attempt"), rule)

    return Guess(throttled(account, policy), throttled(f"address:{client.address}", ADDRESS_LOCK))


def charge_guess(unit: UnitOfWork, guess: Guess) -> SignInIsLocked | None:
    """Count an attempt as failed, or return why it has to wait; commit either way.

    The refusal is returned, not raised: raised, it would undo the count.
    """
    both = sorted((guess.account, guess.address), key=lambda throttled: throttled.subject)
    charged = []
    for throttled in both:
        attempts = table.lock_attempts(unit.connection, throttled.subject)
        try:
            charged.append((throttled.subject, charge(attempts, unit.wall_at, throttled.policy)))
        except SignInIsLocked as refusal:
            return refusal
    for subject, attempts in charged:
        table.put_attempts(unit.connection, subject, attempts)
    return None


def forgive(unit: UnitOfWork, guess: Guess) -> None:
    """Take the charge back: the attempt was right, but the sign-in is not complete."""
    for throttled in sorted((guess.account, guess.address), key=lambda t: t.subject):
        table.forgive_attempt(unit.connection, throttled.subject)


def absolve(unit: UnitOfWork, guess: Guess) -> None:
    """Forget the failures of the account: its owner signed in.

    The address gets this one charge back only: one right account does not clean a machine that
    tries many.
    """
    table.forget_attempts(unit.connection, guess.account.subject)
    table.forgive_attempt(unit.connection, guess.address.subject)
