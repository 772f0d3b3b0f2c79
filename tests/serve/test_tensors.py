import json
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_ray.errors import RequestError
from mlops_ray.model import InputColumn, Signature, encode
from mlops_ray.serve.http import Response
from mlops_ray.serve.request import Rows
from mlops_ray.serve.tensors import (
    HEADER_LENGTH,
    TensorDecoder,
    encode_outputs,
    infer_request,
    tensor_metadata,
)
from tests.serve.samples import SIGNATURE

DECODER = TensorDecoder(SIGNATURE, max_rows=5)
AMOUNT = {"name": "amount", "shape": [2], "datatype": "FP64", "data": [1.5, 2]}


def rows_of(body: bytes, header_length: bytes) -> Rows:
    """What a request says."""
    return DECODER.rows(*infer_request(body, header_length))


def decode(*inputs: dict[str, Any], **more: Any) -> Rows:
    return rows_of(json.dumps({"inputs": inputs, **more}).encode(), b"")


def refused(*inputs: dict[str, Any], **more: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode(*inputs, **more)
    return caught.value


def binary(tensors: dict[str, tuple[str, list[int], bytes]]) -> tuple[bytes, bytes]:
    """Body and header of a request whose tensors (datatype, shape, bytes) are all binary."""
    inputs = [
        {"name": n, "shape": shape, "datatype": kind, "parameters": {"binary_data_size": len(raw)}}
        for n, (kind, shape, raw) in tensors.items()
    ]
    head = json.dumps({"inputs": inputs}).encode()
    return head + b"".join(raw for _, _, raw in tensors.values()), str(len(head)).encode()


def strings(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)


def test_tensors_of_either_shape_make_a_matrix_in_the_order_of_the_signature() -> None:
    rows = decode(
        {"name": "plan", "shape": [2, 1], "datatype": "BYTES", "data": [["paid"], ["gold"]]},
        {"name": "member", "shape": [2], "datatype": "BOOL", "data": [True, None]},
        AMOUNT,
    )
    np.testing.assert_array_equal(rows.matrix, [[1.5, np.nan, 1, 1], [2, np.nan, np.nan, 2]])


def test_a_binary_request_reads_as_the_json_one() -> None:
    body, length = binary(
        {
            "amount": ("FP32", [2], np.array([1.5, 2], "<f4").tobytes()),
            "visits": ("INT16", [2, 1], np.array([3, -4], "<i2").tobytes()),
            "member": ("BOOL", [2], b"\x01\x00"),
            "plan": ("BYTES", [2], strings("free", "")),
        }
    )
    rows = rows_of(body, length)
    assert rows.matrix.tolist() == [[1.5, 3, 1, 0], [2, -4, 0, 2]]


@pytest.mark.parametrize(
    ("inputs", "path", "says"),
    [
        ([], "$.inputs", "missing tensor 'amount'"),
        ([AMOUNT, AMOUNT], "$.inputs[1]", "there twice"),
        ([AMOUNT, {**AMOUNT, "name": "zz"}], "$.inputs[1]", "unknown tensor 'zz'"),
        ([{**AMOUNT, "shape": [2, 2]}], "$.inputs[0].shape", "[n] or [n, 1]"),
        ([{**AMOUNT, "shape": []}], "$.inputs[0].shape", "[n] or [n, 1]"),
        ([{**AMOUNT, "shape": [-1]}], "$.inputs[0].shape", "[n] or [n, 1]"),
        ([{**AMOUNT, "shape": [3]}], "$.inputs[0]", "but 2 values"),
        ([{**AMOUNT, "shape": [0], "data": []}], "$.inputs", "at least 1"),
        ([{**AMOUNT, "datatype": "FP128"}], "$.inputs[0].datatype", "found 'FP128'"),
        ([{**AMOUNT, "datatype": "BOOL", "data": [True, False]}], "$.inputs[amount]", "FP64"),
        ([{**AMOUNT, "datatype": "BYTES", "data": ["1", "2"]}], "$.inputs[amount]", "found BYTES"),
        ([{**AMOUNT, "data": [1, "2"]}], "$.inputs[0].data", "found '2'"),
        ([{**AMOUNT, "data": [1, True]}], "$.inputs[0].data", "found True"),
        ([{**AMOUNT, "data": [1, None]}], "$.inputs[amount]", "null or NaN"),
        ([{**AMOUNT, "data": [1, {}]}], "$.inputs[0].data", "found {}"),
        ([{**AMOUNT, "data": [1, 10**400]}], "$.inputs[0].data", "too large"),
        ([{**AMOUNT, "data": [1, [2, 3]]}], "$.inputs[0].data", "found [2, 3]"),
        ([{**AMOUNT, "shape": [2.5]}], "$.inputs[0].shape[0]", "expected `int`"),
        ([AMOUNT, {"name": "visits", "shape": [1], "datatype": "INT64", "data": [1]}], "$.inputs", "same number"),
        ([AMOUNT, {"name": "visits", "shape": [2], "datatype": "FP64", "data": [1, 1.5]}], "$.inputs[visits]", "whole"),
        ([AMOUNT, {"name": "member", "shape": [2], "datatype": "INT8", "data": [1, 2]}], "$.inputs[member]", "true or"),
        ([AMOUNT, {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["a", 1]}], "$.inputs[1].data", "text"),
        (
            [AMOUNT, {"name": "customer", "shape": [2], "datatype": "FP64", "data": [1.5, 2]}],
            "$.inputs[customer]",
            "unit",
        ),
    ],
)
def test_a_wrong_tensor_is_named(inputs: list[dict[str, Any]], path: str, says: str) -> None:
    error = refused(*inputs)
    assert (error.status, error.path) == (422, path)
    assert says in error.message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_json_cannot_carry_is_refused_in_binary_too(value: float) -> None:
    body, length = binary({"amount": ("FP64", [1], np.array([value]).tobytes())})
    with pytest.raises(RequestError, match=r"null or NaN|infinite"):
        rows_of(body, length)


@pytest.mark.parametrize(
    "raw",
    [strings("paid")[:-1], strings("paid")[:2], struct.pack("<I", 2**31), struct.pack("<I", 1) + b"\xff"],
)
def test_damaged_strings_are_a_bad_request(raw: bytes) -> None:
    body, length = binary({"amount": ("FP64", [1], bytes(8)), "plan": ("BYTES", [1], raw)})
    with pytest.raises(RequestError) as caught:
        rows_of(body, length)
    assert caught.value.status == 400


@pytest.mark.parametrize("length", [b"99999", b"-1", b"abc", b"9" * 5000])
def test_a_wrong_length_of_the_json_part_is_a_bad_request(length: bytes) -> None:
    with pytest.raises(RequestError, match="Inference-Header-Content-Length") as caught:
        rows_of(b"{}", length)
    assert caught.value.status == 400


@pytest.mark.parametrize("size", [7, 9, 16, -1, "8", None])
def test_binary_data_of_another_size_than_declared_is_refused(size: Any) -> None:
    tensor = {"name": "amount", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    with pytest.raises(RequestError):
        rows_of(head + bytes(8), str(len(head)).encode())


def test_binary_data_that_belongs_to_no_tensor_is_refused() -> None:
    body, length = binary({"amount": ("FP64", [1], bytes(8))})
    with pytest.raises(RequestError, match="3 bytes of binary data belong to no tensor"):
        rows_of(body + b"abc", length)


def test_too_many_rows_are_too_large() -> None:
    assert refused({**AMOUNT, "shape": [6], "data": [1] * 6}).status == 413


def test_deep_nesting_is_a_bad_request() -> None:
    body = b'{"inputs": [], "parameters": {"a": ' + b"[" * 100_000
    with pytest.raises(RequestError) as caught:
        rows_of(body, b"")
    assert caught.value.status == 400


def test_an_output_the_model_does_not_have_is_refused_before_anything_is_predicted() -> None:
    error = refused(AMOUNT, outputs=[{"name": "score"}, {"name": "proba"}])
    assert (error.status, error.path) == (422, "$.outputs[1].name")
    assert "expected score, label" in error.message


@pytest.mark.parametrize(
    ("kind", "data", "unit"), [("BYTES", ["c7", "c8"], "c7"), ("INT64", [7, 8], "7"), ("BYTES", [None, "c8"], None)]
)
def test_the_unit_is_that_of_the_first_row(kind: str, data: list[Any], unit: str | None) -> None:
    assert decode(AMOUNT, {"name": "customer", "shape": [2], "datatype": kind, "data": data}).unit == unit


def test_the_unit_among_the_parameters_counts_first() -> None:
    tensor = {"name": "customer", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}
    assert decode(AMOUNT, tensor, parameters={"unit": 12}).unit == "12"


@pytest.mark.parametrize("unit", [[1], {"a": 1}, True, 1.5, "x" * 300])
def test_a_unit_that_is_neither_text_nor_a_whole_number_is_refused(unit: Any) -> None:
    assert refused(AMOUNT, parameters={"unit": unit}).path == "$.parameters.unit"


def test_a_unit_tensor_without_a_number_is_refused() -> None:
    body, length = binary({"amount": ("FP64", [1], bytes(8)), "customer": ("FP64", [1], np.array([np.nan]).tobytes())})
    with pytest.raises(RequestError, match="unit"):
        rows_of(body, length)


def test_metadata_names_every_tensor_with_its_type() -> None:
    metadata = tensor_metadata(SIGNATURE)
    assert [(t["name"], t["datatype"]) for t in metadata["inputs"]] == [
        ("amount", "FP64"),
        ("visits", "INT64"),
        ("member", "BOOL"),
        ("plan", "BYTES"),
    ]
    assert [t["name"] for t in metadata["outputs"]] == ["score", "label"]


def answered(scores: dict[str, NDArray[Any]], **more: Any) -> Response:
    request, _ = infer_request(json.dumps({"inputs": [AMOUNT], **more}).encode(), b"")
    return encode_outputs(request, {"id": "r1"}, scores)


OUTPUTS = {"score": np.array([0.25, 0.75]), "label": np.array([0, 1])}


def test_outputs_are_json_unless_asked_otherwise() -> None:
    content = json.loads(answered(OUTPUTS).body)
    assert content["id"] == "r1"
    assert content["outputs"][0] == {"name": "score", "datatype": "FP64", "shape": [2], "data": [0.25, 0.75]}


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": n, "parameters": {"binary_data": True}} for n in OUTPUTS]},
    ],
)
def test_binary_outputs_follow_the_json_part(more: dict[str, Any]) -> None:
    response = answered(OUTPUTS, **more)
    length = int(dict(response.headers)[HEADER_LENGTH])
    head = json.loads(response.body[:length])
    assert [t["parameters"] for t in head["outputs"]] == [{"binary_data_size": 16}, {"binary_data_size": 16}]
    assert np.frombuffer(response.body[length:], "<f8", 2).tolist() == [0.25, 0.75]
    assert np.frombuffer(response.body[length + 16 :], "<i8").tolist() == [0, 1]


