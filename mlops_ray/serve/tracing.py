"""OpenTelemetry spans of a few requests, made of their records after they were answered.

A request that is traced costs what one that is not does: its `traceparent` (W3C Trace Context) travels in the record,
and spans are built on another thread. The parts of a request are measured, and lie in their span in the order in which
they happen; the time between them is reading and answering.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlops_ray.rollout import on_canary
from mlops_ray.serve.recorder import Served

__all__ = ["Tracing", "tracing_of"]

_log = logging.getLogger(__name__)
_SAMPLED = 1
_NS_PER_MS = 1e6
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing:
    """Traces a share of the requests, and all whose client traces them; pure work, safe on any one thread."""

    def __init__(self, model: str, share: float, provider: Any) -> None:
        """`provider` is an SDK's TracerProvider; what it does with spans is its own business."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._model = model
        self._share = share
        self._provider = provider
        self._tracer = provider.get_tracer("mlops_ray")
        self._propagator = TraceContextTextMapPropagator()

    def trace(self, batches: Iterable[Sequence[Served]]) -> int:
        """Make the spans of these requests; how many requests were traced."""
        chosen = [served for batch in batches for served in batch if self._wanted(served)]
        for served in chosen:
            self._span(served)
        return len(chosen)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _wanted(self, served: Served) -> bool:
        if served.assigned == "shadow":
            return False
        if served.trace is not None:
            return is_sampled(served.trace)
        return on_canary(served.request_id, "trace", self._share)

    def _span(self, served: Served) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        end_ns = int(served.time_s * 1e9)
        start_ns = end_ns - int(served.latency_ms * _NS_PER_MS)
        carrier = {} if served.trace is None else {"traceparent": served.trace.decode("latin-1")}
        span = self._tracer.start_span(
            f"predict {self._model}",
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes=self._attributes(served),
            start_time=start_ns,
        )
        if served.error is not None:
            if served.status != 200:
                span.set_status(Status(StatusCode.ERROR, served.error))
            span.add_event("not answered by who should have", {"error": served.error}, timestamp=end_ns)
        inside = set_span_in_context(span)
        predicted_ns = end_ns - int(served.predict_ms * _NS_PER_MS)
        queued_ns = predicted_ns - int(served.queue_ms * _NS_PER_MS)
        for name, start, end in (("queue", queued_ns, predicted_ns), ("predict", predicted_ns, end_ns)):
            if end > start:
                self._tracer.start_span(name, context=inside, start_time=max(start, start_ns)).end(end_time=end)
        span.end(end_time=end_ns)

    def _attributes(self, served: Served) -> dict[str, Any]:
        return {
            "mlops_ray.model": self._model,
            "mlops_ray.version": served.version,
            "mlops_ray.role": served.role,
            "mlops_ray.assigned": served.assigned,
            "mlops_ray.epoch": served.epoch,
            "mlops_ray.request_id": served.request_id,
            "mlops_ray.rows": len(served.scores),
            "http.response.status_code": served.status,
        }


def is_sampled(traceparent: bytes) -> bool:
    """Whether the client of a `traceparent` header traces the request; what is none says no.

    >>> is_sampled(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), is_sampled(b"00-x-y-00")
    (True, False)
    """
    flags = traceparent.rpartition(b"-")[2]
    try:
        return len(flags) == 2 and bool(int(flags, 16) & _SAMPLED)
    except ValueError:
        return False


def tracing_of(model: str, share: float, *, environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """Tracing over OTLP, where the spec asks for it and the usual variables of OpenTelemetry name a collector.

    It needs the package's extra `tracing`; without it, or without a collector, requests are answered and not traced.
    """
    if share <= 0:
        return None
    if not any(environment.get(name) for name in _ENDPOINTS):
        _log.warning("serve.tracing asks for traces, but %s names no collector", _ENDPOINTS[0])
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        _log.warning("serve.tracing asks for traces: pip install 'mlops-ray[tracing]' (%s)", error)
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": "mlops_ray"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(model, share, provider)
