"""The OpenAPI document of a model, made from its signature and its limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_ray.model import Signature
from mlops_ray.serve.arrow_rows import ARROW_STREAM
from mlops_ray.serve.openapi_explain import explain_operation, explain_schemas, explains
from mlops_ray.serve.openapi_schemas import schemas
from mlops_ray.serve.request import IDENTITY_LENGTH
from mlops_ray.spec import Serve

__all__ = ["Described", "openapi_document"]

Node = dict[str, Any]
_ARROW = ARROW_STREAM.decode()
_BINARY: Node = {"schema": {"type": "string", "format": "binary"}}
_ERRORS = {
    "400": "not valid JSON, tensors or stream, or a header that cannot be read",
    "401": "no API key, or one that is not known",
    "403": "the key is for something else, or keys are off and the request comes from another machine",
    "404": "no such version here",
    "405": "another method is for this path",
    "413": "too many rows or bytes",
    "415": "a content encoding or content type that is not taken",
    "422": "a field, tensor or column is missing, unknown, of a wrong type or has a wrong value",
    "429": "the key asked more often than it may",
    "500": "the model failed",
    "503": "as many requests as are allowed are being answered, or the state is not known; retry",
    "504": "there was no answer before the deadline",
}
_ALWAYS = ("401", "403", "404", "405", "500")
_HEADERS: dict[str, dict[str, Node]] = {
    "401": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    "405": {"Allow": {"schema": {"type": "string"}}},
    "415": {"Accept-Encoding": {"schema": {"type": "string"}}},
    "429": {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}},
    "503": {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}},
}
_REQUEST_ID: Node = {
    "name": "x-request-id",
    "in": "header",
    "description": "what the answer and its record are called, unless the body says so",
    "schema": {"type": "string", "maxLength": IDENTITY_LENGTH},
}
_TIMEOUT: Node = {
    "name": "x-request-timeout-ms",
    "in": "header",
    "description": "when the client gives up; shortens the deadline of the model, and never lengthens it",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_UNIT: Node = {
    "name": "x-unit",
    "in": "header",
    "description": "whom all rows of the stream are for",
    "schema": {"type": "string", "maxLength": IDENTITY_LENGTH},
}
_VERSION: Node = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "a version in memory: the champion, the one under delivery, or the previous one while it is warm",
    "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,9}$"},
}


@dataclass(frozen=True)
class Described:
    """What the document and the page are about; `keys` is whether requests need one."""

    name: str
    signature: Signature
    version: str
    serve: Serve
    keys: bool = False

    @property
    def base(self) -> str:
        """Path of the model."""
        return f"/v2/models/{self.name}"


def openapi_document(described: Described) -> Node:
    """OpenAPI 3.1 of the model's routes."""
    base, version = described.base, f"{described.base}/versions/{{version}}"
    named = {path: item | {"parameters": [_VERSION]} for path, item in _described(version, "of one version").items()}
    sent_to_one = _sent(version, ", one version") | _explained(described, version, ", one version")
    sent = {path: item | {"parameters": [_VERSION]} for path, item in sent_to_one.items()}
    labels = _post("Send outcomes of answered requests", _json("Labels"), {"200": _answer(_json("Kept"))})
    unnamed = {**_described(base, "of the model"), **_sent(base, ""), **_explained(described, base, "")}
    paths = {**unnamed, f"{base}/labels": {"post": labels}, **named, **sent}
    document: Node = {
        "openapi": "3.1.0",
        "info": {"title": f"Model {described.name}", "version": described.version},
        "paths": paths,
        "components": {
            "schemas": schemas(described.signature, described.serve)
            | explain_schemas(described.signature, described.serve),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, mlr_..."},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }
    if described.keys:
        document["security"] = [{"bearer": []}, {"key": []}]
    return document


def _described(base: str, of: str) -> dict[str, Node]:
    anything: Node = {"application/json": {"schema": {"type": "object"}}}
    page: Node = {"text/html": {"schema": {"type": "string"}}}
    ready = _get(f"Whether it answers, {of}; needs no key", _json("Ready"))
    return {
        base: {"get": _get(f"Versions, inputs and outputs {of}", _json("Metadata"))},
        f"{base}/ready": {"get": ready | {"security": []}},
        f"{base}/openapi.json": {"get": _get(f"This document, {of}", anything)},
        f"{base}/docs": {"get": _get(f"A page about it, {of}", page)},
    }


def _sent(base: str, which: str) -> dict[str, Node]:
    predict = _post(
        f"Predict plain JSON records{which}", _json("PredictRequest"), {"200": _answer(_json("PredictAnswer"))}
    )
    binary = {"application/octet-stream": _BINARY}
    infer = _post(
        f"Predict, Open Inference Protocol v2{which}; where binary tensors follow the JSON part, the header "
        "inference-header-content-length says how many bytes that has",
        _json("InferRequest") | binary,
        {"200": _answer(_json("InferAnswer") | binary)},
    )
    arrow = _post(
        f"Predict many rows, Apache Arrow{which}", {_ARROW: _BINARY}, {"200": _answer({_ARROW: _BINARY})}, _UNIT
    )
    return {
        f"{base}/predict": {"post": predict},
        f"{base}/infer": {"post": infer},
        f"{base}/arrow": {"post": arrow},
    }


def _explained(described: Described, base: str, which: str) -> dict[str, Node]:
    if not explains(described.signature, described.serve):
        return {}
    summary, request, good, parameters = explain_operation(described.signature, which)
    return {f"{base}/explain": {"post": _post(summary, request, {"200": _answer(good)}, *parameters)}}


def _post(summary: str, request: Node, good: Node, *parameters: Node) -> Node:
    return {
        "summary": summary,
        "parameters": [_REQUEST_ID, _TIMEOUT, *parameters],
        "requestBody": {"required": True, "content": request},
        "responses": good | _errors(tuple(_ERRORS)),
    }


def _get(summary: str, content: Node) -> Node:
    return {"summary": summary, "responses": {"200": _answer(content)} | _errors((*_ALWAYS, "400", "429", "503"))}


def _errors(codes: Sequence[str]) -> Node:
    return {code: _answer(_json("Error"), _ERRORS[code]) | _headers(code) for code in sorted(codes)}


def _headers(code: str) -> Node:
    return {"headers": _HEADERS[code]} if code in _HEADERS else {}


def _answer(content: Node, description: str = "OK") -> Node:
    return {"description": description, "content": content}


def _json(name: str) -> Node:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
