import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from mlops_ray.control.parity import BackgroundParity, HttpParity
from mlops_ray.errors import ClusterError
from mlops_ray.model import Bundle, build_probe, encode, load_bundle, write_bundle
from mlops_ray.store import ModelVersionRecord
from tests.control.world import toy_spec, version
from tests.e2e.toy import SIGNATURE, reference, rows, sound_model, until

KEY = "mlr_0123"


@dataclass
class Served:
    """A version behind HTTP; what is wrong with it is said by its fields."""

    record: ModelVersionRecord
    bundle: Bundle
    url: str = ""
    status: int = 200
    off_by: float = 0.0
    keys: frozenset[str] = frozenset()
    requests: int = 0
    most_rows: int = 1000

    def scores(self, records: list[dict[str, Any]]) -> NDArray[np.float64]:
        """The bundle's own predictions, or next to them."""
        table = pa.Table.from_pylist([{name: r.get(name) for name in SIGNATURE.names} for r in records])
        return self.bundle.predict(encode(SIGNATURE, table)) + self.off_by


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            served.requests += 1
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if len(body["records"]) > served.most_rows:
                served.status, before = 504, served.status
            else:
                before = served.status
            status = 401 if served.keys and self.headers["x-api-key"] not in served.keys else served.status
            served.status = before
            assert self.path == "/v2/models/toy/versions/1/predict"
            scores = served.scores(body["records"]).tolist()
            answer = {"predictions": [{"score": s} for s in scores]} if status == 200 else {"error": f"is {status}"}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Version 1 of the toy with a probe of 600 rows, and a server that answers for it."""
    model, table = sound_model(10), pa.Table.from_pylist(rows(600, 3))
    folder = tmp_path / "bundle"
    write_bundle(folder, model=model, signature=SIGNATURE, reference=reference(), card="")
    predict = load_bundle(str(folder)).predict
    probe = build_probe(SIGNATURE, table, model=model, predict=predict)
    write_bundle(folder, model=model, signature=SIGNATURE, reference=reference(), card="", probe=probe)
    served = Served(replace(version(1), bundle_uri=str(folder)), load_bundle(str(folder)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def difference(served: Served, **options: Any) -> str | None:
    return HttpParity(served.url, **options).difference(toy_spec(), served.record)


def test_a_version_that_answers_as_in_training_has_no_difference(served: Served) -> None:
    assert difference(served) is None
    assert served.requests == 3, "600 rows, 250 a request"


def test_a_version_that_answers_otherwise_is_told_by_its_worst_row(served: Served) -> None:
    served.off_by = 0.001
    found = difference(served)
    assert found is not None
    assert "0.001 apart" in found
    assert "600 of 600 rows" in found


def test_rounding_is_no_difference(served: Served) -> None:
    served.off_by = 1e-9
    assert difference(served) is None


def test_a_row_of_its_own_training_that_the_version_refuses_is_a_difference(served: Served) -> None:
    served.status = 422
    assert "refuses a row of its own training data: is 422" in str(difference(served))


@pytest.mark.parametrize("status", [404, 503, 504])
def test_a_version_that_is_not_there_yet_is_asked_again(served: Served, status: int) -> None:
    served.status = status
    with pytest.raises(ClusterError, match="does not answer yet"):
        difference(served)


def test_the_check_has_a_key_where_keys_are_asked_for(served: Served) -> None:
    served.keys = frozenset({KEY})
    assert difference(served, api_key=KEY) is None
    with pytest.raises(ClusterError, match="401"):
        difference(served)


def test_a_bundle_without_a_probe_has_nothing_to_differ_from(served: Served, tmp_path: Path) -> None:
    old = tmp_path / "old"
    write_bundle(old, model=sound_model(10), signature=SIGNATURE, reference=reference(), card="")
    served.record = replace(served.record, bundle_uri=str(old))
    assert difference(served) is None
    assert served.requests == 0


def test_rows_that_take_too_long_together_are_asked_for_in_smaller_parts(served: Served) -> None:
    served.most_rows = 100
    assert difference(served) is None


def test_on_a_thread_of_its_own_nobody_waits_for_the_check(served: Served) -> None:
    background, spec = BackgroundParity(HttpParity(served.url)), toy_spec()
    served.off_by = 0.5
    with pytest.raises(ClusterError, match="being checked"):
        background.difference(spec, served.record)
    found = until(lambda: _said(background, served), "the end of the check", timeout_s=60)
    assert "600 of 600 rows" in found


def _said(parity: BackgroundParity, served: Served) -> str | None:
    try:
        return parity.difference(toy_spec(), served.record)
    except ClusterError:
        return None
