"""Refusals: the expected ways in which a command can be answered with no."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import ClassVar

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class RefusalKind(StrEnum):
    """What sort of no it is; the edge of the system maps it to its own codes."""

    INVALID = "invalid"
    """The request can never succeed as it stands."""
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    """The request is well formed but the state of things is against it."""
    TOO_MANY = "too_many"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"
    """Try again later; nothing was done."""


class Refusal(Exception):
    """An expected no: part of a verb's contract, raised instead of a result.

    A subclass is named as a sentence; its stable `code` is that name in small letters. It states a
    `kind` and one sentence in English and in Chinese, templates over the keyword facts given when
    it is raised. A refusal knows no HTTP. Whatever was written in the unit of work that raised it
    is rolled back.

    Examples
    --------
    >>> class LimitIsFrozen(Refusal):
    ...     kind = RefusalKind.CONFLICT
    ...     en, zh = "The limit {limit} is frozen.", "额度 {limit} 已冻结。"
    >>> LimitIsFrozen.code
    'limit_is_frozen'
    >>> LimitIsFrozen(limit="L1").sentence("zh-CN")
    '额度 L1 已冻结。'
    """

    code: ClassVar[str]
    kind: ClassVar[RefusalKind]
    en: ClassVar[str]
    zh: ClassVar[str]

    def __init_subclass__(cls) -> None:
        """Check that the subclass is complete, when it is defined and not when it is raised."""
        super().__init_subclass__()
        cls.code = _WORD.sub("_", cls.__name__).lower()
        assert isinstance(cls.kind, RefusalKind), f"{cls.__name__}.kind"
        assert cls.en, f"{cls.__name__}.en is empty"
        assert cls.zh, f"{cls.__name__}.zh is empty"

    def __init__(self, **facts: object) -> None:
        super().__init__(self.code)
        self.facts: dict[str, object] = facts

    def sentence(self, language: str) -> str:
        """Return the sentence in Chinese for `zh*`, in English for any other language."""
        template = self.zh if language.lower().startswith("zh") else self.en
        return template.format_map(_Facts(self.facts))

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence('en')}"


class _Facts(dict[str, object]):
    """A fact the raiser did not give is shown as a question mark, never as a second error."""

    def __missing__(self, key: str) -> str:
        return "?"
