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