def test_only_the_outputs_that_were_asked_for_are_answered() -> None:
    content = json.loads(answered(OUTPUTS, outputs=[{"name": "label"}]).body)
    assert [t["name"] for t in content["outputs"]] == ["label"]


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(2**53), 2**53),
            st.booleans(),
            st.sampled_from(["free", "paid", "ünseen"]),
        ),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
)
def test_tensors_read_as_the_training_data_was_encoded(rows: list[tuple[Any, ...]], as_binary: bool) -> None:
    columns = list(zip(*rows, strict=True))
    names, kinds = [c.name for c in SIGNATURE.inputs], ["FP64", "INT64", "BOOL", "BYTES"]
    if as_binary:
        dtypes = ["<f8", "<i8", "?"]
        raw = [np.array(c, d).tobytes() for c, d in zip(columns, dtypes, strict=False)] + [strings(*columns[3])]
        body, length = binary({n: (k, [len(rows)], r) for n, k, r in zip(names, kinds, raw, strict=True)})
    else:
        inputs = [
            {"name": n, "datatype": k, "shape": [len(rows)], "data": c}
            for n, k, c in zip(names, kinds, columns, strict=True)
        ]
        body, length = json.dumps({"inputs": inputs}).encode(), b""
    expected = encode(SIGNATURE, pa.table({n: list(c) for n, c in zip(names, columns, strict=True)}))
    np.testing.assert_array_equal(rows_of(body, length).matrix, expected)


