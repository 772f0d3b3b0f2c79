"""A model of pictures behind a front door, asked in every format."""

import asyncio
import json
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tritonclient.grpc as triton
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from mlops_ray.errors import RequestError
from mlops_ray.pixels import decode_image
from mlops_ray.serve.arrow_rows import ARROW_STREAM
from mlops_ray.serve.grpc_service import ModelService
from mlops_ray.serve.picture_rows import picture_rows
from mlops_ray.serve.recorder import Recorder
from mlops_ray.spec import Serve
from tests.serve.asgi_client import Reply, call, post
from tests.serve.house import BASE, House, Open, with_canary
from tests.serve.pictures import CLASSES, PICTURES, SIDE, as_file, pixels, png, record, text
from tests.serve.samples import MODEL, Register, python_model, route, run
from tests.serve.test_arrow_rows import stream
from tests.serve.test_grpc_service import ask

RED = 201 / 203


@pytest.fixture
def house(open_door: Open, register: Register) -> House:
    return open_door(route(1, register(python_model("Colours"), PICTURES)))


def infer(house: House, tensor: dict[str, Any], *binary: bytes, **more: Any) -> Reply:
    body = json.dumps({"inputs": [{"name": "photo", **tensor}], **more}).encode()
    headers = {"inference-header-content-length": str(len(body))} if binary else {}
    return run(post(house.door, f"{BASE}/infer", b"".join((body, *binary)), headers=headers))


def labels(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    found: list[str] = next(o for o in reply.json()["outputs"] if o["name"] == "label")["data"]
    return found


def framed(*contents: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(content)) + content for content in contents)


def test_a_picture_in_a_record_is_named(house: House) -> None:
    reply = run(house.predict(record(0), record(2)))
    assert reply.status == 200, reply.body
    first, second = reply.json()["predictions"]
    assert (first["label"], first["score"]) == ("red", pytest.approx(RED))
    assert first["scores"] == pytest.approx({"red": RED, "green": 1 / 203, "blue": 1 / 203})
    assert second["label"] == "blue"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_every_format_and_size_of_file_is_taken(house: House, kind: str) -> None:
    reply = run(house.predict({"photo": text(as_file(1, kind))}))
    assert reply.json()["predictions"][0]["label"] == "green"


def test_the_outputs_of_the_protocol_are_label_score_and_scores(house: House) -> None:
    reply = infer(house, {"shape": [2, 1], "datatype": "BYTES", "data": [text(png(0)), [text(png(1))]]})
    outputs = {output["name"]: output for output in reply.json()["outputs"]}
    assert (outputs["label"]["datatype"], outputs["label"]["data"]) == ("BYTES", ["red", "green"])
    assert (outputs["score"]["shape"], outputs["score"]["data"]) == ([2], pytest.approx([RED, RED]))
    assert outputs["scores"]["shape"] == [2, 3]
    np.testing.assert_allclose(np.reshape(outputs["scores"]["data"], (2, 3)).sum(axis=1), 1)
    described = run(call(house.door, "GET", BASE)).json()
    assert described["inputs"] == [{"name": "photo", "datatype": "BYTES", "shape": [-1]}]
    assert {o["name"]: o["shape"] for o in described["outputs"]} == {"label": [-1], "score": [-1], "scores": [-1, 3]}


