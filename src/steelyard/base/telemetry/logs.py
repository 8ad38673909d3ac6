"""Structured logs: one event a line, as text for people or JSON for machines, always masked.

What the standard library's loggers say (the web server, the database driver, the job runner) goes
through the same processors. Before `configure_logs` only warnings and errors are written, to the
standard error output, masked too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TextIO

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.typing import FilteringBoundLogger, Processor

from steelyard.base.settings import Settings
from steelyard.base.telemetry.masking import mask_fields

_QUIET = {
    "procrastinate": logging.WARNING,
    "psycopg.pool": logging.ERROR,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
}
"""Loggers whose everyday lines say nothing that our own do not."""
_OWN = ("level", "timestamp", "logger")
"""Written by the processors themselves."""


def mask_event(
    logger: object, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Mask one event: the last processor before it becomes a line."""
    own = {name: event.pop(name) for name in _OWN if name in event}
    return {**mask_fields(event), **own}


def _processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        # Before the masking: exception text is where secrets hide.
        structlog.processors.format_exc_info,
        mask_event,
    ]


def _renderer(log_format: str) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return ConsoleRenderer(
        colors=False, exception_formatter=plain_traceback, pad_event_to=0, pad_level=False
    )


class _Line(structlog.PrintLogger):
    """Writes to a stream and knows which logger speaks."""

    def __init__(self, name: str, stream: TextIO) -> None:
        super().__init__(stream)
        self.name = name


def _setup(*, level: int, log_format: str, stream: TextIO | None) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.stdlib.add_logger_name,
            *_processors(),
            _renderer(log_format),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # The stream is looked up for each logger: a test, or a server, may have replaced it.
        logger_factory=lambda name: _Line(name, stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def configure_logs(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Write logs in the format and from the level of the settings, to `stream` (standard error).

    The root logger of the standard library gets one handler that masks; a server that brings its
    own logging configuration must be started without it.
    """
    level = logging.getLevelNamesMapping()[settings.log_level]
    _setup(level=level, log_format=settings.log_format, stream=stream)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_processors(),
                _renderer(settings.log_format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, floor in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, floor))


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a room or module: `log.info("what_happened", field=value)`.

    Field names that sound like a secret or a person (`name`, `code`, `token`, `phone`, ...) are
    masked: say `job`, `currency`, `refusal_code`.
    """
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def log_context(**fields: object) -> AbstractContextManager[None]:
    """Add fields to every line written inside the block: `request_id`, `actor`, `job_id`.

    The block is the context of the thread or the asynchronous task, so two requests at once do not
    mix.
    """
    return structlog.contextvars.bound_contextvars(**fields)


def context_fields() -> Sequence[tuple[str, object]]:
    """Return the fields that `log_context` has put in place here."""
    return tuple(structlog.contextvars.get_contextvars().items())


_setup(level=logging.WARNING, log_format="text", stream=None)
