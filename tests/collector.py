"""A small collector for tests: what is sent to it over OTLP/HTTP, decoded, and the bytes as they came."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """A span as it came."""

    name: str
    id: str
    parent: str
    trace: str
    kind: int
    failed: bool
    about: dict[str, Any]
    links: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


@dataclass
class Collector:
    """What came so far."""

    address: str = ""
    spans: list[Span] = field(default_factory=list)
    numbers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: bytes = b""

    def named(self, name: str) -> list[Span]:
        """The spans of that name, or whose names begin with that word."""
        return [span for span in self.spans if span.name == name or span.name.startswith(f"{name} ")]

    def one(self, name: str) -> Span:
        """The only span of that name."""
        found = self.named(name)
        assert len(found) == 1, f"{name}: {[span.name for span in self.spans]}"
        return found[0]

    def take(self, path: str, body: bytes) -> None:
        """Take in what was sent."""
        self.raw += body
        if path == "/v1/traces":
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource |= _plain(group.resource.attributes)
                self.spans += [_span(span) for scope in group.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
                    points = metric.histogram.data_points
                    told = [_plain(p.attributes) | {"count": p.count, "sum": p.sum} for p in points]
                    self.numbers[metric.name] = told


def _span(span: Any) -> Span:
    return Span(
        span.name, span.span_id.hex(), span.parent_span_id.hex(), span.trace_id.hex(), span.kind,
        span.status.code == 2, _plain(span.attributes), tuple(link.span_id.hex() for link in span.links),
        tuple(event.name for event in span.events),
    )  # fmt: skip


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that runs."""
    collector = Collector()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            collector.take(self.path, gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        collector.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join(5)