def test_files_come_as_binary_data_too_and_answers_go_so(house: House) -> None:
    content = framed(png(2), as_file(0, "JPEG"))
    tensor = {"shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(content)}}
    reply = infer(house, tensor, content, parameters={"binary_data_output": True})
    length = int(reply.headers["inference-header-content-length"])
    head, data = json.loads(reply.body[:length]), reply.body[length:]
    sizes = [output["parameters"]["binary_data_size"] for output in head["outputs"]]
    assert data[: sizes[0]] == framed(b"blue", b"red")
    assert np.frombuffer(data[-sizes[2] :], "<f8").reshape(2, 3).argmax(axis=1).tolist() == [2, 0]


@pytest.mark.parametrize("datatype", ["UINT8", "FP32"])
def test_pixels_come_as_numbers(house: House, datatype: str) -> None:
    numbers = np.stack([pixels(1), pixels(0)]).astype({"UINT8": "<u1", "FP32": "<f4"}[datatype])
    tensor = {"shape": [2, SIDE, SIDE, 3], "datatype": datatype}
    assert labels(infer(house, {**tensor, "data": numbers.tolist()})) == ["green", "red"]
    assert labels(infer(house, {**tensor, "data": numbers.reshape(-1).tolist()})) == ["green", "red"]
    sized = {**tensor, "parameters": {"binary_data_size": numbers.nbytes}}
    assert labels(infer(house, sized, numbers.tobytes())) == ["green", "red"]


def test_a_stream_has_a_column_of_files_and_its_answer_a_list_of_scores(house: House) -> None:
    table = pa.table({"photo": pa.array([png(1), png(2)], pa.binary())})
    headers = {"content-type": ARROW_STREAM.decode()}
    reply = run(post(house.door, f"{BASE}/arrow", stream(table), headers=headers))
    assert reply.status == 200, reply.body
    answer = pa.ipc.open_stream(reply.body).read_all()
    assert answer["label"].to_pylist() == ["green", "blue"]
    assert answer["scores"].type == pa.list_(pa.float64(), 3)
    assert answer["score"].to_pylist() == pytest.approx([RED, RED])


@pytest.mark.parametrize("raw", [True, False])
def test_over_grpc_files_come_as_they_are(house: House, raw: bool) -> None:
    request = service_pb2.ModelInferRequest(model_name=MODEL)
    tensor = request.inputs.add(name="photo", datatype="BYTES", shape=[2])
    if raw:
        request.raw_input_contents.append(framed(png(0), png(1)))
    else:
        tensor.contents.bytes_contents.extend([png(0), png(1)])
    response = ask(ModelService(house.door, "1"), "ModelInfer", request)
    label, _, scores = response.outputs
    assert list(scores.shape) == [2, 3]
    if raw:
        assert triton.InferResult(response).as_numpy("label").tolist() == [b"red", b"green"]
    else:
        assert list(label.contents.bytes_contents) == [b"red", b"green"]
        assert len(scores.contents.fp64_contents) == 6


GOOD = {"datatype": "UINT8", "shape": [1, SIDE, SIDE, 3], "data": [0] * SIDE * SIDE * 3}


@pytest.mark.parametrize(
    ("tensor", "path", "said"),
    [
        ({"datatype": "BYTES", "shape": [1], "data": [text(b"GIF89a")]}, "$.inputs[0].data[0]", "JPEG, PNG"),
        ({"datatype": "BYTES", "shape": [1], "data": ["%"]}, "$.inputs[0].data[0]", "base64"),
        ({"datatype": "BYTES", "shape": [2], "data": [text(png(0))]}, "$.inputs[0]", "1 values"),
        ({"datatype": "INT64", "shape": [1], "data": [1]}, "$.inputs[0]", "UINT8 or FP32 [n, 4, 4, 3]"),
        ({**GOOD, "shape": [1, 3, SIDE, SIDE]}, "$.inputs[0]", "[n, 4, 4, 3]"),
        ({**GOOD, "shape": []}, "$.inputs[0]", "[n, 4, 4, 3]"),
        ({**GOOD, "data": [0]}, "$.inputs[0]", "1 values"),
        ({**GOOD, "data": [256] * 48}, "$.inputs[0]", "0 to 255"),
        ({**GOOD, "data": ["1"] * 48}, "$.inputs[0].data", "numbers"),
        ({**GOOD, "data": [[0], [0, 1]]}, "$.inputs[0].data", "different lengths"),
    ],
)
def test_a_tensor_that_is_no_picture_is_refused(house: House, tensor: dict[str, Any], path: str, said: str) -> None:
    reply = infer(house, tensor)
    assert (reply.status, reply.json()["path"]) == (422, path), reply.body
    assert said in reply.json()["error"]


@pytest.mark.parametrize("sent", ["%", text(b"no picture"), text(png(0)[:40]), "", 7, None])
def test_a_record_that_has_no_picture_is_refused_with_its_path(house: House, sent: Any) -> None:
    reply = run(house.predict(record(0), {"photo": sent}))
    assert (reply.status, reply.json()["path"]) == (422, "$.records[1].photo"), reply.body


def test_more_pictures_than_the_memory_for_a_body_are_refused_before_any_is_read(
    open_door: Open, register: Register
) -> None:
    house = open_door(route(1, register(python_model("Colours"), PICTURES)))
    assert run(house.predict(*[record(0)] * 51)).status == 413
    assert infer(house, {"datatype": "BYTES", "shape": [51], "data": ["%"] * 51}).status == 413


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.data())
def test_whatever_happens_to_a_file_it_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    content = bytearray(as_file(0, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        matrix = picture_rows(PICTURES.inputs[0], [bytes(content)], lambda row: f"$[{row}]")
    except RequestError as error:
        said = (error.status, error.path)
    else:
        said = (422, "$[0]")
        np.testing.assert_array_equal(matrix[0], decode_image(bytes(content), (SIDE, SIDE, 3)).reshape(-1))
    assert said == (422, "$[0]")


def test_the_records_keep_statistics_and_a_digest_and_no_pixels(house: House) -> None:
    run(house.predict(record(0), record(2), request_id="r1"))
    infer(house, {**GOOD, "data": pixels(0).reshape(-1).tolist()})
    kept = house.records()
    assert [one.matrix.shape for one in kept] == [(2, 0), (1, 0)]
    (handover,) = house.outbox.recorder.handovers(kept)
    rows = handover.records.to_pylist()
    assert [row["score"] for row in rows] == [0.0, 2.0, 0.0]
    assert rows[0]["confidence"] == pytest.approx(RED)
    assert rows[0]["scores"] == pytest.approx([RED, 1 / 203, 1 / 203])
    features = [row["features"] for row in rows]
    assert features[0]["photo.red"] == 200.0
    assert features[0]["photo.digest"] == features[2]["photo.digest"] != features[1]["photo.digest"]
    assert len(features[0]["photo.digest"]) == 16


def test_a_picture_on_a_canary_travels_as_bytes_and_is_scored(open_door: Open, register: Register) -> None:
    model = python_model("Colours")

    async def colours(matrix: Any) -> Any:
        return np.tile([0.1, 0.2, 0.7], (len(matrix), 1))

    house = open_door(route(1, register(model, PICTURES)), colours)
    register(model, PICTURES)

    async def ask_canary() -> Reply:
        await with_canary(house, share=1.0, paired=1.0)
        return await house.predict(record(0))

    reply = run(ask_canary())
    assert (reply.json()["role"], reply.json()["predictions"][0]["label"]) == ("canary", "blue")
    (kept,) = house.records()
    assert kept.to_pair
    assert kept.matrix.shape == (1, SIDE * SIDE * 3)


def test_where_there_is_no_room_for_pixels_the_record_is_kept_without(house: House) -> None:
    run(house.predict(record(0)))
    (kept,) = house.records()
    matrix = np.zeros((1, SIDE * SIDE * 3))
    one = type(kept)(
        **{name: getattr(kept, name) for name in kept.__struct_fields__} | {"matrix": matrix, "to_pair": True}
    )
    roomy, narrow = Recorder("r"), Recorder("r", capacity_bytes=500)
    roomy.add(one)
    narrow.add(one)
    assert [r.take()[0].to_pair for r in (roomy, narrow)] == [True, False]
    assert narrow.dropped_rows == 0


def test_other_requests_are_answered_while_a_large_picture_is_read(house: House) -> None:
    large = text(png(0, side=6000))[: Serve().max_body_bytes]

    async def both() -> list[str]:
        order: list[str] = []

        async def one(name: str, content: str) -> None:
            reply = await post(house.door, f"{BASE}/predict", {"records": [{"photo": content}]})
            order.append(f"{name} {reply.status}")

        await asyncio.gather(one("large", large), one("small", text(png(0))))
        return order

    house.door.limits.__dict__["max_body_bytes"] = Serve().max_body_bytes
    assert run(both()) == ["small 200", "large 200"]


def test_labels_are_names_of_classes(house: House) -> None:
    sent = {"labels": [{"request_id": "a", "label": "blue"}, {"request_id": "b", "label": "red", "row": 2}]}
    assert run(post(house.door, f"{BASE}/labels", sent)).json() == {"kept": 2}
    assert [(label.request_id, label.label, label.row) for label in house.mailbox.labels] == [
        ("a", 2.0, 0),
        ("b", 0.0, 2),
    ]
    reply = run(post(house.door, f"{BASE}/labels", {"labels": [*sent["labels"], {"request_id": "c", "label": 1}]}))
    assert (reply.status, reply.json()["path"]) == (422, "$.labels[2].label")
    assert reply.json()["error"] == f"expected one of the classes {', '.join(CLASSES)}, found '1'"


def test_the_document_says_how_a_picture_is_sent(house: House) -> None:
    schemas = run(call(house.door, "GET", f"{BASE}/openapi.json")).json()["components"]["schemas"]
    field = schemas["Record"]["properties"]["photo"]
    assert field == {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
    assert schemas["Label"]["properties"]["label"] == {"enum": list(CLASSES)}
    example = schemas["PredictRequest"]["examples"][0]
    assert run(post(house.door, f"{BASE}/predict", example)).status == 200
    assert run(post(house.door, f"{BASE}/infer", schemas["InferRequest"]["examples"][0])).status == 200
    assert run(call(house.door, "GET", f"{BASE}/docs")).status == 200