def test_a_regression_model_has_no_label() -> None:
    signature = Signature((InputColumn("a", "float", nullable=False),), "regression")
    assert [t["name"] for t in tensor_metadata(signature)["outputs"]] == ["score"]


@pytest.mark.parametrize(("sent", "timeout_s"), [({}, None), ({"timeout": 0}, None), ({"timeout": 2500}, 0.0025)])
def test_the_time_a_client_waits_is_in_microseconds_and_0_is_for_ever(
    sent: dict[str, Any], timeout_s: float | None
) -> None:
    request, _ = infer_request(json.dumps({"inputs": [AMOUNT], "parameters": sent}).encode(), b"")
    assert request.timeout_s == timeout_s


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"parameters": {"timeout": -1}}, "$.parameters.timeout"),
        ({"parameters": {"timeout": "1"}}, "$.parameters.timeout"),
        ({"parameters": {"timeout": 10**400}}, "$.parameters.timeout"),
        ({"parameters": {"binary_data_output": "yes"}}, "$.parameters.binary_data_output"),
        (
            {"outputs": [{"name": "score", "parameters": {"binary_data": 1}}]},
            "$.outputs[0].parameters.binary_data",
        ),
    ],
)
def test_a_parameter_that_is_not_as_expected_is_named(more: dict[str, Any], path: str) -> None:
    error = refused(AMOUNT, **more)
    assert (error.status, error.path) == (422, path)


def test_parameters_that_say_nothing_here_are_left_alone() -> None:
    assert decode(AMOUNT, parameters={"priority": 3, "anything": {"a": [1]}}).matrix.shape == (2, 4)


def test_an_output_says_for_itself_whether_it_is_binary() -> None:
    outputs = [{"name": "score"}, {"name": "label", "parameters": {"binary_data": False}}]
    response = answered(OUTPUTS, parameters={"binary_data_output": True}, outputs=outputs)
    head = json.loads(response.body[: int(dict(response.headers)[HEADER_LENGTH])])
    assert [("data" in tensor) for tensor in head["outputs"]] == [False, True]
