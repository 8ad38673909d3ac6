"""Telemetry: masked logs, Prometheus metrics, OpenTelemetry traces."""

from steelyard.base.telemetry.logs import configure_logs, get_logger, log_context
from steelyard.base.telemetry.masking import mask_fields, mask_text
from steelyard.base.telemetry.tracing import configure_tracing, span

__all__ = [
    "configure_logs",
    "configure_tracing",
    "get_logger",
    "log_context",
    "mask_fields",
    "mask_text",
    "span",
]
