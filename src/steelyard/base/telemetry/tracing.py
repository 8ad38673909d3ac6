"""Traces by OpenTelemetry, where somebody collects them; otherwise nothing is paid for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from steelyard.base.settings import Settings
from steelyard.base.telemetry.logs import context_fields, get_logger
from steelyard.base.telemetry.masking import mask_fields, mask_text

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

_tracer: Any = None


def configure_tracing(settings: Settings, *, exporter: Any = None) -> bool:
    """Send spans to the collector named by `OTEL_EXPORTER_OTLP_ENDPOINT`; whether it does so.

    Parameters
    ----------
    exporter : an OpenTelemetry span exporter to use in place of the collector

    Without the variable nothing is imported. With it, but without the extra `steelyard[otel]`, a
    warning is written and the platform goes on without traces.
    """
    global _tracer
    if exporter is None and not os.environ.get(ENDPOINT):
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    except ImportError:
        get_logger("telemetry").warning("tracing_needs_the_extra", extra="steelyard[otel]")
        return False
    provider = TracerProvider(
        resource=Resource.create(
            {
                "service.name": "steelyard",
                "deployment.environment.name": settings.environment.value,
            }
        )
    )
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter())
        if exporter is None
        else SimpleSpanProcessor(exporter)
    )
    _tracer = provider.get_tracer("steelyard")
    return True


@contextmanager
def span(name: str, **attributes: object) -> Iterator[None]:
    """Trace the block as a span; without a collector it only runs the block.

    Attributes, the fields of `log_context` and the text of an exception are masked as in a log.
    """
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import Status, StatusCode

    fields = mask_fields({**dict(context_fields()), **attributes})
    plain = {
        key: value if isinstance(value, bool | int | float) else str(value)
        for key, value in fields.items()
    }
    # The library's own record of an exception would carry its text as it is.
    with _tracer.start_as_current_span(
        name, attributes=plain, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            text = mask_text(f"{type(error).__name__}: {error}")
            current.add_event("exception", {"exception.message": text})
            current.set_status(Status(StatusCode.ERROR, text))
            raise
