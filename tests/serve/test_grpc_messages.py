import pytest
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from mlops_ray.serve.grpc_messages import METHODS, message

CONTENT = {
    "modelName": "shop",
    "modelVersion": "3",
    "id": "r1",
    "parameters": {"timeout": {"int64Param": "5"}, "unit": {"stringParam": "c"}, "x": {"doubleParam": 0.5}},
    "inputs": [
        {
            "name": "a",
            "datatype": "FP64",
            "shape": ["2", "1"],
            "parameters": {"flag": {"boolParam": True}},
            "contents": {"fp64Contents": [1.5, -2.0], "boolContents": [True], "bytesContents": ["cGFpZA=="]},
        }
    ],
    "outputs": [{"name": "score", "parameters": {"n": {"uint64Param": "7"}}}],
    "rawInputContents": ["AAAA", "//8="],
}


def test_every_message_is_the_one_that_another_client_sends_and_understands() -> None:
    theirs = json_format.ParseDict(CONTENT, service_pb2.ModelInferRequest())
    ours = message("ModelInferRequest").FromString(theirs.SerializeToString())
    assert json_format.MessageToDict(ours) == CONTENT
    assert service_pb2.ModelInferRequest.FromString(ours.SerializeToString()) == theirs


@pytest.mark.parametrize("name", [f"{method}{kind}" for method in METHODS for kind in ("Request", "Response")])
def test_every_field_has_the_number_and_the_type_of_the_protocol(name: str) -> None:
    assert _fields(message(name).DESCRIPTOR) == _fields(getattr(service_pb2, name).DESCRIPTOR)


def _fields(described: object) -> object:
    """Names, numbers, types and nested messages, all the way down."""
    return {
        field.name: (field.number, field.type, field.is_repeated, field.message_type and _fields(field.message_type))
        for field in described.fields  # type: ignore[attr-defined]
    }
