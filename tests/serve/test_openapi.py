import copy
import json
import re
from typing import Any

import jsonschema
import pytest

from mlops_ray.model import InputColumn, Signature
from mlops_ray.serve.docs_page import docs_page
from mlops_ray.serve.openapi import Described, openapi_document
from mlops_ray.serve.openapi_schemas import example_record
from mlops_ray.serve.request import RowsDecoder
from mlops_ray.serve.tensors import TensorDecoder, infer_request
from mlops_ray.spec import Serve
from tests.serve.samples import SIGNATURE, record

SHOP = Described("shop", SIGNATURE, "3", Serve())
DOCUMENT = openapi_document(SHOP)


def schema(name: str) -> dict[str, Any]:
    """A component with its references resolved against the document."""
    return {"$ref": f"#/components/schemas/{name}", **copy.deepcopy(DOCUMENT)}


def is_valid(name: str, content: Any) -> bool:
    return jsonschema.Draft202012Validator(schema(name)).is_valid(content)


def test_the_document_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert set(DOCUMENT["info"]) >= {"title", "version"}
    for path, item in DOCUMENT["paths"].items():
        assert path.startswith("/v2/models/shop")
        for operation in (item[method] for method in ("get", "post") if method in item):
            assert all("description" in response for response in operation["responses"].values())


def test_the_document_passes_the_validator_of_the_specification() -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="comes with moto[server]")
    validator.validate(DOCUMENT)


def test_every_schema_is_one_and_every_reference_resolves() -> None:
    for name, content in DOCUMENT["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(content)
        assert name
    for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)):
        assert reference in DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize(
    ("content", "valid"),
    [
        ({"records": [record()]}, True),
        ({"records": [record(customer=7)], "unit": "u", "request_id": "r"}, True),
        ({"records": [{"amount": 1}]}, True),
        ({"records": [{"amount": None}]}, False),
        ({"records": [{"visits": 1}]}, False),
        ({"records": [record(extra=1)]}, False),
        ({"records": []}, False),
        ({"records": [record(plan=7)]}, False),
        ({}, False),
    ],
)
def test_the_document_accepts_what_the_server_accepts(content: Any, valid: bool) -> None:
    assert is_valid("PredictRequest", content) is valid


@pytest.mark.parametrize(
    ("field", "value", "valid"),
    [
        ("visits", 2**53, True),
        ("visits", 2**53 + 1, False),
        ("visits", 1.5, False),
        ("plan", "x" * 4096, True),
        ("plan", "x" * 4097, False),
        ("amount", 10**400, False),
        ("member", 1, False),
        ("customer", 2**63, False),
        ("customer", "x" * 257, False),
    ],
)
def test_the_document_knows_the_limits_of_each_field(field: str, value: Any, valid: bool) -> None:
    assert is_valid("PredictRequest", {"records": [record(**{field: value})]}) is valid


def test_the_document_knows_how_many_rows_and_which_labels_may_be_sent() -> None:
    document = openapi_document(Described("shop", SIGNATURE, "3", Serve(max_rows=2)))
    assert document["components"]["schemas"]["PredictRequest"]["properties"]["records"]["maxItems"] == 2
    assert is_valid("Labels", {"labels": [{"request_id": "r", "label": 1, "row": 3}]})
    assert not is_valid("Labels", {"labels": [{"request_id": "r", "label": 0.5}]})


TENSOR = {"name": "amount", "shape": [1], "datatype": "FP32", "data": [1.0]}


