"""Scan and code (扫码): a code that hangs in a shop, and a code that a payer shows (付款码)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.orders import Mode

PAY_CODE_DIGITS: Final = 18
PAY_CODE_BEGINS: Final = "88"
PAY_CODE_LIVES: Final = timedelta(minutes=1)
MOST_CODES_A_MINUTE: Final = 12
"""That one customer may show: his page makes a new one every few seconds at most."""


class ScanCodeIsUnknown(Refusal):
    """No such code hangs anywhere, or it was taken down."""

    kind = RefusalKind.NOT_FOUND
    en = "The scanned code is unknown."
    zh = "该收款码不存在或已停用。"


class ScanCodeTakesLess(Refusal):
    """More was typed than the code takes."""

    kind = RefusalKind.CONFLICT
    en = "The scanned code takes at most {most_minor}, not {amount_minor}."
    zh = "该收款码单笔限额为 {most_minor}，本笔为 {amount_minor}。"


class PayCodeIsUnknown(Refusal):
    """Nobody shows such a code now: mistyped, older than a minute, or used."""

    kind = RefusalKind.NOT_FOUND
    en = "The payer's code is not good, or not any more; let him show a new one."
    zh = "付款码无效或已过期，请付款人刷新后重试。"


class TooManyPayCodes(Refusal):
    """A customer asks for codes faster than they can be shown."""

    kind = RefusalKind.TOO_MANY
    en = "At most {most} codes are made in a minute."
    zh = "一分钟内最多生成 {most} 个付款码。"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCode:
    """A code that hangs in a shop, or at a till of it: whoever scans it types the amount.

    Attributes
    ----------
    token : what is in the picture; 128 bits
    most_minor : of one payment
    """

    token: str
    merchant: UUID
    app: str
    mode: Mode
    terminal: str | None
    currency: str
    subject: str
    most_minor: int
    created_at: datetime
    is_active: bool = True
    version: int = 1


@dataclass(frozen=True, slots=True)
class ShownCode:
    """A code as its payer is given it, once.

    Attributes
    ----------
    expires_at : on the real clock
    """

    code: str
    expires_at: datetime

    def __repr__(self) -> str:
        """Return what may be seen of it in a log: it is money for a minute."""
        return f"ShownCode(…{self.code[-2:]})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayCode:
    """A code as it is kept: whose it is, and which card is paid with."""

    customer: UUID
    binding: UUID
    expires_at: datetime
    used_by: UUID | None = None


def is_pay_code(text: str) -> bool:
    """Whether a text has the form of a payer's code.

    Examples
    --------
    >>> is_pay_code("880000000000000000"), is_pay_code("8800"), is_pay_code("9" * 18)
    (True, False, False)
    """
    good = text.isascii() and text.isdecimal() and len(text) == PAY_CODE_DIGITS
    return good and text.startswith(PAY_CODE_BEGINS)


def pay_code_of(number: int) -> str:
    """Return the code of a number that chance gave.

    Examples
    --------
    >>> pay_code_of(42)
    '880000000000000042'
    """
    rest = PAY_CODE_DIGITS - len(PAY_CODE_BEGINS)
    return f"{PAY_CODE_BEGINS}{number % 10**rest:0{rest}d}"
