"""One-time codes: made, sent outside of any transaction, and answered."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from steelyard.base import Database, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.kernel import Refusal
from steelyard.parties import phone_sign_in
from steelyard.payments.model.proofs import (
    AGAIN_AFTER,
    CODE_DIGITS,
    CODE_LIVES,
    CODE_TRIES,
    Challenge,
    ProofCannotBeSent,
    ProofHasLapsed,
    ProofIsWrong,
    ProofTriesAreUsedUp,
    Purpose,
    check_again,
    masked_phone,
)
from steelyard.payments.store import proofs as table

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codes:
    """What codes are made and sent with.

    Attributes
    ----------
    sender : of the parties' room: the same messages go to the same phones
    """

    database: Database
    keyring: Keyring
    sender: phone_sign_in.CodeSender


@dataclass(frozen=True, slots=True)
class CodeSent:
    """A code that is on its way.

    Attributes
    ----------
    to : what may be shown of the phone
    again_at : when another may be asked for; instants of the real clock
    """

    about: UUID
    to: str
    expires_at: datetime
    again_at: datetime


def send_code(
    codes: Codes,
    about: UUID,
    purpose: Purpose,
    phone_of: Callable[[UnitOfWork], str],
    *,
    actor: str,
) -> CodeSent:
    """Send a code for an attempt or a binding; the one before counts no more.

    Parameters
    ----------
    phone_of : checks, within the transaction, that a code is wanted, and returns the phone

    Refusals
    --------
    those of `phone_of`, proof_was_just_sent, proof_tries_are_used_up, proof_cannot_be_sent
    """
    code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"

    def begin(unit: UnitOfWork) -> tuple[str, Challenge]:
        phone = phone_of(unit)
        known = table.lock(unit.connection, about)
        refusal = check_again(known, about, unit.wall_at)
        if refusal is not None:
            raise refusal
        new = Challenge(
            about=about,
            purpose=purpose,
            code_hash=_hash(codes, unit, about, code),
            tries=0,
            sends=1 if known is None else known.sends + 1,
            sent_at=unit.wall_at,
            expires_at=unit.wall_at + CODE_LIVES,
        )
        table.put(unit.connection, new)
        return phone, new

    phone, new = codes.database.transact(begin, actor=actor)
    if not codes.sender.send(f"{about.hex}{new.sends}", phone=phone, code=code):
        codes.database.transact(lambda unit: table.void(unit.connection, about), actor=actor)
        raise ProofCannotBeSent
    return CodeSent(about, masked_phone(phone), new.expires_at, new.sent_at + AGAIN_AFTER)


def answer_code(codes: Codes, about: UUID, code: str, *, actor: str) -> None:
    """Judge the answer to a code; a wrong one is counted, whatever becomes of the request.

    Refusals
    --------
    proof_has_lapsed, proof_is_wrong
    """

    def judge(unit: UnitOfWork) -> Refusal | None:
        known = table.lock(unit.connection, about)
        if known is None or not known.takes_answers(unit.wall_at):
            return ProofHasLapsed(about=about)
        typed = _hash(codes, unit, about, "".join(code.split()))
        assert known.code_hash is not None, "it takes answers"
        if not secrets.compare_digest(typed, known.code_hash):
            table.count_try(unit.connection, about)
            return ProofIsWrong(left=CODE_TRIES - known.tries - 1)
        table.prove(unit.connection, about, unit.wall_at)
        return None

    told(codes.database.transact(judge, actor=actor))


def told(outcome: T | Refusal) -> T:
    """Return the outcome, or raise the refusal that a committed unit came to."""
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome


def is_used_up(refusal: Refusal) -> bool:
    """Whether no further code will be sent."""
    return isinstance(refusal, ProofTriesAreUsedUp)


def _hash(codes: Codes, unit: UnitOfWork, about: UUID, code: str) -> bytes:
    """Return the keyed hash of a code: six digits would not be safe under one without a key."""
    return codes.keyring.blind_index(unit.connection, code, field=f"payments.proof.{about.hex}")
