import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from mlops_ray.errors import MetricError
from mlops_ray.prometheus import Prometheus

# What a Prometheus 2.x server answers to these queries (its HTTP API, "instant queries").
ANSWERS: dict[str, dict[str, Any]] = {
    "one": {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1.5, "0.25"]}]}},
    "scalar": {"status": "success", "data": {"resultType": "scalar", "result": [1.5, "3"]}},
    "none": {"status": "success", "data": {"resultType": "vector", "result": []}},
    "two": {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"value": [1.5, "1"]}, {"value": [1.5, "2"]}]},
    },
    "nan": {"status": "success", "data": {"resultType": "scalar", "result": [1.5, "NaN"]}},
    "wrong(": {"status": "error", "errorType": "bad_data", "error": "parse error: unclosed parenthesis"},
}


class _Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        query = parse_qs(urlparse(self.path).query)["query"][0]
        body = json.dumps(ANSWERS[query]).encode()
        self.send_response(200 if ANSWERS[query]["status"] == "success" else 400)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    server = HTTPServer(("127.0.0.1", 0), _Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Prometheus(f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_vector_of_one_series_and_a_scalar_are_numbers(prometheus: Prometheus) -> None:
    assert (prometheus.value("one"), prometheus.value("scalar")) == (0.25, 3.0)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("none", "expected one number from 'none', found 0 series"),
        ("two", "expected one number from 'two', found 2 series"),
        ("nan", "expected a finite number from 'nan', found nan"),
        ("wrong(", "refuses 'wrong\\(': parse error: unclosed parenthesis"),
    ],
)
def test_anything_else_is_no_measurement(prometheus: Prometheus, query: str, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        prometheus.value(query)


def test_a_server_that_is_away_is_no_measurement() -> None:
    with pytest.raises(MetricError, match="does not answer"):
        Prometheus("http://127.0.0.1:1").value("one")


def test_without_an_address_the_error_says_what_to_set() -> None:
    with pytest.raises(MetricError, match="MLOPS_RAY_PROMETHEUS"):
        Prometheus("").value("one")
