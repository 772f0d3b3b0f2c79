"""Categories that a version does not know are counted in whatever format they come, and go with the records."""

import json

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.drift import UnseenValues
from mlops_ray.errors import RequestError
from mlops_ray.serve.answer import ArrowBody
from mlops_ray.serve.captured import Captured
from mlops_ray.serve.loaded import Decoders, LoadedModel
from mlops_ray.serve.recorder import Recorder
from mlops_ray.serve.tensors import infer_request
from mlops_ray.serve.unseen_counts import MOST
from mlops_ray.spec import Capture, Serve
from tests.serve.samples import SIGNATURE, record
from tests.serve.test_recorder import champion, served

__all__ = ["champion"]

PLANS = ["free", "Pro+", None, "Pro+", "gold"]
EXPECTED = (("plan", {"Pro+": 2, "gold": 1}),)
DECODERS = Decoders.of(SIGNATURE, Serve())


def stream(plans: list[str | None]) -> bytes:
    table = pa.table({"amount": [1.0] * len(plans), "plan": pa.array(plans)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def test_in_plain_json() -> None:
    rows = DECODERS.rows.decode(json.dumps({"records": [record(plan=plan) for plan in PLANS]}).encode())
    assert rows.matrix[:, 3].tolist()[:2] == [0.0, 2.0]
    assert rows.unseen == EXPECTED
    assert DECODERS.rows.decode(json.dumps({"records": [record(plan="free")]}).encode()).unseen == ()


def test_a_request_that_is_refused_leaves_nothing_to_the_next() -> None:
    decoders = Decoders.of(SIGNATURE, Serve(max_rows=1))
    with pytest.raises(RequestError):
        decoders.rows.decode(json.dumps({"records": [record(plan="Pro+")] * 2}).encode())
    assert decoders.rows.decode(json.dumps({"records": [record(plan="free")]}).encode()).unseen == ()


def test_in_tensors() -> None:
    body = {
        "inputs": [
            {"name": "amount", "shape": [5], "datatype": "FP64", "data": [1.0] * 5},
            {"name": "plan", "shape": [5], "datatype": "BYTES", "data": PLANS},
        ]
    }
    assert DECODERS.tensors.rows(*infer_request(json.dumps(body).encode(), b"")).unseen == EXPECTED


def test_in_a_stream() -> None:
    rows = ArrowBody(stream(PLANS), unit=None, max_matrix_bytes=2**20).rows(DECODERS)
    assert np.isnan(rows.matrix[2, 3])
    assert rows.unseen == EXPECTED


def test_of_very_many_the_most_frequent_are_kept() -> None:
    plans: list[str | None] = [f"p{i}" for i in range(1000)]
    body = ArrowBody(stream([*plans, "p7", "p7"]), unit=None, max_matrix_bytes=2**20)
    records = [record(plan=plan) for plan in [*plans, "p7", "p7"]]
    plain = DECODERS.rows.decode(json.dumps({"records": records}).encode())
    for ((_, counts),) in (body.rows(DECODERS).unseen, plain.unseen):
        assert (len(counts), counts["p7"]) == (MOST, 3)


def test_those_that_the_champion_answered_go_with_the_records(champion: LoadedModel) -> None:
    recorder = Recorder("replica")
    recorder.add(served(champion, "a", [[1.5, 3, 1, 2]], unseen=EXPECTED))
    recorder.add(served(champion, "b", [[1.5, 3, 1, 2]], unseen=EXPECTED, role="canary", assigned="canary"))
    recorder.add(served(champion, "c", [[1.5, 3, 1, 2]], unseen=EXPECTED, status=500))
    (handover,) = recorder.handovers(recorder.take())
    assert UnseenValues.from_bytes(handover.unseen).frequent("plan") == [("Pro+", 2), ("gold", 1)]
    recorder.add(served(champion, "d", [[1.5, 3, 1, 0]]))
    assert recorder.handovers(recorder.take())[0].unseen == b""


def test_long_values_are_cut_wherever_they_come_from() -> None:
    long: list[str | None] = ["x" * 4000, "x" * 3000]
    plain = DECODERS.rows.decode(json.dumps({"records": [record(plan=plan) for plan in long]}).encode())
    body = ArrowBody(stream(long), unit=None, max_matrix_bytes=2**20)
    assert plain.unseen == body.rows(DECODERS).unseen == (("plan", {"x" * UnseenValues.longest: 2}),)


def test_the_memory_of_a_replica_is_bounded_until_the_next_handover(champion: LoadedModel) -> None:
    recorder = Recorder("replica")
    many = (("plan", {f"v{i}": 1 for i in range(MOST)}),)
    for batch in range(2):
        for number in range(150):
            recorder.add(served(champion, f"{batch}-{number}", [[1.5, 3, 1, 2]], unseen=many))
        kept = recorder.take()
        assert len(kept) == 150, "the requests are recorded all the same"
        assert sum(bool(one.unseen) for one in kept) == 100


@pytest.mark.parametrize("policy", ["hash", "drop"])
def test_nothing_goes_of_what_the_records_do_not_keep(champion: LoadedModel, policy: str) -> None:
    captured = Captured(Capture.model_validate({"fields": {"plan": policy}}), "m")
    recorder = Recorder("replica", captured=captured)
    recorder.add(served(champion, "a", [[1.5, 3, 1, 2]], unseen=EXPECTED))
    assert recorder.handovers(recorder.take())[0].unseen == b""
