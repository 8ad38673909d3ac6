"""One-time codes by which a payer proves that he has the phone that we know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

CODE_DIGITS: Final = 6
CODE_LIVES: Final = timedelta(minutes=5)
CODE_TRIES: Final = 5
"""For one code; then another has to be asked for."""
AGAIN_AFTER: Final = timedelta(seconds=60)
MOST_CODES: Final = 5
"""For one attempt or binding; a guesser has 25 tries of a million, and then it is over."""
PROVED: Final = "rule.proof_lets_pass@1"
"""The cause of a payment that the gate wanted a proof for, and that has it."""


class Purpose(StrEnum):
    """What a code is for."""

    PAY = "pay"
    BIND = "bind"


class ProofIsNotAsked(Refusal):
    """Nothing waits for a proof of the payer here, any more or yet."""

    kind = RefusalKind.CONFLICT
    en = "{about} waits for no proof of the payer."
    zh = "{about} 当前无需付款人核验。"


class ProofWasJustSent(Refusal):
    """A code was sent a moment ago."""

    kind = RefusalKind.TOO_MANY
    en = "A code was just sent; ask for another in {seconds} seconds."
    zh = "验证码刚刚发送，请 {seconds} 秒后再获取。"


class ProofIsWrong(Refusal):
    """The code is not the one that was sent."""

    kind = RefusalKind.INVALID
    en = "The code is wrong; {left} tries are left."
    zh = "验证码错误，还可尝试 {left} 次。"


class ProofHasLapsed(Refusal):
    """No code is there that could be answered: never sent, too old, or tried too often."""

    kind = RefusalKind.CONFLICT
    en = "No code of {about} can be answered any more; ask for another."
    zh = "{about} 的验证码已失效，请重新获取。"


class ProofTriesAreUsedUp(Refusal):
    """So many codes were sent and not answered that no further one is."""

    kind = RefusalKind.TOO_MANY
    en = "{about} has had {most} codes and is ended; begin again."
    zh = "{about} 已发送 {most} 次验证码并已终止，请重新发起。"


class ProofCannotBeSent(Refusal):
    """The messages service did not take the code."""

    kind = RefusalKind.UNAVAILABLE
    en = "The code cannot be sent now; try again in a minute."
    zh = "验证码暂时无法发送，请稍后重试。"


class PayerHasNoPhone(Refusal):
    """We know no phone of the payer that a code could be sent to."""

    kind = RefusalKind.CONFLICT
    en = "No phone of the payer of {about} is known: it cannot be proved that it is he."
    zh = "{about} 的付款人没有预留手机号，无法核验。"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A code that was sent and waits for its answer.

    Attributes
    ----------
    about : an attempt, or a binding
    code_hash : keyed; None: the code is void
    tries : of this code; sends : codes so far
    """

    about: UUID
    purpose: Purpose
    code_hash: bytes | None
    tries: int
    sends: int
    sent_at: datetime
    expires_at: datetime
    proved_at: datetime | None = None

    def takes_answers(self, at: datetime) -> bool:
        """Whether its code may be answered at an instant."""
        return self.code_hash is not None and self.tries < CODE_TRIES and at < self.expires_at


def check_again(known: Challenge | None, about: UUID, at: datetime) -> Refusal | None:
    """Return why no further code is sent, None where one is.

    Refusals
    --------
    proof_was_just_sent, proof_tries_are_used_up
    """
    if known is None:
        return None
    wait = known.sent_at + AGAIN_AFTER - at
    if wait > timedelta(0) and known.code_hash is not None:
        return ProofWasJustSent(seconds=int(wait.total_seconds()) + 1)
    if known.sends >= MOST_CODES:
        return ProofTriesAreUsedUp(about=about, most=MOST_CODES)
    return None


def masked_phone(phone: str) -> str:
    """Return what may be shown of a phone.

    Examples
    --------
    >>> masked_phone("13812345678"), masked_phone("123")
    ('138****5678', '****')
    """
    return f"{phone[:3]}****{phone[-4:]}" if len(phone) >= 9 else "****"
