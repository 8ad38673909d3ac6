"""Facts: past-tense events as typed, versioned values, and the port through which they are kept.

The log itself is the room `events`; the shape of a fact and the port stand here, because rooms
under `events` or beside it (`ledger`) record facts without knowing who keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, dataclass_transform

import msgspec
import sqlalchemy as sa

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


_CLASSES: dict[tuple[str, int], type[Fact]] = {}
_UPCASTS: dict[tuple[str, int], Upcast] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class _FactMeta(msgspec.StructMeta):
    """Takes the kind and version of a fact as class keywords, and enters it into the registry."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        kind: str = "",
        version: int = 0,
        upcast_from: Upcast | None = None,
        **keywords: Any,
    ) -> Any:
        made: Any = super().__new__(mcls, name, bases, namespace, **keywords)
        if kind:
            assert version > 0, f"{name} has no version"
            made.kind, made.version = kind, version
            _CLASSES[kind, version] = made
            if upcast_from is not None:
                _UPCASTS[kind, version - 1] = upcast_from
        return made


class Fact(msgspec.Struct, frozen=True, kw_only=True, metaclass=_FactMeta):
    """The payload of one event, of one version of its kind.

    A room declares `class TransferPosted(Fact, kind="ledger.TransferPosted", version=1)`. Payloads
    hold ids, codes, amounts and instants: never personal data, which could not be erased again.
    A class of a later version states how the payload before it is lifted (`upcast_from`).

    Examples
    --------
    >>> class LampLit(Fact, kind="lamps.LampLit", version=2,
    ...               upcast_from=lambda old: {**old, "watt": 60}):
    ...     lamp: str
    ...     watt: int
    >>> read_fact("lamps.LampLit", 1, b'{"lamp": "a"}')
    LampLit(lamp='a', watt=60)
    """

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 0


def fact_classes() -> Mapping[tuple[str, int], type[Fact]]:
    """Return the registry: (kind, version) to the class of the payload."""
    return _CLASSES


def read_fact(kind: str, version: int, payload: bytes | str) -> Fact:
    """Return a stored payload as the newest class of its kind, lifted version by version.

    Raises
    ------
    KeyError
        No room that is loaded declares the kind: a fault of the composition, not of the data.
    """
    newest = max(v for k, v in _CLASSES if k == kind)
    if version == newest:
        return msgspec.json.decode(payload, type=_CLASSES[kind, version])
    raw: dict[str, Any] = msgspec.json.decode(payload)
    for step in range(version, newest):
        raw = _UPCASTS[kind, step](raw)
    return msgspec.convert(raw, _CLASSES[kind, newest])


@dataclass(frozen=True, slots=True)
class Recorded:
    """A fact on its way into the log.

    Attributes
    ----------
    subject : whose history it belongs to, `noun:id`; facts of one subject are totally ordered,
        because the writer holds the subject's row (or is creating it) until it commits
    occurred_at : when it happened in the world; recorded_at : when the platform wrote it
    actor : who caused it, `noun:id`
    """

    fact: Fact
    subject: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str


class FactLog(Protocol):
    """Keeps facts in the transaction of the one who records them."""

    def write(self, connection: sa.Connection, facts: Sequence[Recorded]) -> None:
        """Append the facts, in order, in the connection's transaction."""
        ...
