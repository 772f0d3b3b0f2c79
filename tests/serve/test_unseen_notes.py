"""Categories that a version does not know are noted, in whatever format they come, and handed over once."""

import json

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.drift import UnseenValues
from mlops_ray.serve.answer import ArrowBody
from mlops_ray.serve.loaded import Decoders
from mlops_ray.serve.recorder import Recorder
from mlops_ray.serve.tensors import infer_request
from mlops_ray.spec import Capture, Serve
from tests.serve.samples import SIGNATURE, record
from tests.serve.test_recorder import champion, served

__all__ = ["champion"]

PLANS = ["free", "Pro+", None, "Pro+", "gold"]
EXPECTED = [("Pro+", 2), ("gold", 1)]


def noted(decoders: Decoders) -> list[tuple[str, int]]:
    return UnseenValues.from_bytes(decoders.unseen.take()).frequent("plan")


def test_in_plain_json() -> None:
    decoders = Decoders.of(SIGNATURE, Serve())
    rows = decoders.rows.decode(json.dumps({"records": [record(plan=plan) for plan in PLANS]}).encode())
    assert rows.matrix[:, 3].tolist()[:2] == [0.0, 2.0]
    assert noted(decoders) == EXPECTED
    assert noted(decoders) == [], "they are handed over once"


def test_in_tensors() -> None:
    decoders = Decoders.of(SIGNATURE, Serve())
    body = {
        "inputs": [
            {"name": "amount", "shape": [5], "datatype": "FP64", "data": [1.0] * 5},
            {"name": "plan", "shape": [5], "datatype": "BYTES", "data": PLANS},
        ]
    }
    decoders.tensors.rows(*infer_request(json.dumps(body).encode(), b""))
    assert noted(decoders) == EXPECTED


@pytest.mark.parametrize("read_first", [True, False])
def test_in_a_stream(read_first: bool) -> None:
    decoders = Decoders.of(SIGNATURE, Serve())
    table = pa.table({"amount": [1.0] * 5, "plan": pa.array(PLANS)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = ArrowBody(sink.getvalue().to_pybytes(), unit=None, max_matrix_bytes=2**20)
    if read_first:
        body.read(SIGNATURE)
    assert np.isnan(body.rows(decoders).matrix[2, 3])
    assert noted(decoders) == EXPECTED


@pytest.mark.parametrize("capture", [Capture(fields={"plan": "hash"}), Capture(enabled=False)])
def test_nothing_is_noted_of_what_the_records_do_not_keep(capture: Capture) -> None:
    decoders = Decoders.of(SIGNATURE, Serve(capture=capture))
    decoders.rows.decode(json.dumps({"records": [record(plan="Pro+")]}).encode())
    assert decoders.unseen.take() == b""


@pytest.mark.usefixtures("champion")
def test_they_go_with_the_records(request: pytest.FixtureRequest) -> None:
    loaded = request.getfixturevalue("champion")
    loaded.decoders.rows.decode(json.dumps({"records": [record(plan="Pro+")]}).encode())
    recorder = Recorder("replica")
    recorder.add(served(loaded, "a", [[1.5, 3, 1, 2]]))
    (handover,) = recorder.handovers(recorder.take())
    assert UnseenValues.from_bytes(handover.unseen).frequent("plan") == [("Pro+", 1)]
