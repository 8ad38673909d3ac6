"""Masking: no secret and no personal data leaves the process in a log line or a trace.

Two nets, one behind the other: the name of a field (`password`, `phone`, ...) and the shape of a
value (e-mail address, mobile number, resident id, card number, bearer token, ...), also inside
sentences, JSON and exception text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

MASK = "***"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRET_WORDS = _words(
    "password passwd passphrase pwd secret secrets token tokens code codes otp totp pin cvv cvc"
    " authorization cookie cookies credential credentials signature nonce apikey"
    " name names surname nickname phone phones mobile telephone tel email emails mail"
    " address addresses birth birthday birthdate dob passport pan iban"
)
_SECRET_NAMES = _words(
    "api_key private_key master_key secret_key id_number id_card identity_number card_number"
    " account_number"
)
_SECRET_CHINESE = re.compile(
    "密码|口令|密钥|令牌|验证码|姓名|手机|电话|邮箱|地址|身份证|证件号|卡号|生日"
)
_HARMLESS = _words(
    "status_code error_code reason_code refusal_code currency_code country_code language_code"
    " job_name task_name queue_name worker_name event_name file_name room_name policy_name"
    " check_name"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SUSPECT = re.compile(r"[:=：@(\[]|\d{4}[ -]?\d{4}|eyJ|(?:bearer|basic|digest) ", re.IGNORECASE)
"""Every shape below has one of these; a text without them is left alone at once."""
_LONGEST = 20_000
_SMALL = 10**10
"""Whole numbers under it are too short for a phone, an identity or a card."""


@functools.lru_cache(maxsize=4_096)
def is_secret_name(name: str) -> bool:
    """Whether a field of this name is masked whatever it holds.

    Examples
    --------
    >>> [is_secret_name(n) for n in ("userPassword", "X-Auth-Token", "id_number", "status_code")]
    [True, True, True, False]
    """
    words = [word.lower() for word in _WORD.findall(name)]
    joined = "_".join(words)
    if joined in _HARMLESS:
        return False
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    return any(secret in joined for secret in _SECRET_NAMES) or bool(_SECRET_CHINESE.search(name))


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def _mask_card(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match[0])
    return MASK if 13 <= len(digits) <= 19 and _luhn(digits) else match[0]


_NAME = re.compile(r"""(?<![\w.-])([^\W\d][\w.-]*)\\?["']?\s*[:=：]\s*""")
# "value", b'value', or plain: without quotes it goes on to the next pair or the next separator,
# because addresses and names have blanks in them.
_VALUE = re.compile(
    r"""[bru]{0,2}\\?"(?:[^"\\]|\\.)*"|[bru]{0,2}'(?:[^'\\]|\\.)*'"""
    r"""|[^\s,;&)\]}][^,;&)\]}\n]*?(?=\s+[^\W\d][\w.-]*["']?\s*[:=：]|[,;&)\]}\n]|$)"""
)


def _mask_pairs(text: str) -> str:
    """Mask the values of `name=value`, `"name": "value"` and their like after a secret name."""
    parts: list[str] = []
    done = position = 0
    while (name := _NAME.search(text, position)) is not None:
        position = name.end()
        if is_secret_name(name[1]) and (value := _VALUE.match(text, position)) is not None:
            parts += text[done:position], MASK
            done = position = value.end()
    return "".join((*parts, text[done:]))


_STRUCTURES: tuple[tuple[re.Pattern[str], str], ...] = (
    # What a database tells in its errors: whole rows, keys, copied lines, parameters.
    (
        re.compile(r"(Failing row contains )\((?:.*?\)\.?(?=\n[\[(A-Z]|\s*\Z)|.*)", re.DOTALL),
        rf"\1({MASK})",
    ),
    (re.compile(r"(Key \([^)\n]{0,200}\)=)\(.*?\)(?= |$)", re.MULTILINE), rf"\1({MASK})"),
    (re.compile(r"(CONTEXT: +COPY )[^\n]*"), rf"\1{MASK}"),
    (re.compile(r"\[parameters: .*?\](?=\n|$)", re.DOTALL), f"[parameters: {MASK}]"),
    (re.compile(r"\botpauth://\S+"), f"otpauth://{MASK}"),
    (re.compile(r"(\w://)[^/\s@'\"]+@"), rf"\1{MASK}@"),
    (re.compile(r"(?i)\b(bearer|basic|digest) +[\w.~+/=:-]+"), rf"\1 {MASK}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), MASK),
    (
        re.compile(
            r"""(?i)(\b(?:(?:set-)?cookie|(?:proxy-)?authorization)["']?\s*[:=]\s*)"""
            r"""(?:"[^"\n]*"|'[^'\n]*'|[^\n]*)"""
        ),
        rf"\1{MASK}",
    ),
)
_SHAPES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"), MASK),
    (
        re.compile(
            r"(?<!\d)[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
            r"\d{3}[\dXx](?!\d)"
        ),
        MASK,
    ),
    (
        re.compile(r"(?<!\d)(?:\+?86[ -]?)?1[3-9]\d(?:\d{8}|[ -]\d{4}[ -]\d{4})(?!\d)"),
        MASK,
    ),
    (
        re.compile(
            r"(?<!\d)(?<![0-9a-f]-)(?:\d{13,19}|\d{4}(?P<gap>[ -])\d{4}(?P=gap)\d{4}(?P=gap)"
            r"\d{1,4}(?:(?P=gap)\d{1,3})?|\d{4}(?P<amex>[ -])\d{6}(?P=amex)\d{5})(?!\d)"
        ),
        _mask_card,
    ),
)


def mask_text(text: str) -> str:
    """Return a text with every secret or personal value that shows by its shape taken out.

    Examples
    --------
    >>> mask_text("call 13800138000 or mail a.li@bank.cn, token=abc")
    'call *** or mail ***, token=***'
    >>> mask_text("paid by 4111 1111 1111 1111, order 4111 1111 1111 1112")
    'paid by ***, order 4111 1111 1111 1112'
    """
    if _SUSPECT.search(text) is None:
        return text
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... ({len(text)} characters)"
    for structure, replacement in _STRUCTURES:
        text = structure.sub(replacement, text)
    text = _mask_pairs(text)
    for shape, masked in _SHAPES:
        text = shape.sub(masked, text)
    return text


def mask_value(value: object) -> Any:
    """Return a value fit for a log: same structure, secrets and personal data replaced by `***`.

    Numbers, truth values and None stay as they are, save whole numbers that are card numbers,
    resident ids or phones; objects of other types are masked in their printed form.
    """
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        is_harmless = abs(value) < _SMALL or mask_text(str(value)) == str(value)
        return value if is_harmless else MASK
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, bytes):
        return mask_text(value.decode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return mask_fields(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [mask_value(item) for item in value]
    return mask_text(repr(value) if isinstance(value, BaseException) else str(value))


def mask_fields(fields: Mapping[Any, object]) -> dict[str, Any]:
    """Return the fields with those of a secret name, or a value of a secret shape, masked."""
    return {
        mask_text(str(name)): (
            MASK if value is not None and is_secret_name(str(name)) else mask_value(value)
        )
        for name, value in fields.items()
    }
