"""Spans of requests, made after they were answered."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from mlops_ray.serve import Versions
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.tracing import Tracing, tracing_of
from tests.serve.asgi_client import post
from tests.serve.house import BASE, open_house, raises, with_canary
from tests.serve.samples import Register, lightgbm_model, record, route, run
from tests.serve.test_recorder import served

pytest.importorskip("opentelemetry.sdk")

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-2] + b"00"
ROW = [[1.0, 1.0, 1.0, 0.0]]


@pytest.fixture
def champion(versions: Versions, register: Register) -> LoadedModel:
    return versions.load(register(lightgbm_model(5)))


@pytest.fixture
def kept() -> Any:
    """What an exporter is given."""
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    return InMemorySpanExporter()


def tracing(kept: Any, share: float = 1.0) -> Tracing:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return Tracing("shop", share, provider)


def test_the_parts_of_a_request_lie_in_its_span(champion: LoadedModel, kept: Any) -> None:
    one = served(champion, "a", ROW, time_s=100.0, latency_ms=10.0, queue_ms=2.0, predict_ms=3.0, trace=PARENT)
    assert tracing(kept, 0.001).trace([[one]]) == 1
    spans = {span.name: span for span in kept.get_finished_spans()}
    whole = spans["predict shop"]
    assert whole.parent.trace_id == int(PARENT[3:35], 16)
    assert whole.parent.span_id == int(PARENT[36:52], 16)
    assert (whole.end_time - whole.start_time, whole.end_time) == (10_000_000, 100_000_000_000)
    assert whole.attributes["mlops_ray.request_id"] == "a"
    assert whole.attributes["mlops_ray.version"] == 1
    for name, took_ms in (("queue", 2), ("predict", 3)):
        assert spans[name].parent.span_id == whole.context.span_id
        assert spans[name].end_time - spans[name].start_time == took_ms * 1_000_000
        assert whole.start_time <= spans[name].start_time <= spans[name].end_time <= whole.end_time


def test_a_client_decides_for_its_own_requests_and_the_share_for_the_others(champion: LoadedModel, kept: Any) -> None:
    plain = [served(champion, f"r{i}", ROW) for i in range(2000)]
    assert 20 < tracing(kept, 0.05).trace([plain]) < 200
    untraced = [served(champion, f"r{i}", ROW, trace=UNSAMPLED) for i in range(50)]
    assert tracing(kept, 1.0).trace([untraced]) == 0
    copies = [served(champion, "c", ROW, role="shadow", assigned="shadow", trace=PARENT)]
    assert tracing(kept, 1.0).trace([copies]) == 0


def test_a_failed_request_is_an_error_and_a_fallback_is_told(champion: LoadedModel, kept: Any) -> None:
    failed = served(champion, "a", ROW, status=500, error="raised")
    fallback = served(champion, "b", ROW, assigned="canary", canary=2, error="raised")
    tracing(kept).trace([[failed, fallback]])
    first, second = (span for span in kept.get_finished_spans() if span.name == "predict shop")
    assert (first.status.is_ok, second.status.is_ok) == (False, True)
    assert [event.name for event in second.events] == ["not answered by who should have"]


def test_the_header_travels_from_the_request_to_the_record(versions: Versions, register: Register) -> None:
    register(lightgbm_model(5))
    register(lightgbm_model(6))
    house = open_house(versions, route(1, 1), raises)

    async def ask() -> None:
        await with_canary(house, 1.0)
        for header in (PARENT.decode(), "x" * 5000):
            content = {"records": [record()]}
            await post(house.door, f"{BASE}/predict", content, headers={"traceparent": header})
        await house.predict()
        assert [one.trace for one in house.records()] == [PARENT, None, None]

    run(ask())


@dataclass
class Collector:
    """A real HTTP server that keeps what is posted to it."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)


@pytest.fixture
def collector() -> Iterator[Collector]:
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield kept
    server.shutdown()
    server.server_close()


def test_spans_reach_a_collector_over_otlp(
    champion: LoadedModel, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    made = tracing_of("shop", 1.0)
    assert made is not None
    made.trace([[served(champion, "a", ROW, latency_ms=10.0, predict_ms=3.0)]])
    made.close()
    (body,) = collector.bodies
    sent = ExportTraceServiceRequest.FromString(body)
    names = [s.name for r in sent.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert sorted(names) == ["predict", "predict shop"]


def test_nothing_is_traced_unless_the_spec_and_the_environment_ask_for_it(caplog: pytest.LogCaptureFixture) -> None:
    assert tracing_of("shop", 0.0, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) is None
    assert caplog.records == []
    assert tracing_of("shop", 0.5, environment={}) is None
    assert "names no collector" in caplog.text
