"""OpenTelemetry's SDK, imported only when a collector is named: spans over OTLP/HTTP, in batches, in a thread."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from chassis.ids import new_id

CLOSE_SECONDS = 3.0
"""How long the end of a process waits for a collector to take the last spans."""


class Recorder:
    """Makes spans of one service and sends them. The SDK's own variables (`OTEL_*`) set sampling, headers and so on."""

    def __init__(self, service: str) -> None:
        attributes = {"service.namespace": "btrst", "service.instance.id": str(new_id())}
        if "OTEL_SERVICE_NAME" not in os.environ:
            attributes["service.name"] = service
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("btrst")

    def begin(
        self,
        name: str,
        kind: str,
        parent: str | None,
        attributes: Mapping[str, Any] | None,
        *,
        links: Sequence[str],
        started_ns: int | None,
    ) -> tuple[str, Any]:
        """A begun span and its trace context."""
        context = Context() if parent is None else set_span_in_context(NonRecordingSpan(_context_of(parent)), Context())
        span = self._tracer.start_span(
            name,
            context=context,
            kind=SpanKind[kind.upper()],
            attributes=attributes,
            links=[Link(_context_of(link)) for link in links],
            start_time=started_ns,
        )
        made = span.get_span_context()
        return f"00-{made.trace_id:032x}-{made.span_id:016x}-{made.trace_flags:02x}", span

    def fail(self, span: Any, reason: str) -> None:
        """Mark it as failed. Source: semantic conventions, recording errors."""
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute("error.type", reason)

    def close(self) -> None:
        """Send what is left, for a moment: a collector that is away holds up nobody's end."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(CLOSE_SECONDS)


def _context_of(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
