"""What a consumer is: handlers that hear facts by name and version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, overload

import msgspec

from steelyard.base import Fact, UnitOfWork, fact_classes, read_fact
from steelyard.events.model.consumption import OnFailure
from steelyard.events.model.log import StoredFact

ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Heard:
    """A fact as a handler gets it.

    Attributes
    ----------
    stored : its place in the log; `stored.sequence` is what a handler with effects outside our
        database is idempotent by
    fact : the payload, of the class that the handler's consumer names
    """

    stored: StoredFact
    fact: Any


One = Callable[[UnitOfWork, Heard], None]
Many = Callable[[UnitOfWork, Sequence[Heard]], None]
F = TypeVar("F", One, Many)


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that hears facts (made by `hears`).

    Attributes
    ----------
    hears : `kind@version` of each fact
    call : gets the unit of work, and one fact or (`many`) a list of them
    """

    name: str
    hears: tuple[str, ...]
    call: Callable[[UnitOfWork, Any], None]
    many: bool
    attempts: int
    on_failure: OnFailure


@overload
def hears(
    *names: str, attempts: int = ..., on_failure: OnFailure = ...
) -> Callable[[One], Handler]: ...
@overload
def hears(
    *names: str, many: Literal[True], attempts: int = ..., on_failure: OnFailure = ...
) -> Callable[[Many], Handler]: ...
def hears(
    *names: str,
    many: bool = False,
    attempts: int = ATTEMPTS,
    on_failure: OnFailure = OnFailure.STOP,
) -> Callable[[Any], Handler]:
    """Make a function a handler of facts, by name and version.

    The handler's writes are committed together with the consumer's place, so for effects in our
    database delivery is once. Effects elsewhere may happen again (a crash, a retry, a replay): such
    a handler is idempotent by `stored.sequence`.

    Parameters
    ----------
    names : `room.FactName@version`; facts of earlier versions are lifted to it
    many : whether the function gets a list of facts (in order) instead of one
    attempts : how often a fact is tried before it becomes a dead letter
    on_failure : whether the consumer then stops or goes on

    Examples
    --------
    >>> @hears("lamps.LampLit@1", on_failure=OnFailure.GO_ON)
    ... def count(unit: UnitOfWork, heard: Heard) -> None: ...
    >>> count.hears
    ('lamps.LampLit@1',)
    """
    assert names, "a handler hears something"
    assert attempts > 0, "a fact is tried at least once"
    for name in names:
        kind, _, version = name.partition("@")
        assert kind, f"{name!r} is not kind@version"
        assert version.isdecimal(), f"{name!r} is not kind@version"
    assert len({name.partition("@")[0] for name in names}) == len(names), "one version of a kind"

    def make(call: Callable[[UnitOfWork, Any], None]) -> Handler:
        name = f"{call.__module__}.{call.__qualname__}"
        return Handler(name, tuple(sorted(names)), call, many, attempts, on_failure)

    return make


@dataclass(frozen=True, slots=True)
class Consumer:
    """A subscriber of the log: a name, a version, and handlers run in order for each fact.

    Attributes
    ----------
    name : `room.noun`
    version : two versions of a name are two consumers, each with a place of its own; a changed
        read model is filled by a new version while the old one still serves
    begins : where a consumer that never ran begins
    forget : clears what the handlers wrote, when the consumer is replayed from the beginning
    """

    name: str
    handlers: tuple[Handler, ...]
    version: int = 1
    begins: Literal["beginning", "now"] = "beginning"
    forget: Callable[[UnitOfWork], None] | None = None
    by_kind: dict[str, tuple[Handler, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check that all handlers name the same version of a kind."""
        assert self.handlers, f"{self.name} hears nothing"
        assert self.version > 0, f"{self.name} has no version"
        kinds = {name.partition("@")[0] for name in self.hears}
        assert len(kinds) == len(self.hears), f"{self.name} hears a kind in two versions"
        routes = {
            kind: tuple(h for h in self.handlers if _hears_kind(h, kind)) for kind in sorted(kinds)
        }
        object.__setattr__(self, "by_kind", routes)

    @property
    def hears(self) -> tuple[str, ...]:
        """Every `kind@version` that some handler hears, sorted."""
        return tuple(sorted({name for handler in self.handlers for name in handler.hears}))

    @property
    def kinds(self) -> list[str]:
        """Every kind that some handler hears, sorted."""
        return list(self.by_kind)

    @property
    def actor(self) -> str:
        """The actor of its units of work."""
        return f"consumer:{self.name}"


def _hears_kind(handler: Handler, kind: str) -> bool:
    return any(name.partition("@")[0] == kind for name in handler.hears)


def check_consumers(consumers: Iterable[Consumer]) -> None:
    """Check that what is heard is declared, in its newest version; a fault of composition if not.

    Asked when every room is loaded: a subscriber never imports the class of what it hears. When a
    room raises a fact to version 2, its subscribers must say `@2` too, and so are looked at.
    """
    classes = fact_classes()
    seen: set[tuple[str, int]] = set()
    for consumer in consumers:
        assert (consumer.name, consumer.version) not in seen, f"{consumer.name} is there twice"
        seen.add((consumer.name, consumer.version))
        for name in consumer.hears:
            kind, _, version = name.partition("@")
            assert (kind, int(version)) in classes, (
                f"{consumer.name} hears {name}, which no room that is loaded declares"
            )
            newest = max(v for k, v in classes if k == kind)
            assert int(version) == newest, f"{consumer.name} hears {name}; newest is @{newest}"


class FactReader:
    """Reads payloads as the classes that a consumer names; one for each consumer and process."""

    def __init__(self, consumer: Consumer) -> None:
        check_consumers([consumer])
        self._decoders: dict[str, tuple[int, msgspec.json.Decoder[Fact]]] = {}
        for name in consumer.hears:
            kind, _, version = name.partition("@")
            decoder = msgspec.json.Decoder(fact_classes()[kind, int(version)])
            self._decoders[kind] = (int(version), decoder)

    def is_newer(self, stored: StoredFact) -> bool:
        """Whether the fact is of a later version than this release knows."""
        return stored.version > self._decoders[stored.kind][0]

    def read(self, stored: StoredFact) -> Heard:
        """Return the fact with its payload, lifted to the version that is heard."""
        version, decoder = self._decoders[stored.kind]
        if stored.version == version:
            return Heard(stored, decoder.decode(stored.payload))
        return Heard(stored, read_fact(stored.kind, stored.version, stored.payload))
