"""Spans of a pool process go to an OTLP/HTTP receiver; Prefect makes them, with our step's span as the flow's parent."""

from __future__ import annotations

from typing import Callable

SERVICE_NAME = "millrace-flow-host"
_DELAY_MS = 250


def configure(otlp_url: str | None) -> Callable[[], None]:
    """Sets this process's tracer provider; returns what to call before the process ends. Without a URL nothing happens."""
    if not otlp_url:
        return lambda: None
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE_NAME}))
    exporter = OTLPSpanExporter(endpoint=f"{otlp_url}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_DELAY_MS))
    trace.set_tracer_provider(provider)

    def finish() -> None:
        provider.force_flush(3_000)
        provider.shutdown()

    return finish
