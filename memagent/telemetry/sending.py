"""Sends traces and metrics to a collector, over HTTP, in the background: nothing waits for it.

A collector that is not there costs one line in the log; what it could not take is dropped, and as the process ends it
is waited for only shortly. Knows nothing of what is sent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from memagent import __version__, config
from memagent.settings import Settings

log = logging.getLogger(__name__)

FAREWELL = 1.5
"""Seconds that the end of the process may wait for the collector."""
_LOUD = ("opentelemetry.exporter", "opentelemetry.sdk")
"""Who would log every failure, and every wait between two of them."""


class Sending:
    """Providers of tracers and meters whose spans and numbers go to the collector that the settings name. All else is
    as OTEL_* says, which OpenTelemetry reads by itself.
    """

    def __init__(self, settings: Settings) -> None:
        address = settings.telemetry_endpoint.rstrip("/")
        headers = settings.telemetry_header_values
        self._trouble = _Trouble(config.mask(address, settings))
        for name in _LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.traces = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        spans = _Spans(f"{address}/v1/traces", headers=headers)
        spans.failed = self._trouble.told
        self.traces.add_span_processor(BatchSpanProcessor(spans))
        numbers = _Numbers(f"{address}/v1/metrics", headers=headers)
        numbers.failed = self._trouble.told
        reader = PeriodicExportingMetricReader(numbers)
        self.metrics = MeterProvider([reader], resource=_resource(), shutdown_on_exit=False)

    def end(self) -> None:
        """Send what is left, as far as that takes no longer than a moment."""
        ending = [threading.Thread(target=provider.shutdown, daemon=True) for provider in (self.traces, self.metrics)]
        for thread in ending:
            thread.start()
        until = time.monotonic() + FAREWELL
        for thread in ending:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in ending):
            self._trouble.told()


def _resource() -> Resource:
    """Who sends: as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, else memagent."""
    found = Resource.create({SERVICE_VERSION: __version__})
    unnamed = str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    return found.merge(Resource({SERVICE_NAME: "memagent"})) if unnamed else found


class _Trouble:
    """Tells once that the collector can't be reached."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._said = False

    def told(self) -> None:
        if not self._said:
            self._said = True
            log.warning("Traces and metrics can't be sent to %s; what it does not take is dropped.", self._address)


def _untold() -> None:
    """Nobody wants to know."""


class _Spans(OTLPSpanExporter):
    failed: Callable[[], None] = staticmethod(_untold)

    def export(self, spans: Any) -> SpanExportResult:
        result = super().export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.failed()
        return result


class _Numbers(OTLPMetricExporter):
    failed: Callable[[], None] = staticmethod(_untold)

    def export(self, metrics_data: Any, timeout_millis: float | None = 10_000, **kwargs: Any) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **kwargs)
        if result is not MetricExportResult.SUCCESS:
            self.failed()
        return result