@pytest.mark.parametrize(
    ("inputs", "valid"),
    [
        ([TENSOR], True),
        ([TENSOR | {"shape": [1, 1], "data": [[1.0]]}], True),
        ([TENSOR, {"name": "customer", "shape": [1], "datatype": "BYTES", "data": ["c"]}], True),
        ([{"name": "amount", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}], True),
        ([TENSOR | {"shape": [1, 2]}], False),
        ([TENSOR | {"shape": [0]}], False),
        ([TENSOR | {"datatype": "BYTES"}], False),
        ([TENSOR | {"data": ["1"]}], False),
        ([{"name": "visits", "shape": [1], "datatype": "INT8", "data": [1]}], False),  # where is amount?
        ([TENSOR, TENSOR | {"name": "zz"}], False),
        ([], False),
    ],
    ids=str,
)
def test_the_document_knows_which_tensors_there_are(inputs: list[Any], valid: bool) -> None:
    assert is_valid("InferRequest", {"inputs": inputs, "parameters": {"anything": 1}}) is valid


def test_the_examples_of_the_document_are_accepted() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for example in schemas["PredictRequest"]["examples"]:
        assert RowsDecoder(SIGNATURE, max_rows=1).decode(json.dumps(example).encode()).matrix.shape == (1, 4)
    for example in schemas["InferRequest"]["examples"]:
        assert is_valid("InferRequest", example)
        request = infer_request(json.dumps(example).encode(), b"")
        assert TensorDecoder(SIGNATURE, max_rows=1).rows(*request).matrix.shape == (1, 4)


def test_every_route_is_there_with_everything_it_may_answer() -> None:
    sent, read = ("predict", "infer", "arrow", "explain"), ("", "/ready", "/docs", "/openapi.json")
    base, version = "/v2/models/shop", "/v2/models/shop/versions/{version}"
    tails = [*(f"/{action}" for action in sent), *read]
    assert set(DOCUMENT["paths"]) == {*(of + tail for of in (base, version) for tail in tails), f"{base}/labels"}
    for action in (*sent, "labels"):
        answers = set(DOCUMENT["paths"][f"{base}/{action}"]["post"]["responses"])
        assert answers >= {"200", "400", "401", "403", "404", "405", "413", "415", "422", "429", "500", "503", "504"}


def test_keys_are_asked_for_in_the_document_where_the_server_asks_for_them() -> None:
    guarded = openapi_document(Described("shop", SIGNATURE, "3", Serve(), keys=True))
    assert guarded["security"] == [{"bearer": []}, {"key": []}]
    assert guarded["paths"]["/v2/models/shop/ready"]["get"]["security"] == []
    assert "security" not in DOCUMENT


def test_a_regression_has_scores_only() -> None:
    signature = Signature((InputColumn("x", "float", nullable=False),), "regression")
    content = openapi_document(Described("shop", signature, "3", Serve()))["components"]["schemas"]
    assert set(content["Prediction"]["properties"]) == {"score"}
    assert content["Label"]["properties"]["label"]["type"] == "number"


def test_an_answer_of_the_server_is_one_of_the_document() -> None:
    answer = {
        "request_id": "r",
        "model_name": "shop",
        "model_version": "1",
        "role": "champion",
        "epoch": 1,
        "predictions": [{"score": 0.5, "label": 1}],
    }
    assert is_valid("PredictAnswer", answer)
    assert not is_valid("PredictAnswer", answer | {"role": "shadow"})
    assert is_valid("Error", {"error": "no"})


@pytest.mark.parametrize("kind", ["float", "int", "bool", "category"])
def test_the_example_is_a_record_the_model_accepts(kind: Any) -> None:
    signature = Signature((InputColumn("x", kind, nullable=False),), "regression")
    body = json.dumps({"records": [example_record(signature)]}).encode()
    assert RowsDecoder(signature, max_rows=1).decode(body).matrix.shape == (1, 1)


def test_the_page_shows_every_input_and_escapes_names() -> None:
    signature = Signature((InputColumn("<script>", "category", nullable=True, categories=("a&b",)),), "binary")
    page = docs_page(Described("shop", signature, "3", Serve(), keys=True))
    text = page.body.decode()
    assert page.content_type == b"text/html; charset=utf-8"
    assert "&lt;script&gt;" in text
    assert "a&amp;b" in text
    assert "<script>" not in text
    assert "http" not in text.replace("http-equiv", "")
